"""A message that says what there is names a few, and counts the rest."""

from __future__ import annotations

import re

import pytest

from ticketctl.artifacts.workspace import levels_told
from ticketctl.errors import SHOWN, near_miss

KEPT = {level: round(1000 * 0.8**level) for level in range(25)}


@pytest.mark.parametrize(("count", "named", "more"), [(1, 1, 0), (6, 6, 0), (7, 6, 1), (40, 6, 34)])
def test_six_candidates_at_most_are_named_and_the_rest_counted(count: int, named: int, more: int) -> None:
    said = near_miss("zzz", [f"a{index:02}" for index in range(count)], SHOWN)
    assert len(re.findall(r"a\d\d", said)) == named
    assert said.endswith(f" and {more} more") == bool(more)


def test_of_many_levels_the_last_are_named_or_those_around_a_sparsity() -> None:
    last = levels_told(KEPT, 1000)
    assert [int(level) for level in re.findall(r"(\d+) \(", last)] == list(range(19, 25))
    assert last.endswith(" and 19 more")
    around = [int(level) for level in re.findall(r"(\d+) \(", levels_told(KEPT, 1000, 0.5))]
    far = {level: abs(1 - kept / 1000 - 0.5) for level, kept in KEPT.items()}
    assert around == sorted(around)
    assert max(far[level] for level in around) <= min(far[level] for level in KEPT if level not in around)
    assert len(around) == 6
    assert levels_told({0: 10, 1: 8}, 10, 0.3) == "0 (sparsity 0.0000), 1 (sparsity 0.2000)"
