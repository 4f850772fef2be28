"""What stored reports of a run say, as `compare` reads them: values by name, of those whose keys count. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ticketctl.artifacts.report import MetricRow, Report
from ticketctl.errors import ArtifactError
from ticketctl.stages.report_wants import table
from ticketctl.stages.reported import read_report


class Wanted(Protocol):
    """Under which keys reports count."""

    @property
    def name(self) -> str:
        """Of the recipe."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The plug-ins that it asks."""

    def difference(self, report: Report, module: str) -> str:
        """In what the report of the plug-in `module` was taken otherwise, or ""."""


@dataclass(frozen=True, eq=False)
class Stored:
    """The reports of one run, of one kind."""

    folder: Path
    reports: tuple[Report, ...]
    """The newest first; all of the run as it is now."""
    wants: Wanted | None
    """None: all of them count."""
    looked: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, kw_only=True)
    """In what reports differ from what is wanted, by report and plug-in, as far as it was asked."""

    @property
    def known(self) -> set[str]:
        """The metrics that may be asked for."""
        raise NotImplementedError

    def value(self, metric: str) -> float | None:
        """By its whole name, as `audit.ece`; None where it was not measured under these keys."""
        raise NotImplementedError

    def why(self, metric: str = "") -> str:
        """Why there is no such value, or no whole report."""
        raise NotImplementedError

    def words(self, metric: str) -> Mapping[str, Any] | None:
        """Under which keys, and on which images, the value was measured."""
        raise NotImplementedError

    def report(self, modules: Iterable[str]) -> Report | None:
        """The newest that measured all of them, under these keys."""
        wanted = [*modules]
        return next((one for one in self.reports if not any(self.other(one, name) for name in wanted)), None)

    def whole(self) -> Report | None:
        """The newest that has all that the recipe asks for, under its keys."""
        return self.report(self.wants.chosen if self.wants else ())

    def other(self, report: Report, module: str) -> str:
        """In what the report of `module` was taken otherwise than is wanted, or ""; looked for once."""
        if self.wants is None:
            return ""
        key = (report.id, module)
        if key not in self.looked:
            self.looked[key] = self.wants.difference(report, module)
        return self.looked[key]

    def unlike(self, modules: Iterable[str]) -> str:
        """In what the newest report was taken otherwise, where none has all of these as they are wanted; or ""."""
        wanted = [*modules]
        if not self.reports or self.report(wanted) is not None:
            return ""
        return next((said for one in wanted if (said := self.other(self.reports[0], one))), "")

    def row(self, name: str) -> MetricRow | None:
        """The newest row of this name that counts."""
        rows = (row for one in self.reports for row in one.metrics
                if row.name == name and not self.other(one, row.metric))  # fmt: skip
        return next(rows, None)

    def rows(self, name: str) -> list[MetricRow]:
        """All rows of this name, whether they count or not."""
        return [row for one in self.reports for row in one.metrics if row.name == name]


@dataclass(frozen=True)
class Shelf:
    """Reports from their files, each read once."""

    read: dict[Path, Report] = field(default_factory=dict)
    damaged: list[ArtifactError] | None = None
    """Where faults are put, each time that a damaged report is asked for, which is left out then; None: they raise."""
    faults: dict[Path, ArtifactError] = field(default_factory=dict, repr=False)

    def below(self, folders: Iterable[Path], kind: str) -> list[Report]:
        """Those of a kind that lie in some folders, the newest of all first.

        Raises:
            ArtifactError: one is damaged, and faults are not put elsewhere.
        """
        found = (path for folder in folders for path in folder.glob(f"{kind}-*.zarr.zip"))
        files = sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))
        for path in files:
            if path not in self.read and path not in self.faults:
                self._open(path)
        if self.damaged is not None:
            self.damaged.extend(self.faults[path] for path in files if path in self.faults)
        return [self.read[path] for path in files if path in self.read]

    def _open(self, path: Path) -> None:
        try:
            self.read[path] = read_report(path)
        except ArtifactError as fault:
            if self.damaged is None:
                raise
            self.faults[path] = fault


def of_run(report: Report, run_id: str, weights: str) -> bool:
    """Whether it is of the run as it is now."""
    return (report.subject.run_id, report.subject.weights) == (run_id, weights)


def words_of(
    report: Report, module: str, plugins: str, kind: str, *, of: Iterable[str] | None = None
) -> Mapping[str, Any] | None:
    """The keys of a plug-in in a report, those of the command's own table, or some of them, the target, the seeds."""
    keys = table(report.recipe.get("keys")).get(module)
    if not isinstance(keys, Mapping):
        return None
    own = table(report.recipe.get(kind))
    words = {f"{plugins}.{module}.{key}": value for key, value in keys.items()}
    words |= {f"{kind}.{key}": own.get(key) for key in (own if of is None else of)}
    return words | _target(report) | {f"{kind} seeds": dict(report.seeds)}


def _target(report: Report) -> dict[str, Any]:
    """Where it was transferred to, and by whose statistics the images there are normalised."""
    told = table(report.recipe.get("target"))
    scale = table(told.get("statistics")).get("of")
    own = {
        "target": told.get("name"),
        "target.fingerprint": told.get("fingerprint"),
        "target.statistics": scale,
    }
    return own if told else {}
