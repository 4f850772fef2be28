"""The small dense net of a ticket: the same family, depth, seed and recipe, and as many weights as the ticket keeps.

It is what a ticket must beat besides its dense net (paper 004, Figure 11). It is drawn as dense nets are, as level 0 of
a draw without rounds under `model.widths`, so it lies where `draw` would put it, is found by what looks for dense nets
in a workspace, and a draw that was typed by hand with the same widths is the same run.
"""

from __future__ import annotations

from pathlib import Path

from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import UsageError
from ticketctl.nets.widths import Sibling, small_dense
from ticketctl.recipe import DrawSpec, Recipe, SpendSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.draw import draw
from ticketctl.stages.outset import seeds_for
from ticketctl.stages.request import run_folder
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.wallet import Chosen

METHOD = "imp"
"""Whose level 0 is the dense net."""


def sibling_of(ticket: Ticket, level: int, recipe: Recipe) -> Sibling:
    """The widths of the small dense net for the ticket's `level`.

    Raises:
        UsageError: level 0, a level that keeps nothing, or a net whose widths are fixed.
    """
    if level == 0:
        raise UsageError("level 0 is the dense net itself: a small dense net is as large as a pruned level")
    arch, options = ticket.manifest.arch, {}
    if recipe.model.conv_bias is not None:
        options["conv_bias"] = recipe.model.conv_bias
    return small_dense(
        arch.name,
        sum(int(keep.sum()) for keep in ticket.mask(level).values()),
        shape=(arch.in_chans, *arch.size),
        classes=arch.num_classes,
        preset=_preset(recipe),
        options={**options, "stem": recipe.model.stem},
    )


def small_recipe(ticket: Ticket, level: int, seed: int, recipe: Recipe) -> Recipe:
    """`recipe`, a draw's or a spend's of the ticket, for the small dense net: the model's widths and no rounds.

    As in a spend, order and augmentation follow `seed`; initialisation, split, labels and subset stay the draw's.

    Raises:
        UsageError: as `sibling_of`.
    """
    found = sibling_of(ticket, level, recipe)
    model = recipe.model.model_copy(update={"width": type(found.width)(1), "widths": found.widths})
    dense = DrawSpec(method=METHOD, rounds=0, prunable=_preset(recipe))
    drawn = dict(ticket.manifest.draw.seeds)
    streams = seeds_for(recipe, seed, Seeds(drawn.pop("root"), drawn)).override
    seeds = recipe.seeds.model_copy(update=dict(streams))
    plain = {"spend": SpendSpec(), "tweaks": {}}
    return recipe.model_copy(update={"model": model, "draw": dense, "seeds": seeds, **plain})


def small_folder(ticket: Ticket, level: int, seed: int, recipe: Recipe, workspace: Path) -> Path:
    """Where that net is drawn, or was."""
    return run_folder(small_recipe(ticket, level, seed, recipe), seed, None, workspace)


def small_folders(chosen: Chosen, workspace: Path) -> list[tuple[int, int, Path]]:
    """Level, seed and folder of the small dense nets that a spend asks for; none, unless `spend.small` is set.

    Raises:
        UsageError: as `sibling_of`.
    """
    if not chosen.recipe.spend.small:
        return []
    wanted = [(level, seed) for level in chosen.levels if level for seed in chosen.seeds]
    return [
        (level, seed, small_folder(chosen.ticket, level, seed, chosen.recipe, workspace))
        for level, seed in wanted
    ]


def spend_small(
    ticket: Ticket, level: int, seed: int, recipe: Recipe, workspace: Path, around: Surroundings
) -> Run:
    """Train the small dense net, or find it trained.

    Raises:
        UsageError: as `sibling_of`.
        LockedError, StoppedError, UnavailableError, DivergedError, ResourceError: as `stages.draw.draw`.
    """
    folder = small_folder(ticket, level, seed, recipe, workspace)
    draw(small_recipe(ticket, level, seed, recipe), seed, folder, around)
    return open_run(folder / "levels" / "0")


def _preset(recipe: Recipe) -> str:
    return recipe.draw.prunable if recipe.draw else "default"
