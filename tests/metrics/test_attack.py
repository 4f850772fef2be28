"""The attacks themselves: against closed forms of linear nets, and foolbox."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ticketctl.metrics import _attack as at
from ticketctl.seeds import Seeds

with warnings.catch_warnings():  # its dependencies' deprecations
    warnings.simplefilter("ignore")
    import foolbox

EPS, SIZE = 8 / 255, 2 / 255


def images(count: int = 64, shape: tuple[int, ...] = (3, 8, 8), inner: float = 0.0, seed: int = 0) -> Tensor:
    """Seeded pixels, at least `inner` away from 0 and 1."""
    made = torch.rand((count, *shape), generator=torch.Generator().manual_seed(seed))
    return inner + (1 - 2 * inner) * made


def centred(net: nn.Sequential, shape: tuple[int, ...]) -> nn.Sequential:
    """No class is said more than others, on average over images."""
    with torch.no_grad():
        net[-1].bias -= net(images(256, shape)).mean(0)
    return net


def linear(classes: int = 5, shape: tuple[int, ...] = (3, 8, 8), seed: int = 1) -> nn.Sequential:
    draws = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draws) / 10)
    return centred(net, shape)


def conv(seed: int = 2) -> nn.Sequential:
    draws = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 6),
    ).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draws) / 5)
    return centred(net, (3, 8, 8))


def target(net: nn.Module, pixels: Tensor, eps: float = EPS) -> at.Target:
    """Labelled as the net says, but for every tenth."""
    with torch.no_grad():
        said = net(pixels)
    labels = said.argmax(1)
    labels[::10] = (labels[::10] + 1) % said.shape[1]
    return at.Target(pixels, labels, eps)


def test_fgsm_on_a_linear_softmax_net_is_its_closed_form() -> None:
    net = linear()
    aim = target(net, images())
    weight = net[1].weight.detach().double()
    said = net(aim.pixels).double().detach()
    slope = (torch.softmax(said, 1) - nn.functional.one_hot(aim.labels, 5)) @ weight
    want = (aim.pixels + EPS * slope.sign().view_as(aim.pixels)).clamp(0, 1)
    found = at.fgsm(net, aim)
    torch.testing.assert_close(found.pixels, want.float(), rtol=0, atol=1e-7)
    assert torch.equal(found.standing, net(found.pixels).argmax(1) == aim.labels)
    assert (found.gradients, found.zeros) == (64, 0)


def test_of_two_classes_a_linear_net_stands_where_its_margin_is_beyond_eps_times_the_l1_norm() -> None:
    net, eps = linear(2), 0.02
    aim = target(net, images(500, inner=eps), eps)
    with torch.no_grad():
        said, apart = net(aim.pixels).double(), net[1].weight[1] - net[1].weight[0]
        margin = (said[:, 1] - said[:, 0]) * (2 * aim.labels - 1)
    want = margin > eps * apart.abs().sum()
    assert 0.1 < want.double().mean() < 0.9
    start = at.start_of(aim, Seeds(0), np.arange(500), 0)
    for found in (
        at.fgsm(net, aim),
        at.pgd(net, aim, size=SIZE, steps=60, start=start),
        at.pgd(net, aim, size=SIZE, steps=60, start=start, early=True),
    ):
        assert torch.equal(found.standing, want)


@pytest.mark.parametrize("eps", [1e-4, EPS, 0.3, 1.0])
def test_attacks_stay_in_the_ball_and_in_the_range_of_pixels(eps: float) -> None:
    net = conv()
    pixels = images()
    pixels[:8] = (pixels[:8] > 0.5).float()
    aim = target(net, pixels, eps)
    start = at.start_of(aim, Seeds(3), np.arange(64), 0)
    tried = [start, at.fgsm(net, aim).pixels, at.fgsm(net, aim, start, EPS).pixels]
    tried += [
        at.pgd(net, aim, size=eps / 3, steps=5, start=start, early=early).pixels for early in (False, True)
    ]
    for found in tried:
        assert float((found - pixels).abs().max()) <= eps + 1e-7
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
    assert float((tried[1] - pixels).abs().max()) == pytest.approx(eps, abs=1e-6)


def test_pgd_of_one_step_of_eps_without_a_random_start_is_fgsm_to_the_bit() -> None:
    net = conv()
    aim = target(net, images())
    ours, theirs = at.pgd(net, aim, size=EPS, steps=1), at.fgsm(net, aim)
    plain = (aim.pixels + EPS * at.uphill(net, aim.pixels, aim.labels)[0]).clamp(0, 1)
    assert torch.equal(ours.pixels, theirs.pixels)
    assert torch.equal(ours.pixels, plain)


def _foolbox(net: nn.Module) -> foolbox.PyTorchModel:
    return foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")


def test_fgsm_is_foolboxs() -> None:
    net = conv()
    aim = target(net, images(200))
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    _, theirs, fooled = attack(_foolbox(net), aim.pixels, aim.labels, epsilons=EPS)
    ours = at.fgsm(net, aim)
    torch.testing.assert_close(ours.pixels, theirs, rtol=0, atol=1e-7)
    assert torch.equal(ours.standing, ~fooled)
    assert 0 < int(ours.standing.sum()) < 200


@pytest.mark.parametrize("random", [False, True])
def test_pgd_is_foolboxs_from_the_same_start(random: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net = conv()
    aim = target(net, images(200))
    start = at.start_of(aim, Seeds(1), np.arange(200), 0) if random else None
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
        abs_stepsize=SIZE, steps=20, random_start=random
    )
    given = foolbox.attacks.LinfProjectedGradientDescentAttack
    monkeypatch.setattr(given, "get_random_start", lambda self, x0, eps: type(x0)(start))
    _, theirs, fooled = attack(_foolbox(net), aim.pixels, aim.labels, epsilons=EPS)
    ours = at.pgd(net, aim, size=SIZE, steps=20, start=start)
    torch.testing.assert_close(ours.pixels, theirs, rtol=0, atol=1e-6)
    assert torch.equal(ours.standing, ~fooled)
    assert ours.gradients == 200 * 20


def test_leaving_an_image_once_the_net_is_wrong_fells_no_fewer_and_takes_fewer_gradients() -> None:
    net = conv()
    aim = target(net, images(100))
    whole, early = (at.pgd(net, aim, size=SIZE, steps=20, early=early) for early in (False, True))
    assert not bool((early.standing & ~whole.standing).any())
    assert torch.equal(net(early.pixels).argmax(1) == aim.labels, early.standing)
    assert early.gradients < whole.gradients / 2


class Odd(nn.Module):
    """Constant on images whose first pixel is above a half, and not differentiable where it is above 0.9."""

    def __init__(self) -> None:
        super().__init__()
        self.net = linear()

    def forward(self, pixels: Tensor) -> Tensor:
        first = pixels[:, 0, 0, 0, None]
        dead = torch.where(first > 0.5, 0.0, 1.0) * self.net(pixels) + torch.tensor([1.0, 0, 0, 0, 0])
        edge = torch.where(first > 0.9, first - first.detach(), torch.ones_like(first))
        return dead + edge.abs().sqrt()  # at 0 its slope is infinite times 0


def test_images_without_a_finite_gradient_other_than_zero_are_counted_and_stay_as_they_are() -> None:
    net, pixels = Odd(), images(6)
    pixels[:, 0, 0, 0] = torch.tensor([0.1, 0.7, 0.95, 0.2, 0.8, 0.3])
    with torch.no_grad():
        aim = at.Target(pixels, net(pixels).argmax(1), EPS)
    gradient = torch.autograd.grad(net(pixels.requires_grad_()).sum(), pixels)[0]
    assert bool(gradient[2].isnan().any())
    aim = at.Target(pixels.detach(), aim.labels, EPS)
    found = at.fgsm(net, aim)
    still = (found.pixels == aim.pixels).flatten(1).all(1)
    assert still.tolist() == [False, True, True, False, True, False]
    assert found.zeros == 3


def test_one_gradient_does_not_depend_on_the_other_images() -> None:
    net = conv()
    aim = target(net, images(30))
    alone = torch.cat([at.fgsm(net, aim.pick(torch.tensor([i]))).pixels for i in range(30)])
    torch.testing.assert_close(at.fgsm(net, aim).pixels, alone, rtol=0, atol=1e-7)


@pytest.mark.parametrize("bad", [-0.01, 1.01, float("nan"), 255.0])
def test_what_is_no_pixel_is_refused(bad: float) -> None:
    pixels = images(2)
    pixels[1, 0, 3, 3] = bad
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        at.Target(pixels, torch.zeros(2, dtype=torch.int64), EPS)
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        at.Target(images(2), torch.zeros(3, dtype=torch.int64), EPS)


def test_logits_that_are_not_finite_are_wrong_and_of_equal_ones_the_first_counts() -> None:
    nan, inf = float("nan"), float("inf")
    said = torch.tensor([[0, 1.0], [1, 1], [1, 1], [nan, 0], [0, inf]])
    assert at.hit(said, torch.tensor([1, 0, 1, 0, 1])).tolist() == [True, True, False, False, False]


def test_a_start_is_uniform_in_the_ball_and_an_images_own() -> None:
    aim = at.Target(images(40, inner=0.2), torch.zeros(40, dtype=torch.int64), 0.1)
    whole = at.start_of(aim, Seeds(5), np.arange(40) + 7, 0)
    some = torch.tensor([3, 30])
    assert torch.equal(whole[some], at.start_of(aim.pick(some), Seeds(5), np.array([10, 37]), 0))
    assert not torch.equal(whole, at.start_of(aim, Seeds(5), np.arange(40) + 7, 1))
    assert not torch.equal(whole, at.start_of(aim, Seeds(6), np.arange(40) + 7, 0))
    moved = ((whole - aim.pixels) / 0.1).double().flatten()
    assert float(moved.abs().max()) <= 1 + 1e-5
    assert float(moved.mean()) == pytest.approx(0, abs=4 / (3 * len(moved)) ** 0.5)
    assert float(moved.var()) == pytest.approx(1 / 3, rel=0.05)


def test_weights_take_no_part_while_frozen_and_are_as_before_even_after_an_error() -> None:
    net = conv()
    net[0].weight.requires_grad_(False)
    before = [weight.requires_grad for weight in net.parameters()]
    with at.frozen(net):
        assert not any(weight.requires_grad for weight in net.parameters())
    assert [weight.requires_grad for weight in net.parameters()] == before
    with pytest.raises(RuntimeError), at.frozen(net):
        net(images(1, (1, 8, 8)))
    assert [weight.requires_grad for weight in net.parameters()] == before
