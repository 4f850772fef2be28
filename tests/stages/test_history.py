"""What a run is told of the draw behind it, and which labels its images have."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.report import MetricRow
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.seeds import Seeds
from ticketctl.stages.audit import audit
from ticketctl.stages.explored import Explored, explored
from ticketctl.stages.history import history_of, read_of
from ticketctl.stages.named import of_run
from ticketctl.stages.probe import asked_of
from ticketctl.stages.spent import Spent
from ticketctl.stages.subject import Opener

ART = (
    "draw.method=art", "draw.density=0.5", "draw.pretrain=1ep", "draw.max_epochs=40", "draw.lambda_init=0.001",
    "draw.eta=2.0",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("art") / "drawn"
    table = {key: value for key, value in tiny.TABLES.items() if key != "draw"} | {
        "draw": {"method": "art", "density": "0.5"}
    }
    tiny.run_draw(tiny.recipe(*ART, tables=table), 0, folder, tiny.around(folder.parent / "cache"))
    return folder


def level_1(drawn: Path, *sets: str, **keys: Any) -> list[Spent]:
    """The ticket, trained; not its controls, nor the dense net."""
    every = tiny.spend(drawn, *sets, levels="1", **keys)
    return [one for one in every if one.job.level and one.job.ticket.manifest.control is None]


@pytest.mark.long
def test_the_record_of_a_draw_is_told_to_its_own_run_alone(drawn: Path) -> None:
    ticket = open_ticket(drawn / "ticket")
    bits = (ticket.record() or {})["right.pruned"].array()
    own = history_of(open_run(drawn / "levels/1"))
    assert own.pruned is not None
    assert own.pruned.sum() == np.bitwise_count(bits).sum()
    spent = {one.job.seed: one for one in level_1(drawn, seeds=[0, 1])}
    assert [spent[seed].trained for seed in (0, 1)] == [False, True]
    assert history_of(spent[0].run).pruned is not None
    assert history_of(spent[1].run).pruned is None
    (kept,) = level_1(drawn, "keep.epochs=[1]")
    assert (history_of(kept.run).pruned, history_of(kept.run).epochs) == (None, (1,))
    (worn,) = (one for one in level_1(drawn, tweaks=["ls"]) if one.job.tweaks)
    assert history_of(worn.run).pruned is None


def test_what_a_history_is_read_from_is_known_by_the_bytes_of_its_files(drawn: Path) -> None:
    def digests(*files: Path) -> set[str]:
        return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    own, ticket = drawn / "levels/1", drawn / "ticket"
    (record,) = (ticket / one.path for one in open_ticket(ticket).manifest.files if one.role == "record")
    assert {*read_of(open_run(own)).values()} == digests(own / "series.zarr.zip", record)
    (kept,) = level_1(drawn, "keep.epochs=[1]")
    states = [state.file for state in kept.run.manifest.states if state.name.startswith("epoch-")]
    files = digests(*(kept.run.folder / name for name in ("series.zarr.zip", *states)))
    assert len(states) == 1
    assert {*read_of(kept.run).values()} == files


def probed(folder: Path, metric: str, heard: tiny.Heard | None = None) -> MetricRow:
    around = tiny.around(folder / "cache", reporter=heard)
    asked = explored("probe", metric, (), None, None)
    subject = Opener(around).open(of_run(open_run(folder / "levels/1"), {}))
    return audit(asked_of(subject, asked, Seeds(0), around)).metrics[0]


def test_what_was_absent_is_measured_when_the_history_has_come(drawn: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(drawn, tmp_path / "here"))
    (here / "ticket").rename(tmp_path / "ticket")
    gone = probed(here, "compression-position")
    assert (gone.status, gone.reason.partition(":")[0]) == (
        "absent",
        "no weights were kept along the training",
    )
    (tmp_path / "ticket").rename(here / "ticket")
    come = probed(here, "compression-position")
    assert come.status == "done"
    (here / "ticket").rename(tmp_path / "ticket")
    assert probed(here, "compression-position").status == "absent"


def test_what_was_not_asked_for_want_of_a_package_is_asked_once_it_is_there(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path(shutil.copytree(drawn, tmp_path / "here"))
    with monkeypatch.context() as patch:
        patch.setattr(Explored, "missing", {"forgetting": "needs a package"})
        patch.setattr("ticketctl.stages.explored._check_packages", lambda asked: None)
        row = probed(here, "forgetting", heard := tiny.Heard())
        assert (row.status, row.reason) == ("absent", "needs a package")
        assert heard.notes[0].endswith("measured before")  # no time is foretold for what is not asked
    assert probed(here, "forgetting").status == "done"


def test_images_of_a_training_with_wrong_labels_have_the_data_sets_own_beside_them(tmp_path: Path) -> None:
    tiny.draw(tmp_path / "drawn", "data.noise.kind=symmetric", "data.noise.rate=0.5", "draw.rounds=1")
    plain = tiny.draw(tmp_path / "plain", "draw.rounds=1")
    images = {
        name: Opener(tiny.around(tmp_path / "cache"))
        .open(of_run(open_run(tmp_path / name / "levels/0"), {}))
        .images
        for name in ("drawn", "plain")
    }
    noisy, own = (images[name]["train"] for name in ("drawn", "plain"))
    assert plain.manifest.draw.method == "imp"
    assert noisy.clean.tolist() == own.labels.tolist()
    assert 0.3 < (noisy.labels != noisy.clean).double().mean() < 0.6
    for name in ("val", "test"):
        assert images["drawn"][name].clean.tolist() == images["plain"][name].labels.tolist()
