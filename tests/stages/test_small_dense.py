"""The small dense net of a ticket is trained like the ticket, is as large, and is found where dense nets are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import UsageError
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages.places import drawn_tables
from ticketctl.stages.small_dense import sibling_of, small_folder, small_recipe, spend_small
from ticketctl.stages.subjects import subjects_in


@pytest.fixture(scope="module")
def ticket(tmp_path_factory: pytest.TempPathFactory) -> Ticket:
    return tiny.draw(tmp_path_factory.mktemp("drawn") / "seed-0", "draw.prunable=paper-004")


def recipe_of(ticket: Ticket):
    return parse_recipe(drawn_tables(ticket), where="the draw's")


@pytest.mark.parametrize("level", [1, 2])
def test_it_has_as_many_prunable_weights_as_the_level_and_the_rest_of_the_recipe(
    ticket: Ticket, level: int, tmp_path: Path
) -> None:
    recipe = recipe_of(ticket)
    run = spend_small(ticket, level, 0, recipe, tmp_path, tiny.around(tmp_path / "cache"))
    kept = sum(int(keep.sum()) for keep in ticket.mask(level).values())
    assert abs(run.manifest.kept - kept) / kept < 0.01
    assert run.manifest.kept == run.manifest.prunable == sibling_of(ticket, level, recipe).weights
    assert run.manifest.seeds == ticket.manifest.draw.seeds
    ours, theirs = run.manifest.recipe, ticket.manifest.draw.recipe
    assert (ours["data"], ours["train"]) == (theirs["data"], theirs["train"])
    assert run.manifest.status == "done"


def test_it_is_trained_once_and_named_dense_with_its_widths(ticket: Ticket, tmp_path: Path) -> None:
    recipe, around = recipe_of(ticket), tiny.around(tmp_path / "cache")
    run = spend_small(ticket, 2, 0, recipe, tmp_path, around)
    when = (run.folder / "run.json").stat().st_mtime_ns
    again = spend_small(ticket, 2, 0, recipe, tmp_path, around)
    assert (again.folder / "run.json").stat().st_mtime_ns == when
    assert run.folder == small_folder(ticket, 2, 0, recipe, tmp_path) / "levels" / "0"
    (found,), _ = subjects_in([str(tmp_path / "lenet-300-100-digits")], tmp_path)
    assert (found.method, found.control) == ("dense", "")
    assert found.settings["model.widths"] != "[]"


def test_a_spends_seed_pairs_it_with_the_spends_dense_run(ticket: Ticket, tmp_path: Path) -> None:
    recipe = recipe_of(ticket)
    run = spend_small(ticket, 2, 5, recipe, tmp_path, tiny.around(tmp_path / "cache"))
    spent = tiny.spend(ticket.folder.parent, levels="2", seeds=[5])
    dense = next(one.run for one in spent if one.job.level == 0)
    assert run.manifest.seeds == dense.manifest.seeds


def test_another_seed_is_another_run(ticket: Ticket, tmp_path: Path) -> None:
    recipe = recipe_of(ticket)
    one, other = (small_folder(ticket, 1, seed, recipe, tmp_path) for seed in (0, 1))
    assert one != other
    assert small_recipe(ticket, 1, 1, recipe).train == recipe.train


def test_the_dense_level_has_none(ticket: Ticket) -> None:
    with pytest.raises(UsageError, match="level 0 is the dense net itself"):
        sibling_of(ticket, 0, recipe_of(ticket))
