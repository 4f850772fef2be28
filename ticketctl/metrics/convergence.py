"""Convergence speed: how early in training the error has come down to where it ends.

C = mean over epochs e = 1 … T of (E_0 - E_e) / (E_0 - E_T), with E_e the validation error after epoch e and E_0 that
before training (paper 003, equation 4): 1 if the first epoch does it all, (T + 1) / 2T if the error falls evenly, above
1 where some E_e are below E_T. There is no such number where the training ends with the error it began with.

Choices: without validation images it is the test error, and the protocol says so. A net that starts from a rewound
state has that state's error for its E_0. Rows beside it: `convergence.start` is E_0 and `convergence.end` is E_T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.train.exam import Absent, Exam, Measurement, Value

FACTS = {"data": "the errors along the training", "cost": "a moment"}
COMMAND = "probe"
NEEDS = ("history",)
BETTER = {"convergence": "higher"}


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`convergence`, and the errors at both ends in [0, 1]; `error` float64 [T + 1] and its `epoch`s.

    Raises:
        Absent: the net was not trained, an error was not measured, or it ends where it began.
    """
    if exam.history is None:
        raise Absent("the net was not trained")
    exam.poll()
    rows = exam.history.rows
    of = "val" if "val.accuracy" in rows else "test"
    if f"{of}.accuracy" not in rows:
        raise Absent("neither validation nor test error was measured along the training")
    error, epoch = 1 - rows[f"{of}.accuracy"].astype(np.float64), rows["epoch"].astype(np.float64)
    if len(error) < 2 or not np.isfinite(error).all():
        raise Absent(f"the {of} error is not known before training and after every epoch")
    speed = convergence_speed(error)
    if speed is None:
        raise Absent(f"the {of} error ends where it began, at {error[0]:g}")
    epochs = len(error) - 1
    values = {
        "convergence": Value(speed, None, epochs),
        "convergence.start": Value(float(error[0]), None, 1),
        "convergence.end": Value(float(error[-1]), None, 1),
    }
    return Measurement(values, {"error": of, "epochs": epochs}, {"error": error, "epoch": epoch})


def convergence_speed(error: NDArray[np.float64]) -> float | None:
    """Paper 003, equation 4.

    Args:
        error: [T + 1] in [0, 1], before training and after each of T >= 1 epochs.

    Returns:
        At most about 1 for a training that gets better; None where the first error is the last.
    """
    span = error[0] - error[-1]
    return None if span == 0 else float(((error[0] - error[1:]) / span).mean())
