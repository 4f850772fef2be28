"""Which draw a recipe asks for, however the runs are spelled that it reads. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.ticket import MANIFEST, open_ticket
from ticketctl.errors import ArtifactError
from ticketctl.recipe import Recipe, fingerprint
from ticketctl.stages.intent import check_intent, read_intent
from ticketctl.stages.places import RECORDED, by_content


def draw_folder(recipe: Recipe, seed: int, above: Path) -> Path:
    """`<method>-<hash>/seed-<n>` below `above`; in the hash a forgetting record is the id of its run.

    Folders of older versions have it as it was typed: one that was begun with this very draw is found, and kept.

    Args:
        recipe: of the draw; its records are folders, or ids of runs (`stages.places.with_ids`).
        seed: of the draw.
        above: the folder of all draws of this net on these data.
    """
    assert recipe.draw is not None
    wanted = _by_ids(recipe.changed())
    own = above / f"{recipe.draw.method}-{fingerprint(wanted)}" / f"seed-{seed}"
    if not _records(wanted) or own.exists():
        return own
    known = sorted(above.glob(f"{recipe.draw.method}-{'[0-9a-f]' * 8}/seed-{seed}"))
    return next((folder for folder in known if _is_of(folder, wanted)), own)


def check_asked(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on in `folder` with another draw than it was begun with.

    Args:
        folder: of the draw.
        found: what it was asked for, as its intent has it: records as they were typed then.
        wanted: what is asked for now.

    Raises:
        MismatchError: names the first keys that differ.
        ArtifactError: a ticket there, or a run that is named, is damaged.
    """
    check_intent(
        folder,
        {**found, "recipe": _as_drawn(folder, found.get("recipe", {}))},
        {**wanted, "recipe": _by_ids(wanted["recipe"])},
    )


def _is_of(folder: Path, wanted: Mapping[str, Any]) -> bool:
    with suppress(ArtifactError, KeyError):  # a damaged folder elsewhere is none of ours
        found = read_intent(folder)
        return found is not None and _as_drawn(folder, found["asked"]["recipe"]) == to_record(wanted)
    return False


def _as_drawn(folder: Path, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """By ids; where there is a ticket, by those that it names: the runs may have been moved since."""
    found = _by_ids(recipe)
    if _records(recipe) and (folder / "ticket" / MANIFEST).exists():
        drawn: Any = open_ticket(folder / "ticket").manifest.draw.recipe["data"]
        for table in _records(found):
            found["data"][table]["record"] = drawn[table]["record"]
    return found


def _by_ids(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {**recipe, **({"data": by_content(recipe["data"])} if _records(recipe) else {})}


def _records(recipe: Mapping[str, Any]) -> list[str]:
    """The tables of `[data]` that name runs."""
    tables = {table: recipe.get("data", {}).get(table) for table in RECORDED}
    return [table for table, said in tables.items() if said and said.get("record")]
