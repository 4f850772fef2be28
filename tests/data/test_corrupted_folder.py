"""Folders of corrupted images: read as they lie, known by their checksums, and never trusted."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticketctl.data import corrupted_folder
from ticketctl.data.corrupted import EXTRA, STANDARD, Stamp
from ticketctl.data.corrupted_folder import Arrays, Clean, opened
from ticketctl.data.corruptions.known import PUBLISHED
from ticketctl.errors import UnavailableError, UsageError

COUNT = 6
LABELS = np.array([3, 1, 4, 1, 5, 9])
CLEAN = Clean("cifar10", (3, 8, 8), tuple(f"c{number}" for number in range(10)), LABELS)
STREAM = np.random.default_rng(0)


def array() -> np.ndarray:
    return STREAM.integers(0, 256, (5 * COUNT, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Like CIFAR-10-C, with two corruptions and six images."""
    folder = tmp_path / "c"
    folder.mkdir()
    np.save(folder / "labels.npy", np.tile(LABELS, 5).astype(np.uint8))
    for name in ("fog", "saturate"):
        np.save(folder / f"{name}.npy", array())
    return folder


def test_a_severity_is_its_rows_in_order_and_channels_come_first(official: Path) -> None:
    ours, rows = opened(official, CLEAN), np.load(official / "fog.npy")
    assert (ours.count, ours.names(), ours.severities("fog")) == (COUNT, ("fog", "saturate"), (1, 2, 3, 4, 5))
    places = np.array([5, 0, 3])
    for severity in range(1, 6):
        split = ours.read("fog", severity, places)
        assert (split.images == rows[(severity - 1) * COUNT + places].transpose(0, 3, 1, 2)).all()
        assert (split.labels == LABELS[places]).all()
        assert split.images.flags.c_contiguous


def test_what_is_missing_is_listed(official: Path) -> None:
    assert opened(official, CLEAN).missing() == tuple(name for name in STANDARD if name != "fog")
    with pytest.raises(UnavailableError, match=r"no file snow\.npy"):
        opened(official, CLEAN).read("snow", 1, np.arange(2))
    (official / "fog.npy").unlink()
    (official / "saturate.npy").unlink()
    with pytest.raises(UnavailableError, match="neither"):
        opened(official, CLEAN)


def test_the_published_checksums_are_those_of_the_reference() -> None:
    path = Path(__file__).resolve().parents[3] / "shared" / "reference" / "paper-tables.json"
    if not path.exists():
        pytest.skip("no reference tables on this machine")
    known = json.loads(path.read_text(encoding="utf-8"))["checks"]["official_cifar_c_md5"]
    for ours, theirs in (("cifar10", "CIFAR10C"), ("cifar100", "CIFAR100C")):
        assert {f"{name}.npy": digest for name, digest in PUBLISHED[ours].items()} == known[theirs]
        assert {*PUBLISHED[ours]} == {*STANDARD, *EXTRA, "labels"}


def test_a_file_is_official_by_its_md5_alone(official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fog, other = (
        hashlib.md5((official / f"{name}.npy").read_bytes()).hexdigest() for name in ("fog", "saturate")
    )
    known = {"cifar10": {"fog": fog, "saturate": "0" * 32}, "cifar100": {"saturate": other}}
    monkeypatch.setattr(corrupted_folder, "PUBLISHED", known)
    ours = opened(official, CLEAN)
    assert ours.stamp("fog") == Stamp("official")
    assert ours.fingerprint("fog") == f"md5:{fog}"
    assert ours.stamp("saturate") == Stamp("modified", "it is saturate.npy of CIFAR-100-C")
    np.save(official / "saturate.npy", array())
    kind, reason = opened(official, CLEAN).stamp("saturate")
    assert (kind, reason) == ("modified", "its MD5 is not that of saturate.npy of CIFAR-10-C")
    stranger = Clean("svhn", CLEAN.shape, CLEAN.classes, LABELS)
    assert opened(official, stranger).stamp("saturate").reason == "no corrupted files of svhn were published"


def test_checksums_are_taken_once_and_can_be_stopped(official: Path) -> None:
    calls = []
    ours = opened(official, CLEAN, lambda: calls.append(1))
    ours.stamp("fog")
    once = len(calls)
    assert once
    ours.fingerprint("fog")
    assert len(calls) == once


@pytest.mark.parametrize(
    "labels",
    [np.tile(LABELS, 5)[::-1], np.tile(LABELS, 4), np.tile(LABELS, 5).astype(float), np.tile(LABELS, (5, 1))],
)
def test_labels_that_are_not_the_test_images_are_refused(official: Path, labels: np.ndarray) -> None:
    np.save(official / "labels.npy", labels)
    with pytest.raises(UsageError, match=r"labels\.npy"):
        opened(official, CLEAN)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((5 * COUNT, 8, 8), np.uint8),
        np.zeros((4 * COUNT, 8, 8, 3), np.uint8),
        np.zeros((5 * COUNT, 3, 8, 8), np.uint8),
        np.zeros((5 * COUNT, 8, 8, 3), np.int16),
        np.zeros((5 * COUNT, 8, 8, 3), np.float32),
        np.array(7, np.uint8),
    ],
)
def test_arrays_of_another_kind_or_form_are_refused(official: Path, wrong: np.ndarray) -> None:
    np.save(official / "fog.npy", wrong)
    with pytest.raises(UsageError, match=r"fog\.npy: .* it is uint8 \[30, 8, 8, 3\]"):
        opened(official, CLEAN).read("fog", 1, np.arange(2))


class Bomb:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (118 - len(text) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "data",
    [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(64), bytes(200), header("(30, 8, 8, 3)"), header("(2**60,)"),
     header("(9999999999999, 8, 8, 3)") + bytes(64), header("(-1, 8, 8, 3)") + bytes(64), header("((((("),
     header("('a',)"), b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535],
    ids=["empty", "magic", "zip", "zeros", "cut short", "expression", "huge", "negative", "open",
         "words", "deep"],
)  # fmt: skip
def test_files_that_are_no_arrays_are_refused_in_one_line(official: Path, data: bytes) -> None:
    (official / "fog.npy").write_bytes(data)
    with pytest.raises((UnavailableError, UsageError)) as caught:
        opened(official, CLEAN).read("fog", 1, np.arange(2))
    assert "fog.npy" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_objects_are_never_unpickled(official: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    np.save(official / "fog.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    np.save(official / "labels.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(UnavailableError, match=r"labels\.npy"):
        opened(official, CLEAN)
    np.save(official / "labels.npy", np.tile(LABELS, 5))
    with pytest.raises(UnavailableError, match=r"fog\.npy"):
        opened(official, CLEAN).read("fog", 1, np.arange(2))
    assert not mark.exists()


def test_links_out_of_the_folder_are_refused(official: Path, tmp_path: Path) -> None:
    (official / "fog.npy").rename(tmp_path / "secret.npy")
    (official / "fog.npy").symlink_to(tmp_path / "secret.npy")
    (official / "snow.npy").symlink_to("saturate.npy")
    ours = Arrays(official, CLEAN)
    for touch in (ours.stamp, ours.fingerprint, lambda name: ours.read(name, 1, np.arange(2))):
        with pytest.raises(UsageError, match="leads out of the folder"):
            touch("fog")
    with pytest.raises(UsageError, match="leads out of the folder"):
        opened(official, CLEAN)
    assert ours.read("snow", 1, np.arange(2)).labels.tolist() == [3, 1]


@pytest.mark.parametrize("kind", ["folder", "fifo", "broken link"])
def test_what_is_no_file_is_refused(official: Path, kind: str) -> None:
    (official / "fog.npy").unlink()
    if kind == "folder":
        (official / "fog.npy").mkdir()
    elif kind == "fifo":
        os.mkfifo(official / "fog.npy")
    else:
        (official / "fog.npy").symlink_to("nothing.npy")
    with pytest.raises(UnavailableError, match=r"no file fog\.npy"):
        opened(official, CLEAN).read("fog", 1, np.arange(2))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Like ImageNet-C: two corruptions, of which one lacks severities 2 to 5; two classes, three images."""
    root = tmp_path / "t"
    for place in ("fog/1", "fog/2", "fog/3", "fog/4", "fog/5", "snow/1"):
        for name in ("c4/b.JPEG", "c4/a.JPEG", "c1/z.JPEG"):
            path = root / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(STREAM.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return root


def test_imagenet_c_is_read_as_it_is(tree: Path) -> None:
    ours = opened(tree, CLEAN)
    assert (ours.count, ours.names(), ours.severities("snow")) == (3, ("snow", "fog"), (1,))
    assert {"snow/2", "snow/5", "frost"} <= {*ours.missing()}
    assert not {"fog", "snow", "snow/1"} & {*ours.missing()}
    split = ours.read("fog", 3, np.array([2, 0]))
    assert split.labels.tolist() == [4, 1]
    for image, name in zip(split.images, ("c4/b.JPEG", "c1/z.JPEG"), strict=True):
        with Image.open(tree / "fog/3" / name) as file:
            assert (image.transpose(1, 2, 0) == np.asarray(file)).all()
    assert ours.stamp("fog").kind == "folder"


def test_a_changed_file_has_another_fingerprint(tree: Path) -> None:
    before = opened(tree, CLEAN).fingerprint("fog")
    assert before == opened(tree, CLEAN).fingerprint("fog")
    Image.new("RGB", (8, 8)).save(tree / "fog/5/c1/z.JPEG")
    assert before != opened(tree, CLEAN).fingerprint("fog")


def test_sets_with_other_images_classes_or_forms_are_refused(tree: Path) -> None:
    (tree / "fog/2/c1/z.JPEG").rename(tree / "fog/2/c1/y.JPEG")
    with pytest.raises(UsageError, match="fog/2 has other images than snow/1"):
        opened(tree, CLEAN).read("fog", 2, np.arange(2))
    with pytest.raises(UsageError, match="c4 is no class"):
        opened(tree, Clean("own", CLEAN.shape, ("c1", "c2"), LABELS)).read("fog", 1, np.arange(2))
    with pytest.raises(UsageError, match="not \\[1, 8, 8\\]"):
        opened(tree, Clean("own", (1, 8, 8), CLEAN.classes, LABELS)).read("fog", 1, np.arange(2))
    (tree / "fog/1/c1/z.JPEG").write_bytes(b"no image")
    with pytest.raises(UnavailableError, match="not a sound image"):
        opened(tree, CLEAN).read("fog", 1, np.arange(2))
