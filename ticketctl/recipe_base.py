"""What all tables of a recipe are made of."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from ticketctl.duration import Duration
from ticketctl.errors import UsageError


def _rational(value: Any) -> Fraction:
    if isinstance(value, Fraction):
        return value
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError("write a number, as 0.2 or 1/5") from None


def _text(value: Any) -> Any:
    """0 needs no unit, and no quotes."""
    return "0" if value == 0 and not isinstance(value, bool) else value


Span = Annotated[str, BeforeValidator(_text)]
"""A duration as text, `2ep`, `1000it`, `18%`, or 0."""

Rational = Annotated[Fraction, BeforeValidator(_rational), PlainSerializer(str)]
"""An exact number: the decimal or p/q that was typed."""


class Spec(BaseModel):
    """A table of a recipe: every key is known, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def stretched(epochs: int, factor: Fraction) -> int:
    """Rounded as durations are, half up, so that a milestone at the end stays there."""
    return max(1, math.floor(epochs * factor + Fraction(1, 2)))


def parsed(text: str) -> Duration:
    """A duration; what is none is refused as pydantic wants it."""
    try:
        return Duration.parse(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
