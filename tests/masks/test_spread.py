"""Random and shuffled masks against the definition of a ranking and of a permutation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from ticketctl.errors import UsageError
from ticketctl.masks.ladder import ladder_counts, level_mask, rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.masks.profiles import erk
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.masks.shuffle import shuffle_death, shuffled
from ticketctl.masks.spread import random_ladder, random_masks, scatter
from ticketctl.nets.build import layout
from ticketctl.nets.describe import shapes
from ticketctl.seeds import Seeds


def net_shapes(name: str) -> dict[str, torch.Size]:
    model = layout(name, shape=(1, 28, 28) if name.startswith("lenet") else (3, 32, 32), classes=10)
    return shapes(model, prunable(model, Policy()))


@pytest.mark.long
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


def test_scattered_masks_have_their_counts_and_are_nested_where_the_counts_are() -> None:
    sizes = {"a": torch.Size([6, 5, 3, 3]), "b": torch.Size([10, 30]), "c": torch.Size([7])}
    small, large = {"a": 20, "b": 0, "c": 7}, {"a": 100, "b": 13, "c": 7}
    one, two = (scatter(sizes, counts, "er", Seeds(2)) for counts in (small, large))
    assert {name: kept for name, (kept, _) in one.layers().items()} == small
    assert {name: kept for name, (kept, _) in two.layers().items()} == large
    assert one <= two
    for method, seeds in (("uniform", Seeds(2)), ("er", Seeds(3))):
        assert not scatter(sizes, large, method, seeds).equal(two)


def test_scattered_positions_are_uniform_over_a_layer() -> None:
    """Chi-squared over 24 places and 2,000 seeds; 60 is the 99.997th percentile at 23 degrees of freedom."""
    hits = sum(
        scatter({"w": torch.Size([4, 6])}, {"w": 6}, "erk", Seeds(seed)).keep["w"].int()
        for seed in range(2000)
    )
    expected = 2000 * 6 / 24
    variance_share = 1 - 6 / 24  # places of one mask exclude each other
    assert float(((hits - expected) ** 2 / expected).sum()) / variance_share < 60


def test_an_erk_ticket_is_not_its_own_random_control() -> None:
    sizes = {"w": torch.Size([50, 40])}
    control = random_ladder(sizes, [500], Seeds(0))[0]
    overlap = (control & scatter(sizes, {"w": 500}, "erk", Seeds(0))).kept
    assert 75 <= overlap <= 175  # 125 of 500 by chance, 5 standard deviations


def test_the_random_ladder_spends_erks_budget_at_every_level() -> None:
    sizes = net_shapes("resnet20s")
    counts = ladder_counts(268_336, rate=Fraction(1, 5), rounds=20)
    for mask in random_ladder(sizes, counts, Seeds(0)):
        budget = erk(sizes, mask.kept)
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


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_shuffle_is_a_permutation_of_the_mask(scope) -> None:
    sizes = {"a": torch.Size([6, 5, 3, 3]), "b": torch.Size([10, 30])}
    mask = Mask({"a": random_masks(sizes, [300], Seeds(0))[0].keep["a"], "b": torch.ones(10, 30) > 0})
    before = mask.to_arrays()
    found = shuffled(mask, scope, Seeds(5))
    assert found.kept == mask.kept
    assert found.shapes() == mask.shapes()
    assert (found.layers() == mask.layers()) is (scope == "layer")
    assert not torch.equal(found.keep["a"], mask.keep["a"])
    assert all(np.array_equal(before[name], array) for name, array in mask.to_arrays().items())
    assert shuffled(mask, scope, Seeds(5)).equal(found)
    assert not shuffled(mask, scope, Seeds(6)).equal(found)


def test_a_shuffle_of_a_layer_is_the_stable_order_of_its_words() -> None:
    keep = torch.arange(12).reshape(3, 4) < 5
    words = Seeds(1).raw("draw", "shuffle", "w", count=12)
    order = sorted(range(12), key=lambda i: int(words[i]))
    assert shuffled(Mask({"w": keep}), "layer", Seeds(1)).keep["w"].flatten().tolist() == [
        i < 5 for i in order
    ]


def test_a_shuffled_ticket_is_not_its_own_shuffled_control() -> None:
    keep = torch.rand(40, 50, generator=torch.Generator().manual_seed(0)) < 0.25
    control = shuffle_death({"w": keep.numpy().astype(np.uint8)}, Seeds(0))["w"] > 0
    assert not np.array_equal(shuffled(Mask({"w": keep}), "layer", Seeds(0)).keep["w"].numpy(), control)


def test_the_random_methods_keep_their_numbers() -> None:
    """Frozen: a change here changes every published random ticket."""
    sizes = {"w": torch.Size([16])}
    assert random_masks(sizes, [5], Seeds(0))[0].keep["w"].nonzero().flatten().tolist() == [3, 6, 9, 10, 12]
    assert random_ladder(sizes, [5], Seeds(0))[0].keep["w"].nonzero().flatten().tolist() == [1, 6, 8, 10, 15]
    found = scatter(sizes, {"w": 5}, "erk", Seeds(0)).keep["w"].nonzero().flatten().tolist()
    assert found == [0, 2, 7, 8, 13]
    found = (
        shuffled(Mask({"w": torch.arange(16) < 5}), "layer", Seeds(0)).keep["w"].nonzero().flatten().tolist()
    )
    assert found == [3, 5, 8, 12, 14]
