"""A word or two on what a ticket or run was given: which labels, which images, which tweaks. Nothing imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any


def data_words(recipe: Mapping[str, Any]) -> dict[str, str]:
    """`noise`, `subset` and `drop` of a recipe in a manifest, each in short; what it does not have is left out."""
    data = _table(recipe, "data")
    found = {"noise": _noise(_table(data, "noise")), "subset": _subset(_table(data, "subset"))}
    found["drop"] = _drop(_table(data, "drop"))
    return {name: text for name, text in found.items() if text}


def data_column(recipe: Mapping[str, Any]) -> str:
    """The same in one cell of a table: `noise symmetric 40 %, subset 1/10`."""
    return ", ".join(f"{name} {text}" for name, text in data_words(recipe).items())


def tweak_words(names: Sequence[str], recipe: Mapping[str, Any]) -> str:
    """Tweaks, each with those of its keys that a recipe in a manifest sets: `ls,sam(rho=0.1)`."""
    return ",".join(f"{name}{_keys(_table(_table(recipe, 'tweaks'), name))}" for name in names)


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tables.get(name)
    return found if isinstance(found, Mapping) else {}


def _noise(noise: Mapping[str, Any]) -> str:
    kind, rate = noise.get("kind", "none"), noise.get("rate")
    if kind == "none":
        return ""
    return str(kind) if rate is None else f"{kind} {float(100 * Fraction(str(rate))):g} %"


def _subset(subset: Mapping[str, Any]) -> str:
    if not subset:
        return ""
    size = f"{subset['count']} a class" if subset.get("count") else _share(subset.get("fraction"))
    pick = subset.get("pick", "random")
    return size if pick == "random" else f"{size} {pick}"


def _drop(drop: Mapping[str, Any]) -> str:
    shares = [(key, drop[key]) for key in ("most_forgotten", "least_forgotten") if drop.get(key) is not None]
    return ", ".join(f"{_share(value)} {key.replace('_', '-')}" for key, value in shares)


def _share(value: Any) -> str:
    share = Fraction(str(value))
    return str(share) if share.denominator <= 100 else f"{float(100 * share):g} %"


def _keys(table: Mapping[str, Any]) -> str:
    said = [f"{key}={value}" for key, value in table.items() if value is not None]
    return f"({' '.join(said)})" if said else ""
