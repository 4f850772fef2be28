"""SmartRatio: densities that fall from layer to layer by a fixed polynomial, and a fixed share of the head.

Su et al. 2020, "Sanity-Checking Pruning Methods: Random Tickets can Win the Jackpot". Layers count l = 1..L, the head
included; every layer but the head has a density in proportion to (L-l+1)^2 + (L-l+1), for VGG nets divided by l^2.
What a layer that would exceed 1 cannot hold goes to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch

from ticketctl.errors import UsageError
from ticketctl.masks.apportion import apportion
from ticketctl.masks.profiles import Counts, Shapes, sizes_of

Decay = Literal["quadratic", "linear", "cubic", "ascending", "uniform"]

HEADS = (Fraction(3, 10), Fraction(1, 10))
"""Shares of the head, tried in this order: Su et al.'s, and that of paper 000 where the budget is too small for it."""

_DECAYS: dict[str, Callable[[int, int], int]] = {
    "quadratic": lambda place, last: (last - place + 1) * (last - place + 2),
    "linear": lambda place, last: last - place + 1,
    "cubic": lambda place, last: (last - place + 1) ** 3,
    "ascending": lambda place, last: place * (place + 1),
    "uniform": lambda place, last: 1,
}


@dataclass(frozen=True)
class SmartRatio:
    """The rule over the layers of one net."""

    shapes: Shapes
    """Prunable weights, in order."""
    head: str | None
    """The output layer's weight, counted as the last layer whether or not it is prunable; none: there is none."""
    decay: Decay = "quadratic"
    divide: bool = False
    """Divide the density of layer l by l^2, as for VGG nets; uniform stays uniform."""

    def counts(self, total: int, share: Fraction) -> Counts:
        """Weights of each layer: `total` exactly, floor(share * size) of the head.

        Raises:
            UsageError: the other layers cannot take the rest: it is not above 0, or more than they have.
        """
        sizes = sizes_of(self.shapes)
        ends = {name: math.floor(share * size) for name, size in sizes.items() if name == self.head}
        goal = total - sum(ends.values())
        body = {name: size for name, size in sizes.items() if name not in ends}
        self._check_goal(goal, body, share)
        ratios = self.ratios()
        scale = Fraction(goal) / sum(body[name] * ratios[name] for name in body)
        quotas, extra = dict.fromkeys(body, Fraction(0)), Fraction(0)
        for name in sorted(body, key=lambda name: -ratios[name]):
            wanted = body[name] * ratios[name] * scale + extra
            quotas[name] = min(wanted, Fraction(body[name]))
            extra = wanted - quotas[name]
        found = {**apportion(quotas, body, goal), **ends}
        return {name: found[name] for name in sizes}

    def counts_with_fallback(self, total: int) -> tuple[Counts, Fraction]:
        """`counts` at the first of `HEADS` that leaves something for the other layers; and that share.

        Raises:
            UsageError: none does.
        """
        held = sum(size for name, size in sizes_of(self.shapes).items() if name == self.head)
        share = next((share for share in HEADS if math.floor(share * held) < total), HEADS[-1])
        return self.counts(total, share), share

    def peer_counts(self, sparsity: Fraction, share: Fraction) -> Counts:
        """As the authors' program counts, in its float32 arithmetic: up to 1 % below the target.

        `sparsity` is 1 - density. Carries go to the next layer as long as it is the first that overflow.

        Raises:
            UsageError: as `counts`.
        """
        sizes = {name: torch.tensor(float(size)) for name, size in sizes_of(self.shapes).items()}
        body = [name for name in sizes if name != self.head]
        ratios = {name: torch.tensor(float(value)) for name, value in self._undivided().items()}
        places = {name: place for place, name in enumerate(self.shapes, 1)}
        over = {name: places[name] ** 2 if self.divide else 1 for name in body}
        heads = sum((sizes[name] for name in sizes if name == self.head), torch.tensor(0.0))
        whole = sum(sizes.values(), torch.tensor(0.0))
        goal = int(whole * (1 - float(sparsity))) - int(heads * float(share))
        self._check_goal(goal, {name: int(sizes[name]) for name in body}, share)
        scale = goal / sum(int(sizes[name] * ratios[name] / over[name]) for name in body)
        densities = {name: ratios[name] * scale / over[name] for name in body}
        _carry(densities, sizes)
        if self.decay == "uniform":
            densities = dict.fromkeys(body, goal / (whole - heads))
        kept = {name: int(min(densities[name] * sizes[name], sizes[name])) for name in body}
        return {name: kept[name] if name in kept else int(float(share) * sizes[name]) for name in sizes}

    def ratios(self) -> dict[str, Fraction]:
        """Each layer's density but for the scale; the head has none that counts."""
        return {
            name: Fraction(ratio, place**2 if self.divide and self.decay != "uniform" else 1)
            for place, (name, ratio) in enumerate(self._undivided().items(), 1)
        }

    def _undivided(self) -> dict[str, int]:
        last = len(self.shapes) + (self.head is not None and self.head not in self.shapes)
        return {name: _DECAYS[self.decay](place, last) for place, name in enumerate(self.shapes, 1)}

    def _check_goal(self, goal: int, body: Mapping[str, int], share: Fraction) -> None:
        if goal <= 0:
            raise UsageError(
                f"smartratio keeps {float(share):.0%} of the output layer, which leaves the other layers {goal:,} "
                "weights; give a larger density or a smaller draw.head"
            )
        if goal > sum(body.values()):
            raise UsageError(
                f"smartratio keeps no more than {float(share):.0%} of the output layer, and the other layers have "
                f"{sum(body.values()):,} weights for {goal:,}; give a smaller density or a larger draw.head"
            )


def _carry(densities: dict[str, torch.Tensor], sizes: Mapping[str, torch.Tensor]) -> None:
    """The authors' loop, float32: it ends with the first layer after which there is nothing to carry."""
    extra = 0
    for name, density in densities.items():
        size = sizes[name]
        if density >= 1:
            extra += int((density - 1) * size)
            densities[name] = torch.tensor(1.0)
        elif (room := int((1 - density) * size)) >= extra:
            densities[name] = density + extra / size
            extra = 0
        else:
            extra -= room
            densities[name] = torch.tensor(1.0)
        if extra == 0:
            return
