"""What all trainings of a spend share, settled before the first of them: data, net, and whether everything fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ticketctl.artifacts.run import open_run
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import streams_of
from ticketctl.seeds import Seeds
from ticketctl.stages.beginning import beginning
from ticketctl.stages.dressing import teacher_of
from ticketctl.stages.ranked import prepared
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.stages.sound import check_spend, try_on
from ticketctl.stages.wallet import Job
from ticketctl.train.rank_lab import check_hooks


def setting_of(todo: Sequence[Job], recipe: Recipe, draw_seeds: Seeds, around: Surroundings) -> Setting:
    """The setting of a spend's trainings, once all tickets and tweaks were tried on it: what cannot be is refused
    before anything is trained.

    Order and augmentation alone follow the seed: data, split and net are the same for all jobs, of which there is one
    or more.

    Raises:
        UnavailableError: the data cannot be had.
        UsageError: a ticket or tweak does not fit the data or the net.
    """
    seeds = seeds_for(recipe, todo[0].seed, draw_seeds)
    setting = prepared(recipe, seeds, around, todo[0].ticket)
    for job in {job.ticket.folder: job for job in todo}.values():
        beginning(job.ticket, job.level, setting)
    check_spend(setting, recipe, seeds)
    for job in {(job.ticket.folder, job.level, job.tweaks): job for job in todo if job.tweaks}.values():
        mask, start, _ = beginning(job.ticket, job.level, setting)
        after = job.after is not None
        outfit = try_on(setting, job.recipe, seeds, mask, ticket=job.ticket, sequel=after, begun=start.step)
        if around.ranks is not None:
            check_hooks(outfit.hooks)
        if isinstance(job.teacher, Path):
            teacher_of(open_run(job.teacher) if job.teacher.is_dir() else job.teacher, setting)
    return setting


def seeds_for(recipe: Recipe, seed: int, draw_seeds: Seeds) -> Seeds:
    """Order and augmentation follow the spend's seed; initialisation, split, labels and subset stay the draw's."""
    kept = {stream: draw_seeds.of(stream) for stream in ("init", "split", *streams_of(recipe.data))}
    # a stream at its root is not written down: the run would have another id than the draw's own
    apart = {stream: root for stream, root in kept.items() if root != seed}
    return Seeds(seed, {**apart, **recipe.seeds.model_dump(exclude_none=True)})
