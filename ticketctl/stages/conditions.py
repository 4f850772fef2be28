"""What else than weights, data, seeds and keys the values of an audit may depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from ticketctl import plugins
from ticketctl.train.device import Place
from ticketctl.train.feed import Images

FLAGS = ("allow_tf32", "deterministic", "benchmark")
"""What of cuDNN a value may depend on."""


def versions() -> dict[str, str]:
    """Of packages that images and values are made with."""
    return {"numpy": np.__version__, "pillow": PIL.__version__}


def machine(place: Place) -> dict[str, Any]:
    """What the last bits of a net's answers depend on beside the net."""
    return {**place.describe(), "threads": torch.get_num_threads()}


def own_images(images: Mapping[str, Images]) -> dict[str, str]:
    """Of the net's own sets, digests of which images they are and of their labels: splits and noise differ by seed."""
    found = {}
    for name, one in images.items():
        rows = np.arange(len(one)) if one.rows is None else one.rows
        digest = hashlib.sha256(np.asarray(rows, dtype="<i8").tobytes())
        digest.update(one.labels.cpu().numpy().astype("<i8").tobytes())
        found[name] = f"sha256:{digest.hexdigest()}"
    return found


def code(model: str, names: Sequence[str], kind: str = "metrics") -> dict[str, str]:
    """Of code that is not ours a version: of packages that plug-ins import, and digests of somebody's own modules."""
    found = {}
    if plugins.is_own("nets", model):
        found[f"net {model}"] = _digest_of(model.partition(":")[0])
    for name in names:
        plugin = plugins.plugins(kind)[name]
        if not plugin.module.startswith("ticketctl."):
            found[f"{kind.removesuffix('s')} {name}"] = _digest_of(plugin.module)
        for package in plugin.literals.get("IMPORTS", ()):
            found[package] = version_of(package)
    return found


def _digest_of(module: str) -> str:
    spec = find_spec(module)
    data = Path(spec.origin).read_bytes() if spec and spec.origin else b""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@cache
def version_of(package: str) -> str:
    """Of what is imported under this name, "" where it is not here."""
    names = packages_distributions().get(package, ())
    return version(names[0]) if names else ""


def flags() -> dict[str, Any]:
    """Arithmetic, and what of the backends a value may depend on."""
    cudnn = {f"cudnn.{name}": getattr(torch.backends.cudnn, name) for name in FLAGS}
    return {
        "precision": "f32", "mode": "eval", "threads": torch.get_num_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32, **cudnn,
    }  # fmt: skip
