"""A plan cut into job arrays: one for each depth of its graph, so that no task of an array needs another. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ticketctl.stages.jobs import Plan, PlanJob

T = TypeVar("T")
LARGEST = 1000
"""Tasks of one array: Slurm's MaxArraySize is 1001 where nobody changed it."""


@dataclass(frozen=True)
class Array:
    """Tasks that can run side by side."""

    depth: int
    """Longest chain of needs below its jobs: 0 for draws."""
    tasks: tuple[tuple[str, ...], ...]
    """Ids of the jobs that each does, one after the other."""
    needs: frozenset[str]
    """Jobs that have to be over before."""

    @property
    def jobs(self) -> list[str]:
        """All of them."""
        return [name for task in self.tasks for name in task]


def depths(plan: Plan) -> Mapping[str, int]:
    """How many jobs the longest chain of needs below each has."""
    found: dict[str, int] = {}
    for job in plan.jobs:  # needs come before
        found[job.id] = max((found[need] + 1 for need in job.needs), default=0)
    return found


def arrays_of(plan: Plan, wanted: Collection[str], per_task: int = 1) -> list[Array]:
    """These jobs of a plan as arrays, in an order in which they can be submitted.

    A task has jobs of one kind, for a draw and a report take very different time and memory.
    """
    deep = depths(plan)
    found: dict[int, list[PlanJob]] = {}
    for job in plan.jobs:
        if job.id in wanted:
            found.setdefault(deep[job.id], []).append(job)
    return [
        _array(depth, part, plan)
        for depth in sorted(found)
        for part in _parts(list(_tasks(found[depth], per_task)), LARGEST)
    ]


def _array(depth: int, tasks: Sequence[tuple[str, ...]], plan: Plan) -> Array:
    needs = {need for task in tasks for name in task for need in plan.by_id[name].needs}
    return Array(depth, tuple(tasks), frozenset(needs))


def _tasks(jobs: Sequence[PlanJob], per_task: int) -> Iterator[tuple[str, ...]]:
    for kind in dict.fromkeys(job.kind for job in jobs):
        same = [job.id for job in jobs if job.kind == kind]
        for part in _parts(same, per_task):
            yield tuple(part)


def _parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(whole), size):
        yield whole[at : at + size]
