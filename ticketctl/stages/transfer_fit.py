"""Transfer a net by training all its weights on another data set, under its mask, with a new output layer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.ids import ticket_id
from ticketctl.artifacts.manifest import write_provenance
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import MismatchError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.prunable import head
from ticketctl.metrics.transfer import BETTER
from ticketctl.recipe import TrainSpec, fingerprint
from ticketctl.recipe_files import merge
from ticketctl.stages import lineage
from ticketctl.stages.conditions import code, head_of, own_images
from ticketctl.stages.controls import fresh_start
from ticketctl.stages.estimate import speed_of
from ticketctl.stages.named import of_run
from ticketctl.stages.pace import pace_of
from ticketctl.stages.places import by_content
from ticketctl.stages.price import Price
from ticketctl.stages.records import RunOf, Spending, save_run
from ticketctl.stages.reported import after, measured, without, written
from ticketctl.stages.sessions import Sessions
from ticketctl.stages.setting import Setting
from ticketctl.stages.subject import Opener, Subject
from ticketctl.stages.subjects import TRANSFERRED
from ticketctl.stages.transfer import draw_of
from ticketctl.stages.transfer_target import Target
from ticketctl.store.locks import OWNER, locked
from ticketctl.train.exam import Answers, Measurement, Value
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Lab, Wish
from ticketctl.train.predict import answers_of
from ticketctl.train.state import State

WORK = "work"


@dataclass(frozen=True)
class _Handed(Spending):
    """A training that was handed a net of another data set."""

    source: Mapping[str, Any]

    def ext(self, remarks: Sequence[str]) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {TRANSFERRED: {**self.source, **({"remarks": list(remarks)} if remarks else {})}}


@dataclass(frozen=True)
class Tuning:
    """A training on the target, with all that it is a function of."""

    source: Subject
    setting: Setting
    target: Target
    keep: str
    """`mask+init`, `mask`; or `form`: a dense net, of which nothing is taken."""
    mask: Mask
    start: State

    @property
    def folder(self) -> Path:
        """`transfers/<hash>/<level>-seed-<n>` of the source's draw; of a net without one, in its own folder."""
        named = self.source.named
        record = by_content(self.setting.recipe.changed("model", "data", "train", "keep", "seeds"))
        record |= {"transfer": self.keep, "from": self._from}
        above = draw_of(named) or named.folder
        return above / "transfers" / fingerprint(record) / f"{self.level}-seed-{self.target.seeds.root}"

    @property
    def level(self) -> int:
        """Of the ticket's ladder; 0 is dense."""
        return 0 if self.keep == "form" else self.source.named.level

    @property
    def lab(self) -> Lab:
        """Where it is trained."""
        return self.setting.lab(self.folder / WORK, self.target.seeds)

    @property
    def key(self) -> str:
        """Names the training."""
        return self.lab.key(self.start, self.mask, Wish())

    @property
    def title(self) -> str:
        """For people."""
        kind = "dense" if self.mask.kept == self.mask.size else "ticket"
        return f"{kind} level {self.level} on {self.target.base_name}, seed {self.target.seeds.root}"

    @property
    def _from(self) -> str:
        """What tells sources apart whose runs may lie in one folder; levels of a ticket have folders of their own."""
        named = self.source.named
        if self.keep == "form":
            return "nothing"
        return named.ticket.manifest.ticket_id if named.ticket else self.source.said.weights

    def described(self) -> dict[str, Any]:
        """Where it came from: plain data."""
        said, setting = self.source.said, self.source.setting
        data = {"name": setting.base_name, "fingerprint": setting.data.fingerprint}
        net = {"keep": self.keep, "net": said.model_dump(mode="json"), "data": data}
        return net | after(self.source.named.epoch)


def tuning(source: Subject, target: Target, *, keep: str) -> Tuning:
    """What there is to train.

    Args:
        source: the net.
        target: where it goes.
        keep: `mask+init`, `mask`, or `form`.

    Raises:
        UsageError: as `Target.setting`; tweaks have changed the net; it has no output layer to replace.
    """
    worn = source.named.recipe.spend.tweaks
    if worn:
        raise UsageError(
            f"{source.named.label}: {', '.join(worn)} changed this net; frozen it can be transferred, and plain nets "
            "with all their weights"
        )
    own = source.setting.recipe.train.model_dump(mode="json", exclude_none=True)
    train = TrainSpec.model_validate(merge(own, target.recipe.train))
    setting = target.setting(source.setting, train)
    replaced = _output(setting, source)
    start = setting.initial.weights
    if keep != "form":  # under the seed of its draw a net would be given what it began from
        start = fresh_start(setting).weights
    if keep == "mask+init":
        given = source.state.weights
        start = {name: start[name] if name in replaced else given[name] for name in start}
    mask = Mask.full(setting.shapes)
    if source.mask is not None and keep != "form":
        mask = Mask({name: held for name, held in source.mask.keep.items() if name not in replaced})
    return Tuning(source, setting, target, keep, mask, State(start, 0))


def _output(setting: Setting, source: Subject) -> set[str]:
    """Names of the output layer's tensors; all others are alike in both nets."""
    name = head(setting.bench.model)
    fresh, given = setting.initial.weights, source.setting.initial.weights
    if name is None or fresh[name].shape[0] != len(setting.data.classes):
        raise UsageError(
            f"{source.named.label}: no Linear layer that gives the logits, so no head to replace"
        )
    own = {name, f"{name.removesuffix('weight')}bias"} & fresh.keys()
    odd = sorted(
        each for each in fresh.keys() - own if each not in given or fresh[each].shape != given[each].shape
    )
    if odd:
        raise UsageError(
            f"{source.named.label}: {odd[0]} depends on the classes too, and cannot be transferred"
        )
    return own


def tuned(one: Tuning) -> Run:
    """The run of this training: trained to its end, gone on with, or found. A diverged one is kept and flagged.

    Raises:
        LockedError, StoppedError, ResourceError, DivergedError: as their names say; the last, weights not finite.
        MismatchError: a run of another training lies in its folder.
        ArtifactError: the chain beside its source is damaged.
    """
    folder, key, epochs = one.folder, one.key, one.setting.recipe.train.epochs
    one.start.check_finite(one.title)
    named = one.source.named
    origin = None if one.keep == "form" else named.run or named.ticket
    lineage.check([origin])
    run = _there(folder, key)
    if run is not None and not any((folder / left).exists() for left in (WORK, OWNER)):
        one.target.around.reporter.phase(one.title, epochs, epochs)
        one.target.around.reporter.note(f"{one.title}: trained before")
        return run
    with locked(folder):
        run = _there(folder, key) or _trained(one)
        lineage.trained(run, origin)
        shutil.rmtree(folder / WORK, ignore_errors=True)
    return run


def _there(folder: Path, key: str) -> Run | None:
    if not (folder / "run.json").exists():
        return None
    run = open_run(folder)
    if run.manifest.training_id != key:
        raise MismatchError(
            f"{folder}: holds a run of another training (data or version differ); move it away"
        )
    return run


def _trained(one: Tuning) -> Run:
    around, setting, folder = one.target.around, one.setting, one.folder
    sessions = Sessions(folder / WORK, around)
    fit = one.lab.fit_in(FitFiles(folder / WORK), one.start, one.mask, keep=(), title=one.title)
    if fit.diverged:
        around.reporter.note(f"{one.title}: {fit.why_diverged}; kept, and flagged")
    write_provenance(folder, sessions.record(setting))
    came = weights_digest(one.start.tensors())
    sparse = one.mask.kept < one.mask.size
    named = ticket_id(setting.arch, came, mask_digest(one.mask.to_arrays())) if sparse else "dense"
    handed = _Handed((), named, came, (), 0, None, {}, {}, one.described())
    return save_run(
        folder, RunOf(setting, one.target.seeds, fit, one.mask, one.level, one.start, _role(one)), handed
    )


def _role(one: Tuning) -> str:
    """What the start is."""
    named = one.source.named
    if one.keep != "mask+init":
        return "init"
    return "trained" if named.run is not None else named.ticket.manifest.init.role if named.ticket else "init"


def price_of(one: Tuning) -> Price | None:
    """What its training costs, a few steps timed; None: it is there.

    Raises:
        StoppedError: somebody asked to stop.
    """
    if (one.folder / "run.json").exists():
        return None
    setting, epochs = one.setting, one.setting.recipe.train.epochs
    steps = epochs * setting.bench.feed.steps_per_epoch
    seconds, busy = pace_of(setting, 0.0, speed_of(setting)).seconds(setting.recipe, steps, 1)
    return Price(1, epochs, steps, seconds, busy)


# ------------------------------------------------------------------------------------------------------------- report


def reported(one: Tuning, run: Run, sets: Mapping[str, Any]) -> Report:
    """The report of a run that was transferred, written into its folder: its accuracies, in evaluation mode.

    Args:
        one: what was trained.
        run: it.
        sets: of the nets' own recipes, as tables.
    """
    own = {**sets, "data": {"name": one.target.name}}
    subject = Opener(one.target.around).open(of_run(run, own))
    head_ = _head(one, subject)
    if run.manifest.status == "diverged":
        row = without("transfer", "nan", "its training on the target diverged")
        return written(run.folder, replace(head_, metrics=(row,)))
    protocol = {"trained": "all weights under the mask", "batchnorm": "stored"}
    found = Measurement(_values(one, subject), protocol)
    return written(run.folder, measured(head_, "transfer", BETTER, found))


def _values(one: Tuning, subject: Subject) -> dict[str, Value]:
    model, poll = subject.setting.bench.model.eval(), subject.setting.poll
    answers = {name: answers_of(model, images, poll) for name, images in subject.images.items()}
    found = {"transfer": _accuracy(answers["test"])}
    found |= {f"transfer.{name}": _accuracy(each) for name, each in answers.items() if name != "test"}
    name = head(model)
    assert name is not None
    layer = [value for key, value in model.named_parameters() if key in (name, f"{name[:-6]}bias")]
    weights = dict(model.named_parameters())[name].numel()
    pruned = one.mask.size - one.mask.kept
    total = one.mask.size + (0 if name in one.mask.keep else weights)
    found["transfer-head.parameters"] = Value(float(sum(part.numel() for part in layer)), None, 1)
    found["transfer-head.sparsity"] = Value(pruned / total, None, total)
    return found


def _accuracy(answers: Answers) -> Value:
    return Value.mean(answers.logits.argmax(axis=1) == answers.labels)


def _head(one: Tuning, subject: Subject) -> Report:
    setting = subject.setting
    recipe = {
        "metrics": ["transfer"],
        "transfer": {"train": "all", "keep": one.keep},
        "own": own_images(subject.images),
        "code": code(setting.recipe.model.name, ()),
        "source": one.described(),
        "target": one.target.record(setting),
    }
    return head_of("transfer", subject.said, setting, one.target.seeds, recipe)
