"""Runs that nobody trained: a run's manifest over other weights, written as the program writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.run import Run, write_run
from ticketctl.store.tensors import Tensor

Arrays = Mapping[str, NDArray[Any]]


def as_run(folder: Path, run: Run, weights: Arrays, keep: Arrays | None, **changes: Any) -> Run:
    """`run` in `folder`, which is made, with these weights and this mask; `changes` are words of its manifest."""
    folder.mkdir(parents=True)
    said = run.manifest
    words: dict[str, Any] = {
        "ticket": said.ticket, "level": said.level, "seeds": said.seeds, "recipe": said.recipe,
        "arch": said.arch.model_dump(mode="json"), "training_id": said.training_id, "status": said.status,
        "start": said.start.model_dump(mode="json"), "data": said.data.model_dump(mode="json"),
        "metrics": said.metrics, "cost": said.cost.model_dump(mode="json"), "prunable": said.prunable,
    }  # fmt: skip
    tensors = {name: Tensor.of(np.ascontiguousarray(value)) for name, value in weights.items()}
    return write_run(folder, **{**words, **changes}, weights=tensors, keep=keep or None)


def arrays_of(run: Run) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Copies of a run's weights and of its mask, {} if it is dense."""
    weights = {name: np.array(one.array()) for name, one in run.weights().items()}
    return weights, {name: np.array(keep) for name, keep in (run.mask() or {}).items()}


def exchanged(run: Run, seed: int = 0) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Weights and mask of a LeNet-300-100 with its hidden units in another order, worked out here by hand."""
    draws, (weights, keep) = np.random.default_rng(seed), arrays_of(run)
    first, second = draws.permutation(300), draws.permutation(100)
    layers = sorted({name.rpartition(".")[0] for name in weights})
    rows = dict(zip(layers, (first, second, np.arange(10)), strict=True))
    columns = dict(zip(layers, (None, first, second), strict=True))

    def moved(arrays: Arrays) -> dict[str, NDArray[Any]]:
        found = {}
        for name, array in arrays.items():
            layer = name.rpartition(".")[0]
            there = array[rows[layer]]
            found[name] = there if there.ndim < 2 or columns[layer] is None else there[:, columns[layer]]
        return found

    return moved(weights), moved(keep)
