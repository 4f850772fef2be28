"""From names to nets beside their dense nets: who is paired with whom, and what is said where nobody is."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.artifacts import verdicts
from tests.stages.written import drawn, run
from ticketctl.artifacts.report import Report, encode_report
from ticketctl.artifacts.report_models import Subject
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.verdict_models import Facts
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.stages.judged import Case, cases, facts_of, latest_report, latest_report_file, nets
from ticketctl.stages.subjects import opened
from ticketctl.stages.verdict import Rule, judge
from ticketctl.store.tensors import Tensor

NET = "resnet18-cifar100"
WIDE = {"model": {"widths": [32, 77, 132, 215]}}
RANDOM = {"draw": {"method": "random", "params": {}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of an IMP ladder of two levels with their dense nets."""
    folder = tmp_path_factory.mktemp("made")
    for seed in (0, 1):
        above = folder / NET / "imp-0123abcd" / f"seed-{seed}"
        drawn(above / "ticket")
        run(above / "levels/0", 0.75, seed=seed, kept=None)
        run(above / "levels/5", 0.75, seed=seed, kept=330, level=5)
        run(above / "levels/10", 0.74, seed=seed)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of it to work in."""
    return Path(shutil.copytree(made, tmp_path / "home"))


def told(found: list[Case]) -> dict[str, list[tuple[str, str]]]:
    """Of every case, its pairs by the ends of their folders."""
    return {
        case.name: [(ending(pair.run.folder), ending(pair.dense.folder)) for pair in case.pairs]
        for case in found
    }


def ending(folder: Path) -> str:
    return "/".join(folder.parts[-3:])


def test_every_level_is_held_against_the_dense_net_of_its_draw_and_seed(home: Path) -> None:
    found = cases([NET], "dense", home)
    assert told(found) == {
        "imp at 67.00 %": [(f"seed-{n}/levels/5", f"seed-{n}/levels/0") for n in (0, 1)],
        "imp at 89.30 %": [(f"seed-{n}/levels/10", f"seed-{n}/levels/0") for n in (0, 1)],
    }
    assert {case.ladder for case in found} == {"imp"}
    assert [case.density for case in found] == [Fraction(33, 100), Fraction(107, 1000)]
    (alone,) = cases([f"{NET}/imp-0123abcd/seed-1/levels/10"], "dense", home)
    assert [pair.dense.folder.parts[-3] for pair in alone.pairs] == ["seed-1"]


def test_a_draw_without_a_dense_net_takes_the_same_training_of_another_draw(home: Path) -> None:
    above = home / NET / "random-0123abcd" / "seed-0"
    run(above / "levels/10", 0.7, changes=RANDOM)
    (case,) = cases([str(above)], "dense", home)
    assert told([case])["random at 89.30 %"] == [("seed-0/levels/10", "seed-0/levels/0")]
    assert case.pairs[0].dense.folder.parent.parent.parent.name == "imp-0123abcd"


def test_a_spend_is_held_against_the_dense_net_that_it_trained_by_its_own_recipe(home: Path) -> None:
    above = home / NET / "imp-0123abcd" / "seed-0"
    changed = {"train": {"batch": 64}}
    run(above / "spends/aaaaaaaa/10-seed-0", 0.7, changes=changed)
    with pytest.raises(
        UsageError, match=r"no dense net of seed 0 .* train it: ticketctl spend .*ticket --seed 0"
    ):
        cases([str(above / "spends")], "dense", home)
    run(above / "spends/aaaaaaaa/0-seed-0", 0.7, changes=changed, kept=None)
    (case,) = cases([str(above / "spends/aaaaaaaa/10-seed-0")], "dense", home)
    assert told([case]).popitem()[1] == [("spends/aaaaaaaa/10-seed-0", "spends/aaaaaaaa/0-seed-0")]


def test_tweaked_tickets_are_held_against_the_dense_net_without_tweaks(home: Path) -> None:
    above = home / NET / "imp-0123abcd" / "seed-0"
    run(above / "spends/aaaaaaaa/10-seed-0", 0.7, tweaks=["swish"])
    (case,) = cases([str(above / "spends")], "dense", home)
    assert case.name == "imp swish at 89.30 %"
    assert told([case])[case.name] == [("spends/aaaaaaaa/10-seed-0", "seed-0/levels/0")]


def test_a_small_dense_net_is_judged_and_the_full_one_is_not(home: Path) -> None:
    small = run(home / NET / "dense-0123abcd/seed-0/levels/0", 0.7, kept=None, changes=WIDE, prunable=107)
    found = cases([NET], "dense", home)
    case = next(case for case in found if case.ladder.startswith("small-dense"))
    assert case.name == "small-dense at 89.30 %"
    assert [pair.run.manifest.run_id for pair in case.pairs] == [small.manifest.run_id]
    assert case.density == Fraction(107, 1000)
    with pytest.raises(UsageError, match="dense nets alone"):
        cases([f"{NET}/imp-0123abcd/seed-0/levels/0"], "dense", home)


def test_any_runs_may_be_the_ones_that_are_held_against(home: Path) -> None:
    for seed in (0, 2):
        run(home / NET / f"random-0123abcd/seed-{seed}/levels/10", 0.7, changes=RANDOM, seed=seed)
    found = cases([f"{NET}/imp-0123abcd"], f"{NET}/random-0123abcd", home)
    case = found[-1]
    assert [pair.dense.method for pair in case.pairs] == ["random"]
    assert [one.seeds for one in case.left_out] == [(1, 1)]
    with pytest.raises(UsageError, match="no run of seed 1 there"):
        cases([f"{NET}/imp-0123abcd/seed-1"], f"{NET}/random-0123abcd", home)
    with pytest.raises(UsageError, match=r"--against .*two runs of seed 0"):
        cases([f"{NET}/random-0123abcd"], f"{NET}/imp-0123abcd", home)
    with pytest.raises(UsageError, match="no run but those"):
        cases([f"{NET}/random-0123abcd"], f"{NET}/random-0123abcd", home)


def test_two_runs_of_one_seed_are_not_averaged(home: Path) -> None:
    again = home / NET / "imp-9999abcd" / "seed-0"
    drawn(again / "ticket")
    run(again / "levels/10", 0.71, weights={"conv.weight": ones()})
    with pytest.raises(UsageError, match="imp: two runs of seed 0"):
        cases([NET], "dense", home)


def test_a_damaged_dense_net_that_nobody_named_is_no_partner(home: Path) -> None:
    above = home / NET / "imp-0123abcd" / "seed-0"
    (above / "levels/0/run.json").write_text("{}")
    with pytest.raises(UsageError, match="no dense net of seed 0"):
        cases([str(above / "levels/10")], "dense", home)
    with pytest.raises(ArtifactError):
        cases([str(above)], "dense", home)


# ------------------------------------------------------------------------------------------------ reports and facts


def audited(one: Run, **changes: float) -> Report:
    """An audit of the run, written into its folder."""
    manifest = one.manifest
    subject = Subject(
        run_id=manifest.run_id, ticket=manifest.ticket, level=manifest.level, weights=manifest.weights.digest,
        status=manifest.status,
    )  # fmt: skip
    report = replace(verdicts.audit("x", changes), subject=subject, id="", digest="")
    data = encode_report(report)
    path = one.folder / report.file_name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return verdicts.decode_report(data, where="")


def test_the_newest_audit_of_the_weights_as_they_are_is_taken(tmp_path: Path) -> None:
    one = run(tmp_path / "a", 0.7)
    assert latest_report(one.folder) is None
    old, new = audited(one), audited(one, nll=0.3)
    for age, report in ((2, old), (1, new)):
        path = one.folder / f"reports/audit-{report.id}.zarr.zip"
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert (found := latest_report(one.folder)) is not None
    assert found.id == new.id
    other = run(tmp_path / "b", 0.6, seed=9)
    strange = audited(other)
    (other.folder / strange.file_name).rename(one.folder / strange.file_name)
    assert latest_report_file(one.folder) == one.folder / f"reports/audit-{new.id}.zarr.zip"
    (one.folder / strange.file_name).write_bytes(b"damaged")
    with pytest.raises(ArtifactError):
        latest_report(one.folder)


def test_facts_are_those_of_the_run(tmp_path: Path) -> None:
    keep = {"conv.weight": np.arange(1000) < 0}
    folder = run(
        tmp_path / "a", 0.7, keep=keep, metrics={"test.accuracy": 0.7, "train.accuracy": 0.99},
        weights={"conv.weight": zeros()},
    ).folder  # fmt: skip
    (one,) = opened([folder])
    assert facts_of(one) == Facts(
        kept=0, prunable=1000, classes=4, train_accuracy="0.99", collapsed=("conv.weight",)
    )


def zeros() -> Tensor:
    return Tensor.of(np.zeros(1000, "f4"))


def ones() -> Tensor:
    """Other weights than those of `run`, under the same mask."""
    return Tensor.of(2 * (np.arange(1000) < 107).astype("f4"))


def test_a_ladder_is_judged_from_the_reports_in_its_folders(home: Path) -> None:
    found = cases([NET], "dense", home)
    with pytest.raises(UsageError, match="not audited; run: ticketctl audit"):
        nets(found, latest_report)
    for folder in {folder for case in found for folder in case.folders()}:
        (one,) = opened([folder])
        audited(Run(folder, one.manifest), accuracy=0.9 if one.manifest.level < 10 else 0.8)
    verdict = judge(nets(found, latest_report), Rule())
    assert [net.outcome for net in verdict.nets] == ["pass", "fail"]
    assert [(ladder.ladder, ladder.lth_pass) for ladder in verdict.ladders] == [("imp", "67/100")]


def test_a_ticket_of_other_widths_has_the_dense_net_of_those_widths(home: Path) -> None:
    narrow = home / NET / "imp-11111111" / "seed-0"
    own = run(narrow / "levels/0", 0.6, kept=None, changes=WIDE, prunable=107)
    run(narrow / "levels/10", 0.5, changes=WIDE, prunable=107, kept=11)
    found = cases([str(narrow)], "dense", home)
    assert [[pair.dense.manifest.run_id for pair in case.pairs] for case in found] == [[own.manifest.run_id]]
