"""Tickets out of tickets: masks by set algebra, levels by their ladder, nets by what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.artifacts import samples
from tests.cli.conftest import ask
from ticketctl.artifacts.chain import read_chain
from ticketctl.artifacts.compare import compare, difference
from ticketctl.artifacts.deep import verify_deep
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.artifacts.verify import verify_ticket
from ticketctl.errors import ArtifactError, MismatchError, UsageError
from ticketctl.nets.build import build
from ticketctl.stages import algebra
from ticketctl.stages.algebra import cut, joined, remapped
from ticketctl.stages.at_level import AtLevel
from ticketctl.train.state import to_tensor

SHAPE, CLASSES = (1, 8, 8), 10


def arch(name: str, source: str = "ticketctl", **kwargs: Any) -> dict[str, Any]:
    kind = {"num_classes": CLASSES, "in_chans": SHAPE[0], "size": SHAPE[1:]}
    return {"name": name, "source": source, **kind, "kwargs": kwargs}


def ticket(folder: Path, seed: int, rounds: int = 3, name: str = "lenet-300-100", **kwargs: Any) -> Ticket:
    """A ticket of `rounds` levels with random rounds of death, over weights that all seeds share."""
    model = build(name, shape=SHAPE, classes=CLASSES, **kwargs)
    generator = torch.Generator().manual_seed(0)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 0.1 + 0.01)
    init = {key: to_tensor(value) for key, value in model.state_dict().items()}
    chance = np.random.default_rng(seed)
    death = {
        key: chance.integers(0, rounds + 1, value.shape).astype("u1")
        for key, value in model.state_dict().items()
        if key.endswith("weight") and value.ndim > 1
    }
    ladder = Ladder(death, rounds, (), (), ())
    bare = {"empty_layers": [], "cut": False, "effective": None, "metrics": {}}
    kept = [int(sum((layer >= k).sum() for layer in death.values())) for k in range(rounds + 1)]
    draw = {
        "method": "imp",
        "rounds": rounds,
        "params": {},
        "recipe": {**samples.RECIPE, "model": {"name": name}},
        "data": samples.DATA,
        "seeds": {"root": seed},
        "levels": [{"level": k, "kept": count, **bare} for k, count in enumerate(kept)],
        "cost": {"steps": 1, "images": 1, "epochs": "1"},
    }
    folder.mkdir(parents=True)
    keep = ladder.mask(rounds)
    return write_ticket(
        folder, arch=arch(name, **kwargs), keep=keep, init=init, draw=draw, ladder=ladder, level=rounds
    )


def refuse_unsound(found: Ticket, root: Path) -> None:
    checks = [*verify_ticket(found.folder), *verify_deep(found.folder, "ticket", root)]
    assert [check.detail for check in checks if not check.ok] == []


def test_a_level_that_is_cut_out_has_the_id_and_mask_of_the_level_in_its_ladder(tmp_path: Path) -> None:
    whole = ticket(tmp_path / "a/b/c/ticket", 1)
    found = cut(AtLevel(whole, 2), tmp_path).ticket
    assert found.manifest.ticket_id == whole.ticket_id_at(2)
    assert found.ladder() is None
    np.testing.assert_equal(dict(found.mask()), dict(whole.mask(2)))
    assert found.manifest.draw.parents == (whole.manifest.ticket_id,)
    refuse_unsound(found, tmp_path)


@pytest.mark.parametrize(("step", "join"), [("intersect", np.minimum), ("union", np.maximum)])
def test_masks_are_joined_weight_by_weight(step: str, join: Any, tmp_path: Path) -> None:
    tickets = [ticket(tmp_path / f"a/b/{seed}/ticket", seed) for seed in range(3)]
    found = joined(step, [AtLevel(one, 1) for one in tickets], tmp_path).ticket
    for name, layer in found.mask().items():
        parts = [one.mask(1)[name].astype(int) for one in tickets]
        assert (layer.astype(int) == join(join(parts[0], parts[1]), parts[2])).all()
    assert {*found.manifest.draw.parents} == {one.ticket_id_at(1) for one in tickets}
    assert found.manifest.draw.method == step
    refuse_unsound(found, tmp_path)


def test_the_history_of_a_joined_ticket_begins_at_the_draws(tmp_path: Path) -> None:
    tickets = [ticket(tmp_path / f"a/b/{seed}/ticket", seed) for seed in range(2)]
    found = joined("union", [AtLevel(one, None) for one in tickets], tmp_path).ticket
    chain = read_chain(found.folder)
    assert chain is not None
    assert [link.step for link in chain.links] == ["draw", "draw", "union"]
    assert {link.id for link in chain.links[:2]} == {*chain.links[2].inputs}


def test_the_same_again_is_there_and_something_else_is_not_overwritten(tmp_path: Path) -> None:
    whole = ticket(tmp_path / "a/b/c/ticket", 1)
    first = cut(AtLevel(whole, 2), tmp_path)
    again = cut(AtLevel(whole, 2), tmp_path)
    assert (first.made, again.made) == (True, False)
    assert first.ticket.folder == again.ticket.folder
    with pytest.raises(MismatchError, match="holds another ticket"):
        cut(AtLevel(whole, 1), tmp_path, out=first.ticket.folder.parent)


def test_another_net_in_the_same_folder_is_not_taken_for_the_one_that_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ticket(tmp_path / "a/b/c/ticket", 1)
    monkeypatch.setattr(algebra, "between", lambda here, there, net: {name: name for name in here})
    monkeypatch.setattr(
        algebra, "net_from", lambda arch, **_: build("lenet-300-100", shape=SHAPE, classes=CLASSES)
    )
    out = tmp_path / "out"
    assert remapped(whole, "resnet20s", tmp_path, out).made
    assert not remapped(whole, "resnet20s", tmp_path, out).made
    with pytest.raises(MismatchError, match="holds another ticket"):
        remapped(whole, "resnet18", tmp_path, out)


def test_masks_of_two_nets_and_masks_without_a_common_weight_are_refused(tmp_path: Path) -> None:
    one = ticket(tmp_path / "a/b/c/ticket", 1)
    other = ticket(tmp_path / "a/b/d/ticket", 1, name="resnet20s", stem="cifar")
    with pytest.raises(UsageError, match="a mask of another net"):
        joined("union", [AtLevel(one, None), AtLevel(other, None)], tmp_path)
    with pytest.raises(UsageError, match="two tickets at least"):
        joined("union", [AtLevel(one, None)], tmp_path)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ticket, Ticket, Path]:
    """A ResNet-18 ticket of ours, and the same under torchvision's names."""
    root = tmp_path_factory.mktemp("moved")
    mine = ticket(root / "a/b/c/ticket", 3, 1, name="resnet18", stem="imagenet")
    return mine, remapped(mine, "torchvision:resnet18", root).ticket, root


@pytest.mark.long
def test_a_ticket_under_torchvisions_names_computes_what_ours_does(
    moved: tuple[Ticket, Ticket, Path],
) -> None:
    mine, theirs, root = moved
    assert theirs.manifest.arch.source == "torchvision"
    assert theirs.manifest.mask.kept == mine.manifest.mask.kept
    assert theirs.manifest.draw.recipe["model"]["name"] == "torchvision:resnet18"  # type: ignore[index, call-overload]  # a record
    refuse_unsound(theirs, root)


@pytest.mark.slow  # 45 MB are hashed four times
def test_back_under_our_names_it_is_the_ticket_it_was(moved: tuple[Ticket, Ticket, Path]) -> None:
    mine, theirs, root = moved
    back = remapped(theirs, "resnet18", root).ticket
    assert back.manifest.ticket_id == mine.manifest.ticket_id


def test_a_net_that_is_another_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    whole = ticket(tmp_path / "a/b/c/ticket", 1)
    with pytest.raises(ArtifactError, match="lenet-300-100 is not resnet20s under other names"):
        remapped(whole, "resnet20s", tmp_path)
    with pytest.raises(UsageError, match="is a ticket of lenet-300-100 already"):
        remapped(whole, "lenet-300-100", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_masks_of_other_nets_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    class Thin(AtLevel):
        @property
        def keep(self) -> dict[str, Any]:
            return {name: keep[:, :10] if name == "fc1.weight" else keep for name, keep in one.mask().items()}

    one = samples.ticket(tmp_path / "one")
    thin = Thin(one, None)
    assert difference(one.mask(), one.mask()) == ""
    with pytest.raises(UsageError, match=r"one: .*fc1\.weight is 5x12 in the first and 5x10 in this one$"):
        joined("intersect", [AtLevel(one, None), thin], tmp_path)
    with pytest.raises(UsageError, match=r"fc1\.weight is 5x12 in the first and 5x10 in the second$"):
        compare(one.mask(), thin.keep)
    fewer = {name: keep for name, keep in one.mask().items() if name != "fc2.weight"}
    assert difference(one.mask(), fewer) == "the first has fc2.weight, the second has not"
    assert difference(fewer, one.mask()) == "the second has fc2.weight, the first has not"


@pytest.mark.parametrize(
    ("step", "near"),
    [("intersct", "did you mean 'intersect'?"), ("x", "there is cut, intersect, remap, union")],
)
def test_a_step_that_is_none_is_told_in_a_line(tmp_path: Path, step: str, near: str) -> None:
    answer = ask(tmp_path, "mask", step)
    assert (answer.code, answer.complaint) == (2, f"ticketctl: mask has no step '{step}'; {near}")
