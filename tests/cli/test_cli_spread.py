"""Options that stand once, in a group, reach the program's user one by one and the command together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from ticketctl.cli import options as opt
from ticketctl.cli.app import app
from ticketctl.cli.plan import Which as PlanWhich


def _program(command: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


@pytest.fixture
def seen() -> list[Any]:
    """What the command was called with."""
    return []


@pytest.fixture
def program(seen: list[Any]) -> typer.Typer:
    """One with a group between its own options."""

    @opt.spread
    def measure(level: opt.Level = None, *, at: opt.Site, rounds: opt.Rounds = None) -> None:
        """Measure."""
        seen.append((level, at, rounds))

    return _program(measure)


def test_nothing_typed_is_every_default(program: typer.Typer, seen: list[Any]) -> None:
    assert CliRunner().invoke(program, []).exit_code == 0
    assert seen == [(None, opt.Site(), None)]


def test_what_is_typed_reaches_the_group(program: typer.Typer, seen: list[Any]) -> None:
    words = "--rounds 3 --device cpu --workspace w --data mnist --data-dir d --offline --dry-run --json -q --level 2"
    assert CliRunner().invoke(program, words.split()).exit_code == 0
    every = opt.Site(
        data_dir=Path("d"), offline=True, dry_run=True, json=True, quiet=True, device="cpu", workspace=Path("w"),
        data="mnist",
    )  # fmt: skip
    assert seen == [("2", every, 3)]
    assert all(getattr(every, one.name) != one.default for one in fields(opt.Site)), "none is left untyped"


def test_the_groups_options_stand_at_its_place_in_the_help(program: typer.Typer) -> None:
    said = CliRunner().invoke(program, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    group = ["--device", "--workspace", "--data", "--data-dir", "--offline", "--dry-run", "--json", "--quiet"]
    wanted = ["--level", *group, "--rounds"]
    places = [said.index(f"{option} ") for option in wanted]
    assert places == sorted(places)


def test_a_command_line_that_says_where_repeats_the_place() -> None:
    at = opt.Site(
        data_dir=Path("d"), offline=True, device="cpu", workspace=Path("w"), data="mnist", quiet=True
    )
    said = opt.where(at, out=Path("o"), controls=True)
    wanted = "--workspace w --out o --data mnist --data-dir d --device cpu --offline --controls"
    assert said == wanted.split()
    assert opt.where(opt.Site()) == ["--workspace", "runs"]


@dataclass(frozen=True)
class Which:
    """A group with an argument that has to be typed."""

    name: Annotated[str, typer.Argument()]
    many: Annotated[int, typer.Option()] = 1


def test_several_groups_are_spread_and_an_argument_of_one_has_to_be_typed() -> None:
    seen: list[Any] = []

    @opt.spread
    def command(*, which: Which, level: opt.Level = None, how: opt.Manner) -> None:
        """Do."""
        seen.append((which, level, how))

    program = _program(command)
    assert CliRunner().invoke(program, []).exit_code == 2
    assert CliRunner().invoke(program, ["a", "--many", "3", "--level", "2", "--json"]).exit_code == 0
    assert seen == [(Which("a", 3), "2", opt.Manner(json=True))]


def test_plan_and_sweep_take_the_same_words_for_what_they_are_of() -> None:
    program: Any = get_command(app)
    plan, sweep = (
        {one.name: (one.opts, one.help, one.default) for one in program.commands[name].params}
        for name in ("plan", "sweep")
    )
    own = [one.name for one in fields(PlanWhich)]
    assert own == ["name", "only", "rows", "levels", "seed", "scale", "data"]
    assert [plan[name] for name in own] == [sweep[name] for name in own]
