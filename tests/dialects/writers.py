"""One small net and mask, written as each dialect is described: by torch's own tools where they are the source.

What is written for torch is an object for torch.save, made at test time. `python -m tests.dialects.writers` writes the
files of `golden/`, which are numpy's and safetensors'.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

GOLDEN = Path(__file__).parent / "golden"
SHAPES = {"conv.weight": (3, 2, 3, 3), "fc.weight": (4, 11), "head.weight": (5, 4)}
PRUNED = ("conv.weight", "fc.weight", "head.weight")


class Net(nn.Module):
    """Three layers to prune, a norm and biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(11, 4)
        self.head = nn.Linear(4, 5, bias=False)
        for number, weight in enumerate(self.parameters()):
            values = torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape)
            weight.data = values / 8 + number + 0.125


def mask_of(name: str) -> np.ndarray:
    """Every third weight is pruned, and every seventh."""
    places = np.arange(int(np.prod(SHAPES[name]))).reshape(SHAPES[name])
    return (places % 3 != 1) & (places % 7 != 2)


KEEP = {name: mask_of(name) for name in PRUNED}
WEIGHTS = {name: value.detach().numpy().copy() for name, value in Net().state_dict().items()}


def masks(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(keep).to(dtype) for name, keep in KEEP.items()}


def torch_prune() -> Any:
    net = Net()
    for name, keep in masks(torch.float32).items():
        prune.custom_from_mask(net.get_submodule(name.removesuffix(".weight")), "weight", keep)
    return net.state_dict()


def lightning() -> Any:
    return {"epoch": 3, "state_dict": torch_prune(), "loops": {"fit": {"step": [1, 2.5, None]}}}


def data_parallel() -> Any:
    return {f"module.{name}": value for name, value in torch_prune().items()}


def open_lth() -> Any:
    return masks(torch.int32)


def pruned_model() -> Any:
    buffers = {f"mask_{name.replace('.', '___')}": keep for name, keep in masks(torch.float32).items()}
    return {**{f"model.{name}": value for name, value in Net().state_dict().items()}, **buffers}


def turboprune() -> Any:
    """Its Linear layers are convolutions of size 1."""
    state = {
        **Net().state_dict(),
        **{name.replace("weight", "mask"): keep for name, keep in masks(torch.float32).items()},
    }
    return {
        name: value.unsqueeze(-1) if value.dim() == 2 and name.startswith("head") else value
        for name, value in state.items()
    }


def synaptic_flow() -> Any:
    net = Net()
    state = {f"{name}_mask": torch.ones_like(value) for name, value in net.named_parameters()}
    state |= {f"{name}_mask": keep for name, keep in masks(torch.float32).items()}
    return {**net.state_dict(), **state}


def tost() -> Any:
    return {name: value for name, value in torch_prune().items() if "mask" in name}


def grasp() -> Any:
    layers = {name.removesuffix(".weight"): keep for name, keep in masks(torch.float32).items()}
    return {"net": Net().state_dict(), "mask": layers, "acc": -1, "epoch": -1, "ratio": {"conv": 0.5}}


def sparselearning() -> Any:
    return {"epoch": 2, "state_dict": Net().state_dict(), "masks": masks(torch.float32)}


def rigl_torch() -> Any:
    state = {"dense_allocation": 0.1, "S": [0.5, 0.5, 0.0], "N": [54, 44, 20], "step": 7, "rigl_steps": 1}
    return {"model": Net().state_dict(), "pruner": {**state, "backward_masks": [*masks(torch.bool).values()]}}


class _FakeSparsity(nn.Module):
    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return self.mask * weight


def sparsimony() -> Any:
    net = Net()
    for name, keep in masks(torch.bool).items():
        parametrize.register_parametrization(
            net.get_submodule(name.removesuffix(".weight")), "weight", _FakeSparsity(keep)
        )
    return net.state_dict()


def coo() -> Any:
    state = dict(Net().state_dict())
    for name, keep in masks(torch.bool).items():
        places = keep.nonzero().T
        state[name] = torch.sparse_coo_tensor(
            places, state[name][keep], state[name].shape, check_invariants=True
        )
    return state


def named() -> Any:
    return {"masks": masks(torch.bool)}


def zeros() -> Any:
    return {
        name: value * torch.from_numpy(KEEP[name]) if name in KEEP else value
        for name, value in Net().state_dict().items()
    }


TORCH: dict[str, Callable[[], Any]] = {
    "torch-prune": torch_prune, "torch-prune/lightning": lightning, "torch-prune/data-parallel": data_parallel,
    "open-lth": open_lth, "open-lth/pruned-model": pruned_model, "turboprune": turboprune,
    "synaptic-flow": synaptic_flow, "tost": tost, "grasp": grasp, "sparselearning": sparselearning,
    "rigl-torch": rigl_torch, "sparsimony": sparsimony, "coo": coo, "named": named, "zeros": zeros,
}  # fmt: skip
BARE = {"open-lth", "tost", "named"}
"""Without weights."""


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def flax(array: np.ndarray) -> np.ndarray:
    """[out, in, h, w] as [h, w, in, out], [out, in] as [in, out]."""
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T)


def jaxpruner(path: Path, packed: bool = True) -> None:
    arrays = {}
    for name, keep in KEEP.items():
        kernel = name.replace(".weight", "/kernel")
        bits = flax(keep).astype(np.uint8)
        arrays[f"masks/{kernel}"] = np.packbits(bits) if packed else bits
        arrays[f"params/{kernel}"] = flax(WEIGHTS[name])
    arrays["params/fc/bias"] = WEIGHTS["fc.bias"]
    np.savez(path, **arrays)


def sparse_bitmask(path: Path) -> None:
    found = {name: value for name, value in WEIGHTS.items() if name not in KEEP}
    for name, keep in KEEP.items():
        rows = keep.reshape(-1, keep.shape[-1]).sum(1)
        found[f"{name}.shape"] = np.array(keep.shape)
        found[f"{name}.compressed"] = WEIGHTS[name][keep]
        found[f"{name}.bitmask"] = np.packbits(keep, axis=-1, bitorder="little")
        found[f"{name}.row_offsets"] = np.cumsum(rows) - rows
    safetensors.numpy.save_file(found, path, metadata={"format": "pt"})


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    jaxpruner(GOLDEN / "jaxpruner.npz")
    sparse_bitmask(GOLDEN / "sparse_bitmask.safetensors")
    np.savez_compressed(GOLDEN / "named.npz", **KEEP)


if __name__ == "__main__":
    main()
