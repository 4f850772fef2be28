"""Filter-normalised directions against a loop over filters in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.curves.grounds import conv_net, masked
from ticketctl.curves._directions import cosine, directed, scaled
from ticketctl.seeds import Seeds
from ticketctl.train.normal import normal


def weights_of(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in net.named_parameters()}


def test_each_filter_is_as_long_as_the_nets_and_one_axis_tensors_do_not_move() -> None:
    weights = weights_of(conv_net())
    found = directed(weights, {}, Seeds(1), "x", norm="filter")
    for (name, weight), part in zip(weights.items(), found, strict=True):
        if weight.ndim == 1:
            assert not part.any(), name
            continue
        drawn = normal(Seeds(1), "landscape", "x", name, count=weight.numel()).reshape(weight.shape)
        for own, moved, raw in zip(weight.double(), part.double(), drawn.astype(np.float64), strict=True):
            assert float(moved.norm()) == pytest.approx(float(own.norm()), rel=1e-6)
            truth = raw * float(own.norm()) / np.linalg.norm(raw)
            np.testing.assert_allclose(moved.numpy(), truth, rtol=1e-5, atol=1e-7)


def test_pruned_weights_stay_and_cost_no_length_and_a_filter_without_weights_stays_whole() -> None:
    net = conv_net()
    mask = masked(net)
    keeps = {name: keep.float() for name, keep in mask.keep.items()}
    weights = weights_of(net)
    for (name, weight), part in zip(
        weights.items(), directed(weights, keeps, Seeds(0), "x", norm="filter"), strict=True
    ):
        if name in mask.keep:
            assert not part[~mask.keep[name]].any()
            assert not part[0].any()
            long = [each.flatten(1).double().norm(dim=1).numpy() for each in (weight, part)]
            np.testing.assert_allclose(long[1], long[0], rtol=1e-6)
            assert bool((part != 0)[mask.keep[name]].all())


def test_full_moves_pruned_weights_too_but_not_those_of_a_filter_without_length() -> None:
    net = conv_net()
    mask, weights = masked(net), weights_of(net)
    found = dict(zip(weights, directed(weights, {}, Seeds(0), "x", norm="filter"), strict=True))
    part, keep = found["0.weight"], mask.keep["0.weight"]
    assert not part[0].any()
    assert bool((part[1:][~keep[1:]] != 0).all())
    np.testing.assert_allclose(
        part.flatten(1).norm(dim=1), weights["0.weight"].flatten(1).norm(dim=1), rtol=1e-6
    )


def test_by_layer_the_whole_tensor_is_as_long_as_the_nets() -> None:
    draws = np.random.default_rng(0)
    drawn, weight = (torch.from_numpy(draws.normal(size=(4, 3, 2, 2))) for _ in range(2))
    found = scaled(drawn, weight, "layer")
    torch.testing.assert_close(found, drawn * weight.norm() / drawn.norm())


def test_directions_depend_on_position_name_and_shape_alone() -> None:
    net, other = conv_net(), conv_net()
    other = other.to(memory_format=torch.channels_last)
    one, same, second = (
        directed(weights_of(each), {}, Seeds(3), place, norm="filter")
        for each, place in ((net, 0), (other, 0), (net, 1))
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert same[0].stride() == other[0].weight.stride()
    assert not torch.equal(one[0], second[0])
    both = [torch.cat([part.flatten() for part in each]).double().numpy() for each in (one, second)]
    truth = both[0] @ both[1] / np.linalg.norm(both[0]) / np.linalg.norm(both[1])
    assert cosine(one, second) == pytest.approx(truth, abs=1e-12)
    assert abs(truth) < 0.2
    assert cosine(one, one) == pytest.approx(1.0)
    assert np.isnan(cosine(one, [torch.zeros_like(part) for part in one]))
