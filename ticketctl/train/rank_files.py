"""The folder of a training that ranks share: rank 0 reads and writes, the others are told what it has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.ranks import Ranks
from ticketctl.train.state import State


@dataclass(frozen=True)
class RankFiles(FitFiles):
    """One training's folder, as this rank has it."""

    ranks: Ranks

    # what each method does stands in the base, hence no docstrings (D102) here

    def write_state(self, path: Path, state: State) -> None:  # noqa: D102
        if self.ranks.leads:
            super().write_state(path, state)

    def write_events(self, columns: tuple[str, ...], rows: list[list[float]]) -> None:  # noqa: D102
        if self.ranks.leads:
            super().write_events(columns, rows)

    def write_about(self, title: str, epochs: float, done: float) -> None:  # noqa: D102
        if self.ranks.leads:
            super().write_about(title, epochs, done)

    def append_event(self, values: Mapping[str, float]) -> None:  # noqa: D102
        if self.ranks.leads:
            super().append_event(values)

    def write_checkpoint(  # noqa: D102
        self, key: str, notes: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> None:
        if self.ranks.leads:
            super().write_checkpoint(key, notes, tensors)

    def write_record(self, key: str, notes: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:  # noqa: D102
        if self.ranks.leads:
            super().write_record(key, notes, tensors)

    def bytes_of(self, path: Path) -> bytes | None:
        """As rank 0 finds them; the others wait for it."""
        found = super().bytes_of(path) if self.ranks.leads else None
        return self.ranks.led(found or b"") or None
