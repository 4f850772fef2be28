"""What a sweep's places are called: a value on each axis. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ticketctl.errors import UsageError
from ticketctl.figures.swept import DENSE, DEPTHS, METHOD
from ticketctl.recipe_files import assignments
from ticketctl.stages.agenda import Place, Use
from ticketctl.stages.data_names import data_names
from ticketctl.stages.grid_axes import SETTLES
from ticketctl.stages.grid_keys import spending
from ticketctl.stages.grid_spec import NET
from ticketctl.stages.jobs import Plan
from ticketctl.stages.repeat import settings

NONE = "none"
"""What stands where nothing is said."""
DATA = "data"
"""The axis whose values may be paths."""
SPEND = "spend"
"""The axis whose values are keys themselves."""
SEEDS = "seeds"
"""What every sweep has rows of, and a table of recipes."""
MOVES = {
    "density": ("draw.rate",),
    "sparsity": ("draw.rate",),
    "recipe": ("model.name", "data.name", "draw.method"),
}
"""Keys beside those of `SETTLES` by which such an axis comes to say something else than what is done; `level` has none,
for a level is called so whatever it keeps."""


def is_dense(use: Use) -> bool:
    """Whether nothing of it is pruned."""
    return use.level == 0 and not use.control


def labelled(plan: Plan) -> tuple[tuple[str, ...], list[tuple[Place, dict[str, str]]]]:
    """The axes, and every place with its value on each; a dense net that several combinations share stands there once.

    It was drawn by no method and keeps everything: what these axes say of it is `dense`. On other axes, such as tweaks
    that mean nothing for a dense net, it has `none` where that is among its values, and else all of them.
    """
    axes = tuple(dict.fromkeys(name for place in plan.places for name in place.labels if name != NET))
    if "table" in plan.about:
        return axes, [(place, {axis: place.labels.get(axis, NONE) for axis in axes}) for place in plan.places]
    shared: dict[tuple[Use, int, str], list[Place]] = {}
    for place in plan.places:
        own = place.use if is_dense(place.use) else replace(place.use, sets=(*place.use.sets, _said(place)))
        shared.setdefault((own, place.seed, place.metric), []).append(place)
    found, called = [], data_names(label for place in plan.places if (label := place.labels.get(DATA)))
    for mine in shared.values():
        labels = {axis: _label(axis, mine, is_dense(mine[0].use)) for axis in axes}
        if DATA in labels:
            labels[DATA] = called.get(labels[DATA], labels[DATA])
        found.append((mine[0], labels))
    return axes, found


def _said(place: Place) -> str:
    """Tells places apart that share a training."""
    return repr(sorted(place.labels.items()))


def _label(axis: str, places: Iterable[Place], dense: bool) -> str:
    if dense and (axis == METHOD or axis in DEPTHS):
        return DENSE
    values = list(dict.fromkeys(place.labels.get(axis) or NONE for place in places))
    return values[0] if len(values) == 1 else NONE if NONE in values else "|".join(values)


def axis_of(plan: Plan, sets: Sequence[str]) -> tuple[str, str] | None:
    """The first of these keys that an axis says, and that axis; None: every row is called as before with them.

    Args:
        plan: of a sweep.
        sets: `KEY=VALUE`.

    Raises:
        UsageError: no `KEY=VALUE`.
    """
    axes = _said_by_axes(plan)
    pairs = ((key, other) for key in _keys(sets) for other in axes if _is_within(key, other))
    return next(((key, axes[other]) for key, other in pairs), None)


def _said_by_axes(plan: Plan) -> dict[str, str]:
    """By key the axis that says it."""
    found, spends = dict[str, str](), dict[tuple[str, str], Place]()
    for axis in dict.fromkeys(name for place in plan.places for name in place.labels):
        own = _keys([f"{axis}="]) if "." in axis else (*SETTLES.get(axis, ()), *MOVES.get(axis, ()))
        found |= dict.fromkeys(own, axis)
    for place in plan.places:
        spends.setdefault((place.labels.get(SPEND, ""), place.labels.get("tweaks", "")), place)
    for place in spends.values():
        found |= dict.fromkeys(_keys(_spent(place)), SPEND)
    return {**found, SEEDS: SEEDS}  # last: `seeds.init` may be an axis of its own


def _spent(place: Place) -> Sequence[str]:
    """`KEY=VALUE` of its value on the axis `spend`; all by which it is spent, where a recipe's file is gone by now."""
    try:
        return spending(place.labels)[1]
    except UsageError:
        return place.use.sets


def _keys(sets: Sequence[str]) -> list[str]:
    """However they were written: `draw={rate=0.5}` and `draw.params.rate=0.5` are `draw.rate`."""
    return [text.partition("=")[0] for text in settings({}, assignments(sets))]


def _is_within(one: str, other: str) -> bool:
    """Whether a key is the other, or one of them is a table that has the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
