"""Controls of tickets whose scores tie, overflow or were ranked by layer, and of those with trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.stages import tiny
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.masks.select import top
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages import draw as draw_stage
from ticketctl.stages import method as method_stage
from ticketctl.train.lab import Cost, Lab, Level


def made(folder: Path, kind: str) -> Ticket:
    return open_ticket(folder / "controls" / kind / "ticket")


def drawn(folder: Path, method: str, **draw: Any) -> Path:
    tables = {**tiny.TABLES, "draw": {"method": method, "controls": True, **draw}}
    tiny.run_draw(parse_recipe(tables, where="test"), 0, folder, tiny.around(folder.parent / "cache"))
    return folder


def test_of_equal_scores_lots_decide_and_not_the_place_in_the_net(tmp_path: Path) -> None:
    """Most weights that rounds prune score exactly zero: an inverted mask is spread over all of them."""
    folder = drawn(tmp_path / "seed-0", "synflow", density="1/10", iterations=3)
    mask = made(folder, "inverted").mask()
    ticket = open_ticket(folder / "ticket")
    assert sum(int(keep.sum()) for keep in mask.values()) == ticket.manifest.mask.kept
    assert all(keep.any() for keep in mask.values())
    first = mask["fc1.weight"].ravel()
    assert not first[: int(first.sum())].all()


def test_a_ladder_ranked_by_layer_is_inverted_by_layer(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "seed-0", "imp", rounds=2, rate="1/2", scope="layer")
    ticket, control = open_ticket(folder / "ticket"), made(folder, "inverted")
    for level in (1, 2):
        ours = {name: int(keep.sum()) for name, keep in control.mask(level).items()}
        assert ours == {name: int(keep.sum()) for name, keep in ticket.mask(level).items()}


@pytest.mark.parametrize("retrain", ["lr-rewind", "finetune"])
def test_no_mask_is_moved_over_weights_that_are_zero_there(tmp_path: Path, retrain: str) -> None:
    keys: dict[str, Any] = {"rounds": 2, "rate": "1/2", "retrain": retrain}
    keys |= {"finetune_lr": 0.01} if retrain == "finetune" else {}
    folder = drawn(tmp_path / "seed-0", "imp", **keys)
    assert {path.name for path in (folder / "controls").iterdir()} == {"reinit"}
    drawn(folder, "imp", **keys)  # nothing is left to do


def test_scores_beyond_float32_are_kept_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SynFlow's of a deep net are: one power of two is taken out of all."""
    truth: dict[str, torch.Tensor] = {}

    def draw(lab: Lab, **_: Any) -> Iterator[Level]:
        yield Level(lab.full(), lab.initial, None)
        numbers = np.random.default_rng(0)
        for name, shape in lab.shapes.items():
            truth[name] = torch.from_numpy(numbers.uniform(1, 2, tuple(shape)) * 1e60)
        yield Level(top(truth, 100), lab.initial, None, scores=truth)

    module = SimpleNamespace(draw=draw, cost=lambda plan, params: Cost(0, 0.0))
    for stage in (method_stage, draw_stage):
        monkeypatch.setattr(stage, "method_of", lambda recipe: (module, None))
    ticket = tiny.draw(tmp_path / "seed-0", "draw.density=1/10")
    scores = ticket.scores()
    assert scores is not None
    exponent = ticket.manifest.ext["ticketctl.levels"]["1"]["scores_exponent"]
    for name, score in scores.items():
        np.testing.assert_allclose(score.astype(np.float64) * 2.0**exponent, truth[name].numpy(), rtol=1e-6)


def test_a_level_of_the_ticket_that_a_method_needs_can_be_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tiny.draw(source)
    drawn(tmp_path / "seed-0", "shuffle", ticket=f"{source}/ticket@1")
    first = open_ticket(tmp_path / "seed-0" / "ticket")
    ladder = open_ticket(source / "ticket")
    assert first.manifest.mask.kept == ladder.kept_by_level()[1]
    assert list(first.manifest.draw.parents) == [ladder.ticket_id_at(1)]
