"""Mask intersection against a full sort of all weights, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import exam_of, random_images, specimen
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.metrics.mask_intersection import Params, measure
from ticketctl.train.exam import Absent, Exam, History

NAMES = ("1.weight", "3.weight")


def net_of(seed=0):
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 30), nn.ReLU(), nn.Linear(30, 5))
    numbers = np.random.default_rng(seed)
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.from_numpy(numbers.normal(size=tuple(value.shape))))
    return net


def exam(mask, states) -> Exam:
    """Of a net with this mask, whose weights after each epoch of `states` are those."""
    one = exam_of(specimen(net_of(), *random_images(3, (3, 4, 4), 5), mask=mask))
    return replace(one, history=History({}, tuple(states), states.__getitem__))


def found_in(mask, states):
    return measure(exam(mask, states), params=Params())


def mask_of(net, count) -> Mask:
    return top({name: net.get_parameter(name).abs() for name in NAMES}, count)


def test_the_mask_that_magnitude_makes_of_the_weights_intersects_it_fully() -> None:
    net = net_of(1)
    found = found_in(mask_of(net, 200), {3: net.state_dict()})
    assert found.values["mask-intersection"].value == 1
    assert found.arrays["layers"].tolist() == [[1, 1]]
    assert found.arrays["epochs"].tolist() == [3]


def test_it_is_what_a_stable_sort_of_all_weights_says() -> None:
    mask = mask_of(net_of(5), 170)
    states = {epoch: net_of(epoch).state_dict() for epoch in (1, 2, 4)}
    found = found_in(mask, states)
    flat = np.concatenate([mask.keep[name].numpy().ravel() for name in NAMES])
    for row, state in enumerate(states.values()):
        sizes = np.concatenate([state[name].abs().numpy().ravel() for name in NAMES])
        best = np.zeros(len(sizes), dtype=bool)
        best[np.argsort(-sizes, kind="stable")[:170]] = True
        assert found.arrays["overlap"][row] == (best & flat).sum() / 170
        parts = np.split(best & flat, [1440])
        layers = [part.sum() / own.sum() for part, own in zip(parts, np.split(flat, [1440]), strict=True)]
        np.testing.assert_allclose(found.arrays["layers"][row], layers, rtol=1e-15)
    assert found.values["mask-intersection.epoch-2"].value == found.arrays["overlap"][1]
    assert found.values["mask-intersection"].value == found.arrays["overlap"][2]
    assert next(iter(found.values)) == "mask-intersection"


def test_weights_drawn_at_random_intersect_it_by_the_density() -> None:
    numbers = np.random.default_rng(3)
    mask = mask_of(net_of(), 318)
    states = {
        epoch: {
            name: torch.from_numpy(numbers.normal(size=tuple(keep.shape))) for name, keep in mask.keep.items()
        }
        for epoch in range(60)
    }
    found = found_in(mask, states)
    assert found.values["mask-intersection.random"].value == float(mask.density) == 0.2
    spread = (0.2 * 0.8 / 318) ** 0.5  # more than that of draws without replacement
    assert abs(found.arrays["overlap"].mean() - 0.2) < 4 * spread / 60**0.5


def test_equal_magnitudes_count_in_the_order_of_layers_and_places() -> None:
    keep = {name: torch.zeros(net_of().get_parameter(name).shape, dtype=torch.bool) for name in NAMES}
    keep["1.weight"].view(-1)[:7] = True
    keep["3.weight"][0, 0] = True
    equal = {name: torch.full(each.shape, -0.5) for name, each in keep.items()}
    found = found_in(Mask(keep), {1: equal})
    assert found.values["mask-intersection"].value == 7 / 8
    assert found.arrays["layers"].tolist() == [[1, 0]]


def test_a_layer_that_the_mask_empties_has_no_number_and_the_others_do() -> None:
    keep = {name: torch.zeros(net_of().get_parameter(name).shape, dtype=torch.bool) for name in NAMES}
    keep["3.weight"][:2] = True
    found = found_in(Mask(keep), {1: net_of(2).state_dict()})
    assert np.isnan(found.arrays["layers"][0, 0])
    assert found.values["mask-intersection"].value == found.arrays["layers"][0, 1]


def test_states_are_read_one_after_the_other_and_the_net_is_left_alone() -> None:
    asked = []

    def weights(epoch):
        asked.append(epoch)
        return net_of(epoch).state_dict()

    one = exam(mask_of(net_of(), 100), {})
    before = {name: value.clone() for name, value in one.specimen.model.state_dict().items()}
    measure(replace(one, history=History({}, (1, 5, 9), weights)), params=Params())
    assert asked == [1, 5, 9]
    assert all(torch.equal(before[name], value) for name, value in one.specimen.model.state_dict().items())


def test_nothing_to_measure_is_said_in_a_line() -> None:
    mask, state = mask_of(net_of(), 100), net_of(1).state_dict()
    with pytest.raises(Absent, match="was not trained"):
        measure(replace(exam(mask, {}), history=None), params=Params())
    with pytest.raises(Absent, match=r"--set keep\.epochs="):
        found_in(mask, {})
    with pytest.raises(Absent, match="the net is dense"):
        found_in(None, {1: state})
    with pytest.raises(Absent, match="the mask keeps no weight"):
        found_in(mask_of(net_of(), 0), {1: state})
    with pytest.raises(Absent, match=r"epoch 1 have no '3\.weight'"):
        found_in(mask, {1: {"1.weight": state["1.weight"]}})
    with pytest.raises(Absent, match="epoch 1 are not finite"):
        found_in(mask, {1: {**state, "3.weight": state["3.weight"] * np.nan}})


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    one = exam(mask_of(net_of(), 100), {1: net_of(1).state_dict()})
    here, there = (measure(each, params=Params()) for each in (one, replace(one, net=on_gpu(one.specimen))))
    assert here.values == there.values
