"""LTH-PASS: does a ticket match its dense net in every metric? A pure function of stored reports (paper 004).

Better or equal within a tolerance, for each metric, over R pairs of a net and its dense net of one seed: accuracy at
most one point below dense (rule `s003`: not below), every other metric's mean at most max(one pooled standard error,
tol_rel * |dense mean|) worse. The pooled standard error is that of the difference of two means of R runs,
sqrt((s1^2 + s2^2) / R) with sample deviations; with one run each, the verdict is indicative and the error that of both
values, sqrt(e1^2 + e2^2), a value without one counting as exact; mCE is taken of both nets at once, and so is its
error. All sums are exact fractions of the printed decimals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.verdict import Verdict, verdict_of
from ticketctl.recipe_audit import VerdictSpec
from ticketctl.stages.extreme import lth_pass, reaches
from ticketctl.stages.verdict_inputs import MACHINE, Audited, Net, Pair, refuse_mixed
from ticketctl.stages.verdict_values import (
    EXTRA,
    OPTIONAL,
    REQUIRED,
    STANDARD,
    Reading,
    Sets,
    exact,
    ood_set,
    read_pair,
)

POINT = Fraction(1, 100)
"""By how much the mean accuracy may lie below that of the dense nets under the rule of paper 004."""
CHANCE = Fraction(3, 2)
"""A net whose training accuracy is at most this many times that of guessing has not converged."""


Rule = VerdictSpec
"""By which rule is judged: the table `[verdict]` of an audit's recipe."""


def judge(nets: Sequence[Net], rule: Rule) -> Verdict:
    """The verdict on `nets`, each against its own dense nets.

    Args:
        nets: in the order in which they are shown; levels of one ladder have its name.
        rule: by which rule.

    Raises:
        MismatchError: reports that were not taken alike.
        UsageError: nothing to judge; a net, seed or run twice.
    """
    ood = rule.ood or ood_set(report for net in nets for report in net.reports())
    sets = Sets(ood, STANDARD if rule.corruptions == len(STANDARD) else STANDARD + EXTRA)
    refuse_mixed(nets, sets)
    judged = [_net(net, rule, sets) for net in nets]
    first = min((report for net in nets for report in net.reports()), key=lambda report: report.id)
    return verdict_of(
        {
            "rule": {
                "winning": rule.winning,
                "tol_rel": to_record(rule.tol_rel),
                "compositional": rule.compositional,
                "corruptions": rule.corruptions,
                "ood": rule.ood,
            },
            "data": first.data.model_dump(mode="json"),
            "seeds": dict(first.seeds),
            "env": to_record({key: value for key, value in first.env.items() if key not in MACHINE}),
            "nets": judged,
            "ladders": _ladders(judged, _required(rule)),
            "outcome": overall([net["outcome"] for net in judged]),
        }
    )


def _required(rule: Rule) -> tuple[str, ...]:
    """The metrics that must pass."""
    return (*REQUIRED, OPTIONAL) if rule.compositional else REQUIRED


def overall(outcomes: Sequence[str]) -> str:
    """Of several nets: pass if all do, else fail if one does, else incomplete."""
    if all(outcome == "pass" for outcome in outcomes):
        return "pass"
    return "fail" if "fail" in outcomes else "incomplete"


def _net(net: Net, rule: Rule, sets: Sets) -> dict[str, Any]:
    ordered = sorted(net.pairs, key=lambda pair: (pair.seed, pair.init))
    findings = [_finding(metric, ordered, rule, sets) for metric in _required(rule)]
    flags = [flag for pair in ordered for flag in _flags(pair)]
    return {
        "name": net.name,
        "ladder": net.ladder,
        "level": ordered[0].net.report.subject.level,
        "density": net.density,
        "pairs": [
            {"seed": pair.seed, "init": pair.init, "net": _entry(pair.net), "dense": _entry(pair.dense)}
            for pair in ordered
        ],
        "left_out": [{"seed": seed, "init": init} for seed, init in sorted(net.left_out)],
        "flags": flags,
        "indicative": len(ordered) == 1,
        "metrics": findings,
        "outcome": _outcome(findings, flags),
    }


def _entry(one: Audited) -> dict[str, Any]:
    facts = one.facts.model_dump(mode="json")
    return {"report": one.report.id, "run": one.report.subject.run_id, "facts": facts}


def _outcome(findings: Sequence[Mapping[str, Any]], flags: Sequence[Mapping[str, Any]]) -> str:
    """A dense net that is none leaves it open; a net that was not trained fails, whatever is missing of it."""
    unsound = {flag["side"] for flag in flags if flag["kind"] != "collapsed"}
    if unsound:
        return "incomplete" if "dense" in unsound else "fail"
    if any(found["status"] == "missing" for found in findings):
        return "incomplete"
    return "pass" if all(found["status"] == "pass" for found in findings) else "fail"


def _flags(pair: Pair) -> list[dict[str, Any]]:
    found = []
    for side, one in (("net", pair.net), ("dense", pair.dense)):
        kinds = {
            "collapsed": bool(one.facts.collapsed),
            "diverged": one.report.subject.status == "diverged",
            "nonconverged": _guesses(one),
        }
        flag = {"side": side, "seed": pair.seed, "init": pair.init}
        found += [{"kind": kind, **flag} for kind, raised in kinds.items() if raised]
    return found


def _guesses(one: Audited) -> bool:
    accuracy = one.facts.train_accuracy
    if accuracy is None:
        return False
    number = float(accuracy)
    return not math.isfinite(number) or exact(number) <= CHANCE / one.facts.classes


# ----------------------------------------------------------------------------------------------------------- metrics


def _finding(metric: str, pairs: Sequence[Pair], rule: Rule, sets: Sets) -> dict[str, Any]:
    both = [read_pair(pair.net.report, pair.dense.report, metric, sets) for pair in pairs]
    read = [(_whole(ours), _whole(theirs)) for ours, theirs in both]
    nets, denses = [ours for ours, _ in read], [theirs for _, theirs in read]
    lost = next((one for pair in read for one in pair if one.value is None), None)
    found: dict[str, Any] = {
        "metric": metric,
        "row": nets[0].row,
        "better": next((one.better for one in nets + denses if one.better), None),
        "status": "missing",
        "reason": lost.reason if lost else "",
        "skipped": sorted({name for one in nets for name in one.skipped}),
        "absent": sorted({name for one in nets for name in one.absent}),
        "relative": _relative(nets),
        **dict.fromkeys(("mean", "error", "dense", "dense_error", "worse", "pooled", "allowed")),
    }
    return found if lost else found | _compared(metric, nets, denses, rule)


def _whole(one: Reading) -> Reading:
    """An mCE over fewer corruptions or severities than the rule has is none."""
    return replace(one, value=None, reason=one.fewer, skipped=(), relative=None) if one.fewer else one


def _relative(nets: Sequence[Reading]) -> dict[str, Any] | None:
    """The mean relative mCE, of mCE and where every pair has one."""
    known = [one.relative for one in nets if one.relative is not None]
    if len(known) < len(nets):
        return None
    mean = sum((one.value for one in known), Fraction(0)) / len(known)
    return {"mean": _told(mean), "skipped": sorted({name for one in known for name in one.skipped})}


def _compared(metric: str, nets: Sequence[Reading], denses: Sequence[Reading], rule: Rule) -> dict[str, Any]:
    mean, dense = _mean(nets), _mean(denses)
    worse = mean - dense if nets[0].better == "lower" else dense - mean
    pooled = _root(_squared_error(nets) + _squared_error(denses))
    if metric == "accuracy":
        allowed = POINT if rule.winning == "s004" else Fraction(0)
    else:
        allowed = max(exact(pooled), exact(rule.tol_rel) * abs(dense))
    return {
        "status": "pass" if worse <= allowed else "fail",
        "reason": nets[0].reason if len(nets) == 1 else "",
        "mean": _told(mean),
        "error": to_record(_root(_squared_error(nets))),
        "dense": _told(dense),
        "dense_error": to_record(_root(_squared_error(denses))),
        "worse": _told(worse),
        "pooled": to_record(pooled),
        "allowed": _told(allowed),
    }


def _mean(readings: Sequence[Reading]) -> Fraction:
    return sum(_values(readings), Fraction(0)) / len(readings)


def _values(readings: Sequence[Reading]) -> list[Fraction]:
    return [one.value for one in readings if one.value is not None]


def _squared_error(readings: Sequence[Reading]) -> Fraction:
    """Of the mean, s^2 / R; of a single value its own."""
    if len(readings) == 1:
        return exact(readings[0].error) ** 2
    mean, count = _mean(readings), len(readings)
    return sum(((value - mean) ** 2 for value in _values(readings)), Fraction(0)) / ((count - 1) * count)


def _root(square: Fraction) -> float:
    return math.sqrt(float(square))


def _told(value: Fraction) -> str:
    return str(to_record(float(value)))


# ----------------------------------------------------------------------------------------------------------- ladders


def _ladders(nets: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for ladder in dict.fromkeys(net["ladder"] for net in nets):
        levels = [(1 - Fraction(net["density"]), _passes(net)) for net in nets if net["ladder"] == ladder]
        known = reaches(levels, metrics)
        parts = [
            {
                "metric": name,
                "sparsity": _text(reach.sparsity),
                "first_failure": _text(reach.first_failure),
                "missing": reach.missing,
            }
            for name, reach in known.items()
        ]
        found.append({"ladder": ladder, "metrics": parts, "lth_pass": _text(lth_pass(known))})
    return found


def _passes(net: Mapping[str, Any]) -> dict[str, bool | None]:
    word = {"pass": True, "fail": False}
    return {found["metric"]: word.get(found["status"]) for found in net["metrics"]}


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(to_record(value))
