"""Opening by name, the cache of decoded sets, what is measured and what is refused."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ticketctl.data import load as module
from ticketctl.data._measure import check, fingerprint, scale
from ticketctl.data.load import default_cache, fingerprint_here
from ticketctl.data.sets import Split
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.store.locks import locked

STREAM = np.random.default_rng(3)


@pytest.fixture
def folder(tmp_path):
    """A small imagefolder of random colour images."""
    from PIL import Image

    stream = np.random.default_rng(1)
    for part, count in (("train", 4), ("test", 2)):
        for label in ("cat", "dog"):
            place = tmp_path / "images" / part / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = stream.integers(0, 256, (6, 5, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "images"


def kept(tmp_path):
    return list((tmp_path / "cache" / "data").glob("*.safetensors"))


def replace(path, data):
    """New content in a new file: the old one is mapped, and cutting it would kill us."""
    path.unlink()
    path.write_bytes(data)


def same(one, other):
    for part in ("train", "test"):
        a, b = getattr(one, part), getattr(other, part)
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
    fields = ("name", "classes", "mean", "std", "fingerprint", "augment")
    assert [getattr(one, field) for field in fields] == [getattr(other, field) for field in fields]
    return True


def test_a_kept_set_is_the_decoded_one_and_is_not_decoded_again(opened, folder, monkeypatch, tmp_path):
    first = opened(f"imagefolder:{folder}")
    monkeypatch.setattr("ticketctl.data.folder.decode_splits", None)
    assert same(first, opened(f"imagefolder:{folder}"))
    assert len(kept(tmp_path)) == 1


def test_the_kept_file_is_plain_safetensors(opened, folder, tmp_path):
    data = opened(f"imagefolder:{folder}")
    tensors = load_file(kept(tmp_path)[0])
    np.testing.assert_array_equal(tensors["train_images"], data.train.images)
    np.testing.assert_array_equal(tensors["test_labels"], data.test.labels)
    assert sorted(tensors) == ["test_images", "test_labels", "train_images", "train_labels"]


def test_kept_arrays_are_mapped_and_cannot_be_written(opened, folder):
    data = opened(f"imagefolder:{folder}")
    with pytest.raises(ValueError, match="read-only"):
        data.train.images[0] = 0


def test_equal_content_makes_equal_bytes(opened, folder, tmp_path):
    opened(f"imagefolder:{folder}", cache=tmp_path / "cache")
    opened(f"imagefolder:{folder}", cache=tmp_path / "other")
    (other,) = (tmp_path / "other" / "data").glob("*.safetensors")
    assert other.read_bytes() == kept(tmp_path)[0].read_bytes()


@pytest.mark.parametrize("position", ["header", "pixel", "end", "empty", "other", "link"])
def test_a_damaged_copy_is_noticed_and_made_again(opened, folder, tmp_path, notes, position):
    first = opened(f"imagefolder:{folder}")
    (path,) = kept(tmp_path)
    sound = path.read_bytes()
    data = bytearray(sound)
    if position == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        if position in ("header", "pixel"):
            data[20 if position == "header" else -7] ^= 4
        replace(path, {"end": data[:-1], "empty": b"", "other": b"hello, world"}.get(position, data))
    notes.lines.clear()
    assert same(first, opened(f"imagefolder:{folder}"))
    assert "damaged and is made again" in notes.lines[0]
    assert path.read_bytes() == sound
    assert not path.is_symlink()


def test_every_flipped_bit_of_a_copy_is_noticed(opened, folder, tmp_path, notes):
    opened(f"imagefolder:{folder}")
    (path,) = kept(tmp_path)
    sound = path.read_bytes()
    for bit in STREAM.integers(0, 8 * len(sound), 60):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << (bit % 8)
        replace(path, data)
        opened(f"imagefolder:{folder}")
        assert path.read_bytes() == sound


def test_a_changed_folder_is_decoded_anew(opened, folder):
    first = opened(f"imagefolder:{folder}")
    (folder / "train" / "cat" / "0.png").unlink()
    second = opened(f"imagefolder:{folder}")
    assert len(second.train) == len(first.train) - 1
    assert second.fingerprint != first.fingerprint


def test_an_option_has_its_own_copy(opened, folder, tmp_path):
    opened(f"imagefolder:{folder}")
    assert opened(f"imagefolder:{folder}", options={"size": 4}).shape == (3, 4, 4)
    assert opened(f"imagefolder:{folder}").shape == (3, 6, 5)
    assert len(kept(tmp_path)) == 2


def test_a_second_process_waits_for_the_first_and_takes_its_copy(
    opened, folder, tmp_path, notes, monkeypatch
):
    first = opened(f"imagefolder:{folder}", cache=tmp_path / "other")
    target = tmp_path / "cache" / "data"
    code = (
        "import sys, time, pathlib; from ticketctl.store.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(1)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout.readline() == b"held\n"
        began = time.monotonic()
        assert same(first, opened(f"imagefolder:{folder}"))
        assert time.monotonic() - began > 0.3
    assert "waiting for another process" in notes.lines[0 if len(notes.lines) < 3 else 1]


def test_reading_a_kept_copy_needs_no_lock(opened, folder, tmp_path):
    first = opened(f"imagefolder:{folder}")
    with locked(tmp_path / "cache" / "data"):
        assert same(first, opened(f"imagefolder:{folder}"))


def test_mean_and_std_are_numpys_to_four_decimals():
    images = STREAM.integers(0, 256, (5000, 3, 4, 4), dtype=np.uint8)
    mean, std = scale(images)
    for channel in range(3):
        pixels = images[:, channel] / 255
        assert mean[channel] == round(float(pixels.mean()), 4)
        assert std[channel] == round(float(pixels.std()), 4)


def test_a_constant_channel_has_std_one():
    assert scale(np.full((3, 1, 2, 2), 255, dtype=np.uint8)) == ((1.0,), (1.0,))


def test_the_fingerprint_is_over_shapes_labels_and_pixels():
    train = Split(STREAM.integers(0, 256, (3, 1, 2, 4), dtype=np.uint8), np.array([0, 1, 2]))
    test = Split(STREAM.integers(0, 256, (1, 1, 2, 4), dtype=np.uint8), np.array([1]))
    text = b"train 3x1x2x4\n" + train.labels.astype("<i8").tobytes() + train.images.tobytes()
    text += b"test 1x1x2x4\n" + test.labels.astype("<i8").tobytes() + test.images.tobytes()
    assert fingerprint(train, test) == "sha256:" + hashlib.sha256(text).hexdigest()
    turned = Split(train.images.reshape(3, 1, 4, 2), train.labels)
    assert fingerprint(turned, test) != fingerprint(train, test)
    assert fingerprint(Split(train.images[:, :, ::-1], train.labels), test) != fingerprint(train, test)


@pytest.mark.parametrize(
    ("images", "labels", "what"),
    [
        (np.zeros((0, 1, 2, 2), np.uint8), [], "do not match|train: "),
        (np.zeros((2, 1, 2, 2), np.uint8), [0], "labels"),
        (np.zeros((1, 1, 2, 2), np.uint8), [3], "labels from 3 to 3, but there are 3 classes"),
        (np.zeros((1, 1, 2, 2), np.uint8), [-1], "labels from -1"),
        (np.zeros((1, 1, 2, 2), np.float32), [0], "uint8"),
        (np.zeros((1, 2, 2), np.uint8), [0], "uint8"),
        (np.zeros((1, 1, 2, 3), np.uint8), [0], "must be the same"),
    ],
)
def test_what_makes_no_data_set_is_refused(images, labels, what):
    sound = Split(np.zeros((1, 1, 2, 2), np.uint8), np.array([2]))
    check("x", sound, sound, 3)
    with pytest.raises(UnavailableError, match=what):
        check("x", Split(images, np.array(labels, dtype=np.int64)), sound, 3)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("digit", "did you mean 'digits'"),
        ("", "no data set named ''"),
        ("cifar10:", "colon"),
        ("imagefolder", "place"),
    ],
)
def test_a_name_that_cannot_be_says_what_would_be_right(opened, name, what):
    with pytest.raises(UsageError, match=what):
        opened(name)


def test_an_unknown_option_is_refused_with_the_near_miss(opened, folder):
    with pytest.raises(UsageError, match="did you mean 'size'"):
        opened(f"imagefolder:{folder}", options={"sise": 3})
    with pytest.raises(UsageError, match="no option 'size'; there is none"):
        opened("digits", options={"size": 3})


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TICKETCTL_CACHE", raising=False)
    assert default_cache() == tmp_path / ".cache" / "ticketctl"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(default_cache()) == "/x/ticketctl"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/d")
    assert default_cache() == tmp_path / "d" / "ticketctl"
    monkeypatch.setenv("TICKETCTL_CACHE", "~/c")
    assert default_cache() == tmp_path / "c"


def test_a_failed_decoding_leaves_nothing_and_frees_the_lock(opened, folder, tmp_path):
    bad = folder / "test" / "dog" / "0.png"
    bad.write_bytes(bad.read_bytes()[:40])
    with pytest.raises(UnavailableError, match=r"0\.png: not a sound image"):
        opened(f"imagefolder:{folder}")
    assert kept(tmp_path) == []
    bad.unlink()
    assert len(opened(f"imagefolder:{folder}").test) == 3


def test_every_data_set_is_listed_with_one_line_of_help():
    known = module.plugins.plugins("data")
    assert {"digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "eurosat"} <= set(known)
    assert {"tinyimagenet", "imagefolder", "tensors"} <= set(known)
    for plugin in known.values():
        assert 20 < len(plugin.help) < 100
        assert "\n" not in plugin.help


# ------------------------------------------------------------------------------- whether they are what they were


def mine(path, seed, images=40):
    """A file of arrays, and its fingerprint by the words of the format."""
    stream = np.random.default_rng(seed)
    found, digest = {}, hashlib.sha256()
    for part, count in (("train", images), ("test", 6)):
        pixels = stream.integers(0, 256, (count, 1, 5, 4), dtype=np.uint8)
        labels = np.arange(count) % 2
        found |= {f"{part}_images": pixels, f"{part}_labels": labels}
        digest.update(f"{part} {count}x1x5x4\n".encode() + labels.astype("<i8").tobytes() + pixels.tobytes())
    path.unlink(missing_ok=True)
    save_file(found, path)
    return f"sha256:{digest.hexdigest()}"


def here(tmp_path, name="tensors:x.safetensors", **more):
    base, _, target = name.partition(":")
    return fingerprint_here(f"{base}:{tmp_path / target}", cache=tmp_path / "cache", **more)


def bytes_read():
    return int(Path("/proc/self/io").read_text().split()[1])


def test_data_that_were_read_before_are_known_again_without_being_read(opened, tmp_path):
    file = tmp_path / "x.safetensors"
    wanted = mine(file, 0, images=250_000)
    assert opened(f"tensors:{file}").fingerprint == wanted
    before = bytes_read()
    assert here(tmp_path) == wanted
    assert bytes_read() - before < 10_000 < file.stat().st_size / 100
    os.utime(file)
    assert here(tmp_path) == wanted
    assert bytes_read() - before > file.stat().st_size, "touched, it was read"
    before = bytes_read()
    assert here(tmp_path) == wanted
    assert bytes_read() - before < 10_000


@pytest.mark.parametrize("noted", [0, module.NOTED])
def test_what_lies_there_now_is_told_and_not_what_did(opened, tmp_path, monkeypatch, noted):
    monkeypatch.setattr(module, "NOTED", noted)
    file = tmp_path / "x.safetensors"
    assert here(tmp_path) is None
    first, second = mine(file, 0), mine(tmp_path / "y.safetensors", 1)
    assert opened(f"tensors:{file}").fingerprint == first
    file.write_bytes((tmp_path / "y.safetensors").read_bytes())  # as large as it was
    assert here(tmp_path) == second != first
    file.unlink()
    assert here(tmp_path) is None
    file.write_bytes(b"hello")
    with pytest.raises(UnavailableError, match=r"x\.safetensors: .*not a safetensors file"):
        here(tmp_path)


@pytest.mark.parametrize("noted", [0, module.NOTED])
def test_an_image_of_a_folder_that_is_written_over_makes_other_data(
    opened, folder, tmp_path, monkeypatch, noted
):
    monkeypatch.setattr(module, "NOTED", noted)
    first = opened(f"imagefolder:{folder}").fingerprint
    image, other = folder / "train/cat/0.png", (folder / "train/dog/1.png").read_bytes()
    own = image.read_bytes()
    image.write_bytes(other)
    assert here(tmp_path, "imagefolder:images") not in (first, None)
    image.write_bytes(own)
    assert here(tmp_path, "imagefolder:images") == first
    (folder / "train/cat/9.png").write_bytes(own)
    assert here(tmp_path, "imagefolder:images") not in (first, None)


def test_a_streamed_folder_goes_by_its_listing(opened, folder, tmp_path):
    options = {"size": 4, "stream": "always"}
    first = opened(f"imagefolder:{folder}", options=options).fingerprint
    assert here(tmp_path, "imagefolder:images", options=options) == first
    (folder / "train/cat/0.png").rename(folder / "train/cat/7.png")
    assert here(tmp_path, "imagefolder:images", options=options) not in (first, None)


@pytest.mark.parametrize("options", [{}, {"size": 4, "stream": "always"}])
def test_a_folder_without_images_has_no_data(folder, tmp_path, options):
    """As of a disk that is not mounted."""
    (tmp_path / "empty").mkdir()
    assert here(tmp_path, "imagefolder:empty", options=options) is None


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "NOTED", 0)
    wanted = mine(tmp_path / "x.safetensors", 0)
    (tmp_path / "cache").write_text("no folder")
    assert here(tmp_path) == wanted
    assert (tmp_path / "cache").read_text() == "no folder"


def test_where_the_cache_cannot_be_written_what_would_be_decoded_into_it_is_not_looked_at(folder, tmp_path):
    """A draw that is done asks, and needs neither data nor a cache."""
    (tmp_path / "cache").write_text("no folder")
    for options in ({}, {"size": 4, "stream": "always"}):
        assert here(tmp_path, "imagefolder:images", options=options) is None


def test_a_place_below_nobodys_home_is_not_there(opened, tmp_path):
    assert fingerprint_here("tensors:~nobody-of-this-name/x", cache=tmp_path) is None
    with pytest.raises(UnavailableError, match="there is no ~nobody-of-this-name/x"):
        opened("tensors:~nobody-of-this-name/x")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"fingerprint":7}', b"\xff" * 9])
def test_a_damaged_note_is_not_believed(tmp_path, damage, monkeypatch):
    monkeypatch.setattr(module, "NOTED", 0)
    wanted = mine(tmp_path / "x.safetensors", 0)
    assert here(tmp_path) == wanted
    (note,) = (tmp_path / "cache" / "data").iterdir()
    note.write_bytes(damage)
    assert here(tmp_path) == wanted
    assert wanted in note.read_text()
