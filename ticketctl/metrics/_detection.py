"""How well a score tells examples of one kind from those of another. Nothing here imports torch.

Higher scores are to mean "inside" (the distribution trained on). Equal scores are ties, and count half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ticketctl.metrics._softmax import Floats, log_softmax, probabilities

TRUE_POSITIVES = 0.95
"""At which share of the inside FPR@95 is read."""


def max_probability(logits: NDArray[np.float32]) -> Floats:
    """MSP (Hendrycks and Gimpel 2017): [N] in [1/K, 1]. Those that float64 cannot tell from 1 are ties."""
    found: Floats = probabilities(logits).max(axis=1)
    return found


def max_logit(logits: NDArray[np.float32]) -> Floats:
    """The largest logit (Hendrycks et al. 2022): [N]."""
    found: Floats = logits.astype(np.float64).max(axis=1)
    return found


def energy(logits: NDArray[np.float32]) -> Floats:
    """Minus the free energy at temperature 1, log sum exp of the logits (Liu et al. 2020, equation 4): [N]."""
    values = logits.astype(np.float64)
    top = values.max(axis=1)
    found: Floats = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return found


def entropy(logits: NDArray[np.float32]) -> Floats:
    """Minus the entropy of the softmax: [N] in [-log K, 0]."""
    logs = log_softmax(logits)
    found: Floats = (np.exp(logs) * logs).sum(axis=1)
    return found


def beaten(scores: Floats, others: Floats) -> Floats:
    """Of each score, the share of `others` below it, equal ones half: [N]."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    found: Floats = (below + upto) / (2 * len(others))
    return found


def auroc(inside: Floats, outside: Floats) -> tuple[float, float]:
    """Area under the ROC curve, inside positive, and its standard error (DeLong et al. 1988).

    It is the Mann-Whitney statistic with midranks over the product of the counts.
    """
    mine, theirs = beaten(inside, outside), 1 - beaten(outside, inside)
    variance = sum(part.var(ddof=1) / len(part) if len(part) > 1 else np.nan for part in (mine, theirs))
    return float(mine.mean()), float(np.sqrt(variance))


def average_precision(positive: Floats, negative: Floats) -> float:
    """AUPR as a sum of steps, sum over thresholds of (R_k - R_(k-1)) P_k, ties at one threshold.

    Its value for a random score is the positives' share of all.
    """
    scores = np.concatenate([positive, negative])
    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(truth)[last]
    recall = found / len(positive)
    return float((np.diff(recall, prepend=0.0) * found / (last + 1)).sum())


def false_positives(inside: Floats, outside: Floats) -> float:
    """FPR@95: the share of the outside that passes the highest threshold which 95 % of the inside pass."""
    need = int(np.ceil(TRUE_POSITIVES * len(inside) - 1e-9))
    threshold = np.sort(inside)[len(inside) - need]
    return float((outside >= threshold).mean())
