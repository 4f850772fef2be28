"""`ticketctl transfer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.devices import check
from ticketctl.cli.explored import Due, Found, show_due, show_found
from ticketctl.cli.output import note, print_line
from ticketctl.errors import DivergedError, OfflineError, UsageError

if TYPE_CHECKING:
    from ticketctl.stages.explored import Explored
    from ticketctl.stages.subject import Opener
    from ticketctl.stages.transfer import Errand, Transfer
    from ticketctl.stages.transfer_fit import Tuning
    from ticketctl.stages.transfer_target import Target


Nets = Annotated[
    list[str] | None,
    opt.nets(
        "A run, which is trained, or a ticket, which is not; or several. Default: newest ticket.",
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="DATA", help="The data set to transfer to (ticketctl list data), with its path if it has one.",
        autocompletion=complete.data,
    ),
]  # fmt: skip
Keep = Annotated[
    str | None,
    typer.Option(
        "--keep", metavar="mask|mask+init",
        help="Train all weights under the mask, from new ones, or from the net's own. Default: the head alone.",
    ),
]  # fmt: skip
Controls = Annotated[
    bool,
    typer.Option(
        "--controls", help="Also the draw's trained dense net, and a dense net trained on the target."
    ),
]
Seed = Annotated[int, opt.seed("Of heads, splits, subsets; of what is initialised and trained.")]


@opt.spread
def transfer(
    nets: Nets = None,
    to: To = None,
    level: opt.Level = None,
    keep: Keep = None,
    controls: Controls = False,
    model: opt.Model = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    seed: Seed = 0,
    *,
    at: opt.Site,
) -> None:
    """Transfer a net to another data set: a new head on its frozen features, or all of it trained under its mask.

    The images are brought to the form that the net takes (resized, grey or in colour) and normalised by their own
    statistics. Frozen, the output layer alone is new (paper 003, section 5.1); its accuracy says how general the
    features are that a draw has found. With --keep all weights are trained, and the result is a run like any other.

    Examples:

    ticketctl transfer resnet18-cifar10/imp-1a2b3c4d/seed-0/levels/10 --to mnist --controls

    ticketctl transfer --level all --set transfer.of=trained --to cifar100

    ticketctl transfer --to eurosat --keep mask --set train.epochs=20
    """
    from ticketctl.recipe_explore import TransferRecipe
    from ticketctl.seeds import Seeds
    from ticketctl.stages.explored import explored
    from ticketctl.stages.named import Asked, check_places, named
    from ticketctl.stages.transfer import errands

    check(at.device)
    if not to:
        raise UsageError("--to is missing: the data set to transfer to, as --to mnist (ticketctl list data)")
    asked = explored("transfer", None, _sets(set_ or (), keep), at.data, recipe)
    assert isinstance(asked.recipe, TransferRecipe)
    found = named(Asked(nets or (), level, model, at.data, seed, at.workspace, asked.sets))
    todo = errands(found, asked.recipe.transfer, controls, asked.sets)
    check_places([one.net for one in todo], at.data_dir)
    from ticketctl.cli.context import measuring

    with measuring(at) as around:
        from ticketctl.stages.subject import Opener
        from ticketctl.stages.transfer_target import Target

        target, opener = Target(to, asked.recipe, Seeds(seed), around), Opener(around)
        if at.dry_run:
            show_due([_due(one, asked, target, opener) for one in todo], "metrics", "transfer", at.json)
            return
        _say_untrained(todo, at.quiet)
        trained = sum(one.retrained or asked.recipe.transfer.train == "all" for one in todo)
        if trained:
            around.reporter.job(f"transfer: {trained} training{'' if trained == 1 else 's'}", trained)
        reports = [_transferred(one, asked, target, opener) for one in todo]
    failure = None
    if all(row.status == "nan" for one in reports for row in one.report.metrics):
        failure = DivergedError("no training on the target stayed finite; try a lower --set train.lr=…")
    if not at.json:
        _say_target(reports)
    show_found(reports, at.json, failure)
    if failure:
        note(f"ticketctl: {failure}")
        raise typer.Exit(failure.exit_code)


def _sets(typed: Sequence[str], keep: str | None) -> list[str]:
    """What was typed as keys of the recipe: what is taken of a net is a question where all of it is trained."""
    if keep not in (None, "mask", "mask+init"):
        raise UsageError(f"--keep: must be 'mask+init' or 'mask', not {keep!r}")
    return [*typed] if keep is None else ["transfer.train=all", *typed, f"transfer.keep={keep}"]


def _say_untrained(todo: list[Errand], quiet: bool) -> None:
    if any(one.net.ticket is not None for one in todo):
        note(
            "a ticket is taken untrained, as it starts; --set transfer.of=trained takes what its draw trained",
            quiet,
        )


def _say_target(reports: list[Found]) -> None:
    """What the target's images were, once for nets that were shown the same."""
    lines = []
    for one in reports:
        found = one.beside["target"]
        channels, height, width = found["form"]
        sets = (
            f"{found['train']} images to train on, {found['validation']} to choose by, {found['test']} test"
        )
        form = f"{height} x {width}, {'grey' if channels == 1 else 'colour'}"
        lines.append(f"{found['name']}: {found['classes']} classes; {sets}; {form}")
    for line in dict.fromkeys(lines):
        print_line(line)


def _label(one: Errand, target: Target) -> str:
    return f"{one.net.label}, {'retrained on' if one.retrained else 'to'} {target.base_name}"


def _work(one: Errand, asked: Explored, target: Target, opener: Opener) -> Transfer | Tuning:
    from ticketctl.stages.transfer import frozen, opened
    from ticketctl.stages.transfer_fit import tuning

    spec, subject = target.recipe.transfer, opened(one, opener)
    if one.retrained:
        return tuning(subject, target, keep="form")
    return frozen(subject, target, asked) if spec.train == "head" else tuning(subject, target, keep=spec.keep)


def _transferred(one: Errand, asked: Explored, target: Target, opener: Opener) -> Found:
    from ticketctl.stages.audit import audit
    from ticketctl.stages.transfer_fit import Tuning, reported, tuned

    work = _work(one, asked, target, opener)
    if isinstance(work, Tuning):
        run = tuned(work)
        report, folder = reported(work, run, asked.sets), run.folder
    else:
        report, folder = audit(work), one.net.folder
    return Found(_label(one, target), report, folder / report.file_name, {"target": report.recipe["target"]})


def _due(one: Errand, asked: Explored, target: Target, opener: Opener) -> Due:
    from ticketctl.stages.audit import parts_there, time_of
    from ticketctl.stages.transfer_fit import Tuning, price_of

    label, chosen = _label(one, target), asked.recipe.chosen
    try:
        work = _work(one, asked, target, opener)
    except OfflineError as error:
        return Due(label, one.net.folder, chosen, f"a dry run fetches nothing: {error}", asked.missing)
    if not isinstance(work, Tuning):
        return Due(label, one.net.folder, chosen, time_of(work, parts_there(work)), asked.missing)
    cost = price_of(work)
    seconds = {"transfer": cost.seconds or 0.0} if cost else {}
    return Due(label, work.folder, chosen, seconds, {}, cost)
