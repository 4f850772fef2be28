"""Tweaks on a GPU: the same spends as on a CPU, within what float32 sums in another order may differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages import tiny
from tests.stages.test_tweaked import CONV
from ticketctl.plugins import plugins
from ticketctl.stages.request import Typed
from ticketctl.stages.spend import spend
from ticketctl.stages.spent import Spent
from ticketctl.stages.tweaking import literal
from ticketctl.stages.wallet import Wanted, prepare_spend

pytestmark = pytest.mark.gpu
KEYS = {
    "scaled-init": ("tweaks.scaled-init.iterations=3", "tweaks.scaled-init.batch=32"),
    "swa": ("tweaks.swa.start=1/2",),
    "redense": ("tweaks.redense.lr=0.01",),
}
"""What makes a tweak quick on two epochs."""

TOLERANCE = 5e-3
"""Of weights after ten float32 steps, relative to the largest of each tensor."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuda") / "seed-0"
    tiny.run_draw(tiny.recipe(tables=CONV), 0, folder, tiny.around(folder.parent / "cache"))
    return folder


def spent_on(device: str, name: str, folder: Path) -> Spent:
    sets = (
        f"train.lr={0.041 if device == 'cpu' else 0.0410000001}",
        *KEYS.get(name, ()),
    )  # a folder for each device
    chosen = prepare_spend(Wanted(str(folder), "2", None, False, folder.parent, Typed(sets=sets), (name,)))
    around = replace(tiny.around(folder.parent / "cache"), device=torch.device(device))
    return list(spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around))[-1]


@pytest.mark.parametrize("name", sorted(plugins("tweaks")))
def test_a_tweaked_spend_on_the_gpu_is_that_of_the_cpu_within_float32(name: str, drawn: Path) -> None:
    theirs, ours = (spent_on(device, name, drawn).run for device in ("cpu", "cuda"))
    assert ours.manifest.cost == theirs.manifest.cost
    assert (
        ours.manifest.mask == theirs.manifest.mask or literal(name, "AFTER", False) or name in ("acdc", "dsd")
    )
    for key, value in theirs.weights().items():
        if value.dtype == "F32":
            here, there = (run.weights()[key].array() for run in (ours, theirs))
            assert np.abs(here - there).max() <= TOLERANCE * max(1.0, float(np.abs(there).max())), key
    keep = ours.mask() or {}
    assert all(not ours.weights()[key].array()[~mask].any() for key, mask in keep.items())
