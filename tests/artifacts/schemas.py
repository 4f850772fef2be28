"""JSON Schemas of the formats: of a manifest, of what a safetensors header says, of the attributes of a zarr group."""

from __future__ import annotations

from typing import Any

from ticketctl.artifacts.chain import Chain
from ticketctl.artifacts.compact import CompactHeader
from ticketctl.artifacts.ladder import LadderAttributes
from ticketctl.artifacts.masks import MaskHeader
from ticketctl.artifacts.models import RunManifest, TicketManifest
from ticketctl.artifacts.report_models import ReportAttributes
from ticketctl.artifacts.samples import SamplesHeader
from ticketctl.artifacts.series import SeriesAttributes
from ticketctl.artifacts.set_models import SetManifest
from ticketctl.artifacts.trajectory import TrajectoryAttributes
from ticketctl.artifacts.verdict_models import Verdict
from ticketctl.artifacts.weights import DTYPES
from ticketctl.store.tensors import MAX_DIM, MAX_DIMS, NAME

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each kind."""
    mask = MaskHeader.model_json_schema()
    definitions = mask.pop("$defs")
    names = NAME.pattern.replace("(:bits)?", "")
    parts = {"header": header(["U8"], f"^{names}:bits$"), "metadata": mask}
    answers = SamplesHeader.model_json_schema()
    shared = answers.pop("$defs")
    named = {"header": header(["F32", "I64"], "^(index|labels|logits)$"), "metadata": answers}
    smaller = CompactHeader.model_json_schema()
    kinds = smaller.pop("$defs", {})
    inside = {"header": header(list(DTYPES), f"^(net|rows|columns)\\.{names}$"), "metadata": smaller}
    made = {
        "ticket": TicketManifest.model_json_schema(),
        "run": RunManifest.model_json_schema(),
        "mask": {**closed(parts), "$defs": definitions},
        "weights": closed(
            {"header": header(list(DTYPES), f"^{names}$"), "metadata": {"const": {"format": "pt"}}}
        ),
        "samples": {**closed(named), "$defs": shared},
        "compact": {**closed(inside), **({"$defs": kinds} if kinds else {})},
        "report": ReportAttributes.model_json_schema(),
        "verdict": Verdict.model_json_schema(),
        "chain": Chain.model_json_schema(),
        "set": SetManifest.model_json_schema(),
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
