"""Images in another form: what Pillow and torch make of them, measured anew, and the same bytes from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ticketctl.data import adapted as module
from ticketctl.data._measure import measured
from ticketctl.data.adapted import adapted, changed, grey
from ticketctl.data.load import load
from ticketctl.data.sets import DataSet, Decoded, Split
from ticketctl.errors import StoppedError, UsageError
from ticketctl.progress import Silent


def pictures(count: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, (count, *shape), dtype=np.uint8)


def a_set(*shape: int) -> DataSet:
    images, labels = pictures(9, *shape), np.arange(9) % 3
    train, test = Split(images[:6], labels[:6], np.arange(6)[::-1].copy()), Split(images[6:], labels[6:])
    return measured("some", Decoded(train, test, ("a", "b", "c"), "crop-flip"))


def brought(data: DataSet, form: tuple[int, int, int], cache: Path = Path("nowhere")) -> DataSet:
    return adapted(data, form, cache=cache, reporter=Silent())


def test_images_that_have_the_form_are_left_alone() -> None:
    data = a_set(3, 6, 5)
    assert brought(data, (3, 6, 5)) is data


@pytest.mark.parametrize("form", [(3, 4, 4), (3, 12, 9), (3, 6, 10), (3, 1, 1), (3, 64, 64)])
def test_each_image_is_what_pillow_makes_of_the_whole_of_it(form: tuple[int, int, int]) -> None:
    images = pictures(5, 3, 6, 5)
    wanted = [
        np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize(form[:0:-1], Image.Resampling.BILINEAR))
        for image in images
    ]
    assert np.array_equal(changed(images, form), np.stack(wanted).transpose(0, 3, 1, 2))


@pytest.mark.parametrize("size", [(4, 4), (16, 11), (3, 20)])
def test_it_is_torchs_bilinear_filter_with_antialiasing_to_a_level_of_grey(size: tuple[int, int]) -> None:
    images = pictures(4, 1, 9, 13)
    exact = torch.nn.functional.interpolate(
        torch.from_numpy(images).double(), size=size, mode="bilinear", antialias=True, align_corners=False
    )
    assert float((torch.from_numpy(changed(images, (1, *size))).double() - exact).abs().max()) <= 1.01


def test_half_the_size_weighs_four_pixels_by_1_3_3_1_eighths() -> None:
    row = np.array([[[[0, 8, 80, 160, 240, 16, 24, 32]]]], dtype=np.uint8)
    found = changed(row, (1, 1, 4))[0, 0, 0]
    assert found[1] == round((8 + 3 * 80 + 3 * 160 + 240) / 8)
    assert found[2] == round((160 + 3 * 240 + 3 * 16 + 24) / 8)


def test_grey_is_the_luma_that_pillow_takes() -> None:
    images = pictures(3, 3, 16, 16)
    wanted = [np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")) for image in images]
    assert np.array_equal(grey(images)[:, 0], np.stack(wanted))
    exact = np.tensordot([0.299, 0.587, 0.114], images.astype(float), (0, 1))
    assert np.abs(grey(images)[:, 0] - exact).max() <= 0.51


def test_colour_of_grey_is_three_times_the_same_and_its_grey_the_image_again() -> None:
    images = pictures(4, 1, 5, 5)
    found = changed(images, (3, 5, 5))
    assert all(np.array_equal(found[:, channel], images[:, 0]) for channel in range(3))
    assert np.array_equal(changed(found, (1, 5, 5)), images)


def test_statistics_and_content_are_those_of_the_new_images() -> None:
    data = a_set(3, 6, 6)
    found = brought(data, (1, 4, 4))
    pixels = found.train.images.astype(float) / 255
    assert found.shape == (1, 4, 4)
    assert found.mean == pytest.approx((pixels.mean(),), abs=5e-5)
    assert found.std == pytest.approx((pixels.std(),), abs=5e-5)
    again = measured("some", Decoded(found.train, found.test, found.classes, "none"))
    assert found.fingerprint == again.fingerprint != data.fingerprint
    assert np.array_equal(found.test.images, changed(data.test.images, (1, 4, 4)))
    assert np.array_equal(found.train.positions, data.train.positions)
    assert (found.classes, found.augment) == (data.classes, "crop-flip")


def test_a_large_set_is_made_once_and_kept_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = a_set(3, 6, 6)
    plain = brought(data, (3, 8, 8))
    monkeypatch.setattr(module, "KEPT", 0)
    first = brought(data, (3, 8, 8), tmp_path)
    monkeypatch.setattr(module, "changed", None)  # what is kept is not made again
    second = brought(data, (3, 8, 8), tmp_path)
    for found in (first, second):
        assert np.array_equal(found.train.images, plain.train.images)
        assert (found.fingerprint, found.mean, found.name) == (plain.fingerprint, plain.mean, "some")
        assert not found.train.images.flags.writeable
    (kept,) = (tmp_path / "data").glob("adapted-*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1] + b"\0\0")
    monkeypatch.undo()
    monkeypatch.setattr(module, "KEPT", 0)
    assert brought(data, (3, 8, 8), tmp_path).fingerprint == plain.fingerprint


@pytest.mark.parametrize(("has", "wants"), [(2, 3), (3, 2), (4, 1), (1, 2)])
def test_other_channels_than_grey_and_colour_are_refused(has: int, wants: int) -> None:
    with pytest.raises(UsageError, match=rf"some: images of {has} channels, and the net takes {wants}; grey"):
        brought(a_set(has, 4, 4), (wants, 4, 4))


def test_whoever_stops_it_is_heard() -> None:
    class Stops(Silent):
        def alive(self) -> None:
            raise StoppedError("stopped", 130)

    with pytest.raises(StoppedError):
        adapted(a_set(3, 6, 6), (3, 4, 4), cache=Path("nowhere"), reporter=Stops())


def test_a_data_set_is_opened_in_the_form_that_is_asked_for(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    whole = opened("digits")
    found = load("digits", cache=tmp_path, offline=True, reporter=Silent(), form=(3, 32, 32))
    assert found.shape == (3, 32, 32)
    assert np.array_equal(found.test.images, changed(whole.test.images, (3, 32, 32)))
