"""A plot of a few curves in plain text: in dots of braille where the terminal has them, else in ASCII."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Segment = tuple[str, str]
"""Text and its style: "", `faint`, `bold`, or that of a curve."""
Line = tuple[Segment, ...]
Form = Literal["line", "level", "marks"]

LEAST = (12, 3)
"""Signs of the field inside the axes, wide and high; below that nothing can be read."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille sign by row and column."""
BRAILLE = 0x2800
STEPS = (1.0, 2.0, 5.0, 10.0)
PERCENT = (0.0, 20.0, 50.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9)
"""Numbers along an axis of sparsity."""


@dataclass(frozen=True)
class Curve:
    """Points joined by a line; one value across, `level`, of which the first point counts; or single marks."""

    points: tuple[tuple[float, float], ...]
    form: Form = "line"
    sign: str = "*"
    """In ASCII, and of marks."""
    style: str = ""


@dataclass(frozen=True)
class Scale:
    """Where a number lies along an axis: `place` grows with it, from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    place: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """Of the axis that lies before `value`; outside [0, 1] where it is not on it."""
        first, last = self.place(self.low), self.place(self.high)
        return (self.place(value) - first) / (last - first)


def linear(
    values: Iterable[float],
    most: int = 5,
    *,
    floor: float | None = None,
    least: float = 1e-9,
    apart: float = 0.0,
) -> Scale:
    """Round numbers around some values, at most about `most` of them.

    Args:
        values: finite, one or more.
        most: numbers along the axis, 2 or more.
        floor: the axis begins here, whatever the values; None: below the least of them.
        least: how much the axis covers at least, above 0.
        apart: how far apart two numbers are at least, 0 or more; 1: they are whole.
    """
    known = list(values)
    low, high = min(known) if floor is None else floor, max(known)
    spare = max(0.0, least - (high - low))
    low, high = (low - spare / 2, high + spare / 2) if floor is None else (low, high + spare)
    rough = max(apart, (high - low) / max(1, most - 1))
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in STEPS if unit * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(number * step for number in range(first, max(last, first + 1) + 1))
    if floor is None:
        return Scale(ticks[0], ticks[-1], ticks)
    return Scale(floor, ticks[-1], tuple(tick for tick in ticks if tick >= floor))


def sparsities(values: Iterable[float]) -> Scale:
    """Sparsity in percent, in [0, 100), spread as the logarithm of the density: rounds are equally far apart."""
    high = max([*values, 20.0])
    return Scale(0.0, high, tuple(tick for tick in PERCENT if tick <= high), _rounds)


def _rounds(sparsity: float) -> float:
    return -math.log(max(1e-12, 1 - sparsity / 100))


def chart(
    curves: Sequence[Curve], x: Scale, y: Scale, size: tuple[int, int], *, ascii_only: bool
) -> list[Line]:
    """The plot with its axes, a line of text for each row; none where it does not fit.

    Args:
        curves: those that come later lie above those before.
        x: the axis along.
        y: the axis up.
        size: signs and rows that it may take in all, numbers along the axes included.
        ascii_only: whether braille and box signs are to be left out.
    """
    labels = [_number(tick, y.ticks) for tick in y.ticks]
    margin = max(map(len, labels)) + 2
    wide, high = size[0] - margin, size[1] - 2
    if wide < LEAST[0] or high < LEAST[1]:
        return []
    field = _Field(wide, high, x, y, ascii_only)
    for curve in curves:
        field.add(curve)
    bar, corner, dash, tick = ("|", "+", "-", "+") if ascii_only else ("│", "└", "─", "┬")
    named = {field.row(value): label for value, label in zip(y.ticks, labels, strict=True)}
    found: list[Line] = []
    for number, line in enumerate(field.lines()):
        found.append(((f"{named.get(number, ''):>{margin - 2}} {bar}", "faint"), *line))
    under, rule = _along(x, field, margin)
    marks = "".join(tick if at in rule else dash for at in range(wide))
    return [*found, ((f"{'':>{margin - 1}}{corner}{marks}", "faint"),), ((under, "faint"),)]


def _along(x: Scale, field: _Field, margin: int) -> tuple[str, set[int]]:
    """The numbers below the axis, as many as fit side by side, and the columns at which they stand."""
    text, columns = " " * (margin + field.wide), set()
    end = margin - 1
    for tick in x.ticks:
        label, column = _number(tick, x.ticks), field.column(tick)
        start = min(margin + column - (len(label) - 1) // 2, len(text) - len(label))
        if start > end:
            text = text[:start] + label + text[start + len(label) :]
            columns.add(column)
            end = start + len(label)
    return text.rstrip(), columns


def _number(value: float, among: Sequence[float]) -> str:
    """With as many decimals as the numbers beside it need."""
    places = next(
        (n for n in range(6) if all(abs(v - round(v, n)) < 1e-9 * max(1, abs(v)) for v in among)), 6
    )
    return f"{value:.{places}f}"


class _Field:
    """The signs between the axes."""

    def __init__(self, wide: int, high: int, x: Scale, y: Scale, ascii_only: bool) -> None:
        self.wide, self.high, self.x, self.y, self.ascii = wide, high, x, y, ascii_only
        self.fine = (1, 1) if ascii_only else (2, 4)
        """Dots of a sign, along and up."""
        self.signs = [[" "] * wide for _ in range(high)]
        self.styles = [[""] * wide for _ in range(high)]

    def column(self, value: float) -> int:
        """Of a value on the axis along."""
        return min(self.wide - 1, max(0, round(self.x.share(value) * (self.wide - 1))))

    def row(self, value: float) -> int:
        """Of a value on the axis up; 0 is the uppermost."""
        return min(self.high - 1, max(0, round((1 - self.y.share(value)) * (self.high - 1))))

    def add(self, curve: Curve) -> None:
        points = [point for point in curve.points if self._is_in(point)]
        if curve.form == "marks":
            for value, height in points:
                self._put(self.column(value), self.row(height), curve)
            return
        if curve.form == "level":
            for at in range(0, self.wide * self.fine[0], 3):
                for _, height in points[:1]:
                    self._dot(at, self._up(height), curve)
            return
        dots = [(self._across(value), self._up(height)) for value, height in points]
        for first, second in zip(dots, dots[1:] or dots, strict=False):
            for dot in _between(first, second):
                self._dot(*dot, curve)

    def lines(self) -> list[Line]:
        """The rows, signs of one style together."""
        return [tuple(_joined(signs, styles)) for signs, styles in zip(self.signs, self.styles, strict=True)]

    def _is_in(self, point: tuple[float, float]) -> bool:
        shares = [self.x.share(point[0]), self.y.share(point[1])]
        return all(math.isfinite(share) and -1e-6 <= share <= 1 + 1e-6 for share in shares)

    def _across(self, value: float) -> int:
        return round(self.x.share(value) * (self.wide * self.fine[0] - 1))

    def _up(self, value: float) -> int:
        return round((1 - self.y.share(value)) * (self.high * self.fine[1] - 1))

    def _put(self, column: int, row: int, curve: Curve) -> None:
        self.signs[row][column], self.styles[row][column] = curve.sign, curve.style

    def _dot(self, across: int, up: int, curve: Curve) -> None:
        column, row = across // self.fine[0], up // self.fine[1]
        if self.ascii:
            self._put(column, row, curve)
            return
        before = ord(self.signs[row][column]) - BRAILLE
        bit = DOTS[up % 4][across % 2]
        self.signs[row][column] = chr(BRAILLE + (before | bit if 0 <= before < 256 else bit))
        self.styles[row][column] = curve.style


def _between(first: tuple[int, int], second: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of the straight line between two, both included."""
    steps = max(abs(second[0] - first[0]), abs(second[1] - first[1]), 1)
    return [
        (
            round(first[0] + (second[0] - first[0]) * at / steps),
            round(first[1] + (second[1] - first[1]) * at / steps),
        )
        for at in range(steps + 1)
    ]


def _joined(signs: Sequence[str], styles: Sequence[str]) -> Iterable[Segment]:
    text, style = "", ""
    for sign, own in zip(signs, styles, strict=True):
        if own != style and text:
            yield text, style
            text = ""
        text, style = text + sign, own
    if text:
        yield text, style
