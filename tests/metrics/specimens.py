"""Nets and images to try metrics on that need the net itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Answers, Exam
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.predict import answers_of
from ticketctl.train.specimen import Specimen

CPU = torch.device("cpu")


def specimen(
    model: nn.Module,
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    mask: Mask | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    classes: int = 10,
) -> Specimen:
    """`model` with uint8 [N, C, H, W] as `train`, `val` and `test` alike; the scaling is x/255 unless said."""
    channels = pixels.shape[1]
    scaling = Scaling.of(mean or (0.0,) * channels, std or (1.0,) * channels, CPU)
    images = Images(Split(pixels, labels.astype(np.int64)), None, scaling, CPU)
    known = dict.fromkeys(("train", "val", "test"), images)
    return Specimen(model.eval(), mask, known, classes, scaling)


def random_images(
    count: int, shape: tuple[int, int, int], classes: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Seeded uint8 [count, C, H, W] and int64 labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.integers(0, classes, count)


def picked(net: Specimen, places: list[int]) -> Specimen:
    """The same net, shown only the images at `places` of every set, as `audit.images` does."""
    found = {name: images.pick(np.array(places)) for name, images in net.images.items()}
    return replace(net, images=found)


def apart(net: Specimen) -> Specimen:
    """The same net, whose `val` and `test` are other images under other labels than `train`: whoever looks at the wrong
    set finds other numbers."""
    train, found = net.images["train"], {"train": net.images["train"]}
    for number, name in enumerate(("val", "test"), start=1):
        pixels, labels = (
            (255 - train.pixels, train.pixels ^ 85)[number - 1],
            (train.labels + number) % net.classes,
        )
        found[name] = Images(Split(pixels.numpy(), labels.numpy()), None, net.scaling, CPU)
    return replace(net, images=found)


def exam_of(net: Specimen, seed: int = 0, more: Mapping[str, Answers] | None = None) -> Exam:
    """An exam whose answers are what the net really says, and `more`."""
    known = dict(more or {})

    def answers(name: str) -> Answers:
        if name not in known:
            known[name] = answers_of(net.model, net.images[name])
        return known[name]

    return Exam(answers, [*net.images, *known], Seeds(seed), net)
