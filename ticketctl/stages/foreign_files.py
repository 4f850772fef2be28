"""Files of other programs, read as plain data: what a file is, its first bytes say, and not its name.

A file of torch.save goes behind the fence (`ticketctl.fence`); safetensors and numpy's files are read here, strictly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketctl.dialects.tree import Tree
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.fence.reader import LIMIT, Fence
from ticketctl.plugins import plugins
from ticketctl.stages.first_bytes import READ, kind_of
from ticketctl.store.files import read_bytes, sha256
from ticketctl.store.npz import npy_array, npz_arrays
from ticketctl.store.tensors import Tensor, parse_tensors


@dataclass(frozen=True)
class Foreign:
    """The files that are read for one import: a mask for each level, and the weights, if they lie in a file apart."""

    masks: tuple[Path, ...]
    weights: Path | None = None
    dialect: str | None = None
    """Whose run folder it is; None: a single file, of which its content will tell."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.masks, *([self.weights] if self.weights else []))


def gathered(path: Path, dialect: str | None = None) -> Foreign:
    """The files behind a name: itself, or those of a run folder whose layout a dialect knows (its `LEVELS`).

    Args:
        path: a file or folder.
        dialect: the only one to try; None: all.

    Raises:
        UsageError: nothing there; or a folder of no known layout, or of several.
    """
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        return Foreign((path,))
    layouts = {
        name: one.literals["LEVELS"] for name, one in plugins("dialects").items() if "LEVELS" in one.literals
    }
    found = {
        name: _in_order(path, layout["masks"])
        for name, layout in layouts.items()
        if dialect in (None, name) and _in_order(path, layout["masks"])
    }
    if len(found) != 1:
        known = ", ".join(f"{layout['masks']} ({name})" for name, layout in layouts.items())
        what = (
            f"the layouts of several: {', '.join(found)}; say which with --dialect"
            if found
            else f"none of {known}"
        )
        raise UsageError(f"{path}: {what}; or name a single file")
    ((name, masks),) = found.items()
    weights = (_in_order(path, pattern) for pattern in layouts[name].get("weights", ()))
    return Foreign(tuple(masks), next((files[0] for files in weights if files), None), name)


def _in_order(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern in the order of the numbers in their names."""
    return sorted(
        folder.glob(pattern),
        key=lambda path: [int(n) for n in re.findall(r"\d+", str(path.relative_to(folder)))],
    )


def content(path: Path) -> bytes:
    """The file; a link is followed, for the caches of others are full of them.

    Raises:
        ArtifactError: it is no regular file, or larger than 4 GiB.
    """
    return read_bytes(path.resolve(), limit=LIMIT)


def sources(foreign: Foreign) -> list[dict[str, Any]]:
    """What the files are, as a ticket keeps it: digest and size, without names of this machine."""
    return [_said(content(path)) for path in foreign.files]


def _said(data: bytes) -> dict[str, Any]:
    return {"sha256": sha256(data), "size": len(data)}


def trees(paths: tuple[Path, ...]) -> Iterator[tuple[Tree, dict[str, Any]]]:
    """What each file holds and what it is (`sources`), one after the other; those of torch.save share one child.

    Raises:
        ArtifactError: E_FORMAT and others: a file that is none of these, is damaged, or holds code or too much.
    """
    with Fence() as fence:
        for path in paths:
            data = content(path)
            yield _tree(data, path.name, fence), _said(data)


def _tree(data: bytes, name: str, fence: Fence) -> Tree:
    if what := kind_of(data):
        raise ArtifactError("E_FORMAT", f"{name}: {what}; {READ}")
    if data[8:9] == b"{":
        tensors, metadata = parse_tensors(data, where=name)
        return Tree(name, tensors, metadata, ordered=False)
    try:
        if data.startswith(b"\x93NUMPY"):
            return Tree(name, _tensors({"array": npy_array(data)}, name))
        if (
            data.startswith(b"PK")
            and b"data.pkl" not in data[:4096]
            and (arrays := npz_arrays(data, limit=LIMIT))
        ):
            return Tree(name, _tensors(arrays, name))
    except ValueError as error:
        raise ArtifactError("E_FORMAT", f"{name}: not a file of numpy's: {error}") from None
    return Tree(name, fence.read(data, name))


def _tensors(arrays: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    odd = next(
        (key for key, array in arrays.items() if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8),
        None,
    )
    if odd is not None:
        raise ArtifactError(
            "E_FORMAT", f"{name}: {odd[:80]} is an array of {arrays[odd].dtype}; numbers are wanted"
        )
    return {key: Tensor.of(array) for key, array in arrays.items()}
