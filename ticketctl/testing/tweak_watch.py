"""Looking over a tweak's shoulder: what it is handed, what it makes of it, and the pruned weights at every step."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ticketctl.masks.mask import Mask
from ticketctl.testing.watch import bits, changed, mask_bits, net_state, process_state, replaced
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.train.machine import Machine
from ticketctl.train.stepper import ReadEach


@dataclass(frozen=True)
class Made:
    """One call of the module's `tweak`."""

    kit: Kit
    params: Any
    hook: Hooks
    said: str
    """Its identity then, as JSON."""
    held: dict[str, Any]
    """What it was handed, as it was then."""


@dataclass
class Attendance:
    """What was seen of a tweak during a spend."""

    mask: Mask | None
    """What is to be zero; none: what the training itself holds at zero."""
    made: list[Made] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    """What it changed that is not its own."""
    leaks: list[str] = field(default_factory=list)
    """Where pruned weights were not zero."""
    warned: list[str] = field(default_factory=list)
    steps: int = 0
    """That it took part in."""

    @property
    def last(self) -> Made:
        """What took part in the training: earlier ones were only tried on."""
        return self.made[-1]

    def looked_at(self, machine: Machine, when: str) -> None:
        """Compare the net with the mask."""
        for name, keep in _keeps(self.mask, machine).items():
            weight = machine.model.get_parameter(name).detach()
            wrong = int(((weight != 0) & ~keep).count_nonzero())
            if wrong:
                self.leaks.append(f"{when}: {wrong} pruned weights of {name} are not 0")

    def takes_part(self, machine: Machine) -> bool:
        """Whether this training has a hook of the tweak's."""
        return any(made.hook is hook for made in self.made for hook in machine.hooks)


def _keeps(mask: Mask | None, machine: Machine) -> dict[str, Tensor]:
    if mask is not None:
        return dict(mask.keep)
    binding = machine.binding
    return (
        {name: held != 0 for name, held in zip(binding.names, binding.masks, strict=True)} if binding else {}
    )


@contextmanager
def attended(module: ModuleType, mask: Mask | None) -> Iterator[Attendance]:
    """Watch the tweak of `module` for a while.

    Args:
        module: the plug-in.
        mask: what must be zero in every pass and after every step of a training that it takes part in.
    """
    seen = Attendance(mask)
    before = process_state()
    steps = replaced(ReadEach, take=_taking(ReadEach.take, seen))
    passes = replaced(Machine, again=_again(Machine.again, seen), gradients=_first(Machine.gradients, seen))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with replaced(module, tweak=_making(module.tweak, seen)), steps, passes:
            yield seen
    seen.warned += [f"{each.category.__name__}: {each.message}" for each in warned]
    seen.traces += [f"{name} has changed" for name in changed(before, process_state())]
    for made in seen.made[-1:]:  # earlier ones were tried on with a stand-in for the teacher
        seen.traces += [f"{name} has changed" for name in changed(made.held, held(made.kit))]
        if _said(made.hook) != made.said:
            seen.traces.append(f"its identity has changed from {made.said} to {_said(made.hook)}")


def held(kit: Kit) -> dict[str, Any]:
    """What a tweak is lent, by what a message calls it."""
    found: dict[str, Any] = {}
    if kit.mask is not None:
        found |= {f"{name} of kit.mask": value for name, value in mask_bits(kit.mask).items()}
    if kit.teacher is not None:
        found |= {f"{name} (kit.teacher)": value for name, value in net_state(kit.teacher.net).items()}
    for each in kit.levels:
        own = {**mask_bits(each.mask), **{f"weights of {k}": v for k, v in bits(each.state.weights).items()}}
        found |= {f"{name} of level {each.level} of kit.levels": value for name, value in own.items()}
    return found


def _said(hook: Hooks) -> str:
    return json.dumps(hook.identity(), default=repr)


def _making(tweak: Callable[..., Hooks], seen: Attendance) -> Callable[..., Hooks]:
    def made(kit: Kit, *, params: Any) -> Hooks:
        plain, lent = _plain(kit.bench.model), held(kit)
        hook = tweak(kit, params=params)
        names = changed(plain, _plain(kit.bench.model))
        seen.traces += [f"tweak() has changed {name}: leave that to Hooks.model" for name in names]
        seen.made.append(Made(kit, params, hook, _said(hook), lent))
        return hook

    return made


def _plain(net: nn.Module) -> dict[str, Any]:
    kinds = {f"the layer {path or 'itself'}": type(module) for path, module in net.named_modules()}
    return {**net_state(net), **kinds}


def _taking(take: Callable[..., bool], seen: Attendance) -> Callable[..., bool]:
    def taken(self: ReadEach, position: int, rate: float, course: Course) -> bool:
        done = take(self, position, rate, course)
        if seen.takes_part(self.machine):
            seen.steps += 1
            seen.looked_at(self.machine, f"after step {course.step}")
        return done

    return taken


def _first(gradients: Callable[..., Any], seen: Attendance) -> Callable[..., Any]:
    def first(self: Machine, batch: Any) -> Any:
        if seen.takes_part(self):
            seen.looked_at(self, "when a step begins")
        return gradients(self, batch)

    return first


def _again(again: Callable[..., Tensor], seen: Attendance) -> Callable[..., Tensor]:
    def once_more(self: Machine) -> Tensor:
        if seen.takes_part(self):
            with torch.no_grad():
                seen.looked_at(self, "in a second pass")
        return again(self)

    return once_more
