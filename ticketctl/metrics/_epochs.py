"""Weights kept along a training, as the measures of its history read them: one epoch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ticketctl.errors import DivergedError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.train.exam import Absent, Exam, History


def kept_history(exam: Exam) -> History:
    """The history, with weights of at least one epoch.

    Raises:
        Absent: the net was not trained, or no weights were kept on the way.
    """
    if exam.history is None:
        raise Absent("the net was not trained")
    if not exam.history.epochs:
        raise Absent("no weights were kept along the training: train with --set keep.epochs=[1,2,5]")
    return exam.history


def largest(weights: Mapping[str, Tensor], names: Sequence[str], count: int, epoch: int) -> Mask:
    """The `count` largest magnitudes among the weights `names` together; of equal ones the first in flat order.

    Args:
        weights: a state_dict, as `History.weights` gives it.
        names: of the prunable weights, in the order of the mask.
        count: how many to keep.
        epoch: whose weights they are, for the message.

    Raises:
        Absent: a weight is not there, or not finite.
    """
    missing = next((name for name in names if name not in weights), None)
    if missing is not None:
        raise Absent(f"the weights after epoch {epoch} have no {missing!r}")
    try:
        return top({name: weights[name].abs() for name in names}, count)
    except DivergedError:
        raise Absent(f"the weights after epoch {epoch} are not finite") from None
