"""Intervals, tests and ranks, against scipy and against counting all cases."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ticketctl.figures.significance import (
    BLOCKS,
    beyond,
    difference,
    holm,
    interval,
    range_quantile,
    ranked,
    ranks,
    signed_rank,
    student,
)

CASES = [np.random.default_rng(seed).normal(0.3, 1.0, n) for seed, n in enumerate((2, 3, 4, 5, 7, 12, 30))]


@pytest.mark.parametrize("values", CASES, ids=len)
def test_an_interval_is_student_s(values):
    found = interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_an_interval_needs_two_different_values():
    assert interval([]) is None
    assert interval([0.5]).half_width is None
    assert interval([0.5, 0.5]).equal
    assert interval([0.5, 0.5]).half_width is None


@pytest.mark.parametrize("values", CASES, ids=len)
def test_a_paired_t_test_is_that_of_scipy(values):
    assert student(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)


def test_the_tail_of_student_s_distribution_keeps_its_digits():
    for freedom, t in product((1, 2, 3, 4, 9, 30, 200), (0.0, 1e-6, 0.1, 1, 2.5, 6, 40)):
        assert beyond(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-8), (freedom, t)


@pytest.mark.parametrize("values", CASES, ids=len)
def test_the_signed_rank_test_is_that_of_scipy(values):
    assert signed_rank(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize(
    "gaps", [[1, 1, -1, 2], [0, 0.5, 0.5, -0.5, 1], [3, -3], [1, 2, 2, 2, -4, 0]], ids=str
)
def test_the_signed_rank_test_counts_all_signs_also_with_ties(gaps):
    kept = np.array([gap for gap in gaps if gap])
    order = stats.rankdata(abs(kept))
    half = order.sum() / 2
    seen = abs(order[kept > 0].sum() - half)
    sums = [order[np.array(signs)].sum() for signs in product((False, True), repeat=len(kept))]
    assert signed_rank(gaps) == pytest.approx(np.mean([abs(one - half) >= seen - 1e-9 for one in sums]))


def test_five_seeds_cannot_be_significant_by_ranks():
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 2**5)
    assert signed_rank([0, 0]) is None


def test_holm_is_the_closure_of_all_bonferroni_tests():
    """A hypothesis falls at a level where every set of hypotheses that has it falls by Bonferroni."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.uniform(0, 0.3, 5)
        closed = []
        for mine in range(5):
            sets = [[*map(bool, bits)] for bits in product((0, 1), repeat=5) if bits[mine]]
            closed.append(max(min(1.0, p[one].min() * sum(one)) for one in map(np.array, sets)))
        assert holm([*p]) == pytest.approx(closed)
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]


def test_ties_share_their_mean_rank():
    for values in ([3, 1, 2], [1, 1, 2], [5, 5, 5], [2, 1, 2, 1, 0]):
        assert ranks(values) == [*stats.rankdata(values)]
    assert ranks([0.1 + 0.2, 0.3]) == [1.5, 1.5]


@pytest.mark.parametrize("many", [2, 3, 5, 10, 30])
def test_the_range_of_normal_values_is_that_of_scipy(many):
    assert range_quantile(many) == pytest.approx(stats.studentized_range.ppf(0.95, many, 1e6), rel=2e-4)


def test_critical_differences_are_demsar_s():
    """His table 5(a): q of 5 % is 1.960 for 2 classifiers, 2.343 for 3, 2.569 for 4, 3.164 for 10."""
    q = {many: range_quantile(many) / np.sqrt(2) for many in (2, 3, 4, 10)}
    assert [*q.values()] == pytest.approx([1.960, 2.343, 2.569, 3.164], abs=1e-3)
    rows = {(str(seed), ""): {"a": 3.0, "b": 2.0, "c": 1.0, "d": seed % 2} for seed in range(14)}
    found = ranked(rows, "abcd")
    assert found.critical == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), rel=1e-3)
    assert found.means["a"] == 1
    assert ranked(rows, "abcd", lower=True).means["a"] == 4


def test_rows_of_one_seed_are_one_witness_and_rows_with_gaps_are_left_out():
    rows = {
        (str(seed), str(recipe)): {"a": 3.0, "b": 2.0, "c": 1.0}
        for seed in range(BLOCKS - 1)
        for recipe in range(4)
    }
    rows["99", "0"] = {"a": 1.0}
    found = ranked(rows, "abc")
    assert (found.blocks, found.apart, found.left_out, found.critical) == (36, BLOCKS - 1, 1, None)
    assert ranked({("0", "0"): {"a": 1.0}}, "ab") is None


def test_pairs_are_of_common_seeds():
    found = difference({0: 0.5, 1: 0.7, 2: 0.1}, {1: 0.6, 2: 0.2, 3: 0.9})
    assert (found.gap.n, found.gap.mean) == (2, pytest.approx(0.0))
    assert difference({0: 1.0}, {1: 1.0}) is None
    assert difference({0: 1.0}, {0: 0.5}).student is None
    assert difference({0: 1.0, 1: 1.0}, {0: 0.5, 1: 0.5}).student is None
