"""Weights and buffers of a net at one moment, and their form on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ticketctl.errors import DivergedError
from ticketctl.masks.mask import Mask
from ticketctl.store.tensors import Tensor

_CODES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL", torch.int16: "I16", torch.uint16: "U16",
}  # fmt: skip
_DTYPES = {code: dtype for dtype, code in _CODES.items()}


@dataclass(frozen=True)
class State:
    """A net's whole state_dict (parameters and buffers, on the CPU) after `step` optimizer steps of its schedule."""

    weights: Mapping[str, torch.Tensor]
    step: int = 0

    @classmethod
    def of(cls, model: nn.Module, step: int) -> State:
        """A copy of the net's state."""
        return cls(
            {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()},
            step,
        )

    @property
    def finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        floats = [value for value in self.weights.values() if value.is_floating_point()]
        if floats and floats[0].is_cuda:  # one question, not one for each tensor
            return bool(torch.stack(torch._foreach_norm(floats, math.inf)).isfinite().all())
        return all(bool(value.isfinite().all()) for value in floats)

    def check_finite(self, what: str) -> None:
        """Refuse weights that no training should start from.

        Raises:
            DivergedError: names the first tensor with a value that is NaN or infinite.
        """
        bad = next((name for name, value in self.weights.items() if not bool(value.isfinite().all())), None)
        if bad is not None:
            raise DivergedError(f"{what}: it would start from values of {bad!r} that are NaN or infinite")

    def load_into(self, model: nn.Module) -> None:
        """Copy into the net's own tensors: addresses and memory formats stay."""
        with torch.no_grad():
            for name, value in model.state_dict().items():
                value.copy_(self.weights[name])

    def tensors(self) -> dict[str, Tensor]:
        """As written: every zero is +0.0, so that equal values are equal bytes."""
        return {name: to_tensor(_plus_zero(value)) for name, value in self.weights.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], step: int) -> State:
        """As read."""
        return cls({name: from_tensor(tensor) for name, tensor in tensors.items()}, step)


def distances(model: nn.Module, start: State, mask: Mask | None) -> list[float]:
    """L2 distance of conv and linear weights from `start`: over the kept ones, and over all; biases do not count.

    Paper 002, section 5. The first takes the weights that `mask` keeps (all of them, without one), so it is 0 at the
    start; the second counts a pruned weight as moved from its value in `start` to 0. By layer they are not written
    down: they follow from the weights of `keep.epochs` and the ticket's.
    """
    masked = full = 0.0
    keep = mask.keep if mask is not None else {}
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            continue
        moved = (parameter.detach() - start.weights[name].to(parameter.device)).double().square()
        full += float(moved.sum())
        masked += float(moved[keep[name].to(parameter.device)].sum()) if name in keep else float(moved.sum())
    return [math.sqrt(masked), math.sqrt(full)]


class Statistics:
    """A net's buffers as they were before a forward pass in train mode, which moves them."""

    def __init__(self, model: nn.Module) -> None:
        by_dtype: dict[torch.dtype, list[torch.Tensor]] = {}
        for buffer in model.buffers():
            by_dtype.setdefault(buffer.dtype, []).append(buffer)
        self.flats = [torch.cat([buffer.reshape(-1) for buffer in now]) for now in by_dtype.values()]
        """All buffers of one kind in one piece."""
        self.pairs = [
            (now, _pieces(flat, now)) for now, flat in zip(by_dtype.values(), self.flats, strict=True)
        ]

    @torch.no_grad()
    def remember(self) -> None:
        """Take them down; costs nothing where there are none."""
        for now, before in self.pairs:
            torch._foreach_copy_(before, now)

    @torch.no_grad()
    def restore(self) -> None:
        """Put them back."""
        for now, before in self.pairs:
            torch._foreach_copy_(now, before)

    @torch.no_grad()
    def restore_where(self, bad: torch.Tensor) -> None:
        """Put them back if `bad`, a scalar on the device, is 1; does not wait for the device.

        All buffers of a kind in one piece: one by one they were two fifths of the kernels of a ResNet-20's step.
        """
        if not self.pairs:
            return
        stopped = bad > 0
        for (now, _), before in zip(self.pairs, self.flats, strict=True):
            flat = torch.where(stopped, before, torch.cat([value.reshape(-1) for value in now]))
            torch._foreach_copy_(now, _pieces(flat, now))


def _pieces(flat: torch.Tensor, like: list[torch.Tensor]) -> list[torch.Tensor]:
    pieces = flat.split([value.numel() for value in like])
    return [piece.view(value.shape) for piece, value in zip(pieces, like, strict=True)]


def to_tensor(value: torch.Tensor) -> Tensor:
    """A torch tensor in its form on disk."""
    flat = value.detach().cpu().contiguous().reshape(-1)
    return Tensor(_CODES[value.dtype], tuple(value.shape), flat.view(torch.uint8).numpy().tobytes())


def from_tensor(tensor: Tensor) -> torch.Tensor:
    """A torch tensor of its own memory."""
    flat = torch.frombuffer(bytearray(tensor.data), dtype=torch.uint8) if len(tensor.data) else torch.empty(0)
    dtype = _DTYPES[tensor.dtype]
    return (flat.view(dtype) if len(tensor.data) else flat.to(dtype)).reshape(tensor.shape)


def _plus_zero(value: torch.Tensor) -> torch.Tensor:
    return value + 0.0 if value.is_floating_point() else value
