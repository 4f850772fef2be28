"""Random masks against rigl's own loop, the densities it printed, and the definition of a ranking."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketctl.errors import UsageError
from ticketctl.masks.ladder import ladder_counts, level_mask, rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.masks.shuffle import shuffle_death
from ticketctl.masks.spread import erk, layer_counts_for, random_ladder, random_masks
from ticketctl.nets.build import layout
from ticketctl.nets.describe import shapes
from ticketctl.seeds import Seeds


def net_shapes(name: str) -> dict[str, torch.Size]:
    model = layout(name, shape=(1, 28, 28) if name.startswith("lenet") else (3, 32, 32), classes=10)
    return shapes(model, prunable(model, Policy()))


def rigl_densities(sizes: dict[str, torch.Size], sparsity: float) -> dict[str, float]:
    """rigl/sparse_utils.py, get_sparsities_erdos_renyi, in its own arithmetic (float, all dimensions)."""
    dense: set[str] = set()
    while True:
        divisor, rhs, raw = 0.0, 0.0, {}
        for name, shape in sizes.items():
            params = math.prod(shape)
            zeros = math.floor(params * sparsity)
            if name in dense:
                rhs -= zeros
            else:
                rhs += params - zeros
                raw[name] = sum(shape) / math.prod(shape)
                divisor += raw[name] * params
        eps = rhs / divisor
        largest = max(raw.values())
        if largest * eps <= 1:
            return {name: 1.0 if name in dense else eps * raw[name] for name in sizes}
        dense |= {name for name in raw if raw[name] == largest}


# computed with rigl's own program
PUBLISHED = {
    ("lenet-300-100", "0.1"): {"fc1.weight": 0.0796, "fc2.weight": 0.2302, "fc3.weight": 1.0},
    ("lenet-300-100", "0.05"): {"fc1.weight": 0.0385, "fc2.weight": 0.1113, "fc3.weight": 0.9185},
    ("resnet20s", "0.1"): {
        "conv1.weight": 1.0,
        "layer1.0.conv1.weight": 0.3027,
        "layer1.2.conv2.weight": 0.3027,
        "layer2.0.conv1.weight": 0.2151,
        "layer2.2.conv2.weight": 0.1394,
        "fc.weight": 1.0,
    },
    ("resnet18", "0.1"): {
        "conv1.weight": 1.0,
        "layer1.1.conv2.weight": 0.4797,
        "layer2.0.conv1.weight": 0.3544,
        "layer2.0.conv2.weight": 0.2345,
        "layer2.0.downsample.0.weight": 1.0,
    },
}


@pytest.mark.parametrize(("name", "density"), PUBLISHED)
def test_erk_has_the_densities_measured_on_rigls_code(name: str, density: str) -> None:
    found = erk(net_shapes(name), Fraction(density))
    expected = PUBLISHED[name, density]
    assert {layer: round(found[layer], 4) for layer in expected} == expected


@pytest.mark.parametrize(
    "name", ["lenet-300-100", "resnet20s", "resnet20", "resnet32-2x", "resnet18", "resnet50"]
)
@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.875, 0.96875])  # exact in binary: no float floor surprises
def test_erk_equals_rigls_loop(name: str, sparsity: float) -> None:
    sizes = net_shapes(name)
    assert erk(sizes, 1 - Fraction(sparsity)) == pytest.approx(rigl_densities(sizes, sparsity), abs=1e-12)


random_shapes = st.lists(st.lists(st.integers(1, 12), min_size=2, max_size=4), min_size=1, max_size=6).map(
    lambda found: {f"l{i}": torch.Size(shape) for i, shape in enumerate(found)}
)


@given(random_shapes, st.fractions(Fraction(1, 50), 1))
@settings(deadline=None)
def test_erk_meets_the_budget_within_a_weight_per_layer_and_stays_in_range(
    sizes: dict, density: Fraction
) -> None:
    found = erk(sizes, density)
    total = sum(shape.numel() for shape in sizes.values())
    assert all(0 < share <= 1 for share in found.values())
    spent = sum(found[name] * sizes[name].numel() for name in sizes)
    assert -1e-6 <= spent - density * total <= len(sizes) + 1e-6
    counts = layer_counts_for(found, sizes, round(density * total))
    assert sum(counts.values()) == round(density * total)
    for name, shape in sizes.items():
        assert 0 <= counts[name] <= shape.numel()
        assert abs(counts[name] - found[name] * shape.numel()) <= len(sizes) + 1


@given(st.sampled_from(["lenet-300-100", "resnet20s"]), st.fractions(Fraction(1, 100), 1), st.fractions(0, 1))
@settings(deadline=None, max_examples=40)
def test_the_dense_set_only_grows_with_the_density(name: str, density: Fraction, part: Fraction) -> None:
    sizes = net_shapes(name)
    less = max(density * part, Fraction(1, 100))
    one, two = erk(sizes, less), erk(sizes, density)
    assert {layer for layer in one if one[layer] == 1} <= {layer for layer in two if two[layer] == 1}


def test_full_density_is_dense_and_others_are_refused() -> None:
    sizes = net_shapes("resnet20s")
    assert set(erk(sizes, Fraction(1)).values()) == {1.0}
    for density in (Fraction(0), Fraction(-1), Fraction(11, 10)):
        with pytest.raises(UsageError, match="density"):
            erk(sizes, density)


def test_layers_that_erk_makes_dense_stay_dense_when_counts_are_rounded() -> None:
    sizes = net_shapes("resnet20s")
    for density in (Fraction("0.1"), Fraction("0.64"), Fraction("0.8")):
        total = int(268_336 * density)
        counts = layer_counts_for(erk(sizes, density), sizes, total)
        assert counts["fc.weight"] == 640
        assert sum(counts.values()) == total


def test_densities_of_another_total_are_refused() -> None:
    sizes = net_shapes("lenet-300-100")
    with pytest.raises(ValueError, match="26,620 weights for a total of 30,000"):
        layer_counts_for(dict.fromkeys(sizes, 0.1), sizes, 30_000)


@pytest.mark.parametrize("draw", [random_masks, random_ladder])
def test_random_ladders_are_nested_exact_and_a_function_of_the_seed(draw) -> None:
    sizes = net_shapes("resnet20s")
    counts = ladder_counts(268_336, rate=Fraction(1, 5), rounds=25)
    masks = draw(sizes, counts, Seeds(3))
    assert [mask.kept for mask in masks] == list(counts)
    assert masks[0].density == 1
    assert rounds_of_death(masks).keys() == sizes.keys()  # checks that they are nested
    assert masks[9].equal(draw(sizes, [counts[9]], Seeds(3))[0]) or draw is random_ladder
    assert masks[9].equal(draw(sizes, counts, Seeds(3))[9])
    assert not masks[9].equal(draw(sizes, counts, Seeds(4))[9])


def test_the_random_ladder_spends_erks_budget_at_every_level() -> None:
    sizes = net_shapes("resnet20s")
    counts = ladder_counts(268_336, rate=Fraction(1, 5), rounds=20)
    for mask in random_ladder(sizes, counts, Seeds(0)):
        budget = layer_counts_for(erk(sizes, mask.density), sizes, mask.kept)
        assert all(abs(kept - budget[name]) <= 1 for name, (kept, _) in mask.layers().items())
        assert {name for name, (kept, size) in mask.layers().items() if kept == size} == {
            name for name in sizes if budget[name] == sizes[name].numel()
        }


def test_random_masks_are_the_largest_words_of_the_stream_over_all_layers() -> None:
    sizes = {"b": torch.Size([3, 5]), "a": torch.Size([20])}
    words = np.concatenate([Seeds(1).raw("draw", "random", n, count=s.numel()) for n, s in sizes.items()])
    for count, mask in zip((35, 17, 2), random_masks(sizes, [35, 17, 2], Seeds(1)), strict=True):
        kept = np.concatenate([array.reshape(-1) for array in mask.to_arrays().values()])
        assert set(np.flatnonzero(kept)) == set(np.argsort(words)[35 - count :])


def test_a_layers_ranking_does_not_depend_on_the_others() -> None:
    alone, beside = {"w": torch.Size([40])}, {"v": torch.Size([40]), "w": torch.Size([40])}
    one = random_ladder(alone, [20], Seeds(0))[0]
    two = random_ladder(beside, [40], Seeds(0))[0]
    assert two.layers()["w"] == (20, 40)
    assert torch.equal(one.keep["w"], two.keep["w"])


@pytest.mark.parametrize("draw", [random_masks, random_ladder])
@pytest.mark.parametrize("counts", [[0], [41], [10, 11], [-1]])
def test_counts_that_cannot_be_a_ladder_are_refused(draw, counts: list[int]) -> None:
    with pytest.raises(UsageError):
        draw({"w": torch.Size([40])}, counts, Seeds(0))


def test_the_shuffled_control_keeps_counts_per_layer_and_level_and_moves_the_weights() -> None:
    sizes = {"a": torch.Size([6, 5, 3, 3]), "b": torch.Size([10, 30])}
    masks = [Mask.full(sizes), *random_masks(sizes, [400, 300, 200, 50], Seeds(0))]
    death = rounds_of_death(masks)
    before = {name: rounds.copy() for name, rounds in death.items()}
    shuffled = shuffle_death(death, Seeds(5))
    for level, mask in enumerate(masks):
        assert level_mask(shuffled, level).layers() == mask.layers()
    for name in sizes:
        assert np.array_equal(death[name], before[name])
        assert shuffled[name].shape == death[name].shape
        assert not np.array_equal(shuffled[name], death[name])
        assert np.array_equal(shuffled[name], shuffle_death({name: death[name]}, Seeds(5))[name])
    assert not np.array_equal(shuffled["a"], shuffle_death(death, Seeds(6))["a"])
    assert np.array_equal(shuffled["a"], shuffle_death(death, Seeds(6, {"shuffle": 5}))["a"])


def test_the_random_methods_keep_their_numbers() -> None:
    """Frozen: a change here changes every published random ticket."""
    sizes = {"w": torch.Size([16])}
    assert random_masks(sizes, [5], Seeds(0))[0].keep["w"].nonzero().flatten().tolist() == [3, 6, 9, 10, 12]
    assert random_ladder(sizes, [5], Seeds(0))[0].keep["w"].nonzero().flatten().tolist() == [1, 6, 8, 10, 15]
