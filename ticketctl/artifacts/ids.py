"""Ids and digests over what a manifest says (formats/*/v1/spec.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticketctl.artifacts.records import Part, record_digest, short_id


def ticket_id(arch: Part | Mapping[str, Any], init: str, mask: str) -> str:
    """`tk1...`, the identity of a ticket: its net, the digest of its start, the digest of its mask."""
    return short_id("tk1", "ticket", {"arch": _plain(arch), "init": init, "mask": mask})


def run_id(
    *,
    ticket: str,
    level: int,
    arch: Part | Mapping[str, Any],
    weights: str,
    seeds: Mapping[str, int],
    recipe: Any,
) -> str:
    """`rn1...`, the identity of a trained net."""
    core = {"ticket": ticket, "level": level, "arch": _plain(arch), "weights": weights}
    return short_id("rn1", "run", {**core, "seeds": dict(seeds), "recipe": recipe})


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """`sha256:` over the canonical recipe, a record."""
    return record_digest("recipe", dict(recipe))


def shapes_digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`sha256:` over names and shapes of a state_dict, the `param_shapes` of an arch."""
    return record_digest("shapes", {name: list(shape) for name, shape in shapes.items()})


def _plain(arch: Part | Mapping[str, Any]) -> dict[str, Any]:
    return arch.model_dump(mode="json") if isinstance(arch, Part) else dict(arch)
