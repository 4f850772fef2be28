"""The layer-wise shuffled control: which weights of a layer were kept no longer matters, only how many.

(Frankle et al. 2021, "Pruning Neural Networks at Initialization", section 5: random shuffling within layers.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ticketctl.seeds import Seeds


def shuffle_death(death: Mapping[str, NDArray[np.uint8]], seeds: Seeds) -> dict[str, NDArray[np.uint8]]:
    """Permute the rounds of death inside each layer; stream `shuffle` at the tensor's name.

    The result is a nested ladder again, with the same number of kept weights in each layer at each level. A
    layer's permutation depends on its name and size alone.
    """
    return {
        name: rounds.reshape(-1)[seeds.order("shuffle", name, count=rounds.size)].reshape(rounds.shape)
        for name, rounds in death.items()
    }
