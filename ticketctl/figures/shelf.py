"""What artifacts say, as figures take it; stages/gallery.py fills it. What is long is read when it is asked for."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.report import MetricRow, Report
from ticketctl.artifacts.samples import Samples
from ticketctl.artifacts.series import Series
from ticketctl.artifacts.verdict import Verdict
from ticketctl.errors import ArtifactError
from ticketctl.figures.alike import Wanted, alike
from ticketctl.figures.swept import Swept

Keep = Mapping[str, NDArray[np.bool_]]
_SEED = re.compile(r".*?/seed-[0-9]+(?=/)")


@dataclass(frozen=True, eq=False)
class Net:
    """One trained net (dense nets too), and what is told of the ticket behind it."""

    id: str
    ticket: str
    """The ticket's id, or `dense`."""
    level: int
    density: float
    """Of its ticket, in (0, 1]."""
    seeds: tuple[int, int]
    """Root and initialisation: nets of one draw share them."""
    diverged: bool
    values: Mapping[str, float]
    """Of the last epoch and the best one, as the manifest names them: test.accuracy in [0, 1]."""
    settings: Mapping[str, str]
    """Keys of its recipe that count, in a user's words."""
    place: str
    """Its folder, as it is typed in a command."""
    series: Callable[[], Series | None]
    record: Callable[[], Mapping[str, NDArray[Any]]]
    """What was recorded along its training, by name; nothing, where nothing was."""
    mask: Callable[[], Keep | None]
    reports: Callable[[str, str], tuple[Report, ...]]
    """By kind (audit, probe, transfer, interpolate) and of what (stages.measured.OF; `path`: between any nets;
    `epochs`: of its weights after earlier epochs, which each recipe says), the newest first. Those of a ticket belong
    to the net that its draw trained, and to no other."""
    samples: Callable[[str], Samples | None]
    """What it answered to a set of images, as `test`."""

    @property
    def sparsity(self) -> float:
        """In percent, in [0, 100)."""
        return 100 * (1 - self.density)


@dataclass(frozen=True)
class Stat:
    """Mean, sample deviation (None for one) and number of values."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Stat | None:
        """Of those that are there; None where none is."""
        known = [one for one in values if one is not None]
        if not known:
            return None
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))

    @property
    def low(self) -> float | None:
        """A deviation below the mean."""
        return None if self.deviation is None else self.mean - self.deviation

    @property
    def high(self) -> float | None:
        """A deviation above the mean."""
        return None if self.deviation is None else self.mean + self.deviation


@dataclass(frozen=True, eq=False)
class Group:
    """Nets that differ in nothing but seeds, at one density."""

    density: float
    nets: tuple[Net, ...]

    @property
    def sparsity(self) -> float:
        """In percent, in [0, 100)."""
        return 100 * (1 - self.density)

    @property
    def finite(self) -> tuple[Net, ...]:
        """Those that did not diverge: no other is averaged."""
        return tuple(net for net in self.nets if not net.diverged)

    def stat(self, value: Callable[[Net], float | None]) -> Stat | None:
        """Over the nets that stayed finite and have the value."""
        return Stat.of(value(net) for net in self.finite)


@dataclass(frozen=True, eq=False)
class Family:
    """Nets of one recipe over densities: a ladder's levels, one way to spend them, a control, or a dense net."""

    label: str
    """Tells it from all others of the shelf: method, control, tweaks, and the fewest keys that do."""
    apart: Mapping[str, str]
    """All keys by which it differs from others of its net and data, with its values."""
    net: str
    data: str
    method: str
    """The draw's, or `dense`."""
    control: str
    tweaks: tuple[str, ...]
    groups: tuple[Group, ...]
    """The densest first."""
    dense: Group | None
    """The dense nets of the same training; of a dense family itself."""

    @property
    def is_dense(self) -> bool:
        """Whether nothing of it is pruned."""
        return self.method == "dense"

    @property
    def nets(self) -> list[Net]:
        """All of them, the densest first."""
        return [net for group in self.groups for net in group.nets]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A ticket with its levels."""

    id: str
    label: str
    """As its family's, and its seed where the shelf has several of them."""
    net: str
    data: str
    method: str
    control: str
    seed: int
    kept: Mapping[int, int]
    """Weights kept, by level, level 0 too if the ticket has it."""
    prunable: int
    layers: Mapping[str, tuple[int, ...]]
    """Shapes of the prunable tensors, in the order of the mask."""
    keep: Callable[[int], Keep]
    """The mask of a level."""
    facts: Mapping[str, Any]
    """What the manifest says of each level: its own words, by level."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the draw noted of a level on its way there, by level: words of its method, of no promised form."""

    def sparsity(self, level: int) -> float:
        """In percent, in [0, 100)."""
        return 100 * (1 - self.kept[level] / max(1, self.prunable))


@dataclass(frozen=True)
class PaperCell:
    """A cell of a paper's table, with the runs that belong to it."""

    row: str
    column: str
    metric: str
    unit: str
    sparsity: float | None
    """In percent."""
    theirs: float | None
    theirs_deviation: float | None
    ours: float | None
    """In the cell's unit."""
    deviation: float | None
    n: int
    sources: tuple[str, ...] = ()
    """Ids of the runs behind `ours`."""
    differs: tuple[str, ...] = ()
    """What these runs did otherwise than the paper: epochs 4 instead of 200."""


@dataclass(frozen=True)
class Paper:
    """A paper's table or figure beside the runs of the shelf."""

    spec: str
    title: str
    n: int | None
    """Runs behind each of its values; None where the paper does not tell."""
    cells: tuple[PaperCell, ...]
    data: tuple[str, str] | None = None
    """The data set of the runs, and the paper's own that it stands for; None where they are the same."""


@dataclass(frozen=True)
class Read:
    """What the reports of one plug-in say, all taken under the same keys."""

    by_net: Mapping[Net, Report]
    others: Mapping[str, int]
    """Nets that were measured under other keys alone, by net and data set: they are left out."""

    def row(self, net: Net, name: str) -> MetricRow | None:
        """The row of that name; None where it is not, or has no value."""
        report = self.by_net.get(net)
        rows = (row for row in report.metrics if row.name == name) if report else iter(())
        return next((row for row in rows if row.value is not None), None)

    def value(self, net: Net, name: str) -> float | None:
        """Of the row of that name."""
        return row.value if (row := self.row(net, name)) else None

    def array(self, net: Net, name: str) -> NDArray[Any] | None:
        """As `ece/bin.count`."""
        return report.arrays.get(name) if (report := self.by_net.get(net)) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of those that were left out."""
        counts = {where: f"{n} net{'s' * (n > 1)} of {where}" for where, n in self.others.items() if n}
        return tuple(f"{nets} measured under other keys left out" for nets in counts.values())


@dataclass(frozen=True, eq=False)
class Shelf:
    """All that a figure may be made of."""

    families: tuple[Family, ...]
    tickets: tuple[Drawn, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    paper: Paper | None = None
    place: str = "RUNS"
    """What was typed, for the commands that messages name and that take folders of runs: audit, plot, compare."""
    loose: tuple[Report, ...] = ()
    """Of nets that were neither drawn nor spent: onsets of stability of a dense net."""
    damaged: list[ArtifactError] = field(default_factory=list, repr=False)
    """Faults of files that were asked for and are damaged, each time anew: what they hold is left out."""
    reads: dict[tuple[str | int | None, ...], Read] = field(default_factory=dict, repr=False)
    sweep: Swept | None = None
    """The sweep that the nets are of, where one was named."""

    @property
    def nets(self) -> list[Net]:
        """All trained nets, each once."""
        return list(dict.fromkeys(net for family in self.families for net in family.nets))

    @property
    def ticket(self) -> str:
        """A ticket, for commands that take single ones: spend, interpolate --twins, probe --controls."""
        folders = (_SEED.match(net.place) for net in self.nets if net.ticket != "dense")
        return next((quote(one[0]) for one in folders if one), self.place)

    @property
    def run(self) -> str:
        """A trained net, for commands that take single ones: probe, transfer, interpolate."""
        ordered = sorted(self.nets, key=lambda net: net.ticket == "dense")
        return next((quote(net.place) for net in ordered), "RUN")

    def read(
        self, kind: str, module: str, of: str = "trained", *, array: str = "", dimensions: int = 0, to: str = "",
        epoch: int | None = None,
    ) -> Read:  # fmt: skip
        """What every net's reports say of a plug-in: of each net the newest taken under the keys that most nets have.

        Most are most of one net and data set: what is said of others is never drawn over the same axes.

        Args:
            kind: audit, probe, transfer or interpolate.
            module: the plug-in, as ece.
            of: which net was measured, as in `Net.reports`.
            array: reports that lack it are passed over, as hessian/density.
            dimensions: of that array; 0: any.
            to: the fingerprint of the data set that nets were moved to; "": any.
            epoch: with of = "epochs", after which; None: any.
        """
        asked = (kind, module, of, array, dimensions, to, epoch)
        if asked not in self.reads:
            wanted = Wanted(kind, module, array, dimensions, to, epoch)
            places: dict[tuple[str, str], list[Net]] = {}
            for family in self.families:
                places.setdefault((family.net, family.data), []).extend(family.nets)
            parts = {
                " on ".join(place): alike({net: net.reports(kind, of) for net in nets}, wanted)
                for place, nets in places.items()
            }
            by_net = {net: report for kept, _ in parts.values() for net, report in kept.items()}
            self.reads[asked] = Read(by_net, {place: others for place, (_, others) in parts.items()})
        return self.reads[asked]
