"""Threads that decode batches."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread

import numpy as np
from numpy.typing import NDArray

Task = Callable[[], None]
PIECE = 4
"""Images that a thread decodes in one go."""


class Crew:
    """`workers` threads, begun with the first batch. They end with the crew, and hold up nobody who leaves."""

    def __init__(self, workers: int) -> None:
        self.workers, self.tasks = workers, SimpleQueue[Task | None]()
        self.owner: int | None = None
        """The process that the threads are in: one that was forked from it has none."""

    def begin(self, fill: Callable[[int], None], out: NDArray[np.uint8]) -> Batch:
        """Fill the rows of `out` [n, ...] one by one, in any order, and answer at once."""
        if self.owner != os.getpid():
            self.owner, self.tasks = os.getpid(), SimpleQueue()
            for _ in range(self.workers):
                Thread(target=_serve, args=(self.tasks,), daemon=True, name="decoder").start()
            weakref.finalize(self, _dismiss, self.tasks, self.workers)
        batch = Batch(fill, out)
        for task in batch.tasks():
            self.tasks.put(task)
        return batch


def _serve(tasks: SimpleQueue[Task | None]) -> None:
    while (task := tasks.get()) is not None:
        task()
        del task  # it holds its batch


def _dismiss(tasks: SimpleQueue[Task | None], workers: int) -> None:
    for _ in range(workers):
        tasks.put(None)


class Batch:
    """Images that are being decoded."""

    def __init__(self, fill: Callable[[int], None], out: NDArray[np.uint8]) -> None:
        self.fill, self.out = fill, out
        self.dropped = False
        """Nobody wants it any more."""
        self._starts = list(range(0, len(out), PIECE))
        self._done: SimpleQueue[tuple[int, BaseException | None]] = SimpleQueue()

    def tasks(self) -> list[Task]:
        """One for each piece."""
        return [partial(self._piece, start) for start in self._starts]

    def _piece(self, start: int) -> None:
        problem: BaseException | None = None
        place = start
        try:
            for place in range(start, min(start + PIECE, len(self.out))):
                if self.dropped:
                    break
                self.fill(place)
        except BaseException as error:  # raised again by whoever waits for this place
            problem = error
        self._done.put((place, problem))

    def result(self) -> NDArray[np.uint8]:
        """All of it, once it is there. It is asked for once.

        Raises:
            UnavailableError: an image cannot be read: of several the first.
        """
        found = [self._done.get() for _ in self._starts]
        problems = sorted(((place, problem) for place, problem in found if problem), key=lambda one: one[0])
        if problems:
            raise problems[0][1]
        return self.out
