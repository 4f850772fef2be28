"""Which of the images that are not held out are trained on: `[data.drop]`, then `[data.subset]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.run import MANIFEST, Run, open_run
from ticketctl.data.sets import DataSet
from ticketctl.data.subsets import by_chance, left, picked, size_by, summed, with_never_learned
from ticketctl.errors import UsageError
from ticketctl.progress import Reporter
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import DropSpec, SubsetSpec
from ticketctl.seeds import Seeds
from ticketctl.store.expand import expanded

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """The training images that are not held out, and what their choice depends on."""

    recipe: Recipe
    data: DataSet
    train: Index
    """Their places in the data set's training split, ascending."""
    labels: Index
    """Of that whole split, as they are given to a training."""
    seeds: Seeds
    reporter: Reporter

    def left(self, drop: DropSpec) -> tuple[Index, list[str]]:
        """What is left of the pool, ascending, and the ids of the runs that this was read from.

        Raises:
            UsageError: nothing is left, or a run does not fit.
            ArtifactError: a damaged run.
        """
        scores, runs = self._scores(drop.record or (), "data.drop.record")
        if drop.most_forgotten is not None:
            return left(self.train, -scores, drop.most_forgotten), runs
        assert drop.least_forgotten is not None
        return left(self.train, scores, drop.least_forgotten), runs

    def part(self, subset: SubsetSpec, index: Index) -> tuple[Index, list[str]]:
        """The images picked out of `index`, a part of the pool; else as `left`.

        Raises:
            UsageError: a class has too few images, or a run does not fit.
            ArtifactError: a damaged run.
        """
        ranks, runs = by_chance(index, len(self.labels), self.seeds), list[str]()
        if subset.pick != "random":
            scores, runs = self._scores(subset.record or (), "data.subset.record")
            ranks = scores[np.searchsorted(self.train, index)]
            ranks = ranks if subset.pick == "least-forgotten" else -ranks
        self._say_small(subset, self.labels[index])
        return picked(index, self.labels, ranks, size_by(subset.fraction, subset.count)), runs

    def _say_small(self, subset: SubsetSpec, labels: Index) -> None:
        sizes = np.unique(labels, return_counts=True)[1].tolist()
        small = (
            sum(round(subset.fraction * size) == 0 for size in sizes) if subset.fraction is not None else 0
        )
        if small:
            self.reporter.note(
                f"data.subset.fraction {subset.fraction}: less than half an image of {small} of {len(sizes)} "
                "classes; one of each is taken"
            )

    def _scores(self, records: Sequence[str], key: str) -> tuple[Index, list[str]]:
        """How often each image of the pool was forgotten, summed over the runs."""
        runs = [_opened(record, key) for record in records]
        for run in runs:
            self._must_fit(run, key)
            if not np.array_equal(self._labels_of(run), self.labels):
                self.reporter.note(f"{key}: {run.folder} counted with other labels than these")
        return summed([self._counted(run, key) for run in runs]), [run.manifest.run_id for run in runs]

    def _must_fit(self, run: Run, key: str) -> None:
        """Counts have no names: they are of these images only if both trainings split the same data the same way."""
        manifest, theirs = run.manifest, _table_of(run)
        rule, here = self.recipe.data.validation, self.seeds.of("split")
        split, other = manifest.seeds.get("split", manifest.seeds["root"]), theirs.get("validation", "none")
        fingerprint, ours = manifest.data.fingerprint, self.data.fingerprint
        reasons = {
            f"other data ({fingerprint}, not {ours})": fingerprint != ours,
            f"data.validation {other}, not {rule}": other != rule,
            f"the split seed {split}, not {here}": rule.startswith("random") and split != here,
            "a part of the images itself": not {"subset", "drop"}.isdisjoint(theirs),
        }
        for reason, wrong in reasons.items():
            if wrong:
                raise UsageError(
                    f"{key}: {run.folder} was trained on {reason}; its counts are of other images"
                )

    def _labels_of(self, run: Run) -> Index:
        given = (run.record() or {}).get("labels.given")
        return np.asarray(self.data.train.labels if given is None else given.array())

    def _counted(self, run: Run, key: str) -> Index:
        series = run.series()
        if series is None or series.forget_count is None or series.correct_bits is None:
            raise UsageError(f"{key}: {run.folder} kept no forgetting counts")
        presentations, images = len(series.correct_bits), len(series.forget_count)
        if images != len(self.train) or not presentations:
            raise UsageError(
                f"{key}: {run.folder} counted {images} images in {presentations} epochs; "
                f"there are {len(self.train)} to train on"
            )
        ever = np.bitwise_or.reduce(series.correct_bits, axis=0)
        learned = np.unpackbits(ever, count=images, bitorder="little").astype(bool)
        return with_never_learned(series.forget_count, learned, presentations)


def _opened(record: str, key: str) -> Run:
    folder = expanded(record)
    if not (folder / MANIFEST).exists():
        raise UsageError(f"{key}: {record}: there is no run; name the folder of a run, one with {MANIFEST}")
    return open_run(folder)


def _table_of(run: Run) -> Mapping[str, Any]:
    found = run.manifest.recipe.get("data")
    return found if isinstance(found, Mapping) else {}
