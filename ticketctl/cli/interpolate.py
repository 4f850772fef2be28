"""`ticketctl interpolate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.devices import check
from ticketctl.cli.explored import Due, Found, cost_told, known, show_due, show_found
from ticketctl.cli.onset_shown import found_onset, onset_wanted, show_onset_due
from ticketctl.cli.output import print_line, print_table, visible
from ticketctl.cli.quote import plan_record
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.between import Between
    from ticketctl.stages.explored import Explored
    from ticketctl.stages.named import Named
    from ticketctl.stages.price import Price
    from ticketctl.stages.setting import Surroundings
    from ticketctl.stages.subject import Opener
    from ticketctl.stages.twins import Twins
    from ticketctl.stages.wallet import Chosen

Nets = Annotated[
    list[str] | None,
    opt.nets(
        "Paths, id prefixes or names of runs, or of a ticket, whose trained levels are meant. Default: newest.",
        complete.runs,
    ),
]
Curves = Annotated[
    str | None, opt.metrics("What to measure (ticketctl list curves): line. Default: line.", complete.curves)
]
Twin = Annotated[
    int | None,
    typer.Option("--twins", min=2, max=100, help="Train so many copies of each level under other SGD noise."),
]
Seed = Annotated[int, opt.seed("Of directions, subsets; of a --model's initialisation.")]


@opt.spread
def interpolate(
    nets: Nets = None,
    level: opt.Level = None,
    twins: Twin = None,
    metrics: Curves = None,
    model: opt.Model = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    epochs: opt.Epochs = None,
    scale: opt.Scale = None,
    seed: Seed = 0,
    *,
    at: opt.Site,
) -> None:
    """Interpolate between trained nets, or look at the loss about one.

    Two runs or more, or a ladder's levels: the error along the straight paths between them. With --twins, copies of a
    ticket's level are trained from the same state under other SGD noise, and the barrier between them is measured
    (paper 003: below 2 points the ticket is stable). Landscapes, curved paths and the onset of stability are recipes:
    ticketctl recipes. --epochs and --scale stretch the trainings of an onset.

    Examples:

    ticketctl interpolate lenet-300-100-mnist/imp-1a2b3c4d/seed-0 --level all --twins 3

    ticketctl interpolate RUN_A RUN_B --set interpolate.align=weights

    ticketctl interpolate --level 3 --recipe interpolate/landscape
    """
    from ticketctl.stages.explored import explored
    from ticketctl.stages.named import Asked, check_places, named

    check(at.device)
    asked = explored("interpolate", metrics, tuple(set_ or ()), at.data, recipe)
    found = named(Asked(nets or (), level, model, at.data, seed, at.workspace, asked.sets))
    onsets = onset_wanted(found, asked, level, twins, epochs, scale)
    planned = _twins(found, twins, asked, at.workspace) if twins is not None else None
    pairs = _pairs(found, asked) if planned is None and not onsets else []
    check_places([end for pair in pairs for end in pair.ends] or found, at.data_dir)
    from ticketctl.cli.context import measuring

    with measuring(at) as around:
        if at.dry_run and onsets:
            show_onset_due(onsets, around, at.json)
            return
        from ticketctl.stages.subject import Opener

        opener = Opener(around)
        if planned is not None and planned.remark:
            around.reporter.remark(planned.remark)
        if at.dry_run and planned is not None and planned.left:
            _show_twins_due(found, planned, asked, opener, at.json)
            return
        if planned is not None:
            pairs = _of_twins(found, planned, asked, around)
        if at.dry_run:
            show_due([_due(one, asked, seed, opener) for one in pairs], "curves", "interpolate", at.json)
            return
        reports = [found_onset(one, around) for one in onsets]
        reports += [_measured(one, asked, seed, opener) for one in pairs]
    show_found(reports, at.json)


def _pairs(found: list[Named], asked: Explored) -> list[Between]:
    from ticketctl.recipe_explore import InterpolateRecipe
    from ticketctl.stages.between import between

    assert isinstance(asked.recipe, InterpolateRecipe)
    return between(found, asked.recipe.chosen, asked.recipe.interpolate, asked.sets)


def _twins(found: list[Named], count: int, asked: Explored, workspace: Path) -> Twins:
    """The trainings of a ticket's levels."""
    from ticketctl.stages.between import check_ends, least_ends
    from ticketctl.stages.request import Typed
    from ticketctl.stages.twins import planned_twins

    ticket = found[0].ticket
    if ticket is None:
        raise UsageError(f"--twins: {found[0].label} is no ticket; name the one that it was trained from")
    if any(one.folder != found[0].folder for one in found):
        raise UsageError("--twins: there are several tickets; name one, and its levels")
    if least_ends(asked.recipe.chosen) == 1:
        raise UsageError(
            f"--twins: {', '.join(asked.recipe.chosen)} is measured about one net, and needs no twins"
        )
    if asked.recipe.epoch is not None:
        raise UsageError("--twins: twins are measured at their end; leave interpolate.epoch out")
    check_ends(asked.recipe.chosen, count)
    data = asked.sets.get("data", {}).get("name")
    trusted = [f"model.name={asked.sets['model']['name']}"] if "model" in asked.sets else []
    typed = Typed(data=data, sets=trusted)
    return planned_twins(ticket, [one.level for one in found], count, typed, workspace)


def _of_twins(found: list[Named], planned: Twins, asked: Explored, around: Surroundings) -> list[Between]:
    """Trained now, or found."""
    from ticketctl.stages.between import of_twins
    from ticketctl.stages.interpolate import params_of
    from ticketctl.stages.twins import found_twins, trained_twins

    params_of(asked)  # keys that cannot be are refused before anything is trained
    runs = trained_twins(planned, around) if planned.left else found_twins(planned)
    return [of_twins(one, runs[one.level], asked.sets) for one in found]


def _measured(pair: Between, asked: Explored, seed: int, opener: Opener) -> Found:
    from ticketctl.seeds import Seeds
    from ticketctl.stages.between import alike
    from ticketctl.stages.interpolate import interpolate as measure
    from ticketctl.stages.interpolate import interpolation, parts_there

    one, say = interpolation(pair, asked, Seeds(seed), opener), opener.around.reporter
    for text in alike(pair, [str(end["weights"]) for end in one.nets.said]):
        say.remark(text)
    if len(parts_there(one)) == len(one.curves):
        say.note(f"interpolate {pair.label}: measured before")
    report = measure(one)
    return Found(pair.label, report, pair.subject.folder / report.file_name)


def _due(pair: Between, asked: Explored, seed: int, opener: Opener) -> Due:
    from ticketctl.seeds import Seeds
    from ticketctl.stages.interpolate import interpolation, parts_there, time_of

    def seconds() -> dict[str, float]:
        one = interpolation(pair, asked, Seeds(seed), opener)
        return time_of(one, parts_there(one))

    return Due(pair.label, pair.subject.folder, asked.recipe.chosen, known(seconds), asked.missing)


def _show_twins_due(found: list[Named], planned: Twins, asked: Explored, opener: Opener, json: bool) -> None:
    """The trainings that are left, and the measurement after them."""
    from ticketctl.stages.between import twins_label
    from ticketctl.stages.interpolate import params_of, seconds_of
    from ticketctl.stages.twins import price_of

    params, count, chosen = params_of(asked), planned.count, asked.recipe.chosen
    cost = price_of(planned, opener.around)
    plans = []
    for one in found:
        # mypy cannot infer a lambda with a default
        seconds = known(lambda one=one: seconds_of(opener.open(one), params, count))  # type: ignore[misc]
        plans.append(Due(twins_label(one, count), one.folder, chosen, seconds, asked.missing))
    if not json:
        _show_trainings(planned.chosen, cost)
    beside = {"spend": plan_record(planned.chosen, cost)} if json else {}
    show_due(plans, "curves", "interpolate", json, beside)


def _show_trainings(chosen: Chosen, cost: Price | None) -> None:
    rows = [
        [str(job.found or job.folder), str(job.level), str(job.seed), "there" if job.ready else "to train"]
        for job in chosen.jobs
    ]
    print_table(["run", "level", "seed", ""], rows)
    for text in cost_told(cost) if cost else []:
        print_line(visible(text))
