"""What Tab offers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

GUARD = """
import io, json, os, sys
from contextlib import redirect_stdout
sys.modules["torch"] = None
from ticketctl.cli.app import app
offered = {}
for line in sys.argv[1:]:
    sys.argv = ["ticketctl"]
    os.environ |= {"_TICKETCTL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    with redirect_stdout(io.StringIO()) as said:
        try:
            app(prog_name="ticketctl")
        except SystemExit as leaving:
            assert not leaving.code, line
    offered[line] = said.getvalue().split()
print(json.dumps(offered))
"""
"""Asks for many lines in one process, in which importing torch fails."""


@pytest.fixture(scope="module")
def offered(drawn: Path) -> dict[str, list[str]]:
    """What bash would be offered at the end of each of the lines below."""
    done = subprocess.run(
        [sys.executable, "-c", GUARD, *(line for line, _ in TABBED)],
        cwd=drawn,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


TABBED = (
    ("ticketctl dr", "draw"),
    ("ticketctl draw --method i", "imp"),
    ("ticketctl draw --model lenet", "lenet-300-100"),
    ("ticketctl draw --model vgg", "vgg16"),
    ("ticketctl draw --model torch", "torchvision:"),
    ("ticketctl draw --model torchvision:resnet1", "torchvision:resnet101"),
    ("ticketctl draw --set model.w", "model.width="),
    ("ticketctl draw --recipe base/lenet-300-100-d", "base/lenet-300-100-digits"),
    ("ticketctl draw --set train.l", "train.lr="),
    ("ticketctl draw --set data.noise.", "data.noise.rate="),
    ("ticketctl spend --set tweaks.sam.", "tweaks.sam.rho="),
    ("ticketctl spend ", "TICKET"),
    ("ticketctl inspect lenet", "TICKET/levels/1"),
    ("ticketctl list methods o", "omp"),
)


@pytest.mark.parametrize(("line", "among"), TABBED)
def test_tab(drawn: Path, offered: dict[str, list[str]], line: str, among: str) -> None:
    name = next(drawn.glob("runs/*/*/seed-0")).relative_to(drawn / "runs").as_posix()
    assert among.replace("TICKET", name) in offered[line]
    assert all(word.startswith(line.split(" ")[-1]) for word in offered[line])


def test_callbacks_offer_nothing_odd(tmp_path: Path) -> None:
    from ticketctl.cli import complete

    assert not [
        name for name, _ in complete.models("") if name.isupper() or "NAME" in name or "MODULE" in name
    ]
    assert complete.models("torchvision:none") == []
    assert complete.data("digi")[0][0] == "digits"
    assert complete.devices("c") == [("cpu", ""), ("cuda", "the first GPU")]
    assert [name for name, _ in complete.listed("m")] == ["methods", "metrics", "models"]
    assert complete.recipes("/nowhere/nope/") == []
    (tmp_path / "mine.toml").touch()
    assert complete.recipes(f"{tmp_path}/m") == [(f"{tmp_path}/mine.toml", "a file")]
    keys = [key for key, _ in complete.settings("draw.")]
    assert "draw.rounds=" in keys
    assert "draw.params=" not in keys


def test_every_key_that_a_recipe_takes_is_offered_and_no_table_as_if_it_were_one() -> None:
    from ticketctl.cli import complete
    from ticketctl.recipe import Recipe

    offered = {name.removesuffix("=") for name, _ in complete.settings("")}
    schema = Recipe.model_json_schema()
    own = {"data.noise": "NoiseSpec", "data.subset": "SubsetSpec", "data.drop": "DropSpec"}
    for table, spec in {**own, "train": "TrainSpec", "keep": "KeepSpec", "seeds": "SeedSpec"}.items():
        assert {f"{table}.{key}" for key in schema["$defs"][spec]["properties"]} <= offered
        assert table not in offered
    assert [name for name, _ in complete.settings("data.noise.k")] == ["data.noise.kind=", "data.noise.key="]
    assert {"tweaks.dsd.cycles", "tweaks.scaled-init.eta"} <= offered


def test_sweeps_are_offered_by_id_with_their_titles_wherever_one_is_named(tmp_path: Path) -> None:
    from typer.main import get_command

    from tests.stages.swept_plan import plan
    from ticketctl.cli import complete
    from ticketctl.cli.app import app
    from ticketctl.stages.plan_files import keep

    kept = [plan(tmp_path, {"a": ""}), plan(tmp_path, {"b": ""})]
    for number, path in enumerate(map(keep, kept)):
        os.utime(path, (number, number))
    program: Any = get_command(app)
    ctx = typer.Context(program)
    ctx.params["workspace"] = tmp_path
    newest, oldest = kept[1].id, kept[0].id
    assert complete.sweeps(ctx, "") == [(newest, "made up"), (oldest, "made up"), ("newest", "made up")]
    assert complete.sweeps(ctx, oldest[:5]) == [(oldest, "made up")]
    (tmp_path / ".sweeps" / newest / "plan.jsonl").write_text("nothing")
    assert complete.sweeps(ctx, newest) == [(newest, "")], "a damaged plan has no title"
    ctx.params["workspace"] = tmp_path / "none"
    assert complete.sweeps(ctx, "") == []
    options = {
        name: one
        for name, command in program.commands.items()
        for one in command.params
        if "--sweep" in one.opts
    }
    assert {"compare", "plot", "report"} <= {*options}
    ctx.params["workspace"] = tmp_path
    arguments = [one for one in program.commands["status"].params if one.name == "name"]
    for one in (*options.values(), *arguments):
        assert [item.value for item in one.shell_complete(ctx, oldest[:5])] == [oldest]


def test_a_plan_is_a_grid_at_hand_a_table_or_a_sweep(tmp_path: Path) -> None:
    from ticketctl.cli import complete

    (tmp_path / "mine.toml").write_text("[axes]\nmethod = 'imp'\n")
    (tmp_path / "other.toml").write_text("[draw]\n")
    ctx = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
    ctx.params["workspace"] = tmp_path
    assert complete.plans(ctx, f"{tmp_path}/") == [(f"{tmp_path}/mine.toml", "a grid")]
    assert complete.plans(ctx, "papers/001-toast/table-a2")


def test_names_below_a_home_that_no_shell_expanded_are_offered_and_none_below_that_of_nobody(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ticketctl.cli import complete

    ctx = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
    monkeypatch.setenv("HOME", str(drawn))
    for typed, many in (("~/runs", 5), ("~no-such-user/runs", 0)):
        ctx.params["workspace"] = typed
        assert len(complete.tickets(ctx, "")) == many
