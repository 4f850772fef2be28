"""ticket.json and run.json as strict, frozen models, and the ids over them (formats/*/v1/spec.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

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
    record_digest,
    short_id,
)
from ticketctl.store.files import MEMBER

TICKET_FEATURES = ("init.file", "ladder.death", "mask.bits")
RUN_FEATURES = ("mask.bits", "series.zarr", "weights.file")

Path_ = Annotated[str, Field(pattern=f"^{MEMBER.pattern}$", max_length=300)]
Role = Literal["init", "ladder", "mask", "report", "series", "state", "weights"]


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
    role: Role


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


CONTROL_KINDS = ("shuffled", "reinit", "random-erk")
"""What a ticket is compared with: its mask permuted, other weights, another mask."""


class Control(Part):
    """This ticket is a control of another."""

    kind: Literal["random-erk", "reinit", "shuffled"]
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


class ReportPart(Part):
    """A report on this run."""

    file: Path_
    kind: Word
    digest: Digest


class RunManifest(Part):
    """run.json."""

    format: Literal["ticketctl.run"]
    format_version: Version
    features: tuple[Literal["mask.bits", "series.zarr", "weights.file"], ...]
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
    reports: tuple[ReportPart, ...]
    files: tuple[FileEntry, ...]
    license: Text | None
    authors: tuple[Text, ...]
    citation: Text | None
    ext: Record
    manifest_digest: Digest


def ticket_id(arch: Arch | Mapping[str, Any], init: str, mask: str) -> str:
    """`tk1...`, the identity of a ticket: its net, the digest of its start, the digest of its mask."""
    return short_id("tk1", "ticket", {"arch": _plain(arch), "init": init, "mask": mask})


def run_id(
    *,
    ticket: str,
    level: int,
    arch: Arch | Mapping[str, Any],
    weights: str,
    seeds: Mapping[str, int],
    recipe: Any,
) -> str:
    """`rn1...`, the identity of a trained net."""
    core = {"ticket": ticket, "level": level, "arch": _plain(arch), "weights": weights}
    return short_id("rn1", "run", {**core, "seeds": dict(seeds), "recipe": recipe})


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """`sha256:` over the canonical recipe, a record."""
    return record_digest("recipe", dict(recipe))


def shapes_digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`sha256:` over names and shapes of a state_dict, the `param_shapes` of an arch."""
    return record_digest("shapes", {name: list(shape) for name, shape in shapes.items()})


def _plain(arch: Arch | Mapping[str, Any]) -> dict[str, Any]:
    return arch.model_dump(mode="json") if isinstance(arch, Arch) else dict(arch)
