"""Which draw a recipe asks for, however the runs are spelled that it reads, and whether its data are what they were.

Nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket
from ticketctl.errors import ArtifactError, MismatchError
from ticketctl.recipe import Recipe, fingerprint
from ticketctl.recipe_data import DataSpec
from ticketctl.stages.intent import check_intent, read_intent
from ticketctl.stages.places import RECORDED, by_content

if TYPE_CHECKING:
    from ticketctl.stages.wallet import Job  # which imports this module

SHOWN = 12
"""Hex digits of a fingerprint in a message."""
SHAPING = ("size", "resize", "stream", "form")
"""Keys of `[data]` by which the same files are other images, or go by another fingerprint."""


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


def check_data(folder: Path, drawn: str | None, spec: DataSpec, data_dir: Path | None = None) -> None:
    """Refuse data that were changed in place since a draw began on them; where they are not here, nothing is said.

    Args:
        folder: of the draw.
        drawn: the fingerprint of its data; None: nobody wrote it down.
        spec: the data, as they are named now.
        data_dir: what `--data-dir` says.

    Raises:
        MismatchError: says which data, and what to do.
        UnavailableError: what lies there now cannot be read as data.
    """
    if drawn is None or (data_dir is None and ":" not in spec.name):
        return  # published, and checked against its digest
    # whatever is noisy in what is read, or left out of it
    read = DataSpec(**{key: getattr(spec, key) for key in ("name", "augment", *SHAPING)})
    if _looked(read, data_dir, _mark(spec, data_dir)) in (drawn, None):
        return
    if (here := _fingerprint_of(spec, data_dir)) not in (drawn, None):  # what is refused was looked at now
        raise MismatchError(
            f"{folder}: begun on {_changed(spec, drawn, here)} or draw on these under another name, or with another "
            "--out"
        )


def check_ticket_data(
    ticket: Ticket, spec: DataSpec, data_dir: Path | None = None, *, here: str | None = None
) -> None:
    """Refuse to train a ticket on the data at the very place it was drawn on, where these were changed since.

    Data of another name are somebody's choice, and so are others than the ticket's own.

    Args:
        ticket: the ticket.
        spec: the data that it is to be trained on.
        data_dir: what `--data-dir` says.
        here: the fingerprint of these data; None: they are looked at, if they are here.

    Raises:
        MismatchError, UnavailableError: as `check_data`.
    """
    drawn = ticket.manifest.draw.data.fingerprint
    if (data_dir is None and ":" not in spec.name) or not _is_place_of(ticket, spec):
        return
    here = _fingerprint_of(spec, data_dir) if here is None else here
    if here not in (drawn, None):
        raise MismatchError(
            f"{ticket.folder}: drawn on {_changed(spec, drawn, here)} or spend it on these under another name (--data)"
        )


def drawn_on(jobs: Sequence[Job], spec: DataSpec, data_dir: Path | None = None) -> tuple[Job, ...]:
    """The jobs of a spend, without the draw's own runs where these are of other data that go by the same name.

    What is not here, or published, is taken to be what it is called; data at the very place of the draw's are for
    `check_ticket_data`.

    Args:
        jobs: of the spend.
        spec: the data that they train on.
        data_dir: what `--data-dir` says.

    Raises:
        UnavailableError: what lies there cannot be read as data.
    """
    ticket = next((job.ticket for job in jobs if job.drawn), None)
    if ticket is None or (data_dir is None and ":" not in spec.name) or _is_place_of(ticket, spec):
        return tuple(jobs)
    if _fingerprint_of(spec, data_dir) in (ticket.manifest.draw.data.fingerprint, None):
        return tuple(jobs)
    return tuple(replace(job, drawn=None) for job in jobs)


def _changed(spec: DataSpec, drawn: str, here: str | None) -> str:
    was, now = (str(one).partition(":")[2][:SHOWN] for one in (drawn, here))
    return f"other data than {spec.name} has now (their fingerprint was {was}, is {now}): put those back,"


def _is_place_of(ticket: Ticket, spec: DataSpec) -> bool:
    """Whether these go by the name of those that the ticket was drawn on, read as they were then."""
    draw = ticket.folder.parent
    if draw.parent.name == "controls":  # of these the draw's intent says what they are of
        draw = draw.parents[1]
    asked = (read_intent(draw) or {}).get("asked", {}).get("recipe", {}).get("data", {})
    if asked.get("name") != spec.name:
        return False
    theirs: Any = ticket.manifest.draw.recipe.get("data", {})
    ours: Any = to_record(spec.model_dump(mode="json"))
    cut = "resized-crop"  # of images in their files, whatever `stream` says
    same = all(theirs.get(key) == ours.get(key) for key in SHAPING)
    return same and (theirs.get("augment") == cut) == (ours.get("augment") == cut)


@lru_cache(maxsize=64)
def _looked(spec: DataSpec, data_dir: Path | None, mark: tuple[int, ...]) -> str | None:
    """As `_fingerprint_of`, once in a process while the place has this mark.

    A plan asks for each of its draws, and a folder may have many files: these are looked at once.
    """
    del mark
    return _fingerprint_of(spec, data_dir)


def _mark(spec: DataSpec, data_dir: Path | None) -> tuple[int, ...]:
    """What tells a file from any that lies in its place later, and a folder from others; nothing, if there is none."""
    target = spec.name.partition(":")[2]
    with suppress(OSError):
        found = os.stat(os.path.expanduser(target or data_dir or ""))
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return ()


def _fingerprint_of(spec: DataSpec, data_dir: Path | None) -> str | None:
    """Of the data as they lie here now; None: they do not."""
    # here, for whoever has no data of their own need not wait for them
    from ticketctl.data.load import default_cache, fingerprint_here
    from ticketctl.stages.streamed import options_of

    return fingerprint_here(
        spec.name, cache=default_cache(), folder=data_dir, options=options_of(spec), form=spec.form
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
