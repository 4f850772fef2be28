"""A compacted net is written beside its run, read again, and says what the run's net says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages import tiny
from ticketctl.artifacts.compact import Compact, decode_compact, encode_compact
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.verify import verify_run
from ticketctl.errors import ArtifactError, MismatchError
from ticketctl.stages.compact import read_compact, rebuilt, write_compact
from ticketctl.stages.subject import Subject, subject_of
from ticketctl.train.predict import answers_of


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder, "draw.rate=9/10")
    return folder


def subject(drawn: Path, level: int = 2) -> Subject:
    return subject_of(open_run(drawn / f"levels/{level}"), {}, tiny.around(drawn.parent / "cache"))


def test_it_is_read_as_it_was_written_and_says_what_the_run_says(drawn: Path) -> None:
    of = subject(drawn)
    path = write_compact(of)
    net = read_compact(path, of)
    images = of.images["test"]
    was, now = answers_of(of.setting.bench.model, images), answers_of(net, images)
    assert np.abs(was.logits - now.logits).max() <= 1e-5 * max(1, np.abs(was.logits).max())
    assert (was.logits.argmax(1) == now.logits.argmax(1)).all()
    dense = sum(each.numel() for each in of.setting.bench.model.parameters())
    assert sum(each.numel() for each in net.parameters()) < dense / 2
    said = {check.name: check for check in verify_run(of.run.folder)}
    assert all(check.ok for check in said.values())
    assert "3 layers smaller" in said["compact/final.safetensors"].detail
    again = path.read_bytes()
    write_compact(of)
    assert path.read_bytes() == again


def test_it_says_whose_it_is_and_is_refused_beside_another_run(drawn: Path) -> None:
    of = subject(drawn)
    path = write_compact(of)
    found = decode_compact(path.read_bytes(), where="")
    manifest = of.run.manifest
    assert (found.run, found.subject, found.image) == (manifest.run_id, manifest.weights.digest, (1, 8, 8))
    other = subject(drawn, 1)
    with pytest.raises(MismatchError, match="not from this run's"):
        read_compact(path, other)
    stray = other.run.folder / "compact" / path.name
    stray.parent.mkdir()
    stray.write_bytes(path.read_bytes())
    failed = [check for check in verify_run(other.run.folder) if not check.ok]
    assert [(check.name, check.code) for check in failed] == [
        ("compact/final.safetensors", "E_WEIGHTS_DIGEST")
    ]


def test_every_flipped_bit_is_noticed(drawn: Path) -> None:
    data = write_compact(subject(drawn)).read_bytes()
    for place in np.random.default_rng(0).integers(0, len(data), 60):
        spoiled = bytearray(data)
        spoiled[place] ^= 1 << (place % 8)
        with pytest.raises(ArtifactError):
            decode_compact(bytes(spoiled), where="f")


def with_(**changes: object) -> Compact:
    fields: dict[str, object] = {
        "run": "rn1" + "a" * 29, "subject": "sha256:" + "0" * 64, "image": (1, 8, 8), "weights": {},
        "rows": {"fc": np.array([0, 2])}, "columns": {"fc": np.array([1])},
    }  # fmt: skip
    return Compact(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": {"fc": np.array([2, 0])}},
        {"rows": {"fc": np.array([0, 0])}},
        {"rows": {"fc": np.array([-1, 0])}},
        {"rows": {"fc": np.array([], "i8")}},
        {"rows": {}},
        {"image": (0, 8, 8)},
        {"subject": "nobody"},
    ],
)
def test_what_no_reader_takes_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="new file"):
        encode_compact(with_(**changes))


def test_a_file_that_fits_no_such_net_is_refused(drawn: Path) -> None:
    for rows in ({"fc9": np.array([0])}, {"fc1": np.array([10_000])}, {"flatten": np.array([0])}):
        odd = with_(rows=rows, columns={})
        with pytest.raises(ArtifactError, match="does not fit this net"):
            rebuilt(odd, torch.nn.Sequential(), where="f")
        with pytest.raises(ArtifactError, match="does not fit this net"):
            rebuilt(odd, subject(drawn).setting.bench.model, where="f")
