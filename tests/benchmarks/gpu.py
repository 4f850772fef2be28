"""Speed on one GPU, beside the goals: training, its share of the matmul peak, the parts of a step, idle time.

python -m tests.benchmarks.gpu [--device cuda] [--quick] [--json FILE]

The images are random: speed does not depend on them. `--quick` takes a hundredth of the steps, to see that everything
runs; `--device cpu` does too, without what only a GPU has.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.engine import Case, Rig
from ticketctl.recipe import TrainSpec
from ticketctl.train.device import settle_arithmetic
from ticketctl.train.loop import Loop
from ticketctl.train.stepper import Ahead

IMAGES, TESTED = 50_000, 10_000
EPOCHS, ROUNDS = 160, 20
"""Of paper-scale trainings and ladders (G3, G4)."""

RESNET18 = Case("resnet18", (3, 32, 32), 128, 300, True)
CASES = {
    "G1 ResNet-18, batch 128": RESNET18,
    "G2 ResNet-18, batch 512": replace(RESNET18, batch=512, steps=90),
    "G5 ResNet-20, batch 128": Case("resnet20", (3, 32, 32), 128, 1000, True),
    "G6 LeNet-300-100, batch 128": Case("lenet-300-100", (1, 28, 28), 128, 4000, False),
}
TOGETHER = {
    "LeNet-300-100": ("G6 LeNet-300-100, batch 128", (4, 16)),
    "ResNet-20": ("G5 ResNet-20, batch 128", (4,)),
}
"""How many trainings share the GPU, each on a stream of its own (G7)."""
MUST = {"G1": 45e3, "G2": 55e3, "G5": 80e3, "G6": 0.6e6}
"""Images a second."""


@dataclass
class Site:
    """Where and how much is measured."""

    device: torch.device
    quick: bool
    folder: Path

    def seconds(self, run: Callable[[], object], times: int = 3) -> float:
        """Median seconds of a call, with the device's work done."""
        took = []
        for _ in range(1 + times):  # the first call warms up
            self.wait()
            began = time.perf_counter()
            run()
            self.wait()
            took.append(time.perf_counter() - began)
        return median(took[1:])

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rig(self, case: Case) -> Rig:
        part = 100 if self.quick else 1
        return Rig(replace(case, steps=max(1, case.steps // part)), self.device, IMAGES // part)

    def loop(self, rig: Rig, *, masked: bool = True, tested: int = 0) -> Loop:
        """A training whose graph is captured, and which has taken its first step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loop = rig.loop("bf16", masked=masked, folder=self.folder, tested=tested)
        loop.stepper.begin(loop.progress)
        rig.turn(loop, 1)
        return loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--nets", default="", help="beginnings of the rows wanted: G1,G6")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")  # read when a GPU is first used
    wanted = tuple(options.nets.split(",")) if options.nets else ("",)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(torch.device(options.device), options.quick, Path(folder) / "fit")
        settle_arithmetic(TrainSpec(epochs=1, batch=1, lr=0.1, threads=torch.get_num_threads()), site.device)
        found: dict[str, Any] = {}
        for part in measured(site, wanted):
            found |= part
            print(json.dumps(part, indent=1), flush=True)
            if options.json:  # after each group: a later one may break
                options.json.write_text(json.dumps(found, indent=1))


def measured(site: Site, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """All figures, one group after the other; what only a GPU has is left out elsewhere."""
    cases = {name: case for name, case in CASES.items() if name.startswith(wanted)}
    peaks = {"matmul": matmul_rate(site), "copy": copy_rate(site)}
    yield {
        "device": device_name(site),
        "torch": torch.__version__,
        "FLOP/s of bf16 matmul, bytes/s of copy": peaks,
    }
    yield {"G12 seconds to the first step": first_step(site, next(iter(cases.values())))}
    for name, case in cases.items():
        yield {name: training(site, case, peaks["matmul"], MUST[name[:2]])}
    if "".startswith(wanted):
        yield parts(site, peaks["copy"])
        for name, (case, numbers) in TOGETHER.items():
            yield {f"G7 {name}, aggregate over one": {n: together(site, CASES[case], n) for n in numbers}}
        yield {"G3, G4 minutes": long_trainings(site)}
        yield {"G10 deterministic over fast": deterministic(site)}  # last: the setting stays with the process


def device_name(site: Site) -> str:
    return torch.cuda.get_device_name(site.device) if site.device.type == "cuda" else "cpu"


def matmul_rate(site: Site) -> float:
    """FLOP a second of a square bf16 product."""
    size, times = (512, 2) if site.quick else (8192, 20)
    left, right = (torch.randn(size, size, device=site.device).bfloat16() for _ in range(2))
    return times * 2 * size**3 / site.seconds(lambda: [left @ right for _ in range(times)])


def copy_rate(site: Site) -> float:
    """Bytes a second, read and written, of a copy on the device."""
    source = torch.empty(1 << (20 if site.quick else 29), dtype=torch.uint8, device=site.device)
    target = torch.empty_like(source)
    return 2 * source.numel() / site.seconds(lambda: target.copy_(source))


def first_step(site: Site, case: Case) -> float:
    """From nothing to the first step: set-up, warm-up, capture and check of the graph."""
    rig = site.rig(case)
    began = time.perf_counter()
    site.loop(rig)
    site.wait()
    return time.perf_counter() - began


def training(site: Site, case: Case, peak: float, must: float) -> dict[str, Any]:
    """Images a second: as trained, without mask, step by step; and what the device did in between."""
    rig = site.rig(case)
    images = rig.case.batch * rig.case.steps
    loops = {"engine": site.loop(rig), "no mask": site.loop(rig, masked=False)}
    rates = {
        name: images / site.seconds(partial(rig.turn, loop, rig.case.steps)) for name, loop in loops.items()
    }
    captured = isinstance(loops["engine"].stepper, Ahead) and loops["engine"].stepper.graph is not None
    result = {
        "images/s": rates["engine"],
        "over the least wanted": rates["engine"] / must,
        "share of matmul peak": rates["engine"] * rig.flop() / rig.case.batch / peak,
        "mask cost": rates["no mask"] / rates["engine"] - 1,
        "one graph": captured,
    }
    if site.device.type == "cuda":
        with patch.object(Ahead, "capture", lambda self: None):  # steps one by one
            loop = site.loop(rig)
            result["graph over eager"] = (
                rates["engine"] * site.seconds(lambda: rig.turn(loop, rig.case.steps)) / images
            )
        result["G11 idle share"] = idle(site, lambda: rig.turn(loops["engine"], min(50, rig.case.steps)))
    return result


def together(site: Site, case: Case, number: int) -> float:
    """Images a second of so many trainings at once, each in a thread and on a stream, over those of one alone."""
    streams: list[Any] = [None] * number
    if site.device.type == "cuda":
        streams = [torch.cuda.Stream(site.device) for _ in streams]

    def prepared(at: int) -> Callable[[], object]:
        with torch.cuda.stream(streams[at]):
            rig = site.rig(case)
            loop = replace(site, folder=site.folder / str(at)).loop(rig)
        return partial(rig.turn, loop, rig.case.steps)

    def run(at: int) -> None:
        with torch.cuda.stream(streams[at]):
            turns[at]()

    with ThreadPoolExecutor(number) as threads:
        turns = list(threads.map(prepared, range(number)))
        alone = site.seconds(lambda: run(0))
        return number * alone / site.seconds(lambda: list(threads.map(run, range(number))))


def idle(site: Site, run: Callable[[], object]) -> float:
    """Share of the time from the first kernel to the last in which none runs."""
    run()
    site.wait()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run()
        site.wait()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in seen.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    return idle_share(spans)


def idle_share(spans: list[tuple[float, float]]) -> float:
    """Of spans in order of their begin: the share of the whole that none covers."""
    busy, reached = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return 1 - busy / (reached - spans[0][0])


def parts(site: Site, copy: float) -> dict[str, Any]:
    """G8 and G9: what stands around forward and backward, alone."""
    rig = site.rig(RESNET18)
    loop = site.loop(rig)
    feed, machine = loop.bench.feed, loop.machine
    steps = feed.steps_per_epoch
    fed = steps * rig.case.batch / site.seconds(lambda: [feed.batch(position) for position in range(steps)])
    weights = [weight for weight in loop.model.parameters() if weight.requires_grad]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    times = 1 if site.quick else 50
    took = site.seconds(lambda: [machine.update() for _ in range(times)]) / times
    moved = (
        4 * sum(weight.numel() for weight in weights) * 5
    )  # weight and momentum read and written, gradient read
    return {
        "G8 augmented images/s": fed,
        "G9 masked SGD": {"microseconds": 1e6 * took, "share of copy bandwidth": moved / took / copy},
    }


def long_trainings(site: Site) -> dict[str, float]:
    """One epoch with its evaluation, times those of a paper's training and ladder."""
    rig = site.rig(RESNET18)
    loop = site.loop(rig, tested=TESTED // (100 if site.quick else 1))
    loop._at_boundary()  # the evaluation before the first step

    def epoch() -> None:
        for _ in range(loop.bench.feed.steps_per_epoch):
            loop._step()
            loop._at_boundary()

    loop.progress.step = 0
    minutes = EPOCHS * site.seconds(epoch, times=2) / 60
    return {
        f"G3: {EPOCHS} epochs": minutes,
        f"G4: IMP, {ROUNDS} rounds and the dense net": minutes * (ROUNDS + 1),
    }


def deterministic(site: Site) -> float:
    """Time of a step that allows no kernel whose result depends on chance, over that of a fast one."""
    rig = site.rig(RESNET18)
    loop = site.loop(rig)
    fast = site.seconds(lambda: rig.turn(loop, rig.case.steps))
    spec = loop.bench.train.model_copy(update={"deterministic": True})
    settle_arithmetic(spec, site.device)
    slow = site.loop(rig)
    return site.seconds(lambda: rig.turn(slow, rig.case.steps)) / fast


if __name__ == "__main__":
    main()
