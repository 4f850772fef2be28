"""Nets that were held out different images: on none of those of one did the other not train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages import tiny
from tests.stages.interpolating import FEW, asked
from ticketctl.stages.interpolate import Interpolation, interpolate

SETS = ("data.validation=random:200", "draw.rounds=0")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart")
    for seed in (1, 2):
        tiny.draw(folder / f"seed-{seed}", *SETS, seed=seed)
    return folder


def between(folder: Path, *order: int) -> Interpolation:
    names = [str(folder / f"seed-{seed}" / "levels/0") for seed in order]
    (found,) = asked(tiny.around(folder / "cache"), folder, names, *FEW)
    return found


def test_errors_are_then_of_the_test_images_and_the_barrier_is_the_same_both_ways(seeds: Path) -> None:
    one, other = between(seeds, 1, 2), between(seeds, 2, 1)
    assert one.nets.apart == ("train", "val")
    assert "val" not in one.specimen().images
    assert len(one.nets.remarks) == 2
    found = [{row.name: row for row in interpolate(pair).metrics} for pair in (one, other)]
    assert found[0]["barrier"].value == pytest.approx(found[1]["barrier"].value, abs=1e-9)
    assert found[0]["barrier"].n == 359


def test_nets_of_one_draw_keep_their_validation_images(seeds: Path) -> None:
    same = between(seeds, 1, 1)
    assert same.nets.apart == ()
    assert same.nets.remarks == ()
    assert list(same.specimen().images) == ["train", "val", "test"]
