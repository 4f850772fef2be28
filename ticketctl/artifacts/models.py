"""ticket.json and run.json as strict, frozen models (formats/*/v1/spec.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import SkipJsonSchema

from ticketctl.artifacts.ids import recipe_digest as recipe_digest
from ticketctl.artifacts.ids import run_id as run_id
from ticketctl.artifacts.ids import shapes_digest as shapes_digest
from ticketctl.artifacts.ids import ticket_id as ticket_id
from ticketctl.artifacts.records import (
    Count,
    Digest,
    Int,
    Metric,
    Number,
    Parameter,
    Parent,
    Part,
    Record,
    RunId,
    Sha256,
    Size,
    Text,
    TicketId,
    Version,
    Word,
)
from ticketctl.store.files import MEMBER

TICKET_FEATURES = ("init.file", "ladder.death", "mask.bits")
RUN_FEATURES = ("mask.bits", "series.zarr", "trajectory.xor", "weights.file")

Path_ = Annotated[str, Field(pattern=f"^{MEMBER.pattern}$", max_length=300)]
ROLES = ("init", "ladder", "mask", "record", "report", "scores", "series", "state", "trajectory", "weights")
"""What a payload file can be; a newer minor version may have others, which its readers pass over."""


class Arch(Part):
    """The net, as needed to build it again. `param_shapes` covers names and shapes of its state_dict."""

    name: Word
    source: Word
    num_classes: Size
    in_chans: Size
    size: tuple[Size, Size]
    kwargs: Record
    param_shapes: Digest


class RunArch(Arch):
    """The net as it was trained: `tweaks` changed it after the ticket was drawn."""

    tweaks: tuple[Word, ...]


class FileEntry(Part):
    """One payload file."""

    path: Path_
    size: Count
    sha256: Sha256
    role: Word


class MaskPart(Part):
    """The mask: how many of how many weights it keeps, and how it was structured."""

    file: Literal["mask.safetensors"]
    encoding: Literal["bits"]
    digest: Digest
    prunable: Count
    kept: Count
    structure: Word
    scope: Word
    excluded: tuple[Parameter, ...]


class InitPart(Part):
    """The weights training starts from."""

    kind: Literal["file"]
    file: Literal["rewind.safetensors"]
    digest: Digest
    role: Literal["init", "rewind", "trained"]
    step: Count
    epoch: Number


class LadderPart(Part):
    """All masks of the draw."""

    file: Literal["ladder.zarr.zip"]
    digest: Digest
    rounds: Annotated[int, Field(ge=0, le=254)]


class DataPart(Part):
    """The data, and how they were split."""

    name: Word
    fingerprint: Text
    train: Count
    validation: Count
    test: Count


class Cost(Part):
    """What it took, in counts; seconds and devices stand in provenance.json."""

    steps: Count
    images: Count
    epochs: Number


class LevelPart(Part):
    """One level of the draw. `effective` counts kept weights that lie on a path from input to output."""

    level: Count
    kept: Count
    empty_layers: tuple[Parameter, ...]
    cut: bool
    effective: Count | None
    metrics: dict[Metric, Number]


class DrawPart(Part):
    """How the mask was found."""

    method: Word
    rounds: Count
    params: Record
    recipe: Record
    recipe_digest: Digest
    data: DataPart
    seeds: dict[Word, Int]
    levels: tuple[LevelPart, ...]
    cost: Cost
    parents: tuple[Parent, ...]


CONTROL_KINDS = ("shuffled", "reinit", "random-erk", "inverted")
"""What a ticket is compared with: its mask permuted, other weights, another mask."""


class Control(Part):
    """This ticket is a control of another."""

    kind: Literal["inverted", "random-erk", "reinit", "shuffled"]
    of: TicketId


class TicketManifest(Part):
    """ticket.json."""

    format: Literal["ticketctl.ticket"]
    format_version: Version
    features: tuple[Literal["init.file", "ladder.death", "mask.bits"], ...]
    ticket_id: TicketId
    arch: Arch
    mask: MaskPart
    init: InitPart
    ladder: LadderPart | None
    level: Count
    draw: DrawPart
    control: Control | None
    files: tuple[FileEntry, ...]
    license: Text | None
    authors: tuple[Text, ...]
    citation: Text | None
    ext: Record
    manifest_digest: Digest


class StartPart(Part):
    """Where the training started."""

    role: Literal["init", "rewind", "trained"]
    step: Count
    digest: Digest


class RunMaskPart(Part):
    """The mask a sparse run was trained under."""

    file: Literal["mask.safetensors"]
    digest: Digest
    kept: Count
    prunable: Count


class WeightsPart(Part):
    """The trained weights."""

    file: Literal["final.safetensors"]
    digest: Digest


class StatePart(Part):
    """Weights kept on the way, e.g. the best on validation."""

    name: Word
    step: Count
    epoch: Number
    file: Path_
    digest: Digest


class SeriesPart(Part):
    """What was measured on the way."""

    file: Literal["series.zarr.zip"]


class TrajectoryPart(Part):
    """The masks that the training passed through; the last is the run's own."""

    file: Literal["trajectory.zarr.zip"]
    digest: Digest
    rows: Size


class ReportPart(Part):
    """A report on this run."""

    file: Path_
    kind: Word
    digest: Digest


class RunManifest(Part):
    """run.json."""

    format: Literal["ticketctl.run"]
    format_version: Version
    features: tuple[Literal["mask.bits", "series.zarr", "trajectory.xor", "weights.file"], ...]
    run_id: RunId
    ticket: Parent
    level: Count
    kept: Count
    prunable: Count
    seeds: dict[Word, Int]
    arch: RunArch
    recipe: Record
    recipe_digest: Digest
    training_id: Text
    status: Literal["diverged", "done"]
    start: StartPart
    data: DataPart
    metrics: dict[Metric, Number]
    cost: Cost
    mask: RunMaskPart | None
    weights: WeightsPart
    states: tuple[StatePart, ...]
    series: SeriesPart | None
    trajectory: TrajectoryPart | SkipJsonSchema[None] = None
    """Of version 1.1; a run without one has no such key."""
    reports: tuple[ReportPart, ...]
    files: tuple[FileEntry, ...]
    license: Text | None
    authors: tuple[Text, ...]
    citation: Text | None
    ext: Record
    manifest_digest: Digest

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = dump(self)
        return {key: value for key, value in fields.items() if key != "trajectory" or value is not None}
