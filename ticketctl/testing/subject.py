"""What every claim is about: a method, named by a subclass, and the one draw that most claims look at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ticketctl.testing.case import Case, Drawn
from ticketctl.testing.stops import killed, spread
from ticketctl.testing.watch import replaced


class Folders(Protocol):
    """Pytest's `tmp_path_factory`."""

    def mktemp(self, basename: str) -> Path:
        """A new folder."""


class Subject:
    """The attributes that a subclass sets."""

    method: ClassVar[str]
    """Its name, as users type it."""
    keys: ClassVar[Mapping[str, Any]] = {}
    """Keys of `[draw]`: the method's own, `rewind`, or `rounds` in the place of a density."""
    density: ClassVar[str | None] = "3/20"
    """Kept share of the net's 644 prunable weights; none where the method sets its own."""
    tables: ClassVar[Mapping[str, Any]] = {}
    """Other tables of the recipe, e.g. {"train": {"epochs": 5}}."""
    sets_density: ClassVar[bool] = False
    """The density that comes out is not the one asked for (or the module says so by SETS_DENSITY)."""
    seeded: ClassVar[bool] = True
    """Another seed gives another mask; false for a mask that depends on neither weights nor chance."""
    nested: ClassVar[bool | None] = None
    """The mask of a density lies in that of twice the density, of one seed; none: if FACTS["nested"] says yes."""
    kills: ClassVar[int] = 3
    """At how many moments a draw is killed."""

    _made: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls._made = {}

    def case(self, tmp_path_factory: Folders) -> Case:
        """The method with its keys, in a folder that all claims share."""
        if "case" not in self._made:
            folder = tmp_path_factory.mktemp(self.method)
            with no_waiting():
                self._made["case"] = Case(self.method, self.keys, self.density, self.tables, folder)
        found: Case = self._made["case"]
        return found

    def drawn(self, tmp_path_factory: Folders) -> Drawn:
        """The draw with seed 0."""
        if "drawn" not in self._made:
            case = self.case(tmp_path_factory)
            with no_waiting():
                self._made["drawn"] = case.drawn()
        found: Drawn = self._made["drawn"]
        return found

    def killed(self, tmp_path_factory: Folders) -> tuple[Path, list[Path]]:
        """The same draw as the command makes it, finished, and as it stood at some moments on its way."""
        if "killed" not in self._made:
            case, drawn = self.case(tmp_path_factory), self.drawn(tmp_path_factory)
            folder = case.new_folder() / "seed-0"
            with no_waiting():
                copies = killed(case.ticket, folder, spread(drawn.asked, self.kills))
            self._made["killed"] = folder, copies
        found: tuple[Path, list[Path]] = self._made["killed"]
        return found

    def sets_its_own_density(self, case: Case) -> bool:
        """Whether the density that was asked for need not come out."""
        return self.sets_density or bool(getattr(case.module, "SETS_DENSITY", False))


def no_waiting() -> AbstractContextManager[None]:
    """Nobody pulls the plug here: the disk need not be waited for."""
    return replaced(os, fsync=lambda handle: None)
