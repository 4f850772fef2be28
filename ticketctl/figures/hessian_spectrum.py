"""Where the eigenvalues of the loss's Hessian lie: its spectral density.

Of audits with `hessian` that were asked for a density (`--set metrics.hessian.density=4`), by stochastic Lanczos
quadrature in the kept coordinates (Ghorbani et al. 2019, section 2): a panel for each net, all on the same axes, the
density on a logarithmic one. It is that of the share of the eigenvalues, and integrates to 1: nearly all of them lie at
0, and the few to the right are about as many as there are classes. Upright lines stand at the extreme eigenvalues that
Lanczos found, from another start. What is below `floor` of the largest density is left out. Each panel is one net.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.errors import UsageError
from ticketctl.figures.boards import Board, Entry, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Read, Shelf

FACTS = {"from": "audits", "papers": "001 Fig A11; 004 section 4.4"}
PANELS = 6


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    floor: float = 1e-8
    """Of the largest density of a sheet: what is below it is left out."""
    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the audited ones."""

    def __post_init__(self) -> None:
        if not 1e-12 <= self.floor < 1:
            raise UsageError(f"figures.hessian-spectrum.floor = {self.floor:g} must be from 1e-12 to below 1")
        check_sparsities("hessian-spectrum", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the dense net beside tickets; more sheets, where nets are many.

    Raises:
        NothingError: no audit has a density.
    """
    read = shelf.read("audit", "hessian", array="hessian/density")
    found = boards(shelf, read.by_net.__contains__, wanted=params.sparsities, most=PANELS)
    if not found:
        raise NothingError(
            f"no spectral density; run: ticketctl audit {shelf.place} --metrics hessian "
            "--set metrics.hessian.density=4"
        )
    for board in found:
        yield _sheet(board, read, params.floor)


def _sheet(board: Board, read: Read, floor: float) -> Sheet:
    spectra = [read.by_net[entry.net].arrays for entry in board.entries]
    most = max(float(one["hessian/density"].max()) for one in spectra)
    least = floor * most
    low = min(float(one["hessian/grid"][0]) for one in spectra)
    high = max(float(one["hessian/grid"][-1]) for one in spectra)
    rows = [row for entry in board.entries for row in _rows(entry, read, least)]
    trace = read.row(board.entries[0].net, "hessian.trace")
    said = trace.protocol if trace else {}
    images = (f"Hessian of {said['loss']}, over {said['batch']}",) if {"loss", "batch"} <= {*said} else ()
    return Sheet(
        "hessian-spectrum", "lines", f"{board.subject}: spectral density of the loss's Hessian",
        Axis("eigenvalue", low=low, high=high), Axis("density", scale="log", low=least, high=2 * most), tuple(rows),
        board.part,
        notes=(*images, f"densities below {least:.2g} left out", *board.notes, *read.notes),
        sources=tuple(read.by_net[one.net].id for one in board.entries),
    )  # fmt: skip


def _rows(entry: Entry, read: Read, least: float) -> Iterator[tuple[Cell, ...]]:
    """The line, broken where it is too low, and the ends."""
    arrays = read.by_net[entry.net].arrays
    for place, value in zip(arrays["hessian/grid"], arrays["hessian/density"], strict=True):
        shown = float(value) if value >= least else None
        yield entry.label, "density", "line", float(place), shown, None, None, 1
    for name in ("hessian.min", "hessian.max"):
        end = read.value(entry.net, name)
        if end is not None:
            yield entry.label, "extreme eigenvalues", "mark", end, None, None, None, 1
