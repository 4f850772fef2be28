"""A first Linear layer that nets on a straight path share: what it says is linear in the place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

States = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
"""Weights by name of the two ends of a path."""


def between(first: Tensor, second: Tensor, place: int, last: int, gap: Tensor | None = None) -> Tensor:
    """What lies at `place` of 0 .. `last` on the line from `first` to `second`, two tensors of one shape.

    It is first + (place / last) (second - first), reckoned from the nearer end: at an end that very tensor, the same
    bits from either side, and everywhere the same where both ends are equal. `gap` is second - first, if it is there.
    """
    if place in (0, last):
        return second if place else first
    if 2 * place == last:
        return (first + second) / 2
    gap = second - first if gap is None else gap
    near, share = (first, place / last) if 2 * place < last else (second, (place - last) / last)
    return torch.add(near, gap, alpha=share)


@dataclass(frozen=True)
class Layer:
    """A Linear layer that is given the images themselves."""

    weight: str
    """Names in the net."""
    bias: str | None
    outputs: int
    inputs: int


@torch.no_grad()
def first_layer(model: nn.Module, inputs: Tensor) -> Layer | None:
    """The one Linear layer that reads `inputs` [n, C, H, W], contiguous, as [n, C H W] without a change; None: no such.

    The net is run on them once, in the mode it is in.
    """
    names = {id(value): name for name, value in model.named_parameters()}
    with _Look(inputs) as look:
        model(inputs)
    calls = [ids for ids in look.calls if ids[0] in names and (ids[1] is None or ids[1] in names)]
    if len(look.calls) != 1 or not calls or inputs._version != look.version:
        return None
    weight, bias = calls[0]
    outputs, size = model.get_parameter(names[weight]).shape
    return Layer(names[weight], None if bias is None else names[bias], outputs, size)


def _reads(args: tuple[Any, ...], inputs: Tensor) -> bool:
    """Whether a call's first argument is the memory of `inputs`, an image in a row."""
    given = args[0] if args else None
    return (
        isinstance(given, Tensor)
        and given.data_ptr() == inputs.data_ptr()
        and given.shape == (len(inputs), inputs[0].numel())
        and given.is_contiguous()
    )


class _Look(TorchFunctionMode):
    """Takes down the weights and biases of Linear layers that read the inputs, by id."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs, self.version = inputs, inputs._version
        self.calls: list[tuple[int, int | None]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") == "linear" and _reads(args, self.inputs):
            said = dict(zip(("input", "weight", "bias"), args, strict=False)) | (kwargs or {})
            bias = said.get("bias")
            self.calls.append((id(said["weight"]), None if bias is None else id(bias)))
        return func(*args, **(kwargs or {}))


class Shared(TorchFunctionMode):
    """Answers in the place of the first layer: its two products with some batches, mixed."""

    def __init__(
        self, model: nn.Module, layer: Layer, inputs: Sequence[Tensor], ends: States, last: int
    ) -> None:
        """`inputs`: batches [n, C, H, W], contiguous; `ends`: at places 0 and `last`."""
        super().__init__()
        self.model, self.inputs, self.last = model, inputs, last
        self.weight = model.get_parameter(layer.weight)
        self.products = [self._ends(each.flatten(1), layer, ends) for each in inputs]
        self.number = self.place = 0

    def _ends(self, rows: Tensor, layer: Layer, ends: States) -> tuple[Tensor, Tensor, Tensor]:
        """What the layer says at both ends, and how far that is apart."""
        biases = [None if layer.bias is None else end[layer.bias] for end in ends]
        first, second = (
            nn.functional.linear(rows, end[layer.weight], bias)
            for end, bias in zip(ends, biases, strict=True)
        )
        return first, second, second - first

    def ask(self, number: int, place: int) -> Tensor:
        """Logits [n, K] to batch `number` of the net that stands at `place`."""
        self.number, self.place = number, place
        with self:
            logits: Tensor = self.model(self.inputs[number])
        return logits

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if (
            getattr(func, "__name__", "") == "linear"
            and _reads(args, self.inputs[self.number])
            and args[1] is self.weight
        ):
            first, second, gap = self.products[self.number]
            mixed = between(first, second, self.place, self.last, gap)
            return (
                mixed.clone() if mixed is first or mixed is second else mixed
            )  # the next layer may write into it
        return func(*args, **(kwargs or {}))
