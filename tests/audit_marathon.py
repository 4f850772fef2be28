"""Kill and stop audits of a small net at random moments and at chosen writes, until they are done; compare every byte.

    python tests/audit_marathon.py --kills 50            SIGKILL at random moments
    python tests/audit_marathon.py --points              SIGKILL right before and after every write, sync and rename
    python tests/audit_marathon.py --stops 30            SIGTERM, Ctrl-C and a second Ctrl-C, in turn, of the command

As in kill_marathon.py the victims are forked from a warm parent with one thread, and the last line is a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.kill_marathon import Marathon, Scenario, ended, fork
from tests.stages import tiny
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import open_run
from ticketctl.seeds import Seeds
from ticketctl.stages import due
from ticketctl.stages.audit import Audit, audit
from ticketctl.stages.examined import wanted
from ticketctl.stages.shown import shown
from ticketctl.stages.subject import subject_of
from ticketctl.store.files import TEMPORARY

NAMES = "accuracy,corruption,cost,dead-units,ece,fgsm,gap,hessian,lime,ood,pgd"
SETS = (
    "audit.images=60", "audit.corruptions=['fog','contrast']", "audit.severities=[1]", "audit.ood=['noise']",
    "metrics.cost.time=false", "metrics.hessian.images=20", "metrics.hessian.most=10", "metrics.hessian.least=4",
    "metrics.hessian.steps=5", "metrics.lime.images=8", "metrics.lime.samples=60", "metrics.pgd.steps=3",
)  # fmt: skip
COMMAND = [
    "audit", "levels/1", "--device", "cpu", "--offline", "--metrics", NAMES,
    *(word for each in SETS for word in ("--set", each)),
]  # fmt: skip
PATIENCE = 5.0
"""Seconds within which an audit that was asked to stop has left."""
ASKED = {
    "SIGTERM": (signal.SIGTERM, 75),
    "Ctrl-C": (signal.SIGINT, 130),
    "Ctrl-C twice": (signal.SIGINT, 130),
}


def audited(folder: Path, stop: Any = tiny.never) -> Report:
    """Audit the ticket of the draw in `folder`."""
    around = tiny.around(folder.parent / "cache", stop)
    asked = wanted(NAMES, SETS, None, None)
    subject = subject_of(open_run(folder / "levels/1"), asked.sets, around)
    return audit(Audit(subject, asked, shown(subject, asked.recipe.audit, Seeds(0), around), Seeds(0)))


SCENARIO = Scenario("audit", audited, given=lambda folder: tiny.draw(folder, "draw.rounds=1"))


def command(folder: Path, said: Path) -> None:
    """The program, in this process, which it ends."""
    from ticketctl.cli.app import app, guarded

    handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["ticketctl", *COMMAND]
    with chdir(folder):
        code = guarded(app)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Stops(Marathon):
    """Stops the command instead of killing it."""

    def stop(self, kind: str) -> tuple[int, float, str]:
        """One audit, asked to stop at a random moment and typed again: exit code, seconds until it left, fault."""
        number, code = ASKED[kind]
        place, said = self.fresh(0), self.folder / "said.txt"
        said.unlink(missing_ok=True)
        child = fork(partial(command, place, said), self.log)
        while "[1/" not in (said.read_text() if said.exists() else "") and ended_not(child):
            time.sleep(0.005)
        time.sleep(float(self.chance.uniform(0, 0.9)) * self.seconds[SCENARIO.name])
        began = time.monotonic()
        os.kill(child, number)
        if kind == "Ctrl-C twice":
            time.sleep(0.01)
            os.kill(child, number)
        left = ended(child, 30)
        seconds = time.monotonic() - began
        fault = self.judged(left, kind, seconds, said.read_text(), place)
        if left is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.tally.kills += left == code
        again = ended(fork(partial(command, place, said), self.log), 120)
        self.compare(SCENARIO, place, 1 if again is None else again)
        return -1 if left is None else left, seconds, fault

    def judged(self, left: int | None, kind: str, seconds: float, said: str, place: Path) -> str:
        """What is wrong with how it left, or "". It may have been done before."""
        found, truth = tiny.files_below(place), self.truth[SCENARIO.name]
        half = [name for name, data in found.items() if name in truth and truth[name] != data]
        odd = [
            name for name in found if name not in truth and not (kind == "Ctrl-C twice" and TEMPORARY in name)
        ]
        code = ASKED[kind][1]
        if left not in (code, 0):
            return f"left with {left}, not {code}: {said[-300:]}"
        if seconds > PATIENCE:
            return f"left after {seconds:.1f} s"
        if "Traceback" in said or (left and "\nticketctl: stopped" not in said):
            return f"said {said[-300:]}"
        if left == 0:
            return ""
        return f"half-written: {half}; left behind: {odd}" if half or odd else ""


def ended_not(child: int) -> bool:
    """Whether it is still alive; it is not waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0, help="how many kills at random moments, at least")
    parser.add_argument("--points", action="store_true", help="also a kill around every file operation")
    parser.add_argument("--every", type=int, default=1, help="of these, take every so manieth")
    parser.add_argument("--stops", type=int, default=0, help="how many audits are asked to stop")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    chosen = parser.parse_args()
    import torch

    import ticketctl.cli.app  # noqa: F401  # warm

    torch.set_num_threads(1)
    due.LAP = 0.02  # most of a small audit would be the timing of its net
    began, faults, slowest, stopped = time.monotonic(), [], 0.0, 0
    with tempfile.TemporaryDirectory(prefix="audit-marathon-") as folder:
        race = Stops(Path(folder), chosen.seed, (SCENARIO,))
        tally = race.tally
        for turn in range(chosen.stops):
            kind = [*ASKED][turn % len(ASKED)]
            left, seconds, fault = race.stop(kind)
            stopped += left == ASKED[kind][1]
            slowest = max(slowest, seconds)
            faults += [f"{kind}: {fault}"] if fault else []
        tally.kills = 0
        for _ in race.points(0, chosen.every) if chosen.points else ():
            pass
        at_points = tally.kills
        while tally.kills - at_points < chosen.kills:
            race.kill(0)
    summary = {
        "kills": tally.kills, "at_points": at_points, "left_orphans": tally.left_orphans, "stopped": stopped,
        "slowest": round(slowest, 2), "runs": tally.runs, "identical": tally.identical,
        "audit_seconds": round(race.seconds[SCENARIO.name], 2), "seconds": round(time.monotonic() - began, 1),
        "faults": faults[:20], "differences": tally.differences[:20],
    }  # fmt: skip
    print(json.dumps(summary))
    return 0 if tally.identical == tally.runs and not tally.differences and not faults else 1


if __name__ == "__main__":
    sys.exit(main())
