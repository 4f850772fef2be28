"""The net of a run, rebuilt: its accuracies are those that the run measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.errors import UsageError
from ticketctl.stages.subject import subject_of
from ticketctl.train.predict import answers_of

WORN = ["swish", "mish", "ls", "kd", "scaled-init", "sam", "swa", "ema"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder)
    return folder


def accuracy(folder: Path, name: str, cache: Path) -> float:
    subject = subject_of(open_run(folder), {}, tiny.around(cache))
    found = answers_of(subject.setting.bench.model, subject.images[name])
    return float((found.logits.argmax(1) == found.labels).mean())


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_the_levels_of_a_draw_say_what_they_said_when_they_were_trained(drawn: Path, level: str) -> None:
    metrics = open_run(drawn / "levels" / level).manifest.metrics
    for name in ("val", "test"):
        assert accuracy(drawn / "levels" / level, name, drawn.parent / "cache") == pytest.approx(
            float(metrics[f"{name}.accuracy"]), abs=1e-9
        )


@pytest.mark.long
@pytest.mark.parametrize("tweak", WORN)
def test_so_does_a_net_that_tweaks_have_changed(drawn: Path, tweak: str) -> None:
    (spent,) = [
        one for one in tiny.spend(drawn, "spend.dense=false", "spend.vanilla=false", levels="2", tweaks=[tweak])
        if one.job.tweaks == (tweak,)
    ]  # fmt: skip
    found = accuracy(spent.run.folder, "test", drawn.parent / "cache")
    assert found == pytest.approx(float(spent.run.manifest.metrics["test.accuracy"]), abs=1e-9)


def test_pruned_weights_of_the_rebuilt_net_are_zero(drawn: Path) -> None:
    subject = subject_of(open_run(drawn / "levels/2"), {}, tiny.around(drawn.parent / "cache"))
    assert subject.mask is not None
    weights = dict(subject.setting.bench.model.named_parameters())
    assert all(bool((weights[name][~keep] == 0).all()) for name, keep in subject.mask.keep.items())
    assert list(subject.images) == ["train", "val", "test"]
    assert np.isfinite(answers_of(subject.setting.bench.model, subject.images["train"]).logits).all()


def test_a_run_is_audited_as_it_was_trained(drawn: Path) -> None:
    run = open_run(drawn / "levels/2")
    for sets, says in (
        ({"train": {"lr": 0.1}}, r"--set train\.lr: a net is taken as it is"),
        ({"data": {"name": "mnist"}}, "trained on digits, not on mnist"),
    ):
        with pytest.raises(UsageError, match=says):
            subject_of(run, sets, tiny.around(drawn.parent / "cache"))


@pytest.mark.long
@pytest.mark.parametrize("sets", [[], ["tweaks.skip.kind=proj"], ["tweaks.skip.fade=0.9"]])
def test_so_does_a_net_with_skips_which_have_weights_or_fade(tmp_path: Path, sets: list[str]) -> None:
    small = ("model.name=resnet20s", "model.width=1/4", "train.epochs=1", "train.lr=0.01")
    tiny.draw(tmp_path / "seed-0", *small, "draw.rounds=1")
    spent = [
        one for one in tiny.spend(tmp_path / "seed-0", *sets, levels="1", tweaks=["skip"]) if one.job.tweaks
    ]
    for one in spent:
        found = accuracy(one.run.folder, "test", tmp_path / "cache")
        assert found == pytest.approx(float(one.run.manifest.metrics["test.accuracy"]), abs=1e-9)
    assert spent
