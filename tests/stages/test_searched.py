"""A draw that searches its mask apart keeps that training; its lengths stretch with the recipe's."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.draws.drawing import tables
from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.verify import verify_run
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages.draw import draw


def recipe_of(method: str, **keys: Any) -> Recipe:
    return parse_recipe(tables(method, **keys), where="test")


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_the_run_of_a_search_and_its_masks_are_kept(tmp_path: Path, method: str) -> None:
    folder = tmp_path / "seed-0"
    ticket = draw(recipe_of(method, search=3, every="2it"), 0, folder, tiny.around(tmp_path / "cache"))
    run = open_run(folder / "search" / "1")
    assert all(check.ok for check in verify_run(run.folder))
    keep, way = run.mask(), run.trajectory()
    assert keep is not None
    assert way is not None
    assert all(np.array_equal(keep[name], mask) for name, mask in ticket.mask().items())
    assert len(way.step) > 2
    assert run.manifest.cost.steps == 3 * tiny.PER_EPOCH
    assert run.manifest.weights.digest == ticket.manifest.init.digest, "the ticket goes on from its end"
    assert (folder / "levels" / "1" / "run.json").is_file()


@pytest.mark.parametrize(
    ("method", "said", "factor", "wanted"),
    [
        ("rigl", {"search": 360}, "1/10", {"search": 36}),
        ("rigl", {"search": 360}, "1/1000", {"search": 1}),
        ("rigl", {}, "1/10", {}),
        ("set", {"search": 0}, "1/10", {"search": 0}),
        ("supermask", {"epochs": 50}, "3", {"epochs": 150}),
        ("gmp", {"begin": "10ep", "end": "76.8%"}, "1/4", {"begin": "3ep", "end": "76.8%"}),
        ("art", {}, "1/10", {"stretch": "1/10"}),
        ("art", {"stretch": "1/2"}, "1/10", {"stretch": "1/20"}),
        (
            "art",
            {"pretrain": "60ep", "max_epochs": 40},
            "1/10",
            {"stretch": "1/10", "pretrain": "6ep", "max_epochs": 4},
        ),
        ("art", {"pretrain": 60}, "1/100", {"stretch": "1/100", "pretrain": 1}),
        ("imp", {"rate": "1/2"}, "1/10", {"rate": "1/2"}),
    ],
)
def test_a_methods_own_lengths_stretch_in_proportion_at_least_1_each(
    method: str, said: dict[str, Any], factor: str, wanted: dict[str, Any]
) -> None:
    recipe = recipe_of(method, **said).scaled(scale=Fraction(factor))
    assert recipe.draw is not None
    assert recipe.draw.params == wanted
    assert recipe_of(method, **said).scaled(scale=Fraction(1)) == recipe_of(method, **said)
