"""How hard an image is for people: CIFAR-N's labels (Wei et al. 2022), in a file of the user's.

Three people labelled each training image of CIFAR-10; hardness is how many of them did not give its true class, 0 to 3
(paper 000, section 4.4). The labels may not be passed on, so users bring the file: CIFAR-10_human.pt as its authors
publish it, or the same arrays as .npz or .safetensors, or a table [N, 1 + people] of true and given labels as .npy.
Rows are in the published order of the training images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.labels import CLEAN, LIMIT, READERS, Arrays, Reader, arrays_in
from ticketctl.errors import UsageError
from ticketctl.store.npz import npz_arrays

PERSON = re.compile(r"random_label(\d+)")
"""Names of the arrays that hold one person's label of each image."""

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Human:
    """Labels of N images: `clean` int64 [N], the true ones; `given` int64 [N, people]."""

    clean: Classes
    given: Classes

    @property
    def hardness(self) -> Classes:
        """How many people did not give the true class, int64 [N], 0 to all of them."""
        found: Classes = (self.given != self.clean[:, None]).sum(1, dtype=np.int64)
        return found


def read_human(path: Path, key: str) -> Human:
    """The labels in a file.

    Args:
        path: `.pt`, `.pth`, `.npz` or `.safetensors` with `clean_label` and `random_label1` …; `.npy` [N, 1 + people].
        key: where in a recipe the file was named.

    Raises:
        UnavailableError: no such file, or not what its name says.
        UsageError: another ending, or not these arrays: whole numbers, one for each image.
    """
    arrays = arrays_in(path, key, _READERS)
    table = next(iter(arrays.values())) if path.suffix.lower() == ".npy" else None
    if table is not None:
        if table.ndim != 2 or table.shape[1] < 2:
            raise UsageError(
                f"{key}: {path} is {_shape(table)}; a table of the true label and each person's is wanted"
            )
        columns = list(table.T)
    else:
        columns = _named(arrays, path, key)
    odd = next((one for one in columns if one.dtype.kind not in "iu" or one.shape != columns[0].shape), None)
    if odd is not None or columns[0].ndim != 1:
        raise UsageError(f"{key}: {path}: labels are whole numbers, one for each image and person")
    clean, *given = (np.asarray(one, dtype=np.int64) for one in columns)
    return Human(clean, np.stack(given, axis=1))


def hardness_of(human: Human, published: NDArray[np.int64], labels: Classes, where: str) -> Classes:
    """The hardness of some of the images, int64 [n].

    Args:
        human: labels of all images, in their published order.
        published: int64 [n], the places of these images in it.
        labels: int64 [n], their true classes as the data set has them, whatever a training is given.
        where: the file, and where it was named, for errors.

    Raises:
        UsageError: the true labels are not the data's: the file belongs to other images, or to another order.
    """
    last = int(published.max(initial=-1))
    if last >= len(human.clean):
        raise UsageError(f"{where}: {len(human.clean)} images, and the data have one at position {last}")
    wrong = int((human.clean[published] != labels).sum())
    if wrong:
        raise UsageError(
            f"{where}: {wrong} of {len(labels)} true labels in it are not those of the data set: "
            "it belongs to other images, or to another order of them"
        )
    return human.hardness[published]


def _named(arrays: Arrays, path: Path, key: str) -> list[NDArray[Any]]:
    """True labels first, then each person's."""
    people = sorted((int(found[1]), name) for name in arrays if (found := PERSON.fullmatch(name)))
    if CLEAN not in arrays or not people:
        known = ", ".join(sorted(arrays)) or "nothing"
        raise UsageError(f"{key}: {path} holds {known}; {CLEAN} and random_label1 … are wanted")
    return [arrays[name] for name in (CLEAN, *(name for _, name in people))]


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape)) or "one number"


def _npz(data: bytes, path: Path) -> Arrays:
    return npz_arrays(data, limit=LIMIT)


_READERS: dict[str, Reader] = {**READERS, ".npz": _npz}
