"""Products with the Hessian of a loss over many images: in chunks that have room, and in their second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from ticketctl.errors import UsageError
from ticketctl.train.curvature import Poll, Product, leading, product_of
from ticketctl.train.device import room as memory
from ticketctl.train.exam import Absent

Build = Callable[[int, int], tuple[Tensor, Sequence[Tensor]]]
"""Of images start..stop-1 to their part of the loss, a number, and what it is differentiated by."""

KEPT = 3 << 30
"""Bytes of graphs that are kept between products; beyond, they are built anew each time."""
CACHED = 256 << 20
"""Bytes of one graph on a CPU: beyond, nothing is gained, and nobody can interrupt."""
SPARE = 8
"""Vectors that there are besides those that Lanczos holds."""


@dataclass(frozen=True)
class Top:
    """The largest eigenvalue of a symmetric matrix H, as far as it was found."""

    value: float
    """v^T H v."""
    vector: Tensor
    """v [P], of norm 1."""
    residual: float
    """|H v - value v|: an eigenvalue lies no further from `value`."""
    products: int
    """With H, that it took."""


def top(
    multiply: Product, start: Tensor, steps: int, *, tolerance: float, rounds: int, poll: Poll = lambda: None
) -> Top:
    """The largest eigenvalue and its vector, by Lanczos, begun anew from what it found until that is true enough.

    Args:
        multiply: v [P] to H v [P].
        start: [P], with a part along the vector that is looked for.
        steps: products of a round.
        tolerance: of |value|, what the residual may be.
        rounds: at most.
        poll: called between passes.
    """
    products = 0
    for _ in range(rounds):
        start = leading(multiply, start, steps, poll=poll)
        image = multiply(start)
        value = float((start.double() * image.double()).sum())
        residual = float((image - value * start).double().norm())
        products += min(steps, len(start)) + 1
        if not residual > tolerance * abs(value):
            break
    return Top(value, start, residual, products)


def chunked(build: Build, count: int, device: torch.device, poll: Callable[[], None]) -> Product:
    """v to H v, H the Hessian of a loss that is a sum over images; exactly that of all of them at once.

    Images are taken in chunks whose graphs have room. Where there is room for all, graphs are kept between products.

    Args:
        build: the loss of some images, a share of the whole.
        count: how many there are, 1 or more.
        device: where that happens.
        poll: called before each chunk.
    """
    size, kept = room(build, count, device)

    def product(start: int) -> Product:
        poll()
        return product_of(*build(start, min(start + size, count)))

    starts = range(0, count, size)
    held = {start: product(start) for start in starts} if kept else {}

    def multiply(vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for start in starts:
            poll()
            total += (held[start] if kept else product(start))(vector)
        return total

    return multiply


def room(build: Build, count: int, device: torch.device) -> tuple[int, bool]:
    """How many images a chunk may have, and whether the graphs of all `count` of them may be kept."""
    if count < 2:
        return 1, True
    each = max(graph_bytes(build, 2) - graph_bytes(build, 1), 1)
    most = CACHED if device.type == "cpu" else KEPT
    return max(min(most // each, count), 1), each * count <= KEPT


def check_held(asked: Mapping[str, tuple[int, int]], length: int, device: torch.device) -> None:
    """Refuse Lanczos where its vectors take more than half of the free memory.

    Args:
        asked: of each key, as users write it, its value, and how many vectors are held for it at once.
        length: of a vector.
        device: where they are.

    Raises:
        UsageError: they do.
    """
    free = memory(device)
    most = max(free // (4 * length) - SPARE, 0)
    for key, (value, vectors) in asked.items():
        if min(vectors, length) > most:
            mend = f"{most} fit" if value == vectors else "0 leaves it out"
            raise UsageError(
                f"{key} = {value} holds {vectors} vectors of {length} numbers, "
                f"{4 * vectors * length / 1e9:.1f} GB, and there is room for {free / 1e9:.1f} GB; {mend}"
            )


def graph_bytes(build: Build, count: int) -> int:
    """What the graph of the gradient of `count` images holds, about."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that its own node held would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        product_of(*build(0, count))
    return sum(seen.values())


def logits_of(model: nn.Module, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """What `model` says with `weights` in the place of its own, float64 [N, K], to be differentiated twice.

    In evaluation mode, batch normalisations are computed as what they are, a factor and a summand for each channel, and
    attention in the form that has second derivatives. The softmax is left to float64: where a net is sure, 1 - p is all
    there is to its curvature.
    """
    with sdpa_kernel(SDPBackend.MATH), _Plainly():
        found: Tensor = torch.func.functional_call(model, dict(weights), (inputs,))
    return found.double()


class _Plainly(TorchFunctionMode):
    """Batch normalisation by stored statistics takes a third of a product with the Hessian; this, half of that."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        known = kwargs or {}
        if func is nn.functional.batch_norm and not known.get("training", True) and len(args) == 3:
            return _normalised(*args, known["weight"], known["bias"], known["eps"])
        return func(*args, **known)


def _normalised(
    inputs: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1,) + (1,) * (inputs.ndim - 2)
    return torch.addcmul(shift.view(shape), inputs, scale.view(shape))


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """What is asked within it wants second derivatives.

    Raises:
        Absent: an operation of the net has none.
    """
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        if "derivative" in first and "not implemented" in first:
            raise Absent(f"the net has an operation without a second derivative: {first}") from error
        raise
