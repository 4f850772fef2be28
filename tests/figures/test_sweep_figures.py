"""Maps, ranks and costs of sweeps, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.figures.shelves import shelf
from ticketctl.errors import UsageError
from ticketctl.figures import sweep_axes, sweep_cost, sweep_ranks
from ticketctl.figures.ink.picture import painted
from ticketctl.figures.sheet import NothingError, Sheet
from ticketctl.figures.shelf import Shelf
from ticketctl.figures.swept import Combination, Swept, Trial

METHODS, RECIPES = ("imp", "snip", "random"), ("none", "train.lr=0.3")
Value = Callable[[Mapping[str, str], int], float | str]


def swept(
    value: Value,
    *,
    seeds: int = 2,
    nets: tuple[str, ...] = ("lenet",),
    dense: bool = True,
    **axes: tuple[str, ...],
) -> Swept:
    """A sweep of these axes; a value that is a word is what became of the trial."""
    axes = {"method": METHODS, "density": ("0.2",), "spend": RECIPES, **axes}
    places = [dict(zip(axes, one, strict=True)) for one in product(*axes.values())]
    bare = [{**one, "method": "dense", "density": "dense"} for one in places if dense]
    labels = list({tuple(one.items()): one for one in [*bare, *places]}.values())
    found = [
        Combination(
            one, net, "digits", one["method"] == "dense", tuple(trial(one, seed, at, value) for seed in range(seeds))
        )
        for net in nets
        for at, one in enumerate(labels)
    ]  # fmt: skip
    return Swept("abc", "a sweep", tuple(axes), tuple(found))


def trial(labels: Mapping[str, str], seed: int, at: int, value: Value) -> Trial:
    found = value(labels, seed)
    told = found if isinstance(found, float) else None
    state: Any = "done" if told is not None else "diverged" if found == "diverged" else "missing"
    drawn = {"imp": 18.0, "dense": None}.get(labels["method"], 1.0)
    reads = {"test.accuracy": told, "test.loss": None if told is None else 1 - told}
    name = f"rn1{at:014d}{seed:015d}" if state != "missing" else ""
    return Trial(seed, state, "" if told is not None else str(found), name, reads.get, 2.0, drawn)


def level(labels: Mapping[str, str], seed: int) -> float:
    base = {"dense": 0.9, "imp": 0.8, "snip": 0.7, "random": 0.5}[labels["method"]]
    return base + 0.05 * (labels["spend"] != "none") + 0.02 * seed


def holes(labels: Mapping[str, str], seed: int) -> float | str:
    """Of snip seed 0 diverged and seed 1 waits, at the second recipe; of random all diverged there."""
    if labels["spend"] == "none" or labels["method"] not in ("snip", "random"):
        return level(labels, seed)
    return (
        "diverged"
        if labels["method"] == "random" or seed == 0
        else "waiting"
        if seed == 1
        else level(labels, seed)
    )


def with_sweep(found: Swept) -> Shelf:
    return shelf(sweep=found)


def example() -> Shelf:
    return with_sweep(swept(holes, seeds=3, tweaks=("none", "ls")))


def many() -> Shelf:
    """Enough seeds for a critical difference."""
    return with_sweep(swept(level, seeds=12))


def axes(found: Swept, **keys: str) -> list[Sheet]:
    return list(sweep_axes.gather(with_sweep(found), params=sweep_axes.Params(**keys)))


def ranks(found: Swept, **keys: str) -> Sheet:
    (sheet,) = sweep_ranks.gather(with_sweep(found), params=sweep_ranks.Params(**keys))
    return sheet


def test_a_cell_is_the_mean_over_seeds_with_half_its_interval_in_percent():
    (sheet,) = axes(swept(level, seeds=3))
    cells = {(one["row"], one["column"]): one for one in sheet.where()}
    values = [80.0, 82.0, 84.0]
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert cells["imp", "none"]["value"] == pytest.approx(82)
    assert cells["imp", "none"]["half"] == pytest.approx(half)
    assert (sheet.values("row"), sheet.values("column")) == (["dense", *METHODS], [*RECIPES])
    assert sheet.values("panel") == [""], "one density: the dense net's is none of its own"


def test_what_diverged_or_is_missing_has_a_sign_that_is_explained():
    (sheet,) = axes(swept(holes, seeds=3))
    cells = {(one["row"], one["column"]): one for one in sheet.where()}
    snip, random = cells["snip", "train.lr=0.3"], cells["random", "train.lr=0.3"]
    assert (snip["value"], snip["n"], snip["signs"]) == (pytest.approx(79), 1, "x1 ?1")
    assert (random["value"], random["n"], random["signs"]) == (None, None, "x3")
    assert any("diverged" in note for note in sheet.notes)
    assert all("diverged" not in note for note in axes(swept(level))[0].notes)


def test_signs_are_painted_also_in_cells_without_a_value():
    (sheet,) = axes(swept(holes, seeds=3))
    with painted(sheet) as figure:
        words = [text.get_text() for text in figure.axes[0].texts]
    assert "x3" in words
    assert "79.0\nn=1\nx1 ?1" in words
    assert any(word.startswith("82.0\n±5.0") for word in words)


def test_the_rest_are_panels_and_the_dense_net_is_in_each_of_them():
    (sheet,) = axes(swept(level, density=("0.2", "0.1"), tweaks=("none", "ls")))
    assert sheet.values("panel") == [
        f"density {one}, tweaks {other}" for one in ("0.2", "0.1") for other in ("none", "ls")
    ]
    for panel in sheet.values("panel"):
        assert {one["row"] for one in sheet.where(panel=panel)} == {"dense", *METHODS}


def test_axes_are_the_method_and_the_one_with_most_values_but_how_much_is_kept():
    wide = swept(level, density=("0.2", "0.1", "0.05"))
    assert (axes(wide)[0].y.name, axes(wide)[0].x.name) == ("method", "spend")
    assert (axes(wide, axes="density,method")[0].y.name, axes(wide, axes="density,method")[0].x.name) == (
        "density", "method",
    )  # fmt: skip
    deep = swept(level, density=("0.2", "0.1"), spend=("none",))
    assert axes(deep)[0].x.name == "density"
    alone = swept(level, method=("imp",), spend=RECIPES)
    assert axes(alone)[0].values("row") == ["dense", "imp"]
    with pytest.raises(UsageError, match=r"axes = 'methd'.*method"):
        axes(swept(level), axes="methd")
    for typed in ("method,method", "method,spend,density"):
        with pytest.raises(UsageError, match=f"axes = '{typed}': name two different axes"):
            axes(swept(level), axes=typed)


def test_no_cell_of_a_sheet_stands_for_two_combinations():
    shapes = [
        {"tweaks": ("none", "ls")},
        {"method": ("imp",)},
        {"density": ("0.2", "0.1")},
        {"spend": ("none",)},
    ]
    for shape, chosen in product(shapes, ("", "spend", "density,spend", "spend,method")):
        for sheet in axes(swept(level, **shape), axes=chosen):
            keys = [(one["panel"], one["row"], one["column"]) for one in sheet.where()]
            assert len({*keys}) == len(keys), (shape, chosen)


def test_each_net_has_its_own_sheet():
    assert [one.part for one in axes(swept(level, nets=("lenet", "vgg")))] == ["lenet-digits", "vgg-digits"]


def test_ranks_are_means_over_whole_rows_and_dense_nets_have_none():
    sheet = ranks(swept(level, seeds=2))
    assert [(row[2], row[3]) for row in sheet.rows] == [("imp", 1.0), ("snip", 2.0), ("random", 3.0)]
    assert sheet.rows[0][-1] == 4
    left = ranks(swept(holes, seeds=2))
    assert left.rows[0][-1] == 2, "at the second recipe not all have a value"
    assert "2 left out: not whole" in left.notes


def test_less_loss_is_a_better_rank():
    assert [row[2] for row in ranks(swept(level), metric="test.loss").rows] == ["imp", "snip", "random"]


def test_whiskers_stand_where_seeds_are_many_and_nowhere_else():
    few, enough = ranks(swept(level, seeds=9)), ranks(swept(level, seeds=12))
    assert {row[4] for row in few.rows} == {None}
    assert any("9 seeds" in note for note in few.notes)
    critical = stats.studentized_range.ppf(0.95, 3, 1e6) / np.sqrt(2) * np.sqrt(3 * 4 / (6 * 12))
    assert [row[5] - row[4] for row in enough.rows] == pytest.approx([critical] * 3, rel=1e-3)


def test_cost_is_that_of_the_training_and_of_its_draw():
    (sheet,) = sweep_cost.gather(with_sweep(swept(holes, seeds=3)), params=sweep_cost.Params())
    found = {(one["series"], one["combination"]): one for one in sheet.where()}
    assert {key[0]: one["x"] for key, one in found.items()} == {"dense": 2, "imp": 20, "snip": 3, "random": 3}
    assert found["imp", "spend none"]["y"] == pytest.approx(82)
    assert ("random", "spend train.lr=0.3") not in found
    assert any("4 trials diverged, 1 missing" in note for note in sheet.notes)


@pytest.mark.parametrize("module", [sweep_axes, sweep_ranks, sweep_cost])
def test_without_runs_or_metric_nothing_is_drawn(module):
    none = swept(lambda *_: "waiting")
    for found, keys in ((none, {}), (swept(level), {"metric": "audit.ece"})):
        with pytest.raises(NothingError):
            list(module.gather(with_sweep(found), params=module.Params(**keys)))


def test_a_sweep_of_a_paper_s_table_is_shown_by_rows_and_cells():
    one = swept(level, dense=False)
    renamed = tuple(
        replace(each, labels={"row": each.labels["method"], "cell": each.labels["spend"]})
        for each in one.combinations
    )
    (sheet,) = axes(replace(one, axes=("row", "cell"), combinations=renamed))
    assert (sheet.y.name, sheet.x.name) == ("row", "cell")
