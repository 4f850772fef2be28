"""A net of your own, as `mypackage.mynets:make`: a module and a function in it.

The function is called as `make(channels=, size=, classes=)`, size being (height, width), and returns a
`torch.nn.Module` that turns images [N, channels, height, width] into logits [N, classes]. The module is looked for in
the current directory, then wherever Python looks (PYTHONPATH). Its values are replaced as `model.init` says; a dropout
in it must be off. To spend a ticket that names such a net runs its code: `--set model.name=...` says that you mean it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from torch import nn

from ticketctl.errors import TicketctlError, UsageError, near_miss
from ticketctl.nets.foreign import said

NAMES: dict[str, str] = {
    "MODULE:FUNCTION": "a net of your own: called as FUNCTION(channels=, size=, classes=), gives an nn.Module",
}

FOREIGN = True
"""Built with the values they come with: `ticketctl.nets.foreign`."""


def check(name: str) -> None:
    """Import the module and look for the function.

    Raises:
        UsageError: the import fails, or there is no such function.
    """
    _function(name)


def build(name: str, *, channels: int, size: tuple[int, int], classes: int, stem: str = "cifar") -> nn.Module:
    """What the function makes; `stem` is ignored.

    Raises:
        UsageError: the import fails, or there is no such function.
    """
    del stem
    with _current_directory():  # what it imports only now lies there too
        net: nn.Module = _function(name)(channels=channels, size=size, classes=classes)
    return net


def _function(name: str) -> Callable[..., Any]:
    place, _, attribute = name.partition(":")
    with _current_directory():
        try:
            module = import_module(place)
        except (TicketctlError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"{name}: {place} cannot be imported: {said(error)}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        what = (
            f"{attribute!r} of {place} is no function"
            if found is not None
            else f"{place} has no {attribute!r}"
        )
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"{name}: {what}; {near_miss(attribute, own)}")
    return found  # type: ignore[no-any-return]  # callable, as was just seen


@contextmanager
def _current_directory() -> Iterator[None]:
    """Look for modules in the current directory first, as `python -m` does; an installed program does not."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)
