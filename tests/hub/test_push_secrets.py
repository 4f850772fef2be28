"""A push that works, fails or is stopped shows nothing of the token, the user, the host or the folders of its owner."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.artifacts import samples
from tests.cli.conftest import ask
from tests.hub.fakehub import FakeHub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PROGRAM = Path(sys.executable).with_name("ticketctl")
CANARIES = {
    "HOME": "/nest-of-canaries/canarymarie",
    "USER": "canarymarie",
    "LOGNAME": "canarymarie",
    "HOSTNAME": "canaryhost",
}


def program(hub: FakeHub, folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    given: Mapping[str, str] = {**hub.env(folder / "hf"), **CANARIES, "TICKETCTL_DEBUG": "1", **more}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # mypy takes keywords out of a dict for every other argument
    return subprocess.Popen([PROGRAM, *words], cwd=folder, env=given, text=True, **pipes)  # type: ignore[call-overload]


def leaked(hub: FakeHub, folder: Path, *said: str) -> list[str]:
    """Where a canary is to be seen, outside of the one header that must carry the token."""
    found = [*said]
    for request in hub.requests:
        kept = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
        found.append(f"{request.method} {request.path} {request.query} {kept}")
        body = request.body.decode("utf-8", "replace")
        found.append(body)
        for line in body.splitlines():  # files of a commit travel as base64
            content = (
                json.loads(line).get("value", {}).get("content", "") if '"content"' in line[:400] else ""
            )
            if isinstance(content, str):
                found.append(
                    base64.b64decode(content).decode("utf-8", "replace") if '"base64"' in line else content
                )
    words = [hub.token, "canarymarie", "nest-of-canaries", "canaryhost", str(folder)]
    return [text[:300] for text in found for word in words if word in text]


def private_draw(folder: Path) -> Path:
    """A ticket whose provenance tells everything."""
    ticket = folder / "runs/toy-digits/imp-1/seed-0/ticket"
    samples.ticket(ticket)
    command = [
        "ticketctl",
        "draw",
        "--data-dir",
        "/nest-of-canaries/canarymarie/data",
        "--workspace",
        str(folder),
    ]
    record = {
        "host": "canaryhost",
        "user": "canarymarie",
        "token": FakeHub.token,
        "sessions": [{"command": [*command, "--recipe", "/nest-of-canaries/r.toml"], "host": "canaryhost"}],
    }
    (ticket / "provenance.json").write_text(json.dumps(record))
    return ticket


@pytest.mark.long
def test_no_canary_leaves_with_a_push_and_none_is_shown_when_it_fails(hub: FakeHub, tmp_path: Path) -> None:
    private_draw(tmp_path)
    said = f"no, {hub.token} of /nest-of-canaries/canarymarie"
    failing = hub.fault("403", "/commit/", method="POST", message=said)
    refused = program(hub, tmp_path, "push", "--to", "ada/x", "--yes")
    out, err = refused.communicate(timeout=60)
    assert refused.returncode == 9, err
    hub.faults.remove(failing)
    assert hub.repos == {}
    assert hub.token not in out + err
    done = program(hub, tmp_path, "push", "--to", "ada/x", "--yes")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    assert leaked(hub, tmp_path, out, err) == []
    stored = b"".join(hub.repos["ada/x"].files.values())
    assert not [word for word in (hub.token, *CANARIES.values(), str(tmp_path)) if word.encode() in stored]


@pytest.mark.parametrize("kind", ["401", "429", "500", "drop", "redirect", "body"])
def test_no_failure_shows_the_token(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TICKETCTL_DEBUG", "1")
    samples.ticket(tmp_path / "runs/toy-digits/imp-1/seed-0/ticket")
    more = {
        "redirect": {"to": f"{hub.store_url}/x?token={hub.token}"},
        "body": {"data": f'{{"error": "{hub.token}"}}'.encode()},
        "drop": {},
    }.get(kind, {"message": f"bad {hub.token}"})
    hub.fault(kind, "/api/models/ada/x", **more)
    answer = ask(tmp_path, "push", "--to", "ada/x", "--yes")
    assert answer.code == 9
    assert hub.token not in answer.out + answer.err
    assert answer.complaint


@pytest.mark.long
def test_who_presses_ctrl_c_leaves_nothing_half_visible(hub: FakeHub, tmp_path: Path) -> None:
    private_draw(tmp_path)
    hub.fault("slow", "/commit/", method="POST", seconds=30)
    asked = program(hub, tmp_path, "push", "--to", "ada/x", "--yes", HF_HUB_DOWNLOAD_TIMEOUT="20")
    until = time.monotonic() + 30
    while not hub.asked("POST", "/commit/") and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(asked.pid, signal.SIGINT)
    out, err = asked.communicate(timeout=20)
    assert asked.returncode == 130, err
    assert "stopped" in err.splitlines()[-1]
    assert hub.asked("DELETE", "/api/repos/delete")
    assert leaked(hub, tmp_path, out, err) == []
