"""Everything that can be known of a ticket or run without its net: read, recomputed, compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ticketctl.artifacts.compact import decode_compact
from ticketctl.artifacts.folder import MAX_FILE, Check, get, has, run_check
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.lone import compact_words, report_words, samples_words
from ticketctl.artifacts.manifest import read_manifest
from ticketctl.artifacts.masks import Keep, mask_digest
from ticketctl.artifacts.models import RunManifest, TicketManifest, ticket_id
from ticketctl.artifacts.report import decode_report
from ticketctl.artifacts.run import MANIFEST as RUN
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.samples import decode_samples
from ticketctl.artifacts.ticket import MANIFEST as TICKET
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.artifacts.weights import zero_where
from ticketctl.errors import ArtifactError
from ticketctl.store.files import read_bytes
from ticketctl.store.tensors import Tensor

__all__ = ["Check", "verify_run", "verify_ticket"]


def verify_ticket(folder: Path) -> list[Check]:
    """Judge every file of a ticket; what is wrong stands in the answer and raises nothing."""
    try:
        ticket = open_ticket(folder)
    except ArtifactError as error:
        return _unopened(error, lambda: f"ticket {read_manifest(folder / TICKET, TicketManifest).ticket_id}")
    return [
        Check("manifest", True, f"ticket {ticket.manifest.ticket_id}"),
        run_check("files", lambda: _files(ticket)),
        run_check("mask", lambda: _mask(ticket)),
        run_check("weights", lambda: _fit(ticket.mask(), ticket.init(), str(folder))),
        run_check("layers", lambda: _layers(ticket, ticket.manifest.level, ticket.mask())),
        *([run_check("ladder", lambda: _ladder(ticket))] if ticket.manifest.ladder else []),
        *([run_check("scores", lambda: _extra(ticket, "scores"))] if ticket.has("scores") else []),
        *([run_check("record", lambda: _extra(ticket, "record"))] if ticket.has("record") else []),
    ]


def _unopened(error: ArtifactError, manifest: Callable[[], str]) -> list[Check]:
    """What is wrong with an artifact that does not open: its manifest, or a file that is listed there."""
    found = run_check("manifest", manifest)
    return [found, Check("files", False, str(error), error.code)] if found.ok else [found]


def _extra(ticket: Ticket, kind: str) -> str:
    found = ticket.scores() if kind == "scores" else ticket.record()
    return f"{len(found or {})} tensors"


def verify_run(folder: Path) -> list[Check]:
    """Judge every file of a run; what is wrong stands in the answer and raises nothing."""
    try:
        run = open_run(folder)
    except ArtifactError as error:
        return _unopened(error, lambda: f"run {read_manifest(folder / RUN, RunManifest).run_id}")
    states = [state.name for state in run.manifest.states]
    return [
        Check("manifest", True, f"run {run.manifest.run_id}"),
        run_check("files", lambda: _files(run)),
        run_check("weights", lambda: _pruned(run, run.weights())),
        *(run_check(f"state {name}", lambda name=name: _state(run, name)) for name in states),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        *([run_check("series", lambda: _series(run))] if run.manifest.series else []),
        *([run_check("trajectory", lambda: _trajectory(run))] if run.manifest.trajectory else []),
        *(
            [run_check("record", lambda: f"{len(run.record() or {})} tensors")]
            if has(run.manifest.files, "record")
            else []
        ),
        *(
            run_check(path.name, lambda path=path: _samples(run, path))  # type: ignore[misc]  # as above
            for path in sorted(folder.glob("samples/*.safetensors"))
        ),
        *(
            run_check(f"compact/{path.name}", lambda path=path: _compact(run, path))  # type: ignore[misc]  # as above
            for path in sorted(folder.glob("compact/*.safetensors"))
        ),
        *(
            run_check(path.name, lambda path=path: _report(run, path))  # type: ignore[misc]  # as above
            for path in sorted(folder.glob("reports/*.zarr.zip"))
        ),
    ]


def _files(artifact: Ticket | Run) -> str:
    files = artifact.manifest.files
    total = sum(len(get(artifact.folder, files, entry.path)) for entry in files)
    return f"{len(files)} files, {total} bytes, as listed"


def _mask(ticket: Ticket) -> str:
    ticket.mask()
    part = ticket.manifest.mask
    return f"{part.kept} of {part.prunable} weights kept"


def _fit(keep: Keep, weights: Mapping[str, Tensor], where: str) -> str:
    """The mask lies on weights of the same names and shapes."""
    for name, array in keep.items():
        if name not in weights or weights[name].shape != array.shape:
            found = list(weights[name].shape) if name in weights else "absent"
            raise ArtifactError(
                "E_ARCH_MISMATCH", f"{where}: {name}: masks {list(array.shape)}, weights {found}"
            )
    return f"{len(weights)} tensors, all finite; {len(keep)} of them masked"


def _layers(ticket: Ticket, level: int, keep: Keep) -> str:
    """A layer that keeps nothing cuts the net, or nearly: the draw must have said so."""
    said = next((part for part in ticket.manifest.draw.levels if part.level == level), None)
    empty = tuple(sorted(name for name, array in keep.items() if not array.any()))
    kept = sum(int(np.count_nonzero(array)) for array in keep.values())
    claimed = (said.kept, tuple(sorted(said.empty_layers))) if said else (kept, ())
    if (kept, empty) != claimed:
        raise ArtifactError(
            "E_COUNT",
            f"{ticket.folder}: level {level} keeps {kept} weights and nothing of {list(empty)[:5]}, "
            f"draw.levels says {claimed[0]} and {list(claimed[1])[:5]}",
        )
    return f"{len(empty)} empty layers, as reported"


def _ladder(ticket: Ticket) -> str:
    ladder = ticket.ladder()
    assert ladder is not None
    _same_mask(ticket, ladder)
    manifest, where = ticket.manifest, str(ticket.folder)
    arch = manifest.arch.model_dump(mode="json")
    for level, claimed in enumerate(ladder.ticket_ids):
        keep = ladder.mask(level)
        found = ticket_id(arch, manifest.init.digest, mask_digest(keep))
        if claimed != found:
            raise ArtifactError(
                "E_TICKET_ID", f"{where}: level {level} has id {found}, the ladder says {claimed}"
            )
        _layers(ticket, level, keep)
    return f"levels 0 to {ladder.rounds}, every id as computed"


def _same_mask(ticket: Ticket, ladder: Ladder) -> None:
    keep, rung = ticket.mask(), ladder.mask(ticket.manifest.level)
    same = keep.keys() == rung.keys() and all(
        keep[name].shape == rung[name].shape and (keep[name] == rung[name]).all() for name in keep
    )
    if not same:
        raise ArtifactError(
            "E_MASK_DIGEST",
            f"{ticket.folder}: level {ticket.manifest.level} of the ladder is not the mask beside it",
        )


def _pruned(run: Run, weights: Mapping[str, Tensor]) -> str:
    keep = run.mask()
    if keep is None:
        return f"{len(weights)} tensors, all finite; dense"
    said = _fit(keep, weights, str(run.folder))
    for name, array in keep.items():
        if not zero_where(weights[name], ~array):
            raise ArtifactError("E_WEIGHTS", f"{run.folder}: {name}: a pruned weight is not exactly +0.0")
    return f"{said}; pruned ones exactly zero"


def _state(run: Run, name: str) -> str:
    """A state lies under the run's mask, unless the mask moved: then it lies under that of its own moment."""
    weights, keep = run.state(name), run.mask()
    if run.manifest.trajectory is None or keep is None:
        return _pruned(run, weights)
    return _fit(keep, weights, str(run.folder))


def _trajectory(run: Run) -> str:
    trajectory, keep = run.trajectory(), run.mask()
    assert trajectory is not None
    assert keep is not None
    start, last = run.manifest.start.step, trajectory.rows(len(trajectory.step) - 1)
    if not start <= trajectory.step[0] <= trajectory.step[-1] <= start + run.manifest.cost.steps:
        raise ArtifactError("E_COUNT", f"{run.folder}: the trajectory has steps that the training had not")
    if keep.keys() != last.keys() or not all(np.array_equal(keep[name], last[name]) for name in keep):
        raise ArtifactError(
            "E_MASK_DIGEST", f"{run.folder}: the last mask of the trajectory is not the mask beside it"
        )
    return f"{len(trajectory.step)} masks, the last as beside it"


def _samples(run: Run, path: Path) -> str:
    """Answers of this net, to the set that the file is named after."""
    samples = decode_samples(read_bytes(path, limit=MAX_FILE), where=str(path))
    if path.name != f"{samples.set}.safetensors":
        raise ArtifactError("E_SAMPLES", f"{path}: holds the answers to {samples.set}")
    if samples.subject not in _measurable(run):
        raise ArtifactError("E_WEIGHTS_DIGEST", f"{path}: answers of another net, {samples.subject}")
    return samples_words(samples)


def _compact(run: Run, path: Path) -> str:
    """This net with fewer channels."""
    compact = decode_compact(read_bytes(path, limit=MAX_FILE), where=str(path))
    if (compact.run, compact.subject) != (run.manifest.run_id, run.manifest.weights.digest):
        raise ArtifactError(
            "E_WEIGHTS_DIGEST", f"{path}: made of another net, {compact.subject} of {compact.run}"
        )
    return compact_words(compact)


def _report(run: Run, path: Path) -> str:
    """A report on this run, in the file that is named after it."""
    report = decode_report(read_bytes(path, limit=MAX_FILE), where=str(path))
    if path.name != f"{report.kind}-{report.id}.zarr.zip":
        raise ArtifactError("E_REPORT_ID", f"{path}: holds {report.kind} {report.id}")
    said, manifest = report.subject, run.manifest
    told = (manifest.run_id, manifest.ticket, manifest.level, manifest.status)
    if (said.run_id, said.ticket, said.level, said.status) != told:
        raise ArtifactError(
            "E_RUN_ID", f"{path}: a report on {said.run_id}, or it says another ticket or status"
        )
    if said.weights not in _measurable(run):
        raise ArtifactError("E_WEIGHTS_DIGEST", f"{path}: a report on other weights, {said.weights}")
    return report_words(report)


def _measurable(run: Run) -> set[str]:
    """Digests of the weights that a run has."""
    return {run.manifest.weights.digest, *(state.digest for state in run.manifest.states)}


def _series(run: Run) -> str:
    series = run.series()
    assert series is not None
    return f"{len(series.epoch)} rows of {len(series.columns)} columns"
