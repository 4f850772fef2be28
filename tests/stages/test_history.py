"""What a run is told of the draw behind it, and which labels its images have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.stages.history import history_of
from ticketctl.stages.named import of_run
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
