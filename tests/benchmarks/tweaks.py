"""What each tweak adds to a step: ratios to the plain step, in turns, CPU seconds of one thread.

    python tests/benchmarks/tweaks.py --model resnet20s --rounds 15

Random images of 32x32, batch 128, SGD with momentum, a mask that keeps a tenth. A round is one whole step of each
variant (forward, backward, update, mask, hooks); medians are compared. scaled-init is timed as a whole and given in
plain steps: divided by the steps of a training it is its share of a run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.benchmarks.harness import take_turns
from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import policy, prunable
from ticketctl.masks.select import kept_count, top
from ticketctl.nets.build import build, initialise_
from ticketctl.plugins import load
from ticketctl.progress import Silent
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench, Order, Progress
from ticketctl.train.course import Course
from ticketctl.train.device import Place
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit, Teacher, equip, started
from ticketctl.train.machine import machine_for
from ticketctl.train.state import State
from ticketctl.train.stepper import ReadEach

SETS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "plain": (),
    "ls": (("ls", {}),),
    "swish": (("swish", {}),),
    "mish": (("mish", {}),),
    "skip": (("skip", {}),),
    "skip, identity-bn": (("skip", {"kind": "identity-bn"}),),
    "skip, proj": (("skip", {"kind": "proj"}),),
    "kd": (("kd", {}),),
    "sam": (("sam", {}),),
    "asam": (("asam", {}),),
    "ema": (("ema", {}),),
    "skip, swish, ls": (("skip", {}), ("swish", {}), ("ls", {})),
}
CPU = torch.device("cpu")


def plain_bench(model: str, images: int, batch: int, precision: str) -> tuple[Bench, State, Mask]:
    """A net, random images, and the tenth of its weights that is largest."""
    numbers = np.random.default_rng(0)
    split = Split(
        numbers.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8), np.arange(images, dtype=np.int64) % 10
    )
    feed = Feed(
        Images(split, None, Scaling.of((0.5,) * 3, (0.25,) * 3, CPU), CPU),
        batch=batch,
        padding=4,
        drop_last=False,
    )
    net = build(model, shape=(3, 32, 32), classes=10)
    initialise_(net, "kaiming-normal", Seeds(0))
    start = State.of(net, 0)
    net.to(memory_format=torch.channels_last)
    spec = TrainSpec(epochs=10, batch=batch, lr=0.1, momentum=0.9, weight_decay=1e-4, threads=1)
    sizes = {name: start.weights[name].abs() for name in prunable(net, policy("default"))}
    mask = top(sizes, kept_count(sum(each.numel() for each in sizes.values()), 0.1))
    return Bench(net, feed, {}, spec, Place(CPU, precision), Silent(), lambda: None), start, mask


class Variant:
    """A training under some tweaks, a step at a time."""

    def __init__(
        self,
        tweaks: Sequence[tuple[str, dict[str, Any]]],
        model: str,
        images: int,
        batch: int,
        precision: str,
    ) -> None:
        bench, start, mask = plain_bench(model, images, batch, precision)
        teacher = plain_bench(model, images, batch, precision)[0].model.requires_grad_(False).eval()
        kit = Kit(bench, Seeds(0), mask, Teacher(teacher, "none"))
        hooks: tuple[Hooks, ...] = tuple(self._hook(name, keys, kit) for name, keys in tweaks)
        bench = replace(equip(bench, hooks, Seeds(0)), objective=True)
        self.machine = machine_for(bench, mask)
        self.machine.begin(started(start, bench.model), mask, hooks)
        steps = bench.feed.steps_per_epoch * 10
        self.course = Course(bench, self.machine, Progress(0), steps, lambda: None, steps)
        self.order = Order(start, mask, Seeds(0), (), "", "", None, hooks)
        self.stepper = ReadEach(bench, self.machine)
        bench.feed.begin_epoch(Seeds(0), 0)
        began = time.process_time()
        for hook in hooks:
            hook.start(self.course)
        self.started_in = time.process_time() - began

    @staticmethod
    def _hook(name: str, keys: dict[str, Any], kit: Kit) -> Hooks:
        module = load("tweaks", name)
        hook: Hooks = module.tweak(kit, params=module.Params(**keys))
        return hook

    def step(self) -> None:
        """One step."""
        position = self.course.step % self.course.steps_per_epoch
        assert self.stepper.take(position, 0.01, self.course)


def main() -> None:
    """Print one JSON object: ratios by variant, and scaled-init in plain steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet20s")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    images = 4 * asked.batch
    variants = {
        name: Variant(tweaks, asked.model, images, asked.batch, asked.precision)
        for name, tweaks in SETS.items()
    }
    runs: dict[str, Callable[[], None]] = {name: variant.step for name, variant in variants.items()}
    timings = take_turns(runs, asked.rounds)
    plain = timings["plain"].median
    found: dict[str, Any] = {name: round(one.median / plain, 3) for name, one in timings.items()}
    scaled = Variant(
        (("scaled-init", {"iterations": asked.iterations}),),
        asked.model,
        images,
        asked.batch,
        asked.precision,
    )
    found["plain step, s"] = round(plain, 4)
    found["scaled-init, plain steps per iteration"] = round(scaled.started_in / asked.iterations / plain, 2)
    print(
        json.dumps(
            {
                "model": asked.model,
                "batch": asked.batch,
                "precision": asked.precision,
                "torch": torch.__version__,
                **found,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
