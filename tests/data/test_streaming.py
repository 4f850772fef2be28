"""Streamed folders against torchvision, Pillow, the same folder held decoded, and one image at a time."""

from __future__ import annotations

import os
import re
import shutil
import threading
import weakref
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tests.data.photographs import CLASSES, fill, photograph
from ticketctl.data import _decode, _index, _streaming, folder
from ticketctl.data.crops import Crop, box_of
from ticketctl.data.load import load
from ticketctl.data.sets import DataSet
from ticketctl.data.stream import Streamed, Supply, Wanted
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.progress import Silent
from ticketctl.recipe_data import DataSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.streamed import crop_of, options_of, settled_crop
from ticketctl.train.feed import AHEAD, Feed, Images, Scaling

SIZE, RESIZE = 24, 32
WORDS = Seeds(7).raw("augment", 0, count=4000)
CPU = torch.device("cpu")


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody changes it."""
    return fill(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def opened(
    root: Path, cache: Path, stream: str = "always", workers: int = 2, heard: Heard | None = None
) -> DataSet:
    options = {"size": SIZE, "resize": RESIZE, "stream": stream}
    return load(
        f"imagefolder:{root}", cache=cache, reporter=heard or Heard(), options=options, workers=workers
    )


def streamed(data: DataSet) -> Streamed:
    images = data.train.images
    assert isinstance(images, Streamed)
    return images


@pytest.fixture(scope="module")
def images(root: Path, cache: Path) -> Streamed:
    return streamed(opened(root, cache))


def files(root: Path, part: str = "train") -> list[Path]:
    return [Path(path) for path, _ in ImageFolder(root / part).samples]


@pytest.fixture(params=["torchvision", "pillow"])
def decoder(request: pytest.FixtureRequest) -> _decode.Decoder:
    found = _decode.decoder()
    if request.param == "torchvision" and found.fast is None:
        pytest.skip("this torchvision has no decoders")
    return found if request.param == "torchvision" else _decode.Decoder("pillow", None)


# ------------------------------------------------------------------------------------------------------------- boxes


def torchvisions(height: int, width: int, count: int) -> NDArray[np.float64]:
    """top, left, height, width [count, 4] as RandomResizedCrop draws them."""
    blank = torch.empty((3, height, width), dtype=torch.uint8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = [v2.RandomResizedCrop(224).make_params([blank]) for _ in range(count)]
    return np.array(
        [[one[key] for key in ("top", "left", "height", "width")] for one in made], dtype=np.float64
    )


def shares(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Area, log-ratio, and where the box lies in the room it has: [4, n]."""
    top, left, high, wide = boxes.T
    room = np.maximum(height - high, 1), np.maximum(width - wide, 1)
    return np.stack([high * wide / (height * width), np.log(wide / high), top / room[0], left / room[1]])


@pytest.mark.parametrize(("height", "width"), [(375, 500), (90, 64)])
def test_boxes_are_distributed_as_those_of_torchvision(height: int, width: int) -> None:
    """Kolmogorov and Smirnov's distance of two samples; at 2.2 one in 8,000 pairs of equal distributions is refused."""
    ours = np.array([box_of(int(word), height, width, Crop())[:4] for word in WORDS], dtype=np.float64)
    theirs = torchvisions(height, width, 2000)
    for one, other in zip(shares(ours, height, width), shares(theirs, height, width), strict=True):
        values = np.concatenate([one, other])
        steps = [
            np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (one, other)
        ]
        distance = np.abs(steps[0] - steps[1]).max()
        assert distance < 2.2 * np.sqrt(1 / len(one) + 1 / len(other))


@pytest.mark.parametrize("crop", [Crop(), Crop((0.3, 0.4), (1.0, 1.0)), Crop((1.0, 1.0), (0.5, 2.0))])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (33, 31), (1, 1), (7, 300)])
def test_boxes_keep_their_bounds(crop: Crop, height: int, width: int) -> None:
    for word in WORDS[:300]:
        top, left, high, wide, _ = box_of(int(word), height, width, crop)
        assert 0 <= top <= top + high <= height
        assert 0 <= left <= left + wide <= width
        assert min(high, wide) >= 1
        if min(height, width) > 30:
            assert (high - 1) * (wide - 1) <= crop.scale[1] * height * width
            assert (wide - 1) / (high + 1) <= crop.ratio[1]
            assert (wide + 1) / (high - 1) >= crop.ratio[0]


@pytest.mark.parametrize(("height", "width"), [(10, 1000), (1000, 10), (3, 90)])
def test_where_no_box_fits_it_is_torchvisions_in_the_middle(height: int, width: int) -> None:
    (theirs,) = torchvisions(height, width, 1)
    assert [*box_of(int(WORDS[0]), height, width, Crop())[:4]] == theirs.tolist()


def test_half_of_all_boxes_are_mirrored_whatever_they_are() -> None:
    boxes = [box_of(int(word), 375, 500, Crop()) for word in WORDS]
    flips = np.array([box.flip for box in boxes])
    areas = np.array([box.height * box.width for box in boxes])
    assert abs(flips.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(flips))
    assert abs(areas[flips].mean() / areas[~flips].mean() - 1) < 0.06


# ------------------------------------------------------------------------------------------------------------ pixels


def test_crops_are_those_of_torchvision_with_the_same_box(root: Path, decoder: _decode.Decoder) -> None:
    """Of tensors where torch resizes, of Pillow's images where Pillow does."""
    for place, path in enumerate(files(root)):
        theirs = Image.open(path).convert("RGB")
        box = box_of(int(WORDS[place]), theirs.height, theirs.width, Crop())
        source = theirs if decoder.fast is None else F.pil_to_tensor(theirs)
        cut = F.resized_crop(source, *box[:4], [SIZE, SIZE], antialias=True)
        wanted = np.asarray(F.horizontal_flip(cut) if box.flip else cut)
        plain = path.name != "cmyk.jpg" and path.suffix != ".png"
        ours = decoder.cut(decoder.pixels(path.read_bytes(), 3, plain, str(path)), box, SIZE)
        np.testing.assert_array_equal(ours, wanted if decoder.fast is None else wanted.transpose(1, 2, 0))


def test_batches_are_their_images_cut_one_by_one(root: Path, images: Streamed) -> None:
    crop, chosen = Crop((0.2, 0.9)), _decode.decoder()
    batch = images.begin(Wanted(np.arange(len(images)), WORDS[: len(images)], crop)).result()
    for place, path in enumerate(files(root)):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        box = box_of(int(WORDS[place]), *pixels.shape[:2], crop)
        np.testing.assert_array_equal(batch[place], chosen.cut(pixels, box, SIZE))


@pytest.mark.parametrize("part", ["train", "test"])
def test_evaluation_is_torchvisions_resize_and_centre_crop(root: Path, cache: Path, part: str) -> None:
    split = getattr(opened(root, cache), part)
    theirs = ImageFolder(root / {"train": "train", "test": "val"}[part])
    transform = v2.Compose([v2.Resize(RESIZE), v2.CenterCrop(SIZE)])
    assert len(split) == len(theirs)
    for place, (image, label) in enumerate(theirs):
        np.testing.assert_array_equal(split.images[place], np.asarray(transform(image)).transpose(2, 0, 1))
        assert split.labels[place] == label


def test_streamed_and_held_sets_are_the_same_bits(root: Path, cache: Path) -> None:
    ours, held = opened(root, cache), opened(root, cache, "never")
    assert (ours.streamed, held.streamed) == (True, False)
    assert (ours.shape, ours.classes, ours.augment) == (held.shape, held.classes, held.augment)
    assert (ours.mean, ours.std) == (held.mean, held.std)  # all of so few are sampled
    for one, other in ((ours.train, held.train), (ours.test, held.test)):
        np.testing.assert_array_equal(one.images[:], other.images)
        np.testing.assert_array_equal(one.images[np.array([3, 0, 3])], other.images[[3, 0, 3]])
        np.testing.assert_array_equal(one.images[1:3], other.images[1:3])
        np.testing.assert_array_equal(one.labels, other.labels)
        assert (one.images.shape, one.images.nbytes) == (other.images.shape, other.images.nbytes)


def test_grey_folders_have_one_channel(tmp_path: Path, cache: Path) -> None:
    for path in files(fill(tmp_path / "g", 2, 1, odd=False)) + files(tmp_path / "g", "val"):
        Image.open(path).convert("L").save(path)
    ours, held = opened(tmp_path / "g", cache), opened(tmp_path / "g", cache, "never")
    assert ours.shape == (1, SIZE, SIZE)
    assert ours.augment == "none"
    np.testing.assert_array_equal(ours.train.images[:], held.train.images)
    cut = streamed(ours).begin(Wanted(np.arange(2), WORDS[:2], Crop())).result()
    assert cut.shape == (2, SIZE, SIZE, 1)


def test_damaged_jpegs_are_what_pillow_makes_of_them(decoder: _decode.Decoder) -> None:
    """Its pixels, or the refusal, in words."""
    numbers, refused = np.random.default_rng(2), 0
    for place in range(40):
        file = BytesIO()
        photograph(numbers, 60, 40).save(file, "JPEG", progressive=place % 2 == 1)
        data = bytearray(file.getvalue()[: -int(numbers.integers(3, 300)) if place % 3 == 0 else None])
        data[int(numbers.integers(700, len(data)))] ^= 85
        try:
            wanted = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        except OSError as error:
            refused += 1
            with pytest.raises(
                UnavailableError, match=f"^x: not a sound image: {re.escape(str(error)[:100])}"
            ):
                decoder.pixels(bytes(data), 3, True, "x")
        else:
            np.testing.assert_array_equal(decoder.pixels(bytes(data), 3, True, "x"), wanted)
    assert 0 < refused < 40


# ------------------------------------------------------------------------------- batches, threads, epochs and memory


def test_pixels_depend_on_no_batch_and_no_thread(root: Path, cache: Path) -> None:
    count = len(files(root))
    found = []
    for workers, batch in ((1, count), (1, 4), (4, 5), (3, 1)):
        source = streamed(opened(root, cache, workers=workers))
        parts = [np.arange(count)[start : start + batch] for start in range(0, count, batch)]
        found.append([source.begin(Wanted(part, WORDS[part], Crop())).result() for part in parts])
    for other in found[1:]:
        np.testing.assert_array_equal(np.concatenate(other), np.concatenate(found[0]))


def feed(data: DataSet, batch: int = 4, crop: Crop | None = None, padding: int | None = None) -> Feed:
    if crop is None and padding is None and data.streamed:
        crop = Crop()
    scaling = Scaling.of(data.mean, data.std, CPU)
    return Feed(
        Images(data.train, None, scaling, CPU), batch=batch, padding=padding, drop_last=False, crop=crop
    )


def test_an_epoch_is_each_image_once_cut_by_its_own_word(root: Path, cache: Path) -> None:
    data, seeds = opened(root, cache), Seeds(5)
    ours, chosen = feed(data), _decode.decoder()
    for epoch in (0, 3):
        ours.begin_epoch(seeds, epoch)
        seen = []
        words = seeds.raw("augment", epoch, count=len(data.train))
        for position in range(ours.steps_per_epoch):
            inputs, labels, index = ours.batch(position)
            np.testing.assert_array_equal(labels, data.train.labels[index])
            for got, place in zip(inputs, index.tolist(), strict=True):
                pixels = np.asarray(Image.open(files(root)[place]).convert("RGB"))
                cut = chosen.cut(pixels, box_of(int(words[place]), *pixels.shape[:2], Crop()), SIZE)
                scaled = (cut / 255 - np.array(data.mean)) / np.array(data.std)
                np.testing.assert_allclose(got.permute(1, 2, 0), scaled, atol=1e-5)
            seen += index.tolist()
        assert sorted(seen) == list(range(len(data.train)))


def test_an_epoch_entered_anywhere_goes_on_with_the_same_bits(root: Path, cache: Path) -> None:
    data, seeds = opened(root, cache), Seeds(5)
    whole, other = feed(data), feed(data)
    whole.begin_epoch(seeds, 1)
    wanted = [whole.batch(position) for position in range(whole.steps_per_epoch)]
    other.begin_epoch(seeds, 0)
    other.batch(0)
    other.begin_epoch(seeds, 1)  # what was decoded ahead is of another epoch
    for position in (3, 4, 2, 5, 0, 1):
        for ours, theirs in zip(other.batch(position), wanted[position], strict=True):
            assert torch.equal(ours, theirs)


def test_images_asked_for_out_of_turn_are_those_of_their_step(root: Path, cache: Path) -> None:
    ours = feed(opened(root, cache))
    ours.begin_epoch(Seeds(5), 2)
    inputs, _, index = ours.batch(1)
    again = ours.gather(index.flip(0).clone())
    assert torch.equal(again[0], inputs.flip(0))
    assert torch.equal(ours.batch(2)[2], ours.rows(2))


@pytest.mark.parametrize("padding", [None, 3])
def test_without_boxes_a_streamed_epoch_is_that_of_a_held_one(
    root: Path, cache: Path, padding: int | None
) -> None:
    found = []
    for stream in ("always", "never"):
        data = opened(root, cache, stream)
        scaling = Scaling.of((0.4,) * 3, (0.2,) * 3, CPU)
        images = Images(data.train, np.array([8, 1, 2, 7, 3]), scaling, CPU)
        own = Feed(images, batch=2, padding=padding, drop_last=True)
        own.begin_epoch(Seeds(1), 4)
        found.append([own.batch(position)[0] for position in range(2)])
        exam = Images(data.test, None, scaling, CPU)
        found[-1] += [exam.batch(0, 4)[0], exam.batch(4, 8)[0], exam.batch(8, 12)[0]]
        found[-1].append(images.pick(np.array([4, 0])).batch(0, 2)[0])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_no_more_batches_live_than_are_promised(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is trained on, and those ahead."""
    ours = feed(opened(root, cache), batch=2)
    begin, alive = Streamed.begin, weakref.WeakSet[object]()
    most = 0

    def watched(self: Streamed, wanted: Wanted) -> object:
        nonlocal most
        batch = begin(self, wanted)
        alive.add(batch)
        most = max(most, len(alive))
        return batch

    monkeypatch.setattr(Streamed, "begin", watched)
    for epoch in range(2):
        ours.begin_epoch(Seeds(5), epoch)
        for position in range(ours.steps_per_epoch):
            ours.batch(position)
    assert most == AHEAD + 1


def test_what_was_decoded_ahead_is_used(images: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    begin = Streamed.begin
    monkeypatch.setattr(Streamed, "begin", lambda self, one: begun.append(one) or begin(self, one))
    steps = [Wanted(np.array([place, place + 1]), WORDS[place : place + 2], Crop()) for place in range(6)]
    supply = Supply(images, 2)
    for place, step in enumerate(steps):
        supply.take(step, steps[place + 1 :])
    assert begun == steps


def test_a_share_of_each_batch_is_decoded_ahead_of_the_asking(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that has a part of the work asks."""
    ours, begun = feed(opened(root, cache), batch=6), []
    ours.begin_epoch(Seeds(5), 0)
    wanted = [ours.batch(position)[0][2:4] for position in range(3)]
    begin = Streamed.begin
    monkeypatch.setattr(Streamed, "begin", lambda self, one: begun.append(one.places) or begin(self, one))
    for position in range(3):
        assert torch.equal(ours.gather(ours.rows(position)[2:4])[0], wanted[position])
        ahead = min(position + 1 + AHEAD, ours.steps_per_epoch)
        assert np.array_equal(
            np.stack(begun[:ahead]), np.append(ours.order.numpy(), -1).reshape(4, 6)[:ahead, 2:4]
        )
        assert len(begun) == ahead
    assert torch.equal(ours.gather(ours.order[-1:])[2], ours.order[-1:])


def test_a_forked_process_has_threads_of_its_own(root: Path, cache: Path) -> None:
    images = streamed(opened(root, cache))
    wanted = images[:5]
    child = os.fork()
    if child == 0:  # nothing of pytest may run in it
        os._exit(0 if np.array_equal(images[:5], wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_begin_with_the_first_image_and_end_with_their_data_set(root: Path, cache: Path) -> None:
    opened(root, cache)  # now its sample is kept
    before = set(threading.enumerate())
    data = opened(root, cache, workers=3)
    assert set(threading.enumerate()) <= before
    data.train.images[:2]
    begun = set(threading.enumerate()) - before
    assert [thread.name for thread in begun] == ["decoder"] * 3
    del data
    for thread in begun:
        thread.join(5)
        assert not thread.is_alive()


# ------------------------------------------------------------------------------------------- damage, lists and names


def test_a_file_that_is_cut_short_is_named_in_one_line(tmp_path: Path, cache: Path) -> None:
    broken = files(fill(tmp_path / "d", 3, 1, odd=False))[4]
    broken.write_bytes(broken.read_bytes()[:-400])
    with pytest.raises(UnavailableError, match=rf"{broken.name}: not a sound image") as caught:
        opened(tmp_path / "d", cache)
    assert "\n" not in str(caught.value)


def test_of_several_damaged_images_the_first_is_named(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_streaming, "SAMPLE", {"train": 1, "test": 1})
    broken = files(fill(tmp_path / "d", 4, 1, odd=False))
    for path in (broken[9], broken[7], broken[3]):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    data = opened(tmp_path / "d", cache, workers=4)
    for _ in range(5):
        with pytest.raises(UnavailableError, match=broken[3].name):
            data.train.images[:]
    data.train.images[:3]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not a sound image"),
        (b"no image", "not a sound image"),
        (b"\xff\xd8\xff\xe0\x00\x10JF", "not a sound"),
    ],
)
def test_a_file_that_is_no_image_is_named_before_anything_is_trained(
    tmp_path: Path, cache: Path, content: bytes, fault: str
) -> None:
    path = files(fill(tmp_path / "d", 2, 1, odd=False))[3]
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match=rf"{path.name}: {fault}"):
        opened(tmp_path / "d", cache)


def test_what_pillow_has_to_decode_is_said(root: Path, cache: Path) -> None:
    heard = Heard()
    opened(root, cache, heard=heard)
    streaming, slow = heard.notes[-2:]
    assert streaming.startswith(f"streaming 23 + 9 images from {root}: torchvision ")
    assert streaming.endswith(", 2 threads")
    assert slow.startswith("3 of these files are CMYK or no JPEG: Pillow ")


def test_a_folder_is_looked_at_once_until_it_is_written_to(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(tmp_path / "o", 3, 1)
    first = opened(root, cache)
    looked = []
    header = _index._header
    monkeypatch.setattr(_index, "_header", lambda path: looked.append(path.name) or header(path))
    again = opened(root, cache)
    assert not looked
    assert again.fingerprint == first.fingerprint
    assert streamed(again).index.names == streamed(first).index.names
    shutil.copy(files(root)[0], root / "train" / CLASSES[1] / "new.JPEG")
    assert len(opened(root, cache).train) == len(first.train) + 1
    assert "new.JPEG" in looked


def test_a_list_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    root, cache = fill(tmp_path / "o", 2, 1), tmp_path / "cache"
    first = opened(root, cache)
    kept = streamed(first).index.kept
    good = kept.read_bytes()
    for at in (len(good) // 2, len(good) - 3, 20):
        kept.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert opened(root, cache).fingerprint == first.fingerprint
        assert kept.read_bytes() == good


def test_a_file_overwritten_in_place_is_noticed_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_streaming, "SAMPLE", {"train": 1, "test": 1})
    root, cache = fill(tmp_path / "o", 3, 1, odd=False), tmp_path / "cache"
    data = opened(root, cache)
    path = files(root)[4]
    with open(path, "r+b") as file:
        file.seek(0, 2)
        file.write(b"more")
    with pytest.raises(
        UnavailableError, match=rf"{path.name}: has .* bytes, and had .*: it is another data set now"
    ):
        data.train.images[:]
    assert opened(root, cache).fingerprint != data.fingerprint


def test_the_fingerprint_is_of_names_classes_sizes_and_sampled_pixels(tmp_path: Path) -> None:
    root = fill(tmp_path / "0", 3, 1, odd=False)

    def changed(name: str) -> Path:
        return Path(shutil.copytree(root, tmp_path / name))

    other, moved, longer, swapped, tested = (changed(name) for name in "12345")
    path = files(moved)[0]
    path.rename(moved / "train" / CLASSES[1] / path.name)
    with files(longer)[1].open("ab") as file:
        file.write(b"\0")  # after the end of the image
    one, two = files(swapped)[:2]
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    (tested / "val").rename(tested / "test")
    prints = [
        opened(each, tmp_path / "c").fingerprint for each in (root, other, tested, moved, longer, swapped)
    ]
    assert prints[0].startswith("streamed:")
    assert prints[0] == prints[1] == prints[2]
    assert len(set(prints)) == 4


def test_a_decoder_of_other_bits_makes_another_set(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def under(name: str, change: int) -> str:
        own = _decode.Decoder(name, lambda data, channels: fast(data, channels) + np.uint8(change))
        monkeypatch.setattr(_streaming, "decoder", lambda: own)
        return opened(root, cache).fingerprint

    fast = _decode.decoder().fast or pytest.skip("this torchvision has no decoders")
    assert under("torchvision 99", 0) == opened(root, cache).fingerprint != under("torchvision 100", 1)


def test_decoders_that_fail_their_trial_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _decode, "_called", lambda operator, data, channels: torch.zeros((3, 16, 24), dtype=torch.uint8)
    )
    found = _decode.decoder()
    assert found.fast is None
    assert found.name.startswith("pillow ")


# ------------------------------------------------------------------------------------------------- when, and mistakes


def test_a_folder_is_streamed_from_a_size_on_or_where_that_is_asked(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_streamed(**options: object) -> bool:
        return load(f"imagefolder:{root}", cache=cache, reporter=Heard(), options=options).streamed

    assert not is_streamed(size=SIZE)
    assert is_streamed(size=SIZE, stream="always")
    monkeypatch.setattr(folder, "STREAM_FROM", 3 * SIZE**2 * (23 + 9))
    assert not is_streamed(size=SIZE)
    assert is_streamed(size=SIZE + 1)
    assert not is_streamed(size=SIZE + 1, stream="never")


def test_how_a_folder_is_read_names_no_second_copy(root: Path, tmp_path: Path) -> None:
    held = [load(f"imagefolder:{root}", cache=tmp_path, reporter=Heard(), options=options)
            for options in ({"size": SIZE}, {"size": SIZE, "stream": "never"})]  # fmt: skip
    assert held[0].fingerprint == held[1].fingerprint
    assert len([*(tmp_path / "data").glob("imagefolder-*")]) == 1


def test_sizes_must_agree_where_none_is_given(root: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match=r"is \d+x\d+, but .* is \d+x\d+; make them one size"):
        load(f"imagefolder:{root}", cache=cache, reporter=Heard(), options={"stream": "always"})


def test_another_form_is_refused_with_the_way_out(root: Path, cache: Path) -> None:
    options = {"size": SIZE, "stream": "always"}
    with pytest.raises(UsageError, match=r"streamed as images of \[3, 24, 24\]; say data.size"):
        load(f"imagefolder:{root}", cache=cache, reporter=Heard(), options=options, form=(3, 8, 8))


@pytest.mark.parametrize("resize", [8, SIZE - 1, 2000, "32", True])
def test_sides_to_resize_to_are_refused(root: Path, cache: Path, resize: object) -> None:
    with pytest.raises(UsageError, match="option resize="):
        load(f"imagefolder:{root}", cache=cache, reporter=Heard(), options={"size": SIZE, "resize": resize})


@pytest.mark.parametrize("train", [True, False])
def test_a_folder_without_images_or_with_odd_classes_is_refused(
    tmp_path: Path, cache: Path, train: bool
) -> None:
    root = fill(tmp_path / "e", 1, 1, odd=False)
    shutil.rmtree(root / ("train" if train else "val"))
    with pytest.raises(UnavailableError, match=f"no images in {'train' if train else 'test or val'}/CLASS"):
        opened(root, cache)
    root = fill(tmp_path / "x", 1, 1, odd=False)
    (root / "val" / CLASSES[0]).rename(root / "val" / "other")
    with pytest.raises(UsageError, match="class 'other' has test images and no train images"):
        opened(root, cache)


def test_numbered_files_keep_their_positions(tmp_path: Path, cache: Path) -> None:
    root = fill(tmp_path / "n", 2, 1, odd=False)
    for number, path in enumerate(reversed(files(root))):
        path.rename(path.with_name(f"{number:05}.JPEG"))
    ours, held = opened(root, cache), opened(root, cache, "never")
    assert ours.train.positions is not None
    assert held.train.positions is not None
    np.testing.assert_array_equal(ours.train.positions, held.train.positions)


def test_recipe_keys_say_how_a_folder_is_read() -> None:
    here = "imagefolder:/x"
    assert options_of(DataSpec(name=here)) == {}
    assert options_of(DataSpec(name=here, stream="auto")) == {}
    assert options_of(DataSpec(name="cifar10", stream="never")) == {}
    cut = DataSpec(name=here, augment="resized-crop", size=SIZE, resize=RESIZE)
    assert options_of(cut) == {"size": SIZE, "resize": RESIZE, "stream": "always"}
    assert crop_of(cut) == Crop((0.08, 1.0), (3 / 4, 4 / 3))
    assert settled_crop(cut) == {"crop_scale": (0.08, 1.0), "crop_ratio": (3 / 4, 4 / 3)}
    assert crop_of(cut.model_copy(update={"crop_scale": (0.5, 1)})) == Crop((0.5, 1))
    assert crop_of(DataSpec(name=here)) is None
    assert settled_crop(DataSpec(name=here)) == {}


@pytest.mark.parametrize(
    ("keys", "fault"),
    [({"augment": "resized-crop", "size": SIZE}, r"data.augment = resized-crop: cifar10 does not lie in image files"),
     ({"stream": "always"}, r"data.stream = always: cifar10 does not lie in image files")],
)  # fmt: skip
def test_sets_that_lie_in_no_image_files_are_not_streamed(keys: dict[str, object], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        options_of(DataSpec(name="cifar10", **keys))
