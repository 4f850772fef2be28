"""What a net costs: counts against torch's own counter and by hand, times in turn."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.metrics.specimens import exam_of, random_images, specimen
from tests.nets.thin import QUARTER, thin
from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.metrics import cost
from ticketctl.metrics._cost_turns import middle, seconds_of
from ticketctl.nets.compact import compact
from ticketctl.train.exam import Exam, Measurement
from ticketctl.train.feed import Images, Scaling

SHAPE = (3, 16, 16)
COUNTS = cost.Params(time=False)


def exam(name: str, density: float, shape: tuple[int, int, int] = SHAPE, **options: Any) -> Exam:
    net = thin(name, density, shape, **options)
    weights = {path: value for path, value in net.named_parameters() if value.ndim > 1}
    mask = Mask({path: (value != 0).detach().clone() for path, value in weights.items()})
    net_and_images = specimen(net, *random_images(40, shape, 10), mask=mask)
    return exam_of(replace(net_and_images, sizes={"final.safetensors": 1000, "init.safetensors": 24}))


def measured(of: Exam, params: cost.Params = COUNTS) -> Measurement:
    return cost.measure(of, params=params)


def flops(net: nn.Module, shape: tuple[int, int, int]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *shape))
    return counter.get_total_flops()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "options"),
    [("lenet-300-100", {}), ("resnet20s", {}), ("vgg11", QUARTER), ("mobilenet", QUARTER)],
)
def test_multiply_adds_are_half_of_what_torchs_counter_counts(name: str, options: dict[str, Any]) -> None:
    of = exam(name, 0.3, **options)
    values = measured(of).values
    net = of.specimen.model
    assert values["cost.macs"].value == flops(net, SHAPE) / 2
    smaller = compact(net, SHAPE).net
    assert values["cost.macs.compact"].value == flops(smaller, SHAPE) / 2 < values["cost.macs"].value
    assert values["cost.parameters.compact"].value == sum(each.numel() for each in smaller.parameters())


def test_kept_weights_are_counted_where_they_multiply() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    keep = torch.zeros(4, 3, 3, 3, dtype=torch.bool)
    keep[:2, 0, 1] = True
    with torch.no_grad():
        net[0].weight.mul_(keep)
    of = exam_of(specimen(net, *random_images(8, (3, 6, 6), 10), mask=Mask({"0.weight": keep})))
    found = measured(of)
    values = {name: value.value for name, value in found.values.items()}
    assert values["cost.parameters"] == 4 * 27 + 4 + 1440 + 10
    assert values["cost.alive"] == 6 + 4 + 1440 + 10
    assert values["cost.macs"] == 36 * 108 + 1440
    assert values["cost.macs.alive"] == 36 * 6 + 1440
    assert values["sparsity.prunable"] == 1 - 6 / 108
    assert values["sparsity.weights"] == pytest.approx(102 / (108 + 1440))
    assert found.protocol["prunable_tensors"] == 1
    assert "cost.bytes" not in values


def test_a_dense_net_has_no_sparsity_and_bytes_are_those_of_its_files() -> None:
    of = exam("lenet-300-100", 0.5)
    values = measured(replace(of, net=replace(of.specimen, mask=None))).values
    assert values["sparsity.prunable"].value == values["sparsity.weights"].value == 0
    assert values["cost.alive"] == values["cost.parameters"]
    assert values["cost.bytes"].value == 1024
    assert next(iter(values)) == "cost.parameters"


def test_the_compacted_net_answers_alike_and_other_forms_say_why_they_are_not_there() -> None:
    found = measured(exam("resnet20s", 0.1)).protocol
    assert found["compact_difference"] <= 1e-5
    assert found["compact_changed"] == 0
    assert found["compared"] == 40
    assert "convolutions" in found["csr"]


def test_without_times_two_measurements_are_equal_and_with_them_the_rest_is() -> None:
    of, timed = exam("lenet-300-100", 0.05), cost.Params(batch=20, rounds=3)
    one, other, full = measured(of), measured(of), measured(of, timed)
    assert one == other
    counts = {
        name: value for name, value in full.values.items() if not name.startswith(("cost.time", "cost.speed"))
    }
    assert counts == one.values
    rows = set(full.values) - set(counts)
    forms = ("dense", "compact", "csr")
    assert rows == {f"cost.time.{form}" for form in forms} | {f"cost.speed.{form}" for form in forms[1:]}
    assert all(full.values[name].value > 0 and full.values[name].error >= 0 for name in rows)
    assert full.protocol["images"] == 20
    for form in forms:
        median = 1e3 * np.median(full.arrays[f"seconds.{form}"]) / 20
        assert full.values[f"cost.time.{form}"].value == pytest.approx(median)


def test_the_net_is_left_as_it_was() -> None:
    of = exam("resnet20s", 0.1)
    before = copy.deepcopy(of.specimen.model.state_dict())
    measured(of, cost.Params(batch=4, rounds=2))
    after = of.specimen.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in of.specimen.model.parameters())


def test_forms_take_turns_and_a_slow_one_is_told_from_a_quick_one() -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    runs = {"quick": lambda: run("quick", 0.02), "slow": lambda: run("slow", 0.05)}
    found = seconds_of(runs, 3, lambda: None, lambda: None)
    assert order[-6:] == ["quick", "slow"] * 3
    assert 1.5 < np.median(found["slow"]) / np.median(found["quick"]) < 4


def test_the_weighted_median_is_the_median_of_repeated_values() -> None:
    draws = np.random.default_rng(0)
    for _ in range(20):
        values, weights = draws.normal(size=9), draws.integers(0, 4, 9)
        assert middle(values, weights.astype(float)) == np.median(np.repeat(values, weights))


@pytest.mark.gpu
def test_counts_on_cuda_are_those_on_the_cpu() -> None:
    of, cuda = exam("resnet20s", 0.1), torch.device("cuda")
    here = measured(of)
    scaling = Scaling.of((0.0,) * 3, (1.0,) * 3, cuda)
    pixels, labels = random_images(40, SHAPE, 10)
    moved = Images(Split(pixels, labels.astype(np.int64)), None, scaling, cuda)
    net = replace(of.specimen, model=of.specimen.model.to(cuda), images={"test": moved}, scaling=scaling)
    found = measured(exam_of(net), cost.Params(batch=20, rounds=3))
    assert {name: found.values[name] for name in here.values} == here.values
    assert found.values["cost.time.dense"].value > 0
    assert found.protocol["compact_difference"] <= 1e-5
    assert "CPU" in found.protocol["csr"]
