"""EuroSAT from its zip and from its folder, with the documented split."""

import dataclasses
import hashlib
import io
import zipfile

import numpy as np
import pytest
import torchvision
from PIL import Image
from torchvision.datasets import ImageFolder

from ticketctl.data import eurosat
from ticketctl.errors import UnavailableError

CLASSES = ("AnnualCrop", "Forest", "SeaLake")
EACH = 12


@pytest.fixture
def files(monkeypatch):
    """Small JPEGs by name, numbered from 1 as in the real set."""
    stream, made = np.random.default_rng(6), {}
    for name in CLASSES:
        for number in range(1, EACH + 1):
            buffer = io.BytesIO()
            Image.fromarray(stream.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
            made[f"{name}/{name}_{number}.jpg"] = buffer.getvalue()
    monkeypatch.setattr(eurosat, "COUNT", len(made))
    return made


def publish(folder, files, monkeypatch, name="EuroSAT.zip"):
    """Pack `files` below `2750`, and make that zip the published one."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("2750/")
        for file, data in files.items():
            archive.writestr(f"2750/{file}", data)
    md5 = "md5:" + hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(eurosat, "REMOTE", dataclasses.replace(eurosat.REMOTE, checksum=md5))
    return folder


def unpack(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_every_fifth_image_of_each_class_is_test(opened, tmp_path, files, monkeypatch):
    data = opened("eurosat", publish(tmp_path / "mine", files, monkeypatch))
    theirs = ImageFolder(unpack(tmp_path / "tv", files))  # sorted by class, then by name
    inside = np.array([position for _ in CLASSES for position in range(EACH)])
    for split, chosen in ((data.train, inside % 5 != 4), (data.test, inside % 5 == 4)):
        expected = [theirs[index] for index in np.flatnonzero(chosen)]
        np.testing.assert_array_equal(split.labels, [label for _, label in expected])
        for image, (wanted, _) in zip(split.images, expected, strict=True):
            np.testing.assert_array_equal(image, np.asarray(wanted).transpose(2, 0, 1))
    assert data.classes == CLASSES


@pytest.mark.parametrize("place", ["", "2750", "eurosat/2750", "EuroSAT"])
def test_the_unpacked_folder_reads_as_the_zip(opened, tmp_path, files, monkeypatch, place):
    zipped = opened("eurosat", publish(tmp_path / "zip", files, monkeypatch))
    unpack(tmp_path / "mine" / place, files)
    assert opened("eurosat", tmp_path / "mine").fingerprint == zipped.fingerprint


def test_address_and_sum_are_torchvisions():
    import inspect

    text = inspect.getsource(torchvision.datasets.EuroSAT)
    assert f'"{eurosat.REMOTE.url}"' in text
    assert f'md5="{eurosat.REMOTE.checksum[4:]}"' in text


def test_a_zip_that_is_not_the_published_one_is_refused(opened, tmp_path, files, monkeypatch):
    folder = publish(tmp_path / "mine", files, monkeypatch)
    with open(folder / "EuroSAT.zip", "ab") as file:
        file.write(b"x")
    with pytest.raises(UnavailableError, match="not the published file"):
        opened("eurosat", folder)


def test_a_folder_that_lacks_images_is_refused(opened, tmp_path, files):
    files.popitem()
    with pytest.raises(UnavailableError, match="35 of EuroSAT's 36 images"):
        opened("eurosat", unpack(tmp_path / "mine", files))


def test_without_a_copy_offline_says_which_file_to_put_where(opened, tmp_path):
    with pytest.raises(UnavailableError, match=r"put EuroSAT\.zip into a folder and give it with --data-dir"):
        opened("eurosat", tmp_path)
