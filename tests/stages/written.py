"""Runs as a spend writes them, but for their weights: a thousand ones, of which the mask keeps some."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.artifacts.samples import ARCH, DATA
from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.run import Run, write_run
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.recipe_files import lay, parse_recipe, read_recipe
from ticketctl.store.tensors import Tensor

SIZE = 1000
IMP = "papers/001-toast/imp-resnet18-cifar100"
TICKET = "tk1" + "a" * 29

tables = cache(read_recipe)


def recipe_record(name: str, changes: Mapping[str, Any]) -> Any:
    """The resolved recipe as a manifest holds it."""
    return to_record(parse_recipe(lay(tables(name), changes), where=name).record())


def run(
    folder: Path,
    accuracy: float | str,
    *,
    seed: int = 0,
    kept: int | None = 107,
    tweaks: Sequence[str] = (),
    recipe: str = IMP,
    changes: Mapping[str, Any] | None = None,
    level: int = 10,
    ticket: str = TICKET,
    **more: Any,
) -> Run:
    """A run in `folder`; `kept` None makes a dense net."""
    folder.mkdir(parents=True)
    record = recipe_record(recipe, changes or {})
    keep = None if kept is None or kept == SIZE else np.arange(SIZE) < kept
    weights = np.ones(SIZE, "f4") if keep is None else keep.astype("f4")
    options: dict[str, Any] = {
        "ticket": "dense" if kept is None else ticket,
        "level": 0 if kept is None else level,
        "arch": {**ARCH, "name": record["model"]["name"], "tweaks": list(tweaks)},
        "seeds": {"root": seed},
        "recipe": record,
        "training_id": "sha256:" + hashlib.sha256(str(folder).encode()).hexdigest(),
        "start": {"role": "init", "step": 0, "digest": "sha256:" + "0" * 64},
        "data": {**DATA, "name": record["data"]["name"]},
        "metrics": {"test.accuracy": accuracy},
        "cost": {"steps": 1, "images": 1, "epochs": 1},
        "weights": {"conv.weight": Tensor.of(weights)},
        "keep": None if keep is None else {"conv.weight": keep},
        "prunable": SIZE,
    }
    return write_run(folder, **{**options, **more})


def drawn(folder: Path, *, kept: int = 107, recipe: str = IMP, changes: Mapping[str, Any] | None = None,
          control: str | None = None) -> Ticket:  # fmt: skip
    """The ticket in `folder`, of one level."""
    folder.mkdir(parents=True)
    record = recipe_record(recipe, changes or {})
    line = {"level": 10, "kept": kept, "empty_layers": [], "cut": False, "effective": None, "metrics": {}}
    return write_ticket(
        folder,
        arch={**ARCH, "name": record["model"]["name"]},
        keep={"conv.weight": np.arange(SIZE) < kept},
        init={"conv.weight": Tensor.of(np.ones(SIZE, "f4"))},
        draw={
            "method": record["draw"]["method"],
            "rounds": 10,
            "params": {},
            "recipe": record,
            "data": {**DATA, "name": record["data"]["name"]},
            "seeds": {"root": 0},
            "levels": [line],
            "cost": {"steps": 1, "images": 1, "epochs": 1},
            "parents": [],
        },
        ladder=None,
        level=10,
        init_step=0,
        init_epoch=0,
        control=None if control is None else {"kind": control, "of": TICKET},
    )
