"""`plot`: every figure that artifacts have something for, as pictures, each with a CSV of what is drawn. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from ticketctl import plugins
from ticketctl.errors import ArtifactError, MissingExtraError, UsageError, near_miss
from ticketctl.figures.ink.picture import KINDS, MARK, picture
from ticketctl.figures.rows import short
from ticketctl.figures.sheet import NothingError, Sheet
from ticketctl.figures.shelf import Family, Shelf
from ticketctl.recipe_files import assignments
from ticketctl.stages.labels import unsaid
from ticketctl.stages.looks import dressed, made_of, places_of
from ticketctl.stages.params import checked
from ticketctl.store.files import make_folder, write_atomic

PLUGINS = "figures"
SHEETS = 12
"""Of one figure, where none is named."""
_COMPARED = {"lines", "bars", "radar"}
"""Forms in which families stand beside each other."""


@dataclass(frozen=True)
class Wanted:
    """What is to be drawn."""

    figures: tuple[str, ...]
    """By name, in their order; every one there is where `named` is false."""
    named: bool
    params: Mapping[str, Any]
    """Of each figure its keys."""
    kinds: tuple[str, ...]
    """Kinds of files: svg, pdf, png."""


@dataclass(frozen=True)
class Drawing:
    """The sheets of a shelf, and why other figures have none."""

    sheets: tuple[Sheet, ...]
    without: Mapping[str, str]
    fewer: Mapping[str, int] = field(default_factory=dict)
    """Figures that have more sheets than `SHEETS`, and how many; all are drawn where it is named."""


def wanted(figures: str | None, sets: Sequence[str], kinds: str) -> Wanted:
    """What `--figure`, `--set` and `--format` say.

    Args:
        figures: names with commas, or None for all.
        sets: `figures.NAME.KEY=VALUE`.
        kinds: svg, pdf, png, with commas.

    Raises:
        UsageError: no such figure, key or kind of file, or a value that cannot be; says the near miss.
        MissingExtraError: matplotlib is not here.
    """
    known = plugins.plugins(PLUGINS)
    names = _split(figures) if figures is not None else tuple(known)
    if not names:
        raise UsageError("--figure: name one (ticketctl list figures), or leave it out for all")
    for name in names:
        if name not in known:
            raise UsageError(f"--figure {name!r}: {near_miss(name, known)} (ticketctl list figures)")
    files = _split(kinds)
    odd = next((one for one in files if one not in KINDS), None)
    if odd is not None or not files:
        raise UsageError(f"--format {kinds!r}: {near_miss(odd or '', KINDS)}")
    need_matplotlib("plot")
    keys = _keys(sets, names)
    return Wanted(
        names, figures is not None, {name: _params(name, keys.get(name, {})) for name in names}, files
    )


def need_matplotlib(command: str) -> None:
    """Pictures need the extra `plot`.

    Raises:
        MissingExtraError: it is not installed, or cannot be imported.
    """
    try:
        import_module("matplotlib.figure")
    except ImportError as error:
        why = "" if isinstance(error, ModuleNotFoundError) else f", and it cannot be imported ({error})"
        raise MissingExtraError(f"{command} needs matplotlib{why}: pip install 'ticketctl[plot]'") from None


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.strip().replace("_", "-") for one in text.split(",") if one.strip()))


def _keys(sets: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Keys by figure."""
    typed = assignments(sets)
    odd = next((table for table in typed if table != PLUGINS), None)
    if odd is not None:
        raise UsageError(
            f"--set {odd}…: a figure's keys begin with figures., as figures.accuracy-sparsity.metric"
        )
    tables = typed.get(PLUGINS, {})
    for name, keys in tables.items() if isinstance(tables, Mapping) else ():
        if name not in names:
            hint = near_miss(name, names) if name not in plugins.plugins(PLUGINS) else "it is not drawn"
            raise UsageError(f"--set figures.{name}…: {hint}")
        if not isinstance(keys, Mapping):
            raise UsageError(
                f"--set figures.{name}: write figures.{name}.KEY=VALUE (ticketctl list figures {name})"
            )
    if not isinstance(tables, Mapping):
        raise UsageError("--set figures: write figures.NAME.KEY=VALUE")
    return dict(tables)


def _params(name: str, keys: Mapping[str, Any]) -> Any:
    if keys and (wrong := plugins.odd_key(PLUGINS, name, keys)):  # it reads the module's source
        raise UsageError(wrong)
    return checked(plugins.load(PLUGINS, name).Params, keys, f"figures.{name}")


def draw(shelf: Shelf, asked: Wanted, poll: Callable[[], object] = lambda: None) -> Drawing:
    """The sheets of the figures that were asked for.

    Raises:
        UsageError: a figure that was named has nothing to show; says what makes it.
        ArtifactError: it has nothing to show beside what is damaged; so has every figure, where none was named.
    """
    sheets: list[Sheet] = []
    places = places_of(shelf.families)
    without: dict[str, str] = {}
    fewer: dict[str, int] = {}
    for name in asked.figures:
        poll()
        try:
            made = [
                dressed(_noted(sheet, shelf), places) for sheet in _gathered(name, shelf, asked.params[name])
            ]
        except (NothingError, ArtifactError) as nothing:
            without[name] = str(nothing)
            _refuse_damaged(name, shelf, asked, nothing)
        else:
            if len(made) > SHEETS and not asked.named:
                fewer[name] = len(made)
            sheets += apart(made)[: SHEETS if name in fewer else None]
    if asked.named and without:
        name, why = next(iter(without.items()))
        raise UsageError(f"--figure {name}: {why}")
    if not sheets and shelf.damaged:
        raise shelf.damaged[0]
    return Drawing(tuple(sheets), without, fewer)


def _refuse_damaged(name: str, shelf: Shelf, asked: Wanted, nothing: NothingError | ArtifactError) -> None:
    """Put a fault that left a figure without data where faults are told; refuse a figure that was named."""
    before = len(shelf.damaged)
    if isinstance(nothing, ArtifactError):
        shelf.damaged.append(nothing)
    elif shelf.damaged:  # what it reads was read before it: it is asked once more which files these are
        with suppress(NothingError):
            list(_gathered(name, replace(shelf, reads={}), asked.params[name]))
    met = shelf.damaged[before:]
    if asked.named and met:
        raise ArtifactError(
            met[0].code, f"--figure {name}: nothing to draw but what is damaged: {met[0].said}"
        )


def _gathered(name: str, shelf: Shelf, params: Any) -> Iterator[Sheet]:
    yield from plugins.load(PLUGINS, name).gather(shelf, params=params)


def _noted(sheet: Sheet, shelf: Shelf) -> Sheet:
    """With what the labels of families leave out, where several stand beside each other."""
    several = sheet.form in _COMPARED and len(sheet.values("series")) > 1
    return replace(sheet, notes=(*sheet.notes, *unsaid(_beside(sheet, shelf)))) if several else sheet


def _beside(sheet: Sheet, shelf: Shelf) -> Sequence[Family]:
    """The families that a sheet names; where it calls them by other words, those whose runs it is made of, or all."""
    words = {*sheet.values("series"), *(sheet.values("panel") if "panel" in sheet.columns else ())}
    named = [family for family in shelf.families if {short(family), family.label} & words]
    return named or made_of(sheet, shelf.families)


def apart(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets of a figure, no two of one name: of names that are cut to one, the later have a number."""
    found: dict[str, Sheet] = {}
    for sheet in sheets:
        free = next(one for one in _called(sheet) if one.name not in found)
        found[free.name] = free
    return [*found.values()]


def _called(sheet: Sheet) -> Iterator[Sheet]:
    """The sheet, and the same by other names, each made when it is asked for: its rows are checked anew."""
    yield sheet
    yield from (replace(sheet, part=f"{sheet.part}-{at}".strip("-")) for at in count(2))


def write(
    sheets: Sequence[Sheet], folder: Path, kinds: Sequence[str], poll: Callable[[], object] = lambda: None
) -> Iterator[tuple[Sheet, list[Path]]]:
    """Write each sheet as pictures and as CSV, one after the other; earlier ones of ours are replaced.

    Args:
        sheets: whose names differ.
        folder: made if need be.
        kinds: of pictures.
        poll: called before each sheet; raises where somebody asked to stop.

    Raises:
        UsageError: something other than a folder lies there, or a file of another's under one of these names.
        ResourceError: the disk is full, or nobody may write there.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: this is no folder")
    _refuse_foreign(sheets, folder, kinds)
    make_folder(folder)
    for sheet in sheets:
        poll()
        files = {f"{sheet.name}.{kind}": picture(sheet, kind) for kind in kinds}
        files[f"{sheet.name}.csv"] = sheet.csv().encode("utf-8")
        for name, data in files.items():
            write_atomic(folder / name, data)
        yield sheet, [folder / name for name in files]


def _refuse_foreign(sheets: Sequence[Sheet], folder: Path, kinds: Sequence[str]) -> None:
    """Whatever lies there that we did not make stays."""
    for sheet in sheets:
        ours = [kind for kind in KINDS if _is_ours(folder / f"{sheet.name}.{kind}")]
        for kind in [*kinds, "csv"]:
            path = folder / f"{sheet.name}.{kind}"
            if path.exists() and kind not in ours and not (kind == "csv" and ours):
                raise UsageError(f"{path} is there, and no figure of ours; give another --out")


def _is_ours(path: Path) -> bool:
    """Whether it is a picture that says that it was made here."""
    return path.is_file() and MARK.encode() in path.read_bytes()
