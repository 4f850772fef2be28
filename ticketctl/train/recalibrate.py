"""BatchNorm's running statistics of a net whose weights were not trained to where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.errors import UsageError
from ticketctl.train.feed import Images

BATCH = 500
"""Images per batch; it belongs to the bits of the statistics."""


@torch.no_grad()
def recalibrate(
    model: nn.Module,
    images: Images,
    *,
    count: int | None = None,
    exact: bool = False,
    poll: Callable[[], None] = lambda: None,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Set the running statistics of every BatchNorm layer to those of its inputs over `images`.

    Only these layers are in train mode; each normalises by the statistics of its batch. Weights, modes and momenta are
    as before when it returns, and the statistics too if it raises. `num_batches_tracked` is how many batches the
    statistics are of. A net without such layers is left alone.

    By default the mean over batches of each batch's mean and unbiased variance, which is what
    `torch.optim.swa_utils.update_bn` and timgaripov/swa do; it lacks the variance between the means of batches, which
    is small because each batch is spread evenly over the images (`spread`).

    Args:
        model: changed in place, in its own buffers.
        images: without augmentation, in their order.
        count: how many of them, evenly spaced (some sets are sorted by class); None: all.
        exact: mean and unbiased variance over everything that a layer sees, pooled in float64.
        poll: called between batches; may raise to stop.
        forward: runs the net where that is not simply `model(inputs)`.

    Raises:
        UsageError: more images than there are, or none.
    """
    batches = _batches(images, count)
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    with _measuring(model, norms, 1.0 if exact else None), _pooled(norms) if exact else nullcontext():
        for rows in batches:
            poll()
            (forward or model)(images.scaling(images.take(rows)))


def _batches(images: Images, count: int | None) -> list[Tensor]:
    """Indices [B] of the images of each batch."""
    size = len(images)
    number = size if count is None else count
    if not 1 <= number <= size:
        raise UsageError(f"BatchNorm statistics of {number} images: there are {size}; give 1 to {size}")
    rows = torch.arange(number, device=images.labels.device) * size // number
    return [rows[batch] for batch in spread(number, BATCH)]


def spread(count: int, size: int) -> list[slice]:
    """Batches of `size` at most out of `count` images, each spread evenly over all of them.

    Some sets lie class by class: the statistics of neighbours would be those of a class. No batch is of a single image
    unless there is only one.
    """
    number = -(-count // size)
    return [slice(first, None, number) for first in range(number)]


@contextmanager
def _measuring(model: nn.Module, norms: list[_BatchNorm], momentum: float | None) -> Iterator[None]:
    """Evaluation form, but `norms` take down statistics from nothing on, with `momentum` (None: the mean)."""
    modes = [(module, module.training) for module in model.modules()]
    before = [
        (norm, norm.momentum, [buffer.clone() for buffer in norm.buffers(recurse=False)]) for norm in norms
    ]
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = momentum
    try:
        yield
    except BaseException:
        for norm, _, buffers in before:
            for now, old in zip(norm.buffers(recurse=False), buffers, strict=True):
                now.copy_(old)
        raise
    finally:
        for norm, own, _ in before:
            norm.momentum = own
        for module, mode in modes:
            module.training = mode


class _Pool:
    """Mean and sum of squared deviations per channel, float64, merged call by call (Chan et al. 1979)."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.norm, self.count = norm, 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """After a call of the layer, whose running statistics are then those of this call alone."""
        mean, variance = self._running()
        new = inputs[0].numel() // inputs[0].shape[1]
        total = self.count + new
        shift = mean.double() - self.mean
        self.squares = (
            self.squares + variance.double() * (new - 1) + shift.square() * (self.count * new / total)
        )
        self.mean = self.mean + shift * (new / total)
        self.count = total

    def settle(self) -> None:
        """Into the layer's buffers."""
        mean, variance = self._running()
        mean.copy_(self.mean)
        variance.copy_(self.squares / (self.count - 1))

    def _running(self) -> tuple[Tensor, Tensor]:
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        return mean, variance


@contextmanager
def _pooled(norms: list[_BatchNorm]) -> Iterator[None]:
    """Pool what `norms` see, and settle it in the end."""
    pools = [_Pool(norm) for norm in norms]
    handles = [norm.register_forward_hook(pool) for norm, pool in zip(norms, pools, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    for pool in pools:
        if pool.count:
            pool.settle()
