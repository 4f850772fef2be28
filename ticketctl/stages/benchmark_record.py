"""What a benchmark found, as it is written to a file and read back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ticketctl.errors import ArtifactError, ResourceError, UsageError
from ticketctl.stages.benchmark_turns import Timing
from ticketctl.store.documents import parse_json
from ticketctl.store.files import read_bytes, write_atomic

LIMIT = 4 << 20

Positive = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """A table of the record: every key is known, every number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(Part):
    """A figure: the median over the rounds, and the least and the most."""

    median: float
    least: float
    most: float
    unsure: bool = False
    """Whether the most is above 1.5 times the least, or there was one round: then it is held against no aim."""

    @classmethod
    def of(cls, timing: Timing) -> Spread:
        """As it was measured."""
        return cls(median=timing.median, least=timing.least, most=timing.most, unsure=timing.unsure)


class Machine(Part):
    """What absolute figures are figures of."""

    device: str
    device_name: str
    cpu_capability: str
    threads: Annotated[int, Field(ge=1)]
    torch: str
    cuda: str
    cudnn: str

    def differs(self, other: Machine) -> list[str]:
        """What makes two machines, in words."""
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in SAME]
        return [f"{name} {theirs!r}, here {ours!r}" for name, ours, theirs in pairs if ours != theirs]


SAME = ("device", "device_name", "cpu_capability", "threads")
"""Versions may differ: to see what they change is what two records are compared for."""


class Busy(Part):
    """How busy the machine was with other things."""

    cores: int | None
    foreign_cores: float | None
    """Cores' worth of time that others took; null: not known."""
    slower: float
    """How many times as long as in the fastest turn it took in all, at least 1."""
    gpu_memory_of_others: int
    """Bytes."""
    busy: bool | None
    """Whether absolute figures suffered; null: not known."""


class Peak(Part):
    """The yardstick."""

    precision: str
    size: int
    """Rows of the square matrices."""
    flop_per_second: Spread


class Net(Part):
    """All figures of one net in one batch size."""

    net: str
    data: str
    """Whose sizes the made-up images have."""
    batch: int
    precision: str
    augmented: bool
    graph: bool | None
    """Whether a step was one CUDA graph; null: not on a GPU."""
    rounds: int
    parameters: int
    macs: int
    """Multiply-adds of one image forward."""
    flop: int
    """Of training on one image."""
    images_per_second: Spread
    ms_per_step: Spread
    matmul_flop_per_second: Spread
    share_of_peak: Spread
    share_of_bare: Spread
    mask_cost: Spread
    """Share of a step without mask that the mask adds; noise can make it negative."""
    loader_us: Spread
    """Microseconds an image."""
    loader_images_per_second: Spread
    loader_over_pictures: Spread | None
    """How many times as fast as a DataLoader of PIL images; null: not measured."""
    evaluated_per_second: Spread
    first_step_seconds: Positive
    epoch_seconds: Positive
    """Of all images of the data set, and an evaluation."""
    imp_seconds: Positive
    """Of a ladder, see `IMP`, with the machine to itself."""
    imp_seconds_as_busy: Positive

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes two of them comparable."""
        return self.net, self.batch, self.precision


class Judged(Part):
    """A figure beside what is aimed at."""

    net: str
    batch: int
    figure: str
    """The key of the figure in `Net`."""
    mark: str
    """Of the aim, such as C4."""
    aim: str
    """In words."""
    verdict: str
    """met, missed, …; or why it is not judged."""


class LeftOut(Part):
    """A net that there was no time for."""

    net: str
    batch: int
    round_seconds: Positive
    """Of one round, about, at most."""
    wanted_seconds: int
    """`--seconds` that has room for it alone."""

    @property
    def told(self) -> str:
        """A line, with the words that time it."""
        return (
            f"{self.net}, batch {self.batch}: not timed: one round takes up to {self.round_seconds:.3g} s "
            f"(--nets {self.net} --seconds {self.wanted_seconds} has room for it)"
        )


class Record(Part):
    """One benchmark."""

    format: Literal["ticketctl.benchmark.v1"] = "ticketctl.benchmark.v1"
    ticketctl: str
    measured_at: str
    """UTC, ISO 8601."""
    clock: Literal["processor", "wall"]
    """Seconds that figures are taken by: of one thread's processor, or of the wall."""
    seconds: float
    machine: Machine
    load: Busy
    peak: Peak
    nets: tuple[Net, ...]
    left_out: tuple[LeftOut, ...] = ()
    aims: tuple[Judged, ...]

    def as_json(self) -> dict[str, Any]:
        """For `--json` and for a file."""
        return self.model_dump(mode="json")


def write_record(path: Path, record: Record) -> None:
    """Write it, indented, so that people can read it too.

    Raises:
        ResourceError: no space, no permission.
    """
    write_atomic(path, (json.dumps(record.as_json(), indent=1, allow_nan=False) + "\n").encode())


def read_record(path: Path) -> Record:
    """A record: its own file, or what `--json` printed.

    Raises:
        UsageError: no such file, or one that is no record of this version.
        ResourceError: it may not be read.
    """
    try:
        found = parse_json(read_bytes(path, limit=LIMIT), where=str(path))
    except ArtifactError as error:
        raise UsageError(f"{error.said}; it takes what ticketctl benchmark --out wrote") from None
    if isinstance(found, dict) and isinstance(found.get("result"), dict):
        found = {key: value for key, value in found["result"].items() if key != "compared"}
    try:
        return Record.model_validate_json(json.dumps(found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(
            f"{path}: no record of ticketctl benchmark ({where}: {first['msg'].lower()}); "
            "it takes what ticketctl benchmark --out wrote"
        ) from None


def check_target(path: Path) -> None:
    """Refuse, before anything is timed, a file that cannot or should not be written.

    Raises:
        UsageError: no such folder, a folder, or a file that is something else than a record.
        ResourceError: no permission.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--out {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResourceError(f"--out {path}: no permission to write in {folder}")
    if path.is_dir():
        raise UsageError(f"--out {path}: a folder; name a file in it, such as {path / 'benchmark.json'}")
    if path.exists():
        try:
            read_record(path)
        except UsageError:
            raise UsageError(
                f"--out {path}: there is a file that is no record of a benchmark; name another"
            ) from None
