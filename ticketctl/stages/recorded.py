"""What a recorded recipe says of a training: the keys that it read, as a user would write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

ASIDE = {"seeds", "keep", "metrics"}
"""Tables that say nothing of one seed's result: seeds stand apart, what is kept and measured changes nothing."""
SILENT = re.compile(
    r"spend\.(?!(schedule|start|optimizer)$)|draw\.(rounds|density|keep|controls)$|train\.(threads|deterministic)$|.*\.record$"
)
"""Keys that change no course of training, or only how far a draw goes."""
USUALLY = {"spend.start": "ticket", "spend.optimizer": "fresh"}
"""What a run says or, if it is older than the key, does not."""
STEPPED = ("train.milestones", "train.gamma")
"""What the schedule `step` alone reads (train/schedule.py)."""
PRECISE = ("train.precision", "train.eval_every")
"""Of a draw, not told apart: `auto` in the one is settled in the other."""
BEGINNING = ("0", "0ep", None)
"""Rewind points at step 0."""
_TICKET = re.compile(r"tk1[a-z2-7]{29}")

Settings = Mapping[str, str]
"""Keys of a recipe, as `train.lr`, with their values as text."""


def settings_of(recipe: Mapping[str, Any], *, dense: bool) -> Settings:
    """The keys of a resolved recipe that a result depends on; of a dense net, none of the draw.

    Args:
        recipe: as a manifest records it.
        dense: whether the draw played no part.
    """
    flat = dict(_flat({key: value for key, value in recipe.items() if key not in ASIDE}, ""))
    flat = {key.replace("draw.params.", "draw.", 1): value for key, value in flat.items()}
    flat = {key: value for key, value in flat.items() if read_by(key, flat)}
    schedule = flat.pop("spend.schedule", None) or flat.get("draw.schedule")
    if dense:
        return {
            key: value
            for key, value in flat.items()
            if not key.startswith(("draw.", "spend.")) and not SILENT.match(key)
        }
    kept = {key: value for key, value in flat.items() if not SILENT.match(key) and USUALLY.get(key) != value}
    if flat.get("draw.rewind") in BEGINNING:  # from the beginning both are the whole schedule
        kept.pop("draw.schedule", None)
    elif schedule:
        kept["draw.schedule"] = schedule
    return kept


def read_by(key: str, settings: Settings) -> bool:
    """Whether a training under these settings reads the key: a noise of kind none, say, has no rate."""
    if key in STEPPED:
        return settings.get("train.schedule") == "step"
    if key == "draw.schedule":
        return settings.get("draw.rewind") not in BEGINNING
    if key.startswith("data.noise."):
        return settings.get("data.noise.kind") != "none"
    return not (key.startswith("data.subset.") and same(settings.get("data.subset.fraction", ""), "1"))


def worn(key: str, tweaks: Sequence[str]) -> bool:
    """Whether a key is none of a tweak, or of one that the run has."""
    return not key.startswith("tweaks.") or key.split(".")[1] in tweaks


def searched(settings: Settings, recipe: Mapping[str, Any] | None) -> dict[str, str]:
    """`search.train.batch` and the like: in what the training that found the mask differed from the one compared."""
    if recipe is None:
        return {"search": "unknown"}
    theirs = settings_of(recipe, dense=True)
    return {
        f"search.{key}": value
        for key, value in theirs.items()
        if key.startswith("train.")
        and key not in PRECISE
        and key in settings
        and not same(settings[key], value)
    }


def same(one: str, other: str) -> bool:
    """Whether two values are one: 0.1 and 1/10 are."""
    if one == other:
        return True
    try:
        return max(len(one), len(other)) <= 40 and _number(one) == _number(other)
    except (ValueError, ZeroDivisionError, OverflowError):
        return False


def shown(value: str) -> str:
    """A value as users write it: lists without their signs, 1/5 as 0.2."""
    if re.fullmatch(r"\d{1,6}/[1-9]\d{0,5}", value):
        decimal = f"{float(Fraction(value)):.6g}"
        return decimal if Fraction(decimal) == Fraction(value) else value
    return re.sub(r'[\[\]" ]', "", value) if value.startswith("[") else value


def _number(text: str) -> Fraction:
    return Fraction(text) if "/" in text else Fraction(str(float(text)))


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _flat(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, str):
        yield key, "a ticket" if _TICKET.fullmatch(value) else value
    elif value is not None:
        yield key, json.dumps(value)
