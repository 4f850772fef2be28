"""What must hold on a GPU as it does on a CPU: the same tables, the same course, pruned weights at zero."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train import small
from tests.train.test_hooks import Everything
from ticketctl.errors import StoppedError
from ticketctl.seeds import Seeds
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.train.stepper import Ahead

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda", 0)


def fit(folder: Path, device: torch.device) -> Fit:
    bench = small.bench(small.train_spec(epochs=3, weight_decay=0.01), padding=1, device=device)
    lab = small.lab(folder, bench)
    return lab.fit_in(FitFiles(folder), small.weights(), small.half(), keep=(), title="test")


def test_order_augmentation_and_pixels_are_those_of_the_cpu() -> None:
    feeds = [small.bench(padding=1, device=device).feed for device in (small.CPU, CUDA)]
    for epoch in range(2):
        for feed in feeds:
            feed.begin_epoch(Seeds(4), epoch)
        for position in range(feeds[0].steps_per_epoch):
            ours, theirs = (feed.batch(position) for feed in feeds)
            assert torch.equal(ours[2], theirs[2].cpu())
            assert torch.equal(ours[1], theirs[1].cpu())
            torch.testing.assert_close(ours[0], theirs[0].cpu(), rtol=0, atol=1e-6)


def test_the_course_is_that_of_the_cpu_within_float32_and_pruned_weights_are_zero(tmp_path: Path) -> None:
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
    cudnn, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        ours, theirs = fit(tmp_path / "cuda", CUDA), fit(tmp_path / "cpu", small.CPU)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before, cudnn
    for name, value in theirs.end().weights.items():
        torch.testing.assert_close(ours.end().weights[name], value, rtol=1e-3, atol=1e-4)
    for name, keep in small.half().keep.items():
        assert bool((ours.end().weights[name][~keep] == 0).all())
    torch.testing.assert_close(ours.history, theirs.history, rtol=1e-3, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_of_the_gpu_is_continued_to_the_bits_of_an_undisturbed_run(
    optimizer: str, tmp_path: Path
) -> None:
    spec = small.train_spec(epochs=3, optimizer=optimizer, lr=0.01)
    asked = iter(range(1000))
    stopping = small.bench(spec, padding=1, device=CUDA, stop=lambda: 75 if next(asked) > 8 else None)
    with pytest.raises(StoppedError):
        small.lab(tmp_path / "cut", stopping).fit(small.weights(), small.half())
    cut, whole = (
        small.lab(tmp_path / name, small.bench(spec, padding=1, device=CUDA)).fit(
            small.weights(), small.half()
        )
        for name in ("cut", "whole")
    )
    assert cut.steps == whole.steps == 9
    assert cut.files.final.read_bytes() == whole.files.final.read_bytes()


def test_the_step_is_one_graph_that_every_round_reuses(tmp_path: Path) -> None:
    bench = small.bench(small.train_spec(epochs=3), padding=1, device=CUDA)
    lab = small.lab(tmp_path, bench)
    graphs = []
    for seed in range(3):
        lab.fit(small.weights(), small.half(seed))
        (machine,) = bench.machines.values()
        graphs.append(machine.ahead.graph)
    assert graphs[0] is not None
    assert graphs[0] is graphs[1] is graphs[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_graph_takes_the_course_of_eager_steps(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small.train_spec(epochs=3, optimizer=optimizer, lr=0.01, schedule="cosine")
    replayed = small.lab(tmp_path / "graph", small.bench(spec, padding=1, device=CUDA)).fit(
        small.weights(), small.half()
    )
    monkeypatch.setattr(Ahead, "capture", lambda self: None)
    eager = small.lab(tmp_path / "eager", small.bench(spec, padding=1, device=CUDA)).fit(
        small.weights(), small.half()
    )
    for name, value in eager.end().weights.items():
        torch.testing.assert_close(replayed.end().weights[name], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(replayed.history, eager.history, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_loss_that_is_not_finite_is_noticed_and_the_net_before_it_kept(
    optimizer: str, tmp_path: Path
) -> None:
    bench = small.bench(small.train_spec(epochs=3, lr=1e30, optimizer=optimizer), device=CUDA)
    fit = small.lab(tmp_path, bench).fit_in(
        FitFiles(tmp_path), small.weights(), small.half(), keep=(), title="t"
    )
    assert fit.diverged
    assert fit.end().finite


def test_hooks_see_on_the_gpu_what_they_see_on_the_cpu(tmp_path: Path) -> None:
    spec = small.train_spec(epochs=4, weight_decay=0.01)
    ours, theirs = (
        small.lab(tmp_path / device.type, small.bench(spec, device=device)).fit(
            small.weights(), small.half(), hooks=[Everything()]
        )
        for device in (CUDA, small.CPU)
    )
    assert torch.equal(ours.hook(0)["seen"].cpu(), theirs.hook(0)["seen"])
    assert ours.mask_at_end().equal(theirs.mask_at_end())
