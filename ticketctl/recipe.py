"""What a recipe says: its tables, their keys, and what each means. `ticketctl.recipe_files` reads them from TOML."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ticketctl.duration import Duration
from ticketctl.errors import UsageError, of_percent
from ticketctl.plugins import serving
from ticketctl.recipe_base import Rational, Span, Spec, parsed, stretched
from ticketctl.recipe_data import DataSpec
from ticketctl.store.documents import canonical_json

__all__ = [
    "DataSpec", "DrawSpec", "KeepSpec", "ModelSpec", "Rational", "Recipe", "SeedSpec", "Span", "Spec", "SpendSpec",
    "TrainSpec",
]  # fmt: skip


class ModelSpec(Spec):
    """`[model]`."""

    name: str
    """The net, as in `ticketctl list models`."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    """First layers of ResNet-18/34/50: 3x3 at full size, or 7x7 with stride and pooling."""
    init: str = "kaiming-normal"
    """Initialisation: torch, kaiming-normal, kaiming-normal-fan-out, xavier-normal, openlth."""
    width: Annotated[Rational, Field(gt=0)] = Fraction(1)
    """Factor on the channels of every layer; below 1 it makes a small dense net, the sibling of a ticket."""
    widths: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Channels of the stem and of each stage instead, as many numbers as the net has of them."""
    conv_bias: bool | None = None
    """Biases in the convolutions of nets that have both forms (VGG); none: as the net is usually, for VGG with."""


class TrainSpec(Spec):
    """`[train]`."""

    epochs: Annotated[int, Field(ge=1)]
    """Length of one training."""
    batch: Annotated[int, Field(ge=1)] = 128
    """Images per optimizer step."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD, or Adam with its usual constants."""
    lr: Annotated[float, Field(gt=0)] = 0.1
    """Learning rate at its highest."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """SGD's momentum."""
    nesterov: bool = False
    """Nesterov's form of momentum."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty, coupled with the gradient."""
    decay: Literal["all", "weights"] = "all"
    """What weight decay acts on: all parameters (as the papers), or conv and linear weights alone."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """Course of the learning rate."""
    milestones: tuple[str, ...] = ()
    """Where the step schedule multiplies by gamma, e.g. ["80ep", "120ep"]."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor at each milestone."""
    warmup: Span = "0"
    """Length of the linear warm-up."""
    precision: Literal["auto", "bf16", "f32"] = "auto"
    """Arithmetic of training: bf16 autocast over float32 weights, or float32; auto: bf16 where the hardware has it."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads; they belong to the bits. 0: one per core, or what OMP_NUM_THREADS or a container's quota allows."""
    deterministic: bool = False
    """On a GPU, allow no kernel whose result may depend on chance: slower, and the same bits in every run."""
    drop_last: bool = False
    """Leave out the last, smaller batch of an epoch."""
    eval_every: Annotated[int, Field(ge=1)] = 1
    """Epochs between evaluations; the first and the last always take place."""

    @field_validator("milestones")
    @classmethod
    def _are_durations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(parsed(text)) for text in value)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> TrainSpec:
        if self.nesterov and (self.momentum == 0 or self.optimizer != "sgd"):
            raise ValueError("nesterov needs sgd with momentum above 0")
        return self

    @field_validator("warmup")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        return str(parsed(value))

    def scaled(self, factor: Fraction) -> TrainSpec:
        """Stretched by `factor`: the length, milestones and warm-up in proportion, at least 1 each."""
        if factor == 1:
            return self
        return self.model_copy(
            update={
                "epochs": stretched(self.epochs, factor),
                "milestones": tuple(str(parsed(text).scaled(factor)) for text in self.milestones),
                "warmup": str(parsed(self.warmup).scaled(factor)),
            }
        )


class KeepSpec(Spec):
    """`[keep]`."""

    epochs: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Epochs after which the weights are kept beside the final ones; `--epochs` and `--scale` stretch a recipe's."""
    lambda_max: Annotated[int, Field(ge=1)] | None = None
    """Spends: training batches on which the largest eigenvalue of the Hessian is measured after each epoch."""
    metrics: tuple[str, ...] = ()
    """Spends: what is measured of the net that is trained, along the training, as in `ticketctl list metrics`."""
    every: Annotated[int, Field(ge=1)] = 1
    """Epochs between the measurements of `metrics`; the first, before training, and the last always take place."""

    @field_validator("metrics")
    @classmethod
    def _in_any_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))


class DrawSpec(Spec):
    """`[draw]`; further keys are the method's own (`ticketctl list methods NAME`)."""

    method: str
    """The draw method, as in `ticketctl list methods`."""
    rounds: Annotated[int, Field(ge=0, le=254)] | None = None
    """Pruning rounds; the density follows from the method's rate."""
    density: Rational | None = None
    """Kept share of the prunable weights at the deepest level; wins over rounds."""
    rewind: Span = "0"
    """Where levels start from: 0 (initialisation), 1000it, 2ep, 18%."""
    schedule: Literal["continue", "restart"] = "continue"
    """After a rewind: go on with the schedule from that point, or run all of it again."""
    prunable: str = "default"
    """Which weights may be pruned: default, paper-000 … paper-004, openlth."""
    keep: Literal["all", "masks"] = "all"
    """Keep every level's trained net as a run, or the masks alone."""
    controls: bool = False
    """Also make the control tickets: shuffled, reinit, random-erk, inverted."""
    params: dict[str, Any] = {}
    """Keys that belong to the method."""

    @field_validator("rewind")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        return str(parsed(value))

    def scaled(self, factor: Fraction) -> DrawSpec:
        """Stretched by `factor`: the rewind point, and the method's own keys that are lengths (its `LENGTHS`)."""
        found = serving("draws", self.method)
        own = {}
        for key, usual in (found.literals.get("LENGTHS", {}) if found else {}).items():
            if usual is not None:
                own[key] = _times(self.params.get(key, usual), factor)
            elif key in self.params:
                own[key] = _longer(self.params[key], factor)
        rewind = str(parsed(self.rewind).scaled(factor))
        return self.model_copy(update={"rewind": rewind, "params": {**self.params, **own}})

    @field_validator("density")
    @classmethod
    def _in_range(cls, value: Fraction | None) -> Fraction | None:
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"a density lies in (0, 1]{of_percent(value)}")
        return value


def _longer(value: Any, factor: Fraction) -> Any:
    """Epochs (0 stays) or a duration; what is neither is the method's to refuse."""
    if isinstance(value, int) and not isinstance(value, bool):
        return stretched(value, factor) if value > 0 else value
    with suppress(UsageError):
        return str(Duration.parse(str(value)).scaled(factor))
    return value


def _times(value: Any, factor: Fraction) -> Any:
    """A plain factor; what is none is the method's to refuse."""
    with suppress(ValueError, ZeroDivisionError):
        return str(Fraction(str(value)) * factor)
    return value


class SpendSpec(Spec):
    """`[spend]`."""

    schedule: Literal["continue", "restart"] | None = None
    """Go on with the schedule from the point the ticket was rewound to, or run all of it; none: as the draw did."""
    start: Literal["ticket", "init", "trained"] = "ticket"
    """The weights to begin from: the ticket's own; the initialisation; those that the draw trained at this level."""
    optimizer: Literal["fresh", "kept"] = "fresh"
    """After a rewind: momentum zero, or what the dense net had there."""
    dense: bool = True
    """Also train the dense net, the baseline of every comparison; it is trained once and shared."""
    tweaks: tuple[str, ...] = ()
    """What is changed, as in `ticketctl list tweaks`; at, trt and at+trt stand for several."""
    vanilla: bool = True
    """Beside a tweaked ticket also train it without tweaks, to compare with."""
    attribution: bool = False
    """Of several tweaks also train with each alone; and the dense net with all of a set."""
    small: bool = False
    """Also train a small dense net, of the same depth, that has as many weights as each level keeps."""


Root = Annotated[int, Field(ge=0, lt=2**53)]


class SeedSpec(Spec):
    """`[seeds]`: other roots for single streams than `--seed`."""

    init: Root | None = None
    """Initialisation of the net."""
    order: Root | None = None
    """Order of the training images."""
    augment: Root | None = None
    """Crops and flips."""
    split: Root | None = None
    """Which images are held out."""
    labels: Root | None = None
    """Which labels are wrong, and what they say."""
    subset: Root | None = None
    """Which training images are picked by chance."""
    draw: Root | None = None
    """Random masks."""
    shuffle: Root | None = None
    """Shuffled controls."""


class Recipe(Spec):
    """A whole recipe, resolved."""

    summary: str = ""
    """One line for `ticketctl recipes`."""
    source: str = ""
    """Where its values come from."""
    model: ModelSpec
    data: DataSpec
    train: TrainSpec
    draw: DrawSpec | None = None
    spend: SpendSpec = SpendSpec()
    keep: KeepSpec = KeepSpec()
    seeds: SeedSpec = SeedSpec()
    tweaks: dict[str, dict[str, Any]] = {}
    """Keys of single tweaks, in a table for each: `[tweaks.skip]`."""
    metrics: dict[str, dict[str, Any]] = {}
    """Keys of single metrics among `keep.metrics`, in a table for each: `[metrics.ece]`."""
    sources: dict[str, str] = {}
    """For each key, where its value was read."""
    expected: dict[str, Any] = {}
    """What the paper reports, for comparison."""

    def record(self, *sections: str) -> dict[str, Any]:
        """The recipe as plain data, without its prose; `sections` limits it to some tables: `[metrics]` to `keep`."""
        return self._dumped(sections, defaults=True)

    def changed(self, *sections: str) -> dict[str, Any]:
        """As `record`, without what stands at its default: a key that is added later changes no old record.

        Controls are left out as well: they are made beside a draw, before or after, and are no part of it.
        """
        found = self._dumped(sections, defaults=False)
        found.get("draw", {}).pop("controls", None)
        return found

    def _dumped(self, sections: Collection[str], *, defaults: bool) -> dict[str, Any]:
        """Without tables and keys that nobody reads: what came later than the first records changes none of them."""
        names = set(sections) or {"model", "data", "train", "draw", "spend", "keep", "seeds", "tweaks"}
        names |= {"metrics"} if "keep" in names else set()
        found = self.model_dump(mode="json", include=names, exclude_defaults=not defaults, exclude_none=True)
        asked, kept = self.keep.metrics, found.get("keep", {})
        for key in () if asked else ("metrics", "every"):
            kept.pop(key, None)
        found["metrics"] = {key: own for key, own in found.get("metrics", {}).items() if own and key in asked}
        return {key: own for key, own in found.items() if own or key not in ("keep", "metrics", "tweaks")}

    @property
    def fingerprint(self) -> str:
        """Eight hex digits over what differs from the defaults, so that a new key renames no old run."""
        return fingerprint(self.changed())

    def scaled(self, *, epochs: int | None = None, scale: Fraction | None = None) -> Recipe:
        """Stretched to `epochs`, or by `scale`: every phase, milestone and rewind point in proportion, at least 1."""
        factor = Fraction(epochs, self.train.epochs) if epochs else scale or Fraction(1)
        if factor == 1:
            return self
        kept = tuple(sorted({stretched(e, factor) if e else 0 for e in self.keep.epochs}))
        found = {"train": self.train.scaled(factor), "draw": self.draw and self.draw.scaled(factor)}
        return self.model_copy(update={**found, "keep": self.keep.model_copy(update={"epochs": kept})})


def fingerprint(record: Mapping[str, Any]) -> str:
    """Eight hex digits that name `record`."""
    return hashlib.sha256(canonical_json(record)).hexdigest()[:8]
