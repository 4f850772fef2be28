"""Whether a transfer went to the very data set that a table names. Two files of somebody's own are two data sets,
though both are called `tensors`: they are known by their content, wherever they lie. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ticketctl.data.load import default_cache, load
from ticketctl.errors import ArtifactError, ResourceError, UnavailableError, UsageError
from ticketctl.plugins import load as plugin
from ticketctl.progress import Silent
from ticketctl.recipe_data import Side
from ticketctl.store.expand import expanded

_FORM = TypeAdapter(tuple[Side, Side, Side])
"""As a recipe may name one: a report may have any."""


def goes_to(target: Mapping[str, Any], name: str) -> bool:
    """Whether a report's target is the data set `name`.

    Args:
        target: what the report says of it, hostile words perhaps.
        name: as a table says it, `mnist` or `tensors:FILE`; "": any.

    Returns:
        Of `BASE:PATH` False as well where the data do not lie there, for then nobody knows.
    """
    base, colon, _ = name.partition(":")
    if not name or target.get("name") != base:
        return not name
    return not colon or ((said := target.get("fingerprint")) is not None and said == _content(name, target))


def cut_of(name: str, form: tuple[int, int, int]) -> dict[str, Any]:
    """Images of a folder, which may be of any size, are cut square where the net takes squares.

    Args:
        name: of the data set, with its path perhaps.
        form: channels, height and width that the net takes.
    """
    _, height, width = form
    options = getattr(plugin("data", name.partition(":")[0]), "OPTIONS", ())
    return {"size": height} if "size" in options and height == width else {}


def _content(name: str, target: Mapping[str, Any]) -> str | None:
    """The fingerprint of the data in the form of the target; None: they are not there, or have no such form."""
    with suppress(OSError, ArtifactError, ResourceError, UnavailableError, UsageError, ValidationError):
        place = expanded(name.partition(":")[2])
        form = _FORM.validate_python(target.get("form"))
        return _fingerprint(name, form, place.resolve().stat().st_mtime_ns)
    return None


@lru_cache(maxsize=64)
def _fingerprint(name: str, form: tuple[int, int, int], changed: int) -> str:
    """`changed`, when the file or folder did, has it read again."""
    options = cut_of(name, form)
    return load(
        name, cache=default_cache(), offline=True, reporter=Silent(), options=options, form=form
    ).fingerprint
