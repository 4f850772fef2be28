"""Trainings of every kind on a GPU: the course of a CPU, within what float32 sums in another order may differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.photographs import fill
from tests.stages import tiny
from tests.train import small
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.train.bench import Bench
from ticketctl.train.evaluate import Exam
from ticketctl.train.feed import Feed, Images, Scaling
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit
from ticketctl.tweaks.ema import Exponential

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda", 0)
STREAMED = "the data do not fit on the device and are streamed: no CUDA graph, slower"
COURSES: dict[str, dict[str, Any]] = {
    "plain": {"momentum": 0.0},
    "nesterov, warm-up, steps": {
        "nesterov": True, "weight_decay": 0.01, "schedule": "step", "milestones": ("1ep",), "warmup": "2it",
    },
    "decay of weights alone": {"weight_decay": 0.1, "decay": "weights", "schedule": "cosine", "padding": 2},
    "Adam": {"optimizer": "adam", "lr": 0.003, "weight_decay": 0.01, "decay": "weights", "schedule": "cosine"},
    "whole batches alone": {"drop_last": True, "eval_every": 2, "padding": 1},
    "batches of one image": {"batch": 6, "padding": 1},
    "one batch": {"batch": 13},
    "a dense net": {"masked": False, "momentum": 0.5},
    "bfloat16": {"precision": "bf16", "padding": 1},
    "bfloat16, Adam": {"precision": "bf16", "optimizer": "adam", "lr": 0.003, "masked": False},
}  # fmt: skip


def fitted(folder: Path, bench: Bench, *, masked: bool = True) -> Fit:
    lab = small.lab(folder, bench)
    return lab.fit_in(
        FitFiles(folder), small.weights(), small.half() if masked else None, keep=(1, 3), title="test"
    )


def agree(ours: Fit, theirs: Fit, within: float = 2e-3) -> None:
    for step in (1, 3):
        for name, value in theirs.state(step).weights.items():
            torch.testing.assert_close(
                ours.state(step).weights[name], value, rtol=within, atol=within, msg=name
            )
    for name, value in theirs.end().weights.items():
        torch.testing.assert_close(ours.end().weights[name], value, rtol=within, atol=within, msg=name)
    torch.testing.assert_close(ours.history, theirs.history, rtol=10 * within, atol=within, equal_nan=True)


@pytest.mark.parametrize("course", COURSES)
def test_a_course_is_one_graph_that_is_true_to_the_cpu(course: str, tmp_path: Path) -> None:
    keys = {"epochs": 3, **COURSES[course]}
    padding, masked, found = keys.pop("padding", None), keys.pop("masked", True), {}
    for device in (CUDA, small.CPU):
        heard = tiny.Heard()
        bench = small.bench(small.train_spec(**keys), padding=padding, device=device, reporter=heard)
        found[device.type] = fitted(tmp_path / device.type, bench, masked=masked)
        assert heard.notes == []
        if device == CUDA:
            (machine,) = bench.machines.values()
            assert machine.ahead.graph is not None
    agree(found["cuda"], found["cpu"], 0.05 if keys.get("precision") == "bf16" else 2e-3)


def test_an_average_of_the_weights_follows_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replays: list[int] = []
    replay = torch.cuda.CUDAGraph.replay

    def counted(graph: torch.cuda.CUDAGraph) -> None:
        replays.append(1)
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    ends = {}
    for device in (CUDA, small.CPU):
        lab = small.lab(tmp_path / device.type, small.bench(small.train_spec(epochs=3), device=device))
        ends[device.type] = lab.fit(small.weights(), small.half(), hooks=[Exponential(0.5)]).end()
    assert len(replays) == 1 + 3 * 2  # the check, and the whole batches of three epochs
    for name, value in ends["cpu"].weights.items():
        torch.testing.assert_close(ends["cuda"].weights[name], value, rtol=2e-3, atol=2e-3, msg=name)


@pytest.mark.parametrize("padding", [None, 1])
def test_images_that_the_device_has_no_room_for_come_batch_by_batch(
    padding: int | None, tmp_path: Path
) -> None:
    found = {}
    for device in (CUDA, small.CPU):
        heard, scaling = tiny.Heard(), Scaling.of((0.4, 0.5), (0.2, 0.3), device)

        def images(count: int, seed: int, to: torch.device = device, by: Scaling = scaling) -> Images:
            return Images(small.split(count, seed), None, by, to, resident=False)

        feed = Feed(images(small.IMAGES, 1), batch=small.BATCH, padding=padding, drop_last=False)
        exams: dict[str, Exam] = {"val": images(4, 2), "test": images(6, 3)}
        bench = replace(small.bench(device=device, reporter=heard), feed=feed, exams=exams)
        found[device.type] = fitted(tmp_path / device.type, bench)
        assert heard.notes == ([STREAMED] if device == CUDA else [])
    agree(found["cuda"], found["cpu"])


@pytest.mark.parametrize("augment", ["none", "crop-flip", "resized-crop"])
def test_a_streamed_folder_trains_as_on_a_cpu(augment: str, tmp_path: Path) -> None:
    tables = {
        "model": {"name": "resnet20s", "widths": [2, 2, 2, 2]},
        "data": {
            "name": f"imagefolder:{fill(tmp_path / 'photographs')}", "size": 16, "resize": 20, "stream": "always",
            "augment": augment, "validation": "last:3",
        },
        "train": {"epochs": 2, "batch": 8, "lr": 0.05, "threads": 1, "precision": "f32"},
        "draw": {"method": "random", "density": "1/2"},
    }  # fmt: skip
    recipe, found = tiny.recipe(tables=tables), {}
    for device in (CUDA, small.CPU):
        heard = tiny.Heard()
        around = replace(tiny.around(tmp_path / "cache", reporter=heard), device=device)
        setting = prepare(recipe, seeds_of(recipe, 0), around)
        found[device.type] = setting.lab(tmp_path / device.type).fit(setting.initial, None)
        assert (STREAMED in heard.notes) == (device == CUDA)
    for name, value in found["cpu"].end().weights.items():
        torch.testing.assert_close(found["cuda"].end().weights[name], value, rtol=1e-2, atol=5e-3, msg=name)
    torch.testing.assert_close(
        found["cuda"].history, found["cpu"].history, rtol=1e-2, atol=2e-2, equal_nan=True
    )
