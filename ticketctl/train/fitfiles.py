"""The folder of one training: a checkpoint while it runs, its results once it is done.

checkpoint.safetensors   weights, optimizer, memory, history, and in the header what they belong to
state-<step>.safetensors weights at a step that was asked for
best-<epoch>.safetensors weights of the best validation accuracy so far
final.safetensors        weights at the end, pruned ones exactly +0.0
events.jsonl             history while it runs, one JSON object per epoch
about.json               title and length of the training while it runs
record.safetensors       history and memory; written last: its presence means done
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ticketctl import __version__
from ticketctl.errors import MismatchError
from ticketctl.masks.mask import Mask
from ticketctl.progress import ABOUT, EVENTS
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import append, make_folder, read_bytes, write_atomic
from ticketctl.store.tensors import pack_tensors, parse_tensors
from ticketctl.train.state import State, from_tensor, to_tensor

LIMIT = 1 << 40
_KEY = "ticketctl"
_VERSIONS = {"ticketctl": __version__, "torch": torch.__version__}
"""Bits are promised on one machine and one version of each."""


@dataclass(frozen=True)
class FitFiles:
    """One training's folder."""

    folder: Path

    @property
    def final(self) -> Path:
        """Weights at the end."""
        return self.folder / "final.safetensors"

    def state(self, step: int) -> Path:
        """Weights kept at `step`."""
        return self.folder / f"state-{step}.safetensors"

    def best(self, epoch: int) -> Path:
        """Weights of the best epoch."""
        return self.folder / f"best-{epoch}.safetensors"

    def write_state(self, path: Path, state: State) -> None:
        """Write weights in the one form they have anywhere."""
        make_folder(self.folder)
        write_atomic(path, pack_tensors(state.tensors(), {"format": "pt"}))

    def read_state(self, path: Path, step: int) -> State:
        """Read weights of our own writing."""
        tensors, _ = parse_tensors(read_bytes(path, limit=LIMIT), where=str(path))
        return State.from_tensors(tensors, step)

    def write_checkpoint(
        self, key: str, notes: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> None:
        """The running training, replacing the checkpoint before it; it is for these versions alone."""
        self._write("checkpoint.safetensors", key, {**notes, "versions": _VERSIONS}, tensors)

    def read_checkpoint(self, key: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        """Notes and tensors of the running training, or None if it has none.

        Raises:
            MismatchError: it belongs to another training than `key`, or was begun with other versions.
        """
        found = self._read("checkpoint.safetensors", key)
        versions = found[0].pop("versions", None) if found else _VERSIONS
        if versions != _VERSIONS:
            raise MismatchError(
                f"{self.folder}: begun with {versions}, this is {_VERSIONS}; remove it to begin again"
            )
        return found

    def write_events(self, columns: tuple[str, ...], rows: list[list[float]]) -> None:
        """Begin `events.jsonl` with these rows: one line per row of history, for whoever watches. Work in progress."""
        make_folder(self.folder)
        lines = (_event(dict(zip(columns, row, strict=True))) for row in rows)
        (self.folder / EVENTS).unlink(missing_ok=True)
        append(self.folder / EVENTS, b"".join(lines))

    def write_about(self, title: str, epochs: float, done: float) -> None:
        """What trains here from now on: `done` of its `epochs` were trained before. For whoever watches."""
        write_atomic(
            self.folder / ABOUT, canonical_json({"title": title, "epochs": repr(epochs), "done": repr(done)})
        )

    def append_event(self, values: Mapping[str, float]) -> None:
        """One row more."""
        append(self.folder / EVENTS, _event(values))

    def write_record(self, key: str, notes: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """The finished training; its checkpoint and what was there for whoever watches go."""
        for name in (EVENTS, ABOUT):
            (self.folder / name).unlink(missing_ok=True)
        self._write("record.safetensors", key, notes, tensors)
        (self.folder / "checkpoint.safetensors").unlink(missing_ok=True)
        kept = {self.best(notes["best_epoch"])} if notes.get("best_epoch") is not None else set()
        for path in set(self.folder.glob("best-*.safetensors")) - kept:
            path.unlink(missing_ok=True)

    def read_record(self, key: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        """Notes and tensors of the finished training, or None if it is not done."""
        return self._read("record.safetensors", key)

    def bytes_of(self, path: Path) -> bytes | None:
        """What the file `path` holds; None: it is not there."""
        return read_bytes(path, limit=LIMIT) if path.exists() else None

    def _write(
        self, name: str, key: str, notes: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> None:
        make_folder(self.folder)
        packed = {tensor_name: to_tensor(value) for tensor_name, value in tensors.items()}
        header = canonical_json({"key": key, **notes}).decode()
        write_atomic(self.folder / name, pack_tensors(packed, {_KEY: header}))

    def _read(self, name: str, key: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        path = self.folder / name
        data = self.bytes_of(path)
        if data is None:
            return None
        tensors, metadata = parse_tensors(data, where=str(path))
        notes = parse_json(metadata.get(_KEY, "{}").encode(), where=str(path))
        if not isinstance(notes, dict) or notes.pop("key", None) != key:
            raise MismatchError(
                f"{path}: belongs to another training (recipe, data or seed differ); "
                f"remove {self.folder} to begin again"
            )
        return notes, {tensor_name: from_tensor(tensor) for tensor_name, tensor in tensors.items()}


def check_begun(begun: str, device: str, folder: Path) -> None:
    """Refuse to go on with a training on another kind of device.

    Raises:
        MismatchError: names both.
    """
    if begun != device:
        raise MismatchError(
            f"{folder}: begun with --device {begun}, and other devices give other bits; "
            f"go on with --device {begun}, or remove it to begin again"
        )


def _event(values: Mapping[str, float]) -> bytes:
    measured = {name: repr(value) for name, value in values.items() if not math.isnan(value)}
    return canonical_json(measured) + b"\n"


def of_hook(tensors: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    """What hook `number` of a training held, by the names it gave."""
    prefix = f"hook.{number}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def moved_mask(tensors: Mapping[str, torch.Tensor], like: Mask) -> Mask:
    """A mask that moved, in the order of the one it began as."""
    return Mask({name: tensors[f"mask.{name}"].bool() for name in like.keep})


def as_rows(rows: list[list[float]], columns: int) -> torch.Tensor:
    """History as float64 [E, C]; absent values are NaN."""
    return torch.from_numpy(np.array(rows, dtype=np.float64).reshape(len(rows), columns))
