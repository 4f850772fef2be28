"""Wrong input and bad weather: one line, the contract's exit code, one JSON object, and nothing half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from inspect import signature
from pathlib import Path
from typing import get_args

import pytest
from typer.models import OptionInfo

from tests.cli.conftest import DRAW, Program, ask
from ticketctl.cli.app import COMMANDS, guarded
from ticketctl.errors import (
    ArtifactError,
    DivergedError,
    HubError,
    LockedError,
    MismatchError,
    MissingExtraError,
    ResourceError,
    StoppedError,
    TicketctlError,
    UnavailableError,
    UsageError,
)
from ticketctl.store.locks import locked

USAGE = [
    ("nope", "No such command 'nope'"),
    ("drw", "Did you mean 'draw'?"),
    ("draw --methd imp", "No such option: --methd"),
    ("draw extra", "unexpected extra argument"),
    ("draw --rounds x", "--rounds: must be a whole number, not 'x'"),
    ("draw --rounds 1.5", "--rounds: must be a whole number, not '1.5'"),
    ("draw --rounds -1", "--rounds: must be 0 or more, not '-1'"),
    ("draw --rounds 255", "--rounds: must be 254 or less, not '255'"),
    ("draw --epochs 0", "--epochs: must be 1 or more, not '0'"),
    ("compare a --within x", "--within: must be a number, not 'x'"),
    ("draw --workspace", "requires an argument"),
    ("diff one", "Missing argument 'second'"),
    ("draw --method impp", "no method named 'impp'; did you mean 'imp'?"),
    ("draw --model lenet", "no model named 'lenet'; there is lenet-300-100"),
    ("draw --model resnet19", "did you mean 'resnet1"),
    ("draw --data digit", "no data set named 'digit'; did you mean 'digits'?"),
    ("draw --device gpu", "no device named 'gpu'; there is auto, cpu, cuda, cuda:N"),
    ("draw --device cpu:1", "no device named 'cpu:1'"),
    ("draw --recipe base/lenet-300-100-digit", "did you mean 'base/lenet-300-100-digits'?"),
    ("draw --recipe nope.toml", "no recipe 'nope.toml'"),
    ("draw --recipe /", "no recipe '/'"),
    ("draw --recipe draw/imp --model resnet50 --data digits", "no base recipe for resnet50 on digits"),
    ("draw --set train.lr", "write KEY=VALUE"),
    ("draw --set train.lrr=1", "no key train.lrr; did you mean 'lr'?"),
    ("draw --set trian.lr=1", "no key trian; did you mean 'train'?"),
    ("draw --set train.lr=fast", "train.lr"),
    ("draw --set train=3", "train"),
    ("draw --set draw=3", "draw"),
    ("draw --set model.name=lenet", "no model named 'lenet'"),
    ("draw --density 0", "--density: a density lies in (0, 1], not 0"),
    ("draw --density 1.5", "a density lies in (0, 1] (for 1.5 % write 0.015)"),
    ("draw --sparsity 90", "--sparsity: a sparsity lies in [0, 1) (for 90 % write 0.9), not 90"),
    ("draw --set draw.density=90", "a density lies in (0, 1] (for 90 % write 0.9), not 90"),
    ("draw --density -1", "is not a share"),
    ("draw --density 3%", "is not a share"),
    ("draw --density 1/0", "is not a share"),
    ("draw --density=", "is not a share"),
    ("draw --sparsity 1", "a sparsity lies in [0, 1), not 1"),
    ("draw --density 0.5 --sparsity 0.5", "give one of them"),
    ("draw --epochs 2 --scale 2", "give one of them"),
    ("draw --scale inf", "--scale: must be 10000 or less, not 'inf'"),
    ("draw --scale nan", "--scale: must be"),
    ("draw --rewind soon", "is not a duration"),
    ("draw --seed 5-2", "write 0, 0-2 or 42,1099"),
    ("draw --seed 0-5000", "1000 seeds"),
    ("draw --dry-run --method random --rounds 3", "--density or --sparsity"),
    ("list tweks", "cannot list 'tweks'"),
    ("list methods impp", "did you mean 'imp'?"),
    ("list tickets foo", "takes no name"),
    ("recipes draw/impp", "did you mean 'draw/imp'?"),
    ("inspect nope", "no ticket"),
    ("verify nope", "no ticket"),
]


@pytest.mark.parametrize(("line", "says"), USAGE, ids=[line for line, _ in USAGE])
def test_usage(bare: Program, line: str, says: str) -> None:
    answer = bare(*line.split())
    assert answer.code == 2
    assert answer.out == ""
    assert says in answer.complaint


@pytest.mark.parametrize(
    "line", ["nope --json", "draw --rounds x --json", "draw --json --nope", "diff --json", "--json"]
)
def test_usage_in_json(bare: Program, line: str) -> None:
    answer = bare(*line.split())
    assert (answer.code, answer.json["error"]["code"]) == (2, "E_USAGE")
    assert answer.json["result"] is None


def test_no_command_prints_the_help(bare: Program) -> None:
    answer = bare()
    assert (answer.code, answer.out) == (2, "")
    assert "Commands:" in answer.err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("draw --data-dir /nope", "--data-dir /nope: there is no such folder"),
        ("draw --device cuda:77", "this machine has no such GPU"),
        ("draw --data imagefolder:/nope --recipe base/lenet-300-100-digits", "there is no /nope"),
        ("draw --data mnist --offline", "--offline forbids to fetch it"),
    ],
)
def test_not_available(tmp_path: Path, line: str, says: str) -> None:
    answer = ask(tmp_path, *line.split(), "--json")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".lock"}
    assert (answer.code, answer.json["error"]["code"]) == (5, "E_UNAVAILABLE")
    assert says in answer.complaint


def _cut(name: str, size: int) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / name, size)


def _flip(name: str) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[-5] ^= 1
        (folder / name).write_bytes(data)

    return act


def _link(folder: Path) -> None:
    (folder / "mask.safetensors").rename(folder.parent / "elsewhere")
    (folder / "mask.safetensors").symlink_to("../elsewhere")


def _folder(folder: Path) -> None:
    (folder / "mask.safetensors").unlink()
    (folder / "mask.safetensors").mkdir()


def _fifo(folder: Path) -> None:
    (folder / "rewind.safetensors").unlink()
    os.mkfifo(folder / "rewind.safetensors")


def _garbage(folder: Path) -> None:
    (folder / "ticket.json").write_bytes(b"\x00\xff\x1b[31mgarbage")


DAMAGE = {
    "manifest-cut": _cut("ticket.json", 100),
    "manifest-empty": _cut("ticket.json", 0),
    "manifest-garbage": _garbage,
    "rewind-cut": _cut("rewind.safetensors", 1000),
    "rewind-bit": _flip("rewind.safetensors"),
    "mask-bit": _flip("mask.safetensors"),
    "ladder-cut": _cut("ladder.zarr.zip", 10),
    "mask-link": _link,
    "mask-folder": _folder,
    "rewind-fifo": _fifo,
    "ladder-gone": lambda folder: (folder / "ladder.zarr.zip").unlink(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_ticket(cli: Program, home: Path, ticket: Path, kind: str) -> None:
    DAMAGE[kind](ticket)
    before = sorted(home.rglob("*"))
    verified = cli("verify", "--json")
    assert verified.code == 3
    failed = [check for check in verified.json["result"]["checks"] if not check["ok"]]
    assert (failed[0]["name"] == "manifest") == kind.startswith("manifest"), failed
    assert failed[0]["detail"] in verified.complaint  # it names the file
    assert verified.json["error"]["code"].startswith("E_")
    assert verified.json["result"]["sound"] is False
    assert str(ticket.relative_to(home)) in verified.complaint
    assert cli("verify").code == 3
    spent = cli("spend", "--set", "train.lr=0.01")
    assert spent.code == 3
    assert str(ticket.relative_to(home)) in spent.complaint
    assert "\x1b" not in spent.err
    assert sorted(home.rglob("*")) == before


def test_diverged_draw(tmp_path: Path) -> None:
    answer = ask(tmp_path, "draw", "--epochs", "1", "--rounds", "1", "--set", "train.lr=1e30", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (4, "E_DIVERGED")
    assert "not finite after step 1" in answer.complaint


def test_second_writer(cli: Program, home: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "busy"):
        answer = cli("draw", "--out", str(tmp_path / "busy"), "--epochs", "1", "--rounds", "1", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (7, "E_LOCKED")
    assert f"process {os.getpid()} on " in answer.complaint
    assert list((tmp_path / "busy").iterdir()) == [tmp_path / "busy" / ".lock"]


def test_another_recipe_in_the_folder(cli: Program, ticket: Path) -> None:
    answer = cli("draw", "--out", str(ticket.parent), "--epochs", "1", "--rounds", "1", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (8, "E_MISMATCH")
    assert "draw.rounds was 2, is 1" in answer.complaint


@pytest.mark.parametrize("option", ["--workspace", "--out"])
def test_a_file_in_the_way(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("mine")
    answer = ask(tmp_path, "draw", option, "file", "--epochs", "1", "--rounds", "1", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (10, "E_RESOURCE")
    assert "file" in answer.complaint
    assert (tmp_path / "file").read_text() == "mine"


def _said(problem: BaseException, *words: str) -> tuple[int, str, str]:
    def run() -> None:
        raise problem

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["ticketctl", *words]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            return guarded(run), out.getvalue(), err.getvalue()
    finally:
        sys.argv = argv


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (UsageError("x"), 2),
        (ArtifactError("E_MASK_DIGEST", "x"), 3),
        (DivergedError("x"), 4),
        (UnavailableError("x"), 5),
        (MissingExtraError("x"), 6),
        (LockedError("x"), 7),
        (MismatchError("x"), 8),
        (HubError("x"), 9),
        (ResourceError("x"), 10),
        (MemoryError(), 10),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 10),
        (OSError(errno.EFBIG, "File too large"), 10),
        (TicketctlError("x"), 70),
        (ValueError("x\ny"), 70),
        (OSError("x"), 70),
        (StoppedError("x", 75), 75),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (SystemExit(3), 3),
    ],
)
def test_exit_codes(problem: BaseException, code: int) -> None:
    found, out, err = _said(problem, "--json")
    assert found == code
    if isinstance(problem, BrokenPipeError | SystemExit):
        assert (out, err) == ("", "")
        return
    assert json.loads(out)["error"]["exit_code"] == code
    assert err.count("\n") == 1
    assert err.startswith("ticketctl: ")
    assert _said(problem)[1] == ""


def test_a_name_that_no_file_can_have_is_the_users_mistake_and_is_cut_short(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long") as refused:
        (tmp_path / ("a" * 5000)).read_bytes()
    code, _, err = _said(refused.value)
    assert (code, err) == (
        2,
        f"ticketctl: a name is too long for a file: {str(tmp_path / ('a' * 60))[:60]}…\n",
    )


def test_the_trace_of_a_bug_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "TICKETCTL_DEBUG=1" in _said(ValueError("x"))[2]
    monkeypatch.setenv("TICKETCTL_DEBUG", "1")
    assert "Traceback" in _said(ValueError("x"))[2]


def _program() -> str:
    beside = Path(sys.executable).with_name("ticketctl")
    return str(beside) if beside.is_file() else shutil.which("ticketctl") or "ticketctl"


def _shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The installed console script, under bash."""
    environment = {**os.environ, "PROGRAM": _program(), "COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1"}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('"$PROGRAM" list methods | true; exit ${PIPESTATUS[0]}', 0),
        ('"$PROGRAM" draw --help | true; exit ${PIPESTATUS[0]}', 0),
        ('"$PROGRAM" list methods > /dev/full', 10),
        ('"$PROGRAM" list methods >&-', 0),
        ('"$PROGRAM" list nope 2>&-', 2),
        ('"$PROGRAM" list nope 2> /dev/full', 2),
        ('"$PROGRAM" list data <&-', 0),
        ('PYTHONIOENCODING=ascii LC_ALL=C "$PROGRAM" recipes base/lenet-300-100-digits', 0),
        ("\"$PROGRAM\" list --workspace $'\\xff\\x1b[31m'", 0),
    ],
)
def test_streams_that_fail(tmp_path: Path, line: str, code: int) -> None:
    done = _shell(line, tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.count("\n") <= 1
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tmp_path: Path) -> None:
    """File sizes are limited instead: the same refusals of the kernel, and no rights are needed."""
    draw = ("draw", "--epochs", "1", "--rounds", "1", "--json")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, before[1]))  # of this process: no cold start
    try:
        refused = ask(tmp_path, *draw)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.code == 10, refused.err
    assert refused.json["error"]["code"] == "E_RESOURCE"
    assert "cannot be written" in refused.err.splitlines()[-1]
    assert not list(tmp_path.rglob("*.ticketctl-tmp*"))
    assert not list(tmp_path.rglob("ticket.json"))
    assert ask(tmp_path, *draw).code == 0


@pytest.mark.long
def test_a_finished_draw_does_nothing(home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    words = " ".join(DRAW)
    done = _shell(f'PYTHONPROFILEIMPORTTIME=1 "$PROGRAM" {words} --json', home)
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    loaded = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "ticketctl.stages.finished" in loaded
    assert not {"torch", "huggingface_hub"} & loaded


def test_an_error_that_quotes_another_has_one_code_its_own() -> None:
    inner = ArtifactError("E_FORMAT", "a.npz: cut short")
    assert (inner.said, str(inner)) == ("a.npz: cut short", "a.npz: cut short [E_FORMAT]")
    outer = ArtifactError("E_VERDICT", f"b: its reports give no verdict: {inner}; look at c [1]")
    assert str(outer) == "b: its reports give no verdict: a.npz: cut short; look at c [1] [E_VERDICT]"


def _path_options() -> list[tuple[str, tuple[str, ...]]]:
    """Every command with each of its options that takes a path; with none, where that is an argument."""
    found = []
    for name, command in COMMANDS.items():
        for one in signature(command, eval_str=True).parameters.values():
            kind = get_args(one.annotation)[:1]
            if Path in (*kind, *(part for whole in kind for part in get_args(whole))):
                option = isinstance(one.annotation.__metadata__[0], OptionInfo)
                found.append((name, (f"--{one.name.replace('_', '-')}",) if option else ()))
    return found


NEEDED = {"mask": ("jaccard", "a", "b"), "push": ("a", "b/c"), "pull": ("hf://a/b",)}
NEEDED |= dict.fromkeys(("diff", "compare"), ("a", "b"))
NEEDED |= dict.fromkeys(("audit", "export", "import", "plan", "sweep", "collect", "reproduce"), ("a",))
"""Arguments that a command may have."""


@pytest.mark.parametrize(("command", "option"), _path_options(), ids=lambda words: "".join(words))
def test_a_path_below_the_home_of_nobody_is_refused_in_one_line(
    command: str, option: tuple[str, ...], bare: Program
) -> None:
    words = NEEDED.get(command, ()) if option else ()
    answer = bare(command, *words, *option, "~no-such-user/a")
    assert answer.code == 2, answer
    said = "ticketctl: ~no-such-user/a: this machine has no user no-such-user; write the whole path"
    assert answer.complaint == said


def test_paths_that_no_option_takes_are_refused_alike(bare: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "this machine has no user no-such-user" in bare("plan", "~no-such-user/grid.toml").complaint
    record = ("--set", "data.drop.record=~no-such-user", "--set", "data.drop.least_forgotten=0.1")
    assert "this machine has no user no-such-user" in bare("draw", "-q", *record).complaint
    monkeypatch.setenv("TICKETCTL_WORKSPACE", "~no-such-user")
    assert "this machine has no user no-such-user" in bare("list").complaint


def test_a_home_that_no_shell_expanded_is_the_home(
    read: Program, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(drawn))
    here = read("list", "--json").json["result"]
    assert read("list", "--workspace=~/runs", "--json").json["result"] == here != []
    monkeypatch.setenv("TICKETCTL_WORKSPACE", "~/runs")
    assert read("list", "--json").json["result"] == here
