"""What surrounds the step: making batches, remembering what was right, and two trainings side by side.

python -m tests.benchmarks.overheads [--rounds 7] [--seconds 6]

Batches and memory: CPU seconds of one thread, variants taking turns. Side by side: images per second of wall-clock time
of one process and of two at once, which a machine with other work on it cannot tell.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from tests.benchmarks.engine import CASES, CPU, Rig, repeat
from tests.benchmarks.harness import take_turns
from tests.benchmarks.reference_loop import Pictures
from ticketctl.data.sets import Split
from ticketctl.seeds import Seeds
from ticketctl.train.device import has_bf16
from ticketctl.train.feed import Feed, Images, Scaling

BATCHES = 32


def pipeline(rounds: int) -> dict[str, float]:
    """Cropped, flipped, scaled batches of 128 colour images of 32x32."""
    rig = Rig(CASES["resnet20"])
    images = Images(Split(rig.images, rig.labels), None, Scaling.of((0.5,) * 3, (0.25,) * 3, CPU), CPU)
    feed = Feed(images, batch=128, padding=4, drop_last=True)
    loader = DataLoader(Pictures(rig.images, rig.labels, True), batch_size=128, shuffle=True)

    def resident() -> None:
        feed.begin_epoch(Seeds(0), 0)
        for position in range(BATCHES):
            feed.batch(position % feed.steps_per_epoch)

    def loaded() -> None:
        for done, _ in enumerate(loader, 1):
            if done == BATCHES:
                return

    timings = take_turns({"resident": resident, "loader": loaded}, rounds)
    per_image = {name: 1e6 * one.median / (BATCHES * 128) for name, one in timings.items()}
    return {
        "resident, us per image": per_image["resident"],
        "DataLoader, us per image": per_image["loader"],
        "times as fast": per_image["loader"] / per_image["resident"],
    }


def remembering(rounds: int) -> dict[str, float]:
    """Steps of LeNet-300-100 with and without its record of what was right."""
    rig, precision = Rig(CASES["lenet-300-100"]), "bf16" if has_bf16(CPU) else "f32"
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: rig.engine(precision, folder=Path(folder) / name) for name in ("kept", "not kept")}
        memory = _loop_of(steps["not kept"]).machine.memory
        memory.see = memory.end_epoch = lambda *_: None
        timings = take_turns({name: partial(repeat, step, 4) for name, step in steps.items()}, rounds)
    return {"share of a step": timings["kept"].median / timings["not kept"].median - 1}


def _loop_of(turn: Callable[[], None]) -> Any:
    """The loop that a turn of the rig closes over."""
    return next(
        cell.cell_contents for cell in turn.__closure__ or () if hasattr(cell.cell_contents, "machine")
    )


def _train(net: str, seconds: float, start: Barrier, found: Any) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(CASES[net])
        turn = rig.engine("bf16" if has_bf16(CPU) else "f32", folder=Path(folder))
        turn()
        start.wait()
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            turn()
            done += rig.case.batch * rig.case.steps
        found.put(done / (time.perf_counter() - began))


def side_by_side(net: str, seconds: float) -> dict[str, float]:
    """Images per second of one process, and of two at once together."""
    context = multiprocessing.get_context("spawn")
    totals: dict[int, list[float]] = {1: [], 2: []}
    for count in (1, 2, 1, 2):
        start, found = context.Barrier(count), context.Queue()
        processes = [context.Process(target=_train, args=(net, seconds, start, found)) for _ in range(count)]
        for process in processes:
            process.start()
        totals[count].append(sum(found.get() for _ in processes))
        for process in processes:
            process.join()
    one, two = (float(np.median(totals[count])) for count in (1, 2))
    return {"one": one, "two together": two, "times": two / one}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({"batches": pipeline(options.rounds)}), flush=True)
    print(json.dumps({"memory": remembering(options.rounds)}), flush=True)
    for net in ("lenet-300-100", "resnet20"):
        print(json.dumps({f"side by side, {net}": side_by_side(net, options.seconds)}), flush=True)


if __name__ == "__main__":
    main()
