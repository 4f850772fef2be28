"""What a tweak is handed, and a bench whose net it has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.hooks import Hooks
from ticketctl.train.state import State

ADDED = "tweak."
"""How the names of weights begin that a tweak adds."""


@dataclass(frozen=True)
class Teacher:
    """A trained net to learn from: in evaluation mode, frozen, on the device, channels last."""

    net: nn.Module
    digest: str
    """Of its weights."""


@dataclass(frozen=True)
class Trained:
    """A level of the ticket's ladder, as the draw trained it."""

    level: int
    mask: Mask
    state: State


@dataclass(frozen=True)
class Kit:
    """What a tweak may look at; what it did not ask for in `NEEDS` is empty."""

    bench: Bench
    """The data, the device, and the net, which no tweak has changed yet."""
    seeds: Seeds
    mask: Mask | None
    """The ticket's; None: the dense net is spent."""
    teacher: Teacher | None = None
    """`NEEDS = ("teacher",)`: the net that the key `teacher` names, or the dense run of the same seed."""
    levels: tuple[Trained, ...] = ()
    """`NEEDS = ("levels",)`: the draw's sparse levels, in order."""
    begun: int = 0
    """Steps of the course that were taken before: its rewind point, where the schedule goes on from there."""


def equip(bench: Bench, hooks: Sequence[Hooks], seeds: Seeds) -> Bench:
    """The bench after `hooks` have changed its net, which must be nobody else's, with buffers of its own."""
    for hook in hooks:
        hook.model(bench.model, seeds)
    bench.model.to(bench.place.device)
    return replace(bench, machines={})


def started(state: State, net: nn.Module) -> State:
    """`state` of the plain net, with what tweaks have added to `net` as it is there, where the state has it not."""
    found = net.state_dict()
    own = {name: found[name].detach().cpu().clone() for name in found if name.startswith(ADDED)}
    return State({**own, **state.weights}, state.step) if own else state
