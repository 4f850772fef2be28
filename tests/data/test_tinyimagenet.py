"""TinyImageNet as it is distributed, folder and zip."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ticketctl.data import tinyimagenet
from ticketctl.errors import UnavailableError, UsageError

WNIDS = ("n02124075", "n01443537", "n04067472")


def jpeg(stream, mode="RGB"):
    shape = (64, 64, 3) if mode == "RGB" else (64, 64)
    buffer = io.BytesIO()
    Image.fromarray(stream.integers(0, 256, shape, dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def files(monkeypatch):
    """The distributed layout in small: three classes, a grey image among them."""
    stream, made, lines = np.random.default_rng(8), {"wnids.txt": b"", "words.txt": b""}, []
    for wnid in WNIDS:
        made[f"train/{wnid}/{wnid}_boxes.txt"] = b"0\t1\t2\t3\n"
        for number in range(4):
            made[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = jpeg(stream, "L" if number == 1 else "RGB")
    for number in (2, 0, 1, 10):
        made[f"val/images/val_{number}.JPEG"] = jpeg(stream)
        lines.append(f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t32\t44\t62\n")
    made["val/val_annotations.txt"] = "".join(lines).encode()
    made["test/images/test_0.JPEG"] = jpeg(stream)
    monkeypatch.setattr(tinyimagenet, "COUNTS", (12, 4))
    return made


def unpack(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pack(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", data)
    return path


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def test_images_and_labels_are_those_of_the_files(opened, tmp_path, files):
    data = opened(f"tinyimagenet:{unpack(tmp_path / 'tiny', files)}")
    assert data.classes == tuple(sorted(WNIDS))
    order = [f"train/{wnid}/images/{wnid}_{number}.JPEG" for wnid in sorted(WNIDS) for number in range(4)]
    np.testing.assert_array_equal(data.train.images, [pixels(files[name]) for name in order])
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    order = [2, 0, 1, 10]
    np.testing.assert_array_equal(
        data.test.images, [pixels(files[f"val/images/val_{number}.JPEG"]) for number in order]
    )
    assert data.test.labels.tolist() == [sorted(WNIDS).index(WNIDS[number % 3]) for number in order]


def test_zip_folder_and_data_dir_are_one(opened, tmp_path, files):
    unpack(tmp_path / "a" / "tiny-imagenet-200", files)
    (tmp_path / "b").mkdir()
    packed = pack(tmp_path / "b" / "tiny-imagenet-200.zip", files)
    wanted = opened(f"tinyimagenet:{tmp_path / 'a' / 'tiny-imagenet-200'}").fingerprint
    assert opened(f"tinyimagenet:{packed}").fingerprint == wanted
    assert opened("tinyimagenet", tmp_path / "a").fingerprint == wanted
    assert opened("tinyimagenet", tmp_path / "b").fingerprint == wanted


def test_without_a_place_it_says_how_to_name_one(opened, tmp_path):
    with pytest.raises(UsageError, match="tinyimagenet:PATH"):
        opened("tinyimagenet")
    with pytest.raises(UnavailableError, match=r"neither tiny-imagenet-200\.zip nor"):
        opened("tinyimagenet", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("val/images/val_2.JPEG", None, "does not fit"),
        ("train/n02124075/images/n02124075_0.JPEG", None, "11 train and 4 val images"),
        ("val/val_annotations.txt", b"../../../etc/passwd\tn02124075\n", "does not fit"),
        ("val/val_annotations.txt", b"val_2.JPEG\tn02124075\nval_2.JPEG\tn02124075\n", "does not fit"),
        ("val/val_annotations.txt", b"\xff\xfe", "does not fit"),
        ("train/n01443537/images/n01443537_2.JPEG", b"no image", "not a sound image"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_files_that_do_not_fit_together_are_refused(opened, tmp_path, files, name, content, what, zipped):
    files.pop(name)
    if content is not None:
        files[name] = content
    place = pack(tmp_path / "t.zip", files) if zipped else unpack(tmp_path / "tiny", files)
    with pytest.raises(UnavailableError, match=what):
        opened(f"tinyimagenet:{place}")


def test_a_class_that_is_only_validated_is_refused(opened, tmp_path, files):
    files["val/val_annotations.txt"] = files["val/val_annotations.txt"].replace(b"n02124075", b"n99999999")
    with pytest.raises(UnavailableError, match="n99999999 has no train images"):
        opened(f"tinyimagenet:{unpack(tmp_path / 'tiny', files)}")


def test_what_is_no_zip_is_refused(opened, tmp_path, files):
    (tmp_path / "t.zip").write_bytes(b"PK\3\4 no zip")
    with pytest.raises(UnavailableError, match="not a zip archive"):
        opened(f"tinyimagenet:{tmp_path / 't.zip'}")


def test_a_damaged_member_is_refused(opened, tmp_path, files):
    path = pack(tmp_path / "t.zip", files)
    data = bytearray(path.read_bytes())
    data[data.index(files["val/images/val_0.JPEG"]) + 700] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        opened(f"tinyimagenet:{path}")


def test_a_name_that_stands_twice_is_refused(opened, tmp_path, files):
    path = pack(tmp_path / "t.zip", files)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("tiny-imagenet-200/val/images/val_0.JPEG", b"another")
    with pytest.raises(UnavailableError, match="twice"):
        opened(f"tinyimagenet:{path}")


def test_a_member_that_unpacks_without_end_is_refused(opened, tmp_path, files, monkeypatch):
    monkeypatch.setattr("ticketctl.data._members.MAX_FILE", 1000)
    with pytest.raises(UnavailableError, match="more than 1000 bytes"):
        opened(f"tinyimagenet:{pack(tmp_path / 't.zip', files)}")
