"""A plan: pieces of work that are named by what they are, with what each needs to be done before. No torch.

Jobs are draws, the trainings that are spent of them, and reports. A job's id is a digest of all that its result is a
function of, so that the same work has the same id in every plan, and other work has another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import OWN, read_recipe
from ticketctl.stages.agenda import SPENT, Agenda, Draw, Part, Place, Use
from ticketctl.stages.cells import is_ladder, ladder_of
from ticketctl.stages.errands import delivered, spend_recipe_of, with_needs
from ticketctl.stages.measured import Reading
from ticketctl.stages.titles import draw_titles
from ticketctl.stages.tweaking import epochs_of
from ticketctl.store.documents import canonical_json

DIGITS = 16
"""Hex digits of an id."""


@dataclass(frozen=True)
class PlanJob:
    """One piece of work."""

    id: str
    kind: str
    """draw, spend, audit, probe, transfer or interpolate."""
    title: str
    needs: tuple[str, ...]
    """Ids of the jobs that come before."""
    draw: Draw
    use: Use | None = None
    """Of a spend what is trained, of a report what is measured."""
    reading: Reading | None = None
    epochs: float = 0.0
    """About how many epochs it trains; 0 for reports."""

    def part(self, workspace: Path) -> Part:
        """The job as an agenda of its own."""
        if self.use is None:
            return Part(workspace, (self.draw,))
        if self.reading is None:
            return Part(workspace, (self.draw,), (self.use,))
        return Part(workspace, (self.draw,), (self.use,), ((self.reading, self.use),))


@dataclass(frozen=True)
class Plan:
    """Jobs in an order in which they can be done, and what they are for."""

    title: str
    workspace: Path
    jobs: tuple[PlanJob, ...]
    places: tuple[Place, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for: a table and its rows, or a grid."""

    @cached_property
    def id(self) -> str:
        """A digest of its jobs and places: twelve hex digits."""
        places = [{"labels": dict(one.labels), "seed": one.seed, "metric": one.metric} for one in self.places]
        return _digest({"jobs": [job.id for job in self.jobs], "places": places})[:12]

    @cached_property
    def by_id(self) -> dict[str, PlanJob]:
        """All jobs."""
        return {job.id: job for job in self.jobs}

    @cached_property
    def of_use(self) -> dict[Use, PlanJob]:
        """The job that trains each use: a spend, or the draw that comes with it."""
        spends = {job.use: job for job in self.jobs if job.kind == "spend" and job.use is not None}
        draws = {job.draw: job for job in self.jobs if job.kind == "draw"}
        found = dict(spends)
        for use in [place.use for place in self.places] + [job.use for job in self.jobs if job.use]:
            found.setdefault(use, draws[use.draw])
        return found

    @cached_property
    def delivered(self) -> dict[str, list[Use]]:
        """What is wanted of each draw that comes with it and is no job of its own, by the draw's id."""
        draws = {job.draw: job.id for job in self.jobs if job.kind == "draw"}
        spent = {job.use for job in self.jobs if job.kind == "spend"}
        found: dict[str, list[Use]] = {}
        wanted = [*(place.use for place in self.places), *(job.use for job in self.jobs if job.use)]
        for use in dict.fromkeys(wanted):
            if use not in spent and use.draw in draws:
                found.setdefault(draws[use.draw], []).append(use)
        return found

    def below(self, ids: Iterable[str]) -> set[str]:
        """These jobs and all that need them."""
        found = set(ids)
        for job in self.jobs:  # needs come before
            if found.intersection(job.needs):
                found.add(job.id)
        return found

    @property
    def agenda(self) -> Part:
        """All of it, as one agenda."""
        draws = tuple(job.draw for job in self.jobs if job.kind == "draw")
        uses = dict.fromkeys(place.use for place in self.places)
        audits = [(job.reading, job.use) for job in self.jobs if job.reading and job.use]
        return Part(self.workspace, draws, tuple(uses), tuple(audits))


def plan_of(agenda: Agenda, places: Sequence[Place], title: str, about: Mapping[str, Any]) -> Plan:
    """The jobs of an agenda: draws, what is spent of them, reports; each once, however many want it.

    A dense net that several draws have under the same training is trained for one of them, and is everybody's.

    Raises:
        UsageError: a key that no tweak has.
    """
    workspace = agenda.workspace
    draws = {draw: _draw_job(draw, title) for draw, title in draw_titles(agenda.draws).items()}
    uses = sorted(with_needs(agenda.uses), key=lambda use: not _is_dense(use))
    same = _shared(uses)
    jobs: dict[str, PlanJob] = {job.id: job for job in draws.values()}
    trained: dict[Use, str] = {}
    for use in dict.fromkeys(same.values()):
        job = _of_use(use, draws[use.draw], trained, same, workspace)
        trained[use] = job.id
        jobs.setdefault(job.id, job)
    for reading, use in dict.fromkeys((reading, same[use]) for reading, use in agenda.audits):
        job = _report_job(reading, use, draws[use.draw], trained, workspace)
        jobs.setdefault(job.id, job)
    shared = tuple(replace(place, use=same[place.use]) for place in places)
    return Plan(title, workspace, tuple(_in_order(jobs)), shared, about)


def _shared(uses: Sequence[Use]) -> dict[Use, Use]:
    """For each use the one that is trained: of equal dense nets that which a draw comes with, else the first."""
    keys = {use: _dense_key(use, spend_recipe_of(use)) for use in uses if _is_dense(use)}
    first: dict[str, Use] = {}
    for use in sorted(keys, key=lambda use: not delivered(use)):
        first.setdefault(keys[use], use)
    return {use: first[keys[use]] if use in keys else use for use in uses}


def _in_order(jobs: Mapping[str, PlanJob]) -> Iterator[PlanJob]:
    """Needs before what needs them, else as they came."""
    done: set[str] = set()

    def visit(job: PlanJob) -> Iterator[PlanJob]:
        if job.id in done:
            return
        done.add(job.id)
        for need in job.needs:
            yield from visit(jobs[need])
        yield job

    for job in jobs.values():
        yield from visit(job)


def _is_dense(use: Use) -> bool:
    return use.level == 0 and not use.control


# ------------------------------------------------------------------------------------------------------- single jobs


def _draw_job(draw: Draw, title: str) -> PlanJob:
    recipe = draw.recipe
    content = {"recipe": to_record(recipe.changed()), "controls": _controlled(recipe), "seed": draw.seed}
    return PlanJob(_id("draw", content), "draw", title, (), draw, epochs=_draw_epochs(recipe))


def _controlled(recipe: Recipe) -> bool:
    return bool(recipe.draw and recipe.draw.controls)


def _draw_epochs(recipe: Recipe) -> float:
    """Roughly: which draw is begun first depends on it, and nothing else."""
    trainings = len(ladder_of(recipe)) if is_ladder(recipe) else 1 if recipe.draw is None else 2
    return float(trainings * recipe.train.epochs)


def _of_use(
    use: Use, draw: PlanJob, trained: Mapping[Use, str], same: Mapping[Use, Use], workspace: Path
) -> PlanJob:
    """The draw, where it comes with this training; else a spend."""
    if delivered(use):
        return draw
    before = [trained[same[one]] for one in with_needs([use]) if one != use]
    content = {
        "draw": draw.id, "control": use.control, "level": use.level, "tweaks": list(use.tweaks),
        "sets": [from_workspace(text, workspace) for text in use.sets],
    }  # fmt: skip
    needs = dict.fromkeys([draw.id, *before])
    title = from_workspace(f"{_use_title(use)} of {draw.title}", workspace)
    epochs = float(epochs_of(spend_recipe_of(use)))
    use = replace(use, draw=draw.draw)  # with its controls, if any use of it wants them
    return PlanJob(_id("spend", content), "spend", title, tuple(needs), draw.draw, use, epochs=epochs)


def _dense_key(use: Use, recipe: Recipe) -> str:
    """Dense trainings with the same key are one."""
    record = recipe.record(*(table for table in SPENT if table != "spend"))
    schedule = recipe.spend.schedule or (recipe.draw.schedule if recipe.draw else None)
    return _digest(
        {"recipe": to_record(record), "schedule": schedule, "tweaks": list(use.tweaks), "seed": use.draw.seed}
    )


def _use_title(use: Use) -> str:
    level = "deepest level" if use.level is None else f"level {use.level}" if use.level else "dense net"
    control = f"{use.control} " if use.control else ""
    tweaks = f" with {','.join(use.tweaks)}" if use.tweaks else ""
    keys = [text for text in use.sets if not text.startswith("spend.tweaks=")]
    sets = f" and {' '.join(keys[:3])}{' …' if len(keys) > 3 else ''}" if keys else ""
    return f"{control}{level}{tweaks}{sets}"


def _report_job(
    reading: Reading, use: Use, draw: PlanJob, trained: Mapping[Use, str], workspace: Path
) -> PlanJob:
    of = trained[use]
    content = {
        "of": of, "kind": reading.kind, "recipe": reading.recipe, "keys": _keys(reading.recipe),
        "what": reading.of, "to": reading.to, "at": None if reading.at is None else str(reading.at), "level": use.level,
    }  # fmt: skip
    title = f"{reading.kind} by {reading.recipe} of {_use_title(use)} of {draw.title}"
    title = from_workspace(title, workspace)
    return PlanJob(_id(reading.kind, content), reading.kind, title, (of,), use.draw, use, reading)


def _keys(recipe: str | None) -> Any:
    """What stands in the recipe of a report: a file of the user's may change under its name."""
    tables = {} if recipe is None else read_recipe(recipe)
    return to_record({name: table for name, table in tables.items() if name not in (*OWN, "sources")})


def from_workspace(text: str, workspace: Path, there: str = "") -> str:
    """A key with `there` in place of the workspace where a path in it begins with that.

    Where the workspace lies is no part of what is done.
    """
    return re.sub(rf"(?<![\w.~/-]){re.escape(str(workspace))}/", lambda _: there, text)


def _id(kind: str, content: Mapping[str, Any]) -> str:
    return _digest({"kind": kind, **content})[:DIGITS]


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()
