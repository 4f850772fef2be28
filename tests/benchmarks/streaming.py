"""What it costs to read ImageNet-like JPEGs from their files, beside the loader that most programs have.

    python -m tests.benchmarks.streaming --pictures 256 --rounds 5

The pictures are made here: noise with the spectrum of photographs, 500x375, saved at the quality that gives ImageNet's
mean of about 110 kB. CPU seconds of the whole process, one decoding thread, variants taking turns, medians. The loader
is torchvision's ImageFolder with RandomResizedCrop, flip, ToTensor and Normalize in a DataLoader without workers; ours
ends with the same float inputs; where these are made on a GPU, "ours, pixels" is what is left. With `--files` also the
list of many files, which are links to the few that there are.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tests.benchmarks.harness import take_turns
from ticketctl.data import _decode, _streaming
from ticketctl.data.crops import Crop, box_of
from ticketctl.data.load import load
from ticketctl.data.stream import Streamed, Wanted
from ticketctl.progress import Silent
from ticketctl.seeds import Seeds
from ticketctl.train.feed import Feed, Images, Scaling

SIZE, RESIZE, BATCH = 224, 256, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 8
WEIGHT = 110_000
"""Bytes of a JPEG of ImageNet, on average."""


def picture(numbers: np.random.Generator, height: int = 375, width: int = 500) -> Image.Image:
    """Noise whose amplitude falls with the frequency, as that of photographs."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / width)
    planes = []
    for _ in range(3):
        noise = np.fft.rfft2(numbers.normal(size=(height, width)))
        planes.append(np.fft.irfft2(noise * falling, s=(height, width)))
    grey, colour = planes[0], np.stack(planes, 2)
    mixed = grey[:, :, None] / grey.std() + 0.4 * colour / colour.std()
    return Image.fromarray(np.clip(118 + 50 * mixed, 0, 255).astype(np.uint8))


def quality_of(image: Image.Image) -> int:
    """At which it has about `WEIGHT` bytes."""
    for quality in range(60, 100):
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() >= WEIGHT:
            return quality
    return 99


def make(root: Path, count: int) -> int:
    """Pictures to train on, an eighth as many to test with; the mean bytes of a file."""
    numbers = np.random.default_rng(0)
    quality = quality_of(picture(numbers))
    for part, many in (("train", count), ("val", count // 8)):
        for place in range(many):
            folder = root / part / f"n{place % CLASSES:08}"
            folder.mkdir(parents=True, exist_ok=True)
            picture(numbers).save(folder / f"{place}x.JPEG", quality=quality)
    sizes = [path.stat().st_size for path in (root / "train").rglob("*.JPEG")]
    return round(sum(sizes) / len(sizes))


def loader(root: Path, workers: int) -> Callable[[], None]:
    """An epoch of the usual one."""
    cut = transforms.Compose([
        transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    data = ImageFolder(root / "train", cut)
    batches = torch.utils.data.DataLoader(
        data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch() -> None:
        for inputs, _ in batches:
            inputs.contiguous(memory_format=torch.channels_last)

    return epoch


def opened(root: Path, cache: Path, workers: int) -> Any:
    """The streamed set."""
    options = {"size": SIZE, "resize": RESIZE, "stream": "always"}
    return load(f"imagefolder:{root}", cache=cache, reporter=Silent(), options=options, workers=workers)


def streamed(root: Path, cache: Path, workers: int) -> Callable[[], None]:
    """An epoch of ours."""
    data, cpu = opened(root, cache, workers), torch.device("cpu")
    feed = Feed(
        Images(data.train, None, Scaling.of(MEAN, STD, cpu), cpu), batch=BATCH, padding=None, drop_last=False,
        crop=Crop(),
    )  # fmt: skip

    def epoch() -> None:
        feed.begin_epoch(Seeds(0), 0)
        for position in range(feed.steps_per_epoch):
            feed.batch(position)

    return epoch


def by_pillow(root: Path, cache: Path) -> Callable[[], None]:
    """Ours, where torchvision's decoders are not there."""
    usual, _streaming.decoder = _streaming.decoder, lambda: _decode.Decoder("pillow", None)
    try:
        return streamed(root, cache / "pillow", 1)
    finally:
        _streaming.decoder = usual


def parts(root: Path) -> dict[str, Callable[[], None]]:
    """Decoding alone, and cutting alone."""
    files = [path.read_bytes() for path in sorted((root / "train").rglob("*.JPEG"))]
    chosen = _decode.decoder()
    pixels = [chosen.pixels(data, 3, True, "") for data in files[:64]]
    words = Seeds(0).raw("augment", 0, count=len(files))
    boxes = [box_of(int(word), 375, 500, Crop()) for word in words]

    def decode() -> None:
        for data in files:
            chosen.pixels(data, 3, True, "")

    def cut() -> None:
        for place, box in enumerate(boxes):
            chosen.cut(pixels[place % 64], box, SIZE)

    return {"decoding alone": decode, "cutting alone": cut}


def listed(root: Path, folder: Path, files: int, workers: int) -> dict[str, float]:
    """CPU seconds to open a folder of many files the first time and the second."""
    sources = sorted((root / "train").rglob("*.JPEG"))
    for part, many in (("train", files), ("val", 64)):
        for place in range(many):
            home = folder / part / f"n{place % 1000 if part == 'train' else place:08}"
            home.mkdir(parents=True, exist_ok=True)
            os.link(sources[place % len(sources)], home / f"{place}x.JPEG")
    found = {}
    for name in ("first", "second"):
        began = time.process_time()
        opened(folder, folder / "cache", workers)
        found[name] = round(time.process_time() - began, 2)
    return found


def pixels(root: Path, cache: Path, cut: bool) -> Callable[[], None]:
    """All training images as uint8, cut or in evaluation form."""
    images: Streamed = opened(root, cache, 1).train.images
    words = Seeds(0).raw("augment", 0, count=len(images))

    def epoch() -> None:
        for places in np.array_split(np.arange(len(images)), -(-len(images) // BATCH)):
            images.begin(Wanted(places, words[places], Crop()) if cut else Wanted(places)).result()

    return epoch


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--files", type=int, default=0, help="also list so many files")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        root, cache = Path(place) / "pictures", Path(place) / "cache"
        found: dict[str, Any] = {"bytes of a file": make(root, asked.pictures)}
        timings = take_turns(
            {
                "loader": loader(root, 0),
                "ours": streamed(root, cache, 1),
                f"ours, {asked.threads} threads": streamed(root, cache, asked.threads),
                "ours by Pillow": by_pillow(root, cache),
                "ours, pixels": pixels(root, cache, True),
                "ours, pixels to evaluate": pixels(root, cache, False),
                **parts(root),
            },
            asked.rounds,
        )
        found["ms an image"] = {
            name: [round(1000 * value / asked.pictures, 2) for value in (one.median, one.least, one.most)]
            for name, one in timings.items()
        }
        found["over the loader"] = {
            name: round(timings["loader"].median / one.median, 2) for name, one in timings.items()
        }
        if asked.files:
            found[f"seconds to list {asked.files}"] = listed(
                root, Path(place) / "many", asked.files, asked.threads
            )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
