"""Every place of a sweep with what came of it: its run, or why there is none. Nothing here imports torch.

All of it is read from small files: the states of jobs, and the manifests of runs and tickets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ticketctl.artifacts.manifest import read_manifest
from ticketctl.artifacts.models import TicketManifest
from ticketctl.artifacts.run import MANIFEST
from ticketctl.artifacts.ticket import MANIFEST as TICKET
from ticketctl.errors import ArtifactError, UsageError, near_miss
from ticketctl.figures.swept import State
from ticketctl.stages.agenda import Draw, Place, Use
from ticketctl.stages.audit_wants import check_row
from ticketctl.stages.audits import with_audits
from ticketctl.stages.data_names import data_names
from ticketctl.stages.explorations import with_explorations
from ticketctl.stages.job_state import OVER, WHOLE
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.measured import (
    EXPLORED,
    LAST,
    MEASURED,
    REPORTED,
    Reading,
    kind_of,
    needs_report,
    whole_name,
)
from ticketctl.stages.plan_files import begun, newest_form, otherwise_begun, read_plan
from ticketctl.stages.plan_wanted import NEWEST, Wanted, plan_meant
from ticketctl.stages.report_wants import check_explored
from ticketctl.stages.retry import retried
from ticketctl.stages.subjects import Subject, opened
from ticketctl.stages.sweep import Swept, survey_states
from ticketctl.stages.sweep_costs import Cost, cost_of
from ticketctl.stages.sweep_labels import is_dense, labelled


@dataclass(frozen=True, eq=False)
class Entry:
    """What one seed of a place came to."""

    labels: Mapping[str, str]
    """A value on each axis of the sweep."""
    seed: int
    metric: str
    """That is reported there."""
    use: Use
    job: PlanJob
    """That trains it."""
    state: State
    kind: str
    """Of its job: waiting, running, killed, stopped, done, diverged, failed or blocked."""
    cause: str
    """In one word, of what failed: its job, or one that this needs."""
    message: str
    run: Subject | None
    ticket: TicketManifest | None
    """Behind it, where its draw is done; None of a dense net that was spent of a ticket, too: it needs none."""

    @property
    def dense(self) -> bool:
        """Whether it is a dense net."""
        return is_dense(self.use)

    @property
    def why(self) -> str:
        """Why there is no value, or nothing."""
        return "" if self.state == "done" else f"{self.kind} ({self.cause})" if self.cause else self.kind

    @cached_property
    def cost(self) -> Cost:
        """What it took."""
        ticket = None if self.dense else self.ticket
        return cost_of(self.run, ticket, self.use.draw.folder)


@dataclass(frozen=True, eq=False)
class Entries:
    """All places of a sweep."""

    plan: Plan
    axes: tuple[str, ...]
    entries: tuple[Entry, ...]
    states: Swept
    damaged: tuple[str, ...]
    """Faults of manifests: these runs are missing."""
    reports: dict[Reading, dict[Path, Subject]] = field(default_factory=dict, repr=False)

    @property
    def is_table(self) -> bool:
        """Whether it is of a paper's table, and not of a grid."""
        return "table" in self.plan.about

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of all of it: that it was not begun, jobs with other keys than at first, damaged runs."""
        said = (*otherwise_begun(self.plan), *retried(self.plan))
        return (*said, *(f"damaged, and so missing: {fault}" for fault in self.damaged))

    @cached_property
    def runs(self) -> list[Subject]:
        """Those that are there, each once."""
        return list({one.run.folder: one.run for one in self.entries if one.run is not None}.values())

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Reports that the plan makes."""
        return tuple(dict.fromkeys(job.reading for job in self.plan.jobs if job.reading is not None))

    @cached_property
    def called(self) -> Mapping[str, str]:
        """What its data sets are called, by their names in recipes."""
        return data_names(entry.use.draw.recipe.data.name for entry in self.entries)

    def known(self) -> list[str]:
        """All metrics that some run has, those of reports too."""
        found = {name for run in self.runs for name in run.known}
        for reading in self.readings:
            found |= {
                name for run in self._read(reading).values() for name in run.known if needs_report(name)
            }
        return sorted(found)

    def value(self, entry: Entry, metric: str) -> float | None:
        """In its own unit; None where there is no run, it was not measured, or the run diverged before it could be."""
        if entry.run is None:
            return None
        kind = metric.partition(".")[0]
        if kind not in REPORTED:
            return entry.run.value(metric)
        own = "audit" if kind == "ratio" else kind
        readings = [one for one in self.readings if one.kind == own] or [Reading(own, None)]
        found = (self._read(one)[entry.run.folder].value(metric) for one in readings)
        return next((value for value in found if value is not None), None)

    def _read(self, reading: Reading) -> dict[Path, Subject]:
        """The runs with what their reports say under these keys, read once.

        Raises:
            ArtifactError: a report is damaged.
        """
        if reading not in self.reports:
            explored = reading.kind in EXPLORED
            told = (
                with_explorations(self.runs, reading) if explored else with_audits(self.runs, reading.recipe)
            )
            self.reports[reading] = {run.folder: run for run in told}
        return self.reports[reading]


def plan_named(name: str | None, workspace: Path) -> Plan:
    """The plan of a sweep, or what became of it where failed jobs were retried with other keys.

    Args:
        name: a sweep's id or its beginning, the file of a grid or plan, a paper's table, or None or `newest`.
        workspace: where the sweep is, or the plan's work lies.

    Raises:
        UsageError: there is no such sweep, or a grid or table that cannot be.
        ArtifactError: the plan's file is damaged.
    """
    if name is not None and {":", "/", "."} & {*name}:
        return newest_form(plan_meant(Wanted(name, workspace)).plan)
    path = begun(None if name in (None, NEWEST) else name, workspace)
    return newest_form(read_plan(path, workspace))


def entries_of(plan: Plan, metrics: Sequence[str] = ()) -> Entries:
    """What came of every place, as files say at this moment.

    Args:
        plan: the sweep's.
        metrics: that will be asked for; those that no plan could mean are refused.

    Raises:
        UsageError: no run has one of the metrics, though some are done.
    """
    states = survey_states(plan)
    axes, places = labelled(plan)
    levels = {draw: _ticket(draw.folder) for draw in dict.fromkeys(place.use.draw for place in plan.places)}
    folders = {
        use: _folder(use, states, levels[use.draw]) for use in dict.fromkeys(one.use for one, _ in places)
    }
    faults: list[ArtifactError] = []
    found = [folder for folder in dict.fromkeys(folders.values()) if folder is not None]
    runs = {run.folder: run for run in opened(found, faults)}
    entries = tuple(
        _entry(place, labels, states, runs.get(folder) if (folder := folders[place.use]) else None, levels)
        for place, labels in places
    )
    whole = Entries(plan, axes, entries, states, tuple(str(one.said) for one in faults))
    _check(whole, metrics)
    return whole


def _check(whole: Entries, metrics: Sequence[str]) -> None:
    for metric in metrics:
        if any(whole.value(one, metric) is not None for one in whole.entries) or _is_to_come(whole, metric):
            continue
        if not whole.runs and (metric in MEASURED or kind_of(metric) is not None):
            continue  # some run may have it, or somebody audit one
        known = [name for name in whole.known() or LAST if not name.startswith("best_val.")]
        hint = whole_name(metric) or near_miss(metric, known)
        raise UsageError(f"no run of this sweep {'has' if whole.runs else 'will have'} {metric!r}; {hint}")


def _is_to_come(whole: Entries, metric: str) -> bool:
    """Whether a report brings it that is still to be made.

    Raises:
        UsageError: reports of its kind are still to be made, and none of them has such a row.
    """
    own = kind_of(metric)
    waiting = {
        job.reading
        for job in whole.plan.jobs
        if job.reading is not None
        and job.reading.kind == own
        and whole.states.states[job.id].kind not in WHOLE
    }
    faults = [_fault(metric, reading) for reading in whole.readings if reading in waiting]
    if faults and all(faults):
        raise UsageError(f"no run of this sweep will have {metric!r}: {whole_name(metric) or faults[0]}")
    return bool(faults)


def _fault(metric: str, reading: Reading) -> str:
    """Why no report under the reading's keys has the metric; "" if it does."""
    try:
        if reading.kind in EXPLORED:
            check_explored(metric, reading)
        elif reading.recipe is not None:
            check_row(metric, reading.recipe)
    except UsageError as error:
        return str(error)
    return ""


# -------------------------------------------------------------------------------------------------------------- runs


def _folder(use: Use, states: Swept, ticket: TicketManifest | None) -> Path | None:
    """Where the run lies; None while its job is not done."""
    plan = states.plan
    job = plan.of_use[use]
    state = states.states[job.id]
    if job.kind == "draw":
        level = use.level if use.level is not None or ticket is None else ticket.level
        folder = use.draw.folder / "levels" / str(level)
        return folder if ticket is not None and (folder / MANIFEST).is_file() else None
    return plan.workspace / state.runs[-1] if state.runs else None


def _ticket(folder: Path) -> TicketManifest | None:
    try:
        return read_manifest(folder / "ticket" / TICKET, TicketManifest)
    except ArtifactError:
        return None


def _entry(
    place: Place,
    labels: Mapping[str, str],
    states: Swept,
    run: Subject | None,
    tickets: Mapping[Draw, TicketManifest | None],
) -> Entry:
    job = states.plan.of_use[place.use]
    kind = states.kind(job.id)
    cause, message = _reason(job, states)
    state: State = "missing"
    if run is not None:
        state = "diverged" if run.diverged else "done"
        kind, cause = (kind if kind in OVER else "done"), ("" if state == "done" else cause)
    elif kind in OVER:
        state = "diverged" if cause == "diverged" or kind == "diverged" else "missing"
        cause = cause or ("" if state == "diverged" else "artifact")
    ticket = tickets[place.use.draw]
    return Entry(labels, place.seed, place.metric, place.use, job, state, kind, cause, message, run, ticket)


def _reason(job: PlanJob, states: Swept) -> tuple[str, str]:
    """Of a job that failed its own, of one that is blocked that of the first job that it needs and that failed."""
    state = states.states[job.id]
    if states.kind(job.id) != "blocked":
        return state.cause, state.message
    for need in job.needs:
        if states.kind(need) in ("failed", "blocked"):
            return _reason(states.plan.by_id[need], states)
    return "", ""
