"""Spend a ticket: train its levels under a recipe, beside the dense net and its controls."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ticketctl.artifacts.manifest import write_provenance
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import ArtifactError, MismatchError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import Recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.records import RunOf, save_run
from ticketctl.stages.sessions import Sessions
from ticketctl.stages.setting import Setting, Surroundings, prepare
from ticketctl.stages.wallet import Job
from ticketctl.store.locks import OWNER, locked
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import training_id
from ticketctl.train.state import State

WORK = "work"


@dataclass(frozen=True)
class Spent:
    """One run of a spend. `trained` is False where it lay there already."""

    ticket: Ticket
    level: int
    seed: int
    run: Run
    trained: bool

    @property
    def control(self) -> str | None:
        """The kind of control, or None for the ticket itself."""
        return self.ticket.manifest.control.kind if self.ticket.manifest.control else None


def spend(todo: Sequence[Job], recipe: Recipe, draw_seeds: Seeds, around: Surroundings) -> Iterator[Spent]:
    """Train every job, or find it: a run that lies there, or the draw's own, is returned untrained.

    A diverged run is kept, flagged, and the others go on.

    Raises:
        LockedError, StoppedError, UnavailableError, UsageError, ResourceError: as their names say.
    """
    around.reporter.job(f"spend: {len(todo)} runs", len(todo))
    setting: Setting | None = None
    for job in todo:
        seeds = seeds_for(recipe, job.seed, draw_seeds)
        # order and augmentation alone follow the seed: data, split and net are the same for all
        setting = setting or prepare(recipe, seeds, around)
        yield _one(job, setting, seeds, around)


def seeds_for(recipe: Recipe, seed: int, draw_seeds: Seeds) -> Seeds:
    """Order and augmentation follow the spend's seed; initialisation and split stay those of the draw."""
    kept = {stream: draw_seeds.of(stream) for stream in ("init", "split")}
    # a stream at its root is not written down: the run would have another id than the draw's own
    apart = {stream: root for stream, root in kept.items() if root != seed}
    return Seeds(seed, {**apart, **recipe.seeds.model_dump(exclude_none=True)})


def _one(job: Job, setting: Setting, seeds: Seeds, around: Surroundings) -> Spent:
    mask, start, role = beginning(job.ticket, job.level, setting)
    key = training_id(setting.identity, seeds, start, mask)
    run = _there(job, key)
    if run is not None and not any((job.folder / left).exists() for left in (WORK, OWNER)):  # by a kill
        setting.bench.reporter.phase(_title(job), setting.recipe.train.epochs, setting.recipe.train.epochs)
        return Spent(job.ticket, job.level, job.seed, run, trained=False)
    with locked(job.folder):
        run = _there(job, key)  # it may have been trained while we looked
        trained = run is None
        run = run or _train(job, setting, seeds, (mask, start, role), around)
        shutil.rmtree(job.folder / WORK, ignore_errors=True)
    return Spent(job.ticket, job.level, job.seed, run, trained)


def _there(job: Job, key: str) -> Run | None:
    """The run of this training, if it was trained before.

    Raises:
        MismatchError: a run of another training lies in the job's folder.
    """
    for folder in (job.drawn, job.folder):
        if folder and (folder / "run.json").exists():
            run = open_run(folder)
            if run.manifest.training_id == key:
                return run
    if job.level == 0 and (found := _dense_beside(job, key)) is not None:
        return found
    if (job.folder / "run.json").exists():
        raise MismatchError(
            f"{job.folder}: holds a run of another training (the data, the ticket or the version differ); "
            "move it away to train this one"
        )
    return None


def _dense_beside(job: Job, key: str) -> Run | None:
    """The very training, if another draw of this net on these data, or a spend of its ticket, left it beside ours."""
    seed, method, subject = job.folder.parents[2:5]
    if not (seed.name.startswith("seed-") and re.fullmatch(r".+-[0-9a-f]{8}", method.name)):
        return None  # not in a workspace: what lies around is nobody's business
    for pattern in ("*/seed-*/levels/0", "*/seed-*/spends/*/0-seed-*"):
        for folder in sorted(subject.glob(pattern)):
            with suppress(ArtifactError):  # a damaged run elsewhere is none of ours
                run = open_run(folder)
                if run.manifest.training_id == key and run.manifest.status == "done":
                    return run
    return None


def _title(job: Job) -> str:
    kind = job.ticket.manifest.control.kind if job.ticket.manifest.control else "ticket"
    return f"{kind if job.level else 'dense'} level {job.level}, seed {job.seed}"


def _train(
    job: Job, setting: Setting, seeds: Seeds, begin: tuple[Mask, State, str], around: Surroundings
) -> Run:
    mask, start, role = begin
    sessions = Sessions(job.folder / WORK, around)
    lab, title = setting.lab(job.folder / WORK, seeds), _title(job)
    fit = lab.fit_in(FitFiles(job.folder / WORK), start, mask, keep=(), title=title)
    if fit.diverged:
        setting.bench.reporter.note(f"{title}: {fit.why_diverged}; kept, flagged, and left out of every mean")
    write_provenance(job.folder, sessions.record(setting))
    return save_run(job.folder, RunOf(setting, seeds, fit, mask, job.level, start, role))


def beginning(ticket: Ticket, level: int, setting: Setting) -> tuple[Mask, State, str]:
    """Mask and start of a level. Level 0 is the dense net, trained from its initialisation.

    Raises:
        UsageError: the ticket's net is not the one that the recipe builds.
    """
    init = ticket.manifest.init
    weights = State.from_tensors(ticket.init(), init.step)
    _must_fit(weights, setting)
    full = Mask.full({name: torch.Size(array.shape) for name, array in ticket.mask().items()})
    if level == 0:
        start = weights if init.role == "init" else setting.initial
        return full, State(start.weights, 0), "init"
    mask = Mask.from_arrays(ticket.mask_at(level))
    step = 0 if restarts(setting.recipe) else entry(ticket, setting)
    return mask, State(weights.weights, step), init.role


def entry(ticket: Ticket, setting: Setting) -> int:
    """The step of this schedule at which a ticket enters it: as far into it as it left the draw's own.

    The same step under the draw's recipe; under more epochs or another batch the same share, with a step to go.
    """
    init, train = ticket.manifest.init, ticket.manifest.draw.recipe.get("train")
    total = setting.recipe.train.epochs * setting.bench.feed.steps_per_epoch
    epochs = train.get("epochs") if isinstance(train, dict) else None
    step = round(Fraction(init.epoch) / epochs * total) if isinstance(epochs, int) else init.step
    return max(0, min(step, total - 1))


def restarts(recipe: Recipe) -> bool:
    """Whether a rewound ticket is trained for the whole schedule."""
    drawn = recipe.draw.schedule if recipe.draw else "continue"
    return (recipe.spend.schedule or drawn) == "restart"


def _must_fit(weights: State, setting: Setting) -> None:
    ours = {name: tuple(value.shape) for name, value in setting.initial.weights.items()}
    theirs = {name: tuple(value.shape) for name, value in weights.weights.items()}
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if odd:
        raise UsageError(
            f"the ticket is for another net: {odd[0]} is {theirs.get(odd[0])} there, "
            f"{ours.get(odd[0])} in {setting.recipe.model.name} on {setting.data.name}"
        )


@dataclass(frozen=True)
class Row:
    """All runs of one kind and level."""

    kind: str
    level: int
    kept: int
    prunable: int
    n: int
    diverged: int
    values: dict[str, float]
    """mean and deviation of test (and validation) accuracy."""
    gap: float | None
    """Mean test accuracy minus the dense net's."""
    winning: dict[str, bool]
    """By the rules of papers 003 (not below dense) and 004 (at most one point below)."""
    folders: tuple[str, ...]


def table(spent: Sequence[Spent]) -> list[Row]:
    """Mean, deviation and n of every kind and level; diverged runs are counted, never averaged in."""
    groups: dict[tuple[str, int], list[Spent]] = {}
    for one in spent:
        kind = "dense" if one.level == 0 else one.control or "ticket"
        groups.setdefault((kind, one.level), []).append(one)
    dense = next(
        (_mean(group, "test.accuracy") for (kind, _), group in groups.items() if kind == "dense"), None
    )
    return [_row(kind, level, group, dense) for (kind, level), group in groups.items()]


def _row(kind: str, level: int, group: Sequence[Spent], dense: Fraction | None) -> Row:
    values: dict[str, float] = {}
    for name in ("test.accuracy", "val.accuracy", "best_val.test.accuracy"):
        numbers = [float(value) for value in _values(group, name)]
        if numbers:
            values[name] = float(np.mean(numbers))
        if len(numbers) > 1:
            values[f"{name}.std"] = float(np.std(numbers, ddof=1))
    first = group[0].run.manifest
    mean = _mean(group, "test.accuracy")
    gap = mean - dense if mean is not None and dense is not None and kind != "dense" else None
    winning = {} if gap is None else {"003": gap >= 0, "004": gap >= Fraction(-1, 100)}
    diverged = sum(one.run.manifest.status == "diverged" for one in group)
    folders = tuple(str(one.run.folder) for one in group)
    return Row(
        kind,
        level,
        first.kept,
        first.prunable,
        len(group) - diverged,
        diverged,
        values,
        None if gap is None else float(gap),
        winning,
        folders,
    )


def _mean(group: Sequence[Spent], name: str) -> Fraction | None:
    """Exact, since a verdict may hang on it."""
    numbers = _values(group, name)
    return sum(numbers, Fraction(0)) / len(numbers) if numbers else None


def _values(group: Sequence[Spent], name: str) -> list[Fraction]:
    sound = [one.run.manifest for one in group if one.run.manifest.status == "done"]
    return [Fraction(manifest.metrics[name]) for manifest in sound if name in manifest.metrics]


def as_record(row: Row) -> dict[str, Any]:
    """For `--json`."""
    return {
        "kind": row.kind,
        "level": row.level,
        "kept": row.kept,
        "prunable": row.prunable,
        "density": row.kept / row.prunable,
        "n": row.n,
        "diverged": row.diverged,
        **row.values,
        "gap": row.gap,
        "winning": row.winning,
        "runs": list(row.folders),
    }
