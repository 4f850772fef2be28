"""Damaged and forged files: nothing but ArtifactError comes out, and nothing is read as what it is not.

`TICKETCTL_FUZZ=100000` runs as many mutants of each kind; the default is a few thousand in all.
"""

from __future__ import annotations

import json
import os
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.artifacts import (
    hostile_folders,
    hostile_reports,
    hostile_samples,
    hostile_stores,
    hostile_trajectories,
    make_corpus,
    mutate,
    reports,
    samples,
)
from ticketctl.artifacts.ladder import decode_ladder, encode_ladder
from ticketctl.artifacts.manifest import SEAL, parse_manifest
from ticketctl.artifacts.masks import decode_mask, encode_mask
from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.records import FormatWarning, seal
from ticketctl.artifacts.report import decode_report, encode_report
from ticketctl.artifacts.samples import decode_samples, encode_samples
from ticketctl.artifacts.series import decode_series, encode_series
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.trajectory import decode_trajectory, encode_trajectory
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.artifacts.weights import decode_weights
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json
from ticketctl.store.tensors import Tensor

ASKED = int(os.environ.get("TICKETCTL_FUZZ", "0"))
SLOWEST = 2.0
pytestmark = [
    pytest.mark.filterwarnings("ignore::ticketctl.artifacts.records.FormatWarning"),
    pytest.mark.timeout(0),
]

FILES: dict[str, tuple[Any, ...]] = {
    "mask": (lambda: encode_mask(samples.ladder().mask(2)), mutate.mask_of, decode_mask, make_corpus.mask_truth, 2000),
    "ladder": (
        lambda: encode_ladder(samples.full_ladder()), mutate.store_of, decode_ladder, make_corpus.ladder_truth, 1200,
    ),
    "series": (
        lambda: encode_series(samples.series()), mutate.store_of, decode_series, make_corpus.series_truth, 800,
    ),
    "trajectory": (
        lambda: encode_trajectory(hostile_trajectories.walk(17)), mutate.store_of, decode_trajectory,
        make_corpus.trajectory_truth, 400,
    ),
    "samples": (
        lambda: encode_samples(hostile_samples.elsewhere()), mutate.mask_of, decode_samples, make_corpus.samples_truth,
        1200,
    ),
    "report": (
        lambda: encode_report(reports.audit()), mutate.store_of, decode_report, make_corpus.report_truth, 800,
    ),
}  # fmt: skip
SLOW = ("series", "report")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] * (kind in SLOW)) for kind in FILES]
)
def test_mutants_are_refused_or_mean_the_same(kind: str) -> None:
    encode, mutant_of, decode, tell, count = FILES[kind]
    sound = encode()
    truth, rng = tell(decode(sound, where="")), np.random.Generator(np.random.Philox(7))
    refused = 0
    for _ in range(ASKED or count):
        mutant = mutant_of(sound, rng)
        began = time.process_time()
        try:
            assert tell(decode(mutant, where="")) == truth
        except ArtifactError:
            refused += 1
        assert time.process_time() - began < SLOWEST
    assert refused > (ASKED or count) // 2


def forged(fields: Any, rng: np.random.Generator) -> Any:
    """A manifest changed in one to three places, its ids and its seal made to fit again."""
    for _ in range(int(rng.integers(1, 4))):
        fields = mutate.json_of(fields, rng)
    try:
        hostile_folders.reidentify(fields)
        return seal(fields, SEAL)
    except (KeyError, TypeError, ValueError, AttributeError):
        return fields


@pytest.mark.long
@pytest.mark.parametrize(("kind", "model"), [("ticket", TicketManifest), ("run", RunManifest)])
def test_forged_manifests_are_refused_or_sound(tmp_path: Path, kind: str, model: Any) -> None:
    make: Callable[[Path], Any] = getattr(samples, kind)
    make(tmp_path)
    fields, rng = (
        json.loads((tmp_path / f"{kind}.json").read_bytes()),
        np.random.Generator(np.random.Philox(8)),
    )
    accepted = 0
    for _ in range(ASKED or 800):
        data = mutate.text_of(forged(fields, rng))
        try:
            manifest = parse_manifest(data, model, where="")
        except ArtifactError:
            continue
        accepted += 1
        if json.loads(data)["format_version"] == "1.0":
            assert canonical_json(manifest.model_dump(mode="json")) == data
    assert accepted  # another licence, say, makes another sound manifest


def forged_samples(rng: np.random.Generator) -> bytes:
    """Samples with words or a bit of an array changed, under a sound digest."""
    tensors, header = hostile_samples.opened(encode_samples(hostile_samples.elsewhere()))
    if rng.integers(2):
        name = sorted(tensors)[int(rng.integers(len(tensors)))]
        tensors[name] = mutate.flipped(tensors[name], rng)
    else:
        header = mutate.json_of(header, rng)
    return hostile_samples.pack(tensors, header)


def forged_report(rng: np.random.Generator) -> bytes:
    """A report with words or a bit of an array changed, under a sound digest, id and seal."""
    report = reports.audit()
    arrays = dict(hostile_reports.kind._arrays(report))
    if rng.integers(2):
        path = sorted(arrays)[int(rng.integers(len(arrays)))]
        arrays[path] = mutate.flipped(Tensor.of(arrays[path]), rng).array()
        return hostile_reports.forged(arrays=arrays)

    def change(root: dict[str, Any]) -> None:
        fields = mutate.json_of(root, rng)
        root.clear()
        root.update(fields)

    return hostile_reports.forged(change)


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "decode", "encode"),
    [(forged_samples, decode_samples, encode_samples), (forged_report, decode_report, encode_report)],
)
def test_forged_measurements_are_refused_or_sound(make: Any, decode: Any, encode: Any) -> None:
    rng, accepted = np.random.Generator(np.random.Philox(11)), 0
    for _ in range(ASKED or 600):
        try:
            data = make(rng)
        except (TypeError, ValueError):
            continue  # nothing that JSON has a form for
        with warnings.catch_warnings(record=True) as newer:
            warnings.simplefilter("always", FormatWarning)
            try:
                found = decode(data, where="")
            except ArtifactError:
                continue
        accepted += 1
        assert newer or encode(found) == data
    assert accepted  # another logit or seed, say, is sound too


def test_forged_tickets_do_not_pass_as_another_content(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path)
    told, rng = make_corpus.ticket_truth(ticket), np.random.Generator(np.random.Philox(9))
    fields = json.loads((tmp_path / "ticket.json").read_bytes())
    for _ in range(ASKED // 10 or 150):
        (tmp_path / "ticket.json").write_bytes(mutate.text_of(forged(fields, rng)))
        if all(check.ok for check in verify_ticket(tmp_path)):
            again = make_corpus.ticket_truth(open_ticket(tmp_path))
            del again["ticket_id"]
            assert again == {key: value for key, value in told.items() if key in again} | {
                "ladder": again["ladder"]
            }


@pytest.mark.parametrize("kind", ["ticket", "run"])
def test_verify_never_raises(tmp_path: Path, kind: str) -> None:
    getattr(samples, kind)(tmp_path)
    verify, rng = (
        {"ticket": verify_ticket, "run": verify_run}[kind],
        np.random.Generator(np.random.Philox(10)),
    )
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for _ in range(ASKED // 10 or 100):
        path = files[int(rng.integers(len(files)))]
        sound = path.read_bytes()
        path.write_bytes(mutate.bytes_of(sound, rng))
        if path.read_bytes() != sound:
            assert not all(check.ok for check in verify(tmp_path))
        path.write_bytes(sound)


def crowd() -> bytes:
    """The header of a hundred thousand empty tensors."""
    tensor = b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
    many = b"{" + b"".join(tensor % number for number in range(100_000))[:-1] + b"}"
    return len(many).to_bytes(8, "little") + many


def talk() -> bytes:
    metadata = b'{"__metadata__":{"ticketctl":"' + b"a" * 20_000_000 + b'"}}'
    return len(metadata).to_bytes(8, "little") + metadata


def huge() -> bytes:
    sound = encode_ladder(samples.full_ladder())
    return hostile_stores.document(sound, "death/fc1.weight/zarr.json", shape=[2**31] * 8)


BOMBS: dict[str, tuple[Callable[..., Any], Callable[[], bytes]]] = {
    "tensors": (decode_mask, crowd),
    "metadata": (decode_mask, talk),
    "deep-header": (decode_weights, lambda: (900_000).to_bytes(8, "little") + b"[" * 900_000),
    "deep-manifest": (
        lambda data, where: parse_manifest(data, TicketManifest, where=where),
        lambda: b"[" * 1_000_000,
    ),
    "deflated": (
        decode_ladder,
        lambda: hostile_stores.zipped([("zarr.json", bytes(40_000_000))], deflate=True),
    ),
    "dimensions": (decode_ladder, huge),
    "values": (
        decode_report,
        lambda: hostile_reports.claiming("value", (1 << 31,), hostile_reports.kind._FLOAT),
    ),
    "logits": (decode_samples, crowd),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_fast_and_small(name: str) -> None:
    decode, make = BOMBS[name]
    data = make()
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ArtifactError):
        decode(data, where="")
    took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < SLOWEST
    assert peak < 32 << 20


def test_the_newest_minor_is_read_with_a_warning() -> None:
    newer = hostile_stores.attributes(encode_ladder(samples.full_ladder()), format_version="1.3", later=1)
    with pytest.warns(FormatWarning, match="newer than this reader"):
        decode_ladder(newer, where="")
