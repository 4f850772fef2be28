"""Where and in which arithmetic a training runs, settled once and handed down."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ticketctl.recipe import TrainSpec
from ticketctl.train.threads import threads_here


@dataclass(frozen=True)
class Place:
    """A device with the arithmetic chosen for it."""

    device: torch.device
    precision: str
    """`bf16` or `f32`."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a training forward pass.

        Torch has one cache of cast weights for the process, which any thread empties as it leaves the context: what a
        weight that is used twice gets for a gradient would depend on what other jobs of the process are at.
        """
        if self.precision == "f32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)

    def describe(self) -> dict[str, str]:
        """What else the bits depend on, for provenance."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else _cpu_name()
        return {
            "device": self.device.type,
            "device_name": name,
            "torch": torch.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()) if self.device.type == "cuda" else "",
        }


def settle(train: TrainSpec, device: torch.device, processes: int = 1) -> TrainSpec:
    """Replace `auto` precision and thread count 0 by what they mean on this machine, which `processes` share."""
    precision = train.precision if train.precision != "auto" else "bf16" if has_bf16(device) else "f32"
    threads = train.threads or max(1, threads_here().number // processes)
    return train.model_copy(update={"precision": precision, "threads": threads})


def settle_arithmetic(train: TrainSpec, device: torch.device) -> None:
    """What torch keeps for the whole process: threads, and on a GPU no TF32 (float32 means float32) and cuDNN's
    deterministic algorithms. `deterministic` allows no other kernel either whose result may depend on chance.

    And what it keeps for a thread: the GPU that streams and graphs are of, where nobody says which.
    """
    torch.get_num_threads()  # a thread's first question makes its number that of whoever set one last
    torch.set_num_threads(train.threads)
    if device.type != "cuda":
        return  # a CPU with a fixed number of threads is deterministic as it is
    torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # asked for once, at the process's first product
    # the training before may have had it otherwise; and to set it takes seconds
    if torch.are_deterministic_algorithms_enabled() != train.deterministic:
        torch.use_deterministic_algorithms(train.deterministic)
    if train.deterministic:
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # missing in the stubs


SHARE = 0.5
"""Of the free memory, what images may take; the rest is the net's."""


def room(device: torch.device) -> int:
    """Bytes that images may take on the device."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    if "SC_PHYS_PAGES" in os.sysconf_names:
        # pages that hold cached files are free for the asking but not counted: half of all memory is a fair bound
        return int(SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return 1 << 62


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself; emulation would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return any(flag in _cpu_flags() for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def _cpu_flags() -> set[str]:
    return set(_cpu_info(("flags", "Features")).split())


def _cpu_name() -> str:
    return _cpu_info(("model name",)) or "cpu"


def _cpu_info(keys: tuple[str, ...]) -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = (line.partition(":") for line in file)
            return next((value.strip() for key, _, value in lines if key.strip() in keys), "")
    except OSError:  # not Linux
        return ""
