"""What all documents of the formats share: value types, records without floats, version rules, digests.

A *record* is JSON without floats (numbers that are not whole stand as decimal strings), so that its canonical
bytes, and the hashes over them, do not depend on how a language prints a float.
"""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypeAliasType

from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json

MAJOR = 1
MINORS = {"report": 1, "run": 2, "ticket": 1}
"""The newest minor version that is known here, by kind; 0 of others."""
MAX_INT = (1 << 53) - 1
"""The largest whole number that every JSON reader keeps exactly."""
MAX_VALUES = 60_000
"""Keys and values of one document: a judge that lists millions of faults is a weapon."""

DECIMAL = r"^(-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?|nan|-?inf)$"
NUMBER = r"^(-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?|(0|[1-9][0-9]*)/[1-9][0-9]*|nan|-?inf)$"
PARAMETER = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$"
WORD = r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,79}$"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")

Int = Annotated[int, Field(ge=-MAX_INT, le=MAX_INT)]
Count = Annotated[int, Field(ge=0, le=MAX_INT)]
Size = Annotated[int, Field(ge=1, le=1 << 31)]
Shape = Annotated[tuple[Size, ...], Field(max_length=8)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TicketId = Annotated[str, Field(pattern=r"^tk1[a-z2-7]{29}$")]
RunId = Annotated[str, Field(pattern=r"^rn1[a-z2-7]{29}$")]
ReportId = Annotated[str, Field(pattern=r"^rp1[a-z2-7]{29}$")]
Parent = Annotated[str, Field(pattern=r"^(dense|tk1[a-z2-7]{29})$")]
Decimal = Annotated[str, Field(pattern=DECIMAL, max_length=40)]
Number = Annotated[str, Field(pattern=NUMBER, max_length=400)]
Word = Annotated[str, Field(pattern=WORD)]
Metric = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./@:+-]{1,100}$")]
Parameter = Annotated[str, Field(pattern=PARAMETER, max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]
Version = Annotated[str, Field(pattern=r"^1\.(0|[1-9][0-9]{0,3})$")]
Json = TypeAliasType("Json", "bool | Int | str | list[Json] | dict[str, Json] | None")
Record = dict[str, Json]


class FormatWarning(UserWarning):
    """A file of a newer minor version: what this reader does not know in it is ignored."""


class Part(BaseModel):
    """A strict, frozen piece of a document: no unknown keys, no coercion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


_Model = TypeVar("_Model", bound=Part)


def to_record(value: Any) -> Any:
    """`value` as a record: floats become their `repr`, fractions "p/q", tuples lists.

    Raises:
        TypeError: a value or key that JSON has no form for.
        ValueError: a whole number beyond 2^53 - 1.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise ValueError(f"{value} is beyond 2^53 - 1, which not every JSON reader keeps")
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {_key(key): to_record(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [to_record(child) for child in value]
    raise TypeError(f"a {type(value).__name__} has no place in a record")


def numbers(values: Mapping[str, Any]) -> dict[str, str]:
    """Metrics as manifests hold them: every number a decimal string."""
    return {_key(name): str(to_record(value)) for name, value in values.items()}


def floats(values: Mapping[str, str]) -> dict[str, float]:
    """Metrics of a manifest, its decimal strings and fractions, as numbers; the other way round than `numbers`."""
    return {name: float(Fraction(value) if "/" in value else value) for name, value in values.items()}


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key {key!r} is not a string")
    return key


def record_digest(kind: str, record: Any) -> str:
    """`sha256:` over `ticketctl.<kind>.v1`, a zero byte, and the canonical JSON of `record`."""
    return "sha256:" + hashlib.sha256(f"ticketctl.{kind}.v1\0".encode() + canonical_json(record)).hexdigest()


def seal(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """`document` with `key` holding the digest of all the rest."""
    rest = {name: value for name, value in document.items() if name != key}
    return {**rest, key: record_digest(key, rest)}


def short_id(prefix: str, kind: str, record: Any) -> str:
    """`prefix` and 29 lower-case base32 characters (145 bits) of the record's digest."""
    digest = bytes.fromhex(record_digest(kind, record).removeprefix("sha256:"))
    return prefix + base64.b32encode(digest).decode("ascii").lower()[:29]


def read_document(
    value: Any,
    model: type[_Model],
    *,
    kind: str,
    where: str,
    code: str = "E_MANIFEST",
    features: Iterable[str] = (),
    sealed: str | None = None,
) -> _Model:
    """Judge the parsed JSON `value` as a `ticketctl.<kind>` document of version 1.x, sealed or not.

    Raises:
        ArtifactError: E_FORMAT (another kind), E_VERSION (another major), E_FEATURE (unknown), or `code`.
    """
    minor = check_version(value, kind=kind, where=where, code=code)
    if sealed and value != seal(value, sealed):
        raise ArtifactError(
            code, f"{where}: its {sealed} does not cover what it says: it was changed by hand"
        )
    named = value.get("features")
    if isinstance(named, list):
        unknown = [str(name)[:40] for name in named if name not in tuple(features)]
        if unknown:
            raise ArtifactError("E_FEATURE", f"{where}: needs {unknown[0]!r}; a newer ticketctl may know it")
    check_record(value, where=where, code=code)
    return _validate(value, model, newer=minor if minor > MINORS.get(kind, 0) else 0, where=where, code=code)


def check_version(value: Any, *, kind: str, where: str, code: str = "E_MANIFEST") -> int:
    """The minor version of a `ticketctl.<kind>` document.

    Raises:
        ArtifactError: `code` if it is no object, E_FORMAT if of another kind, E_VERSION if of another major.
    """
    if not isinstance(value, dict):
        raise ArtifactError(code, f"{where}: not a JSON object")
    if value.get("format") != f"ticketctl.{kind}":
        found = str(value.get("format"))[:40]
        raise ArtifactError("E_FORMAT", f"{where}: format {found!r} where 'ticketctl.{kind}' belongs")
    text = value.get("format_version")
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ArtifactError(code, f"{where}: format_version is not 'major.minor'")
    if int(match[1]) != MAJOR:
        raise ArtifactError(
            "E_VERSION",
            f"{where}: ticketctl.{kind} version {text}; this ticketctl reads {MAJOR}.x: install a newer one",
        )
    return int(match[2])


def check_record(value: Any, *, where: str, code: str = "E_MANIFEST") -> None:
    """Refuse what no record holds: floats, huge numbers, and characters that could take over a terminal.

    Raises:
        ArtifactError: `code`.
    """
    left = [value]
    for count, each in enumerate(left, start=1):  # grows while it is walked
        if count > MAX_VALUES:
            raise ArtifactError(code, f"{where}: more than {MAX_VALUES} values")
        if isinstance(each, dict):
            left += each.keys()
            left += each.values()
        elif isinstance(each, list):
            left += each
        else:
            _check_value(each, where, code)


def _check_value(value: Any, where: str, code: str) -> None:
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise ArtifactError(code, f"{where}: control characters in {value[:60]!r}")
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) > MAX_INT):
        shown = repr(value) if isinstance(value, float) else "a number"
        raise ArtifactError(
            code, f"{where}: {shown}: numbers are whole and below 2^53, others decimal strings"
        )


def _validate(value: Any, model: type[_Model], *, newer: int, where: str, code: str) -> _Model:
    """Of a minor version that is `newer` than known here, unknown keys are left out, with a warning."""
    try:
        found = model.model_validate_json(canonical_json(value), extra="ignore" if newer else "forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"])[:120]
        raise ArtifactError(code, f"{where}: {place}: {first['msg'][:200]}") from None
    if newer:
        said = f"{where}: version {MAJOR}.{newer} is newer than this reader; what it adds is ignored"
        warnings.warn(said, FormatWarning, stacklevel=3)
    return found
