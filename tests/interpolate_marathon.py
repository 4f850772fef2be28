"""Kill interpolations of a small ladder at random moments and at chosen writes, until they are done; compare bytes.

    python tests/interpolate_marathon.py --kills 50      SIGKILL at random moments
    python tests/interpolate_marathon.py --points        SIGKILL right before and after every write, sync and rename

As in kill_marathon.py the victims are forked from a warm parent with one thread, and the last line is a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.kill_marathon import Marathon, Scenario
from tests.stages import tiny
from tests.stages.interpolating import interpolated
from ticketctl.artifacts.report import Report
from ticketctl.stages import due

BEZIER = (
    "curves.line.alphas=4", "curves.line.sets=['val']", "curves.bezier.epochs=2", "curves.bezier.points=4",
    "curves.bezier.batch=256",
)  # fmt: skip
PLANE = (
    "curves.plane.dimensions=1", "curves.plane.points=5", "curves.plane.images=100", "curves.input-plane.points=3",
    "curves.input-plane.images=100",
)  # fmt: skip


def between_levels(folder: Path) -> Report:
    """A line and a Bezier curve between the levels, aligned."""
    return interpolated(folder, None, *BEZIER, "interpolate.align=weights", curves="line,bezier")


def about_a_ticket(folder: Path) -> Report:
    """Landscapes about the trained ticket."""
    return interpolated(folder, [str(folder / "levels/1")], *PLANE, curves="plane,input-plane")


def ladder(folder: Path) -> object:
    """What is measured."""
    return tiny.draw(folder, "draw.rounds=1")


SCENARIOS = (
    Scenario("between", between_levels, given=ladder),
    Scenario("about", about_a_ticket, given=ladder),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0, help="how many kills at random moments, at least")
    parser.add_argument("--points", action="store_true", help="also a kill around every file operation")
    parser.add_argument("--every", type=int, default=1, help="of these, take every so manieth")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    due.LAP = 0.02  # most of a small interpolation would be the timing of its net
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interpolate-marathon-") as folder:
        race = Marathon(Path(folder), chosen.seed, SCENARIOS)
        tally, turn = race.tally, 0
        for number in range(len(SCENARIOS)) if chosen.points else ():
            for _ in race.points(number, chosen.every):
                pass
        at_points = tally.kills
        while tally.kills - at_points < chosen.kills:
            race.kill(turn % len(SCENARIOS))
            turn += 1
    summary = {
        "kills": tally.kills, "at_points": at_points, "left_orphans": tally.left_orphans, "runs": tally.runs,
        "identical": tally.identical, "seconds": round(time.monotonic() - began, 1),
        "undisturbed": {name: round(took, 2) for name, took in race.seconds.items()},
        "differences": tally.differences[:20],
    }  # fmt: skip
    print(json.dumps(summary))
    return 0 if tally.identical == tally.runs and not tally.differences else 1


if __name__ == "__main__":
    sys.exit(main())
