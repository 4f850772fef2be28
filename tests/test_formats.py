"""The law and its readers: golden files decode to their truth and are written alike; hostile ones are refused by name.

Everything is discovered below formats/, so that a file added there is tested without being asked.
"""

from __future__ import annotations

import contextlib
import filecmp
import importlib.util
import json
import re
import shutil
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.artifacts import make_corpus
from ticketctl.artifacts.chain import chain_bytes, parse_chain
from ticketctl.artifacts.compact import decode_compact, encode_compact
from ticketctl.artifacts.ladder import decode_ladder, encode_ladder
from ticketctl.artifacts.manifest import parse_manifest
from ticketctl.artifacts.masks import decode_mask, encode_mask
from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.records import FormatWarning
from ticketctl.artifacts.report import decode_report, encode_report
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.samples import decode_samples, encode_samples
from ticketctl.artifacts.series import decode_series, encode_series
from ticketctl.artifacts.set import open_set, parse_set, verify_set
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.trajectory import decode_trajectory, encode_trajectory
from ticketctl.artifacts.verdict import open_verdict, parse_verdict
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.artifacts.weights import decode_weights, encode_weights
from ticketctl.errors import ArtifactError
from ticketctl.shipped import room
from ticketctl.stages import verdict_check
from ticketctl.store.tensors import parse_tensors
from ticketctl.store.zips import unpack_zip

ROOT = room("formats")
FILES = {
    "mask": (decode_mask, encode_mask, make_corpus.mask_truth),
    "weights": (decode_weights, encode_weights, make_corpus.weights_truth),
    "ladder": (decode_ladder, encode_ladder, make_corpus.ladder_truth),
    "series": (decode_series, encode_series, make_corpus.series_truth),
    "trajectory": (decode_trajectory, encode_trajectory, make_corpus.trajectory_truth),
    "samples": (decode_samples, encode_samples, make_corpus.samples_truth),
    "compact": (decode_compact, encode_compact, make_corpus.compact_truth),
    "report": (decode_report, encode_report, make_corpus.report_truth),
    "chain": (parse_chain, lambda chain: chain_bytes(chain.links), make_corpus.chain_truth),
}
FOLDERS = {
    "ticket": (open_ticket, verify_ticket, make_corpus.ticket_truth),
    "run": (open_run, verify_run, make_corpus.run_truth),
    "verdict": (open_verdict, verdict_check.verify, make_corpus.verdict_truth),
    "set": (open_set, verify_set, make_corpus.set_truth),
}
PARSERS: dict[str, Any] = {
    "ticket": partial(parse_manifest, model=TicketManifest),
    "run": partial(parse_manifest, model=RunManifest),
    "verdict": parse_verdict,
    "set": parse_set,
}
KINDS = [*FILES, *FOLDERS]


def found(part: str, ending: str, kinds: list[str]) -> list[Any]:
    """(kind, artifact, its companion) for every companion file below `part`."""
    cases = []
    for kind in kinds:
        for companion in sorted((ROOT / kind / "v1" / part).glob(f"*{ending}")):
            name = companion.name.removesuffix(ending)
            artifact = companion.with_name(name + make_corpus.ENDS.get(kind, ""))
            cases.append(pytest.param(kind, artifact, companion, id=f"{kind}-{name}"))
    return cases


@contextlib.contextmanager
def newer_minor_warns(artifact: Path) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        yield
    assert bool(caught) == artifact.name.startswith("newer-minor")


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", [*FILES]))
def test_golden_file_is_read_and_written_alike(kind: str, artifact: Path, truth: Path) -> None:
    decode, encode, tell = FILES[kind]
    data = artifact.read_bytes()
    with newer_minor_warns(artifact):
        content = decode(data, where=artifact.name)
    assert json.loads(json.dumps(tell(content))) == json.loads(truth.read_text())
    if not artifact.name.startswith("newer-minor"):
        assert encode(content) == data


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", [*FOLDERS]))
def test_golden_folder_is_read_and_sound(kind: str, artifact: Path, truth: Path) -> None:
    opened, verify, tell = FOLDERS[kind]
    with newer_minor_warns(artifact):
        assert json.loads(json.dumps(tell(opened(artifact)))) == json.loads(truth.read_text())
        assert [check.detail for check in verify(artifact) if not check.ok] == []


@pytest.mark.parametrize(("kind", "artifact", "why"), found("invalid", ".why.txt", [*FILES]))
def test_hostile_file_is_refused_by_name(kind: str, artifact: Path, why: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        FILES[kind][0](artifact.read_bytes(), where=artifact.name)
    assert caught.value.code == why.read_text().split("\n")[0]
    assert str(caught.value).startswith(artifact.name)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("kind", "artifact", "why"), found("invalid", ".why.txt", [*FOLDERS]))
def test_hostile_folder_is_refused_by_name(kind: str, artifact: Path, why: Path) -> None:
    failed = [check for check in FOLDERS[kind][1](artifact) if not check.ok]
    assert failed
    assert failed[0].code == why.read_text().split("\n")[0]
    assert all(str(artifact) in check.detail and check.detail.isprintable() for check in failed)


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", KINDS))
def test_schema_and_parser_agree(kind: str, artifact: Path, truth: Path) -> None:
    schema = json.loads((ROOT / kind / "v1" / "schema.json").read_text())
    judge = jsonschema.Draft202012Validator(schema)
    document = judged(kind, artifact)
    newer = artifact.name.startswith("newer-minor")
    assert (
        judge.is_valid(document) != newer
    )  # the schema is that of 1.0; only a reader knows what to overlook
    judge.check_schema(schema)


@pytest.mark.parametrize(("kind", "artifact", "why"), found("invalid", ".why.txt", [*FOLDERS]))
def test_what_the_schema_refuses_the_parser_refuses(kind: str, artifact: Path, why: Path) -> None:
    schema = json.loads((ROOT / kind / "v1" / "schema.json").read_text())
    try:
        valid = jsonschema.Draft202012Validator(schema).is_valid(judged(kind, artifact))
    except (ValueError, FileNotFoundError, RecursionError):
        return  # not even JSON
    if not valid:
        data = (artifact / f"{kind}.json").read_bytes()
        with pytest.raises(ArtifactError):
            PARSERS[kind](data, where="")


def judged(kind: str, artifact: Path) -> Any:
    """The JSON that the schema of this kind judges."""
    if kind in FOLDERS:
        return json.loads((artifact / f"{kind}.json").read_bytes())
    data = artifact.read_bytes()
    if make_corpus.ENDS[kind] == ".json":
        return json.loads(data)
    if make_corpus.ENDS[kind] == ".zarr.zip":
        return json.loads(unpack_zip(data, where="")["zarr.json"])["attributes"]
    metadata: dict[str, Any] = parse_tensors(data, where="")[1]
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    del header["__metadata__"]
    return {
        "header": header,
        "metadata": json.loads(metadata["ticketctl"]) if kind != "weights" else metadata,
    }


@pytest.mark.long
def test_the_corpus_is_what_the_generator_makes(tmp_path: Path) -> None:
    make_corpus.write_all(tmp_path)
    for folder in (path for path in tmp_path.rglob("*") if path.is_dir()):
        ours = ROOT / folder.relative_to(tmp_path)
        comparison = filecmp.dircmp(folder, ours)
        assert comparison.left_only == [], ours
        assert set(comparison.right_only) <= {"spec.md"}, ours
        _, differ, odd = filecmp.cmpfiles(folder, ours, comparison.common_files, shallow=False)
        assert (differ, odd) == ([], []), ours


def test_every_code_of_the_readme_is_raised_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text()
    documented = set(re.findall(r"^\| `(E_\w+)`", readme, flags=re.M))
    package = Path(make_corpus.__file__).parents[2] / "ticketctl"
    sources = [path for room_ in ("artifacts", "store") for path in (package / room_).glob("*.py")]
    raised = {code for path in sources for code in re.findall(r'"(E_\w+)"', path.read_text())}
    assert raised <= documented
    whys = {path.read_text().split("\n")[0] for path in ROOT.rglob("*.why.txt")}
    assert whys <= documented


@pytest.fixture(scope="module")
def second_reader() -> Any:
    return imported("read_ticket")


@pytest.fixture(scope="module")
def second_report_reader() -> Any:
    return imported("read_report")


def imported(name: str) -> Any:
    """A short reader below docs/."""
    path = Path(__file__).parents[1] / "docs" / f"{name}.py"
    assert len(path.read_text().splitlines()) <= 80
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", ["mask", "ladder"]))
def test_second_reader_agrees_on_files(second_reader: Any, kind: str, artifact: Path, truth: Path) -> None:
    told = json.loads(truth.read_text())
    if kind == "mask":
        assert make_corpus.mask_truth(second_reader.read_mask(artifact)) == told
        return
    rounds, death = second_reader.read_ladder(artifact)
    content = decode_ladder_quietly(artifact)
    assert rounds == told["rounds"]
    assert death.keys() == told["death"].keys()
    assert all(np.array_equal(death[name], content.death[name]) for name in death)


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", ["ticket", "run"]))
def test_second_reader_agrees_on_manifests(
    second_reader: Any, kind: str, artifact: Path, truth: Path
) -> None:
    manifest = second_reader.read_manifest(artifact / f"{kind}.json")
    assert manifest[f"{kind}_id"] == json.loads(truth.read_text())[f"{kind}_id"]


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", ["samples"]))
def test_second_reader_agrees_on_samples(
    second_report_reader: Any, kind: str, artifact: Path, truth: Path
) -> None:
    told = json.loads(truth.read_text())
    about, arrays = second_report_reader.read_samples(artifact)
    assert {key: about[key] for key in ("set", "subject", "data", "protocol", "digest")} == {
        key: told[key] for key in ("set", "subject", "data", "protocol", "digest")
    }
    assert [[repr(value) for value in row] for row in arrays["logits"].tolist()] == told["logits"]
    assert arrays["labels"].tolist() == told["labels"]
    assert ("index" in arrays and arrays["index"].tolist()) == (told["index"] or False)


@pytest.mark.parametrize(("kind", "artifact", "truth"), found("golden", ".truth.json", ["report"]))
def test_second_reader_agrees_on_reports(
    second_report_reader: Any, kind: str, artifact: Path, truth: Path
) -> None:
    told = json.loads(truth.read_text())
    about, arrays = second_report_reader.read_report(artifact)
    assert about["report_id"] == told["id"]
    said = {True: repr, False: lambda value: "None"}
    for entry, value, error, row in zip(
        about["metrics"], arrays["value"].tolist(), arrays["error"].tolist(), told["metrics"], strict=True
    ):
        assert {key: entry[key] for key in row.keys() & entry.keys()} == {
            key: row[key] for key in row.keys() & entry.keys()
        }
        assert [said[number == number](number) for number in (value, error)] == [row["value"], row["error"]]
    others = {path.removeprefix("array/"): array for path, array in arrays.items() if "/" in path}
    assert others.keys() == told["arrays"].keys()
    for name, array in others.items():
        assert [repr(value) for value in array.reshape(-1).tolist()] == told["arrays"][name]["values"]


def decode_ladder_quietly(artifact: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FormatWarning)
        return decode_ladder(artifact.read_bytes(), where="")


def test_golden_tickets_may_lie_anywhere(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ticket/v1/golden/imp", tmp_path / "else where")
    assert all(check.ok for check in verify_ticket(tmp_path / "else where"))
