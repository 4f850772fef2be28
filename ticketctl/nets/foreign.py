"""Other people's nets: built with the values they come with, looked over, and refused where a training would go wrong.

They may hold what no layout has: tables of positions, scales that start at 1e-6, plain tensors. So they are built for
real, on the CPU, while torch's random state is one that is always the same and is put back afterwards. `initialise_`
then replaces whatever was random in them.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ticketctl.errors import TicketctlError, UsageError
from ticketctl.nets.torch_wide import borrowed_generators

_STORED = {torch.float32, torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool}


def is_foreign(family: ModuleType) -> bool:
    """Whether the nets of a module are somebody else's: it says so, or is none of this package."""
    return bool(getattr(family, "FOREIGN", False)) or not family.__name__.startswith("ticketctl.nets.")


def built(
    family: ModuleType,
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    stem: str,
    options: dict[str, Any],
) -> nn.Module:
    """The net of a foreign family on the CPU in float32, after a trial run; torch's random state stays as it was.

    Raises:
        UsageError: it cannot be built, is no net, cannot take these images, does not give one tensor of logits, is
            random in training, or holds what cannot be stored.
        MissingExtraError: its package is not installed.
    """
    channels, height, width = shape
    with borrowed_generators():
        torch.set_rng_state(torch.Generator().manual_seed(0).get_state())
        with _in_one_line(name, "cannot be built"):
            net = family.build(
                name, channels=channels, size=(height, width), classes=classes, stem=stem, **options
            )
        if not isinstance(net, nn.Module):
            raise UsageError(f"{name}: gave a {type(net).__name__}, not a torch.nn.Module")
        _check_tensors(name, net)
        net = net.to("cpu", torch.float32).train()
        _try(name, net, shape, classes)
    return net


def _check_tensors(name: str, net: nn.Module) -> None:
    """Everything in it can be filled, copied and stored."""
    for path, tensor in (*net.named_parameters(), *net.named_buffers()):
        if is_lazy(tensor):
            raise UsageError(f"{name}: {path} has no shape before a first run; give its layer all sizes")
        if tensor.is_meta:
            raise UsageError(f"{name}: {path} has no values (meta device); build the net on the CPU")
        if not tensor.is_floating_point() and tensor.dtype not in _STORED:
            raise UsageError(f"{name}: {path} is of {tensor.dtype}, which no artifact stores")
    for path, value in net.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"{name}: {path} of its state_dict is no tensor, and cannot be stored")


def _try(name: str, net: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    """Run a copy on two black images, as in training and as in evaluation."""
    size = "x".join(map(str, shape))
    with _in_one_line(name, "cannot be copied"):
        trial = copy.deepcopy(net)
    for mode in (True, False):
        before = torch.get_rng_state()
        with _in_one_line(name, f"cannot take {size} images"), torch.no_grad():
            logits = trial.train(mode)(torch.zeros(2, *shape))
        if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
            given = list(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
            raise UsageError(f"{name}: for two images it gives {given}, and not logits, [2, {classes}]")
        if not torch.equal(before, torch.get_rng_state()):
            raise UsageError(
                f"{name}: takes random numbers while it runs{_culprit(net)}; such a training cannot be repeated to "
                "the bit: set the rates to 0"
            )


def _culprit(net: nn.Module) -> str:
    found = (
        f" ({type(module).__name__} {path})"
        for path, module in net.named_modules()
        if any(word in type(module).__name__.lower() for word in ("drop", "stochastic"))
    )
    return next(found, "")


@contextmanager
def _in_one_line(name: str, what: str) -> Iterator[None]:
    """Turn what somebody else's code raises into one line that says where."""
    try:
        yield
    except (TicketctlError, MemoryError):
        raise
    except Exception as error:  # whatever it raises: the code is not ours
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise
        raise UsageError(f"{name}: {what}: {said(error)}") from error


def said(error: BaseException) -> str:
    """The kind of an error, the first line of its message, and the file and line it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    line = next(iter(str(error).strip().splitlines()), "")[:300]
    return f"{type(error).__name__}{': ' if line else ''}{line}{place}"
