from __future__ import annotations

from pathlib import Path

from tests.artifacts import samples
from ticketctl.artifacts.verify import verify_run, verify_ticket


def test_ticket_round_trip(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path)
    for check in verify_ticket(tmp_path):
        print(check)
    assert all(check.ok for check in verify_ticket(tmp_path))
    ladder = ticket.ladder()
    for n in range(4):
        m = ticket.mask_at(n)
        for k, v in m.items():
            assert (v == (samples.death()[k] >= n)).all()


def test_run_round_trip(tmp_path: Path) -> None:
    for sparse in (True, False):
        samples.run(tmp_path / str(sparse), sparse=sparse)
        for check in verify_run(tmp_path / str(sparse)):
            print(check)
        assert all(check.ok for check in verify_run(tmp_path / str(sparse)))
