"""Pictures of a rank: images as points of a plane, the windows of the rank they are in, and ellipses of the classes.

Points come from features by the first 50 principal components and t-SNE (van der Maaten and Hinton 2008), as in paper
000, figure 5. Nothing is drawn here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ticketctl.errors import UsageError
from ticketctl.masks.prunable import head
from ticketctl.metrics import _tsne
from ticketctl.train.predict import batch_on
from ticketctl.train.specimen import Specimen

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Poll = Callable[[], None]

WINDOWS = ((0.0, 0.05), (0.4, 0.45), (0.95, 1.0))
"""Shares of all images, those of lowest rank first, between which each window of the figure lies."""
PERPLEXITY, DEVIATIONS = 30.0, 2.0
LEAST = 5
"""Images below which there is no picture."""


def drawn(ranks: Floats, every: int) -> tuple[Ints, Ints]:
    """Every `every`-th image in the order of its rank, equal ranks in the order of the images.

    Returns:
        Their places int64 [n], and which window each is in, int64 [n], -1 for none.
    """
    at = np.arange(0, len(ranks), every)
    window = np.full(len(at), -1, dtype=np.int64)
    for number, (low, high) in enumerate(WINDOWS):
        window[(at >= low * len(ranks)) & (at < high * len(ranks))] = number
    return np.argsort(ranks, kind="stable")[at], window


@torch.no_grad()
def penultimate(net: Specimen, places: Ints) -> NDArray[np.float32]:
    """What goes into the last Linear layer for the training images at `places` [n]: float32 [n, D].

    Raises:
        UsageError: the net has no Linear layer, or does not call it.
    """
    name = head(net.model)
    layer = net.model.get_submodule(name.rpartition(".")[0]) if name is not None else None
    found: list[NDArray[np.float32]] = []
    if layer is not None:
        handle = layer.register_forward_pre_hook(
            lambda _, inputs: found.append(inputs[0].flatten(1).float().cpu().numpy())
        )
        try:
            for pixels in batches(net, places, batch_on(net.device)):
                net.logits(pixels)
        finally:
            handle.remove()
    if not found:
        raise UsageError(
            f'metrics.compression-position.embedding = "features": {type(net.model).__name__} has no last Linear layer'
        )
    return np.concatenate(found)


def batches(net: Specimen, places: Ints, size: int) -> Iterator[Tensor]:
    """The training images at `places`, float32 [B, C, H, W] in [0, 1] on the device, at most `size` at a time."""
    for part in np.array_split(places, -(-len(places) // size)):
        net.poll()
        yield net.images["train"].take(torch.from_numpy(part).to(net.device)).float() / 255


def spread(features: NDArray[Any], seed: int, poll: Poll) -> Floats:
    """50 principal components, and t-SNE of them in the plane, float64 [n, 2]: scikit-learn's, Barnes-Hut.

    Its perplexity is 30, or a third of all images where there are fewer than 91. It runs in a process of its own, which
    can be ended, and there in one thread: with more, sums are in another order each time, and pictures too.

    Args:
        features: [n, D], n >= 5.
        seed: of what it draws, 0 to 2^32 - 1.
        poll: called while it runs; may raise to stop.

    Raises:
        RuntimeError: scikit-learn failed.
    """
    with TemporaryDirectory(prefix="ticketctl-") as folder:
        source, target = Path(folder, "features"), Path(folder, "points")
        features.astype(np.float64).tofile(source)
        words = [len(features), perplexity_of(len(features)), seed, source, target]
        _run([sys.executable, "-P", _tsne.__file__, *map(str, words)], Path(folder, "said"), poll)
        return np.fromfile(target).reshape(len(features), 2)


def _run(command: list[str], said: Path, poll: Poll) -> None:
    """Run it to its end, or end it where `poll` raises; what it says goes into a file."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with said.open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **one}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            while process.poll() is None:
                poll()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        lines = said.read_text(errors="replace").split("\n")
        raise RuntimeError(
            f"t-SNE failed: {next((line for line in reversed(lines) if line), process.returncode)}"
        )


def perplexity_of(count: int) -> float:
    """About how many neighbours of an image count, of so many images."""
    return min(PERPLEXITY, (count - 1) / 3)


def ellipses(points: Floats, groups: Ints, count: int) -> Floats:
    """Where two standard deviations of each group lie: centre x and y, half axes long and short, angle of the long one.

    Args:
        points: [n, 2].
        groups: int64 [n], in 0 … count - 1.
        count: groups.

    Returns:
        float64 [count, 5], the angle in radians in (-pi/2, pi/2] from the x axis; NaN for a group of under 3 points.
    """
    found = np.full((count, 5), np.nan)
    for group in range(count):
        own = points[groups == group]
        if len(own) > 2:
            sizes, axes = np.linalg.eigh(np.cov(own.T))
            x, y = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
            half = DEVIATIONS * np.sqrt(np.maximum(sizes[::-1], 0))
            found[group] = [*own.mean(0), *half, np.arctan2(y, x) if x > 0 else np.pi / 2]
    return found
