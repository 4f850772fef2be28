"""Tickets and models: a ticket by its name, and its weights and mask on a model of the user's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from ticketctl.artifacts.models import Arch
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.workspace import resolve
from ticketctl.errors import ArtifactError
from ticketctl.hub.names import is_hub
from ticketctl.masks.bind import Binding
from ticketctl.masks.mask import Mask
from ticketctl.nets.naming import between, to_ours, unsure, unwrapped
from ticketctl.stages.architecture import net_from, shapes_of
from ticketctl.store.tensors import Tensor
from ticketctl.train.state import from_tensor

WORKSPACE = Path("runs")


class OrderWarning(UserWarning):
    """Parameters were matched by their order alone, and another order would have fitted as well."""


class Applied:
    """A model that is held to a mask.

    Attributes:
        masks: 0/1 floats by the model's parameter names, in each weight's dtype, device and layout.
        names: the model's name of each of the ticket's parameters.
    """

    def __init__(self, model: nn.Module, mask: Mask, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self._binding = Binding(model, mask)
        self.masks: dict[str, torch.Tensor] = dict(zip(self._binding.names, self._binding.masks, strict=True))

    def enforce(self) -> None:
        """Set every pruned weight to 0; call it after each step of an optimizer that is not followed."""
        self._binding.clean_()

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Enforce the mask after each step of `optimizer`, whatever its momentum or weight decay does."""
        optimizer.register_step_post_hook(lambda *_: self._binding.apply_())

    def violations(self) -> dict[str, int]:
        """Pruned weights that are not 0, by parameter; empty when the mask holds."""
        return self._binding.violations()


def load_ticket(name: str | Path | None = None, *, workspace: str | Path = WORKSPACE) -> Ticket:
    """The ticket of a name: a path, a name below `workspace`, an id's beginning, `hf://org/name`; None: the newest.

    `NAME@12` and `NAME@0.9648` name a level, which is cut out of the ladder as `mask cut` does it.

    Raises:
        UsageError: nothing of that name; says what there is.
        ArtifactError: it is damaged.
        HubError: as `pull`.
    """
    from ticketctl.stages.algebra import cut
    from ticketctl.stages.at_level import AtLevel

    if is_hub(name):
        from ticketctl.api.hub import pull

        return pull(str(name), workspace=workspace)
    ticket, level = resolve(str(name) if name is not None else None, Path(workspace))
    if level is None or level == ticket.manifest.level:
        return ticket
    return cut(AtLevel(ticket, level), Path(workspace)).ticket


def apply(
    model: nn.Module,
    ticket: Ticket | str | Path,
    *,
    level: int | None = None,
    start: bool = True,
    workspace: str | Path = WORKSPACE,
) -> Applied:
    """Put a ticket on a model of yours: its start weights, and its mask.

    Args:
        model: of the ticket's net; torchvision's, timm's and other known names of the same parameters are found, also
            behind `torch.compile` and `DataParallel`.
        ticket: what to put on it, or a name that `load_ticket` takes.
        level: of its ladder, a whole number; None: the ticket's own.
        start: False: the model keeps its weights, and gets the mask alone.
        workspace: where names are looked for.

    Raises:
        ArtifactError: E_ARCH_MISMATCH: the model has other parameters; or the ticket is damaged.
        UsageError: no such ticket, or level.
        MissingExtraError: the names are others, and the net whose order would tell is timm's, which is not installed.
        HubError: as `pull`.

    Warns:
        OrderWarning: parameters were matched by their order alone where another order would fit as well.
    """
    ticket = ticket if isinstance(ticket, Ticket) else load_ticket(ticket, workspace=workspace)
    keep, init = ticket.mask(level), ticket.init()
    names = _names(init, ticket.manifest.arch, model)
    if start:
        if missing := sorted(model.state_dict().keys() - {*names.values()}):
            raise ArtifactError(
                "E_ARCH_MISMATCH", f"the model has {missing[0]}, which the ticket does not start"
            )
        model.load_state_dict({names[name]: from_tensor(tensor) for name, tensor in init.items()})
    applied = Applied(model, Mask.from_arrays({names[name]: layer for name, layer in keep.items()}), names)
    applied.enforce()
    return applied


def _names(init: Mapping[str, Tensor], arch: Arch, model: nn.Module) -> dict[str, str]:
    """The model's name of each parameter of the ticket."""
    state, mine, yours = model.state_dict(), unwrapped(init), unwrapped(model.state_dict())
    here = {plain: tuple(init[name].shape) for plain, name in mine.items()}
    there = {plain: tuple(state[name].shape) for plain, name in yours.items()}
    if here.keys() == there.keys() or arch.source == "custom":  # whose code is not run to learn its order
        names = to_ours(there, here, "ours", net="the model")
    else:
        order = unwrapped(shapes_of(net_from(arch, values=False)))  # files have the names sorted
        here = {name: here[name] for name in [*order, *here] if name in here}
        names = between(here, there, net="the model")
        _warn(names, unsure(names, here, there))
    return {mine[name]: yours[other] for name, other in names.items()}


def _warn(names: Mapping[str, str], twins: Sequence[str]) -> None:
    if twins:
        warnings.warn(
            f"parameters were matched by their order alone, e.g. {twins[0]} is {names[twins[0]]}, and {len(twins)} of "
            "them fit more than one place: see that `names` of what apply gives is right",
            OrderWarning,
            stacklevel=4,
        )
