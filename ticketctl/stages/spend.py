"""Spend a ticket: train its levels under a recipe, beside the dense net and its controls."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ticketctl.artifacts.manifest import write_provenance
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import ArtifactError, DivergedError, MismatchError
from ticketctl.masks.mask import Mask
from ticketctl.progress import Reporter
from ticketctl.recipe import Recipe, TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.stages import lineage
from ticketctl.stages.beginning import beginning, momentum
from ticketctl.stages.by_devices import check_begun, check_spent
from ticketctl.stages.dressing import Outfit, dress, teacher_of
from ticketctl.stages.outset import seeds_for, setting_of
from ticketctl.stages.price import price_in, told
from ticketctl.stages.ranked import follow_job
from ticketctl.stages.records import RunOf, Spending, save_run
from ticketctl.stages.sessions import Sessions
from ticketctl.stages.setting import Setting, Surroundings
from ticketctl.stages.spent import Spent
from ticketctl.stages.wallet import Job
from ticketctl.stages.watched import watch_of
from ticketctl.stages.watching import check_watched
from ticketctl.store.locks import OWNER, locked
from ticketctl.train.curvature import Curvature
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Fit, Lab, Wish
from ticketctl.train.state import State, from_tensor

WORK = "work"


def spend(
    todo: Sequence[Job],
    recipe: Recipe,
    draw_seeds: Seeds,
    around: Surroundings,
    left_out: Callable[[DivergedError], None] | None = None,
) -> Iterator[Spent]:
    """Train every job, or find it: a run that lies there, or the draw's own, is returned untrained.

    A job comes after those that it needs. A diverged run is kept, flagged, and the others go on; a job that would begin
    from it, or learn from it, is left out: `left_out` is told why (None: the reporter is).

    Raises:
        LockedError, StoppedError, UnavailableError, UsageError, ResourceError: as their names say.
        MissingExtraError: a metric of `keep.metrics` needs a package that is not here.
    """
    if not todo:
        return
    check_watched(recipe)
    # before the first of them takes hours; a dense run may lie elsewhere, and is asked about when its turn comes
    check_spent([job for job in todo if job.level or job.tweaks], _devices(around))
    setting = setting_of(todo, recipe, draw_seeds, around)
    around.reporter.job(told(todo, price_in(todo, setting)), len(todo))
    done: dict[Path, Run] = {}
    for job in todo:
        try:
            task = _prepared(job, setting, seeds_for(recipe, job.seed, draw_seeds), done)
        except DivergedError as error:
            (left_out or (lambda fault: around.reporter.note(f"{fault}; the rest goes on")))(error)
            continue
        spent = _one(job, task, around)
        done[job.folder] = spent.run
        # a training that lay there has not said them in this command
        for text in spent.remarks:
            around.reporter.remark(text)
        yield spent


@dataclass(frozen=True)
class _Task:
    """A job with all that its training is a function of."""

    outfit: Outfit
    lab: Lab
    seeds: Seeds
    ticket: str
    """Id of the ticket at the job's level, or "dense"."""
    mask: Mask
    start: State
    role: str
    came: str
    """Digest of the weights that the ticket, or the spend before, handed over."""
    after: Run | None
    origin: State | None
    """Of a sequel: where the spend before it began, pruned weights at 0 (paper 002: recovered weights begin there)."""

    @property
    def wish(self) -> Wish:
        """How the training differs from the recipe's."""
        return self.outfit.wish(self.start, self.origin)

    @property
    def key(self) -> str:
        """Names the training."""
        return self.lab.key(self.start, self.mask, self.wish)


def _prepared(job: Job, setting: Setting, seeds: Seeds, done: Mapping[Path, Run]) -> _Task:
    mask, start, role = beginning(job.ticket, job.level, setting)
    teacher = _source_of(job.teacher, done)
    after = _finite(done, job.after) if job.after else None
    learned = teacher_of(teacher, setting) if teacher else None
    outfit = dress(
        setting,
        job.recipe,
        seeds,
        mask,
        ticket=job.ticket,
        teacher=learned,
        sequel=after is not None,
        begun=start.step,
    )
    origin = None
    if after is not None:
        origin = outfit.start(_begun(start, mask, after))
        start, role = State.from_tensors(after.weights(), 0), "trained"
    elif job.level:
        handed = momentum(setting, job.ticket, mask, start, role)
        outfit = replace(outfit, beside=(handed,) if handed else ())
    outfit = replace(outfit, beside=(*outfit.beside, *_witnesses(job.recipe, seeds, outfit.setting)))
    came = weights_digest(start.tensors())
    lab = outfit.setting.lab(job.folder / WORK, seeds)
    named = job.ticket.ticket_id_at(job.level) if job.level else "dense"
    return _Task(outfit, lab, seeds, named, outfit.mask(mask), outfit.start(start), role, came, after, origin)


def _devices(around: Surroundings) -> int:
    """How many share each training."""
    return around.ranks.size if around.ranks else 1


def _witnesses(recipe: Recipe, seeds: Seeds, setting: Setting) -> Iterator[Hooks]:
    """What only looks on, and writes down what it sees."""
    if batches := recipe.keep.lambda_max:
        yield Curvature(batches, seeds)
    if (watch := watch_of(recipe, seeds, setting)) is not None:
        yield watch


def _begun(start: State, mask: Mask, run: Run) -> State:
    """Where the training of `run` began: pruned weights at 0, and scaled where scaled-init did that."""
    held = {name: from_tensor(value) for name, value in (run.record() or {}).items()}
    scaled = {name: value * held.get(f"scaled_init.scale.{name}", 1) for name, value in start.weights.items()}
    return State({**scaled, **{name: scaled[name] * keep for name, keep in mask.keep.items()}}, 0)


def _changed(before: TrainSpec, after: TrainSpec) -> dict[str, object]:
    ours, theirs = (one.model_dump(mode="json", exclude_none=True) for one in (before, after))
    return {key: value for key, value in theirs.items() if ours.get(key) != value}


def _source_of(teacher: Job | Path | None, done: Mapping[Path, Run]) -> Run | Path | None:
    """The run or weights file to learn from."""
    if isinstance(teacher, Job):
        return _finite(done, teacher)
    return open_run(teacher) if teacher and teacher.is_dir() else teacher


def _finite(done: Mapping[Path, Run], job: Job) -> Run:
    run = done.get(job.folder)
    if run is None or run.manifest.status == "diverged":
        raise DivergedError(f"{job.folder}: diverged; nothing can begin from it, or learn from it")
    return run


def _one(job: Job, task: _Task, around: Surroundings) -> Spent:
    ranks = around.ranks
    if ranks is None:
        return _done(job, task, around)
    if ranks.leads:
        spent = _done(job, task, around)
        ranks.told({"run": str(spent.run.folder), "trained": spent.trained})
        return spent
    folder, trained = follow_job(ranks, lambda: _fit(job, task))
    return Spent(job, open_run(folder), trained)


def _done(job: Job, task: _Task, around: Surroundings) -> Spent:
    key, epochs = task.key, task.outfit.setting.recipe.train.epochs
    run = _there(job, key)
    if run is not None and not any((job.folder / left).exists() for left in (WORK, OWNER)):  # by a kill
        around.reporter.phase(_title(job), epochs, epochs)
        _chain(job, run, around.reporter)
        return Spent(job, run, trained=False)
    lineage.check([job.ticket])
    with locked(job.folder):
        run = _there(job, key)  # it may have been trained while we looked
        trained = run is None
        run = run or _train(job, task, around)
        _chain(job, run, None if trained else around.reporter)
        shutil.rmtree(job.folder / WORK, ignore_errors=True)
    return Spent(job, run, trained)


def _chain(job: Job, run: Run, reporter: Reporter | None) -> None:
    """Write down what the run came from, unless it lies elsewhere: a dense run may be another draw's.

    Args:
        job: which wanted it.
        run: its run.
        reporter: of a run that was only found.
    """
    if run.folder not in (job.folder, job.drawn):
        return
    if reporter is None:
        lineage.trained(run, job.ticket)
    else:
        lineage.found(run, job.ticket, reporter)


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
    if job.level == 0 and not job.tweaks and (found := _dense_beside(job, key)) is not None:
        return found
    if (job.folder / "run.json").exists():
        raise MismatchError(
            f"{job.folder}: holds a run of another training (the data, the ticket, the version, the number of devices, "
            "or somebody's code of a net or tweak differ); move it away to train this one"
        )
    return None


def _dense_beside(job: Job, key: str) -> Run | None:
    """The very training, if another draw of this net on these data, or a spend of its ticket, left it beside ours."""
    if job.ticket.manifest.arch.source != "ticketctl":
        return None  # the code behind the same name may have changed since
    above = job.folder.parents[2:5]
    if len(above) < 3 or not (
        above[0].name.startswith("seed-") and re.fullmatch(r".+-[0-9a-f]{8}", above[1].name)
    ):
        return None  # not in a workspace: what lies around is nobody's business
    for pattern in ("*/seed-*/levels/0", "*/seed-*/spends/*/0-seed-*"):
        for folder in sorted(above[2].glob(pattern)):
            with suppress(ArtifactError):  # a damaged run elsewhere is none of ours
                run = open_run(folder)
                if run.manifest.training_id == key and run.manifest.status == "done":
                    return run
    return None


def _title(job: Job) -> str:
    kind = job.ticket.manifest.control.kind if job.ticket.manifest.control else "ticket"
    tweaks = f" with {', '.join(job.tweaks)}" if job.tweaks else ""
    return f"{kind if job.level else 'dense'} level {job.level}, seed {job.seed}{tweaks}"


def _fit(job: Job, task: _Task) -> Fit:
    files, wish = FitFiles(job.folder / WORK), task.wish
    return task.lab.fit_in(files, task.start, task.mask, keep=(), title=_title(job), wish=wish)


def _train(job: Job, task: _Task, around: Surroundings) -> Run:
    check_begun(job.folder, _devices(around))
    sessions = Sessions(job.folder / WORK, around)
    outfit, title = task.outfit, _title(job)
    if around.ranks is not None:
        around.ranks.told({"train": True})
    fit = _fit(job, task)
    if fit.diverged:
        around.reporter.note(f"{title}: {fit.why_diverged}; kept, flagged, and left out of every mean")
    write_provenance(job.folder, sessions.record(outfit.setting))
    of = RunOf(outfit.setting, task.seeds, fit, task.mask, job.level, task.start, task.role)
    spending = Spending(
        names=outfit.names,
        ticket=task.ticket,
        came=task.came,
        hooks=tuple(hook.identity() for hook in outfit.hooks),
        added=outfit.added,
        after=task.after.manifest.run_id if task.after else None,
        record=outfit.record(fit),
        course=_changed(outfit.setting.recipe.train, fit.train),
    )
    return save_run(job.folder, of, spending)
