"""What is left to do of a planned table: which draws, and which trainings beside them. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ticketctl.artifacts.manifest import read_manifest
from ticketctl.artifacts.models import TicketManifest
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import ArtifactError
from ticketctl.plugins import is_own
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import assignments, merge, parse_recipe
from ticketctl.stages.agenda import SPENT, Agenda, Draw, Use
from ticketctl.stages.cells import is_ladder, ladder_of
from ticketctl.stages.finished import CONTROLS, drawn
from ticketctl.stages.request import Typed
from ticketctl.stages.tweaking import Names, check_keys, literal, recipe_with, sequel_of
from ticketctl.stages.wallet import Chosen, Job, Wanted, needed_by, prepare_spend
from ticketctl.store.locks import OWNER

WORK = "work"
LEVELS, RUN = "levels", "run.json"
"""Where a draw keeps its own runs, and the file without which there is none."""

OTHERWISE = frozenset({"art", "earlybird", "gmp", "nm", "rigl", "set", "supermask"})
"""Methods that may train the ticket otherwise than a spend: what they trained is counted again, at most."""


@dataclass(frozen=True)
class Batch:
    """Runs of one ticket under one recipe, with those that they need."""

    chosen: Chosen
    jobs: tuple[Job, ...]
    asked: tuple[Job, ...]
    """Those of them that the table reports."""

    @property
    def done(self) -> bool:
        """Whether every run lies there, and nothing beside it that a kill has left."""
        return all(is_there(job) for job in self.jobs)

    @property
    def folders(self) -> list[Path]:
        """Where the runs lie that are there."""
        return [job.found for job in self.jobs if job.found is not None]


def is_there(job: Job) -> bool:
    """Whether nothing is to be done for the job."""
    return job.ready and not any((job.folder / left).exists() for left in (WORK, OWNER))


def batches(draw: Draw, uses: Sequence[Use], workspace: Path) -> list[Batch]:
    """The spends of a draw whose ticket is there.

    Args:
        draw: the draw.
        uses: those of this draw.
        workspace: where the draw lies.

    Raises:
        UsageError: a key or tweak that cannot be.
        ArtifactError: the ticket is damaged.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Use]] = {}
    for use in uses:
        groups.setdefault((use.control, use.sets), []).append(use)
    return [_batch(draw, control, sets, group, workspace) for (control, sets), group in groups.items()]


def _batch(draw: Draw, control: str, sets: tuple[str, ...], uses: Sequence[Use], workspace: Path) -> Batch:
    folder = draw.folder / CONTROLS / control / "ticket" if control else draw.folder / "ticket"
    deepest = open_ticket(folder).manifest.level
    pairs = {(deepest if use.level is None else use.level, use.tweaks) for use in uses}
    model = draw.recipe.model.name  # the table's recipe names it, and so does whoever names the table
    trusted = (f"model.name={model}",) if is_own("nets", model) else ()
    wanted = Wanted(
        ticket=str(folder),
        levels=",".join(str(level) for level in sorted({level for level, _ in pairs})),
        seeds=[draw.seed],
        controls=False,
        workspace=workspace,
        typed=Typed(data=draw.recipe.data.name, sets=(*sets, *trusted)),
        tweaks=tuple(",".join(names) for names in dict.fromkeys(use.tweaks for use in uses) if names),
    )
    chosen = prepare_spend(wanted)
    jobs = [_at_home(job, draw) for job in chosen.jobs]
    asked = tuple(job for job in jobs if (job.level, job.tweaks) in pairs)
    needed = {one.folder for job in asked for one in needed_by(job)}
    todo = tuple(job for job in jobs if job.folder in needed)
    return Batch(chosen, todo, asked)


def _at_home(job: Job, draw: Draw) -> Job:
    """The job; a run that its draw comes with and that is lost is trained anew where it lay, and looked for there."""
    after = _at_home(job.after, draw) if job.after else None
    teacher = _at_home(job.teacher, draw) if isinstance(job.teacher, Job) else job.teacher
    own = job.drawn is not None and _is_lost(job.drawn) and comes_with(draw, job.level, job.ticket)
    folder = job.drawn if own and job.drawn is not None else job.folder
    return replace(job, folder=folder, after=after, teacher=teacher)


# ------------------------------------------------------------------------------------------------------------ tasks


@dataclass(frozen=True)
class Task:
    """One training beside a draw's own, or a run that stands for it."""

    draw: Draw
    use: Use
    recipe: Recipe
    folder: Path | None
    """Where it lies or will lie; None while the draw is not made."""
    there: bool


def tasks(planned: Agenda) -> list[Task]:
    """Every training that the table needs and its draws do not come with, those that others need included."""
    found: list[Task] = []
    for draw in planned.draws:
        uses = uses_of(planned, draw)
        if drawn(draw.recipe, draw.seed, draw.folder) is not None:
            found += [
                _task_of(draw, batch, job)
                for batch in batches(draw, uses, planned.workspace)
                for job in batch.jobs
            ]
        else:
            found += [Task(draw, use, spend_recipe_of(use), None, delivered(use)) for use in with_needs(uses)]
    return found


def uses_of(planned: Agenda, draw: Draw) -> list[Use]:
    """Of this draw alone."""
    return [use for use in planned.uses if use.draw == draw]


def use_of(draw: Draw, job: Job) -> Use:
    """What a spend of a draw that is there stands for; its recipe is the job's."""
    control = job.ticket.manifest.control
    return Use(draw, control.kind if control and job.level else "", (), job.level, job.tweaks)


def _task_of(draw: Draw, batch: Batch, job: Job) -> Task:
    return Task(draw, use_of(draw, job), job.recipe, job.found or job.folder, is_there(job))


def spend_recipe_of(use: Use) -> Recipe:
    """The recipe that a use is trained by, before its ticket is there.

    Raises:
        UsageError: a key that no tweak has.
    """
    tables = merge(use.draw.recipe.record(*SPENT, "draw"), assignments(use.sets))
    recipe = parse_recipe(tables, where=use.draw.name)
    check_keys(recipe)
    return recipe_with(recipe, use.tweaks)


def with_needs(uses: Iterable[Use]) -> list[Use]:
    """The uses with those that they begin from or learn from, each once."""
    found: dict[Use, None] = {}
    for use in uses:
        found |= dict.fromkeys(_needed(use))
    return list(found)


def _needed(use: Use) -> Iterator[Use]:
    sequel = sequel_of(use.tweaks)
    if sequel:
        yield from _needed(_without(use, tuple(name for name in use.tweaks if name != sequel)))
    if any("teacher" in literal(name, "NEEDS", ()) for name in use.tweaks) and not _names_teacher(use):
        yield replace(_without(use, ()), control="", level=0)
    yield use


def _without(use: Use, names: Names) -> Use:
    """The use with these tweaks alone, and the keys of no others."""
    gone = tuple(f"tweaks.{name}." for name in use.tweaks if name not in names)
    return replace(use, tweaks=names, sets=tuple(text for text in use.sets if not text.startswith(gone)))


def _names_teacher(use: Use) -> bool:
    return any(text.partition("=")[0].endswith(".teacher") for text in use.sets)


def delivered(use: Use) -> bool:
    """Whether the draw trains this level itself, as a spend would: ladders and omp all levels, others the ticket.

    A method of somebody else's is taken to train its ticket alone.
    """
    draw = use.draw.recipe.draw
    plain = not use.sets and not use.tweaks and not use.control
    if draw is None or not plain or draw.keep != "all" or draw.method in OTHERWISE:
        return False
    if draw.method == "aimp":  # its search is short, the ticket's training is whole
        return use.level == len(ladder_of(use.draw.recipe)) - 1
    return use.level is None or is_ladder(use.draw.recipe) or draw.method == "omp"


# -------------------------------------------------------------------------------------------------- runs of the draw


def own_run(use: Use) -> Path:
    """Where the run lies that the draw comes with.

    Args:
        use: one that is `delivered`, of a draw whose ticket is there.

    Raises:
        ArtifactError: the ticket is not there, or damaged.
    """
    folder, level = use.draw.folder, use.level
    if level is None:
        level = read_manifest(folder / "ticket" / "ticket.json", TicketManifest).level
    return folder / LEVELS / str(level)


def comes_with(draw: Draw, level: int, ticket: Ticket) -> bool:
    """Whether the draw trains this level of its ticket itself."""
    names = (level, None) if level == ticket.manifest.level else (level,)
    return any(delivered(Use(draw, "", (), name, ())) for name in names)


def lost_levels(draw: Draw, ticket: Ticket) -> list[int]:
    """The levels that came with the draw and whose runs are gone."""
    levels = range(ticket.manifest.level + 1)
    own = (level for level in levels if comes_with(draw, level, ticket))
    return [level for level in own if not (draw.folder / LEVELS / str(level) / RUN).exists()]


def lost(uses: Iterable[Use]) -> list[Use]:
    """Those whose runs came with their draw, and that are gone or half made anew.

    Raises:
        ArtifactError: as `own_run`.
    """
    return [use for use in uses if _is_lost(own_run(use))]


def _is_lost(folder: Path) -> bool:
    return not (folder / RUN).exists() or any((folder / left).exists() for left in (WORK, OWNER))


def check_anew(draw: Draw, uses: Sequence[Use], workspace: Path) -> None:
    """Refuse what a spend would not train as the draw did.

    Raises:
        ArtifactError: names the first.
    """
    for job in (job for batch in batches(draw, uses, workspace) for job in batch.asked):
        if job.drawn is None:
            raise ArtifactError(
                "E_FILE_MISSING",
                f"{draw.folder / LEVELS / str(job.level)}: its run is gone, and no spend trains it as this draw did; "
                f"remove {draw.folder}, then --retry artifact draws anew",
            )


def ready_runs(planned: Agenda) -> list[Path]:
    """Folders of the runs behind the table, once all its draws are made."""
    workspace = planned.workspace
    found = (batch for draw in planned.draws for batch in batches(draw, uses_of(planned, draw), workspace))
    return list(dict.fromkeys(folder for batch in found for folder in batch.folders))
