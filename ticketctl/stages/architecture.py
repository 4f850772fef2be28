"""The net that a manifest describes, built again from the manifest alone: no data are needed."""

from __future__ import annotations

from typing import Any

from torch import nn

from ticketctl.artifacts.models import Arch
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.nets.build import build, layout

Shapes = dict[str, tuple[int, ...]]


def net_from(arch: Arch, *, values: bool = True) -> nn.Module:
    """The net of a ticket or run, without tweaks.

    Args:
        arch: as the manifest has it.
        values: False: on the meta device, names and shapes alone.

    Raises:
        UsageError: no such net here.
        MissingExtraError: it is timm's, and timm is not installed.
        ArtifactError: E_ARCH_MISMATCH: the manifest names a net that cannot be built as it says.
    """
    options: dict[str, Any] = dict(arch.kwargs)
    if "widths" in options:
        options["widths"] = tuple(options["widths"])
    try:
        make = build if values else layout
        return make(arch.name, shape=(arch.in_chans, *arch.size), classes=arch.num_classes, **options)
    except (TypeError, ValueError) as error:  # keys that a newer version, or another hand, wrote
        raise ArtifactError(
            "E_ARCH_MISMATCH", f"{arch.name} cannot be built with {options}: {error}"
        ) from None


def shapes_of(model: nn.Module) -> Shapes:
    """Names and shapes of its state_dict, in its order."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def fitting(arch: Arch, weights: Shapes, where: str) -> nn.Module:
    """The net of `arch`, once it has just these tensors.

    Raises:
        ArtifactError: E_ARCH_MISMATCH: other names or shapes.
        UsageError, MissingExtraError: as `net_from`.
    """
    model = net_from(arch)
    found = shapes_of(model)
    if odd := next(
        (name for name in found.keys() | weights.keys() if found.get(name) != weights.get(name)), None
    ):
        raise ArtifactError(
            "E_ARCH_MISMATCH", f"{where}: {odd} is {weights.get(odd)} there, {found.get(odd)} in {arch.name}"
        )
    return model


def own_code(arch: Arch) -> None:
    """Refuse to run code that nobody but an artifact names.

    Raises:
        UsageError: the net is a function of somebody's module.
    """
    if arch.source == "custom":
        raise UsageError(f"the ticket's net is {arch.name}: code that would be run here; load it yourself")
