"""JSON Schemas of the formats: of a manifest, of what a safetensors header says, of the attributes of a zarr group."""

from __future__ import annotations

from typing import Any

from ticketctl.artifacts.ladder import LadderAttributes
from ticketctl.artifacts.masks import MaskHeader
from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.series import SeriesAttributes
from ticketctl.artifacts.trajectory import TrajectoryAttributes
from ticketctl.artifacts.weights import DTYPES
from ticketctl.store.tensors import MAX_DIM, MAX_DIMS, NAME

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each kind."""
    mask = MaskHeader.model_json_schema()
    definitions = mask.pop("$defs")
    names = NAME.pattern.replace("(:bits)?", "")
    parts = {"header": header(["U8"], f"^{names}:bits$"), "metadata": mask}
    made = {
        "ticket": TicketManifest.model_json_schema(),
        "run": RunManifest.model_json_schema(),
        "mask": {**closed(parts), "$defs": definitions},
        "weights": closed(
            {"header": header(list(DTYPES), f"^{names}$"), "metadata": {"const": {"format": "pt"}}}
        ),
        "ladder": LadderAttributes.model_json_schema(),
        "series": SeriesAttributes.model_json_schema(),
        "trajectory": TrajectoryAttributes.model_json_schema(),
    }
    return {
        kind: {"$schema": DRAFT, "$id": f"ticketctl.{kind}.v1", **schema} for kind, schema in made.items()
    }


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object of exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def header(dtypes: list[str], pattern: str) -> dict[str, Any]:
    """A safetensors header without `__metadata__`."""
    size = {"type": "integer", "minimum": 0, "maximum": MAX_DIM}
    offset = {"type": "integer", "minimum": 0}
    entry = {
        "dtype": {"enum": dtypes},
        "shape": {"type": "array", "items": size, "maxItems": MAX_DIMS},
        "data_offsets": {"type": "array", "items": offset, "minItems": 2, "maxItems": 2},
    }
    return {"type": "object", "patternProperties": {pattern: closed(entry)}, "additionalProperties": False}
