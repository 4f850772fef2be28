"""What all tables of a recipe are made of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ticketctl.duration import Duration
from ticketctl.errors import UsageError, listed, near_miss

_ENDLESS = re.compile(r"[eE][-+]?0*[1-9]\d{3}")
"""A power of ten whose digits would fill memory, and mean 0 or nothing here."""


def exact(text: str) -> Fraction:
    """The very number that a decimal or p/q says.

    Raises:
        ValueError: it says none, or one with thousands of digits.
        ZeroDivisionError: p/0.

    >>> exact("0.2"), exact("1/3")
    (Fraction(1, 5), Fraction(1, 3))
    """
    if _ENDLESS.search(text.replace("_", "")):
        raise ValueError("too many digits")
    return Fraction(text)


def _rational(value: Any) -> Fraction:
    if isinstance(value, Fraction):
        return value
    try:
        return exact(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError("write a number, as 0.2 or 1/5") from None


def _text(value: Any) -> Any:
    """0 needs no unit, and no quotes."""
    return "0" if value == 0 and not isinstance(value, bool) else value


Span = Annotated[str, BeforeValidator(_text)]
"""A duration as text, `2ep`, `1000it`, `18%`, or 0."""

Rational = Annotated[Fraction, BeforeValidator(_rational), PlainSerializer(str)]
"""An exact number: the decimal or p/q that was typed."""


def no_number(value: Any, kind: Any) -> bool:
    """Whether `value` is true or false where `kind`, the type of a key, wants a number."""
    kinds = {kind, *get_args(kind)}
    return isinstance(value, bool) and bool(kinds & {int, float}) and bool not in kinds


class Spec(BaseModel):
    """A table of a recipe: every key is known, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python, and so pydantic, takes `true` for 1."""
        if no_number(value, cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("must be a number")
        return value


Command = Literal["audit", "interpolate", "probe", "transfer"]
"""Those that measure."""


class Measuring(Spec):
    """What the recipes of all commands have that measure."""

    TABLE: ClassVar[Command]
    """Its own table, which is the command's name."""
    PLUGINS: ClassVar[str] = "metrics"
    """The kind of plug-ins that it has tables of keys for."""

    summary: str = ""
    """One line for `ticketctl recipes`."""
    source: str = ""
    """Where its values come from."""
    sources: dict[str, str] = {}
    """For each key, where its value was read."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The plug-ins that are asked, sorted."""
        raise NotImplementedError

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The keys of each."""
        found: dict[str, dict[str, Any]] = getattr(self, self.PLUGINS)
        return found

    @property
    def spec(self) -> dict[str, Any]:
        """What of its own table every value depends on: all but which are measured, and of which net."""
        table: Spec = getattr(self, self.TABLE)
        return table.model_dump(mode="json", exclude={"metrics", "curves", "epoch"})

    @property
    def epoch(self) -> int | None:
        """After which the weights of runs are meant; None: after the last."""
        found: int | None = getattr(getattr(self, self.TABLE), "epoch", None)
        return found


def stretched(epochs: int, factor: Fraction) -> int:
    """Rounded as durations are, half up, so that a milestone at the end stays there."""
    return max(1, math.floor(epochs * factor + Fraction(1, 2)))


def parsed(text: str) -> Duration:
    """A duration; what is none is refused as pydantic wants it."""
    try:
        return Duration.parse(text)
    except UsageError as error:
        raise ValueError(str(error)) from None


# ---------------------------------------------------------------------------------------- what is wrong with a table

_MUST = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "below {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
}
"""What a value must be, by the beginning of pydantic's type of error."""

_KINDS = {"str", "bool", "int", "float", "decimal"}
"""What pydantic adds to the place of a value that may be of several kinds."""

_SHOWN = 60


def fault(error: ValidationError, spec: Any, *, skip: int = 0, missing: str = "{key} is not given") -> str:
    """The first thing that is wrong, in one line: the key, what is right, what was given.

    Args:
        error: pydantic's.
        spec: the class that was to be made.
        skip: parts of the place that the caller names himself.
        missing: what to say of a key that has to be there and is not.
    """
    first = error.errors()[0]
    place, union = _place(first, error, skip)
    key = _key(place)
    if first["type"] == "extra_forbidden":
        return f"no key {key}; {near_miss(str(place[-1]), list(fields_of(spec, place[:-1])))}"
    if first["type"] == "missing":
        return missing.format(key=key)
    given = first["input"]
    right = _right(first, key, fields_of(spec, place)) if not union else "text or a number"
    if right is None:
        message = f"{key}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        return (
            message if isinstance(given, Mapping) else f"{message}, not {shown(given)}"
        )  # it says which keys
    return f"{key}: must be {right}, not {shown(given)}"


def others(error: ValidationError, under: str = "") -> str:
    """How many more keys are wrong than the one that `fault` says, and which, as `; and 2 more: a, b`; or nothing.

    Args:
        error: pydantic's.
        under: the table of all of them, as `draw.`, where the caller names it himself.
    """
    keys = list(dict.fromkeys(_key(_place(one, error)[0]) for one in error.errors()))[1:]
    return f"; and {len(keys)} more: {listed([under + key for key in keys])}" if keys else ""


def _key(place: Sequence[int | str]) -> str:
    return ".".join(part for part in place if isinstance(part, str))


def _place(
    found: Mapping[str, Any], error: ValidationError, skip: int = 0
) -> tuple[Sequence[int | str], bool]:
    """Where a value is wrong, and whether its last part was left out: it says which of several kinds was tried."""
    place = found["loc"][skip:]
    tried = {other["loc"][-1] for other in error.errors() if place and _tried(found, other)}
    union = bool(place) and {place[-1]} < tried
    return (place[:-1] if union else place), union


def _tried(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two errors say that one value is none of several kinds."""
    return one["loc"][:-1] == other["loc"][:-1] and {one["loc"][-1], other["loc"][-1]} <= _KINDS


def shown(value: Any) -> str:
    """A value as recipes write it, cut short."""
    text = str(value) if isinstance(value, int | Decimal | Fraction) else repr(value)
    text = f"{value:g}" if isinstance(value, float) else text
    text = text.lower() if isinstance(value, bool) else "a table" if isinstance(value, Mapping) else text
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _right(found: Mapping[str, Any], key: str, inner: Mapping[str, Any]) -> str | None:
    """What belongs there; None where the message says it itself."""
    kind = str(found["type"])
    if kind.startswith(("model", "dict", "dataclass")):
        return f"a table, with keys as {key}.{next(iter(inner), 'KEY')}"
    if kind.startswith(("tuple", "list")):
        return f"a list, as {_listed(found['input'])}"
    begins = [name for name in _MUST if kind == name or kind.startswith(f"{name}_")]
    if not begins:
        return None
    bounds = {name: shown(value) for name, value in found.get("ctx", {}).items() if name != "expected"}
    return _MUST[max(begins, key=len)].format(**bounds, expected=found.get("ctx", {}).get("expected"))


def _listed(value: Any) -> str:
    """The list that was meant, if it can be told."""
    if isinstance(value, str):
        return json.dumps([part.strip(" []'\"") for part in value.split(",")], ensure_ascii=False)[:_SHOWN]
    return f"[{value}]" if isinstance(value, int | float) and not isinstance(value, bool) else "[…]"


def fields_of(spec: Any, place: Sequence[int | str]) -> Mapping[str, Any]:
    """The fields of the table at `place` below the class `spec`; none, where it is no table of fields."""
    for part in place:
        if isinstance(part, int):
            continue
        field = getattr(spec, "model_fields", {}).get(part)
        kinds = _inner(field.annotation) if field else []
        spec = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
    return getattr(spec, "model_fields", {})


def _inner(kind: Any) -> list[Any]:
    """A type and all that it is made of: a table, or none; a list of tables."""
    return [kind, *(one for part in get_args(kind) for one in _inner(part))]
