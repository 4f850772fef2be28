"""A ticket's mask and weights in the files of other programs: what `ticketctl.stages.importing` reads, and ONNX.

What is exported is the ticket itself, its mask over the weights that it starts from, unless trained weights are asked
for: those of a run of this very ticket.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ticketctl.artifacts.masks import Keep
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.dialects import open_lth
from ticketctl.errors import ArtifactError, UsageError, near_miss
from ticketctl.stages.export_files import MAKERS, Source, named_there
from ticketctl.stages.forms import FORMS, with_ending
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.torch_files import saved
from ticketctl.store.files import make_folder, read_bytes, sync_folder, temporary_beside, write_atomic
from ticketctl.store.tensors import Tensor

SPEED = (
    "a mask makes nothing faster by itself: what has no kernels for sparse weights computes with the zeros"
)
_LARGEST = 1 << 36


@dataclass(frozen=True)
class Exported:
    """What lies on disk now."""

    source: Source
    form: str
    files: tuple[Path, ...]
    made: bool
    """False: the very file lay there."""
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)


def export(
    of: Ticket | Run,
    form: str,
    out: Path,
    around: Surroundings,
    level: int | None = None,
    weights: Run | None = None,
) -> Exported:
    """Write one level of a ticket, or a run, to the file `out`.

    Args:
        of: the ticket, with the weights that it starts from; a run: its mask and its trained weights.
        form: of `FORMS`.
        out: the file; a name without an ending is given that of the form; a file of the same content is left as it
            is.
        around: where nets that tweaks have changed are built again, for ONNX.
        level: of the ticket's ladder; None: its own.
        weights: a run of this ticket and level, whose trained weights are taken.

    Raises:
        UsageError: no such form or level; another file lies there, or the ending is not the form's; the form cannot
            hold this mask; a run of another ticket; weights for a form without any.
        ArtifactError: the ticket or run is damaged.
        MissingExtraError: ONNX without its extra.
    """
    _check_form(form, asked=weights is not None)
    source = _source(of, level, weights)
    if not source.keep and not FORMS[form].dense:
        raise UsageError(f"{source.folder} is dense: it has no mask to export as {form}")
    file = _checked_place(out, form)
    data, notes = MAKERS[form](source, around)
    if source.tweaks and not form.startswith("onnx"):
        notes = [f"{', '.join(source.tweaks)} changed the net: its weights belong to that net alone", *notes]
    if file != out:
        notes = [*notes, f"--out {out}: written to {file.name}, for a file of {form} ends so"]
    made = _put(file, data)
    return Exported(source, form, (file,), made, tuple(notes))


def export_ladder(of: Ticket, out: Path) -> Exported:
    """Write a whole ladder as open_lth's run folder: `level_N/main/mask.pth`, and the start weights in level 0.

    Raises:
        UsageError: the ticket has no ladder, or something lies at `out`.
        ArtifactError: the ticket is damaged.
    """
    source, ladder = _source(of, None, None), of.ladder()
    if ladder is None:
        raise UsageError(f"{of.folder}: one mask and no ladder; leave --level all out")
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise UsageError(f"--out {out}: something lies there; name a new folder")
    names, note = named_there(source)
    start = {names.get(name, name): leaf for name, leaf in source.weights.items()}
    levels = (
        (f"level_{number}/main", {names.get(name, name): mask for name, mask in ladder.mask(number).items()})
        for number in range(ladder.rounds + 1)
    )
    return Exported(source, "open-lth", _folder(out, _levels(levels, start, _moment(of))), True, (note,))


def _levels(
    levels: Iterator[tuple[str, Keep]], start: Mapping[str, Tensor], moment: str
) -> Iterator[tuple[str, bytes]]:
    """The files of a run folder, one after the other: masks are four bytes a weight there."""
    for number, (place, keep) in enumerate(levels):
        total, kept = sum(mask.size for mask in keep.values()), sum(int(mask.sum()) for mask in keep.values())
        report = {"total": float(total), "unpruned": float(kept)}
        yield f"{place}/mask.pth", saved(open_lth.write(keep))
        yield f"{place}/sparsity_report.json", json.dumps(report, indent=4).encode()
        if number == 0:
            yield f"{place}/model_{moment}.pth", saved(start)


def _moment(of: Ticket) -> str:
    """`epE_itI` of the start: I steps after epoch E."""
    step, epoch = of.manifest.init.step, Fraction(of.manifest.init.epoch)
    whole = int(epoch)
    return f"ep{whole}_it{step - int(whole * step / epoch) if epoch else step}"


def _check_form(form: str, asked: bool) -> None:
    if form not in FORMS:
        raise UsageError(f"--as {form}: no such form; {near_miss(form, FORMS)}")
    if asked and not FORMS[form].weights:
        raise UsageError(f"--weights: a file of {form} holds masks and no weights")


def _source(of: Ticket | Run, level: int | None, weights: Run | None) -> Source:
    """What is meant, read and judged."""
    if isinstance(of, Run):
        return _trained(of)
    _sound(of)
    manifest, keep = of.manifest, of.mask(level)
    at = manifest.level if level is None else level
    if weights is not None:
        return _checked(_trained(weights), keep, of.ticket_id_at(level), at)
    start = manifest.init
    told = f"those it starts from ({start.role}, step {start.step}), not trained under the mask"
    return Source(keep, of.init(), manifest.arch, at, of.ticket_id_at(level), told, of.folder)


def _trained(run: Run) -> Source:
    _sound(run)
    manifest, keep = run.manifest, run.mask() or {}
    told = f"trained ones, of run {manifest.run_id}"
    return Source(keep, run.weights(), manifest.arch, manifest.level, manifest.ticket, told, run.folder, run)


def _sound(of: Ticket | Run) -> None:
    checks = verify_run(of.folder) if isinstance(of, Run) else verify_ticket(of.folder)
    failed = next((check for check in checks if not check.ok), None)
    if failed:
        raise ArtifactError(
            failed.code, f"{of.folder}: not exported, for {failed.name} failed: {failed.detail}"
        )


def _checked(source: Source, keep: Keep, ticket: str, level: int) -> Source:
    """The run's, once it is of this ticket, and its mask stayed the ticket's."""
    same = keep.keys() == source.keep.keys() and all(
        np.array_equal(keep[name], source.keep[name]) for name in keep
    )
    if not same or source.ticket != ticket:
        moved = ", and its mask moved" if source.ticket == ticket else ""
        raise UsageError(
            f"--weights {source.folder}: no run of {ticket[:11]}, level {level}: it is of {source.ticket[:11]}, "
            f"level {source.level}{moved}; name it instead of a ticket, for its own mask and weights"
        )
    return source


def _checked_place(out: Path, form: str) -> Path:
    """The file to write."""
    for path in (out, with_ending(out, form) if out.name and not out.is_dir() else out):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            what = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no plain file"
            raise UsageError(f"--out {path}: this is {what}; name a file")
    return path


def _put(out: Path, data: bytes) -> bool:
    """Whether it was written; the very file may lie there, another may not."""
    if out.exists():
        if out.stat().st_size == len(data) and read_bytes(out, limit=_LARGEST) == data:
            return False
        raise UsageError(f"--out {out}: another file lies there; name a new one")
    make_folder(out.parent)
    write_atomic(out, data)
    return True


def _folder(out: Path, files: Iterator[tuple[str, bytes]]) -> tuple[Path, ...]:
    """Written beside it and renamed: all of them, or none."""
    temporary = temporary_beside(out)
    names = []
    try:
        for name, data in files:
            make_folder((temporary / name).parent)
            write_atomic(temporary / name, data)
            names.append(name)
        os.replace(temporary, out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return tuple(out / name for name in names)
