"""Import somebody else's mask: read it, put it to a net of ours, and write a ticket that everything here can spend."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.manifest import write_provenance
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket, write_ticket
from ticketctl.dialects.tree import Found, Tensor
from ticketctl.errors import UnavailableError, UsageError, near_miss
from ticketctl.masks.ladder import rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.nets.naming import schemes
from ticketctl.recipe import DrawSpec, Recipe, fingerprint
from ticketctl.stages import lineage
from ticketctl.stages.bound import mask_in, nested, weights_in
from ticketctl.stages.finished import WORK
from ticketctl.stages.foreign_files import Foreign, gathered, sources, trees
from ticketctl.stages.import_target import Target, target_before_data, target_of
from ticketctl.stages.recognised import recognised
from ticketctl.stages.records import level_record, paths_of
from ticketctl.stages.request import Choice, Typed, draw_recipe, subject
from ticketctl.stages.sessions import Sessions
from ticketctl.stages.setting import Setting, Surroundings, prepare, seeds_of
from ticketctl.store.files import make_folder
from ticketctl.store.locks import locked
from ticketctl.train.bench import poll
from ticketctl.train.state import State

METHOD = "import"
_PLAIN = "random"
"""A draw without a training of its own: its recipe is the net's base."""
_SEED = re.compile(r"seed:(\d{1,15})")


@dataclass(frozen=True)
class Asked:
    """What was typed of the file, and the recipe that the ticket will be spent by."""

    path: Path
    recipe: Recipe
    dialect: str | None = None
    init: str | None = None
    """A file of weights, or `seed:N`; None: the weights that came with the mask."""
    names: str | None = None
    """How its parameters are named: a scheme of `ticketctl.nets.naming`."""

    @property
    def seed(self) -> int:
        """That names the start, if it is drawn here, and the split of the data."""
        found = _SEED.fullmatch(self.init or "")
        return int(found[1]) if found else 0

    @property
    def init_file(self) -> Path | None:
        """The file of weights that was named."""
        return Path(self.init) if self.init and not _SEED.fullmatch(self.init) else None


@dataclass(frozen=True)
class Import:
    """A foreign mask, put to a net of ours; not yet written."""

    levels: tuple[Mask, ...]
    """Level 0, dense, and those of the files."""
    start: State | None
    """None: new weights, which are drawn when it is written."""
    role: str
    dialect: str
    exact: bool
    notes: tuple[str, ...]
    setting: Setting | None
    """None: the data were not needed so far."""
    sources: tuple[Mapping[str, Any], ...]
    """Digests and sizes of what was read: of the masks' files, and of that of the weights."""


def import_recipe(typed: Typed) -> Choice:
    """The recipe that an imported ticket carries: that of a draw of its net on its data, with no method of ours.

    Raises:
        UsageError: no net or data set was named; a key or value that cannot be; no base recipe.
    """
    if not typed.recipe and (typed.model is None or typed.data is None):
        lacking = "--model" if typed.model is None else "--data"
        raise UsageError(
            f"{lacking}: a mask says neither its net nor its data; name both (ticketctl list models, data)"
        )
    choice = draw_recipe(replace(typed, method=_PLAIN))
    assert choice.recipe.draw is not None
    draw = DrawSpec(method=METHOD, prunable=choice.recipe.draw.prunable)
    notes = tuple(note for note in choice.notes if not note.startswith(f"recipe draw/{_PLAIN}"))
    return Choice(choice.recipe.model_copy(update={"draw": draw}), notes)


def import_folder(asked: Asked, workspace: Path) -> Path:
    """`<workspace>/<model>-<data>/import-<hash>/seed-<n>`; the hash covers recipe, options and the files' content.

    Raises:
        UsageError, ArtifactError: no such file, or not to be read.
    """
    files = sources(_files(asked))
    init = sources(Foreign((asked.init_file,))) if asked.init_file else asked.init
    record = {
        "recipe": asked.recipe.changed(),
        "files": files,
        "init": init,
        "dialect": asked.dialect,
        "names": asked.names,
    }
    return workspace / subject(asked.recipe) / f"{METHOD}-{fingerprint(record)}" / f"seed-{asked.seed}"


def _files(asked: Asked) -> Foreign:
    if asked.names is not None and asked.names not in schemes():
        raise UsageError(f"--names {asked.names}: no such way of naming; {near_miss(asked.names, schemes())}")
    if asked.init_file is not None and not asked.init_file.is_file():
        raise UsageError(f"--init {asked.init}: no such file; name a file of weights, or seed:N for new ones")
    return gathered(asked.path, asked.dialect)


def read_import(asked: Asked, around: Surroundings) -> Import:
    """Read the files, and put masks and weights to the recipe's net; data are loaded only where they alone tell it.

    Raises:
        ArtifactError: a file holds code, is damaged, in no known dialect, or of another net.
        UsageError: it may be of several dialects, levels that are not nested, no weights to start from.
        UnavailableError, StoppedError: the data cannot be had; somebody asked to stop.
    """
    foreign = _files(asked)
    dialect, read, said = _read(foreign, asked, around)
    first, files = read[0], _labels([path.name for path in foreign.masks])
    if not asked.init and not foreign.weights and not first.weights:
        raise UsageError(
            f"{asked.path}: holds a mask and no weights to start from; name a file of them with --init FILE, or have "
            "new ones of this net with --init seed:N"
        )
    path = asked.init_file or (None if asked.init else foreign.weights)
    beside = _weights(path) if path else (first, None)
    target, setting = target_before_data(asked.recipe), None
    if target is None:
        setting = prepare(asked.recipe, seeds_of(asked.recipe, asked.seed), around)
        target = target_of(setting)
    bound = [mask_in(found, target, asked.names, file) for found, file in zip(read, files, strict=True)]
    levels = nested([mask for mask, _ in bound], files)
    start, role, told = _start(asked, path, first, beside[0], target)
    notes = [
        *(note for found in read for note in found.notes),
        *(note for _, each in bound for note in each),
        *told,
    ]
    exact = all(found.exact for found in read)
    all_said = (*said, *([beside[1]] if beside[1] else []))
    return Import(tuple(levels), start, role, dialect, exact, tuple(dict.fromkeys(notes)), setting, all_said)


def _read(
    foreign: Foreign, asked: Asked, around: Surroundings
) -> tuple[str, list[Found], list[Mapping[str, Any]]]:
    """The dialect of all files, what was found in each, and what each is; weights of the first alone are kept."""
    names: list[str] = []
    found: list[Found] = []
    said: list[Mapping[str, Any]] = []
    for tree, what in trees(foreign.masks):
        poll(around.stop)
        name, one = recognised(tree, asked.dialect or foreign.dialect)
        names.append(name)
        shapes = {key: Tensor(value.dtype, value.shape, b"") for key, value in one.weights.items()}
        found.append(replace(one, weights=shapes) if found else one)
        said.append(what)
    if len({*names}) > 1:
        raise UsageError(f"{asked.path}: files of several dialects: {', '.join(sorted({*names}))}")
    return names[0], found, said


def _labels(files: list[str]) -> list[str]:
    """Names for messages: with their places where they are the same."""
    return (
        files if len({*files}) == len(files) else [f"{name} of level {at}" for at, name in enumerate(files)]
    )


def _start(
    asked: Asked, path: Path | None, first: Found, given: Found, target: Target
) -> tuple[State | None, str, list[str]]:
    """The weights that training starts from, what they are, and what is to be told."""
    if asked.init and path is None:
        return None, "init", []
    state, notes = weights_in(given, target, asked.names, (path or asked.path).name)
    if path is not None:
        role = "rewind" if "rewind" in path.name else "init"
    else:
        role = first.weights_are if first.weights_are in ("init", "rewind") else "trained"
    if role == "init":
        return state, role, [*notes]
    fresh = f"starts from {role} weights: the dense net of a spend starts from new ones, of seed {asked.seed}"
    return state, role, [*notes, fresh]


def _weights(path: Path) -> tuple[Found, Mapping[str, Any]]:
    """Those of a plain file, or of one with masks beside them, and what the file is."""
    tree, said = next(trees((path,)))
    plain = tree.tensors()
    if not any("mask" in name or name.endswith(("_orig", ".bitmask")) for name in plain):
        return Found({}, plain, ordered=tree.ordered), said
    return recognised(tree)[1], said


def write_import(made: Import, asked: Asked, folder: Path, around: Surroundings) -> Ticket:
    """Write the ticket into `folder/ticket`; one that lies there is returned as it is.

    Raises:
        UnavailableError: the data cannot be had, whose content a ticket names.
        LockedError, ResourceError: as their names say.
    """
    setting = made.setting or _prepared(asked, around)
    with locked(folder):
        if _lies(folder):
            return _settled(open_ticket(folder / "ticket"), folder)
        make_folder(folder / "ticket")
        masks = made.levels
        write_provenance(folder / "ticket", Sessions(folder / WORK, around).record(setting))
        levels = [
            level_record(number, mask, paths_of(mask, setting), {}) for number, mask in enumerate(masks)
        ]
        ticket = write_ticket(
            folder / "ticket",
            arch=setting.arch,
            keep=masks[-1].to_arrays(),
            init=(made.start or setting.initial).tensors(),
            ladder=Ladder(rounds_of_death(masks), len(masks) - 1, (), (), ()),
            level=len(masks) - 1,
            init_role=made.role,
            excluded=setting.excluded,
            scope="unknown",
            draw=_draw_record(levels, made, setting, asked.seed),
            ext={"ticketctl.import": _import_record(made, asked)},
        )
        return _settled(ticket, folder)


def _prepared(asked: Asked, around: Surroundings) -> Setting:
    """The setting with its data: every ticket has their fingerprint and counts, which only their content tells."""
    try:
        return prepare(asked.recipe, seeds_of(asked.recipe, asked.seed), around)
    except UnavailableError as error:
        fits = f"{asked.path.name} fits {asked.recipe.model.name}; what lacks is the data, whose content a ticket names"
        raise type(error)(f"{fits}: {error}") from None


def _settled(ticket: Ticket, folder: Path) -> Ticket:
    """What comes after the ticket, and what a kill may have left undone."""
    lineage.drew(ticket)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return ticket


def _import_record(made: Import, asked: Asked) -> dict[str, Any]:
    return {
        "dialect": made.dialect,
        "exact": made.exact,
        "notes": list(made.notes),
        "files": list(made.sources),
        "init": "file" if asked.init_file else asked.init or "as it came",
    }


def imported(folder: Path) -> Ticket | None:
    """The ticket of an import that is done, to its last file."""
    return open_ticket(folder / "ticket") if _lies(folder) and not (folder / WORK).exists() else None


def _lies(folder: Path) -> bool:
    return (folder / "ticket" / MANIFEST).is_file()


def _draw_record(levels: list[dict[str, Any]], made: Import, setting: Setting, seed: int) -> dict[str, Any]:
    assert setting.recipe.draw is not None
    return {
        "method": METHOD,
        "rounds": len(levels) - 1,
        "params": {"dialect": made.dialect, "rewind": "0", "prunable": setting.recipe.draw.prunable},
        "recipe": setting.public_recipe,
        "parents": [],
        "data": setting.data_record,
        "seeds": {"root": seed, **setting.seeds.override},
        "levels": levels,
        "cost": {"steps": 0, "images": 0, "epochs": "0"},
    }
