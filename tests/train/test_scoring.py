"""What scores are computed on: a copy of the net that shares nothing, and images that can be named."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from tests.train import small
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.scoring import (
    balanced_sample,
    first_of_each,
    random_sample,
    redraw_,
    scoring_net,
    set_mode_,
    split,
)

SEEDS = Seeds(3)


@pytest.fixture
def bench() -> Bench:
    return small.bench(padding=1)


def addresses(module: nn.Module) -> set[int]:
    return {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())}


@pytest.mark.parametrize(("precision", "dtype"), [("f64", torch.float64), ("f32", torch.float32)])
def test_the_net_is_a_copy_of_the_state_and_shares_nothing(
    bench: Bench, precision: str, dtype: torch.dtype
) -> None:
    state = small.weights(7)
    for parameter in bench.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    net = scoring_net(bench, state, precision=precision)
    assert not addresses(net) & addresses(bench.model)
    assert not addresses(net) & {value.data_ptr() for value in state.weights.values()}
    for name, value in net.state_dict().items():
        wanted = state.weights[name]
        assert value.dtype == (dtype if wanted.is_floating_point() else wanted.dtype)
        assert torch.equal(value, wanted.to(value.dtype))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in net.parameters())


def test_only_normalisation_leaves_evaluation_mode() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    assert [module.training for module in set_mode_(net, "train").modules()] == [False, False, True, False]
    assert not any(module.training for module in set_mode_(net, "eval").modules())


@pytest.mark.parametrize("augment", [False, True])
def test_scoring_material_leaves_the_bench_as_it_was(bench: Bench, augment: bool) -> None:
    bench.model.train()
    bench.feed.begin_epoch(Seeds(0), 4)
    before = copy.deepcopy(bench.model.state_dict())
    feed = {
        name: value.clone() for name, value in vars(bench.feed).items() if isinstance(value, torch.Tensor)
    }
    state = small.weights(7)
    random = torch.random.get_rng_state(), np.random.get_state()[1].tobytes()
    net = scoring_net(bench, state, bn="train")
    for parameter in net.parameters():
        parameter.data.add_(1)
    balanced_sample(bench, SEEDS, per_class=2, precision="f64", augment=augment, number=1)
    for name, value in bench.model.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in feed.items():
        assert torch.equal(getattr(bench.feed, name), value), name
    assert all(module.training for module in bench.model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in bench.model.parameters())
    assert torch.equal(torch.random.get_rng_state(), random[0])
    assert np.random.get_state()[1].tobytes() == random[1]


def test_a_balanced_sample_is_the_first_of_each_class_in_a_seeded_permutation(bench: Bench) -> None:
    labels = bench.feed.images.labels.tolist()
    found, wanted = Counter[int](), []
    for place in SEEDS.order("draw", "samples", 5, count=len(labels)).tolist():
        found[labels[place]] += 1
        wanted += [place] if found[labels[place]] <= 2 else []
    sample = balanced_sample(bench, SEEDS, per_class=2, number=5, precision="f64")
    assert list(sample.index) == wanted
    assert sample.labels.tolist() == [labels[place] for place in wanted]
    assert Counter(sample.labels.tolist()) == {0: 2, 1: 2, 2: 2}


def test_a_class_with_few_images_gives_all_it_has() -> None:
    labels = np.array([0, 2, 0, 2, 2, 2])
    order = np.array([5, 0, 4, 1, 3, 2])
    assert first_of_each(labels, order, 3).tolist() == [5, 0, 4, 1, 2]


def test_a_smaller_sample_is_part_of_a_larger_one(bench: Bench) -> None:
    few, many = (balanced_sample(bench, SEEDS, per_class=number, precision="f32").index for number in (1, 3))
    assert set(few) < set(many)


def test_samples_follow_the_seed_and_the_number(bench: Bench) -> None:
    def take(seeds: Seeds, number: int) -> tuple[int, ...]:
        return balanced_sample(bench, seeds, per_class=2, number=number, precision="f64").index

    assert take(SEEDS, 0) == take(Seeds(99, {"draw": 3}), 0)
    assert len({take(SEEDS, 0), take(SEEDS, 1), take(Seeds(4), 0)}) == 3


def test_images_are_normalised_as_in_training_and_not_augmented(bench: Bench) -> None:
    sample = balanced_sample(bench, SEEDS, per_class=3, precision="f64")
    inputs, _ = bench.feed.images.batch(0, len(bench.feed))
    assert sample.inputs.dtype == torch.float64
    assert torch.equal(sample.inputs, inputs[list(sample.index)].double())


def test_augmented_images_look_as_they_do_in_that_epoch_of_the_training(bench: Bench) -> None:
    sample = random_sample(bench, SEEDS, count=6, number=4, precision="f32", augment=True)
    bench.feed.begin_epoch(SEEDS, 4)
    seen: dict[int, torch.Tensor] = {}
    for position in range(bench.feed.steps_per_epoch):
        inputs, _, index = bench.feed.batch(position)
        seen |= {int(place): image for place, image in zip(index, inputs, strict=True)}
    assert all(
        torch.equal(image, seen[place]) for place, image in zip(sample.index, sample.inputs, strict=True)
    )
    plain = random_sample(bench, SEEDS, count=6, number=4, precision="f32")
    assert plain.index == sample.index
    assert not torch.equal(plain.inputs, sample.inputs)


def test_where_training_does_not_augment_neither_does_scoring() -> None:
    bench = small.bench()
    one, other = (
        balanced_sample(bench, SEEDS, per_class=2, precision="f32", augment=way) for way in (True, False)
    )
    assert torch.equal(one.inputs, other.inputs)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (256, [256]), (257, [129, 128]), (1000, [250] * 4), (1025, [205] * 5)]
)
def test_batches_are_nearly_equal_and_never_above_256(count: int, sizes: list[int]) -> None:
    inputs, labels = torch.arange(count).view(-1, 1), torch.arange(count)
    parts = split(inputs, labels, 256)
    assert [len(part) for _, part in parts] == sizes
    assert torch.equal(torch.cat([part for _, part in parts]), labels)
    assert all(torch.equal(left.view(-1), right) for left, right in parts)


def test_halves_by_class_have_the_first_classes_and_the_last(bench: Bench) -> None:
    sample = balanced_sample(bench, SEEDS, per_class=2, precision="f64")
    ordered = sample.by_class()
    assert ordered.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert sorted(ordered.index) == sorted(sample.index)
    first, second = ordered.halves()
    assert (first.labels.tolist(), second.labels.tolist()) == ([0, 0, 1], [1, 2, 2])
    assert first.index + second.index == ordered.index


def test_another_sample_of_the_weights_leaves_biases_and_other_layers(bench: Bench) -> None:
    state = small.weights(7)
    state.weights["fc.bias"].fill_(0.25)
    net = scoring_net(bench, state)
    redraw_(net, SEEDS, scheme="xavier-normal", kinds=(nn.Linear,))
    for name, value in net.state_dict().items():
        assert torch.equal(value, state.weights[name].to(value.dtype)) == (name != "fc.weight")
    again = redraw_(scoring_net(bench, state), SEEDS, scheme="xavier-normal", kinds=(nn.Linear,))
    assert torch.equal(again.get_parameter("fc.weight"), net.get_parameter("fc.weight"))
    spread = float(net.get_parameter("fc.weight").std())
    assert spread == pytest.approx((2 / (48 + 3)) ** 0.5, rel=0.2)


@pytest.mark.gpu
def test_f32_lies_where_training_runs_and_f64_on_the_cpu() -> None:
    bench = small.bench(device=torch.device("cuda"), padding=1)
    for precision, device in (("f32", "cuda"), ("f64", "cpu")):
        net = scoring_net(bench, small.weights(), precision=precision)
        sample = balanced_sample(bench, SEEDS, per_class=2, precision=precision, augment=True)
        assert {tensor.device.type for tensor in (*net.parameters(), sample.inputs, sample.labels)} == {
            device
        }
