"""Draws and spends that several processes share: what rank 0 tells the others, and what they do with it.

Rank 0 does all that is done once: it looks, locks, fetches, writes. The others load what it has fetched, run the same
method or the same jobs, and so take part in every training (`train.ranks`); what they would write is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.finished import WORK
from ticketctl.stages.identity import check_ticket_data
from ticketctl.stages.method import inputs, lab_for, method_of, target_of
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.train.ranks import Ranks


def settled_in(setting: Setting) -> dict[str, Any]:
    """What the machine has decided: it belongs to the bits."""
    return {"precision": setting.recipe.train.precision, "threads": setting.recipe.train.threads}


def as_settled(recipe: Recipe, settled: Mapping[str, Any]) -> Recipe:
    """The recipe with what was settled before."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=dict(settled))})


def prepared(recipe: Recipe, seeds: Seeds, around: Surroundings, ticket: Ticket | None = None) -> Setting:
    """As `prepare`, where ranks share the work rank 0 first: it fetches what is missing, and settles for all.

    Raises:
        UnavailableError: the data cannot be had.
        UsageError: the recipe does not fit the data or the net, or is not for several devices.
        MismatchError: the ticket's data were changed in place since it was drawn.
    """
    ranks = around.ranks
    if ranks is None:
        return _checked(prepare(recipe, seeds, around, ticket), ticket, around)
    refuse_kept(recipe)
    if not ranks.leads:
        return prepare(as_settled(recipe, ranks.told()["settled"]), seeds, around, ticket)
    setting = _checked(prepare(recipe, seeds, around, ticket), ticket, around)
    ranks.told({"settled": settled_in(setting)})
    return setting


def refuse_kept(recipe: Recipe) -> None:
    """Refuse what several devices cannot share.

    Raises:
        UsageError: the optimizer goes on from what the draw's knew.
    """
    if recipe.spend.optimizer == "kept":
        raise UsageError(
            "--devices: spend.optimizer = kept is not supported on several devices; take --devices 1"
        )


def _checked(setting: Setting, ticket: Ticket | None, around: Surroundings) -> Setting:
    """The setting of a spend, unless its ticket's data were changed since the draw."""
    if ticket is not None:
        check_ticket_data(ticket, setting.recipe.data, around.data_dir, here=setting.data.fingerprint)
    return setting


def tell_draw(setting: Setting, *, todo: bool) -> None:
    """Rank 0: whether there is anything to draw, once it is sure of it."""
    if setting.bench.ranks is not None:
        setting.bench.ranks.told({"todo": todo, "settled": settled_in(setting)})


def tell_drawn(setting: Setting) -> None:
    """Rank 0: the ticket is there."""
    if setting.bench.ranks is not None:
        setting.bench.ranks.told({"drawn": True})


def follows(around: Surroundings) -> bool:
    """Whether another process leads this work."""
    return around.ranks is not None and not around.ranks.leads


def follow_draw(recipe: Recipe, seed: int, folder: Path, around: Surroundings) -> Ticket:
    """Take part in the draw that rank 0 makes in `folder`; the ticket that it has written."""
    assert around.ranks is not None
    told = around.ranks.told()
    if told["todo"]:
        setting = prepare(as_settled(recipe, told["settled"]), seeds_of(recipe, seed), around)
        method, params = method_of(setting.recipe)
        lab = lab_for(setting, folder / WORK / "fits", inputs(setting.recipe, around.workspace))
        for _ in method.draw(lab, target=target_of(setting.recipe), params=params):
            pass  # rank 0 writes the level
    around.ranks.told()
    return open_ticket(folder / "ticket")


def follow_job(ranks: Ranks, train: Callable[[], object]) -> tuple[Path, bool]:
    """Take part in one training of a spend, if rank 0 finds that there is one to do; its run, and whether there was."""
    told = ranks.told()
    if told.get("train"):
        train()
        told = ranks.told()
    return Path(told["run"]), bool(told["trained"])
