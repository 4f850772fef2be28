"""Payload files without a manifest, and what was measured of a run lying beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import reports, samples
from tests.artifacts.hostile_samples import elsewhere, plain
from ticketctl.artifacts.lone import KINDS, is_lone, lone_record, open_lone, verify_lone
from ticketctl.artifacts.report import encode_report
from ticketctl.artifacts.samples import encode_samples
from ticketctl.artifacts.verify import verify_run
from ticketctl.shipped import room
from ticketctl.store.documents import canonical_json

ROOT = room("formats")
SOUND = [
    path
    for kind in KINDS
    for path in sorted((ROOT / kind / "v1/golden").iterdir())
    if path.suffix != ".json" and path.name.partition(".")[0] != "newer-minor"
]
HOSTILE = [
    path
    for kind in KINDS
    for path in sorted((ROOT / kind / "v1/invalid").iterdir())
    if path.suffix != ".txt" and path.name != "mask.safetensors"
]


def named(path: Path) -> str:
    return f"{path.parents[2].name}-{path.name}"


@pytest.mark.parametrize("path", SOUND, ids=named)
def test_a_golden_file_is_told_and_sound(path: Path) -> None:
    assert is_lone(str(path))
    kind, checks = verify_lone(path)
    assert kind == path.parents[2].name
    assert [check.ok for check in checks] == [True]
    assert checks[0].detail.isprintable()


def test_hostile_files_are_not_sound() -> None:
    for path in HOSTILE:
        code = path.with_name(path.name.partition(".")[0] + ".why.txt").read_text().split("\n")[0]
        (check,) = verify_lone(path)[1]
        assert not check.ok, path
        assert str(path) in check.detail
        assert check.code == code or path.name.startswith("other-format"), path


def test_a_mask_in_the_place_of_samples_is_told_as_a_mask() -> None:
    assert verify_lone(ROOT / "samples/v1/invalid/mask.safetensors")[0] == "mask"


@pytest.mark.parametrize(
    "name", ["weights/v1/golden/net.safetensors", "run/v1/golden/tweaked/record.safetensors"]
)
def test_weights_do_not_name_themselves(name: str) -> None:
    kind, checks = verify_lone(ROOT / name)
    assert (kind, checks[0].code) == ("file", "E_FORMAT")
    assert "verify the ticket or run" in checks[0].detail


def test_tickets_runs_and_what_is_not_there_are_no_lone_files(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").mkdir()
    for spec in (
        None,
        "tk1abc",
        str(ROOT / "ticket/v1/golden/imp"),
        str(tmp_path / "x.safetensors"),
        "no.zarr.zip",
    ):
        assert not is_lone(spec)


def test_what_is_said_of_samples_and_reports_is_json() -> None:
    for path in SOUND:
        kind, content = open_lone(path)
        if kind in ("samples", "report"):
            record = lone_record(content)
            assert json.loads(canonical_json(record)) == json.loads(json.dumps(record))
    _, answers = open_lone(ROOT / "samples/v1/golden/plain.safetensors")
    assert {key: lone_record(answers)[key] for key in ("images", "classes", "not_finite")} == {
        "images": 7, "classes": 4, "not_finite": 2,
    }  # fmt: skip
    _, report = open_lone(ROOT / "report/v1/golden/audit.zarr.zip")
    said = lone_record(report)
    assert [row["value"] for row in said["metrics"]] == [0.90625, 0.1, None, None]
    assert said["arrays"]["ece/bins"] == {"dtype": "float64", "shape": [2, 3]}


def measured(folder: Path, **subject: Any) -> None:
    """A run with answers and a report beside it; of the report's subject some words replaced."""
    manifest = samples.run(folder).manifest
    (folder / "samples").mkdir()
    (folder / "reports").mkdir()
    weights = manifest.weights.digest
    for answers in (plain(), elsewhere()):
        data = encode_samples(replace(answers, subject=weights))
        (folder / "samples" / f"{answers.set}.safetensors").write_bytes(data)
    said = {name: getattr(manifest, name) for name in ("run_id", "ticket", "level", "status")}
    of = reports.SUBJECT.model_copy(update={**said, "weights": weights, **subject})
    audit = replace(reports.audit(), subject=of)
    (folder / audit.file_name).write_bytes(encode_report(audit))


def failed(folder: Path) -> list[tuple[str, str]]:
    return [(check.name.partition("-rp1")[0], check.code) for check in verify_run(folder) if not check.ok]


def test_what_was_measured_of_a_run_is_verified_with_it(tmp_path: Path) -> None:
    measured(tmp_path)
    checks = verify_run(tmp_path)
    assert all(check.ok for check in checks)
    assert {"test.safetensors", "ood-cifar100.safetensors"} <= {check.name for check in checks}
    assert checks[-1].name.startswith("audit-rp1")


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ({"run_id": "rn1" + "b" * 29}, "E_RUN_ID"),
        ({"ticket": "dense"}, "E_RUN_ID"),
        ({"level": 1}, "E_RUN_ID"),
        ({"status": "diverged"}, "E_RUN_ID"),
        ({"weights": "sha256:" + "8" * 64}, "E_WEIGHTS_DIGEST"),
    ],
)
def test_a_report_on_another_net_is_found(tmp_path: Path, subject: dict[str, Any], code: str) -> None:
    measured(tmp_path, **subject)
    assert failed(tmp_path) == [("audit", code)]


def test_a_report_under_another_name_is_found(tmp_path: Path) -> None:
    measured(tmp_path)
    found = next((tmp_path / "reports").iterdir())
    found.rename(found.with_name("probe-" + found.name.removeprefix("audit-")))
    assert failed(tmp_path) == [("probe", "E_REPORT_ID")]


def test_answers_under_another_name_or_of_another_net_are_found(tmp_path: Path) -> None:
    measured(tmp_path)
    place = tmp_path / "samples"
    (place / "test.safetensors").rename(place / "train.safetensors")
    (place / "val.safetensors").write_bytes(encode_samples(replace(plain(), set="val")))
    assert failed(tmp_path) == [
        ("train.safetensors", "E_SAMPLES"),
        ("val.safetensors", "E_WEIGHTS_DIGEST"),
    ]


def test_links_in_the_place_of_answers_are_not_followed(tmp_path: Path) -> None:
    measured(tmp_path / "run")
    place = tmp_path / "run" / "samples"
    (place / "test.safetensors").rename(tmp_path / "test.safetensors")
    (place / "test.safetensors").symlink_to(tmp_path / "test.safetensors")
    assert failed(tmp_path / "run") == [("test.safetensors", "E_PATH")]
