"""Metrics along a spend: which are kept, that they are the audit's, and that watching changes nothing."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.stages import tiny
from ticketctl import plugins
from ticketctl.artifacts.run import Run, open_run
from ticketctl.errors import MissingExtraError, StoppedError, UsageError
from ticketctl.plugins import Plugin
from ticketctl.recipe_files import assignments
from ticketctl.seeds import Seeds
from ticketctl.stages import explored
from ticketctl.stages.subject import subject_of
from ticketctl.stages.watching import settled_watch
from ticketctl.train.exam import Absent, Answers, Exam
from ticketctl.train.loop import Loop
from ticketctl.train.predict import answers_of
from ticketctl.train.specimen import Specimen

WATCHED = ("keep.metrics=['nll','ece','gap','fgsm']", "metrics.fgsm.images=40", "metrics.ece.bins=10")
ROWS = {"ece", "rmsce", "nll", "gap", "train.accuracy", "fgsm", "fgsm.drop", "fgsm.zero", "epoch"}


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw rewound to its second epoch of four."""
    folder = tmp_path_factory.mktemp("watched") / "seed-0"
    tiny.draw(folder, "train.epochs=4", "draw.rewind=2ep")
    return folder


@pytest.fixture(scope="module")
def watched(late: Path) -> Run:
    return tiny.spend(late, *WATCHED, levels="2")[-1].run


def rows_of(run: Run) -> dict[str, np.ndarray[Any, Any]]:
    record = run.record() or {}
    return {
        name.removeprefix("metrics."): value.array() for name, value in record.items() if "metrics" in name
    }


@pytest.mark.long
def test_every_row_is_kept_from_before_the_first_step_to_the_last_epoch(watched: Run) -> None:
    rows = rows_of(watched)
    assert rows.keys() == ROWS
    assert rows["epoch"].dtype == np.int64
    assert rows["epoch"].tolist() == [2, 3, 4]  # before, and after the two epochs behind the rewind point
    for name in ROWS - {"epoch"}:
        assert (rows[name].dtype, rows[name].shape) == (np.float64, (3,))
        assert np.isfinite(rows[name]).all()


def test_the_last_values_are_those_that_an_audit_of_the_run_finds(watched: Run, late: Path) -> None:
    subject = subject_of(watched, {}, tiny.around(late.parent / "cache"))
    images, model = subject.images, subject.setting.bench.model.eval()
    specimen = Specimen(model, subject.mask, images, 10, images["test"].scaling)
    exam = Exam(lambda name: answers_of(model, images[name]), list(images), Seeds(0), specimen)
    rows = rows_of(watched)
    for name, keys in {"ece": {"bins": 10}, "nll": {}, "gap": {}, "fgsm": {"images": 40}}.items():
        module = plugins.load("metrics", name)
        for row, found in module.measure(exam, params=module.Params(**keys)).values.items():
            assert rows[row][-1] == found.value, row


def test_watching_changes_no_bit_of_the_training(watched: Run, late: Path) -> None:
    drawn = open_run(late / "levels" / "2")
    assert watched.manifest.weights.digest == drawn.manifest.weights.digest
    assert watched.manifest.metrics == drawn.manifest.metrics
    assert "metrics.nll" not in (drawn.record() or {})


def test_the_dense_net_is_watched_beside_the_ticket_and_the_first_and_last_epoch_in_any_case(
    late: Path,
) -> None:
    dense, ticket = tiny.spend(late, "keep.metrics=['nll']", "keep.every=3", levels="2")
    assert rows_of(dense.run)["epoch"].tolist() == [0, 3, 4]
    assert rows_of(ticket.run)["epoch"].tolist() == [2, 3, 4]


@pytest.mark.long
def test_it_stands_beside_tweaks_and_the_largest_eigenvalue_and_sees_the_net_that_is_trained(
    late: Path,
) -> None:
    """Not the one whose weights ema has averaged: that is the run's, and an audit measures it."""
    sets = ("keep.metrics=['accuracy','nll']", "keep.lambda_max=1", "spend.dense=false")
    plain, tweaked = tiny.spend(late, *sets, levels="2", tweaks=["ema"])
    for spent in (plain, tweaked):
        record = spent.run.record() or {}
        assert record["lambda_max"].shape == record["metrics.nll"].shape == (3,)
    assert np.array_equal(rows_of(plain.run)["nll"], rows_of(tweaked.run)["nll"])
    losses = [float(spent.run.manifest.metrics["test.loss"]) for spent in (plain, tweaked)]
    assert rows_of(plain.run)["nll"][-1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[0] != losses[1]


@pytest.mark.long
def test_a_spend_that_was_stopped_anywhere_ends_in_the_same_files(late: Path, watched: Run) -> None:
    """In the midst of measurements too: they ask more often than the training itself."""
    sets = (*WATCHED, "spend.dense=false")
    wanted, asked = tiny.files_below(watched.folder), itertools.count()

    def again(stop: Callable[[], int | None] = tiny.never) -> None:
        assert tiny.spend(late, *sets, levels="2", stop=stop)[-1].run.folder == watched.folder

    shutil.rmtree(watched.folder)
    again(lambda: None if next(asked) >= 0 else 75)
    assert tiny.files_below(watched.folder) == wanted
    total = next(asked)
    for number in range(1, 7):
        shutil.rmtree(watched.folder)
        left = itertools.count(total * number // 7, -1)
        with pytest.raises(StoppedError):
            again(lambda left=left: 75 if next(left) <= 0 else None)
        again()
        assert tiny.files_below(watched.folder) == wanted


@pytest.mark.long
def test_other_metrics_spacings_and_keys_are_other_runs_and_their_order_is_none(late: Path) -> None:
    def place(*sets: str) -> Path:
        found = tiny.spend(late, "spend.dense=false", *sets, levels="2")[-1]
        return found.run.folder

    base = place("keep.metrics=['ece','nll']")
    others = {
        place(), place("keep.metrics=['ece']"), place("keep.metrics=['ece','nll']", "keep.every=2"),
        place("keep.metrics=['ece','nll']", "metrics.ece.bins=5"),
    }  # fmt: skip
    assert len(others | {base}) == 5
    assert place("keep.metrics=['nll','ece']") == base


def wrong() -> Iterator[tuple[tuple[str, ...], str]]:
    yield ("keep.metrics=['ecee']",), "did you mean 'ece'"
    yield ("keep.metrics=['nll']", "metrics.lime.sampls=3"), "did you mean"
    yield ("keep.metrics=['ece']", "metrics.ece.bin=3"), "did you mean 'bins'"
    yield ("keep.metrics=['ece']", "metrics.ece.bins=many"), "metrics.ece.bins"
    yield ("keep.metrics=['ece']", "metrics.ece.bins=0"), "metrics.ece.bins"
    yield ("keep.metrics=['nll','ood']",), "ood needs ood images"
    yield ("keep.metrics=['temperature']", "data.validation=none"), "data.validation"


@pytest.mark.parametrize(("sets", "said"), list(wrong()))
def test_what_cannot_be_watched_is_refused_in_one_line_before_anything_is_trained(
    sets: tuple[str, ...], said: str, late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    with pytest.raises(UsageError) as refused:
        tiny.spend(late, *sets, levels="2")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_metric_whose_package_is_not_here_is_refused_before_anything_is_trained(
    late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    literals = {"NEEDS": ("test",), "IMPORTS": ("no_such_package",), "EXTRA": "audit"}
    known = {**plugins.plugins("metrics"), "far": Plugin("far", "far", "", {}, literals)}
    for module in ("ticketctl.recipe_audit", "ticketctl.stages.explored", "ticketctl.stages.watching"):
        monkeypatch.setattr(f"{module}.plugins", lambda kind: known)
    assert explored.plugins("metrics") is known
    with pytest.raises(
        MissingExtraError, match=r"far needs no_such_package: pip install 'ticketctl\[audit\]'"
    ):
        tiny.spend(late, "keep.metrics=['far']", levels="2")


def test_a_metric_with_nothing_to_measure_is_told_once_and_has_no_row(
    late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(exam: Exam, *, params: Any) -> Any:
        raise Absent("there is nothing")

    monkeypatch.setattr(plugins.load("metrics", "nll"), "measure", absent)
    heard = tiny.Heard()
    sets = ("keep.metrics=['gap','nll']", "train.lr=0.04", "spend.dense=false")
    run = tiny.spend(late, *sets, levels="2", reporter=heard)[-1].run
    assert rows_of(run).keys() == {"epoch", "gap", "train.accuracy"}
    assert heard.notes == ["keep.metrics: nll has no value after epoch 2: there is nothing"]


def test_a_net_whose_answers_are_not_finite_has_no_value_then_and_is_measured_on(
    late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def said(*given: Any) -> Answers:
        found = answers_of(*given)
        return Answers(found.logits * np.float32(np.inf), found.labels) if next(calls) == 1 else found

    monkeypatch.setattr("ticketctl.stages.watched.answers_of", said)
    heard = tiny.Heard()
    sets = ("keep.metrics=['accuracy','nll']", "spend.dense=false")
    run = tiny.spend(late, *sets, levels="2", reporter=heard)[-1].run
    assert np.isfinite(rows_of(run)["nll"]).tolist() == [True, False, True]
    reason = "has no value after epoch 3: logits of test images are not finite"
    assert heard.notes == [f"keep.metrics: {name} {reason}" for name in ("accuracy", "nll")]


def test_the_net_is_seen_in_evaluation_mode_with_its_mask_and_is_left_as_it_was(
    late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, seen = plugins.load("metrics", "fgsm"), []
    real, before = module.measure, Loop._end_epoch

    def looked(exam: Exam, *, params: Any) -> Any:
        net = exam.specimen
        assert not net.model.training
        assert net.mask is not None
        assert all(
            bool((dict(net.model.named_parameters())[name][~keep] == 0).all())
            for name, keep in net.mask.keep.items()
        )
        assert {name: len(images) for name, images in net.images.items()} == {
            "train": 1238,
            "val": 200,
            "test": 359,
        }
        assert {value.dtype for value in net.model.parameters()} == {torch.float32}
        seen.append(exam)
        return real(exam, params=params)

    def ended(self: Loop) -> None:
        before(self)
        assert self.model.training
        assert all(value.grad is None for value in self.model.parameters())

    monkeypatch.setattr(module, "measure", looked)
    monkeypatch.setattr(Loop, "_end_epoch", ended)
    sets = ("keep.metrics=['fgsm']", "metrics.fgsm.images=8", "train.lr=0.03", "spend.dense=false")
    tiny.spend(late, *sets, levels="2")
    assert len(seen) == 3


# ------------------------------------------------------------------------------------------------------- the recipe


def test_a_recipe_that_watches_nothing_is_recorded_as_before_there_was_anything_to_watch() -> None:
    plain, idle = tiny.recipe(), tiny.recipe("keep.every=5", "metrics.ece.bins=3", "metrics.nll={}")
    assert plain.record()["keep"] == {"epochs": []}
    assert "metrics" not in plain.record()
    assert plain.record() == idle.record()
    assert plain.changed() == idle.changed()
    assert tiny.recipe("keep.lambda_max=2", "keep.epochs=[1]").fingerprint == "3ca2f9ac"
    assert plain.fingerprint == idle.fingerprint == "c933583b"


def test_a_record_of_what_is_kept_has_the_keys_of_watched_metrics() -> None:
    recipe = tiny.recipe("keep.metrics=['nll','ece','nll']", "metrics.ece.bins=3", "metrics.lime.samples=9")
    for found in (recipe.record("train", "keep"), recipe.changed("keep"), recipe.record()):
        assert found["keep"]["metrics"] == ["ece", "nll"]
        assert found["metrics"] == {"ece": {"bins": 3}}
    assert "metrics" not in recipe.record("train")


def test_keys_at_their_defaults_and_of_metrics_that_are_not_watched_are_left_out() -> None:
    filed = {"metrics": {"gap": {}, "ece": {"bins": 15}, "nll": {}}}
    recipe = tiny.recipe("keep.metrics=['ece']", "metrics.ece.bins=15")
    found, notes = settled_watch(recipe, {}, filed)
    assert found.metrics == {}
    assert notes == (
        "[metrics.gap]: not used, gap is not watched",
        "[metrics.nll]: not used, nll is not watched",
    )


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["metrics.ece.bins=3"], "--set metrics.ece.bins: ece is not watched; add it to keep.metrics"),
        (["keep.every=3"], "--set keep.every: nothing is measured"),
        (["keep.metrics=['ood']"], "ticketctl audit RUN --metrics ood"),
    ],
)
def test_what_is_typed_in_vain_is_refused(sets: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settled_watch(tiny.recipe(*sets), assignments(sets), {})
