"""Crops and flips against slices of single images, whatever their shape; and that memory holds no more than it must."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ticketctl.data.sets import Split
from ticketctl.seeds import Seeds
from ticketctl.train.feed import Feed, Images, Scaling, crops
from ticketctl.train.windows import Windows

CPU = torch.device("cpu")
COUNT = 7


def pixels(channels: int, height: int, width: int, count: int = COUNT) -> NDArray[np.uint8]:
    stream = np.random.default_rng([channels, height, width])
    return stream.integers(1, 256, (count, channels, height, width), dtype=np.uint8)  # 0 is the padding alone


def by_slices(image: NDArray[np.uint8], flip: int, down: int, right: int, padding: int) -> NDArray[np.uint8]:
    """An image [C, H, W] between black rows and columns, mirrored or not, and what is cut out of it."""
    channels, height, width = image.shape
    sheet = np.zeros((channels, height + 2 * padding, width + 2 * padding), np.uint8)
    sheet[:, padding : padding + height, padding : padding + width] = image
    sheet = sheet[:, :, ::-1] if flip else sheet
    return sheet[:, down : down + height, right : right + width]


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_crop_of_every_image_is_the_slice_of_it(
    channels: int, height: int, width: int, padding: int
) -> None:
    images = pixels(channels, height, width)
    windows, offsets = Windows(torch.from_numpy(images), padding), range(2 * padding + 1)
    table = [
        (image, flip, down, right)
        for image in range(COUNT)
        for flip in (0, 1)
        for down in offsets
        for right in offsets
    ]
    found = windows.cut(*torch.tensor(table).T)
    assert found.dtype == torch.uint8
    assert found.is_contiguous(memory_format=torch.channels_last)
    truth = [by_slices(images[image], *how, padding) for image, *how in table]
    np.testing.assert_array_equal(found.numpy(), np.stack(truth))


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("channels", [1, 4])
def test_an_epoch_of_any_number_of_channels_is_the_slices_scaled(channels: int, resident: bool) -> None:
    images, seeds = pixels(channels, 5, 6), Seeds(4)
    mean, std = (0.3, 0.5, 0.1, 0.9)[:channels], (0.2, 0.4, 0.3, 0.1)[:channels]
    split, scaling = Split(images, np.arange(COUNT)), Scaling.of(mean, std, CPU)
    feed = Feed(Images(split, None, scaling, CPU, resident=resident), batch=3, padding=2, drop_last=False)
    feed.begin_epoch(seeds, 1)
    table = crops(seeds.raw("augment", 1, count=COUNT), 2)
    for position in range(feed.steps_per_epoch):
        for inputs, _, number in zip(*feed.batch(position), strict=True):
            truth = by_slices(images[number], *(int(part[number]) for part in table), 2) / 255
            scaled = (truth - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
            np.testing.assert_allclose(inputs.numpy(), scaled, rtol=0, atol=4e-6)


@pytest.mark.parametrize("resident", [True, False])
def test_a_batch_without_images_is_empty(resident: bool) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    images = Images(Split(pixels(3, 5, 6), np.arange(COUNT)), None, Scaling.of((0.0,), (1.0,), CPU), CPU,
                    resident=resident)  # fmt: skip
    for some in (images, images.pick(nothing.numpy())):
        inputs, labels, index = Feed(some, batch=3, padding=2, drop_last=False).gather(nothing)
        assert inputs.shape == (0, 3, 5, 6)
        assert len(labels) == len(index) == 0


def test_what_is_held_are_both_mirrors_and_is_none_of_the_images_memory() -> None:
    images = torch.from_numpy(pixels(3, 8, 8, count=50))
    windows = Windows(images, 4)
    assert windows.rows.untyped_storage().nbytes() == 2 * 50 * 3 * 16 * 16
    cut = windows.cut(*torch.zeros(4, 1, dtype=torch.int64))
    cut += 1
    assert int(windows.rows[0].max()) == 0, "a crop is a copy"
