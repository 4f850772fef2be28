"""The search for the first stable epoch, against every answer there can be."""

from __future__ import annotations

import math
import operator
from functools import partial

import numpy as np
import pytest

from ticketctl.stages.bisection import at_most, bisect, contradictions, most_evaluations, scan, settled


@pytest.mark.parametrize("last", [0, 1, 2, 7, 8, 100, 200])
def test_bisection_finds_every_onset_within_the_logarithm_and_asks_nothing_twice(last: int) -> None:
    """Specification, T26: for every k of 0..200, exactly, in at most 8 evaluations."""
    most = math.ceil(math.log2(last + 1))
    assert most_evaluations(last) == most <= 8
    longest = 0
    for onset in range(last + 1):
        found = bisect(lambda epoch: epoch >= onset, last)  # noqa: B023  # called at once
        asked = [epoch for epoch, _ in found.trace]
        assert found.first == onset
        assert len(set(asked)) == len(asked) <= most
        assert last not in asked
        assert scan(lambda epoch: epoch >= onset, last).first == onset  # noqa: B023  # as above
        longest = max(longest, len(asked))
    assert longest == most, "the bound is reached"


def test_the_logarithm_is_right_for_every_length_of_a_training() -> None:
    assert all(most_evaluations(last) == math.ceil(math.log2(last + 1)) for last in range(5000))


def test_every_answer_is_in_the_trace() -> None:
    found = bisect(lambda epoch: epoch >= 3, 10)
    assert found.trace == ((5, True), (2, False), (4, True), (3, True))
    assert scan(lambda epoch: epoch >= 1, 3).trace == ((0, False), (1, True), (2, True))


def test_a_training_that_is_never_stable_is_so_at_its_end() -> None:
    assert bisect(lambda epoch: False, 200).first == scan(lambda epoch: False, 200).first == 200
    assert bisect(lambda epoch: pytest.fail("asked"), 0).first == 0


def test_where_stability_comes_and_goes_bisection_ends_at_an_onset_and_a_scan_at_the_first() -> None:
    draws = np.random.default_rng(0)
    for _ in range(300):
        truth = [*(draws.random(20) < 0.5), True]
        found, whole = (search(lambda epoch: bool(truth[epoch]), 20) for search in (bisect, scan))  # noqa: B023  # called at once
        assert truth[found.first]
        assert found.first == 0 or not truth[found.first - 1]
        assert whole.first == truth.index(True)
        assert contradictions(dict(found.trace)) == (), "bisection alone sees none"
        later = [k for k in range(21) if all(truth[k:])]
        assert settled(dict(whole.trace), 20) == later[0]


def test_stable_epochs_below_an_unstable_one_are_contradictions() -> None:
    assert contradictions({0: False, 3: True, 4: False, 6: True, 1: True}) == ((1, 4), (3, 4))
    assert contradictions({0: False, 3: True}) == contradictions({}) == ()
    assert settled({0: False, 3: True, 4: False, 6: True}, 9) == 6
    assert settled({0: True, 8: False}, 9) == 9
    assert settled({}, 9) == 9


@pytest.mark.parametrize("last", [*range(1, 20), 64, 200])
def test_the_most_that_a_search_costs_is_what_its_dearest_answer_costs(last: int) -> None:
    """Brute force over all monotone answers: no other path of questions exists."""

    def remaining(epoch: int) -> float:
        return 3.0 * (last - epoch)

    answers = [bisect(partial(operator.le, k), last).trace for k in range(last + 1)]
    dearest = max(sum(remaining(epoch) for epoch, _ in trace) for trace in answers)
    assert at_most(last, remaining, {}, False) == dearest
    assert at_most(last, lambda _: 1, {}, False) == most_evaluations(last)
    assert at_most(last, remaining, {}, True) == sum(map(remaining, range(last)))


def test_what_is_known_costs_nothing_and_leads_one_way() -> None:
    known = {5: True, 2: False}
    assert at_most(10, lambda epoch: 10 - epoch, known, False) == (10 - 4) + (10 - 3)
    assert at_most(10, lambda epoch: 1, known, True) == 8
