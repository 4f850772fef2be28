"""A GPU that is not there, for `pytest --pretend-gpu -m gpu`: what runs on it is held to the rules of a real one.

Its tensors lie on the CPU and say that they are on `cuda:0`. Refused is what CUDA refuses: operations on tensors of two
devices, kernels that it lacks, numpy's reading of a tensor that was not copied, numbers from a generator of another
device; and while a graph is captured everything that waits for the device, or copies to or from it. A graph is the list
of calls that were made while it was captured, and its replay is those calls once more: what happens in Python alone is
not repeated, numbers of the host are what they were, and memory that was there before must be there still. So the paths
of a GPU are run, every step of them; its kernels, its speed and its memory are not.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.pretend_rules import READS, check_call, check_free, each, leaves, refuse, tensors_in

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)

SAYS: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.device.__get__: lambda _: CUDA,
    Tensor.is_cuda.__get__: lambda _: True,
    Tensor.is_cpu.__get__: lambda _: False,
    Tensor.get_device: lambda _: 0,
}


class OnGpu(Tensor):
    """Lies on the CPU, and says that it does not."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Outside the mode: in threads that the test did not begin."""
        return answer(func, args, kwargs or {})


def on_gpu(value: object) -> bool:
    return isinstance(value, OnGpu)


def _parted(tensors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    return [one for one in tensors if on_gpu(one)], [one for one in tensors if not on_gpu(one)]


def _means_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _put(tensor: Tensor, there: bool) -> Tensor:
    """The same memory under the other name."""
    if on_gpu(tensor) == there:
        return tensor
    kind = OnGpu if there else Tensor
    if tensor.is_leaf and tensor.requires_grad:  # and stays a leaf
        return tensor.detach().as_subclass(kind).requires_grad_()
    return tensor.as_subclass(kind)


def _plain(func: Any, args: Any, kwargs: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return func(*args, **kwargs)


def answer(func: Any, args: Any, kwargs: Any) -> Any:
    """What the call answers, where some of its tensors are on the GPU or are asked for there."""
    if func in SAYS:
        return SAYS[func](args[0])
    if func is Tensor.pin_memory:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    if func in READS:
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first."
        )
    if func is Tensor.cpu:
        return _moved(args[0], False, lambda tensor: tensor)
    if func is Tensor.cuda:
        return _moved(args[0], True, lambda tensor: tensor)
    if func is Tensor.to:
        return _to(*args, **kwargs)
    if func is Tensor.__deepcopy__:
        return _copied(*args)
    if func is Tensor.__format__:
        return _plain(func, (_put(args[0], False), *args[1:]), kwargs)
    tensors = tensors_in((args, kwargs))
    ours, apart = _parted(tensors)
    check_call(func, args, kwargs, ours, apart)
    device = kwargs.get("device")
    there = _means_gpu(device) if device is not None else bool(ours)
    if device is not None:
        if there and kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        kwargs = {**kwargs, "device": CPU}
    found = _plain(func, args, kwargs)

    def put(value: Any) -> Any:
        is_new = isinstance(value, Tensor) and not any(value is one for one in tensors)
        return _put(value, there) if is_new else value

    return each(found, put)


def _moved(tensor: Tensor, there: bool, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Copied if it goes to the other side, as memory is."""
    changed = change(tensor)
    if on_gpu(tensor) == there:
        return changed if changed is tensor else _put(changed, there)
    if changed is tensor:
        changed = _plain(Tensor.clone, (tensor,), {"memory_format": torch.preserve_format})
    return _put(changed, there)


def _to(tensor: Tensor, *words: Any, **named: Any) -> Tensor:
    words_, there = list(words), on_gpu(tensor)
    for place, word in enumerate(words_):
        if isinstance(word, Tensor):
            there, words_[place] = on_gpu(word), _put(word, False)
        elif isinstance(word, (str, torch.device)):
            there, words_[place] = _means_gpu(word), CPU
    if named.get("device") is not None:
        there, named = _means_gpu(named["device"]), {**named, "device": CPU}
    named.pop("non_blocking", None)
    return _moved(tensor, there, lambda one: _plain(Tensor.to, (one, *words_), named))


def _copied(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(tensor) not in memo:
        found = _put(copy.deepcopy(_put(tensor.detach(), False)), on_gpu(tensor))
        is_parameter = isinstance(tensor, nn.Parameter)
        found = nn.Parameter(found, tensor.requires_grad) if is_parameter else found
        memo[id(tensor)] = found if is_parameter else found.requires_grad_(tensor.requires_grad)
    copied: Tensor = memo[id(tensor)]
    return copied


# ---------------------------------------------------------------------------------------------------------- graphs


@dataclass(eq=False)
class Made:
    """What a call of a graph answers: the graph's own memory."""


class Outside:
    """What was there before the capture: a graph knows its memory alone, and does not keep it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.memory = weakref.ref(tensor), self._memory(tensor)

    def check(self) -> None:
        tensor = self.tensor()
        if tensor is None or self._memory(tensor) != self.memory:
            raise RuntimeError(
                "CUDA error: an illegal memory access: the graph works on memory that is another's now"
            )

    @staticmethod
    def _memory(tensor: Tensor) -> tuple[int, int | None]:
        with torch._C.DisableTorchFunction():
            grad = tensor.grad if tensor.is_leaf else None
            return tensor.data_ptr(), None if grad is None else grad.data_ptr()


@dataclass
class Call:
    """A call that was captured, and what it depended on beside its arguments."""

    func: Any
    taken: Any
    out: Any
    grad: bool
    autocast: tuple[bool, torch.dtype]


class Graph:
    """In place of `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.outside: list[Outside] = []
        self.known: dict[int, tuple[Tensor, Any]] = {}
        """While it is captured: what stands for a tensor, by its id."""

    def taken(self, value: Any) -> Any:
        """An argument as the graph has it; of the CPU's numbers those of this moment."""
        if not isinstance(value, Tensor):
            return value
        if not on_gpu(value):
            return value.clone()
        if id(value) not in self.known:
            self.outside.append(Outside(value))
            self.known[id(value)] = value, self.outside[-1]
        return self.known[id(value)][1]

    def given(self, value: Any) -> Any:
        """An answer."""
        return self.known.setdefault(id(value), (value, Made()))[1] if on_gpu(value) else None

    def replay(self) -> None:
        """The calls once more: what one answered before stands for what it answers now."""
        now: dict[Made, Any] = {}

        def there(value: Any) -> Any:
            if isinstance(value, Outside):
                return value.tensor()
            return now[value] if isinstance(value, Made) else value

        for one in self.outside:
            one.check()
        for call in self.calls:
            enabled, dtype = call.autocast
            args, kwargs = each(call.taken, there)
            with torch.set_grad_enabled(call.grad), torch.amp.autocast("cpu", dtype, enabled):
                found = answer(call.func, args, kwargs)
            for old, new in zip(call.out, leaves(found), strict=True):
                if isinstance(old, Made):
                    now[old] = new


class Gpu(TorchFunctionMode):
    """Sees every call of a torch function."""

    def __init__(self) -> None:
        super().__init__()
        self.graph: Graph | None = None
        """The one that is being captured."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = tensors_in((args, kwargs))
        concerned = any(map(on_gpu, tensors)) or (func is Tensor.to or func is Tensor.cuda)
        device = kwargs.get("device")
        if func is Tensor.pin_memory and not concerned:
            return args[0].clone()
        if not concerned and (device is None or isinstance(device, int) or not _means_gpu(device)):
            return func(*args, **kwargs)
        if self.graph is None:
            return answer(func, args, kwargs)
        check_free(func, args, kwargs, _parted(tensors)[1])
        if func is Tensor.to and not on_gpu(_to(*args, **kwargs)):
            refuse("to")
        taken = each((args, kwargs), self.graph.taken)
        out = answer(func, args, kwargs)
        given = [self.graph.given(value) for value in leaves(out)]
        autocast = (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
        self.graph.calls.append(Call(func, taken, given, torch.is_grad_enabled(), autocast))
        return out

    def synchronize(self, *_: Any) -> None:
        """In place of `torch.cuda.synchronize`."""
        if self.graph is not None:
            refuse("synchronize")

    @contextmanager
    def capture(self, graph: Graph, **how: Any) -> Iterator[None]:
        """In place of `torch.cuda.graph`. While it lasts the calls do happen, which on a GPU they do not."""
        del how
        self.graph = graph
        try:
            yield
        finally:
            self.graph = None
            graph.known.clear()


class Stream:
    """In place of `torch.cuda.Stream` and `Event`."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def wait_stream(self, other: Stream) -> None: ...

    def synchronize(self) -> None: ...

    def record(self, *_: Any) -> None: ...


_by_real_device = torch.optim.Optimizer._group_tensors_by_device_and_dtype


def _grouped(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    """As torch groups what an optimizer moves: its own code asks each tensor where it really lies."""
    found = _by_real_device(*args, **kwargs)
    return {
        (CUDA if on_gpu(groups[0][0]) else device, dtype): (groups, index)
        for (device, dtype), (groups, index) in found.items()
    }


@contextmanager
def pretended() -> Iterator[None]:
    """As long as it lasts this machine has a GPU."""
    mode, stream, autocast = Gpu(), Stream(), torch.autocast
    found: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
        "is_initialized": lambda: False, "_lazy_init": lambda: None, "set_device": lambda *_: None,
        "mem_get_info": lambda *_: (8 << 30, 16 << 30), "memory_reserved": lambda *_: 0,
        "get_device_name": lambda *_: "a GPU that is not there", "get_device_capability": lambda *_: (9, 0),
        "synchronize": mode.synchronize, "Stream": Stream, "Event": Stream, "current_stream": lambda *_: stream,
        "default_stream": lambda *_: stream, "stream": lambda _: nullcontext(), "set_stream": lambda _: None,
        "CUDAGraph": Graph, "graph": mode.capture,
    }  # fmt: skip
    with ExitStack() as patches:
        for name, value in found.items():
            patches.enter_context(patch.object(torch.cuda, name, value))
        for where, name, value in (
            (torch.__future__, "get_swap_module_params_on_conversion", lambda: True),
            (torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda _: None),
            (torch.optim.Optimizer, "_group_tensors_by_device_and_dtype", staticmethod(_grouped)),
            (torch, "autocast", lambda kind, **how: autocast("cpu" if kind == "cuda" else kind, **how)),
        ):
            patches.enter_context(patch.object(where, name, value))
        patches.enter_context(mode)
        chance, filled = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic
        before = filled.fill_uninitialized_memory
        try:
            yield
        finally:  # what a training settles for its process
            torch.use_deterministic_algorithms(chance)
            filled.fill_uninitialized_memory = before
