"""Draws and what is made of them, each once: what a planned table or grid has in common. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ticketctl.recipe import Recipe
from ticketctl.stages.finished import finished_draw
from ticketctl.stages.measured import Reading
from ticketctl.stages.tweaking import Names

SPENT = ("model", "data", "train", "spend", "keep", "seeds", "tweaks")
"""Tables of a recipe that a spend has."""


@dataclass(frozen=True)
class Draw:
    """A draw: where it lies says what it is."""

    folder: Path
    seed: int
    name: str = field(compare=False)
    """Of its recipe."""
    recipe: Recipe = field(compare=False)

    @property
    def done(self) -> bool:
        """Whether nothing is left of it to do.

        Raises:
            MismatchError: another draw was begun there.
        """
        return finished_draw(self.recipe, self.seed, self.folder) is not None


@dataclass(frozen=True)
class Use:
    """A level of a draw, trained somehow, under the draw's seed."""

    draw: Draw
    control: str
    sets: tuple[str, ...]
    """`KEY=VALUE` by which the spend differs from the draw."""
    level: int | None
    """None: the deepest, where the draw prunes once."""
    tweaks: Names


@dataclass(frozen=True)
class Place:
    """A place in a table or grid: what is reported there, of one seed."""

    labels: Mapping[str, str]
    """Row and cell of a table, or what a combination has on each axis."""
    seed: int
    use: Use
    metric: str


class Agenda(Protocol):
    """What is to be made, whoever asked for it."""

    @property
    def workspace(self) -> Path:
        """Where all of it lies or will lie."""

    @property
    def draws(self) -> tuple[Draw, ...]:
        """Each once."""

    @property
    def uses(self) -> tuple[Use, ...]:
        """What is spent of them."""

    @property
    def audits(self) -> tuple[tuple[Reading, Use], ...]:
        """Reports that are read, and of what."""


@dataclass(frozen=True)
class Part:
    """An agenda of a few pieces of another."""

    workspace: Path
    draws: tuple[Draw, ...]
    uses: tuple[Use, ...] = ()
    audits: tuple[tuple[Reading, Use], ...] = ()
