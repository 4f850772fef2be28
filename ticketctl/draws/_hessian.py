"""Shared by the draws that rank by curvature: w (H g), the first-order effect of a weight on the gradient's norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ticketctl.draws._saliency import Loss, Scores, cross_entropy, gradients, loss_of, masked_weights
from ticketctl.masks.mask import Mask
from ticketctl.train.scoring import Batch


def tempered(temperature: float) -> Loss:
    """Mean cross entropy of logits / temperature; a high one makes the softmax nearly uniform."""
    return lambda logits, labels: cross_entropy(logits / temperature, labels)


def preserved_flow(
    net: nn.Module, batches: Sequence[Batch], mask: Mask, *, temperature: float = 200.0
) -> Scores:
    """w (H g) by layer, signed: removing weight j changes |g|^2 by -2 of it, to first order (Wang et al. 2020).

    g and H are sums over the batches of the gradients and Hessians of their mean losses, over the mask's weights
    alone. The largest are to be kept. Weights outside the mask score 0 and are not to be ranked.

    Args:
        net: in the mode and precision to score in; it is not changed.
        batches: inputs and labels on the net's device.
        mask: over the weights to score.
        temperature: what logits are divided by.
    """
    weights, loss = masked_weights(net, mask), tempered(temperature)
    gradient = gradients(net, batches, weights, loss)
    for total, keep in zip(gradient, mask.keep.values(), strict=True):
        total.mul_(keep.to(total.device))  # the gradient of the net that is left
    product = hessian_times(net, batches, weights, gradient, loss)
    return {
        name: found.mul_(weight.detach())
        for (name, weight), found in zip(weights.items(), product, strict=True)
    }


def hessian_times(
    net: nn.Module,
    batches: Sequence[Batch],
    weights: Mapping[str, Tensor],
    vector: Sequence[Tensor],
    loss: Loss,
) -> list[Tensor]:
    """H v, H the sum over the batches of their mean losses' Hessians, by differentiating the gradient along v.

    Args:
        net: see `preserved_flow`.
        batches: inputs and labels; one batch's graph is held at a time.
        weights: leaves in the place of the net's own.
        vector: v, one tensor for each of `weights`; a constant.
        loss: of logits and labels.
    """
    leaves = list(weights.values())
    total = [torch.zeros_like(leaf) for leaf in leaves]
    with torch.enable_grad():
        for batch in batches:
            value = loss_of(net, weights, batch, loss)
            found = torch.autograd.grad(
                value, leaves, create_graph=True, allow_unused=True, materialize_grads=True
            )
            along = torch.stack([(part * v).sum() for part, v in zip(found, vector, strict=True)]).sum()
            if along.requires_grad:  # a loss that is linear in every weight has no curvature
                second = torch.autograd.grad(along, leaves, allow_unused=True, materialize_grads=True)
                torch._foreach_add_(total, second)
    return total
