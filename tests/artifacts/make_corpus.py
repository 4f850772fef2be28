"""Writes formats/*/v1/{schema.json, golden, invalid}: `python -m tests.artifacts.make_corpus [folder]`.

Everything is computed from `samples`, so that running it again changes nothing; a test holds it to that.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.artifacts import (
    hostile_chains,
    hostile_compacts,
    hostile_folders,
    hostile_records,
    hostile_reports,
    hostile_samples,
    hostile_sets,
    hostile_stores,
    hostile_tensors,
    hostile_trajectories,
    hostile_verdicts,
    samples,
    verdicts,
)
from tests.artifacts.hostile_chains import chain_truth
from tests.artifacts.hostile_sets import set_truth
from tests.artifacts.schemas import schemas
from tests.artifacts.truths import (
    compact_truth,
    ladder_truth,
    mask_truth,
    report_truth,
    run_truth,
    samples_truth,
    series_truth,
    ticket_truth,
    trajectory_truth,
    verdict_truth,
    weights_truth,
)
from ticketctl.artifacts.chain import parse_chain
from ticketctl.artifacts.compact import decode_compact
from ticketctl.artifacts.ladder import encode_ladder
from ticketctl.artifacts.manifest import RunManifest, TicketManifest, parse_manifest
from ticketctl.artifacts.masks import encode_mask
from ticketctl.artifacts.records import FormatWarning
from ticketctl.artifacts.report import decode_report
from ticketctl.artifacts.samples import decode_samples
from ticketctl.artifacts.series import encode_series
from ticketctl.artifacts.set import open_set
from ticketctl.artifacts.trajectory import decode_trajectory, encode_trajectory
from ticketctl.artifacts.verdict import open_verdict, parse_verdict
from ticketctl.artifacts.weights import encode_weights
from ticketctl.errors import ArtifactError
from ticketctl.shipped import room
from ticketctl.store.tensors import Tensor

ENDS = dict.fromkeys(("mask", "weights", "samples", "compact"), ".safetensors")
ENDS["chain"] = ".json"
ENDS |= dict.fromkeys(("ladder", "series", "trajectory", "report"), ".zarr.zip")


def golden_files() -> Iterable[tuple[str, str, bytes, dict[str, Any]]]:
    """Kind, name, content and truth."""
    keep = samples.ladder().mask(2)
    odd = {"scale": np.array(True), "bias": np.arange(11) % 3 == 0, "a.b.weight": np.ones((2, 3, 1, 2), "?")}
    yield "mask", "nets", encode_mask(keep), mask_truth(keep)
    yield "mask", "odd-shapes", encode_mask(odd), mask_truth(odd)
    newer = hostile_tensors.header_with(format_version="1.7", later="ignored")
    yield "mask", "newer-minor", newer, mask_truth(keep)
    tensors = samples.weights()
    every = {
        "f16": Tensor.of(np.array([[1.5, -0.0]], "f2")),
        "bf16": Tensor("BF16", (2,), b"\x80\x3f\x00\x80"),
        "f64": Tensor.of(np.array([0.1])),
        "i64": Tensor.of(np.array(-1, "i8")),
        "empty": Tensor.of(np.zeros((0, 3), "f4")),
    }
    yield "weights", "net", encode_weights(tensors), weights_truth(tensors)
    yield "weights", "dtypes", encode_weights(every), weights_truth(every)
    full, split = samples.full_ladder(), hostile_stores.split_ladder()
    yield "ladder", "nested", encode_ladder(full), ladder_truth(full)
    yield "ladder", "two-chunks", encode_ladder(split), ladder_truth(split)
    newer = hostile_stores.attributes(encode_ladder(full), format_version="1.7", later="ignored")
    yield "ladder", "newer-minor", newer, ladder_truth(full)
    both = replace(samples.series(), samples=11)
    plain = replace(both, forget_count=None, correct_bits=None, samples=None, sample_digest=None)
    yield "series", "examples", encode_series(both), series_truth(both)
    yield "series", "scalars", encode_series(plain), series_truth(plain)
    newer = hostile_stores.attributes(encode_series(both), format_version="1.7", later="ignored")
    yield "series", "newer-minor", newer, series_truth(both)
    for name, moves in hostile_trajectories.sound().items():
        data = encode_trajectory(moves)
        yield "trajectory", name, data, trajectory_truth(decode_trajectory(data, where=name))
    moves = hostile_trajectories.sound()["moving"]
    newer = hostile_stores.attributes(encode_trajectory(moves), format_version="1.7", later="ignored")
    truth = trajectory_truth(decode_trajectory(encode_trajectory(moves), where=""))
    yield "trajectory", "newer-minor", newer, truth
    with warnings.catch_warnings(action="ignore", category=FormatWarning):
        for name, data in hostile_compacts.golden():
            yield "compact", name, data, compact_truth(decode_compact(data, where=name))
        for name, data in hostile_samples.golden():
            yield "samples", name, data, samples_truth(decode_samples(data, where=name))
        for name, data in hostile_chains.golden():
            yield "chain", name, data, chain_truth(parse_chain(data, where=name))
        for name, data in hostile_reports.golden():
            yield "report", name, data, report_truth(decode_report(data, where=name))


def write_json(path: Path, value: Any) -> None:
    """Readable, sorted, one line end."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_golden(root: Path) -> None:
    """Golden files and folders, each with its truth beside it."""
    for kind, name, data, truth in golden_files():
        folder = root / kind / "v1" / "golden"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}{ENDS[kind]}").write_bytes(data)
        write_json(folder / f"{name}.truth.json", truth)
    tickets, runs = root / "ticket/v1/golden", root / "run/v1/golden"
    drawn = samples.ticket(tickets / "imp")
    write_json(tickets / "imp.truth.json", ticket_truth(drawn))
    control = {"kind": "shuffled", "of": drawn.manifest.ticket_id}
    one = samples.ticket(tickets / "no-ladder", with_ladder=False, control=control)
    write_json(tickets / "no-ladder.truth.json", ticket_truth(one))
    newer = samples.ticket(tickets / "newer-minor", with_ladder=False)
    hostile_folders.rewrite(
        newer.folder, lambda f: (f.update(format_version="1.7"), f["mask"].update(later=1))
    )
    hostile_folders.extra("later.bin", b"of a role to come", role="later", version="1.7")(newer.folder)
    write_json(tickets / "newer-minor.truth.json", ticket_truth(newer))
    scored = samples.ticket(tickets / "scored", scores=samples.scores(), record=samples.record())
    write_json(tickets / "scored.truth.json", ticket_truth(scored))
    write_golden_runs(runs, drawn.manifest.ticket_id)
    write_golden_verdicts(root / "verdict/v1/golden")
    write_golden_sets(root / "set/v1/golden")


def write_golden_runs(runs: Path, ticket_id: str) -> None:
    """Golden runs of the ticket, each with its truth beside it."""
    made = {
        name: samples.run(runs / name, sparse=sparse, ticket_id=ticket_id)
        for sparse, name in ((True, "sparse"), (False, "dense"))
    }
    made["tweaked"] = samples.tweaked(runs / "tweaked", ticket_id=ticket_id)
    made["redense"] = samples.redense(runs / "redense", made["sparse"])
    for name, run in made.items():
        write_json(runs / f"{name}.truth.json", run_truth(run))
    moved = hostile_trajectories.run(runs / "dynamic")
    write_json(runs / "dynamic.truth.json", run_truth(moved))
    newer_run = hostile_trajectories.run(runs / "newer-minor")
    hostile_folders.rewrite(newer_run.folder, lambda f: f.update(format_version="1.7", later=1))
    write_json(runs / "newer-minor.truth.json", run_truth(newer_run))


def write_golden_verdicts(folder: Path) -> None:
    """Golden verdicts, each with its truth beside it."""
    made = {"pass": verdicts.passing, "fail": verdicts.ladder, "indicative": verdicts.single}
    for name, nets in made.items():
        hostile_verdicts.sound(folder / name, nets())
        write_json(folder / f"{name}.truth.json", verdict_truth(open_verdict(folder / name)))
    hostile_verdicts.sound(folder / "newer-minor")
    hostile_verdicts.newer(folder / "newer-minor")
    with warnings.catch_warnings(action="ignore", category=FormatWarning):
        write_json(folder / "newer-minor.truth.json", verdict_truth(open_verdict(folder / "newer-minor")))


def write_golden_sets(folder: Path) -> None:
    """Golden sets, each with its truth beside it."""
    for name, entries in {"one-draw": hostile_sets.one_draw(), "two-draws": hostile_sets.two_draws()}.items():
        hostile_sets.write(folder / name, entries)
        write_json(folder / f"{name}.truth.json", set_truth(open_set(folder / name)))
    hostile_sets.sound(folder / "newer-minor")
    hostile_sets.newer(folder / "newer-minor")
    with warnings.catch_warnings(action="ignore", category=FormatWarning):
        write_json(folder / "newer-minor.truth.json", set_truth(open_set(folder / "newer-minor")))


def write_invalid(root: Path) -> None:
    """Hostile files and folders, each with its .why.txt beside it."""
    files = {
        "mask": hostile_tensors.mask_cases,
        "weights": hostile_tensors.weights_cases,
        "ladder": hostile_stores.ladder_cases,
        "series": hostile_stores.series_cases,
        "trajectory": hostile_trajectories.trajectory_cases,
        "samples": hostile_samples.samples_cases,
        "compact": hostile_compacts.compact_cases,
        "report": hostile_reports.report_cases,
        "chain": hostile_chains.chain_cases,
    }
    for kind, cases in files.items():
        folder = root / kind / "v1" / "invalid"
        folder.mkdir(parents=True, exist_ok=True)
        for name, data, code, why in cases():
            (folder / f"{name}{ENDS[kind]}").write_bytes(data)
            (folder / f"{name}.why.txt").write_text(f"{code}\n{why}\n")
    folders: dict[str, tuple[Any, Callable[[Path], Any]]] = {
        "ticket": (hostile_folders.ticket_cases, samples.ticket),
        "run": (hostile_folders.run_cases, samples.run),
        "verdict": (hostile_verdicts.verdict_cases, hostile_verdicts.sound),
        "set": (hostile_sets.set_cases, hostile_sets.sound),
    }
    for kind, (spoilers, sound) in folders.items():
        cases = [(*case, sound) for case in spoilers()]
        if kind == "run":
            cases += [(*case, hostile_trajectories.run) for case in hostile_trajectories.run_cases()]
            cases += [(*case, samples.tweaked) for case in hostile_records.run_cases()]
            cases += [(*case, hostile_records.redense) for case in hostile_records.redense_cases()]
        for name, spoil, code, why, make in cases:
            folder = root / kind / "v1" / "invalid" / name
            make(folder)
            spoil(folder)
            drop_idle_payload(folder)
            folder.with_name(f"{name}.why.txt").write_text(f"{code}\n{why}\n")


def drop_idle_payload(folder: Path) -> None:
    """A folder that its manifest alone condemns needs nothing else: the corpus stays small."""
    for name, model in (("ticket.json", TicketManifest), ("run.json", RunManifest)):
        if (folder / name).exists():
            try:
                parse_manifest((folder / name).read_bytes(), model, where=name)
            except ArtifactError:
                for path in folder.rglob("*"):
                    if path.is_file() and path.name != name:
                        path.unlink()
                shutil.rmtree(folder / "states", ignore_errors=True)
    if (folder / "verdict.json").exists():
        try:
            parse_verdict((folder / "verdict.json").read_bytes(), where="")
        except ArtifactError:
            shutil.rmtree(folder / "reports", ignore_errors=True)


def write_all(root: Path) -> None:
    """The whole corpus below `root`, in the place of what was there."""
    for kind, schema in schemas().items():
        for part in ("golden", "invalid"):
            shutil.rmtree(root / kind / "v1" / part, ignore_errors=True)
        (root / kind / "v1").mkdir(parents=True, exist_ok=True)
        write_json(root / kind / "v1" / "schema.json", schema)
    write_golden(root)
    write_invalid(root)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else room("formats"))
