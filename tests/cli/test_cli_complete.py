"""What Tab offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _offered(line: str, folder: Path) -> list[str]:
    """What bash would be offered at the end of `line`; fails if that imports torch."""
    words = line.split(" ")
    guard = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['ticketctl']\n"
        "from ticketctl.cli.app import app; app(prog_name='ticketctl')"
    )
    environment = {**os.environ, "_TICKETCTL_COMPLETE": "complete_bash", "COMP_WORDS": line,
                   "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", guard],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("ticketctl dr", "draw"),
        ("ticketctl draw --method i", "imp"),
        ("ticketctl draw --model lenet", "lenet-300-100"),
        ("ticketctl draw --model vgg", "vgg16"),
        ("ticketctl draw --model torch", "torchvision:"),
        ("ticketctl draw --model torchvision:resnet1", "torchvision:resnet101"),
        ("ticketctl draw --set model.w", "model.width="),
        ("ticketctl draw --recipe base/lenet-300-100-d", "base/lenet-300-100-digits"),
        ("ticketctl draw --set train.l", "train.lr="),
        ("ticketctl draw --set data.noise.", "data.noise.rate="),
        ("ticketctl spend --set tweaks.sam.", "tweaks.sam.rho="),
        ("ticketctl spend ", "TICKET"),
        ("ticketctl inspect lenet", "TICKET/levels/1"),
        ("ticketctl list methods o", "omp"),
    ],
)
def test_tab(drawn: Path, line: str, among: str) -> None:
    name = next(drawn.glob("runs/*/*/seed-0")).relative_to(drawn / "runs").as_posix()
    offered = _offered(line, drawn)
    assert among.replace("TICKET", name) in offered
    assert all(word.startswith(line.split(" ")[-1]) for word in offered)


def test_callbacks_offer_nothing_odd(tmp_path: Path) -> None:
    from ticketctl.cli import complete

    assert not [
        name for name, _ in complete.models("") if name.isupper() or "NAME" in name or "MODULE" in name
    ]
    assert complete.models("torchvision:none") == []
    assert complete.data("digi")[0][0] == "digits"
    assert complete.devices("c") == [("cpu", ""), ("cuda", "the first GPU")]
    assert [name for name, _ in complete.listed("m")] == ["methods", "metrics", "models"]
    assert complete.recipes("/nowhere/nope/") == []
    (tmp_path / "mine.toml").touch()
    assert complete.recipes(f"{tmp_path}/m") == [(f"{tmp_path}/mine.toml", "a file")]
    keys = [key for key, _ in complete.settings("draw.")]
    assert "draw.rounds=" in keys
    assert "draw.params=" not in keys


def test_every_key_that_a_recipe_takes_is_offered_and_no_table_as_if_it_were_one() -> None:
    from ticketctl.cli import complete
    from ticketctl.recipe import Recipe

    offered = {name.removesuffix("=") for name, _ in complete.settings("")}
    schema = Recipe.model_json_schema()
    own = {"data.noise": "NoiseSpec", "data.subset": "SubsetSpec", "data.drop": "DropSpec"}
    for table, spec in {**own, "train": "TrainSpec", "keep": "KeepSpec", "seeds": "SeedSpec"}.items():
        assert {f"{table}.{key}" for key in schema["$defs"][spec]["properties"]} <= offered
        assert table not in offered
    assert [name for name, _ in complete.settings("data.noise.k")] == ["data.noise.kind=", "data.noise.key="]
    assert {"tweaks.dsd.cycles", "tweaks.scaled-init.eta"} <= offered
