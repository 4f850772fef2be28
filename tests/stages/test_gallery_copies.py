"""Runs that lie in several folders, as figures count them: a training once, whatever its values are like.

Draws of one training have the same dense net, each in a folder of its own and with an id of its own, for the draw is
part of the recipe; what was measured of it lies there as often.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.written import run
from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject, encode_report
from ticketctl.artifacts.run import Run
from ticketctl.figures import accuracy_sparsity, transfer
from ticketctl.figures.sheet import Sheet
from ticketctl.figures.shelf import Shelf
from ticketctl.stages.gallery import gallery
from ticketctl.store.tensors import Tensor


def transferred(one: Run, accuracy: float) -> None:
    """Its report of a frozen transfer to digits."""
    said = one.manifest
    report = Report(
        kind="transfer",
        subject=Subject(
            run_id=said.run_id,
            ticket=said.ticket,
            level=said.level,
            weights=said.weights.digest,
            status="done",
        ),
        data=ReportData(name="cifar100", fingerprint="f"),
        seeds={"root": 0},
        env={},
        recipe={
            "keys": {"transfer": {}},
            "transfer": {},
            "target": {"name": "digits", "fingerprint": "sha256:d"},
        },
        sources={},
        metrics=(MetricRow("transfer", "transfer", "higher", accuracy, None, 100, "done", "", {}),),
        arrays={},
    )
    path = one.folder / report.file_name
    path.parent.mkdir()
    path.write_bytes(encode_report(report))


def dense(folder: Path, accuracy: float, *, seed: int, own: int, rewind: str) -> Run:
    """A dense net of some draw; `own` tells its training, and its weights, from others."""
    weights = {"conv.weight": Tensor.of(np.full(1000, 1 + own, "f4"))}
    return run(
        folder, accuracy, seed=seed, kept=None, weights=weights, training_id=f"sha256:{own:064d}",
        changes={"draw": {"rewind": rewind}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Two draws with the same dense nets of seeds 0 and 1, and of seed 1 another training, as accurate as the first."""
    home = tmp_path_factory.mktemp("copies") / "runs/resnet18-cifar100"
    for name, rewind in (("imp-0123abcd", "0"), ("imp-4567abcd", "5ep")):
        for seed in (0, 1):
            place = home / name / f"seed-{seed}/levels"
            transferred(dense(place / "0", 0.9, seed=seed, own=seed, rewind=rewind), 0.5 + seed / 5)
            transferred(run(place / "10", 0.7, seed=seed, changes={"draw": {"rewind": rewind}}), 0.4)
    dense(home / "imp-0123abcd/seed-0/spends/aa/0-seed-1", 0.9, seed=1, own=7, rewind="0")
    return gallery([str(home)], home).shelf


def across(sheet: Sheet) -> tuple[object, ...]:
    (found,) = sheet.where(role="reference")
    return found["y"], found["low"], found["n"]


def test_a_training_counts_once_and_one_of_the_same_seed_and_accuracy_for_itself(shelf: Shelf) -> None:
    """Five folders, three trainings."""
    (one,) = accuracy_sparsity.gather(shelf, params=accuracy_sparsity.Params())
    assert across(one) == (pytest.approx(90), pytest.approx(90), 3)


def test_what_was_measured_of_copies_counts_once(shelf: Shelf) -> None:
    """Of 50 and 70 %: the deviation of two values is 20 / sqrt(2), of the four that lie there 20 / sqrt(3)."""
    (one,) = transfer.gather(shelf, params=transfer.Params())
    assert across(one) == (pytest.approx(60), pytest.approx(60 - 20 / 2**0.5), 2)
