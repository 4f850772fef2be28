"""`ticketctl doctor`."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ticketctl import __version__
from ticketctl.cli import options as opt
from ticketctl.cli.output import print_json, print_table

LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "safetensors",
    "zarr",
    "numcodecs",
    "huggingface_hub",
    "typer",
    "pydantic",
)


def doctor(workspace: opt.Workspace = opt.DEFAULT_WORKSPACE, json: opt.Json = False) -> None:
    """Say what this machine has: versions, device, arithmetic, folders, space, and what is amiss."""
    rows = [("ticketctl", __version__, ""), ("python", sys.version.split()[0], "")]
    rows += [(name, *_installed(name)) for name in LIBRARIES]
    rows += _machine()
    rows += [_folder("workspace", workspace), _folder("cache", _cache())]
    if json:
        print_json([{"what": what, "found": found, "amiss": amiss} for what, found, amiss in rows])
    else:
        print_table(["what", "found", ""], [list(row) for row in rows], left=3)


def _installed(name: str) -> tuple[str, str]:
    try:
        return version(name), ""
    except PackageNotFoundError:
        return "-", "not installed"


def _machine() -> list[tuple[str, str, str]]:
    from ticketctl.cli.devices import resolve
    from ticketctl.train.device import Place, has_bf16
    from ticketctl.train.threads import threads_here

    device = resolve("auto")
    facts = Place(device, "f32").describe()
    slow = "" if device.type == "cuda" else "no GPU: small nets only"
    bf16, threads = has_bf16(device), threads_here()
    return [
        ("device", f"{facts['device']}: {facts['device_name']}", slow),
        ("cpu threads", f"{threads.number}, {threads.why}", ""),
        ("bfloat16", "in hardware" if bf16 else "no", "" if bf16 else "trainings run in float32"),
    ]


def _cache() -> Path:
    from ticketctl.data.load import default_cache

    return default_cache()


def _folder(what: str, folder: Path) -> tuple[str, str, str]:
    above = next(
        (path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()), Path("/")
    )
    free = shutil.disk_usage(above).free
    amiss = "" if os.access(above, os.W_OK) else "not writable"
    amiss = amiss if above.is_dir() else f"{above} is a file"
    return what, f"{folder}, {free / 1e9:.1f} GB free", amiss or ("nearly full" if free < 1e9 else "")
