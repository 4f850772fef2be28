"""`ticketctl probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.complete import metrics as complete_metrics
from ticketctl.cli.complete import tickets as complete_tickets
from ticketctl.cli.devices import check
from ticketctl.cli.explored import Due, Found, known, one_seed, show_due, show_found
from ticketctl.cli.spend import Level

if TYPE_CHECKING:
    from ticketctl.stages.audit import Audit
    from ticketctl.stages.explored import Explored
    from ticketctl.stages.named import Named
    from ticketctl.stages.subject import Opener

Nets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NET",
        help="A ticket, which is probed untrained, or a run, which is trained; or several. Default: newest ticket.",
        autocompletion=complete_tickets,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="What to measure (ticketctl list metrics): linear-probe,forgetting. Default: all of a probe's.",
        autocompletion=complete_metrics,
    ),
]
Controls = Annotated[
    bool,
    typer.Option(
        "--controls",
        help="Also the permuted mask, the dense net at its initialisation, and the trained dense net.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(parser=one_seed, metavar="<int>", help="Of heads, subsets; of a --model's initialisation."),
]


def probe(
    nets: Nets = None,
    level: Level = None,
    metrics: Metrics = None,
    controls: Controls = False,
    model: opt.Model = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    seed: Seed = 0,
    device: opt.Device = "auto",
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    offline: opt.Offline = False,
    dry_run: opt.DryRun = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Probe a net: what its layers know, and what its training remembered and forgot.

    A ticket is probed as it is before training, at its rewind point: a linear probe after every block says which
    features the mask alone has selected (paper 003). A run is probed trained; where its training kept weights
    (keep.epochs), also how its mask came to be (paper 000).

    Examples:

    ticketctl probe lenet-300-100-mnist/imp-1a2b3c4d/seed-0 --level all

    ticketctl probe --controls --metrics linear-probe

    ticketctl probe --model resnet18 --data cifar10
    """
    from ticketctl.stages.explored import explored
    from ticketctl.stages.named import Asked, check_places, named, with_controls

    check(device)
    asked = explored("probe", metrics, tuple(set_ or ()), data, recipe)
    found = named(Asked(nets or (), level, model, data, seed, workspace, asked.sets))
    found = with_controls(found, asked.sets) if controls else found
    check_places(found, data_dir)
    from ticketctl.cli.context import surroundings

    with surroundings(device, data_dir, offline or dry_run, quiet, None, workspace) as around:
        from ticketctl.stages.subject import Opener

        opener = Opener(around)
        if dry_run:
            show_due([_due(one, asked, seed, opener) for one in found], "metrics", "probe", json)
            return
        reports = [_probed(one, asked, seed, opener) for one in found]
    show_found(reports, json)


def _asked(one: Named, asked: Explored, seed: int, opener: Opener) -> Audit:
    from ticketctl.seeds import Seeds
    from ticketctl.stages.probe import asked_of, fitting

    return asked_of(opener.open(one), fitting(asked, one.run is not None), Seeds(seed), opener.around)


def _probed(one: Named, asked: Explored, seed: int, opener: Opener) -> Found:
    from ticketctl.stages.audit import audit

    report = audit(_asked(one, asked, seed, opener))
    return Found(one.label, report, one.folder / report.file_name)


def _due(one: Named, asked: Explored, seed: int, opener: Opener) -> Due:
    from ticketctl.stages.audit import parts_there, time_of
    from ticketctl.stages.probe import fitting

    def seconds() -> dict[str, float]:
        found = _asked(one, asked, seed, opener)
        return time_of(found, parts_there(found))

    chosen = fitting(asked, one.run is not None).recipe.chosen
    return Due(one.label, one.folder, chosen, known(seconds), asked.missing)
