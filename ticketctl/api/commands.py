"""Draw, spend, audit and export, as the commands do them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from ticketctl.api import given
from ticketctl.api.tickets import WORKSPACE
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.workspace import resolve, resolve_run, run_place
from ticketctl.cli.devices import resolve as device_of
from ticketctl.data.load import default_cache
from ticketctl.errors import UsageError
from ticketctl.progress import Reporter, Silent
from ticketctl.stages.hub_names import local
from ticketctl.stages.setting import Surroundings


def draw(
    *,
    method: str | None = None,
    model: str | None = None,
    data: str | None = None,
    seed: int = 0,
    recipe: str | None = None,
    rounds: int | None = None,
    density: float | Fraction | None = None,
    rewind: str | None = None,
    epochs: int | None = None,
    controls: bool = False,
    keys: Mapping[str, Any] | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    offline: bool = False,
    out: str | Path | None = None,
    workspace: str | Path = WORKSPACE,
    reporter: Reporter | None = None,
) -> Ticket:
    """Draw a ticket, as `ticketctl draw` does; one that is there is returned at once, one half drawn is finished.

    Args:
        method: a name of `ticketctl list methods`; None, here and below: what the command takes.
        model: a name of `ticketctl list models`.
        data: a name of `ticketctl list data`.
        seed: the root seed.
        recipe: a shipped recipe, or a TOML file.
        rounds: rounds of pruning.
        density: share of the prunable weights that is kept in the end, in (0, 1].
        rewind: where the start is taken, as `500it` or `2ep`.
        epochs: of each training.
        controls: also make the control tickets.
        keys: other keys of the recipe, as `{"train.lr": 0.05}`; a ticket in them may be `hf://org/name`.
        device: auto, cpu, cuda, cuda:N.
        data_dir: where data sets lie.
        offline: fetch nothing.
        out: folder of the draw; None: below `workspace`, by its name.
        workspace: where tickets and runs are kept.
        reporter: told of the progress, as `ticketctl.Lines()` is; None: nobody is.

    Raises:
        TicketctlError: as the command's exit codes say.
    """
    from ticketctl.stages.draw import draw as run
    from ticketctl.stages.places import with_ids
    from ticketctl.stages.repeat import draw_line
    from ticketctl.stages.request import Typed, draw_recipe, run_folder

    root = Path(workspace)
    pull = given.puller(root, offline, reporter)
    typed = Typed(
        model=model,
        data=data,
        method=method,
        recipe=recipe,
        sets=given.sets(keys, pull),
        rounds=rounds,
        density=given.density(density),
        rewind=rewind,
        epochs=given.epochs(epochs),
        controls=controls,
    )
    given.seeds([seed])
    settled = with_ids(draw_recipe(typed).recipe, root)
    folder = run_folder(settled, seed, Path(out) if out else None, root)
    argv = shlex.split(draw_line(typed, settled, [seed], ()))[1:]
    return run(settled, seed, folder, _around(device, data_dir, offline, argv, workspace, reporter))


def spend(
    ticket: Ticket | str | Path | None = None,
    *,
    level: int | str | None = None,
    tweaks: str | Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    keys: Mapping[str, Any] | None = None,
    data: str | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    offline: bool = False,
    workspace: str | Path = WORKSPACE,
    reporter: Reporter | None = None,
) -> list[Run]:
    """Train levels of a ticket beside the dense net, as `ticketctl spend` does; what is there is not trained again.

    Args:
        ticket: it, or its name, `hf://org/name` too; None: the newest.
        level: a level, or levels as the command takes them (`all`, `0,2,4`); None: the deepest.
        tweaks: sets of tweaks, each as `skip,swish,ls`.
        seeds: of the trainings; None: the draw's.
        recipe: another recipe than the draw's.
        epochs: of each training.
        keys: other keys of the recipe.
        data: another data set than the draw's.
        device: auto, cpu, cuda, cuda:N.
        data_dir: where data sets lie.
        offline: fetch nothing.
        workspace: where tickets and runs are kept.
        reporter: told of the progress, as `ticketctl.Lines()` is; None: nobody is.

    Raises:
        TicketctlError: as the command's exit codes say.
    """
    from ticketctl.stages.repeat import spend_line
    from ticketctl.stages.request import Typed
    from ticketctl.stages.spend import spend as run
    from ticketctl.stages.wallet import Wanted, prepare_spend

    root = Path(workspace)
    pull = given.puller(root, offline, reporter)
    name = str(ticket.folder) if isinstance(ticket, Ticket) else ticket
    wanted = Wanted(
        ticket=None if name is None else local(str(name), pull),
        levels=None if level is None else str(level),
        seeds=None if seeds is None else given.seeds(seeds),
        controls=False,
        workspace=root,
        typed=Typed(
            data=data,
            recipe=recipe,
            sets=given.sets(keys, pull),
            epochs=given.epochs(epochs),
        ),
        tweaks=(tweaks,) if isinstance(tweaks, str) else tuple(tweaks),
    )
    chosen = prepare_spend(wanted)
    line = spend_line(
        chosen.ticket.folder, chosen.levels, chosen.seeds, chosen.given, chosen.recipe, (), chosen.typed_sets
    )
    around = _around(device, data_dir, offline, shlex.split(line)[1:], workspace, reporter)
    return [one.run for one in run(chosen.jobs, chosen.recipe, chosen.draw_seeds, around)]


def audit(
    run: Run | str | Path,
    *,
    metrics: Sequence[str] | None = None,
    recipe: str | None = None,
    keys: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    data_dir: str | Path | None = None,
    offline: bool = False,
    workspace: str | Path = WORKSPACE,
    reporter: Reporter | None = None,
) -> Report:
    """Measure a trained net, as `ticketctl audit` does; what was measured before is not measured again.

    Args:
        run: it, or its name, `hf://org/name` too.
        metrics: names of `ticketctl list metrics`; None: all.
        recipe: `audit/quick`, `audit/full`, or a TOML file; None: the command's own.
        keys: other keys of the recipe.
        seed: of subsets, noise, corruptions, attacks, resamplings.
        device: auto, cpu, cuda, cuda:N.
        data_dir: where data sets lie.
        offline: fetch nothing.
        workspace: where tickets and runs are kept.
        reporter: told of the progress, as `ticketctl.Lines()` is; None: nobody is.

    Raises:
        TicketctlError: as the command's exit codes say.
    """
    from ticketctl.seeds import Seeds
    from ticketctl.stages.audit import Audit
    from ticketctl.stages.audit import audit as measure
    from ticketctl.stages.examined import wanted
    from ticketctl.stages.shown import shown
    from ticketctl.stages.subject import subject_of

    root = Path(workspace)
    pull = given.puller(root, offline, reporter)
    typed = given.sets(keys, pull)
    asked = wanted(",".join(metrics) if metrics else None, typed, None, recipe)
    around = _around(device, data_dir, offline, ["audit"], workspace, reporter)
    named = local(str(run), pull) if isinstance(run, str | Path) else run
    meant, seeds = given.trained(named, root), Seeds(given.seeds([seed])[0])
    subject = subject_of(meant, asked.sets, around)
    return measure(
        Audit(subject, asked, shown(subject, asked.recipe.audit, seeds, around, None, asked.needs), seeds)
    )


def export(
    ticket: Ticket | Run | str | Path | None,
    form: str,
    out: str | Path,
    *,
    level: int | None = None,
    weights: Run | str | Path | None = None,
    offline: bool = False,
    workspace: str | Path = WORKSPACE,
) -> Path:
    """Write a ticket as other programs read it, as `ticketctl export` does; the file.

    Args:
        ticket: it, with the weights that it starts from; a run, with its trained ones; or the name of either, on the
            Hub too.
        form: torch-prune, open-lth, zeros, coo, npz, 2:4, onnx or onnx-sparse.
        out: the file; another one that lies there stays, and is an error.
        level: of the ticket's ladder; None: its own.
        weights: a run of this ticket, whose trained weights are taken.
        offline: of names on the Hub, take what is here.
        workspace: where tickets and runs are kept.

    Raises:
        TicketctlError: as the command's exit codes say.
    """
    from ticketctl.stages.export import export as write

    root = Path(workspace)
    pull = given.puller(root, offline, None)
    of = ticket if isinstance(ticket, Ticket | Run) else None
    name = local(str(ticket), pull) if isinstance(ticket, str | Path) else None
    if name is not None and run_place(name, root) is not None:
        of = resolve_run(name, root)
    if of is None:
        of, at = resolve(name, root)
        if at is not None and level is not None:
            raise UsageError(f"{ticket} says a level, and so does level={level}; give one of them")
        level = at if level is None else level
    if isinstance(weights, str | Path):
        weights = resolve_run(local(str(weights), pull), root)
    around = _around("cpu", None, True, ["export"], workspace, None)
    return write(of, form, Path(out), around, level, weights).files[0]


def _around(
    device: str,
    data_dir: str | Path | None,
    offline: bool,
    argv: Sequence[str],
    workspace: str | Path,
    reporter: Reporter | None,
) -> Surroundings:
    return Surroundings(
        device_of(device),
        default_cache(),
        reporter or Silent(),
        lambda: None,
        Path(data_dir) if data_dir else None,
        offline,
        tuple(argv),
        Path(workspace),
    )
