"""Wrong labels for training images, so that memorising can be told from learning (paper 002, section 3.1).

Noise is laid over all training images of a data set before any are held out: which labels are wrong then depends on
the seed of the stream `labels` alone, not on the split, and validation images are as noisy as those trained on
(choices made on clean labels would be an oracle's). Test labels are never touched.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError, near_miss
from ticketctl.seeds import Seeds

Classes = NDArray[np.int64]

PATRINI = {
    "truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat",
}  # fmt: skip
"""Which classes of CIFAR-10 are taken for which (Patrini et al. 2017, section 5: TRUCK to AUTOMOBILE, ...)."""


@dataclass(frozen=True)
class Labels:
    """Labels of N training images as they are given to a training.

    `given` and `clean` are int64 [N]; `drawn` is bool [N]: the images whose label was drawn anew, be it the same
    one, or, of labels that come from elsewhere, those that are wrong.
    """

    given: Classes
    clean: Classes
    drawn: NDArray[np.bool_]

    @property
    def digest(self) -> str:
        """`sha256:` over given labels and drawn images; with the data it names what a training is measured by."""
        return f"sha256:{hashlib.sha256(_bytes(self.given) + self.drawn.tobytes()).hexdigest()}"


def labels_digest(labels: Classes) -> str:
    """`sha256:` over int64 labels, little-endian, whatever file they came in."""
    return f"sha256:{hashlib.sha256(_bytes(labels)).hexdigest()}"


def symmetric(clean: Classes, rate: Fraction, classes: int, seeds: Seeds, *, per_class: bool) -> Labels:
    """Exactly ceil(rate * N) labels drawn uniformly over all classes, their own included (paper 002, section 3.1).

    Of a rate e the share e * (1 - 1/K) is wrong. A larger rate under the same seed draws the same images and
    labels, and more of them.

    Args:
        clean: int64 [N], in 0 … `classes` - 1.
        rate: in [0, 1].
        classes: K.
        seeds: the stream `labels`.
        per_class: ceil(rate * n_c) of each class instead.
    """
    drawn = drawn_images(clean, rate, seeds, per_class=per_class)
    # 64 random bits modulo K: off uniform by less than K / 2^64
    fresh = (seeds.raw("labels", "class", count=len(clean)) % np.uint64(classes)).astype(np.int64)
    return Labels(np.where(drawn, fresh, clean), clean, drawn)


def flipped(clean: Classes, rate: Fraction, to: Classes, seeds: Seeds) -> Labels:
    """Of each class that `to` moves, ceil(rate * n_c) labels changed to another (Patrini et al. 2017, section 5).

    Args:
        clean: int64 [N], in 0 … K - 1.
        rate: in [0, 1].
        to: int64 [K], the class that each class is taken for; a class taken for itself is left alone.
        seeds: the stream `labels`.
    """
    moved = to[clean] != clean
    drawn = drawn_images(clean, rate, seeds, per_class=True) & moved
    return Labels(np.where(drawn, to[clean], clean), clean, drawn)


def drawn_images(clean: Classes, rate: Fraction, seeds: Seeds, *, per_class: bool) -> NDArray[np.bool_]:
    """The first ceil(rate * N) images of the stream's order, or of each class in that order: bool [N]."""
    order = seeds.order("labels", count=len(clean))
    groups = [order[clean[order] == name] for name in np.unique(clean)] if per_class else [order]
    drawn = np.zeros(len(clean), dtype=bool)
    for group in groups:
        drawn[group[: math.ceil(rate * len(group))]] = True
    return drawn


def pair_flip(classes: int) -> Classes:
    """Every class to the next one, the last to the first: int64 [K]."""
    return (np.arange(classes, dtype=np.int64) + 1) % classes


def class_map(wanted: Mapping[str, str], classes: Sequence[str]) -> Classes:
    """The class that each class is taken for, int64 [K]; classes that are not named stay.

    Args:
        wanted: names of classes, or their numbers.
        classes: the names.

    Raises:
        UsageError: no such class, or nothing would change.
    """
    to = np.arange(len(classes), dtype=np.int64)
    for old, new in wanted.items():
        to[_class(old, classes)] = _class(new, classes)
    if (to == np.arange(len(classes))).all():
        raise UsageError(
            "data.noise.map: no class is taken for another; write e.g. "
            f"--set data.noise.map.{classes[0]}={classes[-1]}"
        )
    return to


def usual_map(classes: Sequence[str]) -> dict[str, str]:
    """Patrini's map, for classes with these names.

    Raises:
        UsageError: other classes.
    """
    if not {*PATRINI, *PATRINI.values()} <= {*classes}:
        raise UsageError(
            "data.noise.map: asymmetric noise needs to know which class is taken for which; write e.g. "
            f"--set data.noise.map.{classes[0]}={classes[-1]}"
        )
    return dict(PATRINI)


def given_labels(given: Classes, clean: Classes, classes: int, where: str) -> Labels:
    """Labels that come from elsewhere, e.g. CIFAR-N's; those that differ from the clean ones count as drawn.

    Raises:
        UsageError: not one for each image, or beyond the classes.
    """
    if given.shape != clean.shape:
        raise UsageError(
            f"{where}: {_sizes(given)} labels, and the data set has {len(clean)} training images "
            "(labels are for all of them, before any are held out)"
        )
    if len(given) and (int(given.min()) < 0 or int(given.max()) >= classes):
        raise UsageError(
            f"{where}: labels from {given.min()} to {given.max()}; the classes are 0 to {classes - 1}"
        )
    return Labels(given, clean, given != clean)


def _class(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return list(classes).index(name)
    if name.isascii() and name.isdigit() and int(name) < len(classes):
        return int(name)
    raise UsageError(f"data.noise.map: no class {name!r}; {near_miss(name, classes)}")


def _sizes(array: Classes) -> str:
    return " x ".join(map(str, array.shape)) or "0"


def _bytes(labels: Classes) -> bytes:
    return labels.astype("<i8").tobytes()
