"""What is made of a ticket has a chain behind it, after a kill too; of one that could not have it nothing is made."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.artifacts import hostile_verdicts, reports, samples
from tests.stages import tiny
from ticketctl.artifacts import chain as chains
from ticketctl.artifacts import records
from ticketctl.artifacts.chain import CHAIN, MAX_LINKS, read_chain
from ticketctl.artifacts.report import Report, decode_report, encode_report
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.signature import SIGNATURE
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verdict import open_verdict, report_ids
from ticketctl.errors import ArtifactError, ResourceError, UsageError
from ticketctl.progress import Silent
from ticketctl.stages import lineage
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


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_runs_that_are_found_where_nothing_can_be_written_are_told_and_not_refused(
    draw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = tiny.spend(draw, levels="all", seeds=[1])
    for one in spent:
        (one.run.folder / CHAIN).unlink()

    def refused(path: Path, data: bytes) -> None:
        raise ResourceError(f"{path}: cannot be written: Read-only file system")

    monkeypatch.setattr(chains, "write_atomic", refused)
    told = Told()
    again = tiny.spend(draw, levels="all", seeds=[1], reporter=told)
    assert [one.run.manifest for one in again] == [one.run.manifest for one in spent]
    said = [line for line in told.lines if CHAIN in line]
    assert said
    assert {*said} == {
        f"{draw}: cannot be written, so runs that were found stay without {CHAIN}, their history"
    }


def test_what_was_signed_without_a_chain_gets_none(draw: Path) -> None:
    [dense, sparse] = [one.run.folder for one in tiny.spend(draw, levels="1", seeds=[1])]
    for folder in (dense, sparse):
        (folder / CHAIN).unlink()
    (sparse / SIGNATURE).write_bytes(b"{}")
    tiny.spend(draw, levels="1", seeds=[1])
    assert ((dense / CHAIN).exists(), (sparse / CHAIN).exists()) == (True, False)


def runs_of(folder: Path, count: int) -> list[Run]:
    """Runs of one ticket, each with a chain."""
    ticket = samples.ticket(folder / "ticket")
    lineage.drew(ticket)
    found = []
    for seed in range(count):
        run = samples.run(
            folder / f"spends/abcd1234/3-seed-{seed}",
            seeds={"root": seed},
            training_id="sha256:" + f"{seed:064x}",
            ticket_id=ticket.manifest.ticket_id,
        )
        lineage.trained(run, ticket)
        found.append(run)
    return found


def report_of(run: Run) -> Report:
    subject = reports.SUBJECT.model_copy(update={"run_id": run.manifest.run_id})
    return decode_report(encode_report(replace(reports.audit(), subject=subject)), where="a report")


def test_a_verdict_is_refused_before_its_runs_are_measured_if_its_chain_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile_verdicts.sound(tmp_path / "verdict")
    verdict = open_verdict(tmp_path / "verdict").verdict
    count = len(report_ids(verdict))
    runs = runs_of(tmp_path, count)
    measured = [(report_of(run), run) for run in runs]
    lineage.judged(tmp_path / "verdict", verdict, measured)
    whole = read_chain(tmp_path / "verdict")
    assert whole is not None
    assert len(whole.links) == 1 + 2 * count + 1
    (tmp_path / "verdict" / CHAIN).unlink()
    for most in range(100, 400):  # the limit may lie anywhere: both find it at the same number of values
        monkeypatch.setattr(records, "MAX_VALUES", most)
        try:
            lineage.judged(tmp_path / "verdict", verdict, measured)
        except ArtifactError:
            with pytest.raises(UsageError, match=rf"a verdict over {count} runs, of \d+ steps: more than"):
                lineage.check_judged(runs)
        else:
            lineage.check_judged(runs)
            return
    pytest.fail(f"the chain of {len(whole.links)} links, of {MAX_LINKS} at most, was never written")
