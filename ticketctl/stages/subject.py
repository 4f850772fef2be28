"""A net under examination: rebuilt from its run, its ticket or its recipe, on the data that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ticketctl.artifacts.ids import ticket_id
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.report_models import UNTRAINED
from ticketctl.artifacts.report_models import Subject as Said
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import MismatchError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.shuffle import shuffled
from ticketctl.recipe import fingerprint
from ticketctl.stages.dressing import dress
from ticketctl.stages.fitting import refuse_misfit
from ticketctl.stages.kept import state_after
from ticketctl.stages.named import Named, of_run
from ticketctl.stages.setting import Setting, Surroundings, prepare
from ticketctl.store.tensors import Tensor
from ticketctl.train.device import settle_arithmetic
from ticketctl.train.evaluate import Exam, Part
from ticketctl.train.feed import Images
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State


@dataclass(frozen=True)
class Subject:
    """A net with its weights, whatever tweaks made of it, and the images of its data set."""

    named: Named
    said: Said
    """As its reports describe it."""
    setting: Setting
    """Its net holds the weights, until the same `Opener` opens another."""
    mask: Mask | None
    """None: the net is dense."""

    @property
    def run(self) -> Run:
        """That trained it."""
        assert self.named.run is not None, "an untrained net has no run"
        return self.named.run

    @property
    def images(self) -> dict[str, Images]:
        """`train` (unaugmented, under the labels trained on), `val` if any was held out, `test`."""
        exams: Mapping[str, Exam] = self.setting.bench.exams
        known = {name: exams[name] for name in ("val", "test") if name in exams}
        held = {name: exam for name, exam in known.items() if not isinstance(exam, Part)}
        return {"train": self.setting.bench.feed.images, **held}

    def specimen(self) -> Specimen:
        """It in evaluation mode, with these images."""
        setting, images = self.setting, self.images
        return Specimen(
            setting.bench.model.eval(), self.mask, images, len(setting.data.classes), images["test"].scaling,
            {}, setting.poll, setting.bench.reporter,
        )  # fmt: skip

    @property
    def state(self) -> State:
        """Its weights and buffers now."""
        return State.of(self.setting.bench.model, 0)


@dataclass
class Opener:
    """Opens nets one after the other; those of one recipe share data and net."""

    around: Surroundings
    settings: dict[str, Setting] = field(default_factory=dict)

    def open(self, named: Named) -> Subject:
        """The net that was named.

        Raises:
            MismatchError: data of the same name with another content, or weights of another net.
            UnavailableError, UsageError, ArtifactError: the data cannot be had; the recipe does not fit them; damaged.
        """
        setting = self._setting(named)
        if named.run is not None:
            return _trained(named, named.run, setting)
        mask, state = _untrained(named, setting)
        model = setting.bench.model
        state.load_into(model)
        if mask is not None:
            _prune_(model, mask)
        digest = weights_digest(State.of(model, 0).tensors())
        ticket = "dense" if mask is None else _ticket_of(named, setting, state, mask)
        said = Said(run_id=UNTRAINED, ticket=ticket, level=named.level, weights=digest, status="done")
        return Subject(named, said, setting, mask)

    def _setting(self, named: Named) -> Setting:
        """As the recipe says; its data are those that the net was made on."""
        key = fingerprint({"recipe": named.recipe.record(), "root": named.seeds.root, **named.seeds.override})
        if key not in self.settings:
            self.settings[key] = prepare(named.recipe, named.seeds, self.around, named.ticket)
        else:  # what torch keeps for the whole process is this net's again, not that of the one opened in between
            settle_arithmetic(self.settings[key].recipe.train, self.around.device)
        setting, known = self.settings[key], _fingerprint(named)
        if known not in (None, setting.data.fingerprint):
            raise MismatchError(
                f"{named.recipe.data.name}: its content is {setting.data.fingerprint}, and {named.folder} was made on "
                f"{known}"
            )
        return setting


def subject_of(run: Run, sets: Mapping[str, Any], around: Surroundings) -> Subject:
    """The net of a run.

    Args:
        run: trained to its end, or to where it diverged.
        sets: what was typed of the recipe, as tables: where data lie, or a net that is somebody's own code.
        around: device, cache, reporter.

    Raises:
        UsageError: other words than of `[data]` and `model.name`; another data set than the run's.
        MismatchError: data of the same name with another content.
        UnavailableError, ArtifactError: the data cannot be had; the run is damaged.
    """
    return Opener(around).open(of_run(run, sets))


def _fingerprint(named: Named) -> str | None:
    if named.run is not None:
        return named.run.manifest.data.fingerprint
    return None if named.ticket is None else named.ticket.manifest.draw.data.fingerprint


def _trained(named: Named, run: Run, setting: Setting) -> Subject:
    manifest, (weights, digest) = run.manifest, _meant(named, run)
    mask = _mask_of(named, run, weights)
    full = mask if mask is not None else Mask.full(setting.shapes)
    dressed = dress(setting, named.recipe, setting.seeds, full, ticket=None, teacher=None).setting
    _load(run, weights, dressed)
    said = Said(
        run_id=manifest.run_id,
        ticket=manifest.ticket,
        level=manifest.level,
        weights=digest,
        status=manifest.status,
    )
    return Subject(named, said, dressed, mask)


def _meant(named: Named, run: Run) -> tuple[dict[str, Tensor], str]:
    """The weights of the run's end, or those that it kept after an epoch, and their digest."""
    if named.epoch is None:
        return run.weights(), run.manifest.weights.digest
    state = state_after(run.manifest, named.epoch, str(run.folder))
    return run.state(state.name), state.digest


def _mask_of(named: Named, run: Run, weights: Mapping[str, Tensor]) -> Mask | None:
    """The run's mask; after an epoch, where it moved, the one of that time.

    Raises:
        UsageError: the run did not write down which mask that was.
    """
    kept, moved = run.mask(), run.trajectory() if named.epoch is not None else None
    if moved is not None and named.epoch is not None:
        step = state_after(run.manifest, named.epoch, str(run.folder)).step
        row = max(0, int(np.searchsorted(moved.step, step, side="right")) - 1)
        kept, begin, end = moved.rows(row), moved.step[0], moved.step[-1]
        alone = (
            len(moved.step) == 2 and end - begin == run.manifest.cost.steps
        )  # the first and the last of all
        if (alone and begin < step < end) or any(
            weights[name].array()[~keep].any() for name, keep in kept.items()
        ):
            raise UsageError(
                f"{named.label}: its mask moved, and the one of that time was not written down; its end has one"
            )
    return None if kept is None else Mask.from_arrays(kept)


def _load(run: Run, weights: Mapping[str, Tensor], setting: Setting) -> None:
    net = setting.bench.model
    theirs = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    ours = {name: tuple(value.shape) for name, value in weights.items()}
    if ours != theirs:
        odd = sorted({name for name, _ in ours.items() ^ theirs.items()})
        raise MismatchError(
            f"{run.folder}: its weights are not those of the net that its recipe builds: {odd[0]}"
        )
    State.from_tensors(weights, 0).load_into(net)


def _untrained(named: Named, setting: Setting) -> tuple[Mask | None, State]:
    """The mask, None where it keeps everything, and the weights before it is laid over them."""
    ticket = named.ticket
    if ticket is None or named.kind == "random-dense":
        return None, setting.initial
    weights = State.from_tensors(ticket.init(), ticket.manifest.init.step)
    _check_fits(ticket, weights, setting)
    if named.level == 0:
        return None, weights
    mask = Mask.from_arrays(ticket.mask(named.level))
    if named.kind == "permuted":
        mask = shuffled(mask, "layer", named.seeds)
    return (mask if mask.kept < mask.size else None), weights


def _ticket_of(named: Named, setting: Setting, start: State, mask: Mask) -> str:
    """The id of the ticket that these are; a permuted mask is another ticket's than the one it was made of."""
    if named.kind == "ticket" and named.ticket is not None:
        return named.ticket.ticket_id_at(named.level)
    return ticket_id(setting.arch, weights_digest(start.tensors()), mask_digest(mask.to_arrays()))


def _check_fits(ticket: Ticket, weights: State, setting: Setting) -> None:
    theirs = {name: tuple(value.shape) for name, value in weights.weights.items()}
    ours = {name: tuple(value.shape) for name, value in setting.initial.weights.items()}
    refuse_misfit(ticket, theirs, ours, f"{setting.recipe.model.name} on {setting.data.name}")


@torch.no_grad()
def _prune_(model: torch.nn.Module, mask: Mask) -> None:
    weights = dict(model.named_parameters())
    for name, keep in mask.keep.items():
        weights[name].mul_(keep.to(weights[name]))
