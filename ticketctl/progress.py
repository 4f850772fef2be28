"""What long work tells whoever watches. Library code reports here and prints nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Receives progress; every method returns at once."""

    def job(self, title: str, fits: int) -> None:
        """A job of `fits` trainings begins."""

    def phase(self, name: str, epochs: float, done: float) -> None:
        """One training of `epochs` begins, `done` of which were trained before."""

    def epochs(self, done: float, values: Mapping[str, float]) -> None:
        """`done` epochs of the current training are over; `values` are its newest metrics."""

    def note(self, text: str) -> None:
        """A line worth keeping in a log."""

    def download(self, name: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes (None: not told) of the file `name` have arrived."""


class Silent:
    """Hears nothing."""

    def job(self, title: str, fits: int) -> None: ...  # noqa: D102
    def phase(self, name: str, epochs: float, done: float) -> None: ...  # noqa: D102
    def epochs(self, done: float, values: Mapping[str, float]) -> None: ...  # noqa: D102
    def note(self, text: str) -> None: ...  # noqa: D102
    def download(self, name: str, done: int, total: int | None) -> None: ...  # noqa: D102
