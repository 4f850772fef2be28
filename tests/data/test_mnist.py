"""MNIST and its kin against torchvision's reader, on the real files and on synthetic ones."""

import gzip
import hashlib

import numpy as np
import pytest
import torchvision

from ticketctl.data import mnist
from ticketctl.errors import UnavailableError, UsageError

COUNTS = (30, 20)
NAMES = {"train": COUNTS[0], "t10k": COUNTS[1]}


def idx(array):
    dims = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.tobytes()


@pytest.fixture
def files():
    """Four small IDX files by name."""
    stream, made = np.random.default_rng(0), {}
    for part, count in NAMES.items():
        made[f"{part}-images-idx3-ubyte"] = idx(stream.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        made[f"{part}-labels-idx1-ubyte"] = idx(stream.integers(0, 10, count, dtype=np.uint8))
    return made


@pytest.fixture
def small(monkeypatch, files):
    """Makes the small files the published ones; returns them packed."""
    shapes = {name: (NAMES[name.partition("-")[0]], *shape[1:]) for name, shape in mnist.FILES.items()}
    monkeypatch.setattr(mnist, "FILES", shapes)
    packed = {f"{name}.gz": gzip.compress(files[name], mtime=0) for name in shapes}
    sums = tuple(hashlib.md5(packed[f"{name}.gz"]).hexdigest() for name in shapes)
    monkeypatch.setattr(mnist, "PACKED", dict.fromkeys(mnist.PACKED, sums))
    bare = tuple(hashlib.md5(files[name]).hexdigest() for name in shapes)
    monkeypatch.setattr(mnist, "UNPACKED", {"mnist": bare})
    return packed


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def oracle(kind, root, train):
    """torchvision's own reading of the unpacked files."""
    data = getattr(torchvision.datasets, kind)(root, train=train)
    return data.data.numpy()[:, None], data.targets.numpy()


@pytest.mark.parametrize(
    ("name", "kind"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_unpacked_files_read_as_torchvision_reads_them(opened, tmp_path, files, small, name, kind):
    put(tmp_path / kind / "raw", files)
    data = opened(name, tmp_path)
    for split, train in ((data.train, True), (data.test, False)):
        images, labels = oracle(kind, tmp_path, train)
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)


@pytest.mark.parametrize(
    ("name", "kind"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_the_published_sums_and_classes_are_torchvisions(name, kind):
    theirs = getattr(torchvision.datasets, kind)
    assert [
        (f"{file}.gz", md5) for file, md5 in zip(mnist.FILES, mnist.PACKED[name], strict=True)
    ] == theirs.resources
    assert len(mnist._CLASSES[name]) == len(theirs.classes) == 10
    if name != "mnist":
        assert list(mnist._CLASSES[name]) == theirs.classes


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw", "mnist"])
def test_packed_files_are_found_where_people_put_them(opened, tmp_path, small, files, place):
    put(tmp_path / "mine" / place, small)
    data = opened("mnist", tmp_path / "mine")
    assert data.train.images.tobytes() == files["train-images-idx3-ubyte"][16:]


def test_equal_content_has_one_cache_entry_wherever_it_lies(opened, tmp_path, small, files):
    put(tmp_path / "packed", small)
    put(tmp_path / "bare", files)
    one = opened("mnist", tmp_path / "packed")
    other = opened("mnist", tmp_path / "bare")
    assert one.fingerprint == other.fingerprint
    assert len(list((tmp_path / "cache" / "data").glob("mnist-*"))) == 1
    assert opened("mnist").fingerprint == one.fingerprint  # no folder needed any more


def test_files_packed_anew_pass_by_their_content(opened, tmp_path, files, small):
    put(tmp_path / "mine", {f"{name}.gz": gzip.compress(data, 1, mtime=5) for name, data in files.items()})
    assert len(opened("mnist", tmp_path / "mine").train) == COUNTS[0]


@pytest.mark.parametrize("packed", [True, False])
def test_a_changed_pixel_is_refused(opened, tmp_path, small, files, packed):
    damaged = bytearray(files["t10k-images-idx3-ubyte"])
    damaged[500] ^= 1
    files["t10k-images-idx3-ubyte"] = bytes(damaged)
    put(tmp_path / "mine", {n + ".gz": gzip.compress(d) for n, d in files.items()} if packed else files)
    with pytest.raises(UnavailableError, match=r"t10k-images-idx3-ubyte.*not the published file"):
        opened("mnist", tmp_path / "mine")
    assert not list((tmp_path / "cache" / "data").glob("*.safetensors"))


def test_a_damaged_gzip_file_is_refused(opened, tmp_path, small):
    small["train-labels-idx1-ubyte.gz"] = small["train-labels-idx1-ubyte.gz"][:-9]
    put(tmp_path / "mine", small)
    with pytest.raises(UnavailableError, match="not a sound gzip file"):
        opened("mnist", tmp_path / "mine")


def test_a_gzip_bomb_is_not_unpacked(opened, tmp_path, small):
    small["train-labels-idx1-ubyte.gz"] = gzip.compress(bytes(1 << 24))
    put(tmp_path / "mine", small)
    with pytest.raises(UnavailableError, match="more than"):
        opened("mnist", tmp_path / "mine")


def test_a_folder_in_place_of_a_file_is_no_file(opened, tmp_path, small):
    put(tmp_path / "mine", {k: v for k, v in small.items() if "labels" in k})
    (tmp_path / "mine" / "train-images-idx3-ubyte.gz").mkdir()
    with pytest.raises(UnavailableError, match="--offline"):
        opened("mnist", tmp_path / "mine")


def test_what_is_missing_offline_is_named_with_the_way_out(opened, tmp_path, notes):
    with pytest.raises(UnavailableError) as caught:
        opened("kmnist", tmp_path)
    assert str(caught.value) == (
        "train-images-idx3-ubyte.gz is not here and --offline forbids to fetch it; "
        "put train-images-idx3-ubyte.gz into a folder and give it with --data-dir, or drop --offline"
    )
    assert notes.lines == [
        f"{tmp_path} has no files of kmnist: those fetched before, or fetched now, are read"
    ]


def test_mnist_takes_no_target(opened):
    with pytest.raises(UsageError, match="takes no target"):
        opened("mnist:somewhere")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: data[:7],
        lambda data: b"\0\0\x09" + data[3:],
        lambda data: b"\1" + data[1:],
        lambda data: data[:3] + b"\x02" + data[4:],
        lambda data: data[:4] + b"\xff\xff\xff\xff" + data[8:],
        lambda data: data[:8] + b"\0\0\0\x05" + data[12:],
    ],
)
def test_an_idx_file_of_another_form_is_refused(change):
    sound = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    np.testing.assert_array_equal(mnist.parse_idx(sound, (2, 3, 4), "x").reshape(-1), np.arange(24))
    with pytest.raises(UnavailableError, match=r"^x: "):
        mnist.parse_idx(change(sound), (2, 3, 4), "x")


def test_the_real_mnist_reads_as_torchvision_reads_it(opened, shared, unpacker, tmp_path):
    data = opened("mnist", shared("MNIST").parent)
    unpacker.mnist(tmp_path)
    for split, train in ((data.train, True), (data.test, False)):
        images, labels = oracle("MNIST", tmp_path, train)
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
    assert (data.mean, data.std) == ((0.1307,), (0.3081,))
