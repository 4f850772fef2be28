"""A payload file by itself, without a manifest that vouches for it: its kind, whether it is sound, what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ticketctl.artifacts.arrays import unpack_group
from ticketctl.artifacts.compact import Compact, decode_compact
from ticketctl.artifacts.folder import MAX_FILE, Check
from ticketctl.artifacts.ladder import decode_ladder
from ticketctl.artifacts.masks import KEY, counts, decode_mask
from ticketctl.artifacts.report import Report, decode_report
from ticketctl.artifacts.samples import Samples, decode_samples
from ticketctl.artifacts.series import decode_series
from ticketctl.artifacts.trajectory import decode_trajectory
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import parse_json
from ticketctl.store.files import read_bytes
from ticketctl.store.tensors import parse_tensors

ZARR, TENSORS = ".zarr.zip", ".safetensors"
KINDS: Mapping[str, tuple[Callable[..., Any], Callable[[Any], str]]] = {
    "mask": (decode_mask, lambda keep: "{} of {} weights kept".format(*counts(keep))),
    "ladder": (decode_ladder, lambda ladder: f"levels 0 to {ladder.rounds}"),
    "series": (
        decode_series,
        lambda series: f"{len(series.epoch)} rows of {len(series.columns)} columns",
    ),
    "trajectory": (decode_trajectory, lambda trajectory: f"{len(trajectory.step)} masks"),
    "samples": (decode_samples, lambda samples: samples_words(samples)),
    "compact": (decode_compact, lambda compact: compact_words(compact)),
    "report": (decode_report, lambda report: report_words(report)),
}
"""How each kind that names itself is read, and what is said of a sound one."""


def is_lone(spec: str | None) -> bool:
    """Whether this names a payload file, rather than a ticket or a run."""
    return spec is not None and spec.endswith((ZARR, TENSORS)) and Path(spec).is_file()


def open_lone(path: Path) -> tuple[str, Any]:
    """The kind of a file, and what it holds.

    Raises:
        ArtifactError: the E_ code of what is wrong; E_FORMAT if it names no kind, as weights do not.
    """
    where = str(path)
    data = read_bytes(path, limit=MAX_FILE)
    kind = _kind(data, where)
    if kind not in KINDS:
        raise ArtifactError(
            "E_FORMAT", f"{where}: names none of {', '.join(KINDS)}; of weights, verify the ticket or run"
        )
    return kind, KINDS[kind][0](data, where=where)


def verify_lone(path: Path) -> tuple[str, list[Check]]:
    """The kind of a file ("file" if it cannot be told), and whether it is sound; nothing is raised."""
    try:
        kind, content = open_lone(path)
    except ArtifactError as error:
        return "file", [Check("file", False, str(error), error.code)]
    return kind, [Check(kind, True, KINDS[kind][1](content))]


def samples_words(samples: Samples) -> str:
    """What a samples file holds, in one line."""
    count, classes = samples.logits.shape
    odd = int((~np.isfinite(samples.logits)).any(axis=1).sum())
    said = f"set {samples.set}: {count} images in {classes} classes"
    return said + (f", {odd} of them with logits that are not finite" if odd else "")


def compact_words(compact: Compact) -> str:
    """What a compacted net is, in one line."""
    count = sum(math.prod(tensor.shape) for tensor in compact.weights.values())
    size = "x".join(map(str, compact.image))
    return f"{count:,} values of {compact.run} for {size} images, {len(compact.rows)} layers smaller"


def report_words(report: Report) -> str:
    """What a report holds, in one line."""
    done = sum(row.status == "done" for row in report.metrics)
    epoch = report.recipe.get("epoch")  # of weights that were kept along the training
    said = f"{report.kind} {report.id} of {report.subject.run_id}" + (
        f" after epoch {epoch}" if epoch is not None else ""
    )
    return f"{said}: {done} of {len(report.metrics)} values done, {len(report.arrays)} arrays"


def lone_record(content: Samples | Report) -> dict[str, Any]:
    """What samples or a report say, as plain JSON; of arrays their types and shapes."""
    if isinstance(content, Samples):
        fields = {"set": content.set, "subject": content.subject, "digest": content.digest}
        images, classes = content.logits.shape
        whole = np.isfinite(content.logits).all(axis=1)
        return {
            **fields,
            "data": content.data.model_dump(mode="json"),
            "protocol": dict(content.protocol),
            "images": images,
            "classes": classes,
            "not_finite": int((~whole).sum()),
        }
    arrays = {
        name: {"dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in content.arrays.items()
    }
    return {
        "report_id": content.id,
        "kind": content.kind,
        "subject": content.subject.model_dump(mode="json"),
        "data": content.data.model_dump(mode="json"),
        "seeds": dict(content.seeds),
        "env": dict(content.env),
        "recipe": dict(content.recipe),
        "sources": dict(content.sources),
        "metrics": [{**vars(row), "protocol": dict(row.protocol)} for row in content.metrics],
        "arrays": arrays,
        "digest": content.digest,
    }


def _kind(data: bytes, where: str) -> str:
    """The kind that a file claims to be, "" if none."""
    if where.endswith(ZARR):
        said: Any = unpack_group(data, where=where).attributes
    else:
        text = parse_tensors(data, where=where)[1].get(KEY, "{}")
        said = parse_json(text.encode("utf-8", "surrogatepass"), where=where, code="E_FORMAT")
    named = said.get("format") if isinstance(said, dict) else None
    return named.removeprefix("ticketctl.") if isinstance(named, str) else ""
