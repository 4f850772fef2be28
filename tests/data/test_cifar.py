"""CIFAR's binary archives against torchvision's reader of the pickled form of the same images."""

import dataclasses
import hashlib
import io
import os
import pickle
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torchvision

from ticketctl.data import cifar
from ticketctl.errors import UnavailableError

COUNT = 4
"""Records in each file."""


def records(name, count, stream):
    """Labels [count, 1 or 2] and pixels [count, 3072]."""
    if name == "cifar10":
        labels = stream.integers(0, 10, (count, 1), dtype=np.uint8)
    else:
        labels = stream.integers([0, 0], [20, 100], (count, 2), dtype=np.uint8)
    return labels, stream.integers(0, 256, (count, 3072), dtype=np.uint8)


def tar_gz(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class Set:
    """A small CIFAR: its files' content, its archive, its records."""

    def __init__(self, name, monkeypatch):
        layout, stream = cifar.LAYOUTS[name], np.random.default_rng(4)
        self.name, self.layout = name, layout
        self.records = {file: records(name, COUNT, stream) for file in (*layout.train, layout.test)}
        self.files = {file: np.hstack(pair).tobytes() for file, pair in self.records.items()}
        self.members = [("readme.html", b"<p>")] + [
            (f"{layout.folder}/{f}", d) for f, d in self.files.items()
        ]
        self.monkeypatch = monkeypatch
        self.publish(self.members)

    def publish(self, members):
        """Make this archive the published one."""
        self.archive = tar_gz(members)
        checksum = "sha256:" + hashlib.sha256(self.archive).hexdigest()
        remote = dataclasses.replace(self.layout.remote, checksum=checksum, size=len(self.archive))
        small = dataclasses.replace(self.layout, remote=remote, records=(COUNT, COUNT))
        self.monkeypatch.setitem(cifar.LAYOUTS, self.name, small)

    def put_archive(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.layout.remote.name).write_bytes(self.archive)
        return folder

    def put_files(self, folder):
        folder.mkdir(parents=True)
        for file, data in self.files.items():
            (folder / file).write_bytes(data)


@pytest.fixture(params=["cifar10", "cifar100"])
def small(request, monkeypatch):
    return Set(request.param, monkeypatch)


def oracle(small, root, monkeypatch):
    """torchvision's reading of the same records in the pickled layout, which it reads."""
    theirs = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[small.name]
    monkeypatch.setattr(theirs, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5: True)
    base = root / theirs.base_folder
    base.mkdir(parents=True)
    names = [name for name, _ in theirs.train_list + theirs.test_list]
    for name, (labels, pixels) in zip(names, small.records.values(), strict=True):
        key = "labels" if small.name == "cifar10" else "fine_labels"
        (base / name).write_bytes(pickle.dumps({"data": pixels, key: labels[:, -1].tolist()}))
    meta = {theirs.meta["key"]: list(small.layout.classes)}
    (base / theirs.meta["filename"]).write_bytes(pickle.dumps(meta))
    return theirs(root, train=True), theirs(root, train=False)


def test_the_archive_reads_as_torchvision_reads_the_same_images(opened, tmp_path, small, monkeypatch):
    data = opened(small.name, small.put_archive(tmp_path / "mine"))
    for split, theirs in zip(
        (data.train, data.test), oracle(small, tmp_path / "tv", monkeypatch), strict=True
    ):
        np.testing.assert_array_equal(split.images, theirs.data.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(split.labels, theirs.targets)
    assert data.classes == small.layout.classes
    assert data.augment == "crop-flip"


@pytest.mark.parametrize("place", ["", "inside"])
def test_the_unpacked_folder_reads_as_the_archive(opened, tmp_path, small, place):
    packed = opened(small.name, small.put_archive(tmp_path / "packed"))
    small.put_files(tmp_path / "mine" / small.layout.folder)
    folder = tmp_path / "mine" / small.layout.folder if place else tmp_path / "mine"
    assert opened(small.name, folder).fingerprint == packed.fingerprint


def test_a_kept_set_needs_no_archive_any_more(opened, tmp_path, small):
    first = opened(small.name, small.put_archive(tmp_path / "mine"))
    assert opened(small.name).fingerprint == first.fingerprint


def test_an_archive_that_is_not_the_published_one_is_refused(opened, tmp_path, small):
    folder = small.put_archive(tmp_path / "mine")
    path = folder / small.layout.remote.name
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(UnavailableError, match="not the published file"):
        opened(small.name, folder)


def link(name):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize("fault", ["missing", "short", "twice", "link", "elsewhere"])
def test_an_archive_without_exactly_these_members_is_refused(opened, tmp_path, small, fault):
    (name, data), *rest = small.members[1:]
    small.publish(
        {
            "missing": rest,
            "short": [(name, data[:-1]), *rest],
            "twice": [(name, data), (name, data), *rest],
            "link": [(link(name), b""), *rest],
            "elsewhere": [("../" + name, data), *rest],
        }[fault]
    )
    with pytest.raises(UnavailableError, match=name.rpartition("/")[2].replace(".", r"\.")):
        opened(small.name, small.put_archive(tmp_path / "mine"))


def test_nothing_is_written_beside_the_cache(opened, tmp_path, small):
    small.publish([("../../evil", b"x"), ("/tmp/evil-abs", b"x"), *small.members])
    opened(small.name, small.put_archive(tmp_path / "mine"))
    found = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not {name for name in found if "evil" in name}
    assert not os.path.exists("/tmp/evil-abs")


def test_an_archive_that_is_cut_short_is_refused(opened, tmp_path, small):
    whole = small.archive
    with pytest.raises(UnavailableError, match=r"not a sound archive|cut short"):
        cifar.read_members(
            whole[: len(whole) // 2], {small.members[-1][0]: len(small.members[-1][1])}, tmp_path
        )


def test_an_unpacked_file_of_another_length_is_refused(opened, tmp_path, small):
    small.put_files(tmp_path / "mine" / small.layout.folder)
    path = tmp_path / "mine" / small.layout.folder / small.layout.test
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnavailableError, match="bytes"):
        opened(small.name, tmp_path / "mine")


def test_a_label_past_the_last_class_is_refused(opened, tmp_path, small):
    path = tmp_path / "mine" / small.layout.folder
    small.put_files(path)
    damaged = bytearray(small.files[small.layout.test])
    damaged[small.layout.labels - 1] = 100
    (path / small.layout.test).write_bytes(damaged)
    with pytest.raises(UnavailableError, match="labels from"):
        opened(small.name, tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "base"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")]
)
def test_the_pickled_form_is_named_and_not_read(opened, tmp_path, notes, name, base):
    (tmp_path / base).mkdir()
    with pytest.raises(UnavailableError, match=rf"put cifar-{name[5:]}-binary\.tar\.gz into"):
        opened(name, tmp_path)
    assert "pickle" in notes.lines[0]


@pytest.mark.parametrize(("name", "count"), [("cifar10", 10), ("cifar100", 100)])
def test_class_names_are_in_the_official_alphabetical_order(name, count):
    classes = cifar.LAYOUTS[name].classes
    assert len(classes) == len(set(classes)) == count
    assert list(classes) == sorted(classes)


@pytest.mark.long
def test_the_scale_of_cifar10_is_that_of_its_jpegs_too(shared):
    """An independent look at the constants: real images, slightly blurred by JPEG."""
    import lzma

    from PIL import Image
    from safetensors.numpy import load

    tensors = load(lzma.decompress(shared("cifar10-jpeg.safetensors.xz").read_bytes()))
    blob, offsets = tensors["train_jpeg"], tensors["train_offsets"]
    some = [blob[offsets[i] : offsets[i + 1]].tobytes() for i in range(0, 50_000, 25)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in some]) / 255
    mean, std = cifar.LAYOUTS["cifar10"].scale
    np.testing.assert_allclose(pixels.mean((0, 1, 2)), mean, atol=0.01)
    np.testing.assert_allclose(pixels.std((0, 1, 2)), std, atol=0.01)


def test_the_archive_is_fetched_kept_and_asked_for_once(opened, tmp_path, small, monkeypatch, notes):
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "mirror")

        def log_message(self, *args):
            asked.append(self.path)

    small.put_archive(tmp_path / "mirror" / small.name)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("TICKETCTL_MIRROR", f"http://127.0.0.1:{http.server_port}")
        data = opened(small.name, offline=False)
        for kept in (tmp_path / "cache" / "data").glob("*.safetensors"):
            kept.unlink()
        assert opened(small.name).fingerprint == data.fingerprint
        http.shutdown()
    assert asked == [f"/{small.name}/{small.layout.remote.name}"]
    assert notes.downloads[-1][1:] == (len(small.archive), len(small.archive))
    assert opened(small.name, tmp_path / "cache" / "downloads").fingerprint == data.fingerprint
