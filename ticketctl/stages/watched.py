"""Metrics of an audit measured along a spend, of the net as it is after each epoch that is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ticketctl import plugins
from ticketctl.artifacts.records import to_record
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.setting import Setting
from ticketctl.stages.watching import params_of
from ticketctl.train.course import Course
from ticketctl.train.exam import Absent, Exam
from ticketctl.train.feed import Images
from ticketctl.train.foreign_code import code_of
from ticketctl.train.predict import answers_of
from ticketctl.train.specimen import Specimen
from ticketctl.train.watch import Watch

STREAMS = ("resample", "attack", "explain", "hessian", "perturb")
"""What metrics draw by."""


def watch_of(recipe: Recipe, seeds: Seeds, setting: Setting) -> Watch | None:
    """What measures `keep.metrics` along one training, every `keep.every` epochs; None: nothing is to be measured.

    It sees the net that is trained: under a tweak that averages weights (ema, swa, pools) that is not yet the net which
    the run will have.

    Args:
        recipe: of the job, as `check_watched` lets it pass.
        seeds: of the job.
        setting: of the job.

    Raises:
        UsageError: a metric needs validation images and there are none.
    """
    names = recipe.keep.metrics
    if not names:
        return None
    for name in names:
        if "val" in plugins.load("metrics", name).NEEDS and "val" not in setting.bench.exams:
            raise UsageError(
                f"keep.metrics: {name} needs validation images, and none are held out; set data.validation"
            )
    params = {name: params_of(recipe, name) for name in names}
    about = {
        "metrics": to_record({name: asdict(own) for name, own in params.items()}),
        "streams": {stream: seeds.of(stream) for stream in STREAMS},
        **{f"code {name}": own["code"] for name in names if (own := code_of("metrics", name))},
    }
    return Watch(Watched(params, seeds, len(setting.data.classes)), recipe.keep.every, about)


@dataclass
class Watched:
    """Asks metrics about a net under way."""

    params: Mapping[str, Any]
    """By metric, its keys."""
    seeds: Seeds
    classes: int
    told: set[tuple[str, str]] = field(default_factory=set)
    """Metrics, and why they had no value; each is told once in a process."""

    def __call__(self, loop: Course) -> dict[str, float]:
        """The rows of all metrics, in evaluation mode and float32; the net's mode is set back.

        Raises:
            UsageError: two metrics have a row of the same name; what a metric raises.
            StoppedError: somebody asked to stop.
        """
        net, was = loop.model, loop.model.training
        net.eval()
        try:
            return self._rows(loop, specimen_of(loop, self.classes))
        finally:
            net.train(was)

    def _rows(self, loop: Course, specimen: Specimen) -> dict[str, float]:
        answers = cache(lambda name: answers_of(specimen.model, specimen.images[name], loop.poll))
        found: dict[str, float] = {}
        for name, params in self.params.items():
            loop.poll()
            module = plugins.load("metrics", name)
            sets = sorted(specimen.images.keys() & set(module.NEEDS))
            exam = Exam(answers, sets, self.seeds, specimen if "net" in module.NEEDS else None)
            try:
                _check_finite(exam, sets)
                values = module.measure(exam, params=params).values
            except Absent as absent:
                self._tell(loop, name, str(absent))
                continue
            twice = next((row for row in values if row in found), None)
            if twice is not None:
                raise UsageError(
                    f"keep.metrics: {name} has a row {twice} as another has; leave one of them out"
                )
            found |= {row: one.value for row, one in values.items()}
        return found

    def _tell(self, loop: Course, name: str, reason: str) -> None:
        if (name, reason) not in self.told:
            self.told.add((name, reason))
            at = f"after epoch {loop.epochs_done}"
            loop.bench.reporter.note(f"keep.metrics: {name} has no value {at}: {reason}")


def specimen_of(loop: Course, classes: int) -> Specimen:
    """The net that is trained, with its mask of this moment, the training images unaugmented, and those to test with.

    What metrics would remark on is left unsaid: it would be of one epoch among many. Files of the net there are none.
    """
    exams, train = loop.bench.exams, loop.feed.images
    held = {name: images for name in ("val", "test") if isinstance(images := exams.get(name), Images)}
    mask = loop.mask if loop.masks else None
    return Specimen(loop.model, mask, {"train": train, **held}, classes, train.scaling, poll=loop.poll)


def _check_finite(exam: Exam, sets: Sequence[str]) -> None:
    """An audit measures nothing of such a net either.

    Raises:
        Absent: the net has answers that are not finite.
    """
    for name in sets:
        if not np.isfinite(exam.answers(name).logits).all():
            raise Absent(f"logits of {name} images are not finite")
