"""What a sweep's places are called: a value on each axis. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ticketctl.figures.swept import DENSE, DEPTHS, METHOD
from ticketctl.stages.agenda import Place, Use
from ticketctl.stages.data_names import data_names
from ticketctl.stages.grid_spec import NET
from ticketctl.stages.jobs import Plan

NONE = "none"
"""What stands where nothing is said."""
DATA = "data"
"""The axis whose values may be paths."""


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
