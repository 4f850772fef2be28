"""All draws and spends of a grid, each once. Nothing here imports torch.

A method that prunes in rounds is drawn once for all densities of the grid, to the lowest of them, and each density is
the nearest level; one that prunes once is drawn for each density. Keys of recipes belong to the draw and to what is
spent of it; `spend` recipes, `spend.*` and `tweaks.*` change the spend alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from math import prod
from pathlib import Path

from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.agenda import SPENT, Draw, Place, Use
from ticketctl.stages.cells import is_ladder, ladder_of, level_of
from ticketctl.stages.grid_axes import DEPTHS, density_in, plain
from ticketctl.stages.grid_keys import (
    check_place,
    check_recipe,
    check_tweaked,
    keys_of,
    spending,
    texts_of,
)
from ticketctl.stages.grid_spec import CONTROL, NET, WALKED, GridSpec, combinations
from ticketctl.stages.grid_twins import Twins, twins
from ticketctl.stages.measured import Reading
from ticketctl.stages.only import Only
from ticketctl.stages.plan_faults import Checked, bracketed, check_level, check_named, told
from ticketctl.stages.repeat import settings
from ticketctl.stages.request import Typed, draw_recipe, run_folder
from ticketctl.stages.tweaking import check_tweaks, needs_mask

Labels = Mapping[str, str]
"""What a combination has on each axis, as it was written."""
DRAW_RECIPES = ("base/", "draw/", "papers/")
"""Recipes that are for the axis `recipe`."""
OF_SPEND = ("spend.", "tweaks.")
"""Keys that no draw reads."""
METRIC = "test.accuracy"
MOST = 20_000
"""Combinations by seeds that a grid may ask for."""
WHOLE = {"density": "1", "sparsity": "0", "level": "0"}
"""What a dense net has on such an axis."""


@dataclass(frozen=True)
class Gridded:
    """A grid, planned."""

    workspace: Path
    title: str
    draws: tuple[Draw, ...]
    uses: tuple[Use, ...]
    audits: tuple[tuple[Reading, Use], ...]
    places: tuple[Place, ...]
    seeds: tuple[int, ...]


def plan_grid(
    grid: GridSpec,
    seeds: Sequence[int],
    workspace: Path,
    *,
    only: str = "",
    scale: Fraction | None = None,
    name: str = "",
) -> Gridded:
    """Plan every combination that is not excluded.

    Args:
        grid: the grid.
        seeds: its seeds.
        workspace: where all of it will lie.
        only: `density>=0.1,tweaks=skip`: these combinations alone.
        scale: stretches every training.
        name: of its file, for messages.

    Raises:
        UsageError: combinations that cannot be, all of them named as far as they fit a line; none is left, or more
            than `MOST`.
    """
    asked = _asked(grid, len(seeds), only)
    places = _places(_Planner(grid, workspace, scale, asked), asked, seeds)
    uses = tuple(dict.fromkeys(place.use for place in places))
    if not only:
        check_tweaked(grid, uses)
    if pair := _twin(grid, places, workspace, part=bool(only) or scale is not None):
        axis, one, other = pair
        raise UsageError(
            f"{name and f'{name}: '}axes.{axis}: {other!r} is the same as {one!r} in every combination; "
            "keep one of them"
        )
    readings = [Reading("audit", name) for name in grid.audits]
    audits = tuple((reading, use) for use in uses for reading in readings)
    draws = tuple(_with_controls(uses))
    return Gridded(workspace, grid.title, draws, uses, audits, places, tuple(seeds))


def _places(planner: _Planner, asked: Sequence[Labels], seeds: Sequence[int]) -> tuple[Place, ...]:
    """Of every combination and seed, each once; raises UsageError, with all combinations that cannot be."""
    checked, places, faults = Checked(), dict[object, Place](), dict[str, str]()
    for labels in asked:
        try:
            for place in (place for seed in seeds for place in planner.places(labels, seed)):
                checked.check(place.use)
                said = (*place.labels.items(), place.seed, place.use)
                places.setdefault(said, place)  # dense ones come often
        except UsageError as error:
            faults[bracketed(labels)] = str(error)
    if faults:
        raise UsageError(told(faults, len(asked)))
    return tuple(places.values())


def _asked(grid: GridSpec, seeds: int, only: str) -> list[dict[str, str]]:
    """The combinations that are wanted, which are counted before any is planned."""
    wanted = Only(only, grid.axes)
    axes = {name: [one for one in own if wanted.allows(name, plain(one))] for name, own in grid.axes.items()}
    many = prod(map(len, axes.values()))
    asked = list[dict[str, str]]()
    if many <= WALKED:
        asked = list(combinations(grid, axes))
        many = len(asked)
    if many * seeds > MOST:
        raise UsageError(
            f"{many} combinations by {seeds} seeds are {many * seeds}, and {MOST} at most are planned at once; "
            "take a part with --only, or write fewer values"
        )
    if not asked:
        raise UsageError(
            f"--only {only!r}: no combination of the grid is left" if only else "the grid is empty"
        )
    return asked


def _twin(grid: GridSpec, places: Iterable[Place], workspace: Path, *, part: bool) -> Twins | None:
    """Two values of an axis that change nothing against each other, whatever the others are; None: there are none.

    Args:
        grid: the grid.
        places: that were planned.
        workspace: where all of it will lie.
        part: whether these are some of its combinations, or were stretched: then the whole grid is asked as it stands.
    """
    tickets = {tuple(one.labels.items()): one for one in places if not {NET, CONTROL} & one.labels.keys()}
    found = twins([(one.labels, one.use) for one in tickets.values()], grid.axes)
    return next((pair for pair in found if not part or pair in _everywhere(grid, pair, workspace)), None)


def _everywhere(grid: GridSpec, pair: Twins, workspace: Path) -> list[Twins]:
    """As `twins`, of these two values beside all that stands on the other axes."""
    name, *both = pair
    axes = {**{axis: own for axis, own in grid.axes.items() if axis != name}, name: both}
    asked = list(islice(combinations(grid, axes), MOST))
    planner, tickets = _Planner(grid, workspace, None, asked), list[tuple[Labels, Use]]()
    for labels in asked:
        with suppress(UsageError):  # it is not asked for here
            tickets.append((labels, next(planner.places(labels, 0)).use))
    return twins(tickets, [name])


def _with_controls(uses: Iterable[Use]) -> list[Draw]:
    """Every draw once; with its controls, if some of them are spent."""
    found: dict[Draw, Draw] = {}
    for use in uses:
        if use.control or use.draw not in found:
            found[use.draw] = use.draw
    return list(found.values())


class _Planner:
    """Turns combinations into uses; draws that several need are one."""

    def __init__(
        self, grid: GridSpec, workspace: Path, scale: Fraction | None, asked: Sequence[Labels]
    ) -> None:
        self.grid, self.workspace, self.scale = grid, workspace, scale
        self.resolve = lru_cache(maxsize=None)(self._resolved)
        self.deepest: dict[Typed, Fraction] = {}
        for labels in asked:  # a ladder goes to the lowest density that any combination wants of it
            density, key = _density(labels), self._typed(labels)
            if density is not None and density < self.deepest.get(key, Fraction(2)):
                self.deepest[key] = density

    def places(self, labels: Labels, seed: int) -> Iterator[Place]:
        """The ticket under its spend, its controls, and the dense net."""
        typed = self._typed(labels)
        tweaks, own = spending(labels)
        self._check_own(labels, own)
        draw, level = self._draw(typed, labels, seed)
        sets = self._sets(draw, typed, keys_of(tweaks, (*self._own(labels), *own)))
        use = Use(draw, "", sets, level, tweaks)
        if level == 0 and (masked := [name for name in tweaks if needs_mask(name)]):
            raise UsageError(f"{masked[0]} means nothing for the dense net")
        yield Place(labels, seed, use, METRIC)
        for kind in self.grid.controls if level != 0 else ():
            yield Place({**labels, CONTROL: kind}, seed, replace(use, control=kind), METRIC)
        if self.grid.dense and level != 0:
            bare = tuple(name for name in tweaks if not needs_mask(name))
            rest = tuple(name for name in tweaks if name not in bare)
            kept = tuple(
                text for text in sets if not text.startswith(tuple(f"tweaks.{name}." for name in rest))
            )
            dense = {**labels, **{name: WHOLE[name] for name in DEPTHS if name in labels}, NET: "dense"}
            yield Place(dense, seed, Use(draw, "", kept, 0, bare), METRIC)

    def _typed(self, labels: Labels) -> Typed:
        """What `ticketctl draw` would be told."""
        keys = {**self.grid.sets, **{name: value for name, value in labels.items() if "." in name}}
        drawn = {key: value for key, value in keys.items() if not key.startswith(OF_SPEND)}
        return Typed(
            model=labels.get("model"), data=labels.get("data"), method=labels.get("method"),
            recipe=labels.get("recipe"), sets=texts_of(drawn),
        )  # fmt: skip

    def _own(self, labels: Labels) -> tuple[str, ...]:
        """Keys of the grid that are the spend's alone."""
        keys = {**self.grid.sets, **{name: value for name, value in labels.items() if "." in name}}
        return texts_of({key: value for key, value in keys.items() if key.startswith(OF_SPEND)})

    def _check_own(self, labels: Labels, own: Sequence[str]) -> None:
        """Refuse keys of the spend alone that the axis `spend` says besides the grid: its would be read by nobody."""
        said = {text.partition("=")[0].strip() for text in own}
        for name in (*labels, *self.grid.sets):
            if name in said and name.startswith(OF_SPEND):
                where = "axes" if name in labels else "sets"
                raise UsageError(
                    f"spend {labels['spend']!r}: {name} stands in {where}, too; keep one of them"
                )

    def _resolved(self, typed: Typed) -> Recipe:
        if typed.recipe is not None:
            check_recipe(typed.recipe, DRAW_RECIPES)
        recipe = draw_recipe(typed).recipe.scaled(scale=self.scale)
        check_place(recipe.data.name)
        if self.grid.controls and recipe.draw is not None:
            recipe = recipe.model_copy(update={"draw": recipe.draw.model_copy(update={"controls": True})})
        check_tweaks(recipe)
        return recipe

    def _draw(self, typed: Typed, labels: Labels, seed: int) -> tuple[Draw, int | None]:
        """The draw, and which of its levels is meant; None: the deepest."""
        recipe, density = self.resolve(typed), _density(labels)
        if density is not None:
            aim = self.deepest[typed] if is_ladder(recipe) or density == 1 else density  # 1: any draw has it
            recipe = self.resolve(replace(typed, density=aim)) if aim < 1 else recipe
        level = _level(recipe, labels, density)
        name = typed.recipe or f"{recipe.draw.method if recipe.draw else 'dense'}"
        return Draw(run_folder(recipe, seed, None, self.workspace), seed, name, recipe), level

    def _sets(self, draw: Draw, typed: Typed, own: Sequence[str]) -> tuple[str, ...]:
        """`KEY=VALUE` by which the spend differs from the draw."""
        if not own:
            return ()
        axes = {"model.name": typed.model, "data.name": typed.data}  # they say it, whatever a recipe does
        named = [text for text in own if axes.get(text.partition("=")[0]) is None]
        check_named(draw.recipe, named)  # before a base is looked for of another net
        typed = replace(typed, sets=(*typed.sets, *own))
        if draw.recipe.draw and draw.recipe.draw.density is not None:
            typed = replace(typed, density=draw.recipe.draw.density)
        wanted = self.resolve(typed)
        return tuple(settings(draw.recipe.record(*SPENT), wanted.record(*SPENT)))


def _density(labels: Labels) -> Fraction | None:
    """Kept share of the prunable weights; None where the grid says none, or a level."""
    name = next((name for name in DEPTHS if name in labels and name != "level"), None)
    return None if name is None else density_in(name, labels[name])


def _level(recipe: Recipe, labels: Labels, density: Fraction | None) -> int | None:
    """Raises UsageError where there is no such level."""
    if density == 1:
        return 0
    method = recipe.draw.method if recipe.draw else "dense"
    if density is not None and is_ladder(recipe):
        found = level_of(recipe, 100 * (1 - density))
        if found is None:
            raise UsageError(f"{method}: no level lies near a density of {float(density):g}")
        return found
    if "level" not in labels:
        return None
    text = labels["level"]
    if text in ("0", "deepest"):
        return 0 if text == "0" else None
    if not is_ladder(recipe):
        raise UsageError(f"level {text}: {method} prunes once; name densities")
    if not text.isdecimal():
        last = len(ladder_of(recipe)) - 1
        raise UsageError(f"level {text}: {method} has levels 0 to {last}, or write deepest")
    check_level(recipe, int(text))
    return int(text)
