"""What a tweak says that changes how a result is to be read: it stays with the run, and is said again of one found."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.stages import tiny
from ticketctl.errors import StoppedError
from ticketctl.stages.spent import as_record, table
from ticketctl.store.tensors import pack_tensors, parse_tensors

SAYS = "of the average is the net after the first of 10 steps"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remarks") / "d"
    tiny.draw(folder, "draw.rounds=1")
    return folder


def test_it_is_in_the_runs_account_whether_the_run_was_trained_or_found(drawn: Path) -> None:
    for _ in range(2):
        heard = tiny.Heard()
        spent = tiny.spend(drawn, levels="1", tweaks=["ema"], reporter=heard)
        plain, ema = [one for one in spent if one.level]
        assert plain.remarks == ()
        assert [SAYS in text for text in ema.remarks] == [True]
        assert ema.run.manifest.ext["ticketctl.tweaks"]["remarks"] == list(ema.remarks)
        assert set(ema.remarks) <= set(heard.notes)
        records = [as_record(row) for row in table(spent)]
        assert [record["remarks"] for record in records] == [[], [], list(ema.remarks)]


def test_a_training_that_was_stopped_keeps_it(drawn: Path) -> None:
    kept = []
    for number, stops in enumerate(((10**9,), (20, 10**9), (20, 30, 10**9))):
        for polls in stops:
            left = iter(range(10**9))
            with suppress(StoppedError):
                spent = tiny.spend(
                    drawn, f"tweaks.ema.decay=0.99{5 + number}", levels="1", tweaks=["ema"],
                    stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None,
                )  # fmt: skip
        kept.append(spent[-1].remarks)
    assert [SAYS in text for remarks in kept for text in remarks] == [True] * 3


@pytest.mark.long
@pytest.mark.parametrize(
    ("tweak", "sets", "says"),
    [
        ("ema", (), SAYS),
        ("swa", ("tweaks.swa.lr=0.01",), "the last alone is averaged"),
        ("acdc", (), "of 5 compressed phases"),
        ("swish", ("tweaks.swish.fade=1/20",), "has a step of it"),
    ],
)
def test_a_checkpoint_of_a_version_that_kept_none_ends_in_the_same_run(
    tmp_path: Path, drawn: Path, tweak: str, sets: tuple[str, ...], says: str
) -> None:
    """Each is said in the process that begins a training and in those that go on with it, in the same words."""
    old, whole = tmp_path / "old", tmp_path / "whole"
    for folder in (old, whole):
        shutil.copytree(drawn, folder, ignore=shutil.ignore_patterns("spends"))

    def after_an_epoch() -> int | None:
        events = list(old.glob("spends/**/events.jsonl"))
        return 75 if events and len(events[0].read_bytes().splitlines()) == 2 else None

    with pytest.raises(StoppedError):
        tiny.spend(old, *sets, levels="1", tweaks=[tweak], stop=after_an_epoch)
    (checkpoint,) = old.glob("spends/**/checkpoint.safetensors")
    assert _forget_remarks(checkpoint) == tiny.PER_EPOCH + 1
    heard = tiny.Heard()
    assert tiny.spend(old, *sets, levels="1", tweaks=[tweak], reporter=heard)[-1].remarks
    assert any(says in text for text in heard.notes)
    tiny.spend(whole, *sets, levels="1", tweaks=[tweak])
    ours, theirs = (tiny.files_below(folder / "spends") for folder in (old, whole))
    assert ours == theirs


def _forget_remarks(checkpoint: Path) -> int:
    """Makes it one of an older version; the step that it was written at."""
    tensors, metadata = parse_tensors(checkpoint.read_bytes(), where="checkpoint")
    notes = json.loads(metadata["ticketctl"])
    assert notes.pop("remarks")
    checkpoint.write_bytes(pack_tensors(tensors, {"ticketctl": json.dumps(notes)}))
    return int(notes["step"])


def test_a_training_that_is_long_enough_has_none(drawn: Path) -> None:
    spent = tiny.spend(drawn, "tweaks.ema.decay=0.5", levels="1", tweaks=["ema"])
    assert "remarks" not in spent[-1].run.manifest.ext["ticketctl.tweaks"]


def test_it_is_said_once_in_a_command_under_quiet_too_and_inspect_shows_it(tmp_path: Path) -> None:
    assert ask(tmp_path, "draw", "--epochs", "1", "--rounds", "1", "--quiet").code == 0
    words = ("spend", "--tweaks", "ema", "--seed", "0-2", "--set", "spend.dense=false")
    for more in ((), ("--quiet",), ("--json",)):
        answer = ask(tmp_path, *words, *more)
        assert answer.code == 0
        assert answer.err.count("of the average is the net after the first") == 1, more
    folder = next((tmp_path / "runs").glob("*/*/*/spends/*/1-seed-0"))
    shown = [
        ask(tmp_path, "inspect", str(path.parent)).out
        for path in folder.parents[1].glob("*/1-seed-0/run.json")
    ]
    assert sum("remark  ema: " in text for text in shown) == 1
