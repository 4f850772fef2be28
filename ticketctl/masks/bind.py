"""Holding a model to a mask while it trains.

The mask lies beside the weights as 0/1 floats in each weight's dtype, device and memory layout, and one
`torch._foreach_mul_` after the optimizer's step applies it: no hooks, no reparametrisation, no copies of the
model (docs/decisions/008-eager-cpu-graph-gpu.md). The buffers keep their addresses from round to round,
so a captured CUDA graph stays true when a new mask is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ticketctl.errors import ArtifactError
from ticketctl.masks.mask import Mask


class Binding:
    """A model's masked weights and their mask. Make it when the model has its device, dtype and layout.

    Raises:
        ArtifactError: the mask names a weight that the model lacks, or of another shape (E_ARCH_MISMATCH).
    """

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        weights = dict(model.named_parameters(remove_duplicate=False))
        check_fit(mask, weights)
        self.names: tuple[str, ...] = tuple(mask.keep)
        self.weights: list[torch.Tensor] = [weights[name] for name in self.names]
        self.masks: list[torch.Tensor] = [torch.empty_like(weight.detach()) for weight in self.weights]
        self.load_(mask)

    @torch.no_grad()
    def load_(self, mask: Mask) -> None:
        """Copy another mask over the same weights into the same buffers; does not touch the weights."""
        if set(mask.keep) != set(self.names):
            raise ValueError("this binding holds other layers than the mask has")
        for name, held in zip(self.names, self.masks, strict=True):
            if mask.keep[name].shape != held.shape:
                raise ValueError(f"mask {name!r} is {tuple(mask.keep[name].shape)}, not {tuple(held.shape)}")
            held.copy_(mask.keep[name])

    @torch.no_grad()
    def apply_(self) -> None:
        """Multiply the weights by their masks: pruned weights become 0 (of either sign: see `clean_`)."""
        torch._foreach_mul_(self.weights, self.masks)

    @torch.no_grad()
    def apply_to_(self, tensors: list[torch.Tensor]) -> None:
        """Multiply `tensors` (one per `names`, such as momentum buffers or gradients) by the masks."""
        if len(tensors) != len(self.masks):
            raise ValueError(f"{len(tensors)} tensors for {len(self.masks)} masked weights")
        torch._foreach_mul_(tensors, self.masks)

    @torch.no_grad()
    def clean_(self) -> None:
        """Apply, and turn every -0.0 into +0.0, as writers must: (-0.0) + 0.0 is +0.0 in IEEE arithmetic."""
        self.apply_()
        torch._foreach_add_(self.weights, 0.0)

    @torch.no_grad()
    def violations(self) -> dict[str, int]:
        """Non-zero (or NaN) pruned weights by layer; empty when the mask holds. Waits for the device."""
        counts = {
            name: int(((weight != 0) & (held == 0)).count_nonzero())
            for name, weight, held in zip(self.names, self.weights, self.masks, strict=True)
        }
        return {name: count for name, count in counts.items() if count}


def check_fit(mask: Mask, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise ArtifactError (E_ARCH_MISMATCH) unless every layer of the mask is a weight of that shape."""
    for name, keep in mask.keep.items():
        if name not in weights:
            raise ArtifactError("E_ARCH_MISMATCH", f"the mask holds {name!r}, which the model does not have")
        if weights[name].shape != keep.shape:
            ours, theirs = tuple(weights[name].shape), tuple(keep.shape)
            raise ArtifactError(
                "E_ARCH_MISMATCH", f"{name!r} is {ours} in the model and {theirs} in the mask"
            )
