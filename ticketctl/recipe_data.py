"""`[data]` of a recipe, and its tables on labels and subsets."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ticketctl.errors import of_percent
from ticketctl.recipe_base import Rational, Spec


def _listed(value: Any) -> Any:
    """One name needs no list."""
    return (value,) if isinstance(value, str) else value


Side = Annotated[int, Field(ge=1, le=1024)]
"""Of an image, in pixels; or its channels."""
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One name or several."""


def _as_text(value: Any) -> Any:
    """Classes that are called by numbers need no quotes."""
    return str(value) if type(value) is int else value


ClassName = Annotated[str, BeforeValidator(_as_text)]
"""The name of a class, or its number."""


class NoiseSpec(Spec):
    """`[data.noise]`: other labels than the data set's, for all training images, those held out included."""

    kind: Literal["symmetric", "symmetric-class", "asymmetric", "pair-flip", "file", "none"] = "symmetric"
    """How labels change: drawn of all classes, the same per class, class to class, to the next class, by a file."""
    rate: Rational | None = None
    """Share of the images whose label is drawn anew; of each class, but for symmetric."""
    map: dict[str, ClassName] | None = None
    """asymmetric: the class that each class is taken for; none: the usual one of CIFAR-10, cat for dog and so on."""
    path: str | None = None
    """file: where the labels lie, as .npy, .safetensors, or the .pt of CIFAR-N."""
    key: str | None = None
    """file: the name of the labels in a file that has several, e.g. worse_label."""
    column: Annotated[int, Field(ge=0)] | None = None
    """file: the column of labels that are a table."""

    @field_validator("rate")
    @classmethod
    def _in_range(cls, value: Fraction | None) -> Fraction | None:
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"a rate lies in [0, 1]{of_percent(value)}")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> NoiseSpec:
        file = [name for name in ("path", "key", "column") if getattr(self, name) is not None]
        if self.kind == "none":
            return self
        if self.kind == "file" and self.rate is not None:
            raise ValueError("labels of a file have no rate: the file says all")
        if self.kind != "file" and (file or self.rate is None):
            what = (
                f"{file[0]} belongs to kind file" if file else "say the rate, e.g. --set data.noise.rate=0.4"
            )
            raise ValueError(f"{self.kind}: {what}")
        if self.map and self.kind != "asymmetric":
            raise ValueError(f"{self.kind}: map belongs to kind asymmetric")
        return self


class SubsetSpec(Spec):
    """`[data.subset]`: a part of the training images, the same share or number of every class."""

    fraction: Rational | None = None
    """Share of the images of each class; at least one image."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Images of each class instead."""
    pick: Literal["random", "least-forgotten", "most-forgotten"] = "random"
    """Which: by chance, or those that an earlier training forgot least or most often."""
    record: Names | None = None
    """That training, a run of the same data: its folder, name in the workspace or the beginning of its id. Of several,
    the counts are added."""

    @model_validator(mode="after")
    def _says_one_size(self) -> SubsetSpec:
        if (self.fraction is None) == (self.count is None):
            raise ValueError("say fraction or count, one of them")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: must lie in (0, 1]{of_percent(self.fraction)}, not {self.fraction}")
        if (self.pick == "random") == bool(self.record):
            raise ValueError(
                f"{self.pick} needs a record: --set data.subset.record=RUN"
                if self.pick != "random"
                else "a record belongs to pick least-forgotten or most-forgotten"
            )
        return self


class DropSpec(Spec):
    """`[data.drop]`: training images left out by how often they were forgotten, whatever their class."""

    most_forgotten: Rational | None = None
    """Share of the training images to leave out, those forgotten most often."""
    least_forgotten: Rational | None = None
    """Share to leave out of those forgotten least often instead."""
    record: Names | None = None
    """The training that counted, a run of the same data: its folder, name in the workspace or the beginning of its id.
    Of several, the counts are added."""

    @model_validator(mode="after")
    def _says_one_share(self) -> DropSpec:
        shares = {key: getattr(self, key) for key in ("most_forgotten", "least_forgotten")}
        said = [(key, share) for key, share in shares.items() if share is not None]
        if len(said) != 1:
            raise ValueError("say most_forgotten or least_forgotten, one of them")
        key, share = said[0]
        if not 0 <= share < 1:
            raise ValueError(f"{key}: must lie in [0, 1){of_percent(share)}, not {share}")
        if not self.record:
            raise ValueError("say the record that counted: --set data.drop.record=RUN")
        return self


def _unless_auto(value: Any) -> Any:
    """What is left to the program is not recorded, so that the key changed no recipe when it came."""
    return None if value == "auto" else value


class DataSpec(Spec):
    """`[data]`."""

    name: str
    """The data set, as in `ticketctl list data`, with its path after a colon where it has one."""
    validation: str = "none"
    """Images held out of training: none, first:N, last:N, random:N; N is a count or a percentage."""
    augment: Literal["auto", "none", "crop-flip", "resized-crop"] = "auto"
    """crop-flip: random crop after zero padding, and a horizontal flip; resized-crop: ImageNet's, a random box of the
    image in its file, resized to size, and a flip; auto: what the data set's literature does."""
    padding: Annotated[int, Field(ge=0, le=64)] = 4
    """Zero pixels added to each side before the random crop."""
    crop_scale: tuple[float, float] | None = None
    """resized-crop: share of the image's area that a box has, from, to; none: [0.08, 1]."""
    crop_ratio: tuple[float, float] | None = None
    """resized-crop: width over height of a box, from, to; none: [3/4, 4/3]."""
    normalise: Literal["data", "none"] = "data"
    """Subtract the data's mean and divide by its deviation, per channel."""
    mean: tuple[float, ...] = ()
    """Other means per channel than the data set's own."""
    std: tuple[float, ...] = ()
    """Other deviations per channel than the data set's own."""
    size: int | None = None
    """Resize images of a folder to this many pixels."""
    resize: int | None = None
    """Of these, bring the shorter side to so many pixels before the centre of that size is cut out; none: to size."""
    stream: Annotated[Literal["always", "never"] | None, BeforeValidator(_unless_auto)] = None
    """Whether images of a folder stay in their files and are decoded batch by batch: always, never; none or auto: for
    resized-crop, and where they would take more than 32 GiB decoded."""
    form: tuple[Side, Side, Side] | None = None
    """Channels, height and width that the images are brought to, e.g. [3, 32, 32]; none: as they are."""
    noise: NoiseSpec | None = None
    """Wrong labels, see [data.noise]; none: the data set's own."""
    subset: SubsetSpec | None = None
    """A part of the training images, see [data.subset]; none: all."""
    drop: DropSpec | None = None
    """Training images left out, see [data.drop], before a subset is chosen; none: no image."""

    @field_validator("crop_scale", "crop_ratio")
    @classmethod
    def _is_a_range(
        cls, value: tuple[float, float] | None, info: ValidationInfo
    ) -> tuple[float, float] | None:
        if value is not None and value[0] <= 0:
            raise ValueError(f"must be above 0, not {value[0]:g}")
        if value is not None and value[0] > value[1]:
            raise ValueError(f"must go from the smaller to the larger, not from {value[0]:g} to {value[1]:g}")
        if value is not None and info.field_name == "crop_scale" and value[1] > 1:
            raise ValueError(f"a share of the image is 1 at most, not {value[1]:g}")
        return value

    @model_validator(mode="after")
    def _sizes_fit(self) -> DataSpec:
        if self.resize is not None and (self.size is None or self.resize < self.size):
            raise ValueError(
                f"resize = {self.resize}: needs a size that is no larger (data.size is {self.size})"
            )
        if self.augment == "resized-crop" and self.size is None:
            raise ValueError(
                "augment = resized-crop: say the size that boxes are brought to, --set data.size=224"
            )
        if self.augment == "resized-crop" and self.stream == "never":
            raise ValueError(
                "augment = resized-crop: cuts images as they lie in their files; stream must not be never"
            )
        return self


PLACES = {"noise": "path", "subset": "record", "drop": "record"}
"""Keys that name places of one machine, by their table; artifacts have ids of the content there instead."""


def places(data: Mapping[str, Any]) -> dict[str, Any]:
    """What of a `[data]` table, as plain data, names places of one machine: the same table with nothing else."""
    found = {"name": data["name"]} if "name" in data else {}
    for table, key in PLACES.items():
        value = data.get(table, {}).get(key)
        if value:
            found[table] = {key: value}
    return found


def streams_of(data: DataSpec) -> tuple[str, ...]:
    """The random streams that settle labels and images of a training; none, where it is given the data's own."""
    labels = ("labels",) if data.noise is not None and data.noise.rate is not None else ()
    return (*labels, "subset") if data.subset is not None and data.subset.pick == "random" else labels
