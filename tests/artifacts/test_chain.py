"""How artifacts came to be: a hand that changes a step is seen by every step behind it; what is not here is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from tests.artifacts import samples
from tests.artifacts.hostile_chains import link
from ticketctl.artifacts import deep
from ticketctl.artifacts.chain import CHAIN, SEAL, chain_bytes, chained, link_of, parse_chain, read_chain
from ticketctl.artifacts.deep import verify_deep
from ticketctl.artifacts.folder import Check
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.records import record_digest, seal
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json

TOOL = "ticketctl 1"
DRAW = "net-data/imp-0123abcd/seed-0"


@pytest.fixture
def made(tmp_path: Path) -> tuple[Ticket, Run, Path]:
    """A ticket and a run of its own level in a workspace, each with its chain."""
    draw = tmp_path / DRAW
    (draw / "ticket").mkdir(parents=True)
    ticket = samples.ticket(draw / "ticket")
    chained(ticket.folder, ticket.manifest, [], tool=TOOL)
    (draw / "spends/0123abcd/3-seed-0").mkdir(parents=True)
    run = samples.run(draw / "spends/0123abcd/3-seed-0", ticket=ticket.manifest.ticket_id)
    chained(run.folder, run.manifest, [(ticket.manifest, ticket.folder, None)], tool=TOOL)
    return ticket, run, tmp_path


def failures(checks: list[Check]) -> list[str]:
    return [check.code for check in checks if not check.ok]


def test_a_whole_history_is_walked_back_to_the_draw(made: tuple[Ticket, Run, Path]) -> None:
    ticket, run, root = made
    checks = verify_deep(run.folder, "run", root)
    assert [check.name for check in checks] == ["chain", f"draw: ticket {ticket.manifest.ticket_id[:11]}"]
    assert all(check.ok and not check.skipped for check in checks)


def test_what_is_not_here_is_said_and_is_no_failure(made: tuple[Ticket, Run, Path], tmp_path: Path) -> None:
    _, run, root = made
    alone = shutil.copytree(run.folder, tmp_path / "alone")
    checks = verify_deep(alone, "run", root / "nowhere")
    assert failures(checks) == []
    assert any(check.skipped and "not in" in check.detail for check in checks)


def test_an_artifact_without_a_chain_is_said_to_have_none(made: tuple[Ticket, Run, Path]) -> None:
    _, run, root = made
    (run.folder / CHAIN).unlink()
    checks = verify_deep(run.folder, "run", root)
    assert checks[0].skipped
    assert failures(checks) == []
    assert "sound; the chain has no step of it" in checks[1].detail  # found by the id that its manifest names


def change(folder: Path, edit: Any, *, reseal: bool) -> None:
    """Edit the first link of a chain by hand; with `reseal` give it the id that belongs to what it says now."""
    document = json.loads((folder / CHAIN).read_bytes())
    link = document["links"][0]
    edit(link)
    if reseal:
        link["id"] = record_digest("link", {key: part for key, part in link.items() if key != "id"})
    (folder / CHAIN).write_bytes(canonical_json(seal(document, SEAL) if reseal else document))


@pytest.mark.parametrize(("reseal", "code"), [(False, "E_MANIFEST"), (True, "E_CHAIN")])
def test_an_earlier_step_that_was_changed_breaks_the_chain(
    reseal: bool, code: str, made: tuple[Ticket, Run, Path]
) -> None:
    _, run, root = made
    change(run.folder, lambda link: link.update(step="import"), reseal=reseal)
    assert failures(verify_deep(run.folder, "run", root)) == [code]


def test_a_chain_of_another_manifest_is_refused(made: tuple[Ticket, Run, Path]) -> None:
    ticket, _, root = made
    other = "sha256:" + "1" * 64
    change(ticket.folder, lambda link: link["made"].update(digest=other), reseal=True)
    assert failures(verify_deep(ticket.folder, "ticket", root)) == ["E_CHAIN"]


def test_a_ticket_that_was_damaged_since_is_found_from_its_run(made: tuple[Ticket, Run, Path]) -> None:
    ticket, run, root = made
    mask = ticket.folder / "mask.safetensors"
    mask.write_bytes(mask.read_bytes()[:-1] + b"\xff")
    assert failures(verify_deep(run.folder, "run", root)) == ["E_FILE_DIGEST"]


def test_a_copy_with_the_same_content_and_another_manifest_is_not_taken_for_it(
    made: tuple[Ticket, Run, Path],
) -> None:
    ticket, run, root = made
    shutil.rmtree(ticket.folder)
    ticket.folder.mkdir()
    again = samples.ticket(ticket.folder, citation="elsewhere")
    assert again.manifest.ticket_id == ticket.manifest.ticket_id
    found = verify_deep(run.folder, "run", root)[-1]
    assert found.skipped
    assert "1 of the same content have another manifest" in found.detail


def test_equal_histories_give_equal_bytes_in_whatever_order_their_links_come(
    made: tuple[Ticket, Run, Path],
) -> None:
    _, run, _ = made
    chain = read_chain(run.folder)
    assert chain is not None
    data = (run.folder / CHAIN).read_bytes()
    assert chain_bytes(reversed(chain.links)) == data
    assert chain_bytes([*chain.links, *chain.links]) == data


def test_every_flipped_bit_of_a_chain_is_seen(made: tuple[Ticket, Run, Path]) -> None:
    data = (made[1].folder / CHAIN).read_bytes()
    for at in range(0, len(data) * 8, 7):  # each byte, each bit in turn
        hurt = bytearray(data)
        hurt[at // 8] ^= 1 << at % 8
        with pytest.raises(ArtifactError):
            parse_chain(bytes(hurt), where="hurt")


def test_a_link_without_its_input_and_a_circle_are_refused(made: tuple[Ticket, Run, Path]) -> None:
    ticket, run, _ = made
    first = link_of(ticket.manifest, tool=TOOL)
    with pytest.raises(ArtifactError, match="which is not in the chain"):
        chain_bytes([link_of(run.manifest, [first], tool=TOOL)])


def seconds_to_read(steps: int) -> float:
    """Of processor time, for that many steps one after the other."""
    links = [link("draw", "ticket", "tk1" + "a" * 29, [])]
    for number in range(steps):
        links.append(link("train", "run", f"rn1{number}", links[-1:]))
    text = chain_bytes(reversed(links))
    begun = process_time()
    chain = parse_chain(text, where="long")
    took = process_time() - begun
    assert [one.id for one in chain.links] == [one.id for one in links]
    return took


@pytest.mark.long
def test_a_long_history_is_read_in_time_that_grows_with_it() -> None:
    """Eight times as many steps took sixty times as long when every step was looked at for every other one."""
    few = min(seconds_to_read(250) for _ in range(3))
    assert seconds_to_read(2_000) < 24 * few


def test_a_workspace_of_many_tickets_is_searched_without_their_ladders(
    made: tuple[Ticket, Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run, root = made
    for number in range(5):
        other = root / f"net-data/imp-0123abcd/seed-{9 + number}/ticket"
        other.mkdir(parents=True)
        samples.ticket(other, citation=str(number))
    read: list[Path] = []
    ladder = Ticket.ladder

    def noted(self: Ticket) -> Ladder | None:
        read.append(self.folder)
        return ladder(self)

    monkeypatch.setattr(Ticket, "ladder", noted)
    monkeypatch.setitem(deep._VERIFY, "ticket", lambda folder: [])
    assert failures(verify_deep(run.folder, "run", root)) == []
    assert read == []
