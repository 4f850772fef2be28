"""A plug-in's own keys, checked against its `Params`, and a tweak's by the tweak itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ticketctl import plugins
from ticketctl.errors import UsageError
from ticketctl.recipe_base import fault, no_number, others


def checked(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """`table` as the dataclass `kind`.

    Raises:
        UsageError: a value of the wrong kind, with its key below `where`.
    """
    hints = get_type_hints(kind)
    for key, value in table.items():
        if no_number(value, hints.get(key)):
            raise UsageError(f"{where}.{key}: must be a number, not {str(value).lower()}")
    try:
        return _adapter(kind).validate_python(dict(table))
    except ValidationError as error:
        raise UsageError(f"{where}.{fault(error, kind)}{others(error, f'{where}.')}") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Building one takes longer than all else here, and a draw checks its method's keys several times."""
    return TypeAdapter(kind)


class _Looked(Exception):  # noqa: N818  # no error: the tweak wants to see what it changes
    """A tweak has come past its own keys."""


class _Unseen:
    """Stands for the kit of a spend that is not there yet."""

    def __getattribute__(self, name: str) -> Any:
        raise _Looked(name)


def check_tweak(name: str, table: Mapping[str, Any]) -> None:
    """Let the tweak refuse its keys, by asking it for its hooks as far as it needs nothing but them.

    Whether it fits the net and the data is seen when these are there. Imports the tweak's module, and so torch.

    Args:
        name: the tweak.
        table: `[tweaks.<name>]`, of keys that it has.

    Raises:
        UsageError: a value of the wrong kind or out of its range.
    """
    module = plugins.load("tweaks", name)
    params = checked(module.Params, table, f"tweaks.{name}")
    with suppress(_Looked):
        module.tweak(_Unseen(), params=params)
