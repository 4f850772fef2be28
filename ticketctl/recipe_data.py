"""`[data]` of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ticketctl.recipe_base import Spec


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
