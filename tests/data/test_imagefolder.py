"""Folders of images against torchvision's ImageFolder and its transforms."""

import lzma
import os
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from safetensors.numpy import load
from torchvision.datasets import ImageFolder

from ticketctl.data import folder as module
from ticketctl.data._images import square
from ticketctl.errors import UnavailableError, UsageError

STREAM = np.random.default_rng(5)


def picture(mode="RGB", size=(8, 6)):
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    return Image.fromarray(STREAM.integers(0, 256, shape, dtype=np.uint8), mode=None)


def fill(root, pictures):
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)


@pytest.fixture
def root(tmp_path):
    """Two classes whose files sort otherwise than they count, in all five kinds of file."""
    names = ["train/b/10.png", "train/b/9.jpg", "train/a/x.bmp", "train/a/X.JPEG", "train/a/y.webp"]
    fill(tmp_path / "i", {name: picture() for name in [*names, "test/a/0.png", "test/b/1.png"]})
    return tmp_path / "i"


def assert_like_torchvision(split, path):
    theirs = ImageFolder(path)
    assert len(split) == len(theirs)
    for index, (image, label) in enumerate(theirs):
        np.testing.assert_array_equal(split.images[index], np.asarray(image).transpose(2, 0, 1))
        assert split.labels[index] == label


def test_a_folder_reads_as_imagefolder_reads_it(opened, root):
    data = opened(f"imagefolder:{root}")
    assert_like_torchvision(data.train, root / "train")
    assert_like_torchvision(data.test, root / "test")
    assert data.classes == ("a", "b")
    assert data.augment == "crop-flip"


def test_data_dir_does_for_the_target(opened, root):
    assert opened("imagefolder", root).fingerprint == opened(f"imagefolder:{root}").fingerprint


def test_val_stands_in_for_test(opened, root):
    wanted = opened(f"imagefolder:{root}").fingerprint
    (root / "test").rename(root / "val")
    assert opened(f"imagefolder:{root}").fingerprint == wanted


def test_hidden_files_and_other_files_are_passed_over(opened, root):
    wanted = opened(f"imagefolder:{root}").fingerprint
    for name in ("train/a/._x.png", "train/a/notes.txt", "train/.hidden", "labels.csv", "train/stray.png"):
        (root / name).write_bytes(b"?")
    (root / "train" / ".trash").mkdir()
    assert opened(f"imagefolder:{root}").fingerprint == wanted


def test_grey_images_keep_one_channel(opened, tmp_path):
    pictures = {name: picture("L") for name in ("train/a/0.png", "train/b/0.png", "test/a/0.png")}
    fill(tmp_path / "i", pictures)
    data = opened(f"imagefolder:{tmp_path / 'i'}")
    assert data.shape == (1, 6, 8)
    assert data.augment == "none"
    np.testing.assert_array_equal(data.train.images[1, 0], np.asarray(pictures["train/b/0.png"]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_one_colour_image_makes_all_colour(opened, tmp_path, mode):
    fill(tmp_path / "i", {n: picture("L") for n in ("train/a/0.png", "train/b/0.png", "test/b/0.png")})
    fill(tmp_path / "i", {"train/b/1.png": picture(mode)})
    data = opened(f"imagefolder:{tmp_path / 'i'}")
    assert_like_torchvision(data.train, tmp_path / "i" / "train")
    assert data.test.images.shape == (1, 3, 6, 8)


def test_images_of_two_sizes_are_refused_with_both_sizes(opened, root):
    fill(root, {"test/b/2.png": picture(size=(9, 6))})
    with pytest.raises(UsageError, match=r"is 8x6, but test/b/2\.png is 9x6; .*size=N"):
        opened(f"imagefolder:{root}")


@pytest.mark.parametrize("size", [(8, 6), (6, 8), (31, 17), (5, 40), (12, 12), (33, 9)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("side", [4, 5, 12])
def test_resizing_is_torchvisions_resize_and_centre_crop(size, mode, side):
    image = picture(mode, size)
    transforms = torchvision.transforms
    theirs = transforms.CenterCrop(side)(transforms.Resize(side)(image))
    np.testing.assert_array_equal(np.asarray(square(image, side, side)), np.asarray(theirs))


def test_size_brings_images_of_all_sizes_together(opened, root):
    fill(root, {"train/a/big.png": picture(size=(40, 30)), "test/b/2.png": picture("L", (5, 9))})
    data = opened(f"imagefolder:{root}", options={"size": 7})
    assert data.shape == (3, 7, 7)
    assert len(data.train) == 6


@pytest.mark.parametrize("size", [0, -1, 2.0, "7", True, 5000])
def test_a_size_that_cannot_be_is_refused(opened, root, size):
    with pytest.raises(UsageError, match="size="):
        opened(f"imagefolder:{root}", options={"size": size})


def test_what_cannot_be_read_is_named_and_never_passed_over(opened, root):
    (root / "train" / "a" / "gone.png").symlink_to(root / "nowhere")
    with pytest.raises(UnavailableError, match=r"gone\.png: cannot be read"):
        opened(f"imagefolder:{root}")


def test_a_name_that_is_not_utf8_is_refused(opened, root):
    (Path(os.fsdecode(os.fsencode(root) + b"/train/caf\xe9"))).mkdir()
    (Path(os.fsdecode(os.fsencode(root) + b"/train/caf\xe9/0.png"))).write_bytes(b"")
    with pytest.raises(UnavailableError, match="not UTF-8"):
        opened(f"imagefolder:{root}")


def test_a_folder_that_may_not_be_listed_is_named(opened, root, monkeypatch):
    scandir = os.scandir

    def denied(path):
        if os.fspath(path).endswith("train/b"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UnavailableError, match=r"train/b: cannot be read: Permission denied"):
        opened(f"imagefolder:{root}")


def test_a_class_that_is_only_tested_is_refused(opened, root):
    fill(root, {"test/c/0.png": picture()})
    with pytest.raises(UsageError, match="class 'c' has test images and no train images"):
        opened(f"imagefolder:{root}")


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_part_is_named(opened, root, part):
    (root / part).rename(root / "away")
    with pytest.raises(UnavailableError, match=f"no images in {part}"):
        opened(f"imagefolder:{root}")


def test_a_folder_that_is_not_there_is_named(opened, tmp_path, root):
    with pytest.raises(UnavailableError, match=r"there is no .*nowhere"):
        opened(f"imagefolder:{tmp_path}/nowhere")
    with pytest.raises(UsageError, match="not a folder"):
        opened(f"imagefolder:{root}/train/b/10.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
@pytest.mark.parametrize(
    "content", [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 1 1 255\n...", b"\x89PNG\r\n\x1a\n"]
)
def test_what_only_looks_like_an_image_is_refused(opened, root, name, content):
    (root / "train" / "a" / name).write_bytes(content)
    with pytest.raises(UnavailableError, match="not a sound image"):
        opened(f"imagefolder:{root}")


def test_sixteen_bit_images_are_refused(opened, root):
    Image.fromarray(np.zeros((6, 8), np.uint16)).save(root / "train" / "a" / "deep.png")
    with pytest.raises(UnavailableError, match="more than 8 bits"):
        opened(f"imagefolder:{root}")


def test_an_image_of_too_many_pixels_is_not_decoded(opened, root, monkeypatch):
    monkeypatch.setattr("ticketctl.data._images._MAX_PIXELS", 47)
    with pytest.raises(UnavailableError, match="8x6 pixels are more than 47"):
        opened(f"imagefolder:{root}")


@pytest.mark.long
def test_cifar10_jpeg_reads_as_imagefolder_reads_it(opened, shared, unpacker, tmp_path, monkeypatch):
    """The real images, a hundred of each part, by the unpacker's own code."""
    tensors = load(lzma.decompress(shared("cifar10-jpeg.safetensors.xz").read_bytes()))
    few = {
        name: array[:101]
        if name.endswith("offsets")
        else array[:100]
        if "labels" in name or "label" in name
        else array
        for name, array in tensors.items()
    }
    monkeypatch.setattr(unpacker, "load", lambda data: few)
    monkeypatch.setattr(unpacker.lzma, "decompress", lambda data: data)
    monkeypatch.setattr(unpacker, "CLASSES", unpacker.CLASSES)
    unpacker.cifar10_jpeg(tmp_path)
    root = tmp_path / "cifar10-jpeg"
    for name in unpacker.CLASSES:  # the test order is by class: one image each, so that all classes are there
        for part in ("train", "test"):
            fill(root, {f"{part}/{name}/99999.jpg": picture(size=(32, 32))})
    data = opened(f"imagefolder:{root}")
    assert_like_torchvision(data.train, root / "train")
    assert_like_torchvision(data.test, root / "test")
    assert list(data.classes) == unpacker.CLASSES
    assert data.shape == (3, 32, 32)
    assert module.OPTIONS == ("size", "resize", "stream")


@pytest.mark.slow
def test_the_whole_cifar10_jpeg_has_its_counts_and_cifars_scale(opened, shared, unpacker, tmp_path):
    shared("cifar10-jpeg.safetensors.xz")
    unpacker.cifar10_jpeg(tmp_path)
    data = opened(f"imagefolder:{tmp_path / 'cifar10-jpeg'}")
    assert (len(data.train), len(data.test), data.shape) == (50_000, 10_000, (3, 32, 32))
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=0.002)
    np.testing.assert_allclose(data.std, (0.2470, 0.2435, 0.2616), atol=0.005)
