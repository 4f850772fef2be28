"""Draws that are stopped, and draws that are killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ticketctl.errors import StoppedError
from ticketctl.testing.watch import refusal, replaced
from ticketctl.train import loop

CODE = 75
"""With which a draw leaves that is stopped by SIGTERM."""


@dataclass
class Asked:
    """Asked whether to stop: counts, copies `folder` at the times `at`, says yes from the `until`-th time on."""

    until: int | None = None
    folder: Path | None = None
    at: Collection[int] = ()
    times: int = 0
    copies: list[Path] = field(default_factory=list)

    def __call__(self) -> int | None:
        """The code to leave with, or None."""
        self.times += 1
        if self.folder is not None and self.times in self.at and self.folder.exists():
            copy = self.folder.with_name(f"{self.folder.name}-at-{self.times}")
            self.copies.append(shutil.copytree(self.folder, copy))
        return CODE if self.until is not None and self.times >= self.until else None


Draw = Callable[[Path, Asked], object]
"""Draws into a folder, or goes on there."""


def stopped_again_and_again(draw: Draw, folder: Path) -> int:
    """Draw into `folder`, stopped ever later, until it is done; how often it was stopped.

    Later and later, because work between trainings begins anew after a stop, and has to come to its end once.
    """
    for stops, until in enumerate(_later()):
        error = refusal(StoppedError, lambda until=until: draw(folder, Asked(until)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        if error is None:
            return stops
        assert error.exit_code == CODE, f"a stop left with code {error.exit_code}, not {CODE}"
    raise AssertionError("unreachable")


def _later() -> Iterator[int]:
    value = 1
    while True:
        yield value
        value += 1 + value // 2


def killed(draw: Draw, folder: Path, points: Collection[int]) -> list[Path]:
    """Draw into `folder`, with a checkpoint after every step; copies of it, each as a kill would have left it.

    Args:
        draw: the work.
        folder: where it is done, undisturbed.
        points: moments, counted in how often the draw asked whether to stop.
    """
    asked = Asked(None, folder, points)
    with replaced(loop, CHECKPOINT_SECONDS=-1.0, CHECKPOINT_SHARE=1e9):
        draw(folder, asked)
    return asked.copies


def spread(times: int, count: int) -> list[int]:
    """`count` moments, evenly among 1 .. times."""
    return sorted({1 + times * (2 * place + 1) // (2 * count) for place in range(count)})


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, but for locks and what tells one execution from the next."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("provenance.json", ".lock")
    }


def differing(found: Mapping[str, bytes], truth: Mapping[str, bytes]) -> list[str]:
    """Names of files that are not in both with the same bytes."""
    return sorted(name for name in {*found, *truth} if found.get(name) != truth.get(name))
