"""Draws, spends and audits of a folder that stays in its files: as of any other data, killed and begun again too."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import ask
from tests.data.photographs import fill
from tests.stages import tiny
from tests.warm import Child, Warm
from ticketctl.errors import StoppedError

RECIPE = """summary = "LeNet-300-100 on streamed photographs"

[model]
name = "lenet-300-100"

[data]
name = "imagefolder"
augment = "resized-crop"
size = 16
resize = 20
validation = "last:3"

[train]
epochs = 2
batch = 5
lr = 0.05
threads = 1
precision = "f32"

[draw]
method = "imp"
rounds = 1
"""
SETS = ("data.validation=last:6", "data.size=16", "data.resize=20", "train.batch=4", "draw.rounds=1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 + 9 pictures, and five of other kinds; nobody changes them."""
    return fill(tmp_path_factory.mktemp("photographs"))


def typed(place: Path, root: Path, *more: str) -> list[str]:
    (place / "mine.toml").write_text(RECIPE)
    return ["draw", "--recipe=mine.toml", f"--data=imagefolder:{root}", "--seed=0", *more]


def installed(place: Path, *words: str) -> Child:
    """The program in a process of its own, with a cache of its own."""
    environment = {**os.environ, "TICKETCTL_CACHE": str(place / "cache")}
    return Warm.one().begin(["ticketctl", *words], place, environment, place / "out", place / "err")


@pytest.fixture(scope="module")
def drawn(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a draw was typed; its answers are in `out` and `err`."""
    place = tmp_path_factory.mktemp("drawn")
    child = installed(place, *typed(place, root))
    assert child.wait() == 0, (place / "err").read_text()
    return place


def test_a_draw_says_how_it_reads_and_records_what_it_cut(root: Path, drawn: Path) -> None:
    out, err = ((drawn / name).read_text() for name in ("out", "err"))
    rows = [line.split()[:3] for line in out.splitlines()[1:3]]
    assert rows == [["0", "260700", "100.00"], ["1", "208560", "80.00"]]
    assert f"streaming 23 + 9 images from {root}: " in err
    (manifest,) = drawn.glob("runs/*/*/seed-0/ticket/ticket.json")
    record = json.loads(manifest.read_bytes())["draw"]
    assert record["data"]["fingerprint"].startswith("streamed:")
    assert {key: record["data"][key] for key in ("train", "validation", "test")} == {
        "train": 20, "validation": 3, "test": 9,
    }  # fmt: skip
    text = json.dumps(record)
    assert '"crop_scale": ["0.08", "1.0"]' in text
    assert str(root) not in text
    provenance = json.loads((manifest.parent / "provenance.json").read_bytes())
    assert re.search(r"pillow \d", provenance["environment"]["decoder"])


@pytest.mark.slow
def test_a_dry_run_has_steps_time_and_bytes(root: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, *typed(tmp_path, root, "--dry-run"))
    assert answer.code == 0, answer.err
    assert "2, 4 epochs and 16 steps in all" in answer.out  # 20 images in batches of 5
    assert re.search(r"^time +about", answer.out, re.MULTILINE)
    assert re.search(r"^writes +[\d.]+ MB to ", answer.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("key", "fault"),
    [("data.stream=sometimes", "data.stream"), ("data.stream=never", "stream must not be never"),
     ("data.crop_scale=[0.5]", "data.crop_scale"), ("data.crop_scale=[0.5, 0.2]", "from the smaller to the larger"),
     ("data.crop_scale=[0.5, 1.5]", "a share of the image is 1 at most"), ("data.crop_ratio=[0, 1]", "above 0"),
     ("data.resize=8", "needs a size that is no larger"), ("data.size=0", "size"),
     ("data.augment=resized", "data.augment")],
)  # fmt: skip
def test_keys_that_cannot_be_are_one_line(root: Path, tmp_path: Path, key: str, fault: str) -> None:
    answer = ask(tmp_path, *typed(tmp_path, root, "--set", key))
    assert answer.code == 2
    assert fault in answer.complaint


def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", 3, 1, odd=False)
    path = next((root / "train").rglob("*_1.JPEG"))
    path.write_bytes(path.read_bytes()[:-300])
    answer = ask(tmp_path, *typed(tmp_path, root))
    assert answer.code == 5
    assert f"{path}: not a sound image: " in answer.complaint


@pytest.mark.slow
def test_what_was_drawn_is_spent_and_audited_by_the_same_commands(root: Path, drawn: Path) -> None:
    (ticket,) = drawn.glob("runs/*/*/seed-0/ticket")
    data = f"--data=imagefolder:{root}"
    run = str(ticket.parent / "levels" / "1")
    for words in (
        ["spend", str(ticket), data, "--seed=0"],
        ["audit", run, data, "--metrics=accuracy,ece,fgsm,input-hessian,dead-units"],
        ["probe", run, data, "--metrics=forgetting"],
    ):
        child = installed(drawn, *words)
        assert child.wait() == 0, (drawn / "err").read_text()


@pytest.mark.slow
def test_a_draw_killed_at_any_instant_ends_in_the_same_bytes(root: Path, drawn: Path, tmp_path: Path) -> None:
    wanted = tiny.files_below(next(drawn.glob("runs/*/*/seed-0/ticket")))
    numbers = np.random.default_rng(1)
    for _ in range(8):
        child = installed(tmp_path, *typed(tmp_path, root))
        time.sleep(float(numbers.uniform(0.2, 1.5)))
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
    assert installed(tmp_path, *typed(tmp_path, root)).wait() == 0
    assert tiny.files_below(next(tmp_path.glob("runs/*/*/seed-0/ticket"))) == wanted


def tickets(folder: Path, root: Path, *sets: str, stop: Callable[[], int | None] = tiny.never) -> None:
    tiny.draw(folder, f"data.name=imagefolder:{root}", *SETS, *sets, stop=stop)


class StopAt:
    """Asks to stop at the n-th question (from 0), and counts the questions."""

    def __init__(self, at: int) -> None:
        self.at, self.asked = at, 0

    def __call__(self) -> int | None:
        self.asked += 1
        return 75 if self.asked > self.at else None


def test_a_draw_stopped_anywhere_ends_in_the_same_bytes(root: Path, tmp_path: Path) -> None:
    keys = ("data.augment=resized-crop",)
    tickets(tmp_path / "whole" / "draw", root, *keys)
    wanted = tiny.files_below(tmp_path / "whole" / "draw" / "ticket")
    assert wanted
    folder = tmp_path / "stopped" / "draw"
    stops = 0
    for at in (8, 5, 12, 7, 30, 9, 100_000):
        try:
            tickets(folder, root, *keys, stop=StopAt(at))
        except StoppedError:
            stops += 1
    assert stops >= 3
    assert tiny.files_below(folder / "ticket") == wanted


@pytest.mark.long
@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_a_streamed_training_is_the_held_one_bit_for_bit(root: Path, tmp_path: Path, augment: str) -> None:
    found = {}
    for stream in ("always", "never"):
        folder = tmp_path / stream / "draw"
        usual = ("data.mean=[0.5,0.5,0.5]", "data.std=[0.25,0.25,0.25]")
        tickets(folder, root, f"data.augment={augment}", f"data.stream={stream}", *usual)
        found[stream] = {
            name: data
            for name, data in tiny.files_below(folder / "levels").items()
            if not name.endswith(".json")
        }
    assert len(found["always"]) == 7  # of two trainings their weights, best weights and series, and a mask
    assert found["always"] == found["never"]
