"""Nets with a colon in their name, and nets of other widths, from the recipe to the ticket."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ask
from tests.stages.tiny import draw
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.recipe_files import read_recipe
from ticketctl.stages.request import Typed, draw_recipe, run_folder, subject

SMALL_NETS = """
from torch import nn

def make(channels, size, classes):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(),
                         nn.Linear(4 * (size[0] - 2) * (size[1] - 2), classes))
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a module of the user's, which is the current one."""
    (tmp_path / "small_nets.py").write_text(SMALL_NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "small_nets", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "data", "lender"),
    [
        ("torchvision:resnet101", "cifar10", "base/resnet18-cifar10"),
        ("mypackage.nets:make", "cifar100", "base/resnet18-cifar100"),
        ("mypackage.nets:make", "digits", "base/resnet20s-digits"),
        ("torchvision:resnet101", "imagefolder:photographs", "base/resnet18-imagefolder"),
    ],
)
def test_a_net_without_a_base_borrows_the_training_of_another_and_says_so(
    model: str, data: str, lender: str
) -> None:
    choice = draw_recipe(Typed(model=model, data=data))
    lent = read_recipe(lender)
    assert choice.recipe.record("train") == draw_recipe(
        Typed(model=lent["model"]["name"], data=data)
    ).recipe.record("train")
    assert choice.recipe.data.name == data
    assert choice.recipe.model.model_dump(exclude_defaults=True) == {"name": model}
    assert any(note.startswith(f"recipe {lender}: {model} has no base") for note in choice.notes)
    assert not any(key.startswith("model.") for key in choice.recipe.sources)
    assert any("no dropout" in note for note in choice.notes) == model.startswith("torchvision:")


def test_the_list_of_models_says_how_other_nets_are_named(tmp_path: Path) -> None:
    listed = ask(tmp_path, "list", "models", "--json").json["result"]
    names = {entry["name"] for entry in listed}
    assert {"vgg16", "wrn-28-10", "mobilenet", "torchvision:NAME", "timm:NAME", "MODULE:FUNCTION"} <= names
    assert "never downloaded" in ask(tmp_path, "list", "models", "torchvision:resnet101").out
    assert "current directory" in ask(tmp_path, "list", "models", "mynets:make").out
    assert (
        ask(tmp_path, "list", "models", "timm:resnet26t", "--json").json["result"]["name"] == "timm:resnet26t"
    )


def test_where_there_is_nothing_to_borrow_a_recipe_must_be_named() -> None:
    with pytest.raises(
        UsageError, match=r"no base recipe for pack\.nets:make on no-such-set|no data set named"
    ):
        draw_recipe(Typed(model="pack.nets:make", data="no-such-set"))
    with pytest.raises(UsageError, match=r"no net named 'resnt18' in torchvision; did you mean 'resnet18'"):
        draw_recipe(Typed(model="torchvision:resnt18", data="cifar10"))


def test_without_timm_a_draw_exits_6_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from ticketctl.nets import _zoo_names

    spec_of = _zoo_names.find_spec
    monkeypatch.setattr(_zoo_names, "find_spec", lambda name: None if name == "timm" else spec_of(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'ticketctl\[models\]'"):
        draw_recipe(Typed(model="timm:resnet26t", data="cifar10"))


@pytest.mark.parametrize(
    ("model", "data", "folder"),
    [
        ("resnet18", "cifar10", "resnet18-cifar10"),
        ("torchvision:resnet18", "cifar10", "torchvision-resnet18-cifar10"),
        ("mypackage.nets:make", "imagefolder:/a/b/photos", "mypackage.nets-make-imagefolder-photos"),
    ],
)
def test_folders_are_named_after_net_and_data(model: str, data: str, folder: str) -> None:
    recipe = draw_recipe(Typed(model=model, data=data)).recipe
    assert subject(recipe) == folder
    assert run_folder(recipe, 0, None, Path("runs")).parts[1] == folder


def test_widths_of_a_net_are_in_its_recipe_and_name_another_folder() -> None:
    usual = draw_recipe(Typed(model="vgg16", data="cifar10")).recipe
    assert "model" in usual.changed()
    assert "width" not in json.dumps(usual.changed())
    for sets in ("model.width=0.5", "model.widths=[32,64,128,256,256]", "model.conv_bias=false"):
        other = draw_recipe(Typed(model="vgg16", data="cifar10", sets=(sets,))).recipe
        assert other.fingerprint != usual.fingerprint
    with pytest.raises(UsageError, match=r"model\.width: must be above 0, not"):
        draw_recipe(Typed(model="vgg16", data="cifar10", sets=("model.width=0",)))


def test_a_net_of_ones_own_is_drawn_with_controls_and_is_custom(mine: Path) -> None:
    ticket = draw(mine / "runs" / "a", "model.name=small_nets:make", "draw.rounds=1", "draw.controls=true")
    arch = ticket.manifest.arch
    assert (arch.name, arch.source, arch.kwargs) == ("small_nets:make", "custom", {})
    assert list(ticket.mask()) == ["0.weight", "4.weight"]
    assert ticket.manifest.draw.levels[1].effective is not None
    fresh = open_ticket(mine / "runs" / "a" / "controls" / "reinit" / "ticket")
    assert fresh.manifest.arch == arch


@pytest.mark.long
def test_a_torchvision_net_is_drawn_as_torchvisions(tmp_path: Path) -> None:
    ticket = draw(
        tmp_path / "a", "model.name=torchvision:shufflenet_v2_x0_5", "train.epochs=1", "draw.rounds=0"
    )
    arch = ticket.manifest.arch
    assert (arch.name, arch.source, arch.in_chans) == ("torchvision:shufflenet_v2_x0_5", "torchvision", 1)


def test_a_narrow_net_is_drawn_with_its_widths_and_so_are_its_controls(tmp_path: Path) -> None:
    ticket = draw(tmp_path / "a", "model.width=0.1", "draw.rounds=1", "draw.controls=true")
    assert ticket.manifest.arch.kwargs == {"stem": "cifar", "widths": [30, 10]}
    assert ticket.init()["fc1.weight"].shape == (30, 64)
    fresh = open_ticket(tmp_path / "a" / "controls" / "reinit" / "ticket")
    assert fresh.init()["fc1.weight"].shape == (30, 64)
    again = draw(tmp_path / "b", "model.widths=[30,10]", "draw.rounds=1")
    assert again.manifest.arch == ticket.manifest.arch


def test_a_ticket_alone_runs_no_code_of_somebodys(mine: Path) -> None:
    words = ("--model", "small_nets:make", "--epochs", "1", "--rounds", "1", "--seed", "0")
    drawn = ask(mine, "draw", *words)
    assert drawn.code == 0, drawn.err
    del sys.modules["small_nets"]
    spend = ("spend", "--level", "1", "--set", "train.lr=0.05")
    refused = ask(mine, *spend)
    assert refused.code == 2
    assert refused.complaint.endswith("if you trust it: --set model.name=small_nets:make")
    assert "small_nets" not in sys.modules
    spent = ask(mine, *spend, "--set", "model.name=small_nets:make")
    assert spent.code == 0, spent.err
    assert "--set model.name=small_nets:make" in spent.repeat
    for command in ("inspect", "verify"):
        del sys.modules["small_nets"]
        assert ask(mine, command).code == 0
        assert "small_nets" not in sys.modules
        sys.modules["small_nets"] = sys
    # the line that repeats the draw finds it
    assert "--model small_nets:make" in drawn.repeat
