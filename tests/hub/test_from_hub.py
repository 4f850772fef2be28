"""A name on the Hub stands wherever a ticket or a run does: typed once, it works like a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import samples
from tests.cli.conftest import ask
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.cli import options as opt
from ticketctl.cli.app import COMMANDS
from ticketctl.cli.from_hub import own_hub_names, with_hub_names

REPO = "ada/first"


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def ticket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.ticket(tmp_path_factory.mktemp("made") / "ticket").folder


@pytest.fixture
def hub(desk: FakeHub, ticket: Path) -> FakeHub:
    desk.put(REPO, read(ticket), tag="v1")
    return desk


def test_inspect_verify_and_diff_take_names_on_the_hub(hub: FakeHub, ticket: Path, tmp_path: Path) -> None:
    own = open_ticket(ticket).manifest.ticket_id
    shown = ask(tmp_path, "inspect", f"hf://{REPO}@v1", "--json")
    assert shown.json["result"]["ticket_id"] == own
    assert f"hf://{REPO}@v1 is hf://{REPO}@{hub.repos[REPO].head.sha} now" in shown.err
    assert (
        ask(tmp_path, "inspect", f"hf://{REPO}", "--level", "1", "--json").json["result"]["asked"]["level"]
        == 1
    )
    assert ask(tmp_path, "verify", f"hf://{REPO}").code == 0
    assert "1.0000" in ask(tmp_path, "diff", f"hf://{REPO}", f"hf://{REPO}@v1").out
    with hub.offline():
        assert ask(tmp_path, "list", "--json").json["result"][0]["ticket_id"] == own
        assert ask(tmp_path, "verify", f"hf://{REPO}@{hub.repos[REPO].head.sha}").code == 0


def test_every_command_that_has_a_workspace_has_the_door() -> None:
    import inspect

    own = {name for name, command in COMMANDS.items() if getattr(command, "own_hub_names", False)}
    wrapped = {name for name, command in COMMANDS.items() if with_hub_names(command) is not command}
    placed = {
        name for name, command in COMMANDS.items() if "workspace" in inspect.signature(command).parameters
    }
    assert {
        "audit",
        "spend",
        "probe",
        "transfer",
        "interpolate",
        "inspect",
        "verify",
        "diff",
        "plot",
    } <= wrapped
    assert {"report", "mask"} <= wrapped
    assert wrapped == placed - own
    assert "pull" in own


def test_names_in_lists_and_in_recipe_keys_are_pulled_and_others_left(hub: FakeHub, tmp_path: Path) -> None:
    got: dict[str, Any] = {}

    def command(
        things: list[str],
        one: str | None,
        set_: list[str],
        to: str,
        workspace: opt.Workspace,
        quiet: bool = True,
    ) -> None:
        got.update(things=things, one=one, set_=set_, to=to)

    name = f"hf://{REPO}"
    given = {"things": ["x", name], "one": name, "set_": ["a=b", f"draw.ticket={name}"], "to": name}
    with_hub_names(command)(**given, workspace=tmp_path / "runs", quiet=True)
    folder = str(tmp_path / "runs" / "hub" / "ada--first" / hub.repos[REPO].head.sha[:12] / "ticket")
    assert got == {
        "things": ["x", folder],
        "one": folder,
        "set_": ["a=b", f"draw.ticket={folder}"],
        "to": name,
    }
    left = own_hub_names(command)
    assert with_hub_names(left) is left


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("inspect", "hf://ada/nothing"), 9),
        (("inspect", "hf://ada/first@v9"), 9),
        (("inspect", "hf://ada"), 2),
        (("verify", "hf://ada/first/mask.safetensors"), 2),
        (("spend", "hf://ada/nothing", "--offline"), 9),
        (("pull", "ada/first", "--only", "mask"), 2),
        (("pull", "ada/first", "--expect", "tk1" + "a" * 29), 3),
    ],
)
def test_what_cannot_be_had_is_one_line(
    hub: FakeHub, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    answer = ask(tmp_path, *words)
    assert answer.code == code
    assert answer.complaint
    assert answer.out == ""


def test_pull_says_what_came_and_what_stayed(hub: FakeHub, ticket: Path, tmp_path: Path) -> None:
    hub.put(REPO, {"old\x1b[2J.pt": b"\x80", "x.py": b"1", "README.md": b"# T"})
    answer = ask(tmp_path, "pull", REPO)
    assert answer.code == 0
    assert open_ticket(ticket).manifest.ticket_id in answer.out
    assert "not fetched: x.py (code)" in answer.out
    assert ".pt (may be a pickle)" in answer.out
    assert "\x1b" not in answer.out
    assert "README" not in answer.out
    assert "all here already" in ask(tmp_path, "pull", REPO).out
    said = ask(tmp_path, "pull", REPO, "--json").json["result"]
    assert (said["resolved"], said["fetched"]) == (hub.repos[REPO].head.sha, 0)
    assert hub.token not in json.dumps(said) + answer.out + answer.err


@pytest.mark.long
def test_ctrl_c_leaves_within_seconds_by_130_and_nothing_is_seen(hub: FakeHub, tmp_path: Path) -> None:
    hub.fault("drip", "/blob/", piece=40, every=0.02)
    env = {**hub.env(tmp_path / "hf"), "PYTHONPATH": os.getcwd()}
    line = [sys.executable, "-c", "from ticketctl.__main__ import main; main()", "pull", REPO]
    with subprocess.Popen(line, cwd=tmp_path, env=env, stdout=-1, stderr=-1) as program:
        for _ in range(400):
            if hub.asked("GET", "/blob/"):
                break
            time.sleep(0.02)
        program.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = program.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert program.returncode == 130, err
    assert b"the same command goes on from here" in err
    assert (out, b"Traceback" in err) == (b"", False)
    assert list((tmp_path / "runs" / "hub").glob("*/[!.]*")) == []


@pytest.mark.long
def test_the_way_to_the_hub_does_not_lead_through_torch(hub: FakeHub, tmp_path: Path) -> None:
    lines = (
        "import sys; from ticketctl.stages.pull import pull; from ticketctl.stages import search;"
        f"from pathlib import Path; pull('{REPO}', Path('runs')); sys.exit('torch' in sys.modules)"
    )
    env = {**hub.env(tmp_path / "hf"), "PYTHONPATH": os.getcwd()}
    assert subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, env=env, check=False).returncode == 0
