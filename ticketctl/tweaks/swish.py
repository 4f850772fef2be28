"""Swish, x sigmoid(beta x), in place of every ReLU and ReLU6.

Ramachandran et al. 2017; nn.SiLU at beta = 1. Paper 001 (Jaiswal et al. 2022, ToST), section 3.1: a sparse net trains
better when its activations are smooth. The net is changed when the ticket is spent, after its mask was found; weights,
BatchNorm's buffers, initialisation and all names stay. The activation behind the residual addition is replaced as well.

The released code computes SiLU; its `pswish` has beta = 2, which is not learned in spite of the name. With `fade` the
smooth zone is a ghost: its width 1 / beta falls to 0 in a straight line over that share of the training, so beta grows
without bound, and from there on every activation is the one that the plain net has, equal to the bit. The paper's
schedule is not in its code: the straight line is ours. Nets that call relu as a function are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ticketctl.errors import UsageError
from ticketctl.recipe import Rational
from ticketctl.seeds import Seeds
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._activation import Shape, shape_of, swap
from ticketctl.tweaks._fade import Fading, added, check_fade, share_of, whole

FACTS = {
    "changes": "net",
    "paper": "Jaiswal et al. 2022 (001), section 3.1; Ramachandran et al. 2017",
    "cost": "a step 1.0 times; with beta 1.2, while it fades 1.5 (ResNet-18 a quarter wide, one CPU thread)",
    "weights": "none",
}

EXCLUDES: dict[str, str] = {"mish": "a net has one activation"}


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.swish]`."""

    beta: float = 1.0
    """Steepness; it is not learned. 1 is SiLU, large values are nearly ReLU."""
    fade: Rational = Fraction(0)
    """Share of the training over which Swish becomes ReLU (a ghost activation); 0: it stays."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """Swish everywhere.

    Raises:
        UsageError: a beta that is not positive, or a share outside [0, 1].
    """
    check_fade("swish", params.fade)
    if not (params.beta > 0 and math.isfinite(params.beta)):
        raise UsageError(f"tweaks.swish.beta: must be a positive number, not {params.beta}")
    return (_Ghost if params.fade else _Swishes)(params, shape_of(kit.bench.feed.images))


class _Swishes(Hooks):
    def __init__(self, params: Params, shape: Shape) -> None:
        self.params, self.shape = params, shape

    def identity(self) -> dict[str, Any]:
        return {"tweak": "swish", **asdict(self.params), "fade": str(self.params.fade)}

    def model(self, net: nn.Module, seeds: Seeds) -> None:
        """Raises UsageError for a net without ReLU modules, or with relu as a function."""
        swap(net, self._maker(net), tweak="swish", shape=self.shape)

    def _maker(self, net: nn.Module) -> Callable[[nn.Module], nn.Module]:
        beta = self.params.beta
        return lambda old: nn.SiLU() if beta == 1 else Swish(beta)


class _Ghost(Fading, _Swishes):
    place = "tweak.swish"

    def __init__(self, params: Params, shape: Shape) -> None:
        super().__init__(params, shape)
        self.fade = params.fade

    def _maker(self, net: nn.Module) -> Callable[[nn.Module], nn.Module]:
        left = _Left(next(net.parameters()).device)
        added(net).swish = left
        return lambda old: FadingSwish(self.params.beta, left, type(old)())


class Swish(nn.Module):
    """x sigmoid(beta x), for any shape."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """As many as `x`."""
        return F.silu(self.beta * x) / self.beta


class _Left(nn.Module):
    """What is left of the smooth zone's width, for all activations of a net."""

    left: Tensor

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("left", whole(device))


class FadingSwish(nn.Module):
    """x sigmoid(beta x / left) while something is left, then `end`."""

    def __init__(self, beta: float, ghost: _Left, end: nn.Module) -> None:
        super().__init__()
        self.beta = beta
        self.end = end
        self.ghost = (ghost,)  # in a tuple, or its tensor would have a second name

    def forward(self, x: Tensor) -> Tensor:
        """As many as `x`."""
        left = share_of(self.ghost[0].left)
        beta = self.beta / torch.where(
            left > 0, left, 1.0
        )  # finite also where it is not used: its gradient is too
        return torch.where(left > 0, F.silu(beta * x) / beta, self.end(x))
