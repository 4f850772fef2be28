"""A batch cut into slices, one for each rank, so that the sum over ranks is what one process computes of the batch.

The objective of a slice of n of B images is scaled by n/B. A loss that is a mean over images, plus anything that
depends on no image, is then the sum over ranks, and so is its gradient. BatchNorm normalises by the statistics of the
whole batch: their sums go over all ranks, forward and backward. Everything equals one process up to the order in which
floating-point numbers are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from ticketctl.train.ranks import Ranks


class Pass(NamedTuple):
    """One forward and backward pass, detached, on the device; of the whole batch."""

    objective: Tensor
    """What was minimised, a scalar."""
    entropy: Tensor
    """The mean cross-entropy, a scalar: the same unless a hook changes the loss."""
    logits: Tensor
    """[B, classes]."""


def parted(count: int, rank: int, size: int) -> tuple[int, int]:
    """Where the slice of `rank` begins and ends among `count` images: sizes differ by one at most.

    Of fewer images than ranks each rank takes all of them: no forward pass is without images.

    >>> [parted(10, rank, 4) for rank in range(4)], parted(2, 3, 4)
    ([(0, 2), (2, 5), (5, 7), (7, 10)], (0, 2))
    """
    if count < size:
        return 0, count
    return count * rank // size, count * (rank + 1) // size


@dataclass(frozen=True, eq=False)
class Slice:
    """One rank's images of a batch of `whole` images: those from `start` to `stop`."""

    ranks: Ranks
    whole: int
    start: int
    stop: int

    @property
    def shared(self) -> bool:
        """Whether the batch is cut; else every rank computes all of it, and rank 0's is what counts."""
        return self.whole >= self.ranks.size

    def of(self, index: Tensor) -> Tensor:
        """This rank's share of `index` [whole]."""
        return index[self.start : self.stop]

    def run(self, forward: Callable[[], tuple[Tensor, Tensor, Tensor]], parameters: Iterable[Tensor]) -> Pass:
        """Forward and backward of this slice; gradients, and what is returned, are those of the whole batch.

        Args:
            forward: objective, mean cross-entropy and logits of the slice.
            parameters: whose gradients are summed, in an order that is the same on all ranks.
        """
        with _WholeBatch(self):
            objective, entropy, logits = forward()
        part = (self.stop - self.start) / self.whole
        (objective * part).backward()
        gradients = [value.grad for value in parameters if value.grad is not None]
        said = torch.zeros((self.whole, logits.shape[1]), device=logits.device)
        said[self.start : self.stop] = logits.detach().float()
        scalars = torch.stack([objective.detach().float() * part, entropy.detach().float() * part])
        summed = self._sum([*gradients, scalars, said])
        for gradient, value in zip(gradients, summed, strict=False):
            gradient.copy_(value)
        return Pass(summed[-2][0], summed[-2][1], summed[-1])

    @torch.no_grad()
    def _sum(self, values: list[Tensor]) -> list[Tensor]:
        """One sum over all ranks for all of them."""
        flat = torch.cat([value.reshape(-1).float() for value in values])
        if not self.shared and not self.ranks.leads:
            flat = torch.zeros_like(flat)
        pieces = self.ranks.sum_(flat).split([value.numel() for value in values])
        return [piece.view(value.shape) for piece, value in zip(pieces, values, strict=True)]


class _WholeBatch(TorchFunctionMode):
    """While it is entered, BatchNorm in train mode takes the statistics of the whole batch, in whatever module."""

    def __init__(self, part: Slice) -> None:
        super().__init__()
        self.part = part

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.functional.batch_norm and self.part.shared:
            return _batch_norm(self.part.ranks, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    ranks: Ranks,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of x [B, C, …], of which every rank has some images."""
    if not training:
        return nn.functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    mean, variance, count = _statistics(ranks, x.detach())
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            running_var.mul_(1 - momentum).add_(variance * (count / (count - 1)), alpha=momentum)
    found: Tensor = _Normalise.apply(
        x, weight, bias, mean.float(), (variance + eps).rsqrt().float(), count, ranks
    )
    return found


def _statistics(ranks: Ranks, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance [C] of all ranks' x [n, C, …], and how many values they are of; float64.

    Mean and squared deviations of each rank are merged (Chan et al. 1979), which loses no digits to cancellation.
    """
    variance, mean = torch.var_mean(x.float(), _axes(x), correction=0)
    own = torch.full_like(mean[:1], x.numel() // x.shape[1], dtype=torch.float64)
    table = ranks.gathered(torch.cat([mean.double(), variance.double(), own]))
    means, variances, counts = table[:, : len(mean)], table[:, len(mean) : -1], table[:, -1:]
    count = counts.sum()
    mean = (means * counts).sum(0) / count
    squares = ((variances + (means - mean).square()) * counts).sum(0)
    return mean, squares / count, count


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.dim()) if axis != 1]


class _Normalise(torch.autograd.Function):
    """(x - mean) * scale * weight + bias by channel, where mean and scale are functions of all ranks' x."""

    @staticmethod
    def forward(  # as the base says
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        scale: Tensor,
        count: Tensor,
        ranks: Ranks,
    ) -> Tensor:
        shape = (1, -1, *([1] * (x.dim() - 2)))
        gain = scale if weight is None else scale * weight.float()
        ctx.save_for_backward(x, weight, mean, scale, count)
        ctx.ranks, ctx.shape, ctx.biased = ranks, shape, bias is not None
        found = (x.float() - mean.view(shape)) * gain.view(shape)
        return (found if bias is None else found + bias.float().view(shape)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        slope, axes = upstream.float(), _axes(x)
        unit = (x.float() - mean.view(ctx.shape)) * scale.view(ctx.shape)
        sums = torch.stack([slope.sum(axes), (slope * unit).sum(axes)])
        own = sums.clone()  # of this slice: weight and bias are summed with all other gradients
        shift, turn = ctx.ranks.sum_(sums) / count.float()
        gain = scale if weight is None else scale * weight.float()
        inner = slope - shift.view(ctx.shape) - unit * turn.view(ctx.shape)
        return (
            (inner * gain.view(ctx.shape)).to(x.dtype),
            None if weight is None else own[1].to(weight.dtype),
            own[0] if ctx.biased else None,
            *(None,) * 4,
        )
