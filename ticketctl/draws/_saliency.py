"""Shared by the draws that rank what a weight does to the loss: |dL/dw w|, and what they record.

`saliency` is the sensitivity of SNIP (Lee et al. 2019): c = |dL/dm| at the mask m, which is |w g| for the kept
weights. FORCE (de Jorge et al. 2021) takes the gradient at the masked net but the weights of the dense one, so
that a pruned weight can come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ticketctl.draws._start import Chosen
from ticketctl.masks.mask import Mask
from ticketctl.train.lab import Lab
from ticketctl.train.scoring import (
    Batch,
    Precision,
    Statistics,
    indices,
    random_sample,
    scoring_net,
)
from ticketctl.train.state import State

Scores = dict[str, Tensor]
LossName = Literal["cross-entropy", "nll"]
Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits [B, K] and labels [B]."""
    return nn.functional.cross_entropy(logits, labels)


def negative_logit(logits: Tensor, labels: Tensor) -> Tensor:
    """-mean(logit of the label): what `nll_loss` on raw logits is, as FORCE's code has it."""
    return nn.functional.nll_loss(logits, labels)


LOSSES: dict[LossName, Loss] = {"cross-entropy": cross_entropy, "nll": negative_logit}


# ------------------------------------------------------------------------------------------------------- scores


def masked_weights(net: nn.Module, mask: Mask) -> Scores:
    """Leaves w * m that want gradients, by the mask's names; the net's own weights are copied, not touched."""
    leaves = {}
    for name, keep in mask.keep.items():
        weight = net.get_parameter(name).detach()
        leaves[name] = (weight * keep.to(weight.device)).requires_grad_()
    return leaves


def loss_of(net: nn.Module, weights: Mapping[str, Tensor], batch: Batch, loss: Loss) -> Tensor:
    """The loss of the net with these weights in place of its own.

    BatchNorm in train mode writes into its running statistics: into copies of them.
    """
    inputs, labels = batch
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    return loss(functional_call(net, {**weights, **buffers}, (inputs,)), labels)


def gradients(
    net: nn.Module, batches: Iterable[Batch], weights: Mapping[str, Tensor], loss: Loss = cross_entropy
) -> list[Tensor]:
    """Sum over the batches of the gradient of their mean loss, dense, in the order of `weights`."""
    leaves = list(weights.values())
    total = [torch.zeros_like(leaf) for leaf in leaves]
    with torch.enable_grad():
        for batch in batches:
            value = loss_of(net, weights, batch, loss)
            found = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
            torch._foreach_add_(total, found)
    return total


def saliency(
    net: nn.Module,
    batches: Iterable[Batch],
    mask: Mask,
    *,
    loss: Loss = cross_entropy,
    dense: bool = False,
) -> Scores:
    """|w g| by layer, with the gradient g at the masked net w * m, summed over batches of mean losses.

    Args:
        net: in the mode and precision to score in; it is not changed.
        batches: inputs and labels on the net's device.
        mask: over the weights to score.
        loss: of logits and labels.
        dense: w are all the net's weights (FORCE); else the masked ones (SNIP), so that pruned ones score 0.
    """
    weights = masked_weights(net, mask)
    found = gradients(net, batches, weights, loss)
    scores = {}
    for (name, kept), gradient in zip(weights.items(), found, strict=True):
        weight = net.get_parameter(name) if dense else kept
        scores[name] = gradient.mul_(weight.detach()).abs_()
    return scores


# -------------------------------------------------------------------------------------------------------- record


def gap(scores: Mapping[str, Tensor], mask: Mask, among: Mask | None = None) -> float | None:
    """(last kept - first pruned) / the larger magnitude of the two, over the survivors `among`: 0 is a tie.

    Two machines may choose different masks where this is below 1e-5 (float32) or 1e-12 (float64). None if
    nothing was kept or nothing pruned.
    """
    kept, pruned = [], []
    for name, score in scores.items():
        score, keep = score.detach().cpu(), mask.keep[name]
        rest = ~keep if among is None else among.keep[name] & ~keep
        kept += [score[keep].min()] if bool(keep.any()) else []
        pruned += [score[rest].max()] if bool(rest.any()) else []
    if not kept or not pruned:
        return None
    low, high = float(min(kept)), float(max(pruned))
    size = max(abs(low), abs(high))
    return (low - high) / size if size else 0.0


def least_gap(scores: Mapping[str, Tensor], mask: Mask, among: Mask | None = None) -> float | None:
    """The smallest `gap` of a layer, where each was ranked by itself."""
    gaps = [
        gap({name: score}, _layer(mask, name), among and _layer(among, name))
        for name, score in scores.items()
    ]
    return min((value for value in gaps if value is not None), default=None)


def _layer(mask: Mask, name: str) -> Mask:
    return Mask({name: mask.keep[name]})


def zeros(scores: Mapping[str, Tensor], among: Mask | None = None) -> int:
    """How many survivors score exactly 0; the tie rule chooses among them by index."""
    alive = {name: True if among is None else among.keep[name] for name in scores}
    return sum(
        int(((score.detach().cpu() == 0) & alive[name]).count_nonzero()) for name, score in scores.items()
    )


def chosen(
    scores: Mapping[str, Tensor],
    mask: Mask,
    among: Mask | None = None,
    *,
    by_layer: bool = False,
    **notes: Any,
) -> Chosen:
    """The mask with its record: `notes`, and how clear the cut was among the survivors that were ranked, over all
    layers together or within each.
    """
    scores = {name: score.detach().cpu() for name, score in scores.items()}
    measured = (least_gap if by_layer else gap)(scores, mask, among)
    return Chosen(mask, {**notes, "gap": measured, "zeros": zeros(scores, among)}, scores)


# --------------------------------------------------------------------------------------------------- for a ladder


@dataclass(frozen=True)
class Scored:
    """Scores, and the record of how they came about."""

    scores: Scores
    notes: dict[str, Any]

    def choose(self, mask: Mask, among: Mask | None = None) -> Chosen:
        """`mask`, chosen by these scores among the survivors, with its record."""
        return chosen(self.scores, mask, among, **self.notes)


def gradient_scores(
    lab: Lab,
    state: State,
    mask: Mask,
    level: int,
    *,
    batches: int = 1,
    bn: Statistics = "eval",
    precision: Precision = "f64",
    augment: bool = False,
) -> Scored:
    """|dL/dw w| of trained weights on random batches of the training's own size, labels as the training sees them.

    Args:
        lab: where it was trained.
        state: the trained weights of the level before.
        mask: of the level before; weights outside it score 0 and are not to be ranked.
        level: the level to be chosen, from 1; each has batches of its own.
        batches: how many, summed.
        bn: statistics kept by the training, or those of the batch (ShrinkBench).
        precision: f64 on the CPU, or f32 where training runs.
        augment: images augmented as in training.
    """
    net = scoring_net(lab.bench, state, precision=precision, bn=bn)
    samples = [
        random_sample(
            lab.bench,
            lab.seeds,
            count=lab.bench.train.batch,
            number=number,
            precision=precision,
            augment=augment,
        )
        for number in range((level - 1) * batches, level * batches)
    ]
    scores = saliency(net, [batch for sample in samples for batch in sample.batches()], mask)
    notes = {
        "loss": "cross-entropy",
        "bn": bn,
        "precision": precision,
        "samples": indices(samples),
        "rounds": 1,
    }
    return Scored(scores, notes)
