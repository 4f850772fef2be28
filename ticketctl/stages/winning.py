"""Winning sparsities (paper 004, sections 4.1, 4.2, 4.5): how sparse a ladder may become before it loses.

In accuracy alone they follow from runs; else from stored audits, by the rule of `ticketctl audit --against`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ticketctl.artifacts.verdict import Verdict
from ticketctl.errors import MismatchError, UsageError
from ticketctl.stages.audit_wants import wants_of
from ticketctl.stages.audits import Audits
from ticketctl.stages.compare import Group
from ticketctl.stages.judged import facts_of
from ticketctl.stages.measured import WINNING
from ticketctl.stages.subjects import TRANSFER, Subject
from ticketctl.stages.verdict import Rule, judge
from ticketctl.stages.verdict_inputs import Audited, Net, Pair

POINT = Fraction(1, 100)
"""Paper 004's tolerance: a ticket wins that is at most a point of accuracy below the dense net (Fig. 2)."""


@dataclass(frozen=True)
class Win:
    """How far a ladder wins: `sparsity` in [0, 1], or None, and `why`; over `n` runs of each level at least."""

    sparsity: Fraction | None
    n: int
    why: str = ""


class NoVerdictError(Exception):
    """There is no verdict on a ladder; says why."""


@dataclass
class Ladders:
    """Verdicts on ladders, each reached once."""

    audit: str | None
    """The recipe whose keys count."""
    known: dict[tuple[Path, ...], Verdict | NoVerdictError] = field(default_factory=dict)

    def win(self, name: str, ladder: Sequence[Group]) -> Win:
        """The extreme sparsity `winning_sparsity.NAME` of a ladder.

        Args:
            name: one of `measured.WINNING`, but for accuracy.
            ladder: its levels, of runs that know their audits and dense nets.
        """
        key = tuple(run.folder for group in ladder for run in group.runs)
        if key not in self.known:
            try:
                self.known[key] = self._verdict(ladder)
            except NoVerdictError as error:
                self.known[key] = error
            except (MismatchError, UsageError) as error:
                self.known[key] = NoVerdictError(str(error))
        found = self.known[key]
        if isinstance(found, NoVerdictError):
            return Win(None, 0, str(found))
        return _win(name, found)

    def _verdict(self, ladder: Sequence[Group]) -> Verdict:
        assert self.audit is not None
        rule = Rule(**wants_of(self.audit).recipe.verdict.model_dump())
        return judge([_net(group) for group in ladder], rule)


def _win(name: str, verdict: Verdict) -> Win:
    (ladder,) = verdict.ladders
    reach = {part.metric: part for part in ladder.metrics}
    parts = [reach[metric] for metric in WINNING[name]]
    n = min(len(net.pairs) for net in verdict.nets)
    lost = next((part.metric for part in parts if part.sparsity is None), None)
    if lost is not None:
        return Win(None, n, _never(lost, verdict))
    pick = max if name.endswith("high") else min
    gaps = [
        f"{part.metric} missing at {part.missing} of {len(verdict.nets)} levels"
        for part in parts
        if part.missing
    ]
    return Win(pick(Fraction(str(part.sparsity)) for part in parts), n, "; ".join(gaps))


def _never(metric: str, verdict: Verdict) -> str:
    findings = [found for net in verdict.nets for found in net.metrics if found.metric == metric]
    missing = next((found.reason for found in findings if found.status == "missing"), "")
    return f"{metric} wins at no level" + (f": {missing}" if missing else "")


def _net(group: Group) -> Net:
    pairs, alone = [], []
    for run in sorted(group.runs, key=lambda run: run.seeds):
        dense = _audits(run).dense
        if dense is None:
            alone.append(run.seeds)
        else:
            pairs.append(Pair(*run.seeds, _audited(run), _audited(dense)))
    if not pairs:
        raise NoVerdictError("no dense net beside them")
    name = f"{group.method} at {100 * float(1 - group.density):.2f} %"
    density = f"{group.density.numerator}/{group.density.denominator}"
    return Net(name, group.method, density, pairs, alone)


def _audited(run: Subject) -> Audited:
    report = _audits(run).whole()
    if report is None:
        raise NoVerdictError(_audits(run).why())
    return Audited(report, facts_of(run))


def _audits(run: Subject) -> Audits:
    assert isinstance(run.stored, Audits)
    return run.stored


# ------------------------------------------------------------------------------------------------- accuracy alone


def accuracy_win(
    ladder: Sequence[Group], groups: Sequence[Group], *, below: Fraction = POINT
) -> tuple[Win, Group]:
    """The highest sparsity at which the mean accuracy is at most `below` under the dense net's, and that level.

    Args:
        ladder: levels of one ladder.
        groups: with the dense nets among them.
        below: a share of all answers; paper 003's is 0.
    """
    dense = [group for group in groups if is_dense_of(group, ladder[0])]
    floor = exact_accuracy(dense[0]) if len(dense) == 1 else None
    winners = [
        group
        for group in ladder
        if floor is not None and (mean := exact_accuracy(group)) is not None and mean >= floor - below
    ]
    best = min(winners, key=lambda group: group.density, default=None)
    if best is None:
        return Win(None, 0, "no dense net beside them" if floor is None else "no level wins"), ladder[0]
    n = min(len(group.values("test.accuracy")) for group in ladder)
    return Win(1 - best.density, n), best


def is_dense_of(group: Group, ticket: Group) -> bool:
    """Whether `group` is the dense net of the training that `ticket` is a level of."""
    own = {
        key: value
        for key, value in ticket.settings.items()
        if not key.startswith(("draw.", "spend.", "search", TRANSFER))
    }
    theirs = {key: value for key, value in group.settings.items() if key != TRANSFER}
    kind = (group.net, group.data, group.method, group.tweaks)
    return kind == (ticket.net, ticket.data, "dense", ticket.tweaks) and own == theirs


def exact_accuracy(group: Group) -> Fraction | None:
    """The mean test accuracy without rounding: a verdict hangs on it."""
    values = [Fraction(repr(value)) for value in group.values("test.accuracy")]
    return sum(values, Fraction(0)) / len(values) if values else None
