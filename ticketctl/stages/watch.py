"""What is known of work at this moment, to be looked at again a second later: from small files alone, none written.

Levels are read from their `run.json`, the training under way from `events.jsonl`; how fast it goes, from when these
were written. Manifests are not checked here, as `verify` does: what is damaged is said, and left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketctl.progress import ABOUT, EVENTS, JOB
from ticketctl.stages.intent import NAME as INTENT
from ticketctl.stages.underway import (
    CHECKPOINT,
    RUN,
    SESSIONS,
    UP,
    Work,
    content,
    inside,
    parsed,
    read,
    training_in,
    written,
)

Row = Mapping[str, float]
LONG = 1 << 26
"""Bytes of a history that are read at most: of 100,000 epochs."""
HEADER = 1 << 20
"""Bytes of the header of a finished training's record."""
BROKEN = (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError, OverflowError)
"""What the reading of a damaged run ends with."""
_TRAINED = re.compile(r"(?P<level>[0-9]+)(?:-seed-(?P<seed>[0-9]+))?")


@dataclass(frozen=True)
class Level:
    """A net whose training is over."""

    name: str
    """Its folder's: the level of a draw, level and seed of a spend."""
    level: int
    sparsity: float
    """Share of the prunable weights that are 0, in [0, 1]."""
    accuracy: float | None
    """On test, in [0, 1]."""
    diverged: bool


@dataclass(frozen=True)
class Training:
    """A training under way, or stopped in its middle."""

    title: str
    epochs: float | None
    """In all; None: not known."""
    rows: tuple[Row, ...]
    """Of its history, as far as each was measured: `epoch`, `test.accuracy` and others."""
    before: float
    """Epochs that were done when it was last begun, or gone on with."""
    begun: float | None
    """When that was, in seconds since 1970."""
    told: float | None
    """When the last row was written."""
    checkpoint: float | None
    """When the last checkpoint was written."""

    @property
    def epoch(self) -> float:
        """Epochs that are done."""
        return self.rows[-1].get("epoch", self.before) if self.rows else self.before

    @property
    def pace(self) -> float | None:
        """Seconds of an epoch, as it went since it was last begun; None: too early to tell."""
        done = self.epoch - self.before
        if self.begun is None or self.told is None or done <= 0 or self.told <= self.begun:
            return None
        return (self.told - self.begun) / done

    def left(self, now: float) -> float | None:
        """Seconds to its end, at the pace so far; None: not known."""
        if self.pace is None or self.epochs is None or self.told is None:
            return None
        return max(0.0, (self.epochs - self.epoch) * self.pace - (now - self.told))


@dataclass(frozen=True)
class Seen:
    """Work as it is at one moment."""

    work: Work
    now: float
    """Seconds since 1970."""
    what: str
    """For people: `draw by imp: lenet-300-100 on digits, seed 0`."""
    levels: tuple[Level, ...]
    """The least sparse first."""
    number: int | None
    """Of the training under way, from 1."""
    trainings: int | None
    """That a draw takes, as announced."""
    training: Training | None
    parts: tuple[str, ...]
    """What a measurement has done, by name."""
    diverged: bool
    """Whether the last training left the finite numbers."""
    command: tuple[str, ...]
    """That began it, or went on with it last; empty: not known."""
    remarks: tuple[str, ...]

    @property
    def left(self) -> float | None:
        """Seconds to the end of all trainings of a draw, as if each took as long as this one; None: not known, as of a
        spend, whose other trainings have folders of their own.
        """
        one = self.training
        left = one.left(self.now) if one else None
        if self.work.state != "running" or one is None or left is None:
            return None
        if self.trainings is None or self.number is None or one.pace is None or one.epochs is None:
            return None
        return left + max(0, self.trainings - self.number) * one.pace * one.epochs


def see(work: Work, now: float) -> Seen:
    """All that the files tell of the work at this moment."""
    remarks: list[str] = []
    place = training_in(work.place)
    training = _training(place, work, remarks) if place else None
    fits = inside(work.place, "fits/*/") if work.kind == "draw" else []
    job = read(work.place / JOB) or {}
    trainings = job.get("trainings")
    return Seen(
        work, now, _what(work), tuple(_levels(work, remarks)), len(fits) or None,
        trainings if isinstance(trainings, int) else None, training, tuple(_parts(work)),
        _diverged(work, fits), _command(work), tuple(remarks),
    )  # fmt: skip


def _what(work: Work) -> str:
    """Method, control, net, data, level and seed, as files and the folder's name say them; else its place."""
    folder = work.folder.absolute()
    draw = next((one for one in (folder, *folder.parents[:UP]) if (one / INTENT).is_file()), None)
    asked: Any = (read(draw / INTENT) or {}).get("asked") if draw else None
    own: Any = _own_recipe(work)
    with suppress(*BROKEN):
        recipe = {**(asked["recipe"] if asked else {}), **own}
        method, net, data = recipe["draw"]["method"], recipe["model"]["name"], recipe["data"]["name"]
        below = folder.parts[len(draw.parts) if draw else -5 :]
        control = f", control {below[1]}" if below[0:1] == ("controls",) else ""
        named = _TRAINED.fullmatch(folder.name) if folder != draw else None
        level = f", level {named['level']}" if named else ""
        seed = (named and named["seed"]) or (asked["seed"] if asked else None)
        where = "from" if work.kind == "transfer" and not own else "on"  # the draw's data are its source
        head = f"{work.kind} {'by' if work.kind == 'draw' else 'of'} {method}{control}: {net} {where} {data}{level}"
        return head if seed is None else f"{head}, seed {seed}"
    return f"{work.kind}: {'/'.join(folder.parts[-3:])}"


def _own_recipe(work: Work) -> Any:
    """That of a run, which may be another than its draw's; while it trains, of one that was trained beside it."""
    if work.kind == "draw":
        return {}
    beside = inside(work.folder.parent, f"*/{RUN}") if work.kind in ("spend", "transfer") else []
    found = (read(path) for path in (work.folder / RUN, *beside[:1]))
    return next((said["recipe"] for said in found if said and isinstance(said.get("recipe"), dict)), {})


# ------------------------------------------------------------------------------------------------------------ levels


def _levels(work: Work, remarks: list[str]) -> Iterator[Level]:
    """Of a draw its levels, of a spend or transfer what lies beside it."""
    if work.kind == "draw":
        folders = {
            path.name: path for place in ("search", "levels") for path in inside(work.folder, f"{place}/*/")
        }
        found = list(folders.values())
    elif work.kind in ("spend", "transfer"):
        found = inside(work.folder.parent, "*/")
    else:
        found = [work.folder] if work.kind == "run" else []
    known = [one for folder in found if (one := _level(folder, remarks)) is not None]
    yield from sorted(known, key=lambda one: (one.sparsity, one.level, one.name))


def _level(folder: Path, remarks: list[str]) -> Level | None:
    path = folder / RUN
    if not path.is_file():
        return None
    said: Any = read(path)
    try:
        sparsity = 1 - int(said["kept"]) / int(said["prunable"])
        if not 0 <= sparsity <= 1:
            raise ValueError
        accuracy = _number(said["metrics"].get("test.accuracy"))
        return Level(folder.name, int(said["level"]), sparsity, accuracy, said["status"] == "diverged")
    except BROKEN:
        remarks.append(f"{path}: damaged; ticketctl verify {folder} says more")
        return None


def _number(text: object) -> float | None:
    """A finite number; None: none."""
    with suppress(TypeError, ValueError, OverflowError):
        value = float(text)  # type: ignore[arg-type]  # whatever a file has there
        return value if math.isfinite(value) else None
    return None


# ---------------------------------------------------------------------------------------------------------- training


def _training(place: Path, work: Work, remarks: list[str]) -> Training:
    about = read(place / ABOUT) or {}
    rows, bad = rows_in(content(place / EVENTS, LONG) or b"")
    if bad:
        lines = "1 line is" if bad == 1 else f"{bad} lines are"
        remarks.append(f"{place / EVENTS}: {lines} damaged, and left out")
    title = about.get("title")
    begun = written(place / ABOUT)
    return Training(
        title if isinstance(title, str) else "", _number(about.get("epochs")), rows,
        _number(about.get("done")) or 0.0, begun, written(place / EVENTS), written(place / CHECKPOINT),
    )  # fmt: skip


def rows_in(data: bytes) -> tuple[tuple[Row, ...], int]:
    """The rows of a history in `events.jsonl`, and how many lines are none; a last line without an end is not over.

    Args:
        data: JSON objects of numbers as text, one in a line.
    """
    rows: list[Row] = []
    lines = data.split(b"\n")[:-1]
    for line in lines:
        said = parsed(line)
        if said is not None:
            values = {name: value for name, text in said.items() if (value := _number(text)) is not None}
            if "epoch" in values:
                rows.append(values)
    return tuple(rows), len(lines) - len(rows)


def _diverged(work: Work, fits: Sequence[Path]) -> bool:
    """Whether the last training of a draw that ended did so, or the run itself."""
    if work.kind != "draw":
        return (read(work.folder / RUN) or {}).get("status") == "diverged"
    return (
        bool(fits)
        and work.state != "running"
        and _notes(fits[-1] / "record.safetensors").get("status") == "diverged"
    )


def _notes(path: Path) -> Mapping[str, Any]:
    """What the header of our own safetensors file says beside its tensors."""
    with suppress(OSError, KeyError, TypeError, AttributeError), open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = parsed(file.read(size)) if size <= HEADER else None
        notes = parsed(header["__metadata__"]["ticketctl"].encode()) if header else None
        return notes or {}
    return {}


def _parts(work: Work) -> Iterator[str]:
    """Names of what a measurement found, without the hash behind each, in the order in which they were written."""
    if work.kind not in ("draw", "spend", "run"):
        files = sorted(
            inside(work.place, "**/*.zarr.zip"), key=lambda path: (written(path) or 0.0, path.name)
        )
        yield from (path.name.removesuffix(".zarr.zip")[:-9] for path in files)


def _command(work: Work) -> tuple[str, ...]:
    data = content(work.place / SESSIONS)
    said = parsed(b'{"sessions":' + data + b"}") if data else None
    with suppress(KeyError, TypeError, IndexError):
        words = said["sessions"][-1]["command"] if said else []
        return tuple(str(word) for word in words) if isinstance(words, list) else ()
    return ()
