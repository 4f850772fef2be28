"""Dense trainings that draws have in common: done once, and nothing else is ever taken for them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.train import small
from ticketctl.draws import omp
from ticketctl.errors import StoppedError
from ticketctl.seeds import Seeds
from ticketctl.train import loop
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Lab, Level, Target
from ticketctl.train.shelf import Shelf


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of trainings that really took place."""
    found: list[str] = []
    run = loop.Loop.run

    def watched(self: loop.Loop) -> None:
        found.append(self.order.title)
        run(self)

    monkeypatch.setattr(loop.Loop, "run", watched)
    return found


def lab_at(place: Path, name: str, **keys: Any) -> Lab:
    spec = keys.pop("train", None)
    lab = small.lab(place / name, small.bench(spec, stop=keys.pop("stop", small.never)), **keys)
    lab.shelf = Shelf.at(place / "shelf", lab.bench.place)
    return lab


def draw(lab: Lab, density: str) -> list[Level]:
    return list(omp.draw(lab, target=Target(Fraction(density), None), params=omp.Params()))


def test_the_dense_net_of_two_densities_is_trained_once_and_every_file_is_as_if_it_were_not(
    tmp_path: Path, trained: list[str]
) -> None:
    draw(lab_at(tmp_path, "first", rewind=2), "1/2")
    mine = draw(lab_at(tmp_path, "second", rewind=2), "1/4")
    assert [title.partition(",")[0] for title in trained] == ["level 0", "level 1", "level 1"]
    plain = small.lab(tmp_path / "plain", small.bench(), rewind=2)
    own = draw(plain, "1/4")
    assert small.files_below(tmp_path / "second") == small.files_below(tmp_path / "plain")
    assert mine[1].mask.equal(own[1].mask)
    assert mine[0].fit is not None
    assert own[0].fit is not None
    assert mine[0].fit.metrics() == own[0].fit.metrics()
    assert mine[0].fit.steps == own[0].fit.steps, "what it cost is what it costs"


@pytest.mark.parametrize(
    "other",
    [
        {"rewind": 3},
        {"seeds": Seeds(1)},
        {"train": small.train_spec(lr=0.1)},
        {"train": small.train_spec(epochs=3)},
    ],
    ids=["another state to keep", "another seed", "another rate", "another length"],
)
def test_another_training_is_not_taken_for_it(
    tmp_path: Path, trained: list[str], other: dict[str, Any]
) -> None:
    draw(lab_at(tmp_path, "first", rewind=2), "1/2")
    draw(lab_at(tmp_path, "second", **{"rewind": 2, **other}), "1/2")
    assert trained.count("level 0, dense") == 2
    draw(lab_at(tmp_path, "third", **{"rewind": 2, **other}), "1/4")
    assert trained.count("level 0, dense") == 2


@pytest.mark.parametrize("part", ["final", "state-2", "record", "digests"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_what_was_changed_or_lost_is_trained_again(
    tmp_path: Path, trained: list[str], part: str, how: str
) -> None:
    """Files of runs are second names of these bytes: a tool that writes into one in place writes into both."""
    draw(lab_at(tmp_path, "first", rewind=2), "1/2")
    (path,) = (tmp_path / "shelf").glob(f"*/*/{part}.*")
    if how == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    draw(lab_at(tmp_path, "second", rewind=2), "1/4")
    assert trained.count("level 0, dense") == 2
    draw(lab_at(tmp_path, "plain", rewind=2), "1/4")
    assert trained.count("level 0, dense") == 2, "it was put right"
    assert small.files_below(tmp_path / "second") == small.files_below(tmp_path / "plain")


class Counts(Hooks):
    def identity(self) -> dict[str, Any]:
        return {"name": "counts"}


def test_sparse_trainings_those_of_hooks_and_diverged_ones_are_not_kept(tmp_path: Path) -> None:
    lab = lab_at(tmp_path, "first")
    lab.fit(lab.initial, small.half())
    lab.fit(lab.initial, None, hooks=(Counts(),))
    lab.bench = replace(lab.bench, train=small.train_spec(lr=1e30))
    lab.identity = {"test": "diverges"}
    fit = lab.fit_in(FitFiles(tmp_path / "wild"), lab.initial, None, keep=(), title="wild")
    assert fit.diverged
    assert not (tmp_path / "shelf").exists()


def test_stopped_at_any_question_the_draw_ends_in_the_same_files(tmp_path: Path) -> None:
    draw(lab_at(tmp_path, "first"), "1/2")
    plain = small.lab(tmp_path / "plain", small.bench())
    draw(plain, "1/4")
    for polls in range(1, 200, 3):
        left = iter(range(10**6))
        name = str(polls)
        try:
            draw(
                lab_at(
                    tmp_path, name, stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None
                ),
                "1/4",
            )
        except StoppedError:
            draw(lab_at(tmp_path, name), "1/4")
            assert small.files_below(tmp_path / name) == small.files_below(tmp_path / "plain")
        else:
            return
    pytest.fail("it never came to its end")
