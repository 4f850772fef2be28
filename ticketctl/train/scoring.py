"""A net and images to score weights with, apart from those that train: scoring leaves no trace on a bench.

The net is a copy that holds a given state, in float64 on the CPU (scores that hardly depend on the machine) or in
float32 on the device that trains. The images are chosen by a seeded permutation of the training split and brought
into the form that training sees them in; their indices are returned, so that a mask can be disputed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ticketctl.nets.build import initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.feed import Feed
from ticketctl.train.state import State

Precision = Literal["f64", "f32"]
Statistics = Literal["eval", "train"]
Batch = tuple[Tensor, Tensor]
"""Inputs [B, C, H, W] and labels int64 [B], where the net lies and in its precision."""

CHUNK = 256
"""Images in one batch at most; more are split (Synaptic-Flow)."""

_DTYPES = {"f64": torch.float64, "f32": torch.float32}


def dtype_of(precision: Precision) -> torch.dtype:
    """The torch type of a precision's name."""
    return _DTYPES[precision]


def device_of(bench: Bench, precision: Precision) -> torch.device:
    """Where scores are computed: float64 on the CPU, float32 where the bench trains."""
    return torch.device("cpu") if precision == "f64" else bench.place.device


def scoring_net(
    bench: Bench, state: State, *, precision: Precision = "f64", bn: Statistics = "eval"
) -> nn.Module:
    """A copy of the bench's net with the weights and buffers of `state`; see `set_mode_` for `bn`.

    It shares no memory with the bench's net, has no gradients and needs none.
    """
    net = copy.deepcopy(bench.model)  # parameters are copied without their gradients
    net.requires_grad_(False).to(device_of(bench, precision), dtype_of(precision))
    state.load_into(net)
    return set_mode_(net, bn)


def set_mode_(net: nn.Module, bn: Statistics) -> nn.Module:
    """Evaluation mode; with "train", normalisation layers alone use the statistics of the batch.

    Dropout never drops: it would need a global random state.
    """
    net.eval()
    for module in net.modules():
        if isinstance(module, _NormBase):
            module.train(bn == "train")
    return net


@torch.no_grad()
def redraw_(net: nn.Module, seeds: Seeds, *, scheme: str, kinds: tuple[type[nn.Module], ...]) -> nn.Module:
    """Fill the weights of the layers of `kinds` anew, by another sample than the one that trains; biases stay.

    Raises:
        UsageError: no such scheme.
    """
    for path, module in net.named_modules():
        if isinstance(module, kinds):
            fresh = copy.deepcopy(module)
            initialise_(fresh, scheme, Seeds(seeds.key("draw", "redraw", path)))
            module.get_parameter("weight").copy_(fresh.get_parameter("weight"))
    return net


# ------------------------------------------------------------------------------------------------------- images


@dataclass(frozen=True)
class Sample:
    """Images to score with."""

    index: tuple[int, ...]
    """Their indices in the training split, in the order of `inputs`."""
    inputs: Tensor
    labels: Tensor

    def batches(self, chunk: int = CHUNK) -> list[Batch]:
        """Consecutive batches of nearly equal size, none larger than `chunk`."""
        return split(self.inputs, self.labels, chunk)

    def by_class(self) -> Sample:
        """The same images, sorted by class; within a class the order stays."""
        order = self.labels.argsort(stable=True)
        index = tuple(self.index[place] for place in order.tolist())
        return Sample(index, self.inputs[order], self.labels[order])

    def halves(self) -> tuple[Sample, Sample]:
        """The first N // 2 images, and the others."""
        cut = len(self.index) // 2
        return (
            Sample(self.index[:cut], self.inputs[:cut], self.labels[:cut]),
            Sample(self.index[cut:], self.inputs[cut:], self.labels[cut:]),
        )


def split(inputs: Tensor, labels: Tensor, chunk: int) -> list[Batch]:
    """Batches of nearly equal size, none larger than `chunk`: no image weighs much more than another, and no
    batch is left with a single one, which has no statistics.
    """
    parts = max(1, -(-len(labels) // chunk))
    return list(zip(inputs.tensor_split(parts), labels.tensor_split(parts), strict=True))


def balanced_sample(
    bench: Bench,
    seeds: Seeds,
    *,
    per_class: int,
    number: int = 0,
    precision: Precision,
    augment: bool = False,
) -> Sample:
    """The first `per_class` images of each class in permutation `number` of the training split, in its order.

    A class with fewer images gives all it has. Un-augmented, or with `augment` as they look in epoch `number`.
    """
    labels = bench.feed.images.labels.cpu().numpy()
    order = seeds.order("draw", "samples", number, count=len(labels))
    return _sample(bench, seeds, first_of_each(labels, order, per_class), number, precision, augment)


def random_sample(
    bench: Bench, seeds: Seeds, *, count: int, number: int, precision: Precision, augment: bool = False
) -> Sample:
    """The first `count` images of permutation `number` of the training split, whatever their classes."""
    order = seeds.order("draw", "samples", number, count=len(bench.feed.images))
    return _sample(bench, seeds, order[:count], number, precision, augment)


def first_of_each(labels: NDArray[np.int64], order: NDArray[np.int64], per_class: int) -> NDArray[np.int64]:
    """The entries of `order` that are among the first `per_class` of their class, in the order they come."""
    sorted_by_class = np.argsort(labels[order], kind="stable")
    counts = np.bincount(labels)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.sort(sorted_by_class[rank < per_class])]


def _sample(
    bench: Bench, seeds: Seeds, index: NDArray[np.int64], epoch: int, precision: Precision, augment: bool
) -> Sample:
    feed, device = bench.feed, device_of(bench, precision)
    places = torch.from_numpy(index).to(feed.images.labels.device)
    inputs, labels = _augmented(feed, seeds, epoch, places) if augment else _plain(feed, places)
    return Sample(tuple(index.tolist()), inputs.to(device, dtype_of(precision)), labels.to(device))


def _plain(feed: Feed, places: Tensor) -> Batch:
    return feed.images.scaling(feed.images.take(places)), feed.images.labels.index_select(0, places)


def _augmented(feed: Feed, seeds: Seeds, epoch: int, places: Tensor) -> Batch:
    """By a twin of the feed, so that what augmentation means is said once; it shares the images alone."""
    twin = copy.copy(feed)
    for table in ("order", "flip", "down", "right", "corner"):  # an epoch is written into these
        setattr(twin, table, getattr(feed, table).clone())
    twin.begin_epoch(seeds, epoch)
    inputs, labels, _ = twin.gather(places)
    return inputs, labels


def indices(samples: Sequence[Sample]) -> list[int]:
    """The indices of all samples, in the order they were used, for the record."""
    return [place for sample in samples for place in sample.index]
