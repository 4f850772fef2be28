"""Ladders against worked numbers, and against masks kept one by one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.ladder import ladder_counts, layer_ladder_counts, level_mask, rounds_of_death
from ticketctl.masks.mask import Mask

FIFTH = Fraction(1, 5)
RESNET18 = 11_159_232


def test_resnet18_has_the_published_counts() -> None:
    counts = ladder_counts(RESNET18, rate=FIFTH, rounds=15)
    assert counts[:6] == (RESNET18, 8_927_386, 7_141_908, 5_713_527, 4_570_821, 3_656_657)
    assert (counts[10], counts[15]) == (1_198_213, 392_631)


def test_percentages_are_those_of_the_ladder_table() -> None:
    counts = ladder_counts(10**9, rate=FIFTH, rounds=32)
    table = {1: 20.00, 5: 67.23, 10: 89.26, 15: 96.48, 20: 98.85, 25: 99.62, 32: 99.92}
    assert {level: round(100 - counts[level] / 10**7, 2) for level in table} == table


@settings(deadline=None)
@given(st.integers(1000, 10**7), st.fractions(Fraction(1, 100), Fraction(1, 2)), st.integers(0, 10))
def test_a_level_does_not_depend_on_how_many_rounds_follow(size: int, rate: Fraction, rounds: int) -> None:
    longer = ladder_counts(size, rate=rate, density=None, rounds=rounds)
    assert ladder_counts(size, rate=rate, rounds=rounds // 2) == longer[: rounds // 2 + 1]
    assert list(longer) == sorted(longer, reverse=True)


@pytest.mark.parametrize(
    ("density", "rounds", "last"),
    [
        (Fraction(1), 0, 1_000_000),
        (Fraction(16, 25), 2, 640_000),  # on the ladder
        (Fraction("0.6399"), 3, 639_900),  # just below level 2: one more, short round
        (Fraction("0.64001"), 2, 640_010),
        (Fraction("0.0352"), 15, 35_200),  # the rounded 0.8^15 = 0.035184
        (Fraction("0.1"), 11, 100_000),
    ],
)
def test_a_density_off_the_ladder_makes_the_last_round_exact(
    density: Fraction, rounds: int, last: int
) -> None:
    counts = ladder_counts(1_000_000, rate=FIFTH, density=density)
    assert len(counts) == rounds + 1
    assert counts[-1] == last
    assert counts[:-1] == ladder_counts(1_000_000, rate=FIFTH, rounds=rounds)[:-1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": FIFTH},
        {"rate": FIFTH, "rounds": 2, "density": FIFTH},
        {"rate": Fraction(0), "rounds": 2},
        {"rate": Fraction(1), "rounds": 2},
        {"rate": FIFTH, "rounds": -1},
        {"rate": FIFTH, "rounds": 255},
        {"rate": FIFTH, "density": Fraction(0)},
        {"rate": FIFTH, "density": Fraction(5, 4)},
        {"rate": Fraction(1, 1000), "density": Fraction(1, 100)},  # thousands of rounds
        {"rate": Fraction(9, 10), "rounds": 4},  # 1000 * 0.1^4 = 0.1: nothing is left
        {"rate": FIFTH, "density": Fraction(1, 10_000)},
    ],
)
def test_a_ladder_that_cannot_be_is_a_usage_error(wrong: dict) -> None:
    with pytest.raises(UsageError):
        ladder_counts(1000, **wrong)
    with pytest.raises(UsageError):
        layer_ladder_counts({"a": 400, "b": 600}, **wrong)


LENET = {"fc1.weight": 235_200, "fc2.weight": 30_000, "fc3.weight": 1_000}


def test_the_original_lenet_ladder_prunes_the_output_at_half_the_rate() -> None:
    levels = layer_ladder_counts(LENET, rate=FIFTH, rounds=3, rates={"fc3.weight": Fraction(1, 10)})
    assert levels[1] == {"fc1.weight": 188_160, "fc2.weight": 24_000, "fc3.weight": 900}
    assert levels[3] == {"fc1.weight": 120_422, "fc2.weight": 15_360, "fc3.weight": 729}


@settings(deadline=None)
@given(
    st.fractions(Fraction(1, 100), 1), st.sampled_from([None, Fraction(0), Fraction(1, 10), Fraction(1, 5)])
)
def test_a_layer_ladder_ends_exactly_at_the_density_and_never_grows(
    density: Fraction, head: Fraction | None
) -> None:
    own = {} if head is None else {"fc3.weight": head}
    levels = layer_ladder_counts(LENET, rate=FIFTH, density=density, rates=own)
    assert sum(levels[-1].values()) == (266_200 * density + Fraction(1, 2)) // 1
    for name in LENET:
        counts = [level[name] for level in levels]
        assert counts == sorted(counts, reverse=True)
    closed_form = layer_ladder_counts(LENET, rate=FIFTH, rounds=len(levels) - 1, rates=own)
    assert levels[:-1] == closed_form[:-1]


def test_a_rate_of_a_layer_that_is_not_prunable_or_of_all_is_refused() -> None:
    with pytest.raises(UsageError, match="'fc'"):
        layer_ladder_counts(LENET, rate=FIFTH, rounds=1, rates={"fc": FIFTH})
    with pytest.raises(UsageError, match=r"rate of 1 for 'fc3\.weight'"):
        layer_ladder_counts(LENET, rate=FIFTH, rounds=1, rates={"fc3.weight": Fraction(1)})


deaths = st.integers(0, 6).flatmap(
    lambda last: st.tuples(st.just(last), st.lists(st.integers(0, last), min_size=10, max_size=10))
)


@settings(deadline=None)
@given(deaths)
def test_rounds_of_death_count_the_levels_a_weight_survives(case: tuple[int, list[int]]) -> None:
    last, values = case
    death = {
        "a": np.array(values[:6], dtype=np.uint8).reshape(2, 3),
        "b": np.array(values[6:], dtype=np.uint8),
    }
    masks = [Mask.from_arrays({n: d >= level for n, d in death.items()}) for level in range(last + 1)]
    found = rounds_of_death(masks)
    assert all(np.array_equal(found[name], death[name]) and found[name].dtype == np.uint8 for name in death)
    assert all(level_mask(found, level).equal(mask) for level, mask in enumerate(masks))


def test_masks_that_are_not_nested_are_refused() -> None:
    full = Mask.full({"w": torch.Size([3])})
    first = Mask({"w": torch.tensor([True, False, True])})
    second = Mask({"w": torch.tensor([True, True, False])})
    with pytest.raises(ValueError, match="level 2 keeps weights that level 1 had lost"):
        rounds_of_death([full, first, second])
    with pytest.raises(ValueError, match="dense"):
        rounds_of_death([first])
    with pytest.raises(ValueError, match="dense"):
        rounds_of_death([])


def test_254_rounds_fit_and_255_do_not() -> None:
    full = Mask.full({"w": torch.Size([3])})
    assert rounds_of_death([full] * 255)["w"].tolist() == [254] * 3
    with pytest.raises(UsageError, match="254"):
        rounds_of_death([full] * 256)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.fractions(0, 25)), min_size=1, max_size=5), st.data())
def test_apportioned_counts_sum_exactly_and_stay_within_the_caps(layers: list, data: st.DataObject) -> None:
    caps = {str(i): cap for i, (cap, _) in enumerate(layers)}
    quotas = {str(i): quota for i, (_, quota) in enumerate(layers)}
    total = data.draw(st.integers(0, sum(caps.values())))
    counts = apportion(quotas, caps, total)
    assert sum(counts.values()) == total
    assert all(0 <= counts[name] <= caps[name] for name in caps)


def test_the_largest_remainders_are_rounded_up() -> None:
    quotas = {"a": Fraction("2.4"), "b": Fraction("3.8"), "c": Fraction("1.8"), "d": Fraction("2.0")}
    caps = dict.fromkeys(quotas, 9)
    assert apportion(quotas, caps, 10) == {"a": 2, "b": 4, "c": 2, "d": 2}
    assert apportion(quotas, caps, 9) == {"a": 2, "b": 4, "c": 1, "d": 2}
    assert apportion(quotas, {**caps, "b": 3}, 10) == {"a": 3, "b": 3, "c": 2, "d": 2}
    with pytest.raises(ValueError, match="do not fit"):
        apportion(quotas, caps, 37)
