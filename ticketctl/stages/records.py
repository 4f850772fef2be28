"""A finished training becomes a run artifact; a level becomes a line of its ticket."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.models import ticket_id
from ticketctl.artifacts.run import Run, StateFile, open_run, write_run
from ticketctl.artifacts.series import Series
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import MismatchError
from ticketctl.masks.collapse import Collapse, collapse
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.stages.samples import samples_of
from ticketctl.stages.setting import Setting
from ticketctl.stages.spent import TWEAKED
from ticketctl.store.files import make_folder
from ticketctl.train.lab import Fit
from ticketctl.train.state import State, to_tensor
from ticketctl.train.trajectory import trajectory_of


@dataclass(frozen=True)
class RunOf:
    """A training and what it belongs to."""

    setting: Setting
    seeds: Seeds
    fit: Fit
    mask: Mask
    level: int
    start: State
    role: str
    """What the start is: init, rewind or trained."""


@dataclass(frozen=True)
class Spending:
    """What the run of a spend has beside that of a draw: a ticket, and the tweaks that were part of it."""

    names: tuple[str, ...]
    ticket: str
    """Id of the ticket as drawn, or "dense"."""
    came: str
    """Digest of the weights that were handed over, before anything was added."""
    hooks: tuple[Mapping[str, Any], ...]
    """Each tweak's own account of itself: its keys, its teacher."""
    added: int
    """Weights that they added to the net."""
    after: str | None
    """Id of the run from whose end the training began."""
    record: Mapping[str, Tensor]
    """What they wrote down, by name."""
    course: Mapping[str, Any]
    """The keys of `[train]` as they made them, where that is not as the recipe has them."""

    def ext(self, remarks: Sequence[str]) -> dict[str, Any]:
        """As it stands in the manifest, with what tweaks said of the training."""
        if not self.names:
            return {}
        after = {"after": self.after} if self.after else {}
        course = {"course": dict(self.course)} if self.course else {}
        said = {"remarks": list(remarks)} if remarks else {}
        tweaks = [dict(hook) for hook in self.hooks]
        return {TWEAKED: {"tweaks": tweaks, "added": self.added, **after, **course, **said}}


def save_run(folder: Path, of: RunOf, spending: Spending | None = None) -> Run:
    """Write the run, unless it lies there; its weights are linked, not copied, from the training's own folder."""
    make_folder(folder)
    if (folder / "run.json").exists():
        there = open_run(folder)
        if there.manifest.training_id != of.fit.key:
            raise MismatchError(
                f"{folder}: holds a run of another training; remove it, or give another --out"
            )
        return there
    setting, fit = of.setting, of.fit
    last = fit.mask_at_end() if spending and fit.order.mask is not None else of.mask
    sparse = last.kept < last.size
    start = spending.came if spending else weights_digest(of.start.tensors())
    arch = setting.arch
    keep = last.to_arrays()
    own = ticket_id(arch, start, mask_digest(keep)) if sparse else "dense"
    record = {**samples_of(setting), **(spending.record if spending else {})}
    return write_run(
        folder,
        ticket=spending.ticket if spending else own,
        level=of.level,
        arch={**arch, "tweaks": list(spending.names) if spending else []},
        seeds={"root": of.seeds.root, **of.seeds.override},
        recipe=setting.public_recipe if spending else _recipe_of(of),
        training_id=fit.key,
        status="diverged" if fit.diverged else "done",
        start={"role": of.role, "step": of.start.step, "digest": start},
        data=setting.data_record,
        metrics=metric_record(fit.metrics()),
        cost=cost_of(fit.steps, setting, of.start.step),
        weights=fit.files.final,
        keep=keep if sparse else None,
        prunable=last.size,
        states=_states(fit, setting),
        series=series_of(fit),
        trajectory=trajectory_of(fit) if sparse else None,
        record={name: to_tensor(value) for name, value in record.items()} or None,
        ext=spending.ext(fit.notes.get("remarks", ())) if spending else None,
    )


def _recipe_of(of: RunOf) -> dict[str, Any]:
    """The recipe, with the course that was really taken."""
    return {**of.setting.public_recipe, "train": of.fit.train.model_dump(mode="json", exclude_none=True)}


def series_of(fit: Fit) -> Series:
    """History and memory of a training in the form of the series format."""
    table = dict(zip(fit.columns, fit.history.numpy().T, strict=True))
    columns = tuple(name for name in fit.columns if name not in ("epoch", "step"))
    events = fit.tensors["memory.events"].numpy()
    return Series(
        columns=columns,
        scalars=np.stack([table[name] for name in columns], axis=1).astype(np.float32),
        epoch=np.floor(table["epoch"]).astype(np.int32),
        step=table["step"].astype(np.int64),
        forget_count=events.astype(np.uint16),
        correct_bits=fit.tensors["memory.epochs"].numpy(),
        samples=len(events),
    )


def _states(fit: Fit, setting: Setting) -> list[StateFile]:
    """Weights kept on the way: the best on validation, and the epochs that the recipe names."""
    per_epoch, best = setting.bench.feed.steps_per_epoch, fit.notes["best_epoch"]
    found = []
    if best is not None:
        found.append(StateFile("best_val", best * per_epoch, str(best), fit.files.best(best)))
    for epoch in setting.recipe.keep.epochs:
        path = fit.files.state(epoch * per_epoch)
        if path.exists():
            found.append(StateFile(f"epoch-{epoch}", epoch * per_epoch, str(epoch), path))
    return found


def paths_of(mask: Mask, setting: Setting) -> Collapse:
    """What the mask leaves connected in the setting's net."""
    return collapse(setting.bench.model, mask, setting.data.shape)


def level_record(number: int, mask: Mask, paths: Collapse, metrics: Mapping[str, float]) -> dict[str, Any]:
    """A level as ticket.json lists it: counts, what the mask cuts off, metrics of its training."""
    return {
        "level": number,
        "kept": mask.kept,
        "empty_layers": sorted(paths.empty_layers),
        "cut": paths.cut,
        "effective": paths.effective,
        "metrics": metric_record(metrics),
    }


def metric_record(metrics: Mapping[str, float]) -> dict[str, str]:
    """Metrics as decimal strings; what was not measured is left out."""
    return {name: repr(value) for name, value in sorted(metrics.items()) if not math.isnan(value)}


def cost_of(steps: int, setting: Setting, start: int = 0) -> dict[str, Any]:
    """Steps, images and epochs of a training (or several) of `steps`, from step `start`."""
    per_epoch = setting.bench.feed.steps_per_epoch
    images = _images(start + steps, setting) - _images(start, setting)
    return {"steps": steps, "images": images, "epochs": repr(steps / per_epoch)}


def _images(step: int, setting: Setting) -> int:
    feed = setting.bench.feed
    epochs, rest = divmod(step, feed.steps_per_epoch)
    whole = len(feed) if not setting.recipe.train.drop_last else feed.steps_per_epoch * feed.batch_size
    return epochs * whole + rest * feed.batch_size
