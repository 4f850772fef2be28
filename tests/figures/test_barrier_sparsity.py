"""The barrier against sparsity: the numbers of reports, the rule across."""

from dataclasses import replace

import pytest
from handmade_paths import end, line
from shelves import family, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import barrier_sparsity as figure
from ticketctl.figures.sheet import NothingError


def twins(level, density, barriers, seed=0):
    own = net(level=level, density=density, seed=seed)
    pairs = [(0, at + 1) for at in range(len(barriers))]
    found = line(
        [end(own)],
        pairs,
        [(0.1, 0.1)] * len(pairs),
        numbers=[[one, one / 2, 0] for one in barriers],
        number=level,
    )
    return net(level=level, density=density, seed=seed, reports={("interpolate", "twins"): [found]})


def sheets(*families, **keys):
    return {one.part: one for one in figure.gather(shelf(*families), params=figure.Params(**keys))}


def test_each_point_is_the_mean_barrier_over_all_pairs_in_percent_points():
    one = sheets(family("imp", [twins(1, 0.5, [3.0, 5.0]), twins(2, 0.25, [1.0])]))["twins"]
    points = [(row["x"], row["y"], row["n"]) for row in one.where(role="line")]
    assert points == [(50.0, 4.0, 2), (75.0, 1.0, 1)]
    (rule,) = one.where(role="reference")
    assert (rule["series"], rule["y"]) == ("2-point rule", 2.0)


def test_the_barrier_of_dense_nets_that_two_draws_share_begins_the_line_of_both():
    dense = family("dense", [twins(0, 1.0, [0.5])], method="dense")
    nets = {name: [replace(twins(1, 0.5, [3.0]), place=f"runs/net/{name}/seed-0/levels/1")] for name in "ab"}
    one = sheets(dense, *(family(name, some, dense=dense.groups[0]) for name, some in nets.items()))["twins"]
    assert [(row["series"], row["x"], row["y"]) for row in one.where(role="line")] == [
        ("a", 0.0, 0.5), ("a", 50.0, 3.0), ("b", 0.0, 0.5), ("b", 50.0, 3.0),
    ]  # fmt: skip


def test_between_levels_the_height_above_the_chord_is_drawn():
    first, second = net(level=1, density=0.5), net(level=2, density=0.25)
    found = line([end(first), end(second)], [(0, 1)], [(0.1, 0.2)], numbers=[[7.0, 0.5, 3.0]])
    below = net(level=2, density=0.25, reports={("interpolate", "levels"): [found]})
    one = sheets(family("imp", [first, below]))["levels"]
    assert [(row["x"], row["y"]) for row in one.where(role="line")] == [(75.0, 0.5)]
    other = sheets(family("imp", [first, below]), number="over-max")["levels"]
    assert [row["y"] for row in other.where(role="line")] == [3.0]


def test_nets_that_diverged_are_in_no_mean():
    lost = replace(twins(1, 0.5, [90.0], seed=1), diverged=True)
    one = sheets(family("imp", [twins(1, 0.5, [3.0, 5.0]), lost]))["twins"]
    assert [(row["y"], row["n"]) for row in one.where(role="line")] == [(4.0, 2)]
    assert len(one.sources) == 1


def test_without_paths_the_command_is_named_and_the_loss_is_refused():
    with pytest.raises(NothingError, match="--twins 3"):
        sheets(family("imp", [net(density=0.5)]))
    with pytest.raises(UsageError, match=r"figures\.barrier-sparsity\.what"):
        figure.Params(what="loss")
