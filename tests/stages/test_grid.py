"""Which draws and uses a grid gives, against what the axes multiply to, and every way in which a grid can be wrong."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

from ticketctl.errors import UsageError
from ticketctl.stages.grid import Gridded, plan_grid
from ticketctl.stages.grid_spec import grid_in, is_grid, no_file
from ticketctl.stages.jobs import plan_of
from ticketctl.stages.plan_wanted import Wanted, plan_meant

RUNS = Path("runs")
ONE_SHOT = ("er", "grasp", "mag-init", "random", "snip", "synflow", "uniform")
SPENDS = ("train.lr=0.01", "train.lr=0.02", "train.lr=0.03", "train.epochs=2; train.lr=0.03")


def axes(**values: object) -> str:
    """A grid of the embedded digits with these axes; underscores are dots."""
    lines = [f"{name.replace('__', '.')!r} = {value!r}" for name, value in values.items()]
    return "\n".join(["[axes]", *lines]).replace("(", "[").replace(",)", "]").replace(")", "]")


def planned(text: str, seeds: Sequence[int] = (0,), only: str = "", scale: Fraction | None = None) -> Gridded:
    return plan_grid(grid_in(text, "grid.toml"), seeds, RUNS, only=only, scale=scale)


def kinds(found: Gridded) -> Counter[str]:
    """Jobs by kind, those of dense nets apart."""
    jobs = plan_of(found, found.places, "", {}).jobs
    return Counter("dense" if job.use and job.use.level == 0 else job.kind for job in jobs)


def test_eight_methods_five_seeds_and_four_recipes_are_forty_draws_and_160_spends() -> None:
    """Journey (b) of the specification counts them: methods by seeds, by recipes, and five dense nets a recipe."""
    found = planned(axes(method=("imp", *ONE_SHOT), density=0.1, spend=SPENDS), seeds=range(5))
    assert len(found.draws) == 40
    assert len({draw.folder for draw in found.draws}) == 40
    pruned = [use for use in found.uses if use.level != 0]
    assert len(pruned) == 160
    assert kinds(found) == {"draw": 40, "spend": 160, "dense": 5 * 4}


def test_a_method_that_prunes_in_rounds_is_drawn_once_to_the_lowest_density() -> None:
    densities = (0.5, 0.2, 0.05)
    found = planned(axes(method=("imp",), density=densities, tweaks=("none", "ls")), seeds=(3, 4))
    assert [(draw.seed, draw.recipe.draw and draw.recipe.draw.density) for draw in found.draws] == [
        (3, Fraction(1, 20)),
        (4, Fraction(1, 20)),
    ]
    levels = {place.labels["density"]: place.use.level for place in found.places if "net" not in place.labels}
    # the nearest power of 0.8, which for the last is the level that ends the ladder at or below it
    nearest = {str(one): round(math.log(one) / math.log(0.8)) for one in densities[:2]}
    assert levels == {**nearest, "0.05": math.ceil(math.log(0.05) / math.log(0.8))}


def test_a_method_that_prunes_once_is_drawn_for_each_density() -> None:
    found = planned(axes(method=("snip", "random"), density=(0.5, 0.2, 0.05)))
    names = {(draw.name, str(draw.recipe.draw and draw.recipe.draw.density)) for draw in found.draws}
    assert names == {*product(("snip", "random"), ("1/2", "1/5", "1/20"))}
    assert {place.use.level for place in found.places} == {None, 0}


def test_everything_at_density_one_is_the_dense_net_of_a_draw_that_others_want() -> None:
    found = planned(axes(method=("snip",), density=(1, 0.5)))
    assert [draw.recipe.draw and draw.recipe.draw.density for draw in found.draws] == [Fraction(1, 2)]
    assert {place.use.level for place in found.places if place.labels["density"] == "1"} == {0}


def test_sparsity_says_the_same_as_density() -> None:
    one = planned(axes(method=("imp", "snip"), density=(0.5, 0.05)))
    other = planned(axes(method=("imp", "snip"), sparsity=(0.5, 0.95)))
    assert one.uses == other.uses


def test_levels_are_those_of_the_ladder_and_deepest_is_its_last() -> None:
    found = planned(axes(method=("imp",), level=("0", "2", "deepest"), draw__rounds=(3,)))
    assert [place.use.level for place in found.places if "net" not in place.labels] == [0, 2, None]


def test_what_is_excluded_is_gone_and_nothing_else() -> None:
    text = axes(method=("imp", "snip", "random"), density=(0.5, 0.2), tweaks=("none", "ls"))
    text += '\n[[exclude]]\nmethod = "imp"\ntweaks = "ls"\n[[exclude]]\ndensity = 0.2\nmethod = "random"\n'
    found = planned(f"dense = false\n{text}")
    every = product(("imp", "snip", "random"), ("0.5", "0.2"), ("none", "ls"))
    gone = {("imp", one, "ls") for one in ("0.5", "0.2")} | {("random", "0.2", one) for one in ("none", "ls")}
    assert [(p.labels["method"], p.labels["density"], p.labels["tweaks"]) for p in found.places] == [
        one for one in every if one not in gone
    ]


def test_only_takes_a_part_of_the_same_plan() -> None:
    text = axes(method=("imp", "snip"), density=(0.5, 0.2), tweaks=("none", "ls"))
    whole, part = planned(text), planned(text, only="density>=0.3,tweaks=ls,method=snip")
    assert [dict(place.labels) for place in part.places if "net" not in place.labels] == [
        {"method": "snip", "density": "0.5", "tweaks": "ls"}
    ]
    assert {*part.uses} <= {*whole.uses}


def test_the_dense_net_stands_beside_every_ticket_once_for_each_spend() -> None:
    found = planned(axes(method=("imp", "snip"), density=(0.5, 0.2), spend=("none", "train.lr=0.01")))
    dense = [place for place in found.places if place.labels.get("net") == "dense"]
    assert len(dense) == 2 * 1 * 2 + 2  # snip is drawn twice, and each draw has its own start
    assert {place.labels["density"] for place in dense} == {"1"}
    assert len({(*place.labels.items(), place.use) for place in found.places}) == len(found.places)
    bare = planned("dense = false\n" + axes(method=("imp", "snip"), density=(0.5,)))
    assert all(place.use.level for place in bare.places if place.labels["method"] == "imp")


def test_a_dense_net_has_no_tweak_that_needs_a_mask() -> None:
    keys = '[sets]\n"tweaks.redense.epochs" = 3\n'
    found = planned(keys + axes(method=("snip",), density=(0.5,), tweaks=("redense", "ls")))
    tweaks = {
        (place.labels["tweaks"], place.labels.get("net", "ticket")): place.use for place in found.places
    }
    assert {key: (use.tweaks, use.sets) for key, use in tweaks.items()} == {
        ("redense", "ticket"): (("redense",), ("tweaks.redense.epochs=3",)),
        ("redense", "dense"): ((), ()),
        ("ls", "ticket"): (("ls",), ()),
        ("ls", "dense"): (("ls",), ()),
    }


def test_keys_of_a_tweak_go_with_it_alone() -> None:
    text = axes(method=("snip",), density=(0.5,), tweaks=("none", "ls"), tweaks__ls__alpha=(0.2, 0.3))
    sets = {
        (place.labels["tweaks"], place.labels["tweaks.ls.alpha"]): place.use.sets
        for place in planned(text).places
    }
    assert sets == {
        ("none", "0.2"): (),
        ("none", "0.3"): (),
        ("ls", "0.2"): ("tweaks.ls.alpha=0.2",),
        ("ls", "0.3"): ("tweaks.ls.alpha=0.3",),
    }


def test_controls_are_drawn_with_the_ticket_and_spent_like_it() -> None:
    found = planned(
        'controls = ["shuffled", "reinit"]\n' + axes(method=("snip",), density=(0.5,), tweaks=("ls",))
    )
    assert [draw.recipe.draw and draw.recipe.draw.controls for draw in found.draws] == [True]
    assert [
        (place.labels.get("control"), place.use.control) for place in found.places if place.use.level != 0
    ] == [
        (None, ""),
        ("shuffled", "shuffled"),
        ("reinit", "reinit"),
    ]


def test_every_run_is_audited_by_every_recipe() -> None:
    names = ("audit/lth-pass", "audit/quick")
    found = planned(
        f"audits = {[*names]}\n" + axes(method=("imp", "snip"), density=(0.5,), tweaks=("none", "ls"))
    )
    asked = [(reading.recipe, use) for reading, use in found.audits]
    assert Counter(asked) == Counter(product(names, found.uses))


def test_keys_of_the_spend_leave_the_draw_and_other_keys_do_not() -> None:
    spent = planned(
        axes(method=("snip",), density=(0.5,), spend=("none", "train.epochs=3", "spend.start=init"))
    )
    assert len(spent.draws) == 1
    assert {use.sets for use in spent.uses} == {(), ("train.epochs=3",), ("spend.start=init",)}
    drawn = planned(axes(method=("snip",), density=(0.5,), train__epochs=(2, 3)))
    assert [draw.recipe.train.epochs for draw in drawn.draws] == [2, 3]
    assert {use.sets for use in drawn.uses} == {()}


def test_scale_stretches_every_training() -> None:
    text = axes(method=("imp",), density=(0.5,), spend=("none", "train.epochs=40"), train__epochs=(20,))
    found = planned(text, scale=Fraction(1, 10))
    assert [draw.recipe.train.epochs for draw in found.draws] == [2]
    assert {text for use in found.uses for text in use.sets} == {"train.epochs=4"}


def test_seeds_are_written_as_numbers_texts_or_lists() -> None:
    for said in ("3", '"3"', "[3]"):
        assert grid_in(f"seeds = {said}\n" + axes(method=("imp",)), "g").seeds == "3"
    assert grid_in("seeds = [42, 1099]\n" + axes(method=("imp",)), "g").seeds == "42,1099"


def test_a_file_with_axes_is_a_grid(tmp_path: Path) -> None:
    for text, wanted in ((axes(method=("imp",)), True), ('[[row]]\nname = "x"', False)):
        (tmp_path / "a.toml").write_text(text)
        assert is_grid(tmp_path / "a.toml") is wanted
    (tmp_path / "a.toml").write_text("")
    with pytest.raises(UsageError, match=r"\[axes\] \(a grid\) or \[\[row\]\]"):
        is_grid(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("[axes")
    with pytest.raises(UsageError, match="not TOML"):
        is_grid(tmp_path / "a.toml")
    with pytest.raises(UsageError, match="No such file"):
        is_grid(tmp_path / "b.toml")


CANNOT = {
    "method": (axes(method=("imp", "snap")), "no method named 'snap'"),
    "model": (axes(model=("lenet",)), "no model named 'lenet'"),
    "data": (axes(data=("digit",)), "no data set named 'digit'"),
    "base": (axes(model=("resnet50",), data=("digits",)), "no base recipe"),
    "tweak": (axes(tweaks=("lss",)), "no tweak named 'lss'"),
    "tweaks together": (axes(tweaks=("skip,", "swish,mish")), "exclude each other"),
    "tweak's key": (axes(tweaks=("ls",), tweaks__ls__alfa=(0.1,)), "ls has no such key"),
    "key of a tweak that nobody spends": (axes(tweaks__ls__alpha=(0.2,)), "no combination is spent with it"),
    "such a key of a spend": (axes(spend=("tweaks.ls.alpha=0.2",)), "a key of a tweak that is not spent"),
    "key": (axes(train__lrr=(0.1,)), "lrr"),
    "value": (axes(train__epochs=(0,)), "train.epochs"),
    "density 0": (axes(density=(0,)), "a share of the weights is wanted"),
    "density in percent": (axes(density=(20,)), "a share of the weights is wanted"),
    "sparsity 1": (axes(sparsity=(1,)), "a share of the weights is wanted"),
    "level of a draw that prunes once": (axes(method=("snip",), level=("1",)), "prunes once"),
    "level beyond": (axes(method=("imp",), draw__rounds=(2,), level=("3",)), "has levels 0 to 2"),
    "negative level": (axes(method=("imp",), level=("-1",)), "has levels 0 to"),
    "mask tweak of the dense net": (
        axes(method=("imp",), level=("0",), tweaks=("redense",)),
        "means nothing",
    ),
    "spend": (axes(spend=("lr=0.1",)), "no KEY=VALUE"),
    "a draw's key for a spend": (axes(spend=("train.lr=0.1; draw.rewind=1ep",)), "draw.rewind is the draw's"),
    "other data for a spend": (axes(spend=("none", "data.name=mnist")), "data.name is the draw's"),
    "other data for a spend, with blanks": (axes(spend=("data.name = mnist",)), "data.name is the draw's"),
    "tweaks by a key": (axes(spend=("train.lr=0.1; spend.tweaks = ['ls']",)), "name them on the axis tweaks"),
    "another net for a spend": (axes(spend=("model.width=2",)), "model.width is the draw's"),
    "a key of a spend twice": (axes(spend=("train.lr=0.1; train.lr = 0.2",)), "train.lr stands there twice"),
    "a spend's key that is on an axis": (
        axes(method=("imp",), spend__start=("ticket", "init"), spend=("none", "spend.start=init")),
        "2 of 4 combinations cannot be: spend 'spend.start=init': spend.start stands in axes, too; keep one of them",
    ),
    "a spend's key that is in sets": (
        axes(method=("imp",), spend=("none", "spend.start=init")) + '\n[sets]\n"spend.start" = "ticket"',
        "1 of 2 combinations cannot be: spend 'spend.start=init': spend.start stands in sets, too; keep one of them",
    ),
    "nearly none": (axes(spend=("non",)), "no recipe 'non'; did you mean 'none'?"),
    "spend of nothing": (axes(spend=("train.lr=0.1; ",)), "no KEY=VALUE"),
    "spend recipe": (axes(spend=("spend/nothing",)), "spend/nothing"),
    "draw recipe": (axes(recipe=("draw/nothing",)), "draw/nothing"),
    "a draw's recipe for a spend": (axes(spend=("base/lenet-300-100-digit",)), "there is papers/"),
    "a folder that is not there": (
        axes(model=("resnet18",), data=("digits", "imagefolder:nothere")),
        "there is no nothere [model resnet18, data imagefolder:nothere]",
    ),
    "everything excluded": (
        axes(method=("imp",)) + '\n[[exclude]]\nmethod = "imp"',
        "grid.toml: the grid is empty: [[exclude]]",
    ),
}


@pytest.mark.parametrize("name", CANNOT)
def test_a_combination_that_cannot_be_is_refused_before_anything_is_done(name: str) -> None:
    text, fault = CANNOT[name]
    with pytest.raises(UsageError) as refused:
        planned(text)
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_combinations_that_cannot_be_are_counted_and_the_same_reason_told_once() -> None:
    with pytest.raises(UsageError) as refused:
        planned(axes(method=("imp", "snip", "random"), level=("1", "2")))
    said = str(refused.value)
    assert said.startswith("4 of 6 combinations cannot be: level 1: snip prunes once")
    assert said.count("level 1: snip prunes once") == 1
    assert "[method snip, level 1]" in said
    assert "[[exclude]]" in said


WRONG = {
    "no axes": ('title = "x"', "axes"),
    "no TOML": ("[axes", "not a readable grid"),
    "unknown table": (axes(method=("imp",)) + "\n[others]\n", "others"),
    "unknown axis": (axes(methods=("imp",)), "no axis 'methods'; did you mean 'method'?"),
    "unknown axis and what else there is": (
        axes(methods=("imp",)),
        "did you mean 'method'? (or a recipe key, as train.lr)",
    ),
    "exclude that fits nothing": (
        axes(density=(0.5,)) + "\n[[exclude]]\ndensity = 0.4",
        "exclude: density 0.4 leaves nothing out",
    ),
    "a key twice": (
        axes(train__lr=(0.1,)) + '\n[sets]\n"train.lr" = 0.2',
        "train.lr: stands in axes and in sets",
    ),
    "model beside a recipe": (
        axes(model=("resnet18",), recipe=("papers/a",)),
        "recipe stands in place of model",
    ),
    "a draw's key that an axis says": (
        axes(method=("snip",), draw__method=("random", "erk")),
        "axes: method and draw.method say one thing; keep one of them",
    ),
    "a depth twice": (
        axes(density=(0.3,), draw__density=(0.9, 0.5)),
        "axes: density and draw.density say one thing",
    ),
    "rounds beside a density": (
        axes(sparsity=(0.3,), draw__rounds=(2, 3)),
        "sparsity and draw.rounds say one thing",
    ),
    "a net on an axis and in sets": (
        axes(model=("resnet18",)) + '\n[sets]\n"model.name" = "vgg16"',
        "model.name: stands in axes, as model, and in sets; keep one of them",
    ),
    "data on an axis and in sets": (
        axes(data=("digits",)) + '\n[sets]\n"data.name" = "cifar10"',
        "data.name: stands in axes, as data, and in sets; keep one of them",
    ),
    "a method on an axis and in sets": (
        axes(method=("imp",)) + '\n[sets]\n"draw.method" = "rigl"',
        "draw.method: stands in axes, as method, and in sets; keep one of them",
    ),
    "a density on an axis and in sets": (
        axes(density=(0.3,)) + '\n[sets]\n"draw.density" = 0.9',
        "draw.density: stands in axes, as density, and in sets; keep one of them",
    ),
    "a table on an axis and a key of it in sets": (
        axes(data__subset=("{fraction = 0.5}",)) + '\n[sets]\n"data.subset.fraction" = 0.1',
        "data.subset.fraction: stands in axes, as data.subset, and in sets; keep one of them",
    ),
    "a table and a key of it": (
        axes(method=("imp",)) + '\n[sets]\n"data.subset" = "{fraction = 0.5}"\n"data.subset.fraction" = 0.1',
        "sets: 'data.subset' and 'data.subset.fraction' say one thing",
    ),
    "no model": (axes(model=("",)), "axes.model: '' names nothing"),
    "no spend": (axes(spend=("",)), "axes.spend: '' names nothing; write none"),
    "no tweak": (axes(tweaks=(" ,",)), "axes.tweaks: ' ,' names nothing; write none"),
    "dense as text": ('dense = "no"\n' + axes(method=("imp",)), "dense: must be true or false, not 'no'"),
    "dense as a number": ("dense = 0\n" + axes(method=("imp",)), "dense: must be true or false, not 0"),
    "half a seed": (
        "seeds = 0.5\n" + axes(method=("imp",)),
        "my grid.toml: seeds: write 0, 0-2 or 42,1099 (1000 seeds at most), not 0.5",
    ),
    "density of a billion digits": (
        axes(density=("1e-999999999",)),
        "my grid.toml: axes.density: '1e-999999999' is no number",
    ),
    "density of words": (axes(density=("abc",)), "my grid.toml: axes.density: 'abc' is no number"),
    "a key that no recipe has": (
        axes(method=("imp",)) + '\n[sets]\n"train.epoch" = 1',
        "my grid.toml: sets: no key train.epoch; did you mean 'epochs'?",
    ),
    "an axis that no recipe has": (axes(trian__lr=(0.1,)), "axes: no key trian; did you mean 'train'?"),
    "a key with a blank": (axes(**{"train.lr ": (0.1,)}), "axes: no key train.lr ; did you mean 'lr'?"),
    "no such audit": (
        'audits = ["audit/quik"]\n' + axes(method=("imp",)),
        "my grid.toml: audits: no recipe 'audit/quik'; did you mean 'audit/quick'?",
    ),
    "negative seeds": ("seeds = -1\n" + axes(method=("imp",)), "seeds: write 0, 0-2 or 42,1099"),
    "endless seeds": ('seeds = "0-1000000000"\n' + axes(method=("imp",)), "1000 seeds at most"),
    "no value": ("[axes]\nmethod = []", "no value"),
    "a value twice": ("[axes]\ndensity = [0.1, '0.1']", "stands there twice"),
    "two depths": (axes(density=(0.1,), sparsity=(0.9,)), "density and sparsity say one thing"),
    "exclude of no axis": (axes(method=("imp",)) + "\n[[exclude]]\ndensity = 1", "'density' is no axis here"),
    "a table for a value": ("[axes]\nmethod = [{a = 1}]", "axes"),
    "controls as text": ('controls = "reinit"\n' + axes(method=("imp",)), "controls"),
    "tweaks as a key": (axes(spend__tweaks=("ls",)), "name them on the axis tweaks"),
    "no such control": ('controls = ["shuffle"]\n' + axes(method=("imp",)), "did you mean 'shuffled'?"),
    "seeds of truth": ("seeds = true\n" + axes(method=("imp",)), "seeds"),
    "deep": ("axes = " + "[" * 5000, "not a readable grid"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_grid_is_refused_in_one_line_that_names_it(name: str) -> None:
    text, fault = WRONG[name]
    with pytest.raises(UsageError) as refused:
        grid_in(text, "my grid.toml")
    assert str(refused.value).startswith("my grid.toml: ")
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_more_combinations_than_can_be_planned_are_refused_at_once_and_only_takes_a_part() -> None:
    text = axes(train__lr=tuple(n / 1000 for n in range(1, 201)), train__batch=tuple(range(1, 201)))
    with pytest.raises(UsageError, match="40000 combinations by 2 seeds are 80000, and 20000 at most"):
        planned(text, seeds=(0, 1))
    vast = axes(**{f"train__{key}": tuple(range(1, 1001)) for key in ("lr", "batch", "decay", "epochs")})
    with pytest.raises(UsageError, match=r"1000000000000 combinations .* --only"):
        planned(vast)
    assert len(planned("dense = false\n" + text, only="train.lr=0.1,train.batch<3").places) == 2


SAID_TWICE = {
    "the same text": ("density = [0.3, '0.3']", "density: a value stands there twice"),
    "shares": ("density = [0.25, '1/4']", "density: a value stands there twice, as 0.25 and as 1/4"),
    "powers of ten": ("sparsity = [0.25, '25e-2']", "sparsity: a value stands there twice, as 0.25 and as 25e-2"),
    "levels": ("level = [2, '02']", "level: a value stands there twice, as 2 and as 02"),
    "tweaks": ("tweaks = ['skip,ls', 'ls, skip']", "tweaks: a value stands there twice, as skip,ls and as ls, skip"),
    "a key": ("'train.lr' = [0.1, '0.10']", "train.lr: a value stands there twice, as 0.1 and as 0.10"),
    "a whole number": ("'seeds.order' = [7, '7']", "seeds.order: a value stands there twice"),
    "a list": ("'train.milestones' = [\"['1ep','2ep']\", \"['1ep', '2ep']\"]", "train.milestones: a value stands"),
    "a spend": (
        "spend = ['none', 'train.lr=0.1', 'train.lr = 0.10']",
        "spend: a value stands there twice, as train.lr=0.1 and as train.lr = 0.10",
    ),
    "a spend in another order": (
        "spend = ['train.lr=0.1; train.epochs=4', 'train.epochs=4;train.lr=1e-1']",
        "spend: a value stands there twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID_TWICE)
def test_a_value_that_stands_there_twice_is_refused_however_it_is_written(name: str) -> None:
    text, fault = SAID_TWICE[name]
    with pytest.raises(UsageError) as refused:
        grid_in(f"[axes]\n{text}", "my grid.toml")
    assert str(refused.value).startswith(f"my grid.toml: axes.{fault}")


def test_values_that_only_look_alike_are_two() -> None:
    grid_in(
        "[axes]\n'train.nesterov' = [true, 1]\nspend = ['train.lr=1', 'train.lr=11', 'train.epochs=1']", "g"
    )


TWINS = {
    "the draw's own": (axes(method=("snip",), spend=("none", "train.lr=0.05")), "spend", "train.lr=0.05", "none"),
    "a default": (axes(method=("imp",), spend=("spend.start=ticket", "none")), "spend", "none", "spend.start=ticket"),
    "a tweak's default": (
        axes(tweaks=("ls",), spend=("none", "tweaks.ls.alpha=0.1")),
        "spend", "tweaks.ls.alpha=0.1", "none",
    ),
    "of three the outer": (
        axes(method=("snip",), spend=("none", "train.lr=0.2", "train.lr=0.05")),
        "spend", "train.lr=0.05", "none",
    ),
    "a group of tweaks": (
        axes(model=("resnet18",), data=("cifar10",), tweaks=("at", "skip,swish")), "tweaks", "skip,swish", "at",
    ),
    "one level of a ladder": (axes(method=("imp",), density=(0.5, 0.51, 0.2)), "density", "0.51", "0.5"),
    "the last level": (axes(method=("imp",), level=("2", "deepest"), draw__rounds=(2,)), "level", "deepest", "2"),
    "a share": (axes(data__subset__fraction=("1/2", 0.5)), "data.subset.fraction", "0.5", "1/2"),
    "where both are": (
        axes(method=("imp", "snip"), spend=("none", "train.lr=0.05"))
        + '\n[[exclude]]\nmethod = "imp"\nspend = "train.lr=0.05"',
        "spend", "train.lr=0.05", "none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_two_values_that_train_the_same_in_every_combination_are_refused(name: str) -> None:
    text, axis, other, one = TWINS[name]
    with pytest.raises(UsageError) as refused:
        planned(text)
    assert str(refused.value) == (
        f"axes.{axis}: {other!r} is the same as {one!r} in every combination; keep one of them"
    )


def test_values_that_train_the_same_are_refused_with_the_file_that_has_them(tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(axes(method=("snip",), spend=("none", "train.lr=0.05")), encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        plan_meant(Wanted(str(path), tmp_path))
    assert str(refused.value) == (
        f"{path}: axes.spend: 'train.lr=0.05' is the same as 'none' in every combination; keep one of them"
    )


@pytest.mark.parametrize(
    "text",
    [
        axes(method=("snip",), tweaks=("none", "ls"), tweaks__ls__alpha=(0.1, 0.3)),
        axes(method=("imp", "snip"), density=(0.5, 0.51, 0.2)),
        axes(method=("snip", "random"), density=(1,)),
        axes(method=("imp", "snip"), level=("0",)),
        axes(train__lr=(0.05, 0.1), spend=("none", "train.lr=0.05")),
        axes(model=("lenet-300-100",), data=("digits", "mnist"), spend=("none", "train.batch=64")),
    ],
)
def test_values_that_differ_in_some_combination_stay(text: str) -> None:
    planned(text)


def test_a_part_of_a_grid_and_a_scaled_one_may_have_values_that_differ_in_the_whole() -> None:
    text = axes(method=("snip",), tweaks=("none", "ls"), tweaks__ls__alpha=(0.2, 0.3))
    planned(text, only="tweaks=none")
    planned(axes(method=("snip",), spend=("none", "train.epochs=31")), scale=Fraction(1, 100))
    twice = axes(method=("snip", "random"), spend=("none", "train.lr=0.05"))
    for found in ({"only": "method=snip"}, {"scale": Fraction(1, 100)}):
        with pytest.raises(UsageError, match="is the same as 'none' in every combination"):
            planned(twice, **found)  # type: ignore[arg-type]  # keys of many types


def test_a_grid_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff" + axes(method=("imp",))
    (tmp_path / "grid.toml").write_text(text, encoding="utf-8")
    assert is_grid(tmp_path / "grid.toml")
    assert grid_in(text, "g").axes == {"method": ("imp",)}


def test_what_is_no_file_is_told_by_what_it_is(tmp_path: Path) -> None:
    folder, link, pipe = (tmp_path / f"{name}.toml" for name in ("folder", "link", "pipe"))
    folder.mkdir()
    link.symlink_to("nothing")
    os.mkfifo(pipe)
    told = {path.stem: no_file(path) for path in (folder, link, pipe)}
    assert told == {
        name: f"this is {what}; name a file, such as grid.toml"
        for name, what in (("folder", "a folder"), ("link", "a link to nothing"), ("pipe", "no plain file"))
    }
    assert no_file(tmp_path / "folders.toml") == "there is no such file"
    (tmp_path / "grid.toml").touch()
    assert no_file(tmp_path / "grids.toml") == "there is no such file; did you mean 'grid.toml'?"
