"""What the stored audits of runs say, as `compare` reads them: values by name, of reports whose keys count. No torch.

`audit.ROW` is a row of a report, such as audit.ece or audit.hessian.max; `ratio.ROW` the same over that of the run's
own dense net; `audit.mce` the mean corruption error, whose denominators are the dense net's (paper 004, section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import Report
from ticketctl.errors import MismatchError
from ticketctl.stages.audit_wants import CORRUPTION, MCE, Wants, wants_of
from ticketctl.stages.judged_partners import DENSE, is_full, own_dense
from ticketctl.stages.measured import AUDITED
from ticketctl.stages.reported import REPORTS
from ticketctl.stages.spared import Faults
from ticketctl.stages.stored import Shelf, Stored, of_run, words_of
from ticketctl.stages.subjects import Subject
from ticketctl.stages.verdict_values import EXTRA, STANDARD, Sets, read_pair


@dataclass(frozen=True, eq=False)
class Audits(Stored):
    """The audits of one run."""

    wants: Wants | None
    dense: Subject | None = None
    """The run's own dense net."""

    @property
    def known(self) -> set[str]:
        """The metrics that may be asked for."""
        rows = {row.name for report in self.reports for row in report.metrics}
        paired = {f"ratio.{name}" for name in rows} | ({f"audit.{MCE}"} if CORRUPTION in rows else set())
        return {f"audit.{name}" for name in rows} | paired

    def value(self, metric: str) -> float | None:
        """`audit.ROW` or `ratio.ROW`; None where it was not measured under these keys."""
        kind, _, name = metric.partition(".")
        if name == MCE:
            return self._mce()
        row = self.row(name)
        if row is None or row.value is None or kind == "audit":
            return None if row is None else row.value
        under = self._dense(f"audit.{name}")
        return row.value / under if under else None

    def why(self, metric: str = "") -> str:
        """Why there is no such value, or no whole report."""
        kind, _, name = metric.partition(".")
        way = f"ticketctl audit {self.folder}" + (f" --recipe {self.wants.name}" if self.wants else "")
        if not self.reports:
            return f"not audited; run: {way}"
        rows = self.rows(name)
        module = CORRUPTION if name == MCE else rows[0].metric if rows else ""
        other = self.unlike([module] if module else self.wants.chosen if self.wants else ())
        if other:
            return f"audited otherwise, {other}; run: {way}"
        if rows and rows[0].value is None:
            return f"{name} is {rows[0].status}: {rows[0].reason}"
        if (kind == "ratio" or name == MCE) and (self.dense is None or self._dense("audit." + name) is None):
            return f"no audited dense net beside it for {metric}"
        return f"no {name} in its audit"

    def words(self, metric: str) -> Mapping[str, Any] | None:
        """Under which keys, and on which images, the value was measured."""
        name = metric.partition(".")[2]
        module = CORRUPTION if name == MCE else None
        for report in self.reports:
            own = module or next((row.metric for row in report.metrics if row.name == name), None)
            words = words_of(report, own, "metrics", "audit", of=["images"]) if own else None
            if words is not None and not self.other(report, str(own)):
                return words
        return None

    def _dense(self, metric: str) -> float | None:
        return self.dense.stored.value(metric) if self.dense and self.dense.stored else None

    def _mce(self) -> float | None:
        theirs = self.dense.stored if self.dense else None
        mine, base = self.report([CORRUPTION]), theirs.report([CORRUPTION]) if theirs else None
        if mine is None or base is None:
            return None
        more = self.wants is not None and self.wants.recipe.verdict.corruptions != len(STANDARD)
        found = read_pair(mine, base, MCE, Sets(None, STANDARD + EXTRA if more else STANDARD))[0].value
        return None if found is None else float(found)


def with_audits(
    subjects: Sequence[Subject], name: str | None = None, damaged: Faults | None = None
) -> list[Subject]:
    """The same runs with what their stored audits say.

    Args:
        subjects: any.
        name: a recipe of an audit, as `audit/lth-pass`; audits under other keys than its do not count. None: all do.
        damaged: where the faults of damaged reports are put, which are as if not there; None: they raise.

    Raises:
        UsageError: there is no such recipe.
        ArtifactError: a report is damaged, and faults are not put elsewhere.
    """
    wants = None if name is None else wants_of(name)
    partner_of = own_dense(subjects)
    known: dict[Path, Subject] = {}

    def audited(run: Subject) -> Subject:
        if run.folder not in known:
            whole = run.method == DENSE and not run.tweaks and is_full(run)
            other = None if whole else partner_of(run)
            own = Audits(run.folder, reports_of(run, damaged), wants)
            # a dense net is its own partner
            dense = replace(run, stored=own) if whole else audited(other) if other else None
            known[run.folder] = replace(run, stored=replace(own, dense=dense))
        return known[run.folder]

    return [audited(run) for run in subjects]


def reports_of(run: Subject, damaged: Faults | None = None) -> tuple[Report, ...]:
    """The audits of a run as it is now, the newest first.

    Raises:
        ArtifactError: one is damaged, and faults are not put elsewhere.
    """
    found, now = Shelf(damaged=damaged).below([run.folder / REPORTS], "audit"), run.manifest
    return tuple(one for one in found if of_run(one, now.run_id, now.weights.digest))


def refuse_mixed(subjects: Iterable[Subject], metric: str) -> None:
    """Refuse values that were measured under other keys, or on other images, than their likes.

    Raises:
        MismatchError: names the first difference and both runs.
    """
    said = ("audited", "audit") if metric.partition(".")[0] in AUDITED else ("measured", "measure")
    first: tuple[Subject, Mapping[str, Any]] | None = None
    for run in subjects:
        words = run.stored.words(metric) if run.stored and run.value(metric) is not None else None
        if words is None:
            continue
        first = first or (run, words)
        key = next((key for key in {**first[1], **words} if first[1].get(key) != words.get(key)), None)
        if key is not None:
            raise MismatchError(
                f"{first[0].folder} and {run.folder} were {said[0]} differently: {key} is {first[1].get(key)} and "
                f"{words.get(key)}; {said[1]} both alike"
            )
