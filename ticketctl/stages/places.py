"""Where the runs and labels lie that a recipe names, and which they are wherever they lie. Nothing here imports torch.

A forgetting record is a place on one machine while it is typed; an artifact names it by its id. A spend of a ticket
drawn by such a record needs neither: the ticket has the list of its images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.run import MANIFEST, open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.artifacts.workspace import run_place
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import places, streams_of
from ticketctl.recipe_files import merge
from ticketctl.seeds import Seeds
from ticketctl.stages.intent import read_intent
from ticketctl.stages.several import refuse_draw
from ticketctl.store.expand import expanded
from ticketctl.store.files import read_bytes, sha256

RECORDED = ("drop", "subset")
"""Tables of `[data]` whose `record` names runs."""

INDEX = "subset.index"
"""The tensor of a ticket's record that has the images it was drawn on."""


def run_at(name: str, key: str, workspace: Path) -> Path:
    """The folder of the run that `name` means: a folder, a name below the workspace, or the beginning of an id.

    Raises:
        UsageError: none, or several; names the recipe's `key`.
    """
    try:
        folder = run_place(name, workspace)
    except UsageError as error:
        raise UsageError(f"{key}: {error}") from None
    if folder is not None:
        return folder
    if name.startswith("rn1"):
        raise UsageError(
            f"{key}: no run {name} below {workspace}; if it lies elsewhere, say where: --set {key}=FOLDER"
        )
    refuse_draw(name, key, _folders(name, workspace))
    raise UsageError(f"{key}: {name}: there is no run; name its folder, one with {MANIFEST}, or its id")


def _folders(name: str, workspace: Path) -> tuple[Path, Path]:
    return expanded(name), workspace / name


def with_runs(recipe: Recipe, workspace: Path) -> Recipe:
    """The recipe with the folders of its forgetting records in the place of whatever names them.

    Raises:
        UsageError: as `run_at`.
    """
    return _renamed(recipe, lambda name, key: str(run_at(name, key, workspace)))


def with_ids(recipe: Recipe, workspace: Path) -> Recipe:
    """The recipe with whole ids in the place of their beginnings and of names in the workspace, as far as found."""

    def whole(name: str, key: str) -> str:
        if not (expanded(name) / MANIFEST).is_file():
            with suppress(UsageError):
                return open_run(run_at(name, key, workspace)).manifest.run_id
        return name

    return _renamed(recipe, whole)


def _renamed(recipe: Recipe, rename: Any) -> Recipe:
    changed = {}
    for table in RECORDED:
        spec = getattr(recipe.data, table)
        if spec is not None and spec.record:
            names = tuple(rename(name, f"data.{table}.record") for name in spec.record)
            changed[table] = spec.model_copy(update={"record": names})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)}) if changed else recipe


def by_content(value: Any, key: str = "") -> Any:
    """A recipe in which runs are named by their ids, however their places are written."""
    if isinstance(value, Mapping):
        return {name: by_content(child, name) for name, child in value.items()}
    if key not in ("record", "teacher"):
        return value
    if isinstance(value, list | tuple):
        return [by_content(child, key) for child in value]
    with suppress(UsageError):  # a user's whom this machine does not know
        place = expanded(str(value))
        if place.is_file():
            return sha256(read_bytes(place, limit=1 << 36))
        if (place / MANIFEST).is_file():
            return open_run(place).manifest.run_id
    return value


def drawn_tables(ticket: Ticket) -> dict[str, Any]:
    """The draw's recipe, with the places that the draw read, of data or labels, if they are known here.

    A forgetting record keeps its place as long as that very run lies there, else its id. A control's data are its
    ticket's.
    """
    tables: Mapping[str, Any] = ticket.manifest.draw.recipe
    asked = (read_intent(_holder(ticket).folder.parent) or {}).get("asked", {}).get("recipe", {})
    known = places(asked.get("data", {}))
    for table in RECORDED:
        if table in known:
            ids = tables["data"][table]["record"]
            known[table] = {"record": _still_there(known[table]["record"], ids)}
    return merge(tables, {"data": known})


def _still_there(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    if len(names) != len(ids):
        return list(ids)
    return [name if _is(name, wanted) else wanted for name, wanted in zip(names, ids, strict=True)]


def _is(name: str, wanted: str) -> bool:
    with suppress(ArtifactError, UsageError):
        folder = expanded(name)
        return (folder / MANIFEST).is_file() and open_run(folder).manifest.run_id == wanted
    return False


def kept_images(
    ticket: Ticket, recipe: Recipe, seeds: Seeds, train: NDArray[np.int64], fingerprint: str, labels: str
) -> tuple[NDArray[np.int64], dict[str, Any]] | None:
    """The images that a ticket was drawn on by forgetting records, if this recipe picks the same.

    Args:
        ticket: the ticket, or a control beside it.
        recipe: settled, of the spend.
        seeds: of the spend.
        train: int64 [N], the places of the images that are not held out.
        fingerprint: of the data set.
        labels: digest of the labels of a file, or "".

    Returns:
        int64 [n], ascending, as the ticket's record has them, and the ids of the runs by their table; None without such
        records, or where other images may be picked here than the draw picked.

    Raises:
        ArtifactError: the ticket's record is damaged.
    """
    drawn, ids = ticket.manifest.draw, _ids_in(ticket)
    theirs = Seeds(int(drawn.seeds["root"]), {name: n for name, n in drawn.seeds.items() if name != "root"})
    same = fingerprint == drawn.data.fingerprint and _picks(recipe, labels) == _picked(drawn.recipe)
    same = same and all(seeds.of(name) == theirs.of(name) for name in ("split", *streams_of(recipe.data)))
    if not ids or not same:
        return None
    found = (_holder(ticket).record() or {}).get(INDEX)
    if found is None:  # all of them, where the list says nothing else
        return (train, ids) if len(train) == drawn.data.train else None
    index: NDArray[np.int64] = np.array(found.array(), dtype=np.int64)
    return (index, ids) if np.isin(index, train).all() else None


def _ids_in(ticket: Ticket) -> dict[str, Any]:
    """The ids of the runs that the ticket's images were picked by."""
    data: Any = ticket.manifest.draw.recipe["data"]
    return {table: data[table]["record"] for table in RECORDED if (data.get(table) or {}).get("record")}


def _picks(recipe: Recipe, labels: str) -> dict[str, Any]:
    """What of `[data]` says which images are trained on: labels too, for a subset takes as many of every class."""
    data: Any = by_content(to_record(recipe.record("data")))["data"]
    if labels:
        data["noise"]["path"] = labels
    return _picked({"data": data})


def _picked(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {key: recipe["data"].get(key) for key in ("validation", "noise", *RECORDED)}


def _holder(ticket: Ticket) -> Ticket:
    """The ticket itself, or the one that it is a control of, if that lies where it was drawn."""
    control = ticket.manifest.control
    above = ticket.folder.resolve().parents[2:3]
    if control is None or not above or not (above[0] / "ticket" / "ticket.json").is_file():
        return ticket
    found = open_ticket(above[0] / "ticket")
    return found if found.manifest.ticket_id == control.of else ticket
