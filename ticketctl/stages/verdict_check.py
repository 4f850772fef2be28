"""Check a verdict somewhere else: from its folder alone, without the nets, it is judged again and compared.

What a report cannot say (densities, seeds, numbers of classes, empty layers, training accuracies: `Facts`) is taken as
it is written there, and so are names, ladders and who is held against whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ticketctl.artifacts.folder import Check, run_check
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.verdict import Judged, Verdict, open_verdict, verify_verdict
from ticketctl.artifacts.verdict_models import Entry, NetPart
from ticketctl.errors import ArtifactError, MismatchError, UsageError
from ticketctl.recipe_base import fault
from ticketctl.stages.verdict import Rule, judge
from ticketctl.stages.verdict_inputs import Audited, Net, Pair

IDENTITY = ("format", "format_version", "features", "verdict_id", "manifest_digest")


def recheck(folder: Path) -> Verdict:
    """The verdict in `folder`, once it is seen to be what its reports give.

    Raises:
        ArtifactError: E_VERDICT: its reports give another, or can give none; or what is wrong with a file.
    """
    judged = open_verdict(folder)
    _compare(judged)
    return judged.verdict


def verify(folder: Path) -> list[Check]:
    """Every check of a verdict's folder; what is wrong stands in the answer and raises nothing."""
    checks = verify_verdict(folder)
    if all(check.ok for check in checks):
        checks.append(run_check("verdict", lambda: f"judged again: {recheck(folder).outcome}"))
    return checks


def nets_of(verdict: Verdict, reports: Mapping[str, Report]) -> list[Net]:
    """What was judged, from the document and its reports by their ids."""
    return [_net(net, reports) for net in verdict.nets]


def _net(net: NetPart, reports: Mapping[str, Report]) -> Net:
    def audited(one: Entry) -> Audited:
        return Audited(reports[one.report], one.facts)

    pairs = [Pair(pair.seed, pair.init, audited(pair.net), audited(pair.dense)) for pair in net.pairs]
    left_out = [(one.seed, one.init) for one in net.left_out]
    return Net(net.name, net.ladder, net.density, pairs, left_out)


def _compare(judged: Judged) -> None:
    said, where = judged.verdict, judged.folder
    reports = judged.reports()
    try:
        found = judge(nets_of(said, reports), _rule(said))
    except (ArtifactError, MismatchError, UsageError, OverflowError) as error:
        raise ArtifactError("E_VERDICT", f"{where}: its reports give no verdict: {error}") from None
    # a newer minor version may say more than is known here, and has its own id
    ours, theirs = (one.model_dump(mode="json", exclude=set(IDENTITY)) for one in (found, said))
    odd = _difference(ours, theirs, "")
    if odd is not None:
        raise ArtifactError("E_VERDICT", f"{where}: its reports give another verdict: {odd}")


def _rule(said: Verdict) -> Rule:
    try:
        return Rule.model_validate({**said.rule.model_dump(), "tol_rel": float(said.rule.tol_rel)})
    except ValidationError as error:
        raise UsageError(f"rule.{fault(error, Rule)}") from None


def _difference(ours: Any, theirs: Any, place: str) -> str | None:
    """The first place where two records differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return next(
            (odd for key in ours if (odd := _difference(ours[key], theirs[key], f"{place}.{key}"))), None
        )
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        both = enumerate(zip(ours, theirs, strict=True))
        return next((odd for at, (a, b) in both if (odd := _difference(a, b, f"{place}.{at}"))), None)
    return None if ours == theirs else f"{place.lstrip('.')} is {ours!r:.80}, not {theirs!r:.80}"
