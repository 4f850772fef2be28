"""What a search for the onset of stability costs at most: trainings, epochs, disk, and the seconds on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ticketctl.curves import line
from ticketctl.errors import OfflineError
from ticketctl.recipe_explore import OnsetSpec
from ticketctl.stages.bisection import at_most
from ticketctl.stages.due import passes_a_second
from ticketctl.stages.estimate import speed_of, timing
from ticketctl.stages.onset import Search
from ticketctl.stages.pace import START, pace_of
from ticketctl.stages.price import Price
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.stability import Origin
from ticketctl.train.terrain import End


@dataclass(frozen=True)
class OnsetDue:
    """The most that a search still takes."""

    price: Price
    evaluations: int
    """Over all initialisations, of those that are not there."""
    bytes: int | None
    """On disk while it runs, below its folder, for one initialisation after the other; None: not known."""


def onset_due(search: Search, around: Surroundings) -> OnsetDue:
    """The cost of what is not there; a few steps are timed, and nothing is kept of them.

    Where `around` is offline and the data would have to be fetched, nothing is known of what is there.

    Raises:
        UsageError, UnavailableError, MismatchError: as the search would, where nothing has to be fetched.
        StoppedError: somebody asked to stop.
    """
    began = time.process_time()
    try:
        first = search.origin(0, around)
    except OfflineError:
        why = f"{search.net.recipe.data.name} is not here, and a dry run fetches nothing"
        counts = [_counted(search, {})] * search.spec.inits
        return OnsetDue(_price(counts, None, why), _evaluations(counts), None)
    setup = time.process_time() - began
    counts = [
        _counted(search, _known(search, search.origin(number, around) if number else first))
        for number in range(search.spec.inits)
    ]
    found = _price(counts, first.subject.setting.bench.feed.steps_per_epoch, "")
    if found.trainings:
        found = _timed(found, _evaluations(counts), first, setup, around)
    return OnsetDue(found, _evaluations(counts), max(_bytes(first, count) for count in counts))


@dataclass(frozen=True)
class Count:
    """At most, of one initialisation."""

    evaluations: int
    trainings: int
    epochs: float


def _known(search: Search, origin: Origin) -> dict[int, bool]:
    found = {epoch: origin.known(epoch) for epoch in range(origin.epochs)}
    return {epoch: one.stable(search.spec.threshold) for epoch, one in found.items() if one is not None}


def _counted(search: Search, known: Mapping[int, bool]) -> Count:
    return most_of(search.net.recipe.train.epochs, search.spec, known)


def most_of(last: int, spec: OnsetSpec, known: Mapping[int, bool]) -> Count:
    """What the search takes of one initialisation, whose dense net is trained to the last epoch that twins leave it at.

    Args:
        last: epochs of the whole training.
        spec: `[onset]`.
        known: whether it is stable, by epoch, where that is there.
    """
    twins = spec.twins

    def most(price: Callable[[int], float]) -> float:
        return at_most(last, price, known, spec.scan)

    evaluations = round(most(lambda _: 1.0))
    dense = min(1, evaluations) * min(1, last - 1)
    epochs = most(lambda epoch: float(twins * (last - epoch))) + dense * (last - 1)
    return Count(evaluations, dense + twins * evaluations, epochs)


def _evaluations(counts: list[Count]) -> int:
    return sum(count.evaluations for count in counts)


def _price(counts: list[Count], per_epoch: int | None, unknown: str) -> Price:
    trainings, epochs = sum(count.trainings for count in counts), sum(count.epochs for count in counts)
    return Price(trainings, epochs, per_epoch and round(epochs * per_epoch), unknown=unknown)


def _timed(found: Price, evaluations: int, first: Origin, setup: float, around: Surroundings) -> Price:
    """With the seconds of trainings and of barriers."""
    setting = first.subject.setting
    around.reporter.note(timing(setting.recipe))
    speed = speed_of(setting)
    pace = pace_of(setting, START + setup, speed)
    alone, busy = pace.seconds(setting.recipe, found.steps or 0, found.trainings)
    sizes = {name: len(images) for name, images in first.subject.images.items()}
    passes = evaluations * line.price(sizes, first.params, first.count)
    more = passes / passes_a_second(first.specimen(End("0", setting.initial, None)))
    return replace(found, seconds=alone + more / speed.slower, seconds_as_busy=busy + more)


def _bytes(origin: Origin, count: Count) -> int:
    """Weights after every epoch of the dense net; of each twin the last, and those of its best epoch."""
    setting = origin.subject.setting
    size = sum(value.numel() * value.element_size() for value in setting.initial.weights.values())
    each = 2 if "val" in setting.bench.exams else 1
    twins = count.evaluations * origin.count * each
    return size * (origin.epochs + each + twins) if count.evaluations else 0
