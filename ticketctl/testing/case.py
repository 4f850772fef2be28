"""A method with its keys, on the embedded digits and a net of 644 weights: a draw takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ticketctl import plugins
from ticketctl.artifacts.ticket import Ticket
from ticketctl.progress import Silent
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import lay, parse_recipe
from ticketctl.stages.draw import draw
from ticketctl.stages.method import cost_in, inputs, method_of, target_of
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.testing.net import NAME
from ticketctl.testing.stops import Asked
from ticketctl.testing.watch import Watched, listening
from ticketctl.train.lab import Cost, Level
from ticketctl.train.state import State

Tables = Mapping[str, Any]

TABLES: dict[str, Any] = {
    "model": {"name": NAME},
    "data": {"name": "digits", "validation": "last:1000", "augment": "none"},
    "train": {
        "epochs": 3, "batch": 110, "lr": 0.05, "momentum": 0.9, "schedule": "cosine", "eval_every": 3, "threads": 1,
        "precision": "f32",
    },
}  # fmt: skip
"""438 images, 4 steps per epoch."""


def never() -> int | None:
    """Nobody asks to stop."""
    return None


@dataclass(frozen=True)
class Drawn:
    """What one draw gave, and what it left behind."""

    setting: Setting
    lab: Watched
    levels: list[Level]
    cost: Cost
    heard: list[str]
    strays: list[str]
    """Files outside its folder."""
    asked: int
    """How often it asked whether to stop."""


@dataclass
class Case:
    """What all claims about a method are tried on."""

    method: str
    keys: Mapping[str, Any]
    density: str | None
    tables: Tables
    folder: Path
    given: dict[str, str] = field(default_factory=dict)
    """Tickets that the method needs, by key."""
    draws: int = 0

    def __post_init__(self) -> None:
        for need in getattr(self.module, "NEEDS", ()):
            ticket = Case("random", {}, self.density or "3/20", self.tables, self.folder / f"given-{need}")
            ticket.ticket(ticket.folder / "seed-0")
            self.given[need] = str(ticket.folder / "seed-0" / "ticket")

    @property
    def module(self) -> ModuleType:
        """The method's code."""
        return plugins.load("draws", self.method)

    def recipe(self, changes: Tables | None = None) -> Recipe:
        """The recipe of every draw here, with other values laid over it."""
        own: dict[str, Any] = {"method": self.method, **self.given}
        own_density = getattr(self.module, "SETS_DENSITY", False)
        if self.density is not None and not own_density and not {"density", "rounds"} & self.keys.keys():
            own["density"] = self.density
        tables = lay(lay(TABLES, self.tables), {"draw": {**own, **self.keys}})
        return parse_recipe(lay(tables, changes or {}), where=f"the suite of {self.method}")

    def new_folder(self) -> Path:
        """Another one at each call; made by whoever uses it."""
        self.draws += 1
        return self.folder / f"{self.draws:02d}"

    def around(self, stop: Callable[[], int | None] = never) -> Surroundings:
        """Where a draw runs."""
        cpu = torch.device("cpu")
        cache = self.folder / "cache"
        return Surroundings(cpu, cache, Silent(), stop, offline=True, argv=("test",), workspace=self.folder)

    def ticket(self, folder: Path, stop: Callable[[], int | None] = never) -> Ticket:
        """Draw as the command does, into `folder`."""
        return draw(self.recipe(), 0, folder, self.around(stop))

    def setting(
        self, seed: int = 0, changes: Tables | None = None, stop: Callable[[], int | None] = never
    ) -> Setting:
        """Data, net and seeds."""
        recipe = self.recipe(changes)
        return prepare(recipe, seeds_of(recipe, seed), self.around(stop))

    def lab(self, setting: Setting, *, initial: State | None = None, poison: str = "") -> Watched:
        """What the method is handed, in a folder of its own."""
        spec = setting.recipe.draw
        assert spec is not None
        restart = spec.schedule == "restart"
        lab = setting.lab(self.new_folder(), rewind=setting.rewind_step(), restart=restart)
        lab.initial = initial or lab.initial
        given = inputs(setting.recipe, self.folder)
        lab.inputs = {name: one.mask for name, one in given.items()}
        return Watched.around(lab, poison=poison)

    def levels(self, setting: Setting, lab: Watched) -> Iterator[Level]:
        """The method's own generator."""
        method, params = method_of(setting.recipe)
        levels: Iterator[Level] = method.draw(lab, target=target_of(setting.recipe), params=params)
        return levels

    def drawn(
        self, *, seed: int = 0, changes: Tables | None = None, turn: Callable[[State], State] | None = None
    ) -> Drawn:
        """Draw, and watch; `turn` changes the initial state."""
        asked = Asked()
        setting = self.setting(seed, changes, asked)
        lab = self.lab(setting, initial=turn(setting.initial) if turn else None)
        here = self.folder / f"here-{self.draws}"
        here.mkdir()
        before = {path.name for path in self.folder.iterdir()}
        with listening() as heard, chdir(here):
            levels = list(self.levels(setting, lab))
        lab.look("at the end")
        after = {path.name for path in self.folder.iterdir()} - before - {lab.folder.name, "cache"}
        strays = sorted(after | {path.name for path in here.iterdir()})
        return Drawn(setting, lab, levels, cost_in(setting), heard, strays, asked.times)
