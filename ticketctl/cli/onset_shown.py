"""What a search for the onset of stability found or would cost, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.cli.explored import Found
from ticketctl.cli.options import scale_of
from ticketctl.cli.output import print_json, print_line, visible
from ticketctl.cli.planned import span_told
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.explored import Explored
    from ticketctl.stages.named import Named
    from ticketctl.stages.onset import Search
    from ticketctl.stages.onset_due import OnsetDue
    from ticketctl.stages.setting import Surroundings


def onset_wanted(
    found: Sequence[Named],
    asked: Explored,
    level: str | None,
    twins: int | None,
    epochs: int | None,
    scale: float | None,
) -> list[Search]:
    """The searches that the recipe asks for, stretched by the last two; none if it has no `[onset]`.

    Raises:
        UsageError: what does not go with a search, or as `searches`.
    """
    from ticketctl.recipe_explore import InterpolateRecipe

    assert isinstance(asked.recipe, InterpolateRecipe)
    if asked.recipe.onset is None:
        if epochs is not None or scale is not None:
            flag = "--scale" if epochs is None else "--epochs"
            raise UsageError(
                f"{flag}: stretches the trainings of an onset alone; other nets are taken as they are"
            )
        return []
    if twins is not None:
        raise UsageError(f"--twins: the recipe says how many an onset takes; write --set onset.twins={twins}")
    if level not in (None, "0"):
        raise UsageError(f"--level {level}: the onset is of the dense net; leave it out")
    from ticketctl.stages.onset import searches

    return searches(found, asked, epochs=epochs, scale=scale_of(scale, epochs))


def found_onset(search: Search, around: Surroundings) -> Found:
    """Searched, or gone on with."""
    from ticketctl.stages.onset import onset

    report = onset(search, around)
    return Found(search.label, report, search.folder / report.file_name)


def show_onset_due(wanted: Sequence[Search], around: Surroundings, json: bool) -> None:
    """What the searches take at most."""
    from ticketctl.stages.onset_due import onset_due

    plans = [(search, onset_due(search, around)) for search in wanted]
    if json:
        print_json({"nets": [_record(search, due) for search, due in plans]})
        return
    for search, due in plans:
        print_line(visible(f"{search.label}:"))
        for text in _told(search, due):
            print_line(visible(text))


def _told(search: Search, due: OnsetDue) -> list[str]:
    from ticketctl.stages.onset import WORK
    from ticketctl.stages.price import amount

    cost = due.price
    if not cost.trainings:
        return ["to train    none: all of it is there"]
    if cost.seconds is None or cost.seconds_as_busy is None:
        time = f"not known: {cost.unknown}"
    else:
        time = f"at most {span_told(cost.seconds, cost.seconds_as_busy)}"
    inits = search.spec.inits
    plural = "" if inits == 1 else "s"
    disk = [] if due.bytes is None else [f"disk        at most {due.bytes / 1e6:,.0f} MB while it runs"]
    return [
        f"to evaluate at most {due.evaluations} epochs, of {inits} initialisation{plural}",
        f"to train    at most {amount(cost)}",
        f"time        {time}",
        *disk,
        f"would write to {search.folder / 'reports'}, {search.folder / WORK}",
    ]


def _record(search: Search, due: OnsetDue) -> dict[str, Any]:
    return {
        "net": search.label,
        "folder": str(search.folder),
        "at_most": {**due.price.record(), "evaluations": due.evaluations, "bytes": due.bytes},
        "unknown": due.price.unknown,
    }
