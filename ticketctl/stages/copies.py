"""Runs that are one training: of copies, the one that says most stands for all. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ticketctl.stages.subjects import Subject


def without_copies(runs: Sequence[Subject]) -> list[Subject]:
    """Each training once: one with its ticket beside it, of these one with reports, of these one that recorded more.

    Runs of one `training_id` and with the same weights are one training; so are those of one recipe, but for what it
    records along the way, with the same weights.
    """
    alone = _first_by(lambda run: (run.manifest.training_id, run.manifest.weights.digest), runs)
    return _first_by(_recipe_of, alone)


def _first_by(key: Any, runs: Sequence[Subject]) -> list[Subject]:
    found: dict[Any, Subject] = {}
    for run in sorted(runs, key=_says_less):
        found.setdefault(key(run), run)
    return [*found.values()]


def _recipe_of(run: Subject) -> tuple[object, ...]:
    """What a training is a function of, and its weights; what is only recorded along it is no part of `settings`."""
    of = (run.manifest.ticket, run.manifest.level, run.seeds)
    told = (run.net, run.data, run.method, run.control, run.tweaks, *of)
    return (run.manifest.weights.digest, *told, tuple(sorted(run.settings.items())))


def _says_less(run: Subject) -> tuple[bool, bool, bool]:
    """The least is the copy that says most."""
    return (
        run.settings.get("search") == "unknown",
        not (run.folder / "reports").is_dir(),
        not run.keeps_lambda_max,
    )
