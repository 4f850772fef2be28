"""The masks that a finished training passed through."""

from __future__ import annotations

from ticketctl.masks.trajectory import Recorder, Trajectory
from ticketctl.train.fit import Fit

__all__ = ["Trajectory", "trajectory_of"]


def trajectory_of(fit: Fit) -> Trajectory | None:
    """The masks of `fit`, first and last in any case; None if no hook moves the mask, or it keeps all at the end.

    Those between are what a hook wrote down with a `masks.trajectory.Recorder`.
    """
    if not fit.order.moves or fit.order.mask is None:
        return None
    first, last = fit.order.mask, fit.mask_at_end()
    if last.kept == last.size:
        return None
    for number in range(len(fit.order.hooks)):
        found = Trajectory.of_tensors(first.shapes(), fit.hook(number))
        if found is not None:
            return found
    begin, end = fit.order.start.step, int(fit.notes["step"])
    ends = Recorder()
    ends.see(begin, first)
    if end > begin:
        ends.see(end, last)
    return Trajectory.of_tensors(first.shapes(), ends.tensors())
