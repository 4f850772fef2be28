"""What a draw method is handed: a way to train, and everything a training starts from.

A draw is a generator that is simply run again after an interruption: `fit` answers from disk for every training that
was finished, goes on in the middle of the one that was not, and the calls before it cost no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import torch

from ticketctl.errors import DivergedError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench, Order, poll
from ticketctl.train.fit import Fit, training_id
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.foreign_code import code_in
from ticketctl.train.hooks import Hooks, overrides
from ticketctl.train.loop import Loop
from ticketctl.train.rank_lab import check_hooks, led
from ticketctl.train.state import State

__all__ = ["Cost", "Fit", "Lab", "Level", "Plan", "Target", "Wish", "training_id"]

USUAL = {"sgd": 0.1, "adam": 0.001}
"""The highest learning rate that is advised, by optimizer: where its trainings usually begin."""


@dataclass(frozen=True)
class Level:
    """One level of a ladder: its mask, the weights it starts from, and its training (None if it has none)."""

    mask: Mask
    start: State
    fit: Fit | None
    role: Literal["init", "rewind", "trained"] | None = None
    """What the start is; none: the initialisation, or the rewind point where the draw has one."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """How the mask was chosen: plain JSON."""
    scores: Mapping[str, torch.Tensor] | None = None
    """What was ranked to choose it, by layer."""
    record: Mapping[str, torch.Tensor] | None = None
    """What the method wrote down on its way, by name: kept in the ticket as it is."""
    search: Fit | None = None
    """The training that found the mask, where `fit` is another that goes on from it; it ends under that mask."""


@dataclass(frozen=True)
class Target:
    """How far to prune: to a density, or by a number of the method's rounds; one of the two."""

    density: Fraction | None = None
    rounds: int | None = None


@dataclass(frozen=True)
class Cost:
    """What a draw takes: all trainings together, in epochs of the training images."""

    trainings: int
    epochs: float
    at_most: bool = False
    """Whether it may end sooner."""


@dataclass(frozen=True)
class Plan:
    """What a method's cost depends on, besides its keys."""

    target: Target
    epochs: int
    """Of one training."""
    rewind: float = 0.0
    """Epochs before the rewind point."""
    restart: bool = False
    """Whether levels run the whole schedule after a rewind."""

    @property
    def skipped(self) -> float:
        """Epochs before the rewind point that levels do not repeat."""
        return 0.0 if self.restart else self.rewind

    @property
    def from_start(self) -> Cost:
        """One training from the point that levels start from, and the dense net's up to that point."""
        return Cost(2 if self.rewind else 1, self.rewind + self.epochs - self.skipped)


def _advice(train: TrainSpec) -> str:
    """What to try after a divergence: a tenth of the rate, and no more than is usual.

    >>> _advice(TrainSpec(epochs=1, lr=0.2))
    'it had train.lr = 0.2; try a lower rate, e.g. --set train.lr=0.02'
    """
    rate = min(train.lr / 10, USUAL[train.optimizer])
    return f"it had train.lr = {train.lr:g}; try a lower rate, e.g. --set train.lr={rate:g}"


def _identity_of(hook: Hooks) -> dict[str, Any]:
    """What the hook says it is, and a digest of its code where that is not ours."""
    return {**hook.identity(), **code_in(type(hook).__module__)}


@dataclass(frozen=True)
class Wish:
    """How a training differs from the recipe's; see `Lab.fit`."""

    until: int | None = None
    train: TrainSpec | None = None
    seeds: Seeds | None = None
    hooks: tuple[Hooks, ...] = ()
    origin: State | None = None
    """What distances are measured from, if not from the start; no bit of the training depends on it."""


@dataclass
class Lab:
    """Trainings by call order, in numbered folders below `folder`."""

    bench: Bench
    seeds: Seeds
    initial: State
    """Weights at initialisation."""
    shapes: Mapping[str, torch.Size]
    """The prunable parameters, in flat order."""
    rewind: int
    """Step whose weights the levels start from."""
    restart: bool
    """After a rewind, run the whole schedule again."""
    keep: tuple[int, ...]
    """Steps at which every training keeps its weights."""
    identity: Mapping[str, Any]
    """What every training here is a function of, besides its own arguments."""
    folder: Path
    head: str | None = None
    """The output layer's weight."""
    inputs: Mapping[str, Mask] = field(default_factory=dict)
    """What the method said it needs, by name: masks of other tickets."""
    calls: int = field(default=0)
    fits: list[Fit] = field(default_factory=list)
    """All trainings so far, for the record of what a draw took."""

    def full(self) -> Mask:
        """The mask that keeps everything."""
        return Mask.full(self.shapes)

    def fit(
        self,
        start: State,
        mask: Mask | None,
        *,
        until: int | None = None,
        train: TrainSpec | None = None,
        seeds: Seeds | None = None,
        hooks: Sequence[Hooks] = (),
        keep: tuple[int, ...] = (),
        title: str = "",
    ) -> Fit:
        """Train from `start` under `mask`.

        Args:
            start: weights, and the step of the schedule at which to begin.
            mask: what is held at zero; None: nothing.
            until: step at which to stop; None: the end of the schedule.
            train: another course than the recipe's, over the same batches.
            seeds: other streams than the draw's.
            hooks: what the method changes in the training.
            keep: steps at which the weights are kept.
            title: what the user sees.

        Raises:
            DivergedError: the loss left the finite numbers; the finite weights before it are kept.
            StoppedError: asked to stop; the same calls go on from here.
        """
        files = FitFiles(self.folder / f"{self.calls:03d}")
        self.calls += 1
        wish = Wish(until, train, seeds, tuple(hooks))
        start.check_finite(title or "a training")
        fit = self.fit_in(files, start, mask, keep=keep, title=title or f"training {self.calls}", wish=wish)
        self.fits.append(fit)
        if fit.diverged:
            raise DivergedError(f"{title}: {fit.why_diverged} ({files.final}); {_advice(self.bench.train)}")
        return fit

    def fit_in(
        self,
        files: FitFiles,
        start: State,
        mask: Mask | None,
        *,
        keep: tuple[int, ...],
        title: str,
        wish: Wish | None = None,
    ) -> Fit:
        """As `fit`, in a folder of the caller's; a training that diverged is returned, flagged."""
        wish = wish or Wish()
        bench, seeds = self._bench(wish), wish.seeds or self.seeds
        if bench.ranks is not None:
            start, mask, files = led(bench.ranks, start, mask, files, [title, *map(_identity_of, wish.hooks)])
            check_hooks(wish.hooks)
        if not any(hook.moves_mask for hook in wish.hooks):
            mask = mask if mask is not None and mask.kept < mask.size else None  # nothing to hold at zero
        key = self.key(start, mask, wish)
        steps = tuple(sorted({*self.keep, *keep}))
        order = Order(start, mask, seeds, steps, key, title, wish.until, wish.hooks, wish.origin)
        found = files.read_record(key)
        if found is None:
            Loop(bench, order, files).run()
            found = files.read_record(key)
        else:
            epochs = bench.train.epochs
            bench.reporter.phase(title, epochs, epochs)
        assert found is not None
        notes, tensors = found
        return Fit(files, key, order, bench.columns, notes, tensors["history"], tensors, bench.train)

    def key(self, start: State, mask: Mask | None, wish: Wish) -> str:
        """Names the training: see `training_id`."""
        return training_id(self._identity(wish), wish.seeds or self.seeds, start, mask)

    def _bench(self, wish: Wish) -> Bench:
        own, train = self.bench.train, wish.train or self.bench.train
        for hook in wish.hooks:
            train = hook.plan(train)
        if (train.batch, train.drop_last, train.precision) != (own.batch, own.drop_last, own.precision):
            raise ValueError("another course has the same batches and precision as the recipe's")
        objective = any(overrides(hook, "loss") for hook in wish.hooks)
        return replace(self.bench, train=train, objective=objective)

    def _identity(self, wish: Wish) -> dict[str, Any]:
        """What a training is a function of; what is not wished for leaves no trace, so old ids stay."""
        found = dict(self.identity)
        if wish.train is not None and wish.train != self.bench.train:
            found["train"] = wish.train.model_dump(mode="json")
        if wish.until is not None:
            found["until"] = wish.until
        if wish.hooks:
            found["hooks"] = [_identity_of(hook) for hook in wish.hooks]
        return found

    def poll(self) -> None:
        """For long work between trainings.

        Raises:
            StoppedError: somebody asked to stop.
        """
        poll(self.bench.stop)

    def note(self, text: str) -> None:
        """One line for the user."""
        self.bench.reporter.note(text)

    def start_point(self) -> State:
        """What levels start from, for a method that needs no trained dense net: it is trained to there, no further."""
        if not self.rewind:
            return self.initial
        fit = self.fit(self.initial, None, until=self.rewind, title="the dense net, to the rewind point")
        return State(fit.end().weights, 0 if self.restart else self.rewind)

    def rewound(self, dense: Fit) -> State:
        """The state that every level starts from, on the schedule where the recipe wants it."""
        state = dense.state(self.rewind) if self.rewind else self.initial
        return State(state.weights, 0 if self.restart else self.rewind)
