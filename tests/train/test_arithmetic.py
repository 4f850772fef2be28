"""What torch has once for a process: of a training that shares one, before another or beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread

import pytest
import torch
from torch import Tensor

from ticketctl.recipe import TrainSpec
from ticketctl.train.device import Place, settle_arithmetic

CPU = torch.device("cpu")
PLACE = Place(CPU, "bf16")


def beside(work: Callable[[], object]) -> None:
    """Do it in another thread, and wait for it."""
    thread = Thread(target=work)
    thread.start()
    thread.join()


def test_a_weight_used_twice_has_the_same_gradient_whatever_other_threads_are_at() -> None:
    def elsewhere() -> None:
        with PLACE.autocast():
            pass

    def gradient(meanwhile: Callable[[], object]) -> Tensor:
        numbers = torch.Generator().manual_seed(0)
        weight = torch.randn(64, 64, generator=numbers).requires_grad_()
        with PLACE.autocast():
            half = torch.tanh(torch.randn(32, 64, generator=numbers) @ weight)
            meanwhile()
            loss = (half @ weight).float().square().sum()
        loss.backward()
        assert weight.grad is not None
        return weight.grad

    assert torch.equal(gradient(lambda: None), gradient(lambda: beside(elsewhere)))


FLAGS = (
    (torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cudnn, "benchmark"), (torch.backends.cudnn, "deterministic"),
    (torch.utils.deterministic, "fill_uninitialized_memory"),
)  # fmt: skip


@pytest.fixture
def _as_before() -> Iterator[None]:
    threads, flags = torch.get_num_threads(), [(*flag, getattr(*flag)) for flag in FLAGS]
    yield
    torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
    for flag in flags:
        setattr(*flag)


@pytest.mark.usefixtures("_as_before")
def test_a_training_keeps_its_threads_whatever_those_of_another_in_the_process_are() -> None:
    found = []

    def training() -> None:
        settle_arithmetic(TrainSpec(epochs=1, threads=3), CPU)
        beside(lambda: settle_arithmetic(TrainSpec(epochs=1, threads=2), CPU))
        found.append(torch.get_num_threads())

    beside(training)
    assert found == [3]


@pytest.mark.long
@pytest.mark.usefixtures("_as_before")
def test_a_training_on_a_gpu_is_deterministic_if_it_says_so_and_not_because_the_one_before_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for wanted in (True, False):
        train = TrainSpec(epochs=1, threads=1, deterministic=wanted)
        settle_arithmetic(train, torch.device("cuda", 0))
        assert torch.are_deterministic_algorithms_enabled() == wanted
