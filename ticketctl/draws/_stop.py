"""When regularised training has gone far enough: a window over the pruned net's accuracies (paper 000)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Rule = Literal["means", "peer"]


@dataclass(frozen=True)
class Watch:
    """The rule after some epochs; `see` gives the next one. Epochs are counted from 0, the first that was seen.

    The window holds the pruned net's accuracies of the last 2 half + 1 epochs. Its mean, when it is the best so
    far, makes its middle epoch the choice; the end has come once the best mean is above the dense net's accuracy of
    the present epoch. The first of equals stays. Where no accuracy is higher, a mean of 1 is enough.

    means: a mean is compared with the best mean, and windows that are not yet full decide nothing.
    peer: as the released code does it. A mean is compared with the *unsmoothed* accuracy of the epoch chosen last,
    so a worse mean can replace a better one, and windows count from the first epoch, with their newest element, at
    most the one at index `half`, for the middle; a mean of 1 has to be above as any other.
    """

    half: int = 1
    rule: Rule = "means"
    epochs: int = 0
    """Seen so far."""
    window: tuple[float, ...] = ()
    chosen: int | None = None
    """The epoch whose net and mask are the best so far."""
    mean: float = 0.0
    """Mean of the window that chose it."""
    bar: float = 0.0
    """What the next mean has to be above."""
    ended: bool = False

    def see(self, pruned: float, dense: float) -> Watch:
        """The rule after one more epoch, of these accuracies of the pruned and of the dense net."""
        window = (*self.window, pruned)[-(2 * self.half + 1) :]
        seen = replace(self, epochs=self.epochs + 1, window=window)
        mean = sum(window) / len(window)
        if self._may_choose(window) and (mean > self.bar or (self.rule == "means" and self.chosen is None)):
            middle = min(self.half, len(window) - 1)
            bar = mean if self.rule == "means" else window[middle]
            seen = replace(seen, chosen=seen.epochs - len(window) + middle, mean=mean, bar=bar)
        return replace(seen, ended=seen.chosen is not None and seen._is_enough(dense))

    def _is_enough(self, dense: float) -> bool:
        return self.mean > dense or (self.rule == "means" and self.mean == 1)

    def _may_choose(self, window: tuple[float, ...]) -> bool:
        return self.rule == "peer" or len(window) == 2 * self.half + 1


def watched(trace: Iterable[tuple[float, float]], *, half: int, rule: Rule) -> Watch:
    """The rule after a whole trace of (pruned, dense) accuracies."""
    watch = Watch(half, rule)
    for pruned, dense in trace:
        watch = watch.see(pruned, dense)
    return watch
