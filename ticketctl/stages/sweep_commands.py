"""The commands that make a place of a sweep again, without the sweep: its draw, and its spend. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ticketctl.errors import TicketctlError
from ticketctl.stages.agenda import Draw, Use
from ticketctl.stages.errands import spend_recipe_of
from ticketctl.stages.finished import CONTROLS
from ticketctl.stages.jobs import Plan
from ticketctl.stages.repeat import draw_line, spend_line
from ticketctl.stages.request import Typed
from ticketctl.stages.sweep_entries import Entry

DEFAULT = "runs"
"""The workspace where none is named."""


@dataclass(frozen=True, eq=False)
class Repeats:
    """Command lines, worked out once for all that share them."""

    plan: Plan
    workspace: str = DEFAULT
    """As it stands in the lines."""
    lines: dict[object, str] = field(default_factory=dict)

    def of(self, entries: Sequence[Entry]) -> list[str]:
        """What makes the runs of one combination: a line that draws, for all its seeds, and for each seed its spend."""
        draws = list(dict.fromkeys(entry.use.draw for entry in entries))
        same: dict[Path, list[Draw]] = {}
        for draw in draws:
            same.setdefault(draw.folder.parent, []).append(draw)
        found = [self._draw(mine[0], [one.seed for one in mine]) for mine in same.values()]
        spends = [self._spend(entry.use, entry) for entry in entries if entry.job.kind != "draw"]
        return list(dict.fromkeys([*found, *spends]))

    def line(self, entry: Entry) -> str:
        """The same of one seed, as one line for a shell."""
        return " && ".join(self.of([entry]))

    def _draw(self, draw: Draw, seeds: Sequence[int]) -> str:
        key = (draw.folder.parent, *seeds)
        if key not in self.lines:
            bare = self._bare(draw)
            self.lines[key] = bare and _seeded(bare, seeds)
        return self.lines[key]

    def _bare(self, draw: Draw) -> str:
        """Of seed 0: what differs from the base is worked out once."""
        key = ("draw", draw.folder.parent)
        if key not in self.lines:
            try:
                self.lines[key] = draw_line(Typed(recipe=draw.name), draw.recipe, [0], self._where)
            except (TicketctlError, AssertionError):  # no base, or a dense net alone: the plan knows it
                self.lines[key] = self._swept
        return self.lines[key]

    def _spend(self, use: Use, entry: Entry) -> str:
        level = use.level if use.level is not None else entry.ticket.level if entry.ticket else 1
        key = (use.draw.folder.parent, use.sets, use.tweaks)
        if key not in self.lines:
            sets = [use.tweaks] if use.tweaks else []
            try:
                bare = spend_line(
                    Path("T"), [0], [0], use.draw.recipe, spend_recipe_of(use), self._where, sets
                )
            except (TicketctlError, AssertionError):
                bare = ""
            self.lines[key] = bare
        bare = self.lines[key]
        return _filled(bare, self._ticket(use), level, use.draw.seed) if bare else self._swept

    def _ticket(self, use: Use) -> str:
        within = use.draw.folder.relative_to(self.plan.workspace)
        place = Path(self.workspace) / within
        return str(place / CONTROLS / use.control / "ticket" if use.control else place / "ticket")

    @property
    def _swept(self) -> str:
        return shlex.join(["ticketctl", "sweep", self.plan.id, *self._where])

    @property
    def _where(self) -> list[str]:
        return [] if self.workspace == DEFAULT else ["--workspace", self.workspace]


def _seeded(line: str, seeds: Sequence[int]) -> str:
    return line.replace(" --seed 0", f" --seed {','.join(map(str, sorted(seeds)))}", 1)


def _filled(line: str, ticket: str, level: int, seed: int) -> str:
    head = "ticketctl spend T --level 0 --seed 0"
    return line.replace(head, f"ticketctl spend {shlex.quote(ticket)} --level {level} --seed {seed}", 1)
