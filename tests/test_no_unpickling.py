"""Whoever looks at a ticket runs nothing of it: Python's own audit hook sees no unpickling and no code of artifacts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.artifacts import samples
from tests.artifacts.hostile_folders import rewrite
from tests.hub.fakehub import FakeHub

CANARY = "__import__('os').system('touch ran')"
CARD = f"---\ntags: [ticketctl, \"net:{CANARY}\", 'method:imp']\n---\n# First\n"
REPO = "lab/first"

CODE = """
import io, json, os, pickle, sys
from contextlib import redirect_stderr, redirect_stdout
canary, here = sys.argv[1], os.getcwd()
from ticketctl.cli.app import app, guarded

seen = []

def texts(code):
    yield code.co_filename
    for each in (*code.co_consts, *code.co_names):
        yield from texts(each) if hasattr(each, "co_code") else (str(each),)

def as_text(source):
    return source.decode("utf-8", "replace") if isinstance(source, bytes) else str(source)

def watch(event, given):
    if event == "pickle.find_class":
        seen.append(f"{event} {given[0]}.{given[1]}")
    elif event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"):
        seen.append(f"{event} {given}")
    elif event == "compile" and canary in as_text(given[0]):
        seen.append("compile of an artifact's text")
    elif event == "exec" and any(canary in text or text.startswith(here) for text in texts(given[0])):
        seen.append("exec of an artifact's text")

answers = []
sys.addaudithook(watch)
for line in sys.argv[2:]:
    sys.argv = ["ticketctl", *line.split()]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as log:
        code = guarded(app)
    answers.append([line, code, out.getvalue() + log.getvalue()])
silent = list(seen)
seen.clear()
pickle.loads(b"cbuiltins\\nlen\\n.")  # the hook is awake
exec(compile(f'"{canary}"', "x", "exec"))
print(json.dumps({"answers": answers, "seen": silent, "awake": sorted(map(str, seen))}))
"""


def _spoil(fields: dict[str, Any]) -> None:
    fields["ext"] = {"x.note": CANARY}
    fields["authors"] = [CANARY]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace with a ticket and a run that carry code as text, pickles and modules beside, and a Hub with it."""
    top = tmp_path_factory.mktemp("desk")
    first, second = (top / f"work/runs/toy-digits/imp-{n}/seed-0/ticket" for n in "ab")
    samples.ticket(first)
    rewrite(first, _spoil)
    samples.ticket(second)
    beside = {"evil.pkl": b"cos\nsystem\n(S'touch ran'\ntR.", "sitecustomize.py": b"open('ran', 'w')\n"}
    beside |= {
        "typing.py": beside["sitecustomize.py"],
        "model.pt": beside["evil.pkl"],
        "README.md": CARD.encode(),
    }
    files = {
        path.relative_to(first).as_posix(): path.read_bytes() for path in first.rglob("*") if path.is_file()
    }
    for name, data in beside.items():
        (first.parent / name).write_bytes(data)
        (top / "work" / name).write_bytes(data)
    with FakeHub(top / "hub") as hub:
        hub.put(REPO, {**files, **beside}, private=False)
        yield hub, top / "work", first, second


@pytest.mark.long
def test_looking_at_tickets_unpickles_nothing_and_runs_nothing_of_them(desk: Any) -> None:
    hub, work, first, second = desk
    lines = [f"inspect {first}", f"inspect {first} --json", f"verify {first}", f"verify --deep {first}", "list tickets",
             "list runs", f"pull {REPO}", f"pull {REPO} --json", f"inspect hf://{REPO}", f"verify hf://{REPO}",
             f"diff {first} {second}", "search --method imp", "list tickets --method imp"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", "-c", CODE, CANARY, *lines],
        cwd=work,
        env=hub.env(work.parent / "home"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [(line, text) for line, code, text in found["answers"] if code != 0] == []
    assert found["seen"] == []
    assert [one.split()[0] for one in found["awake"]] == ["compile", "exec", "pickle.find_class"]
    assert not list(work.rglob("ran"))
    assert any(CANARY[:80] in text for line, _, text in found["answers"] if line.startswith("search")), (
        "it was there"
    )
