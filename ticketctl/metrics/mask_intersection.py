"""Mask intersection: how much of the final mask the largest weights would already have made on the way.

After each epoch e of which weights were kept: |top-k(|W_e|) and M| / |M| with M the ticket's mask, k = |M| and the
ranking over all prunable weights together (paper 000, table 1). `mask-intersection` is that of the last kept epoch,
`mask-intersection.epoch-e` that of each, `mask-intersection.random` what a random mask of this density has on average:
the density. Of equal magnitudes the first in the order of layers and flat index counts.

Where the training was masked from its start, W_e is 0 outside M and the answer 1: the measure is of trainings whose
mask moves or comes late (`art`, `gmp`, `rigl`). Arrays: `epochs`, `overlap` of each, and `layers`, the same within each
layer of the protocol's list, NaN where the final mask leaves a layer empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ticketctl.masks.mask import Mask
from ticketctl.metrics._epochs import kept_history, largest
from ticketctl.train.exam import Absent, Exam, Measurement, Value

FACTS = {
    "data": "the weights kept along the training",
    "cost": "a ranking of the weights for each kept epoch",
}
COMMAND = "probe"
NEEDS = ("net", "history")
BETTER: dict[str, str] = {}


@dataclass(frozen=True)
class Params:
    """No keys."""


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images: none."""
    return 0


def measure(exam: Exam, *, params: Params) -> Measurement:
    """The rows above, in [0, 1]; `overlap` float64 [E], `layers` float64 [E, L], `epochs` int64 [E].

    Raises:
        Absent: the net is dense or was not trained, or no weights were kept.
    """
    net = exam.specimen
    net.poll()
    history = kept_history(exam)
    mask = net.mask
    if mask is None or not mask.kept:
        raise Absent("the net is dense: there is no mask" if mask is None else "the mask keeps no weight")
    names, whole, layers = [*mask.keep], [], []
    for epoch in history.epochs:
        net.poll()
        overlap = within(largest(history.weights(epoch), names, mask.kept, epoch), mask)
        sizes = np.array([kept for kept, _ in mask.layers().values()])
        whole.append(int(overlap.sum()) / mask.kept)
        layers.append(np.divide(overlap, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))
    values = {"mask-intersection": Value(whole[-1], None, mask.kept)}
    values |= {
        f"mask-intersection.epoch-{epoch}": Value(one, None, mask.kept)
        for epoch, one in zip(history.epochs, whole, strict=True)
    }
    values["mask-intersection.random"] = Value(float(mask.density), None, mask.size)
    arrays = {
        "epochs": np.array(history.epochs, dtype=np.int64), "overlap": np.array(whole), "layers": np.stack(layers),
    }  # fmt: skip
    return Measurement(values, {"layers": names, "ties": "first in flat order"}, arrays)


def within(one: Mask, other: Mask) -> NDArray[np.int64]:
    """How many weights both masks keep in each layer of the second, int64 [L]."""
    return np.array([int((one.keep[name] & keep).count_nonzero()) for name, keep in other.keep.items()])
