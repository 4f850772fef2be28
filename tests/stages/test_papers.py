"""Tables of the user's own: what is wrong with them is said in one line, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.errors import UsageError
from ticketctl.stages.measured import MEASURED, RECORDED
from ticketctl.stages.papers import find_table, table_in
from ticketctl.stages.reproduce import Asked, plan_table
from ticketctl.stages.targets import targets_of

HEAD = 'title = "t"\npaper = "x"\ntable = "1"\nsource = "s"\nnote = "n"\nmetric = "test.accuracy"\nunit = "percent"\n'
ROW = '[[row]]\nname = "a"\nrecipe = "base/lenet-300-100-digits"\n'
VALUES = 'values = { "0" = 90.1 }\n'

WRONG = [
    (HEAD.replace('title = "t"\n', "") + ROW + VALUES, "title is not given"),
    (
        HEAD.replace("percent", "perc") + ROW + VALUES,
        "unit: must be 'percent', 'share', 'points', 'epochs' or 'number', not 'perc'",
    ),
    (HEAD.replace('"x"', "3") + ROW + VALUES, "paper: must be text, not 3"),
    (HEAD.replace("test.accuracy", "foo") + ROW + VALUES, "row 'a': no metric 'foo'; there is"),
    (
        HEAD + ROW + VALUES + 'metric = "test.acuracy"',
        "row 'a': no metric 'test.acuracy'; did you mean 'test.accuracy'?",
    ),
    (HEAD, "row is not given"),
    ("row = 3\n" + HEAD, "row: each row is a table under [[row]], not 3"),
    ("row = [3]\n" + HEAD, "row 1: must be a table under [[row]], not 3"),
    (HEAD + "[[row]]\n" + VALUES, "row 1: name is not given"),
    (HEAD + ROW + VALUES + 'recip = "x"', "row 'a': no key recip; did you mean 'recipe'?"),
    (HEAD + ROW, "row 'a': a cell stands in cells or in values, and there is at least one"),
    (HEAD + ROW + "values = [3]", "row 'a': values: must be a table"),
    (HEAD + ROW + 'values = { "0" = "x" }', "row 'a': values.0: must be a number, not 'x'"),
    (
        HEAD + ROW + 'values = { "abc" = 3 }',
        "row 'a': a cell's name is a sparsity in percent, 0 or more and below 100",
    ),
    (HEAD + ROW + 'values = { "100" = 3 }', "not '100'"),
    (HEAD + ROW + VALUES + 'tweaks = "ls"', """row 'a': tweaks: must be a list, as ["ls"], not 'ls'"""),
    (HEAD + ROW + VALUES + 'tweaks = ["LS"]', "row 'a': no tweak named 'LS'; did you mean 'ls'?"),
    (
        HEAD + ROW + VALUES + 'sets = { "train.milestones" = ["1ep"] }',
        "row 'a': sets.train.milestones: must be text or a number, not ['1ep']",
    ),
    (HEAD + ROW + VALUES + "sets = { train.lr = 0.1 }", 'write a key with dots in quotes, "train.lr" = 0.1'),
    (
        HEAD + ROW + VALUES + 'unknown = ["train.lrr"]',
        "row 'a': unknown: no key train.lrr; did you mean 'lr'?",
    ),
    (
        HEAD + ROW + VALUES + 'over = "foo"',
        "row 'a': over: must be sparsity, metric, target, epoch or a recipe key",
    ),
    (
        HEAD + ROW + VALUES + 'over = "train.lr"\nsparsity = 200',
        "row 'a': sparsity: must be below 100, not 200",
    ),
    (HEAD + "seeds = 0\n" + ROW + VALUES, "seeds: must be 1 or more, not 0"),
    (HEAD + "seed_list = [1]\n" + ROW + VALUES, "seed_list has as many different seeds as `seeds` says"),
]


@pytest.mark.parametrize(("text", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_table_is_refused_in_one_line_that_names_the_row(
    text: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        table_in(tmp_path / "mine.toml", "mine.toml")
    told = str(refused.value)
    assert told.startswith(f"table mine.toml: {says}") or says in told
    assert "\n" not in told
    assert not re.search(r"Input should|valid |Spec\b|row\.0", told)


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ('"trian.lr" = 0.1', "row 'a': base/lenet-300-100-digits: no key trian; did you mean 'train'?"),
        ('"tweaks.ls.alhpa" = 0.1', "row 'a': tweaks.ls.alhpa: ls has no such key; did you mean 'alpha'?"),
    ],
)
def test_a_key_of_a_row_that_no_recipe_has_is_refused_with_the_row(
    sets: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(f"{HEAD}{ROW}{VALUES}sets = {{ {sets} }}")
    with pytest.raises(UsageError, match=re.escape(says)):
        targets_of(table_in(tmp_path / "mine.toml", "mine.toml").cells)


def test_a_control_that_is_none_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'{HEAD}{ROW}{VALUES}control = "shufled"')
    table = table_in(tmp_path / "mine.toml", "mine.toml")
    with pytest.raises(UsageError, match="row 'a': no control 'shufled'; did you mean 'shuffled'"):
        targets_of(table.cells)
    with pytest.raises(UsageError, match="no control 'shufled'; did you mean 'shuffled'"):
        plan_table(Asked(table, workspace=tmp_path))


def test_a_table_below_the_home_is_found_where_no_shell_said_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text(f"{HEAD}{ROW}{VALUES}")
    assert find_table("~/mine.toml").cells == table_in(tmp_path / "mine.toml", "~/mine.toml").cells


def test_a_table_whose_file_is_missing_is_said_to_be_missing() -> None:
    with pytest.raises(UsageError, match=r"^no table 'nope\.toml': there is no such file"):
        find_table("nope.toml")
    with pytest.raises(UsageError, match="did you mean '001:A2'"):
        find_table("001:A22")


def test_every_metric_that_a_run_has_may_stand_in_a_table(tmp_path: Path) -> None:
    """With wrong labels, held-out images and another loss a run has all that there is."""
    tiny.draw(tmp_path / "seed-0", "data.noise.rate=0.4", "draw.rounds=1", "train.epochs=1")
    spent = tiny.spend(tmp_path / "seed-0", levels="1", tweaks=["ls"])
    found = {name for one in spent for name in one.run.manifest.metrics}
    assert found <= set(MEASURED)
    of_tickets = {name for name in MEASURED if name.startswith("draw.")}  # read from what draws note
    # the oracle is there from the second epoch on
    assert set(MEASURED) - found - {*RECORDED} - of_tickets == {"oracle.test.accuracy"}
