"""What a draw at initialisation costs before it trains: time in gradients over the same images, and memory.

    python tests/benchmarks/scoring.py --images 100 --iterations 10

Each method has a process of its own, one thread, ResNet-18 for 32x32 images, and is asked for 5 % of the weights. All
it does up to its first training is timed, the copy of the net, the ranking and the record included; the gradient
beside it is one forward and backward pass of the mean cross entropy over the same number of images, in the method's own
precision, in the same process. CPU seconds, the least of `--repeats`. Memory is the peak of the process above what it
had when the net was there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

METHODS = {
    "mag-init": {},
    "snip": {"precision": "f32"},
    "snip-iterative": {"precision": "f32"},
    "force": {"precision": "f32"},
    "grasp": {"precision": "f32"},
    "synflow": {},
}


class ReachedError(Exception):
    """The method wants to train: it has scored."""


def bench_and_lab(images: int) -> Any:
    """A bench of random images and a lab that does not train."""
    import numpy as np
    import torch

    from ticketctl.data.sets import Split
    from ticketctl.masks.prunable import policy, prunable
    from ticketctl.nets.build import build, initialise_
    from ticketctl.progress import Silent
    from ticketctl.recipe import TrainSpec
    from ticketctl.seeds import Seeds
    from ticketctl.train.bench import Bench
    from ticketctl.train.device import Place
    from ticketctl.train.feed import Feed, Images, Scaling
    from ticketctl.train.lab import Lab
    from ticketctl.train.state import State

    torch.set_num_threads(1)
    cpu, numbers = torch.device("cpu"), np.random.default_rng(0)
    pixels = numbers.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    split = Split(pixels, np.arange(images, dtype=np.int64) % 10)
    feed = Feed(
        Images(split, None, Scaling.of((0.5,) * 3, (0.25,) * 3, cpu), cpu),
        batch=100,
        padding=None,
        drop_last=False,
    )
    model = build("resnet18", shape=(3, 32, 32), classes=10)
    initialise_(model, "kaiming-normal", Seeds(0))
    initial = State.of(model, 0)
    model.to(memory_format=torch.channels_last)
    spec = TrainSpec(epochs=1, batch=100, threads=1)
    bench = Bench(model, feed, {}, spec, Place(cpu, "f32"), Silent(), lambda: None)
    shapes = {name: initial.weights[name].shape for name in prunable(model, policy("default"))}

    class Untrained(Lab):
        def fit(self, *args: Any, **options: Any) -> Any:
            raise ReachedError

    return Untrained(bench, Seeds(0), initial, shapes, 0, False, (), {}, Path("unused"))


def gradient(lab: Any, images: int, wide: bool) -> Callable[[], None]:
    """One forward and backward pass over that many images."""
    import copy

    import torch

    dtype = torch.float64 if wide else torch.float32
    net = copy.deepcopy(lab.bench.model).to(dtype).eval()
    inputs, labels = lab.bench.feed.images.batch(0, images)
    inputs = inputs.to(dtype)

    def run() -> None:
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), labels).backward()

    return run


def least(run: Callable[[], None], repeats: int) -> float:
    """CPU seconds of the quickest repeat."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return min(found)


def peak() -> float:
    """MB, the most this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, images: int, iterations: int, repeats: int) -> dict[str, Any]:
    """One method, in this process."""
    from ticketctl.train.lab import Target

    lab = bench_and_lab(images)
    method = import_module(f"ticketctl.draws.{name.replace('-', '_')}")
    keys: dict[str, Any] = dict(METHODS[name])
    known = method.Params.__dataclass_fields__
    keys |= {"per_class": images // 10} if "per_class" in known else {}
    keys |= {"iterations": iterations} if "iterations" in known else {}
    keys |= {"batches": 1} if "batches" in known else {}
    params = method.Params(**keys)

    def run() -> None:
        levels = method.draw(lab, target=Target(Fraction(1, 20)), params=params)
        try:
            for _ in levels:
                pass
        except ReachedError:
            return
        raise AssertionError("it never trained")

    before = peak()
    first = least(run, 1)
    memory = peak() - before
    seconds = min(first, least(run, repeats - 1)) if repeats > 1 else first
    one = least(gradient(lab, 1 if name == "synflow" else images, name == "synflow"), max(3, repeats))
    rounds = iterations if "iterations" in known else 1
    return {"method": name, "rounds": rounds, "seconds": seconds, "gradient": one, "peak_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--one")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.images, options.iterations, options.repeats)))
        return
    print("| method | rounds | CPU s | one gradient, s | times one gradient | per round | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for name in METHODS:
        words = [sys.executable, __file__, "--one", name, "--images", str(options.images)]
        words += ["--iterations", str(options.iterations), "--repeats", str(options.repeats)]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        times = found["seconds"] / found["gradient"]
        print(
            f"| {name} | {found['rounds']} | {found['seconds']:.2f} | {found['gradient']:.3f} | {times:.1f} "
            f"| {times / found['rounds']:.2f} | {found['peak_mb']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
