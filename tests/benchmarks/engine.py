"""The engine against a reference loop and a bare loop, in one interleaved run of one thread.

python -m tests.benchmarks.engine [--nets lenet-300-100,resnet20,resnet18] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.benchmarks.harness import Timing, matmul_peak, take_turns
from tests.benchmarks.reference_loop import ReferenceLoop
from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import build
from ticketctl.nets.describe import layer_macs
from ticketctl.nets.initialise import initialise_
from ticketctl.progress import Silent
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.benchmark_rig import BareLoop, random_mask, training_flop
from ticketctl.train.bench import Bench, Order
from ticketctl.train.device import Place, has_bf16
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.loop import Loop
from ticketctl.train.state import State

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A net, its images, and how many steps one turn takes."""

    net: str
    shape: tuple[int, int, int]
    batch: int
    steps: int
    augment: bool


CASES = {
    "lenet-300-100": Case("lenet-300-100", (1, 28, 28), 128, 60, False),
    "resnet20": Case("resnet20", (3, 32, 32), 128, 2, True),
    "resnet18": Case("resnet18", (3, 32, 32), 64, 1, True),
}


def repeat(step: Callable[[], None], times: int) -> None:
    """One turn."""
    for _ in range(times):
        step()


class Rig:
    """All variants of one case, over the same random images."""

    def __init__(self, case: Case, device: torch.device = CPU, count: int = 4096) -> None:
        self.case, self.device = case, device
        draws = np.random.default_rng(0)
        count = max(count, case.batch * 8)
        self.images = draws.integers(0, 256, (count, *case.shape), dtype=np.uint8)
        self.labels = draws.integers(0, 10, count)

    def model(self) -> nn.Module:
        model = build(self.case.net, shape=self.case.shape, classes=10)
        return initialise_(model, "kaiming-normal", Seeds(0)).to(self.device)

    @property
    def spec(self) -> TrainSpec:
        return TrainSpec(
            epochs=1000, batch=self.case.batch, lr=0.1, momentum=0.9, weight_decay=1e-4, threads=1
        )

    def mask(self, model: nn.Module) -> Mask:
        return random_mask(model, 0.2)

    def engine(self, precision: str, *, masked: bool = True, folder: Path) -> Callable[[], None]:
        """The steps of our own loop: data, augmentation, mask, forgetting record, boundary checks."""
        loop = self.loop(precision, masked=masked, folder=folder)
        return lambda: self.turn(loop, self.case.steps)

    def loop(self, precision: str, *, masked: bool, folder: Path, tested: int = 0) -> Loop:
        """A training of our own that has not begun; `tested` of its images are its test set."""
        model = self.model().to(memory_format=torch.channels_last)
        channels = self.case.shape[0]
        scaling = Scaling.of((0.5,) * channels, (0.25,) * channels, self.device)
        split = Split(self.images, self.labels)
        images = Images(split, None, scaling, self.device)
        exams = {"test": Images(split, np.arange(tested), scaling, self.device)} if tested else {}
        feed = Feed(images, batch=self.case.batch, padding=4 if self.case.augment else None, drop_last=True)
        bench = Bench(model, feed, exams, self.spec, Place(self.device, precision), Silent(), lambda: None)
        mask = self.mask(model) if masked else None
        order = Order(State.of(model, 0), mask, Seeds(0), (), "bench", "bench")
        return Loop(bench, order, FitFiles(folder))

    def turn(self, loop: Loop, steps: int) -> None:
        """Some steps, and no evaluation."""
        for _ in range(steps):
            row = [0.0, float(loop.progress.step), *([0.0] * (len(loop.bench.columns) - 2))]
            loop.progress.rows = [row]  # this step has its row: no evaluation inside the measurement
            loop._at_boundary()
            loop._step()

    def reference(self) -> Callable[[], None]:
        model = self.model()
        masks = {name: keep.float() for name, keep in self.mask(model).keep.items()}
        loop = ReferenceLoop(model, masks, self.images, self.labels, self.case.batch, self.case.augment)
        return partial(repeat, loop.step, self.case.steps)

    def bare(self, bf16: bool) -> Callable[[], None]:
        model = self.model().to(memory_format=torch.channels_last)
        inputs = torch.randn(self.case.batch, *self.case.shape).contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(self.labels[: self.case.batch])
        loop = BareLoop(model, (inputs, labels), self.spec, Place(CPU, "bf16" if bf16 else "f32"))
        return partial(repeat, loop.step, self.case.steps)

    def flop(self) -> float:
        """Multiply-adds of a step, twice, forward and both backward products; the first layer has only one."""
        return training_flop(layer_macs(self.model(), self.case.shape)) * self.case.batch


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """All ratios of one net."""
    rig, bf16 = Rig(case), has_bf16(CPU)
    with tempfile.TemporaryDirectory() as folder:
        variants = {
            "reference": rig.reference(),
            "bare f32": rig.bare(False),
            "engine f32": rig.engine("f32", folder=Path(folder)),
        }
        if bf16:
            variants["bare bf16"] = rig.bare(True)
            variants["engine bf16"] = rig.engine("bf16", folder=Path(folder))
            variants["engine bf16, no mask"] = rig.engine("bf16", masked=False, folder=Path(folder))
        timings = take_turns(variants, rounds)
    best = "bf16" if bf16 else "f32"
    peak = matmul_peak(torch.bfloat16 if bf16 else torch.float32)
    return {"net": case.net, "batch": case.batch, **_ratios(timings, case, best, rig.flop(), peak)}


def _ratios(timings: dict[str, Timing], case: Case, best: str, flop: float, peak: float) -> dict[str, Any]:
    images = case.batch * case.steps
    engine = timings[f"engine {best}"].median
    result = {
        "microseconds per image": {name: 1e6 * one.median / images for name, one in timings.items()},
        "spread": {name: one.most / one.least for name, one in timings.items()},
        "over reference, f32": timings["reference"].median / timings["engine f32"].median,
        f"over reference, {best}": timings["reference"].median / engine,
        f"of bare loop, {best}": timings[f"bare {best}"].median / engine,
        f"share of {best} matmul peak": flop * case.steps / engine / peak,
    }
    if "engine bf16, no mask" in timings:
        result["mask cost"] = engine / timings["engine bf16, no mask"].median - 1
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for net in options.nets.split(","):
        results.append(measure(CASES[net], options.rounds))
        print(json.dumps(results[-1], indent=1), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
