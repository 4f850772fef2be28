"""ticketctl: draw a lottery ticket once, spend it under any recipe.

From Python: `ticketctl.load_ticket`, `apply`, `draw`, `spend`, `audit`, `push`, `pull`; see `ticketctl.api`. They are
loaded when they are first used, so that the commands that need no torch do not wait for it.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = (
    "Applied",
    "Lines",
    "OrderWarning",
    "Report",
    "Run",
    "Ticket",
    "apply",
    "audit",
    "draw",
    "export",
    "load_ticket",
    "pull",
    "push",
    "spend",
)


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module 'ticketctl' has no attribute {name!r}")
    return getattr(import_module("ticketctl.api"), name)


def __dir__() -> list[str]:
    return sorted(["__version__", *_API])
