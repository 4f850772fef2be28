"""Layer densities, weight distribution and mask overlap over tickets of a few weights, by hand."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tests.figures.shelves import drawn, shelf
from ticketctl.errors import UsageError
from ticketctl.figures import layer_density, mask_iou, weight_distribution
from ticketctl.figures.sheet import NothingError

CONV, POINT, HEAD = "layer1.conv1.weight", "layer1.downsample.0.weight", "fc.weight"


def mask(conv: int, point: int, head: int) -> dict[str, np.ndarray]:
    """Weights kept of 12, 4 and 4."""
    return {
        CONV: (np.arange(12) < conv).reshape(1, 1, 3, 4),
        HEAD: (np.arange(4) < head).reshape(2, 2),
        POINT: (np.arange(4) < point).reshape(2, 2, 1, 1),
    }


DENSE, HALF, FIFTH = mask(12, 4, 4), mask(6, 2, 2), mask(3, 1, 0)
LADDER = {0: DENSE, 1: HALF, 2: FIFTH}
TWO = (drawn(LADDER), drawn({**LADDER, 2: mask(1, 3, 0)}, seed=1))


def sheets(figure, *tickets, **keys):
    return list(figure.gather(shelf(tickets=tickets), params=figure.Params(**keys)))


def test_a_bar_is_the_share_of_a_layer_that_is_kept_and_the_line_that_of_all():
    (one,) = sheets(layer_density, *TWO, sparsity=80.0)
    assert one.values("panel") == ["sparsity 80 %"]
    (line,) = one.where(series="all layers together")
    assert (line["category"], line["y"], line["n"]) == (None, pytest.approx(20), 2)
    bars = list(one.where(series="imp"))
    assert [bar["category"] for bar in bars] == ["layer1.conv1", "layer1.downsample.0", "fc"]
    assert [bar["y"] for bar in bars] == pytest.approx([100 * 2 / 12, 50, 0])
    deviation = 50 / 2**0.5  # of 25 and 75 percent: half their distance times sqrt(2)
    assert (bars[1]["low"], bars[1]["high"], bars[1]["n"]) == pytest.approx(
        (50 - deviation, 50 + deviation, 2)
    )
    assert (bars[2]["low"], bars[2]["high"]) == (0, 0)


def test_levels_are_spread_over_the_ladder_and_the_last_is_among_them():
    masks = {level: mask(12 - level, 4, 4) for level in range(9)}
    (one,) = sheets(layer_density, drawn(masks), levels=3)
    kept = [float(str(panel).split()[1]) for panel in one.values("panel")]
    assert kept == [15.0, 25.0, 40.0]  # 3, 5 and 8 of 20 weights are gone
    assert all(bar["low"] is None for bar in one.where(series="imp"))


def test_panels_are_levels_that_all_tickets_come_near_if_there_are_such():
    rare = drawn({1: mask(6, 2, 2)}, seed=3, label="snip", method="snip")
    (one,) = sheets(layer_density, drawn(LADDER), rare)
    assert one.values("panel") == ["sparsity 50 %"]
    assert one.values("series") == ["all layers together", "imp", "snip"]
    other = drawn({1: mask(9, 4, 3)}, seed=3, label="snip", method="snip")
    (one,) = sheets(layer_density, drawn(LADDER), other)
    assert one.values("panel") == ["sparsity 50 %", "sparsity 80 %"]
    assert one.notes[-1] == "without a comparable level at some sparsity: snip"


def test_a_logarithmic_scale_begins_below_the_least_density():
    (one,) = sheets(layer_density, drawn(LADDER), scale="log")
    assert (one.y.scale, one.y.low) == ("log", 12.5)


def test_many_tickets_have_further_sheets():
    tickets = [drawn(LADDER, label=f"imp {at}", seed=at) for at in range(25)]
    found = sheets(layer_density, *tickets)
    assert [one.name for one in found] == [f"layer-density.{at}" for at in (1, 2, 3)]
    assert sum(len(one.values("series")) - 1 for one in found) == 25


@pytest.mark.parametrize("figure", [layer_density, weight_distribution, mask_iou])
def test_what_is_no_sparsity_is_refused(figure):
    with pytest.raises(UsageError, match=r"figures\.[a-z-]+\.sparsity = 100 must be from 0 to below 100"):
        figure.Params(sparsity=100)


@pytest.mark.parametrize(
    ("keys", "said"), [({"levels": 0}, "from 1 to 12"), ({"scale": "x"}, "linear or log")]
)
def test_levels_and_scale_are_checked(keys, said):
    with pytest.raises(UsageError, match=said):
        layer_density.Params(**keys)


@pytest.mark.parametrize("figure", [layer_density, weight_distribution, mask_iou])
def test_without_a_ticket_the_command_is_named(figure):
    with pytest.raises(NothingError, match="ticketctl draw"):
        sheets(figure, drawn({0: DENSE}))


@pytest.mark.parametrize("figure", [layer_density, weight_distribution])
def test_a_sparsity_that_no_ticket_has_is_told(figure):
    with pytest.raises(NothingError, match=r"no ticket near 99\.9 % sparsity"):
        sheets(figure, drawn(LADDER), sparsity=99.9)


# ------------------------------------------------------------------------------------------------ weight distribution


def test_shares_of_layers_and_of_groups_add_up_to_a_hundred():
    (one,) = sheets(weight_distribution, drawn(LADDER), sparsity=50)
    keep, share, groups = (list(one.where(panel=panel)) for panel in weight_distribution.PANELS)
    assert [bar["y"] for bar in keep] == [50.0, 50.0, 50.0]
    assert [(bar["category"], bar["y"]) for bar in share] == [
        ("layer1.conv1", 60.0), ("layer1.downsample.0", 20.0), ("fc", 20.0),
    ]  # fmt: skip
    assert [(bar["category"], bar["y"]) for bar in groups] == [
        ("residual", 60.0), ("downsampling", 20.0), ("linear", 20.0),
    ]  # fmt: skip


@pytest.mark.parametrize("figure", [weight_distribution, mask_iou])
def test_a_ticket_without_a_comparable_level_is_named(figure):
    rare = drawn({1: mask(9, 4, 3)}, seed=3, label="snip", method="snip")
    (one,) = sheets(figure, *TWO, rare)
    assert one.notes[-1] == "without a comparable level: snip"


def test_notes_say_of_zeros_and_of_scales_only_what_is_to_be_seen():
    whole, gone = (sheets(layer_density, drawn(LADDER), sparsity=share)[0].notes for share in (50, 80))
    assert not any("nothing is left" in note or "scale of its own" in note for note in whole)
    assert "0: nothing is left" in gone[0]
    assert "each panel has a scale of its own" in sheets(layer_density, drawn(LADDER))[0].notes[-1]
    whole, gone = (sheets(weight_distribution, drawn(LADDER), sparsity=share)[0].notes for share in (50, 80))
    assert ("nothing is left" in whole[0], "nothing is left" in gone[0]) == (False, True)


def test_the_line_of_all_layers_together_has_an_n_of_its_own():
    (one,) = sheets(layer_density, *TWO, drawn(LADDER, label="snip", seed=2), sparsity=80.0)
    assert one.notes[:2] == (
        "mean over n = 1-2 seeds; whisker: ± one sample deviation; 0: nothing is left",
        "all layers together: mean over n = 3 tickets, of all labels",
    )


def test_where_nothing_is_said_it_is_the_sparsest_level_that_most_tickets_have():
    (one,) = sheets(weight_distribution, *TWO)
    assert "sparsity 80 %" in one.title
    (first, *_) = one.where(panel=weight_distribution.PANELS[1])
    assert (first["y"], first["n"]) == (pytest.approx(100 * (3 + 1) / 8), 2)


# ------------------------------------------------------------------------------------------------------------ overlap


def test_overlap_is_intersection_over_union_by_brute_force():
    rng = np.random.default_rng(0)
    masks = [{"a": rng.random((7, 9)) < share, "b": rng.random(70) < share} for share in (0.1, 0.4, 0.4, 0.9)]
    found = mask_iou.overlaps(masks)
    assert np.diag(found).tolist() == [1.0] * 4
    for (at, one), (to, other) in combinations(enumerate(masks), 2):
        flat, beside = (
            {(name, int(place)) for name, keep in which.items() for place in np.flatnonzero(keep)}
            for which in (one, other)
        )
        assert found[at, to] == found[to, at] == pytest.approx(len(flat & beside) / len(flat | beside))


def test_masks_that_name_their_layers_in_another_order_are_the_same():
    one = {"a": np.array([True, False]), "b": np.array([True])}
    assert mask_iou.overlaps([one, dict(reversed(one.items()))]).tolist() == [[1, 1], [1, 1]]


def test_of_tickets_one_label_of_which_has_several_seeds_all_say_theirs():
    (one,) = sheets(mask_iou, *TWO, drawn(LADDER, label="imp (inverted)", seed=1))
    assert one.values("row") == ["imp, seed 0", "imp, seed 1", "imp (inverted), seed 1"]


def test_tickets_are_compared_at_one_sparsity():
    (one,) = sheets(mask_iou, *TWO)
    assert [tuple(cell.values())[1:4] for cell in one.where()] == [
        ("imp, seed 0", "imp, seed 0", 1.0),
        ("imp, seed 1", "imp, seed 0", pytest.approx((1 + 1) / (4 + 4 - 2))),
        ("imp, seed 1", "imp, seed 1", 1.0),
    ]
    assert "80 % sparsity" in one.title
    assert f"would have {0.2 / 1.8:.2g};" in one.notes[0]


def test_of_a_single_ticket_the_levels_are_compared_and_the_dense_one_is_not():
    (one,) = sheets(mask_iou, drawn(LADDER))
    assert one.values("row") == ["50 %", "80 %"]
    assert [cell["value"] for cell in one.where()] == [1.0, pytest.approx(4 / 10), 1.0]


def test_masks_of_different_nets_are_never_compared():
    other = replace(drawn(LADDER, seed=4), net="resnet20")
    found = sheets(mask_iou, drawn(LADDER), other)
    assert [one.name for one in found] == ["mask-iou.lenet-300-100-on-digits", "mask-iou.resnet20-on-digits"]
    assert all(one.values("row") == ["50 %", "80 %"] for one in found)


def test_one_mask_alone_is_nothing_to_compare():
    with pytest.raises(NothingError, match="no two masks"):
        sheets(mask_iou, drawn({0: DENSE, 1: HALF}))
