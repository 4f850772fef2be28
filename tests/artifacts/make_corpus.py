"""Writes formats/*/v1/{schema.json, golden, invalid}: `python -m tests.artifacts.make_corpus [folder]`.

Everything is computed from `samples`, so that running it again changes nothing; a test holds it to that.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.artifacts import (
    hostile_folders,
    hostile_records,
    hostile_stores,
    hostile_tensors,
    hostile_trajectories,
    samples,
)
from tests.artifacts.schemas import schemas
from ticketctl.artifacts.ladder import Ladder, encode_ladder, ladder_digest
from ticketctl.artifacts.manifest import RunManifest, TicketManifest, parse_manifest
from ticketctl.artifacts.masks import encode_mask, mask_digest
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.series import Series, encode_series
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.trajectory import Trajectory, decode_trajectory, encode_trajectory
from ticketctl.artifacts.weights import encode_weights, weights_digest
from ticketctl.errors import ArtifactError
from ticketctl.shipped import room
from ticketctl.store.files import sha256
from ticketctl.store.tensors import Tensor

ENDS = {"mask": ".safetensors", "weights": ".safetensors"}
ENDS |= dict.fromkeys(("ladder", "series", "trajectory"), ".zarr.zip")


def mask_truth(keep: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Every bit, in C order."""
    tensors = {
        name: {
            "shape": list(array.shape),
            "bits": "".join("01"[bit] for bit in array.reshape(-1).astype(int)),
        }
        for name, array in keep.items()
    }
    return {"digest": mask_digest(keep), "tensors": tensors}


def weights_truth(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Every byte."""
    made = {
        name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "hex": bytes(tensor.data).hex()}
        for name, tensor in tensors.items()
    }
    return {"digest": weights_digest(tensors), "tensors": made}


def ladder_truth(ladder: Ladder) -> dict[str, Any]:
    """Every round of death, in C order; of long arrays the hash of their bytes."""
    death: dict[str, Any] = {}
    for name, array in ladder.death.items():
        long = {"sha256": sha256(array.tobytes())}
        death[name] = {
            "shape": list(array.shape),
            **(long if array.size > 1000 else {"values": array.reshape(-1).tolist()}),
        }
    return {
        "rounds": ladder.rounds,
        "kept": list(ladder.kept),
        "ticket_ids": list(ladder.ticket_ids),
        "accuracy": [None if value is None else repr(value) for value in ladder.accuracy],
        "digest": ladder_digest(ladder.death, ladder.rounds),
        "death": death,
    }


def series_truth(series: Series) -> dict[str, Any]:
    """Every number, floats as decimal strings."""
    return {
        "columns": list(series.columns),
        "scalars": [[repr(value) for value in row] for row in series.scalars.tolist()],
        "epoch": series.epoch.tolist(),
        "step": series.step.tolist(),
        "forget_count": None if series.forget_count is None else series.forget_count.tolist(),
        "correct_bits": None if series.correct_bits is None else series.correct_bits.tolist(),
        "samples": series.samples,
        "sample_digest": series.sample_digest,
    }


def trajectory_truth(trajectory: Trajectory) -> dict[str, Any]:
    """Every bit of every mask, in C order; of many bits their hash."""
    masks = []
    for t in range(len(trajectory.step)):
        found = {name: array.reshape(-1).tobytes() for name, array in trajectory.rows(t).items()}
        masks.append(
            {
                name: sha256(bits) if len(bits) > 1000 else "".join("01"[bit] for bit in bits)
                for name, bits in found.items()
            }
        )
    shapes = {name: list(shape) for name, shape in trajectory.shapes.items()}
    return {"step": trajectory.step.tolist(), "shapes": shapes, "masks": masks, "digest": trajectory.digest}


def ticket_truth(ticket: Ticket) -> dict[str, Any]:
    """The id and what its files hold."""
    ladder = ticket.ladder()
    return {
        "ticket_id": ticket.manifest.ticket_id,
        "mask": mask_truth(ticket.mask()),
        "init": weights_truth(ticket.init()),
        "ladder": ladder_truth(ladder) if ladder else None,
        **extras_truth(ticket),
    }


def extras_truth(ticket: Ticket) -> dict[str, Any]:
    """Scores and record, where a ticket has them."""
    scores = ticket.scores()
    found: dict[str, Any] = {}
    if scores is not None:
        found["scores"] = {name: array.tolist() for name, array in sorted(scores.items())}
    return found | record_truth(ticket)


def record_truth(artifact: Ticket | Run) -> dict[str, Any]:
    """What was written down, where anything was."""
    record = artifact.record()
    if record is None:
        return {}
    return {"record": {name: tensor.array().tolist() for name, tensor in sorted(record.items())}}


def run_truth(run: Run) -> dict[str, Any]:
    """The id and what its files hold."""
    keep, series, trajectory = run.mask(), run.series(), run.trajectory()
    moved = {"trajectory": trajectory_truth(trajectory)} if trajectory else {}
    return {
        **moved,
        **record_truth(run),
        "run_id": run.manifest.run_id,
        "mask": mask_truth(keep) if keep else None,
        "weights": weights_truth(run.weights()),
        "states": {state.name: weights_truth(run.state(state.name)) for state in run.manifest.states},
        "series": series_truth(series) if series else None,
    }


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


def write_invalid(root: Path) -> None:
    """Hostile files and folders, each with its .why.txt beside it."""
    files = {
        "mask": hostile_tensors.mask_cases,
        "weights": hostile_tensors.weights_cases,
        "ladder": hostile_stores.ladder_cases,
        "series": hostile_stores.series_cases,
        "trajectory": hostile_trajectories.trajectory_cases,
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
