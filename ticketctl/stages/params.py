"""A plug-in's own keys, checked against its `Params`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ticketctl.errors import UsageError


def checked(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """`table` as the dataclass `kind`.

    Raises:
        UsageError: a value of the wrong kind, with its key below `where`.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(table))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}.{place}: {what}, not {str(first['input'])[:60]!r}") from None
