"""Audit a run: every metric as it comes, each kept when it is done, and one report of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isfinite
from typing import Any

from ticketctl import __version__, plugins
from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.report import MetricRow, Report, decode_report, encode_report
from ticketctl.artifacts.report_models import ReportData
from ticketctl.artifacts.report_models import Subject as Audited
from ticketctl.errors import ArtifactError
from ticketctl.recipe import fingerprint
from ticketctl.seeds import Seeds
from ticketctl.stages.answered import FOLDER, Answered
from ticketctl.stages.conditions import code, flags, own_images, versions
from ticketctl.stages.due import Meter, due, told
from ticketctl.stages.examined import Wanted
from ticketctl.stages.params import checked
from ticketctl.stages.sources import Source
from ticketctl.stages.subject import Subject
from ticketctl.store.files import make_folder, read_bytes, sweep_temporaries, write_atomic
from ticketctl.store.locks import locked
from ticketctl.train.exam import Absent, Exam, Measurement
from ticketctl.train.specimen import Specimen

REPORTS, WORK = "reports", "audit-work"
LIMIT = 1 << 31


@dataclass(frozen=True)
class Audit:
    """A net, what is measured of it, and the images that it is shown."""

    subject: Subject
    wanted: Wanted
    shown: Mapping[str, Source]
    """As `shown.shown` gives them."""
    seeds: Seeds

    @property
    def metrics(self) -> tuple[str, ...]:
        """Sorted."""
        return self.wanted.recipe.chosen

    @cached_property
    def answers(self) -> Answered:
        """What the net says; made where it is asked for."""
        return Answered(self.subject, self.shown, poll=self.subject.setting.poll)

    @cached_property
    def params(self) -> dict[str, Any]:
        """The keys of each metric, checked.

        Raises:
            UsageError: a value of the wrong kind.
        """
        tables = self.wanted.recipe.metrics
        return {name: self._checked(name, tables.get(name, {})) for name in self.metrics}

    def _checked(self, name: str, table: Mapping[str, Any]) -> Any:
        return checked(plugins.load("metrics", name).Params, table, f"metrics.{name}")

    @cached_property
    def keys(self) -> dict[str, dict[str, Any]]:
        """The same as records have them: a digest in the place of a path."""
        found = {}
        for name, params in self.params.items():
            content = getattr(plugins.load("metrics", name), "content", None)
            found[name] = {**asdict(params), **(content(params) if content else {})}
        return found

    @cached_property
    def own(self) -> dict[str, str]:
        """Which images the net's own sets are, and under which labels."""
        return own_images(self.subject.images)

    @cached_property
    def net(self) -> Specimen:
        """The net itself, in evaluation mode."""
        subject, folder = self.subject, self.subject.run.folder
        own = {name: self.shown[name].images() for name in ("train", "val", "test") if name in self.shown}
        sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors"))}
        return Specimen(
            subject.setting.bench.model.eval(), subject.mask, own, len(subject.setting.data.classes),
            own["test"].scaling, sizes, lambda: self.answers.poll(), subject.setting.bench.reporter,
        )  # fmt: skip

    def path(self, name: str) -> Any:
        """Where the part of the metric `name` lies once it is measured."""
        words = fingerprint(to_record(_words(self.head(name))))
        return self.subject.run.folder / WORK / f"{name}-{words}.zarr.zip"

    def head(self, *names: str) -> Report:
        """A report of these metrics, or all, without values."""
        manifest, setting = self.subject.run.manifest, self.subject.setting
        metrics = names or self.metrics
        spec = self.wanted.recipe.audit.model_dump(mode="json", include={"images"})
        return Report(
            kind="audit",
            subject=Audited(
                run_id=manifest.run_id,
                ticket=manifest.ticket,
                level=manifest.level,
                weights=manifest.weights.digest,
                status=manifest.status,
            ),
            data=ReportData(name=setting.base_name, fingerprint=setting.data.fingerprint),
            seeds={"root": self.seeds.root, **self.seeds.override},
            env={"ticketctl": __version__, **versions(), **setting.bench.place.describe(), **flags()},
            recipe={
                "metrics": list(metrics),
                "keys": {name: self.keys[name] for name in metrics},
                "audit": spec,
                "own": {name: digest for name, digest in self.own.items() if name in _needs(metrics)},
                "code": code(setting.recipe.model.name, metrics),
                "sets": self.answers.described(self.answers.of(_needs(metrics))),
            },
            metrics=(),
        )


def audit(asked: Audit) -> Report:
    """The report of a run, written into its folder; what was measured before, under the same words, is taken as it is.

    Raises:
        LockedError, StoppedError, UsageError, ResourceError: as their names say.
    """
    folder, reporter = asked.subject.run.folder, asked.subject.setting.bench.reporter
    with locked(folder / WORK):
        for beside in (FOLDER, REPORTS):  # the lock sweeps its own folder alone
            sweep_temporaries(folder / beside)
        parts = parts_there(asked)
        seconds = time_of(asked, parts)
        meter = Meter(reporter, seconds, asked.subject.setting.poll)
        if seconds:
            reporter.note(f"audit of {folder}: {len(seconds)} metrics, {told(seconds)}")
        asked.answers.poll = meter.tick
        for number, name in enumerate(asked.metrics, start=1):
            if name in parts:
                continue
            asked.subject.setting.poll()
            meter.begin(name, f"[{number}/{len(asked.metrics)}] {name}")
            parts[name] = _ask(asked, name)
            write_atomic(asked.path(name), encode_report(parts[name]))
            meter.end()
        data = encode_report(_joined(asked.head(), [parts[name] for name in asked.metrics]))
        found = decode_report(data, where="the new report")
        make_folder(folder / REPORTS)
        write_atomic(folder / found.file_name, data)
    return found


def time_of(asked: Audit, there: Mapping[str, Report]) -> dict[str, float]:
    """Seconds that each metric takes which is not `there`, about."""
    left = {name: asked.params[name] for name in asked.metrics if name not in there}
    return due(left, asked.answers, asked.net) if left else {}


def parts_there(asked: Audit) -> dict[str, Report]:
    """What was measured before, under the same words."""
    return {name: part for name in asked.metrics if (part := _kept(asked, name)) is not None}


def _kept(asked: Audit, name: str) -> Report | None:
    path, words = asked.path(name), to_record(_words(asked.head(name)))
    with suppress(ArtifactError):  # none is there, or a damaged one
        part = decode_report(read_bytes(path, limit=LIMIT), where=str(path))
        if _words(part) == words and asked.answers.has(part.sources):
            return part
    return None


def _words(head: Report) -> dict[str, Any]:
    """What a measurement is a function of."""
    return {
        "subject": head.subject.model_dump(mode="json"), "data": head.data.model_dump(mode="json"),
        "seeds": dict(head.seeds), "env": dict(head.env), "recipe": dict(head.recipe),
    }  # fmt: skip


def _needs(metrics: Sequence[str]) -> list[str]:
    return sorted({need for name in metrics for need in plugins.load("metrics", name).NEEDS})


def _ask(asked: Audit, name: str) -> Report:
    module, answers, head = plugins.load("metrics", name), asked.answers, asked.head(name)
    answers.sources = {}
    sets = answers.of(module.NEEDS)
    reason = asked.wanted.missing.get(name, "") or _lacking(module.NEEDS, sets)
    if reason:
        return replace(head, metrics=(_without(name, "absent", reason),))
    odd = _not_finite(answers, ["test"] if "net" in module.NEEDS else sets)
    if odd:
        return replace(head, metrics=(_without(name, "nan", odd),), sources=dict(answers.sources))
    net = asked.net if "net" in module.NEEDS else None
    try:
        exam = Exam(answers, sets, asked.seeds, net, lambda: answers.poll())
        found: Measurement = module.measure(exam, params=asked.params[name])
    except Absent as absent:
        return replace(head, metrics=(_without(name, "absent", str(absent)),))
    return replace(
        head, metrics=_rows(name, module.BETTER, found), sources=dict(answers.sources),
        arrays={f"{name}/{key}": array for key, array in found.arrays.items()},
    )  # fmt: skip


def _lacking(needs: Sequence[str], sets: Sequence[str]) -> str:
    there = {"net", *(name.partition("/")[0] for name in sets)}
    missing = [need for need in needs if need not in there]
    return f"there are no {missing[0]} images" if missing else ""


def _without(name: str, status: Any, reason: str) -> MetricRow:
    return MetricRow(name, name, "none", None, None, 0, status, reason)


def _not_finite(answers: Answered, sets: Sequence[str]) -> str:
    """Of the first set with logits that are not finite, how many images have such; "" if there is none."""
    for name in sets:
        bad = answers.not_finite(name)
        if bad:
            return f"{bad} of {answers.shown[name].count} images of {name} have logits that are not finite"
    return ""


def _rows(metric: str, better: Mapping[str, str], found: Measurement) -> tuple[MetricRow, ...]:
    rows = []
    for name, one in found.values.items():
        # mypy takes it for any text; the suite of metrics sees to what stands in BETTER
        way = next((better[key] for key in (name, name.partition(".")[0]) if key in better), "none")
        sound = isfinite(one.value)
        error = one.error if one.error is not None and isfinite(one.error) else None
        rows.append(
            MetricRow(
                name, metric, way, one.value if sound else None, error if sound else None, one.n,  # type: ignore[arg-type]
                "done" if sound else "nan", "" if sound else f"came out as {one.value}", found.protocol,
            )
        )  # fmt: skip
    return tuple(rows)


def _joined(head: Report, parts: Sequence[Report]) -> Report:
    return replace(
        head,
        metrics=tuple(row for part in parts for row in part.metrics),
        sources={key: digest for part in parts for key, digest in part.sources.items()},
        arrays={key: array for part in parts for key, array in part.arrays.items()},
    )
