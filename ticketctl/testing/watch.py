"""A lab that notices what a method leaves behind: on the net that trains, in the random states, on the screen."""

from __future__ import annotations

import contextlib
import io
import os
import random  # noqa: TID251  # looked at, not used
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import nn

from ticketctl.masks.mask import Mask
from ticketctl.train.lab import Fit, Lab
from ticketctl.train.state import State

E = TypeVar("E", bound=Exception)


def bits(weights: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The bytes of each tensor."""
    return {name: value.detach().cpu().contiguous().numpy().tobytes() for name, value in weights.items()}


def mask_bits(mask: Mask) -> dict[str, bytes]:
    """The bytes of each layer's mask."""
    return bits(mask.keep)


def process_state() -> dict[str, Any]:
    """What all code of a process shares, by what a message calls it."""
    kind, words, *rest = np.random.get_state()
    return {
        "torch's random state": torch.random.get_rng_state().numpy().tobytes(),
        "numpy's random state": (kind, np.asarray(words).tobytes(), *rest),
        "Python's random state": random.getstate(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }


def net_state(net: nn.Module) -> dict[str, Any]:
    """Values, modes, gradients of a net, by what a message calls them."""
    found: dict[str, Any] = {f"{name} of the net": value for name, value in bits(net.state_dict()).items()}
    found |= {
        f"training mode of {path or 'the net'}": module.training for path, module in net.named_modules()
    }
    for name, weight in net.named_parameters():
        found[f"requires_grad of {name}"] = weight.requires_grad
        found[f"the gradient of {name}"] = None if weight.grad is None else bits({"": weight.grad})
    return found


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not as it was."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


@dataclass
class Watched(Lab):
    """The lab, which compares the net and the process between trainings."""

    traces: list[str] = field(default_factory=list)
    """What a method changed, and when."""
    poison: str = ""
    """A weight whose first value is NaN in all that trainings give back."""
    then: dict[str, Any] = field(default_factory=dict)
    training: bool = False
    """Whether a training is under way, or was when it failed."""

    @classmethod
    def around(cls, lab: Lab, *, poison: str = "") -> Self:
        """The same lab, watched from now on."""
        found = cls(**{part.name: getattr(lab, part.name) for part in fields(lab)}, poison=poison)
        found.then = found.now()
        return found

    def now(self) -> dict[str, Any]:
        """What is to stay as it is while nothing is trained."""
        given = {f"{name} of lab.initial": value for name, value in bits(self.initial.weights).items()}
        for need, mask in self.inputs.items():
            given |= {f"{name} of lab.inputs[{need!r}]": value for name, value in mask_bits(mask).items()}
        return {**process_state(), **net_state(self.bench.model), **given}

    def look(self, when: str) -> None:
        """Note what is not as it was."""
        self.traces += [f"{when}: {name} has changed" for name in changed(self.then, self.now())]

    def fit(self, start: State, mask: Mask | None, **wish: Any) -> Fit:
        """As the lab's."""
        self.look(f"before training {self.calls + 1}")
        self.training = True
        fit = super().fit(start, mask, **wish)
        self.training = False
        self.then = self.now()
        if not self.poison:
            return fit
        parts = {part.name: getattr(fit, part.name) for part in fields(fit)}
        return Poisoned(**parts, poison=self.poison)


@dataclass(frozen=True)
class Poisoned(Fit):
    """A training of whose weights one came out as NaN."""

    poison: str = ""

    def end(self) -> State:
        """The last weights, with a NaN among them."""
        state = super().end()
        return State(_poisoned(state.weights, self.poison), state.step)

    def hook(self, number: int) -> dict[str, torch.Tensor]:
        """What hook `number` held, likewise."""
        return _poisoned(super().hook(number), self.poison)


def _poisoned(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {
        key: with_nan(value) if key.endswith(name) and value.is_floating_point() else value
        for key, value in tensors.items()
    }


def with_nan(value: torch.Tensor) -> torch.Tensor:
    """A copy whose first value is NaN."""
    copy = value.clone()
    copy.view(-1)[0] = torch.nan
    return copy


def refusal(kind: type[E], work: Callable[[], object]) -> E | None:
    """The error of this kind with which `work` ends, or None if it does not."""
    try:
        work()
    except kind as error:
        return error
    return None


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Collects what is printed, by Python or below it."""
    heard: list[str] = []
    text = io.StringIO()
    with tempfile.TemporaryFile() as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(file.fileno(), number)
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                yield heard
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
        file.seek(0)
        heard += [piece for piece in (text.getvalue(), file.read().decode(errors="replace")) if piece]


@contextlib.contextmanager
def replaced(owner: Any, **values: Any) -> Iterator[None]:
    """Attributes of `owner` that are others for a while."""
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
