"""Kill draws and spends with SIGKILL at random moments, and at chosen writes, until they are done; compare every byte.

    python tests/kill_marathon.py --kills 100            random moments, draws and spends in turn
    python tests/kill_marathon.py --points               right before and after every write, sync and rename of a draw

A cold process takes seconds to import torch, so the victims are forked from a warm parent with one thread. The last
line of output is a JSON summary; the exit code is 0 if all ended in the same bytes as an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.stages import tiny
from ticketctl.store.files import TEMPORARY
from ticketctl.train import loop

MOST_KILLS_PER_RUN = 8
CLOCKS = (0.0, 0.02, 20.0)
"""Seconds between checkpoints, drawn anew for every victim: a checkpoint at every step, now and then, never."""


@dataclass(frozen=True)
class Scenario:
    """Work in a folder; the folder may have to be there already, as `given` makes it."""

    name: str
    work: Callable[[Path], object]
    given: Callable[[Path], object] | None = None


@dataclass
class Tally:
    """What happened."""

    kills: int = 0
    runs: int = 0
    identical: int = 0
    left_orphans: int = 0
    """Kills that left a half-written file behind."""
    differences: list[str] = field(default_factory=list)


def drawing(*sets: str) -> Callable[[Path], object]:
    return lambda folder: tiny.draw(folder, *sets)


def spending(folder: Path) -> object:
    return tiny.spend(folder, "train.lr=0.03", levels="1,2")


SCENARIOS = (
    Scenario("draw imp", drawing("draw.controls=true", "keep.epochs=[1]")),
    Scenario("spend", spending, given=drawing("draw.rewind=3it")),
    Scenario("draw ltr", drawing("draw.method=ltr", "draw.rewind=7it", "train.nesterov=true")),
    Scenario(
        "draw imp, adam, restarted", drawing("train.optimizer=adam", "train.lr=0.002", "draw.rewind=1ep")
    ),
)


# ---------------------------------------------------------------------------------------------------- the victims


def fork(victim: Callable[[], object], log: Path) -> int:
    """Run `victim` in a child of its own; it leaves with 0, or with 1 and a traceback in `log`."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        victim()
        code = 0
    except BaseException:
        log.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """The child's exit status, or None if it is still alive after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(min(0.002, max(0.0, until - time.monotonic())))


def checkpoints_every(seconds: float) -> None:
    loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = seconds, float("inf")


class DieAt:
    """Wraps a function of `os`: the n-th call among all wrapped ones is the last thing this process does."""

    count = 0

    def __init__(self, name: str, at: int, after: bool) -> None:
        self.name, self.at, self.after, self.original = name, at, after, getattr(os, name)
        setattr(os, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        mine = DieAt.count == self.at
        DieAt.count += 1
        if mine and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return self.original(*arguments, **options)
        finally:  # it may have failed, as taking away what is not there does
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)


# ------------------------------------------------------------------------------------------------------- the runs


class Marathon:
    """Undisturbed results of every scenario, and victims of them in folders below `folder`."""

    def __init__(self, folder: Path, seed: int, scenarios: Sequence[Scenario] = SCENARIOS) -> None:
        self.folder, self.scenarios = folder, scenarios
        self.chance = np.random.default_rng(seed)
        self.tally = Tally()
        self.log = folder / "log.txt"
        self.truth: dict[str, dict[str, bytes]] = {}
        self.seconds: dict[str, float] = {}
        checkpoints_every(CLOCKS[-1])
        for number, scenario in enumerate(scenarios):
            place = self.place("truth", number)
            if scenario.given:
                scenario.given(place)
                shutil.copytree(place, self.given(number))
            began = time.monotonic()
            scenario.work(place)
            self.seconds[scenario.name] = time.monotonic() - began
            self.truth[scenario.name] = tiny.files_below(place)

    def place(self, kind: str, number: int) -> Path:
        """All work of a scenario lies in folders of one name: a folder's name is in no artifact."""
        folder = self.folder / f"{kind}-{number}" / "seed-0"
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder

    def given(self, number: int) -> Path:
        return self.folder / f"given-{number}" / "seed-0"

    def fresh(self, number: int) -> Path:
        place = self.place("victim", number)
        shutil.rmtree(place, ignore_errors=True)
        if self.scenarios[number].given:
            shutil.copytree(self.given(number), place)
        return place

    def kill(self, number: int) -> None:
        """One scenario from its beginning to its end, killed at random moments on the way."""
        scenario, place = self.scenarios[number], self.fresh(number)
        for _ in range(MOST_KILLS_PER_RUN):
            clock = float(self.chance.choice(CLOCKS))
            child = fork(lambda clock=clock: (checkpoints_every(clock), scenario.work(place)), self.log)
            code = ended(child, float(self.chance.uniform(0, 1.2)) * self.seconds[scenario.name])
            if code is not None:
                self.compare(scenario, place, code)
                return
            os.kill(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code != -signal.SIGKILL:  # it was quicker
                self.compare(scenario, place, code)
                return
            self.count_kill(place)
        self.finish(scenario, place)

    def points(self, number: int, every: int = 1) -> Iterator[int]:
        """Kill before (even) and after (odd) every n-th file operation, one run for each; yields as it goes."""
        scenario, point = self.scenarios[number], 0
        while True:
            place = self.fresh(number)
            child = fork(partial(self.die_at, scenario, place, point), self.log)
            code = ended(child, 120)
            if code != -signal.SIGKILL:  # there are fewer operations than that
                self.compare(scenario, place, 1 if code is None else code)
                return
            self.count_kill(place)
            self.finish(scenario, place)
            yield point
            point += every

    @staticmethod
    def die_at(scenario: Scenario, place: Path, point: int) -> None:
        checkpoints_every(CLOCKS[1])
        for name in ("replace", "fsync", "link", "unlink"):
            DieAt(name, point // 2, after=bool(point % 2))
        scenario.work(place)

    def count_kill(self, place: Path) -> None:
        self.tally.kills += 1
        self.tally.left_orphans += bool(list(place.rglob(f"{TEMPORARY}*")))

    def finish(self, scenario: Scenario, place: Path) -> None:
        child = fork(lambda: scenario.work(place), self.log)
        code = ended(child, 120)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.compare(scenario, place, 1 if code is None else code)

    def compare(self, scenario: Scenario, place: Path, code: int) -> None:
        self.tally.runs += 1
        if code:
            why = self.log.read_text().splitlines()[-1:] if self.log.exists() else []
            self.tally.differences.append(f"{scenario.name}: left with {code}: {why}")
            return
        found, truth = tiny.files_below(place), self.truth[scenario.name]
        odd = [name for name in sorted(found.keys() | truth.keys()) if found.get(name) != truth.get(name)]
        self.tally.differences += [f"{scenario.name}: {name}" for name in odd]
        self.tally.identical += not odd


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0, help="how many kills at random moments, at least")
    parser.add_argument("--points", action="store_true", help="also a kill around every file operation")
    parser.add_argument("--every", type=int, default=1, help="of these, take every so manieth")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no run begins")
    chosen = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-marathon-") as folder:
        marathon = Marathon(Path(folder), chosen.seed)
        tally, turn = marathon.tally, 0
        if chosen.points:
            for number in range(2):
                for _ in marathon.points(number, chosen.every):
                    if time.monotonic() - began > chosen.limit:
                        break
        at_points = tally.kills
        while tally.kills - at_points < chosen.kills and time.monotonic() - began < chosen.limit:
            marathon.kill(turn % len(SCENARIOS))
            turn += 1
    summary = {
        "kills": tally.kills, "at_points": at_points, "left_orphans": tally.left_orphans, "runs": tally.runs,
        "identical": tally.identical, "seconds": round(time.monotonic() - began, 1),
        "differences": tally.differences[:20],
    }  # fmt: skip
    print(json.dumps(summary))
    return 0 if tally.identical == tally.runs and not tally.differences else 1


if __name__ == "__main__":
    sys.exit(main())
