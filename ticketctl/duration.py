"""Points and lengths of a training: `160ep`, `1000it`, `18%`, `0`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from ticketctl.errors import UsageError

_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ep|it|%)?")


@dataclass(frozen=True)
class Duration:
    """A length in epochs (`ep`), optimizer steps (`it`) or percent of the whole training (`%`)."""

    amount: Fraction
    unit: str

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `2ep`, `1000it`, `18%` or `0`.

        >>> Duration.parse("18%").steps(epochs=180, steps_per_epoch=10)
        330

        Raises:
            UsageError: any other text, or a bare number other than 0.
        """
        found = _FORM.fullmatch(text.strip())
        if not found or (found[2] is None and Fraction(found[1]) != 0):
            raise UsageError(f"{text!r} is not a duration: write 2ep (epochs), 1000it (steps), 18% or 0")
        return cls(Fraction(found[1]), found[2] or "it")

    def steps(self, *, epochs: int, steps_per_epoch: int) -> int:
        """Optimizer steps from the start of a training of `epochs`.

        Percent are of the whole, rounded up to a full epoch, as the papers do (18 % of 180 epochs is epoch 33).

        Raises:
            UsageError: past the end of the training.
        """
        if self.unit == "%":
            steps = math.ceil(self.amount * epochs / 100) * steps_per_epoch
        elif self.unit == "ep":
            steps = math.floor(self.amount * steps_per_epoch + Fraction(1, 2))
        else:
            steps = math.floor(self.amount + Fraction(1, 2))
        if steps > epochs * steps_per_epoch:
            raise UsageError(
                f"{self} lies past the end of the training ({epochs} epochs of {steps_per_epoch} steps)"
            )
        return steps

    def scaled(self, factor: Fraction) -> Duration:
        """Stretched with the training: epochs and steps in proportion, at least one; percent and zero stay."""
        if self.unit == "%" or self.amount == 0:
            return self
        return Duration(Fraction(max(1, math.floor(self.amount * factor + Fraction(1, 2)))), self.unit)

    def __str__(self) -> str:
        amount = str(self.amount.numerator) if self.amount.denominator == 1 else str(float(self.amount))
        return "0" if self.amount == 0 else f"{amount}{self.unit}"
