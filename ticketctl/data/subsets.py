"""A part of the training images: by chance, or by how often an earlier training forgot each (paper 003, section 5).

A forgetting event (Toneva et al. 2019) is a presentation answered wrongly right after one answered correctly. An image
that was never answered correctly has as many events as presentations, so that it is the hardest of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Forgetting:
    """How N images were learned and forgotten over E presentations of each.

    `events` int32 [N], E where never learned; `learned_first` int32 [N], the first correct presentation from 0, -1
    where there was none; `unforgettable` the share that was learned and never forgotten, None under two presentations.
    """

    events: NDArray[np.int32]
    learned_first: NDArray[np.int32]
    unforgettable: float | None


def forgetting(correct: NDArray[np.bool_]) -> Forgetting:
    """Forgetting events of each image (Toneva et al. 2019, section 3; paper 003, section 5.3).

    Args:
        correct: bool [E, N], whether presentation e of image n was answered correctly.

    Raises:
        ValueError: not a table of presentations.
    """
    if correct.ndim != 2 or correct.dtype != np.bool_:
        raise ValueError(f"bool [E, N] is wanted, not {correct.dtype} {list(correct.shape)}")
    presentations, count = correct.shape
    lost = (correct[:-1] & ~correct[1:]).sum(0)
    learned = correct.any(0)
    first = correct.argmax(0) if presentations else np.zeros(count, np.int64)
    share = float((learned & (lost == 0)).mean()) if presentations > 1 and count else None
    return Forgetting(
        np.where(learned, lost, presentations).astype(np.int32),
        np.where(learned, first, -1).astype(np.int32),
        share,
    )


def with_never_learned(counts: NDArray[np.uint16], learned: NDArray[np.bool_], presentations: int) -> Index:
    """Forgetting scores from what a training counted: int64 [N].

    Args:
        counts: events per image [N].
        learned: bool [N], whether the image was ever answered correctly.
        presentations: of each image; the score of those that were not.
    """
    return np.where(learned, counts.astype(np.int64), presentations)


def summed(scores: Sequence[Index]) -> Index:
    """The score of several trainings: the sum over them, int64 [N] (Toneva et al. 2019, section 4).

    Raises:
        ValueError: none, or of different numbers of images.
    """
    if not scores or len({score.shape for score in scores}) != 1:
        raise ValueError("scores of several trainings of the same images are wanted")
    total: Index = np.sum(np.stack(scores), axis=0, dtype=np.int64)
    return total


def size_by(fraction: Fraction | None, count: int | None) -> Callable[[int], int]:
    """How many images to take of a class that has so many: round(fraction * n), or `count`; at least 1."""
    if count is not None:
        return lambda _: count
    assert fraction is not None
    share = fraction
    return lambda available: max(1, round(share * available))


def picked(index: Index, labels: Index, ranks: Index, size: Callable[[int], int]) -> Index:
    """The images of lowest rank of each class, ascending: int64 [n].

    Args:
        index: the training images, ascending.
        labels: the class of every image of the data set; `index` points into it.
        ranks: int64 [len(index)]; of equal ones the image with the lower index is taken first.
        size: how many of a class that has so many images.

    Raises:
        UsageError: a class has fewer images than are wanted of it.
    """
    chosen, own = [], labels[index]
    for name in np.unique(own):
        members = np.flatnonzero(own == name)
        wanted = size(len(members))
        if wanted > len(members):
            raise UsageError(
                f"data.subset.count: {wanted} images of each class, and class {name} has {len(members)} to train on"
            )
        chosen.append(members[np.argsort(ranks[members], kind="stable")[:wanted]])
    return np.sort(index[np.concatenate(chosen)])


def by_chance(index: Index, count: int, seeds: Seeds) -> Index:
    """Ranks of a random pick, int64 [len(index)]: the places of images in the order of the stream `subset`.

    A larger pick under the same seed holds the smaller, whatever was held out.

    Args:
        index: the training images.
        count: images of the whole training split.
        seeds: the stream `subset`.
    """
    place = np.empty(count, dtype=np.int64)
    place[seeds.order("subset", count=count)] = np.arange(count)
    return place[index]


def left(index: Index, ranks: Index, share: Fraction) -> Index:
    """What is left without the round(share * n) images of lowest rank, ascending; ties by index.

    Raises:
        UsageError: no image would be left.
    """
    away = round(share * len(index))
    if away >= len(index):
        raise UsageError(f"data.drop: leaves none of {len(index)} training images")
    return np.sort(index[np.argsort(ranks, kind="stable")[away:]])
