"""What a recipe says: its tables, their keys, and what each means. `ticketctl.recipe_files` reads them from TOML."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from ticketctl.duration import Duration
from ticketctl.errors import UsageError
from ticketctl.store.documents import canonical_json


def _rational(value: Any) -> Fraction:
    if isinstance(value, Fraction):
        return value
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError("write a number, as 0.2 or 1/5") from None


def _text(value: Any) -> Any:
    """0 needs no unit, and no quotes."""
    return "0" if value == 0 and not isinstance(value, bool) else value


Span = Annotated[str, BeforeValidator(_text)]
"""A duration as text, `2ep`, `1000it`, `18%`, or 0."""

Rational = Annotated[Fraction, BeforeValidator(_rational), PlainSerializer(str)]
"""An exact number: the decimal or p/q that was typed."""


class Spec(BaseModel):
    """A table of a recipe: every key is known, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)


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


class DataSpec(Spec):
    """`[data]`."""

    name: str
    """The data set, as in `ticketctl list data`, with its path after a colon where it has one."""
    validation: str = "none"
    """Images held out of training: none, first:N, last:N, random:N; N is a count or a percentage."""
    augment: Literal["auto", "none", "crop-flip"] = "auto"
    """crop-flip: random crop after zero padding, and a horizontal flip; auto: what the data set's literature does."""
    padding: Annotated[int, Field(ge=0, le=64)] = 4
    """Zero pixels added to each side before the random crop."""
    normalise: Literal["data", "none"] = "data"
    """Subtract the data's mean and divide by its deviation, per channel."""
    mean: tuple[float, ...] = ()
    """Other means per channel than the data set's own."""
    std: tuple[float, ...] = ()
    """Other deviations per channel than the data set's own."""
    size: int | None = None
    """Resize images of a folder to this many pixels."""


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
    """CPU threads; they belong to the bits. 0: one per core."""
    deterministic: bool = False
    """On a GPU, allow no kernel whose result may depend on chance: slower, and the same bits in every run."""
    drop_last: bool = False
    """Leave out the last, smaller batch of an epoch."""
    eval_every: Annotated[int, Field(ge=1)] = 1
    """Epochs between evaluations; the first and the last always take place."""

    @field_validator("milestones")
    @classmethod
    def _are_durations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(_duration(text)) for text in value)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> TrainSpec:
        if self.nesterov and (self.momentum == 0 or self.optimizer != "sgd"):
            raise ValueError("nesterov needs sgd with momentum above 0")
        return self

    @field_validator("warmup")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        return str(_duration(value))

    def scaled(self, factor: Fraction) -> TrainSpec:
        """Stretched by `factor`: the length, milestones and warm-up in proportion, at least 1 each."""
        if factor == 1:
            return self
        return self.model_copy(
            update={
                "epochs": _stretched(self.epochs, factor),
                "milestones": tuple(str(_duration(text).scaled(factor)) for text in self.milestones),
                "warmup": str(_duration(self.warmup).scaled(factor)),
            }
        )


class KeepSpec(Spec):
    """`[keep]`."""

    epochs: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Epochs after which the weights are kept beside the final ones."""


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
        return str(_duration(value))

    @field_validator("density")
    @classmethod
    def _in_range(cls, value: Fraction | None) -> Fraction | None:
        if value is not None and not 0 < value <= 1:
            raise ValueError("a density lies in (0, 1]")
        return value


class SpendSpec(Spec):
    """`[spend]`."""

    schedule: Literal["continue", "restart"] | None = None
    """Go on with the schedule from the point the ticket was rewound to, or run all of it; none: as the draw did."""
    dense: bool = True
    """Also train the dense net, the baseline of every comparison; it is trained once and shared."""


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
    sources: dict[str, str] = {}
    """For each key, where its value was read."""
    expected: dict[str, Any] = {}
    """What the paper reports, for comparison."""

    def record(self, *sections: str) -> dict[str, Any]:
        """The recipe as plain data, without its prose; `sections` limits it to some tables."""
        names = set(sections) or {"model", "data", "train", "draw", "spend", "keep", "seeds"}
        return self.model_dump(mode="json", include=names, exclude_none=True)

    def changed(self, *sections: str) -> dict[str, Any]:
        """As `record`, without what stands at its default: a key that is added later changes no old record.

        Controls are left out as well: they are made beside a draw, before or after, and are no part of it.
        """
        names = set(sections) or {"model", "data", "train", "draw", "spend", "keep", "seeds"}
        found = self.model_dump(mode="json", include=names, exclude_defaults=True, exclude_none=True)
        found.get("draw", {}).pop("controls", None)
        return found

    @property
    def fingerprint(self) -> str:
        """Eight hex digits over what differs from the defaults, so that a new key renames no old run."""
        return fingerprint(self.changed())

    def scaled(self, *, epochs: int | None = None, scale: Fraction | None = None) -> Recipe:
        """Stretched to `epochs`, or by `scale`: every phase, milestone and rewind point in proportion, at least 1."""
        factor = Fraction(epochs, self.train.epochs) if epochs else scale or Fraction(1)
        if factor == 1:
            return self
        train = self.train.scaled(factor)
        keep = KeepSpec(epochs=tuple(sorted({_stretched(e, factor) if e else 0 for e in self.keep.epochs})))
        draw = self.draw and self.draw.model_copy(
            update={"rewind": str(_duration(self.draw.rewind).scaled(factor))}
        )
        return self.model_copy(update={"train": train, "keep": keep, "draw": draw})


def _stretched(epochs: int, factor: Fraction) -> int:
    """Rounded as durations are, half up, so that a milestone at the end stays there."""
    return max(1, math.floor(epochs * factor + Fraction(1, 2)))


def fingerprint(record: Mapping[str, Any]) -> str:
    """Eight hex digits that name `record`."""
    return hashlib.sha256(canonical_json(record)).hexdigest()[:8]


def _duration(text: str) -> Duration:
    try:
        return Duration.parse(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
