"""The grammar of durations, and what they mean in steps."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketctl.duration import Duration
from ticketctl.errors import UsageError


def steps(text: str, epochs: int = 180, per_epoch: int = 10) -> int:
    return Duration.parse(text).steps(epochs=epochs, steps_per_epoch=per_epoch)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0), ("0ep", 0), ("0it", 0), ("0%", 0), ("0.0", 0),
        ("2ep", 20), ("180ep", 1800), ("1000it", 1000), (" 3 ep ", 30), ("0.5ep", 5), ("2.5ep", 25),
        ("18%", 330),  # paper 001: epoch 33 of 180
        ("100%", 1800), ("0.1%", 10), ("50%", 900),
    ],
)  # fmt: skip
def test_what_a_duration_means(text: str, wanted: int) -> None:
    assert steps(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "2", "0.5", "ep", "-1ep", "2 epochs", "2e3it", "1,5ep", "1.ep", ".5ep", "nan", "inf%", "2ep 3it"],
)
def test_anything_else_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(UsageError, match="write 2ep") as refused:
        Duration.parse(text)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["181ep", "1801it", "101%", "180.1ep"])
def test_points_past_the_end_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="past the end"):
        steps(text)


amounts = st.fractions(min_value=0, max_value=10**6, max_denominator=100).map(lambda f: f"{float(f):.2f}")


@given(amounts, st.sampled_from(["ep", "it", "%"]))
def test_written_and_read_again_it_is_the_same(amount: str, unit: str) -> None:
    duration = Duration.parse(amount + unit)
    again = Duration.parse(str(duration))
    assert again.amount == duration.amount
    assert again.unit == duration.unit or duration.amount == 0


@given(
    st.integers(0, 400), st.sampled_from(["ep", "it"]), st.fractions(min_value=Fraction(1, 500), max_value=20)
)
def test_scaling_is_in_proportion_and_leaves_at_least_one(count: int, unit: str, factor: Fraction) -> None:
    scaled = Duration.parse(f"{count}{unit}").scaled(factor)
    assert scaled.amount.denominator == 1
    assert abs(scaled.amount - max(count * factor, 1 if count else 0)) <= Fraction(1, 2)
    assert (scaled.amount == 0) == (count == 0)


def test_percent_and_zero_scale_by_themselves() -> None:
    assert str(Duration.parse("18%").scaled(Fraction(1, 9))) == "18%"
    assert str(Duration.parse("0").scaled(Fraction(7))) == "0"
