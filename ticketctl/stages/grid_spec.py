"""What stands in the file of a grid: docs/how-to/run-many.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from ticketctl.artifacts.models import CONTROL_KINDS
from ticketctl.errors import UsageError, near_miss
from ticketctl.recipe_base import Spec, fault
from ticketctl.stages.grid_axes import Scalar, check_axes, check_key, check_said_once, plain, unknown_recipe

NET, CONTROL = "net", "control"
"""Labels of what stands beside a combination: its dense net, and its controls."""
TWEAKED = "spend.tweaks: name them on the axis tweaks"
"""Where a combination's tweaks are said."""
OF_DRAW = "is the draw's, and the ticket is drawn already; give it an axis of its own"
"""What a key is that no spend of a plan can have."""

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
    dense: Annotated[bool, Field(strict=True)] = True
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
        """A single seed, or a list of them, is as good as its text; whatever else there is, is no text of seeds."""
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

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
        check_axes(self.axes)
        if "spend.tweaks" in (*self.sets, *self.axes):
            raise ValueError(TWEAKED)
        check_said_once(self.axes, self.sets)
        for name in self.axes:
            if "." in name:
                check_key("axes", name)
        for name in self.sets:
            check_key("sets", name)
        for name in self.audits:
            if why := unknown_recipe(name, ("audit/",)):
                raise ValueError(f"audits: {why}")
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


def grid_in(text: str, name: str) -> GridSpec:
    """The grid of a file.

    Args:
        text: TOML.
        name: of the file, for messages.

    Raises:
        UsageError: not TOML, or no grid; says where.
    """
    toml = text.removeprefix("\ufeff")  # with which editors on Windows begin a file
    try:
        return GridSpec.model_validate(tomllib.loads(toml, parse_float=Decimal))
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
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    if "axes" not in found and "row" not in found:
        raise UsageError(f"{path}: [axes] (a grid) or [[row]] (a table) is wanted")
    return "axes" in found


def no_file(path: Path) -> str:
    """What stands where the file of a grid or table is looked for and none is; the nearest that is one, else."""
    if path.is_symlink() or path.exists():
        what = "a folder" if path.is_dir() else "no plain file" if path.exists() else "a link to nothing"
        return f"this is {what}; name a file, such as grid.toml"
    near = [one.name for one in sorted(path.parent.glob("*.toml")) if one.is_file()]
    return "there is no such file" + (f"; {near_miss(path.name, near)}" if near else "")
