"""The names of torchvision's and timm's classification nets, read from their source: nothing is imported."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ticketctl.errors import MissingExtraError, UsageError, near_miss

ZOOS = ("torchvision", "timm")

_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def (\w+)", re.MULTILINE)


def zoo_names(zoo: str) -> tuple[str, ...]:
    """What `zoo` has, sorted; nothing if it is not installed."""
    spec = find_spec(zoo)  # without an origin: some folder of this name
    return _registered(Path(spec.origin).parent / "models") if spec and spec.origin else ()


@cache
def _registered(folder: Path) -> tuple[str, ...]:
    files = folder.glob("*.py")
    return tuple(sorted({name for path in files for name in _REGISTERED.findall(path.read_text("utf-8"))}))


def check_zoo_name(name: str) -> None:
    """Refuse `ZOO:NET` where there is no such net.

    Raises:
        MissingExtraError: timm is not installed.
        UsageError: no such net; says the near miss.
    """
    zoo, _, net = name.partition(":")
    known = zoo_names(zoo)
    if zoo == "timm" and not known:
        raise MissingExtraError(f"{name} needs timm: pip install 'ticketctl[models]'")
    if net not in known:
        begun = [each for each in known if net and each.startswith(net)]
        raise UsageError(f"no net named {net!r} in {zoo}; {near_miss(net, begun or known)}")
