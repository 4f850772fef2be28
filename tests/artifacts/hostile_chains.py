"""Chains for the corpus: sound ones, and each way in which a history can be no history."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.artifacts import samples
from ticketctl.artifacts.chain import SEAL, Chain, Link, Made, chain_bytes
from ticketctl.artifacts.records import record_digest, seal
from ticketctl.store.documents import canonical_json

DRAWN, TRAINED = "tk1" + "a" * 29, "rn1" + "b" * 29
Edit = Callable[[dict[str, Any]], Any]


def link(step: str, kind: Any, name: str, inputs: list[Link], parents: tuple[str, ...] = ()) -> Link:
    """A link with made-up digests."""
    fields = {
        "step": step,
        "tool": "ticketctl 0.1.0",
        "made": Made(
            kind=kind, id=name, digest="sha256:" + f"{samples.words(1, step)[0]:016x}" * 4
        ).model_dump(),
        "recipe_digest": None if kind == "verdict" else "sha256:" + "5" * 64,
        "parents": list(parents),
        "inputs": sorted(one.id for one in inputs),
    }
    return Link.model_validate({**fields, "id": record_digest("link", fields)}, strict=False)


def draw_to_verdict() -> list[Link]:
    """A draw, two trainings, their audits, a verdict."""
    drawn = link("draw", "ticket", DRAWN, [])
    runs = [link("train", "run", f"rn1{sign * 29}", [drawn], (DRAWN,)) for sign in "bc"]
    audits = [link("audit", "report", f"rp1{run.made.id[3:]}", [run], (run.made.id,)) for run in runs]
    names = tuple(sorted(one.made.id for one in audits))
    return [drawn, *runs, *audits, link("judge", "verdict", "vd1" + "d" * 29, audits, names)]


def sound() -> list[Link]:
    """A draw and a training."""
    drawn = link("draw", "ticket", DRAWN, [])
    return [drawn, link("train", "run", TRAINED, [drawn], (DRAWN,))]


def golden() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of sound chains."""
    yield "draw", chain_bytes(sound()[:1])
    yield "train", chain_bytes(sound())
    yield "judge", chain_bytes(draw_to_verdict())
    newer = {**json.loads(chain_bytes(sound())), "format_version": "1.7", "later": "ignored"}
    yield "newer-minor", canonical_json(seal(newer, SEAL))


def chain_truth(chain: Chain) -> dict[str, Any]:
    """What it says, step by step."""
    return {"steps": [[one.step, one.made.kind, one.made.id, len(one.inputs)] for one in chain.links]}


def chain_cases() -> Iterator[tuple[str, bytes, str, str]]:
    """Name, bytes, code and why."""
    for name, code, why, edit in _EDITS:
        document = json.loads(chain_bytes(draw_to_verdict()))
        edit(document)
        yield name, canonical_json(seal(document, SEAL)), code, why
    data = chain_bytes(sound())
    yield "seal", data.replace(b"draw", b"drew"), "E_MANIFEST", "a step was renamed, and nothing sealed again"
    yield "spaces", data + b" ", "E_MANIFEST", "not canonical JSON"


def _renamed(document: dict[str, Any]) -> None:
    document["links"][0]["step"] = "import"


def _renamed_and_named(document: dict[str, Any]) -> None:
    first = document["links"][0]
    first["step"] = "import"
    first["id"] = record_digest("link", {key: part for key, part in first.items() if key != "id"})


def _twice(document: dict[str, Any]) -> None:
    document["links"].insert(0, copy.deepcopy(document["links"][0]))


def _swapped(document: dict[str, Any]) -> None:
    document["links"].insert(1, document["links"].pop(2))


_EDITS: list[tuple[str, str, str, Edit]] = [
    ("step", "E_CHAIN", "the first step was renamed; its id is that of what it said before", _renamed),
    ("step-again", "E_CHAIN", "the same with a new id: what followed follows from nothing now", _renamed_and_named),
    ("gone", "E_CHAIN", "the draw was taken out", lambda document: document["links"].pop(0)),
    ("order", "E_CHAIN", "the two trainings have changed places", _swapped),
    ("twice", "E_CHAIN", "the draw stands twice", _twice),
    ("none", "E_MANIFEST", "no links", lambda document: document["links"].clear()),
    ("kind", "E_MANIFEST", "made of no kind", lambda document: document["links"][0]["made"].update(kind="wish")),
    ("more", "E_MANIFEST", "an unknown key", lambda document: document["links"][0].update(host="a")),
    ("feature", "E_FEATURE", "an unknown feature", lambda document: document.update(features=["chain.later"])),
    ("major", "E_VERSION", "another major version", lambda document: document.update(format_version="2.0")),
    ("format", "E_FORMAT", "another format", lambda document: document.update(format="ticketctl.run")),
]  # fmt: skip
