"""`ticketctl benchmark`: what it prints, writes and refuses, and that Ctrl-C ends it at once."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Program, ask
from tests.stages.test_benchmarking import at_a_glance
from tests.warm import QUIET, Warm
from ticketctl.cli.benchmark import load_told, long
from ticketctl.stages.benchmark_aims import judged
from ticketctl.stages.benchmark_record import Busy, LeftOut, Record, Spread, read_record

WORDS = (
    "benchmark",
    "--nets",
    "resnet20s,lenet-300-100",
    "--batch",
    "16",
    "--seconds",
    "120",
    "--threads",
    "1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In which a benchmark was typed, with its record and what it printed as an object; nobody changes it."""
    place = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        at_a_glance(patch)
        answer = ask(place, *WORDS, "--device", "cpu", "--json", "--out", "record.json")
    assert answer.code == 0, answer.err
    (place / "printed.json").write_text(answer.out)
    (place / "notes.txt").write_text(answer.err)
    return place


@pytest.fixture
def again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """The record, which is found again instead of measured."""
    found = read_record(folder / "record.json")
    monkeypatch.setattr("ticketctl.stages.benchmark.benchmark", lambda cases, site, seconds: found)
    return found


def test_json_is_one_object_with_the_whole_record_and_the_file_has_the_same(folder: Path) -> None:
    printed = json.loads((folder / "printed.json").read_text())["result"]
    assert printed == json.loads((folder / "record.json").read_text())
    assert printed["format"] == "ticketctl.benchmark.v1"
    assert printed["machine"]["threads"] == 1
    assert {"device", "device_name", "torch", "cpu_capability"} <= set(printed["machine"])
    assert {"median", "least", "most", "unsure"} == set(printed["peak"]["flop_per_second"])
    assert [net["net"] for net in printed["nets"]] == ["resnet20s", "lenet-300-100"]
    assert {path.name for path in folder.iterdir()} == {"record.json", "printed.json", "notes.txt"}


def test_progress_is_on_stderr_and_quiet_says_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lenet-300-100, batch 16: its first step\n" in (folder / "notes.txt").read_text()
    at_a_glance(monkeypatch)
    assert ask(folder, *WORDS[:2], "lenet-300-100", *WORDS[3:], "--quiet", "--device", "cpu").err == ""


def test_the_tables_name_every_figure_and_the_aims_beside_them(folder: Path, again: Record) -> None:
    lenet = again.nets[1]
    lines = ask(folder, *WORDS).out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["device", "torch", "peak", "load"]
    assert lines[5].split()[:6] == ["net", "batch", "precision", "images/s", "least", "most"]
    speed = next(line.split() for line in lines if line.startswith("lenet-300-100  "))
    assert speed[1:4] == ["16", lenet.precision, f"{lenet.images_per_second.median:,.0f}"]
    costs = [line for line in lines if "mask cost" in line]
    assert "C4: at most 3 %" in costs[1]
    assert ("met" in costs[1]) or ("missed" in costs[1]) or ("not judged: uneven" in costs[1])
    assert "C4" not in costs[0]  # resnet20s has no aim of its own
    assert sum("loader over a PIL DataLoader  C1: at least 25" in line for line in lines) == 1


def test_what_is_unsure_has_a_sign_beside_it_and_what_was_left_out_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_record(folder / "record.json")
    sure, unsure = (Spread(median=1.58, least=0.67, most=2.62, unsure=unsure) for unsure in (False, True))
    figures = ("share_of_peak", "mask_cost", "loader_us", "loader_over_pictures", "images_per_second")
    resnet, lenet = (net.model_copy(update=dict.fromkeys(figures, sure)) for net in found.nets)
    nets = (
        resnet.model_copy(update={"share_of_bare": unsure}),
        lenet.model_copy(update={"share_of_bare": sure, "images_per_second": unsure}),
    )
    left = LeftOut(net="vgg16", batch=16, round_seconds=12.0, wanted_seconds=99)
    shown = found.model_copy(update={"nets": nets, "left_out": (left,)})
    monkeypatch.setattr("ticketctl.stages.benchmark.benchmark", lambda cases, site, seconds: shown)
    lines = ask(folder, *WORDS).out.splitlines()
    bare = [line for line in lines if "share of a bare loop" in line]
    assert bare[0].split()[-4:] == ["1.58", "?", "0.67", "2.62"]
    assert bare[1].split()[-3:] == ["1.58", "0.67", "2.62"]
    assert "?" not in bare[1]
    speeds = [line for line in lines if re.match(r"(resnet20s|lenet-300-100)  +16 ", line)]
    assert [line.count(" ?") for line in speeds] == [
        0,
        2,
    ]  # images a second, and the ladder that follows from them
    assert (
        sum(line.startswith("vgg16, batch 16: not timed: one round takes up to 12 s") for line in lines) == 1
    )
    assert sum(line.startswith("?: unsure, and not judged") for line in lines) == 1


def test_a_record_is_compared_with_itself_at_one(folder: Path, again: Record) -> None:
    lines = ask(folder, *WORDS, "--compare", "record.json").out.splitlines()
    table = lines[next(place for place, line in enumerate(lines) if line.endswith("now / then")) + 1 :]
    assert [line.split()[-1] for line in table] == ["1.000"] * len(table)
    assert table[0].startswith("matmul")
    compared = ask(folder, *WORDS, "--compare", "record.json", "--json").json["result"]["compared"]
    assert len(compared) == len(table)
    assert {one["ratio"] for one in compared} == {1.0}


def test_of_a_gpu_the_aims_of_an_h100_are_shown_and_nets_without_a_graph_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_record(folder / "record.json")
    machine = found.machine.model_copy(update={"device": "cuda", "device_name": "NVIDIA H100 80GB HBM3"})
    nets = tuple(
        net.model_copy(update={"precision": "bf16", "batch": 128, "graph": net.net != "resnet20s"})
        for net in found.nets
    )
    aims = tuple(aim for net in nets for aim in judged(net, machine))
    load = found.load.model_copy(update={"gpu_memory_of_others": 3 * 10**9})
    shown = found.model_copy(update={"machine": machine, "nets": nets, "aims": aims, "load": load})
    monkeypatch.setattr("ticketctl.stages.benchmark.benchmark", lambda cases, site, seconds: shown)
    lines = ask(folder, *WORDS).out.splitlines()
    assert lines[0].startswith("device  cuda: NVIDIA H100 80GB HBM3")
    assert "3.0 GB of the GPU were taken before" in lines[3]
    assert "without a CUDA graph: resnet20s" in lines
    assert [line.split()[2] for line in lines if "G6: at least 600,000, goal 1,500,000" in line] == [
        "images/s"
    ]
    assert sum("G8: at least 5,000,000, goal 20,000,000" in line for line in lines) == 1
    assert not [line for line in lines if re.search(r"\bC[1-5]:", line)]


def test_what_cannot_be_is_refused_before_anything_is_timed(bare: Program) -> None:
    for words, code, said in (
        (("--nets", "resnet19"), 2, "no model named 'resnet19'; did you mean 'resnet18'?"),
        (("--nets", ","), 2, "--nets: name at least one"),
        (("--device", "gpu"), 2, "no device named 'gpu'"),
        (("--seconds", "inf"), 2, "--seconds inf: write a number such as 60"),
        (("--batch", "60000"), 2, "--batch 60000: cifar10 has 50000 images"),
        (("--out", "nowhere/record.json"), 2, "--out nowhere/record.json: there is no folder"),
        (("--out", "."), 2, "--out .: a folder"),
        (
            ("--compare", "old.json"),
            2,
            "old.json: no such file; it takes what ticketctl benchmark --out wrote",
        ),
    ):
        answer = bare("benchmark", *words)
        assert (answer.code, answer.out) == (code, "")
        assert said in answer.complaint


def test_a_gpu_that_is_not_there_is_exit_5(bare: Program) -> None:
    answer = bare("benchmark", "--device", "cuda:99")
    assert answer.code == 5
    assert answer.complaint.startswith("ticketctl: cuda:99: this machine has no such GPU")


def test_other_peoples_files_are_neither_read_as_records_nor_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.json").write_text('{"chapter": 1}')
    for option in ("--compare", "--out"):
        answer = ask(tmp_path, "benchmark", option, "thesis.json")
        assert answer.code == 2
        assert "no record of" in answer.complaint
    assert (tmp_path / "thesis.json").read_text() == '{"chapter": 1}'


@pytest.mark.slow
def test_ctrl_c_while_it_times_is_130_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    out, err, place = tmp_path / "out", tmp_path / "err", tmp_path / "place"
    place.mkdir()
    argv = ["ticketctl", "benchmark", "--nets", "lenet-300-100", "--threads", "1", "--out", "record.json"]
    child = Warm.one().begin(argv, place, {**os.environ, **QUIET}, out, err)
    while not err.exists() or "its first step" not in err.read_text():
        assert child.poll() is None, err.read_text()
        time.sleep(0.02)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130
    assert time.monotonic() - began < 5
    assert err.read_text().splitlines()[-1] == "ticketctl: stopped; nothing was written"
    assert out.read_text() == ""
    assert not list(place.iterdir())


def _load(**other: object) -> Busy:
    quiet = {"cores": 2, "foreign_cores": 0.0, "slower": 1.0, "gpu_memory_of_others": 0, "busy": False}
    return Busy.model_validate({**quiet, **other})


def test_how_busy_it_was_is_said_with_what_it_means() -> None:
    assert load_told(_load()) == "quiet; others took 0.00 of 2 cores; all turns took 1.00 times the fastest"
    busy = load_told(_load(foreign_cores=1.0, busy=True))
    assert busy.startswith("busy; others took 1.00 of 2 cores; ")
    assert busy.endswith("; ratios can be trusted as far as they agree, absolute figures cannot")
    unknown = load_told(_load(cores=None, foreign_cores=None, busy=None))
    assert unknown == "not known whether others were at work; all turns took 1.00 times the fastest"


def test_long_times_have_two_or_three_digits() -> None:
    assert [long(value) for value in (40, 3400, 34_000, 3_300_000)] == ["40 s", "57 min", "9.4 h", "38 days"]
