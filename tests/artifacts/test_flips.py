"""Every single bit, every truncation, every inserted byte of a small ticket: all are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import hostile_samples, hostile_trajectories, make_corpus, reports, samples
from ticketctl.artifacts.ladder import decode_ladder, encode_ladder
from ticketctl.artifacts.masks import decode_mask, encode_mask
from ticketctl.artifacts.report import decode_report, encode_report
from ticketctl.artifacts.samples import decode_samples, encode_samples
from ticketctl.artifacts.series import decode_series, encode_series
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.artifacts.trajectory import decode_trajectory, encode_trajectory
from ticketctl.errors import ArtifactError

READ: dict[str, Callable[[Ticket], Any]] = {
    "mask.safetensors": Ticket.mask,
    "rewind.safetensors": Ticket.init,
    "ladder.zarr.zip": Ticket.ladder,
    "ticket.json": lambda ticket: open_ticket(ticket.folder),
}


def flips(data: bytes) -> Iterator[bytes]:
    """`data` with each of its bits flipped in turn."""
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_the_ticket_is_small_enough_to_flip_it_all(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == READ.keys()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 16 << 10
    assert all(read(ticket) is not None for read in READ.values())


@pytest.mark.long
@pytest.mark.parametrize("name", READ)
def test_every_flipped_bit_of_a_ticket_is_seen(tmp_path: Path, name: str) -> None:
    ticket = samples.ticket(tmp_path)
    path, read = tmp_path / name, READ[name]
    data = path.read_bytes()
    unseen = 0
    with open(path, "r+b") as file:  # in place: a new file for each flip would cost more than the check
        for changed in flips(data):
            file.seek(0)
            file.write(changed)
            file.flush()
            try:
                read(ticket)
                unseen += 1
            except ArtifactError:
                pass
    assert unseen == 0


def test_every_flipped_bit_of_a_record_is_seen(tmp_path: Path) -> None:
    run = samples.tweaked(tmp_path)
    path = tmp_path / "record.safetensors"
    sound = path.read_bytes()
    unseen = 0
    with open(path, "r+b") as file:
        for changed in flips(sound):
            file.seek(0)
            file.write(changed)
            file.flush()
            try:
                run.record()
                unseen += 1
            except ArtifactError:
                pass
    assert unseen == 0
    path.write_bytes(sound)
    assert run.record() is not None


ALONE = {
    "mask": (lambda: encode_mask(samples.ladder().mask(2)), decode_mask, make_corpus.mask_truth),
    "ladder": (lambda: encode_ladder(samples.full_ladder()), decode_ladder, make_corpus.ladder_truth),
    "series": (lambda: encode_series(samples.series()), decode_series, make_corpus.series_truth),
    "trajectory": (
        lambda: encode_trajectory(hostile_trajectories.walk(3)),
        decode_trajectory,
        make_corpus.trajectory_truth,
    ),
    "samples": (
        lambda: encode_samples(hostile_samples.elsewhere()),
        decode_samples,
        make_corpus.samples_truth,
    ),
    "report": (lambda: encode_report(reports.small()), decode_report, make_corpus.report_truth),
}


def accepted_otherwise(kind: str, mutants: Iterator[bytes]) -> int:
    """How many mutants are read as something else than the sound file."""
    encode, decode, tell = ALONE[kind]
    truth, wrong = tell(decode(encode(), where="")), 0
    for mutant in mutants:
        try:
            wrong += tell(decode(mutant, where="")) != truth
        except ArtifactError:
            continue
    return wrong


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ticketctl.artifacts.records.FormatWarning")
@pytest.mark.parametrize("kind", ["mask", "ladder", "trajectory"])
def test_no_flipped_bit_of_a_lone_file_changes_its_meaning(kind: str) -> None:
    assert accepted_otherwise(kind, flips(ALONE[kind][0]())) == 0


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ticketctl.artifacts.records.FormatWarning")
@pytest.mark.parametrize("kind", ["samples", "report"])
def test_every_flipped_bit_of_what_was_measured_is_seen(kind: str) -> None:
    encode, decode, _ = ALONE[kind]
    for mutant in flips(encode()):
        with pytest.raises(ArtifactError):
            decode(mutant, where="")


@pytest.mark.long
@pytest.mark.parametrize("kind", ALONE)
def test_every_truncation_and_inserted_byte_is_refused(kind: str) -> None:
    encode, decode, _ = ALONE[kind]
    data = encode()
    cut = (data[:end] for end in range(len(data)))
    grown = (
        data[:place] + bytes([value]) + data[place:] for place in range(len(data) + 1) for value in (0, 32)
    )
    for mutant in (*cut, *grown):
        with pytest.raises(ArtifactError):
            decode(mutant, where="")
