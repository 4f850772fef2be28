"""The training of `art`'s first two phases, as hooks: the regulariser, the pruned copy, the stop rule, the record.

What stays in the training's record, by name:

    accuracy       float64 [E2, 2]: pruned and dense, as the stop rule saw them, per regularised epoch
    right.pruned   uint8 [E, ceil(N/8)]: what the pruned copy gets right of the N training images after each epoch,
                   pre-training included; packed bits, little bit order, not augmented, eval mode
    right.dense    uint8 [E1, ceil(N/8)]: the same of the dense net, over the epochs of pre-training (over all epochs
                   where the stop rule looks at it)
    masks.deflate  uint8: the k largest |w| after each epoch as bits over the prunable weights in flat order, packed
                   little bit order, each deflated; `masks_of` reads them
    masks.ends     int64 [E]: where each of them ends
    overlap        int64 [E, L]: kept weights that the final mask keeps too, by layer
    best.<name>    weights and buffers of the chosen epoch
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.draws._regularisers import Regulariser, gradient, laid_out, shaped_like
from ticketctl.draws._stop import Rule, Watch, watched
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.train.course import Course
from ticketctl.train.evaluate import answers
from ticketctl.train.hooks import Hooks
from ticketctl.train.state import State

Accuracies = Literal["training", "plain"]
_NEVER = 1 << 62


@dataclass(frozen=True)
class Shrinking:
    """What phases 1 and 2 are a function of, besides the recipe."""

    regulariser: Regulariser
    kept: int
    """Weights that the pruned copy keeps."""
    rank: int
    """Place of w_kappa in ascending order, from 0."""
    pretrain: int
    """Epochs without the regulariser."""
    lambda_init: float
    eta: float
    half: int
    """The window is 2 half + 1 epochs."""
    rule: Rule
    accuracies: Accuracies
    record: bool

    def strength(self, epoch: int) -> float:
        """lambda in `epoch` of the whole training, from 0; 0 in phase 1."""
        late = epoch - self.pretrain
        return self.lambda_init * self.eta**late if late >= 0 else 0.0


@dataclass(frozen=True)
class _Seen:
    """Bool [N] of right answers on plain images where they were asked for, and the accuracies of the stop rule."""

    pruned: Tensor | None
    dense: Tensor | None
    accuracy: tuple[float, float] | None


class Shrink(Hooks):
    """Adds the regulariser's gradient from epoch `pretrain` on, and ends the training by the stop rule."""

    def __init__(self, names: Iterable[str], how: Shrinking) -> None:
        self.names, self.how = tuple(names), how
        self.accuracy: list[tuple[float, float]] = []
        self.right: dict[str, list[NDArray[np.uint8]]] = {"pruned": [], "dense": []}
        self.masks: list[bytes] = []
        self.watch = Watch(how.half, how.rule)
        self.window: list[Mapping[str, Tensor]] = []
        self.best: Mapping[str, Tensor] = {}
        self.overlap: Tensor | None = None

    def identity(self) -> dict[str, Any]:
        """As the base says."""
        return {"hook": "art", **asdict(self.how)}

    def start(self, loop: Course) -> None:
        """As the base says."""
        parameters = loop.parameters
        self.weights = {name: parameters[name] for name in self.names}
        self._set_cadence(loop)

    def _set_cadence(self, loop: Course) -> None:
        """Nothing is to be done at the steps of phase 1, which can then be captured as a graph."""
        self.every = 1 if loop.epochs_done >= self.how.pretrain else _NEVER

    def grads(self, loop: Course) -> bool:
        """Add lambda dL/dw."""
        weights = list(self.weights.values())
        slopes = gradient(self.how.regulariser, laid_out(weights), self.how.rank)
        sums = [weight.grad for weight in weights if weight.grad is not None]
        assert len(sums) == len(weights)
        strength = self.how.strength(loop.epochs_done)
        torch._foreach_add_(sums, shaped_like(slopes, weights), alpha=strength)
        return True

    # -------------------------------------------------------------------------------------------- after each epoch

    def epoch(self, loop: Course) -> bool:
        """Look at the pruned copy, and ask the stop rule; only what follows the looking changes any state."""
        mask = top({name: weight.detach().abs() for name, weight in self.weights.items()}, self.how.kept)
        seen = self._look(loop, mask)
        if self.how.record:
            self.masks.append(_deflated(mask))
            for name, right in (("pruned", seen.pruned), ("dense", seen.dense)):
                if right is not None:
                    self.right[name].append(np.packbits(right.cpu().numpy(), bitorder="little"))
        if seen.accuracy is not None:
            self.accuracy.append(seen.accuracy)
            self._judge(seen.accuracy, State.of(loop.model, loop.step).weights)
        self._set_cadence(loop)
        return self.watch.ended

    def _look(self, loop: Course, mask: Mask) -> _Seen:
        how, judged = self.how, loop.epochs_done > self.how.pretrain
        plain = how.accuracies == "plain"
        as_shown = judged and not plain and loop.feed.augments
        pruned = dense = shown = None
        with _pruned(self.weights, mask):
            if how.record or (judged and not as_shown):
                pruned = answers(loop.model, loop.feed.images, loop.poll)[1]
            if as_shown:
                shown = _share_right(_as_shown(loop))
        if (how.record and not judged) or (judged and plain):
            dense = answers(loop.model, loop.feed.images, loop.poll)[1]
        if not judged:
            return _Seen(pruned, dense, None)
        mine = shown if shown is not None else _share(pruned)
        return _Seen(pruned, dense, (mine, _share(dense) if plain else loop.train_accuracy))

    def _judge(self, accuracy: tuple[float, float], weights: Mapping[str, Tensor]) -> None:
        """The window holds the nets of the last half + 1 epochs: the middle epoch's is the oldest of them."""
        before, self.watch = self.watch.chosen, self.watch.see(*accuracy)
        self.window = [*self.window, weights][-(self.how.half + 1) :]
        if self.watch.chosen is not None and self.watch.chosen != before:
            self.best = self.window[self.watch.chosen - self.watch.epochs]

    def finish(self, loop: Course) -> None:
        """Compare all masks with the final one, and let go of what only later epochs would need."""
        self.window = []
        if not self.best or not self.masks:
            return
        final = top({name: self.best[name].abs() for name in self.names}, self.how.kept)
        rows = [_overlap(bits, final) for bits in masks_of(self.state(), final.size)]
        self.overlap = torch.tensor(rows, dtype=torch.int64)

    # ------------------------------------------------------------------------------------------------- persistence

    def state(self) -> dict[str, Tensor]:
        """As the module says; while it runs also `window.<i>.<name>`, the nets of the newest epochs."""
        found = {"accuracy": torch.tensor(self.accuracy, dtype=torch.float64).reshape(-1, 2)}
        found |= {f"best.{name}": value for name, value in self.best.items()}
        for place, weights in enumerate(self.window):
            found |= {f"window.{place}.{name}": value for name, value in weights.items()}
        if self.how.record:
            found |= {f"right.{name}": _stacked(rows) for name, rows in self.right.items()}
            found["masks.deflate"] = _bytes(b"".join(self.masks))
            found["masks.ends"] = torch.tensor([len(mask) for mask in self.masks], dtype=torch.int64).cumsum(
                0
            )
        return found if self.overlap is None else {**found, "overlap": self.overlap}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As the base says."""
        self.accuracy = [(pruned, dense) for pruned, dense in tensors["accuracy"].tolist()]
        self.watch = watched(self.accuracy, half=self.how.half, rule=self.how.rule)
        self.best = under(tensors, "best.")
        places = (under(tensors, f"window.{place}.") for place in range(self.how.half + 1))
        self.window = [weights for weights in places if weights]
        if self.how.record:
            self.right = {name: list(tensors[f"right.{name}"].numpy()) for name in self.right}
            self.masks = list(_cut(tensors))


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def masks_of(tensors: Mapping[str, Tensor], size: int) -> Iterator[NDArray[np.bool_]]:
    """The mask after each epoch, bool [size] over the prunable weights in flat order."""
    for packed in _cut(tensors):
        bits = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
        yield np.unpackbits(bits, count=size, bitorder="little").view(np.bool_)


def _cut(tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    data, begin = tensors["masks.deflate"].numpy().tobytes(), 0
    for end in tensors["masks.ends"].tolist():
        yield data[begin:end]
        begin = end


def _deflated(mask: Mask) -> bytes:
    """A tenth of all weights takes about half a bit per weight, a five-hundredth a fortieth."""
    bits = np.concatenate([keep.numpy().reshape(-1) for keep in mask.keep.values()])
    return zlib.compress(np.packbits(bits, bitorder="little").tobytes())


def _overlap(bits: NDArray[np.bool_], final: Mask) -> list[int]:
    pieces = torch.from_numpy(bits).split([keep.numel() for keep in final.keep.values()])
    return [
        int((piece & keep.reshape(-1)).sum()) for piece, keep in zip(pieces, final.keep.values(), strict=True)
    ]


def _stacked(rows: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros((0, 0), dtype=torch.uint8)


def _bytes(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


@contextmanager
def _pruned(weights: Mapping[str, nn.Parameter], mask: Mask) -> Iterator[None]:
    """The net under `mask` for a while; then the very bits it had before."""
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(mask.keep[name].to(weight.device))
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(before[name])


def _as_shown(loop: Course) -> Iterator[Tensor]:
    """Right answers, batch by batch, on the images as this epoch augmented and showed them; eval mode."""
    model = loop.model.eval()
    try:
        with torch.no_grad():
            for position in range(loop.steps_per_epoch):
                loop.poll()
                inputs, labels, _ = loop.feed.batch(position)
                yield model(inputs).float().argmax(1) == labels
    finally:
        model.train()


def _share_right(batches: Iterable[Tensor]) -> float:
    return _share(torch.cat(list(batches)))


def _share(right: Tensor | None) -> float:
    """Accuracy in [0, 1]: whole numbers divided, the same bits everywhere."""
    assert right is not None
    return int(right.sum()) / len(right)
