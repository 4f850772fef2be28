"""What is prunable: the convention a sparsity is measured by. Papers disagree, so it has a name.

Biases and BatchNorm are never prunable. "90 % sparse" means
different nets under different policies; artifacts therefore list the names themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ticketctl.errors import UsageError, near_miss

_TYPES: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    "linear": (nn.Linear,),
}

Head = Literal["prune", "dense", "dense-without-conv", "dense-without-blocks"]


@dataclass(frozen=True)
class Policy:
    """Which weights may be pruned."""

    types: tuple[str, ...] = ("conv", "linear")
    """The kinds of layer whose `weight` counts: "conv", "linear"."""
    head: Head = "prune"
    """The last Linear layer. "dense-without-conv": dense in nets that have no convolution (seed 002's LeNet).
    "dense-without-blocks": dense in nets without residual blocks (open_lth's LeNet and VGG)."""
    first: Literal["prune", "dense"] = "prune"
    """The first convolution or Linear layer."""
    exclude: tuple[str, ...] = ()
    """Regular expressions, searched in the weights' names; what they find stays dense."""


POLICIES: dict[str, Policy] = {
    "default": Policy(),
    "paper-000": Policy(),
    "paper-001": Policy(types=("conv",)),
    "paper-002": Policy(head="dense-without-conv"),
    "paper-003": Policy(),
    "paper-004": Policy(head="dense"),
    "openlth": Policy(head="dense-without-blocks"),
}


def policy(name: str) -> Policy:
    """The policy a recipe names.

    Raises:
        UsageError: no such policy; says the near miss.
    """
    if name not in POLICIES:
        raise UsageError(f"no prunable policy named {name!r}; {near_miss(name, POLICIES)}")
    return POLICIES[name]


def prunable(model: nn.Module, policy: Policy) -> tuple[str, ...]:
    """State_dict names of the prunable weights, in `named_modules` order. A weight shared by two layers
    counts once.

    Raises:
        UsageError: a kind, head or first the policy cannot mean; a bad `exclude` pattern, or one that finds
            nothing; or nothing is left to prune.
    """
    _check(policy)
    layers = _layers(model)
    dense = _excluded(policy.exclude, layers)
    if layers and policy.first == "dense":
        dense.add(next(iter(layers)))
    if (head := _head(layers)) and _head_is_dense(model, layers, policy.head):
        dense.add(head)
    wanted = tuple(kind for name in policy.types for kind in _TYPES[name])
    names = tuple(name for name, layer in layers.items() if isinstance(layer, wanted) and name not in dense)
    if not names:
        raise UsageError(f"nothing to prune in {type(model).__name__}: the policy leaves every weight dense")
    return names


def left_dense(model: nn.Module, names: Iterable[str]) -> tuple[str, ...]:
    """The weight matrices (parameters of two or more dimensions) that a mask over `names` does not touch."""
    masked = set(names)
    return tuple(name for name, weight in model.named_parameters() if weight.ndim > 1 and name not in masked)


def head(model: nn.Module) -> str | None:
    """The state_dict name of the last Linear layer's weight; None if there is no Linear layer."""
    return _head(_layers(model))


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    kinds = tuple(kind for kinds in _TYPES.values() for kind in kinds)
    found: dict[str, nn.Module] = {}
    weights: set[int] = set()
    for name, module in model.named_modules():
        weight = module._parameters.get("weight") if isinstance(module, kinds) else None
        if weight is not None and id(weight) not in weights:
            weights.add(id(weight))
            found[f"{name}.weight" if name else "weight"] = module
    return found


def _head(layers: dict[str, nn.Module]) -> str | None:
    return next((name for name in reversed(layers) if isinstance(layers[name], nn.Linear)), None)


def _head_is_dense(model: nn.Module, layers: dict[str, nn.Module], rule: Head) -> bool:
    if rule == "dense-without-conv":
        return not any(isinstance(layer, _TYPES["conv"]) for layer in layers.values())
    if rule == "dense-without-blocks":
        return not _has_blocks(model, set(layers.values()))
    return rule == "dense"


def _has_blocks(model: nn.Module, layers: set[nn.Module]) -> bool:
    """A block is a module with a forward of its own around several layers, but not around all of them."""
    for module in model.modules():
        if not isinstance(module, nn.Sequential | nn.ModuleList):
            inside = len(layers & set(module.modules()))
            if 1 < inside < len(layers):
                return True
    return False


def _excluded(patterns: Sequence[str], layers: dict[str, nn.Module]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        try:
            hits = {name for name in layers if re.search(pattern, name)}
        except re.error as error:
            raise UsageError(f"exclude {pattern!r} is no regular expression: {error}") from None
        if not hits:
            raise UsageError(f"exclude {pattern!r} finds no layer; {near_miss(pattern, layers)}")
        found |= hits
    return found


def _check(policy: Policy) -> None:
    for kind in policy.types:
        if kind not in _TYPES:
            raise UsageError(f"no kind of layer named {kind!r}; {near_miss(kind, _TYPES)}")
    for part, value, allowed in (
        ("head", policy.head, ("prune", "dense", "dense-without-conv", "dense-without-blocks")),
        ("first", policy.first, ("prune", "dense")),
    ):
        if value not in allowed:
            raise UsageError(f"{part} = {value!r} cannot be; {near_miss(value, allowed)}")
