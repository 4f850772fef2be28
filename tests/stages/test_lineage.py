"""What is made of a ticket has a chain behind it, after a kill too; of one that could not have it nothing is made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.artifacts.chain import CHAIN, read_chain
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import ArtifactError
from ticketctl.stages.algebra import cut
from ticketctl.stages.at_level import AtLevel
from ticketctl.stages.draw import draw as run_draw


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ws") / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(folder, "draw.rounds=1", "train.epochs=1")
    return folder


@pytest.fixture
def draw(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may write into."""
    return Path(shutil.copytree(drawn, tmp_path / "lenet-digits" / "imp-00000000" / "seed-0"))


def test_nothing_is_made_of_a_ticket_whose_chain_is_damaged(draw: Path, tmp_path: Path) -> None:
    (draw / "ticket" / CHAIN).write_bytes(b"{}")
    with pytest.raises(ArtifactError, match=r"chain\.json"):
        tiny.spend(draw, levels="1", seeds=[1])
    with pytest.raises(ArtifactError, match=r"chain\.json"):
        cut(AtLevel(open_ticket(draw / "ticket"), 0), tmp_path)
    assert not list(tmp_path.rglob("spends/**/run.json"))
    assert not list(tmp_path.rglob("cut-*"))


def test_a_chain_that_a_kill_left_unwritten_is_written_by_the_same_command_again(
    draw: Path, tmp_path: Path
) -> None:
    operand = AtLevel(open_ticket(draw / "ticket"), 0)
    made = cut(operand, tmp_path).ticket.folder
    [_, sparse] = tiny.spend(draw, levels="1", seeds=[1])
    for folder in (made, sparse.run.folder):
        chain = (folder / CHAIN).read_bytes()
        (folder / CHAIN).unlink()
        cut(operand, tmp_path)
        tiny.spend(draw, levels="1", seeds=[1])
        assert (folder / CHAIN).read_bytes() == chain
    found = read_chain(made)
    assert found is not None
    assert [link.step for link in found.links] == ["draw", "cut"]


def test_a_run_of_a_draws_search_has_a_chain_too(tmp_path: Path) -> None:
    tables = {**tiny.TABLES, "draw": {"method": "gmp", "density": "0.5"}}
    run_draw(tiny.recipe("train.epochs=1", tables=tables), 0, tmp_path / "seed-0", tiny.around(tmp_path))
    (run,) = (tmp_path / "seed-0").rglob("run.json")
    chain = read_chain(run.parent)
    assert run.parent.parent.name == "search"
    assert chain is not None
    assert [link.step for link in chain.links] == ["draw", "train"]
