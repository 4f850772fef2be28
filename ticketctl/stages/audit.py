"""Audit, probe or transfer a net: every metric as it comes, each kept when it is done, and one report of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from ticketctl import plugins
from ticketctl.artifacts.report import Report, encode_report
from ticketctl.artifacts.samples import FOLDER
from ticketctl.errors import TicketctlError
from ticketctl.seeds import Seeds
from ticketctl.stages.answered import Answered
from ticketctl.stages.conditions import code, head_of, own_images
from ticketctl.stages.due import Meter, due, told
from ticketctl.stages.explored import Explored
from ticketctl.stages.history import history_of, read_of
from ticketctl.stages.params import checked
from ticketctl.stages.reported import REPORTS, Parts, after, joined, measured, without, written
from ticketctl.stages.sources import Source
from ticketctl.stages.subject import Subject
from ticketctl.store.files import sweep_temporaries
from ticketctl.store.locks import locked
from ticketctl.train.exam import Absent, Exam, History, Measurement
from ticketctl.train.specimen import Specimen


@dataclass(frozen=True)
class Audit:
    """A net, what is measured of it, and the images that it is shown."""

    subject: Subject
    wanted: Explored
    shown: Mapping[str, Source]
    """As `shown.shown` gives them."""
    seeds: Seeds
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What else the values are a function of: plain JSON."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Sorted."""
        return self.wanted.recipe.chosen

    @property
    def parts(self) -> Parts:
        """What was measured before, and where more is kept."""
        return Parts(self.subject.named.folder / f"{self.wanted.kind}-work", self.head)

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
        tables = self.wanted.tables
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
        subject, folder = self.subject, self.subject.named.folder
        own = {name: self.shown[name].images() for name in ("train", "val", "test") if name in self.shown}
        sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors"))}
        return replace(subject.specimen(), images=own, sizes=sizes, poll=lambda: self.answers.poll())

    @cached_property
    def history(self) -> History | None:
        """What was kept along its training; None: there was none."""
        run = self.subject.named.run
        return None if run is None else history_of(run)

    @cached_property
    def read(self) -> dict[str, str]:
        """Digests of what `history` is read from."""
        run = self.subject.named.run
        return {} if run is None else read_of(run)

    def head(self, *names: str) -> Report:
        """A report of these metrics, or all, without values."""
        setting, metrics = self.subject.setting, names or self.metrics
        recipe = {
            "metrics": list(metrics),
            "keys": {name: self.keys[name] for name in metrics},
            self.wanted.kind: self.wanted.spec,
            "own": {name: digest for name, digest in self.own.items() if name in _needs(metrics)},
            "code": code(setting.recipe.model.name, metrics, tweaks=setting.recipe.spend.tweaks),
            "sets": self.answers.described(self.answers.of(_needs(metrics))),
            **({"history": self.read} if "history" in _needs(metrics) else {}),
            **after(self.subject.named.epoch),
            **self.beside,
        }
        return head_of(self.wanted.kind, self.subject.said, setting, self.seeds, recipe)


def audit(asked: Audit, turn: str = "") -> Report:
    """The report of a net, written into its folder; what was measured before, under the same words, is taken as it is.

    Args:
        asked: the net, and what is measured of it.
        turn: which of several nets it is, for people: "[2/7] ".

    Raises:
        LockedError, StoppedError, UsageError, ResourceError: as their names say.
        RuntimeError: a bug of a metric; names it. The metrics that were done before are kept.
    """
    folder, reporter, store = asked.subject.named.folder, asked.subject.setting.bench.reporter, asked.parts
    asked.head()  # keys that cannot be are refused before there is a folder
    with locked(store.folder):
        sweep_temporaries(folder / REPORTS, f"{asked.wanted.kind}-")  # the lock sweeps its own folder alone
        if asked.wanted.kind == "audit":  # others ask for no answers
            sweep_temporaries(folder / FOLDER)
        parts = parts_there(asked)
        gone = asked.wanted.missing  # these are only told of
        seconds = {name: value for name, value in time_of(asked, parts).items() if name not in gone}
        meter = Meter(reporter, seconds, asked.subject.setting.poll)
        label, kind = asked.subject.named.label, asked.wanted.kind
        if seconds:
            many = f"{len(seconds)} metric{'' if len(seconds) == 1 else 's'}"
            reporter.note(f"{turn}{kind} of {label}: {many}, {told(seconds)}")
        else:
            reporter.note(f"{turn}{kind} of {label}: measured before")
        asked.answers.poll = meter.tick
        for number, name in enumerate(asked.metrics, start=1):
            if name in parts:
                continue
            asked.subject.setting.poll()
            of = f"[{number}/{len(asked.metrics)}] " if len(asked.metrics) > 1 else ""
            meter.begin(name, f"{of}{name}")
            with _named(asked, name):
                parts[name] = _ask(asked, name)
                part = encode_report(parts[name])
            if not _withheld(asked, name):
                store.keep(name, part)
            meter.end()
        return written(folder, joined(asked.head(), [parts[name] for name in asked.metrics]))


def time_of(asked: Audit, there: Mapping[str, Report]) -> dict[str, float]:
    """Seconds that each metric takes which is not `there`, about."""
    left = {name: asked.params[name] for name in asked.metrics if name not in there}
    return due(left, asked.answers, asked.net, asked.history) if left else {}


def parts_there(asked: Audit) -> dict[str, Report]:
    """What was measured before, under the same words, of answers that are still there."""
    store = asked.parts
    found = {name: part for name in asked.metrics if (part := store.kept(name)) is not None}
    return {name: part for name, part in found.items() if asked.answers.has(part.sources)}


def _needs(metrics: Sequence[str]) -> list[str]:
    return sorted({need for name in metrics for need in plugins.load("metrics", name).NEEDS})


@contextmanager
def _named(asked: Audit, name: str) -> Iterator[None]:
    """What a metric raises that it should not is told with its name, and how to do without it."""
    try:
        yield
    except (TicketctlError, MemoryError, OSError):
        raise
    except Exception as error:  # a metric may be anybody's code; raised again with its name
        others = ",".join(other for other in asked.metrics if other != name)
        way = f"; all but it: --metrics {others}" if others else ""
        raise RuntimeError(
            f"metric {name} of {asked.subject.named.label}: {type(error).__name__}: {error}; "
            f"what was measured before it is kept{way}"
        ) from error


def _ask(asked: Audit, name: str) -> Report:
    module, answers, head = plugins.load("metrics", name), asked.answers, asked.head(name)
    answers.sources = {}
    sets = answers.of(module.NEEDS)
    if reason := _withheld(asked, name):
        return replace(head, metrics=(without(name, "absent", reason),))
    odd = _odd(asked, module.NEEDS, sets)
    if odd:
        return replace(head, metrics=(without(name, "nan", odd),), sources=dict(answers.sources))
    net = asked.net if "net" in module.NEEDS else None
    history = asked.history if "history" in module.NEEDS else None
    try:
        exam = Exam(answers, sets, asked.seeds, net, lambda: answers.poll(), history)
        found: Measurement = module.measure(exam, params=asked.params[name])
    except Absent as absent:
        return replace(head, metrics=(without(name, "absent", str(absent)),))
    return replace(measured(head, name, module.BETTER, found), sources=dict(answers.sources))


def _withheld(asked: Audit, name: str) -> str:
    """Why a metric is not asked at all, which lies outside the net and may change: no part is kept; or ""."""
    needs = plugins.load("metrics", name).NEEDS
    return asked.wanted.missing.get(name, "") or _lacking(needs, asked.answers.of(needs))


def _odd(asked: Audit, needs: Sequence[str], sets: Sequence[str]) -> str:
    """Why the net has nothing to measure, or ""."""
    if asked.wanted.kind == "audit":
        return _not_finite(asked.answers, ["test"] if "net" in needs else sets)
    finite = all(bool(weight.isfinite().all()) for weight in asked.subject.setting.bench.model.parameters())
    return "" if finite or "net" not in needs else "the net has weights that are not finite"


def _lacking(needs: Sequence[str], sets: Sequence[str]) -> str:
    there = {"net", "history", *(name.partition("/")[0] for name in sets)}
    missing = [need for need in needs if need not in there]
    return f"there are no {missing[0]} images" if missing else ""


def _not_finite(answers: Answered, sets: Sequence[str]) -> str:
    """Of the first set with logits that are not finite, how many images have such; "" if there is none."""
    for name in sets:
        bad = answers.not_finite(name)
        if bad:
            return f"{bad} of {answers.shown[name].count} images of {name} have logits that are not finite"
    return ""
