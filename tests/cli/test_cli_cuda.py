"""Commands that look at nets, with `--device cuda`: they say what they say on a CPU, as far as float32 goes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import ask
from tests.stages.test_transfer import shades, written
from ticketctl.plugins import plugins

pytestmark = pytest.mark.gpu

DRAW = (
    "draw", "-q", "--model", "resnet20s", "--set", "model.widths=[2,2,2,2]", "--set", "data.subset.fraction=0.4",
    "--rounds", "1", "--epochs", "2", "--set", "train.batch=100", "--set", "train.precision=f32",
    "--set", "keep.epochs=[0,1,2]", "--set", "train.threads=1", "--deterministic",
)  # fmt: skip
LEVEL = "seed-0/levels/1"
APART = ("autoattack", "compositional")
"""Those that take long, or want images of their own, have tests of their own on a GPU."""
METRICS = ",".join(
    name for name, one in plugins("metrics").items() if "COMMAND" not in one.literals and name not in APART
)
QUICK = (
    "audit.images=60", "audit.corruptions=['fog','contrast']", "audit.severities=[3]", "metrics.cost.time=false",
    "metrics.fgsm.images=30", "metrics.fgsm-rs.images=30", "metrics.pgd.images=10", "metrics.pgd.steps=3",
    "metrics.hessian.images=40", "metrics.hessian.least=4", "metrics.hessian.most=6",
    "metrics.hessian.steps=5", "metrics.input-hessian.images=5", "metrics.input-hessian.probes=3",
    "metrics.input-hessian.steps=3", "metrics.lime.images=3", "metrics.lime.samples=40", "metrics.pac-bayes.images=20",
    "metrics.pac-bayes.draws=2", "metrics.pac-bayes.input_draws=2", "metrics.pac-bayes.tolerance=0.1",
)  # fmt: skip
BETWEEN = (
    "curves.line.alphas=3", "curves.line.sets=['val']", "curves.line.bn_images=100", "curves.bezier.epochs=1",
    "curves.bezier.points=3", "curves.bezier.images=60", "curves.bezier.bn_images=60",
)  # fmt: skip
ABOUT = (
    "curves.plane.points=3", "curves.plane.images=50", "curves.eigenvector.points=3", "curves.eigenvector.images=50",
    "curves.eigenvector.steps=10", "curves.input-plane.points=3", "curves.input-plane.images=20",
)  # fmt: skip


def sets(*keys: str) -> list[str]:
    return [word for key in keys for word in ("--set", key)]


COMMANDS: dict[str, tuple[str, ...]] = {
    "audit": ("audit", LEVEL, "--metrics", METRICS, *sets(*QUICK)),
    "audit of a compacted net": ("audit", LEVEL, "--compact", "--metrics", "nll"),
    "probe": ("probe", LEVEL),
    "curves between": ("interpolate", "seed-0/levels/0", LEVEL, "--metrics", "line,bezier", *sets(*BETWEEN)),
    "curves about": ("interpolate", LEVEL, "--metrics", "plane,eigenvector,input-plane", *sets(*ABOUT)),
    "twins": ("interpolate", "seed-0", "--level", "1", "--twins", "2", *sets(*BETWEEN[:3])),
    "transfer": ("transfer", LEVEL, "--to", "DATA"),
    "trained transfer": (
        "transfer", "seed-0/ticket", "--to", "DATA", "--keep", "mask", *sets("train.epochs=1", "train.precision=f32"),
    ),
}  # fmt: skip
POINTS = {"curves between": 1.5, "twins": 1.5}
"""Where errors are points of a hundred: two images of 143."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    answer = ask(home, *DRAW, "--device", "cpu")
    assert answer.code == 0, answer.err
    (folder,) = home.glob("runs/*/*/seed-0")
    shutil.copytree(folder, home / "seed-0")
    written(home / "shades.safetensors", shades(120, 0), shades(60, 1))
    return home


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


def values(found: Any) -> dict[str, tuple[Any, int]]:
    """Every value by its name, wherever it stands, and of how many images it is."""
    if isinstance(found, list):
        return {key: value for one in found for key, value in values(one).items()}
    if not isinstance(found, dict):
        return {}
    within = {key: value for one in found.values() for key, value in values(one).items()}
    if "name" in found and "value" in found:
        within[f"{found.get('metric')}: {found['name']}"] = found["value"], found.get("n") or 1000
    return within


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_finds_on_the_gpu_what_it_finds_on_the_cpu(
    command: str, drawn: Path, tmp_path: Path
) -> None:
    """But for two images, near the border between two classes, that may change sides."""
    compare(COMMANDS[command], drawn, tmp_path, POINTS.get(command, 0.02))


def test_a_net_is_looked_at_whose_images_the_gpu_has_no_room_for(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.stages.setting.room", lambda _: 1000)
    quick = [key for key in QUICK if key.startswith(("audit.images", "metrics.fgsm.", "metrics.hessian."))]
    compare(("audit", LEVEL, "--metrics", "nll,gap,fgsm,hessian", *sets(*quick)), drawn, tmp_path)
    compare(("probe", LEVEL, "--metrics", "linear-probe,activation-sparsity"), drawn, tmp_path / "probe")


def compare(command: Sequence[str], drawn: Path, place: Path, least: float = 0.02) -> None:
    found = {}
    for device in ("cuda", "cpu"):
        home = Path(shutil.copytree(drawn, place / device))
        data = f"tensors:{home}/shades.safetensors"
        words = [data if word == "DATA" else word for word in command]
        answer = ask(home, *words, "--device", device, "--json")
        assert answer.code in (0, 1), answer.err
        assert "slower" not in answer.err
        found[device] = values(answer.json["result"])
    ours, theirs = found["cuda"], found["cpu"]
    assert ours.keys() == theirs.keys() != set()
    apart = {
        name: (ours[name], value) for name, value in theirs.items() if not close(ours[name], value, least)
    }
    assert apart == {}


def close(ours: tuple[Any, int], theirs: tuple[Any, int], least: float) -> bool:
    if not all(isinstance(value, (int, float)) for value, _ in (ours, theirs)):
        return bool(ours == theirs)
    return bool(np.isclose(ours[0], theirs[0], rtol=0.02, atol=max(least, 2 / theirs[1])))
