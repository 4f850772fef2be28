"""What the values of a report may depend on: the net, its data, seeds, and all else, as the report's head says it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from typing import Any

import numpy as np
import PIL
import torch

from ticketctl import __version__, plugins
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.report_models import Kind, ReportData
from ticketctl.artifacts.report_models import Subject as Said
from ticketctl.seeds import Seeds
from ticketctl.stages.setting import Setting
from ticketctl.train.device import Place
from ticketctl.train.feed import Images
from ticketctl.train.foreign_code import code_of

FLAGS = ("allow_tf32", "deterministic", "benchmark")
"""What of cuDNN a value may depend on."""


def head_of(kind: Kind, said: Said, setting: Setting, seeds: Seeds, recipe: Mapping[str, Any]) -> Report:
    """A report without values.

    Args:
        kind: of the report.
        said: the net.
        setting: its data, and where it is measured.
        seeds: of what is drawn.
        recipe: what else the values are a function of: plain JSON.
    """
    return Report(
        kind=kind,
        subject=said,
        data=ReportData(name=setting.base_name, fingerprint=setting.data.fingerprint),
        seeds={"root": seeds.root, **seeds.override},
        env={"ticketctl": __version__, **versions(), **setting.bench.place.describe(), **flags()},
        recipe=recipe,
        metrics=(),
    )


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


def code(
    model: str, names: Sequence[str], kind: str = "metrics", tweaks: Sequence[str] = ()
) -> dict[str, str]:
    """Of code that is not ours a version: of packages that plug-ins import, and digests of somebody's own modules.

    Args:
        model: the net: somebody's own, of another package's entry point, or of a zoo (torchvision, timm).
        names: what measures it.
        kind: of the plug-ins that `names` are.
        tweaks: what changed the net.
    """
    found = _code_of("nets", model)
    for name in tweaks:
        found |= _code_of("tweaks", name)
    for name in names:
        found |= _code_of(kind, name)
        served = plugins.serving(kind, name)
        for package in served.literals.get("IMPORTS", ()) if served else ():
            found[package] = version_of(package)
    return found


def _code_of(kind: str, name: str) -> dict[str, str]:
    """Of a plug-in that is not ours; nothing where it is."""
    found, (begin, colon, _) = code_of(kind, name), name.partition(":")
    if not found and colon and plugins.serving(kind, name):
        found = {"code": version_of(begin)}  # torchvision, timm
    return {f"{kind.removesuffix('s')} {name}": one for one in found.values()}


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
