"""Tweaks on a GPU: the same spends as on a CPU, within what float32 sums in another order may differ."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages import tiny
from tests.stages.test_tweaked import CONV
from ticketctl.artifacts.run import Run
from ticketctl.errors import StoppedError
from ticketctl.plugins import plugins
from ticketctl.stages.request import Typed
from ticketctl.stages.spend import spend
from ticketctl.stages.spent import Spent
from ticketctl.stages.tweaking import literal
from ticketctl.stages.wallet import Wanted, prepare_spend
from ticketctl.train.stepper import Ahead

pytestmark = pytest.mark.gpu
KEYS = {
    "scaled-init": ("tweaks.scaled-init.iterations=3", "tweaks.scaled-init.batch=32"),
    "swa": ("tweaks.swa.start=1/2",),
    "redense": ("tweaks.redense.lr=0.01",),
}
"""What makes a tweak quick on two epochs."""

ALONE = ("spend.dense=false", "spend.vanilla=false")
OWN = ("tweaks.ls.alpha=0.2",)
"""What no other test here has trained."""

TOLERANCE = 5e-3
"""Of weights after ten float32 steps, relative to the largest of each tensor."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuda") / "seed-0"
    tiny.run_draw(tiny.recipe(tables=CONV), 0, folder, tiny.around(folder.parent / "cache"))
    return folder


def spent_on(
    device: str,
    folder: Path,
    *tweaks: str,
    sets: tuple[str, ...] = (),
    stop: Callable[[], int | None] = tiny.never,
) -> Spent:
    rate = f"train.lr={0.041 if device == 'cpu' else 0.0410000001}"  # a folder for each device
    typed = Typed(sets=(rate, "train.deterministic=true", *ALONE, *sets))
    chosen = prepare_spend(Wanted(str(folder), "2", None, False, folder.parent, typed, tweaks))
    heard = tiny.Heard()
    around = replace(tiny.around(folder.parent / "cache", stop, heard), device=torch.device(device))
    found = list(spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around))[-1]
    assert not [text for text in heard.notes if "slower" in text], "the step is one graph"
    return found


@pytest.mark.parametrize("name", sorted(plugins("tweaks")))
def test_a_tweaked_spend_on_the_gpu_is_that_of_the_cpu_within_float32(name: str, drawn: Path) -> None:
    """By kernels alone that are deterministic."""
    theirs, ours = (spent_on(device, drawn, name, sets=KEYS.get(name, ())).run for device in ("cpu", "cuda"))
    assert ours.manifest.cost == theirs.manifest.cost
    assert (
        ours.manifest.mask == theirs.manifest.mask or literal(name, "AFTER", False) or name in ("acdc", "dsd")
    )
    near(ours, theirs)


def near(ours: Run, theirs: Run) -> None:
    for key, value in theirs.weights().items():
        if value.dtype == "F32":
            here, there = (run.weights()[key].array() for run in (ours, theirs))
            assert np.abs(here - there).max() <= TOLERANCE * max(1.0, float(np.abs(there).max())), key
    keep = ours.mask() or {}
    assert all(not ours.weights()[key].array()[~mask].any() for key, mask in keep.items())


def test_what_fades_and_what_averages_follow_the_graph(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ("tweaks.skip.fade=0.9", "tweaks.swish.fade=0.7", "tweaks.ema.decay=0.7")
    theirs = spent_on("cpu", drawn, "skip", "swish", "ema", sets=sets).run
    monkeypatch.delattr(Ahead, "_hooked")
    near(spent_on("cuda", drawn, "skip", "swish", "ema", sets=sets).run, theirs)


def test_what_is_measured_along_a_spend_on_the_gpu_is_what_a_cpu_finds(drawn: Path) -> None:
    sets = (
        "train.epochs=1", "keep.metrics=['nll','ece','gap','fgsm']", "metrics.fgsm.images=50", "keep.lambda_max=1",
    )  # fmt: skip
    theirs, ours = (spent_on(device, drawn, sets=sets).run.record() or {} for device in ("cpu", "cuda"))
    along = [name for name in theirs if name.startswith(("metrics.", "lambda_max"))]
    assert {"metrics.nll", "metrics.fgsm", "lambda_max"} <= {*along}
    for name in along:  # an image of fifty may change sides
        np.testing.assert_allclose(
            ours[name].array(), theirs[name].array(), rtol=0.05, atol=0.02, err_msg=name
        )


def test_a_spend_that_was_stopped_on_the_gpu_ends_in_the_bits_of_one_that_was_not(
    drawn: Path, tmp_path: Path
) -> None:
    cut, whole = (Path(shutil.copytree(drawn, tmp_path / name / "seed-0")) for name in ("cut", "whole"))
    stops, asked = 0, itertools.count()
    while True:
        try:
            ours = spent_on("cuda", cut, "ls", sets=OWN, stop=lambda: 75 if next(asked) in (5, 9) else None)
        except StoppedError:
            stops += 1
            continue
        break
    assert stops == 2
    theirs = spent_on("cuda", whole, "ls", sets=OWN)
    assert {name: one.data for name, one in ours.run.weights().items()} == {
        name: one.data for name, one in theirs.run.weights().items()
    }
