"""Heads against torch's own SGD and scikit-learn's logistic regression; features against a plain loop."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from tests.metrics.specimens import apart as others
from tests.metrics.specimens import random_images, specimen
from ticketctl.errors import StoppedError, UsageError
from ticketctl.nets.blocks import blocks_of
from ticketctl.seeds import Seeds
from ticketctl.train import heads as module
from ticketctl.train.features import Tap, batchnorm, features_of, groups, penultimate, widths_of
from ticketctl.train.heads import Recipe, train_heads

SEEDS = Seeds(3)


def clouds(count=300, width=6, classes=4, apart=1.0, seed=0):
    """Overlapping normal clouds, float32 [N, C] and labels."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, classes, count)
    centres = apart * numbers.normal(size=(classes, width))
    points = centres[labels] + numbers.normal(size=(count, width)) + 0.3
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(labels)


def one_head(features, labels, classes=4, seeds=SEEDS, **keys):
    return train_heads([features], labels, classes, recipe=Recipe(**keys), seeds=seeds)[0]


# ---------------------------------------------------------------------------------------------------------- sgd


def by_torch(features, labels, classes=4, *, epochs, lr, weight_decay, momentum, batch):
    layer = torch.nn.utils.skip_init(nn.Linear, features.shape[1], classes)
    for value in layer.parameters():
        nn.init.zeros_(value)
    rule = torch.optim.SGD(layer.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
    for epoch in range(epochs):
        order = torch.from_numpy(SEEDS.order("probe", epoch, count=len(labels)))
        for rows in order.split(batch):
            rule.zero_grad()
            nn.functional.cross_entropy(layer(features[rows]), labels[rows]).backward()
            rule.step()
    return layer


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_takes_the_steps_that_torch_takes(momentum) -> None:
    features, labels = clouds()
    how = {"epochs": 3, "lr": 0.05, "weight_decay": 0.01, "momentum": momentum, "batch": 64}
    layer, head = by_torch(features, labels, **how), one_head(features, labels, **how)
    torch.testing.assert_close(head.weight, layer.weight.detach().t(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(head.bias, layer.bias.detach(), rtol=1e-5, atol=1e-6)
    assert (head.iterations, head.gradient, head.converged) == (3 * 5, None, False)


def test_the_order_is_the_seeds_and_of_each_epoch() -> None:
    features, labels = clouds()
    one, same, other = (one_head(features, labels, seeds=Seeds(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)


# ------------------------------------------------------------------------------------------------------- l-bfgs


@pytest.mark.parametrize(("scale", "decay"), [(1.0, 1e-2), (1e-3, 1e-4), (50.0, 1e-2)])
def test_lbfgs_finds_the_minimum_that_scikit_learn_finds(scale, decay) -> None:
    features, labels = clouds()
    features = features * scale
    head = one_head(features, labels, solver="lbfgs", weight_decay=decay)
    constant = np.c_[features.double().numpy(), np.ones(len(labels))]  # its weight is decayed, as by SGD
    theirs = LogisticRegression(
        C=1 / (decay * len(labels)), fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cg"
    ).fit(constant, labels)
    ours = (features.double() @ head.weight.double() + head.bias).softmax(1).numpy()
    assert head.converged
    np.testing.assert_allclose(ours, theirs.predict_proba(constant), atol=2e-4)


def test_at_the_minimum_the_gradient_of_the_written_objective_is_nothing() -> None:
    features, labels = clouds()
    head = one_head(features, labels, solver="lbfgs", weight_decay=0.05)
    weight, bias = head.weight.double().requires_grad_(), head.bias.double().requires_grad_()
    decayed = 0.025 * (weight.square().sum() + bias.square().sum())
    loss = nn.functional.cross_entropy(features.double() @ weight + bias, labels) + decayed
    assert max(float(one.abs().max()) for one in torch.autograd.grad(loss, [weight, bias])) < 1e-5


def test_more_epochs_of_sgd_come_to_the_same_minimum() -> None:
    features, labels = clouds()
    solved = one_head(features, labels, solver="lbfgs", weight_decay=0.1)
    few, many = (
        one_head(features, labels, weight_decay=0.1, lr=0.02, epochs=epochs, batch=300) for epochs in (5, 500)
    )
    assert float((many.weight - solved.weight).abs().max()) < 1e-4
    assert float((few.weight - solved.weight).abs().max()) > 1e-2


def test_without_decay_on_separable_points_it_ends_and_is_right() -> None:
    features, labels = clouds(apart=40.0)
    head = one_head(features, labels, solver="lbfgs", weight_decay=0.0)
    assert head.finite
    assert bool(head.right(features, labels).all())


def test_of_wide_features_the_minimum_is_found_without_a_matrix_of_them(monkeypatch) -> None:
    features, labels = clouds(width=12)
    whole = one_head(features, labels, solver="lbfgs", weight_decay=0.01)
    monkeypatch.setattr(module, "WIDE", 11)
    cholesky = Mock(side_effect=AssertionError("a matrix was made"))
    monkeypatch.setattr(torch.linalg, "cholesky", cholesky)
    wide = one_head(features, labels, solver="lbfgs", weight_decay=0.01)
    assert wide.converged
    torch.testing.assert_close(wide.weight, whole.weight, rtol=0, atol=1e-3)
    torch.testing.assert_close(wide.bias, whole.bias, rtol=0, atol=1e-3)
    root = module._preconditioner([module._with_one(features)], 0.01, 4, lambda: None)
    square = features.double().square().mean(0) / 4
    wanted = (square + 0.01 + 1e-10 * max(float(square.max()), 0.25)).sqrt()
    torch.testing.assert_close(root[:-1], wanted)


def test_tiny_features_are_held_down_by_the_decay_and_standardizing_answers_that() -> None:
    features, labels = clouds(apart=3.0)
    tiny = features * 1e-4
    plain, free = (one_head(tiny, labels, solver="lbfgs", standardize=on) for on in (False, True))
    logits = tiny @ plain.weight + plain.bias
    assert float((logits - plain.bias).abs().max()) < 0.01
    same = one_head(features, labels, solver="lbfgs", standardize=True)
    torch.testing.assert_close(tiny @ free.weight, features @ same.weight, rtol=1e-2, atol=1e-2)
    assert (tiny @ free.weight).std() > 1


def test_what_stops_before_the_minimum_says_so(monkeypatch) -> None:
    monkeypatch.setattr(module, "ITERATIONS", 2)
    head = one_head(*clouds(), solver="lbfgs")
    assert (head.iterations, head.converged) == (2, False)
    assert head.gradient is not None
    assert head.gradient > module.TOLERANCE


# --------------------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("standardize", [False, True])
def test_heads_trained_together_are_to_the_bit_those_trained_alone(solver, standardize) -> None:
    (one, labels), (other, _) = clouds(), clouds(width=3, seed=1)
    recipe = Recipe(solver, standardize=standardize)
    together = train_heads([one, other], labels, 4, recipe=recipe, seeds=SEEDS)
    for features, head in zip((one, other), together, strict=True):
        alone = train_heads([features], labels, 4, recipe=recipe, seeds=SEEDS)[0]
        assert torch.equal(alone.weight, head.weight)
        assert torch.equal(alone.bias, head.bias)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_separable_features_give_100_percent(solver) -> None:
    features, labels = clouds(apart=20.0)
    head = one_head(features, labels, solver=solver)
    assert bool(head.right(features, labels).all())


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_standardized_it_answers_as_a_head_of_features_scaled_by_hand(solver) -> None:
    features, labels = clouds()
    features = torch.cat([1e4 * features[:, :3] + 5e4, features[:, 3:], torch.full((len(labels), 1), 0.1)], 1)
    head = one_head(features, labels, solver=solver, standardize=True)
    wide = features.double()
    scaled = ((wide - wide.mean(0)) / wide.std(0, correction=0).clamp(min=1e-3)).float()
    by_hand = one_head(scaled, labels, solver=solver)
    logits = features @ head.weight + head.bias
    torch.testing.assert_close(logits, scaled @ by_hand.weight + by_hand.bias, rtol=1e-3, atol=1e-3)
    assert bool((head.weight[-1] == 0).all())


def test_a_rate_that_is_too_high_is_seen() -> None:
    features, labels = clouds()
    assert not one_head(features * 1e18, labels, lr=1e3).finite
    assert one_head(features * 1e18, labels, lr=1e-3, standardize=True).finite


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_it_can_be_stopped_at_every_step(solver) -> None:
    def stop():
        raise StoppedError("stopped", 75)

    features, labels = clouds()
    with pytest.raises(StoppedError):
        train_heads([features], labels, 4, recipe=Recipe(solver), seeds=SEEDS, poll=stop)


# ----------------------------------------------------------------------------------------------------- features


def net_of(seed=0):
    """Two convolutions with BatchNorm, whose statistics are those of no image, and two Linear layers."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 16, 7), nn.ReLU(), nn.Linear(7, 5),
    )  # fmt: skip
    numbers = np.random.default_rng(seed)
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.from_numpy(0.3 * numbers.normal(size=tuple(value.shape))))
    return net.eval()


def test_features_are_the_means_over_positions_that_a_plain_loop_takes() -> None:
    net = specimen(net_of(), *random_images(120, (3, 8, 8), 5))
    taps = [Tap.behind(block) for block in blocks_of(net.model)]
    found = features_of(net, "test", taps)
    x, wanted = net.images["test"].batch(0, 120)[0], []
    with torch.no_grad():
        for layer in net.model:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                wanted.append(x.mean((2, 3)) if x.dim() == 4 else x)
    assert [one.shape[1] for one in found] == widths_of(net, taps) == [4, 6, 7]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(features_of(net, "test", taps[1:2])[0], found[1])
    last = penultimate(net.model)
    assert last is not None
    assert torch.equal(features_of(net, "test", [last])[0], found[2])


@pytest.mark.parametrize("policy", ["recalibrate", "stored", "batch"])
def test_batchnorm_is_as_the_policy_says_and_as_before_in_the_end(policy) -> None:
    net = others(specimen(net_of(), *random_images(120, (3, 8, 8), 5)))
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    taps = [Tap("1")]
    with batchnorm(net, policy) as used:
        seen = features_of(net, "train", taps)[0]
    with torch.no_grad():
        raw = net.model[0](net.images["train"].batch(0, 120)[0])
        mean, spread = raw.mean((0, 2, 3)), raw.var((0, 2, 3), correction=0).sqrt()
    norm = net.model[1]
    shift, scale = (0.0, 1.0) if policy == "stored" else (mean, spread)
    wanted = norm.bias + norm.weight * (raw.mean((2, 3)) - shift) / scale
    torch.testing.assert_close(seen, wanted.detach(), rtol=1e-3, atol=1e-4)
    assert used == (120 if policy == "recalibrate" else 0)
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())
    assert not any(layer.training for layer in net.model.modules())


def test_statistics_can_be_of_fewer_images_and_come_back_after_an_error() -> None:
    net = others(specimen(net_of(), *random_images(120, (3, 8, 8), 5)))
    with torch.no_grad():
        raw = net.model[0](net.images["train"].batch(0, 120)[0])
    with batchnorm(net, "recalibrate", 30) as used:
        assert used == 30
        torch.testing.assert_close(net.model[1].running_mean, raw[::4].mean((0, 2, 3)))
        assert (net.model[1].running_mean - raw.mean((0, 2, 3))).abs().max() > 1e-3
    before = net.model[1].running_mean.clone()
    net = replace(net, poll=Mock(side_effect=[None, StoppedError("stopped", 75)]))
    features = partial(features_of, net, "train", [Tap("1")])
    with pytest.raises(StoppedError), batchnorm(net, "batch"):
        [features() for _ in range(2)]
    assert torch.equal(net.model[1].running_mean, before)
    assert int(net.model[1].num_batches_tracked) == 0
    assert not net.model[1].training


def test_what_gives_no_features_is_refused_in_one_line() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Flatten(), nn.Linear(5, 5)
            self.total = nn.Flatten(0)

        def forward(self, x):
            return self.total(self.used(x))[:, None]

    net = specimen(Odd(), *random_images(4, (3, 2, 2), 5))
    with pytest.raises(UsageError, match="Odd does not run its unused"):
        features_of(net, "train", [Tap("unused")])
    with pytest.raises(UsageError, match="total gives no tensor of 4 rows for 4 images"):
        features_of(net, "train", [Tap("total")])


def test_places_are_grouped_by_what_their_features_hold() -> None:
    assert groups([10, 10, 10], 100, 8000) == [[0, 1], [2]]
    assert groups([10, 30, 10], 100, 8000) == [[0], [1], [2]]
    assert groups([10, 10], 100, 10**9) == [[0, 1]]


@pytest.mark.gpu
def test_a_gpu_trains_the_same_heads() -> None:
    features, labels = clouds()
    for solver in ("sgd", "lbfgs"):
        here = one_head(features, labels, solver=solver, weight_decay=0.01)
        there = one_head(features.cuda(), labels.cuda(), solver=solver, weight_decay=0.01)
        torch.testing.assert_close(there.weight.cpu(), here.weight, rtol=1e-3, atol=1e-4)
