"""What every metric owes, whoever wrote it: the suite that ships as `ticketctl.testing`, on each that is found.

A metric takes part as soon as its module is there; what makes it quick stands in SAID. Besides: what our own owe
alone, and single ones against a plain loop or scikit-learn.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from ticketctl import plugins
from ticketctl.errors import UsageError
from ticketctl.metrics._softmax import probabilities
from ticketctl.seeds import Seeds
from ticketctl.testing import MetricSuite
from ticketctl.train.exam import Answers, Exam, Measurement

METRICS = sorted(plugins.plugins("metrics"))
OF_ANSWERS = [name for name in METRICS if "net" not in plugins.plugins("metrics")[name].literals["NEEDS"]]
SAID: dict[str, dict[str, Any]] = {
    "autoattack": {"keys": {"images": 3, "eps": 0.5}, "pytestmark": pytest.mark.long},
    "compositional": {"absent": True},
    "cost": {"keys": {"time": False}, "unseen": ("cost.speed.compact", "cost.speed.csr")},
    "hessian": {"keys": {"images": 10, "least": 4, "most": 6, "steps": 5}},
    "input-hessian": {"keys": {"images": 5, "probes": 3, "steps": 3}},
    "lime": {"keys": {"images": 3, "samples": 40}},
    "pac-bayes": {"keys": {"images": 20, "draws": 2, "input_draws": 2, "tolerance": 0.1}},
    "pgd": {"keys": {"steps": 3}},
}
"""What makes a metric quick, or cannot be guessed."""


def class_name(words: str) -> str:
    return "Test" + "".join(word[0].upper() + word[1:] for word in words.split("-"))


for metric in METRICS:
    globals()[class_name(metric)] = type(
        class_name(metric), (MetricSuite,), {"__module__": __name__, "metric": metric, **SAID.get(metric, {})}
    )


def sets(seed: int = 0) -> dict[str, Answers]:
    draws = np.random.default_rng(seed)
    found = {}
    counts = {
        "train": 300,
        "val": 120,
        "test": 200,
        "ood/noise": 150,
        "corrupt/fog/1": 200,
        "corrupt/snow/2": 200,
    }
    for name, count in counts.items():
        logits = (3 * draws.normal(size=(count, 5))).astype(np.float32)
        labels = np.where(draws.random(count) < 0.7, logits.argmax(1), draws.integers(0, 5, count))
        found[name] = Answers(logits, labels if "ood" not in name else np.full(count, -1))
    return found


def exam(known: Mapping[str, Answers], seed: int = 0) -> Exam:
    return Exam(known.__getitem__, tuple(known), Seeds(seed))


def measured(name: str, known: Mapping[str, Answers], seed: int = 0) -> Measurement:
    module = plugins.load("metrics", name)
    found: Measurement = module.measure(exam(known, seed), params=module.Params())
    return found


def test_the_metrics_of_the_verdict_are_the_nine_of_paper_004() -> None:
    rows = [row for one in plugins.plugins("metrics").values() for row in one.literals.get("VERDICT", ())]
    assert sorted(rows) == [
        "accuracy", "auroc", "ece", "fgsm", "fidelity", "hessian.trace", "mce", "nll", "stability",
    ]  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_keys_out_of_their_range_are_refused_before_anything_is_measured(name: str) -> None:
    kind = plugins.load("metrics", name).Params
    numbers = [
        one.name for one in fields(kind) if isinstance(one.default, int) and not isinstance(one.default, bool)
    ]
    for key in numbers:
        with pytest.raises(UsageError, match=f"metrics.{name}.{key} = -1 must be"):
            kind(**{key: -1})


def test_metrics_of_answers_are_taken_without_torch() -> None:
    code = (
        "import sys, importlib\n"
        f"for name in {OF_ANSWERS!r}: importlib.import_module('ticketctl.metrics.' + name.replace('-', '_'))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_accuracy_and_areas_are_those_of_scikit_learn() -> None:
    known = sets()
    test, other = known["test"], known["ood/noise"]
    found = measured("accuracy", known).values["accuracy"]
    assert found.value == pytest.approx(accuracy_score(test.labels, test.logits.argmax(1)))
    share = found.value
    assert found.error == pytest.approx((share * (1 - share) / (found.n - 1)) ** 0.5)
    truth = np.r_[np.ones(len(test)), np.zeros(len(other))]
    scores = np.r_[probabilities(test.logits).max(1), probabilities(other.logits).max(1)]
    assert measured("ood", known).values["auroc.noise"].value == pytest.approx(roc_auc_score(truth, scores))


def test_the_error_of_a_resampled_metric_is_its_spread_over_samples() -> None:
    values = [measured("ece", sets(seed)).values["ece"] for seed in range(40)]
    assert np.mean([one.error for one in values]) == pytest.approx(
        np.std([one.value for one in values]), rel=0.4
    )
