"""The optimizer, and its state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ticketctl.recipe import TrainSpec

_PREFIX = "optimizer."


def optimizer_for(model: nn.Module, spec: TrainSpec, device: torch.device) -> torch.optim.Optimizer:
    """Fused SGD or Adam over all parameters; weight decay on all of them, or on conv and linear weights alone.

    Its state is there from the first step on, as zeros: the first step then does what it does without a state
    (momentum * 0 + gradient), in buffers whose addresses stay. On a GPU the rate is a tensor on the device, and
    `found_inf`, a scalar there, holds the optimizer still while it is 1.
    """
    decayed = [p for p in model.parameters() if spec.decay == "all" or p.dim() > 1]
    spared = [p for p in model.parameters() if spec.decay != "all" and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}]
    groups += [{"params": spared, "weight_decay": 0.0}] if spared else []
    graph = device.type == "cuda"
    rate = torch.tensor(spec.lr, dtype=torch.float32, device=device) if graph else spec.lr
    if spec.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(groups, lr=rate, fused=True, capturable=graph)
    else:
        momentum, nesterov = spec.momentum, spec.nesterov
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)
    _fill(optimizer, spec)
    return optimizer


def _fill(optimizer: torch.optim.Optimizer, spec: TrainSpec) -> None:
    quantities = ("exp_avg", "exp_avg_sq") if spec.optimizer == "adam" else ("momentum_buffer",)
    if spec.optimizer == "sgd" and not spec.momentum:
        return
    for parameter in _parameters(optimizer):
        state = optimizer.state[parameter]
        state |= {name: torch.zeros_like(parameter, requires_grad=False) for name in quantities}
        if spec.optimizer == "adam":
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def reset_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """As new: every quantity is zero, where it is."""
    for parameter in _parameters(optimizer):
        for value in optimizer.state.get(parameter, {}).values():
            value.zero_()


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """What the optimizer remembers, as `optimizer.<quantity>.<parameter>`."""
    found = {}
    for name, parameter in model.named_parameters():
        for quantity, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                found[f"{_PREFIX}{quantity}.{name}"] = value
    return found


@torch.no_grad()
def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` took, into the buffers that are there."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        if key.startswith(_PREFIX):
            quantity, _, name = key.removeprefix(_PREFIX).partition(".")
            optimizer.state[parameters[name]][quantity].copy_(value)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
