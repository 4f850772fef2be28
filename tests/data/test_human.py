"""Human labels of single images: read from every kind of file, found by file names, refused for other images."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.data.folder import positions
from ticketctl.data.human import Human, hardness_of, read_human
from ticketctl.data.sets import Split
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.train.feed import Images, Scaling

KEY = "metrics.compression-position.human"
STREAM = np.random.default_rng(7)
CLEAN = STREAM.integers(0, 10, 60)
GIVEN = np.where(STREAM.random((60, 3)) < 0.5, CLEAN[:, None], STREAM.integers(0, 10, (60, 3)))
NAMED = {"clean_label": CLEAN, **{f"random_label{k + 1}": GIVEN[:, k].copy() for k in range(3)}}
TABLE = np.column_stack([CLEAN, GIVEN])
WRITERS = {
    "CIFAR-10_human.pt": lambda path: torch.save({"worse_label": CLEAN, **NAMED}, path),
    "human.npz": lambda path: np.savez(path, **NAMED),
    "packed.npz": lambda path: np.savez_compressed(path, **NAMED),
    "human.safetensors": lambda path: safetensors.numpy.save_file(NAMED, path),
    "table.npy": lambda path: np.save(path, TABLE.astype(np.uint8)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_says_how_many_of_three_people_were_wrong(name, tmp_path):
    WRITERS[name](tmp_path / name)
    found = read_human(tmp_path / name, KEY)
    by_hand = [
        sum(int(given) != int(clean) for given in row) for clean, row in zip(CLEAN, GIVEN, strict=True)
    ]
    assert found.hardness.tolist() == by_hand
    assert found.hardness.dtype == np.int64
    assert {*by_hand} == {0, 1, 2, 3}


def test_hardness_of_some_images_is_found_by_their_published_place():
    human, places = Human(CLEAN, GIVEN), STREAM.permutation(60)[:20]
    found = hardness_of(human, places, CLEAN[places], KEY)
    np.testing.assert_array_equal(found, human.hardness[places])


def test_labels_of_other_images_or_of_another_order_are_refused():
    human = Human(CLEAN, GIVEN)
    with pytest.raises(
        UsageError, match=r"metrics\.compression-position\.human: .* of 60 true labels"
    ) as refused:
        hardness_of(human, np.arange(60), np.sort(CLEAN), f"{KEY}: FILE")
    assert "\n" not in str(refused.value)
    one = CLEAN.copy()
    one[11] += 1
    with pytest.raises(UsageError, match="1 of 60 true labels"):
        hardness_of(human, np.arange(60), one, KEY)
    with pytest.raises(UsageError, match="60 images, and the data have one at position 60"):
        hardness_of(human, np.array([3, 60]), CLEAN[[3, 0]], KEY)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"worse_label": CLEAN}, "holds worse_label; clean_label and random_label1"),
        ({"clean_label": CLEAN}, "holds clean_label; clean_label and random_label1"),
        ({"clean_label": CLEAN, "random_label1": CLEAN[:9]}, "one for each image and person"),
        ({"clean_label": CLEAN, "random_label1": CLEAN / 2}, "whole numbers"),
        ({"clean_label": CLEAN[:, None], "random_label1": CLEAN[:, None]}, "one for each image"),
    ],
)
def test_files_with_other_arrays_are_refused_in_one_line(arrays, said, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match=said) as refused:
        read_human(tmp_path / "a.npz", KEY)
    assert str(refused.value).startswith(KEY)


def test_other_files_and_damaged_ones_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"labels come as \.npy, .*\.npz"):
        read_human(tmp_path / "human.csv", KEY)
    np.save(tmp_path / "flat.npy", CLEAN)
    with pytest.raises(UsageError, match="is 60; a table"):
        read_human(tmp_path / "flat.npy", KEY)
    for name, write in WRITERS.items():
        with pytest.raises(UnavailableError, match="cannot be read"):
            read_human(tmp_path / name, KEY)
        write(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UnavailableError):
            read_human(tmp_path / name, KEY)


def test_objects_in_an_npz_are_never_built(tmp_path):
    np.savez(tmp_path / "a.npz", clean_label=np.array([{"a": 1}], dtype=object), random_label1=CLEAN)
    with pytest.raises(UnavailableError, match=r"not a \.npz file of arrays"):
        read_human(tmp_path / "a.npz", KEY)


# ------------------------------------------------------------------------------------- where an image stands


def folder(root: Path, names: list[str]) -> Path:
    """A grey image of each name."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(path)
    return root


def test_file_names_that_are_numbers_are_positions_also_from_the_cache(opened, tmp_path):
    names = ["train/cat/00000.png", "train/dog/00001.png", "train/cat/00002.png", "train/ant/00003.png"]
    root = folder(tmp_path / "i", [*names, "test/cat/0.png", "test/dog/0.png", "test/ant/0.png"])
    for _ in range(2):  # made, then kept
        train = opened(f"imagefolder:{root}").train
        assert train.positions.tolist() == [3, 0, 2, 1]
        assert train.positions.dtype == np.int64
    values = train.images[:, 0, 0, 0]
    assert values.tolist() == train.positions.tolist()  # a picture's grey is its number


@pytest.mark.parametrize("name", ["x", "0", "٣", "1" * 19, "-1"])
def test_names_that_are_no_different_numbers_are_no_positions(name):
    assert positions([("a", "train/a/0.png"), ("b", f"train/b/{name}.png")]) is None


def test_a_kept_position_that_was_damaged_is_made_again(opened, tmp_path):
    root = folder(tmp_path / "i", ["train/a/1.png", "train/b/0.png", "test/a/0.png"])
    opened(f"imagefolder:{root}")
    kept = next(tmp_path.rglob("imagefolder-*.safetensors"))
    data = bytearray(kept.read_bytes())
    size = int.from_bytes(data[:8], "little")
    begin = json.loads(data[8 : 8 + size])["train_positions"]["data_offsets"][0]
    data[8 + size + begin] ^= 4
    kept.chmod(0o644)
    kept.write_bytes(data)
    assert opened(f"imagefolder:{root}").train.positions.tolist() == [1, 0]


def test_a_part_of_the_images_keeps_its_published_places():
    split = Split(np.zeros((6, 1, 2, 2), np.uint8), np.arange(6), np.array([5, 3, 1, 0, 2, 4]))
    scaling, cpu = Scaling.of((0.0,), (1.0,), torch.device("cpu")), torch.device("cpu")
    images = Images(split, np.array([1, 2, 4, 5]), scaling, cpu)
    assert images.published.tolist() == [3, 1, 2, 4]
    assert images.pick(np.array([0, 3])).published.tolist() == [3, 4]
    assert Images(split, None, scaling, cpu).published.tolist() == [5, 3, 1, 0, 2, 4]
    plain = Images(Split(split.images, split.labels), np.array([1, 2, 4]), scaling, cpu)
    assert plain.published.tolist() == [1, 2, 4]


@pytest.mark.slow
def test_the_real_labels_of_cifar_10n_have_their_published_counts_by_class(shared, tmp_path):
    """Classes one after the other, as an image folder has them."""
    tensors = safetensors.numpy.load(lzma.decompress(shared("cifar10-jpeg.safetensors.xz").read_bytes()))
    clean = tensors["train_labels"]
    people = {f"random_label{k}": tensors[f"train_cifar10n_random_label{k}"] for k in (1, 2, 3)}
    np.savez(tmp_path / "human.npz", clean_label=clean, **people)
    places = np.argsort(clean, kind="stable")
    labels = clean[places].astype(np.int64)
    found = hardness_of(read_human(tmp_path / "human.npz", KEY), places, labels, KEY)
    assert np.bincount(found).tolist() == [29_896, 14_777, 4_260, 1_067]
    assert np.bincount(labels[found == 3]).tolist() == [105, 26, 97, 300, 207, 107, 79, 39, 44, 63]
