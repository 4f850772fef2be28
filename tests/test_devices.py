"""`--devices N`: one run on several processes ends where it ends on one, whatever happens to them meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import ask
from tests.stages import tiny
from tests.warm import QUIET, Child, Warm
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.cli import ranks
from ticketctl.errors import MismatchError, StoppedError
from ticketctl.stages import spend as spend_stage
from ticketctl.stages.by_devices import check_spent, drawn_alike
from ticketctl.stages.request import Typed
from ticketctl.stages.wallet import Job, Wanted, prepare_spend

CPU = ("--device", "cpu", "--set", "train.precision=f32", "--set", "train.threads=1")
DRAW = ("draw", "--rounds", "2", "--epochs", "1", *CPU)
LONG = ("draw", "--rounds", "1", "--epochs", "30", *CPU)


def begin(folder: Path, *words: str) -> Child:
    """`ticketctl WORDS` in `folder`, in a process of its own."""
    place = folder / f"said-{len([*folder.glob('said-*')])}"
    place.mkdir()
    environment = {**os.environ, **QUIET}
    return Warm.one().begin(["ticketctl", *words], folder, environment, place / "out", place / "err")


def answer(folder: Path, *words: str) -> tuple[int, str, str]:
    child = begin(folder, *words)
    out, err = child.communicate()
    assert child.returncode is not None
    return child.returncode, out, err


def drawn(folder: Path, *words: str) -> None:
    code, _, err = answer(folder, *words)
    assert code == 0, err


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def ranks_of(child: Child) -> list[int]:
    """Its processes."""
    return [int(word) for word in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]


def gone(pids: Sequence[int]) -> bool:
    """Whether none of them runs any more; one that nobody has waited for yet does not."""

    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "X"

    return all(state(pid) in "ZX" for pid in pids)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same draw by one process, in `one`, and by two, in `two`."""
    folder = tmp_path_factory.mktemp("pair")
    drawn(folder, *DRAW, "--out", "one")
    drawn(folder, *DRAW, "--out", "two", "--devices", "2")
    return folder


# ------------------------------------------------------------------------------------------------------ the same run


def test_two_processes_draw_the_ticket_of_one(pair: Path) -> None:
    one, two = (open_ticket(pair / name / "ticket") for name in ("one", "two"))
    for level in range(3):
        ours, theirs = two.mask(level), one.mask(level)
        assert all(np.array_equal(ours[name], keep) for name, keep in theirs.items())
    assert two.manifest.ticket_id == one.manifest.ticket_id
    assert two.manifest.draw.recipe == one.manifest.draw.recipe


def test_their_nets_differ_by_rounding_alone(pair: Path) -> None:
    for level in range(3):
        one, two = (open_run(pair / name / "levels" / str(level)) for name in ("one", "two"))
        ours, theirs = two.weights(), one.weights()
        assert max(np.abs(ours[name].array() - value.array()).max() for name, value in theirs.items()) < 1e-5
        for metric, value in one.manifest.metrics.items():
            assert float(two.manifest.metrics[metric]) == pytest.approx(float(value), abs=1e-5)


def test_the_ticket_of_two_processes_verifies(pair: Path) -> None:
    found = ask(pair, "verify", "two/ticket")
    assert found.code == 0
    assert "sound" in found.out


def test_the_number_of_devices_is_written_down_where_it_is_not_one(pair: Path) -> None:
    environments = [
        json.loads((pair / name / "ticket" / "provenance.json").read_text())["environment"]
        for name in ("one", "two")
    ]
    assert "devices" not in environments[0]
    assert environments[1]["devices"] == "2"
    runs = [open_run(pair / name / "levels" / "0").manifest for name in ("one", "two")]
    assert runs[0].training_id != runs[1].training_id  # other bits are another training


def test_rank_0_alone_writes_and_speaks(pair: Path) -> None:
    said = sorted(pair.glob("said-*"))[1]
    assert (said / "out").read_text().count("ticket tk1") == 1
    assert (said / "err").read_text().count("repeat with: ") == 1
    assert "--devices 2" in (said / "err").read_text()
    assert tiny.files_below(pair / "two").keys() == tiny.files_below(pair / "one").keys()


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--devices", "0"), 2, "--devices"),
        (("--devices", "2", "--device", "cuda:1"), 2, "--device cuda:1 is one GPU"),
        (("--devices", "64", "--device", "cuda"), 5, "GPU"),
        (("--devices", "2", "--model", "nonsense"), 2, "nonsense"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_started(
    words: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    found = ask(tmp_path, "draw", *words)
    assert found.code == code
    assert said in found.complaint
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_says_the_least_time_of_so_many_devices(tmp_path: Path) -> None:
    words = ("draw", "--rounds", "1", "--epochs", "1", "--device", "cpu", "--devices", "3", "--dry-run")
    told = ask(tmp_path, *words)
    assert told.code == 0
    (line,) = [line for line in told.out.splitlines() if line.startswith("devices ")]
    assert line.split()[1] == "3,"
    assert "at least that long" in line
    assert "--devices 3" in told.repeat
    (result,) = ask(tmp_path, *words, "--json").json["result"]
    assert result["devices"] == 3
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_of_one_device_says_nothing_of_several(tmp_path: Path) -> None:
    told = ask(tmp_path, "draw", "--rounds", "1", "--epochs", "1", "--device", "cpu", "--dry-run", "--json")
    assert "devices" not in told.json["result"][0]


def test_a_dry_run_of_a_spend_prices_what_the_devices_share(pair: Path) -> None:
    words = ("spend", "one", *CPU, "--set", "train.lr=0.01", "--devices", "2", "--dry-run")
    assert "devices     2, each timed alone" in ask(pair, *words).out
    assert ask(pair, *words, "--json").json["result"]["cost"]["devices"] == 2
    refused = ask(pair, *words, "--set", "spend.optimizer=kept")
    assert refused.code == 2
    assert "not supported on several devices" in refused.complaint


@pytest.mark.parametrize(("name", "begun"), [("one", 1), ("two", 2)])
def test_levels_drawn_on_another_number_of_devices_are_not_there_for_a_spend(
    name: str, begun: int, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pair)
    chosen = prepare_spend(Wanted(name, "all", None, False, Path("runs"), Typed()))
    for devices in (1, 2, 3):
        jobs, said = drawn_alike(chosen.jobs, devices)
        assert [job.ready for job in jobs] == [devices == begun] * 3
        assert ["levels 0, 1, 2: drawn with --devices" in text for text in said] == [True] * (
            devices != begun
        )


@pytest.mark.long
def test_a_dry_run_of_a_spend_says_of_another_number_what_the_spend_then_does(
    pair: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(pair / name, tmp_path / name)
    words = ("spend", "two", "--level", "2", *CPU[:2])
    told = ask(tmp_path, *words, "--dry-run", "--json", "-q")
    assert [run["ready"] for run in told.json["result"]["runs"]] == [False, False]
    assert told.json["result"]["cost"]["trainings"] == 2
    real = ask(tmp_path, *words)
    assert "levels 0, 2: drawn with --devices 2" in real.err
    assert "2 trainings" in real.err
    assert len([*tmp_path.glob("two/spends/*/*/run.json")]) == 2
    for more, code in (
        ((), 0),
        (("--devices", "2"), 0),
        (("--devices", "3"), 8),
    ):  # the spend's, the draw's, nobody's
        assert ask(tmp_path, *words, *more, "--dry-run", "-q").code == code
    words = (*words, "--set", "train.lr=0.01")
    drawn(tmp_path, *words, "--devices", "2")
    assert "all 2 runs are there" in ask(tmp_path, *words, "--devices", "2", "--dry-run", "-q").out
    told, real = ask(tmp_path, *words, "--dry-run"), ask(tmp_path, *words)
    assert (told.code, real.code) == (8, 8)
    assert "0-seed-0: holds a run of --devices 2, and other numbers give other bits" in told.complaint


def test_a_dry_run_refuses_to_go_on_with_a_draw_on_another_number_as_the_draw_does(
    pair: Path, tmp_path: Path
) -> None:
    shutil.copytree(pair / "two", tmp_path / "two")
    (tmp_path / "two" / "ticket" / "ticket.json").unlink()  # as if it were not done
    words = (*DRAW, "--out", "two", "-q")
    told, real = ask(tmp_path, *words, "--dry-run"), ask(tmp_path, *words)
    assert (told.code, real.code) == (8, 8)
    assert told.complaint == real.complaint
    assert "begun with --devices 2" in told.complaint


@pytest.mark.long
@pytest.mark.parametrize(("begun", "code"), [("2", 8), ("1", 0), ("", 0)])  # "": by an older version
def test_a_spend_that_was_stopped_goes_on_with_its_own_number_and_a_dry_run_says_so(
    begun: str, code: int, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pair / "one", tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    words = ("spend", "one", "--level", "1", "--set", "train.lr=0.01", *CPU)
    asked = Typed(sets=("train.lr=0.01", *CPU[3::2]))
    chosen = prepare_spend(Wanted("one", "1", None, False, Path("runs"), asked))
    work = chosen.jobs[-1].folder / "work"
    sessions = json.loads((pair / "two/ticket/provenance.json").read_text())["sessions"]
    assert [one["devices"] for one in sessions] == ["2"]
    work.mkdir(parents=True)
    said = {key: value for key, value in sessions[0].items() if key != "devices"}
    (work / "sessions.json").write_text(json.dumps([said | ({"devices": begun} if begun else {})]))
    told = ask(tmp_path, *words, "--dry-run", "-q")
    assert told.code == code
    before = tiny.files_below(work)
    real = ask(tmp_path, *words, "-q")
    assert real.code == code
    if code:
        assert real.complaint == told.complaint
        assert "begun with --devices 2, and other numbers give other bits; go on with" in told.complaint
        assert tiny.files_below(work) == before
        dense = ask(tmp_path, *words[:2], "--level", "0,1", *words[4:], "-q")
        assert dense.complaint == told.complaint  # before the dense net is trained
        assert not (chosen.jobs[-1].folder.parent / "0-seed-0").exists()


def test_a_spend_asks_at_once_of_all_but_the_dense_net_which_may_lie_elsewhere(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pair)
    chosen = prepare_spend(Wanted("one", "all", None, False, Path("runs"), Typed(), ("ls",)))
    assert [(job.level, job.tweaks) for job in chosen.jobs if not job.level] == [(0, ()), (0, ("ls",))]
    asked: list[Job] = []

    def ask_all(jobs: Sequence[Job], devices: int) -> None:
        asked.extend(jobs)
        raise StoppedError("seen", 130)

    monkeypatch.setattr(spend_stage, "check_spent", ask_all)
    with pytest.raises(StoppedError):
        [*spend_stage.spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, tiny.around(tmp_path))]
    assert asked == [job for job in chosen.jobs if job.level or job.tweaks]


@pytest.mark.parametrize(
    ("owner", "refused"),
    [(os.getpid(), False), (2**22 + 1, True), (None, True)],
    ids=["alive", "killed", "none"],
)
def test_a_run_that_somebody_is_at_is_not_asked_how_many_they_are(
    owner: int | None, refused: bool, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pair / "one", tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    asked = Typed(sets=("train.lr=0.01",))
    jobs = prepare_spend(Wanted("one", "1", None, False, Path("runs"), asked)).jobs[-1:]
    work = jobs[0].folder / "work"
    work.mkdir(parents=True)
    (work / "sessions.json").write_text('[{"devices": "2"}]')
    if owner is not None:
        said = {"pid": owner, "host": socket.gethostname()}
        (jobs[0].folder / ".lock-owner.json").write_text(json.dumps(said))
    with pytest.raises(MismatchError, match="begun with --devices 2") if refused else nullcontext():
        check_spent(jobs, 1)
    check_spent(jobs, 2)


@pytest.mark.long
def test_a_draw_that_is_done_is_found_whatever_the_number_and_its_dry_run_says_so(pair: Path) -> None:
    words = (*DRAW, "--out", "one", "--devices", "2")
    told, real = ask(pair, *words, "--dry-run"), ask(pair, *words)
    assert "this ticket is already drawn" in told.err
    assert "this ticket is already drawn" in real.err
    assert told.repeat == real.repeat


@pytest.mark.parametrize(("device", "code"), [("cuda:1", 2), ("cuda", 5)])
def test_a_dry_run_refuses_devices_that_are_not_there(device: str, code: int, pair: Path) -> None:
    more = ("--devices", "64", "--device", device, "--dry-run")
    assert ask(pair, "draw", *more).code == code
    assert ask(pair, "spend", "one", "--set", "train.lr=0.01", *more).code == code


def test_a_command_that_torchrun_started_must_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)
    found = ask(tmp_path, "draw", "--devices", "2")
    assert found.code == 2
    assert "say --devices 4" in found.complaint


@pytest.mark.parametrize(
    ("codes", "failed", "code"),
    [
        ((0, 0), 0, 0),
        ((75, 75), 0, 75),
        ((8, 10), 0, 8),  # rank 1 lost rank 0, which had said what is wrong
        ((10, 70), 1, 70),  # the other way round
        ((2, -9), 0, 2),  # rank 1 was ended by us
    ],
)
def test_the_exit_code_is_that_of_the_rank_that_knows(
    codes: tuple[int, ...], failed: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ranks._outcome(codes, failed) == code
    assert ("rank 1 ended with exit code 70" in capsys.readouterr().err) == (code == 70)


def test_a_finished_draw_is_found_without_processes(pair: Path) -> None:
    found = ask(pair, *DRAW, "--out", "two", "--devices", "2")
    assert found.code == 0
    assert "already drawn" in found.err


# ------------------------------------------------------------------------------------------------- killed and gone on


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    drawn(folder, *LONG, "--out", "draw", "--devices", "2")
    return tiny.files_below(folder / "draw")


def midway(folder: Path) -> Child:
    """A draw by two processes, in its second training."""
    child = begin(folder, *LONG, "--out", "draw", "--devices", "2")
    first, second = (folder / "draw" / "work" / "fits" / name for name in ("000", "001"))
    until(
        lambda: (
            ((first / "record.safetensors").exists() and (second / "events.jsonl").exists())
            or bool(child.poll())
        )
    )
    return child


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_stopped_it_leaves_a_checkpoint_and_goes_on_to_the_same_bytes(
    number: signal.Signals, code: int, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    child = midway(tmp_path)
    pids = ranks_of(child)
    began = time.monotonic()
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == code, err
    assert time.monotonic() - began < 5
    assert err.count("the same command goes on from here") == 1
    assert gone(pids)
    assert (tmp_path / "draw" / "work" / "fits" / "001" / "checkpoint.safetensors").exists()
    drawn(tmp_path, *LONG, "--out", "draw", "--devices", "2")
    assert tiny.files_below(tmp_path / "draw") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["all", "rank 0", "rank 1", "the command"])
def test_killed_it_ends_and_goes_on_to_the_same_bytes(
    whom: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    child = midway(tmp_path)
    pids = ranks_of(child)
    assert len(pids) == 2
    killed = {
        "all": [child.pid, *pids],
        "rank 0": pids[:1],
        "rank 1": pids[1:],
        "the command": [child.pid],
    }[whom]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    _, err = child.communicate(timeout=60)
    if whom.startswith("rank"):
        assert child.returncode == 10, err
        assert f"{whom} of 2 was ended by SIGKILL" in err
        assert "Traceback" not in err
    until(lambda: gone(pids))
    drawn(tmp_path, *LONG, "--out", "draw", "--devices", "2")
    assert tiny.files_below(tmp_path / "draw") == undisturbed


@pytest.mark.slow
def test_another_number_of_devices_does_not_go_on(tmp_path: Path) -> None:
    for begun, now in (("1", "2"), ("2", "1")):
        folder = tmp_path / f"{begun}-{now}"
        folder.mkdir()
        child = begin(folder, *LONG, "--out", "draw", "--devices", begun)
        until(lambda: (folder / "draw" / "work" / "fits" / "001").exists() or bool(child.poll()))  # noqa: B023  # called before the next turn
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=30)
        code, _, err = answer(folder, *LONG, "--out", "draw", "--devices", now)
        assert code == 8
        assert f"begun with --devices {begun}, and other numbers give other bits" in err


# --------------------------------------------------------------------------------------------------------------- slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        ("--method", "rigl", "--sparsity", "0.8", "--set", "draw.every=5it"),
        ("--method", "gmp", "--sparsity", "0.8"),
        ("--method", "snip", "--sparsity", "0.8"),
        ("--method", "synflow", "--sparsity", "0.8"),
        ("--method", "supermask", "--sparsity", "0.8"),
        ("--method", "imp", "--rounds", "1", "--rewind", "5it"),
    ],
    ids=lambda words: words[1],
)
def test_every_kind_of_method_draws_the_same_masks(method: tuple[str, ...], tmp_path: Path) -> None:
    words = ["draw", *method, "--epochs", "1", *CPU]
    drawn(tmp_path, *words, "--out", "one")
    drawn(tmp_path, *words, "--out", "two", "--devices", "2")
    one, two = (open_ticket(tmp_path / name / "ticket").mask() for name in ("one", "two"))
    assert all(np.array_equal(two[name], keep) for name, keep in one.items())


@pytest.mark.slow
def test_a_draw_whose_loss_is_no_mean_over_images_is_refused(tmp_path: Path) -> None:
    words = ["draw", "--method", "nm", "--set", "draw.when=sr-ste", "--epochs", "1", *CPU]
    code, _, err = answer(tmp_path, *words, "--devices", "2")
    assert code == 2
    assert "sr-ste is not supported on several devices" in err


@pytest.mark.slow
def test_a_spend_with_tweaks_is_that_of_one_process_and_found_again(pair: Path) -> None:
    words = ["spend", "--seed", "1", "--level", "2", "--tweaks", "ls,sam", *CPU[:2]]
    for name, devices in (("one", "1"), ("two", "2")):
        code, _, err = answer(pair, words[0], f"{name}/ticket", *words[1:], "--devices", devices)
        assert code == 0, err
    ours = sorted((pair / "two").glob("spends/*/*"))
    assert len(ours) == 3
    for folder in ours:
        one, two = open_run(pair / "one" / folder.relative_to(pair / "two")), open_run(folder)
        theirs = one.weights()
        assert (
            max(np.abs(two.weights()[name].array() - value.array()).max() for name, value in theirs.items())
            < 1e-4
        )
        assert two.manifest.recipe == one.manifest.recipe
    before = {path: path.stat().st_mtime_ns for path in (pair / "two").rglob("run.json")}
    code, _, err = answer(pair, words[0], "two/ticket", *words[1:], "--devices", "2")
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    code, _, err = answer(pair, words[0], "two/ticket", *words[1:], "--devices", "1")
    assert code == 8
    assert "holds a run of another training" in err


@pytest.mark.slow
def test_ranks_may_be_spawned_as_they_are_for_gpus(tmp_path: Path) -> None:
    """The way of starting that GPUs need, on a CPU."""
    script = tmp_path / "spawned.py"
    script.write_text(
        "import sys\n"
        "from ticketctl.cli import ranks\n"
        "if __name__ == '__main__':\n"
        f"    sys.argv = {['ticketctl', *DRAW, '--out', 'two', '--devices', '2']!r}\n"
        "    sys.exit(ranks.start(2, 'cpu', 'spawn'))\n"
    )
    out, err = tmp_path / "out", tmp_path / "err"
    child = Warm.one().begin(["python", str(script)], tmp_path, {**os.environ, **QUIET}, out, err)
    assert child.wait() == 0, err.read_text()
    assert ask(tmp_path, "verify", "two/ticket").code == 0


@pytest.mark.slow
def test_torchrun_may_start_the_ranks(tmp_path: Path) -> None:
    words = [
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "ticketctl",
        *DRAW,
        "--out",
        "two",
        "--devices",
        "2",
    ]
    out, err = tmp_path / "out", tmp_path / "err"
    argv = ["python", "-m", "torch.distributed.run", *words]
    child = Warm.one().begin(argv, tmp_path, {**os.environ, **QUIET}, out, err)
    assert child.wait() == 0, err.read_text()
    assert out.read_text().count("ticket tk1") == 1
    assert ask(tmp_path, "verify", "two/ticket").code == 0
