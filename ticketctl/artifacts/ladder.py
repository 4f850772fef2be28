"""ladder.zarr.zip (formats/ladder/v1/spec.md): the round in which each weight died."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ticketctl.artifacts.arrays import (
    Form,
    is_parameter,
    pack_group,
    read_array,
    refuse_unread,
    unpack_group,
)
from ticketctl.artifacts.digests import content_digest
from ticketctl.artifacts.ids import ticket_id
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.records import (
    Count,
    Decimal,
    Digest,
    Part,
    TicketId,
    Version,
    read_document,
    seal,
)
from ticketctl.errors import ArtifactError

MAX_ROUNDS = 254
MAX_WEIGHTS = 1 << 32
FEATURES = ("ladder.death",)
FOLDER = "death"
SEAL = "attributes_digest"
_FORM = Form("uint8", "u1", "blosc")
Death = Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Ladder:
    """Levels 0 (dense) to `rounds` of a draw, nested.

    `death` has, for each masked parameter, a u1 array of its shape: `r` if pruning step r (the first is 0)
    removed the weight, `rounds` if none did. `kept`, `ticket_ids`, `accuracy`: one entry for each level.
    """

    death: Death
    rounds: int
    kept: tuple[int, ...]
    ticket_ids: tuple[str, ...]
    accuracy: tuple[float | None, ...]

    def mask(self, level: int) -> dict[str, NDArray[np.bool_]]:
        """The mask after `level` pruning steps.

        Raises:
            ValueError: no such level.
        """
        if not 0 <= level <= self.rounds:
            raise ValueError(f"level {level} is not one of 0 to {self.rounds}")
        return {name: array >= level for name, array in self.death.items()}


class LadderAttributes(Part):
    """Attributes of the root group."""

    format: Literal["ticketctl.ladder"]
    format_version: Version
    features: tuple[Literal["ladder.death"]]
    kind: Literal["nested"]
    rounds: Annotated[int, Field(ge=0, le=MAX_ROUNDS)]
    kept: tuple[Count, ...]
    ticket_ids: tuple[TicketId, ...]
    accuracy: tuple[Decimal | None, ...]
    digest: Digest
    attributes_digest: Digest


def encode_ladder(ladder: Ladder) -> bytes:
    """The archive of `ladder`; zero-size parameters are left out.

    Raises:
        ValueError: a level without an entry, a value above `rounds`, or `kept` is not what they count.
    """
    death = _stored(ladder.death)
    lengths = {len(ladder.kept), len(ladder.ticket_ids), len(ladder.accuracy)}
    if not 0 <= ladder.rounds <= MAX_ROUNDS or lengths != {ladder.rounds + 1}:
        raise ValueError(
            f"{ladder.rounds} rounds want {ladder.rounds + 1} values of kept, ticket_ids and accuracy"
        )
    if tuple(ladder.kept) != kept_per_level(death, ladder.rounds):
        raise ValueError("kept is not what the rounds of death count")
    attributes: dict[str, Any] = {
        "format": "ticketctl.ladder",
        "format_version": "1.0",
        "features": list(FEATURES),
        "kind": "nested",
        "rounds": ladder.rounds,
        "kept": list(ladder.kept),
        "ticket_ids": list(ladder.ticket_ids),
        "accuracy": [None if value is None else repr(float(value)) for value in ladder.accuracy],
        "digest": ladder_digest(death, ladder.rounds),
    }
    arrays = {f"{FOLDER}/{name}": (array, _FORM) for name, array in death.items()}
    return pack_group(seal(attributes, SEAL), arrays, [FOLDER])


def decode_ladder(data: bytes, *, where: str, limit: int = MAX_WEIGHTS) -> Ladder:
    """The ladder in an archive that nobody vouches for, of at most `limit` weights.

    Raises:
        ArtifactError: E_STORE, E_FORMAT, E_VERSION, E_FEATURE, E_COUNT or E_STORE_DIGEST.
    """
    group = unpack_group(data, where=where, folders=[FOLDER])
    attributes = read_document(
        group.attributes,
        LadderAttributes,
        kind="ladder",
        where=where,
        code="E_STORE",
        features=FEATURES,
        sealed=SEAL,
    )
    death: dict[str, NDArray[np.uint8]] = {}
    for path in group.array_paths(FOLDER + "/"):
        name = path.removeprefix(FOLDER + "/")
        if not is_parameter(name):
            raise ArtifactError("E_STORE", f"{where}: {name[:80]!r} is not the name of a parameter")
        death[name] = read_array(group, path, _FORM, limit=limit)
        limit -= death[name].size
        if not death[name].size:
            raise ArtifactError("E_STORE", f"{where}: {name} is empty; empty parameters are left out")
    refuse_unread(group)
    _check_content(death, attributes, where)
    accuracy = tuple(None if value is None else float(value) for value in attributes.accuracy)
    return Ladder(death, attributes.rounds, attributes.kept, attributes.ticket_ids, accuracy)


def ladder_digest(death: Death, rounds: int) -> str:
    """The identity of a ladder: `sha256:` over rounds, names, shapes and rounds of death."""
    entries = [(name, None, array.shape, np.ascontiguousarray(array).data) for name, array in death.items()]
    return content_digest("ladder", entries, struct.pack("<B", rounds))


def kept_per_level(death: Death, rounds: int) -> tuple[int, ...]:
    """How many weights each level keeps, level 0 first.

    Raises:
        ValueError: a value above `rounds`.
    """
    dead = np.zeros(256, dtype=np.int64)
    for array in death.values():
        dead += np.bincount(array.reshape(-1), minlength=256)
    if dead[rounds + 1 :].any():
        raise ValueError(f"a round of death above {rounds}, the number of rounds")
    return tuple(int(count) for count in dead[: rounds + 1][::-1].cumsum()[::-1])


def _check_content(death: Death, attributes: LadderAttributes, where: str) -> None:
    lengths = {len(attributes.kept), len(attributes.ticket_ids), len(attributes.accuracy)}
    if not death or lengths != {attributes.rounds + 1}:
        raise ArtifactError(
            "E_STORE", f"{where}: not one entry for each of {attributes.rounds + 1} levels, or no array"
        )
    try:
        kept = kept_per_level(death, attributes.rounds)
    except ValueError as error:
        raise ArtifactError("E_STORE", f"{where}: {error}") from None
    if kept != attributes.kept:
        raise ArtifactError(
            "E_COUNT", f"{where}: its levels keep {list(kept)[:40]}, not {list(attributes.kept)[:40]}"
        )
    digest = ladder_digest(death, attributes.rounds)
    if digest != attributes.digest:
        raise ArtifactError(
            "E_STORE_DIGEST", f"{where}: its content has the digest {digest}, not {attributes.digest}"
        )
    if any(value is not None and repr(float(value)) != value for value in attributes.accuracy):
        raise ArtifactError("E_STORE", f"{where}: an accuracy is not the shortest decimal of its value")


def _stored(death: Death) -> dict[str, NDArray[np.uint8]]:
    for name, array in death.items():
        if not is_parameter(name) or array.dtype != np.uint8 or array.ndim > 8:
            raise ValueError(
                f"{name!r}: a round of death is a u1 array of at most 8 dimensions, named as a parameter"
            )
    stored = {name: array for name, array in death.items() if array.size}
    if not stored:
        raise ValueError("a ladder of nothing")
    return stored


def complete(ladder: Ladder, arch: Mapping[str, Any], init: str) -> Ladder:
    """`ladder` with `kept` and `ticket_ids` where they are empty; `arch` is complete, `init` a digest."""
    kept = ladder.kept or kept_per_level(ladder.death, ladder.rounds)
    ids = ladder.ticket_ids or level_ids(ladder, arch, init)
    accuracy = ladder.accuracy or (None,) * (ladder.rounds + 1)
    return replace(ladder, kept=kept, ticket_ids=ids, accuracy=accuracy)


def level_ids(ladder: Ladder, arch: Mapping[str, Any], init: str) -> tuple[str, ...]:
    """The ticket ids of levels 0 to `rounds`."""
    masks = (ladder.mask(level) for level in range(ladder.rounds + 1))
    return tuple(ticket_id(arch, init, mask_digest(mask)) for mask in masks)
