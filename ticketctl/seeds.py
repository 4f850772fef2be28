"""Named random streams from one root seed. Nothing here has a state, so nothing has to be saved or restored.

Every draw of numbers is a pure function of (root, stream, position): Philox, keyed by the SHA-256 of the words that
name the stream. Philox's raw output is fixed by its authors' paper (Salmon et al., SC'11) and by numpy's
compatibility promise for bit generators, so a table is the same on every machine and device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

STREAMS = (
    "init", "order", "augment", "split", "labels", "subset", "draw", "shuffle", "resample", "noise",
    "corrupt", "attack", "explain", "hessian", "perturb", "probe", "landscape",
)  # fmt: skip


@dataclass(frozen=True)
class Seeds:
    """A root seed, and other roots for single streams (`{"order": 1}` makes a twin that differs in data order)."""

    root: int
    override: Mapping[str, int] = field(default_factory=dict)

    def raw(self, stream: str, *position: Any, count: int) -> NDArray[np.uint64]:
        """`count` random 64-bit words of `stream` at `position` (an epoch, a tensor's name, ...), shape [count]."""
        return np.random.Philox(key=self.key(stream, *position)).random_raw(count)

    def order(self, stream: str, *position: Any, count: int) -> NDArray[np.int64]:
        """A permutation of `count` indices: the stable rank order of `raw`, shape [count]."""
        return np.argsort(self.raw(stream, *position, count=count), kind="stable")

    def key(self, stream: str, *position: Any) -> int:
        """The 128-bit key of `stream` at `position`."""
        words = "\0".join(str(word) for word in ("ticketctl.seeds.v1", self.of(stream), stream, *position))
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:16], "little")

    def of(self, stream: str) -> int:
        """The root seed that `stream` uses."""
        if stream not in STREAMS:
            raise KeyError(f"no stream named {stream!r}")
        return self.override.get(stream, self.root)
