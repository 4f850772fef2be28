"""What stands in the file of a grid: docs/how-to/run-many.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from ticketctl.artifacts.models import CONTROL_KINDS
from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe_base import Spec, fault

AXES = ("model", "data", "method", "recipe", "density", "sparsity", "level", "tweaks", "spend")
"""Axes that are no recipe keys."""
DEPTHS = ("density", "sparsity", "level")
"""Of these a grid has one at most."""
NET, CONTROL = "net", "control"
"""Labels of what stands beside a combination: its dense net, and its controls."""
TWEAKED = "spend.tweaks: name them on the axis tweaks"
"""Where a combination's tweaks are said."""
OF_DRAW = "is the draw's, and the ticket is drawn already; give it an axis of its own"
"""What a key is that no spend of a plan can have."""

Scalar = str | bool | int | Decimal
WALKED = 1_000_000
"""Combinations that are looked at one by one."""
SEEDS = 1000
"""That a part of `seeds` has at most, as of `--seed`."""


class GridSpec(Spec):
    """A whole file: every combination of the values on its axes, less what is excluded, for every seed."""

    title: str = ""
    """One line, for `status` and the page."""
    seeds: str = "0"
    """As `--seed` takes them: 0-4, or 42,1099."""
    axes: dict[str, tuple[Scalar, ...]]
    """Values by axis: `model`, `data`, `method`, `recipe` (of the draw), `density`, `sparsity` or `level`, `tweaks`,
    `spend` (recipes of spends, or KEY=VALUE), or any recipe key. Later axes change faster."""
    sets: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Recipe keys that are the same everywhere."""
    dense: bool = True
    """Whether the dense net is trained beside every ticket, under the same spend."""
    controls: tuple[str, ...] = ()
    """Kinds of controls that are spent like the ticket."""
    audits: tuple[str, ...] = ()
    """Recipes of audits, of every run."""
    exclude: tuple[dict[str, Scalar], ...] = ()
    """Combinations that are left out: those that have all these values."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """A single seed, or a list of them, is as good as its text."""
        if isinstance(value, list):
            return ",".join(map(str, value))
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, value: str) -> str:
        """Here, so that the key of the file is named, and not `--seed`."""
        seeds_in(value)
        return value

    @field_validator("axes", mode="before")
    @classmethod
    def _as_lists(cls, value: Any) -> Any:
        """A single value is an axis of one."""
        if not isinstance(value, Mapping):
            return value
        return {name: own if isinstance(own, list | tuple) else [own] for name, own in value.items()}

    @model_validator(mode="after")
    def _hangs_together(self) -> GridSpec:
        _check_axes(self.axes)
        if "spend.tweaks" in (*self.sets, *self.axes):
            raise ValueError(TWEAKED)
        if twice := next((name for name in self.sets if name in self.axes), None):
            raise ValueError(f"{twice}: stands in axes and in sets; keep one of them")
        for kind in self.controls:
            if kind not in CONTROL_KINDS:
                raise ValueError(f"controls: no control {kind!r}; {near_miss(kind, CONTROL_KINDS)}")
        _check_exclude(self)
        return self


def seeds_in(text: str) -> list[int]:
    """The seeds of `0`, `0-2` or `42,1099`, each once.

    Raises:
        ValueError: anything else, or a part of more than `SEEDS`.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,15})(?:-(\d{1,15}))?\s*", part)
        if not ends or not 0 <= int(ends[2] or ends[1]) - int(ends[1]) < SEEDS:
            raise ValueError(f"write 0, 0-2 or 42,1099 ({SEEDS} seeds at most)")
        found |= dict.fromkeys(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return list(found)


def _check_axes(axes: Mapping[str, Sequence[Scalar]]) -> None:
    for name, values in axes.items():
        if name not in AXES and "." not in name:
            near = near_miss(name, AXES)
            raise ValueError(f"axes: no axis {name!r}; {near} (or a recipe key, as train.lr)")
        if not values:
            raise ValueError(f"axes.{name}: no value; write at least one")
        if len({str(value) for value in values}) < len(values):
            raise ValueError(f"axes.{name}: a value stands there twice")
    depths = [name for name in DEPTHS if name in axes]
    if len(depths) > 1:
        raise ValueError(f"axes: {' and '.join(depths)} say one thing; keep one of them")
    beside = [name for name in ("model", "data") if name in axes]
    if "recipe" in axes and beside:
        raise ValueError(f"axes: recipe stands in place of {' and '.join(beside)}; keep one of them")


def _check_exclude(grid: GridSpec) -> None:
    """Every table of it has to leave something out, and something has to be left."""
    for gone in grid.exclude:
        odd = next((name for name in gone if name not in grid.axes), None)
        if odd is not None:
            raise ValueError(f"exclude: {odd!r} is no axis here; {near_miss(odd, grid.axes)}")
        for name, value in gone.items():
            known = [plain(one) for one in grid.axes[name]]
            if plain(value) not in known:
                near = near_miss(plain(value), known)
                raise ValueError(f"exclude: {name} {plain(value)} leaves nothing out; {near}")
    if prod(map(len, grid.axes.values())) <= WALKED and next(combinations(grid, grid.axes), None) is None:
        raise ValueError("the grid is empty: [[exclude]] leaves every combination out")


def combinations(grid: GridSpec, axes: Mapping[str, Sequence[Scalar]]) -> Iterator[dict[str, str]]:
    """What each combination has on each axis, in their order; without those that are excluded.

    Args:
        grid: says what is excluded.
        axes: its own, or some of their values.
    """
    exclude = [{name: plain(value) for name, value in gone.items()} for gone in grid.exclude]
    for values in product(*([plain(one) for one in own] for own in axes.values())):
        labels = dict(zip(axes, values, strict=True))
        if not any(gone.items() <= labels.items() for gone in exclude):
            yield labels


def plain(value: Scalar) -> str:
    """As it is written in labels."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def grid_in(text: str, name: str) -> GridSpec:
    """The grid of a file.

    Args:
        text: TOML.
        name: of the file, for messages.

    Raises:
        UsageError: not TOML, or no grid; says where.
    """
    try:
        return GridSpec.model_validate(tomllib.loads(text, parse_float=Decimal))
    except ValidationError as error:
        raise UsageError(f"{name}: {fault(error, GridSpec)}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not a readable grid: {error}") from None


def is_grid(path: Path) -> bool:
    """Whether a TOML file has axes, and so is a grid; one with rows is a table.

    Raises:
        UsageError: it cannot be read, is no TOML, or says nothing.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    if "axes" not in found and "row" not in found:
        raise UsageError(f"{path}: [axes] (a grid) or [[row]] (a table) is wanted")
    return "axes" in found
