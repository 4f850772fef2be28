"""Error under corruption: what noise, blur, weather and compression cost.

The mean top-1 error over the 15 corruptions of CIFAR-10-C in 5 severities (Hendrycks and Dietterich 2019; paper 004
section 4.1), not normalised; `corruption.relative` is that less the error on clean images, `corruption.NAME` the mean
over the severities of one corruption. mCE divides the latter by those of the dense net of the same run, relative mCE
does so once the error on clean images is taken off both; they belong to the verdict, which sees both reports.
Calibration under corruption, `corruption.ece` (15 bins of equal width) and `corruption.nll`, are means over the same
sets.

Choices: the four extra corruptions have rows of their own and `corruption.extra`, and are in no other mean. Errors of
one image under different corruptions hang together: where all sets have the same images, the standard error is that of
the images' own means. Sets that are missing are listed, and are in no mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.corrupted import EXTRA as MORE
from ticketctl.data.corrupted import SEVERITIES, STANDARD
from ticketctl.metrics import _calibration as cal
from ticketctl.metrics._softmax import log_softmax, right
from ticketctl.train.exam import Absent, Answers, Exam, Measurement, Value

FACTS = {"data": "test, corrupted test images", "cost": "1 pass over the test images and each corrupted set"}
NEEDS = ("test", "corrupt")
BETTER = {"corruption": "lower"}
VERDICT = ("mce",)
BINS = 15
Key = tuple[str, int]
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Params:
    """No keys."""


@dataclass(frozen=True)
class Set:
    """What is kept of the answers to one set."""

    labels: NDArray[np.int64]
    wrong: Rows
    """1 or 0 of each image."""
    nll: Rows
    ece: float


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`corruption` in [0, 1], its parts, and `errors` [C, 5], a corruption a row, in the protocol's order.

    Where all sets have the same images there is `wrong` uint8 [C, N] too: at how many severities each is wrong.

    Raises:
        Absent: no corrupted images were shown.
    """
    sets = {key: judged(exam.answers(f"corrupt/{key[0]}/{key[1]}")) for key in present(exam.sets)}
    if not sets:
        raise Absent("no corrupted images were shown")
    test = exam.answers("test")
    values = rows(sets, ~right(test.logits, test.labels), test.labels)
    names = [name for name in STANDARD + MORE if any(key[0] == name for key in sets)]
    levels = range(1, SEVERITIES + 1)
    errors = np.array(
        [
            [sets[name, level].wrong.mean() if (name, level) in sets else nan for level in levels]
            for name in names
        ]
    )
    protocol: dict[str, Any] = {
        "corruptions": names,
        "missing": missing(sets),
        "clean": len(test),
        "bins": BINS,
        "same-images": alike(sets),
    }
    counts = {"wrong": wrong_counts(sets, names)} if alike(sets) else {}
    return Measurement(values, protocol, {"errors": errors, **counts})


def wrong_counts(sets: Mapping[Key, Set], names: Sequence[str]) -> NDArray[np.uint8]:
    """At how many severities of each corruption the answer to each image is wrong: uint8 [C, N]."""
    rows = [sum(one.wrong for key, one in sets.items() if key[0] == name) for name in names]
    return np.array(rows, dtype=np.uint8)


def present(sets: Sequence[str]) -> list[Key]:
    """Corruption and severity of what is named `corrupt/NAME/SEVERITY`, in the paper's order."""
    there = {name for name in sets if name.startswith("corrupt/")}
    every = [(name, level) for name in STANDARD + MORE for level in range(1, SEVERITIES + 1)]
    return [key for key in every if f"corrupt/{key[0]}/{key[1]}" in there]


def missing(sets: Mapping[Key, Set]) -> list[str]:
    """Standard sets that are not there, and those of an extra corruption of which others are."""
    extra = [name for name in MORE if any(key[0] == name for key in sets)]
    wanted = [(name, level) for name in [*STANDARD, *extra] for level in range(1, SEVERITIES + 1)]
    return [f"{name}/{level}" for name, level in wanted if (name, level) not in sets]


def judged(answers: Answers) -> Set:
    """Of each image whether the answer is wrong, and its negative log-likelihood; of all the ECE."""
    logs = log_softmax(answers.logits)
    wrong = ~right(answers.logits, answers.labels)
    nll = -np.take_along_axis(logs, answers.labels[:, None], axis=1)[:, 0]
    confidence = np.exp(logs.max(axis=1))
    bins = cal.binned(confidence, ~wrong, cal.equal_width(confidence, BINS), BINS, np.ones(len(wrong)))
    return Set(answers.labels, wrong.astype(np.float64), nll, cal.expected_error(bins))


def alike(sets: Mapping[Key, Set]) -> bool:
    """Whether all sets have the same labels, which is to say the same images."""
    first = next(iter(sets.values())).labels
    return all(np.array_equal(one.labels, first) for one in sets.values())


def rows(sets: Mapping[Key, Set], clean: NDArray[np.bool_], labels: NDArray[np.int64]) -> dict[str, Value]:
    """All rows, the means over the standard corruptions first, where there are any."""
    found: dict[str, Value] = {}
    standard = {key: one for key, one in sets.items() if key[0] in STANDARD}
    if standard:
        found["corruption"] = pooled([one.wrong for one in standard.values()], alike(standard))
        found["corruption.relative"] = relative(standard, clean.astype(np.float64), labels)
    for name in STANDARD + MORE:
        own = {key: one for key, one in sets.items() if key[0] == name}
        if own:
            found[f"corruption.{name}"] = pooled([one.wrong for one in own.values()], alike(own))
    extra = {key: one for key, one in sets.items() if key[0] in MORE}
    if extra:
        found["corruption.extra"] = pooled([one.wrong for one in extra.values()], alike(extra))
    if standard:
        found["corruption.nll"] = pooled([one.nll for one in standard.values()], alike(standard))
        found["corruption.ece"] = Value(
            float(np.mean([one.ece for one in standard.values()])), None, found["corruption"].n
        )
    return found


def pooled(parts: Sequence[Rows], same: bool) -> Value:
    """The mean over sets of the mean over their images; its error where the images are the same throughout."""
    if same:
        return Value.mean(np.mean(parts, axis=0))
    return Value(float(np.mean([part.mean() for part in parts])), None, min(map(len, parts)))


def relative(sets: Mapping[Key, Set], clean: Rows, labels: NDArray[np.int64]) -> Value:
    """The mean error under corruption less that on clean images, pairwise where these are the same images."""
    parts, same = [one.wrong for one in sets.values()], alike(sets)
    if same and np.array_equal(next(iter(sets.values())).labels, labels):
        return Value.mean(np.mean(parts, axis=0) - clean)
    mean, less = pooled(parts, same), Value.mean(clean)
    error = None if mean.error is None or less.error is None else hypot(mean.error, less.error)
    return Value(mean.value - less.value, error, mean.n)
