"""A ticket: a folder with ticket.json, mask.safetensors, rewind.safetensors and often ladder.zarr.zip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.digests import refuse_other
from ticketctl.artifacts.folder import check_listed, get, get_record, has, put, put_record
from ticketctl.artifacts.ladder import Ladder, complete, decode_ladder, encode_ladder, ladder_digest
from ticketctl.artifacts.manifest import manifest_bytes, read_manifest
from ticketctl.artifacts.masks import Keep, claimed_mask, counts, encode_mask, mask_digest
from ticketctl.artifacts.models import TicketManifest, recipe_digest, shapes_digest, ticket_id
from ticketctl.artifacts.records import floats, numbers, to_record
from ticketctl.artifacts.weights import claimed_weights, decode_weights, encode_weights, weights_digest
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.store.files import write_atomic
from ticketctl.store.tensors import Tensor

MANIFEST = "ticket.json"
MASK, INIT, LADDER = "mask.safetensors", "rewind.safetensors", "ladder.zarr.zip"
SCORES = "scores.safetensors"


@dataclass(frozen=True, repr=False)
class Ticket:
    """An opened ticket: its manifest is judged, its files are there; each file is checked when it is read."""

    folder: Path
    manifest: TicketManifest

    def __repr__(self) -> str:
        said, mask = self.manifest, self.manifest.mask
        what = f"{said.arch.name} on {said.draw.data.name}, {said.draw.method}, level {said.level}"
        return f"<Ticket {said.ticket_id:.11}: {what}, keeps {mask.kept} of {mask.prunable}, {self.folder}>"

    def mask(self, level: int | None = None) -> dict[str, NDArray[np.bool_]]:
        """The mask: parameter name to bool array, True = kept.

        Args:
            level: of the ladder, a whole number; None: the ticket's own.

        Raises:
            ArtifactError: E_FILE_DIGEST, or whatever is wrong with the file.
            UsageError: the ticket has no such level, or it is no whole number.
        """
        if self._is_other(level):
            return self._rung(level).mask(level)
        part, where = self.manifest.mask, str(self.folder / MASK)
        return claimed_mask(
            self._read(MASK), digest=part.digest, kept=part.kept, prunable=part.prunable, where=where
        )

    def init(self) -> dict[str, Tensor]:
        """The weights training starts from.

        Raises:
            ArtifactError: E_FILE_DIGEST, E_WEIGHTS_DIGEST, E_ARCH_MISMATCH, or what is wrong with the file.
        """
        digest, shapes = self.manifest.init.digest, self.manifest.arch.param_shapes
        return claimed_weights(self._read(INIT), digest=digest, shapes=shapes, where=str(self.folder / INIT))

    def ladder(self) -> Ladder | None:
        """All levels of the draw, if it kept them.

        Raises:
            ArtifactError: E_FILE_DIGEST, E_STORE_DIGEST, or what is wrong with the file.
        """
        part = self.manifest.ladder
        if part is None:
            return None
        where = str(self.folder / LADDER)
        ladder = decode_ladder(self._read(LADDER), where=where, limit=self.manifest.mask.prunable)
        refuse_other("E_STORE_DIGEST", where, ladder_digest(ladder.death, ladder.rounds), part.digest)
        if ladder.rounds != part.rounds:
            raise ArtifactError(
                "E_COUNT", f"{where}: {ladder.rounds} rounds, the manifest says {part.rounds}"
            )
        return ladder

    def scores(self) -> dict[str, NDArray[np.float32]] | None:
        """What was ranked to choose the mask, by parameter, if the ticket keeps it.

        Raises:
            ArtifactError: E_FILE_DIGEST, E_ARCH_MISMATCH (not over the mask's weights), or what is wrong with the file.
        """
        if not self.has("scores"):
            return None
        where = str(self.folder / SCORES)
        tensors = decode_weights(self._read(SCORES), where=where)
        forms = {name: ("F32", array.shape) for name, array in self.mask().items()}
        if {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()} != forms:
            raise ArtifactError(
                "E_ARCH_MISMATCH", f"{where}: scores of other weights than the mask's, or not float32"
            )
        return {name: tensor.array() for name, tensor in tensors.items()}

    def record(self) -> dict[str, Tensor] | None:
        """What the method wrote down on its way, if it did; what each tensor means is the method's affair.

        Raises:
            ArtifactError: E_FILE_DIGEST, E_FORMAT.
        """
        return get_record(self.folder, self.manifest.files)

    def has(self, role: str) -> bool:
        """Whether it holds a file of that role, e.g. scores."""
        return has(self.manifest.files, role)

    def kept_by_level(self) -> dict[int, int]:
        """How many weights each level keeps, for the levels whose masks are here.

        Raises:
            ArtifactError: as `ladder`.
        """
        ladder = self.ladder()
        return dict(enumerate(ladder.kept)) if ladder else {self.manifest.level: self.manifest.mask.kept}

    def ticket_id_at(self, level: int | None) -> str:
        """The id of a level of the ladder; None is the ticket's own.

        Raises:
            ArtifactError: as `ladder`.
            UsageError: the ticket has no such level, or it is no whole number.
        """
        return self._rung(level).ticket_ids[level] if self._is_other(level) else self.manifest.ticket_id

    def metrics_by_level(self) -> dict[int, dict[str, float]]:
        """What the draw measured at each of its levels, by name, e.g. test.accuracy; of most one-shot draws nothing."""
        return {part.level: floats(part.metrics) for part in self.manifest.draw.levels}

    def _is_other(self, level: int | None) -> TypeGuard[int]:
        """Whether a level is named, and not the ticket's own."""
        if level is not None and type(level) is not int:
            share = isinstance(level, float) and 0 <= level < 1
            way = f"; for a sparsity use load_ticket('NAME@{level}')" if share else ""
            raise UsageError(f"{self.folder}: a level is a whole number, not {level!r}{way}")
        return level is not None and level != self.manifest.level

    def _rung(self, level: int) -> Ladder:
        ladder = self.ladder()
        if ladder is None:
            raise UsageError(
                f"{self.folder}: no level {level}: this ticket has one mask, level {self.manifest.level}"
            )
        if not 0 <= level <= ladder.rounds:
            raise UsageError(f"{self.folder}: no level {level}; there are levels 0 to {ladder.rounds}")
        return ladder

    def _read(self, name: str) -> bytes:
        return get(self.folder, self.manifest.files, name)


def write_ticket(
    folder: Path,
    *,
    arch: Mapping[str, Any],
    keep: Keep,
    init: Mapping[str, Tensor],
    draw: Mapping[str, Any],
    ladder: Ladder | None = None,
    level: int = 0,
    init_role: str = "rewind",
    init_step: int = 0,
    init_epoch: Any = "0",
    structure: str = "unstructured",
    scope: str = "global",
    excluded: tuple[str, ...] | list[str] = (),
    control: Mapping[str, Any] | None = None,
    license: str | None = None,
    authors: tuple[str, ...] | list[str] = (),
    citation: str | None = None,
    ext: Mapping[str, Any] | None = None,
    scores: Mapping[str, NDArray[np.float32]] | None = None,
    record: Mapping[str, Tensor] | None = None,
) -> Ticket:
    """Write a ticket into `folder`, which exists: the payload files first, ticket.json last.

    Args:
        folder: where.
        arch: name, source, num_classes, in_chans, size, kwargs; `param_shapes` is filled in from `init`.
        keep: the mask.
        init: the whole state_dict that training starts from.
        draw: method, rounds, params, recipe, data, seeds, levels, cost, parents; `recipe_digest` is added.
        ladder: all levels of the draw; empty `kept` and `ticket_ids` are filled in.
        level: the level that `keep` is.
        init_role: init, rewind or trained.
        init_step: optimizer step of `init`.
        init_epoch: epoch of `init`.
        structure: unstructured, 2:4, channel, ...
        scope: global, layer, erk, ...
        excluded: parameters of a prunable type that stay dense.
        control: kind and of, if this is a control of another ticket.
        license: of the ticket.
        authors: of the ticket.
        citation: BibTeX or a DOI.
        ext: free, namespaced, ignored by readers.
        scores: what was ranked to choose the mask, by parameter.
        record: what the method wrote down on its way, by name.

    Raises:
        ArtifactError: the manifest would contradict itself.
        ValueError: the payload cannot be written as the formats want, or mask and ladder disagree.
        ResourceError: no space or no permission.
    """
    shapes = shapes_digest({name: tensor.shape for name, tensor in init.items()})
    arch = to_record({"param_shapes": shapes, **arch})
    start = {"role": init_role, "step": init_step, "epoch": str(to_record(init_epoch))}
    kind = {"structure": structure, "scope": scope, "excluded": sorted(excluded)}
    files = [put(folder, MASK, encode_mask(keep), "mask"), put(folder, INIT, encode_weights(init), "init")]
    parts: dict[str, Any] = {"mask": {**_mask_part(keep), **kind}, "init": {**_init_part(init), **start}}
    if scores is not None:
        files.append(put(folder, SCORES, encode_weights(_score_tensors(scores)), "scores"))
    put_record(folder, record, files)
    parts["ladder"] = None
    if ladder is not None:
        ladder = complete(ladder, arch, parts["init"]["digest"])
        if not 0 <= level <= ladder.rounds or mask_digest(ladder.mask(level)) != parts["mask"]["digest"]:
            raise ValueError(f"the mask is not level {level} of the ladder")
        files.append(put(folder, LADDER, encode_ladder(ladder), "ladder"))
        identity = ladder_digest(ladder.death, ladder.rounds)
        parts["ladder"] = {"file": LADDER, "digest": identity, "rounds": ladder.rounds}
    fields = {
        "format": "ticketctl.ticket",
        "format_version": "1.1" if _is_newer(scores, record, control) else "1.0",
        "features": ["init.file", *(["ladder.death"] if ladder else []), "mask.bits"],
        "ticket_id": ticket_id(arch, parts["init"]["digest"], parts["mask"]["digest"]),
        "arch": arch,
        **parts,
        "level": level,
        "draw": _draw_part(draw),
        "control": to_record(control),
        "files": sorted(files, key=lambda entry: str(entry["path"])),
        "license": license,
        "authors": list(authors),
        "citation": citation,
        "ext": to_record(ext or {}),
    }
    write_atomic(folder / MANIFEST, manifest_bytes(fields, TicketManifest))
    return open_ticket(folder)


def _mask_part(keep: Keep) -> dict[str, Any]:
    kept, prunable = counts(keep)
    return {"file": MASK, "encoding": "bits", "digest": mask_digest(keep), "prunable": prunable, "kept": kept}


def _is_newer(scores: Any, record: Any, control: Mapping[str, Any] | None) -> bool:
    """Whether it has what version 1.0 does not know."""
    return scores is not None or bool(record) or bool(control and control["kind"] == "inverted")


def _score_tensors(scores: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    return {
        name: Tensor("F32", score.shape, np.ascontiguousarray(score, dtype="<f4").tobytes())
        for name, score in scores.items()
    }


def _init_part(init: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"kind": "file", "file": INIT, "digest": weights_digest(init)}


def _draw_part(draw: Mapping[str, Any]) -> dict[str, Any]:
    recipe = to_record(draw["recipe"])
    levels = [{**level, "metrics": numbers(level["metrics"])} for level in draw["levels"]]
    cost = {**draw["cost"], "epochs": str(to_record(draw["cost"]["epochs"]))}
    record = {"parents": [], **draw, "levels": levels, "cost": cost, "recipe_digest": recipe_digest(recipe)}
    return dict(to_record(record))


def open_ticket(folder: Path) -> Ticket:
    """Judge the manifest and see that its files are there, in their sizes; payload is read when asked for.

    Raises:
        ArtifactError: the E_ code of what is wrong.
    """
    manifest = read_manifest(folder / MANIFEST, TicketManifest)
    check_listed(folder, manifest.files)
    return Ticket(folder, manifest)
