"""PAC-Bayes sigma against integrals, closed forms and a plain loop."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import kstest, norm
from torch import nn
from torch.func import functional_call

from tests.metrics.specimens import exam_of, picked, random_images, specimen
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.metrics import pac_bayes as module
from ticketctl.metrics.pac_bayes import Params, largest, measure, price
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.normal import normal

STREAM = np.random.default_rng(11)


class Two(nn.Module):
    """Logits (slope * x, 0) of a single pixel x, by a Linear layer that has one weight pruned."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[slope], [0.0]]))

    def forward(self, x):
        return self.fc(x.flatten(1))


def two(slope, pixels):
    """A specimen of `Two` on images of one pixel each, all of class 0."""
    images = np.asarray(pixels, np.uint8).reshape(-1, 1, 1, 1)
    return specimen(Two(slope), images, np.zeros(len(images), int), classes=2)


def small(seed=0, mask=None, count=24):
    """A convolution, BatchNorm and Linear with random values, on random images that it is right about."""
    torch_values = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )
    with torch.no_grad():
        for value in net.parameters():
            drawn = torch.from_numpy(torch_values.normal(size=tuple(value.shape)) * 0.3)
            value.copy_(drawn if value.dim() > 1 else torch.ones_like(value))
        if mask is not None:
            net[0].weight.mul_(mask.keep["0.weight"])
    pixels, _ = random_images(count, (3, 8, 8), 5, seed)
    with torch.no_grad():
        labels = net.eval()(torch.from_numpy(pixels).float() / 255).argmax(1).numpy()
    return specimen(net, pixels, labels, mask=mask, classes=5)


def expected(loss):
    """The mean of loss(eps) over a standard normal eps."""
    return quad(lambda at: loss(at) * norm.pdf(at), -9, 9, limit=200)[0]


def softplus(at):
    return np.logaddexp(0.0, at)


def test_the_sigma_of_a_quadratic_loss_is_its_root() -> None:
    for level in (0.3, 1.7, 4.0):
        found = largest(lambda sigma, draw, left: 1 + sigma**2, 1 + level**2, 3, 5.0, 1e-6)
        assert 0 <= level - found.sigma <= 1e-6
        assert found.error == 0.0
        assert len(found.losses) == 3


def test_ends_of_the_range_are_said_as_such() -> None:
    everywhere = largest(lambda *_: 1.0, 1.1, 2, 5.0, 1e-3)
    assert (everywhere.sigma, everywhere.bound) == (5.0, "at least 5")
    nowhere = largest(lambda sigma, *_: math.nan if sigma else 1.0, 1.1, 2, 5.0, 1e-3)
    assert (nowhere.sigma, nowhere.error, nowhere.losses) == (0.0, None, [])
    assert nowhere.bound == f"at most {5 / 2**13:.3g}"
    for level in (0.9e-3, 4.999):
        assert largest(lambda sigma, *_: 1 + sigma**2, 1 + level**2, 2, 5.0, 1e-3).bound == ""


def test_the_protocol_says_which_values_are_bounds_alone() -> None:
    """Both logits of a net of weight 0 are the same, whatever the noise; one that is sure of white stays so."""
    for slope, pixels, says in (
        (0.0, [255], {"pac-bayes.weight": "at least 5", "pac-bayes.input": "at least 2"}),
        (1e4, [255], {"pac-bayes.input": "at least 2"}),
        (4.0, 20 * [153], {}),
    ):
        found = measure(exam_of(two(slope, pixels)), params=Params(draws=5, input_draws=3))
        assert found.protocol["bounds"] == says
        assert {name: value.value for name, value in found.values.items() if name in says} == {
            name: float(text.split()[-1]) for name, text in says.items()
        }


def test_giving_up_early_never_changes_the_answer() -> None:
    slopes = STREAM.uniform(0.2, 3, 15)
    asked = []

    def loss(sigma, draw, left):
        asked.append((sigma, draw))
        return 1 + slopes[draw] * sigma**2

    found = largest(loss, 1.1, 15, 5.0, 1e-5)
    assert found.sigma == pytest.approx(math.sqrt(0.1 / slopes.mean()), abs=1e-5)
    assert found.sigma <= math.sqrt(0.1 / slopes.mean())
    assert len(asked) < 15 * len(found.tried)


@pytest.mark.long
def test_noise_on_a_weight_is_borne_as_far_as_the_integral_says() -> None:
    slope = 1.5
    limit = 1.1 * softplus(-slope)
    truth = brentq(lambda s: expected(lambda e: softplus(-slope - s * slope * e)) - limit, 1e-3, 5)
    found = measure(exam_of(two(slope, [255])), params=Params(draws=1000)).values["pac-bayes.weight"]
    assert found.n == 1000
    assert abs(found.value - truth) < 3 * found.error
    assert found.error < 0.15 * truth


def test_noise_on_pixels_is_clipped_and_borne_as_far_as_the_integral_says() -> None:
    slope, pixel = 4.0, 153 / 255
    limit = 1.1 * softplus(-slope * pixel)

    def mean(s):
        inside = quad(
            lambda x: softplus(-slope * x) * norm.pdf(x, pixel, s), 0, 1, points=[pixel], limit=200
        )[0]
        ends = softplus(0.0) * norm.cdf(0, pixel, s) + softplus(-slope) * norm.sf(1, pixel, s)
        return inside + ends

    truth = brentq(lambda s: mean(s) - limit, 1e-3, 2)
    exam = exam_of(two(slope, [153] * 600))
    found = measure(exam, params=Params(draws=1, input_draws=4)).values["pac-bayes.input"]
    assert abs(found.value - truth) < 0.05 * truth


@pytest.mark.long
def test_the_error_is_the_spread_over_seeds() -> None:
    params = Params(draws=60, input_draws=1)
    found = [
        measure(exam_of(two(1.5, [255]), seed), params=params).values["pac-bayes.weight"]
        for seed in range(32)
    ]
    spread = np.std([one.value for one in found], ddof=1)
    assert np.median([one.error for one in found]) == pytest.approx(spread, rel=0.4)


def test_a_plain_loop_over_draws_brackets_the_value() -> None:
    net = small()
    params = Params(images=10, draws=4, factor=1.3)
    found = measure(exam_of(net), params=params)
    chosen = np.sort(Seeds(0).order("perturb", "images", count=24)[:10])
    pixels, labels = net.pixels("train")[chosen], net.labels("train")[chosen]
    weight = net.model[0].weight.detach()

    def loss(sigma, kind):
        total = 0.0
        for draw in range(params.draws if kind == "weight" else params.input_draws):
            changed, shown = weight, pixels
            if kind == "weight":
                eps = normal(Seeds(0), "perturb", kind, "0.weight", draw, count=weight.numel())
                changed = weight + sigma * weight.abs() * torch.from_numpy(eps).view(weight.shape)
            else:
                rows = [normal(Seeds(0), "perturb", kind, draw, n, count=192) for n in chosen]
                shown = (pixels + sigma * torch.from_numpy(np.stack(rows)).view(pixels.shape)).clamp(0, 1)
            with torch.no_grad():
                logits = functional_call(net.model, {"0.weight": changed}, (shown,))
            total += float(nn.functional.cross_entropy(logits.double(), labels)) / (
                4 if kind == "weight" else 3
            )
        return total

    for kind in ("weight", "input"):
        at = found.values[f"pac-bayes.{kind}"].value
        assert 0 < at < 2
        assert loss(at, kind) <= 1.3 * loss(0.0, kind) + 1e-6
        assert loss(at + params.tolerance, kind) > 1.3 * loss(0.0, kind) - 1e-6
        assert found.arrays[f"{kind}.losses"].mean() == pytest.approx(loss(at, kind), abs=1e-6)


def test_only_kept_weights_of_convolutions_move_and_all_are_put_back() -> None:
    mask = Mask({"0.weight": torch.from_numpy(STREAM.random((4, 3, 3, 3)) < 0.5)})
    net = small(mask=mask)
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    seen: list[dict[str, torch.Tensor]] = []
    handle = net.model.register_forward_hook(
        lambda *_: seen.append({name: value.clone() for name, value in net.model.state_dict().items()})
    )
    measure(exam_of(net), params=Params(draws=2, tolerance=0.1))
    handle.remove()
    moved = {name for one in seen for name in one if not torch.equal(one[name], before[name])}
    assert moved == {"0.weight"}
    assert all(not one["0.weight"][~mask.keep["0.weight"]].any() for one in seen)
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())
    assert all(value.grad is None for value in net.model.parameters())


def test_weights_are_put_back_where_somebody_stops_it() -> None:
    net = small()
    before = net.model[0].weight.detach().clone()
    asked = iter(range(40))

    def poll():
        if next(asked) == 12:
            assert not torch.equal(net.model[0].weight, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(exam_of(replace(net, poll=poll)), params=Params())
    assert torch.equal(net.model[0].weight, before)


def test_batches_and_what_is_kept_of_the_noise_do_not_matter(monkeypatch) -> None:
    net, params = small(), Params(draws=2, factor=1.3)
    once = measure(exam_of(net), params=params).values
    monkeypatch.setattr(module, "batch_on", lambda device: 5)
    monkeypatch.setattr(module, "KEPT", 100)
    again = measure(exam_of(net), params=params).values
    for name, one in once.items():
        assert again[name].value == pytest.approx(one.value, abs=1e-12)


def test_an_image_keeps_its_noise_where_only_some_of_the_set_are_shown() -> None:
    net = small()
    shown, images = [3, 4, 9, 20], torch.arange(4)
    noise = module._OnPixels(picked(net, shown), images, Seeds(2))
    whole = module._OnPixels(net, torch.tensor(shown), Seeds(2))
    like = net.pixels("train")[shown]
    assert torch.equal(noise.of("input", 1, 0, like=like), whole.of("input", 1, 0, like=like))
    part = picked(net, list(range(2, 24, 2)))
    ours, theirs = (one.drawn("train", 5, Seeds(0), "perturb") for one in (part, net))
    assert {*theirs.tolist()} & {*range(2, 24, 2)} <= {*part.numbers("train", ours).tolist()}


def test_the_noise_of_one_image_is_the_same_value_alone_and_among_others() -> None:
    net, params = small(), Params(draws=1, input_draws=2, factor=1.5)
    alone = measure(exam_of(picked(net, [7])), params=params).values["pac-bayes.input"].value
    again = measure(exam_of(picked(picked(net, [2, 7, 9]), [1])), params=params).values["pac-bayes.input"]
    assert alone == again.value


def test_what_is_too_large_to_keep_takes_no_room_from_what_is_not(monkeypatch) -> None:
    monkeypatch.setattr(module, "KEPT", 100)
    net = small()
    noise = module._Noise(net, torch.arange(2), Seeds(0))
    noise.of("large", like=torch.empty(200))
    held = noise.of("small", like=torch.empty(100))
    assert noise.of("small", like=torch.empty(100)) is held
    assert noise.of("more", like=torch.empty(1)) is not noise.of("more", like=torch.empty(1))
    assert [*noise.kept] == [("small",)]


def test_a_net_without_loss_bears_what_leaves_it_without_loss() -> None:
    found = measure(exam_of(two(1e4, [255])), params=Params(draws=5, tolerance=1e-6)).values
    eps = [normal(Seeds(0), "perturb", "weight", "fc.weight", draw, count=2)[0] for draw in range(5)]
    # log(1 + exp(-gap)) is 0 in float64 from about 37 on
    assert found["pac-bayes.weight"].value == pytest.approx((1 - 37e-4) / -min(eps), rel=1e-3)


def test_a_net_without_a_loss_or_a_layer_has_no_sigma() -> None:
    with pytest.raises(Absent, match="loss of the net itself is nan"):
        measure(exam_of(two(math.nan, [255])), params=Params())
    pixels, labels = random_images(4, (1, 2, 2), 4)
    with pytest.raises(Absent, match="neither a convolution"):
        measure(exam_of(specimen(nn.Flatten(), pixels, labels, classes=4)), params=Params())


def test_normal_numbers_are_normal_and_fewer_are_the_same() -> None:
    many = normal(Seeds(3), "perturb", "x", count=40_001)
    assert many.dtype == np.float32
    assert kstest(many, "norm").pvalue > 0.01
    assert abs(np.corrcoef(many[0:-1:2], many[1::2])[0, 1]) < 0.02
    assert (normal(Seeds(3), "perturb", "x", count=7) == many[:7]).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("images", -1),
        ("draws", 0),
        ("input_draws", 0),
        ("factor", 1.0),
        ("factor", math.nan),
        ("tolerance", 0.0),
    ],
)
def test_keys_out_of_their_range_are_refused_by_name(key, value) -> None:
    with pytest.raises(UsageError, match=rf"metrics\.pac-bayes\.{key} = "):
        measure(exam_of(two(1.0, [255])), params=Params(**{key: value}))


def test_the_price_grows_with_images_and_draws() -> None:
    assert price({"train": 100}, Params()) == price({"train": 100}, Params(images=0))
    assert price({"train": 9000}, Params(images=100)) == price({"train": 100}, Params())
    assert price({"train": 100}, Params(draws=30)) > price({"train": 100}, Params())


def on_gpu(net):
    """The same specimen on a GPU."""
    device = torch.device("cuda")
    scaling = Scaling(net.scaling.scale.to(device), net.scaling.offset.to(device))
    images = {
        name: Images(Split(old.source, old.labels.numpy()), None, scaling, device) for name, old in net.images.items()
    }  # fmt: skip
    return replace(
        net,
        model=copy.deepcopy(net.model).to(device),
        images=images,
        scaling=scaling,
    )


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    net, params = small(), Params(draws=3, factor=1.3)
    here, there = (measure(exam_of(one), params=params).values for one in (net, on_gpu(net)))
    for name, one in here.items():
        assert there[name].value == pytest.approx(one.value, abs=2 * params.tolerance)
