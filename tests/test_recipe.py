"""Recipes: what may stand in them, how they are laid on each other, and what names them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.every import OTHERS, every
from ticketctl.draws._ladder import LadderParams
from ticketctl.duration import Duration
from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe import (
    DataSpec,
    DrawSpec,
    KeepSpec,
    ModelSpec,
    Recipe,
    SeedSpec,
    SpendSpec,
    TrainSpec,
    fingerprint,
)
from ticketctl.recipe_base import exact
from ticketctl.recipe_files import assignments, flat_draw, lay, merge, parse_recipe, read_recipe, recipe_names
from ticketctl.stages.method import method_of
from ticketctl.stages.params import checked
from ticketctl.stages.request import Typed, draw_recipe, spend_recipe
from ticketctl.tomltext import toml_text

LEAST: dict[str, Any] = {
    "model": {"name": "lenet-300-100"},
    "data": {"name": "digits"},
    "train": {"epochs": 4},
}
DRAWN = merge(LEAST, {"draw": {"method": "imp", "rounds": 3}})
shipped = cache(read_recipe)


def parsed(*layers: Mapping[str, Any]) -> Recipe:
    tables: dict[str, Any] = LEAST
    for layer in layers:
        tables = merge(tables, layer)
    return parse_recipe(tables, where="here.toml")


# ---------------------------------------------------------------------------------------------------- strict keys


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"train": {"epoch": 3}}, "no key train.epoch; did you mean 'epochs'?"),
        ({"train": {"learning": 3}}, "no key train.learning; there is batch, "),
        ({"trian": {"epochs": 3}}, "no key trian; did you mean 'train'?"),
        ({"model": {"nme": "x"}}, "no key model.nme; did you mean 'name'?"),
        ({"data": {"augmnt": "none"}}, "did you mean 'augment'?"),
        ({"spend": {"schedul": "restart"}}, "did you mean 'schedule'?"),
        ({"keep": {"epoch": [1]}}, "did you mean 'epochs'?"),
        ({"seeds": {"oder": 1}}, "did you mean 'order'?"),
        ({"train": {"optimizer": "sdg"}}, "train.optimizer: "),
        ({"train": {"lr": -1}}, "train.lr: "),
        ({"train": {"lr": "fast"}}, "not 'fast'"),
        ({"train": {"lr": float("nan")}}, "train.lr: "),
        ({"train": {"lr": float("inf")}}, "train.lr: "),
        ({"train": {"epochs": 0}}, "train.epochs: "),
        ({"train": {"epochs": 2.5}}, "train.epochs: "),
        ({"train": {"momentum": 1}}, "train.momentum: "),
        ({"train": {"milestones": ["2 weeks"]}}, "'2 weeks' is not a duration"),
        ({"train": {"warmup": "5"}}, "'5' is not a duration"),
        ({"train": 7}, "train: "),
        ({"draw": {"method": "imp", "rewind": "later"}}, "'later' is not a duration"),
        ({"draw": {"method": "imp", "density": "0"}}, "a density lies in (0, 1]"),
        ({"draw": {"method": "imp", "density": "1.1"}}, "a density lies in (0, 1]"),
        ({"draw": {"method": "imp", "rounds": 255}}, "draw.rounds: "),
        ({"draw": {}}, "draw.method is not given; add --set draw.method=… or a --recipe that has it"),
        (
            {"spend": {"tweaks": "skip, ls"}},
            """spend.tweaks: must be a list, as ["skip", "ls"], not 'skip, ls'""",
        ),
        ({"spend": {"dense": "maybe"}}, "spend.dense: must be true or false, not 'maybe'"),
        ({"train": {"lr": True}}, "train.lr: must be a number, not true"),
        ({"train": {"epochs": True}}, "train.epochs: must be a number, not true"),
        ({"spend": {"start": "end"}}, "spend.start: must be 'ticket', 'init' or 'trained', not 'end'"),
        ({"data": {"noise": 4}}, "data.noise: must be a table, with keys as data.noise.kind, not 4"),
        ({"data": {"noise": {"knd": "none"}}}, "no key data.noise.knd; did you mean 'kind'?"),
        (
            {"data": {"noise": {"rate": 2}}},
            "data.noise.rate: a rate lies in [0, 1] (for 2 % write 0.02), not 2",
        ),
        ({"data": {"noise": {"map": {"cat": ["dog"]}}}}, "data.noise.map.cat: must be text, not ['dog']"),
        (
            {"data": {"subset": 0.5}},
            "data.subset: must be a table, with keys as data.subset.fraction, not 0.5",
        ),
        (
            {"data": {"subset": {"fraction": 20}}},
            "data.subset: fraction: must lie in (0, 1] (for 20 % write 0.2), not 20",
        ),
        ({"data": {"subset": {"fraction": 0}}}, "data.subset: fraction: must lie in (0, 1], not 0"),
        ({"data": {"subset": {"count": 0}}}, "data.subset.count: must be 1 or more, not 0"),
        ({"data": {"drop": {"most_forgotten": 1}}}, "data.drop: most_forgotten: must lie in [0, 1), not 1"),
        ({"data": {"mean": ["x"]}}, "data.mean: must be a number, not 'x'"),
        ({"data": {"size": "big"}}, "data.size: must be a whole number, not 'big'"),
        ({"keep": {"epochs": 3}}, "keep.epochs: must be a list, as [3], not 3"),
        ({"keep": {"epochs": True}}, "keep.epochs: must be a list, as […], not true"),
        ({"spend": {"tweaks": "['skip', 'é']"}}, """must be a list, as ["skip", "é"], not"""),
        ({"train": {"milestones": "80ep"}}, """train.milestones: must be a list, as ["80ep"], not '80ep'"""),
        ({"train": {"lr": float("nan")}}, "train.lr: must be a finite number, not nan"),
        ({"train": {"momentum": 1}}, "train.momentum: must be below 1, not 1"),
        ({"model": {"width": 0}}, "model.width: must be above 0, not 0"),
        ({"seeds": {"order": -1}}, "seeds.order: must be 0 or more, not -1"),
        ({"tweaks": {"ls": 3}}, "tweaks.ls: must be a table, with keys as tweaks.ls.KEY, not 3"),
        ({"tweaks": 3}, "tweaks: must be a table, with keys as tweaks.KEY, not 3"),
        ({"draw": {"method": "imp", "params": 3}}, "draw.params: must be a table"),
        ({"Train": {"epochs": 3}}, "no key Train; did you mean 'train'?"),
        ({"train": {"LR": 3}}, "no key train.LR; did you mean 'lr'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_the_way_out(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(tables)
    text = str(refused.value)
    assert text.startswith("here.toml: ")
    assert said in text
    assert "\n" not in text
    assert not re.search(r"Input should|valid |Spec|parse", text)  # pydantic's words, and classes of ours


@dataclass
class Several:
    """A key of several kinds."""

    alpha: float | str = 1.0


def test_of_several_faults_the_first_is_said_and_the_others_are_named() -> None:
    wrong = {"train": {"lr": "fast", "batch": 0}, "data": {"size": "big"}, "keep": {"epochs": ["x", "y"]}}
    with pytest.raises(UsageError) as refused:
        parsed(wrong)
    said = "data.size: must be a whole number, not 'big'; and 3 more: train.batch, train.lr, keep.epochs"
    assert str(refused.value) == f"here.toml: {said}"
    with pytest.raises(UsageError, match=r"^draw\.rate: .*, not 'x'; and 1 more: draw\.scope$"):
        checked(LadderParams, {"rate": "x", "scope": "all"}, "draw")
    with pytest.raises(UsageError, match=r"^skip\.alpha: must be text or a number, not \[1\]$"):
        checked(Several, {"alpha": [1]}, "skip")  # several kinds of one value are one fault


@pytest.mark.parametrize("density", ["nonsense", "1/0", "", True])
def test_a_density_that_is_no_number_is_refused(density: Any) -> None:
    with pytest.raises(UsageError, match=r"draw\.density: "):
        parsed({"draw": {"method": "imp", "density": density}})


def test_a_missing_table_is_named() -> None:
    with pytest.raises(UsageError, match=r"train is not given"):
        parse_recipe({"model": {"name": "x"}, "data": {"name": "y"}}, where="w")


def test_keys_of_a_method_are_carried_to_it() -> None:
    draw = parsed({"draw": {"method": "imp", "rounds": 2, "rate": "0.3", "scope": "layer"}}).draw
    assert draw is not None
    assert draw.params == {"rate": "0.3", "scope": "layer"}
    again = parsed({"draw": draw.model_dump(mode="json", exclude_none=True)}).draw
    assert again == draw


NESTED = "draw.params.rate=0.3"
FLAT = "draw.rate=0.3"


@pytest.mark.parametrize("item", [NESTED, FLAT])
@pytest.mark.parametrize("below", ["[draw.params]\nrate = 0.5\n", "[draw]\nrate = 0.5\n"])
def test_a_method_has_its_key_in_either_spelling_and_the_later_layer_wins(
    item: str, below: str, tmp_path: Path
) -> None:
    """Records say `draw.params.rate`, users `draw.rate`; the method's own recipe lies below both."""
    name = write(tmp_path, mine=below)("mine")
    for typed, rate in ((Typed(recipe=name), 0.5), (Typed(recipe=name, sets=(item,)), 0.3)):
        recipe = draw_recipe(typed).recipe
        assert recipe.draw is not None
        assert recipe.draw.params["rate"] == rate
    layers = draw_recipe(Typed(sets=(item,))).recipe
    assert layers.fingerprint == draw_recipe(Typed(sets=(FLAT,))).recipe.fingerprint
    assert layers.record() == draw_recipe(Typed(sets=(FLAT,))).recipe.record()
    assert lay({"draw": {"rate": 1}}, {"draw": {"params": {"rate": 2}}}) == {"draw": {"rate": 2}}
    assert lay({"draw": {"params": {"rate": 1}}}, {"draw": {"rate": 2}}) == {"draw": {"rate": 2}}


def test_both_spellings_of_one_key_in_one_layer_are_refused_unless_they_agree(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"draw\.rate is 0\.5 and draw\.params\.rate is 0\.3; the two are one key"
    ):
        assignments([NESTED, "draw.rate=0.5"])
    assert assignments([NESTED, FLAT]) == {"draw": {"rate": 0.3}}
    name = write(tmp_path, both="[draw]\nrate = 0.5\n[draw.params]\nrate = 0.3\n")("both")
    with pytest.raises(UsageError, match=r"recipe .*both\.toml: draw\.rate is 0\.5"):
        read_recipe(name)


def test_what_all_methods_have_is_none_of_a_methods_own_keys() -> None:
    tables = {"draw": {"method": "imp", "params": {"rounds": 2, "rate": "0.3"}}}
    assert flat_draw(tables) == {"draw": {"method": "imp", "rate": "0.3", "params": {"rounds": 2}}}
    with pytest.raises(UsageError, match=r"draw\.params\.rounds: a key of all methods; write draw\.rounds"):
        method_of(parsed({"draw": {"method": "imp", "params": {"rounds": 2}}}))
    with pytest.raises(UsageError, match=r"draw\.roudns: imp has no such key; did you mean 'rounds'"):
        method_of(parsed({"draw": {"method": "imp", "roudns": 2}}))
    with pytest.raises(UsageError, match=r"draw\.Rate: imp has no such key; did you mean 'rate'"):
        method_of(parsed({"draw": {"method": "imp", "Rate": 0.2}}))


def test_a_density_is_the_number_that_was_typed() -> None:
    for typed in ("0.1", "1/10", "0.10", 0.1):
        draw = parsed({"draw": {"method": "imp", "density": typed}}).draw
        assert draw is not None
        assert draw.density == Fraction(1, 10)


def test_a_recipe_does_not_change() -> None:
    recipe = parsed()
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.lr = 1.0


# -------------------------------------------------------------------------------------------------------- extends


def write(folder: Path, **files: str) -> Callable[[str], str]:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text.replace("DIR", folder.as_posix()))
    return lambda name: f"{folder.as_posix()}/{name}.toml"


def test_a_child_is_laid_on_its_parents_key_by_key(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        old='summary = "old"\nsource = "there"\n[train]\nlr = 1.0\nbatch = 2\n[draw]\nmethod = "imp"\nrounds = 9\n',
        middle='extends = "DIR/old.toml"\n[train]\nlr = 2.0\n[draw]\nrounds = 8\n',
        young='extends = "DIR/middle.toml"\nsummary = "young"\n[train]\nmomentum = 0.5\n',
    )
    assert read_recipe(name("young")) == {
        "summary": "young",  # prose is not inherited: it would speak about another recipe
        "train": {"lr": 2.0, "batch": 2, "momentum": 0.5},
        "draw": {"method": "imp", "rounds": 8},
    }


def test_a_file_is_read_anew_when_it_was_written_anew_and_nobody_shares_what_was_read(tmp_path: Path) -> None:
    name = write(tmp_path, mine="[train]\nmilestones = [1, 2]\n", young='extends = "DIR/mine.toml"\n')
    for file in (name("mine"), name("young"), name("mine")):
        found = read_recipe(file)
        assert found == {"train": {"milestones": [1, 2]}}
        found["train"]["milestones"].append(3)
        found["train"]["lr"] = 1.0
    write(tmp_path, mine="[train]\nmilestones = [4, 5]\n")  # as many bytes
    assert read_recipe(name("young")) == {"train": {"milestones": [4, 5]}}


def test_parents_in_a_circle_are_refused(tmp_path: Path) -> None:
    name = write(
        tmp_path, a='extends = "DIR/b.toml"', b='extends = "DIR/c.toml"', c='extends = "DIR/a.toml"',
        me='extends = "DIR/me.toml"', five="extends = 5",
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"by way of .*a\.toml -> .*b\.toml -> .*c\.toml"):
        read_recipe(name("a"))
    with pytest.raises(UsageError, match="extends itself"):
        read_recipe(name("me"))
    with pytest.raises(UsageError, match="extends names one recipe"):
        read_recipe(name("five"))


def test_a_recipe_that_is_not_there_has_a_near_miss(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'draw/imp'"):
        read_recipe("draw/ipm")
    with pytest.raises(UsageError, match=r"ends in \.toml"):
        read_recipe("nonsense")
    with pytest.raises(UsageError):
        read_recipe("draw/../draw/imp")
    with pytest.raises(UsageError, match=r"absent\.toml': there is no such file"):
        read_recipe(str(tmp_path / "absent.toml"))


def test_a_recipe_below_the_home_is_found_where_no_shell_said_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `--recipe=~/mine.toml`, or in the file of another recipe or grid."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text("[train]\nlr = 0.25")
    (tmp_path / "child.toml").write_text('extends = "~/mine.toml"')
    assert float(read_recipe("~/child.toml")["train"]["lr"]) == 0.25
    with pytest.raises(UsageError, match=r"~no-such-user/a\.toml: this machine has no user no-such-user"):
        read_recipe("~no-such-user/a.toml")


@pytest.mark.parametrize(
    "text", [b"a = ", b"\xff\xfe", b"[a]\n[a]\n", b"x = " + b"[" * 5000, b"a." * 5000 + b"a = 1"]
)
def test_what_is_not_toml_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(text)
    with pytest.raises(UsageError, match="not readable TOML"):
        read_recipe(str(tmp_path / "bad.toml"))


@every([name for name in recipe_names() if not name.startswith((*OTHERS, "base/"))])
def test_every_shipped_recipe_parses_over_a_base(name: str) -> None:
    parse_recipe(merge(DRAWN, shipped(name)), where=name)


@every([name for name in recipe_names() if name.startswith("base/")])
def test_every_base_is_a_whole_recipe_of_its_name(name: str) -> None:
    recipe = parse_recipe(shipped(name), where=name)
    assert name == f"base/{recipe.model.name}-{recipe.data.name.partition(':')[0]}"
    assert recipe.summary
    assert recipe.source


# ---------------------------------------------------------------------------------------------------------- --set


def test_set_takes_toml_values_and_plain_words() -> None:
    assert assignments(
        ["train.lr=0.05", "train.nesterov=true", 'train.milestones=["8ep", "12ep"]', "draw.rewind=2ep",
         "data.name=imagefolder:/a=b c", "train.batch = 12", 'model.init="torch"', "x=", "a.b.c=1e3"]
    ) == {
        "train": {"lr": 0.05, "nesterov": True, "milestones": ["8ep", "12ep"], "batch": 12},
        "draw": {"rewind": "2ep"},
        "data": {"name": "imagefolder:/a=b c"},
        "model": {"init": "torch"},
        "x": "",
        "a": {"b": {"c": 1000.0}},
    }  # fmt: skip


def test_the_last_of_two_assignments_wins() -> None:
    assert assignments(["train.lr=1", "train.lr=2"]) == {"train": {"lr": 2}}


@pytest.mark.parametrize("item", ["train.lr", "=5", "train.=5", ".lr=5", "train..lr=5", ""])
def test_an_assignment_without_key_or_value_is_refused(item: str) -> None:
    with pytest.raises(UsageError, match="write KEY=VALUE"):
        assignments([item])


# ----------------------------------------------------------------------------------------------------- precedence


def test_each_layer_wins_over_those_below_it(tmp_path: Path) -> None:
    """defaults < base < draw recipe < --recipe and its parent < --set < flags."""
    name = write(
        tmp_path,
        parent="[train]\nlr = 0.7\nbatch = 70\nmomentum = 0.7\n[draw]\nrounds = 7\n",
        mine='extends = "DIR/parent.toml"\n[train]\nbatch = 80\nmomentum = 0.8\n[draw]\nrewind = "1ep"\nrate = "0.5"\n',
    )
    base = parse_recipe(
        merge(read_recipe("base/lenet-300-100-digits"), {"draw": {"method": "imp"}}), where=""
    )
    typed = Typed(recipe=name("mine"), sets=("train.momentum=0.1", "draw.rewind=3ep"), rewind="2ep")
    recipe = draw_recipe(typed).recipe
    assert recipe.draw is not None
    assert recipe.train.weight_decay == TrainSpec(epochs=1).weight_decay  # the default
    assert recipe.train.epochs == base.train.epochs  # the base
    assert recipe.draw.params == {**read_draw("imp"), "rate": "0.5"}  # the draw recipe, and over it --recipe
    assert recipe.train.lr == 0.7  # the parent
    assert recipe.train.batch == 80  # --recipe
    assert recipe.draw.rounds == 7
    assert recipe.train.momentum == 0.1  # --set
    assert recipe.draw.rewind == "2ep"  # the flag


def read_draw(method: str) -> dict[str, Any]:
    draw = read_recipe(f"draw/{method}")["draw"]
    return {key: value for key, value in draw.items() if key not in DrawSpec.model_fields}


def test_rounds_and_density_replace_each_other_from_above(tmp_path: Path) -> None:
    name = write(tmp_path, dense='[draw]\ndensity = "0.5"\n', deep="[draw]\nrounds = 5\n")
    cases: list[tuple[Typed, tuple[int | None, Fraction | None]]] = [
        (Typed(), (16, None)),
        (Typed(density=Fraction(1, 4)), (None, Fraction(1, 4))),
        (Typed(recipe=name("dense")), (None, Fraction(1, 2))),
        (Typed(recipe=name("dense"), rounds=3), (3, None)),
        (Typed(recipe=name("dense"), sets=("draw.rounds=4",)), (4, None)),
        (Typed(recipe=name("deep"), sets=("draw.density=0.1",)), (None, Fraction(1, 10))),
        (Typed(method="omp", rounds=3), (3, None)),
    ]
    for typed, wanted in cases:
        draw = draw_recipe(typed).recipe.draw
        assert draw is not None
        assert (draw.rounds, draw.density) == wanted, typed


def test_rounds_beside_a_density_are_told_and_leave_no_trace(tmp_path: Path) -> None:
    """Nothing reads them, so they are in no record and name no folder; whichever layer says both."""
    name = write(tmp_path, both='[draw]\ndensity = "0.1"\nrounds = 5\n')
    plain = draw_recipe(Typed(density=Fraction(1, 10)))
    told = ("rounds 5: not used, the density says how far to prune",)
    for typed in (
        Typed(density=Fraction(1, 10), rounds=5),
        Typed(density=Fraction(1, 10), sets=("draw.rounds=5",)),
        Typed(sets=("draw.density=0.1", "draw.rounds=5")),
        Typed(recipe=name("both")),
    ):
        found = draw_recipe(typed)
        assert found.recipe.record() == plain.recipe.record(), typed
        assert found.recipe.fingerprint == plain.recipe.fingerprint
        assert found.notes[-1:] == told
    assert not set(told) & {*plain.notes, *draw_recipe(Typed(recipe=name("both"), rounds=3)).notes}


def test_a_spend_keeps_the_draws_recipe_but_for_what_is_said(tmp_path: Path) -> None:
    drawn = parsed({"train": {"lr": 0.3}, "draw": {"method": "imp", "rounds": 2}}).record()
    name = write(tmp_path, mine="[train]\nbatch = 7\nlr = 0.2\n")
    recipe = spend_recipe(Typed(recipe=name("mine"), sets=("train.lr=0.1",)), drawn).recipe
    assert (recipe.train.lr, recipe.train.batch, recipe.train.epochs) == (0.1, 7, 4)
    with pytest.raises(UsageError, match="cannot be spent as"):
        spend_recipe(Typed(sets=("model.name=resnet20",)), drawn)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (Typed(model="lenet-300-10"), "no model named 'lenet-300-10'; did you mean 'lenet-300-100'?"),
        (Typed(data="digit"), "no data set named 'digit'; did you mean 'digits'?"),
        (Typed(method="impp"), "no method named 'impp'; did you mean 'imp'?"),
        (Typed(model="resnet50", data="digits"), "no base recipe for resnet50 on digits; did you mean"),
        (Typed(sets=("train.lrr=1",)), "no key train.lrr; did you mean 'lr'?"),
    ],
)
def test_names_that_are_not_there_have_a_near_miss(typed: Typed, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        draw_recipe(typed)
    assert said in str(refused.value)
    assert refused.value.exit_code == 2


# --------------------------------------------------------------------------------------------------- fingerprints


def defaults(spec: type[BaseModel]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in spec.model_fields.items()
        if not field.is_required() and field.get_default() is not None
    }


def test_a_key_that_says_its_default_changes_no_name() -> None:
    plain = parsed({"draw": {"method": "imp", "rounds": 3}})
    specs = {
        "model": ModelSpec, "data": DataSpec, "train": TrainSpec, "draw": DrawSpec, "spend": SpendSpec,
        "keep": KeepSpec, "seeds": SeedSpec,
    }  # fmt: skip
    count = 0
    for table, spec in specs.items():
        for key, value in defaults(spec).items():
            if key == "params":
                continue
            said = parsed({"draw": {"method": "imp", "rounds": 3}}, {table: {key: value}})
            assert said.fingerprint == plain.fingerprint, f"{table}.{key}"
            assert said == plain
            count += 1
    assert count > 25


def test_every_other_value_changes_the_name() -> None:
    plain = parsed({"draw": {"method": "imp", "rounds": 3}})
    for item in (
        "train.lr=0.2", "train.epochs=5", "train.nesterov=true", "train.threads=2", "data.validation=last:10",
        "data.padding=3", "model.init=torch", "draw.rounds=4", "draw.rewind=1ep", "draw.rate=0.3",
        "keep.epochs=[1]", "seeds.order=4", "spend.dense=false", "model.name=resnet20",
    ):  # fmt: skip
        other = parsed({"draw": {"method": "imp", "rounds": 3}}, assignments([item]))
        assert other.fingerprint != plain.fingerprint, item


def test_controls_change_no_name() -> None:
    """They are added to a draw, and may be asked for later."""
    draw = {"method": "imp", "rounds": 3}
    assert parsed({"draw": {**draw, "controls": True}}).fingerprint == parsed({"draw": draw}).fingerprint


def test_prose_changes_no_name() -> None:
    assert parsed({"summary": "a", "source": "b", "expected": {"x": 1}}).fingerprint == parsed().fingerprint


def test_equal_spellings_have_one_name() -> None:
    def name(**draw: Any) -> str:
        return parsed({"draw": {"method": "imp", **draw}}).fingerprint

    assert name(density="0.1") == name(density="1/10") == name(density=0.1)
    assert name(rewind="2 ep", rounds=2) == name(rewind="2ep", rounds=2) == name(rewind="2.0ep", rounds=2)


def test_names_are_frozen() -> None:
    """Folders of old runs are named by them."""
    assert parsed({"train": {"lr": 0.3}}).fingerprint == "17fd9700"
    assert fingerprint({}) == "44136fa3"


# --------------------------------------------------------------------------------------------------------- scaling

LONG = {
    "train": {
        "epochs": 160, "schedule": "step", "milestones": ["80ep", "120ep", "39000it", "50%"], "warmup": "5ep",
    },
    "keep": {"epochs": [0, 10, 80, 160]},
    "draw": {"method": "imp", "rounds": 3, "rewind": "1000it"},
}  # fmt: skip


def test_epochs_stretch_every_phase_in_proportion() -> None:
    short = parsed(LONG).scaled(epochs=16)
    assert short.train.epochs == 16
    assert short.train.milestones == ("8ep", "12ep", "3900it", "50%")
    assert short.train.warmup == "1ep"
    assert short.keep.epochs == (0, 1, 8, 16)
    assert short.draw is not None
    assert short.draw.rewind == "100it"
    assert parsed(LONG).scaled(scale=Fraction(1, 10)) == short


def test_everything_that_was_there_keeps_at_least_one() -> None:
    least = parsed(LONG).scaled(epochs=1)
    assert least.train.epochs == 1
    assert least.train.milestones == ("1ep", "1ep", "244it", "50%")
    assert least.train.warmup == "1ep"
    assert least.keep.epochs == (0, 1)
    assert least.draw is not None
    assert least.draw.rewind == "6it"
    assert parsed(LONG).scaled(scale=Fraction(1, 10**6)).train.epochs == 1


def test_rewinding_by_percent_and_to_zero_needs_no_scaling() -> None:
    for rewind in ("18%", "0"):
        scaled = parsed(LONG, {"draw": {"rewind": rewind}}).scaled(epochs=7).draw
        assert scaled is not None
        assert scaled.rewind == rewind


def test_no_factor_changes_nothing() -> None:
    assert parsed(LONG).scaled() is not None
    assert parsed(LONG).scaled(epochs=160) == parsed(LONG)
    assert parsed(LONG).scaled(scale=Fraction(1)) == parsed(LONG)


@given(st.integers(2, 300), st.integers(1, 300), st.integers(1, 300))
def test_a_milestone_inside_stays_inside(epochs: int, mark: int, shorter: int) -> None:
    """Whatever was before the end is not behind it after scaling."""
    mark = min(mark, epochs)
    tables = {"train": {"epochs": epochs, "milestones": [f"{mark}ep"], "schedule": "step"}}
    scaled = parsed(tables).scaled(epochs=shorter).train
    assert scaled.epochs == shorter
    Duration.parse(scaled.milestones[0]).steps(epochs=scaled.epochs, steps_per_epoch=3)


@given(st.integers(2, 60), st.integers(1, 60), st.fractions(Fraction(1, 60), 3, max_denominator=60))
def test_a_milestone_inside_stays_inside_by_factor(epochs: int, mark: int, factor: Fraction) -> None:
    mark = min(mark, epochs)
    assume((epochs * factor).denominator != 2)  # see the next test
    tables = {"train": {"epochs": epochs, "milestones": [f"{mark}ep"], "schedule": "step"}}
    scaled = parsed(tables).scaled(scale=factor).train
    Duration.parse(scaled.milestones[0]).steps(epochs=scaled.epochs, steps_per_epoch=3)


def test_a_milestone_at_the_end_stays_inside_when_halves_are_rounded() -> None:
    scaled = parsed({"train": {"epochs": 5, "milestones": ["5ep"]}}).scaled(scale=Fraction(1, 2)).train
    Duration.parse(scaled.milestones[0]).steps(epochs=scaled.epochs, steps_per_epoch=3)


# ----------------------------------------------------------------------------------------------------------- TOML

letters = st.characters(exclude_characters="\x7f", exclude_categories=["Cs"])
words = st.text(letters, max_size=12) | st.sampled_from(
    ['"', "\\", "\n", "\x00", "\x85", "é", "a.b", "[x]", "=", "#", "😀"]
)
scalars = words | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
plane = st.characters(exclude_characters="\x7f", exclude_categories=["Cs"], max_codepoint=0xFFFF)
keys = st.text(plane, min_size=1, max_size=6) | st.sampled_from(["lr", "a-b", "a_b", "a b", "é", "1", ""])
tables_ = st.recursive(
    st.dictionaries(keys, values, max_size=4),
    lambda inner: st.dictionaries(keys, values | inner, max_size=4),
    max_leaves=8,
)


@given(tables_)
def test_what_is_written_as_toml_is_read_back(tables: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(tables)) == tables


@pytest.mark.parametrize(
    "tables",
    [
        {"😀": 1},
        {"a": "\x7f"},
    ],
)
def test_letters_that_json_and_toml_write_differently(tables: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(tables)) == tables


def test_tables_within_lists_too() -> None:
    tables = {"a": [{"x": 1, "y": {"z": "w"}}, 2], "b": {"c": {"d": 1.5}, "e": "f"}}
    assert tomllib.loads(toml_text(tables)) == tables


@pytest.mark.long
@every([name for name in recipe_names() if not name.startswith(OTHERS)])
def test_a_recipe_survives_its_printed_form(name: str) -> None:
    recipe = parse_recipe(merge(DRAWN, shipped(name)), where=name)
    for printed in (recipe.record(), flat_draw(recipe.record())):
        again = parse_recipe(tomllib.loads(toml_text(printed)), where="again")
        assert again.record() == recipe.record()
        assert again.fingerprint == recipe.fingerprint


def test_one_letter_of_two_is_a_near_miss() -> None:
    assert near_miss("lt", ["lr", "epochs", "batch"]) == "did you mean 'lr'?"
    assert near_miss("nix", ["snip", "grasp"]) != ""


@pytest.mark.parametrize("text", ["1e-999999999", "1E+9_999_999", "0.5e00012345"])
def test_a_number_of_endless_digits_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="too many digits"):
        exact(text)
    assert exact("25e-2") == exact("1/4") == exact("2.5e-0001")
