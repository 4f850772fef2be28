"""What golden files hold, as JSON: numbers that are not whole as decimal strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ticketctl.artifacts.compact import Compact
from ticketctl.artifacts.ladder import Ladder, ladder_digest
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.samples import Samples
from ticketctl.artifacts.series import Series
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.trajectory import Trajectory
from ticketctl.artifacts.verdict import Judged
from ticketctl.artifacts.weights import weights_digest
from ticketctl.store.files import sha256
from ticketctl.store.tensors import Tensor


def mask_truth(keep: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Every bit, in C order."""
    tensors = {
        name: {
            "shape": list(array.shape),
            "bits": "".join("01"[bit] for bit in array.reshape(-1).astype(int)),
        }
        for name, array in keep.items()
    }
    return {"digest": mask_digest(keep), "tensors": tensors}


def weights_truth(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Every byte."""
    made = {
        name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "hex": bytes(tensor.data).hex()}
        for name, tensor in tensors.items()
    }
    return {"digest": weights_digest(tensors), "tensors": made}


def compact_truth(compact: Compact) -> dict[str, Any]:
    """Every byte, every place, and every word of the header."""
    places = {"rows": compact.rows, "columns": compact.columns}
    return {
        "run": compact.run,
        "subject": compact.subject,
        "image": list(compact.image),
        "weights": weights_truth(compact.weights),
        **{key: {path: place.tolist() for path, place in found.items()} for key, found in places.items()},
        "digest": compact.digest,
    }


def ladder_truth(ladder: Ladder) -> dict[str, Any]:
    """Every round of death, in C order; of long arrays the hash of their bytes."""
    death: dict[str, Any] = {}
    for name, array in ladder.death.items():
        long = {"sha256": sha256(array.tobytes())}
        death[name] = {
            "shape": list(array.shape),
            **(long if array.size > 1000 else {"values": array.reshape(-1).tolist()}),
        }
    return {
        "rounds": ladder.rounds,
        "kept": list(ladder.kept),
        "ticket_ids": list(ladder.ticket_ids),
        "accuracy": [None if value is None else repr(value) for value in ladder.accuracy],
        "digest": ladder_digest(ladder.death, ladder.rounds),
        "death": death,
    }


def series_truth(series: Series) -> dict[str, Any]:
    """Every number, floats as decimal strings."""
    return {
        "columns": list(series.columns),
        "scalars": [[repr(value) for value in row] for row in series.scalars.tolist()],
        "epoch": series.epoch.tolist(),
        "step": series.step.tolist(),
        "forget_count": None if series.forget_count is None else series.forget_count.tolist(),
        "correct_bits": None if series.correct_bits is None else series.correct_bits.tolist(),
        "samples": series.samples,
        "sample_digest": series.sample_digest,
    }


def trajectory_truth(trajectory: Trajectory) -> dict[str, Any]:
    """Every bit of every mask, in C order; of many bits their hash."""
    masks = []
    for t in range(len(trajectory.step)):
        found = {name: array.reshape(-1).tobytes() for name, array in trajectory.rows(t).items()}
        masks.append(
            {
                name: sha256(bits) if len(bits) > 1000 else "".join("01"[bit] for bit in bits)
                for name, bits in found.items()
            }
        )
    shapes = {name: list(shape) for name, shape in trajectory.shapes.items()}
    return {"step": trajectory.step.tolist(), "shapes": shapes, "masks": masks, "digest": trajectory.digest}


def ticket_truth(ticket: Ticket) -> dict[str, Any]:
    """The id and what its files hold."""
    ladder = ticket.ladder()
    return {
        "ticket_id": ticket.manifest.ticket_id,
        "mask": mask_truth(ticket.mask()),
        "init": weights_truth(ticket.init()),
        "ladder": ladder_truth(ladder) if ladder else None,
        **extras_truth(ticket),
    }


def extras_truth(ticket: Ticket) -> dict[str, Any]:
    """Scores and record, where a ticket has them."""
    scores = ticket.scores()
    found: dict[str, Any] = {}
    if scores is not None:
        found["scores"] = {name: array.tolist() for name, array in sorted(scores.items())}
    return found | record_truth(ticket)


def record_truth(artifact: Ticket | Run) -> dict[str, Any]:
    """What was written down, where anything was."""
    record = artifact.record()
    if record is None:
        return {}
    return {"record": {name: tensor.array().tolist() for name, tensor in sorted(record.items())}}


def run_truth(run: Run) -> dict[str, Any]:
    """The id and what its files hold."""
    keep, series, trajectory = run.mask(), run.series(), run.trajectory()
    moved = {"trajectory": trajectory_truth(trajectory)} if trajectory else {}
    return {
        **moved,
        **record_truth(run),
        "run_id": run.manifest.run_id,
        "mask": mask_truth(keep) if keep else None,
        "weights": weights_truth(run.weights()),
        "states": {state.name: weights_truth(run.state(state.name)) for state in run.manifest.states},
        "series": series_truth(series) if series else None,
    }


def samples_truth(samples: Samples) -> dict[str, Any]:
    """Every number, and every word of the header."""
    return {
        "set": samples.set,
        "subject": samples.subject,
        "data": samples.data.model_dump(mode="json"),
        "protocol": samples.protocol,
        "logits": [[repr(value) for value in row] for row in samples.logits.tolist()],
        "labels": samples.labels.tolist(),
        "index": None if samples.index is None else samples.index.tolist(),
        "digest": samples.digest,
    }


def report_truth(report: Report) -> dict[str, Any]:
    """Every number, and every word of the attributes."""
    rows = [
        {**vars(row), "value": repr(row.value), "error": repr(row.error), "protocol": dict(row.protocol)}
        for row in report.metrics
    ]
    arrays = {
        name: {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "values": [repr(value) for value in array.reshape(-1).tolist()],
        }
        for name, array in report.arrays.items()
    }
    return {
        "id": report.id,
        "kind": report.kind,
        "subject": report.subject.model_dump(mode="json"),
        "data": report.data.model_dump(mode="json"),
        "seeds": dict(report.seeds),
        "env": report.env,
        "recipe": report.recipe,
        "sources": dict(report.sources),
        "metrics": rows,
        "arrays": arrays,
        "digest": report.digest,
    }


def verdict_truth(judged: Judged) -> dict[str, Any]:
    """What was judged of which reports, and what each of these holds."""
    said = judged.verdict
    found = {
        net.name: {
            "outcome": net.outcome,
            "indicative": net.indicative,
            "flags": [f"{flag.kind} {flag.side} {flag.seed}" for flag in net.flags],
            "metrics": {row.metric: [row.status, row.mean, row.dense, row.allowed] for row in net.metrics},
            "relative mce": [row.relative.mean for row in net.metrics if row.relative is not None],
        }
        for net in said.nets
    }
    return {
        "verdict_id": said.verdict_id,
        "outcome": said.outcome,
        "nets": found,
        "lth_pass": {ladder.ladder: ladder.lth_pass for ladder in said.ladders},
        "reports": {name: report.digest for name, report in judged.reports().items()},
    }
