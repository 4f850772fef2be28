"""Early birds: the queue by hand, channels and their weights against nets one can follow, and the draw."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.draws.drawing import bits, levels_of, masks, setting_of
from tests.stages import tiny
from ticketctl.draws import earlybird
from ticketctl.draws._channels import Expansion, expand, scales, silenced, top_channels
from ticketctl.draws.earlybird import Params, Queue
from ticketctl.errors import DivergedError, StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import policy, prunable
from ticketctl.nets.build import build, initialise_
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.method import method_of, target_of
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Cost, Level, Plan, Target


def flags(text: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([letter == "1" for letter in text])


# --------------------------------------------------------------------------------------------------------- the queue


def test_identical_masks_are_at_distance_0_once_there_are_five() -> None:
    queue = Queue(5)
    assert [queue.push(flags("1100")) for _ in range(7)] == [None, None, None, None, 0, 0, 0]


def test_a_trace_by_hand() -> None:
    """Length 3: the newest against the two before it; the first mask leaves with the fourth."""
    queue = Queue(3)
    trace = ["111000", "110100", "110100", "110100", "001011", "110100"]
    assert [queue.push(flags(mask)) for mask in trace] == [None, None, 2, 0, 6, 6]
    assert [mask.tolist() for mask in queue.masks] == [flags(mask).tolist() for mask in trace[-3:]]


def test_only_the_newest_is_compared() -> None:
    """Old masks may differ among themselves by more: 01 and 10 by 2, but 11 from each of them by 1."""
    queue = Queue(3)
    assert [queue.push(flags(mask)) for mask in ("01", "10", "11")] == [None, None, 1]


def test_the_distance_is_that_of_brute_force() -> None:
    made = np.random.Generator(np.random.Philox(3)).random((9, 40)) < 0.5
    queue = Queue(5)
    for number, mask in enumerate(made):
        found = queue.push(mask)
        older = made[max(0, number - 4) : number]
        brute = max(
            (sum(bool(a) != bool(b) for a, b in zip(mask, old, strict=True)) for old in older), default=0
        )
        assert found == (brute if number >= 4 else None)


def search(epsilon: Fraction, size: int, masks: list[str], length: int = 5) -> list[bool]:
    """What `epoch` answers if the masks are these."""
    rule = earlybird._Rule("weight", ("w",), masks[0].count("1"))
    hook = earlybird.Search(rule, Params(form="weight", epsilon=epsilon, length=length), size)
    answers = []
    for mask in masks:

        class Course:
            parameters = {"w": torch.from_numpy(flags(mask).astype(np.float32))}  # noqa: RUF012  # a stand-in, never changed

        answers.append(hook.epoch(Course()))
        again = earlybird.Search(rule, hook.params, size)
        again.restore(hook.state())
        hook = again  # as after a kill
    return answers


def test_it_ends_when_the_newest_is_within_epsilon_of_each() -> None:
    """20 entries, epsilon 0.1: up to 2 may differ. The masks drift by 2 a step, so only a standstill will do."""
    drift = ["1" * 5 + "0" * 15, "0" + "1" * 5 + "0" * 14, "00" + "1" * 5 + "0" * 13]
    rest = [drift[-1]] * 4
    assert search(Fraction(1, 10), 20, drift + rest) == [False] * 5 + [True, True]
    assert search(Fraction(9, 100), 20, drift + rest) == [False] * 6 + [True]
    assert search(Fraction(1, 10), 20, [drift[0]] * 4) == [False] * 4, "five masks are needed"


# -------------------------------------------------------------------------------------------------------- the scales


@pytest.mark.parametrize("count", [3, 4, 11, 17])
def test_constant_scales_keep_exactly_what_was_asked(count: int) -> None:
    """A threshold keeps none or all of them. One of each norm first, then the earliest."""
    mask = top_channels({name: torch.ones(size) for name, size in (("a", 8), ("b", 4), ("c", 5))}, count)
    assert mask.kept == count
    flat = np.concatenate([keep.numpy() for keep in mask.keep.values()])
    first = [0, 8, 12]
    others = [i for i in range(17) if i not in first][: count - 3]
    assert sorted(np.flatnonzero(flat)) == sorted([*first, *others])


def test_the_largest_scales_are_kept_by_size_and_no_norm_is_emptied() -> None:
    gammas = {"a": torch.tensor([-3.0, 0.1, 2.0]), "b": torch.tensor([0.01, -0.02])}
    assert {k: v.tolist() for k, v in top_channels(gammas, 3).keep.items()} == {
        "a": [True, False, True], "b": [False, True],
    }  # fmt: skip
    with pytest.raises(UsageError, match="1 channels do not suffice for 2"):
        top_channels(gammas, 1)


def test_scales_that_are_not_finite_are_refused_by_name() -> None:
    with pytest.raises(DivergedError, match=r"bn1\.weight"):
        top_channels({"bn1.weight": torch.tensor([1.0, float("nan")])}, 1)


def test_shrinking_adds_the_gradient_of_the_l1_penalty() -> None:
    gamma = nn.Parameter(torch.tensor([0.5, -2.0, 3.0]))
    (gamma.square().sum() + 1e-2 * gamma.abs().sum()).backward()
    wanted = gamma.grad
    gamma.grad = None
    gamma.square().sum().backward()
    earlybird.shrink([gamma], 1e-2)
    assert wanted is not None
    torch.testing.assert_close(gamma.grad, wanted)
    zero = nn.Parameter(torch.zeros(2))
    zero.grad = torch.ones(2)
    earlybird.shrink([zero, nn.Parameter(torch.ones(1))], 0.5)
    assert zero.grad.tolist() == [1.0, 1.0]


# ------------------------------------------------------------------------------------------------------ the expansion


def widened(net: nn.Module, channels: dict[str, list[int]], image: tuple[int, int, int]) -> Expansion:
    """Expand the mask that keeps these channels of each norm."""
    keep = {}
    for name, gamma in scales(net).items():
        keep[name] = torch.zeros(gamma.numel(), dtype=torch.bool)
        keep[name][channels[name]] = True
    shapes = {name: net.get_parameter(name).shape for name in prunable(net, policy("default"))}
    return expand(net, Mask(keep), shapes, image)


def kept(mask: Mask) -> dict[str, list[int]]:
    return {name: np.flatnonzero(keep.numpy()).tolist() for name, keep in mask.keep.items()}


def block(mask: Mask, name: str) -> tuple[list[int], list[int]]:
    """Rows and columns of a weight that is kept as a block."""
    keep = mask.keep[name].flatten(2).all(2) if mask.keep[name].dim() > 2 else mask.keep[name]
    rows, columns = keep.any(1), keep.any(0)
    assert torch.equal(mask.keep[name].flatten(1).any(1), rows)
    assert torch.equal(keep, rows[:, None] & columns)
    return np.flatnonzero(rows.numpy()).tolist(), np.flatnonzero(columns.numpy()).tolist()


class Chain(nn.Module):
    """Two convolutions and a Linear layer over 2 x 2 positions of 3 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.act, self.pool, self.fc = nn.Sigmoid(), nn.MaxPool2d(2), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))
        logits: torch.Tensor = self.fc(x.flatten(1))
        return logits


def test_in_a_chain_rows_go_and_the_columns_that_read_them() -> None:
    wide = widened(Chain(), {"bn1.weight": [1, 3], "bn2.weight": [2]}, (2, 8, 8))
    assert kept(wide.channels) == {"bn1.weight": [1, 3], "bn2.weight": [2]}
    assert block(wide.weights, "conv1.weight") == ([1, 3], [0, 1])
    assert block(wide.weights, "conv2.weight") == ([2], [1, 3])
    assert block(wide.weights, "fc.weight") == ([0, 1, 2, 3, 4], [8, 9, 10, 11])


def test_channels_that_are_added_up_stay_together() -> None:
    """One sum runs through resnet20s: stage 2 holds stage 1's channels from 8 on, stage 3 stage 2's from 16 on."""
    net = build("resnet20s", shape=(3, 32, 32), classes=10)
    chosen: dict[str, list[int]] = {name: [0] for name in scales(net)}
    stream = {name: [] for name in chosen if name.endswith("bn2.weight")}
    chosen |= stream | {"bn1.weight": [3], "layer2.1.bn2.weight": [20], "layer3.2.bn2.weight": [1, 16 + 20]}
    chosen["layer1.1.bn1.weight"] = [5, 7]
    wide = widened(net, chosen, (3, 32, 32))
    found = kept(wide.channels)
    # of stage 1: 3 and 20 - 8; in stage 2 those from 8, and no more; in stage 3 all of these from 16, and its own
    one, two = [3, 12], [11, 20]
    three = [1, 27, 36]
    assert found["bn1.weight"] == one
    for stage, channels in ((1, one), (2, two), (3, three)):
        for number in range(3):
            assert found[f"layer{stage}.{number}.bn2.weight"] == channels
    assert found["layer1.1.bn1.weight"] == [5, 7]
    assert block(wide.weights, "layer1.1.conv1.weight") == ([5, 7], one)
    assert block(wide.weights, "layer1.1.conv2.weight") == (one, [5, 7])
    assert block(wide.weights, "layer2.0.conv1.weight") == ([0], one)
    assert block(wide.weights, "fc.weight") == (list(range(10)), three)


def test_a_projection_joins_both_branches() -> None:
    net = build("resnet20", shape=(3, 32, 32), classes=10)
    chosen: dict[str, list[int]] = {name: [0] for name in scales(net)}
    chosen |= {"layer2.0.bn2.weight": [4], "layer2.0.downsample.1.weight": [9], "layer2.2.bn2.weight": [30]}
    found = kept(widened(net, chosen, (3, 32, 32)).channels)
    for name in ("0.bn2", "0.downsample.1", "1.bn2", "2.bn2"):
        assert found[f"layer2.{name}.weight"] == [0, 4, 9, 30]
    assert found["layer3.0.bn2.weight"] == [0]


class Separable(nn.Module):
    """A depthwise convolution between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.deep, self.bn2 = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6)
        self.point, self.bn3 = nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn2(self.deep(torch.relu(self.bn1(self.stem(x))))))
        logits: torch.Tensor = self.fc(torch.relu(self.bn3(self.point(x))).mean((2, 3)))
        return logits


def test_a_depthwise_convolution_joins_what_it_reads_and_writes() -> None:
    wide = widened(Separable(), {"bn1.weight": [0], "bn2.weight": [4], "bn3.weight": [1, 2]}, (3, 8, 8))
    assert kept(wide.channels) == {"bn1.weight": [0, 4], "bn2.weight": [0, 4], "bn3.weight": [1, 2]}
    assert block(wide.weights, "stem.weight") == ([0, 4], [0, 1, 2])
    assert block(wide.weights, "deep.weight") == ([0, 4], [0])
    assert block(wide.weights, "point.weight") == ([1, 2], [0, 4])


class PreActivation(nn.Module):
    """The norm reads a sum that others read too: it prunes what its own convolution reads, and no row."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.bn2, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.conv1(torch.relu(self.bn1(x)))
        logits: torch.Tensor = self.fc(torch.relu(self.bn2(x)).mean((2, 3)))
        return logits


def test_in_a_preactivation_net_each_reader_selects_for_itself() -> None:
    wide = widened(PreActivation(), {"bn1.weight": [0, 1], "bn2.weight": [1, 2]}, (1, 4, 4))
    assert kept(wide.channels) == {"bn1.weight": [0, 1], "bn2.weight": [1, 2]}
    assert block(wide.weights, "stem.weight") == ([0, 1, 2], [0])
    assert block(wide.weights, "conv1.weight") == ([1, 2], [0, 1])
    assert block(wide.weights, "fc.weight") == ([0, 1], [1, 2])


@pytest.mark.parametrize("name", ["resnet20s", "resnet20"])
def test_a_pruned_channel_has_no_part_in_the_net(name: str) -> None:
    """With its scale and shift at 0, whatever stands in the pruned weights, the logits are the same bits."""
    net = build(name, shape=(3, 16, 16), classes=10)
    initialise_(net, "openlth", Seeds(0))
    shapes = {key: net.get_parameter(key).shape for key in prunable(net, policy("default"))}
    gammas = scales(net)
    wide = expand(net.eval(), top_channels(gammas, 300), shapes, (3, 16, 16))
    assert 300 <= wide.channels.kept < sum(gamma.numel() for gamma in gammas.values())
    weights = silenced(net.state_dict(), wide.channels)
    masked = {
        key: value * wide.weights.keep[key] if key in shapes else value for key, value in weights.items()
    }
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = torch.func.functional_call(net, masked, (x,))
        assert torch.equal(torch.func.functional_call(net, weights, (x,)), logits)
    assert not torch.equal(net(x), logits)


def test_the_net_is_neither_run_nor_changed() -> None:
    net = Chain().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    widened(net, {"bn1.weight": [0], "bn2.weight": [0]}, (2, 8, 8))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not net.conv1._forward_hooks


# ---------------------------------------------------------------------------------------------------------- the draw


def tables(model: str = "lenet-300-100", epochs: int = 8, **draw: Any) -> dict[str, Any]:
    small = {
        "model": {"name": model},
        "data": {"validation": "last:1240"},
        "train": {"batch": 66, "epochs": epochs},
        "keep": {"epochs": list(range(epochs + 1))},
    }
    said = {"method": "earlybird", "density": "3/10", "form": "weight", "length": 3, **draw}
    return merge(tiny.TABLES, small) | {"draw": said}


def levels(folder: Path, layers: dict[str, Any]) -> list[Level]:
    return levels_of(setting_of(folder / "cache", layers), folder / "work")


def test_the_ticket_is_found_where_brute_force_over_the_kept_weights_finds_it(tmp_path: Path) -> None:
    dense, ticket = levels(tmp_path, tables(epsilon="0.012"))
    files, seen, distances = FitFiles(tmp_path / "work" / "000"), [], []
    for epoch in range(1, int(ticket.notes["epoch"]) + 1):
        weights = files.read_state(files.state(3 * epoch), 3 * epoch).weights
        flat = np.concatenate([weights[name].numpy().reshape(-1) for name in ticket.mask.keep])
        order = np.argsort(-np.abs(flat.astype(np.float64)), kind="stable")
        mask = np.zeros(flat.size, dtype=bool)
        mask[order[: ticket.mask.kept]] = True
        seen.append(mask)
        older = seen[-3:-1]
        distances.append(max(float((mask != old).mean()) for old in older) if len(older) == 2 else None)
    assert ticket.notes["distances"] == pytest.approx(distances, abs=1e-12)
    assert [d is not None and d <= 0.012 for d in distances] == [False] * (len(distances) - 1) + [True]
    assert 3 < len(distances) < 8, "neither at once nor never: otherwise this test says little"
    assert np.array_equal(
        np.concatenate([k.numpy().reshape(-1) for k in ticket.mask.keep.values()]), seen[-1]
    )
    assert bits(ticket.start) == bits(files.read_state(files.final, 0))
    assert ticket.role == "trained"
    assert ticket.start.step == 3 * len(distances)
    assert ticket.fit is not None
    assert ticket.fit.steps == 3 * (8 - len(distances))
    assert dense.fit is None


@pytest.mark.long
def test_a_channel_ticket_starts_from_the_weights_of_its_epoch_with_pruned_norms_silent(
    tmp_path: Path,
) -> None:
    layers = tables("resnet20s", epochs=3, form="channel", length=2, epsilon="1", density="1/2")
    _, ticket = levels(tmp_path, layers)
    notes = ticket.notes
    assert (notes["epoch"], notes["channels"], notes["chosen"]) == (2, 688, 344)
    files = FitFiles(tmp_path / "work" / "000")
    found = files.read_state(files.final, 0).weights
    ends = {name: value for name, value in found.items() if name in notes["norms"]}
    assert {name: value.numel() for name, value in ends.items()} == {
        name: int(text.partition(":")[0]) for name, text in notes["norms"].items()
    }
    unpacked = {
        name: np.unpackbits(
            np.frombuffer(bytes.fromhex(text.partition(":")[2]), np.uint8), count=len(ends[name])
        )
        for name, text in notes["norms"].items()
    }
    assert sum(int(keep.sum()) for keep in unpacked.values()) == notes["kept"]
    assert all(bool(unpacked[name][int(ends[name].abs().argmax())]) for name in ends), (
        "no norm lost its largest"
    )
    for name, value in ticket.start.weights.items():
        norm = name.replace(".bias", ".weight")
        keep = torch.from_numpy(unpacked[norm] > 0) if norm in unpacked else None
        expected = found[name] if keep is None else found[name] * keep
        assert torch.equal(value, expected), name
    assert ticket.fit is not None
    end = ticket.fit.end().weights
    for name, bits_kept in unpacked.items():
        pruned = torch.from_numpy(bits_kept == 0)
        assert bool((end[name][pruned] == 0).all()), "no gradient and no decay brings a pruned norm back"
        assert bool((end[name.replace("weight", "bias")][pruned] == 0).all())
        conv = name.replace("bn", "conv")
        assert bool((end[conv][pruned] == 0).all())


@pytest.mark.long
def test_the_penalty_makes_the_scales_smaller(tmp_path: Path) -> None:
    sums = []
    for l1 in (0.0, 0.02):
        layers = tables("resnet20s", epochs=2, form="channel", length=2, epsilon="1", density="1/2", l1=l1)
        levels(tmp_path / str(l1), layers)
        files = FitFiles(tmp_path / str(l1) / "work" / "000")
        end = files.read_state(files.final, 0).weights
        sums.append(sum(float(v.abs().sum()) for n, v in end.items() if ".bn" in n and n.endswith("weight")))
    assert sums[1] < sums[0] - 1


def test_a_mask_that_never_rests_is_not_converged(tmp_path: Path) -> None:
    with pytest.raises(
        DivergedError, match=r"no mask came to rest within 4 epochs; the closest, after epoch \d"
    ) as e:
        levels(tmp_path, tables(epochs=4, epsilon="0"))
    assert e.value.exit_code == 4


def test_a_net_without_batchnorm_has_no_channels_to_rank(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'draw\.form = "weight"'):
        levels(tmp_path, tables(form="channel"))
    with pytest.raises(UsageError, match="rewind"):
        levels(tmp_path, tables(rewind="1it"))


def test_what_cannot_be_is_refused_before_training() -> None:
    good = Target(Fraction(1, 2))
    assert earlybird.cost(Plan(good, 10), Params()) == Cost(2, 10)
    with pytest.raises(UsageError, match="5 masks"):
        earlybird.cost(Plan(good, 4), Params())
    with pytest.raises(UsageError, match="rounds"):
        earlybird.cost(Plan(Target(None, 3), 10), Params())
    for bad in (Params(length=1), Params(epsilon=Fraction(-1)), Params(l1=float("nan"))):
        with pytest.raises(UsageError, match=r"draw\.length is 2 or more"):
            earlybird.cost(Plan(good, 10), bad)


def stopping_after(polls: int) -> Callable[[], int | None]:
    asked = iter(range(10**9))
    return lambda: 130 if next(asked) >= polls else None


def stopped(folder: Path, polls: int, layers: dict[str, Any]) -> list[Level] | None:
    recipe = parse_recipe(layers, where="test")
    setting = prepare(recipe, seeds_of(recipe, 0), tiny.around(folder / "cache", stopping_after(polls)))
    method, params = method_of(recipe)
    try:
        return list(method.draw(setting.lab(folder / "work"), target=target_of(recipe), params=params))
    except StoppedError:
        return None


def test_stopped_anywhere_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    layers = tables(epsilon="0.012")
    whole = stopped(tmp_path / "whole", 10**6, layers)
    assert whole is not None
    attempts, again = 0, None
    while again is None:
        again, attempts = stopped(tmp_path / "parts", 14, layers), attempts + 1
    assert attempts > 3
    assert masks(again) == masks(whole)
    for ours, theirs in zip(again, whole, strict=True):
        assert ours.notes == theirs.notes
        assert bits(ours.start) == bits(theirs.start)
        if ours.fit is not None and theirs.fit is not None:
            assert ours.fit.files.final.read_bytes() == theirs.fit.files.final.read_bytes()
