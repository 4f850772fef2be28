"""Small artifacts for tests and for the golden files: every number is fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ticketctl.artifacts.ladder import Ladder, kept_per_level
from ticketctl.artifacts.run import Run, StateFile, write_run
from ticketctl.artifacts.series import Series
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.artifacts.weights import weights_digest
from ticketctl.seeds import Seeds
from ticketctl.store.tensors import Tensor

SHAPES = {"conv.weight": (3, 1, 3, 3), "fc1.weight": (5, 12), "fc2.weight": (4, 5)}
ROUNDS = 3
ARCH = {
    "name": "toy",
    "source": "ticketctl",
    "num_classes": 4,
    "in_chans": 1,
    "size": (8, 8),
    "kwargs": {"width": 3},
}
RECIPE = {"draw": {"method": "imp", "rate": 0.2}, "train": {"epochs": 2, "lr": 0.1}}
DATA = {"name": "digits", "fingerprint": "sha256:" + "0" * 64, "train": 1500, "validation": 97, "test": 200}


def words(count: int, *position: Any) -> np.ndarray:
    """`count` reproducible 64-bit words."""
    return Seeds(0).raw("draw", *position, count=count)


def death(rounds: int = ROUNDS, shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, np.ndarray]:
    """Rounds of death in every layer; the first weight of each survives."""
    made = {}
    for name, shape in shapes.items():
        flat = (words(int(np.prod(shape)), name) % (rounds + 1)).astype("u1")
        flat[0] = rounds
        made[name] = flat.reshape(shape)
    return made


def ladder(rounds: int = ROUNDS) -> Ladder:
    """A ladder without ids, as stages hand it over."""
    rounds_of_death = death(rounds)
    accuracy = (*(0.5 + level / 64 for level in range(rounds)), None)
    return Ladder(rounds_of_death, rounds, kept_per_level(rounds_of_death, rounds), (), accuracy)


def full_ladder(rounds: int = ROUNDS) -> Ladder:
    """A ladder with made-up ids."""
    from dataclasses import replace

    ids = tuple("tk1" + "abcdefgh"[level] * 29 for level in range(rounds + 1))
    return replace(ladder(rounds), ticket_ids=ids)


def weights(seed: int = 0) -> dict[str, Tensor]:
    """A whole state_dict: weights, biases, a counter."""
    made = {}
    for name, shape in {**SHAPES, "fc1.bias": (5,), "fc2.bias": (4,)}.items():
        flat = (words(int(np.prod(shape)), name, seed) % 1024).astype("f4") / 512 - 1
        made[name] = Tensor.of(flat.reshape(shape))
    made["norm.num_batches_tracked"] = Tensor.of(np.array(7 + seed, dtype="i8"))
    return made


def scores() -> dict[str, np.ndarray]:
    """What a draw may have ranked: float32 for each masked weight."""
    flat = {name: words(int(np.prod(shape)), name, "score") % 4096 for name, shape in SHAPES.items()}
    return {name: (flat[name].astype("f4") / 64).reshape(SHAPES[name]) for name in SHAPES}


def record() -> dict[str, Tensor]:
    """What a method may have written down."""
    return {
        "samples": Tensor.of(np.arange(7, dtype="i8")),
        "right": Tensor.of(np.arange(12, dtype="u1").reshape(3, 4)),
    }


def pruned(tensors: dict[str, Tensor], keep: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """`tensors` with +0.0 wherever `keep` has False."""
    masked = {name: Tensor.of(np.where(keep[name], tensors[name].array(), np.float32(0))) for name in keep}
    return {**tensors, **masked}


def series() -> Series:
    """Two epochs of training after one row at epoch 0."""
    scalars = np.array([[np.nan, 0.25], [1.5, 0.5], [1.25, 0.75]], dtype="f4")
    correct = (words(2 * 11, "correct") % 2).astype(bool).reshape(2, 11)
    return Series(
        columns=("train/loss", "val/acc"),
        scalars=scalars,
        epoch=np.array([0, 1, 2], dtype="i4"),
        step=np.array([0, 12, 24], dtype="i8"),
        forget_count=np.arange(11, dtype="u2"),
        correct_bits=np.packbits(correct, axis=-1, bitorder="little"),
        sample_digest="sha256:" + "1" * 64,
    )


def draw(rungs: Ladder) -> dict[str, Any]:
    """The record of the draw."""
    levels = [
        {
            "level": level,
            "kept": kept,
            "empty_layers": [],
            "cut": False,
            "effective": kept,
            "metrics": {"val/acc": 0.5 + level / 64},
        }
        for level, kept in enumerate(rungs.kept)
    ]
    return {
        "method": "imp",
        "rounds": rungs.rounds,
        "params": {"rate": 0.2, "scope": "global"},
        "recipe": RECIPE,
        "data": DATA,
        "seeds": {"root": 0},
        "levels": levels,
        "cost": {"steps": 96, "images": 12288, "epochs": 8},
        "parents": [],
    }


def ticket(folder: Path, *, level: int = ROUNDS, with_ladder: bool = True, **more: Any) -> Ticket:
    """A whole ticket in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rungs = ladder()
    return write_ticket(
        folder,
        arch=ARCH,
        keep=rungs.mask(level),
        init=weights(),
        draw=draw(rungs),
        ladder=rungs if with_ladder else None,
        level=level,
        init_step=4,
        init_epoch=0.25,
        license="Apache-2.0",
        authors=["Ada"],
        **more,
    )


def run(folder: Path, *, sparse: bool = True, ticket_id: str = "tk1" + "a" * 29, **more: Any) -> Run:
    """A whole run in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    keep = ladder().mask(ROUNDS) if sparse else None
    final = pruned(weights(1), keep) if keep else weights(1)
    options: dict[str, Any] = {
        "ticket": ticket_id if sparse else "dense",
        "level": ROUNDS if sparse else 0,
        "arch": ARCH,
        "seeds": {"root": 0},
        "recipe": RECIPE,
        "training_id": "sha256:" + "2" * 64,
        "start": {"role": "rewind", "step": 4, "digest": weights_digest(weights())},
        "data": DATA,
        "metrics": {"test/acc": 0.5, "test/n": 200},
        "cost": {"steps": 24, "images": 3072, "epochs": 2.0},
        "weights": final,
        "keep": keep,
        "prunable": 107,
        "states": [StateFile("best-val", 12, 1, final)],
        "series": series(),
    }
    return write_run(folder, **{**options, **more})


SKIP = ("tweak.skip.conv.conv.weight", "tweak.skip.conv.norm.weight")
"""Weights that a tweak has added."""


def written() -> dict[str, Tensor]:
    """What data and tweaks may have written down in a spend."""
    clean = (words(11, "labels") % 4).astype("i8")
    drawn = (words(11, "drawn") % 3 == 0).astype("u1")
    return {
        "labels.given": Tensor.of(np.where(drawn == 1, (clean + 1) % 4, clean)),
        "labels.clean": Tensor.of(clean),
        "labels.drawn": Tensor.of(drawn),
        "subset.index": Tensor.of(np.array([0, 2, 3, 7, 8], "i8")),
        "lambda_max": Tensor.of(np.array([16.5, 9.25, 8.125])),
        "scaled_init.log": Tensor.of(np.arange(8, dtype="f8").reshape(2, 4) / 8),
        "scaled_init.scale.fc1.weight": Tensor.of(np.array(1.25, "f4")),
        "skip.units": Tensor.of(np.array([1, 1, 1], "i8")),
    }


def tweaked(folder: Path, **more: Any) -> Run:
    """A run of a spend with tweaks, one of which has added weights."""
    added = {SKIP[0]: np.arange(3, dtype="f4").reshape(3, 1, 1, 1), SKIP[1]: np.ones(3, "f4")}
    final = pruned(weights(1), ladder().mask(ROUNDS)) | {
        name: Tensor.of(array) for name, array in added.items()
    }
    accounts = [
        {"tweak": "scaled-init", "iterations": 2, "eta": 0.1},
        {"tweak": "skip", "kind": "proj", "alpha": 1.0},
    ]
    options: dict[str, Any] = {
        "arch": {**ARCH, "tweaks": ["scaled-init", "skip"]},
        "weights": final,
        "states": [StateFile("best-val", 12, 1, final)],
        "record": written(),
        "ext": {"ticketctl.tweaks": {"tweaks": accounts, "added": 3}},
    }
    return run(folder, **{**options, **more})


def redense(folder: Path, before: Run) -> Run:
    """A run that trained all weights on from the end of `before`: of a ticket, without a mask."""
    account = {"tweak": "redense", "lr": 0.001, "epochs": 2}
    return run(
        folder,
        ticket_id=before.manifest.ticket,
        arch={**ARCH, "tweaks": ["redense"]},
        start={"role": "trained", "step": 0, "digest": before.manifest.weights.digest},
        weights=weights(2),
        keep=None,
        states=[],
        ext={"ticketctl.tweaks": {"tweaks": [account], "added": 0, "after": before.manifest.run_id}},
    )
