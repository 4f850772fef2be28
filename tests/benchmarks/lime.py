"""LIME of one image against a loop in the shape of its released code, in one interleaved run of one thread.

python -m tests.benchmarks.lime [--net resnet20s] [--samples 1000] [--rounds 5] [--pictures FILE.npy]

The loop paints the hidden segments of one picture after the other black, in numpy, turns each into a tensor by
torchvision's transforms, asks the net ten at a time, and fits scikit-learn's Ridge to each anchor. Ours is what the
metric does for an image, from its pixels to its explanation; beside it the same without folded normalisations, and with
every vector asked as often as it was drawn. All in float32. FILE: uint8 [N, H, W, C]; else random blotches.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances
from torch import nn
from torchvision import transforms

from tests.benchmarks.harness import take_turns
from tests.metrics.specimens import specimen
from ticketctl.metrics import lime
from ticketctl.metrics._lime import Neighbourhood, explained, neighbourhood, segments
from ticketctl.metrics._lime_net import quick, responses
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
Fits = tuple[float, float]


def blotches(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures [N, 32, 32, 3] of some fifteen segments each."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 3, 6, 6)))
    fine = nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(0, 1).numpy()
    noisy = fine + rng.normal(0, 0.02, fine.shape)
    return np.moveaxis((noisy.clip(0, 1) * 255).astype(np.uint8), 1, -1)


def loop(model: nn.Module, picture: NDArray[np.uint8], rows: NDArray[Any], anchors: NDArray[Any]) -> Fits:
    """Fidelity and stability of a picture [H, W, 3], one perturbation at a time, ten at once through the net."""
    parts = segments(np.moveaxis(picture, -1, 0))
    said, waiting = [], []
    for number, row in enumerate(rows):
        painted = picture.copy()
        hidden = np.zeros(parts.shape, dtype=bool)
        for part in np.flatnonzero(row == 0):
            hidden[parts == part] = True
        painted[hidden] = 0
        waiting.append(painted)
        if len(waiting) == 10 or number == len(rows) - 1:
            said.append(_ask(model, waiting))
            waiting = []
    answers = np.concatenate(said)
    answers = answers[:, answers[0].argmax()]
    fits = []
    for anchor in anchors:
        away = pairwise_distances(rows, rows[anchor][None], metric="cosine").ravel()
        weights = np.sqrt(np.exp(-(away**2) / 0.25**2))
        fits.append(Ridge(alpha=1.0).fit(rows, answers, sample_weight=weights))
    errors = (fits[0].predict(rows) - answers) ** 2
    moved = [((fit.coef_ - fits[0].coef_) ** 2).sum() for fit in fits[1:]]
    return float(errors.mean()), float(np.mean(moved))


def _ask(model: nn.Module, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    channels = pictures[0].shape[-1]
    prepare = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(MEAN[:channels], STD[:channels])]
    )
    with torch.no_grad():
        return model(torch.stack([prepare(one) for one in pictures])).softmax(1).numpy()


def ours(net: Specimen, place: int, params: lime.Params) -> Fits:
    """What the metric does for one image."""
    found = lime._image(net, Seeds(0), place, params)
    return found.fidelity, found.stability


def undoubled(net: Specimen, place: int, params: lime.Params) -> Fits:
    """The same with every vector asked as often as it was drawn."""
    image = net.images["test"].take(torch.tensor([place]))[0]
    parts = segments(image.numpy())
    rows, anchors = drawn(place, int(parts.max()) + 1, params)
    near = Neighbourhood(rows.astype(np.bool_), np.ones(len(rows), dtype=np.int64), anchors)
    said = responses(net, image, parts, near.rows, 0)
    found = explained(near, said, distance=params.distance, width=params.width, ridge=params.ridge)
    return found.fidelity, found.stability


def drawn(place: int, count: int, params: lime.Params) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The vectors of a neighbourhood as many times as they were drawn, all ones first, and the anchors among them."""
    near = neighbourhood(Seeds(0), place, count, params.samples, params.anchors)
    left = near.counts.copy()
    left[near.anchors[0]] -= 1
    order = np.r_[near.anchors[0], np.repeat(np.arange(len(left)), left)]
    return near.rows[order].astype(np.int64), np.array([int(np.argmax(order == one)) for one in near.anchors])


def compare(net: str, pictures: NDArray[np.uint8], samples: int, rounds: int) -> dict[str, float]:
    """CPU seconds of an image, times as fast as the loop, and how far the two are apart."""
    stored = np.moveaxis(pictures, -1, 1).copy()
    shape = stored.shape[1:]
    model = initialise_(build(net, shape=shape, classes=10), "kaiming-normal", Seeds(0)).eval()
    labels = np.zeros(len(stored), dtype=np.int64)
    plain = specimen(model, stored, labels, mean=MEAN[: shape[0]], std=STD[: shape[0]])
    params = lime.Params(samples=samples, distance="cosine")
    table = [drawn(place, int(segments(one).max()) + 1, params) for place, one in enumerate(stored)]
    fast = quick(plain)
    variants: dict[str, Callable[[int], Fits]] = {
        "loop": lambda place: loop(model, pictures[place], *table[place]),
        "ours": partial(ours, fast, params=params),
        "ours, nothing folded": partial(ours, plain, params=params),
        "ours, doubles asked": partial(undoubled, fast, params=params),
        "ours, neither": partial(undoubled, plain, params=params),
    }
    for run in variants.values():
        run(0)
    timings = take_turns({name: partial(_each, run, len(stored)) for name, run in variants.items()}, rounds)
    seconds = {f"{name}, s": one.median / len(stored) for name, one in timings.items()}
    ratios = {f"{name}, times": timings["loop"].median / one.median for name, one in timings.items()}
    apart = np.abs(np.subtract(variants["loop"](0), variants["ours"](0))).max()
    distinct = np.mean([len(np.unique(rows, axis=0)) / samples for rows, _ in table])
    return {**seconds, **ratios, "distinct vectors": float(distinct), "largest difference": float(apart)}


def _each(run: Callable[[int], Fits], count: int) -> None:
    for place in range(count):
        run(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", default="resnet20s")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--pictures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = np.load(options.pictures) if options.pictures else blotches(options.images)
    found = compare(options.net, pictures[: options.images], options.samples, options.rounds)
    print(json.dumps({name: round(value, 9) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
