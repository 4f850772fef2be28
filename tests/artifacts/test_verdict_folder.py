"""A verdict travels with its reports: it is judged again anywhere, without torch, and nothing in it can be changed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.artifacts import hostile_verdicts, verdicts
from ticketctl.artifacts import verdict as kind
from ticketctl.artifacts.report import decode_report, encode_report
from ticketctl.artifacts.verdict import open_verdict, parse_verdict, report_ids, verify_verdict, write_verdict
from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.shipped import room
from ticketctl.stages.verdict import Rule, judge
from ticketctl.stages.verdict_check import recheck, verify

GOLDEN = room("formats") / "verdict/v1/golden"

ELSEWHERE = """
import json, sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError("torch is not here")
sys.meta_path.insert(0, Forbidden())
from pathlib import Path
from ticketctl.stages.verdict_check import recheck
found = recheck(Path(sys.argv[1]))
assert "torch" not in sys.modules
print(json.dumps([found.outcome, found.verdict_id]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hostile_verdicts.sound(tmp_path / "one")
    return tmp_path / "one"


@pytest.mark.long
@pytest.mark.parametrize("name", ["pass", "fail", "indicative"])
def test_the_same_verdict_is_found_elsewhere_without_torch_and_without_the_rest(
    name: str, tmp_path: Path
) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / "somewhere else")
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(tmp_path / "somewhere else")],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    truth = json.loads((GOLDEN / f"{name}.truth.json").read_text())
    assert json.loads(done.stdout) == [truth["outcome"], truth["verdict_id"]]


def test_a_written_verdict_is_sound_wherever_it_lies(tmp_path: Path) -> None:
    made = verdicts.written(tmp_path, verdicts.ladder())
    again = verdicts.written(tmp_path, verdicts.ladder())
    assert made == again
    made.rename(tmp_path / "moved")
    (tmp_path / "moved" / "README").write_text("not a part of it")
    (tmp_path / "moved" / "reports" / "more.zarr.zip").write_text("nor this")
    assert [check.ok for check in verify(tmp_path / "moved")] == [True] * 3
    assert recheck(tmp_path / "moved").outcome == "fail"


def test_reports_may_be_handed_over_as_files_and_cost_no_space(tmp_path: Path) -> None:
    nets = verdicts.small()
    verdict = judge(nets, Rule())
    files = []
    for report in nets[0].reports():
        files.append(tmp_path / f"{report.id}.zarr.zip")
        files[-1].write_bytes(encode_report(report))
    folder = write_verdict(tmp_path / "verdicts", verdict, files)
    assert {path.stat().st_nlink for path in folder.glob("reports/*")} == {2}
    assert recheck(folder) == verdict
    with pytest.raises(ValueError, match="no report rp1"):
        write_verdict(tmp_path / "others", verdict, files[:1])
    assert not list((tmp_path / "others").rglob("verdict.json"))


def test_the_document_is_canonical_and_says_which_reports(folder: Path) -> None:
    data = (folder / "verdict.json").read_bytes()
    verdict = parse_verdict(data, where="")
    assert sorted(f"audit-{name}.zarr.zip" for name in report_ids(verdict)) == sorted(
        os.listdir(folder / "reports")
    )
    assert open_verdict(folder).verdict == verdict


@pytest.mark.long
def test_a_flipped_bit_of_any_byte_of_the_document_is_seen(folder: Path) -> None:
    data, rng = (folder / "verdict.json").read_bytes(), random.Random(0)
    unseen = 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        try:
            parse_verdict(bytes(changed), where="")
            unseen += 1
        except ArtifactError:
            pass
    assert unseen == 0


def numbers(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The places of everything that is no object or list."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(child, (*path, key))
    else:
        yield path


FREE = {"name", "kept", "prunable", "classes", "train_accuracy", "init", "seed", "format_version"}
"""What the writer says and no report does; the ends of their places."""


@pytest.mark.long
def test_whatever_finding_a_forger_changes_and_seals_again_is_seen(folder: Path) -> None:
    sound = json.loads((folder / "verdict.json").read_bytes())
    places = [
        path
        for path in numbers(sound)
        if path[-1] not in FREE and path[0] not in ("verdict_id", "manifest_digest")
    ]
    for path in places:
        changed = json.loads(json.dumps(sound))
        *way, last = path
        at = changed
        for step in way:
            at = at[step]
        at[last] = forged(at[last])
        hostile_verdicts.rewrite_with(folder, changed)
        with pytest.raises(ArtifactError):
            recheck(folder)
    assert len(places) > 100


def forged(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 19 if value == 15 else value + 1
    if value is None:
        return "1/2"
    text = str(value)
    swaps = {"pass": "fail", "higher": "lower", "lower": "higher", "s004": "s003", "dense": "net", "": "x"}
    return swaps.get(text) or text[:-1] + ("1" if text[-1] != "1" else "2")


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    path = next((folder / "reports").iterdir())
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="links are not followed") as caught:
        recheck(folder)
    assert caught.value.code == "E_PATH"
    path.unlink()
    (tmp_path / "outside").rename(path)
    (folder / "reports").rename(tmp_path / "reports")
    (folder / "reports").symlink_to(tmp_path / "reports")
    with pytest.raises(ArtifactError, match="files outside the folder are not read"):
        recheck(folder)
    assert [check.code for check in verify_verdict(folder) if not check.ok] == ["E_PATH"]


def test_another_version_that_knows_more_is_read_and_judged_as_far_as_it_is_known(tmp_path: Path) -> None:
    with pytest.warns(match="newer than this reader"):
        assert recheck(GOLDEN / "newer-minor").outcome == "pass"


def test_of_each_report_the_array_that_is_read_alone_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ((5, 4, 3, 0), (5, 4, 2, 0))
    reports = [verdicts.counted(run, {"snow": one}) for run, one in (("imp-0", ours), ("dense-0", theirs))]
    more = {"ece/curve": np.zeros(1000), "corruption/errors": np.zeros((15, 5))}
    reports = [replace(one, arrays={**one.arrays, **more}, id="", digest="") for one in reports]
    reports = [decode_report(encode_report(one), where="") for one in reports]
    folder = verdicts.written(tmp_path, [verdicts.net(reports[:1], reports[1:])])
    judged = open_verdict(folder)
    assert [[*one.arrays] for one in judged.reports().values()] == [["corruption/wrong"]] * 2
    assert recheck(folder).nets[0].metrics[1].reason == ""
    monkeypatch.setattr(kind, "MAX_READ", 100)
    with pytest.raises(ArtifactError, match="corruption/wrong of its reports is over 100 bytes") as caught:
        judged.reports()
    assert caught.value.code == "E_VERDICT"


def test_a_report_that_does_not_fit_into_memory_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(data: bytes, *, where: str) -> None:
        raise MemoryError

    monkeypatch.setattr(kind, "decode_report", full)
    with pytest.raises(ResourceError, match=r"reports/audit-rp1.* does not fit into memory") as caught:
        recheck(folder)
    assert "batch" not in str(caught.value)


def test_no_folder_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file") as caught:
        recheck(tmp_path)
    assert caught.value.exit_code == 3
