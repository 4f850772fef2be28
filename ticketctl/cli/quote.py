"""What `ticketctl spend` is about to do, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.cli.output import print_json, print_line, print_table, visible

if TYPE_CHECKING:
    from ticketctl.stages.price import Price
    from ticketctl.stages.wallet import Chosen

SECTIONS = ("model", "data", "train", "spend", "tweaks", "keep", "seeds")
"""What of a recipe belongs to a spend."""


def priced(chosen: Chosen, device: str, data_dir: Path | None, quiet: bool, workspace: Path) -> Price | None:
    """The cost of what is not there, timed on this machine if the data are here; None: all of it is there.

    Raises:
        UsageError: the ticket or a tweak does not fit the data, where these are here.
    """
    if all(job.ready for job in chosen.jobs):
        return None
    from ticketctl.cli.context import surroundings

    with surroundings(device, data_dir, True, quiet, None, workspace) as around:
        from ticketctl.stages.price import price

        return price(chosen.jobs, chosen.recipe, chosen.draw_seeds, around)


def show_plan(chosen: Chosen, cost: Price | None, json: bool) -> None:
    """The recipe, the runs, and what those cost that are not there."""
    if json:
        print_json(plan_record(chosen, cost))
        return
    from ticketctl.tomltext import toml_text

    print_line(toml_text(_planned(chosen)).rstrip() + "\n")
    if any(chosen.sets):
        print_line(f"tweak sets: {'; '.join(','.join(names) or 'none' for names in chosen.sets)}\n")
    rows = [
        [
            str(job.found or job.folder),
            str(job.level),
            str(job.seed),
            ",".join(job.tweaks) or "none",
            "there" if job.ready else "to train",
        ]
        for job in chosen.jobs
    ]
    print_table(["run", "level", "seed", "tweaks", ""], rows)
    for text in _told(chosen, cost):
        print_line(visible(text))


def _told(chosen: Chosen, cost: Price | None) -> list[str]:
    """The cost in two lines."""
    if cost is None:
        return [f"to train    none: all {len(chosen.jobs)} runs are there"]
    from ticketctl.cli.planned import span_told
    from ticketctl.stages.price import amount

    if cost.seconds is None or cost.seconds_as_busy is None:
        time = f"not known: {cost.unknown}"
    else:
        tweaked = any(job.tweaks for job in chosen.jobs if not job.ready)
        more = "; what tweaks cost more is not counted" if tweaked else ""
        time = span_told(cost.seconds, cost.seconds_as_busy) + more
    return [f"to train    {amount(cost)}", f"time        {time}"]


def plan_record(chosen: Chosen, cost: Price | None) -> dict[str, Any]:
    """The same for `--json`."""
    runs = [
        {
            "level": job.level,
            "seed": job.seed,
            "tweaks": list(job.tweaks),
            "folder": str(job.found or job.folder),
            "ready": job.ready,
        }
        for job in chosen.jobs
    ]
    nothing = {"trainings": 0, "epochs": 0.0, "steps": 0, "seconds": 0.0, "seconds_as_busy": 0.0}
    return {
        "recipe": _planned(chosen),
        "tweak_sets": [list(names) for names in chosen.sets],
        "runs": runs,
        "cost": cost.record() if cost else nothing,
        "unknown": [cost.unknown] if cost and cost.unknown else [],
    }


def _planned(chosen: Chosen) -> Mapping[str, Any]:
    """The recipe with the tweaks that were typed in it; a recipe has one set, so of several it has none."""
    record = chosen.recipe.record(*SECTIONS)
    if not chosen.typed_sets:
        return record
    spend = {key: value for key, value in record["spend"].items() if key != "tweaks"}
    typed = {"tweaks": list(chosen.typed_sets[0])} if len(chosen.typed_sets) == 1 else {}
    return {**record, "spend": {**typed, **spend}}
