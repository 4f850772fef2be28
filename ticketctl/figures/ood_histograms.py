"""How sure a net is of test images, and of images that are of another kind.

Of audits with `ood`: for each net a histogram of its confidence, the largest softmax probability, over the test images
and over each set of others, from the answers that the audit kept beside the run. AUROC, by the same score, stands above
each panel: the share of pairs of a test image and another in which the net is surer of the test image (Hendrycks and
Gimpel 2017; paper 004, section 4.1). The vertical axis is logarithmic, unless `log` is switched off: most images lie in
the last bin. Where only some of the classes are shared with the other set, both sides are of these alone, as in the
audit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.samples import Samples
from ticketctl.errors import UsageError
from ticketctl.figures.boards import Board, Entry, boards
from ticketctl.figures.paths import check_sparsities
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Net, Read, Shelf

FACTS = {"from": "audits and the answers beside runs", "papers": "004 section 4.1"}
PANELS, SETS = 6, 6
OTHER = "ood-"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    bins: int = 20
    """Of equal width, from 0 to 1."""
    log: bool = True
    """Whether shares are drawn on a logarithmic axis."""
    sparsities: tuple[float, ...] = ()
    """In percent: of each ladder the levels next to these; none: spread over the audited ones."""

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 100:
            raise UsageError(f"figures.ood-histograms.bins = {self.bins} must be from 2 to 100")
        check_sparsities("ood-histograms", self.sparsities)


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """For each net and data set the dense net beside tickets; more sheets, where nets are many.

    Raises:
        NothingError: no audit has other images, or its answers are gone.
    """
    read = shelf.read("audit", "ood")
    asked = {
        net for net, report in read.by_net.items() if any(name.startswith(OTHER) for name in report.sources)
    }
    named = boards(shelf, asked.__contains__, wanted=params.sparsities, most=PANELS)
    found = [one for board in named if (one := _answered(board, read)).entries]
    if not found:
        raise NothingError(
            f"no answers to images of another kind; run: ticketctl audit {shelf.place} --metrics ood"
        )
    for board in found:
        yield _sheet(board, read, params)


def _answered(board: Board, read: Read) -> Board:
    """Without nets whose answers are gone, or are not those that were audited."""
    there = tuple(entry for entry in board.entries if _others(read, entry.net))
    return replace(board, entries=there, left=board.left + len(board.entries) - len(there))


def _others(read: Read, net: Net) -> dict[str, tuple[Samples, Samples]]:
    """Test images and others, by the set of the others, whose answers are those of the report."""
    report = read.by_net[net]
    names = sorted(name for name in report.sources if name.startswith(OTHER))
    held = {name: net.samples(name) for name in [*names, *(one for one in report.sources if _is_test(one))]}
    same = {name: one for name, one in held.items() if one and one.digest == report.sources[name]}
    test = next((one for name, one in same.items() if _is_test(name)), None)
    return {name: (test, same[name]) for name in names[:SETS] if name in same} if test else {}


def _beyond(board: Board, read: Read) -> list[str]:
    """What is to be said of sets for which there is no room."""
    every = {name for one in board.entries for name in read.by_net[one.net].sources if name.startswith(OTHER)}
    shown = {name for one in board.entries for name in _others(read, one.net)}
    left = sorted(every - shown)
    return [f"{len(left)} of {len(every)} sets not shown: {', '.join(map(_set, left))}"] if left else []


def _is_test(name: str) -> bool:
    return name == "test" or name.startswith("test-n")


def _sheet(board: Board, read: Read, params: Params) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for entry in board.entries:
        rows += _of(entry, read, params.bins)
    n = {str(row[1]): row[5] for row in rows}
    images = ", ".join(f"{count} of {name}" for name, count in n.items())
    told = f"images: {images}; confidence: largest softmax probability"
    notes = (told, *_beyond(board, read), *board.notes, *read.notes)
    low = min((float(row[4]) for row in rows if isinstance(row[4], float) and row[4] > 0), default=1.0)
    y = (
        Axis("share of images", "%", "log", low=0.7 * low, high=150.0)
        if params.log
        else Axis("share of images", "%")
    )
    return Sheet(
        "ood-histograms", "histogram", f"{board.subject}: confidence in test images and in others",
        Axis("confidence", low=0.0, high=1.0), y, tuple(rows), board.part, notes=notes,
        sources=tuple(read.by_net[one.net].id for one in board.entries),
    )  # fmt: skip


def _of(entry: Entry, read: Read, bins: int) -> Iterator[tuple[Cell, ...]]:
    found = _others(read, entry.net)
    said = [
        f"{_set(name)} {value:.3f}" for name in found if (value := _auroc(read, entry.net, name)) is not None
    ]
    panel = f"{entry.label}: AUROC {', '.join(said) or 'not known'}"
    for place, (name, (test, other)) in enumerate(found.items()):
        inside, outside = _confidences(test, other)
        # of a restricted set the test images are others than of the rest
        if not place or other.protocol.get("classes") is not None:
            own = "test images" if other.protocol.get("classes") is None else f"test images for {_set(name)}"
            yield from _shares(panel, own, inside, bins)
        yield from _shares(panel, _set(name), outside, bins)


def _set(name: str) -> str:
    """As it is called in a report: `ood-noise-n512` is noise."""
    head, _, tail = name.removeprefix(OTHER).rpartition("-n")
    return head if head and tail.isdigit() else name.removeprefix(OTHER)


def _auroc(read: Read, net: Net, name: str) -> float | None:
    """Of the confidence; names of files have dashes where those of rows may have others."""
    known = {row.name.replace("_", "-"): row.value for row in read.by_net[net].metrics}
    return known.get(f"auroc.{_set(name)}")


def _confidences(test: Samples, other: Samples) -> tuple[Floats, Floats]:
    """Of the test images and of others, float64; over the classes that both have."""
    classes = other.protocol.get("classes")
    if classes is None:
        return confidence(test.logits), confidence(other.logits)
    shared = np.array(classes, dtype=np.int64)
    return (
        confidence(test.logits[np.isin(test.labels, shared)][:, shared]),
        confidence(other.logits[:, shared]),
    )


def confidence(logits: NDArray[Any]) -> Floats:
    """The largest softmax probability of each row [N, K], those left out that are no numbers."""
    wide = logits[np.isfinite(logits).all(axis=1)].astype(np.float64)
    if not wide.size:
        return np.zeros(0)
    found: Floats = 1 / np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1)
    return found


def _shares(panel: str, series: str, values: Floats, bins: int) -> Iterator[tuple[Cell, ...]]:
    """Rows of the form `histogram`, in percent."""
    counts, edges = np.histogram(values, bins=bins, range=(0.0, 1.0))
    for place, count in enumerate(counts):
        share = 100 * int(count) / max(1, len(values))
        yield panel, series, float(edges[place]), float(edges[place + 1]), share, len(values)
