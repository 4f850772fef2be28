"""The optimizer, and its state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ticketctl.recipe import TrainSpec

_PREFIX = "optimizer."


def optimizer_for(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """Fused SGD or Adam over all parameters; weight decay on all of them, or on conv and linear weights alone."""
    decayed = [p for p in model.parameters() if spec.decay == "all" or p.dim() > 1]
    spared = [p for p in model.parameters() if spec.decay != "all" and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}]
    groups += [{"params": spared, "weight_decay": 0.0}] if spared else []
    if spec.optimizer == "adam":
        return torch.optim.Adam(groups, lr=spec.lr, fused=True)
    return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=spec.nesterov, fused=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """What the optimizer remembers, as `optimizer.<quantity>.<parameter>`."""
    found = {}
    for name, parameter in model.named_parameters():
        for quantity, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                found[f"{_PREFIX}{quantity}.{name}"] = value
    return found


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` took; nothing at all makes the optimizer fresh."""
    optimizer.state.clear()
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        if key.startswith(_PREFIX):
            quantity, _, name = key.removeprefix(_PREFIX).partition(".")
            parameter = parameters[name]
            # like the parameter in layout and place, the step counter included, as the fused optimizers want them
            like = torch.empty_like(parameter) if value.dim() else torch.empty((), dtype=value.dtype)
            target = like.to(parameter.device)
            optimizer.state[parameter][quantity] = target.copy_(value)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
