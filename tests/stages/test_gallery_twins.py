"""Paths between two twins of a ticket are its barrier: no paper asked for three, and they are no other nets' path."""

import numpy as np
import pytest

from tests.stages.written import drawn, run
from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject, encode_report
from ticketctl.figures import barrier, barrier_sparsity
from ticketctl.figures.shelf import Shelf
from ticketctl.stages.gallery import gallery

DIGEST = "sha256:" + "0" * 64
CURVE = "line/test.error.recalibrate"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Two seeds of a level of one ticket, and beside the ticket the report of the path between them."""
    here = tmp_path_factory.mktemp("twins") / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    ticket = drawn(here / "ticket").manifest.ticket_id
    nets = [
        run(here / place, 0.7, seed=seed, ticket=ticket).manifest
        for seed, place in enumerate(("levels/10", "spends/aa/10-seed-1"))
    ]
    ends = [
        {"run_id": net.run_id, "weights": net.weights.digest, "level": 10, "ticket": ticket, "name": "a twin"}
        for net in nets
    ]
    said = {"barrier": {"set": "test", "policy": "recalibrate"}}
    report = Report(
        kind="interpolate",
        subject=Subject(run_id="untrained", ticket=ticket, level=10, weights=DIGEST, status="done"),
        data=ReportData(name="cifar100", fingerprint="f"),
        seeds={"root": 0},
        env={},
        recipe={"ends": ends, "keys": {"line": {}}},
        sources={},
        metrics=(MetricRow("barrier", "line", "none", 3.0, None, 100, "done", "", said),),
        arrays={
            "line/alphas": np.array([0.0, 0.5, 1.0]),
            "line/pairs": np.array([[0, 1]]),
            CURVE: np.array([[0.3, 0.34, 0.32]]),
            f"{CURVE}.pairs": np.array([[3.0, 3.0, 2.0]]),
        },
    )
    path = here / "ticket" / report.file_name
    path.parent.mkdir()
    path.write_bytes(encode_report(report))
    return gallery([str(here)], here).shelf


def test_the_barrier_between_two_twins_is_drawn_over_sparsity(shelf: Shelf) -> None:
    (one,) = barrier_sparsity.gather(shelf, params=barrier_sparsity.Params())
    (point,) = one.where(role="line")
    assert point["x"] == pytest.approx(89.3)
    assert (one.part, point["y"], point["n"]) == ("twins", 3.0, 1)


def test_the_path_between_two_twins_is_one_of_twins_and_no_path_between_other_nets(shelf: Shelf) -> None:
    assert [one.part for one in barrier.gather(shelf, params=barrier.Params())] == ["twins"]
