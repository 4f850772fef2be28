"""Draws and spends of the embedded digits that take a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ticketctl.artifacts.ticket import Ticket
from ticketctl.progress import Reporter, Silent
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import assignments, merge, parse_recipe
from ticketctl.stages.draw import draw as run_draw
from ticketctl.stages.request import Typed
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.spend import spend as run_spend
from ticketctl.stages.spent import Spent
from ticketctl.stages.wallet import Wanted, prepare_spend

TABLES: dict[str, Any] = {
    "model": {"name": "lenet-300-100"},
    "data": {"name": "digits", "validation": "last:200", "augment": "none"},
    "train": {
        "epochs": 2, "batch": 256, "lr": 0.05, "momentum": 0.9, "schedule": "cosine", "threads": 1, "precision": "f32",
    },
    "draw": {"method": "imp", "rounds": 2, "rate": "1/2"},
}  # fmt: skip
PER_EPOCH = 5
"""1,438 - 200 images in batches of 256."""


def recipe(*sets: str, tables: Mapping[str, Any] = TABLES) -> Recipe:
    """The tiny recipe with `KEY=VALUE` changes."""
    return parse_recipe(merge(tables, assignments(sets)), where="tiny")


def never() -> int | None:
    return None


def around(
    cache: Path, stop: Callable[[], int | None] = never, reporter: Reporter | None = None
) -> Surroundings:
    return Surroundings(torch.device("cpu"), cache, reporter or Silent(), stop, offline=True, argv=("test",))


def draw(folder: Path, *sets: str, seed: int = 0, stop: Callable[[], int | None] = never) -> Ticket:
    return run_draw(recipe(*sets), seed, folder, around(folder.parent / "cache", stop))


def spend(
    folder: Path,
    *sets: str,
    levels: str | None = "all",
    seeds: Sequence[int] | None = None,
    controls: bool = False,
    tweaks: Sequence[str] = (),
    stop: Callable[[], int | None] = never,
    reporter: Reporter | None = None,
) -> list[Spent]:
    """Spend the ticket that was drawn into `folder`."""
    wanted = Wanted(
        str(folder),
        levels,
        list(seeds) if seeds else None,
        controls,
        folder.parent,
        Typed(sets=sets),
        tuple(tweaks),
    )
    chosen = prepare_spend(wanted)
    surroundings = around(folder.parent / "cache", stop, reporter)
    return list(run_spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, surroundings))


def files_below(folder: Path, *but: str) -> dict[str, bytes]:
    """Every file below `folder`, but locks, provenance and whatever lies below a folder of these names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in ("provenance.json", ".lock")
        and not {*but} & {*path.relative_to(folder).parts[:-1]}
    }


class Heard(Silent):
    """Remembers notes and the trainings that began."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def phase(self, name: str, epochs: float, done: float) -> None:
        self.phases.append(name)
