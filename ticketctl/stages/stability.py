"""Whether twins that leave a dense net's training at an epoch end linearly connected: one evaluation of an onset.

The dense net is trained once, its weights kept after every epoch. Twins begin at epoch k with its weights and buffers
and a fresh optimizer, go on with the schedule from there to the end, and differ in SGD noise alone: order and
augmentation. Paper 003, sections 3.2 and C.3; error barriers by `ticketctl.curves.line`.

Two nets that guess have no barrier either: where a twin diverged, or ended no better than guessing (training accuracy
of at most 1.5 / classes, `nonconverged` in verdicts too), the epoch is not stable, and flagged.

What an evaluation found is kept in a part of its own; the trainings behind it as long as the search goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.report import MetricRow, Report, encode_report
from ticketctl.curves import line
from ticketctl.errors import DivergedError
from ticketctl.seeds import Seeds
from ticketctl.stages.conditions import code, head_of, own_images
from ticketctl.stages.points import Points
from ticketctl.stages.reported import Parts, measured
from ticketctl.stages.subject import Subject
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit, Lab, Wish
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End, Terrain

TABLES = ("data", "model", "seeds", "train")
"""Of a recipe, what a training of the dense net is a function of."""
LEARNED = "train.accuracy"
"""Of the twin that has the lowest."""
GUESSING = 1.5
"""Times the accuracy of a guess, at most: a net that did not converge."""
APART = 100
"""Roots of SGD noise lie so far apart; as many initialisations there are at most, so all roots differ."""


def noise(seeds: Seeds, twin: int) -> int:
    """The root of order and augmentation of a twin, from 0: no initialisation's and no other twin's.

    >>> [noise(Seeds(root), twin) for root in (7, 8) for twin in (0, 1)]
    [107, 207, 108, 208]
    """
    return seeds.root + APART * (twin + 1)


def as_twin(seeds: Seeds, twin: int) -> Seeds:
    """The seeds of a twin, from 0: order and augmentation are its own, all else is the parent's."""
    return Seeds(seeds.root, {**seeds.override, **dict.fromkeys(("order", "augment"), noise(seeds, twin))})


def initialised(seeds: Seeds, number: int) -> Seeds:
    """The seeds of initialisation `number`, from 0: another root for every stream.

    A stream that the recipe sets apart stays where it is; the initialisation's moves along, as no two may be alike.
    """
    apart = {stream: root + number * (stream == "init") for stream, root in seeds.override.items()}
    return Seeds(seeds.root + number, apart)


@dataclass(frozen=True)
class Stability:
    """What twins from an epoch were found to be."""

    epoch: int
    barriers: NDArray[np.float64]
    """[P], of every pair, percent points; NaN where a twin diverged."""
    error: float | None
    """Standard error of the mean over images."""
    guesses: bool = False
    """Whether a twin ended no better than guessing."""

    @property
    def barrier(self) -> float:
        """The mean over pairs, which decides; NaN where a twin diverged."""
        return float(self.barriers.mean())

    @property
    def diverged(self) -> bool:
        """Whether a twin's loss left the finite numbers: there is no path to it."""
        return bool(np.isnan(self.barriers).any())

    def stable(self, threshold: float) -> bool:
        """Whether twins from here end linearly connected: B < 2 points in paper 003. Nets that failed do not count."""
        return self.barrier < threshold and not self.guesses


@dataclass(frozen=True)
class Origin:
    """One initialisation of the dense net, and its twins."""

    number: int
    subject: Subject
    """The dense net, untrained."""
    count: int
    """Twins from each epoch."""
    params: line.Params
    work: Path
    """Parts and trainings lie below."""

    @property
    def epochs(self) -> int:
        """Of the whole training."""
        return self.subject.setting.recipe.train.epochs

    @property
    def pairs(self) -> int:
        """Barriers of an evaluation: each twin with each, or with the next."""
        whole = self.params.pairs == "all"
        return self.count * (self.count - 1) // 2 if whole else self.count - 1

    def known(self, epoch: int) -> Stability | None:
        """What was found before; None: it is still to be evaluated."""
        part = self._parts.kept(self._name(epoch))
        return None if part is None else self._read(epoch, part)

    def evaluated(self, epoch: int) -> Stability:
        """The same, trained and measured now if need be.

        Raises:
            DivergedError: the dense net itself did.
            StoppedError: asked to stop; the same call goes on from here.
        """
        name = self._name(epoch)
        part = self._parts.kept(name)
        if part is None:
            part = self._measured(name, epoch)
            self._parts.keep(name, encode_report(part))
        return self._read(epoch, part)

    def clear(self) -> None:
        """Take the trainings away, all at once: half of them would be none. What was found of them stays."""
        gone = self.work / f"{self._trainings.name}-gone"
        shutil.rmtree(gone, ignore_errors=True)  # of a kill in the line after next
        if self._trainings.exists():
            self._trainings.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def head(self, recipe: Mapping[str, Any]) -> Report:
        """A report on the untrained net, without values; `recipe` is said besides what the trainings depend on."""
        return replace(self._head, recipe={**self._head.recipe, **recipe})

    @cached_property
    def _head(self) -> Report:
        setting = self.subject.setting
        public = setting.public_recipe
        recipe = {
            "curves": ["line"],
            "keys": {"line": asdict(self.params)},
            "training": {table: public[table] for table in TABLES},
            "twins": [noise(setting.seeds, twin) for twin in range(self.count)],
            "own": own_images(self.subject.images),
            "code": code(setting.recipe.model.name, ()),
        }
        return head_of("interpolate", self.subject.said, setting, setting.seeds, recipe)

    def specimen(self, end: End) -> Specimen:
        """The net in evaluation mode, holding `end`."""
        end.state.load_into(self.subject.setting.bench.model)
        return self.subject.specimen()

    # ------------------------------------------------------------------------------------------------ trainings

    @property
    def _trainings(self) -> Path:
        return self.work / f"init-{self.number}"

    @cached_property
    def _lab(self) -> Lab:
        return self.subject.setting.lab(self._trainings)

    @cached_property
    def _dense(self) -> Fit:
        """The dense net, to the last epoch that twins may leave it at, its weights kept after every one."""
        setting = self.subject.setting
        steps = tuple(epoch * setting.bench.feed.steps_per_epoch for epoch in range(1, self.epochs))
        files, title = FitFiles(self._trainings / "dense"), f"initialisation {self.number}: dense"
        fit = self._lab.fit_in(
            files, setting.initial, None, keep=steps, title=title, wish=Wish(until=steps[-1])
        )
        if fit.diverged:
            raise DivergedError(f"{title}: {fit.why_diverged}; it has no onset. Try a lower train.lr")
        return fit

    def _start(self, epoch: int) -> State:
        step = epoch * self.subject.setting.bench.feed.steps_per_epoch
        return State((self._dense.state(step) if epoch else self.subject.setting.initial).weights, step)

    def _twin(self, twin: int, epoch: int, start: State) -> Fit:
        wish = Wish(seeds=as_twin(self.subject.setting.seeds, twin))
        files = FitFiles(self._trainings / f"epoch-{epoch}" / f"twin-{twin}")
        title = f"initialisation {self.number}: twin {twin} from epoch {epoch}"
        return self._lab.fit_in(files, start, None, keep=(), title=title, wish=wish)

    # ------------------------------------------------------------------------------------------------- barriers

    @property
    def _parts(self) -> Parts:
        return Parts(self.work, lambda name: self.head({"evaluation": name}))

    def _name(self, epoch: int) -> str:
        return f"init-{self.number}-epoch-{epoch}"

    def _measured(self, name: str, epoch: int) -> Report:
        """The part of an evaluation. After a twin that diverged none is trained: there is nothing to measure."""
        start, head = self._start(epoch), self.head({"evaluation": name})
        twins: list[Fit] = []
        for twin in range(self.count):
            twins.append(self._twin(twin, epoch, start))
            if (fit := twins[-1]).diverged:
                why = f"twin {twin} diverged: {fit.why_diverged}"
                absent = MetricRow("barrier", "line", "lower", None, None, 0, "absent", why)
                return Report(**{**vars(head), "metrics": (absent,)})
        ends = tuple(End(f"twin-{number}", fit.end(), None) for number, fit in enumerate(twins))
        folder = self._trainings / f"points-{self._parts.path(name).name.partition('.')[0]}"
        points = Points(folder, self._parts.digest(name))
        terrain = Terrain(self.specimen(ends[0]), ends, self.subject.setting.seeds, points)
        found = measured(head, "line", line.BETTER, line.measure(terrain, params=self.params))
        learned = min(fit.metrics().get("train.accuracy", 0.0) for fit in twins)
        least = MetricRow(LEARNED, "line", "none", learned, None, self.count)
        return replace(found, metrics=(*found.metrics, least))

    def _read(self, epoch: int, part: Report) -> Stability:
        rows = {row.name: row for row in part.metrics}
        row = rows["barrier"]
        if row.value is None:
            return Stability(epoch, np.full(self.pairs, np.nan), None)
        first, numbers = row.protocol["barrier"], list(row.protocol["numbers"])
        found = part.arrays[f"line/{first['set']}.error.{first['policy']}.pairs"]
        learned, classes = rows[LEARNED].value or 0.0, len(self.subject.setting.data.classes)
        return Stability(epoch, found[:, numbers.index("barrier")], row.error, learned <= GUESSING / classes)
