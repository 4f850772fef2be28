"""Calibration against closed forms, a plain loop, scikit-learn, torch and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from ticketctl.metrics import _calibration as cal
from ticketctl.metrics import ace
from ticketctl.metrics._softmax import answers, log_softmax, probabilities, right
from ticketctl.seeds import Seeds
from ticketctl.train.exam import RESAMPLINGS, Answers, Exam


def classwise(p: np.ndarray, labels: np.ndarray, bins: int, weights: np.ndarray, *, mass: bool) -> float:
    return cal.classes(p, cal.one_hot(labels, p.shape[1]), bins, mass=mass).error(weights)


def net(
    count: int = 500, classes: int = 7, scale: float = 3.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    draws = np.random.default_rng(seed)
    logits = (scale * draws.normal(size=(count, classes))).astype(np.float32)
    labels = np.where(draws.random(count) < 0.6, logits.argmax(1), draws.integers(0, classes, count))
    return logits, labels


def top(bins: int, *, mass: bool = False, seed: int = 0) -> cal.Bins:
    logits, labels = net(seed=seed)
    confidence = probabilities(logits).max(1)
    cut = cal.equal_mass if mass else cal.equal_width
    return cal.binned(confidence, right(logits, labels), cut(confidence, bins), bins, np.ones(len(labels)))


def test_log_softmax_is_torchs_and_finite_at_extreme_logits() -> None:
    logits, _ = net()
    theirs = torch.log_softmax(torch.from_numpy(logits).double(), 1)
    np.testing.assert_allclose(log_softmax(logits), theirs.numpy(), rtol=1e-12)
    extreme = np.array([[3e38, -3e38, 0]], dtype=np.float32)
    assert np.isfinite(log_softmax(extreme)).all()
    assert np.isfinite(cal.surprise(extreme, np.array([1]))).all()
    assert (answers(np.zeros((2, 3), np.float32)) == 0).all()


def test_the_expected_error_is_that_of_a_loop_over_right_closed_bins() -> None:
    logits, labels = net()
    confidence, hit = probabilities(logits).max(1), right(logits, labels)
    for bins in (1, 14, 15):
        want = 0.0
        for m in range(bins):
            inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
            if inside.any():
                want += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
        assert cal.expected_error(top(bins)) == pytest.approx(want, abs=1e-12)
    assert cal.expected_error(top(1)) == pytest.approx(abs(hit.mean() - confidence.mean()))


def test_a_confidence_on_an_edge_is_in_the_bin_below_it_and_one_is_in_the_last() -> None:
    assert cal.equal_width(np.array([0.0, 0.1, 0.5, 0.50001, 1.0]), 10).tolist() == [0, 0, 4, 5, 9]


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    draws = np.random.default_rng(1)
    logits = (2 * draws.normal(size=(10_000, 5))).astype(np.float32)
    p = probabilities(logits)
    labels = (p.cumsum(1) > draws.random((10_000, 1))).argmax(1)
    index = cal.equal_width(p.max(1), 15)
    bins = cal.binned(p.max(1), right(logits, labels), index, 15, np.ones(10_000))
    assert cal.expected_error(bins) < 0.02
    assert cal.root_mean_square_error(bins) >= cal.expected_error(bins)


@pytest.mark.parametrize("mass", [False, True])
def test_the_order_of_the_examples_does_not_matter_and_weights_are_copies(mass: bool) -> None:
    logits, labels = net()
    p, counts = probabilities(logits), np.random.default_rng(2).integers(0, 4, len(labels))
    order = np.random.default_rng(3).permutation(len(labels))
    ones = np.ones(len(labels))
    ours = classwise(p, labels, 15, ones, mass=mass)
    assert ours == pytest.approx(classwise(p[order], labels[order], 15, ones, mass=mass), abs=1e-12)
    if not mass:  # runs of equal mass are cut among the examples themselves
        weighted = classwise(p, labels, 15, counts.astype(float), mass=False)
        copies = np.repeat(np.arange(len(labels)), counts)
        again = classwise(p[copies], labels[copies], 15, np.ones(len(copies)), mass=False)
        assert weighted == pytest.approx(again, abs=1e-12)


def runs(p: np.ndarray, true: np.ndarray, bins: int) -> float:
    """Equal mass, a class: each example has the mean hit of all that have its probability."""
    mean = np.array([true[p == value].mean() for value in p])
    order = np.argsort(p)
    return sum(abs((mean[part] - p[part]).sum()) for part in np.array_split(order, bins)) / len(p)


@pytest.mark.parametrize("levels", [1, 3, 40, 10**9])
def test_ties_count_with_their_mean_in_whatever_order_they_come(levels: int) -> None:
    logits, labels = net(400, 4)
    coarse = np.round(probabilities(logits) * (levels - 1)) / max(levels - 1, 1)
    want = np.mean([runs(coarse[:, k], labels == k, 15) for k in range(4)])
    for order in (np.arange(400), np.argsort(labels), np.random.default_rng(5).permutation(400)):
        found = classwise(coarse[order], labels[order], 15, np.ones(400), mass=True)
        assert found == pytest.approx(want, abs=1e-12)


def test_a_constant_net_has_the_gaps_of_its_classes_sorted_or_shuffled() -> None:
    labels = np.repeat(np.arange(3), (300, 500, 200))
    exam = lambda seen: Exam(lambda _: seen, ("test",), Seeds(0))  # noqa: E731  # short
    logits = np.log(np.tile([0.5, 0.3, 0.2], (1000, 1))).astype(np.float32)
    for order in (np.arange(1000), np.random.default_rng(5).permutation(1000)):
        found = ace.measure(exam(Answers(logits, labels[order])), params=ace.Params()).values
        assert found["ace"].value == pytest.approx((0.2 + 0.2 + 0) / 3, abs=1e-6)
        assert found["ace.top"].value == pytest.approx(0.2, abs=1e-6)
        assert found["ace.top"].error == pytest.approx((0.3 * 0.7 / 1000) ** 0.5, rel=0.15)


def test_classes_side_by_side_are_each_one_by_itself_and_resampling_polls() -> None:
    logits, labels = net(200, 45)
    p, ones, asked = probabilities(logits), np.ones(200), []
    for mass in (False, True):
        alone = [cal.classes(p[:, [k]], (labels == k)[:, None], 15, mass=mass).error(ones) for k in range(45)]
        assert classwise(p, labels, 15, ones, mass=mass) == pytest.approx(np.mean(alone), abs=1e-12)
    answers = Answers(logits, labels)
    ace.measure(
        Exam(lambda _: answers, ("test",), Seeds(0), poll=lambda: asked.append(1)), params=ace.Params()
    )
    assert len(asked) == 46 + 2 * RESAMPLINGS


def test_bins_of_equal_mass_differ_by_one_example_at_most() -> None:
    count = top(15, mass=True).count
    assert count.max() - count.min() <= 1
    assert count.sum() == 500


@pytest.mark.parametrize("mass", [False, True])
def test_one_hot_and_right_has_no_classwise_error(mass: bool) -> None:
    labels = np.arange(12) % 3
    assert classwise(np.eye(3)[labels], labels, 4, np.ones(12), mass=mass) == 0


def test_brier_and_nll_are_scikit_learns() -> None:
    logits, labels = net(classes=2)
    p = probabilities(logits)
    assert cal.brier(p, labels).mean() == pytest.approx(2 * brier_score_loss(labels, p[:, 1]))
    many, answers_ = net()
    assert cal.surprise(many, answers_).mean() == pytest.approx(log_loss(answers_, probabilities(many)))


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_the_fitted_temperature_is_the_one_that_scipy_finds(scale: float) -> None:
    logits, labels = net(scale=scale)
    found = cal.fitted_temperature(logits, labels)
    loss = lambda log_t: cal.surprise(logits, labels, float(np.exp(log_t))).mean()  # noqa: E731  # short
    best = minimize_scalar(loss, bounds=(-6, 6), method="bounded", options={"xatol": 1e-10})
    assert found == pytest.approx(np.exp(best.x), rel=1e-5)
    assert (answers(logits) == probabilities(logits, found).argmax(1)).all()


def test_a_net_that_is_always_right_gets_the_least_temperature() -> None:
    logits = (5 * np.eye(3)).astype(np.float32)
    assert cal.fitted_temperature(logits, np.arange(3)) == pytest.approx(1e-3, rel=1e-6)


def test_a_net_that_is_always_right_has_its_temperature_at_the_bound() -> None:
    labels = np.arange(12) % 3
    logits = np.eye(3, dtype=np.float32)[labels]
    assert cal.fitted_temperature(logits, labels) == cal.TEMPERATURES[0]
    assert cal.fitted_temperature(-logits, labels) == cal.TEMPERATURES[1]


def test_logits_that_are_all_alike_are_left_as_they_are() -> None:
    logits = np.tile(np.array([[0.1], [-3.7], [0.3]], dtype=np.float32), (4, 7))
    assert cal.fitted_temperature(logits, np.arange(12) % 7) == 1
