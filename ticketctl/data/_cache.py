"""Decoded data sets on disk: one safetensors file each, mapped, never copied into memory as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ticketctl.data._measure import check, fingerprint
from ticketctl.data.sets import DataSet, Split
from ticketctl.errors import ArtifactError, LockedError, ResourceError, UnavailableError
from ticketctl.progress import Reporter
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, sha256, write_atomic
from ticketctl.store.locks import locked
from ticketctl.store.mapped import map_tensors, write_arrays

_KEY = "ticketctl.data"
_LISTS = ("classes", "mean", "std")
_DTYPES = {"train_images": "U8", "train_labels": "I64", "test_images": "U8", "test_labels": "I64"}
_POSITIONS = "train_positions"
"""An array that is kept of sets that are not in the order in which they were published."""
_POLL = 0.2
_PATIENCE = 3600.0
"""Seconds to wait for another process that decodes; the largest sets take minutes."""


def write_kept(path: Path, data: DataSet) -> None:
    """Keep `data` at `path`.

    Raises:
        ResourceError: the cache cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {
        "train_images": data.train.images,
        "train_labels": data.train.labels,
        "test_images": data.test.images,
        "test_labels": data.test.labels,
    }
    about = {name: getattr(data, name) for name in (*_LISTS, "augment", "fingerprint")}
    if data.train.positions is not None:
        arrays[_POSITIONS] = data.train.positions
        about[_POSITIONS] = sha256(data.train.positions.tobytes())
    sealed = {"about": about, "sha256": sha256(canonical_json(about))}
    write_arrays(path, arrays, {_KEY: canonical_json(sealed).decode()})


def read_kept(path: Path, name: str) -> DataSet:
    """The data set kept at `path`, its arrays mapped read-only.

    All of it is hashed against the stored fingerprint (0.1 s for CIFAR-10): a flipped bit never trains a net.

    Raises:
        ArtifactError: E_FILE_MISSING if it is not kept, another code if the file is damaged.
    """
    tensors, metadata = map_tensors(path)
    dtypes = {key: tensor.dtype for key, tensor in tensors.items()}
    if dtypes not in (_DTYPES, {**_DTYPES, _POSITIONS: "I64"}):
        raise ArtifactError("E_FORMAT", f"{path}: not a kept data set")
    about = _about(metadata.get(_KEY, ""), path)
    arrays = {key: tensor.array() for key, tensor in tensors.items()}
    positions, digest = arrays.get(_POSITIONS), about.pop(_POSITIONS, None)
    if (None if positions is None else sha256(positions.tobytes())) != digest:
        raise ArtifactError("E_FORMAT", f"{path}: its positions are not those that were written")
    train = Split(arrays["train_images"], arrays["train_labels"], positions)
    test = Split(arrays["test_images"], arrays["test_labels"])
    try:
        check(name, train, test, len(about["classes"]))
    except UnavailableError as error:
        raise ArtifactError("E_FORMAT", f"{path}: {error}") from None
    if fingerprint(train, test) != about["fingerprint"]:
        raise ArtifactError("E_FORMAT", f"{path}: its pixels or labels are not those that were written")
    return DataSet(name=name, train=train, test=test, **about)


def _about(text: str, path: Path) -> dict[str, Any]:
    sealed = parse_json(text.encode(), where=str(path), code="E_FORMAT", canonical=True)
    about = sealed.get("about") if isinstance(sealed, dict) else None
    if not isinstance(about, dict) or sealed.get("sha256") != sha256(canonical_json(about)):
        raise ArtifactError("E_FORMAT", f"{path}: its description is damaged")
    if {*about} - {_POSITIONS} != {*_LISTS, "augment", "fingerprint"}:
        raise ArtifactError("E_FORMAT", f"{path}: not a kept data set")
    return about | {field: tuple(about[field]) for field in _LISTS}


def known_fingerprint(path: Path) -> str | None:
    """The fingerprint that was noted at `path`; None: none was, or the note is damaged."""
    with suppress(ArtifactError, ResourceError):
        found = parse_json(read_bytes(path, limit=1 << 12), where=str(path), code="E_FORMAT", canonical=True)
        known = found.get("fingerprint") if isinstance(found, dict) else None
        return known if isinstance(known, str) else None
    return None


def note_fingerprint(path: Path, fingerprint: str) -> None:
    """Note it at `path`, unless it stands there; a cache that cannot be written is no reason to fail."""
    if known_fingerprint(path) == fingerprint:
        return
    with suppress(ResourceError):
        make_folder(path.parent)
        write_atomic(path, canonical_json({"fingerprint": fingerprint}))


@contextmanager
def waiting(folder: Path, reporter: Reporter) -> Iterator[None]:
    """Hold `folder` for writing; while another process holds it, wait, for it is likely making what we need.

    Raises:
        LockedError: an hour has passed.
        ResourceError: the folder may not be written.
    """
    with ExitStack() as stack:
        started = time.monotonic()
        told = False
        while True:
            try:
                stack.enter_context(locked(folder))
                break
            except LockedError:
                if time.monotonic() - started > _PATIENCE:
                    raise
            if not told:
                reporter.note(f"waiting for another process that prepares data in {folder}")
                told = True
            time.sleep(_POLL)
        yield
