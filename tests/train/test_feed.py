"""Batches against PIL and torchvision, one image at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision import transforms

from ticketctl.data.sets import Split
from ticketctl.seeds import Seeds
from ticketctl.train import feed as feeds
from ticketctl.train.feed import Feed, Images, Scaling, crops

CPU = torch.device("cpu")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
SCALING = Scaling.of(MEAN, STD, CPU)


def pictures(count: int = 23, size: int = 9) -> Split:
    numbers = np.random.default_rng(7)
    pixels = numbers.integers(0, 256, (count, 3, size, size + 2), dtype=np.uint8)
    return Split(pixels, numbers.integers(0, 5, count).astype(np.int64))


def feed(
    split: Split,
    *,
    batch: int = 8,
    padding: int | None = 3,
    drop_last: bool = False,
    scaling: Scaling = SCALING,
) -> Feed:
    return Feed(Images(split, None, scaling, CPU), batch=batch, padding=padding, drop_last=drop_last)


def by_pil(pixels: NDArray[np.uint8], flip: int, down: int, right: int, padding: int) -> NDArray[np.uint8]:
    """Pad with black, mirror, crop, as torchvision's transforms do with one image."""
    height, width = pixels.shape[1:]
    image = ImageOps.expand(Image.fromarray(pixels.transpose(1, 2, 0)), padding, fill=(0, 0, 0))
    image = ImageOps.mirror(image) if flip else image
    return np.asarray(image.crop((right, down, right + width, down + height))).transpose(2, 0, 1)


def epoch(of: Feed, seeds: Seeds, number: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    of.begin_epoch(seeds, number)
    return [of.batch(position) for position in range(of.steps_per_epoch)]


@pytest.mark.parametrize("padding", [1, 3, 4])
def test_crops_and_flips_are_those_of_pil(padding: int) -> None:
    split, seeds = pictures(), Seeds(3)
    table = crops(seeds.raw("augment", 2, count=len(split)), padding)
    to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    seen = []
    for inputs, labels, index in epoch(feed(split, padding=padding), seeds, 2):
        for image, label, number in zip(inputs, labels, index, strict=True):
            flip, down, right = (int(part[number]) for part in table)
            wanted = by_pil(split.images[number], flip, down, right, padding)
            truth = to_tensor(wanted.transpose(1, 2, 0).copy())
            torch.testing.assert_close(image, truth, rtol=0, atol=2e-6)
            assert int(label) == split.labels[number]
            seen.append((flip, down, right))
    assert {flip for flip, _, _ in seen} == {0, 1}
    assert len({offset for _, *offsets in seen for offset in offsets}) > 2


def test_normalisation_is_torchvisions_for_every_pixel_value() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, axis=0)
    truth = transforms.Normalize(MEAN, STD)(torch.from_numpy(values).float() / 255)
    torch.testing.assert_close(SCALING(torch.from_numpy(values)[None])[0], truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_scaling_writes_to_nothing_it_was_given_and_is_one_arithmetic_for_bytes_and_floats(
    channels: int,
) -> None:
    mean, std = (0.4, 0.5, 0.3, 0.2)[:channels], (0.2, 0.3, 0.1, 0.4)[:channels]
    scaling = Scaling.of(mean, std, CPU)
    held = [scaling.scale.clone(), scaling.offset.clone()]
    stream = np.random.default_rng(channels)
    for shape in ((5, channels, 7, 6), (1, channels, 1, 1), (3, channels, 1, 9), (0, channels, 4, 4)):
        pixels = torch.from_numpy(stream.integers(0, 256, shape, dtype=np.uint8))
        floats = pixels.float()
        for given in (pixels, pixels.contiguous(memory_format=torch.channels_last), floats):
            before = given.clone()
            found = scaling(given)
            assert found.data_ptr() != given.data_ptr() or not len(given)
            assert torch.equal(given, before)
            assert torch.equal(found, torch.addcmul(held[1], floats, held[0])), "to the bit"
            assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(scaling.scale, held[0])
    assert torch.equal(scaling.offset, held[1])


def test_the_gradient_of_float_pixels_is_the_scale() -> None:
    pixels = torch.rand(2, 3, 4, 5, dtype=torch.float64).float().requires_grad_()
    (found,) = torch.autograd.grad(SCALING(pixels * 255).sum(), pixels)
    truth = torch.tensor(STD).reciprocal().view(1, 3, 1, 1).expand_as(found)
    torch.testing.assert_close(found, truth)


def test_inputs_are_float32_and_channels_last() -> None:
    for padding in (None, 2):
        inputs = epoch(feed(pictures(), padding=padding), Seeds(0), 0)[0][0]
        assert inputs.dtype == torch.float32
        assert inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("padding", [None, 2])
def test_an_image_looks_the_same_in_whatever_batch_it_lands(padding: int | None) -> None:
    split, looks = pictures(), {}
    for batch in (1, 4, 7, 23):
        for inputs, _, index in epoch(feed(split, batch=batch, padding=padding), Seeds(5), 1):
            for image, number in zip(inputs, index.tolist(), strict=True):
                assert torch.equal(image, looks.setdefault(number, image)), number
    assert len(looks) == len(split)


def test_an_image_looks_the_same_whatever_other_images_there_are() -> None:
    """The numbers of an image depend on its index: more images behind it change nothing."""
    few, many = crops(Seeds(1).raw("augment", 0, count=10), 4), crops(Seeds(1).raw("augment", 0, count=99), 4)
    for ours, theirs in zip(few, many, strict=True):
        np.testing.assert_array_equal(ours, theirs[:10])


def test_flips_and_shifts_are_uniform_and_independent() -> None:
    """Chi-square over all 2 * 9 * 9 combinations of 200 000 images, and over each image's epochs."""
    chi2 = pytest.importorskip("scipy.stats").chi2
    for words in (
        Seeds(0).raw("augment", 0, count=200_000),
        np.concatenate([Seeds(0).raw("augment", epoch, count=400) for epoch in range(500)]),
    ):
        flip, down, right = crops(words, 4)
        assert set(np.unique(flip)) == {0, 1}
        assert set(np.unique(down)) == set(np.unique(right)) == set(range(9))
        counts = np.bincount((flip * 9 + down) * 9 + right, minlength=162)
        statistic = ((counts - 200_000 / 162) ** 2 / (200_000 / 162)).sum()
        assert 1e-4 < chi2.sf(statistic, 161) < 1 - 1e-4


def test_one_images_augmentation_does_not_repeat_itself_over_epochs() -> None:
    flips = np.stack([crops(Seeds(0).raw("augment", epoch, count=50), 4)[0] for epoch in range(200)])
    correlation = np.corrcoef(flips[:-1].reshape(-1), flips[1:].reshape(-1))[0, 1]
    assert abs(correlation) < 0.05


def orders(seeds: Seeds, epochs: int = 3) -> list[list[int]]:
    return [
        torch.cat([index for _, _, index in epoch(feed(pictures(), padding=None), seeds, number)]).tolist()
        for number in range(epochs)
    ]


def test_every_epoch_shows_every_image_once_in_another_order() -> None:
    found = orders(Seeds(0)) + orders(Seeds(1))
    assert all(sorted(order) == list(range(23)) for order in found)
    assert len({tuple(order) for order in found}) == len(found)
    assert orders(Seeds(0)) == orders(Seeds(0))


def test_drop_last_leaves_out_the_rest_of_the_order() -> None:
    whole, cut = feed(pictures(), batch=8), feed(pictures(), batch=8, drop_last=True)
    assert (whole.steps_per_epoch, cut.steps_per_epoch) == (3, 2)
    sizes = [len(index) for _, _, index in epoch(whole, Seeds(0), 0)]
    assert sizes == [8, 8, 7]
    shown = torch.cat([index for _, _, index in epoch(cut, Seeds(0), 0)])
    assert torch.equal(shown, whole.order[:16])
    exact = feed(pictures(count=24), batch=8, drop_last=True)
    assert exact.steps_per_epoch == 3


def test_twins_differ_in_what_they_override_alone() -> None:
    split, base = pictures(), Seeds(0)

    def shown(seeds: Seeds) -> tuple[list[int], dict[int, torch.Tensor]]:
        batches = epoch(feed(split), seeds, 1)
        order = torch.cat([index for _, _, index in batches]).tolist()
        return order, dict(zip(order, torch.cat([inputs for inputs, _, _ in batches]), strict=True))

    order, looks = shown(base)
    other_order, same_looks = shown(Seeds(0, {"order": 9}))
    assert other_order != order
    assert all(torch.equal(looks[number], same_looks[number]) for number in looks)
    same_order, other_looks = shown(Seeds(0, {"augment": 9}))
    assert same_order == order
    assert not all(torch.equal(looks[number], other_looks[number]) for number in looks)
    both, _ = shown(Seeds(9))
    assert both == other_order  # the override is the root of its stream, and of nothing else


def test_the_table_of_plain_images_is_the_same_bits_as_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = pictures()
    with_table = feed(split, padding=None)
    monkeypatch.setattr(feeds, "TABLE_BYTES", 0)
    without = feed(split, padding=None)
    assert with_table.table is not None
    assert without.table is None
    for ours, theirs in zip(epoch(with_table, Seeds(2), 4), epoch(without, Seeds(2), 4), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_held_out_images_are_never_shown() -> None:
    split = pictures()
    train = np.array([0, 2, 3, 11, 17], dtype=np.int64)
    shown = Feed(Images(split, train, SCALING, CPU), batch=2, padding=None, drop_last=False)
    for inputs, labels, index in epoch(shown, Seeds(0), 0):
        truth = SCALING(torch.from_numpy(split.images[train[index.numpy()]]))
        assert torch.equal(inputs, truth)
        np.testing.assert_array_equal(labels.numpy(), split.labels[train[index.numpy()]])


def test_what_feeds_hold_is_their_own(tmp_path: None) -> None:
    """A data set's arrays may be read-only maps of a file, which nobody may write to or keep alive."""
    split = pictures()
    split.images.setflags(write=False)
    images = Images(split, None, SCALING, CPU)
    images.pixels += 1
    assert not np.shares_memory(images.pixels.numpy(), split.images)


@pytest.mark.parametrize("padding", [None, 1, 2])
@pytest.mark.parametrize("rows", [None, "some"])
def test_streamed_batches_are_those_of_resident_data_to_the_bit(
    padding: int | None, rows: str | None
) -> None:
    data, scaling = pictures(13, 6), SCALING
    index = np.array([12, 0, 3, 7, 1, 2], dtype=np.int64) if rows else None
    feeds = [
        Feed(Images(data, index, scaling, CPU, resident=resident), batch=4, padding=padding, drop_last=False)
        for resident in (True, False)
    ]
    for epoch in range(2):
        for feed in feeds:
            feed.begin_epoch(Seeds(3), epoch)
        for position in range(feeds[0].steps_per_epoch):
            for ours, theirs in zip(feeds[0].batch(position), feeds[1].batch(position), strict=True):
                assert torch.equal(ours, theirs)
    for ours, theirs in zip(feeds[0].images.batch(2, 99), feeds[1].images.batch(2, 99), strict=True):
        assert torch.equal(ours, theirs)


def test_the_data_sets_own_labels_stand_beside_those_that_a_training_is_given() -> None:
    own = pictures()
    noisy = replace(own, labels=(own.labels + 1) % 5, clean=own.labels)
    rows = np.array([3, 5, 8, 13, 21])
    for index in (None, rows):
        places = np.arange(23) if index is None else index
        images = Images(noisy, index, SCALING, CPU)
        assert images.labels.tolist() == ((own.labels[places] + 1) % 5).tolist()
        assert images.clean.tolist() == own.labels[places].tolist()
        assert images.pick(np.array([4, 1])).clean.tolist() == own.labels[places[[4, 1]]].tolist()
        plain = Images(own, index, SCALING, CPU)
        assert plain.clean is plain.labels
        assert plain.pick(np.array([2])).clean.tolist() == own.labels[places[[2]]].tolist()
