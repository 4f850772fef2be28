"""Linear probes by block and by sparsity: means worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import probe_depth, probe_sparsity
from ticketctl.figures.sheet import NothingError

MODULE = "linear-probe"


def probe(shares, *, name="val", number=0):
    """Accuracies behind each block."""
    count = len(shares)
    arrays = {
        f"{MODULE}/block": np.arange(1, count + 1),
        f"{MODULE}/depth_fraction": np.arange(1, count + 1) / count,
        f"{MODULE}/{name}.accuracy": np.array(shares),
    }
    return report("probe", [row(MODULE, shares[-1], MODULE)], arrays, number=number)


def probed(level=1, density=0.5, seed=0, **reports):
    made = {("probe", of.replace("_", "-")): [found] for of, found in reports.items()}
    return net(level=level, density=density, seed=seed, reports=made)


def depth(*families, **keys):
    return list(probe_depth.gather(shelf(*families), params=probe_depth.Params(**keys)))


def sparsity(*families, **keys):
    (one,) = probe_sparsity.gather(shelf(*families), params=probe_sparsity.Params(**keys))
    return one


def test_behind_each_block_stands_the_mean_over_nets_in_percent():
    nets = [
        probed(seed=0, untrained=probe([0.5, 0.7])),
        probed(seed=1, untrained=probe([0.7, 0.9]), permuted=probe([0.2, 0.1])),
    ]
    (one,) = depth(family("imp", nets))
    points = [(found["x"], found["y"], found["n"]) for found in one.where(series="untrained ticket")]
    assert points == [(0.5, pytest.approx(60), 2), (1.0, pytest.approx(80), 2)]
    assert [(found["block"], found["n"]) for found in one.where(series="mask permuted")] == [(1, 1), (2, 1)]
    assert one.values("panel") == ["50 %"]


def test_the_trained_dense_net_stands_in_every_panel():
    dense = family("dense", [probed(0, 1.0, trained=probe([0.9, 0.95]))], method="dense")
    nets = [probed(1, 0.5, untrained=probe([0.5, 0.7])), probed(2, 0.25, untrained=probe([0.4, 0.6]))]
    (one,) = depth(dense, family("imp", nets, dense=dense.groups[0]))
    assert [found["panel"] for found in one.where(series="trained dense") if found["block"] == 2] == [
        "50 %",
        "75 %",
    ]


def test_spends_of_the_same_tickets_are_not_drawn_again():
    """Probes of a ticket are told of every spend of it under its draw's seed."""
    ticket = probe([0.5, 0.7])
    both = [family(label, [probed(untrained=ticket)]) for label in ("imp, epochs=8", "imp, epochs=60")]
    assert len(depth(*both)) == 1
    assert sparsity(*both).values("panel") == ["imp, epochs=8"]


def test_what_the_draw_trained_stands_for_spends_of_its_tickets_whatever_their_order():
    ticket = probe([0.5, 0.7])
    own, spent = (probed(untrained=ticket) for _ in range(2))
    spends = family("imp, epochs=8", [replace(spent, place="runs/net/seed-0/spends/aa/1-seed-0")])
    (one,) = depth(spends, family("imp", [own]))
    assert one.part == "imp"
    assert one.notes[-1] == "the same tickets, trained otherwise too: imp, epochs=8"
    assert sparsity(spends, family("imp", [own])).values("panel") == ["imp"]
    assert not any("trained otherwise" in note for note in depth(family("imp", [own]))[0].notes)


def test_where_nothing_was_held_out_test_images_take_its_place():
    (one,) = depth(family("imp", [probed(untrained=probe([0.5, 0.7], name="test"))]))
    assert any("test accuracy" in note for note in one.notes)


def test_against_sparsity_stands_the_last_block_and_dense_nets_across():
    dense = family("dense", [probed(0, 1.0, trained=probe([0.9, 0.95]))], method="dense")
    nets = [
        probed(1, 0.5, untrained=probe([0.5, 0.7]), random_dense=probe([0.3, 0.4], number=5)),
        probed(2, 0.25, untrained=probe([0.4, 0.6]), random_dense=probe([0.3, 0.4], number=5)),
    ]
    one = sparsity(dense, family("imp", nets, dense=dense.groups[0]))
    assert [(found["x"], found["y"]) for found in one.where(role="line")] == [
        (50, pytest.approx(70)),
        (75, pytest.approx(60)),
    ]
    across = {found["series"]: (found["y"], found["n"]) for found in one.where(role="reference")}
    assert across == {"random dense": (pytest.approx(40), 1), "trained dense": (pytest.approx(95), 1)}


def test_a_head_that_no_probe_has_is_told():
    with pytest.raises(NothingError, match="head lbfgs"):
        depth(family("imp", [probed(untrained=probe([0.5, 0.7]))]), head="lbfgs")
    with pytest.raises(NothingError, match="--controls"):
        sparsity(family("imp", [net(density=0.5)]))
