"""The one place that asks the machine what it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ticketctl.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import torch


def check(name: str) -> str:
    """A device's name, if it is one; whether this machine has it is another question.

    Raises:
        UsageError: another word.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name):
        raise UsageError(f"no device named {name!r}; there is auto, cpu, cuda, cuda:N")
    return name


def resolve(name: str) -> torch.device:
    """`auto` (the GPU when there is one), `cpu`, `cuda`, `cuda:N`.

    Raises:
        UsageError: another word.
        UnavailableError: no such device here.
    """
    import torch

    if check(name) == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise UnavailableError(
            f"{name}: this machine has no such GPU (or this torch cannot use it); take --device cpu"
        )
    return torch.device(kind, int(number or 0)) if kind == "cuda" else torch.device("cpu")


def gpus(name: str) -> list[str]:
    """The GPUs that a device's name means, `auto` and `cuda` all of them; none where it means the CPU."""
    if check(name) == "cpu":
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(count)] if name in ("auto", "cuda") else [name]
