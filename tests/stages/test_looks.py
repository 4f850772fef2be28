"""Colours, marks and dashes of families: one for all figures of a call, no two alike within a panel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.figures.shelves import ladder, shelf
from ticketctl.figures.ink import style
from ticketctl.figures.sheet import Axis, Sheet
from ticketctl.figures.shelf import Family
from ticketctl.stages.looks import dressed, places_of
from ticketctl.stages.plot import SHEETS, draw, wanted


def families(*labels: str, dense: int = 0) -> list[Family]:
    """Pruned ones of these labels, all held against the last of so many dense ones that they have."""
    ground, imp = ladder({0.5: [0.8]})
    others = [replace(ground, label=f"dense, width={at}", groups=(replace(one, density=1.0),))
              for at, one in enumerate(ground.groups * dense)]  # fmt: skip
    return [*others, ground, *(replace(imp, label=label) for label in labels)]


def sheet(*series: str, sources: tuple[str, ...] = ()) -> Sheet:
    rows = tuple(("", name, "line", 1.0, 2.0, None, None, 1) for name in series)
    return Sheet("x", "lines", "t", Axis("x"), Axis("y"), rows, sources=sources)


def looks(one: Sheet) -> dict[str, tuple[str, ...]]:
    places = style.placed(one.values("series"), one.looks)
    return {name: tuple(map(str, style.stroke(place).values())) for name, place in places.items()}


def test_a_family_looks_the_same_where_others_are_missing() -> None:
    places = places_of(families("imp", "snip", "erk", "synflow"))
    every = looks(dressed(sheet("imp", "snip", "erk", "synflow"), places))
    few = looks(dressed(sheet("synflow", "what is no family", "snip"), places))
    assert {name: every[name] for name in ("synflow", "snip")} == {
        name: few[name] for name in ("synflow", "snip")
    }
    assert len({*few.values()}) == 3


def test_a_family_looks_the_same_on_all_figures_of_a_call() -> None:
    of = shelf(*families("imp", "snip", "erk"))
    found: dict[str, set[tuple[str, ...]]] = {}
    for one in draw(of, wanted("accuracy-sparsity,sweep-map", [], "svg")).sheets:
        if "series" in one.columns:
            for name, look in looks(one).items():
                found.setdefault(name, set()).add(look)
    assert {"imp", "snip", "erk"} <= found.keys()
    assert all(len(one) == 1 for one in found.values())


def test_families_of_one_call_differ_and_none_that_is_pruned_is_black() -> None:
    places = places_of(families(*(f"imp, epochs={at}" for at in range(28)), dense=3))
    strokes = [tuple(map(str, style.stroke(place).values())) for place in places.values()]
    assert len({*strokes}) == len(places) == 32
    black = [one.is_dense for one, place in places.items() if style.colour(place) == "#000000"]
    assert black == [True] * 4


def test_the_dense_net_that_others_are_held_against_is_the_first() -> None:
    places = places_of(families("imp", dense=2))
    ground = next(one for one in places if one.label.startswith("dense") and "width" not in one.label)
    assert places[ground] == min(place for one, place in places.items() if one.is_dense)


@pytest.mark.parametrize("count", [12, 40])
def test_within_a_panel_of_twelve_no_two_look_alike(count: int) -> None:
    made = families(*(f"imp, epochs={at}" for at in range(count)))
    places = places_of(made)
    for first in range(0, count, 7):
        some = [
            f"imp, epochs={at % count}" for at in (*range(first, first + 4), *range(first + 28, first + 36))
        ]
        one = dressed(sheet(*dict.fromkeys(some)), places)
        assert len({*looks(one).values()}) == len(one.values("series"))


def test_several_levels_of_a_family_share_its_colour_and_mark() -> None:
    places = places_of(families("imp", "imp, epochs=8"))
    found = looks(dressed(sheet("imp at 90 %", "imp at 95 %", "imp, epochs=8 at 90 %"), places))
    (first, second, other) = found.values()
    assert (first[0], first[2]) == (second[0], second[2]) != (other[0], other[2])
    assert first[1] != second[1]


def test_of_families_called_alike_that_one_is_meant_whose_runs_are_shown() -> None:
    dense, imp = ladder({0.5: [0.8]})
    moved = tuple(replace(group, nets=tuple(replace(net, id=f"rn1{'z' * 29}") for net in group.nets))
                  for group in imp.groups)  # fmt: skip
    here = replace(imp, label=f"{imp.net} on {imp.data}: imp")
    there = replace(imp, data="mnist", label=f"{imp.net} on mnist: imp", groups=moved)
    places = places_of([dense, here, there])
    one = dressed(sheet("imp", sources=(f"rn1{'z' * 29}",)), places)
    assert dict(one.looks) == {"imp": places[there]} != {"imp": places[here]}


def test_of_a_figure_with_many_sheets_twelve_are_drawn_and_all_where_it_is_named() -> None:
    dense, imp = ladder({0.5: [0.8]})
    many = [replace(one, data=f"set{at}") for at in range(SHEETS + 3) for one in (dense, imp)]
    asked = wanted("sweep-map", [], "svg")
    found = draw(shelf(*many), replace(asked, named=False))
    assert (len(found.sheets), found.fewer) == (SHEETS, {"sweep-map": SHEETS + 3})
    named = draw(shelf(*many), asked)
    assert (len(named.sheets), named.fewer) == (SHEETS + 3, {})
