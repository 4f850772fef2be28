"""Options of `sweep --engine`: each engine refuses what belongs to another, typed as its default or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stages.written_sweep import plan_in
from ticketctl.cli import options as opt
from ticketctl.cli.cluster import Cluster, on_slurm
from ticketctl.cli.signals import Stop
from ticketctl.errors import UsageError

OF_SLURM: dict[str, Any] = {
    "partition": "gpu", "time": "240", "array_parallel": 256, "per_task": 1, "gpus": 1, "memory": "8G",
    "slurm": ["account=lab"], "setup": ["module load cuda"], "wait": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "alien"),
    [
        ("local", {**OF_SLURM, "cpus": 4, "ray_address": "auto"}),
        ("slurm", {"workers": 2, "ray_address": "auto"}),
        ("ray", {**OF_SLURM, "streams": True}),
    ],
)
def test_an_option_of_another_engine_is_refused_whatever_its_value(
    engine: str, alien: dict[str, Any]
) -> None:
    for name, value in alien.items():
        with pytest.raises(UsageError) as caught:
            Cluster(engine=engine, **{name: value}).check()
        assert str(caught.value) == f"--{name.replace('_', '-')}: is not for --engine {engine}"


@pytest.mark.parametrize("engine", ["local", "slurm", "ray"])
def test_an_engine_takes_its_own_options(engine: str) -> None:
    own = {"local": {"workers": 2}, "slurm": OF_SLURM, "ray": {"ray_address": "auto", "cpus": 4}}[engine]
    Cluster(engine=engine, **own).check()


@pytest.mark.parametrize("name", ["partition", "time", "memory"])
def test_an_option_of_which_nothing_was_typed_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"^--{name}: nothing stands there; leave it out for the default"):
        Cluster(engine="slurm", **{name: ""}).check()


def test_what_slurm_would_not_take_is_refused_before_anything_is_retried() -> None:
    for name, value in {"memory": "8Q", "time": "04:00", "slurm": ["acount=lab"], "setup": ["a\nb"]}.items():
        with pytest.raises(UsageError, match=f"^--{name} "):
            Cluster(engine="slurm", **{name: value}).check()


def test_a_workspace_whose_name_has_two_lines_goes_into_no_script(tmp_path: Path) -> None:
    plan = plan_in(tmp_path / "runs\n#SBATCH --account=theirs", seeds=1)
    at = replace(opt.Site(device="cpu"), dry_run=True, workspace=plan.workspace)
    with pytest.raises(UsageError, match=r"^--workspace '.*': this is one line of a script"):
        on_slurm(plan, at, Cluster(engine="slurm"), Stop())
