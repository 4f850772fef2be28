"""What the recipe of a probe, a transfer or an interpolation says: `[probe]`, `[transfer]`, `[interpolate]`, `[onset]`,
and the keys of each metric, `[metrics.linear-probe]`, or curve, `[curves.line]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import metrics_of, odd_key, plugins, wrong_command
from ticketctl.recipe import TrainSpec
from ticketctl.recipe_base import Command, Measuring, Spec, fault, others, shown


class ProbeSpec(Spec):
    """`[probe]`."""

    metrics: tuple[str, ...] = ()
    """What is measured, as in `ticketctl list metrics`; none: all of a probe's but those that want to be asked for."""
    images: Annotated[int, Field(ge=2)] | None = None
    """Of each set at most so many images, drawn by the seed; none: all."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """Of runs the weights that their training kept after this epoch (`keep.epochs`); none: those of its end."""


class TransferSpec(Spec):
    """`[transfer]`."""

    images: Annotated[int, Field(ge=2)] | None = None
    """With a frozen net: of each set of the target at most so many images, drawn by the seed; none: all."""
    of: Literal["untrained", "trained"] = "untrained"
    """Which net of a ticket's level is meant: the one that it starts from, or the one that the draw trained."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """Of runs the weights that their training kept after this epoch (`keep.epochs`); none: those of its end."""
    train: Literal["head", "all"] = "head"
    """What is trained on the target: a new head on frozen features, or all weights under the mask, and a new head."""
    keep: Literal["mask+init", "mask"] = "mask+init"
    """Where all is trained, what is taken of the net: mask and weights, or its mask over a new initialisation."""
    statistics: Literal["target", "source"] = "target"
    """By whose mean and deviation the target's images are normalised."""

    @model_validator(mode="after")
    def _fits(self) -> TransferSpec:
        if self.train == "head" and self.keep == "mask":
            raise ValueError("keep = mask is for train = all; a frozen net is taken with its weights")
        if self.train == "all" and self.images is not None:
            raise ValueError("images is for train = head; with all weights, all images are trained on")
        return self


class InterpolateSpec(Spec):
    """`[interpolate]`."""

    curves: tuple[str, ...] = ("line",)
    """What is measured, as in `ticketctl list curves`."""
    of: Literal["trained", "untrained"] = "trained"
    """Which net of a ticket's level is meant: the one that the draw trained, or the one that it starts from."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """Of runs the weights that their training kept after this epoch (`keep.epochs`); none: those of its end."""
    align: Literal["none", "weights", "activations"] = "none"
    """Permute the units of each further net to match the first before anything is measured (Git Re-Basin)."""
    align_images: Annotated[int, Field(ge=2)] = 1000
    """Training images by which activations are compared."""


class OnsetSpec(Spec):
    """`[onset]`: the first epoch of pretraining from which twins end linearly connected (paper 003, section C.3)."""

    inits: Annotated[int, Field(ge=1, le=100)] = 3
    """Initialisations, each with an onset of its own."""
    twins: Annotated[int, Field(ge=2, le=100)] = 3
    """Copies that are trained from the same state under other SGD noise."""
    threshold: Annotated[float, Field(gt=0)] = 2.0
    """Percent points of error: a mean barrier over all pairs of twins below this is stable."""
    scan: bool = False
    """Evaluate every epoch instead of searching by bisection."""


class ProbeRecipe(Measuring):
    """The whole recipe of a probe, resolved."""

    TABLE: ClassVar[Command] = "probe"
    probe: ProbeSpec = ProbeSpec()
    metrics: dict[str, dict[str, Any]] = {}
    """Keys of single metrics, in a table for each."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """As `[probe]` says; of a net after an epoch, none that is of the whole training unless it was named."""
        every = metrics_of("probe")
        if self.probe.epoch is not None:
            every = tuple(name for name in every if not _of_history(name))
        return tuple(sorted(set(self.probe.metrics or every)))


class TransferRecipe(Measuring):
    """The whole recipe of a transfer, resolved."""

    TABLE: ClassVar[Command] = "transfer"
    transfer: TransferSpec = TransferSpec()
    train: dict[str, Any] = {}
    """With transfer.train = all: keys of `[train]` that are other than in the net's own recipe."""
    metrics: dict[str, dict[str, Any]] = {}
    """Keys of the head that is trained on a frozen net: `[metrics.transfer]`."""

    @field_validator("train")
    @classmethod
    def _are_of_train(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            TrainSpec.model_validate({"epochs": 1, **value})
        except ValidationError as error:
            raise ValueError(fault(error, TrainSpec)) from None
        return value

    @model_validator(mode="after")
    def _one_training(self) -> TransferRecipe:
        if self.transfer.train == "head" and self.train:
            raise ValueError("[train] is for transfer.train = all; a head has metrics.transfer")
        if self.transfer.train == "all" and self.metrics:
            raise ValueError(
                "metrics.transfer is of a head on a frozen net; transfer.train = all has [train]"
            )
        return self

    @property
    def chosen(self) -> tuple[str, ...]:
        """All there are."""
        return metrics_of("transfer")


class InterpolateRecipe(Measuring):
    """The whole recipe of an interpolation, resolved."""

    TABLE: ClassVar[Command] = "interpolate"
    PLUGINS: ClassVar[str] = "curves"
    interpolate: InterpolateSpec = InterpolateSpec()
    onset: OnsetSpec | None = None
    """Given, the onset of stability is searched for, and `interpolate.curves` is not measured."""
    curves: dict[str, dict[str, Any]] = {}
    """Keys of single curves, in a table for each."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """As `[interpolate]` says."""
        return tuple(sorted(set(self.interpolate.curves)))


RECIPES: dict[str, type[Measuring]] = {
    kind.TABLE: kind for kind in (ProbeRecipe, TransferRecipe, InterpolateRecipe)
}


def parse_explore(command: str, tables: Mapping[str, Any], *, where: str) -> Measuring:
    """Check merged tables and make the recipe of a probe, transfer or interpolation.

    Raises:
        UsageError: an unknown table, plug-in or key (with the near miss), or a value of the wrong kind, with its place.
    """
    kind = RECIPES[command]
    other = next((name for name in RECIPES if name != command and name in tables), None)
    if other is not None:
        raise UsageError(f"{where}: it has [{other}], and is for ticketctl {other}")
    if "train" in tables and (command != "transfer" or {"data", "draw", "model"} & tables.keys()):
        raise UsageError(f"{where}: trains, and {command} has no [train]; its recipes begin with {command}/")
    table = tables.get(kind.PLUGINS)
    if isinstance(table, Mapping):
        odd = next((key for key, value in table.items() if not isinstance(value, Mapping)), None)
        if odd is not None:
            raise UsageError(
                f"{where}: {kind.PLUGINS}.{odd}: write {kind.PLUGINS}.NAME.KEY, not {shown(table[odd])}"
            )
    try:
        found = kind.model_validate(tables)
    except ValidationError as error:
        raise UsageError(f"{where}: {fault(error, kind)}{others(error)}") from None
    wrong = _wrong(found)
    if wrong:
        raise UsageError(f"{where}: {wrong}")
    return found


def _wrong(recipe: Measuring) -> str:
    """What no type says, or ""."""
    kind, noun = recipe.PLUGINS, recipe.PLUGINS.removesuffix("s")
    known = plugins(kind)
    if not recipe.chosen:
        return f"{recipe.TABLE}.{kind}: names no {noun}; leave it out for the default"
    for name in (*recipe.chosen, *recipe.tables):
        if name not in known:
            return _elsewhere(kind, name) or f"no {noun} named {name!r}; {near_miss(name, _own(recipe))}"
        if kind == "metrics" and (wrong := wrong_command(name, recipe.TABLE)):
            return wrong
    if recipe.epoch is not None and (wrong := _without_epoch(recipe)):
        return wrong
    for name, table in recipe.tables.items():
        if wrong := odd_key(kind, name, table):
            return wrong
        if name not in recipe.chosen:
            return f"{kind}.{name}.{next(iter(table), 'KEY')}: {name} is not measured"
    return ""


def _without_epoch(recipe: Measuring) -> str:
    """What is asked of the weights after an epoch that is not of one net, or ""."""
    if isinstance(recipe, InterpolateRecipe) and recipe.onset is not None:
        return "interpolate.epoch: an onset trains its own nets; leave it out"
    name = next((name for name in recipe.chosen if recipe.PLUGINS == "metrics" and _of_history(name)), None)
    return f"{recipe.TABLE}.epoch: {name} is of a whole training, not of one epoch" if name else ""


def _of_history(metric: str) -> bool:
    """Whether it is measured of what a run kept along its training."""
    found = plugins("metrics").get(metric)
    return found is not None and "history" in found.literals.get("NEEDS", ())


def _own(recipe: Measuring) -> list[str]:
    """The plug-ins that the command can measure."""
    kind = recipe.PLUGINS
    return [name for name in plugins(kind) if kind == "curves" or not wrong_command(name, recipe.TABLE)]


def _elsewhere(kind: str, name: str) -> str:
    """Where `name` belongs that is no plug-in of this kind, or ""."""
    if kind == "metrics" and name in plugins("curves"):
        return f"{name} is measured by another command: ticketctl interpolate --metrics {name}"
    return wrong_command(name, "interpolate") if kind == "curves" else ""
