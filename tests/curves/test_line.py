"""Straight paths: equation 3 by brute force, what must hold of any barrier, and points that are kept."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.metrics.specimens import random_images, specimen
from ticketctl.curves import line
from ticketctl.curves.line import Params, measure, price
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Measurement
from ticketctl.train.recalibrate import recalibrate
from ticketctl.train.state import State
from ticketctl.train.terrain import End, Make, Point, Terrain

EVERY = ("recalibrate", "interpolate", "stored", "batch")
COUNT, CLASSES = 60, 4


class Conv(nn.Module):
    """A convolution, BatchNorm, Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))
        return y


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, CLASSES))


def regression() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))


def terrain(net: nn.Module, seeds: tuple[int, ...], *, mask: Mask | None = None, **keys: Any) -> Terrain:
    """Nets of random weights; test images are others than those of `train` and `val`."""
    seen = specimen(
        net, *random_images(COUNT, (1, 4, 4), CLASSES, 5), mean=(0.5,), std=(0.2,), classes=CLASSES
    )
    other = specimen(net, *random_images(25, (1, 4, 4), CLASSES, 6), mean=(0.5,), std=(0.2,))
    images = {"train": seen.images["train"], "val": seen.images["val"], "test": other.images["test"]}
    ends = tuple(
        End(f"net-{place}", _random(net, seed), mask) for place, seed in enumerate(seeds)
    )  # two of one seed are equal
    return Terrain(replace(seen, images=images), ends, Seeds(0), **keys)


def _random(net: nn.Module, seed: int) -> State:
    numbers, found = np.random.default_rng(seed), {}
    for name, value in net.state_dict().items():
        drawn = torch.from_numpy(np.asarray(numbers.normal(0, 0.5, tuple(value.shape)), dtype=np.float32))
        found[name] = drawn.square() + 0.1 if name.endswith("var") else drawn.to(value.dtype)
    return State(found)


def numbers(found: Measurement) -> dict[str, float]:
    return {name: value.value for name, value in found.values.items()}


def errors_by_hand(on: Terrain, first: int, second: int, alphas: int) -> tuple[np.ndarray, np.ndarray]:
    """Equation 3's E in float64, of a chain of Linear layers: which are wrong [A, N], losses [A]."""
    images = on.specimen.images["val"]
    x, labels = images.batch(0, len(images))[0].flatten(1).double(), images.labels
    one, two = (on.ends[end].state.weights for end in (first, second))
    wrong, losses = [], []
    for alpha in np.linspace(0, 1, alphas):
        mixed = {name: alpha * one[name].double() + (1 - alpha) * two[name].double() for name in one}
        h = x
        for layer in (1, 3):
            if layer == 3:
                h = h.relu()
            h = h @ mixed[f"{layer}.weight"].T + mixed[f"{layer}.bias"]
        wrong.append((h.argmax(1) != labels).numpy())
        losses.append(float(nn.functional.cross_entropy(h, labels)))
    return np.array(wrong), np.array(losses)


def test_rows_are_equation_3_by_brute_force_and_alpha_multiplies_the_first_net() -> None:
    on = terrain(mlp(), (1, 2))
    found = measure(on, params=Params(alphas=11, sets=("val",)))
    wrong, losses = errors_by_hand(on, 0, 1, 11)
    error, alphas, rows = 100 * wrong.mean(1), np.linspace(0, 1, 11), numbers(found)
    assert found.arrays["alphas"] == pytest.approx(alphas)
    assert found.arrays["pairs"].tolist() == [[0, 1]]
    assert found.arrays["val.error.recalibrate"] == pytest.approx(error[None] / 100)
    assert found.arrays["val.loss.recalibrate"] == pytest.approx(losses[None], rel=1e-5)
    assert next(iter(rows)) == "barrier"
    for kind, curve, name in (
        ("error", error, "val.error.recalibrate"),
        ("loss", losses, "val.loss.recalibrate"),
    ):
        assert rows[f"{name}.barrier"] == pytest.approx(curve.max() - (curve[0] + curve[-1]) / 2, rel=1e-4)
        chord = (curve - alphas * curve[-1] - (1 - alphas) * curve[0]).max()
        assert rows[f"{name}.chord"] == pytest.approx(chord, rel=1e-4, abs=1e-9)
        over = curve.max() - max(curve[0], curve[-1])
        assert rows[f"{name}.over-max"] == pytest.approx(over, rel=1e-4, abs=1e-9)
        assert rows[f"{name}.bound"] == pytest.approx(abs(curve[0] - curve[-1]) / 2, rel=1e-4)
        unit = 100 if kind == "error" else 1
        assert rows[f"{name}.first"] == pytest.approx(curve[-1] / unit, rel=1e-5)
        assert rows[f"{name}.second"] == pytest.approx(curve[0] / unit, rel=1e-5)
        back = curve[::-1]
        assert rows[f"{name}.falls"] == pytest.approx(np.mean([b < a for a, b in pairwise(back)]))
        rise = max(0, *(back[j] - back[i] for i, j in combinations(range(11), 2)))
        assert rows[f"{name}.rise"] == pytest.approx(rise, rel=1e-4, abs=1e-9)
    assert rows["barrier"] == rows["val.error.recalibrate.barrier"] == rows["val.error.interpolate.barrier"]
    each = 100 * (wrong[error.argmax()] - wrong[0] / 2 - wrong[-1] / 2)
    value = found.values["barrier"]
    assert (value.n, value.error) == (COUNT, pytest.approx(each.std(ddof=1) / math.sqrt(COUNT)))
    assert found.protocol["stable"] == {"below": 2.0, "barrier": value.value, "error": value.error}
    json.dumps(found.protocol, allow_nan=False)


def test_columns_of_pairs_are_the_numbers_that_the_protocol_names() -> None:
    found = measure(terrain(mlp(), (1, 2)), params=Params(alphas=5))
    for name in ("val.error.interpolate", "train.loss.recalibrate"):
        columns = dict(zip(found.protocol["numbers"], found.arrays[f"{name}.pairs"][0], strict=True))
        assert {f"{name}.{key}": value for key, value in columns.items()} == {
            key: value for key, value in numbers(found).items() if key.startswith(f"{name}.")
        }


@pytest.mark.parametrize("make", [Conv, mlp])
@pytest.mark.parametrize("exact", [False, True])
def test_equal_nets_have_barrier_0_under_every_policy(make: Any, exact: bool) -> None:
    on = terrain(make(), (3, 3))
    found = measure(on, params=Params(policies=EVERY, sets=("val", "test"), bn_exact=exact, alphas=7))
    kinds = ("barrier", "chord", "over-max", "bound", "rise", "falls")
    zeros = {name: row for name, row in numbers(found).items() if name.rpartition(".")[2] in kinds}
    assert len(zeros) == 1 + 2 * 2 * 4 * 6
    assert set(zeros.values()) == {0.0}
    assert found.values["barrier"].error == 0
    assert numbers(found)["stable"] == 1


@pytest.mark.parametrize("make", [Conv, mlp])
def test_the_path_is_the_same_from_its_other_end(make: Any) -> None:
    net, policies = make(), ("recalibrate", "interpolate", "batch")
    one, other = (
        measure(terrain(net, seeds), params=Params(policies=policies, alphas=6)) for seeds in ((1, 2), (2, 1))
    )
    for name, curve in one.arrays.items():
        if name.count(".") == 2:
            assert (curve[:, ::-1] == other.arrays[name]).all(), name
    same = [
        name for name in one.values if name.rpartition(".")[2] in ("barrier", "chord", "over-max", "bound")
    ]
    assert len(same) == 1 + 2 * 2 * 3 * 4
    for name in same:
        assert numbers(one)[name] == pytest.approx(numbers(other)[name], abs=1e-12)


def test_a_barrier_is_at_least_its_bound_and_its_other_forms() -> None:
    found = measure(terrain(Conv(), (1, 2, 3)), params=Params(policies=EVERY, alphas=5))
    for name, rows in found.arrays.items():
        if name.endswith(".pairs"):
            for row in rows:
                one = dict(zip(found.protocol["numbers"], row, strict=True))
                assert one["barrier"] >= one["bound"] - 1e-12
                assert one["barrier"] >= one["chord"] - 1e-12
                assert one["chord"] >= one["over-max"] >= 0


def test_the_loss_of_a_logistic_regression_is_convex_along_a_path() -> None:
    found = numbers(measure(terrain(regression(), (1, 2, 3)), params=Params()))
    assert found["val.loss.interpolate.barrier"] > 0
    assert found["val.loss.interpolate.chord"] <= 1e-9
    assert found["val.loss.interpolate.over-max"] <= 1e-9


def test_rows_of_several_pairs_are_means_and_their_errors_are_over_images() -> None:
    on = terrain(mlp(), (1, 2, 3))
    found = measure(on, params=Params(alphas=9, sets=("val",)))
    assert found.arrays["pairs"].tolist() == [[0, 1], [0, 2], [1, 2]]
    each, parts = [], np.zeros(COUNT)
    for first, second in combinations(range(3), 2):
        wrong, _ = errors_by_hand(on, first, second, 9)
        top = wrong.mean(1).argmax()
        part = 100 * (wrong[top] - wrong[0] / 2 - wrong[-1] / 2)
        parts, each = parts + part / 3, [*each, part.mean()]
        row = found.values[f"barrier@net-{first}:net-{second}"]
        assert (row.value, row.error) == pytest.approx((part.mean(), part.std(ddof=1) / math.sqrt(COUNT)))
    rows = found.values
    assert rows["barrier"].value == pytest.approx(np.mean(each))
    assert rows["barrier"].error == pytest.approx(parts.std(ddof=1) / math.sqrt(COUNT))
    assert rows["barrier.std"].value == pytest.approx(np.std(each, ddof=1))
    assert rows["barrier.max"].value == pytest.approx(max(each))
    assert [rows[name].n for name in ("barrier", "barrier.std")] == [COUNT, 3]


def test_successive_pairs_are_each_net_with_the_next() -> None:
    found = measure(terrain(mlp(), (1, 2, 3, 4)), params=Params(alphas=2, pairs="successive"))
    assert found.arrays["pairs"].tolist() == [[0, 1], [1, 2], [2, 3]]


def test_a_net_is_stable_below_the_threshold_alone() -> None:
    on = terrain(mlp(), (1, 2))
    barrier = numbers(measure(on, params=Params()))["barrier"]
    assert barrier > 0
    for threshold, stable in ((barrier, 0), (barrier * 1.01, 1)):
        assert numbers(measure(on, params=Params(threshold=threshold)))["stable"] == stable


def test_every_policy_differs_where_a_net_has_batchnorm_and_none_where_it_has_not() -> None:
    found = measure(terrain(Conv(), (1, 2)), params=Params(policies=EVERY, alphas=5))
    curves = [found.arrays[f"val.loss.{policy}"].tobytes() for policy in EVERY]
    assert len(set(curves)) == 4
    assert found.protocol["same"] == {}
    asked: list[str] = []

    def keep(name: str, make: Make) -> Point:
        asked.append(name)
        return make()

    found = measure(terrain(mlp(), (1, 2), keep=keep), params=Params(policies=EVERY, alphas=5))
    assert len({found.arrays[f"val.loss.{policy}"].tobytes() for policy in EVERY}) == 1
    assert asked == ["0-1.interpolate.0"]
    assert set(found.protocol["same"]) == set(EVERY) - {"interpolate"}


def test_test_takes_the_place_of_images_that_were_not_held_out() -> None:
    on = terrain(mlp(), (1, 2))
    images = {name: one for name, one in on.specimen.images.items() if name != "val"}
    bare = replace(on, specimen=replace(on.specimen, images=images))
    found = measure(bare, params=Params(alphas=3))
    assert (found.protocol["barrier"]["set"], found.protocol["sets"]) == (
        "test",
        {"test": 25, "train": COUNT},
    )
    assert "test takes the place" in found.protocol["val"]
    tested = measure(on, params=Params(alphas=3, sets=("test",)))
    assert numbers(found)["barrier"] == numbers(tested)["barrier"]
    assert "val" not in tested.protocol
    both = measure(bare, params=Params(alphas=3, sets=("val", "test")))
    assert list(both.protocol["sets"]) == ["test"]


def test_fewer_images_are_those_that_the_seed_draws() -> None:
    on = terrain(mlp(), (1, 2))
    found = measure(on, params=Params(alphas=3, images=20))
    assert found.protocol["sets"] == {"val": 20, "train": 20}
    places = on.specimen.drawn("val", 20, on.seeds, "landscape")
    wrong, _ = errors_by_hand(on, 0, 1, 3)
    assert found.arrays["val.error.interpolate"][0] == pytest.approx(wrong[:, places].mean(1))


def test_statistics_may_be_set_anew_over_fewer_images_than_are_looked_at() -> None:
    on = terrain(Conv(), (1, 2))
    few, many, all_of_them = (
        measure(on, params=Params(alphas=3, bn_images=count)) for count in (10, 1000, 0)
    )
    assert few.protocol["batchnorm"]["recalibrated"]["images"] == 10
    assert few.arrays["val.loss.recalibrate"].tolist() != many.arrays["val.loss.recalibrate"].tolist()
    assert many.arrays["val.loss.recalibrate"].tolist() == all_of_them.arrays["val.loss.recalibrate"].tolist()
    assert (few.arrays["val.loss.interpolate"] == many.arrays["val.loss.interpolate"]).all()


def test_statistics_are_pooled_over_all_images_where_that_is_asked_for() -> None:
    on = terrain(Conv(), (1, 2))
    many = specimen(
        Conv(), *random_images(700, (1, 4, 4), CLASSES, 5), mean=(0.5,), std=(0.2,), classes=CLASSES
    )
    on = replace(
        on, specimen=replace(many, model=on.specimen.model)
    )  # two batches: means of two are not those of all
    found = {
        exact: measure(on, params=Params(alphas=3, policies=("recalibrate",), images=40, bn_exact=exact))
        for exact in (False, True)
    }
    net, train = on.specimen.model, on.specimen.images["train"]
    places = torch.from_numpy(on.specimen.drawn("val", 40, on.seeds, "landscape"))
    inputs, labels = train.scaling(train.take(places)), train.labels[places]
    for exact, one in found.items():
        twin = copy.deepcopy(net)
        on.ends[1].state.load_into(twin)
        recalibrate(twin, train, exact=exact)
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(twin.eval()(inputs).double(), labels))
        assert one.arrays["val.loss.recalibrate"][0, 0] == pytest.approx(loss, rel=1e-6)
    losses = [one.arrays["val.loss.recalibrate"][0, 0] for one in found.values()]
    assert abs(losses[0] - losses[1]) > 1e-5 * losses[0]


@pytest.mark.parametrize("make", [Conv, mlp])
def test_a_stopped_measurement_goes_on_where_it_was(make: Any) -> None:
    on, params = terrain(make(), (1, 2, 3)), Params(alphas=4)
    kept: dict[str, Point] = {}
    made: list[str] = []

    def keep(name: str, make: Make) -> Point:
        if name not in kept:
            if len(made) == 2:
                raise StoppedError("stopped", 75)
            made.append(name)
            kept[name] = {key: np.asarray(value) for key, value in make().items()}
        return kept[name]

    whole = measure(on, params=params)
    stops = 0
    while True:
        made.clear()
        try:
            found = measure(replace(on, keep=keep), params=params)
            break
        except StoppedError:
            stops += 1
    assert stops == (11 if make is Conv else 1)  # of 24 points, and of 3
    assert found.values == whole.values
    assert all((found.arrays[name] == array).all() for name, array in whole.arrays.items())
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for name in kept)


def test_a_long_path_is_cut_in_points_with_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    on, asked = terrain(mlp(), (1, 1)), list[str]()
    monkeypatch.setattr("ticketctl.train.path.WORK", 4 * 2 * COUNT * (12 * 5 + 4))

    def keep(name: str, make: Make) -> Point:
        asked.append(name)
        return make()

    found = measure(replace(on, keep=keep), params=Params(alphas=9))
    assert [name.rpartition(".")[2] for name in asked] == ["0", "4", "8"]
    assert numbers(found)["barrier"] == numbers(found)["val.loss.interpolate.rise"] == 0


def test_the_path_of_two_masked_nets_lies_on_the_union_of_their_masks() -> None:
    on = terrain(mlp(), (1, 2))
    keeps = [{"1.weight": torch.arange(192).view(12, 16) % number == 0} for number in (2, 3)]
    masked = tuple(End(end.name, end.state, Mask(keep)) for end, keep in zip(on.ends, keeps, strict=True))
    pruned = tuple(
        End(
            end.name,
            State({**end.state.weights, "1.weight": end.state.weights["1.weight"] * keep["1.weight"]}),
            None,
        )
        for end, keep in zip(on.ends, keeps, strict=True)
    )
    one, other = (measure(replace(on, ends=ends), params=Params(alphas=5)) for ends in (masked, pruned))
    assert one.values == other.values
    assert (one.protocol["mask"], other.protocol["mask"]) == ("the union of a pair's", "none")


def test_losses_that_are_not_finite_stay_so_and_rows_of_them_are_not_finite() -> None:
    on = terrain(mlp(), (1, 2))
    broken = State({**on.ends[1].state.weights, "3.bias": torch.full((CLASSES,), torch.inf)})
    found = measure(replace(on, ends=(on.ends[0], End("x", broken, None))), params=Params(alphas=3))
    loss = found.arrays["val.loss.recalibrate"]
    assert np.isfinite(loss).tolist() == [[False, False, True]]
    for name in ("barrier", "chord", "over-max", "rise", "bound"):
        assert not math.isfinite(numbers(found)[f"val.loss.recalibrate.{name}"])
    assert all(math.isfinite(value) for name, value in numbers(found).items() if "loss" not in name)
    json.dumps(found.protocol, allow_nan=False)


def test_a_price_is_what_the_net_is_run_on() -> None:
    on = terrain(Conv(), (1, 2, 3))
    seen: list[int] = []
    on.specimen.model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    sizes = {name: len(images) for name, images in on.specimen.images.items()}
    for params in (
        Params(alphas=3),
        Params(alphas=4, images=10, bn_images=20, policies=EVERY, pairs="successive"),
    ):
        seen.clear()
        measure(on, params=params)
        looks = 2 * len(params.policies) * (3 if params.pairs == "all" else 2)
        assert sum(seen) - looks == price(sizes, params, 3)
    assert price({"train": 60, "test": 25}, Params(), 2) == 31 * (2 * 85 + 60)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"alphas": 1}, "alphas = 1 must be 2 or more"),
        ({"images": -1}, "images"),
        ({"bn_images": -1}, "bn_images"),
        ({"policies": ()}, "policies"),
        ({"sets": ("val", "val")}, "sets"),
        ({"threshold": 0.0}, "threshold"),
    ],
)
def test_keys_out_of_range_are_refused_by_name(keys: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=rf"curves\.line\.{word}"):
        Params(**keys)


def test_one_net_has_no_path() -> None:
    with pytest.raises(UsageError, match="two nets"):
        measure(terrain(mlp(), (1,)), params=Params())


def test_names_of_rows_and_arrays_are_such_as_reports_take() -> None:
    found = measure(
        terrain(Conv(), (1, 2, 3)), params=Params(policies=EVERY, sets=("val", "train", "test"), alphas=2)
    )
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@:+-"
    assert all(len(name) <= 100 and set(name) <= set(letters) for name in found.values)
    assert {array.dtype.str for array in found.arrays.values()} == {"<f8", "<i8"}
    assert set(line.BETTER) <= set(found.values)
