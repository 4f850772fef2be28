"""Measure curves between nets, or about one: point by point, each kept as it comes, and one report of all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl import plugins
from ticketctl.artifacts.report import Report, encode_report
from ticketctl.errors import TicketctlError
from ticketctl.recipe_explore import InterpolateRecipe, InterpolateSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.aligned import Aligned, aligned, once
from ticketctl.stages.between import Between
from ticketctl.stages.conditions import code, head_of, own_images, version_of
from ticketctl.stages.due import Meter, passes_a_second, told
from ticketctl.stages.ends import Ends, opened
from ticketctl.stages.explored import Explored
from ticketctl.stages.params import checked
from ticketctl.stages.points import Points
from ticketctl.stages.reported import REPORTS, Parts, after, joined, measured, without, written
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.subject import Opener, Subject
from ticketctl.store.files import sweep_temporaries
from ticketctl.store.locks import locked
from ticketctl.train.exam import Absent, Measurement
from ticketctl.train.specimen import Specimen
from ticketctl.train.terrain import Terrain

WORK, POINTS = "interpolate-work", "points"


def params_of(asked: Explored) -> dict[str, Any]:
    """The keys of each curve, checked.

    Raises:
        UsageError: a value of the wrong kind, or out of its range.
    """
    tables = asked.recipe.tables
    return {
        name: checked(plugins.load("curves", name).Params, tables.get(name, {}), f"curves.{name}")
        for name in asked.recipe.chosen
    }


@dataclass(frozen=True)
class Interpolation:
    """Nets and the curves that are measured between them, or about one."""

    between: Between
    nets: Ends
    asked: Explored
    params: Mapping[str, Any]
    """Of each curve."""
    seeds: Seeds
    around: Surroundings

    @property
    def curves(self) -> tuple[str, ...]:
        """Sorted."""
        return self.asked.recipe.chosen

    @property
    def spec(self) -> InterpolateSpec:
        """`[interpolate]`."""
        assert isinstance(self.asked.recipe, InterpolateRecipe)
        return self.asked.recipe.interpolate

    @property
    def folder(self) -> Path:
        """Whose report it is."""
        return self.between.subject.folder

    @property
    def parts(self) -> Parts:
        """What was measured before, and where more is kept."""
        return Parts(self.folder / WORK, self.head)

    def points(self, name: str) -> Path:
        """Where the points of a curve lie that is not measured to its end."""
        return self.folder / WORK / POINTS / self.parts.path(name).name.partition(".")[0]

    def specimen(self) -> Specimen:
        """The first net, in evaluation mode."""
        return replace(self.nets.first.specimen(), images=self.nets.images)

    def aligned(self) -> Aligned:
        """The ends as they are measured: aligned, if that was asked for."""
        shape, say = self.nets.first.setting.data.shape, self.around.reporter.note
        return aligned(self.nets.ends, self.specimen(), self.spec, self.seeds, shape, say)

    def head(self, *names: str) -> Report:
        """A report of these curves, or all, without values."""
        setting, spec, chosen = self.nets.first.setting, self.spec, names or self.curves
        images = {"align_images": spec.align_images} if spec.align == "activations" else {}
        align = {"scipy": version_of("scipy")} if spec.align != "none" else {}
        recipe = {
            "curves": list(chosen),
            "keys": {name: asdict(self.params[name]) for name in chosen},
            "interpolate": {"align": spec.align, **images},
            "ends": list(self.nets.said),
            "own": own_images(self.nets.images),
            "code": {
                **code(setting.recipe.model.name, chosen, "curves", setting.recipe.spend.tweaks),
                **align,
            },
            **after(spec.epoch),
        }
        return head_of("interpolate", self.nets.subject, setting, self.seeds, recipe)


def interpolation(pair: Between, asked: Explored, seeds: Seeds, opener: Opener) -> Interpolation:
    """The nets opened. Those of one recipe share a net in memory: measure this one before the next is opened.

    Raises:
        UsageError, MismatchError, DivergedError, ArtifactError, UnavailableError: as `params_of` and `opened`.
    """
    params = params_of(asked)
    return Interpolation(pair, opened(pair, opener), asked, params, seeds, opener.around)


def interpolate(asked: Interpolation) -> Report:
    """The report of an interpolation, written into the folder of its subject; what was measured before is taken as is.

    Raises:
        LockedError, StoppedError, UsageError, MissingExtraError, ResourceError: as their names say.
        RuntimeError: a bug of a curve; names it. The curves that were done before are kept.
    """
    reporter, parts = asked.around.reporter, asked.parts
    for text in asked.nets.remarks:
        reporter.remark(text)
    with locked(asked.folder / WORK):
        sweep_temporaries(asked.folder / REPORTS, "interpolate-")
        found = parts_there(asked)
        seconds = time_of(asked, found)
        meter = Meter(reporter, seconds, asked.nets.first.setting.poll)
        if seconds:
            reporter.note(f"interpolate {asked.between.label}: {told(seconds)}")
            nets = asked.aligned()
        for name in seconds:
            meter.begin(name, name)
            with _named(asked, name):
                found[name] = _measured(asked, name, nets, meter)
                part = encode_report(found[name])
            parts.keep(name, part)
            meter.end()
        report = written(asked.folder, joined(asked.head(), once([found[name] for name in asked.curves])))
        _clear(asked)
        return report


def parts_there(asked: Interpolation) -> dict[str, Report]:
    """What was measured before, under the same words."""
    parts = asked.parts
    return {name: part for name in asked.curves if (part := parts.kept(name)) is not None}


def time_of(asked: Interpolation, there: Mapping[str, Report]) -> dict[str, float]:
    """Seconds that each curve takes which is not `there`, about."""
    left = {name: asked.params[name] for name in asked.curves if name not in there}
    return seconds_of(asked.nets.first, left, len(asked.nets.ends))


def seconds_of(net: Subject, params: Mapping[str, Any], ends: int) -> dict[str, float]:
    """Seconds that each curve takes between so many nets of the form of `net`, which is timed for a moment."""
    if not params:
        return {}
    sizes = {name: len(images) for name, images in net.images.items()}
    rate = passes_a_second(net.specimen())
    return {
        name: plugins.load("curves", name).price(sizes, keys, ends) / rate for name, keys in params.items()
    }


def _measured(asked: Interpolation, name: str, nets: Aligned, meter: Meter) -> Report:
    module, head = plugins.load("curves", name), asked.head(name)
    specimen = replace(asked.specimen(), poll=meter.tick)
    terrain = Terrain(specimen, nets.ends, asked.seeds, Points(asked.points(name), asked.parts.digest(name)))
    try:
        found: Measurement = module.measure(terrain, params=asked.params[name])
    except Absent as absent:
        return replace(head, metrics=(without(name, "absent", str(absent)),))
    part = measured(head, name, module.BETTER, found)
    return replace(part, metrics=(*part.metrics, *nets.rows(name, asked.spec.align)))


@contextmanager
def _named(asked: Interpolation, name: str) -> Iterator[None]:
    """What a curve raises that it should not is told with its name."""
    try:
        yield
    except (TicketctlError, MemoryError, OSError):
        raise
    except Exception as error:  # a curve may be anybody's code; raised again with its name
        raise RuntimeError(
            f"curve {name} of {asked.between.label}: {type(error).__name__}: {error}; what was measured before it is "
            "kept"
        ) from error


def _clear(asked: Interpolation) -> None:
    """Take the points of these curves away: they are in the report. Those of others, which go on later, stay."""
    for name in asked.curves:
        shutil.rmtree(asked.points(name), ignore_errors=True)
    with suppress(OSError):  # not empty, or not there
        (asked.folder / WORK / POINTS).rmdir()
