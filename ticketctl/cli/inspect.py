"""`ticketctl inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.output import percent, print_json, print_line, print_table

if TYPE_CHECKING:
    from ticketctl.artifacts.run import Run
    from ticketctl.artifacts.ticket import Ticket

Thing = Annotated[
    str | None, typer.Argument(help="A ticket or run: path, id prefix or name. Default: newest ticket.")
]


def inspect(
    thing: Thing = None,
    recipe: Annotated[bool, typer.Option("--show-recipe", help="Print its recipe as TOML instead.")] = False,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Say what a ticket or run is, from its manifest. Never imports torch, never runs anything."""
    from ticketctl.artifacts.run import Run

    found = find(thing, workspace)
    record = dict(found.manifest.draw.recipe) if not isinstance(found, Run) else dict(found.manifest.recipe)
    if recipe:
        from ticketctl.tomltext import toml_text

        print_line(toml_text(record).rstrip())
    elif json:
        print_json({"folder": str(found.folder), **found.manifest.model_dump(mode="json")})
    elif isinstance(found, Run):
        _show_run(found)
    else:
        _show_ticket(found)


def find(thing: str | None, workspace: Path) -> Ticket | Run:
    """A ticket or a run, whatever the name leads to.

    Raises:
        UsageError: neither.
        ArtifactError: it is damaged.
    """
    from ticketctl.artifacts.workspace import resolve, resolve_run

    if thing is not None:
        bare = Path(thing)
        is_run = any((base / "run.json").is_file() for base in (bare, workspace / thing))
        if is_run or thing.startswith("rn1") or bare.name == "run.json":
            return resolve_run(thing, workspace)
    return resolve(thing, workspace)[0]


def _show_ticket(ticket: Ticket) -> None:
    manifest = ticket.manifest
    mask, draw = manifest.mask, manifest.draw
    _pairs(
        ("ticket", manifest.ticket_id),
        ("folder", ticket.folder),
        ("net", f"{manifest.arch.name}, {manifest.arch.in_chans} channels {_size(manifest.arch.size)}, "
                f"{manifest.arch.num_classes} classes"),
        ("data", f"{draw.data.name}, {draw.data.train} + {draw.data.validation} images, {draw.data.test} to test"),
        ("method", f"{draw.method}, {draw.rounds} rounds"),
        ("mask", f"{mask.kept} of {mask.prunable} weights kept, density {mask.kept / mask.prunable:.5f}, {mask.scope}"),
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


def _show_run(run: Run) -> None:
    manifest = run.manifest
    _pairs(
        ("run", manifest.run_id),
        ("folder", run.folder),
        ("ticket", f"{manifest.ticket}, level {manifest.level}"),
        ("net", manifest.arch.name),
        ("data", manifest.data.name),
        ("weights", f"{manifest.kept} of {manifest.prunable} prunable weights"),
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


def _pairs(*pairs: tuple[str, Any]) -> None:
    for name, value in pairs:
        if value is not None:
            from ticketctl.cli.output import visible

            print_line(f"{name:<8}{visible(str(value))}")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
