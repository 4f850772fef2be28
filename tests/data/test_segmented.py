"""Segmented sets: what a plain loop reads from the files is what comes out, and faults are one line each."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticketctl.data import segmented as module
from ticketctl.data._planes import Concept
from ticketctl.data.segmented import Segmented, packed, read_segmented
from ticketctl.errors import ArtifactError, StoppedError, TicketctlError, UnavailableError, UsageError

SHAPE = (3, 8, 10)
LISTED = [
    {"id": 3, "name": "red", "category": "color"},
    {"id": 700, "name": "disc", "category": "object"},
    {"id": 1, "name": "sky, blue", "category": "scene"},
]


def save(path: Path, values: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if mode == "P":
        image = Image.fromarray(values, mode=None)
        image.putpalette(list(range(256)) * 3)
    image.save(path)


def own(root: Path, count: int = 5, size: tuple[int, int] = (6, 7), seed: int = 0) -> np.ndarray:
    """A set of one's own at `root`; its masks as numbers, [count, height, width]."""
    draws = np.random.default_rng(seed)
    values = draws.choice([0, 1, 3, 700], (count, *size))
    for number in range(count):
        save(root / "images" / f"{number}.png", draws.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        save(root / "masks" / f"{number}.png", values[number].astype(np.uint16))
    (root / "concepts.json").write_text(json.dumps(LISTED))
    return values


def unpacked(found: Segmented) -> np.ndarray:
    """Bool [images, concepts, height, width]."""
    dense = np.zeros((len(found), len(found.concepts), *found.size), bool)
    pixels = found.size[0] * found.size[1]
    bits = np.unpackbits(found.bits.view(np.uint8), axis=1)[:, :pixels].astype(bool)
    dense[found.image, found.concept] = bits.reshape(-1, *found.size)
    return dense


def test_bits_are_those_of_the_masks_and_zeros_behind() -> None:
    masks = np.random.default_rng(0).random((3, 70)) < 0.5
    bits = packed(masks)
    assert bits.shape == (3, 2)
    assert np.bitwise_count(bits).sum(1).tolist() == masks.sum(1).tolist()
    assert (np.unpackbits(bits.view(np.uint8), axis=1)[:, :70] == masks).all()


def test_a_set_of_ones_own_reads_as_its_numbers_say(tmp_path) -> None:
    values = own(tmp_path)
    found = read_segmented(tmp_path, shape=SHAPE)
    assert found.concepts == (
        Concept("red", "color"),
        Concept("disc", "object"),
        Concept("sky, blue", "scene"),
    )
    assert (unpacked(found) == np.stack([values == 3, values == 700, values == 1], axis=1)).all()
    assert (np.diff(found.image) >= 0).all()
    for number in range(5):
        image = np.asarray(Image.open(tmp_path / "images" / f"{number}.png"))
        assert (found.images[number] == image.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("kind", ["L", "P"])
def test_masks_of_eight_bits_are_numbers_too(tmp_path, kind) -> None:
    own(tmp_path, count=1)
    values = np.random.default_rng(1).choice([0, 1, 3], (6, 7)).astype(np.uint8)
    save(tmp_path / "masks" / "0.png", values, kind)
    with Image.open(tmp_path / "masks" / "0.png") as image:
        assert image.mode == kind
    shown = unpacked(read_segmented(tmp_path, shape=SHAPE))
    assert (shown[0] == np.stack([values == 3, values == 700, values == 1])).all()


def test_concepts_may_overlap_in_stacks(tmp_path) -> None:
    own(tmp_path, count=2)
    stack = np.random.default_rng(2).random((3, 6, 7)) < 0.5
    (tmp_path / "masks" / "1.png").unlink()
    np.savez_compressed(tmp_path / "masks" / "1.npz", stack)
    assert (unpacked(read_segmented(tmp_path, shape=SHAPE))[1] == stack).all()


def test_images_are_squeezed_to_what_the_net_takes(tmp_path) -> None:
    own(tmp_path, count=1)
    image = Image.open(tmp_path / "images" / "0.png")
    found = read_segmented(tmp_path, shape=(3, 4, 9)).images[0]
    assert (found == np.asarray(image.resize((9, 4), Image.Resampling.BILINEAR)).transpose(2, 0, 1)).all()
    grey = read_segmented(tmp_path, shape=(1, 8, 10)).images[0]
    assert (grey[0] == np.asarray(image.convert("L"))).all()


def test_fewer_images_are_spread_over_the_set(tmp_path) -> None:
    own(tmp_path, count=9)
    every, some = (read_segmented(tmp_path, shape=SHAPE, most=most) for most in (0, 3))
    assert (some.images == every.images[[0, 3, 6]]).all()
    assert (unpacked(some) == unpacked(every)[[0, 3, 6]]).all()


def broden(root: Path) -> None:
    """Two images: one with two colours of which the second overlaps, a scene and an object; one with a texture."""
    draws = np.random.default_rng(3)
    for name in ("a/one.jpg", "b/two.jpg"):
        save(root / "images" / name, draws.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    codes = np.zeros((2, 4, 5, 3), np.uint8)
    codes[0, 1:3, :, 0], codes[0, :, 4, 0] = 7, 9
    codes[1, 0, 0] = (44, 1, 0)  # 44 + 256
    save(root / "images" / "a" / "one_color.png", codes[0])
    save(root / "images" / "a" / "one_object.png", codes[1])
    rows = [
        "image,split,ih,iw,sh,sw,color,object,scene,texture",
        "a/one.jpg,train,16,16,4,5,a/one_color.png;9,a/one_object.png,12,",
        "b/two.jpg,val,16,16,4,5,,,,12;7",
    ]
    (root / "index.csv").write_text("\n".join(rows) + "\n")
    labels = [
        "number,name,category,frequency",
        "300,cat,object(2),2",
        "9,red-c,color(289),1",
        "7,blue-c,color(2);object(1),1",
        '12,"sky, wide",scene(1),1',
    ]
    (root / "label.csv").write_text("\n".join(labels) + "\n")


def test_broden_reads_as_its_lists_say(tmp_path) -> None:
    broden(tmp_path)
    found = read_segmented(tmp_path, shape=(3, 16, 16))
    assert [concept.name for concept in found.concepts] == ["blue-c", "red-c", "sky, wide", "cat"]
    assert [concept.category for concept in found.concepts] == ["color", "color", "scene", "object"]
    blue, red, sky, cat = unpacked(found)[0]
    assert sky.all()
    assert red.all()  # the whole image, and its own pixels
    wanted = np.zeros((4, 5), bool)
    wanted[1:3, :4] = True
    assert (blue == wanted).all()
    assert np.argwhere(cat).tolist() == [[0, 0]]
    assert unpacked(found)[1].all((1, 2)).tolist() == [True, False, True, False]


def test_the_fingerprint_is_that_of_the_content(tmp_path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        own(tmp_path / folder, seed=seed)
    one, same, other = (read_segmented(tmp_path / folder, shape=SHAPE).fingerprint for folder in "abc")
    assert one == same != other


def test_a_stop_is_passed_on(tmp_path) -> None:
    own(tmp_path)

    def stop() -> None:
        raise StoppedError("stopped", 75)

    with pytest.raises(StoppedError):
        read_segmented(tmp_path, shape=SHAPE, tick=stop)


def faults():
    listed = json.dumps
    swap = [
        ("no list", lambda r: (r / "concepts.json").unlink(), "neither concepts.json nor"),
        ("no json", lambda r: (r / "concepts.json").write_text("[{"), "not sound JSON"),
        ("nan", lambda r: (r / "concepts.json").write_text("[NaN]"), "not sound JSON"),
        ("no entries", lambda r: (r / "concepts.json").write_text("[]"), "must be a list"),
        ("no object", lambda r: (r / "concepts.json").write_text("[1]"), "entry 1: needs id, name and category"),
        ("more keys", lambda r: (r / "concepts.json").write_text(listed([{**LISTED[0], "x": 1}])), "nothing else"),
        ("id 0", lambda r: (r / "concepts.json").write_text(listed([{**LISTED[0], "id": 0}])), "whole number from 1"),
        ("id true", lambda r: (r / "concepts.json").write_text(listed([{**LISTED[0], "id": True}])), "whole number"),
        ("id huge", lambda r: (r / "concepts.json").write_text(listed([{**LISTED[0], "id": 10**40}])), "whole number"),
        ("name", lambda r: (r / "concepts.json").write_text(listed([{**LISTED[0], "name": "a\nb"}])), "printable"),
        ("twice", lambda r: (r / "concepts.json").write_text(listed([LISTED[0], LISTED[0]])), "stands twice"),
        ("no mask", lambda r: (r / "masks" / "2.png").unlink(), r"images/2\.png has no mask of its name"),
        ("no image", lambda r: (r / "images" / "2.png").unlink(), r"masks/2\.png has no image of its name"),
        ("both", lambda r: (r / "masks" / "2.npz").write_bytes(b""), "one of a name"),
        ("damaged image", lambda r: (r / "images" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n..."), "not a sound image"),
        ("damaged mask", lambda r: (r / "masks" / "2.png").write_bytes(b"no png"), "not a sound image"),
        ("colours", lambda r: save(r / "masks" / "2.png", np.zeros((6, 7, 3), np.uint8)), "is RGB; a mask is grey"),
        ("unknown", lambda r: save(r / "masks" / "2.png", np.full((6, 7), 5, np.uint8)), "number 5, which concepts"),
        ("size", lambda r: save(r / "masks" / "2.png", np.full((7, 6), 3, np.uint8)), "one size"),
    ]  # fmt: skip
    return [pytest.param(change, words, id=name) for name, change, words in swap]


@pytest.mark.parametrize(("change", "words"), faults())
def test_a_fault_in_a_set_of_ones_own_is_one_line_that_says_where(tmp_path, change, words) -> None:
    own(tmp_path)
    change(tmp_path)
    with pytest.raises((UnavailableError, ArtifactError), match=words) as caught:
        read_segmented(tmp_path, shape=SHAPE)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_shown_no_folder_and_too_much_are_said(tmp_path, monkeypatch) -> None:
    with pytest.raises(UsageError, match="is not a folder; it should have images/"):
        read_segmented(tmp_path / "none", shape=SHAPE)
    own(tmp_path, count=1)
    save(tmp_path / "masks" / "0.png", np.zeros((6, 7), np.uint8))
    with pytest.raises(UnavailableError, match="no concept is shown"):
        read_segmented(tmp_path, shape=SHAPE)
    own(tmp_path, count=2)
    for limit, what in ((300, "images"), (490, "masks")):
        monkeypatch.setattr(module, "LIMIT", limit if what == "images" else 16)
        shape = SHAPE if what == "images" else (1, 1, 1)
        with pytest.raises(UsageError, match=f"the {what} of 2 images take more than"):
            read_segmented(tmp_path, shape=shape)


def npz(path: Path, **arrays: object) -> None:
    path.unlink(missing_ok=True)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": np.zeros((3, 6, 7), bool), "b": np.zeros(1)}, "2 arrays in it"),
        ({"a": np.zeros((3, 6, 7), np.uint8)}, "a bool array"),
        ({"a": np.zeros((2, 6, 7), bool)}, r"bool\[2, 6, 7\]; a bool array \[3, height, width\]"),
        ({"a": np.zeros((3, 0, 7), bool)}, "a bool array"),
        ({"a": np.array([{1: 2}], dtype=object)}, "allow_pickle=False"),
        (b"PK\x03\x04", "not a sound .npz"),
        (b"", "not a sound .npz"),
    ],
)
def test_a_stack_that_is_none_is_refused(tmp_path, content, words) -> None:
    own(tmp_path, count=1)
    (tmp_path / "masks" / "0.png").unlink()
    path = tmp_path / "masks" / "0.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        npz(path, **content)
    with pytest.raises(UnavailableError, match=words):
        read_segmented(tmp_path, shape=SHAPE)


def test_stacks_that_unpack_to_too_much_or_lie_about_their_shape_are_refused(tmp_path, monkeypatch) -> None:
    own(tmp_path, count=1)
    (tmp_path / "masks" / "0.png").unlink()
    path = tmp_path / "masks" / "0.npz"
    np.savez_compressed(path, np.zeros((3, 1000, 1000), bool))
    monkeypatch.setattr(module, "MAX_FILE", 1 << 20)
    with pytest.raises(UnavailableError, match="unpacks to more than"):
        read_segmented(tmp_path, shape=SHAPE)
    header = b"{'descr': '|b1', 'fortran_order': False, 'shape': (3, 99999999999, 99999999999), }"
    raw = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", raw)
    with pytest.raises(UnavailableError, match=r"not a sound \.npz"):
        read_segmented(tmp_path, shape=SHAPE)


def changed(name: str, old: str, new: str):
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            changed("index.csv", "a/one.jpg", "../../etc/passwd.jpg"),
            r"line 2: there is no 'images/\.\./\.\./etc",
        ),
        (changed("index.csv", "a/one.jpg", "/etc/hosts"), "there is no 'images//etc/hosts"),
        (changed("index.csv", "a/one_object.png", "a/none.png"), "line 2: there is no 'images/a/none"),
        (changed("index.csv", "16,16,4,5,a", "16,16,4,-5,a"), "line 2: sh and sw"),
        (changed("index.csv", "16,16,4,5,a", "16,16,4,99999,a"), "line 2: sh and sw"),
        (changed("index.csv", "16,16,4,5,a", "16,16,5,5,a"), "is 5x4, and index.csv says 5x5"),
        (changed("index.csv", ",4,5,,,,12;7", ",5,5,,,,12;7"), "one size"),
        (changed("index.csv", "12;7", "12;8"), "label '8' is not in"),
        (changed("index.csv", "12;7", "12;99999999999"), "label '99999999999' is not in"),
        (changed("index.csv", ",val", ""), "line 3: has other columns"),
        (changed("index.csv", "image,", "picture,"), "no column image"),
        (changed("label.csv", "300,cat", "0,cat"), "line 2: a number from 1"),
        (changed("label.csv", "300,cat", "9,cat"), "line 3: a number from 1"),
        (changed("label.csv", "300,cat", "300,"), "and a name, are needed"),
        (lambda root: (root / "label.csv").unlink(), "label.csv: is missing"),
        (lambda root: (root / "label.csv").write_text("number,name,category\n"), "no lines"),
        (lambda root: (root / "label.csv").write_bytes(b"\xff\xfe"), "not a sound list"),
        (lambda root: (root / "index.csv").write_text('image,sh,sw\n"a'), "not a sound list"),
    ],
)
def test_a_fault_in_broden_is_one_line_that_says_where(tmp_path, change, words) -> None:
    broden(tmp_path)
    change(tmp_path)
    with pytest.raises(UnavailableError, match=words) as caught:
        read_segmented(tmp_path, shape=SHAPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", [own, broden])
def test_no_damage_makes_anything_but_errors_of_ours(tmp_path, layout) -> None:
    layout(tmp_path)
    if layout is own:
        (tmp_path / "masks" / "0.png").unlink()
        np.savez_compressed(tmp_path / "masks" / "0.npz", np.ones((3, 6, 7), bool))
    draws = np.random.default_rng(4)
    files = sorted(path for path in tmp_path.rglob("*.*") if path.is_file())
    for turn in range(150):
        path = files[turn % len(files)]
        sound = path.read_bytes()
        damaged = bytearray(sound)
        for place in draws.integers(0, len(sound), 1 + turn % 4):
            damaged[place] = draws.integers(0, 256)
        path.write_bytes(damaged if turn % 3 else damaged[: draws.integers(0, len(sound))])
        with suppress(TicketctlError):
            read_segmented(tmp_path, shape=SHAPE)
        path.write_bytes(sound)
