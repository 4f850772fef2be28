"""Nets on the straight path between two nets: which images each answers right, and its mean loss.

Weights at place i of 0 .. n are w1 + (i/n) (w2 - w1): both ends are exactly themselves, equal ends give equal nets all
along, and a path has the same bits from its other end. A weight that both ends lack stays 0: the path of two masked
nets lies on the union of their masks. Integer buffers (`num_batches_tracked`) are the nearer end's, never mixed.

A Linear layer that reads the images themselves is linear in the place, so all places share its two products at the
ends: of LeNet-300-100's work that is nine tenths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.errors import UsageError
from ticketctl.train.evaluate import BATCH
from ticketctl.train.feed import Images
from ticketctl.train.first_layer import Layer, Shared, between, first_layer
from ticketctl.train.predict import batch_on, right_of
from ticketctl.train.recalibrate import recalibrate, spread
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End

Policy = Literal["recalibrate", "interpolate", "stored", "batch"]
"""Where BatchNorm's statistics come from between two nets.

`recalibrate`: set anew at every place, both ends included. `interpolate`: mixed as weights are. `stored`: the first
net's at every place, the other end included, as where code mixes parameters alone. `batch`: of each batch of 500.
"""
Ask = Callable[[int, int], Tensor]
"""Number of a batch and place to logits [n, K]."""

WORK = 1 << 40
"""Multiplications behind a shared layer that one walk takes at most: some ten seconds of a CPU core."""
SHARED_FROM = 3
"""Places from which two products are fewer than one for each."""
HELD = 64 << 20
"""Bytes of images and shared products that are held at once."""


@dataclass(frozen=True)
class Norms:
    """What becomes of BatchNorm's statistics, and over which images they are set anew."""

    policy: Policy
    images: Images
    """For `recalibrate`: unaugmented, in order."""
    count: int | None = None
    """How many of them, evenly spaced; None: all."""
    exact: bool = False
    """Pooled over all images, rather than a mean over batches."""


@dataclass(frozen=True)
class Seen:
    """What the nets at A places said to N images."""

    right: NDArray[np.bool_]
    """[A, N]; an answer with a logit that is NaN or infinite is wrong."""
    loss: NDArray[np.float64]
    """[A], mean cross-entropies, the softmax in float64; inf or NaN where a net's answers are."""


def walk(
    specimen: Specimen,
    ends: tuple[End, End],
    places: Sequence[int],
    last: int,
    *,
    sets: Mapping[str, Images],
    norms: Norms,
    shared: bool = False,
) -> dict[str, Seen]:
    """Answers of the nets at `places` of 0 .. `last`, 0 being the first end, to each set of images.

    The specimen's net stands in for them, and is as it was when this returns or raises. With `shared` the products of a
    first Linear layer are shared, if there is one: the same for all places of a path, as it moves their last bits.

    Raises:
        UsageError: the ends are not of the net's architecture, BatchNorm is to see more images than there are, or a set
            has none.
    """
    model = specimen.model
    empty = next((name for name, images in sets.items() if not len(images)), None)
    if empty is not None:
        raise UsageError(f"there are no {empty} images to ask the nets of a path about; name another set")
    with torch.no_grad(), left_as_found(model), _of_batches(model, norms.policy == "batch"):
        return _Road(specimen, ends, last, norms).answers(list(places), sets, shared)


def together(specimen: Specimen, images: int, places: int) -> int:
    """How many of a path's places a walk over so many `images` had best take at once; 1: nothing is to be shared."""
    layer = _layer(specimen, specimen.images["train"])
    if layer is None:
        return 1
    behind = sum(v.numel() for name, v in specimen.model.named_parameters() if name != layer.weight)
    most = min(places, WORK // max(1, behind * images))
    return most if most >= SHARED_FROM else 1


def same_as(policy: Policy, model: nn.Module) -> Policy:
    """A policy that does the same to this net: `interpolate` where nothing in it has running statistics."""
    if policy == "stored":
        return policy if any(value.is_floating_point() for value in model.buffers()) else "interpolate"
    return policy if norms_of(model) else "interpolate"


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """Its BatchNorm layers with running statistics."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


def state_of(end: End, model: nn.Module) -> dict[str, Tensor]:
    """An end's weights and buffers by name, on the net's device, pruned weights 0.

    Raises:
        UsageError: a tensor of the net is missing there, or has another shape.
    """
    found = {}
    keeps = {} if end.mask is None else end.mask.keep
    for name, own in model.state_dict().items():
        value = end.state.weights.get(name)
        if value is None or value.shape != own.shape:
            what = "is missing" if value is None else f"is {tuple(value.shape)}, not {tuple(own.shape)}"
            raise UsageError(f"net {end.name}: {name!r} {what}; the ends of a path are of one architecture")
        found[name] = (value.masked_fill(~keeps[name], 0) if name in keeps else value).to(own.device)
    return found


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; weights, buffers and modes are as before when it ends."""
    kept = State({name: value.detach().clone() for name, value in model.state_dict().items()})
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        kept.load_into(model)
        for module, mode in modes:
            module.training = mode


@contextmanager
def _of_batches(model: nn.Module, wanted: bool) -> Iterator[None]:
    """BatchNorm layers normalise by the batch they are given, and write nothing down."""
    changed = [(norm, norm.training, norm.track_running_stats) for norm in norms_of(model) if wanted]
    for norm, _, _ in changed:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, mode, tracked in changed:
            norm.training, norm.track_running_stats = mode, tracked


class _Road:
    """Two ends, and a net to stand at the places between."""

    def __init__(self, specimen: Specimen, ends: tuple[End, End], last: int, norms: Norms) -> None:
        self.specimen, self.model, self.last, self.norms = specimen, specimen.model, last, norms
        self.ends = state_of(ends[0], self.model), state_of(ends[1], self.model)
        self.own = self.model.state_dict()
        weights = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        self.buffers = [name for name in self.own if name not in weights]

    def answers(self, places: list[int], sets: Mapping[str, Images], shared: bool) -> dict[str, Seen]:
        """See `walk`."""
        states = {place: self._state(place) for place in places}
        found = {}
        for name, images in sets.items():
            right = np.zeros((len(places), len(images)), dtype=bool)
            losses = np.zeros(len(places))
            for group, ask in self._groups(images, shared):
                for number, place in enumerate(places):
                    self._stand(place, states[place])
                    for which, rows in enumerate(group):
                        self.specimen.poll()
                        right[number, rows], loss = scored(ask(which, place), images.labels[rows])
                        losses[number] += loss
            found[name] = Seen(right, losses / len(images))
        return found

    def _groups(self, images: Images, shared: bool) -> Iterator[tuple[list[slice], Ask]]:
        """Batches that are answered at one place before the net goes on to the next."""
        layer = _layer(self.specimen, images) if shared else None
        wide = layer is not None or self.norms.policy == "batch"
        size = BATCH if wide else batch_on(self.specimen.device)
        batches = (spread if self.norms.policy == "batch" else cut)(len(images), size)
        if layer is None:
            yield batches, lambda number, _: self.model(_inputs(images, batches[number]))
            return
        each = max(1, HELD // (4 * BATCH * (layer.inputs + 3 * layer.outputs)))
        for start in range(0, len(batches), each):
            group = batches[start : start + each]
            inputs = [_inputs(images, rows).contiguous() for rows in group]
            yield group, Shared(self.model, layer, inputs, self.ends, self.last).ask

    def _stand(self, place: int, buffers: Mapping[str, Tensor]) -> None:
        """The net becomes the one at `place`."""
        for name, own in self.own.items():
            own.copy_(buffers[name] if name in buffers else between(*self._both(name), place, self.last))

    def _state(self, place: int) -> dict[str, Tensor]:
        """Its buffers, by the policy."""
        if self.norms.policy == "stored":
            return {name: self.ends[0][name] for name in self.buffers}
        mixed = {name: self._mixed(name, place) for name in self.buffers}
        if self.norms.policy != "recalibrate":
            return mixed
        self._stand(place, mixed)
        over = self.norms
        recalibrate(self.model, over.images, count=over.count, exact=over.exact, poll=self.specimen.poll)
        return {name: self.own[name].clone() for name in self.buffers}

    def _mixed(self, name: str, place: int) -> Tensor:
        first, second = self._both(name)
        if first.is_floating_point():
            return between(first, second, place, self.last)
        return first if 2 * place <= self.last else second

    def _both(self, name: str) -> tuple[Tensor, Tensor]:
        return self.ends[0][name], self.ends[1][name]


def cut(count: int, size: int) -> list[slice]:
    """Batches of `size` out of `count` images; a last one of a single image joins the one before it.

    A BatchNorm layer that takes the statistics of its batch needs two.
    """
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in pairwise([*starts, count])]


def scored(logits: Tensor, labels: Tensor) -> tuple[NDArray[np.bool_], float]:
    """Which answers [n, K] are right, bool [n], and the sum of the cross-entropies."""
    loss = nn.functional.cross_entropy(logits.double(), labels, reduction="sum")
    return right_of(logits, labels).cpu().numpy(), float(loss)


def _inputs(images: Images, rows: slice) -> Tensor:
    if rows.step is None:
        return images.batch(rows.start, rows.stop)[0]
    return images.scaling(images.take(torch.arange(len(images), device=images.labels.device)[rows]))


def _layer(specimen: Specimen, images: Images) -> Layer | None:
    return first_layer(specimen.model, _inputs(images, slice(0, 2)).contiguous())
