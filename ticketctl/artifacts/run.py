"""A run: a folder with run.json, final.safetensors and, as it comes, mask, series, trajectory, states, reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.digests import refuse_other
from ticketctl.artifacts.folder import check_listed, get, get_record, put, put_record
from ticketctl.artifacts.manifest import manifest_bytes, read_manifest
from ticketctl.artifacts.masks import Keep, claimed_mask, counts, encode_mask, mask_digest
from ticketctl.artifacts.models import RunManifest, recipe_digest, run_id, shapes_digest
from ticketctl.artifacts.records import floats, numbers, to_record
from ticketctl.artifacts.series import Series, decode_series, encode_series
from ticketctl.artifacts.trajectory import Moves, Trajectory, decode_trajectory, encode_trajectory
from ticketctl.artifacts.weights import claimed_weights, decode_weights, encode_weights, weights_digest
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.store.files import read_bytes, write_atomic
from ticketctl.store.tensors import Tensor

MANIFEST = "run.json"
MASK, FINAL, SERIES = "mask.safetensors", "final.safetensors", "series.zarr.zip"
TRAJECTORY = "trajectory.zarr.zip"
_FEATURES = {
    "mask": "mask.bits", "series": "series.zarr", "trajectory": "trajectory.xor", "weights": "weights.file",
}  # fmt: skip
Files = list[dict[str, object]]
Weights = Mapping[str, Tensor] | Path
"""Tensors to write, or a finished safetensors file to link."""


@dataclass(frozen=True)
class StateFile:
    """Weights kept on the way, under a name such as `best-val` or `epoch-10`."""

    name: str
    step: int
    epoch: Any
    weights: Weights


@dataclass(frozen=True)
class ReportFile:
    """A finished report to list: its archive, its kind, and the digest of its content."""

    name: str
    kind: str
    digest: str
    content: bytes | Path


@dataclass(frozen=True, repr=False)
class Run:
    """An opened run: its manifest is judged, its files are there; each file is checked when it is read."""

    folder: Path
    manifest: RunManifest

    def __repr__(self) -> str:
        said = self.manifest
        what = f"{said.arch.name} on {said.data.name}, level {said.level}, {said.status}"
        return f"<Run {said.run_id:.11}: {what}, keeps {said.kept} of {said.prunable}, {self.folder}>"

    @property
    def metrics(self) -> dict[str, float]:
        """What the training came to, by name, e.g. test.accuracy (a share, in [0, 1])."""
        return floats(self.manifest.metrics)

    def weights(self) -> dict[str, Tensor]:
        """The trained weights, a whole state_dict.

        Raises:
            ArtifactError: E_FILE_DIGEST, E_WEIGHTS_DIGEST, E_ARCH_MISMATCH, or what is wrong with the file.
        """
        return self._weights(FINAL, self.manifest.weights.digest)

    def state(self, name: str) -> dict[str, Tensor]:
        """Weights kept on the way.

        Raises:
            UsageError: no state of that name was kept.
            ArtifactError: as `weights`.
        """
        found = [state for state in self.manifest.states if state.name == name]
        if not found:
            names = ", ".join(state.name for state in self.manifest.states) or "none"
            raise UsageError(f"{self.folder}: no state {name!r} was kept; there is {names}")
        return self._weights(found[0].file, found[0].digest)

    def mask(self) -> dict[str, NDArray[np.bool_]] | None:
        """The mask it was trained under, or None if it is dense.

        Raises:
            ArtifactError: E_FILE_DIGEST, or what is wrong with the file.
        """
        part, where = self.manifest.mask, str(self.folder / MASK)
        if part is None:
            return None
        return claimed_mask(
            self._read(MASK), digest=part.digest, kept=part.kept, prunable=part.prunable, where=where
        )

    def series(self) -> Series | None:
        """What was measured on the way, if it was kept.

        Raises:
            ArtifactError: E_FILE_DIGEST, or what is wrong with the file.
        """
        if self.manifest.series is None:
            return None
        return decode_series(self._read(SERIES), where=str(self.folder / SERIES))

    def trajectory(self) -> Trajectory | None:
        """The masks that the training passed through, if its mask moved.

        Raises:
            ArtifactError: E_FILE_DIGEST, E_COUNT, or what is wrong with the file.
        """
        part, where = self.manifest.trajectory, str(self.folder / TRAJECTORY)
        if part is None:
            return None
        found = decode_trajectory(self._read(TRAJECTORY), where=where)
        refuse_other("E_STORE_DIGEST", where, found.digest, part.digest)
        if len(found.step) != part.rows:
            raise ArtifactError("E_COUNT", f"{where}: {len(found.step)} masks, run.json says {part.rows}")
        return found

    def record(self) -> dict[str, Tensor] | None:
        """What tweaks and data wrote down, by name, if they did; ArtifactError as for all files."""
        return get_record(self.folder, self.manifest.files)

    def _weights(self, name: str, digest: str) -> dict[str, Tensor]:
        shapes, where = self.manifest.arch.param_shapes, str(self.folder / name)
        return claimed_weights(self._read(name), digest=digest, shapes=shapes, where=where)

    def _read(self, name: str) -> bytes:
        return get(self.folder, self.manifest.files, name)


def write_run(
    folder: Path,
    *,
    ticket: str,
    level: int,
    arch: Mapping[str, Any],
    seeds: Mapping[str, int],
    recipe: Mapping[str, Any],
    training_id: str,
    start: Mapping[str, Any],
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    cost: Mapping[str, Any],
    weights: Weights,
    keep: Keep | None = None,
    prunable: int | None = None,
    status: str = "done",
    states: Sequence[StateFile] = (),
    series: Series | None = None,
    trajectory: Moves | None = None,
    record: Mapping[str, Tensor] | None = None,
    reports: Sequence[ReportFile] = (),
    license: str | None = None,
    authors: Sequence[str] = (),
    citation: str | None = None,
    ext: Mapping[str, Any] | None = None,
) -> Run:
    """Write a run into `folder`, which exists: the payload files first, run.json last.

    Args:
        folder: where.
        ticket: id of the ticket (of the level that was trained), or "dense".
        level: of the ticket's ladder; 0 is dense.
        arch: as in a ticket, and `tweaks`; `param_shapes` is filled in from the weights.
        seeds: by stream.
        recipe: the full resolved recipe.
        training_id: what this training is a function of, as the stages compute it.
        start: role (init, rewind, trained), step, digest.
        data: name, fingerprint, train, validation, test.
        metrics: name to number.
        cost: steps, images, epochs.
        weights: the trained state_dict, or a finished safetensors file that holds it, to link.
        keep: the mask, of sparse runs.
        prunable: how many weights could have been pruned; needed without `keep`.
        status: done or diverged.
        states: weights kept on the way.
        series: what was measured on the way.
        trajectory: the masks of the way, if the mask moved; the last is `keep`.
        record: what tweaks and data wrote down, by name.
        reports: finished report archives.
        license: of the run.
        authors: of the run.
        citation: BibTeX or a DOI.
        ext: free, namespaced, ignored by readers.

    Raises:
        ArtifactError: the manifest would contradict itself, or a linked file is not sound.
        ValueError: the payload cannot be written as the formats want, or `prunable` is missing.
        ResourceError: no space or no permission.
    """
    final, content = _loaded(weights)
    files = [put(folder, FINAL, content, "weights")]
    shapes = shapes_digest({name: tensor.shape for name, tensor in final.items()})
    arch = to_record({"tweaks": [], "param_shapes": shapes, **arch})
    core = {"ticket": ticket, "level": level, "arch": arch, "seeds": dict(seeds), "recipe": to_record(recipe)}
    digest = weights_digest(final)
    fields: dict[str, Any] = {
        "format": "ticketctl.run",
        "format_version": "1.0",
        **core,
        "run_id": run_id(**core, weights=digest),
        "recipe_digest": recipe_digest(core["recipe"]),
        "training_id": training_id,
        "status": status,
        "start": to_record(start),
        "data": to_record(data),
        "metrics": numbers(metrics),
        "cost": {**cost, "epochs": str(to_record(cost["epochs"]))},
        "mask": _mask_part(folder, keep, files),
        "weights": {"file": FINAL, "digest": digest},
        "states": [_state_part(folder, state, files) for state in states],
        "series": _series_part(folder, series, files),
        "reports": [_report_part(folder, report, files) for report in reports],
        "license": license,
        "authors": list(authors),
        "citation": citation,
        "ext": to_record(ext or {}),
    }
    fields |= _trajectory_part(folder, trajectory, files)
    fields |= {"format_version": "1.2"} if put_record(folder, record, files) else {}
    counted = fields["mask"] or {"kept": prunable, "prunable": prunable}
    fields |= {"kept": counted["kept"], "prunable": counted["prunable"]}
    fields["features"] = [feature for part, feature in _FEATURES.items() if fields.get(part)]
    fields["files"] = sorted(files, key=lambda entry: str(entry["path"]))
    write_atomic(folder / MANIFEST, manifest_bytes(fields, RunManifest))
    return open_run(folder)


def open_run(folder: Path) -> Run:
    """Judge the manifest and see that its files are there, in their sizes; payload is read when asked for.

    Raises:
        ArtifactError: the E_ code of what is wrong.
    """
    manifest = read_manifest(folder / MANIFEST, RunManifest)
    check_listed(folder, manifest.files)
    return Run(folder, manifest)


def _loaded(weights: Weights) -> tuple[Mapping[str, Tensor], bytes | Path]:
    if isinstance(weights, Path):
        return decode_weights(read_bytes(weights, limit=1 << 36), where=str(weights)), weights
    return weights, encode_weights(weights)


def _mask_part(folder: Path, keep: Keep | None, files: Files) -> dict[str, Any] | None:
    if keep is None:
        return None
    files.append(put(folder, MASK, encode_mask(keep), "mask"))
    kept, prunable = counts(keep)
    return {"file": MASK, "digest": mask_digest(keep), "kept": kept, "prunable": prunable}


def _state_part(folder: Path, state: StateFile, files: Files) -> dict[str, Any]:
    tensors, content = _loaded(state.weights)
    name = f"states/{state.name}.safetensors"
    files.append(put(folder, name, content, "state"))
    epoch, digest = str(to_record(state.epoch)), weights_digest(tensors)
    return {"name": state.name, "step": state.step, "epoch": epoch, "file": name, "digest": digest}


def _series_part(folder: Path, series: Series | None, files: Files) -> dict[str, Any] | None:
    if series is None:
        return None
    files.append(put(folder, SERIES, encode_series(series), "series"))
    return {"file": SERIES}


def _trajectory_part(folder: Path, moves: Moves | None, files: Files) -> dict[str, Any]:
    """What a trajectory changes in the manifest: nothing, if there is none."""
    if moves is None:
        return {}
    data = encode_trajectory(moves)
    files.append(put(folder, TRAJECTORY, data, "trajectory"))
    digest = decode_trajectory(data, where=TRAJECTORY).digest
    part = {"file": TRAJECTORY, "digest": digest, "rows": len(moves.step)}
    return {"trajectory": part, "format_version": "1.1"}


def _report_part(folder: Path, report: ReportFile, files: Files) -> dict[str, Any]:
    name = f"reports/{report.name}.zarr.zip"
    files.append(put(folder, name, report.content, "report"))
    return {"file": name, "kind": report.kind, "digest": report.digest}
