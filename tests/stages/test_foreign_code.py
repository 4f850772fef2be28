"""A training by code that is not ours is named by that code too; one by ours is named as it always was."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.plugins import plugins
from ticketctl.train.foreign_code import code_in, code_of

NET = """
from torch import nn

def make(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))
"""
TWEAK = '''"""Do nothing, in somebody else's words."""

from dataclasses import dataclass

from ticketctl.train.hooks import Hooks

FACTS = {"paper": "none", "cost": "none"}
CHANGES = "loss"


@dataclass(frozen=True)
class Params:
    """No keys."""


class Idle(Hooks):
    def identity(self):
        return {"tweak": "idle"}


def tweak(kit, *, params):
    return Idle()
'''
OURS = "9a8852d724d444a7ad32a0281e5f7fc8dc953d25981cedab7dd53b05eb0d6aed"
"""Of the dense net of the tiny draw, before foreign code was in any id: of this no bit rests on the processor."""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """A module of nets in the current folder, and a package with a tweak, as pip would install it."""
    (tmp_path / "idle_nets.py").write_text(NET)
    (tmp_path / "idle_tweaks.py").write_text(TWEAK)
    facts = tmp_path / "idle-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: idle\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[ticketctl.tweaks]\nidle = idle_tweaks\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        for module in ("idle_nets", "idle_tweaks"):
            patch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        plugins.cache_clear()
        yield tmp_path
    plugins.cache_clear()


def changed(module: Path) -> None:
    module.write_text(module.read_text() + "# another line\n")


def test_two_trainings_by_other_code_of_one_net_are_two(theirs: Path) -> None:
    ids = []
    for name in ("a", "b", "c"):
        tiny.draw(theirs / name, "model.name=idle_nets:make", "draw.rounds=1", "train.epochs=1")
        runs = [open_run(theirs / name / f"levels/{level}").manifest for level in (0, 1)]
        ids.append([run.training_id for run in runs])
        if name == "b":
            changed(theirs / "idle_nets.py")
    assert ids[0] == ids[1]
    assert not {*ids[1]} & {*ids[2]}


def test_a_spend_after_the_code_of_its_net_has_changed_is_trained_anew(theirs: Path) -> None:
    words = ("model.name=idle_nets:make", "train.epochs=1")
    tiny.draw(theirs / "a", *words, "draw.rounds=1")
    assert not any(one.trained for one in tiny.spend(theirs / "a", *words))
    changed(theirs / "idle_nets.py")
    assert all(one.trained for one in tiny.spend(theirs / "a", *words))


@pytest.mark.long
def test_two_trainings_by_other_code_of_one_tweak_are_two(theirs: Path) -> None:
    ids = []
    for name in ("a", "b"):
        tiny.draw(theirs / name, "draw.rounds=1", "train.epochs=1")
        spent = tiny.spend(theirs / name, levels="1", tweaks=["idle"])
        ids.append([one.run.manifest.training_id for one in spent if one.job.tweaks == ("idle",)])
        own = open_run(theirs / name / "levels/1").manifest.training_id
        changed(theirs / "idle_tweaks.py")
        assert not tiny.spend(theirs / name, levels="1")[-1].trained  # without it nothing has changed
        assert own not in ids[-1]
    assert ids[0] != ids[1]


def test_trainings_by_our_own_code_are_called_as_they_were(tmp_path: Path) -> None:
    tiny.draw(tmp_path / "seed-0", "keep.epochs=[1]", "draw.rounds=0")
    assert open_run(tmp_path / "seed-0/levels/0").manifest.training_id == OURS


def test_code_is_the_digest_of_a_modules_file_and_nothing_where_it_is_ours(theirs: Path) -> None:
    digest = hashlib.sha256((theirs / "idle_nets.py").read_bytes()).hexdigest()
    assert code_of("nets", "idle_nets:make") == {"code": f"sha256:{digest}"}
    digest = hashlib.sha256((theirs / "idle_tweaks.py").read_bytes()).hexdigest()
    assert code_of("tweaks", "idle") == {"code": f"sha256:{digest}"}
    for kind, name in (
        ("nets", "resnet18"),
        ("nets", "torchvision:resnet18"),
        ("tweaks", "skip"),
        ("tweaks", "-"),
    ):
        assert code_of(kind, name) == {}
    assert code_in("ticketctl.train.watch") == {}
    empty = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    assert code_in("no_such_module") == code_in("__main__.inside") == {"code": empty}
