"""Telling examples from others against scikit-learn, and what must hold of any score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ticketctl.metrics import _detection as det
from ticketctl.metrics import ood
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent, Answers, Exam

Scores = NDArray[np.float64]


def scores(seed: int, *, ties: bool) -> tuple[Scores, Scores]:
    draws = np.random.default_rng(seed)
    inside, outside = draws.normal(0.7, 1, 300), draws.normal(0, 1, 200)
    return (inside.round(1), outside.round(1)) if ties else (inside, outside)


def both(inside: Scores, outside: Scores) -> tuple[Scores, Scores]:
    return np.r_[np.ones(len(inside)), np.zeros(len(outside))], np.r_[inside, outside]


@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_those_of_scikit_learn(ties: bool) -> None:
    inside, outside = scores(0, ties=ties)
    truth, values = both(inside, outside)
    assert det.auroc(inside, outside)[0] == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    ours = det.average_precision(inside, outside)
    assert ours == pytest.approx(average_precision_score(truth, values), abs=1e-12)
    other = det.average_precision(-outside, -inside)
    assert other == pytest.approx(average_precision_score(1 - truth, -values), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_false_positives_are_read_off_scikit_learns_curve(ties: bool) -> None:
    inside, outside = scores(1, ties=ties)
    false, true, _ = roc_curve(*both(inside, outside), drop_intermediate=False)
    assert det.false_positives(inside, outside) == pytest.approx(false[true >= 0.95 - 1e-12].min(), abs=1e-12)


def test_swapping_the_sets_mirrors_the_area_and_a_monotone_map_leaves_it() -> None:
    inside, outside = scores(2, ties=True)
    area = det.auroc(inside, outside)[0]
    assert det.auroc(outside, inside)[0] == pytest.approx(1 - area, abs=1e-12)
    assert det.auroc(np.exp(inside), np.exp(outside))[0] == area
    assert det.average_precision(np.exp(inside), np.exp(outside)) == det.average_precision(inside, outside)


def test_equal_scores_tell_nothing() -> None:
    inside, outside = np.ones(30), np.ones(10)
    assert det.auroc(inside, outside) == (0.5, 0)
    assert det.average_precision(inside, outside) == 0.75
    assert det.false_positives(inside, outside) == 1


def test_the_standard_error_of_the_area_is_its_spread_over_samples() -> None:
    areas, errors = zip(*(det.auroc(*scores(seed, ties=False)) for seed in range(400)), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(areas, ddof=1), rel=0.1)


def test_scores_are_torchs_softmax_maximum_and_logsumexp() -> None:
    logits = np.random.default_rng(3).normal(0, 20, (50, 4)).astype(np.float32)
    theirs = torch.from_numpy(logits).double()
    np.testing.assert_allclose(det.max_probability(logits), theirs.softmax(1).amax(1).numpy(), rtol=1e-12)
    np.testing.assert_allclose(det.energy(logits), theirs.logsumexp(1).numpy(), rtol=1e-12)
    assert (det.max_logit(logits) == logits.max(1)).all()
    entropies = torch.distributions.Categorical(logits=theirs).entropy().numpy()
    np.testing.assert_allclose(det.entropy(logits), -entropies, atol=1e-12)
    assert det.entropy(np.zeros((1, 4), np.float32)) == pytest.approx(-np.log(4))
    assert det.entropy(np.array([[3e38, -3e38]], np.float32)) == [0]


def exam(test: Answers, **others: Answers) -> Exam:
    sets = {"test": test, **{f"ood/{name}": one for name, one in others.items()}}
    return Exam(sets.__getitem__, tuple(sets), Seeds(0))


def answers(seed: int, count: int, labels: NDArray[np.int64] | None = None, **more: Any) -> Answers:
    draws = np.random.default_rng(seed)
    logits = draws.normal(0, 2, (count, 6)).astype(np.float32)
    return Answers(logits, np.full(count, -1) if labels is None else labels, **more)


def test_every_score_has_its_rows_for_every_set() -> None:
    test, other = answers(0, 40, np.arange(40) % 6), answers(1, 30)
    found = ood.measure(exam(test, svhn=other), params=ood.Params())
    tails = ("", ".energy", ".maxlogit", ".entropy")
    assert {*found.values} == {f"{key}.svhn{tail}" for key in ood.BETTER for tail in tails}
    truth, values = both(det.entropy(test.logits), det.entropy(other.logits))
    assert found.values["auroc.svhn.entropy"].value == pytest.approx(roc_auc_score(truth, values), abs=1e-12)


def test_logits_of_other_classes_are_left_out_before_the_softmax_and_so_are_their_images() -> None:
    """ImageNet-O: 200 classes of 1,000, and the test images of these."""
    classes = np.array([1, 4])
    test, other = answers(0, 60, np.arange(60) % 6), answers(1, 30, classes=classes)
    found = ood.measure(exam(test, folder=other), params=ood.Params())
    mine = np.isin(test.labels, classes)
    shares = [torch.from_numpy(one).double()[:, classes].softmax(1).amax(1).numpy()
              for one in (test.logits[mine], other.logits)]  # fmt: skip
    truth, values = both(*shares)
    assert found.values["auroc.folder"].value == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    assert found.values["auroc.folder"].n == 20 + 30
    assert found.protocol["restricted"] == {"folder": {"classes": 2, "test": 20}}
    assert found.protocol["counts"] == {"test": 60, "folder": 30}
    nowhere = test.labels == 1
    test.logits[:, [0, 2, 3, 5]] = 1e9  # what is left out says nothing
    test.logits[~np.isin(test.labels, classes)] = 0
    again = ood.measure(exam(test, folder=other), params=ood.Params())
    assert again.values == found.values
    lone = Answers(test.logits[~nowhere], test.labels[~nowhere])
    with pytest.raises(Absent, match="no test image is of the classes"):
        ood.measure(exam(lone, folder=answers(1, 30, classes=np.array([1]))), params=ood.Params())
