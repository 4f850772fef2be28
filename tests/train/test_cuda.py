"""What must hold on a GPU as it does on a CPU: the same tables, the same course, pruned weights at zero."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train import small
from ticketctl.seeds import Seeds
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit

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


def test_a_checkpoint_of_the_gpu_is_continued(tmp_path: Path) -> None:
    from ticketctl.errors import StoppedError

    asked = iter(range(1000))
    bench = small.bench(padding=1, device=CUDA, stop=lambda: 75 if next(asked) > 8 else None)
    with pytest.raises(StoppedError):
        small.lab(tmp_path, bench).fit(small.weights(), small.half())
    done = small.lab(tmp_path, small.bench(padding=1, device=CUDA)).fit(small.weights(), small.half())
    assert done.notes["status"] == "done"
    assert done.steps == 6
