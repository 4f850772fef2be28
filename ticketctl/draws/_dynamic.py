"""Dynamic sparse training: the mask moves while the net trains, weights are dropped and grown layer by layer.

Every `every` steps each layer of n active weights drops its n_drop smallest |w| and grows as many among all positions
that were not kept, the just dropped ones included: those come back with value and momentum, as if nothing had been.
What is new starts at 0. So every layer keeps its number of weights throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.masks.mask import Mask
from ticketctl.masks.trajectory import Recorder, is_recorded, packed_bits
from ticketctl.seeds import Seeds
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks

_MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Schedule:
    """When the mask moves and how much of it; a step t is the number of batches seen, that of the update included."""

    alpha: float
    alpha_end: float
    anneal: Literal["cosine", "constant"]
    every: int
    end: int
    """The update steps are the multiples of `every` below this."""
    up: bool
    begin: int = 0
    """Step at which the training begins."""
    apply: bool = False
    """At an update the optimizer steps first (ITOP); otherwise it leaves that batch out."""
    clear: bool = True
    """Momentum and Adam's moments of new weights start at 0."""
    masks: int = 256
    """Most masks to write down, 2 or more."""

    def fraction(self, t: int) -> float:
        """Share of a layer that is dropped at `t`: alpha at 0, alpha_end at `end`, along half a cosine."""
        if self.anneal == "constant":
            return self.alpha
        rest = (1 + math.cos(math.pi * min(t, self.end) / self.end)) / 2
        return self.alpha_end + (self.alpha - self.alpha_end) * rest

    def n_drop(self, t: int, active: int) -> int:
        """Of `active` weights, how many are dropped at `t`; float64, and a billionth is forgiven."""
        exact = self.fraction(t) * active
        return min(active, math.ceil(exact - 1e-9) if self.up else math.floor(exact + 1e-9))

    def number(self, t: int) -> int:
        """Which update `t` is, from 1."""
        return t // self.every - self.begin // self.every

    @property
    def updates(self) -> int:
        """How many there are."""
        return max(0, self.number(self.end - 1))


def drop_grow(weight: Tensor, growth: Tensor, active: Tensor, n_drop: int) -> tuple[Tensor, Tensor]:
    """One layer's update: its new mask, and which of its weights are new; both bool, in C order.

    Args:
        weight: the layer, of any shape; read where `active`.
        growth: its dense gradient, or random numbers; the largest magnitudes grow.
        active: bool, the mask so far.
        n_drop: how many active weights leave, 0 to all of them, and how many positions come instead: the largest
            |growth| of all that were not kept. Equal values: the lower flat index stays, or comes.
    """
    keep = _largest(weight.abs(), active, int(active.count_nonzero()) - n_drop)
    grown = _largest(growth.abs(), ~keep, n_drop)
    return keep | grown, grown & ~active


def _largest(scores: Tensor, among: Tensor, count: int) -> Tensor:
    """Where the `count` largest scores lie, ties to the lower flat index."""
    at = among.reshape(-1).nonzero().squeeze(1)
    order = torch.sort(scores.reshape(-1)[at], descending=True, stable=True).indices[:count]
    chosen = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    chosen[at[order]] = True
    return chosen.reshape(scores.shape)


def in_time_rate(ever: NDArray[np.uint8], size: int) -> float:
    """The in-time over-parameterisation rate R_s: the share of `size` weights that were ever active."""
    return int(np.bitwise_count(ever).sum(dtype=np.int64)) / size


class Moving(Hooks):
    """Moves the mask of a training by `drop_grow`."""

    moves_mask = True

    def __init__(self, method: str, schedule: Schedule, random: Seeds | None) -> None:
        """What grows is chosen by `random` numbers; None: by the dense gradient."""
        self.method, self.schedule, self.random = method, schedule, random
        self.every = schedule.every
        self.recorder = Recorder()
        self.ever: NDArray[np.uint8] | None = None
        """Bits of the weights that were active at any time."""
        self.fractions: list[float] = []
        self.grown: list[int] = []
        self.rates: list[float] = []
        """R_s before the first update and after each."""
        self.silent: dict[str, int] = {}
        """Updates at which no gradient told a layer's candidates apart: all were 0."""

    def identity(self) -> dict[str, Any]:
        """All that the masks are a function of."""
        seed = {"draw": self.random.of("draw")} if self.random else {}
        return {"name": self.method, **asdict(self.schedule), **seed}

    def start(self, loop: Course) -> None:
        """Take down the initial mask, once."""
        if self.ever is None:
            self._note(loop.step, loop.mask, keep=True)
            self.silent = dict.fromkeys(loop.masks, 0)

    def grads(self, loop: Course) -> bool:
        """In the paper's form, an update instead of the optimizer's step."""
        return self.schedule.apply or not self._update(loop)

    def step(self, loop: Course) -> None:
        """In ITOP's form, an update after the optimizer's step, on the weights it has left."""
        if self.schedule.apply:
            self._update(loop)

    def state(self) -> dict[str, Tensor]:
        """The trajectory, and what is told of the training in the end."""
        if self.ever is None:
            return {}
        return {
            **self.recorder.tensors(),
            "ever": torch.from_numpy(self.ever.copy()),
            "fractions": torch.tensor(self.fractions, dtype=torch.float64),
            "grown": torch.tensor(self.grown, dtype=torch.int64),
            "rates": torch.tensor(self.rates, dtype=torch.float64),
            **{f"silent.{name}": torch.tensor(count) for name, count in self.silent.items()},
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        if "ever" not in tensors:
            return
        self.recorder.restore(tensors)
        self.ever = tensors["ever"].numpy().copy()
        self.fractions, self.grown, self.rates = (
            tensors[key].tolist() for key in ("fractions", "grown", "rates")
        )
        self.silent = {
            name.removeprefix("silent."): int(count)
            for name, count in tensors.items()
            if name.startswith("silent.")
        }

    @torch.no_grad()
    def _update(self, loop: Course) -> bool:
        """Drop and grow, if it is time; whether it was. Numbers that are not finite are left to the loop to find."""
        t, parameters = loop.step + 1, loop.parameters
        if t >= self.schedule.end or not _finite([parameters[name] for name in loop.masks]):
            return False
        masks: dict[str, Tensor] = {}
        grown = 0
        for name, held in loop.masks.items():
            masks[name], new = self._layer(t, name, parameters[name], held != 0)
            parameters[name].masked_fill_(new, 0.0)
            if self.schedule.clear:
                _clear(loop.optimizer.state.get(parameters[name], {}), masks[name] & ~new)
            grown += int(new.count_nonzero())
        mask = Mask({name: kept.cpu() for name, kept in masks.items()})
        loop.set_mask(mask)
        self.fractions.append(self.schedule.fraction(t))
        self.grown.append(grown)
        number, most = self.schedule.number(t), self.schedule.masks - 1  # beside the initial one
        self._note(t, mask, keep=is_recorded(number, self.schedule.updates, most))
        return True

    def _layer(self, t: int, name: str, weight: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        count = int(active.count_nonzero())
        n_drop = self.schedule.n_drop(t, count)
        if n_drop == 0 or count == active.numel():  # nothing to drop, or nothing else to grow
            return active.contiguous(), torch.zeros_like(active)
        if self.random:
            words = self.random.raw("draw", self.method, name, t, count=active.numel()) >> np.uint64(11)
            growth = torch.from_numpy(words.astype(np.float64)).reshape(active.shape).to(active.device)
        else:
            assert weight.grad is not None
            growth = weight.grad
            self.silent[name] += int(not bool((growth * ~active).any()))
        return drop_grow(weight, growth, active, n_drop)

    def _note(self, step: int, mask: Mask, *, keep: bool) -> None:
        bits = packed_bits(mask)
        self.ever = bits if self.ever is None else self.ever | bits
        self.rates.append(in_time_rate(self.ever, mask.size))
        self.recorder.see(step, mask, keep=keep)


def _finite(parameters: list[torch.nn.Parameter]) -> bool:
    tensors = [tensor for p in parameters for tensor in (p, p.grad) if tensor is not None]
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def _clear(moments: Mapping[str, Any], old: Tensor) -> None:
    """Zero an optimizer's memory of the weights that are new or dropped."""
    for key in _MOMENTS:
        if isinstance(moments.get(key), Tensor):
            moments[key].mul_(old)
