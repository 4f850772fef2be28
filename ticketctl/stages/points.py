"""Points of a long measurement, each kept in a file of its own as soon as it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import make_folder, read_bytes, write_atomic
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors
from ticketctl.train.terrain import Make, Point

LIMIT = 1 << 32


@dataclass
class Points:
    """Points by name, below a folder that is theirs alone: its name says what they are a function of."""

    folder: Path
    of: str = ""
    """Digest of what they are a function of; a point of something else counts as none."""
    done: Callable[[str], None] = field(default=lambda name: None)
    """Told of each point that is there, whether found or made."""

    def __call__(self, name: str, make: Make) -> Point:
        """The point of this name: read, or made and kept. A file that is damaged counts as none."""
        path = self.folder / f"{name}.safetensors"
        found = _read(path, self.of)
        if found is None:
            found = {key: np.asarray(value) for key, value in make().items()}
            make_folder(self.folder)
            write_atomic(path, _packed(found, self.of))
        self.done(name)
        return found


def _packed(point: Mapping[str, Any], of: str) -> bytes:
    """Arrays by number, since their names may have signs that no tensor has; the names beside them."""
    names = sorted(point)
    tensors = {f"t{number}": Tensor.of(point[name]) for number, name in enumerate(names)}
    return pack_tensors(tensors, {"point": canonical_json({"names": names, "of": of}).decode()})


def _read(path: Path, of: str) -> Mapping[str, Any] | None:
    with suppress(ArtifactError, KeyError, TypeError):  # whoever wrote it
        tensors, metadata = parse_tensors(read_bytes(path, limit=LIMIT), where=str(path))
        said = parse_json(metadata["point"].encode(), where=str(path))
        if said["of"] == of:
            return {str(name): tensors[f"t{number}"].array() for number, name in enumerate(said["names"])}
    return None
