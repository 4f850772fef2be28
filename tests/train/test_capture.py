"""How a step is captured in a process that is at several trainings, each on a stream of its own."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from ticketctl.nets.foreign import built
from ticketctl.nets.torch_wide import ALONE, borrowed_generators
from ticketctl.train import capture


def free_for_others() -> bool:
    """Whether another thread of the process could capture, or borrow torch's generators, now."""
    found: list[bool] = []

    def look() -> None:
        found.append(ALONE.acquire(blocking=False))
        if found[0]:
            ALONE.release()

    thread = Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


class Stream:
    """Of a GPU that is not there."""

    def wait_stream(self, other: Stream) -> None: ...


class Cuda:
    """What a capture asks of torch, and how it was asked."""

    def __init__(self, current: Stream, default: Stream) -> None:
        self.Stream, self.CUDAGraph = Stream, object
        self.current_stream, self.default_stream = lambda: current, lambda: default
        self.streams: list[Stream] = []
        self.modes: list[str] = []

    def stream(self, stream: Stream) -> AbstractContextManager[Any]:
        self.streams.append(stream)
        return nullcontext()

    def graph_pool_handle(self) -> object:
        return None

    def graph(
        self, graph: object, *, stream: Stream, capture_error_mode: str, **memory: object
    ) -> AbstractContextManager[Any]:
        self.streams.append(stream)
        self.modes.append(capture_error_mode)
        return nullcontext()


@pytest.mark.parametrize("own", [True, False])
def test_a_step_is_captured_alone_on_the_stream_of_its_thread_or_on_another_than_the_default(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default stream cannot be captured; a new one where the thread has its own could be another thread's."""
    default = Stream()
    cuda = Cuda(Stream() if own else default, default)
    monkeypatch.setattr(capture, "torch", SimpleNamespace(cuda=cuda))
    seen: list[bool] = []
    capture.captured(lambda: seen.append(free_for_others()))
    assert seen == [False] * (capture.WARM_UP + 1)
    assert free_for_others()
    assert len({*cuda.streams}) == 1  # what warmed up there is captured there
    assert (cuda.streams[0] is cuda.current_stream()) == own
    assert cuda.streams[0] is not default
    assert cuda.modes == ["thread_local"]  # or another thread's memory would break the capture


def test_who_borrows_torchs_generators_has_them_alone_and_gives_them_back() -> None:
    before = torch.get_rng_state()
    with borrowed_generators():
        torch.rand(3)
        with borrowed_generators():  # a net within an attack
            assert not free_for_others()
        assert not free_for_others()
    assert free_for_others()
    assert torch.equal(before, torch.get_rng_state())


def test_a_net_of_somebody_else_is_built_while_nobody_else_takes_numbers() -> None:
    seen: list[bool] = []

    def build(name: str, **shape: object) -> nn.Module:
        seen.append(free_for_others())
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))

    built(cast("ModuleType", SimpleNamespace(build=build)), "own:net", (1, 4, 4), 2, "cifar", {})
    assert seen == [False]
