"""Hostile runs of version 1.2: what tweaks and data wrote down, weights that tweaks added, masks that are gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.artifacts import samples
from tests.artifacts.hostile_folders import Case, Fields, extra, fields_with, other_final, replaced
from ticketctl.artifacts.run import Run, open_run
from ticketctl.store.tensors import Tensor, pack_tensors

NAME = "record.safetensors"


def redense(folder: Path) -> Run:
    """A sound run without a mask, of a ticket."""
    sparse = folder.with_name(f"{folder.name}-before")
    before = samples.run(sparse)
    made = samples.redense(folder, before)
    shutil.rmtree(sparse)
    return made


def record_as(data: bytes) -> Callable[[Path], None]:
    """Other bytes in the place of the record, listed as they are."""
    return lambda folder: replaced(folder, NAME, data)


def moved(to: str) -> Callable[[Path], None]:
    """The record under another path."""

    def spoil(folder: Path) -> None:
        (folder / NAME).rename(folder / to)
        fields_with(lambda f: _entry(f).update(path=to))(folder)

    return spoil


def _entry(fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in fields["files"] if entry["path"] == NAME)
    return found


def run_cases() -> Iterator[Case]:
    """Of a run with tweaks and a record."""
    record = samples.written()
    for version in ("1.0", "1.1"):
        old = fields_with(lambda f, version=version: f.update(format_version=version))
        yield f"record-{version}", old, "E_MANIFEST", f"version {version} has no record"
    yield "record-name", moved("samples.safetensors"), "E_MANIFEST", "a record under another path"
    outside = fields_with(lambda f: _entry(f).update(path="../record.safetensors"))
    yield "record-outside", outside, "E_PATH", "a record outside of its folder"
    role = fields_with(lambda f: _entry(f).update(role="state"))
    yield "record-role", role, "E_MANIFEST", "the record as a state"
    second = extra("more.safetensors", pack_tensors(record, {"format": "pt"}), role="record", version="1.2")
    yield "record-second", second, "E_MANIFEST", "two records"
    later = extra("later.bin", b"what is this", role="later", version="1.2")
    yield "role-later", later, "E_MANIFEST", "of a role this version has not"
    yield "record", record_as(b"\x80\x04not one"), "E_FORMAT", "not a safetensors file"
    yield "record-metadata", record_as(pack_tensors(record, {"format": "np"})), "E_FORMAT", "other metadata"
    yield "record-no-metadata", record_as(pack_tensors(record)), "E_FORMAT", "no metadata"
    short = pack_tensors(record, {"format": "pt"})[:-1]
    yield "record-short", record_as(short), "E_FORMAT", "a byte too few"
    yield "record-missing", lambda folder: (folder / NAME).unlink(), "E_FILE_MISSING", "listed, not there"
    yield "record-flipped", _flip, "E_FILE_DIGEST", "a byte differs from what is listed"
    names = fields_with(lambda f: f["arch"].update(tweaks=["skip"]))
    yield "tweaks", names, "E_RUN_ID", "fewer tweaks, the old id"
    yield "tweaks-text", fields_with(lambda f: f["arch"].update(tweaks="skip")), "E_MANIFEST", "no list"
    yield "tweaks-float", fields_with(_float_in_ext), "E_MANIFEST", "a float in what a tweak says of itself"
    yield "tweak-weights", _without_added, "E_ARCH_MISMATCH", "weights that a tweak added are missing"
    yield "tweak-pruned", _unpruned, "E_WEIGHTS", "pruned weights that are not zero, beside added ones"


def redense_cases() -> Iterator[Case]:
    """Of a run that a tweak has trained without a mask."""
    yield "redense-kept", fields_with(lambda f: f.update(kept=77)), "E_COUNT", "some pruned, by no mask"
    feature = fields_with(lambda f: f.update(features=["mask.bits", *f["features"]]))
    yield "redense-feature", feature, "E_MANIFEST", "names a mask that it has not"
    absent = {"file": "mask.safetensors", "digest": "sha256:" + "0" * 64, "kept": 77, "prunable": 107}
    mask = fields_with(lambda f: f.update(mask=absent))
    yield "redense-mask", mask, "E_MANIFEST", "a mask that is not listed"
    yield "redense-ticket", fields_with(lambda f: f.update(ticket="dense")), "E_RUN_ID", "of no ticket"


def _flip(folder: Path) -> None:
    path = folder / NAME
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def _float_in_ext(fields: Fields) -> None:
    fields["ext"]["ticketctl.tweaks"]["tweaks"][0]["eta"] = 0.1


def _without_added(folder: Path) -> None:
    final = {name: tensor for name, tensor in _final(folder).items() if name not in samples.SKIP}
    other_final(final)(folder)


def _unpruned(folder: Path) -> None:
    final = {**_final(folder), "fc1.weight": Tensor.of(np.ones((5, 12), "f4"))}
    other_final(final)(folder)


def _final(folder: Path) -> dict[str, Tensor]:
    return open_run(folder).weights()
