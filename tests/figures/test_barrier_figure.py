"""Errors along paths: means over pairs, chords, ladders walked downwards."""

from dataclasses import replace

import pytest
from handmade_paths import end, line
from shelves import family, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import barrier as figure
from ticketctl.figures.sheet import NothingError


def twins(level=1, density=0.5, seed=0, curves=((0.1, 0.3, 0.2),), **more):
    """A net with the report of its twins."""
    own = net(level=level, density=density, seed=seed)
    pairs = [(0, at + 1) for at in range(len(curves))]
    found = line([end(own), *({"run_id": "other", "level": level} for _ in pairs)], pairs, curves, **more)
    return net(level=level, density=density, seed=seed, reports={("interpolate", "twins"): [found]})


def sheets(*families, **keys):
    return {one.part: one for one in figure.gather(shelf(*families), params=figure.Params(**keys))}


def test_a_line_is_the_mean_over_pairs_with_a_deviation_in_percent():
    nets = [twins(seed=0, curves=[(0.1, 0.3, 0.2)]), twins(seed=1, curves=[(0.1, 0.5, 0.2)], number=1)]
    points = list(sheets(family("imp", nets))["twins"].where(role="line"))
    assert [one["x"] for one in points] == [0, 0.5, 1]
    assert [one["y"] for one in points] == pytest.approx([10, 40, 20])
    deviation = 100 * (2 * 0.1**2) ** 0.5
    assert (points[1]["low"], points[1]["high"], points[1]["n"]) == pytest.approx(
        (40 - deviation, 40 + deviation, 2)
    )


def test_the_chord_joins_the_ends():
    chord = list(sheets(family("imp", [twins()]))["twins"].where(role="chord"))
    assert [(one["x"], one["y"]) for one in chord] == [(0, pytest.approx(10)), (1, pytest.approx(20))]


def test_twins_of_another_training_are_not_this_familys():
    """A spend by another recipe is told of the twins of its ticket, but is none of them."""
    other = line([{"run_id": "x", "level": 1}, {"run_id": "y", "level": 1}], [(0, 1)], [(0.1, 0.2, 0.1)])
    spent = net(level=1, density=0.5, reports={("interpolate", "twins"): [other]})
    with pytest.raises(NothingError, match="ticketctl interpolate"):
        sheets(family("imp, epochs=60", [spent]), between="twins")


def test_the_dense_nets_of_the_same_draws_stand_first():
    dense = family("dense", [twins(level=0, density=1.0)], method="dense")
    one = sheets(dense, family("imp", [twins()], dense=dense.groups[0]))["twins"]
    assert one.values("series") == ["dense", "50 %"]


def test_dense_nets_that_two_draws_share_stand_under_both_and_under_no_family_without_twins():
    """One dense training, which lies with the first draw; the third family has no twins, the fourth another seed."""
    whole = [replace(twins(0, 1.0), place="runs/net/a/seed-0/levels/0")]
    dense = family("dense", whole, method="dense")
    ladders = {
        name: [replace(one, place=f"runs/net/{name}/seed-{one.seeds[0]}/levels/1")]
        for name, one in {
            "a": twins(),
            "b": twins(number=1),
            "c": net(level=1, density=0.5),
            "d": twins(seed=3),
        }.items()
    }
    families = (family(name, nets, dense=dense.groups[0]) for name, nets in ladders.items())
    one = sheets(dense, *families)["twins"]
    shown = dict.fromkeys((row["panel"], row["series"]) for row in one.where(role="line"))
    assert [*shown] == [("a", "dense"), ("a", "50 %"), ("b", "dense"), ("b", "50 %"), ("d", "50 %")]


def test_a_ladder_is_walked_downwards_on_a_logarithmic_density():
    """From density 0.5, error 0.2, to 0.25, error 0.1: half way is sqrt(0.5 * 0.25)."""
    first, second = net(level=1, density=0.5), net(level=2, density=0.25)
    found = line([end(first), end(second)], [(0, 1)], [(0.1, 0.4, 0.2)])
    below = net(level=2, density=0.25, reports={("interpolate", "levels"): [found]})
    one = sheets(family("imp", [first, below]))["levels"]
    points = list(one.where(role="line"))
    assert [point["x"] for point in points] == pytest.approx([50, 100 * (1 - 0.125**0.5), 75])
    assert [point["y"] for point in points] == pytest.approx([20, 40, 10])
    assert [mark["x"] for mark in one.where(role="mark")] == [50, 75]


def test_named_nets_are_called_by_family_level_and_seed():
    first, second = net(level=1, density=0.5), net(level=1, density=0.5, seed=1)
    found = line([end(first), end(second)], [(0, 1)], [(0.1, 0.4, 0.2)])
    named = net(level=1, density=0.5, reports={("interpolate", "path"): [found]})
    one = sheets(family("imp", [named, second]))["path"]
    assert one.values("series") == ["imp at 50 %: seed 0, seed 1"]


def test_four_levels_are_drawn_or_those_asked_for_and_the_rest_is_told():
    nets = [twins(level=level, density=0.5**level, number=level) for level in range(1, 7)]
    one = sheets(family("imp", nets))["twins"]
    assert one.values("series") == ["50 %", "87.5 %", "93.75 %", "98.44 %"]
    assert "4 of 6 levels that were measured" in one.notes
    few = sheets(family("imp", nets), sparsities=(74.0, 97.0))["twins"]
    assert few.values("series") == ["75 %", "96.88 %"]


def test_a_sparsity_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"figures\.barrier\.sparsities = 100 must be"):
        figure.Params(sparsities=(50.0, 100.0))


def test_a_set_that_no_report_has_is_told_with_those_there_are():
    with pytest.raises(NothingError, match=r"val\.error\.recalibrate"):
        sheets(family("imp", [twins()]), set="test")


def test_a_report_of_odd_arrays_is_passed_over():
    bad = twins()
    (found,) = bad.reports("interpolate", "twins")
    found.arrays["line/pairs"] = found.arrays["line/pairs"][:0]
    with pytest.raises(NothingError):
        sheets(family("imp", [bad]))
