"""`--only density>=0.1,tweaks=skip`: which combinations of a grid, or cells of a table, are asked for."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation

from ticketctl.errors import UsageError, near_miss

_SIGNS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_PART = re.compile(r"([^<>=!]+)(>=|<=|!=|=|<|>)(.*)", re.DOTALL)


class Only:
    """Conditions that must all hold; one name several times with `=` means any of these values."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        """Read them.

        Args:
            text: NAME=VALUE, and !=, <, <=, >, >=, parted by commas; "": everything.
            names: what may be asked for.

        Raises:
            UsageError: no such name, no condition, or no number where one is compared.
        """
        self.text = text
        self.any: dict[str, set[str]] = {}
        self.all: list[tuple[str, str, str]] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            self._read(part, list(names))

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether these are asked for."""
        names = {*self.any, *(name for name, _, _ in self.all)}
        return all(self.allows(name, labels.get(name, "")) for name in names)

    def allows(self, name: str, own: str) -> bool:
        """Whether what has `own` there is asked for, whatever it has elsewhere: conditions are of one name each."""
        same = name not in self.any or any(_equal(own, value) for value in self.any[name])
        return same and all(self._holds(own, sign, value) for key, sign, value in self.all if key == name)

    def _read(self, part: str, names: list[str]) -> None:
        found = _PART.fullmatch(part)
        if not found:
            if self.any and not self.all:  # tweaks=skip,swish is one value with a comma, or two
                name = list(self.any)[-1]
                self.any[name] |= {part, f"{_last(self.any[name])},{part}"}
                return
            raise UsageError(f"--only {self.text!r}: {part!r} is no NAME=VALUE, nor has it <, <=, > or >=")
        name, sign, value = found[1].strip(), found[2], found[3].strip()
        if name not in names:
            raise UsageError(f"--only {self.text!r}: no axis {name!r}; {near_miss(name, names)}")
        if sign == "=":
            self.any.setdefault(name, set()).add(value)
        elif sign in _SIGNS and _number(value) is None:
            raise UsageError(f"--only {self.text!r}: {value!r} is no number")
        else:
            self.all.append((name, sign, value))

    def _holds(self, own: str, sign: str, value: str) -> bool:
        if sign == "!=":
            return not _equal(own, value)
        one, other = _number(own), _number(value)
        return one is not None and other is not None and _SIGNS[sign](one, other)


def _last(values: set[str]) -> str:
    return max(values, key=len)


def _equal(one: str, other: str) -> bool:
    mine, theirs = _number(one), _number(other)
    return one == other or (mine is not None and mine == theirs)


def _number(text: str) -> Decimal | None:
    with suppress(InvalidOperation):
        found = Decimal(text)
        return found if found.is_finite() else None  # nothing is more or less than a NaN
    return None
