"""An audit: what is stored is what was measured, taken again without the net bit for bit, and survives a stop."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl import plugins
from ticketctl.artifacts.report import Report, decode_report
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.samples import decode_samples
from ticketctl.artifacts.verify import verify_run
from ticketctl.errors import StoppedError, UsageError
from ticketctl.seeds import Seeds
from ticketctl.stages.audit import Audit, audit
from ticketctl.stages.due import due
from ticketctl.stages.examined import run_of, wanted
from ticketctl.stages.shown import shown
from ticketctl.stages.subject import subject_of
from ticketctl.train.exam import Answers, Exam

LOGITS = [
    name
    for name, one in plugins.plugins("metrics").items()
    if not {"net", "corrupt"} & set(one.literals["NEEDS"]) and "COMMAND" not in one.literals
]
"""Those that are functions of the answers to the net's own images and to strangers."""
ALL = ",".join(LOGITS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder)
    return folder


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn / "levels/2", tmp_path / "run")
    return tmp_path / "run"


def asked_of(
    folder: Path,
    *sets: str,
    names: str | None = ALL,
    seed: int = 0,
    stop: object = tiny.never,
    recipe: str | None = None,
) -> Audit:
    around = tiny.around(folder.parent / "cache", stop)
    asked = wanted(names, sets, None, recipe)
    subject = subject_of(open_run(folder), asked.sets, around)
    return Audit(subject, asked, shown(subject, asked.recipe.audit, Seeds(seed), around), Seeds(seed))


def audited(folder: Path, *sets: str, **words: Any) -> Report:
    return audit(asked_of(folder, *sets, **words))


def stored(folder: Path) -> dict[str, Answers]:
    found = {}
    for path in sorted((folder / "samples").glob("*.safetensors")):
        seen = decode_samples(path.read_bytes(), where=str(path))
        found[seen.set.replace("ood-", "ood/")] = Answers(seen.logits, seen.labels)
    return found


def test_every_value_is_taken_again_from_the_stored_answers_bit_for_bit(run: Path) -> None:
    report = audited(run)
    known = stored(run)
    assert sorted(known) == ["ood/noise", "test", "train", "val"]
    rows = {row.name: (row.value, row.error, row.n) for row in report.metrics}
    again: dict[str, object] = {}
    for name in LOGITS:
        module = plugins.load("metrics", name)
        found = module.measure(Exam(known.__getitem__, tuple(known), Seeds(0)), params=module.Params())
        again |= {key: (one.value, one.error, one.n) for key, one in found.values.items()}
    assert rows == again
    metrics = open_run(run).manifest.metrics
    assert rows["accuracy"][0] == pytest.approx(float(metrics["test.accuracy"]), abs=1e-9)
    assert rows["nll"][0] == pytest.approx(float(metrics["test.loss"]), rel=1e-5)


def test_the_report_lies_with_the_run_which_stays_sound_and_unchanged(run: Path) -> None:
    before = (run / "run.json").read_bytes()
    report = audited(run, names="ece,nll")
    found = decode_report((run / report.file_name).read_bytes(), where="here")
    assert (found.id, found.metrics) == (report.id, report.metrics)
    assert [row.metric for row in found.metrics] == ["ece", "nll", "ece"]
    assert (run / "run.json").read_bytes() == before
    assert all(check.ok for check in verify_run(run))


def test_what_was_measured_is_not_measured_again_and_other_words_are(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = audited(run, names="ece,nll")
    module = plugins.load("metrics", "ece")
    monkeypatch.setattr(module, "measure", lambda *a, **k: pytest.fail("measured again"))
    assert audited(run, names="ece").metrics == tuple(row for row in first.metrics if row.metric == "ece")
    for changed in ({"sets": ("metrics.ece.bins=14",)}, {"seed": 1}):
        with pytest.raises(pytest.fail.Exception):
            audited(run, *changed.get("sets", ()), names="ece", seed=changed.get("seed", 0))


@pytest.mark.parametrize("which", ["versions", "flags"])
def test_what_was_measured_in_another_environment_is_measured_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    first = audited(run, names="nll")
    module = plugins.load("metrics", "nll")
    monkeypatch.setattr(module, "measure", lambda *a, **k: pytest.fail("measured again"))
    assert audited(run, names="nll").id == first.id
    monkeypatch.setattr(f"ticketctl.stages.conditions.{which}", lambda: {"other": "2.0"})
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        audited(run, names="nll")


def test_a_metric_that_breaks_is_named_and_those_before_it_are_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(plugins.load("metrics", "ece"), "measure", broken)
    with pytest.raises(RuntimeError, match=r"metric ece of .*run: KeyError: 'x'; .* --metrics accuracy,nll$"):
        audited(run, names="nll,ece,accuracy")
    with pytest.raises(RuntimeError, match=r"is kept$"):
        audited(run, names="ece")
    assert [path.name.partition("-")[0] for path in (run / "audit-work").glob("*.zip")] == ["accuracy"]


@pytest.mark.long
@pytest.mark.parametrize("after", range(0, 60, 17))
def test_an_audit_that_was_stopped_goes_on_to_the_same_bytes(run: Path, after: int) -> None:
    other = run.parent / "other"
    shutil.copytree(run, other)
    asked = iter(range(10_000))
    with suppress(StoppedError):
        audited(other, names="accuracy,gap,ood", stop=lambda: 75 if next(asked) >= after else None)
    whole, resumed = audited(run, names="accuracy,gap,ood"), audited(other, names="accuracy,gap,ood")
    assert (run / whole.file_name).read_bytes() == (other / resumed.file_name).read_bytes()
    for path in (run / "samples").iterdir():
        assert path.read_bytes() == (other / "samples" / path.name).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("name", ["test", "ood-noise"])
def test_answers_that_are_damaged_or_of_another_net_are_asked_again(
    run: Path, drawn: Path, name: str
) -> None:
    first = audited(run, names="ece,ood")
    path = run / f"samples/{name}.safetensors"
    sound = path.read_bytes()
    other = run.parent / "other"
    shutil.copytree(drawn / "levels/1", other)
    audited(other, names="ece,ood")
    for wrong in (sound[:-1], b"", (other / f"samples/{name}.safetensors").read_bytes()):
        path.write_bytes(wrong)
        shutil.rmtree(run / "audit-work")
        assert audited(run, names="ece,ood").metrics == first.metrics
        assert path.read_bytes() == sound


def test_noise_of_another_seed_is_other_noise(run: Path) -> None:
    one, other = (
        {row.name: row.value for row in audited(run, names="ood", seed=seed).metrics} for seed in (0, 1)
    )
    assert one["auroc.noise"] != other["auroc.noise"]


def test_a_metric_without_its_images_is_absent_with_its_reason(tmp_path: Path) -> None:
    tiny.draw(tmp_path / "seed-0", "data.validation=none")
    report = audited(tmp_path / "seed-0/levels/0", "audit.ood=[]")
    absent = {row.name: row.reason for row in report.metrics if row.status == "absent"}
    assert absent == {"ood": "there are no ood images", "temperature": "there are no val images"}
    assert all(row.value is None for row in report.metrics if row.status == "absent")


@pytest.mark.parametrize(
    ("names", "sets", "says"),
    [
        ("eec", [], "no metric named 'eec'; did you mean 'ece'"),
        ("", [], "--metrics names none"),
        ("nll", ["metrics.ece.bins=3"], "ece is not measured; add it to --metrics"),
        (None, ["metrics.ece.bin=3"], "metrics.ece has no key bin; did you mean 'bins'"),
        (None, ["metrics.ecee.bins=3"], "no metric named 'ecee'"),
        (None, ["metrics.ece=3"], "write metrics.NAME.KEY"),
        (None, ["audit.images=1"], "audit.images: must be 2 or more"),
        (None, ["audit.severities=[]"], "must name one"),
        (None, ["metrics.ece.bins=true"], "must be a number"),
        (None, ["metrics.ece.bins=0"], "must be at least 1"),
        (None, ["train.lr=1"], "a run is audited as it was trained"),
        (None, ["audit.odd=[]"], "no key audit.odd; did you mean 'ood'"),
        (None, ["audit.ood=3"], "audit.ood: must be a list"),
        (None, ["audit.ood=['nosuch']"], "no data set named 'nosuch'"),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_left(
    run: Path, names: str | None, sets: list[str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        audited(run, *sets, names=names)
    assert not (run / "reports").exists()


def test_a_ticket_is_no_trained_net(drawn: Path) -> None:
    with pytest.raises(
        UsageError, match=r"is a ticket, and an audit wants a trained net; its trained net is .*levels/2"
    ):
        run_of(str(drawn / "ticket"), drawn)
    assert run_of(str(drawn / "levels/1"), drawn).manifest.level == 1


def test_nan_logits_give_a_row_without_a_value(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Answers:
        return Answers(np.full((4, 10), np.nan, np.float32), np.arange(4))

    monkeypatch.setattr("ticketctl.stages.answered.answers_of", broken)
    (row,) = audited(run, names="nll").metrics
    assert (row.value, row.status) == (None, "nan")


def test_answers_that_went_missing_are_made_again_and_the_part_with_them(run: Path) -> None:
    first = audited(run, names="ece")
    sound = (run / "samples/test.safetensors").read_bytes()
    for wrong in (b"", sound + b"x"):
        (run / "samples/test.safetensors").write_bytes(wrong)
        assert audited(run, names="ece").id == first.id
        assert (run / "samples/test.safetensors").read_bytes() == sound


def test_the_nets_own_data_and_a_set_named_twice_are_no_others(run: Path) -> None:
    for sets, says in (
        (["digits"], "is the net's own data set"),
        (["noise", "noise:x"], "two sets called noise"),
    ):
        with pytest.raises(UsageError, match=says):
            audited(run, f"audit.ood={sets}")


def test_a_subset_is_drawn_by_the_seed_the_same_for_every_net_and_kept_beside_the_whole(
    run: Path, drawn: Path
) -> None:
    whole, some = audited(run, names="nll,ood,gap"), audited(run, "audit.images=50", names="nll,ood,gap")
    assert {row.n for row in some.metrics if row.metric in ("nll", "gap")} == {50}
    assert {row.n for row in some.metrics if row.name.startswith("auroc")} == {100}
    assert sorted(path.stem for path in (run / "samples").iterdir()) == [
        "ood-noise", "ood-noise-n50", "test", "test-n50", "train", "train-n50",
    ]  # fmt: skip
    seen, part = (
        decode_samples((run / f"samples/{name}.safetensors").read_bytes(), where=name)
        for name in ("test", "test-n50")
    )
    assert part.logits == pytest.approx(seen.logits[part.places()], abs=1e-5)
    other = run.parent / "other"
    shutil.copytree(drawn / "levels/1", other)
    audited(other, "audit.images=50", names="nll")
    there = decode_samples((other / "samples/test-n50.safetensors").read_bytes(), where="there")
    assert (there.places() == part.places()).all()
    audited(run, "audit.images=50", names="nll", seed=1)
    again = decode_samples((run / "samples/test-n50.safetensors").read_bytes(), where="again")
    assert (again.places() != part.places()).any()
    assert audited(run, names="nll,ood,gap").id == whole.id


def test_as_many_images_as_there_are_is_all_of_them(run: Path) -> None:
    assert audited(run, "audit.images=100000", names="nll").metrics == audited(run, names="nll").metrics


def test_what_was_answered_or_measured_before_costs_nothing(run: Path) -> None:
    asked = asked_of(run, names="ece,nll,ood")
    before = due(asked.params, asked.answers, asked.net)
    assert before["ece"] > before["nll"] > 0
    audit(asked)
    again = asked_of(run, names="ece,nll,ood")
    after = due(again.params, again.answers, again.net)
    assert after["ece"] == after["nll"] == after["ood"] < before["ood"]
