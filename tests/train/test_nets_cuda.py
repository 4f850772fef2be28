"""Every net of ours on a GPU: one graph, and the course of a CPU within what float32 sums in another order differ."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.stages.tiny import Heard
from tests.train import small
from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import build, initialise_
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.device import Place, settle_arithmetic
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit, Lab
from ticketctl.train.state import State

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda", 0)
NETS = sorted(name for name in plugins("nets") if ":" not in name)
ROUGH = ("lenet-300-100", "mobilenet", "resnet18", "vgg11", "wrn-22-2")
"""One of each family, to be trained in bfloat16 too."""
SHAPE, CLASSES, IMAGES, BATCH = (3, 32, 32), 4, 7, 4
"""Two steps an epoch, the last of three images."""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `settle_arithmetic` settles for the whole process; and one warm-up is enough to see a graph."""
    monkeypatch.setattr("ticketctl.train.capture.WARM_UP", 1)
    chance, filled = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic
    before = filled.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(chance)
    filled.fill_uninitialized_memory = before


def images(count: int, seed: int, device: torch.device) -> Images:
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    scaling = Scaling.of((0.5,) * 3, (0.3,) * 3, device)
    return Images(Split(pixels, draws.integers(0, CLASSES, count)), None, scaling, device)


def trained(name: str, device: torch.device, folder: Path, **keys: Any) -> tuple[Fit, list[str]]:
    """Of a net a sixteenth as wide, half of whose weights are masked."""
    train = small.train_spec(epochs=1, batch=BATCH, lr=0.01, deterministic=True, **keys)
    settle_arithmetic(train, device)
    width = {} if name.startswith(("lenet", "torchvision")) else {"width": Fraction(1, 16)}
    net = build(name, shape=SHAPE, classes=CLASSES, **width)
    if not name.startswith("torchvision"):
        initialise_(net, "kaiming-normal", Seeds(0))
    start = State.of(net, 0)
    shapes = {name: value.shape for name, value in net.named_parameters() if value.dim() > 1}
    draws = np.random.default_rng(1)
    mask = Mask.from_arrays({name: draws.random(tuple(shape)) < 0.5 for name, shape in shapes.items()})
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    feed = Feed(images(IMAGES, 0, device), batch=BATCH, padding=2, drop_last=False)
    place, heard = Place(device, train.precision), Heard()
    bench = Bench(net, feed, {"test": images(6, 2, device)}, train, place, heard, small.never)
    lab = Lab(bench, Seeds(0), start, shapes, 0, False, (), {"test": name}, folder)
    return lab.fit_in(FitFiles(folder), start, mask, keep=(), title="test"), heard.notes


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "f32") for name in NETS), *((name, "bf16") for name in ROUGH)]
)
def test_a_training_is_one_graph_that_takes_the_course_of_a_cpu(
    name: str, precision: str, tmp_path: Path
) -> None:
    """By kernels alone that are deterministic."""
    (ours, said), (theirs, _) = (
        trained(name, device, tmp_path / device.type, precision=precision) for device in (CUDA, small.CPU)
    )
    assert said == []
    within = 5e-3 if precision == "f32" else 0.05
    for key, value in theirs.end().weights.items():
        torch.testing.assert_close(ours.end().weights[key], value, rtol=4 * within, atol=within, msg=key)
    torch.testing.assert_close(ours.history, theirs.history, rtol=4 * within, atol=within, equal_nan=True)
