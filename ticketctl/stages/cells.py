"""Which cells of a table are asked for, what a draw has for them, and what nobody here can do yet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from ticketctl.errors import KNOWN, UsageError, listed, near_miss
from ticketctl.plugins import keys
from ticketctl.recipe import Recipe
from ticketctl.stages.against import HALF_LEVEL
from ticketctl.stages.audit_wants import check_audit
from ticketctl.stages.papers import Cell, Table
from ticketctl.stages.targets import check_control
from ticketctl.stages.tweaking import needs_mask

NEAR = Fraction(5, 1000)
"""A sparsity that is typed is the cell's that lies so near."""
USUAL_RATE = Fraction(1, 5)
"""Of a ladder whose recipe says none."""


def refusal(cell: Cell) -> str | None:
    """Why the cell cannot be run; None where it can.

    Raises:
        UsageError: there is no such control, audit, or row of an audit.
    """
    check_control(cell)
    check_audit(cell)
    if is_winning(cell):
        return None
    masked = [name for name in cell.tweaks if needs_mask(name)] if cell.sparsity == 0 else []
    if masked:
        return f"{masked[0]} means nothing for the dense net"
    return None if cell.sparsity is not None else f"{cell.metric}: at which sparsity is not said"


def is_winning(cell: Cell) -> bool:
    """Whether the cell is worked out from a whole ladder and the dense net."""
    return cell.metric.startswith("winning_sparsity")


# ------------------------------------------------------------------------------------------------------------- rows


def rows_asked(table: Table, typed: Sequence[str]) -> list[str]:
    """The names of the rows that were typed, in the table's order; all of them if none was.

    Args:
        table: the table.
        typed: names as the table has them, in any case; or numbers from 1, `2,4-5`; or several names with commas.

    Raises:
        UsageError: no such row; says the near miss.
    """
    names = list(dict.fromkeys(cell.row for cell in table.cells))
    if not typed:
        return names
    chosen = {name for text in typed for name in _rows(text, names)}
    return [name for name in names if name in chosen]


def _rows(text: str, names: Sequence[str]) -> Iterable[str]:
    by_name = {name.lower(): name for name in names}
    wanted = text.strip().lower()
    if wanted in by_name:
        return [by_name[wanted]]
    if re.fullmatch(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", wanted):
        return [names[number - 1] for number in _numbers(wanted, len(names), text)]
    parts = [part.strip() for part in wanted.split(",")]
    unknown = [part for part in parts if part not in by_name]
    if len(parts) > 1 and not unknown:
        return [by_name[part] for part in parts]
    near = near_miss(text.strip(), names)
    numbered = listed([f"{number} {name}" for number, name in enumerate(names, 1)], KNOWN)
    hint = near if near.startswith("did") else f"there is {numbered}"
    raise UsageError(f"--rows {text!r}: the table has no such row; {hint}")


def _numbers(text: str, most: int, typed: str) -> list[int]:
    spans = [part.partition("-") for part in text.split(",")]
    found = [n for first, _, last in spans for n in range(int(first), int(last or first) + 1)]
    if not found or min(found) < 1 or max(found) > most:
        raise UsageError(f"--rows {typed!r}: the table has rows 1 to {most}")
    return found


# ----------------------------------------------------------------------------------------------------------- levels


class Levels:
    """`--levels`: 12, 3,8-10, 0.8926 (a sparsity), 89.26 (in percent), or all."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.numbers: set[int] = set()
        self.sparsities: set[Fraction] = set()
        for part in [] if text in (None, "all") else (text or "").split(","):
            self._read(part.strip())

    @property
    def all(self) -> bool:
        """Whether every cell is asked for."""
        return not self.numbers and not self.sparsities

    def has(self, cell: Cell, level: int | None) -> bool:
        """Whether the cell, of that level of its draw's ladder, is asked for."""
        if self.all:
            return True
        if cell.sparsity is None:
            return False
        share = cell.sparsity / 100
        near = any(abs(share - wanted) <= NEAR for wanted in self.sparsities)
        return near or (0 if share == 0 else level) in self.numbers

    def _read(self, part: str) -> None:
        if re.fullmatch(r"\d{0,2}\.\d{1,9}", part):
            value = Fraction(part)
            self.sparsities.add(value / 100 if value > 1 else value)
            return
        span = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part)
        if not span or int(span[2] or span[1]) < int(span[1]):
            raise UsageError(f"--levels {self.text!r}: write 12, 3,8-10, 0.8926 (a sparsity) or all")
        self.numbers |= set(range(int(span[1]), int(span[2] or span[1]) + 1))

    def check(self, asked: Sequence[tuple[Cell, int | None]]) -> None:
        """Refuse what no row has.

        Raises:
            UsageError: names the first, and what there is.
        """
        levels = {0 if cell.sparsity == 0 else level for cell, level in asked}
        shares = sorted({cell.sparsity / 100 for cell, _ in asked if cell.sparsity is not None})
        known = ", ".join(f"{float(share):.4g}" for share in shares) or "none"
        for number in sorted(self.numbers - levels):
            raise UsageError(
                f"--levels {self.text!r}: no row has level {number}; there are sparsities {known}"
            )
        for wanted in sorted(self.sparsities):
            if not any(abs(share - wanted) <= NEAR for share in shares):
                raise UsageError(
                    f"--levels {self.text!r}: no row has sparsity {float(wanted):.4g}; there is {known}"
                )


def is_ladder(recipe: Recipe) -> bool:
    """Whether the recipe's draw prunes in rounds by a rate, so that one draw holds many densities."""
    return recipe.draw is not None and _has_rate(recipe.draw.method)


@cache
def _has_rate(method: str) -> bool:
    return "rate" in keys("draws", method)


def ladder_of(recipe: Recipe) -> list[Fraction]:
    """Densities of the levels of a ladder, the dense one first: (1 - rate)^k, the last one as the recipe says.

    Counts of the weights round these, which only matters for nets of a few weights.
    """
    assert recipe.draw is not None
    rate = _rate(recipe.draw.params)
    rounds, last = recipe.draw.rounds, recipe.draw.density
    if last is None:
        return [(1 - rate) ** level for level in range((rounds or 0) + 1)]
    found = [Fraction(1)]
    while found[-1] > last and len(found) < 256:
        found.append(found[-1] * (1 - rate))
    return [*found[:-1], last] if len(found) > 1 else found


def _rate(params: dict[str, Any]) -> Fraction:
    rate = Fraction(str(params.get("rate", USUAL_RATE)))
    if not 0 < rate < 1:
        raise UsageError(f"draw.rate: above 0 and below 1, not {rate}")
    return rate


def level_of(recipe: Recipe, sparsity: Fraction) -> int | None:
    """The level of a ladder that is nearest to a sparsity in percent; None if none lies within half a level of 20 %."""
    if sparsity <= 0 or sparsity >= 100:
        return 0 if sparsity == 0 else None
    aim = float(1 - sparsity / 100)
    far = [abs(math.log(float(density) / aim)) for density in ladder_of(recipe)]
    nearest = min(range(len(far)), key=lambda level: far[level])
    return nearest if nearest and far[nearest] <= HALF_LEVEL else None
