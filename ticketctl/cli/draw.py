"""`ticketctl draw`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.devices import check
from ticketctl.cli.inspect import noted
from ticketctl.cli.output import note, percent, print_json, print_line, print_table, visible
from ticketctl.cli.ranks import device_of, is_rank, sharing, start, timed_alone, words_of
from ticketctl.cli.signals import Stop

if TYPE_CHECKING:
    from ticketctl.artifacts.ticket import Ticket
    from ticketctl.recipe import Recipe
    from ticketctl.train.ranks import Ranks


@opt.spread
def draw(
    method: opt.Method = None,
    model: opt.Model = None,
    data: opt.Data = None,
    recipe: opt.RecipeName = None,
    set_: opt.Sets = None,
    rounds: opt.Rounds = None,
    density: opt.Density = None,
    sparsity: opt.Sparsity = None,
    rewind: opt.Rewind = None,
    epochs: opt.Epochs = None,
    scale: opt.Scale = None,
    seed: opt.Seeds = None,
    controls: opt.Controls = False,
    device: opt.Device = "auto",
    devices: opt.Devices = 1,
    deterministic: opt.Deterministic = False,
    out: opt.Out = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    *,
    how: opt.Manner,
) -> None:
    """Draw a ticket: find a sparse mask, and keep it with the weights it starts from.

    The same command again goes on where it stopped, and does nothing once the ticket is there.

    Examples:

    ticketctl draw

    ticketctl draw --method imp --model resnet18 --data cifar10

    ticketctl draw --sparsity 0.97 --seed 0-2 --set train.lr=0.03
    """
    from ticketctl.stages.places import with_ids
    from ticketctl.stages.repeat import draw_line
    from ticketctl.stages.request import Typed, draw_recipe, run_folder
    from ticketctl.stages.tweaking import check_tweaks

    typed = Typed(
        model=model,
        data=data,
        method=method,
        recipe=recipe,
        sets=set_ or (),
        rounds=rounds,
        density=opt.density_of(density, sparsity),
        rewind=rewind,
        epochs=epochs,
        scale=opt.scale_of(scale, epochs),
        controls=controls,
        deterministic=deterministic,
    )
    check(device)
    choice = draw_recipe(typed)
    settled = with_ids(choice.recipe, workspace)
    check_tweaks(settled)
    seeds = opt.seeds_of(seed) or [0]
    places = {one: out if out is None or len(seeds) == 1 else out / f"seed-{one}" for one in seeds}
    folders = {one: run_folder(settled, one, place, workspace) for one, place in places.items()}
    if devices > 1 and (how.dry_run or not is_rank(devices)):
        if all(_is_drawn(settled, one, folder, how.data_dir) for one, folder in folders.items()):
            devices = 1  # nothing is left to share
        elif not how.dry_run:
            raise typer.Exit(start(devices, device))
    for line in [*choice.notes, *(["seed 0: none was named"] if seed is None else [])]:
        note(line, how.quiet)
    at = how.at(device, workspace)
    words = [*opt.where(at, out=out), *words_of(devices)]
    note(f"repeat with: {draw_line(typed, settled, seeds, words)}", how.quiet)
    if how.dry_run:
        results = [_estimate(settled, one, folder, at, devices) for one, folder in folders.items()]
    else:
        results = _all_drawn(settled, folders, at, devices)
    if how.json:
        print_json(results)
    elif how.dry_run:
        for result in results:
            show_estimate(settled, result)


def _is_drawn(recipe: Recipe, seed: int, folder: Path, data_dir: Path | None) -> bool:
    from ticketctl.stages.finished import finished_draw

    return finished_draw(recipe, seed, folder, data_dir) is not None


def _all_drawn(recipe: Recipe, folders: dict[int, Path], at: opt.Site, devices: int) -> list[dict[str, Any]]:
    """Draw by seed, and show each ticket when it is there; their records."""
    results, stop = [], Stop().install()
    with sharing(devices, at.device, stop) as ranks:
        for seed, folder in folders.items():
            ticket = _drawn(recipe, seed, folder, at, stop, ranks)
            results.append(ticket_record(ticket))
            if not at.json:
                show(ticket)
    return results


def _drawn(recipe: Recipe, seed: int, folder: Path, at: opt.Site, stop: Stop, ranks: Ranks | None) -> Ticket:
    from ticketctl.cli.context import training
    from ticketctl.stages.finished import finished_draw

    alone = ranks is None  # all ranks look together, in the stage
    done = finished_draw(recipe, seed, folder, at.data_dir) if alone else None
    if done is not None:
        note("this ticket is already drawn", at.quiet)
        _tell_lost(done, recipe, seed, folder)
        return done
    note(f"writes to {folder}; the same command goes on there after an interruption", at.quiet)
    with training(at, stop, ranks) as around:
        from ticketctl.stages.draw import draw as run

        return run(recipe, seed, folder, around)


def _tell_lost(ticket: Ticket, recipe: Recipe, seed: int, folder: Path) -> None:
    """That runs are gone which the draw had kept, and what trains them anew: the ticket itself is whole."""
    from ticketctl.stages.agenda import Draw
    from ticketctl.stages.errands import lost_levels

    if gone := lost_levels(Draw(folder, seed, "", recipe), ticket):
        levels = ",".join(map(str, gone))
        runs = f"run of level {levels} is" if len(gone) == 1 else f"runs of levels {levels} are"
        line = shlex.join(["ticketctl", "spend", str(ticket.folder), "--level", levels])
        note(f"{folder / 'levels'}: the {runs} gone; {line} trains anew")


def _estimate(recipe: Recipe, seed: int, folder: Path, at: opt.Site, devices: int) -> dict[str, Any]:
    from ticketctl.cli.context import training
    from ticketctl.stages.by_devices import check_devices
    from ticketctl.stages.finished import asked, drawn
    from ticketctl.stages.identity import check_asked
    from ticketctl.stages.intent import read_intent

    begun = read_intent(folder)
    if begun is not None and not _is_drawn(recipe, seed, folder, at.data_dir):  # refused as it would be
        check_asked(folder, begun["asked"], asked(recipe, seed))
        check_devices(folder, begun, devices)
    if drawn(recipe, seed, folder, at.data_dir) is not None:
        note("this ticket is already drawn, and would not be drawn again", at.quiet)
    if devices > 1:
        device_of(at.device, devices, 0)  # refused as it would be
    with training(at) as around:
        from ticketctl.stages.estimate import estimate_draw

        return {"folder": str(folder), "seed": seed, **estimate_draw(recipe, seed, around, devices)}


def show_estimate(recipe: Recipe, result: dict[str, Any]) -> None:
    """The resolved recipe, and what it would cost."""
    from ticketctl.cli.planned import span_told
    from ticketctl.recipe_files import flat_draw
    from ticketctl.tomltext import toml_text

    print_line(toml_text(flat_draw(result["recipe"])).rstrip())
    print_line("")
    most = "at most " if result["at_most"] else ""
    print_line(
        f"trainings   {result['trainings']}, {most}{result['epochs']:g} epochs and {result['steps']} steps in all"
    )
    print_line(
        f"prunable    {result['prunable']} of {result['parameters']} parameters; the ticket keeps {result['kept']}"
    )
    took = span_told(result["seconds"], result["seconds_as_busy"])
    print_line(f"time        {took} ({result['images_per_second']:.0f} images/s)")
    if devices := result.get("devices"):
        print_line(timed_alone(devices))
    print_line(f"writes      {result['bytes'] / 1e6:.1f} MB to {result['folder']}")


def ticket_record(ticket: Ticket) -> dict[str, Any]:
    """What `--json` says of a drawn ticket."""
    manifest = ticket.manifest
    return {
        "ticket_id": manifest.ticket_id,
        "folder": str(ticket.folder),
        "method": manifest.draw.method,
        "level": manifest.level,
        "kept": manifest.mask.kept,
        "prunable": manifest.mask.prunable,
        "levels": [level.model_dump(mode="json") for level in manifest.draw.levels],
    }


def show(ticket: Ticket) -> None:
    """The levels of a drawn ticket, its id and its folder."""
    manifest = ticket.manifest
    rows, searched = [], False
    for level in manifest.draw.levels:
        metrics = {name: float(value) for name, value in level.metrics.items()}
        kept = f"{100 * level.kept / manifest.mask.prunable:.2f}"
        state = "cut" if level.cut else f"{len(level.empty_layers)} empty" if level.empty_layers else ""
        if noted(manifest.ext, level.level).get("trained") == "search":
            state, searched = f"{state} search".strip(), True
        accuracy = [percent(metrics.get(name)) for name in ("val.accuracy", "test.accuracy")]
        rows.append([str(level.level), str(level.kept), kept, *accuracy, state])
    print_table(["level", "kept", "density %", "val %", "test %", ""], rows, left=0)
    if searched:
        print_line("search: trained otherwise than a spend of the ticket trains that level")
    print_line(f"ticket {manifest.ticket_id}")
    print_line(visible(f"in     {ticket.folder}"))
    if sys.stdout.isatty():
        print_line("spend it with: ticketctl spend")
