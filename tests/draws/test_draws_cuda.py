"""Draws on a GPU: the masks and nets of a CPU, within what sums in another order may differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.draws.drawing import METHODS, SUITE, levels_of, tables
from tests.stages import tiny
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.train.lab import Level

pytestmark = pytest.mark.gpu

OF_TICKETS = ("from-scores", "shuffle")
"""Take the masks of a ticket apart, without any net."""
HERE = {
    **SUITE,
    "art": {"pretrain": "1ep", "lambda_init": 1e-3, "eta": 1.5, "max_epochs": 40},
    "earlybird": {**SUITE["earlybird"], "epsilon": "1"},
}
APART = 0.02
"""Share of the weights whose keep may differ, where scores lie close together."""


def drawn_on(device: str, method: str, folder: Path, *, deterministic: bool = True) -> list[Level]:
    found = tables(method, **HERE.get(method, {}))
    found["train"] = {**found["train"], "deterministic": deterministic}
    recipe = parse_recipe(found, where="test")
    heard = tiny.Heard()
    around = replace(tiny.around(folder / "cache", reporter=heard), device=torch.device(device))
    levels = levels_of(prepare(recipe, seeds_of(recipe, 0), around), folder / device)
    assert not [text for text in heard.notes if "slower" in text], "the step is one graph"
    return levels


@pytest.mark.parametrize(
    ("method", "deterministic"),
    [*((name, True) for name in METHODS if name not in OF_TICKETS), ("supermask", False)],
)
def test_a_draw_on_the_gpu_keeps_what_one_on_the_cpu_keeps(
    method: str, deterministic: bool, tmp_path: Path
) -> None:
    """By kernels alone that are deterministic, which not all are; supermasks are found in another way without."""
    ours, theirs = (
        drawn_on(device, method, tmp_path, deterministic=deterministic) for device in ("cuda", "cpu")
    )
    assert len(ours) == len(theirs) >= 1
    for level, other in zip(ours, theirs, strict=True):
        assert level.mask.keep.keys() == other.mask.keep.keys()
        differ = sum(int((keep != other.mask.keep[name]).sum()) for name, keep in level.mask.keep.items())
        assert differ <= APART * level.mask.size
        assert all(not value.is_cuda for value in level.start.weights.values())
        for name, value in level.start.weights.items():
            torch.testing.assert_close(value, other.start.weights[name], rtol=1e-2, atol=5e-3, msg=name)
