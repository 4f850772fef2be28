"""How far confidences are from how often they are right. Nothing here imports torch.

Weights stand for how often an example counts: all one, or the counts of a resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.metrics._softmax import Floats, log_softmax


@dataclass(frozen=True)
class Bins:
    """M bins of confidences: how many (weights), mean confidence and share right of each; 0 where a bin is empty."""

    count: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def gaps(self) -> Floats:
        """|accuracy - confidence| of each bin."""
        found: Floats = np.abs(self.accuracy - self.confidence)
        return found

    @property
    def shares(self) -> Floats:
        """Of all weight, that of each bin."""
        found: Floats = self.count / self.count.sum()
        return found


def equal_width(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each confidence in [0, 1]: M bins of equal width, each with its right end (Guo et al. 2017).

    Returns:
        int64 [N] from 0 to `bins` - 1; a confidence of 0 is in the first.
    """
    edges = np.linspace(0, 1, bins + 1)
    found: NDArray[np.int64] = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return found


def equal_mass(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each confidence: M bins with as many examples each as can be (Nixon et al. 2019, ACE).

    The sorted examples are cut into runs whose lengths differ by one at most; equal ones keep their order, which says
    nothing: see `Classes`.
    """
    found = np.empty(len(confidence), dtype=np.int64)
    order = np.argsort(confidence, kind="stable")
    for number, part in enumerate(np.array_split(order, bins)):
        found[part] = number
    return found


def binned(
    confidence: Floats, hit: NDArray[np.bool_], index: NDArray[np.int64], bins: int, weights: Floats
) -> Bins:
    """Sums of the bins.

    Args:
        confidence: [N] in [0, 1].
        hit: bool [N], whether what was said with this confidence is so.
        index: int64 [N], the bin of each.
        bins: how many there are.
        weights: [N], 0 or more.
    """
    count = np.bincount(index, weights, bins).astype(np.float64)
    least = np.where(count > 0, count, 1)
    return Bins(
        count,
        np.bincount(index, weights * confidence, bins) / least,
        np.bincount(index, weights * hit, bins) / least,
    )


def expected_error(bins: Bins) -> float:
    """Expected calibration error: the gaps' mean, weighted by the bins' shares."""
    return float((bins.shares * bins.gaps).sum())


def root_mean_square_error(bins: Bins) -> float:
    """Root of the mean square of the gaps, weighted by the bins' shares (Hendrycks et al. 2019)."""
    return float(np.sqrt((bins.shares * bins.gaps**2).sum()))


@dataclass(frozen=True)
class Classes:
    """Every class's probability against its label, cut into bins, ready to be weighted again and again.

    Examples are summed by group first. A group is what one bin has whole, or a tie that bins were cut through. Equal
    probabilities cannot be told apart, so each bin has its part of the tie's sum, as if all had the tie's mean: nothing
    depends on the order of the examples.
    """

    count: int
    """K."""
    parts: Sequence[tuple[NDArray[np.int64], Floats]]
    """Of `TOGETHER` classes each: [N, k] groups, counted on from class to class, and [N, k] residuals, which are 1 for
    the example's class and 0 for others, minus the probability."""
    groups: int
    """Of each class; the first are the bins."""
    source: NDArray[np.int64]
    """[S], K * groups of them: the group that a share is of."""
    target: NDArray[np.int64]
    """[S], K * bins of them: the bin that it is in."""
    share: Floats
    """[S] in (0, 1]; those of a group add up to 1."""

    def error(self, weights: Floats) -> float:
        """The expected error of the bins, averaged over the classes.

        With bins of equal width this is SCE, with bins of equal mass ACE (Nixon et al. 2019, equations 2 and 3): the
        share of a bin times its gap is the sum of its residuals over all weight. It falls like 1/K with the number of
        classes K: compare it between nets of as many classes only.

        Args:
            weights: [N].
        """
        sums = [
            np.bincount(group.ravel(), (residual * weights[:, None]).ravel(), self.groups * group.shape[1])
            for group, residual in self.parts
        ]
        terms = np.bincount(self.target, self.share * np.concatenate(sums)[self.source])
        return float(np.abs(terms).sum() / weights.sum() / self.count)


TOGETHER = 20
"""Classes whose numbers lie side by side: neighbours are then added to different sums, and need not wait."""


def classes(
    probabilities: Floats,
    true: NDArray[np.bool_],
    bins: int,
    *,
    mass: bool,
    poll: Callable[[], None] = lambda: None,
) -> Classes:
    """Cut.

    Args:
        probabilities: [N, K].
        true: [N, K], what is so.
        bins: of each class.
        mass: of equal mass, or of equal width.
        poll: called before each class.
    """
    groups, count = 2 * bins - 1 if mass else bins, probabilities.shape[1]
    parts, pieces = [], []
    for start in range(0, count, TOGETHER):
        p = probabilities[:, start : start + TOGETHER]
        group = np.empty(p.shape, dtype=np.int64)
        for number in range(p.shape[1]):
            poll()
            cut = (_in_runs if mass else _straight)(p[:, number], bins, group[:, number])
            pieces.append((cut[0] + (start + number) * groups, cut[1] + (start + number) * bins, cut[2]))
            group[:, number] += number * groups
        parts.append((group, true[:, start : start + TOGETHER] - p))
    source, target, share = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return Classes(count, parts, groups, source, target, share)


Pieces = tuple[NDArray[np.int64], NDArray[np.int64], Floats]
"""Groups, bins that have a share of them, and how large it is: [S] each."""


def _straight(confidence: Floats, bins: int, group: NDArray[np.int64]) -> Pieces:
    group[:] = equal_width(confidence, bins)
    return np.arange(bins), np.arange(bins), np.ones(bins)


def _in_runs(confidence: Floats, bins: int, group: NDArray[np.int64]) -> Pieces:
    """Runs of equal mass, but ties that are in several are groups of their own, `bins` and above, `bins` - 1 at most.

    Args:
        confidence: [N].
        bins: how many runs.
        group: [N], is filled in.
    """
    order = np.argsort(confidence, kind="stable")
    index = equal_mass(confidence, bins)[order]
    begins = np.flatnonzero(np.diff(confidence[order], prepend=-1.0))
    sizes = np.diff(begins, append=len(order))
    torn = index[begins] < index[begins + sizes - 1]
    name = np.repeat(np.where(torn, bins - 1 + np.cumsum(torn), -1), sizes)
    group[order] = np.where(name < 0, index, name)
    cells, counts = np.unique(name[name >= 0] * bins + index[name >= 0], return_counts=True)
    source, target = np.r_[np.arange(bins), cells // bins], np.r_[np.arange(bins), cells % bins]
    return source, target, np.r_[np.ones(bins), counts / sizes[torn][cells // bins - bins]]


MOST = 10_000
"""Bins; more than images say nothing."""


def check_bins(metric: str, bins: int) -> None:
    """Refuse fewer than one, or more than `MOST`.

    Raises:
        UsageError: so few or many.
    """
    if not 1 <= bins <= MOST:
        raise UsageError(
            f"metrics.{metric}.bins = {bins} must be at least 1 and at most {MOST:,}; the papers have 15"
        )


def one_hot(labels: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """[N, K], true at the label."""
    found: NDArray[np.bool_] = labels[:, None] == np.arange(count)
    return found


def brier(probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    """Of each example, the square distance of its probabilities from its label: [N] in [0, 2] (Brier 1950)."""
    true = np.eye(probabilities.shape[1])[labels]
    found: Floats = ((probabilities - true) ** 2).sum(axis=1)
    return found


def surprise(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float = 1.0) -> Floats:
    """Of each example, minus the log-probability of its label: [N]; their mean is the NLL, in nats."""
    found: Floats = -log_softmax(logits, temperature)[np.arange(len(labels)), labels]
    return found


TEMPERATURES = (1e-3, 1e3)
"""Where one is looked for."""


def fitted_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature with the least NLL (Guo et al. 2017, section 4.2), within `TEMPERATURES`, bounds included.

    The NLL is convex in 1/T, so its slope there is bisected: the mean over the examples of the logits' expectation
    minus the label's logit. Where no temperature changes anything, as of logits that are all alike, it is 1.
    """
    coldest, hottest = TEMPERATURES
    falls, rises = _slope(logits, labels, 1 / coldest) <= 0, _slope(logits, labels, 1 / hottest) >= 0
    if falls or rises:
        return 1.0 if falls and rises else coldest if falls else hottest
    low, high = 1 / hottest, 1 / coldest
    for _ in range(100):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if _slope(logits, labels, middle) <= 0 else (low, middle)
    return 1 / float(np.sqrt(low * high))


def _slope(logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float) -> float:
    values = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)  # of equal ones, exactly zero
    expected = (np.exp(log_softmax(logits, 1 / inverse)) * values).sum(axis=1)
    return float((expected - values[np.arange(len(labels)), labels]).mean())
