"""`ticketctl spend`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import tickets, tweak_sets
from ticketctl.cli.devices import check
from ticketctl.cli.output import note, percent, print_failure, print_json, print_line, print_table, visible
from ticketctl.cli.quote import priced, show_plan
from ticketctl.cli.ranks import device_of, is_rank, sharing, start, timed_alone, words_of
from ticketctl.cli.signals import Stop
from ticketctl.cli.small import show_small, train_small
from ticketctl.errors import DivergedError

if TYPE_CHECKING:
    from ticketctl.stages.ranges import Ranges, Representatives, Unlearned
    from ticketctl.stages.spent import Row, Spent
    from ticketctl.stages.wallet import Chosen

BESIDE = {"--dry-run", "--json", "--quiet", "-q"}
"""Options that do not change what is spent."""

Tweaks = Annotated[
    list[str] | None,
    typer.Option(
        "--tweaks",
        help="What to change (ticketctl list tweaks): skip,swish,ls; at, trt, at+trt. Repeat for several sets.",
        autocompletion=tweak_sets,
    ),
]
Ticket = Annotated[
    str | None,
    typer.Argument(
        help="Path, id prefix or name; NAME@12 a level, NAME@0.97 a sparsity. Default: newest.",
        autocompletion=tickets,
    ),
]


@opt.spread
def spend(
    ticket: Ticket = None,
    level: opt.Level = None,
    tweaks: Tweaks = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    epochs: opt.Epochs = None,
    scale: opt.Scale = None,
    seed: opt.Seeds = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also spend the draw's control tickets.")
    ] = False,
    device: opt.Device = "auto",
    devices: opt.Devices = 1,
    deterministic: opt.Deterministic = False,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    data: opt.Data = None,
    *,
    how: opt.Manner,
) -> None:
    """Spend a ticket: train its levels under a recipe, beside the dense net.

    The recipe is the draw's own, with what --recipe and --set change. A run that is there already is not trained
    again; under the draw's own recipe and seed that is the level the draw trained.

    --tweaks changes the training, its mask untouched; the same ticket without tweaks is trained beside it, and the
    table has the difference, paired by seed. --set spend.attribution=true adds the dense net with each set, and each
    tweak of a set of several alone.

    Examples:

    ticketctl spend

    ticketctl spend --level all --seed 0-2 --controls

    ticketctl spend resnet20-cifar10/imp-1a2b3c4d/seed-0@0.89 --set train.batch=256

    ticketctl spend --tweaks skip,swish,ls --seed 0-2 --set spend.attribution=true

    ticketctl spend --tweaks sam --tweaks ls,ema --set tweaks.sam.rho=0.1
    """
    from ticketctl.stages.by_devices import check_spent, drawn_alike
    from ticketctl.stages.identity import check_ticket_data, drawn_on
    from ticketctl.stages.named import check_known
    from ticketctl.stages.repeat import spend_line
    from ticketctl.stages.request import Typed
    from ticketctl.stages.unfinished import remembering
    from ticketctl.stages.wallet import Wanted, prepare_spend

    argv = tuple(word for word in sys.argv[1:] if word not in BESIDE)
    scaling = opt.scale_of(scale, epochs)
    wanted = Wanted(
        ticket=ticket,
        levels=level,
        seeds=opt.seeds_of(seed),
        controls=controls,
        workspace=workspace,
        typed=Typed(
            data=data,
            recipe=recipe,
            sets=set_ or (),
            epochs=epochs,
            scale=scaling,
            deterministic=deterministic,
        ),
        tweaks=tuple(tweaks or ()),
        argv=argv,
    )
    check(device)
    chosen = prepare_spend(wanted)
    folder, spec = chosen.ticket.folder, chosen.recipe.data
    jobs, again = drawn_alike(drawn_on(chosen.jobs, spec, how.data_dir), devices)
    chosen = replace(chosen, jobs=jobs)
    check_known(f"{folder} is to be trained on", spec.name, how.data_dir)
    check_ticket_data(chosen.ticket, spec, how.data_dir)
    at = how.at(device, workspace, data)
    if devices > 1 and not how.dry_run and not is_rank(devices):
        raise typer.Exit(start(devices, device))
    words = [*opt.where(at, controls=controls), *words_of(devices)]
    line = spend_line(
        folder, chosen.levels, chosen.seeds, chosen.given, chosen.recipe, words, chosen.typed_sets
    )
    for text in [*chosen.notes, *again, f"repeat with: {line}"]:
        note(text, how.quiet)
    if how.dry_run:
        check_spent(jobs, devices)
        _show_plan(chosen, at, devices)
        return
    from ticketctl.cli.context import training

    stop = Stop().install()
    with sharing(devices, device, stop) as ranks, training(at, stop, ranks) as around:
        from ticketctl.stages.spend import spend
        from ticketctl.stages.spent import as_record, ladder_under_noise, table

        follows = ranks is not None and not ranks.leads
        with nullcontext() if ticket or follows else remembering(workspace, argv, folder):
            spent = list(spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around))
            rows, small = table(spent), train_small(chosen, workspace, around)
    failure = (
        None if any(row.n for row in rows) else DivergedError("no run stayed finite; try a lower train.lr")
    )
    if how.json:
        records = [as_record(row) for row in rows]
        print_failure(records, failure) if failure else print_json(records)
    else:
        show(rows)
        show_noise(rows, ladder_under_noise(spent))
        show_places(spent)
        show_small(small)
    if failure:
        note(f"ticketctl: {failure}")
        raise typer.Exit(failure.exit_code)


def _show_plan(chosen: Chosen, at: opt.Site, devices: int) -> None:
    """What a dry run says; of several devices that the time is the least that they take."""
    if devices == 1 or all(job.ready for job in chosen.jobs):
        show_plan(chosen, priced(chosen, at.device, at.data_dir, at.quiet, at.workspace), at.json)
        return
    from ticketctl.cli.context import measuring

    device_of(at.device, devices, 0)  # refused as it would be
    with measuring(at) as around:
        from ticketctl.stages.price import price

        cost = price(chosen.jobs, chosen.recipe, chosen.draw_seeds, around, devices)
    show_plan(chosen, cost, at.json)
    if cost.seconds is not None and not at.json:
        print_line(timed_alone(devices))


def show(rows: Sequence[Row]) -> None:
    """The table of a spend."""
    tweaked = any(row.tweaks for row in rows)
    columns = ["level", "density %", "n", "val %", "test %", "± sd", "vs dense", "winning"]
    columns = ["net", "tweaks", *columns, "vs none"] if tweaked else ["net", *columns]
    print_table(columns, [_cells(row, tweaked) for row in rows], left=1 + tweaked)
    if any(row.winning for row in rows):
        print_line("winning: 003 = not below dense; 004 = at most one point below dense (mean test accuracy)")
        if min(row.n for row in rows) < 2:
            print_line("one seed shows a direction, no more: --seed 0-2 gives a mean and a deviation")
    if any(row.gain and row.gain.n > 1 for row in rows):
        print_line("vs none: mean difference paired by seed, with its 95 % interval (Student's t)")
    for names, added in dict.fromkeys((row.tweaks, row.added) for row in rows if row.added):
        print_line(f"{','.join(names)}: {added:,} weights more than the net has, none of them masked")


def show_places(spent: Sequence[Spent]) -> None:
    """Where the runs lie, and of which tweaks they are where there are any."""
    places = sorted({(str(one.run.folder.parent), ",".join(one.job.tweaks)) for one in spent})
    tweaked = any(tweaks for _, tweaks in places)
    for folder, tweaks in places:
        of = f" ({tweaks or 'no tweaks'})" if tweaked else ""
        print_line(visible(f"runs in {folder}{of}"))


def show_noise(rows: Sequence[Row], ladder: tuple[Ranges, Representatives] | Unlearned | None) -> None:
    """What was memorised and what learned, where labels are wrong on purpose; and how far that goes over a ladder."""
    names = ["train.eval", "permuted", "restored", "unpermuted", "oracle.test"]
    if not any(f"{name}.accuracy" in row.values for row in rows for name in names):
        return
    print_line("")
    tweaked = any(row.tweaks for row in rows)
    cells = [
        [*_which(row, tweaked), *(percent(row.values.get(f"{name}.accuracy")) for name in names)]
        for row in rows
    ]
    columns = ["net", *(["tweaks"] * tweaked), "level", *(f"{name} %" for name in names)]
    print_table(columns, cells, left=1 + tweaked)
    print_line(
        "oracle.test is the best of any epoch, chosen on the test images: no result, only what stopping could gain"
    )
    if ladder is not None:
        _show_ladder(ladder)


def _show_ladder(ladder: tuple[Ranges, Representatives] | Unlearned) -> None:
    from ticketctl.stages.ranges import LEARNED, Unlearned

    def span(levels: Sequence[Any]) -> str:
        ends = list(dict.fromkeys(f"{100 * float(level):.2f}" for level in (*levels[:1], *levels[-1:])))
        return f"{' to '.join(ends)} %" if ends else "none"

    def one(level: Any) -> str:
        return "none" if level is None else f"{100 * float(level):.2f} %"

    if isinstance(ladder, Unlearned):
        drawn = "" if ladder.drawn is None else f"; {one(ladder.drawn)} of those drawn"
        print_line(
            f"the dense net has not learned its labels (train accuracy {one(ladder.train)} of the given labels{drawn}, "
            f"{100 * float(LEARNED):g} % are wanted): no ranges"
        )
        return
    found, nets = ladder
    print_line(
        f"pruning efficacy (sparsity up to which labels are learned as by the dense net): {one(found.efficacy)}"
    )
    parts = ("trivial", "critical", "high", "extreme")
    print_line("ranges of sparsity: " + ", ".join(f"{name} {span(getattr(found, name))}" for name in parts))
    print_line(
        f"overfitting (lowest test accuracy on the way) at {one(nets.overfitting)}, sweet spots (highest) at "
        f"{one(nets.sweet_best)} by the best epoch and {one(nets.sweet_last)} by the last, underfitting (after them, "
        f"first below dense by both) at {one(nets.underfitting)}"
    )


def _cells(row: Row, tweaked: bool) -> list[str]:
    deviation = row.values.get("test.accuracy.std")
    gap = "" if row.gap is None else f"{100 * row.gap:+.2f}"
    winning = " ".join(rule for rule, wins in row.winning.items() if wins)
    count = f"{row.n}" + (f" ({row.diverged} diverged)" if row.diverged else "")
    return [
        *_which(row, tweaked),
        f"{100 * row.kept / row.prunable:.2f}",
        count,
        percent(row.values.get("val.accuracy")),
        percent(row.values.get("test.accuracy")),
        "" if deviation is None else f"{100 * deviation:.2f}",
        gap,
        winning,
        *([_gain(row)] if tweaked else []),
    ]


def _which(row: Row, tweaked: bool) -> list[str]:
    return [row.kind, *([",".join(row.tweaks) or "none"] if tweaked else []), str(row.level)]


def _gain(row: Row) -> str:
    if row.gain is None:
        return ""
    width = "" if row.gain.half_width is None else f" ± {100 * row.gain.half_width:.2f}"
    return f"{100 * row.gain.mean:+.2f}{' all equal' if row.gain.equal else width}"
