"""Kill searches for the onset of stability at random moments and at chosen writes, until they are done; compare bytes.

    python tests/onset_marathon.py --kills 50            SIGKILL at random moments
    python tests/onset_marathon.py --points              SIGKILL right before and after every write, sync and rename

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
from ticketctl.artifacts.report import Report
from ticketctl.recipe_explore import parse_explore
from ticketctl.stages.explored import Explored
from ticketctl.stages.named import Asked, named
from ticketctl.stages.onset import onset, searches

TABLES = {
    "onset": {"inits": 2, "twins": 2, "threshold": 0.4},
    "curves": {"line": {"alphas": 5, "sets": ["val"], "policies": ["recalibrate"]}},
}


def searched(folder: Path) -> Report:
    """The onset of the draw in `folder`."""
    asked = Explored(parse_explore("interpolate", TABLES, where="here"), False, {})
    nets = named(Asked([str(folder)], workspace=folder.parent))
    (search,) = searches(nets, asked)
    return onset(search, tiny.around(folder.parent / "cache"))


SCENARIO = Scenario(
    "onset", searched, given=lambda folder: tiny.draw(folder, "draw.rounds=1", "train.lr=0.3")
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
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="onset-marathon-") as folder:
        race = Marathon(Path(folder), chosen.seed, (SCENARIO,))
        tally = race.tally
        for _ in race.points(0, chosen.every) if chosen.points else ():
            pass
        at_points = tally.kills
        while tally.kills - at_points < chosen.kills:
            race.kill(0)
    summary = {
        "kills": tally.kills, "at_points": at_points, "left_orphans": tally.left_orphans, "runs": tally.runs,
        "identical": tally.identical, "onset_seconds": round(race.seconds[SCENARIO.name], 2),
        "seconds": round(time.monotonic() - began, 1), "differences": tally.differences[:20],
    }  # fmt: skip
    print(json.dumps(summary))
    return 0 if tally.identical == tally.runs and not tally.differences else 1


if __name__ == "__main__":
    sys.exit(main())
