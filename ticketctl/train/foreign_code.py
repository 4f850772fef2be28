"""Code that a training depends on and that is not this package's: digests of the modules that it stands in."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from ticketctl import plugins

OURS = "ticketctl."


def code_of(kind: str, name: str) -> dict[str, str]:
    """`{"code": digest}` of a plug-in that is the user's own, or another package's; nothing where it is ours.

    So an id of our own code does not change with it. Nets of a zoo have a package's version, and are nobody's module.

    Args:
        kind: of the plug-in: nets, tweaks, metrics.
        name: as users type it; `MODULE:FUNCTION` is the user's own.
    """
    plugin = plugins.serving(kind, name)
    if plugin is None:
        return {}
    return code_in(name.partition(":")[0] if plugins.is_own(kind, name) else plugin.module)


def code_in(module: str) -> dict[str, str]:
    """The same of a module by its name: of its file, not of what it imports; where it has none, of nothing."""
    if module.startswith(OURS):
        return {}
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # __main__, or made by hand
        spec = None
    path = Path(spec.origin) if spec and spec.origin else None
    data = path.read_bytes() if path and path.is_file() else b""
    return {"code": f"sha256:{hashlib.sha256(data).hexdigest()}"}
