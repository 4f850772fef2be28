"""What logits say, in float64: probabilities, confidences, what is right. Nothing here imports torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> Floats:
    """Log-probabilities float64 [N, K], finite for finite logits.

    Args:
        logits: [N, K].
        temperature: above 0; the logits are divided by it (Guo et al. 2017, section 4.2).
    """
    scaled = logits.astype(np.float64) / temperature
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> Floats:
    """Softmax, float64 [N, K]; see `log_softmax`."""
    found: Floats = np.exp(log_softmax(logits, temperature))
    return found


def answers(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class with the largest logit, int64 [N]; of equal ones the first."""
    found: NDArray[np.int64] = np.argmax(logits, axis=1)
    return found


def right(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which answers are the label: bool [N]."""
    found: NDArray[np.bool_] = answers(logits) == labels
    return found
