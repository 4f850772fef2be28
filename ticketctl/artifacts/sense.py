"""What a manifest says must fit together: files and parts, counts and levels, ids and what they cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticketctl.artifacts.folder import RECORD
from ticketctl.artifacts.models import (
    ROLES,
    FileEntry,
    RunManifest,
    TicketManifest,
    recipe_digest,
    run_id,
    ticket_id,
)
from ticketctl.artifacts.records import MINORS
from ticketctl.errors import ArtifactError

EXTRAS = {"scores.safetensors": "scores", RECORD: "record"}
"""Files that a ticket may have beside its parts, from version 1.1 on."""

RESERVED = ("ticket.json", "run.json", "provenance.json")


def check_ticket(manifest: TicketManifest, where: str) -> None:
    """Refuse a ticket manifest that contradicts itself.

    Raises:
        ArtifactError: E_MANIFEST, E_PATH, E_COUNT or E_TICKET_ID.
    """
    parts = {manifest.mask.file: "mask", manifest.init.file: "init"}
    features = ["init.file", "mask.bits"]
    if manifest.ladder:
        parts[manifest.ladder.file] = "ladder"
        features.append("ladder.death")
    extras = {
        name: role for name, role in EXTRAS.items() if any(entry.path == name for entry in manifest.files)
    }
    if extras and manifest.format_version == "1.0":
        raise ArtifactError("E_MANIFEST", f"{where}: {sorted(extras)[0]} belongs to version 1.1")
    _check_features(manifest.features, features, where)
    _check_files(manifest, "ticket", parts | extras, where)
    _check_recipe(manifest.draw, where)
    _check_kept(manifest.mask.kept, manifest.mask.prunable, manifest.files, where)
    _check_levels(manifest, where)
    found = ticket_id(manifest.arch, manifest.init.digest, manifest.mask.digest)
    if found != manifest.ticket_id:
        raise ArtifactError(
            "E_TICKET_ID", f"{where}: its content has the id {found}, not {manifest.ticket_id}"
        )


def check_run(manifest: RunManifest, where: str) -> None:
    """Refuse a run manifest that contradicts itself.

    Raises:
        ArtifactError: E_MANIFEST, E_PATH, E_COUNT or E_RUN_ID.
    """
    parts: dict[str, str] = {manifest.weights.file: "weights"}
    parts |= {state.file: "state" for state in manifest.states}
    parts |= {report.file: "report" for report in manifest.reports}
    features = ["weights.file"]
    if manifest.mask:
        parts[manifest.mask.file] = "mask"
        features.append("mask.bits")
    if manifest.series:
        parts[manifest.series.file] = "series"
        features.append("series.zarr")
    if manifest.trajectory:
        parts[manifest.trajectory.file] = "trajectory"
        features.append("trajectory.xor")
    if any(entry.path == RECORD for entry in manifest.files):
        parts[RECORD] = "record"
        if manifest.format_version in ("1.0", "1.1"):
            raise ArtifactError("E_MANIFEST", f"{where}: {RECORD} belongs to version 1.2")
    _check_trajectory(manifest, where)
    _check_features(manifest.features, features, where)
    _check_files(manifest, "run", parts, where)
    _check_recipe(manifest, where)
    _check_run_mask(manifest, where)
    core = {key: getattr(manifest, key) for key in ("ticket", "level", "arch", "seeds", "recipe")}
    found = run_id(**core, weights=manifest.weights.digest)
    if found != manifest.run_id:
        raise ArtifactError("E_RUN_ID", f"{where}: its content has the id {found}, not {manifest.run_id}")


def _check_trajectory(manifest: RunManifest, where: str) -> None:
    if manifest.trajectory is None:
        if "trajectory" in manifest.model_fields_set:
            raise ArtifactError("E_MANIFEST", f"{where}: a run without a trajectory has no such key")
        return
    if manifest.format_version == "1.0" or manifest.mask is None:
        raise ArtifactError("E_MANIFEST", f"{where}: a trajectory belongs to version 1.1, and to a mask")


def _check_features(found: tuple[str, ...], needed: list[str], where: str) -> None:
    if list(found) != sorted(needed):
        raise ArtifactError("E_MANIFEST", f"{where}: features {list(found)} where {sorted(needed)} belong")


def _check_files(
    manifest: TicketManifest | RunManifest, kind: str, parts: Mapping[str, str], where: str
) -> None:
    """Every part is listed once, under its role, and nothing else is but roles that only a newer version knows."""
    paths = [entry.path for entry in manifest.files]
    for path in paths:
        if path in RESERVED:
            raise ArtifactError("E_PATH", f"{where}: {path!r} is not a payload file")
    if paths != sorted(set(paths)):
        raise ArtifactError("E_MANIFEST", f"{where}: files are not sorted, or one is listed twice")
    newer = int(manifest.format_version.partition(".")[2]) > MINORS.get(kind, 0)
    known = {entry.path: entry.role for entry in manifest.files if not newer or entry.role in ROLES}
    if known != dict(parts):
        odd = sorted(set(known) ^ set(parts))[:1] or ["a role"]
        raise ArtifactError("E_MANIFEST", f"{where}: files and parts do not name the same: {odd[0]}")


def _check_recipe(part: Any, where: str) -> None:
    if recipe_digest(part.recipe) != part.recipe_digest:
        raise ArtifactError("E_MANIFEST", f"{where}: recipe_digest is not the digest of the recipe beside it")


def _check_kept(kept: int, prunable: int, files: tuple[FileEntry, ...], where: str) -> None:
    """The mask file holds a bit for each weight, so that nobody can claim more than they send."""
    bits = 8 * max((entry.size for entry in files if entry.role == "mask"), default=0)
    if kept > prunable or prunable > bits:
        raise ArtifactError(
            "E_COUNT", f"{where}: {kept} of {prunable} weights kept, in a mask of {bits} bits"
        )


def _check_levels(manifest: TicketManifest, where: str) -> None:
    levels = [part.level for part in manifest.draw.levels]
    if levels != sorted(set(levels)):
        raise ArtifactError("E_MANIFEST", f"{where}: draw.levels are not in order")
    own = [part.kept for part in manifest.draw.levels if part.level == manifest.level]
    if any(part.kept > manifest.mask.prunable for part in manifest.draw.levels) or own not in (
        [],
        [manifest.mask.kept],
    ):
        raise ArtifactError(
            "E_COUNT", f"{where}: level {manifest.level} keeps {own}, the mask {manifest.mask.kept}"
        )
    if manifest.ladder and manifest.level > manifest.ladder.rounds:
        raise ArtifactError(
            "E_MANIFEST", f"{where}: level {manifest.level} of {manifest.ladder.rounds} rounds"
        )


def _check_run_mask(manifest: RunManifest, where: str) -> None:
    if manifest.mask is None:
        if manifest.kept != manifest.prunable:
            raise ArtifactError(
                "E_COUNT", f"{where}: {manifest.kept} of {manifest.prunable} kept, but no mask"
            )
        return
    if (manifest.kept, manifest.prunable) != (manifest.mask.kept, manifest.mask.prunable):
        raise ArtifactError("E_COUNT", f"{where}: the run and its mask do not count the same weights")
    _check_kept(manifest.kept, manifest.prunable, manifest.files, where)
