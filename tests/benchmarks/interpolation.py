"""Errors and losses at 31 places between two LeNet-300-100, against the loop that many write; paths of other nets.

python -m tests.benchmarks.interpolation [--mnist DIR] [--rounds 5] [--images 10000] [--places 31] [--net resnet20]

CPU seconds of one thread, variants taking turns. The loop interpolates a state_dict for each place, loads it and runs
the test and the training images in batches of 500, normalised beforehand; it counts right answers and adds up losses.
DIR holds the IDX files of MNIST (`train-images-idx3-ubyte.gz` …); without it the images are random. The nets are random
or, with --mnist, trained for an epoch from one start in two orders.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.benchmarks.harness import take_turns
from tests.metrics.specimens import random_images, specimen
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.path import Norms, Seen, together, walk
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End

BATCH = 500
SHAPES = {"lenet-300-100": (1, 28, 28)}


def idx(path: Path, skip: int) -> np.ndarray:
    """Bytes behind the header of an IDX file."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=skip)


def mnist(folder: Path, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of `train` or `t10k`."""
    pixels = idx(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return pixels[:count].copy(), idx(folder / f"{part}-labels-idx1-ubyte.gz", 8)[:count].copy()


def trained(net: nn.Module, start: State, inputs: torch.Tensor, labels: torch.Tensor, seed: int) -> State:
    """One epoch of SGD in an order of its own."""
    start.load_into(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    order = torch.from_numpy(Seeds(seed).order("order", 0, count=len(labels)))
    for rows in order.split(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    return State.of(net, 0)


def loop(net: nn.Module, ends: list[State], data: list[tuple[Any, Any]], places: int) -> list[list[Any]]:
    """The reference: [sets][places] of (right answers, mean loss)."""
    first, second = (end.weights for end in ends)
    found: list[list[Any]] = [[] for _ in data]
    net.eval()
    with torch.no_grad():
        for place in range(places):
            share = place / (places - 1)
            mixed = {name: (1 - share) * first[name] + share * second[name] for name in first}
            net.load_state_dict(mixed)
            for one, (inputs, labels) in zip(found, data, strict=True):
                right, loss = 0, 0.0
                for start in range(0, len(labels), BATCH):
                    logits = net(inputs[start : start + BATCH])
                    truth = labels[start : start + BATCH]
                    loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
                    right += int((logits.argmax(1) == truth).sum())
                one.append((right, loss / len(labels)))
    return found


def apart(ours: dict[str, Seen], theirs: list[list[Any]]) -> tuple[int, float]:
    """The largest difference in right answers and in loss."""
    right, loss = 0, 0.0
    for seen, other in zip(ours.values(), theirs, strict=True):
        right = max(
            right, *(abs(int(row.sum()) - each) for row, (each, _) in zip(seen.right, other, strict=True))
        )
        loss = max(loss, float(np.abs(seen.loss - [each for _, each in other]).max()))
    return right, loss


def subject(kind: str, options: argparse.Namespace) -> tuple[Specimen, list[State], list[tuple[Any, Any]]]:
    """A net, two ends and the prepared test and training images."""
    shape = SHAPES.get(kind, (3, 32, 32))
    net = build(kind, shape=shape, classes=10)
    initialise_(net, "kaiming-normal", Seeds(0))
    pixels, labels = random_images(options.images, shape, 10)
    parts = {"test": (pixels, labels), "train": random_images(options.images, shape, 10, 1)}
    if options.mnist and kind == "lenet-300-100":
        folder = Path(options.mnist)
        parts = {
            "test": mnist(folder, "t10k", options.images), "train": mnist(folder, "train", options.images)
        }  # fmt: skip
    shown = {name: specimen(net, *part).images["test"] for name, part in parts.items()}
    seen = Specimen(net.eval(), None, shown, 10, shown["test"].scaling)
    data = [(shown[name].batch(0, options.images)[0], shown[name].labels) for name in ("test", "train")]
    start = State.of(net, 0)
    if options.mnist and kind == "lenet-300-100":
        return seen, [trained(net, start, *data[1], seed) for seed in (1, 2)], data
    initialise_(net, "kaiming-normal", Seeds(1))
    return seen, [start, State.of(net, 0)], data


def measured(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """One net."""
    seen, ends, data = subject(kind, options)
    stride = together(seen, 2 * options.images, options.places)
    answers: dict[str, Any] = {}

    def ours() -> None:
        pair = End("0", ends[0], None), End("1", ends[1], None)
        norms = Norms("interpolate", seen.images["train"])
        parts = [
            walk(
                seen, pair, range(start, min(start + stride, options.places)), options.places - 1,
                sets=seen.images, norms=norms, shared=stride > 1,
            )
            for start in range(0, options.places, stride)
        ]  # fmt: skip
        answers["ours"] = {
            name: Seen(
                np.concatenate([part[name].right for part in parts]),
                np.concatenate([part[name].loss for part in parts]),
            )
            for name in seen.images
        }

    def theirs() -> None:
        answers["theirs"] = loop(seen.model, ends, data, options.places)

    found = take_turns({"loop": theirs, "walk": ours}, options.rounds)
    right, loss = apart(answers["ours"], answers["theirs"])
    return {
        "net": kind, "images": sum(map(len, seen.images.values())), "places": options.places,
        "loop, CPU s": round(found["loop"].median, 3), "walk, CPU s": round(found["walk"].median, 3),
        "times as fast": round(found["loop"].median / found["walk"].median, 2),
        "right answers apart": right, "losses apart": loss,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist")
    parser.add_argument("--net", default="lenet-300-100")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--places", type=int, default=31)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measured(options.net, options)), flush=True)


if __name__ == "__main__":
    main()
