"""How far trained weights lie from where they started, against sparsity.

The Euclidean norm of the difference between the weights after the last epoch and at the beginning of the training,
over all convolutional and linear layers; a panel for each ladder. `masked` takes kept weights alone, from where each of
them began (paper 002, Figure 7); `full` takes all, from the whole initialisation, so that pruned weights count with all
their length. The dense net, which has no pruned weights, is the level across. Under noisy labels the masked distance of
paper 002 rises to a peak and falls below the dense net's at high sparsity: where a line crosses that level, between two
pruned levels of the ladder, it is marked; the place is taken on the straight line between them, over the logarithm of
the density as it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError
from ticketctl.figures.rows import PANELS, along, by_place, ids, parts, reading, row_of, said, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Shelf

FACTS = {"from": "runs", "papers": "002 Fig 7"}
LINES = {"masked": "kept weights (masked)", "full": "all weights (full)"}
Rows = list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    of: tuple[str, ...] = ("masked", "full")
    """A line for each."""

    def __post_init__(self) -> None:
        """Refuse what is no distance.

        Raises:
            UsageError: neither masked nor full.
        """
        odd = [one for one in self.of if one not in LINES]
        if odd or not self.of:
            raise UsageError(f"figures.distance.of: masked, full or both, not {', '.join(odd) or 'none'}")


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set.

    Raises:
        NothingError: no pruned net whose distance was measured.
    """
    ladders = [one for one in shelf.families if not one.is_dense and _measured(one, params.of)]
    if not ladders:
        raise NothingError(
            f"no trained ticket whose distance was measured; run: ticketctl spend {shelf.ticket} --level all"
        )
    sheets = [(part, where, few) for part, where, mine in by_place(ladders) for few in split(mine, PANELS)]
    names = parts(part or "all" for part, *_ in sheets)
    for (_, where, families), part in zip(sheets, names, strict=True):
        yield _sheet(where, families, tuple(dict.fromkeys(params.of)), "" if len(sheets) == 1 else part)


def _measured(family: Family, of: Sequence[str]) -> bool:
    return any(f"distance.{one}" in net.values for net in family.nets for one in of)


def _sheet(where: str, families: Sequence[Family], of: Sequence[str], part: str) -> Sheet:
    rows, crossed = Rows(), []
    for family in families:
        panel = short(family) if len(families) > 1 else ""
        for one in of:
            value, name = reading(f"distance.{one}"), LINES[one]
            line = [*along(family, value, panel=panel, label=name)]
            level = family.dense and family.dense.stat(value)
            places = crossings(line, level.mean) if level else []
            rows += (
                [row_of("dense", None, level, role="reference", panel=panel)]
                if level and one == of[0]
                else []
            )
            rows += [*line, *((panel, name, "mark", x, None, None, None, None) for x in places)]
            crossed += (
                [f"{short(family)}, {name}: {', '.join(f'{x:.4g} %' for x in places)}"] if places else []
            )
    nets = [
        net for family in families for net in [*(family.dense.nets if family.dense else ()), *family.nets]
    ]
    notes = [*said([row for row in rows if row[2] != "mark"], nets)]
    notes += ["upright: crosses the dense net's level", *crossed] if crossed else []
    return Sheet(
        "distance", "lines", f"{where}: distance of the trained weights from where they began",
        Axis("sparsity", "%", "sparsity"), Axis("distance", "Euclidean norm"), tuple(rows), part,
        notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip


def crossings(line: Sequence[Sequence[Cell]], level: float) -> list[float]:
    """Where a line over sparsity crosses a level: sparsities in percent, ascending.

    Args:
        line: rows of the form `lines`, ascending in x; a point on the level counts with the one before it.
        level: in the line's unit.
    """
    points = [
        (x, y - level) for row in line if isinstance(x := row[3], float) and isinstance(y := row[4], float)
    ]
    found, before = [], None
    for x, gap in points:
        if before and gap * before[1] < 0:
            share = before[1] / (before[1] - gap)
            depth, last = (math.log(1 - at / 100) for at in (x, before[0]))
            found.append(100 * (1 - math.exp(last + share * (depth - last))))
        if gap != 0:
            before = (x, gap)
    return found
