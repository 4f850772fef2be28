"""pools: the greedy mixing against one written out with numpy and torch's own update of BatchNorm."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.train import small
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.train import evaluate, recalibrate
from ticketctl.train.bench import Bench
from ticketctl.train.feed import Images
from ticketctl.train.fit import Fit
from ticketctl.train.kit import Kit, Trained
from ticketctl.train.state import State
from ticketctl.tweaks.pools import Params, neighbours, tweak

OWN = 3
"""The level that is spent, of 1 to 5."""


def bench(stop: Callable[[], int | None] = small.never, test: int = 3) -> Bench:
    """Forty validation images, so that accuracies differ."""
    made = small.bench(small.train_spec(lr=0.02), stop=stop, images=23)
    scaling = made.feed.images.scaling
    sets = {"val": small.split(40, 2), "test": small.split(6, test)}
    return replace(
        made, exams={name: Images(split, None, scaling, small.CPU) for name, split in sets.items()}
    )


def mask_at(level: int) -> Mask:
    scores = {name: small.weights(50).weights[name].abs() for name in small.half().keep}
    return top(scores, kept_count(sum(score.numel() for score in scores.values()), Fraction(4, 5) ** level))


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, ...]:
    """Five levels, trained from one start in different orders, and then each shaken: mixing makes up for that."""
    lab = small.lab(tmp_path_factory.mktemp("levels"), bench())
    fits = [lab.fit(small.weights(), mask_at(level), seeds=Seeds(level)) for level in range(1, 6)]
    return tuple(Trained(n, mask_at(n), shaken(fit.end(), n)) for n, fit in enumerate(fits, 1))


def shaken(state: State, level: int) -> State:
    numbers, weights = np.random.default_rng(level), dict(state.weights)
    for name, keep in mask_at(level).keep.items():
        noise = numbers.normal(0, 0.25, tuple(keep.shape)).astype(np.float32)
        weights[name] = weights[name] + torch.from_numpy(noise) * keep
    return State(weights, state.step)


def pooled(folder: Path, levels: tuple[Trained, ...], on: Bench | None = None, **keys: Any) -> Fit:
    on = on or bench()
    hook = tweak(Kit(on, Seeds(0), mask_at(OWN), None, levels), params=Params(**keys))
    start = State(levels[OWN - 1].state.weights, 0)
    return small.lab(folder, on).fit(start, mask_at(OWN), hooks=[hook], until=0)


# ----------------------------------------------------------------------------------------------- by another hand


def updated(net: nn.Module, on: Bench) -> nn.Module:
    inputs = on.feed.images.batch(0, len(on.feed.images))[0]
    torch.optim.swa_utils.update_bn([inputs], net)
    return net


def accuracy(net: nn.Module, on: Bench) -> float:
    val = on.exams["val"]
    assert isinstance(val, Images)
    inputs, labels = val.batch(0, len(val))
    with torch.no_grad():
        return float((net.eval()(inputs).argmax(1) == labels).double().mean())


def mixed(own: nn.Module, other: State, share: float) -> nn.Module:
    net = copy.deepcopy(own)
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.copy_(share * value + (1 - share) * other.weights[name])
        named = [net.get_parameter(name) for name in mask_at(OWN).keep]
        flat = np.concatenate([value.detach().contiguous().numpy().reshape(-1) for value in named])
        order = np.argsort(-np.abs(flat).astype(np.float64), kind="stable")
        flat[order[mask_at(OWN).kept :]] = 0
        parts = np.split(flat, np.cumsum([value.numel() for value in named])[:-1])
        for value, part in zip(named, parts, strict=True):
            value.copy_(torch.from_numpy(part.reshape(tuple(value.shape))))
    return net


def by_hand(
    levels: tuple[Trained, ...], order: list[int], shares: list[float], on: Bench
) -> tuple[nn.Module, int]:
    now: nn.Module = small.Net()
    levels[OWN - 1].state.load_into(now)
    best = max(accuracy(now, on), accuracy(updated(copy.deepcopy(now), on), on))
    taken = 0
    for level in order:
        tried = [updated(mixed(now, levels[level - 1].state, share), on) for share in shares]
        values = [accuracy(net, on) for net in tried]
        if max(values) > best:
            taken += 1
            best = max(values)
            now = max(
                (share, net) for share, net, value in zip(shares, tried, values, strict=True) if value == best
            )[1]
    return now, taken


def test_the_mixing_is_the_greedy_one_written_out_by_hand(
    tmp_path: Path, levels: tuple[Trained, ...]
) -> None:
    shares = list(Params().coefficients)
    fit = pooled(tmp_path, levels)
    wanted, taken = by_hand(levels, [2, 4, 1, 5], shares, bench())
    log = fit.hook(0)["log"]
    assert taken >= 1
    assert int(log[:, 3].sum()) == taken
    assert log[::11, 0].tolist() == [2, 4, 1, 5]
    found = fit.end().weights
    for name, value in wanted.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_the_density_stays_and_validation_accuracy_never_falls(
    tmp_path: Path, levels: tuple[Trained, ...]
) -> None:
    fit = pooled(tmp_path, levels)
    mask, weights = fit.mask_at_end(), fit.end().weights
    assert fit.steps == 0
    assert mask.kept == mask_at(OWN).kept
    assert sum(int((weights[name] != 0).sum()) for name in mask.keep) == mask.kept
    log, base = fit.hook(0)["log"], fit.hook(0)["base"]
    risen = log[log[:, 3] == 1, 2].tolist()
    assert risen == sorted(risen)
    assert risen[0] > float(base.max())
    assert fit.metrics()["val.accuracy"] == risen[-1]


def test_neighbours_that_are_no_better_leave_the_net_to_the_bit(
    tmp_path: Path, levels: tuple[Trained, ...]
) -> None:
    same = tuple(replace(each, state=levels[OWN - 1].state) for each in levels)
    fit = pooled(tmp_path, same)
    assert not fit.hook(0)["log"][:, 3].any()
    assert fit.mask_at_end().equal(mask_at(OWN))
    for name, value in levels[OWN - 1].state.weights.items():
        assert torch.equal(fit.end().weights[name], value), name


def test_the_test_images_are_not_looked_at(tmp_path: Path, levels: tuple[Trained, ...]) -> None:
    one = pooled(tmp_path / "one", levels, bench(test=3))
    other = pooled(tmp_path / "other", levels, bench(test=4))
    assert one.files.final.read_bytes() == other.files.final.read_bytes()
    assert one.metrics()["test.loss"] != other.metrics()["test.loss"]


def test_weights_of_other_tweaks_stay(tmp_path: Path, levels: tuple[Trained, ...]) -> None:
    on = bench()
    on.model.tweak = nn.Linear(1, 1)  # type: ignore[assignment]  # a module is no Tensor
    own = {name: value.clone() for name, value in on.model.state_dict().items() if name.startswith("tweak.")}
    hook = tweak(Kit(on, Seeds(0), mask_at(OWN), None, levels), params=Params())
    start = State({**levels[OWN - 1].state.weights, **own}, 0)
    fit = small.lab(tmp_path, on).fit(start, mask_at(OWN), hooks=[hook], until=0)
    assert fit.hook(0)["log"][:, 3].any()
    assert all(torch.equal(fit.end().weights[name], value) for name, value in own.items())


@pytest.mark.long
def test_stopped_anywhere_it_ends_in_the_same_bytes(
    tmp_path: Path, levels: tuple[Trained, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "BATCH", 9)
    monkeypatch.setattr(recalibrate, "BATCH", 9)
    keys = {"coefficients": (0.3, 0.7), "neighbours": 2, "images": 20}
    truth = pooled(tmp_path / "truth", levels, **keys)
    for polls in range(1, 200, 3):
        left = iter(range(10**6))
        folder = tmp_path / str(polls)
        try:
            pooled(
                folder,
                levels,
                bench(lambda left=left, polls=polls: 75 if next(left) >= polls else None),
                **keys,
            )
        except StoppedError:
            pass
        else:
            assert polls > 20
            return
        again = pooled(folder, levels, **keys)
        assert again.files.final.read_bytes() == truth.files.final.read_bytes(), polls
        assert torch.equal(again.hook(0)["log"], truth.hook(0)["log"])
    pytest.fail("it never came to its end")


def test_the_nearest_levels_come_first_and_the_denser_of_two(levels: tuple[Trained, ...]) -> None:
    assert [each.level for each in neighbours(levels, mask_at(OWN))] == [2, 4, 1, 5]
    assert [each.level for each in neighbours(levels, mask_at(1))] == [2, 3, 4, 5]
    with pytest.raises(
        UsageError, match="one of the levels that the draw has trained, 1, 2, 3, 4, 5; the mask"
    ):
        neighbours(levels, small.half())


def test_what_it_cannot_do_without_is_named(levels: tuple[Trained, ...]) -> None:
    on = bench()
    plain = replace(on, exams={"test": on.exams["test"]})
    with pytest.raises(UsageError, match=r"data\.validation"):
        tweak(Kit(plain, Seeds(0), mask_at(OWN), None, levels), params=Params())
    for there, counted in (
        (levels[:2], "has kept 2, levels 1, 2;"),
        (levels[3:4], "1, level 4;"),
        ((), "kept none;"),
    ):
        with pytest.raises(
            UsageError, match=f"3 trained sparse levels.*{counted}.*--rounds 3.*draw.keep=all"
        ):
            tweak(Kit(on, Seeds(0), mask_at(2), None, there), params=Params())
    with pytest.raises(UsageError, match="dense net"):
        tweak(Kit(on, Seeds(0), None, None, levels), params=Params())


@pytest.mark.parametrize(
    "keys", [{"coefficients": ()}, {"coefficients": (1.0,)}, {"neighbours": 0}, {"images": 1}]
)
def test_keys_out_of_range_are_refused_by_name(keys: dict[str, Any], levels: tuple[Trained, ...]) -> None:
    with pytest.raises(UsageError, match=f"tweaks.pools.{next(iter(keys))}"):
        tweak(Kit(bench(), Seeds(0), mask_at(OWN), None, levels), params=Params(**keys))


def test_its_identity_is_plain_json_and_names_the_nets(levels: tuple[Trained, ...]) -> None:
    kit = Kit(bench(), Seeds(0), mask_at(OWN), None, levels)
    one = tweak(kit, params=Params()).identity()
    assert json.loads(json.dumps(one)) == one
    other = (replace(levels[0], state=levels[1].state), *levels[1:])
    assert tweak(replace(kit, levels=other), params=Params()).identity() != one
    literals = plugins("tweaks")["pools"].literals
    assert (literals["AFTER"], literals["STEPS"], literals["NEEDS"]) == (True, 0, ("levels",))
