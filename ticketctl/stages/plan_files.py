"""Plans as files: one JSON object a line, the head first, then the jobs; and where the plan of a sweep is kept.

`<workspace>/.sweeps/<id>/plan.jsonl` holds a plan whose work was begun. A plan holds every recipe resolved, so that
whoever carries out a job needs nothing else, on whatever machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

from ticketctl.errors import ArtifactError, ResourceError, UsageError, listed, near_miss
from ticketctl.recipe_files import flat_draw, parse_recipe
from ticketctl.stages.agenda import Draw, Place, Use
from ticketctl.stages.jobs import DIGITS, Plan, PlanJob, from_workspace
from ticketctl.stages.measured import OF, Reading
from ticketctl.stages.request import run_folder
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, sha256, write_atomic

KIND, VERSION = "ticketctl.plan", 1
SWEEPS, NAME = ".sweeps", "plan.jsonl"
LIMIT = 256 << 20
JOBS = ("draw", "spend", *OF)
"""Kinds of jobs."""
CUT = "cut off or changed; plan it again"
_ID = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


def sweep_folder(plan: Plan) -> Path:
    """Where the plan is kept, and what belongs to its sweep."""
    return plan.workspace / SWEEPS / plan.id


def keep(plan: Plan) -> Path:
    """Write the plan into its sweep's folder, if it is not there; answers with the file."""
    path = sweep_folder(plan) / NAME
    if not path.exists():
        make_folder(path.parent)
        write_atomic(path, as_bytes(plan))
    return path


def as_bytes(plan: Plan) -> bytes:
    """The file of a plan; equal for equal plans."""
    head, *rest = _records(plan)
    lines = [_line(record) for record in rest]
    return b"".join([_line({**head, "sha256": sha256(b"".join(lines))}), *lines])


def _line(record: Mapping[str, Any]) -> bytes:
    return canonical_json(record).replace(b"\n", b"") + b"\n"


def _records(plan: Plan) -> Iterator[dict[str, Any]]:
    head = {"kind": KIND, "version": VERSION, "id": plan.id, "title": plan.title, "jobs": len(plan.jobs)}
    yield {**head, "about": dict(plan.about)}
    workspace = plan.workspace
    for job in plan.jobs:
        about: dict[str, Any] = {"id": job.id, "job": job.kind, "title": job.title, "needs": list(job.needs)}
        about["epochs"] = f"{job.epochs:g}"
        if job.kind == "draw":
            yield {**about, "draw": _draw_record(job.draw, workspace)}
        else:
            yield {**about, **_use_record(job, plan, workspace)}
    draws = {job.draw: job.id for job in plan.jobs if job.kind == "draw"}
    for place in plan.places:
        use = {"draw": draws[place.use.draw], **_use(place.use, workspace)}
        labels = [[name, value] for name, value in place.labels.items()]  # in their order
        yield {"labels": labels, "seed": place.seed, "metric": place.metric, "use": use}


def _draw_record(draw: Draw, workspace: Path) -> dict[str, Any]:
    folder = draw.folder.relative_to(workspace).as_posix()
    recipe = flat_draw(draw.recipe.record())
    return {"folder": folder, "seed": draw.seed, "name": draw.name, "recipe": recipe}


def _use_record(job: PlanJob, plan: Plan, workspace: Path) -> dict[str, Any]:
    assert job.use is not None
    draws = {one.draw: one.id for one in plan.jobs if one.kind == "draw"}
    found: dict[str, Any] = {"use": {"draw": draws[job.draw], **_use(job.use, workspace)}}
    if job.reading is not None:
        one = job.reading
        at = None if one.at is None else str(one.at)
        found["reading"] = {"kind": one.kind, "recipe": one.recipe, "of": one.of, "to": one.to, "at": at}
    return found


WORKSPACE = "<workspace>/"
"""Stands in a plan for where the workspace lies."""


def _use(use: Use, workspace: Path) -> dict[str, Any]:
    sets = [from_workspace(text, workspace, WORKSPACE) for text in use.sets]
    return {"control": use.control, "sets": sets, "level": use.level, "tweaks": list(use.tweaks)}


def newest_form(plan: Plan) -> Plan:
    """The plan, or what became of it as failed jobs were retried with other keys: the newest that came of it.

    Raises:
        ArtifactError: that plan is damaged; those of other sweeps are not read.
    """
    for path in sweeps_in(plan.workspace):
        if plan.id in _before(path):
            return read_plan(path, plan.workspace)
    return plan


def otherwise_begun(plan: Plan) -> list[str]:
    """That no sweep of this very plan was begun, and which were of the same grid or table, with other options."""
    if (sweep_folder(plan) / NAME).exists():
        return []
    named = [(key, plan.about[key]) for key in ("spec", "name") if key in plan.about]
    same = list[str]()
    for path in sweeps_in(plan.workspace):
        about = plan_head(path).get("about")  # whoever wrote it
        if isinstance(about, Mapping) and any(about.get(key) == value for key, value in named):
            same.append(path.parent.name)
    return [f"no sweep of this very plan was begun{f'; of the same there is {listed(same)}' if same else ''}"]


def _before(path: Path) -> set[str]:
    """Ids of the plans that this one came of, by its first line alone."""
    with suppress(KeyError, TypeError, AttributeError):
        return {str(one["plan"]) for one in plan_head(path)["about"].get("retried", [])}
    return set()


def plan_head(path: Path) -> Mapping[str, Any]:
    """The first line of a plan's file, whatever stands below it; nothing where it cannot be read."""
    with suppress(ArtifactError, ResourceError, OSError):
        found = parse_json(read_bytes(path, limit=LIMIT).partition(b"\n")[0], where=str(path))
        return found if isinstance(found, Mapping) else {}
    return {}


# ----------------------------------------------------------------------------------------------------------- reading


def read_plan(path: Path, workspace: Path) -> Plan:
    """The plan in a file.

    Args:
        path: of the file.
        workspace: where its work lies or will lie.

    Raises:
        UsageError: there is no such file.
        ArtifactError: E_MANIFEST, it is no plan, is damaged, or of a newer version.
    """
    if not path.is_file():
        raise UsageError(f"no plan {path}: there is no such file")
    lines = read_bytes(path, limit=LIMIT).splitlines()
    try:
        records = [_parsed(line, number, path) for number, line in enumerate(lines, 1)]
        return _plan(records, sha256(b"".join(line + b"\n" for line in lines[1:])), workspace, path)
    except UsageError as error:  # of a recipe in it
        raise ArtifactError("E_MANIFEST", str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, AssertionError):
        raise ArtifactError("E_MANIFEST", f"{path}: no plan of ours, or damaged; plan it again") from None


def _parsed(line: bytes, number: int, path: Path) -> Any:
    try:
        return parse_json(line, where=f"{path}, line {number}")
    except ArtifactError:  # what JSON lacks there is nothing to anybody
        what = CUT if number > 1 else f"no plan of ours, or {CUT}"
        raise ArtifactError("E_MANIFEST", f"{path}: {what}") from None


def _plan(records: list[Any], digest: str, workspace: Path, path: Path) -> Plan:
    head = records[0]
    if head["kind"] != KIND:
        raise ValueError
    if head["version"] != VERSION:
        raise ArtifactError(
            "E_MANIFEST", f"{path}: a plan of version {head['version']}, this ticketctl reads {VERSION}"
        )
    draws: dict[str, Draw] = {}
    jobs, places = list[PlanJob](), list[Place]()
    for one in records[1:]:
        if "job" in one:
            jobs.append(_job(one, draws, {job.id for job in jobs}, workspace, path))
        else:
            use = _read_use(one["use"], draws, workspace)
            places.append(Place(dict(map(tuple, one["labels"])), int(one["seed"]), use, str(one["metric"])))
    found = Plan(str(head["title"]), workspace, tuple(jobs), tuple(places), dict(head["about"]))
    if len(jobs) != head["jobs"] or (found.id, digest) != (head["id"], head["sha256"]):
        raise ArtifactError("E_MANIFEST", f"{path}: {CUT}")
    return found


def _job(
    one: Mapping[str, Any], draws: dict[str, Draw], before: Set[str], workspace: Path, path: Path
) -> PlanJob:
    head = (str(one["id"]), str(one["job"]), str(one["title"]), tuple(map(str, one["needs"])))
    odd = head[0] in before or not before >= {*head[3]} or head[1] not in JOBS
    odd = odd or (head[1] in OF) != (one.get("reading") is not None)
    if odd or not _ID.fullmatch(head[0]) or not 0 <= float(one["epochs"]) < inf:
        raise ValueError(head)
    if head[1] == "draw":
        said = one["draw"]
        recipe = parse_recipe(said["recipe"], where=f"{path}: {head[0]}")
        folder, seed = _inside(workspace, str(said["folder"])), int(said["seed"])
        if folder != run_folder(recipe, seed, None, workspace):
            raise ValueError(folder)
        draws[head[0]] = Draw(folder, seed, str(said["name"]), recipe)
        return PlanJob(*head, draws[head[0]], epochs=float(one["epochs"]))
    use, reading = _read_use(one["use"], draws, workspace), one.get("reading")
    found = None
    if reading is not None:
        at = None if reading["at"] is None else Fraction(reading["at"])
        found = Reading(reading["kind"], reading["recipe"], reading["of"], reading["to"], at)
    return PlanJob(*head, use.draw, use, found, float(one["epochs"]))


def _read_use(said: Mapping[str, Any], draws: Mapping[str, Draw], workspace: Path) -> Use:
    sets = tuple(str(text).replace(WORKSPACE, f"{workspace}/") for text in said["sets"])
    level = None if said["level"] is None else int(said["level"])
    return Use(draws[said["draw"]], str(said["control"]), sets, level, tuple(map(str, said["tweaks"])))


def _inside(workspace: Path, name: str) -> Path:
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ValueError(name)
    return workspace / name


# ----------------------------------------------------------------------------------------------------------- finding


def sweeps_in(workspace: Path) -> list[Path]:
    """The plans of the sweeps that were begun in a workspace, the newest first."""
    found = [(path.stat().st_mtime, path) for path in (workspace / SWEEPS).glob(f"*/{NAME}")]
    return [path for _, path in sorted(found, reverse=True)]


def begun(name: str | None, workspace: Path) -> Path:
    """The plan of the sweep with this id, or its beginning; None: of the newest.

    Raises:
        UsageError: there is none, or several begin so.
    """
    known = sweeps_in(workspace)
    if not known:
        raise UsageError(f"no sweep in {workspace}; `ticketctl sweep PLAN` begins one")
    if name is None:
        return known[0]
    found = [path for path in known if path.parent.name.startswith(name)]
    if len(found) != 1:
        names = [path.parent.name for path in known]
        what = "several sweeps begin so" if found else f"no sweep of this name; {near_miss(name, names)}"
        raise UsageError(f"{name}: {what}")
    return found[0]
