"""Shared by the draws that rank by synaptic flow: |w dR/dw|, R the sum of outputs of the net of absolute weights.

Everything is float64: R is a sum of products over all layers, 1e45 for ResNet-32 of twice the width and 1e72 for
ResNet-50, where float32 ends at 3e38.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ticketctl.draws._saliency import Scores
from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top

FlowNorm = Literal["scale", "identity", "peer"]

_REFUSED = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.RMSNorm,
            nn.LocalResponseNorm, nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.MultiheadAttention)  # fmt: skip


class Scale(nn.Module):
    """BatchNorm without its shift: x times |gamma| / sqrt(var + eps), per channel."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        variance = torch.ones(norm.num_features) if norm.running_var is None else norm.running_var.abs()
        gamma = torch.ones(norm.num_features) if norm.weight is None else norm.weight.detach().abs()
        self.factor: Tensor
        self.register_buffer("factor", gamma.double() / torch.sqrt(variance.double() + norm.eps))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] to the same shape."""
        return x * self.factor.view(-1, *(1,) * (x.dim() - 2))


class Flow:
    """A net of absolute weights that is linear in the ones it is fed; a copy, in float64 on the CPU.

    Raises:
        UsageError: the net does not scale with its input, as with LayerNorm, attention or softmax.
    """

    def __init__(self, net: nn.Module, mask: Mask, shape: Sequence[int], *, bn: FlowNorm = "scale") -> None:
        """`shape`: channels, height and width. `bn`: see `draws.synflow`."""
        _check_kinds(net)
        if bn == "peer":
            _check_scales(_absolute(net, "scale"), shape)
        self.net = _absolute(net, bn)
        if bn != "peer":
            _check_scales(self.net, shape)
        self.ones = torch.ones(1, *shape, dtype=torch.float64)
        self.weights = [self.net.get_parameter(name).requires_grad_() for name in mask.keep]
        self.mask = mask
        self.apply_(mask)
        self.total = 0.0
        """R at the newest scoring."""

    @torch.no_grad()
    def apply_(self, mask: Mask) -> None:
        """Multiply the weights by a mask inside the last."""
        for weight, keep in zip(self.weights, mask.keep.values(), strict=True):
            weight.mul_(keep)
        self.mask = mask

    def scores(self) -> Scores:
        """|w dR/dw| by layer, float64, 0 or more; 0 for what is pruned.

        Raises:
            DivergedError: R is not finite; names the layer whose weights are not.
        """
        with torch.enable_grad():
            total = self.net(self.ones).sum()
            found = torch.autograd.grad(total, self.weights, allow_unused=True, materialize_grads=True)
        self.total = float(total.detach())
        if not torch.isfinite(total):
            raise DivergedError(f"synflow: {self._why_not_finite()}; nothing was ranked")
        torch._foreach_mul_(found, [weight.detach() for weight in self.weights])
        return dict(zip(self.mask.keep, found, strict=True))

    def _why_not_finite(self) -> str:
        for name, value in self.net.state_dict().items():
            if not bool(value.isfinite().all()):
                return f"layer {name!r} has weights that are NaN or infinite"
        return f"the flow through the net is {self.total:g}, beyond float64"


@dataclass(frozen=True)
class Flowed:
    """What the rounds came to."""

    mask: Mask
    among: Mask
    """The survivors that the last round ranked."""
    scores: Scores
    totals: tuple[float, ...]
    """R of each round."""


def flow_rounds(flow: Flow, counts: Sequence[int], poll: Callable[[], None]) -> Flowed:
    """Prune to each of `counts` in turn, scored anew before each; `poll` is called between them."""
    totals = []
    for count in counts:
        poll()
        among = flow.mask
        scores = flow.scores()
        totals.append(flow.total)
        flow.apply_(top(scores, count, among=among))
    return Flowed(flow.mask, among, scores, tuple(totals))


# ------------------------------------------------------------------------------------------------------- the net


def _absolute(net: nn.Module, bn: FlowNorm) -> nn.Module:
    """A copy in float64 in evaluation mode with the absolute values of all weights, contiguous as masks are."""
    twin = copy.deepcopy(net).to("cpu", torch.float64).eval().requires_grad_(False)
    if bn != "peer":
        for name, module in list(twin.named_modules()):
            if isinstance(module, _BatchNorm):
                twin.set_submodule(name, Scale(module) if bn == "scale" else nn.Identity())
            elif isinstance(module, _ConvNd | nn.Linear) and module.bias is not None:
                module.bias.zero_()
    for parameter in twin.parameters():
        parameter.data = parameter.data.abs().contiguous()
    for buffer in twin.buffers():
        buffer.abs_()
    return twin


def _check_kinds(net: nn.Module) -> None:
    for name, module in net.named_modules():
        if isinstance(module, _REFUSED):
            raise UsageError(
                f"synflow: {name} is a {type(module).__name__}, which does not pass on the size of its input; "
                "use snip, force or grasp"
            )


@torch.no_grad()
def _check_scales(net: nn.Module, shape: Sequence[int]) -> None:
    """Twice the input is twice the output, to the bit but for what libraries reorder."""
    count = torch.Size(shape).numel()
    ramp = torch.linspace(0.5, 1.5, count, dtype=torch.float64).view(1, *shape)
    once, twice = net(ramp), net(2 * ramp)
    if not torch.allclose(twice, 2 * once, rtol=1e-9, atol=0.0, equal_nan=True):
        raise UsageError(
            "synflow needs a net whose output scales with its input, as convolutions, BatchNorm, ReLU and pooling "
            "do; this one's does not: use snip, force or grasp"
        )
