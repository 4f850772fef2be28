"""What `ticketctl watch` shows at one moment: lines of text with their styles, for a terminal of a given size."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ticketctl.cli.chart import LEAST, Curve, Line, Scale, chart, linear, sparsities
from ticketctl.cli.console import duration
from ticketctl.cli.output import visible

if TYPE_CHECKING:
    from ticketctl.stages.paper_marks import Marks
    from ticketctl.stages.watch import Level, Seen, Training

Drawn = tuple[list[Curve], Scale, Scale]
Plot = tuple[str, list[str], Drawn]
"""Title, notes below, and what is drawn."""
WIDE, MOST = 88, 16
"""Signs and rows of a plot at most, its axes included."""
SHOWN = 3
"""Remarks that are shown at most; parts that are named at most are as many again."""
POINT = 1.0
"""Percent points that an axis of accuracy covers at least: less is noise."""


def frame(seen: Seen, marks: Sequence[Marks], size: tuple[int, int], *, ascii_only: bool) -> list[Line]:
    """The lines of one picture.

    Args:
        seen: the work.
        marks: what papers print for it.
        size: signs and lines that there is room for, 20 signs at least; more lines than that are cut by whoever
            prints them.
        ascii_only: whether signs beyond ASCII, as braille, are to be left out.
    """
    first = _first(seen, size[0], ".." if ascii_only else "…")
    head, foot = [first, *_wrapped(_head(seen), size[0])], [*_wrapped(_foot(seen), size[0])]
    plots = [_fitted(part, size[0]) for part in (_ladder(seen, marks), _course(seen)) if part is not None]

    def rows() -> int:
        told = sum(len(title) + len(notes) for title, notes, _ in plots)
        return (size[1] - len(head) - len(foot) - told) // max(1, len(plots))

    if rows() < LEAST[1] + 2:
        plots = plots[-1:] if seen.work.state == "running" else plots[:1]
    lines, high = [*head], min(MOST, rows())
    for title, notes, (curves, x, y) in plots:
        drawn = chart(curves, x, y, (min(size[0], WIDE), high), ascii_only=ascii_only)
        lines += [*title, *drawn, *notes] if drawn else []
    return [*lines, *foot]


def _fitted(plot: Plot, width: int) -> tuple[list[Line], list[Line], Drawn]:
    """With its words in lines that are no longer than there is room for."""
    title, notes, drawn = plot
    own = [*_wrapped([((title, "bold"),)], width)]
    return own, [*_wrapped((((note, "faint"),) for note in notes), width)], drawn


def _wrapped(lines: Iterable[Line], width: int) -> Iterator[Line]:
    """Text that is too long for a line goes on in the next; each line is of one style."""
    for ((text, style),) in lines:
        parts = [text] if len(text) <= width else textwrap.wrap(text, max(8, width))
        yield from (((part, style),) for part in parts)


def _first(seen: Seen, width: int, gap: str) -> Line:
    """What it is, cut in its middle where there is no room, and its state."""
    what, state = visible(seen.what), f": {'diverged' if seen.diverged else seen.work.state}"
    room = max(0, width - len(state) - len(gap))
    if len(what) + len(state) > width:
        what = what[: room - room // 2] + gap + what[len(what) - room // 2 :]
    return ((what, "bold"), (state, ""))


def _head(seen: Seen) -> Iterator[Line]:
    yield ((f"in {visible(str(seen.work.folder))}", "faint"),)
    one = seen.training
    if one is not None:
        yield ((_where(seen, one), ""),)
    if seen.work.state == "running":
        yield ((_how_long(seen), ""),)
    yield from (((line, ""),) for line in _over(seen))


def _where(seen: Seen, one: Training) -> str:
    """Which training it is, and how far."""
    count = f" of {seen.trainings}" if seen.trainings and (seen.number or 0) <= seen.trainings else ""
    number = f"training {seen.number}{count}, " if seen.number else ""
    of = f" of {one.epochs:g}" if one.epochs is not None else ""
    return f"{number}{visible(one.title) or 'a training'}: epoch {one.epoch:.4g}{of}"


def _how_long(seen: Seen) -> str:
    one, now = seen.training, seen.now
    own = one.left(now) if one else None
    parts = []
    if seen.left is not None:
        parts.append(f"about {duration(seen.left)} left")
    if own is not None and own != seen.left:
        parts.append(
            f"{duration(own)} of this training"
            if seen.left is not None
            else f"{duration(own)} left of this training"
        )
    if one is None:
        parts += ["no training at this moment"] if seen.work.kind in ("draw", "spend") else []
    else:
        known = one.checkpoint
        parts.append(
            "no checkpoint yet" if known is None else f"last checkpoint {duration(max(0.0, now - known))} ago"
        )
    quiet = now - seen.work.touched
    if quiet > 60 and (one is None or one.pace is None or quiet > 3 * one.pace):
        parts.append(f"nothing written for {duration(quiet)}")
    owner = seen.work.owner
    who = f"process {owner.pid} on {visible(owner.host)[:40]}" if owner else ""
    return "; ".join(filter(None, [*parts, who]))


def _over(seen: Seen) -> Iterator[str]:
    """That nobody is at it any more, and what to do."""
    state, ago = seen.work.state, f"{duration(max(0.0, seen.now - seen.work.touched))} ago"
    if state == "running":
        return
    if state == "finished":
        yield f"finished {ago}" + (
            ": the loss, or a weight, left the finite numbers" if seen.diverged else ""
        )
        return
    if seen.diverged:
        yield f"it ended {ago}: the loss, or a weight, left the finite numbers; a lower train.lr may help"
        return
    gone = f"its process {seen.work.owner.pid} is gone" if seen.work.owner else "stopped in good order"
    yield f"last written {ago}: {gone}"
    known = seen.training.checkpoint if seen.training else None
    kept = "" if known is None else f", from a checkpoint {duration(max(0.0, seen.now - known))} old"
    line = visible(shlex.join(seen.command))
    yield f"the same command goes on{kept}{': ' + line if line else ''}"


def _foot(seen: Seen) -> Iterator[Line]:
    if seen.levels:
        yield ((_last(seen.levels), ""),)
    if seen.parts:
        named = ", ".join(map(visible, seen.parts[: 2 * SHOWN]))
        more = f" and {len(seen.parts) - 2 * SHOWN} more" if len(seen.parts) > 2 * SHOWN else ""
        yield ((f"{len(seen.parts)} measured: {named}{more}", ""),)
    for text in seen.remarks[:SHOWN]:
        yield ((visible(text), "faint"),)
    if len(seen.remarks) > SHOWN:
        yield ((f"and {len(seen.remarks) - SHOWN} damaged files more", "faint"),)


def _last(levels: Sequence[Level]) -> str:
    """The sparsest net that is done."""
    last = levels[-1]
    value = (
        "diverged"
        if last.diverged
        else "not measured"
        if last.accuracy is None
        else f"{100 * last.accuracy:.2f} %"
    )
    lost = sum(level.diverged for level in levels)
    said = f"; {lost} of {len(levels)} diverged" if lost else ""
    return f"{len(levels)} done, the sparsest {100 * last.sparsity:.2f} % sparse: test {value}{said}"


# ------------------------------------------------------------------------------------------------------------- plots


def _ladder(seen: Seen, marks: Sequence[Marks]) -> Plot | None:
    """Accuracy against sparsity of what is done; a single net needs no plot of its own."""
    known = [one for one in seen.levels if one.accuracy is not None and not one.diverged]
    if len({one.sparsity for one in known}) < 2 and not marks:
        return None
    points = [(100 * one.sparsity, 100 * (one.accuracy or 0.0)) for one in known]
    theirs = [(100 * sparsity, 100 * value) for one in marks for sparsity, value in one.points]
    dense = [point for point in points if point[0] == 0]
    shown = (*points, *theirs)
    x, y = sparsities(value for value, _ in shown), linear((value for _, value in shown), least=POINT)
    curves = [Curve(tuple(dense[:1]), "level", ".", "faint"), Curve(tuple(theirs), "marks", "x", "faint")]
    mean = {sparsity: [value for at, value in points if at == sparsity] for sparsity, _ in points}
    line = tuple((sparsity, sum(values) / len(values)) for sparsity, values in sorted(mean.items()))
    title = "test accuracy [%] against sparsity [%]"
    title += f"; dotted: dense {dense[0][1]:.2f}" if dense else ""
    return title, [*_told(marks)], ([*curves, Curve(line, style="curve")], x, y)


def _told(marks: Sequence[Marks]) -> Iterator[str]:
    """Which paper the faint marks are of, and what is done otherwise here."""
    for one in marks:
        few = ", ".join(one.differs[:SHOWN])
        more = f" and {len(one.differs) - SHOWN} more" if len(one.differs) > SHOWN else ""
        yield f"x: paper {one.table}" + (f"; here {few}{more}" if few else "")


def _course(seen: Seen) -> Plot | None:
    """Accuracy by epoch of the training under way."""
    one = seen.training
    if one is None:
        return None
    name = next(
        (name for name in ("test.accuracy", "val.accuracy") if any(name in row for row in one.rows)), ""
    )
    measured = [(row["epoch"], 100 * row[name]) for row in one.rows if name in row]
    if not measured:
        return None
    after = [point for point in measured if point[0] > measured[0][0]] or measured
    end = one.epochs if one.epochs is not None else measured[-1][0]
    first, last = measured[0][0], measured[-1][0]
    x = linear([first, max(end, last, first + 1)], 7, floor=first, apart=1.0)
    y = linear((value for _, value in after), least=POINT)
    what = name.partition(".")[0]
    now = ", ".join(
        f"{each} {100 * one.rows[-1][key]:.2f}"
        for each, key in (("train", "train.accuracy"), ("val", "val.accuracy"), ("test", "test.accuracy"))
        if key in one.rows[-1]
    )
    return f"{what} accuracy [%] by epoch; now {now}", [], ([Curve(tuple(after), style="curve")], x, y)
