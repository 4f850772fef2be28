"""The GPU that is not there (`--pretend-gpu`) refuses what a real one refuses, and answers what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.pretend_gpu import pretended

HERE = torch.arange(4.0)
NUMBER = torch.tensor(2.0)


@pytest.fixture(autouse=True)
def _there() -> Iterator[None]:
    if torch.cuda.is_available():
        pytest.skip("a real GPU is here")
    with pretended():
        yield


@pytest.fixture
def x() -> Tensor:
    return torch.arange(4.0, device="cuda").requires_grad_(False)


def graph_of(step: Callable[[], object]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


REFUSED: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "two devices": (lambda x: x + HERE, "same device"),
    "a scalar of the CPU among others": (lambda x: torch.stack([x[0], NUMBER]), "same device"),
    "a scalar of the CPU that is changed": (lambda x: NUMBER.clone().add_(x[0]), "same device"),
    "an index of the GPU into the CPU": (lambda x: HERE[x.long()], "same device"),
    "values of the CPU at an index": (lambda x: x.__setitem__(x.long(), HERE), "same device"),
    "numpy": (lambda x: x.numpy(), "Use Tensor.cpu"),
    "numpy, by itself": (lambda x: np.asarray(x), "Use Tensor.cpu"),
    "a generator of the CPU": (
        lambda _: torch.randn(2, device="cuda", generator=torch.Generator()), "'cuda' device type for generator",
    ),
    "a product of whole numbers": (lambda x: x.long() @ x.long(), "not implemented for"),
    "memory of the GPU that is pinned": (lambda x: x.pin_memory(), "only dense CPU tensors"),
    "moments in another layout": (
        lambda x: torch._fused_sgd_(
            [x.view(2, 2)], [x.view(2, 2).t()], [], weight_decay=0.0, momentum=0.0, lr=0.1, dampening=0.0,
            nesterov=False, maximize=False, is_first_step=False,
        ), "layout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_gpu_refuses(what: str, x: Tensor) -> None:
    call, says = REFUSED[what]
    with pytest.raises((RuntimeError, TypeError), match=says):
        call(x)


CHANCE: dict[str, Callable[[Tensor], object]] = {
    "kthvalue": lambda x: x.kthvalue(2),
    "a median with its index": lambda x: x.median(0),
    "a weighted bincount": lambda x: torch.bincount(x.long(), x),
    "pooling to a size, to be learned through": lambda x: F.adaptive_avg_pool2d(
        x.view(1, 1, 2, 2).requires_grad_(), 2
    ),
    "bilinear interpolation, likewise": lambda x: F.interpolate(
        x.view(1, 1, 2, 2).requires_grad_(), 3, mode="bilinear"
    ),
    "cross-entropy at each position": lambda x: F.cross_entropy(
        x.view(1, 2, 2), torch.zeros_like(x[:2]).long()[None]
    ),
}


@pytest.mark.parametrize("what", CHANCE)
def test_nothing_by_chance_runs_where_torch_is_to_be_deterministic(what: str, x: Tensor) -> None:
    CHANCE[what](x.clone())
    torch.use_deterministic_algorithms(True)
    with pytest.raises(RuntimeError, match="deterministic implementation"):
        CHANCE[what](x.clone())


def test_what_is_deterministic_is_let_pass(x: Tensor) -> None:
    torch.use_deterministic_algorithms(True)
    F.adaptive_avg_pool2d(x.view(1, 1, 2, 2).requires_grad_(), 1)
    F.interpolate(x.view(1, 1, 2, 2).requires_grad_(), 3, mode="nearest")
    assert float(x.median()) == 1.0


WAITS: dict[str, Callable[[Tensor], object]] = {
    "an item": lambda x: x[0].item(),
    "a comparison": lambda x: bool(x[0] > 0),
    "the places of what is true": lambda x: (x > 1).nonzero(),
    "those places, asked otherwise": lambda x: torch.where(x > 1),
    "a mask as an index": lambda x: x[x > 1],
    "a scalar as an index": lambda x: x[x[0].long()],
    "a scalar as an end": lambda x: x[: x[2].long()],
    "a list as an index": lambda x: x[[0, 1]],
    "an index of the CPU": lambda x: x[torch.tensor([0, 1])],
    "a copy to the GPU": lambda _: HERE.to("cuda"),
    "a scalar's copy to the GPU": lambda _: NUMBER.to("cuda"),
    "a scalar copied in": lambda x: x[0].copy_(NUMBER),
    "a copy to the CPU": lambda x: x.cpu(),
    "a copy to the CPU, asked otherwise": lambda x: x.to("cpu"),
    "a tensor of numbers": lambda _: torch.tensor([1.0], device="cuda"),
    "a tensor like another": lambda x: x.new_tensor([1.0]),
    "counts": lambda x: x.long().bincount(),
    "repeats": lambda x: x.repeat_interleave(x.long()),
    "a root": lambda x: torch.linalg.cholesky(x.diag() + 1),
    "the device": lambda _: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("what", WAITS)
def test_a_capture_waits_for_nothing(what: str, x: Tensor) -> None:
    if what != "a root":
        WAITS[what](x)
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        graph_of(lambda: WAITS[what](x))


def test_a_replay_is_the_calls_and_nothing_that_python_did(x: Tensor) -> None:
    out, counted, factor = torch.zeros_like(x), [0], torch.tensor(3.0)

    def step() -> None:
        counted[0] += 1
        out.copy_(x * factor * counted[0])

    graph = graph_of(step)
    x.add_(1)
    factor.fill_(100.0)  # the host's number was taken down
    graph.replay()
    assert counted == [1]
    assert out.tolist() == [3.0, 6.0, 9.0, 12.0]


class Training:
    """SGD with momentum on one batch, and its step as a graph."""

    def __init__(self) -> None:
        self.net = nn.Linear(4, 1).to("cuda")
        with torch.no_grad():
            self.net.weight.fill_(0.5)
            self.net.bias.zero_()
        rate = torch.tensor(0.01, device="cuda")
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=rate, momentum=0.9, fused=True)
        self.inputs = torch.ones(2, 4, device="cuda")
        self.step()

    def step(self) -> None:
        self.net(self.inputs).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def test_a_captured_step_trains_as_the_step_does() -> None:
    ours, theirs = Training(), Training()
    graph = graph_of(ours.step)  # which takes one
    for _ in range(4):
        graph.replay()
    for _ in range(5):
        theirs.step()
    assert torch.equal(ours.net.weight, theirs.net.weight)


def _other_weights(of: Training) -> None:
    of.net.weight.data = of.net.weight.detach().clone()


def _other_moments(of: Training) -> None:
    state = of.optimizer.state[of.net.weight]
    state["momentum_buffer"] = state["momentum_buffer"].clone()


def _a_gradient(of: Training) -> None:
    of.net.weight.grad = torch.zeros_like(of.net.weight)


def _other_inputs(of: Training) -> None:
    of.inputs = torch.ones(2, 4, device="cuda")


@pytest.mark.parametrize("change", [_other_weights, _other_moments, _a_gradient, _other_inputs])
def test_memory_that_was_replaced_since_the_capture_is_noticed(change: Callable[[Training], None]) -> None:
    training = Training()
    graph = graph_of(training.step)
    graph.replay()
    change(training)
    with pytest.raises(RuntimeError, match="memory that is another's now"):
        graph.replay()


def test_pinned_memory_is_a_copy() -> None:
    own = torch.arange(3)
    pinned = own.pin_memory()
    own.zero_()
    assert pinned.to("cuda", non_blocking=True).tolist() == [0, 1, 2]
