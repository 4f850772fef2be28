"""LIME's fidelity and stability against scikit-learn, closed forms, and a plain loop after its released code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances, r2_score
from torch import nn

from tests.benchmarks import lime as benchmark
from tests.metrics.specimens import exam_of, specimen
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError
from ticketctl.metrics import lime
from ticketctl.metrics._lime import DISTANCES, Neighbourhood, explained, neighbourhood, ridge_fits, segments
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Measurement
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.specimen import Specimen

SMALL = lime.Params(images=4, samples=120, anchors=3)
OPTIONS = {"distance": "hamming", "width": 0.25, "ridge": 1.0}


def pictures(count: int, channels: int = 3, size: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """A few flat blotches each, with some noise: uint8 [N, C, H, W]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 256, (count, channels, size // 4, size // 4)).repeat(4, 2).repeat(4, 3)
    return (coarse - rng.integers(0, 8, coarse.shape)).astype(np.uint8)


def small_net(channels: int = 3, classes: int = 5, seed: int = 0) -> nn.Sequential:
    """Convolution, BatchNorm with statistics, ReLU, mean, Linear."""
    draws = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes),
    )  # fmt: skip
    with torch.no_grad():
        for one in [*net.parameters(), *net.buffers()]:
            if one.dtype == torch.float32:
                one.copy_(torch.rand(one.shape, generator=draws) * 1.5 - 0.5)
        net[1].running_var.abs_().add_(0.1)
        net[5].weight.mul_(3)
    return net.eval()


def measured(net: Specimen, params: lime.Params = SMALL, seed: int = 0) -> Measurement:
    return lime.measure(exam_of(net, seed), params=params)


def of(model: nn.Module, stored: NDArray[np.uint8], **more: object) -> Specimen:
    return specimen(model, stored, np.zeros(len(stored), dtype=np.int64), **more)


def drawn(near: Neighbourhood) -> NDArray[np.float64]:
    """Every vector as often as it was drawn."""
    return np.repeat(near.rows, near.counts, axis=0).astype(np.float64)


class Mean(nn.Module):
    """Says log p and log(1 - p) of a p that is linear in the pixels; `steep` 0 is a constant."""

    def __init__(self, steep: float) -> None:
        super().__init__()
        self.steep = steep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = 0.6 + self.steep * x.double().mean((1, 2, 3))
        return torch.stack([p, 1 - p], dim=1).log()


# --- the fits


@pytest.mark.parametrize("segments", [1, 2, 7, 40])
@pytest.mark.parametrize("ridge", [1e-8, 1.0, 30.0])
def test_the_fits_are_those_of_scikit_learns_ridge_with_sample_weights(segments: int, ridge: float) -> None:
    rng = np.random.default_rng(segments)
    rows, responses = rng.integers(0, 2, (200, segments)).astype(float), rng.random(200)
    weights = rng.random((4, 200)) ** 3
    slopes, levels = ridge_fits(rows, responses, weights, ridge)
    for number, one in enumerate(weights):
        theirs = Ridge(alpha=ridge).fit(rows, responses, sample_weight=one)
        np.testing.assert_allclose(slopes[number], theirs.coef_, atol=1e-10)
        assert levels[number] == pytest.approx(theirs.intercept_, abs=1e-10)


def test_distances_are_scikit_learns_and_one_to_zeros() -> None:
    rng = np.random.default_rng(0)
    rows = np.r_[rng.integers(0, 2, (50, 9)), np.zeros((1, 9), dtype=int), np.ones((1, 9), dtype=int)].astype(
        float
    )
    anchors = rows[[3, -1, 7]]
    for name, ours in DISTANCES.items():
        theirs = pairwise_distances(anchors, rows, metric=name)
        np.testing.assert_allclose(ours(rows, anchors), theirs, atol=1e-12)
    assert (DISTANCES["cosine"](rows, rows[[-2]]) == 1).all()
    half = np.r_[np.ones(5), np.zeros(5)][None]
    for name, weight in (("hamming", 0.135), ("cosine", 0.503)):  # the weights of spend-audit.md, section 4.6
        away = DISTANCES[name](half, np.ones((1, 10)))[0, 0]
        assert np.exp(-(away**2) / (2 * 0.25**2)) == pytest.approx(weight, abs=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("segments", [1, 3, 12])
def test_a_linear_response_is_explained_without_error_and_the_same_from_everywhere(
    distance: str, segments: int
) -> None:
    near = neighbourhood(Seeds(1), 0, segments, 400, 5)
    responses = 0.2 + near.rows @ np.linspace(-0.3, 0.4, segments)
    found = explained(near, responses, distance=distance, width=0.25, ridge=1e-8)
    assert found.fidelity < 1e-6
    assert found.stability < 1e-6
    assert found.causal < 1e-6
    assert found.r2 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_what_is_added_to_every_response_changes_nothing_but_the_response(distance: str) -> None:
    near = neighbourhood(Seeds(0), 0, 9, 300, 5)
    responses = np.random.default_rng(0).random(len(near.rows))
    one, other = (
        explained(near, responses + shift, distance=distance, width=0.25, ridge=1.0) for shift in (0, 7.5)
    )
    assert other.response == pytest.approx(one.response + 7.5)
    for name in ("fidelity", "stability", "causal", "r2"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_vectors_asked_once_count_as_often_as_they_were_drawn() -> None:
    near = neighbourhood(Seeds(0), 3, 4, 500, 5)
    assert len(near.rows) <= 16
    assert near.counts.sum() == 500
    responses = np.random.default_rng(1).random(len(near.rows))
    every = np.repeat(np.arange(len(near.rows)), near.counts)
    first = np.array([int(np.argmax(every == one)) for one in near.anchors])
    doubled = Neighbourhood(near.rows[every], np.ones(500, dtype=np.int64), first)
    ours, theirs = explained(near, responses, **OPTIONS), explained(doubled, responses[every], **OPTIONS)
    for name in ("fidelity", "stability", "causal", "r2", "response"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-10)


def test_r2_is_scikit_learns_and_an_answer_that_is_no_number_makes_none() -> None:
    near = neighbourhood(Seeds(2), 0, 6, 300, 5)
    responses = np.random.default_rng(2).random(len(near.rows))
    weights = np.exp(-0.5 * ((1 - near.rows.mean(1)) / 0.25) ** 2) * near.counts
    model = Ridge().fit(near.rows, responses, sample_weight=weights)
    theirs = r2_score(responses, model.predict(near.rows), sample_weight=near.counts)
    assert explained(near, responses, **OPTIONS).r2 == pytest.approx(theirs, abs=1e-10)
    responses[3] = np.nan
    broken = explained(near, responses, **OPTIONS)
    assert np.isnan([broken.fidelity, broken.stability, broken.causal, broken.r2, broken.response]).all()


# --- neighbourhoods


def test_vectors_are_fair_coins_after_all_ones_and_depend_on_seed_place_and_nothing_else() -> None:
    near = neighbourhood(Seeds(0), 5, 70, 2000, 5)
    assert near.rows[near.anchors[0]].all()
    assert near.rows.shape == (2000, 70)  # of so many segments none comes twice
    assert abs(near.rows.mean() - 0.5) < 5 * 0.5 / np.sqrt(near.rows.size)
    assert abs(near.rows.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)
    again, elsewhere, otherwise = (
        neighbourhood(*where, 70, 2000, 5) for where in ((Seeds(0), 5), (Seeds(0), 6), (Seeds(1), 5))
    )
    assert (again.rows == near.rows).all()
    assert (again.anchors == near.anchors).all()
    assert (elsewhere.rows != near.rows).any()
    assert (otherwise.rows != near.rows).any()
    fewer = {row.tobytes() for row in neighbourhood(Seeds(0), 5, 70, 100, 5).rows}
    assert fewer <= {row.tobytes() for row in near.rows}


def test_anchors_are_vectors_drawn_after_the_first_and_may_be_equal_where_vectors_are() -> None:
    near = neighbourhood(Seeds(0), 0, 12, 6, 5)
    assert sorted(near.anchors) == list(range(6))  # all five that there are, and the image itself
    single = neighbourhood(Seeds(0), 0, 1, 50, 20)
    assert len(single.rows) == 2
    assert set(single.anchors[1:]) == {0, 1}


# --- segments


@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_every_pixel_has_a_segment_and_numbers_have_no_gap(size: int) -> None:
    found = segments(pictures(1, size=size)[0])
    assert found.shape == (size, size)
    assert set(found.ravel()) == set(range(found.max() + 1))
    theirs = felzenszwalb(np.moveaxis(pictures(1, size=size)[0], 0, -1), scale=10, sigma=0.4, min_size=20)
    assert (found == theirs).all()


def test_grey_images_are_cut_as_the_colour_images_that_look_the_same() -> None:
    digits = (load_digits().images[:40, None] * 15.9).astype(np.uint8)
    found = [segments(one) for one in digits]
    assert all(
        (one == segments(np.repeat(image, 3, axis=0))).all() for one, image in zip(found, digits, strict=True)
    )
    assert {1, 2} <= {int(one.max()) + 1 for one in found} <= {1, 2, 3}
    assert segments(np.zeros((1, 5, 9), np.uint8)).max() == 0


# --- the metric


def by_the_released_code(
    model: nn.Module, image: NDArray[np.uint8], rows: NDArray[np.float64], anchors: list[int]
):
    """LIME as its code has it: one painted picture after the other, cosine distances, Ridge."""
    picture = np.moveaxis(image, 0, -1)
    parts = felzenszwalb(picture, scale=10, sigma=0.4, min_size=20)
    answers = []
    for row in rows:
        painted = picture.copy()
        for part in np.flatnonzero(row == 0):
            painted[parts == part] = 0
        with torch.no_grad():
            answers.append(
                model(torch.tensor(painted / 255.0, dtype=torch.float32).permute(2, 0, 1)[None])[0]
                .softmax(0)
                .numpy()
            )
    answers = np.array(answers)[:, np.argmax(answers[anchors[0]])]
    fits = []
    for anchor in anchors:
        away = pairwise_distances(rows, rows[anchor].reshape(1, -1), metric="cosine").ravel()
        fits.append(Ridge(alpha=1).fit(rows, answers, sample_weight=np.sqrt(np.exp(-(away**2) / 0.25**2))))
    errors = [np.mean((one.predict(rows) - answers) ** 2) for one in fits]
    moved = [np.linalg.norm(one.coef_ - fits[0].coef_) ** 2 for one in fits[1:]]
    return errors[0], np.mean(moved), np.mean(errors)


def test_with_cosine_distances_it_is_the_released_codes_loop() -> None:
    model, stored = small_net(), pictures(3)
    params = replace(SMALL, images=3, distance="cosine")
    found = measured(of(model, stored), params)
    for place, image in enumerate(stored):
        near = neighbourhood(Seeds(0), place, int(segments(image).max()) + 1, params.samples, params.anchors)
        rows = drawn(near)
        first = np.r_[0, near.counts.cumsum()][near.anchors]
        theirs = by_the_released_code(model, image, rows, list(first))
        ours = [found.arrays[name][place] for name in ("fidelity", "stability", "causal")]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-10)
        assert min(theirs) > 1e-7


def test_a_net_linear_in_its_pixels_has_no_error_and_a_constant_one_neither() -> None:
    linear = measured(of(Mean(0.3), pictures(4)), replace(SMALL, ridge=1e-8))
    assert linear.values["fidelity"].value < 1e-6
    assert linear.values["stability"].value < 1e-6
    assert linear.values["lime.constant"].value == 0
    assert linear.values["lime.r2"].value == pytest.approx(1, abs=1e-4)
    flat = measured(of(Mean(0.0), pictures(4)))
    assert (
        flat.values["fidelity"].value
        == flat.values["stability"].value
        == flat.values["lime.causal"].value
        == 0
    )
    assert flat.values["lime.constant"].value == 1
    assert flat.values["lime.response"].value == pytest.approx(0.6)
    assert np.isnan(flat.values["lime.r2"].value)


def test_the_same_seed_gives_the_same_bits_and_another_other_vectors() -> None:
    net = of(small_net(), pictures(6))
    one, same, other = measured(net), measured(net), measured(net, seed=1)
    assert one.values == same.values
    assert all((one.arrays[name] == same.arrays[name]).all() for name in one.arrays)
    assert one.values["fidelity"].value != other.values["fidelity"].value
    assert (one.arrays["segments"] == other.arrays["segments"]).all()


def test_an_image_is_explained_the_same_whichever_others_are() -> None:
    net = of(small_net(), pictures(6))
    few, all_of_them = (measured(net, replace(SMALL, images=count, which="first")) for count in (2, 6))
    for name in ("fidelity", "stability", "r2", "segments"):
        assert (few.arrays[name] == all_of_them.arrays[name][:2]).all()


def test_an_image_keeps_its_vectors_where_only_some_of_the_set_are_shown() -> None:
    net = of(small_net(), pictures(6))
    picked = replace(net, images={"test": net.images["test"].pick(np.array([1, 4]))})
    some, every = (measured(one, replace(SMALL, images=6)) for one in (picked, net))
    assert (some.arrays["stability"] == every.arrays["stability"][[1, 4]]).all()


def test_images_are_spread_over_the_set_or_its_first() -> None:
    assert list(lime.chosen(50_000, lime.Params(images=1000))) == list(range(0, 50_000, 50))
    assert list(lime.chosen(10, lime.Params(images=4))) == [0, 2, 5, 7]
    assert list(lime.chosen(10, lime.Params(images=4, which="first"))) == [0, 1, 2, 3]
    assert list(lime.chosen(3, lime.Params(images=4))) == [0, 1, 2]


def test_values_are_means_over_images_and_errors_their_spread() -> None:
    found = measured(of(small_net(), pictures(6)))
    for row, name in (("fidelity", "fidelity"), ("stability", "stability"), ("lime.segments", "segments")):
        seen = found.arrays[name]
        assert found.values[row].value == pytest.approx(seen.mean())
        assert found.values[row].error == pytest.approx(seen.std(ddof=1) / 2)
        assert found.values[row].n == 4
    assert next(iter(found.values)) == "fidelity"
    assert set(lime.VERDICT) <= set(lime.BETTER) <= set(found.values)
    assert lime.price({"test": 3}, SMALL) == 3 * 120


@pytest.mark.parametrize("size", [8, 28])
def test_grey_images_of_other_sizes_and_of_one_segment_are_explained(size: int) -> None:
    stored = pictures(4, channels=1, size=size)
    stored[0] = 90
    found = measured(of(small_net(channels=1), stored))
    assert found.arrays["segments"][0] == 1
    assert all(np.isfinite(value.value) for value in found.values.values())


def test_weights_buffers_mode_and_gradients_stay_and_folding_changes_rounding_alone() -> None:
    model = initialise_(build("resnet20s", shape=(3, 16, 16), classes=10), "kaiming-normal", Seeds(0)).eval()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    net = of(model, pictures(1), mean=(0.5,) * 3, std=(0.2,) * 3)
    params = replace(SMALL, images=1, samples=40)
    found = measured(net, params)
    assert all((one == before[name]).all() for name, one in model.state_dict().items())
    assert not model.training
    assert all(one.grad is None for one in model.parameters())
    unfolded = lime._image(net, Seeds(0), 0, params)
    assert found.values["fidelity"].value == pytest.approx(unfolded.fidelity, rel=1e-3)
    assert found.values["stability"].value == pytest.approx(unfolded.stability, rel=1e-3)


def test_answers_that_are_no_numbers_make_the_value_none() -> None:
    model = small_net()
    with torch.no_grad():
        model[5].bias.fill_(float("nan"))
    found = measured(of(model, pictures(2)))
    assert np.isnan(found.values["fidelity"].value)


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("images", 0, "at least 1"), ("which", "last", "spread, first"), ("anchors", 0, "at least 1"),
        ("samples", 3, "above metrics.lime.anchors = 3"), ("distance", "l2", "hamming, cosine"),
        ("width", 0.0, "at least 0.05"), ("width", float("nan"), "at least"), ("ridge", 0.0, "above 0"),
    ],
)  # fmt: skip
def test_a_key_out_of_range_is_refused_with_what_would_be_right(key: str, value: object, right: str) -> None:
    with pytest.raises(UsageError, match=rf"metrics\.lime\.{key} = .* must be .*{right}"):
        measured(of(small_net(), pictures(2)), replace(SMALL, **{key: value}))


@pytest.mark.long
def test_the_benchmarks_loop_over_sampled_pictures_finds_what_the_metric_finds() -> None:
    found = benchmark.compare("resnet20s", benchmark.blotches(1), samples=30, rounds=1)
    assert found["largest difference"] < 1e-6
    assert 0.5 < found["distinct vectors"] <= 1


@pytest.mark.gpu
def test_the_gpu_says_what_the_cpu_says() -> None:
    model, stored, cuda = small_net(), pictures(4), torch.device("cuda")
    here = measured(of(model, stored))
    scaling = Scaling.of((0.0,) * 3, (1.0,) * 3, cuda)
    images = Images(Split(stored, np.zeros(4, dtype=np.int64)), None, scaling, cuda)
    there = measured(Specimen(model.to(cuda), None, {"test": images}, 5, scaling))
    for name, value in here.values.items():
        assert there.values[name].value == pytest.approx(value.value, rel=1e-3, abs=1e-7), name
