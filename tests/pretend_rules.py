"""What a GPU refuses: tensors that lie where they should not, kernels that it lacks, and waiting during a capture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

READS = (Tensor.numpy, Tensor.__array__)
INDEXED = (Tensor.__getitem__, Tensor.__setitem__)
ON_BOTH = (Tensor.copy_, torch._has_compatible_shallow_copy_type)
"""What takes tensors of two devices."""
PRODUCTS = {
    "matmul", "__matmul__", "mm", "bmm", "mv", "dot", "addmm", "addmm_", "baddbmm", "einsum", "tensordot", "linear",
    "conv1d", "conv2d",
}  # fmt: skip
"""Without a kernel for whole numbers."""
ALIKE = {
    "cat", "concat", "stack", "hstack", "vstack", "cross_entropy", "nll_loss", "batch_norm", "index_select", "gather",
    "index_copy_", "index_add_", "scatter_", "scatter_add_", *PRODUCTS,
}  # fmt: skip
"""Takes not even a scalar of the CPU."""
WAITS = {
    "item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__format__", "__repr__", "__contains__",
    "is_nonzero", "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "equal", "allclose",
    "bincount", "tensor", "as_tensor", "new_tensor", "cpu", "linalg_cholesky", "linalg_eigh", "linalg_inv",
    "linalg_solve", "linalg_svd",
}  # fmt: skip
"""What needs an answer of the device, or gives it something that lies in the host's memory."""
BY_CHANCE = {"kthvalue", "histc", "put_", "index_reduce", "scatter_reduce", "max_unpool2d"}
FORWARD_ONLY = {
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d", "fractional_max_pool2d",
    "avg_pool3d", "max_pool3d", "grid_sample", "ctc_loss",
}  # fmt: skip
"""Without a deterministic kernel, or with none for their gradient, in some version of torch that we run on."""


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """What lies in lists, tuples and dictionaries, changed."""
    if isinstance(value, dict):
        return {name: each(one, change) for name, one in value.items()}
    if not isinstance(value, (tuple, list)) or isinstance(value, torch.Size):
        return change(value)
    found = [each(one, change) for one in value]
    return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)


def leaves(value: Any) -> list[Any]:
    """The same, one after the other."""
    if isinstance(value, dict):
        value = [*value.values()]
    if not isinstance(value, (tuple, list)) or isinstance(value, torch.Size):
        return [value]
    return [leaf for one in value for leaf in leaves(one)]


def tensors_in(values: Iterable[Any], found: list[Tensor] | None = None) -> list[Tensor]:
    """Those among them, and in lists, tuples and dictionaries."""
    found = [] if found is None else found
    for one in values:
        if isinstance(one, Tensor):
            found.append(one)
        elif isinstance(one, (tuple, list)):
            tensors_in(one, found)
        elif isinstance(one, dict):
            tensors_in(one.values(), found)
    return found


def name_of(func: Any) -> str:
    return str(getattr(func, "__name__", func))


def check_call(func: Any, args: Any, kwargs: Any, ours: Sequence[Tensor], apart: Sequence[Tensor]) -> None:
    """Of `ours`, which lie on the GPU, one or more, and others that do not.

    Raises:
        RuntimeError: as torch does.
    """
    if not ours or name_of(func) == "__get__":
        return
    with torch._C.DisableTorchFunctionSubclass():
        if func not in ON_BOTH and _lies_apart(func, args, apart):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"(in {getattr(func, '__qualname__', func)})"
            )
        _check_kernel(func, args, ours)
        if torch.are_deterministic_algorithms_enabled() and _has_chance(func, args, kwargs, ours):
            raise RuntimeError(f"{name_of(func)} does not have a deterministic implementation")


def _lies_apart(func: Any, args: Any, apart: Sequence[Tensor]) -> bool:
    """A scalar of the CPU may take part in arithmetic, an index of the CPU may say where; nothing else."""
    here, name = {id(tensor) for tensor in apart}, name_of(func)
    if func not in INDEXED:
        changes = re.fullmatch(r"__i\w+__|\w*[^_]_", name) and args and id(args[0]) in here
        return bool(changes) or any(name in ALIKE or tensor.dim() for tensor in apart)
    places = [one for one in leaves(args[1]) if isinstance(one, Tensor)]
    values = [value for value in args[2:] if places and isinstance(value, Tensor) and value.dim()]
    own = id(args[0]) in here
    return any((id(value) in here) != own for value in values) or (
        own and any(id(one) not in here and one.dim() for one in places)
    )


def _check_kernel(func: Any, args: Any, ours: Sequence[Tensor]) -> None:
    name = name_of(func)
    if name in PRODUCTS and not (ours[0].is_floating_point() or ours[0].is_complex()):
        raise RuntimeError(f'"{name}_cuda" not implemented for {ours[0].dtype}')
    if name.startswith("_fused_"):
        lists = [held for held in args[: 3 if "sgd" in name else 4] if held]
        layouts = [[_layout(one) for one in alike if one is not None] for alike in zip(*lists, strict=True)]
        if any(one != alike[0] for alike in layouts for one in alike):
            raise RuntimeError("params, grads and state must have same dtype, device, and layout")


def _layout(tensor: Tensor) -> list[int]:
    return [step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def _has_chance(func: Any, args: Any, kwargs: Any, ours: Sequence[Tensor]) -> bool:
    """Whether it has no deterministic kernel."""
    name, said = name_of(func), [*args, *kwargs.values()]
    if name in ("median", "nanmedian"):
        return len(said) > 1
    if name == "bincount":
        return len(args) > 1 or kwargs.get("weights") is not None
    if name in ("cross_entropy", "nll_loss"):
        return ours[0].dim() > 2
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in ours)
    if name == "pad":
        return learns and "reflect" in said
    if name == "interpolate":
        return learns and any(isinstance(one, str) and ("linear" in one or "cubic" in one) for one in said)
    if name == "adaptive_avg_pool2d" and args[1] in (1, (1, 1), [1, 1]):
        return False  # that is a mean
    return name in BY_CHANCE or (name in FORWARD_ONLY and learns)


def check_free(func: Any, args: Any, kwargs: Any, apart: Sequence[Tensor]) -> None:
    """Refuse what makes the host wait, or copies between the two, while a graph is captured.

    Raises:
        RuntimeError: as CUDA does.
    """
    name, copies = name_of(func), func in (Tensor.to, Tensor.cuda, Tensor.copy_, *INDEXED)
    waits = name in WAITS or func in READS or any(copies or tensor.dim() for tensor in apart)
    waits |= func in INDEXED and any(map(_is_read, args[1] if isinstance(args[1], tuple) else args[1:2]))
    waits |= name == "where" and len(args) + len(kwargs) == 1
    waits |= name == "repeat_interleave" and isinstance(args[1], Tensor) and "output_size" not in kwargs
    if waits:
        refuse(name)


def refuse(name: str) -> None:
    raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({name})")


def _is_read(index: Any) -> bool:
    """Whether an index must be read, or copied to the device, before anything can be looked up."""
    if isinstance(index, slice):
        return any(isinstance(end, Tensor) for end in (index.start, index.stop, index.step))
    if not isinstance(index, Tensor):
        return isinstance(index, (list, np.ndarray))
    return index.dtype in (torch.bool, torch.uint8) or index.dim() == 0
