"""What the stored audits of runs say, as `compare` reads them: values by name, of reports whose keys count. No torch.

`audit.ROW` is a row of a report, such as audit.ece or audit.hessian.max; `ratio.ROW` the same over that of the run's
own dense net; `audit.mce` the mean corruption error, whose denominators are the dense net's (paper 004, section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import MetricRow, Report, decode_report
from ticketctl.errors import MismatchError
from ticketctl.stages.audit_wants import CORRUPTION, MCE, Wants, table, wants_of
from ticketctl.stages.judged import LIMIT, REPORTS
from ticketctl.stages.judged_partners import DENSE, is_full, own_dense
from ticketctl.stages.subjects import Subject
from ticketctl.stages.verdict_values import EXTRA, STANDARD, Sets, read_pair
from ticketctl.store.files import read_bytes


@dataclass(frozen=True, eq=False)
class Audits:
    """The audits of one run."""

    folder: Path
    reports: tuple[Report, ...]
    """The newest first; all of the run as it is now."""
    wants: Wants | None
    """None: all of them count."""
    dense: Subject | None = None
    """The run's own dense net."""
    looked: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    """In what reports differ from what is wanted, by report and metric, as far as it was asked."""

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
        row = self._row(name)
        if row is None or row.value is None or kind == "audit":
            return None if row is None else row.value
        under = self._dense(f"audit.{name}")
        return row.value / under if under else None

    def report(self, modules: Iterable[str]) -> Report | None:
        """The newest that measured all of them, under these keys."""
        wanted = [*modules]
        return next((one for one in self.reports if not any(self._other(one, name) for name in wanted)), None)

    def whole(self) -> Report | None:
        """The newest that has all metrics of the recipe, under its keys."""
        return self.report(self.wants.recipe.chosen if self.wants else ())

    def why(self, metric: str = "") -> str:
        """Why there is no such value, or no whole report."""
        kind, _, name = metric.partition(".")
        way = f"ticketctl audit {self.folder}" + (f" --recipe {self.wants.name}" if self.wants else "")
        if not self.reports:
            return f"not audited; run: {way}"
        rows = [row for one in self.reports for row in one.metrics if row.name == name]
        module = CORRUPTION if name == MCE else rows[0].metric if rows else ""
        wanted = [module] if module else self.wants.recipe.chosen if self.wants else []
        other = next((said for one in wanted if (said := self._other(self.reports[0], one))), "")
        if other and self.report(wanted) is None:
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
            keys = table(report.recipe.get("keys")).get(own) if own else None
            if keys is not None and not self._other(report, str(own)):
                spec = table(report.recipe.get("audit"))
                images = {"audit.images": spec.get("images"), "audit seeds": dict(report.seeds)}
                return {f"metrics.{own}.{key}": value for key, value in keys.items()} | images
        return None

    def _other(self, report: Report, module: str) -> str:
        """As `Wants.difference`, looked for once."""
        if self.wants is None:
            return ""
        key = (report.id, module)
        if key not in self.looked:
            self.looked[key] = self.wants.difference(report, module)
        return self.looked[key]

    def _row(self, name: str) -> MetricRow | None:
        rows = (row for one in self.reports for row in one.metrics
                if row.name == name and not self._other(one, row.metric))  # fmt: skip
        return next(rows, None)

    def _dense(self, metric: str) -> float | None:
        return self.dense.audits.value(metric) if self.dense and self.dense.audits else None

    def _mce(self) -> float | None:
        theirs = self.dense.audits if self.dense else None
        mine, base = self.report([CORRUPTION]), theirs.report([CORRUPTION]) if theirs else None
        if mine is None or base is None:
            return None
        more = self.wants is not None and self.wants.recipe.verdict.corruptions != len(STANDARD)
        found = read_pair(mine, base, MCE, Sets(None, STANDARD + EXTRA if more else STANDARD))[0].value
        return None if found is None else float(found)


def with_audits(subjects: Sequence[Subject], name: str | None = None) -> list[Subject]:
    """The same runs with what their stored audits say.

    Args:
        subjects: any.
        name: a recipe of an audit, as `audit/lth-pass`; audits under other keys than its do not count. None: all do.

    Raises:
        UsageError: there is no such recipe.
        ArtifactError: a report is damaged.
    """
    wants = None if name is None else wants_of(name)
    partner_of = own_dense(subjects)
    known: dict[Path, Subject] = {}

    def audited(run: Subject) -> Subject:
        if run.folder not in known:
            whole = run.method == DENSE and not run.tweaks and is_full(run)
            other = None if whole else partner_of(run)
            own = Audits(run.folder, reports_of(run), wants)
            # a dense net is its own partner
            dense = replace(run, audits=own) if whole else audited(other) if other else None
            known[run.folder] = replace(run, audits=replace(own, dense=dense))
        return known[run.folder]

    return [audited(run) for run in subjects]


def reports_of(run: Subject) -> tuple[Report, ...]:
    """The audits of a run as it is now, the newest first.

    Raises:
        ArtifactError: one is damaged.
    """
    files = sorted(
        (run.folder / REPORTS).glob("audit-*.zarr.zip"),
        key=lambda path: (-path.stat().st_mtime_ns, path.name),
    )
    found = (decode_report(read_bytes(path, limit=LIMIT), where=str(path)) for path in files)
    now = (run.manifest.run_id, run.manifest.weights.digest)
    return tuple(one for one in found if (one.subject.run_id, one.subject.weights) == now)


def refuse_mixed(subjects: Iterable[Subject], metric: str) -> None:
    """Refuse values that were measured under other keys, or on other images, than their likes.

    Raises:
        MismatchError: names the first difference and both runs.
    """
    first: tuple[Subject, Mapping[str, Any]] | None = None
    for run in subjects:
        words = run.audits.words(metric) if run.audits and run.value(metric) is not None else None
        if words is None:
            continue
        first = first or (run, words)
        key = next((key for key in {**first[1], **words} if first[1].get(key) != words.get(key)), None)
        if key is not None:
            raise MismatchError(
                f"{first[0].folder} and {run.folder} were audited differently: {key} is {first[1].get(key)} and "
                f"{words.get(key)}; audit both alike"
            )
