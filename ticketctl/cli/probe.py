"""`ticketctl probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.devices import check
from ticketctl.cli.explored import Due, Found, known, show_due, show_found

if TYPE_CHECKING:
    from ticketctl.stages.audit import Audit
    from ticketctl.stages.explored import Explored
    from ticketctl.stages.named import Named
    from ticketctl.stages.subject import Opener

Nets = Annotated[
    list[str] | None,
    opt.nets(
        "A ticket, which is probed untrained, or a run, which is trained; or several. Default: newest ticket.",
    ),
]
Metrics = Annotated[
    str | None,
    opt.metrics(
        "What to measure (ticketctl list metrics): linear-probe,forgetting. Default: all of a probe's."
    ),
]
Controls = Annotated[
    bool,
    typer.Option(
        "--controls",
        help="Also the permuted mask, the dense net at its initialisation, and the trained dense net.",
    ),
]
Seed = Annotated[int, opt.seed("Of heads, subsets; of a --model's initialisation.")]


@opt.spread
def probe(
    nets: Nets = None,
    level: opt.Level = None,
    metrics: Metrics = None,
    controls: Controls = False,
    model: opt.Model = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    seed: Seed = 0,
    *,
    at: opt.Site,
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
    from ticketctl.stages.named import Asked, at_epoch, check_places, named, with_controls

    check(at.device)
    asked = explored("probe", metrics, tuple(set_ or ()), at.data, recipe)
    found = named(Asked(nets or (), level, model, at.data, seed, at.workspace, asked.sets))
    found = with_controls(found, asked.sets) if controls else found
    found = [at_epoch(one, asked.recipe.epoch) for one in found]
    check_places(found, at.data_dir)
    from ticketctl.cli.context import measuring

    with measuring(at) as around:
        from ticketctl.stages.subject import Opener

        opener = Opener(around)
        if at.dry_run:
            show_due([_due(one, asked, seed, opener) for one in found], "metrics", "probe", at.json)
            return
        reports = [_probed(one, asked, seed, opener) for one in found]
    show_found(reports, at.json)


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
