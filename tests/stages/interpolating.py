"""Interpolations of a tiny ladder, by the very stages that the command goes through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.stages import tiny
from ticketctl.artifacts.report import Report
from ticketctl.recipe_explore import InterpolateRecipe
from ticketctl.seeds import Seeds
from ticketctl.stages.between import between
from ticketctl.stages.explored import explored
from ticketctl.stages.interpolate import Interpolation, interpolate, interpolation
from ticketctl.stages.named import Asked, named
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.subject import Opener

FEW = ("curves.line.alphas=4", "curves.line.sets=['val']")


def asked(
    around: Surroundings,
    workspace: Path,
    names: Sequence[str],
    *sets: str,
    curves: str | None = None,
    level: str | None = None,
    seed: int = 0,
) -> list[Interpolation]:
    """All that a command of these nets would measure; those opened last hold their weights."""
    found = explored("interpolate", curves, sets, None, None)
    assert isinstance(found.recipe, InterpolateRecipe)
    nets = named(Asked(names, level, workspace=workspace, sets=found.sets))
    pairs = between(nets, found.recipe.chosen, found.recipe.interpolate, found.sets)
    return [
        interpolation(pair, found, Seeds(seed), Opener(around)) for pair in pairs
    ]  # each with a net of its own


def interpolated(
    folder: Path,
    names: Sequence[str] | None = None,
    *sets: str,
    curves: str | None = None,
    seed: int = 0,
    stop: Callable[[], int | None] = tiny.never,
) -> Report:
    """The report between the two levels of the draw in `folder`, or about or between nets that are named."""
    places = [str(folder / "levels/0"), str(folder / "levels/1")] if names is None else names
    around = tiny.around(folder.parent / "cache", stop)
    (one,) = asked(around, folder.parent, places, *(sets or FEW), curves=curves, seed=seed)
    return interpolate(one)
