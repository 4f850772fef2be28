"""`ticketctl inspect`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.along import along, show_along
from ticketctl.cli.complete import things
from ticketctl.cli.lone import show_lone
from ticketctl.cli.output import percent, print_json, print_line, print_table, visible
from ticketctl.cli.places import folders_of_runs, payloads, verdict_folder
from ticketctl.cli.words import data_words
from ticketctl.errors import UsageError, listed

if TYPE_CHECKING:
    from ticketctl.artifacts.run import Run
    from ticketctl.artifacts.ticket import Ticket

Thing = Annotated[
    str | None,
    typer.Argument(
        help="A ticket or run (path, id prefix or name), a file of theirs, or a verdict. Default: newest ticket.",
        autocompletion=things,
    ),
]
Level = Annotated[
    str | None,
    typer.Option("--level", help="A level of the ticket, or a sparsity, as NAME@LEVEL in its name."),
]


def inspect(
    thing: Thing = None,
    level: Level = None,
    recipe: Annotated[bool, typer.Option("--show-recipe", help="Print its recipe as TOML instead.")] = False,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Say what a ticket, a run, a file of theirs or a verdict is. Never imports torch, never runs anything."""
    from ticketctl.artifacts.run import Run

    files, kind = payloads(thing, workspace)
    if files:
        _refuse_keys(f"{thing} is a payload file, or holds such", recipe, level)
        show_lone(files, kind, json)
        return
    if (verdict := verdict_folder(thing, workspace)) is not None:
        _refuse_keys(f"{thing} is a verdict", recipe, level)
        from ticketctl.cli.verdict import inspect_verdict

        inspect_verdict(verdict, json)
        return
    if inside := folders_of_runs(thing, workspace):
        if recipe or level is not None:
            raise UsageError(f"{thing} holds {len(inside)} runs; say which: ticketctl inspect {inside[0]}")
        _show_runs(inside, json)
        return
    found, wanted = find(thing, level, workspace)
    if recipe:
        _show_recipe(found, json)
    elif json:
        asked = {} if isinstance(found, Run) or wanted is None else {"asked": level_record(found, wanted)}
        kept = {"along": along(found)} if isinstance(found, Run) else {}
        print_json({"folder": str(found.folder), **asked, **found.manifest.model_dump(mode="json"), **kept})
    elif isinstance(found, Run):
        _show_run(found)
    else:
        _show_ticket(found, wanted)


def _refuse_keys(what: str, recipe: bool, level: str | None) -> None:
    if recipe or level is not None:
        raise UsageError(f"{what}; --show-recipe and --level are for tickets and runs")


def _show_runs(folders: Sequence[Path], json: bool) -> None:
    """The runs of one folder, by level and seed."""
    from ticketctl.artifacts.run import open_run
    from ticketctl.cli.listing import run_records, run_table

    opened = [(folder, open_run(folder).manifest) for folder in folders]
    found = sorted(opened, key=lambda pair: (pair[1].level, pair[1].seeds["root"], pair[0]))
    root = folders[0].parent
    if json:
        print_json({"folder": str(root), "runs": run_records(found, root)})
    else:
        run_table(found, root)
        print_line(visible(f"in {root}; `ticketctl inspect {found[0][0]}` says more of one"))


def find(thing: str | None, level: str | None, workspace: Path) -> tuple[Ticket | Run, int | None]:
    """A ticket or a run, whatever the name leads to, and the level of the ladder that was asked for.

    Raises:
        UsageError: neither, or no such level.
        ArtifactError: it is damaged.
    """
    from ticketctl.artifacts.workspace import resolve_run

    if thing is not None:
        bare = Path(thing)
        is_run = any((base / "run.json").is_file() for base in (bare, workspace / thing))
        if is_run or thing.startswith("rn1") or bare.name == "run.json":
            if level is not None:
                raise UsageError(f"{thing} is a run, of one level; --level is for tickets")
            return resolve_run(thing, workspace), None
    return ticket_at(thing, level, workspace)


def ticket_at(thing: str | None, level: str | None, workspace: Path) -> tuple[Ticket, int | None]:
    """The ticket of a name, and its level: out of the name (`NAME@12`) or out of `--level`.

    Raises:
        UsageError: no such ticket or level, or both say one.
        ArtifactError: it is damaged.
    """
    from ticketctl.artifacts.workspace import resolve

    ticket, named = resolve(thing, workspace)
    if level is None:
        return ticket, named
    if named is not None:
        raise UsageError("the ticket's name says a level, and so does --level; give one of them")
    if not re.fullmatch(r"[0-9]{1,3}|[01]?\.[0-9]+", level):
        raise UsageError(f"--level {level!r}: write a level (12) or a sparsity (0.9648)")
    return resolve(f"{ticket.folder}@{level}", workspace)


def level_record(ticket: Ticket, level: int) -> dict[str, Any]:
    """What a level of the ladder is."""
    kept, prunable = ticket.kept_by_level()[level], ticket.manifest.mask.prunable
    return {"level": level, "ticket_id": ticket.ticket_id_at(level), "kept": kept, "density": kept / prunable}


def _tweaks(ext: Mapping[str, Any]) -> str:
    """Each tweak of a run with its keys, and what they added."""
    said = ext.get("ticketctl.tweaks") or {}
    each = [
        _tweak({key: value for key, value in tweak.items() if value is not None})
        for tweak in said.get("tweaks", ())
    ]
    added = f"; {said['added']} weights added" if said.get("added") else ""
    return "; ".join(each) + added


def _remarks(ext: Mapping[str, Any]) -> list[str]:
    """What tweaks said of the training that changes how the result is to be read."""
    return [str(text) for text in (ext.get("ticketctl.tweaks") or {}).get("remarks", ())]


def _tweak(said: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{key} {value}" for key, value in said.items() if key != "tweak")
    return f"{said.get('tweak')} ({keys})"


def _show_recipe(found: Ticket | Run, json: bool) -> None:
    from ticketctl.artifacts.run import Run
    from ticketctl.recipe_files import flat_draw
    from ticketctl.tomltext import toml_text

    record = found.manifest.recipe if isinstance(found, Run) else found.manifest.draw.recipe
    if json:
        print_json(record)
    else:
        print_line(toml_text(flat_draw(record)).strip())


def _show_ticket(ticket: Ticket, wanted: int | None) -> None:
    manifest = ticket.manifest
    mask, draw = manifest.mask, manifest.draw
    asked = None if wanted is None else level_record(ticket, wanted)
    kept = asked["kept"] if asked else mask.kept
    _pairs(
        ("ticket", manifest.ticket_id),
        ("folder", ticket.folder),
        ("net", f"{manifest.arch.name}, {manifest.arch.in_chans} channels {_size(manifest.arch.size)}, "
                f"{manifest.arch.num_classes} classes"),
        ("data", f"{draw.data.name}, {draw.data.train} + {draw.data.validation} images, {draw.data.test} to test"),
        *data_words(draw.recipe).items(),
        ("method", f"{draw.method}, {draw.rounds} rounds"),
        ("level", f"{asked['level']}, which is {asked['ticket_id']}" if asked else None),
        ("mask", f"{kept} of {mask.prunable} weights kept, density {kept / mask.prunable:.5f}, {mask.scope}"),
        ("chosen", _noted(manifest.ext, asked["level"] if asked else manifest.level)),
        ("dense", _left_dense(manifest.ext, asked["level"] if asked else manifest.level)),
        ("start", f"{manifest.init.role}, step {manifest.init.step}"),
        ("control", f"{manifest.control.kind} of {manifest.control.of}" if manifest.control else None),
        ("cost", f"{draw.cost.steps} steps, {draw.cost.images} images"),
        ("bytes", sum(entry.size for entry in manifest.files)),
        ("seed", draw.seeds.get("root")),
    )  # fmt: skip
    rows = []
    for level in draw.levels:
        accuracy = level.metrics.get("test.accuracy")
        share = f"{100 * level.kept / mask.prunable:.2f}"
        effective = "" if level.effective is None else str(level.effective)
        state = (
            "cut" if level.cut else f"{len(level.empty_layers)} empty layers" if level.empty_layers else ""
        )
        rows.append(
            [
                str(level.level),
                str(level.kept),
                share,
                effective,
                percent(float(accuracy) if accuracy else None),
                state,
            ]
        )
    print_line("")
    print_table(["level", "kept", "density %", "on a path", "test %", ""], rows, left=0)


def noted(ext: Mapping[str, Any], level: int) -> Mapping[str, Any]:
    """What the draw noted on a level."""
    levels = ext.get("ticketctl.levels")
    notes = levels.get(str(level)) if isinstance(levels, dict) else None
    return notes if isinstance(notes, dict) else {}


def _noted(ext: Mapping[str, Any], level: int) -> str | None:
    """How the level was chosen, as the draw noted it: single values alone, for lists stand in `--json`."""
    single = noted(ext, level).items()
    return ", ".join(f"{key} {value}" for key, value in single if isinstance(value, str | int))[:300] or None


def _left_dense(ext: Mapping[str, Any], level: int) -> str | None:
    """Prunable layers that the method left whole, as N:M does where M does not divide their inputs."""
    names = noted(ext, level).get("left_dense")
    return listed([str(name) for name in names]) if isinstance(names, list) and names else None


def _show_run(run: Run) -> None:
    manifest, kept = run.manifest, along(run)
    _pairs(
        ("run", manifest.run_id),
        ("folder", run.folder),
        ("ticket", f"{manifest.ticket}, level {manifest.level}"),
        ("net", manifest.arch.name),
        ("data", manifest.data.name),
        *data_words(manifest.recipe).items(),
        ("weights", f"{manifest.kept} of {manifest.prunable} prunable weights"),
        ("tweaks", _tweaks(manifest.ext) or None),
        *(("remark", text) for text in _remarks(manifest.ext)),
        ("start", f"{manifest.start.role}, step {manifest.start.step}"),
        ("status", manifest.status),
        ("cost", f"{manifest.cost.steps} steps, {manifest.cost.images} images"),
        ("states", ", ".join(state.name for state in manifest.states) or None),
        ("seed", manifest.seeds.get("root")),
    )
    print_line("")
    print_table(
        ["metric", "value"],
        [[name, f"{float(value):.6g}"] for name, value in sorted(manifest.metrics.items())],
    )
    show_along(kept)


def _pairs(*pairs: tuple[str, Any]) -> None:
    for name, value in pairs:
        if value is not None:
            print_line(f"{name:<8}{visible(str(value))}")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
