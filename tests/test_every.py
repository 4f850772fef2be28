"""The decorator that tries a claim on many things."""

from __future__ import annotations

import pytest

from tests.every import every


def test_a_claim_is_tried_on_all_and_every_failure_is_named() -> None:
    tried = []

    @every(["one", "two", "three", "five"])
    def claim(name: str) -> None:
        tried.append(name)
        assert "o" not in name
        {"three": 3}[name]

    with pytest.raises(ExceptionGroup, match="3 of 4 fail: one, two, five") as found:
        claim()
    assert tried == ["one", "two", "three", "five"]
    assert [type(each) for each in found.value.exceptions] == [AssertionError, AssertionError, KeyError]
    assert found.value.exceptions[0].__notes__ == ["for one"]


def test_a_claim_that_holds_passes_and_one_about_nothing_does_not() -> None:
    every([1, 2])(lambda case: None)()
    with pytest.raises(AssertionError, match="about nothing"):
        every([])(lambda case: None)()
