"""GraSP against whole Hessians, finite differences of the gradient's norm, and what the paper says it means."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tests.train import small
from ticketctl.draws import grasp
from ticketctl.draws._hessian import preserved_flow
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.lab import Lab, Level, Target
from ticketctl.train.scoring import Batch, balanced_sample, scoring_net, set_mode_

ACTIVATIONS = {"softplus": nn.Softplus, "relu": nn.ReLU}
activations = pytest.mark.parametrize("activation", ACTIVATIONS)


def net_of(activation: str) -> nn.Module:
    """4-7-5-3 with biases, 92 parameters, 78 of them weights that are scored."""
    numbers = np.random.default_rng(2)
    act = ACTIVATIONS[activation]
    net = nn.Sequential(nn.Linear(4, 7), act(), nn.Linear(7, 5), act(), nn.Linear(5, 3)).double().eval()
    for parameter in net.parameters():
        parameter.data.copy_(torch.from_numpy(numbers.normal(0, 0.7, tuple(parameter.shape))))
    return net


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in net.named_parameters() if p.dim() > 1}


def full(net: nn.Module) -> Mask:
    return Mask.full({name: weight.shape for name, weight in weights_of(net).items()})


def some(net: nn.Module) -> Mask:
    numbers = np.random.default_rng(8)
    scores = {name: torch.from_numpy(numbers.random(w.shape)) for name, w in weights_of(net).items()}
    return top(scores, 50)


def batches(*sizes: int) -> list[Batch]:
    numbers = np.random.default_rng(3)
    return [
        (torch.from_numpy(numbers.normal(0, 1, (size, 4))), torch.from_numpy(numbers.integers(0, 3, size)))
        for size in sizes
    ]


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def loss_at(net: nn.Module, data: list[Batch], mask: Mask, vector: Tensor, temperature: float) -> Tensor:
    """Sum over the batches of -mean log softmax(logits / T), as a function of one long vector of weights."""
    parts = vector.split([keep.numel() for keep in mask.keep.values()])
    weights = {
        name: part.view(keep.shape) for part, (name, keep) in zip(parts, mask.keep.items(), strict=True)
    }
    total = torch.zeros((), dtype=torch.float64)
    for inputs, labels in data:
        logits = functional_call(net, weights, (inputs,)) / temperature
        total = total - logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
    return total


def point(net: nn.Module, mask: Mask) -> Tensor:
    return flat([weight * mask.keep[name] for name, weight in weights_of(net).items()])


@pytest.mark.long
@activations
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_it_is_the_weight_times_the_whole_hessian_times_the_gradient(
    activation: str, masked: bool, temperature: float
) -> None:
    net = net_of(activation)
    mask = some(net) if masked else full(net)
    data = batches(6, 4, 5)
    here, kept = point(net, mask), flat(list(mask.keep.values())).double()

    def loss(vector: Tensor) -> Tensor:
        return loss_at(net, data, mask, vector, temperature)

    hessian = torch.autograd.functional.hessian(loss, here)
    gradient = torch.autograd.functional.jacobian(loss, here)
    wanted = here * (hessian @ (gradient * kept))
    found = flat(list(preserved_flow(net, data, mask, temperature=temperature).values()))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-12 * float(wanted.abs().max()))
    assert float(found.min()) < 0 < float(found.max())


def test_it_is_what_shrinking_a_weight_does_to_the_norm_of_the_gradient() -> None:
    """d/da of |g(w + a w_j e_j)|^2 / 2 is w_j (H g)_j: finite differences of gradients, no second derivative."""
    net, data = net_of("softplus"), batches(6, 5)
    mask = full(net)
    here = point(net, mask)
    found = flat(list(preserved_flow(net, data, mask, temperature=2.0).values()))

    def norm(vector: Tensor) -> float:
        vector = vector.clone().requires_grad_()
        [gradient] = torch.autograd.grad(loss_at(net, data, mask, vector, 2.0), [vector])
        return float(gradient.square().sum()) / 2

    for place in (0, 13, 30, 51, 77):
        step = torch.zeros_like(here)
        step[place] = here[place] * 1e-5
        slope = (norm(here + step) - norm(here - step)) / 2e-5
        assert float(found[place]) == pytest.approx(slope, rel=1e-5)


@activations
def test_removing_what_is_pruned_raises_the_norm_of_the_gradient_and_what_is_kept_lowers_it(
    activation: str,
) -> None:
    """To first order, which a step of a thousandth of the way there shows."""
    net, data = net_of(activation), batches(6, 5)
    mask = full(net)
    here = point(net, mask)
    keep = flat(list(top(preserved_flow(net, data, mask), 39).keep.values()))

    def norm(vector: Tensor) -> float:
        vector = vector.clone().requires_grad_()
        [gradient] = torch.autograd.grad(loss_at(net, data, mask, vector, 200.0), [vector])
        return float(gradient.square().sum())

    without_pruned = norm(here - 1e-3 * here * ~keep)
    without_kept = norm(here - 1e-3 * here * keep)
    assert without_pruned > norm(here) > without_kept


@pytest.mark.parametrize("bn", ["eval", "train"])
def test_it_changes_nothing_of_the_net_it_is_given(bn: str, lab: Lab) -> None:
    net = scoring_net(lab.bench, lab.initial, bn=bn).requires_grad_(True)
    before = copy.deepcopy(net.state_dict())
    sample = balanced_sample(lab.bench, lab.seeds, per_class=3, precision="f64")
    preserved_flow(net, sample.batches(5), lab.full())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_pruned_weights_score_0_which_beats_every_negative_score() -> None:
    """Why only survivors may be ranked when it is iterated: here half of what is alive would lose to the dead."""
    net = net_of("relu")
    mask = some(net)
    scores = preserved_flow(net, batches(6), mask)
    assert all(not scores[name][~keep].any() for name, keep in mask.keep.items())
    assert top(scores, 45, among=mask) <= mask
    assert not top(scores, 45) <= mask


@pytest.mark.long
def test_the_temperature_is_no_mere_factor_until_it_is_high() -> None:
    """On ResNet-20s, 10 %: T = 200 and T = 2000 keep the same but for a few in a thousand, T = 1 does not.

    The specification measures 99.5 to 99.8 % against 47 to 72 %.
    """
    net = build("resnet20s", shape=(3, 8, 8), classes=10)
    set_mode_(initialise_(net, "kaiming-normal", Seeds(0)).double(), "train")
    names = [name for name, p in net.named_parameters() if p.dim() > 1]
    mask = Mask.full({name: net.get_parameter(name).shape for name in names})
    numbers = np.random.default_rng(0)
    data = [(torch.from_numpy(numbers.normal(0, 1, (20, 3, 8, 8))), torch.arange(20) % 10)]
    kept = {
        t: flat(list(top(preserved_flow(net, data, mask, temperature=t), mask.size // 10).keep.values()))
        for t in (1.0, 200.0, 2000.0)
    }
    count = mask.size // 10
    assert int((kept[200.0] & kept[2000.0]).sum()) / count > 0.99
    assert 0.4 < int((kept[1.0] & kept[200.0]).sum()) / count < 0.8


# --------------------------------------------------------------------------------------------------------- draws


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = small.lab(tmp_path, small.bench(images=60))
    made.fit = lambda *_, **__: None
    return made


def draw(lab: Lab, **keys: Any) -> Level:
    *_, last = grasp.draw(lab, target=Target(Fraction(1, 5)), params=grasp.Params(per_class=4, **keys))
    assert last.scores is not None
    return last


def scores(lab: Lab, **keys: Any) -> Tensor:
    return flat(list((draw(lab, **keys).scores or {}).values()))


def test_halves_matter_to_batch_statistics_alone(lab: Lab) -> None:
    """Without them g and H are the same sums: two halves of 6 are one batch of 12, twice."""
    halves, by_class, off = (scores(lab, halves=how, bn="eval") for how in ("shuffled", "by-class", "off"))
    torch.testing.assert_close(halves, by_class, rtol=1e-9, atol=1e-16)
    torch.testing.assert_close(halves, 4 * off, rtol=1e-9, atol=1e-16)
    halves, by_class, off = (scores(lab, halves=how, bn="train") for how in ("shuffled", "by-class", "off"))
    assert not torch.allclose(halves, by_class, rtol=1e-2, atol=0)
    assert not torch.allclose(halves, 4 * off, rtol=1e-2, atol=0)


def test_halves_by_class_have_other_classes(lab: Lab) -> None:
    sample = balanced_sample(lab.bench, lab.seeds, per_class=4, precision="f64")
    first, second = grasp.batches_of(sample, "by-class", 256)
    assert (first[1].tolist(), second[1].tolist()) == ([0] * 4 + [1] * 2, [1] * 2 + [2] * 4)
    assert [len(labels) for _, labels in grasp.batches_of(sample, "shuffled", 256)] == [6, 6]
    assert [len(labels) for _, labels in grasp.batches_of(sample, "shuffled", 3)] == [3] * 4
    assert [len(labels) for _, labels in grasp.batches_of(sample, "off", 5)] == [4] * 3


def test_the_largest_are_kept_with_their_sign_or_without(lab: Lab) -> None:
    signed, absolute = draw(lab), draw(lab, abs=True)
    plain = flat(list((signed.scores or {}).values()))
    kept = flat(list(signed.mask.keep.values()))
    assert float(plain[kept].min()) > float(plain[~kept].max())
    assert torch.equal(flat(list((absolute.scores or {}).values())), plain.abs())
    kept = flat(list(absolute.mask.keep.values()))
    assert float(plain[kept].abs().min()) > float(plain[~kept].abs().max())
    assert not signed.mask.equal(absolute.mask)


def test_a_redrawn_head_changes_the_scores_and_not_the_ticket(lab: Lab) -> None:
    before = {name: value.clone() for name, value in lab.initial.weights.items()}
    other = draw(lab, reinit_head=True)
    assert not other.mask.equal(draw(lab).mask)
    assert other.start is lab.initial
    assert all(torch.equal(value, before[name]) for name, value in lab.initial.weights.items())


def test_float32_keeps_nearly_the_same(lab: Lab) -> None:
    double, single = draw(lab), draw(lab, precision="f32")
    assert single.scores is not None
    assert {score.dtype for score in single.scores.values()} == {torch.float32}
    both = flat(list((double.mask & single.mask).keep.values()))
    assert int(both.sum()) >= 0.95 * double.mask.kept
