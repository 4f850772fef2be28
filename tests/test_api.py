"""The Python interface: what the commands do, in the same files, for scripts."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ticketctl
from tests.stages.test_algebra import SHAPE, ticket
from ticketctl.api import given
from ticketctl.artifacts.records import floats
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.nets.build import build
from ticketctl.recipe_files import assignments
from ticketctl.train.state import from_tensor

LENET: dict[str, Any] = {"shape": SHAPE, "classes": 10}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[ticketctl.Ticket, Path]:
    """A two-level draw on the digits, from Python."""
    root = tmp_path_factory.mktemp("runs")
    found = ticketctl.draw(model="lenet-300-100", data="digits", rounds=2, epochs=1, workspace=root)
    return found, root


@pytest.mark.long
def test_a_draw_from_python_is_the_ticket_of_the_command(drawn: tuple[ticketctl.Ticket, Path]) -> None:
    found, root = drawn
    asked = ["draw", "--model", "lenet-300-100", "--data", "digits", "--rounds", "2", "--epochs", "1"]
    said = subprocess.run(
        [sys.executable, "-m", "ticketctl", *asked, "--workspace", str(root)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "already drawn" in said.stderr
    assert found.manifest.ticket_id in said.stdout


def test_spend_and_audit_give_the_artifacts_that_the_commands_write(
    drawn: tuple[ticketctl.Ticket, Path],
) -> None:
    found, root = drawn
    runs = ticketctl.spend(found, level=1, workspace=root)
    assert [run.manifest.level for run in runs] == [0, 1]
    assert runs[1].manifest.ticket == found.ticket_id_at(1)
    report = ticketctl.audit(runs[1], metrics=["ece"], workspace=root)
    assert report.subject.run_id == runs[1].manifest.run_id
    assert (runs[1].folder / report.file_name).is_file()


def test_a_run_is_audited_by_its_name_too(drawn: tuple[ticketctl.Ticket, Path]) -> None:
    found, root = drawn
    name = found.folder.parent.relative_to(root) / "levels/1"
    reports = [ticketctl.audit(one, metrics=["ece"], workspace=root) for one in (name, root / name)]
    assert reports[0].id == reports[1].id
    with pytest.raises(UsageError, match="no run 'nowhere'"):
        ticketctl.audit("nowhere", workspace=root)
    with pytest.raises(UsageError, match=f"did you mean '{name}'"):
        ticketctl.audit(f"{name.parent.parent}/level/1", workspace=root)


def test_what_is_no_trained_net_is_not_audited_and_the_way_to_one_is_said(
    drawn: tuple[ticketctl.Ticket, Path],
) -> None:
    found, root = drawn
    with pytest.raises(UsageError, match=r"ticket is a ticket; ticketctl\.spend\(ticket\) gives"):
        ticketctl.audit(found, workspace=root)  # type: ignore[arg-type]  # what a new user tries
    with pytest.raises(UsageError, match="this is a list; "):
        ticketctl.audit([], workspace=root)  # type: ignore[arg-type]  # what spend gives
    with pytest.raises(UsageError, match="is a ticket, and an audit wants a trained net"):
        ticketctl.audit(found.folder.parent, workspace=root)


def test_metrics_are_the_numbers_that_the_manifests_say(drawn: tuple[ticketctl.Ticket, Path]) -> None:
    found, root = drawn
    run = ticketctl.spend(found, level=1, workspace=root)[1]
    assert {name: repr(value) for name, value in run.metrics.items()} == run.manifest.metrics
    assert 0 <= run.metrics["test.accuracy"] <= 1
    assert found.metrics_by_level()[1]["test.accuracy"] == run.metrics["test.accuracy"]
    odd = floats({"third": "1/3", "lost": "nan", "far": "-inf"})
    assert (odd["third"], odd["far"], math.isnan(odd["lost"])) == (1 / 3, -math.inf, True)


def test_each_thing_is_shown_as_one_short_line(drawn: tuple[ticketctl.Ticket, Path]) -> None:
    found, root = drawn
    run = ticketctl.spend(found, level=1, workspace=root)[1]
    report = ticketctl.audit(run, metrics=["ece"], workspace=root)
    mask, said = found.manifest.mask, run.manifest
    assert repr(found) == (
        f"<Ticket {found.manifest.ticket_id[:11]}: lenet-300-100 on digits, imp, level 2, keeps {mask.kept} of "
        f"{mask.prunable}, {found.folder}>"
    )
    assert repr(run) == (
        f"<Run {said.run_id[:11]}: lenet-300-100 on digits, level 1, done, keeps {said.kept} of {said.prunable}, "
        f"{run.folder}>"
    )
    assert repr(report) == (
        f"<Report {report.id[:11]}: audit of {said.run_id[:11]}, {len(report.metrics)} values>"
    )
    assert len(report.id) == 32


def test_a_reporter_tells_of_each_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words: dict[str, Any] = {"model": "lenet-300-100", "data": "digits", "rounds": 1, "epochs": 1}
    ticketctl.draw(**words, workspace=tmp_path, reporter=ticketctl.Lines())
    said = capsys.readouterr()
    assert said.out == ""
    assert [line[:5] for line in said.err.splitlines() if ": epoch 1/1 " in line] == ["[1/2]", "[2/2]"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"seed": -1}, "seed: a whole number from 0 to 9007199254740991, not -1"),
        ({"seed": 1 << 60}, "from 0 to 9007199254740991"),
        ({"epochs": 0}, "epochs: a whole number from 1 on, not 0"),
        ({"density": float("nan")}, r"density: a number in \(0, 1\], not nan"),
        ({"density": "1/0"}, r"density: a number in \(0, 1\], not 1/0"),
        ({"density": 1.5}, r"a density lies in \(0, 1\]"),
    ],
)
def test_what_the_command_line_would_refuse_is_refused_before_anything_is_trained(
    words: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        ticketctl.draw(model="lenet-300-100", data="digits", workspace=tmp_path, **words)
    assert not list(tmp_path.iterdir())


def test_seeds_and_lengths_of_spends_are_looked_at_too(drawn: tuple[ticketctl.Ticket, Path]) -> None:
    found, root = drawn
    wrong: list[dict[str, Any]] = [{"seeds": [-1]}, {"seeds": []}, {"epochs": 0}]
    for words in wrong:
        with pytest.raises(UsageError, match="a whole number from"):
            ticketctl.spend(found, workspace=root, **words)


def test_keys_from_python_are_what_the_command_line_reads() -> None:
    keys = {"train.lr": 0.05, "train.drop_last": True, "keep.epochs": [1, 2], "keep.metrics": ['a"b', "c\\d"]}
    read = assignments(given.sets(keys))
    assert {f"{table}.{key}": value for table, rest in read.items() for key, value in rest.items()} == keys


def test_a_level_is_loaded_by_its_name_as_a_ticket_of_its_own(drawn: tuple[ticketctl.Ticket, Path]) -> None:
    found, root = drawn
    level = ticketctl.load_ticket(f"{found.folder}@1", workspace=root)
    assert level.manifest.ticket_id == found.ticket_id_at(1)
    np.testing.assert_equal(level.mask(), found.mask(1))
    with pytest.raises(UsageError, match="no ticket 'nothing'"):
        ticketctl.load_ticket("nothing", workspace=root)


@pytest.mark.parametrize("wrong", [0.2, 0.36, 1.0, 2.0, True, "2", "0.36", float("nan"), np.float32(1)])
def test_a_level_that_is_no_whole_number_is_refused_and_never_taken_for_another(
    wrong: Any, tmp_path: Path
) -> None:
    one = ticket(tmp_path / "ticket", 1)
    asked: list[Callable[[], object]] = [
        lambda: one.mask(wrong),
        lambda: one.ticket_id_at(wrong),
        lambda: ticketctl.apply(build("lenet-300-100", **LENET), one, level=wrong),
        lambda: ticketctl.export(one, "npz", tmp_path / "out.npz", level=wrong),
    ]
    for ask in asked:
        with pytest.raises(UsageError, match="a level is a whole number, not ") as raised:
            ask()
        assert ("load_ticket('NAME@0.36')" in str(raised.value)) == (type(wrong) is float and wrong == 0.36)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=1e-2),
        lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.1),
    ],
)
def test_pruned_weights_stay_zero_under_an_optimizer_that_is_followed(optimizer: Any, tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1)
    model = build("lenet-300-100", **LENET)
    held = ticketctl.apply(model, one, level=2)
    follow = optimizer(model.parameters())
    held.follow(follow)
    for step in range(4):
        follow.zero_grad()
        model(torch.full((2, *SHAPE), float(step))).square().mean().backward()
        follow.step()
        assert held.violations() == {}
    moved = dict(model.named_parameters())
    assert all((moved[name] != 0).any() for name in held.masks)


def test_apply_gives_the_start_weights_under_the_mask_of_the_level(tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1)
    model = build("lenet-300-100", **LENET)
    held = ticketctl.apply(model, one, level=1)
    start = {name: from_tensor(value) for name, value in one.init().items()}
    for name, value in model.state_dict().items():
        keep = torch.from_numpy(one.mask(1)[name]) if name in held.masks else torch.tensor(True)
        torch.testing.assert_close(value, start[name] * keep, rtol=0, atol=0)


def linears(*names: str) -> nn.Sequential:
    """A LeNet of the user's own, with these names."""
    model = nn.Sequential(nn.Flatten())
    for name, inputs, outputs in zip(names, (64, 300, 100), (300, 100, 10), strict=True):
        model.add_module(name, nn.Linear(inputs, outputs))
    return model


def test_a_ticket_is_applied_by_its_name(tmp_path: Path) -> None:
    one = ticket(tmp_path / "runs/net/draw/seed-0/ticket", 1)
    model = linears("fc1", "fc2", "fc3")
    held = ticketctl.apply(model, "net/draw/seed-0", level=1, workspace=tmp_path / "runs")
    assert {name: int(mask.sum()) for name, mask in held.masks.items()} == {
        name: int(keep.sum()) for name, keep in one.mask(1).items()
    }
    with pytest.raises(UsageError, match="no ticket 'elsewhere'"):
        ticketctl.apply(model, "elsewhere", workspace=tmp_path / "runs")


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda model: torch.compile(model, backend="eager"), "_orig_mod."),
        (nn.DataParallel, "module."),
        (lambda model: torch.compile(nn.DataParallel(model), backend="eager"), "_orig_mod.module."),
    ],
)
def test_a_wrapped_model_has_the_parameters_of_the_bare_one_masked(
    wrap: Callable[[nn.Module], nn.Module], prefix: str, tmp_path: Path
) -> None:
    one = ticket(tmp_path / "ticket", 1)
    bare, alone = linears("fc1", "fc2", "fc3"), linears("fc1", "fc2", "fc3")
    held = ticketctl.apply(wrap(bare), one, level=2)
    ticketctl.apply(alone, one, level=2)
    assert held.names == {name: prefix + name for name in one.init()}
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(bare.state_dict()[name], value, rtol=0, atol=0)


def test_layers_of_other_names_and_shapes_of_their_own_are_found_by_order(tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1)
    held = ticketctl.apply(linears("c", "b", "a"), one)  # a warning would be an error here
    assert held.names["fc1.weight"] == "c.weight"
    assert held.names["fc3.bias"] == "a.bias"


def test_code_that_an_artifact_names_is_not_run_to_learn_its_order(tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1)
    arch = one.manifest.arch.model_copy(update={"source": "custom", "name": "nowhere.py:net"})
    own = ticketctl.Ticket(one.folder, one.manifest.model_copy(update={"arch": arch}))
    assert ticketctl.apply(linears("fc1", "fc2", "fc3"), own).violations() == {}
    with pytest.raises(ArtifactError, match=r"no parameter 'fc1\.bias' in the model"):
        ticketctl.apply(linears("c", "b", "a"), own)


def test_alike_layers_are_matched_in_the_order_of_the_net_and_that_is_told(tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1, rounds=1, name="resnet20")
    net = build("resnet20", **LENET)
    layers = nn.ModuleList(layer for layer in net.modules() if [*layer.parameters(recurse=False)])
    with pytest.warns(
        ticketctl.OrderWarning, match=r"matched by their order alone, e\.g\. bn1\.weight is 1\.weight,"
    ):
        held = ticketctl.apply(layers, one)
    assert held.names["conv1.weight"] == "0.weight"
    start, keep = one.init(), one.mask()
    for name, value in net.state_dict().items():
        whole = from_tensor(start[name])
        masked = whole * torch.from_numpy(keep[name]) if name in keep else whole
        torch.testing.assert_close(value, masked, rtol=0, atol=0)


def test_a_mask_alone_leaves_the_weights_of_the_model(tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1)
    model = linears("fc1", "fc2", "fc3")
    nn.init.constant_(model.get_parameter("fc1.weight"), 3.0)
    ticketctl.apply(model, one, start=False)
    assert set(model.get_parameter("fc1.weight").unique().tolist()) == {0.0, 3.0}


def test_another_net_is_refused_by_the_parameter_that_does_not_fit(tmp_path: Path) -> None:
    one = ticket(tmp_path / "ticket", 1)
    with pytest.raises(
        ArtifactError, match=r"no parameter 'fc1\.weight' in the model; .*\[E_ARCH_MISMATCH\]"
    ):
        ticketctl.apply(nn.Linear(3, 3), one)
    other = linears("fc1", "fc2", "fc3")
    other.fc3 = nn.Linear(100, 7)
    with pytest.raises(
        ArtifactError, match=r"fc3\.bias has the shape \[10\], the model's fc3\.bias has \[7\]"
    ):
        ticketctl.apply(other, one)


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, ticketctl; print('torch' in sys.modules, sorted(dir(ticketctl))[:2]); ticketctl.nothing"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout == "False ['Applied', 'Lines']\n"
    assert "module 'ticketctl' has no attribute 'nothing'" in said.stderr
