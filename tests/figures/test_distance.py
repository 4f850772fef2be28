"""Distance against sparsity: where it crosses the dense net's."""

import math

import pytest
from shelves import family, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import distance as figure
from ticketctl.figures.sheet import NothingError


def ladder(masked, *, dense=10.0, full=20.0):
    """Masked distances by density."""
    whole = family("dense", [net(values={"distance.masked": dense, "distance.full": dense})], method="dense")
    nets = [
        net(level=level, density=density, values={"distance.masked": one, "distance.full": full})
        for level, (density, one) in enumerate(masked.items(), 1)
    ]
    return whole, family("imp", nets, dense=whole.groups[0])


def sheet(*families, **keys):
    (one,) = figure.gather(shelf(*families), params=figure.Params(**keys))
    return one


def test_a_crossing_lies_on_the_straight_line_over_the_logarithm_of_the_density():
    one = sheet(*ladder({0.5: 14.0, 0.125: 6.0}))
    (mark,) = one.where(role="mark")
    assert mark["series"] == "kept weights (masked)"
    assert mark["x"] == pytest.approx(75)  # half way in the logarithm between 1/2 and 1/8 lies 1/4
    assert "75 %" in " ".join(one.notes)


def test_up_and_down_again_are_two_crossings():
    line = [
        ("", "", "line", 100 * (1 - 2.0**-at), y, None, None, 1) for at, y in enumerate((8.0, 12.0, 8.0), 1)
    ]
    assert figure.crossings(line, 10.0) == pytest.approx([100 * (1 - 2**-1.5), 100 * (1 - 2**-2.5)])


def test_a_line_that_touches_the_level_and_turns_back_does_not_cross_it():
    line = [("", "", "line", x, y, None, None, 1) for x, y in ((50.0, 12.0), (75.0, 10.0), (80.0, 12.0))]
    assert figure.crossings(line, 10.0) == []


def test_a_level_on_the_dense_nets_own_is_a_crossing_once():
    line = [("", "", "line", x, y, None, None, 1) for x, y in ((50.0, 12.0), (75.0, 10.0), (87.5, 8.0))]
    (found,) = figure.crossings(line, 10.0)
    assert 50 < found < 87.5
    assert math.isclose(found, 75)


def test_the_dense_net_is_one_level_for_both_distances():
    levels = list(sheet(*ladder({0.5: 14.0})).where(role="reference"))
    assert [(row["series"], row["y"]) for row in levels] == [("dense", 10.0)]


def test_without_a_dense_net_no_crossing_is_marked():
    one = sheet(family("imp", ladder({0.5: 14.0, 0.125: 6.0})[1].nets))
    assert list(one.where(role="mark")) == []
    assert "upright" not in " ".join(one.notes)


def test_what_was_not_measured_is_told():
    with pytest.raises(NothingError, match="ticketctl spend"):
        sheet(family("imp", [net(density=0.5)]))


def test_a_distance_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"figures\.distance\.of: masked, full or both, not l1"):
        figure.Params(of=("l1",))
