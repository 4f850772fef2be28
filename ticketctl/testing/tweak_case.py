"""A tweak with its keys, on a ticket of the embedded digits: a spend of 8 steps takes a tenth of a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ticketctl import plugins
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.masks.mask import Mask
from ticketctl.progress import Silent
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import lay, parse_recipe
from ticketctl.stages.draw import draw
from ticketctl.stages.dressing import Outfit, dress
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.stages.spend import spend
from ticketctl.stages.spent import Spent
from ticketctl.stages.tweaking import check_keys, literal, tweak_set
from ticketctl.stages.wallet import Job, jobs
from ticketctl.testing.case import Tables, never
from ticketctl.testing.net import NAME
from ticketctl.testing.stops import Asked
from ticketctl.testing.tweak_watch import Attendance, attended
from ticketctl.testing.watch import listening
from ticketctl.train.device import settle_arithmetic

TABLES: dict[str, Any] = {
    "model": {"name": NAME},
    "data": {"name": "digits", "validation": "last:1000", "augment": "none"},
    "train": {"epochs": 2, "batch": 110, "lr": 0.05, "momentum": 0.9, "threads": 1, "precision": "f32"},
    "draw": {"method": "imp", "rounds": 3, "rate": "1/2"},
}
"""438 images, 4 steps per epoch; levels of 322, 161 and 81 of 644 weights."""

LEVEL = 2
"""That is spent: it has neighbours on both sides."""

ROOT = "seed-0"


def surroundings(cache: Path, workspace: Path, stop: Callable[[], int | None] = never) -> Surroundings:
    """Where draws and spends run."""
    cpu = torch.device("cpu")
    return Surroundings(cpu, cache, Silent(), stop, offline=True, argv=("test",), workspace=workspace)


def recipe_of(tables: Tables) -> Recipe:
    """Of the ticket, with other values laid over TABLES."""
    return parse_recipe(lay(TABLES, tables), where="the suite of tweaks")


def drawn(tables: Tables, folder: Path) -> Path:
    """The ticket that all suites of the same tables spend, drawn below `folder` by the first of them.

    Returns:
        The folder with `ticket` and `levels` in it.
    """
    recipe = recipe_of(tables)
    place = folder / f"drawn-{recipe.fingerprint}" / ROOT
    if not (place / "ticket" / "ticket.json").is_file():
        draw(recipe, 0, place, surroundings(place.parent / "cache", place.parent))
    return place


@dataclass(frozen=True)
class Bought:
    """What one spend gave, and what it left behind."""

    spent: list[Spent]
    attendance: Attendance
    heard: list[str]
    strays: list[str]
    """Files outside its run."""
    asked: int
    """How often it asked whether to stop."""

    @property
    def run(self) -> Run:
        """The tweaked run."""
        return self.spent[-1].run

    @property
    def after(self) -> Run | None:
        """The run without the tweak that a sequel began from."""
        before = self.spent[-1].job.after
        return next((each.run for each in self.spent if before and each.job.folder == before.folder), None)


@dataclass
class TweakCase:
    """What all claims about a tweak are tried on."""

    name: str
    keys: Mapping[str, Any]
    tables: Tables
    origin: Path
    """The drawn ticket's folder, which stays as it is."""
    folder: Path
    copies: int = 0

    @property
    def module(self) -> ModuleType:
        """The tweak's code."""
        return plugins.load("tweaks", self.name)

    def says(self, constant: str, default: Any) -> Any:
        """A literal constant of the module."""
        return literal(self.name, constant, default)

    @property
    def ticket(self) -> Ticket:
        """As it was drawn."""
        return open_ticket(self.origin / "ticket")

    @property
    def mask(self) -> Mask:
        """Of the level that is spent."""
        return Mask.from_arrays(self.ticket.mask(LEVEL))

    def recipe(self, keys: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of a spend, with these keys of the tweak instead of the usual ones."""
        tables = {"tweaks": {self.name: dict(self.keys if keys is None else keys)}, "spend": {"dense": False}}
        found = recipe_of(lay(self.tables, tables))
        check_keys(found)
        return found

    def new_folder(self) -> Path:
        """A copy of the ticket and its levels, in a workspace of its own."""
        self.copies += 1
        return shutil.copytree(self.origin, self.folder / f"{self.copies:02d}" / ROOT)

    def around(self, folder: Path, stop: Callable[[], int | None] = never) -> Surroundings:
        """Where the ticket in `folder` is spent."""
        return surroundings(self.origin.parent / "cache", folder.parent, stop)

    def jobs(
        self, folder: Path, recipe: Recipe, *, seed: int = 0, beside: Sequence[str] = (), plain: bool = False
    ) -> list[Job]:
        """What is trained in `folder`: the tweak and those `beside` it, or nothing but what they start from."""
        names = () if plain else tweak_set([self.name, *beside])
        ticket = open_ticket(folder / "ticket")
        return jobs([ticket], [LEVEL], [seed], recipe, [names], folder.parent)

    def spend(
        self,
        folder: Path,
        stop: Callable[[], int | None] = never,
        *,
        seed: int = 0,
        keys: Mapping[str, Any] | None = None,
        beside: Sequence[str] = (),
        plain: bool = False,
    ) -> list[Spent]:
        """Spend the ticket in `folder` as the command does; the run that is asked for is the last."""
        recipe = self.recipe(keys)
        todo = self.jobs(folder, recipe, seed=seed, beside=beside, plain=plain)
        return list(spend(todo, recipe, seeds_of(recipe, 0), self.around(folder, stop)))

    def bought(self, folder: Path | None = None, **wish: Any) -> Bought:
        """Spend, and watch; `wish` as in `spend`."""
        folder = folder or self.new_folder()
        asked = Asked()
        here = self.folder / f"here-{folder.parent.name}"
        here.mkdir()
        before = _below(folder.parent)
        settle_arithmetic(
            self.recipe().train, torch.device("cpu")
        )  # its threads are the process's, not a trace
        mask = None if self.says("DENSE", False) or self.moves_mask else self.mask
        with attended(self.module, mask) as attendance, listening() as heard, chdir(here):
            spent = self.spend(folder, asked, **wish)
        runs = {each.job.folder for each in spent}
        new = _below(folder.parent) - before
        strays = [path for path in new if not runs & {path, *path.parents} and not any(_holds(path, runs))]
        found = sorted(path.relative_to(folder.parent).as_posix() for path in strays)
        return Bought(
            spent, attendance, heard, found + sorted(path.name for path in here.iterdir()), asked.times
        )

    def setting(self) -> Setting:
        """Data, plain net and seeds of a spend."""
        recipe = self.recipe()
        return prepare(recipe, seeds_of(recipe, 0), self.around(self.origin))

    def dressed(self, setting: Setting, keys: Mapping[str, Any]) -> Outfit:
        """The tweak with these keys, tried on as a spend does it before anything is trained."""
        recipe = self.recipe(keys)
        named = recipe.spend.model_copy(update={"tweaks": (self.name,)})
        recipe = recipe.model_copy(update={"spend": named})
        return dress(setting, recipe, setting.seeds, self.mask, ticket=self.ticket, teacher=None)

    @property
    def moves_mask(self) -> bool:
        """Whether it is free to hold other weights at zero than the ticket does."""
        return plugins.plugins("tweaks")[self.name].facts.get("changes") == "mask"


def _below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _holds(path: Path, runs: set[Path]) -> list[bool]:
    return [path in run.parents for run in runs]
