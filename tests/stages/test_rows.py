"""One order of tweaks and rows in the tables of spend and compare."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.stages.written import run
from ticketctl.stages.compare import as_record, compare, grouped
from ticketctl.stages.rows import in_order
from ticketctl.stages.spent import table
from ticketctl.stages.subjects import subjects_in
from ticketctl.stages.tweaking import tweak_set

SETS: tuple[tuple[str, ...], ...] = ((), ("swish",), ("ls",), ("kd",), ("swish", "ls", "kd"))


def spent_of(kept: int | None, tweaks: tuple[str, ...], level: int, value: str = "0.5", seed: int = 0) -> Any:
    """What `table` reads of a run."""
    manifest = SimpleNamespace(
        kept=1000 if kept is None else kept,
        prunable=1000,
        status="done",
        metrics={"test.accuracy": value},
        ext={},
    )
    return SimpleNamespace(
        job=SimpleNamespace(tweaks=tweaks), run=SimpleNamespace(manifest=manifest, folder=Path("x")),
        level=level, seed=seed, control=None,
    )  # fmt: skip


def test_names_stand_in_the_order_in_which_a_spend_asks_them() -> None:
    for names in permutations(("kd", "swish", "ls", "scaled-init")):
        assert in_order(names) == tweak_set(names)
    assert in_order(("zzz", "nobodys")) == ("nobodys", "zzz"), "not installed here"


@pytest.mark.parametrize("turn", range(5))
def test_both_tables_have_one_order(turn: int, tmp_path: Path) -> None:
    """Dense, then of each level none, single tweaks, all: whatever the order of the runs."""
    sets = [*SETS[turn:], *SETS[:turn]]
    for at, names in enumerate(sets):
        run(tmp_path / f"{at}", 0.5, tweaks=sorted(names))
    run(tmp_path / "dense", 0.5, kept=None)
    groups = compare(grouped(subjects_in([str(tmp_path)], tmp_path)[0]), "test.accuracy")
    compared = [tuple(as_record(one, "test.accuracy")["tweaks"]) for one in groups]
    spent = [spent_of(107, names, 10) for names in sets]
    rows = table([*spent[:2], spent_of(None, (), 0), *spent[2:]])
    assert rows[0].kind == "dense"
    assert groups[0].group.method == "dense"
    assert compared == [row.tweaks for row in rows] == [(), *SETS]


def test_levels_stand_one_after_the_other() -> None:
    spent = [spent_of(kept, names, level) for names in SETS for kept, level in ((800, 1), (640, 2))]
    assert [row.level for row in table(spent)] == [1] * 5 + [2] * 5


def test_equal_values_of_a_spend_are_said() -> None:
    same = [spent_of(107, (), 10, seed=seed) for seed in range(2)]
    other = [spent_of(107, ("ls",), 10, value, seed) for seed, value in enumerate(("0.5", "0.6"))]
    assert [row.equal for row in table([*same, *other])] == [("test.accuracy",), ()]
    assert [row.equal for row in table(same[:1])] == [()], "one value is equal to nothing"
