"""inspect and verify of what lies beside a run: series along a training, compacted nets, reports, samples, verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import ask
from tests.test_startup import _loaded
from ticketctl.artifacts.compact import Compact, encode_compact
from ticketctl.artifacts.run import open_run
from ticketctl.store.tensors import Tensor

FORMATS = Path(__file__).parents[2] / "formats"
WATCHED = ("--set", "keep.metrics=['nll','gap']", "--set", "keep.every=2", "--set", "keep.lambda_max=1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ticket of which few channels are left, spent with metrics watched, audited and compacted."""
    folder = tmp_path_factory.mktemp("made")
    words = ("--method", "random", "--density", "0.01", "--epochs", "3", "--set", "train.threads=1", "-q")
    assert ask(folder, "draw", *words).code == 0
    answer = ask(folder, "spend", "-q", "--set", "spend.dense=false", *WATCHED)
    assert answer.code == 0, answer.err
    answer = ask(folder, "audit", _run(folder), "--metrics", "nll", "--compact", "-q", "--device", "cpu")
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


def _run(folder: Path) -> str:
    """The name of the spend's run."""
    (found,) = folder.glob("runs/*/*/seed-0/spends/*/1-seed-0")
    return found.relative_to(folder).as_posix()


def _rows(text: str, head: str) -> dict[str, list[str]]:
    """The lines of the table that begins so, by their first words."""
    lines = text.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith(head))
    rows = [line.split() for line in lines[begin + 1 :]]
    return {row[0]: row[1:] for row in rows if len(row) > 1}


# ------------------------------------------------------------------------------------------------ along a training


@pytest.mark.long
def test_a_run_tells_what_was_measured_along_its_training(made: Path) -> None:
    """Against the record as the safetensors library reads it."""
    record = load_file(made / _run(made) / "record.safetensors")
    rows = _rows(ask(made, "inspect", _run(made)).out, "along the training")
    assert set(rows) == {"nll", "gap", "train.accuracy", "lambda_max"}
    for name, (first, last, count, *epochs) in rows.items():
        values = record.get(f"metrics.{name}", record.get(name))
        assert values is not None
        assert [float(first), float(last)] == pytest.approx([values[0], values[-1]], rel=1e-5)
        assert (int(count), epochs) == (len(values), ["0", "to", "3"])
    told = ask(made, "inspect", _run(made), "--json").json["result"]["along"]
    assert told["nll"] == {"epochs": [0, 2, 3], "values": record["metrics.nll"].tolist()}
    assert told["lambda_max"] == {"epochs": [0, 1, 2, 3], "values": record["lambda_max"].tolist()}


def test_a_run_of_which_nothing_was_measured_along_the_way_has_no_such_table(made: Path) -> None:
    plain = next(made.glob("runs/*/*/seed-0/levels/1")).relative_to(made).as_posix()
    assert "along the training" not in ask(made, "inspect", plain).out
    assert ask(made, "inspect", plain, "--json").json["result"]["along"] == {}


def test_a_damaged_record_is_refused_by_inspect(home: Path) -> None:
    path = home / _run(home) / "record.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for more in ((), ("--json",)):
        answer = ask(home, "inspect", _run(home), *more)
        assert (answer.code, "E_FILE_DIGEST" in answer.complaint) == (3, True)


# --------------------------------------------------------------------------------------------------- compacted nets


def test_a_compacted_net_is_described_by_its_channels_before_and_after(made: Path) -> None:
    """Against the shapes in both files, as the safetensors library reads them."""
    folder = f"{_run(made)}/compact"
    was = load_file(made / _run(made) / "final.safetensors")
    now = load_file(made / folder / "final.safetensors")
    out = ask(made, "inspect", folder).out
    layers = _rows(out, "layer ")
    assert len(layers) == 3
    for name, words in layers.items():
        before, after = was[f"{name}.weight"].shape, now[f"net.{name}.weight"].shape
        assert words == [str(before[0]), "to", str(after[0]), str(before[1]), "to", str(after[1])]
    counts = [sum(value.size for value in was.values()), sum(v.size for k, v in now.items() if "net." in k)]
    assert f"values          {counts[0]:,} to {counts[1]:,}\n" in out
    assert counts[1] < counts[0] / 2
    record = ask(made, "inspect", f"{folder}/final.safetensors", "--json").json["result"]
    assert record["run"] == open_run(made / _run(made)).manifest.run_id
    assert f"digest          {record['digest']}\n" in out
    assert record["values"] == {"before": counts[0], "after": counts[1]}
    assert ask(made, "inspect", folder.removeprefix("runs/")).out == out


def test_a_compacted_net_is_verified_with_the_run_beside_it(made: Path) -> None:
    answer = ask(made, "verify", f"{_run(made)}/compact")
    assert answer.code == 0, answer.err
    assert [line.split()[:2] for line in answer.out.splitlines()[1:3]] == [["compact", "ok"], ["place", "ok"]]
    assert answer.out.endswith(f"compact {_run(made)}/compact: sound\n")


@pytest.mark.long
def test_none_of_it_imports_torch(made: Path) -> None:
    run = _run(made)
    names = (run, f"{run}/compact", f"{run}/reports", f"{run}/samples")
    for line, loaded in _loaded(
        made, *(f"{word} {name}" for word in ("inspect", "verify") for name in names)
    ).items():
        assert "torch" not in loaded, line


def test_a_compacted_net_away_from_its_run_is_told_without_what_was_before(
    made: Path, tmp_path: Path
) -> None:
    (tmp_path / "compact").mkdir()
    shutil.copy(made / _run(made) / "compact/final.safetensors", tmp_path / "compact")
    answer = ask(tmp_path, "inspect", "compact")
    assert answer.code == 0, answer.err
    assert "values          ? to " in answer.out
    assert "?: the run that it was made of is not beside it" in answer.out
    assert ask(tmp_path, "verify", "compact").code == 0


def _refused(home: Path, name: str, code: str) -> None:
    for command in ("inspect", "verify"):
        answer = ask(home, command, name)
        assert answer.code == 3, (command, answer.out, answer.err)
        assert f"[{code}" in answer.complaint, answer.complaint


def test_a_compacted_net_that_is_spoiled_or_anothers_is_refused(home: Path) -> None:
    folder = home / _run(home) / "compact"
    sound = (folder / "final.safetensors").read_bytes()
    (folder / "final.safetensors").write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    _refused(home, f"{_run(home)}/compact", "E_WEIGHTS_DIGEST")
    (folder / "final.safetensors").write_bytes(sound[:-1])
    _refused(home, f"{_run(home)}/compact", "E_FORMAT")
    other = next(home.glob("runs/*/*/seed-0/levels/1")) / "compact"
    other.mkdir()
    (other / "final.safetensors").write_bytes(sound)
    _refused(
        home, other.relative_to(home).as_posix(), "E_WEIGHTS_DIGEST"
    )  # of another recipe, so another run


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"fc1": [0, 300]}, "fc1: place 300 of 300 in the run's net"),
        ({"nonesuch": [0]}, "nonesuch: place 0 of 0 in the run's net"),
    ],
)
def test_channels_that_the_run_does_not_have_are_refused(
    rows: dict[str, list[int]], says: str, home: Path
) -> None:
    manifest = open_run(home / _run(home)).manifest
    places = {name: np.array(place) for name, place in rows.items()}
    weights = {"fc1.bias": Tensor.of(np.zeros(2, "<f4"))}
    forged = Compact(manifest.run_id, manifest.weights.digest, (1, 8, 8), weights, places, {})
    (home / _run(home) / "compact/final.safetensors").write_bytes(encode_compact(forged))
    _refused(home, f"{_run(home)}/compact", "E_ARCH_MISMATCH")
    assert says in ask(home, "inspect", f"{_run(home)}/compact").complaint


def test_every_hostile_compacted_net_of_the_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compact").mkdir()
    hostile = sorted((FORMATS / "compact/v1/invalid").glob("*.safetensors"))
    assert len(hostile) > 20
    for path in hostile:
        shutil.copy(path, tmp_path / "compact/final.safetensors")
        _refused(tmp_path, "compact", "E_")  # of a file that names another kind, that kind's code


# ----------------------------------------------------------------------------------------- reports, samples, verdicts


def test_the_folders_of_reports_and_samples_show_what_lies_in_them(made: Path) -> None:
    (report,) = (made / _run(made) / "reports").iterdir()
    shown = ask(made, "inspect", f"{_run(made)}/reports").out
    assert shown == ask(made, "inspect", report.relative_to(made).as_posix()).out
    (row,) = ask(made, "inspect", f"{_run(made)}/reports", "--json").json["result"]["metrics"]
    assert _rows(shown, "metric ")["nll"][:3] == [f"{row['value']:.6g}", f"{row['error']:.2g}", "359"]
    assert "set test: 359 images in 10 classes" in ask(made, "inspect", f"{_run(made)}/samples").out
    answer = ask(made, "inspect", f"{_run(made)}/samples", "--level", "1")
    assert (answer.code, "for tickets and runs" in answer.complaint) == (2, True)


def test_several_files_of_a_folder_are_told_one_after_the_other(home: Path) -> None:
    folder = home / _run(home) / "samples"
    shutil.copy(FORMATS / "samples/v1/golden/plain.safetensors", folder / "golden.safetensors")
    shown = ask(home, "inspect", f"{_run(home)}/samples").out
    assert [line.split("/")[-1] for line in shown.splitlines() if line.startswith("file ")] == [
        "golden.safetensors",
        "test.safetensors",
    ]
    record = ask(home, "inspect", f"{_run(home)}/samples", "--json").json["result"]
    assert [one["set"] for one in record["files"]][1] == "test"
    shutil.copy(FORMATS / "compact/v1/golden/whole.safetensors", folder / "odd.safetensors")
    _refused(home, f"{_run(home)}/samples", "E_FORMAT")


def test_a_verdict_is_shown_by_the_folder_that_holds_it_alone(tmp_path: Path) -> None:
    golden = FORMATS / "verdict/v1/golden"
    shutil.copytree(golden / "pass", tmp_path / "runs/verdicts/verdict-a")
    shown = ask(tmp_path, "inspect", "runs/verdicts/verdict-a")
    assert shown.code == 0, shown.err
    for name in ("runs/verdicts", "verdicts", "verdicts/verdict-a", "runs/verdicts/verdict-a/verdict.json"):
        assert ask(tmp_path, "inspect", name).out.splitlines()[:-1] == shown.out.splitlines()[:-1]
    assert ask(tmp_path, "verify", "runs/verdicts").out.endswith(" runs/verdicts/verdict-a: sound\n")
    assert ask(tmp_path, "inspect", "verdicts", "--show-recipe").code == 2
    shutil.copytree(golden / "fail", tmp_path / "runs/verdicts/verdict-b")
    for command in ("inspect", "verify"):
        answer = ask(tmp_path, command, "runs/verdicts")
        assert answer.code == 2
        assert answer.complaint.endswith("holds 2 verdicts; name one: verdict-a, verdict-b")


def test_a_folder_of_nothing_is_no_ticket(tmp_path: Path) -> None:
    for name in ("compact", "reports", "verdicts"):
        (tmp_path / name).mkdir()
        answer = ask(tmp_path, "inspect", name)
        assert (answer.code, "no ticket" in answer.complaint) == (2, True)
