"""LTH-PASS as paper 004 prints it, the rules of §4.9 one by one, and what must not change a verdict."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.artifacts import verdicts
from tests.artifacts.verdicts import audit, facts, net, row
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.verdict import Verdict
from ticketctl.artifacts.verdict_models import Finding
from ticketctl.data import corrupted
from ticketctl.errors import MismatchError, UsageError
from ticketctl.figures.ranks import means, radar
from ticketctl.plugins import plugins
from ticketctl.stages.extreme import lth_pass, reaches
from ticketctl.stages.verdict import POINT, Rule, judge, overall
from ticketctl.stages.verdict_inputs import PACKAGES, SHOWN, Net
from ticketctl.stages.verdict_values import (
    EXTRA,
    MODULES,
    OPTIONAL,
    REQUIRED,
    STANDARD,
    Sets,
    ood_set,
    read_pair,
)

TABLES = Path(__file__).resolve().parents[3] / "shared" / "reference" / "paper-tables.json"
"""Transcribed from the papers; it lies beside the repository where it is worked on, and is not shipped."""
LEVELS = [1 - Fraction(4, 5) ** rounds for rounds in range(1, 33)]
PRINTED = {f"{100 * float(level):.2f}": level for level in LEVELS}
VGG11 = {
    "CIFAR-10": ([98.2, 96.48, 98.2, 98.2, 98.2, 98.2, 98.2, 98.2, 98.2], 96.48),
    "CIFAR-100": ([96.48, 89.26, 96.48, 95.6, 86.58, 94.5, 91.41, 96.48, 93.13], 86.58),
}
"""Paper 004, section 4.5: extreme sparsities of the nine metrics, and LTH-PASS."""


TICKET, FULL = audit("imp-0"), audit("dense-0")


def finding(verdict: Verdict, metric: str, place: int = 0) -> Finding:
    return next(found for found in verdict.nets[place].metrics if found.metric == metric)


def one(changes: Mapping[str, float | None] | None = None, **more: Any) -> Net:
    """A net of one seed; values have no errors."""
    return net([audit("imp-0", changes, **more)], [audit("dense-0")])


def corrupted_by(factor: float) -> dict[str, float]:
    """So many times the errors of `GOOD` under each corruption."""
    return {name: factor * value for name, value in verdicts.GOOD.items() if name.startswith("corruption.")}


def status(metric: str, value: float | None, rule: Rule | None = None) -> str:
    return finding(judge([one({metric: value})], rule or Rule()), metric).status


# ------------------------------------------------------------------------------------------- what the papers print


@pytest.mark.parametrize("data", VGG11)
def test_t15_lth_pass_of_vgg11_is_the_least_extreme_sparsity_of_its_row(data: str) -> None:
    extremes, printed = VGG11[data]
    limits = dict(zip(REQUIRED, (PRINTED[f"{value:.2f}"] for value in extremes), strict=True))
    levels = [(level, {name: level <= limit for name, limit in limits.items()}) for level in LEVELS]
    random.Random(0).shuffle(levels)
    found = reaches(levels, REQUIRED)
    assert [found[name].sparsity for name in REQUIRED] == list(limits.values())
    assert lth_pass(found) == PRINTED[f"{printed:.2f}"]
    assert all(reach.first_failure is not None for reach in found.values())


def test_t15_the_one_point_rule_gives_67_and_91_percent_on_table_a3_of_paper_001() -> None:
    sparsities = [20, 36, 49, 59, 67, 74, 79, 83, 87, 89, 91, 93, 94, 95, 96, 97]
    vanilla = (
        "74.28 74.54 74.45 74.07 74.43 73.31 73.21 72.94 71.91 71.58 71.12 70.51 70.44 69.43 69.57 67.89"
    )
    both = "76.12 76.32 76.08 75.71 75.57 75.12 74.84 74.93 74.90 74.83 74.23 73.26 73.69 72.75 73.04 72.82"
    dense = Fraction("74.87")
    found = []
    for text in (vanilla, both):
        levels = [
            (Fraction(sparsity), {"accuracy": Fraction(value) >= dense - 100 * POINT})
            for sparsity, value in zip(sparsities, text.split(), strict=True)
        ]
        found.append(reaches(levels, ["accuracy"])["accuracy"].sparsity)
    assert found == [67, 91]


@pytest.mark.long
@pytest.mark.skipif(not TABLES.exists(), reason="the papers' tables are not beside this checkout")
def test_t15_the_tables_here_are_the_papers_and_the_rule_of_003_gives_its_winning_tickets() -> None:
    tables = {(one["seed"], one["table"]): one for one in json.loads(TABLES.read_text())["tables"]}
    rows = {line[0]: (line[1:10], line[10]) for line in tables["004", "text 4.5"]["rows"]}
    assert rows == {name: ([*values], printed) for name, (values, printed) in VGG11.items()}
    checked = 0
    for table in (one for (seed, _), one in tables.items() if seed == "003" and "winning_computed" in one):
        dense = table["columns"].index("0.00")
        for line, winning in zip(table["rows"], table["winning_computed"], strict=True):
            values = [cell["mean"] for cell in line[dense:]]
            for value, wins in zip(values[1:], winning, strict=True):
                assert wins_by_accuracy(value / 100, values[0] / 100, "s003") == wins
                assert wins_by_accuracy(value / 100, values[0] / 100, "s004") >= wins
                checked += 1
    assert checked > 100


def with_accuracy(report: Report, value: float) -> Report:
    rows = (replace(one, value=value) if one.name == "accuracy" else one for one in report.metrics)
    return replace(report, metrics=tuple(rows))


def wins_by_accuracy(ours: float, dense: float, winning: Any) -> bool:
    reports = [with_accuracy(TICKET, ours), with_accuracy(FULL, dense)]
    verdict = judge([net(reports[:1], reports[1:])], Rule(winning=winning))
    return finding(verdict, "accuracy").status == "pass"


# --------------------------------------------------------------------------------------------------- the tolerances


@pytest.mark.parametrize(("value", "said"), [(0.89, "pass"), (0.8899, "fail"), (0.9, "pass"), (1.0, "pass")])
def test_accuracy_may_lie_one_point_below_dense_and_no_more(value: float, said: str) -> None:
    assert status("accuracy", value) == said


def test_rule_s003_wants_accuracy_not_below_dense() -> None:
    assert [status("accuracy", value, Rule(winning="s003")) for value in (0.9, 0.8999)] == ["pass", "fail"]


@pytest.mark.parametrize(("metric", "good", "bad"), [("nll", 0.4, 0.4001), ("auroc.svhn", 0.8, 0.7999)])
def test_other_metrics_without_errors_may_not_be_worse_at_all(metric: str, good: float, bad: float) -> None:
    name = metric.partition(".")[0]
    assert finding(judge([one({metric: good})], Rule()), name).status == "pass"
    assert finding(judge([one({metric: bad})], Rule()), name).status == "fail"


def test_tol_rel_is_a_share_of_the_dense_mean() -> None:
    rule = Rule(tol_rel=0.05)
    assert [status("nll", value, rule) for value in (0.42, 0.4201)] == ["pass", "fail"]
    below = net([audit("imp-0", {"hessian.trace": -10.4})], [audit("dense-0", {"hessian.trace": -10.0})])
    assert finding(judge([below], rule), "hessian.trace").allowed == "0.5"


def test_the_pooled_error_of_several_seeds_is_that_of_a_difference_of_means() -> None:
    ours, theirs = [0.40, 0.44, 0.45], [0.41, 0.39, 0.40]
    made = net(
        [audit(f"imp-{seed}", {"nll": value}) for seed, value in enumerate(ours)],
        [audit(f"dense-{seed}", {"nll": value}) for seed, value in enumerate(theirs)],
    )
    verdict = judge([made], Rule())
    found = finding(verdict, "nll")
    spread = (statistics.stdev(ours) ** 2 + statistics.stdev(theirs) ** 2) / 2
    assert float(found.pooled or "") == pytest.approx(math.sqrt(spread * 2 / 3), rel=1e-14)
    assert float(found.worse or "") == pytest.approx(
        statistics.fmean(ours) - statistics.fmean(theirs), rel=1e-12
    )
    assert float(found.error or "") == pytest.approx(statistics.stdev(ours) / math.sqrt(3), rel=1e-14)
    assert (found.status, verdict.nets[0].indicative) == ("fail", False)


def test_one_seed_takes_the_errors_of_the_values_and_is_indicative() -> None:
    rows = [row("nll", 0.41, 0.006)]
    made = net([audit("imp-0", rows=rows)], [audit("dense-0", rows=[row("nll", 0.4, 0.008)])])
    verdict = judge([made], Rule())
    assert verdict.nets[0].indicative
    assert float(finding(verdict, "nll").pooled or "") == pytest.approx(0.01, rel=1e-14)
    assert finding(verdict, "nll").status == "pass"
    bare = net(
        [audit("imp-0", rows=[row("nll", 0.41, None)])], [audit("dense-0", rows=[row("nll", 0.4, None)])]
    )
    assert finding(judge([bare], Rule()), "nll").status == "fail"


def test_t11_mce_of_the_dense_net_is_one_twice_the_errors_two_and_no_error_is_left_out() -> None:
    same = finding(judge([one()], Rule()), "mce")
    assert (same.mean, same.dense, same.status) == ("1.0", "1.0", "pass")
    twice = finding(judge([one(corrupted_by(2.0))], Rule()), "mce")
    assert (twice.mean, twice.worse, twice.status) == ("2.0", "1.0", "fail")
    clear = net([audit("imp-0", {"corruption.fog": 0.9})], [audit("dense-0", {"corruption.fog": 0.0})])
    left = finding(judge([clear], Rule()), "mce")
    assert (left.mean, left.skipped) == ("1.0", ("fog",))
    nothing = judge([net([audit("imp-0")], [audit("dense-0", corrupted_by(0.0))])], Rule())
    assert finding(nothing, "mce").reason == "the dense net makes no error on any corruption"
    assert nothing.outcome == "incomplete"


def test_mce_is_over_the_standard_corruptions_and_the_extra_ones_on_request() -> None:
    rows = {"corruption.nll": 7.0, "corruption.extra": 0.9, "corruption.relative": 0.1}
    rows |= {f"corruption.{name}": 0.9 for name in EXTRA}
    dense = {**rows, **{f"corruption.{name}": 0.3 for name in EXTRA}}
    made = net([audit("imp-0", rows)], [audit("dense-0", dense)])
    usual, wide = (finding(judge([made], Rule(corruptions=count)), "mce") for count in (15, 19))  # type: ignore[arg-type]  # mypy takes count for an int
    assert (usual.mean, usual.absent) == ("1.0", ())
    assert float(wide.mean or "") == pytest.approx((15 + 4 * 3) / 19)
    assert (STANDARD, EXTRA) == (corrupted.STANDARD, corrupted.EXTRA)


def test_mce_over_fewer_corruptions_than_the_rule_has_is_missing_and_says_how_to_have_all() -> None:
    fewer = [f"corruption.{name}" for name in STANDARD if name != "fog"]
    for made in (
        net([audit("imp-0", without=fewer)], [audit("dense-0", without=fewer)]),
        net([audit("imp-0", without=fewer)], [audit("dense-0")]),
        net([audit("imp-0")], [audit("dense-0", without=fewer)]),
    ):
        verdict = judge([made], Rule())
        found = finding(verdict, "mce")
        assert (found.status, found.mean, found.relative, verdict.outcome) == (
            "missing",
            None,
            None,
            "incomplete",
        )
        assert found.absent == tuple(sorted({*STANDARD} - {"fog"}))
        assert found.reason == (
            "14 of 15 corruptions not shown: gaussian_noise, shot_noise and 12 more; "
            "audit all: --set audit.corruptions=standard, all five severities"
        )
    wide = finding(judge([one()], Rule(corruptions=19)), "mce")
    assert (wide.status, len(wide.absent)) == ("missing", 4)
    assert "--set audit.corruptions=all" in wide.reason


def test_an_mce_over_fewer_is_still_a_number_for_who_asks_for_it_alone() -> None:
    """`compare` does, of audits under one recipe, and a verdict does not."""
    fewer = [f"corruption.{name}" for name in STANDARD if name not in ("fog", "snow")]
    ours = audit("imp-0", {"corruption.fog": 0.3, "corruption.snow": 0.2}, without=fewer)
    found, dense = read_pair(ours, audit("dense-0", without=fewer), "mce", Sets(None))
    assert (found.value, dense.value, found.fewer[:8]) == (1, 1, "13 of 15")


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        (
            {"missing": ["fog/2", "fog/3", "snow/1"]},
            "3 of 75 corrupted sets not shown: fog/2, fog/3 and 1 more; audit",
        ),
        ({}, "the report does not say which severities were shown; audit all"),
        ({"missing": ["spatter/1"]}, ""),
    ],
)
def test_mce_over_fewer_severities_is_missing(protocol: dict[str, Any], says: str) -> None:
    rows = [row(f"corruption.{name}", 0.2, protocol=protocol) for name in STANDARD]
    verdict = judge([net([audit("imp-0", rows=rows)], [audit("dense-0", rows=rows)])], Rule())
    found = finding(verdict, "mce")
    assert (found.status, verdict.outcome) == (("missing", "incomplete") if says else ("pass", "pass"))
    assert found.reason.startswith(says)


def test_mce_is_the_mean_of_the_seeds_ratios_each_to_its_own_dense_net() -> None:
    ours = [audit("imp-0", {"corruption.fog": 0.3}), audit("imp-1", {"corruption.fog": 0.3})]
    theirs = [audit("dense-0", {"corruption.fog": 0.2}), audit("dense-1", {"corruption.fog": 0.4})]
    found = finding(judge([net(ours, theirs)], Rule()), "mce")
    assert float(found.mean or "") == pytest.approx((15.5 / 15 + 14.75 / 15) / 2, rel=1e-14)
    assert found.dense_error == "0.0"


def test_the_error_of_a_ratio_is_that_of_the_delta_method() -> None:
    rng = random.Random(1)
    e, d, se, sd = 0.3, 0.4, 0.01, 0.02
    drawn = [rng.gauss(e, se) / rng.gauss(d, sd) for _ in range(40_000)]
    rows = lambda value, error: [row("corruption.fog", value, error)]  # noqa: E731  # short
    made = net([audit("imp-0", rows=rows(e, se))], [audit("dense-0", rows=rows(d, sd))])
    found = finding(judge([made], Rule()), "mce")
    assert float(found.pooled or "") == pytest.approx(statistics.stdev(drawn) / 15, rel=0.03)


def test_mce_of_one_pair_has_the_error_of_pairs_of_answers_and_says_where_it_has_not() -> None:
    ours, theirs = (5, 4, 3, 0, 3, 0, 0, 0), (5, 4, 2, 0, 3, 0, 1, 0)
    made = net([verdicts.counted("imp-0", {"snow": ours})], [verdicts.counted("dense-0", {"snow": theirs})])
    found = finding(judge([made], Rule()), "mce")
    parts = [(a - sum(ours) / sum(theirs) * b) / (sum(theirs) / 8) for a, b in zip(ours, theirs, strict=True)]
    assert float(found.error or "") == pytest.approx(
        math.sqrt(sum(part**2 for part in parts) / 56) / 15, rel=1e-12
    )
    assert (found.mean, found.reason) == ("1.0", "")
    lone = [verdicts.counted("dense-0", {"snow": theirs}), verdicts.counted("dense-0", {"snow": theirs[:6]})]
    bare = replace(lone[0], arrays={})
    for other in (bare, lone[1]):
        mixed = net([verdicts.counted("imp-0", {"snow": ours})], [other])
        found = finding(judge([mixed], Rule()), "mce")
        assert "independent" in found.reason
        assert found.status != "missing"


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 8), np.uint8), np.ones((1, 8)), np.ones(8, np.uint8), np.ones((1, 1, 8), np.uint8),
     np.ones((1, 0), np.uint8), np.ones((1, 1), np.uint8), np.ones((0, 8), np.uint8)],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)  # fmt: skip
def test_counts_of_another_form_are_no_counts_and_break_nothing(array: np.ndarray) -> None:
    counts = {"snow": (5, 4, 3, 0, 3, 0, 0, 0)}
    ours, theirs = (verdicts.counted(name, counts) for name in ("imp-0", "dense-0"))
    for pair in (
        (replace(ours, arrays={"corruption/wrong": array}), theirs),
        (ours, replace(theirs, arrays={"corruption/wrong": array})),
        tuple(replace(one, arrays={"corruption/wrong": array}) for one in (ours, theirs)),
    ):
        found = finding(judge([net(pair[:1], pair[1:])], Rule()), "mce")
        assert (found.mean, "independent" in found.reason) == ("1.0", True)


def test_the_error_of_several_pairs_is_that_of_their_spread_and_says_nothing_of_images() -> None:
    found = finding(judge(verdicts.passing(), Rule()), "mce")
    assert (found.error, found.reason) == ("0.0", "")


def test_relative_mce_stands_beside_mce_and_decides_nothing() -> None:
    same = finding(judge([one()], Rule()), "mce")
    assert same.relative is not None
    assert (same.relative.mean, same.relative.skipped) == ("1.0", ())
    worse = {"corruption.fog": 0.3, "corruption.snow": 0.6, "accuracy": 0.895}
    rest = 13 * (0.25 - 0.105) / 0.15
    found = judge([net([audit("imp-0", worse)], [audit("dense-0", {"corruption.fog": 0.08})])], Rule())
    relative = finding(found, "mce").relative
    assert relative is not None
    assert (float(relative.mean), relative.skipped) == (
        pytest.approx(((0.6 - 0.105) / 0.3 + rest) / 14),
        ("fog",),
    )
    assert [one.metric for one in found.nets[0].metrics] == [*REQUIRED]
    assert all(one.relative is None for one in found.nets[0].metrics if one.metric != "mce")
    lost = judge([one({"accuracy": None})], Rule())
    assert finding(lost, "mce").relative is None
    assert finding(lost, "mce").status == "pass"


@pytest.mark.parametrize("huge", [1e200, 5e-324, 1.7e308])
def test_corruption_values_beyond_reason_break_nothing(huge: float) -> None:
    for changes in ({"corruption.fog": huge}, {"accuracy": -huge}):
        for made in (one(changes), net([audit("imp-0")], [audit("dense-0", changes)])):
            judge([made], Rule())
    rows = [row("corruption.fog", 0.2, huge)]
    judge([net([audit("imp-0", rows=rows)], [audit("dense-0", rows=rows)])], Rule())


# -------------------------------------------------------------------------------------------- outcomes and flags


@pytest.mark.parametrize("metric", REQUIRED)
def test_t15_a_metric_that_is_missing_or_no_number_leaves_the_verdict_incomplete(metric: str) -> None:
    name = {"mce": "corruption.fog", "auroc": "auroc.svhn"}.get(metric, metric)
    for made in (one({name: None}), one(without=[name])):
        verdict = judge([made], Rule())
        assert finding(verdict, metric).status == "missing"
        assert finding(verdict, metric).reason
        assert (verdict.nets[0].outcome, verdict.outcome) == ("incomplete", "incomplete")


def test_the_reason_of_a_metric_that_was_not_measured_is_the_modules() -> None:
    gone = row(
        "lime", None, metric="lime", better="none", status="absent", reason="scikit-image is not installed"
    )
    made = one(without=["fidelity", "stability"], rows=[gone])
    found = judge([made], Rule())
    assert finding(found, "stability").reason == "scikit-image is not installed"


def test_a_value_beyond_reason_is_missing_and_breaks_nothing() -> None:
    assert status("hessian.trace", 1.7e308) == "missing"


def test_compositional_neurons_are_required_on_request_alone() -> None:
    assert judge([one()], Rule()).outcome == "pass"
    assert judge([one()], Rule(compositional=True)).outcome == "incomplete"
    both = net([audit("imp-0", {"compositional": 0.11})], [audit("dense-0", {"compositional": 0.1})])
    assert judge([both], Rule(compositional=True)).outcome == "pass"


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        ({"train_accuracy": "0.15"}, {}, "fail"),
        ({"train_accuracy": "0.151"}, {}, "pass"),
        ({"train_accuracy": "nan"}, {}, "fail"),
        ({"train_accuracy": None}, {}, "pass"),
        ({}, {"train_accuracy": "0.1"}, "incomplete"),
        ({"collapsed": ("fc.weight",)}, {}, "pass"),
    ],
)
def test_a_net_that_guesses_never_passes_and_a_dense_one_is_no_measure(
    ours: Any, theirs: Any, outcome: str
) -> None:
    made = net(
        [audit("imp-0")], [audit("dense-0")], ours_facts=facts(**ours), theirs_facts=facts(1000, **theirs)
    )
    verdict = judge([made], Rule())
    assert verdict.nets[0].outcome == outcome
    assert bool(verdict.nets[0].flags) == (outcome != "pass" or "collapsed" in ours)


def test_diverged_nets_are_kept_flagged_and_never_pass() -> None:
    ours = [audit("imp-0"), audit("imp-1", status="diverged")]
    verdict = judge([net(ours, verdicts.DENSE)], Rule())
    assert [(flag.kind, flag.side, flag.seed) for flag in verdict.nets[0].flags] == [("diverged", "net", 1)]
    assert verdict.nets[0].outcome == "fail"
    theirs = [verdicts.DENSE[0], audit("dense-1", status="diverged")]
    assert judge([net([audit("imp-0"), audit("imp-1")], theirs)], Rule()).outcome == "incomplete"


def test_a_net_that_was_not_trained_fails_even_where_its_values_are_no_numbers() -> None:
    lost = audit("imp-0", dict.fromkeys(verdicts.GOOD), status="diverged")
    verdict = judge([net([lost], [audit("dense-0")])], Rule())
    assert {found.status for found in verdict.nets[0].metrics} == {"missing"}
    assert verdict.outcome == "fail"
    guesses = net([replace(lost, subject=TICKET.subject)], [FULL], ours_facts=facts(train_accuracy="0.1"))
    assert judge([guesses], Rule()).outcome == "fail"
    assert judge([net([lost], [audit("dense-0", status="diverged")])], Rule()).outcome == "incomplete"


def test_several_nets_pass_together_or_not() -> None:
    assert overall(["pass", "pass"]) == "pass"
    assert overall(["pass", "incomplete"]) == "incomplete"
    assert overall(["incomplete", "fail", "pass"]) == "fail"


def test_the_ladder_reports_the_largest_that_passes_and_the_first_that_fails() -> None:
    accuracies = {"1/2": 0.9, "1/4": 0.8, "1/8": 0.9, "1/16": 0.7}
    nets = [
        net(
            [audit(f"imp-{density[2:]}", {"accuracy": value})],
            [audit("dense-0")],
            name=density,
            density=density,
        )
        for density, value in accuracies.items()
    ]
    lost = net([audit("imp-x", {"accuracy": None})], [audit("dense-0")], name="x", density="1/32")
    (ladder,) = judge([*nets, lost], Rule()).ladders
    reach = ladder.metrics[0]
    assert (reach.sparsity, reach.first_failure, reach.missing) == ("7/8", "3/4", 1)
    assert ladder.lth_pass == "7/8"
    assert [one.first_failure for one in ladder.metrics[1:]] == [None] * (len(REQUIRED) - 1)


def test_no_level_that_passes_has_no_extreme_sparsity() -> None:
    (ladder,) = judge([one({"nll": 9.0})], Rule()).ladders
    assert ladder.lth_pass is None


# ---------------------------------------------------------------------------------------------- what is refused


def recipe_of(**changes: Any) -> dict[str, Any]:
    return {"recipe": {**verdicts.RECIPE, "code": CODE, **changes}}


CODE = {"skimage": "0.25", "metric nll": "sha256:0", "net mine:Net": "sha256:0", "pyautoattack": "0.2"}
MIXED: list[tuple[str, dict[str, Any]]] = [
    ("data fingerprint", {"data": verdicts.DATA.model_copy(update={"fingerprint": "sha256:" + "1" * 64})}),
    ("audit seeds", {"seeds": {"root": 1}}),
    ("env ticketctl", {"env": {**verdicts.ENV, "ticketctl": "0.2.0"}}),
    ("env device", {"env": {**verdicts.ENV, "device": "cuda"}}),
    ("metrics.ece", {"recipe": {**verdicts.RECIPE, "keys": {"ece": {"bins": 14}}}}),
    ("audit.images", {"recipe": {**verdicts.RECIPE, "audit": {"images": 400}}}),
    ("set test", recipe_of(sets={**verdicts.SETS, "test": ["digits", "1", "test", {}]})),
    ("set train", recipe_of(sets={"test": verdicts.SETS["test"]})),
    ("set train", recipe_of(sets={"test": verdicts.SETS["test"], "train-n400": verdicts.SETS["train"]})),
    ("set ood-svhn-n400", recipe_of(sets={**verdicts.SETS, "ood-svhn-n400": ["svhn", "0", "test", {}]})),
    ("set corrupt-gaussian-noise-1", recipe_of(sets={**verdicts.SETS, "corrupt-gaussian-noise-1": ["d"]})),
    ("code of skimage", recipe_of(code={"skimage": "0.24"})),
    ("code of metric nll", recipe_of(code={"metric nll": "sha256:1"})),
    ("code of net mine:Net", recipe_of(code={"net mine:Net": "sha256:1"})),
    ("protocol of nll", {"rows": [row("nll", 0.4, protocol={"log": 2})]}),
    ("direction of nll", {"rows": [row("nll", 0.4, better="higher")]}),
    ("n of nll", {"rows": [row("nll", 0.4, n=99)]}),
    ("protocol of corruption.fog", {"rows": [row("corruption.fog", 0.2, protocol={"kind": "official"})]}),
]


@pytest.mark.long
@pytest.mark.parametrize(("word", "changes"), MIXED, ids=[word for word, _ in MIXED])
def test_reports_that_were_taken_otherwise_are_refused_by_name(word: str, changes: dict[str, Any]) -> None:
    usual: dict[str, Any] = recipe_of() if "code" in changes.get("recipe", {}) else {}
    other, dense = audit("imp-1", **changes), [audit("dense-0", **usual), audit("dense-1", **usual)]
    for made in (
        net([audit("imp-0", **usual), other], dense),
        net([audit("imp-0", **usual)], [audit("dense-0", **changes)]),
        net([other, audit("imp-0", **usual)], dense),
    ):
        with pytest.raises(MismatchError, match="audited differently") as caught:
            judge([made], Rule())
        assert f"{word} is" in str(caught.value)
        assert caught.value.exit_code == 8
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {**verdicts.ENV, "device_name": "another chip"}},
        {"recipe": {**verdicts.RECIPE, "keys": {"ece": {"bins": 15}, "gap": {"x": 1}}}},
        {"rows": [row("rmsce", 0.1, n=5)]},
        recipe_of(
            sets={**verdicts.SETS, "val": ["digits", "7", "val", {}], "ood-noise": ["noise", "0", "test", {}]}
        ),
        recipe_of(sets={**verdicts.SETS, "corrupt-spatter-1": ["digits", "0", "test", {}]}),
        {"rows": [row("hessian.trace", 120.0, n=30, protocol={"layers": ["more"]})]},
    ],
)
def test_what_feeds_no_metric_of_the_verdict_may_differ(changes: dict[str, Any]) -> None:
    assert judge([net([audit("imp-0", **changes)], [audit("dense-0")])], Rule()).outcome == "pass"


def test_code_of_other_metrics_and_a_package_that_one_report_names_alone_may_differ() -> None:
    for theirs in ({**CODE, "pyautoattack": "0.3"}, {"metric other": "sha256:2"}, {}):
        made = net([audit("imp-0", **recipe_of())], [audit("dense-0", **recipe_of(code=theirs))])
        assert judge([made], Rule()).outcome == "pass"


def test_a_further_set_that_one_net_was_shown_does_not_count() -> None:
    def told(*sets: str) -> list[Any]:
        counts = {"test": 100, **dict.fromkeys(sets, 100)}
        about = {"positive": "test", "counts": counts, "restricted": {name: {"test": 9} for name in sets[1:]}}
        kinds = ["fog", *sets[1:]]
        rows = [
            row(f"corruption.{name}", 0.2, protocol={"corruptions": kinds, "missing": []})
            for name in STANDARD
        ]
        return [*rows, *(row(f"auroc.{name}", 0.8, protocol=about) for name in sets)]

    both = [audit("imp-0", rows=told("svhn", "cifar100")), audit("dense-0", rows=told("svhn"))]
    assert judge([net(both[:1], both[1:])], Rule(ood="svhn")).outcome == "pass"
    counts = row("auroc.svhn", 0.8, protocol={"positive": "test", "counts": {"test": 100, "svhn": 50}})
    with pytest.raises(MismatchError, match=r"protocol of auroc\.svhn is"):
        judge([net([audit("imp-0", rows=[counts])], both[1:])], Rule(ood="svhn"))


def test_nothing_stands_twice_and_something_must_be_judged() -> None:
    good, dense = audit("imp-0"), verdicts.DENSE
    for nets, says in (
        ([], "needs a net"),
        ([Net("a", "a", "1/2", [])], "needs a net"),
        ([one(), one()], "stands twice"),
        ([one()] * 101, "101 nets are too many"),
        ([net([good, good], dense)], "one run or seed"),
        ([net([replace(good, kind="probe")], dense[:1])], "taken from audits"),
    ):
        with pytest.raises(UsageError, match=says):
            judge(nets, Rule())
    for tolerance in (-0.1, math.nan, math.inf):
        with pytest.raises(ValidationError, match="tol_rel"):
            Rule(tol_rel=tolerance)


def test_the_set_of_auroc_is_the_first_by_name_that_all_have_and_noise_last() -> None:
    both = [audit("a", {"auroc.noise": 0.5, "auroc.cifar100": 0.6, "auroc.svhn.energy": 0.1}), audit("b")]
    assert ood_set(both[:1]) == "cifar100"
    assert ood_set(both) == "svhn"
    assert ood_set([audit("a", {"auroc.noise": 0.5, "auroc.zebra": 0.6}, without=["auroc.svhn"])]) == "zebra"
    assert ood_set([audit("a", without=["auroc.svhn"])]) is None
    noisy = {"auroc.noise": 0.5}
    made = net([audit("imp-0", noisy)], [audit("dense-0", {"auroc.noise": 0.6})])
    verdict = judge([made], Rule(ood="noise"))
    assert (finding(verdict, "auroc").row, verdict.outcome) == ("auroc.noise", "fail")
    assert finding(judge([made], Rule(ood="lsun")), "auroc").status == "missing"


# -------------------------------------------------------------------------------------------------- invariances


def shuffled(report: Report, rng: random.Random) -> Report:
    rows = list(report.metrics)
    rng.shuffle(rows)
    return replace(report, metrics=tuple(rows))


@pytest.mark.parametrize("seed", range(5))
def test_order_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    count = 5
    ours = [audit(f"imp-{at}", {name: value * rng.uniform(0.9, 1.1) for name, value in verdicts.GOOD.items()})
            for at in range(count)]  # fmt: skip
    theirs = [audit(f"dense-{at}", {"nll": rng.uniform(0.3, 0.5)}) for at in range(count)]
    made = [net(ours, theirs), net(ours[:2], theirs[:2], name="two", density="1/3")]
    before = judge(made, Rule())
    turned = []
    for one_net in made[::-1]:
        pairs = [
            replace(
                pair,
                net=replace(pair.net, report=shuffled(pair.net.report, rng)),
                dense=replace(pair.dense, report=shuffled(pair.dense.report, rng)),
            )
            for pair in one_net.pairs
        ]
        rng.shuffle(pairs)
        turned.append(replace(one_net, pairs=pairs))
    after = judge(turned, Rule())
    assert after.nets == before.nets[::-1]
    assert (after.ladders, after.env, after.outcome) == (before.ladders, before.env, before.outcome)
    assert judge(made, Rule()) == before


def test_the_modules_say_the_same_of_which_rows_belong_to_the_verdict() -> None:
    said = {
        row: name for name, plugin in plugins("metrics").items() for row in plugin.literals.get("VERDICT", ())
    }
    ours = {name: module for name, module in MODULES.items() if name != OPTIONAL}
    assert said == ours
    for name in {*MODULES.values()}:
        literals = plugins("metrics")[name].literals
        assert SHOWN.get(name, ("test",)) == tuple(need for need in literals["NEEDS"] if need != "net")
        assert PACKAGES.get(name, ()) == literals.get("IMPORTS", ())


# --------------------------------------------------------------------------------------------------------- radar


def test_t35_the_worst_net_lies_at_zero_and_the_best_at_one_whichever_way_is_better() -> None:
    values = {"a": {"up": 1.0, "down": 1.0, "same": 5.0}, "b": {"up": 3.0, "down": 3.0, "same": 5.0},
              "c": {"up": 2.0, "down": 2.0, "same": 5.0}}  # fmt: skip
    chart = radar(values, {"up": "higher", "down": "lower", "same": "lower"})
    assert chart == {
        "a": {"up": 0.0, "down": 1.0, "same": 1.0},
        "b": {"up": 1.0, "down": 0.0, "same": 1.0},
        "c": {"up": 0.5, "down": 0.5, "same": 1.0},
    }


@pytest.mark.parametrize("seed", range(20))
def test_t35_shares_lie_in_the_unit_interval_and_do_not_feel_units(seed: int) -> None:
    rng = random.Random(seed)
    scale = 10.0 ** rng.randint(-300, 300)
    plain = {str(at): {"x": rng.gauss(0, 1)} for at in range(rng.randint(1, 9))}
    scaled = {name: {"x": (row["x"] + 3) * scale} for name, row in plain.items()}
    for way in ("higher", "lower"):
        one, two = radar(plain, {"x": way}), radar(scaled, {"x": way})
        shares = [row["x"] for row in one.values()]
        assert max(shares) == 1
        assert min(shares) == (0 if len(plain) > 1 else 1)
        assert [row["x"] for row in two.values()] == pytest.approx(shares, abs=1e-9)


def test_t35_what_was_not_measured_has_no_place_and_moves_no_other() -> None:
    chart = radar(
        {"a": {"x": 1.0}, "b": {}, "c": {"x": math.nan}, "d": {"x": 2.0}}, {"x": "higher", "y": "lower"}
    )
    assert [row["x"] for row in chart.values()] == [0.0, None, None, 1.0]
    assert {row["y"] for row in chart.values()} == {None}


def test_the_chart_of_a_verdict_has_its_nets_and_their_dense_ones_with_raw_values() -> None:
    values, better = means(judge(verdicts.ladder(), Rule()))
    assert [*values] == ["dense", "imp at 90.00 %", "imp at 98.00 %", "random at 90.00 %"]
    assert values["dense"]["mce"] == 1.0
    assert (better["nll"], better["fgsm"], better["auroc"]) == ("lower", "higher", "higher")
    assert values["random at 90.00 %"]["fgsm"] is None
    assert values["dense"]["fgsm"] == 0.3
    for nets in (verdicts.ladder(), verdicts.ladder()[::-1]):
        assert means(judge(nets, Rule()))[0]["dense"] == values["dense"]


def test_the_dense_nets_of_all_seeds_are_one_row_of_the_chart_their_mean() -> None:
    ours = [audit(f"imp-{seed}") for seed in range(3)]
    theirs = [audit(f"dense-{seed}", {"nll": 0.3 + 0.1 * seed}) for seed in range(3)]
    some = [
        net(ours[:count], theirs[:count], name=f"{count}", density=f"1/{1 + count}") for count in (1, 3, 2)
    ]
    values, better = means(judge(some, Rule()))
    assert [*values] == ["dense", "1", "3", "2"]
    assert values["dense"]["nll"] == pytest.approx(0.4)
    assert radar(values, better)["dense"]["mce"] == 1
    apart = [net(ours[:1], theirs[:1], name="a"), net(ours[1:2], theirs[1:2], name="b", ladder="b")]
    values, _ = means(judge(apart, Rule()))
    assert [*values] == ["dense of a", "dense of b", "a", "b"]
    assert [values[f"dense of {name}"]["nll"] for name in "ab"] == [0.3, 0.4]


def test_dense_nets_of_more_seeds_stand_for_those_of_fewer_only_where_they_lack_nothing() -> None:
    theirs = [audit(f"dense-{seed}") for seed in range(2)]
    lost = net([audit("x-0", {"ece": None}), audit("x-1")], theirs, name="lost", ladder="x")
    values, _ = means(judge([one(), lost], Rule()))
    assert [*values][:2] == [f"dense of {name}" for name in ("imp at 90.00 %", "lost")]
    assert [values[name]["ece"] for name in [*values][:2]] == [0.05, None]


@pytest.mark.long
def test_a_hundred_nets_of_three_seeds_fit_into_one_document() -> None:
    ours, theirs = [audit(f"imp-{at}") for at in range(3)], [audit(f"dense-{at}") for at in range(3)]
    made = [net(ours, theirs, name=f"{at}", ladder="imp" if at % 2 else "erk") for at in range(100)]
    assert judge(made, Rule()).outcome == "pass"


def test_a_net_without_any_auroc_spoils_no_other_net() -> None:
    sound, lost = one(), net([audit("lost-0", without=["auroc.svhn"])], [audit("dense-0")])
    found = judge([sound, replace(lost, name="lost at 89.30 %", ladder="lost")], Rule())
    assert finding(found, "auroc").status == "pass"


def test_a_net_trained_on_other_labels_is_not_held_against_this_dense_net() -> None:
    ours, theirs = audit("imp-0"), audit("dense-0")
    own = [
        replace(one, recipe={**one.recipe, "own": {"train": f"sha256:{n}"}})
        for n, one in enumerate((ours, theirs))
    ]
    with pytest.raises(MismatchError, match="other train images, or other labels on them"):
        judge([net([own[0]], [own[1]])], Rule())
    assert judge([net([own[0]], [replace(theirs, recipe=own[0].recipe)])], Rule()).outcome
