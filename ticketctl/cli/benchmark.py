"""`ticketctl benchmark`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.console import duration, watching
from ticketctl.cli.devices import check
from ticketctl.cli.output import print_json, print_line, print_table, visible
from ticketctl.cli.signals import Stop
from ticketctl.errors import UsageError

if TYPE_CHECKING:
    from ticketctl.stages.benchmark_cases import Case
    from ticketctl.stages.benchmark_compared import Change
    from ticketctl.stages.benchmark_record import Busy, Net, Record, Spread

Nets = Annotated[
    str | None,
    typer.Option(
        help="What to train (ticketctl list models): resnet20,vgg16. Default: lenet-300-100,resnet20,resnet18.",
        autocompletion=complete.models,
    ),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Images of a step. Default: the papers', 128.")]
Seconds = Annotated[
    float,
    typer.Option(min=1, help="About how long, half the most it takes; nets that take more are left out."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="CPU threads. Default: as many as a training takes here."),
]
Out = Annotated[Path | None, typer.Option(help="Also write the record to this file, for --compare.")]
Compare = Annotated[Path | None, typer.Option(help="Also show ratios to a record of this machine.")]

FIGURES: dict[str, tuple[str, float, str]] = {
    "images_per_second": ("images/s", 1.0, ",.0f"),
    "share_of_peak": ("share of the matmul peak, %", 100.0, ".1f"),
    "share_of_bare": ("share of a bare loop", 1.0, ".2f"),
    "mask_cost": ("mask cost, %", 100.0, ".1f"),
    "loader_us": ("loader, µs/image", 1.0, ".2f"),
    "loader_images_per_second": ("loader, images/s", 1.0, ",.0f"),
    "loader_over_pictures": ("loader over a PIL DataLoader", 1.0, ".1f"),
    "evaluated_per_second": ("evaluated images/s", 1.0, ",.0f"),
    "first_step_seconds": ("first step, s", 1.0, ".2f"),
    "flop_per_second": ("matmul peak, GFLOP/s", 1e-9, ",.0f"),
}
"""Of each key of a record: what it is called, its factor, and how it is written."""
SHOWN = tuple(FIGURES)[:7]
"""Those that have a spread and stand beside their aims."""


def benchmark(
    nets: Nets = None,
    batch: Batch = None,
    threads: Threads = None,
    seconds: Seconds = 50.0,
    out: Out = None,
    compare: Compare = None,
    device: opt.Device = "auto",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Measure this machine: images a second of each net, and by what yardstick.

    Nets are trained as draws and spends train them, on made-up images of their data sets' sizes; nothing is fetched.
    Variants take turns: ratios hold beside other work, absolute figures do not, and the result says how busy the
    machine was. Aims are judged where they are meant: ratios on one CPU thread, images a second on an H100.

    Examples:

    ticketctl benchmark --threads 1 --out before.json

    ticketctl benchmark --threads 1 --compare before.json

    ticketctl benchmark --nets vgg16,wrn-28-10 --seconds 120
    """
    # never called, and so it ends the timing at once
    stop = Stop("stopped; nothing was written").install()
    check(device)
    asked = _asked(nets, batch, threads, seconds, out, compare)
    record = _measured(asked, device, quiet, stop)
    changed = _changes(asked, record)
    if json:
        print_json({**record.as_json(), **({"compared": _as_record(changed)} if asked.old else {})})
        return
    _show(record)
    if asked.old:
        _show_changes(changed)


@dataclass(frozen=True)
class _Asked:
    """What was typed, and can be done."""

    cases: tuple[Case, ...]
    usual: bool
    """Whether neither nets nor batch were named."""
    threads: int
    seconds: float
    out: Path | None
    compare: Path | None
    old: Record | None


def _asked(
    nets: str | None,
    batch: int | None,
    threads: int | None,
    seconds: float,
    out: Path | None,
    compare: Path | None,
) -> _Asked:
    """Refuse what cannot be before torch is loaded, and long before anything is timed."""
    from ticketctl.stages.benchmark_cases import NETS, cases_of
    from ticketctl.stages.benchmark_record import check_target, read_record

    if not math.isfinite(seconds):
        raise UsageError(f"--seconds {seconds}: write a number such as 60")
    names = NETS if nets is None else [name.strip() for name in nets.split(",") if name.strip()]
    cases, old = cases_of(names, batch), None if compare is None else read_record(compare)
    if out is not None:
        check_target(out)
    return _Asked(cases, nets is None and batch is None, threads or 0, seconds, out, compare, old)


def _measured(asked: _Asked, device: str, quiet: bool, stop: Stop) -> Record:
    """The record, written where that was asked for."""
    with watching(quiet) as reporter:
        try:
            from ticketctl.cli.devices import resolve
            from ticketctl.stages import benchmark as stage
            from ticketctl.stages.benchmark_cases import with_large_batch
            from ticketctl.stages.benchmark_compared import check_same
            from ticketctl.stages.benchmark_record import write_record

            chosen = resolve(device)
        finally:
            stop.leave()  # a module that a signal cut short may keep it to itself
        site = stage.site_of(chosen, asked.threads, reporter)
        cases = with_large_batch(asked.cases) if asked.usual and chosen.type == "cuda" else asked.cases
        if asked.old is not None and asked.compare is not None:
            keys = [(case.net, case.batch, site.place.precision) for case in cases]
            check_same(asked.old, stage.machine_of(site), keys, asked.compare)
        record = stage.benchmark(cases, site, asked.seconds)
    if asked.out is not None:
        write_record(asked.out, record)
    return record


def _changes(asked: _Asked, record: Record) -> list[Change]:
    from ticketctl.stages.benchmark_compared import changes

    return [] if asked.old is None else changes(asked.old, record)


# ------------------------------------------------------------------------------------------------------------- shown


def _show(record: Record) -> None:
    machine, peak = record.machine, record.peak
    clock = "processor time" if record.clock == "processor" else "wall-clock time"
    threads = f"{machine.threads} CPU thread{'s' * (machine.threads > 1)}"
    device = f"{machine.device}: {machine.device_name}, {machine.cpu_capability}"
    print_line(visible(f"device  {device}, {threads}"))
    print_line(f"torch   {machine.torch}; figures by {clock}, medians of turns, least and most beside them")
    print_line(
        f"peak    {_figure('flop_per_second', peak.flop_per_second.median)} GFLOP/s, {peak.precision} product of "
        f"{peak.size} x {peak.size} ({_span('flop_per_second', peak.flop_per_second)}){_sign(peak.flop_per_second)}"
    )
    print_line(f"load    {load_told(record.load)}")
    print_line("")
    _show_speeds(record)
    print_line("")
    _show_ratios(record)


def load_told(load: Busy) -> str:
    """How busy it was, and what that means for the figures."""
    told = [{True: "busy", False: "quiet", None: "not known whether others were at work"}[load.busy]]
    if load.foreign_cores is not None:
        told.append(f"others took {load.foreign_cores:.2f} of {load.cores} cores")
    told.append(f"all turns took {load.slower:.2f} times the fastest")
    if load.gpu_memory_of_others:
        told.append(f"{load.gpu_memory_of_others / 1e9:.1f} GB of the GPU were taken before")
    if load.busy:
        told.append("ratios can be trusted as far as they agree, absolute figures cannot")
    return "; ".join(told)


def _show_speeds(record: Record) -> None:
    nets = record.nets
    heads = ["net", "batch", "precision", "images/s", "least", "most", "ms/step", "first step s", "epoch s"]
    rows = [
        [
            net.net, f"{net.batch}", net.precision,
            *_written("images_per_second", net.images_per_second),
            f"{net.ms_per_step.median:,.2f}", _figure("first_step_seconds", net.first_step_seconds),
            f"{net.epoch_seconds:,.1f}", _ladder(net), f"{net.rounds}",
        ]
        for net in nets
    ]  # fmt: skip
    print_table([*heads, "IMP 20 x 160", "turns"], rows)
    for one in record.left_out:
        print_line(one.told)
    graphs = [net.net for net in nets if net.graph is False]
    if graphs:
        print_line(f"without a CUDA graph: {', '.join(dict.fromkeys(graphs))}")
    print_line(
        "epoch: all images of the data set and one evaluation; IMP: the dense net and 20 rounds of 160 such epochs"
    )


def _ladder(net: Net) -> str:
    alone, busy = long(net.imp_seconds), long(net.imp_seconds_as_busy)
    told = alone if alone == busy else f"{alone} to {busy}"
    return told + _sign(net.images_per_second)


def long(seconds: float) -> str:
    """`40 s`, `57 min`, `9.5 h`, `38 days`: two digits or three, as an estimate has them.

    >>> long(40), long(3400), long(34_000), long(3_300_000)
    ('40 s', '57 min', '9.4 h', '38 days')
    """
    hours = seconds / 3600
    if hours < 2:
        return duration(seconds)
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _show_ratios(record: Record) -> None:
    rows = []
    for net in record.nets:
        title = f"{net.net}, {net.batch}"
        for key in SHOWN:
            figure = getattr(net, key)
            aims = [one for one in record.aims if (one.net, one.batch, one.figure) == (*net.key[:2], key)]
            if figure is None or (key == "images_per_second" and not aims):
                continue
            beside = [(f"{one.mark}: {one.aim}", one.verdict) for one in aims] or [("", "")]
            rows += [[title, FIGURES[key][0], *beside[0], *_written(key, figure)]]
    print_table(["net", "what", "aim", "", "measured", "least", "most"], rows, left=4)
    if any(figure.unsure for net in record.nets for _, figure in net if hasattr(figure, "unsure")):
        print_line("?: unsure, and not judged: the most is over 1.5 times the least, or there was one round")
    print_line(_on_aims(record))


def _on_aims(record: Record) -> str:
    if not record.aims:
        return "no aims are set for this device, or for these nets"
    if any(one.verdict == "for one thread" for one in record.aims):
        return "aims are for one CPU thread: ticketctl benchmark --threads 1 is held against them"
    return "aims: docs/how-to/benchmark-a-machine.md"


def _show_changes(changed: list[Change]) -> None:
    print_line("")
    rows = [
        [
            f"{one.net}, {one.batch}", FIGURES[one.figure][0], _figure(one.figure, one.then),
            _figure(one.figure, one.now), f"{one.ratio:.3f}",
        ]
        for one in changed
    ]  # fmt: skip
    print_table(["net", "what", "then", "now", "now / then"], rows, left=2)


def _as_record(changed: list[Change]) -> list[dict[str, Any]]:
    return [{**vars(one), "ratio": one.ratio} for one in changed]


def _figure(key: str, value: float) -> str:
    _, factor, form = FIGURES[key]
    return format(value * factor, form)


def _span(key: str, figure: Spread) -> str:
    return f"{_figure(key, figure.least)} to {_figure(key, figure.most)}"


def _written(key: str, figure: Spread) -> tuple[str, str, str]:
    """Median, with a sign where it is unsure, least and most."""
    return _figure(key, figure.median) + _sign(figure), _figure(key, figure.least), _figure(key, figure.most)


def _sign(figure: Spread) -> str:
    return " ?" if figure.unsure else ""
