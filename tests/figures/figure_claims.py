"""What every figure owes, whoever wrote it: claims, each of which says of one figure what is wrong with it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

from tests.figures.hostile_words import spoilt, unsafe
from ticketctl.cli.app import COMMANDS
from ticketctl.errors import UsageError
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Shelf
from ticketctl.plugins import describe, keys, load, plugins
from ticketctl.stages.plot import wanted

ROOT = Path(__file__).parents[2]
FROM = {"runs", "tickets", "audits", "probes", "transfers", "interpolations", "verdicts"}
ID = re.compile(r"(rn1|rp1|tk1|vd1)[a-z0-9]{29}")
TELLS_N = re.compile(r"\bn = \d|\bone (pair of nets|net) each\b|\bimages: \d")
MEAN = re.compile(r"\bmean over n = (\d+)(?:-(\d+))?")
WRONG = "[[1]]"
"""A list in a list is no value of any key."""


@dataclass(frozen=True)
class Case:
    """A figure, and a shelf that feeds it."""

    name: str
    example: Callable[[], Shelf] | None
    words: str = ""
    """What it is called in place of its name, where a figure has several."""

    def __str__(self) -> str:
        return self.words or self.name

    @property
    def module(self) -> Any:
        return load("figures", self.name)

    def shelf(self) -> Shelf:
        assert self.example, f"no example of {self.name}: add one to tests/figures/examples.py"
        return self.example()

    def gather(self, shelf: Shelf) -> Iterator[Sheet]:
        return iter(self.module.gather(shelf, params=self.module.Params()))

    @cached_property
    def sheets(self) -> list[Sheet]:
        return [*self.gather(self.shelf())]

    @cached_property
    def by_form(self) -> dict[str, Sheet]:
        """The first sheet of each form."""
        return {one.form: one for one in reversed(self.sheets)}


# -------------------------------------------------------------------------------------------------------------- sheets


def says_what_is_missing(case: Case) -> None:
    """Of an empty shelf, before any sheet: in a line, with a command that is there."""
    said = _missing(case)
    assert said.isprintable(), f"more than a line: {said!r}"
    named = re.findall(r"\bticketctl ([a-z]+)", said)
    assert named, f"names no command: {said!r}"
    assert not {*named} - {*COMMANDS}, f"no such command: {said!r}"
    recipes = [
        one for one in re.findall(r"--recipe ([\w/-]+)", said) if not (ROOT / f"recipes/{one}.toml").is_file()
    ]
    assert not recipes, f"no such recipe: {said!r}"
    metrics = {*re.findall(r"--metrics ([a-z][a-z-]*)", said)} - {*plugins("metrics")}
    assert not metrics, f"no such metric: {said!r}"


def _missing(case: Case) -> str:
    try:
        first = next(case.gather(Shelf(())), None)
    except NothingError as nothing:
        return str(nothing)
    raise AssertionError(f"an empty shelf gives {first.name if first else 'no sheet and no reason'}")


def gives_sheets_with_names(case: Case) -> None:
    names = [one.name for one in case.sheets]
    assert names, "its example gives no sheet"
    assert len({*names}) == len(names), f"two sheets of one name: {names}"
    others = {one.figure for one in case.sheets} - {case.name}
    assert not others, f"a sheet of {others}"


def has_words_around_it(case: Case) -> None:
    """A title that says net and data, names along every axis with numbers, notes, sources."""
    place = {f"{one.net} on {one.data}" for one in (*case.shelf().families, *case.shelf().tickets)}
    for one in case.sheets:
        assert one.title.strip(), "a sheet without a title"
        assert not place or any(words in one.title for words in place), (
            f"{one.title!r} does not say net and data"
        )
        for name, axis in numbered(one).items():
            said = axis and (axis.name.strip() or (name == "y" and all(one.column("panel"))))
            assert said, f"{one.name}: the {name} axis has no name"
        assert one.rows, f"{one.name} is empty"
        assert one.notes, f"{one.name} has no notes"
        assert all(note.strip() == note != "" for note in one.notes), f"{one.name}: a blank in {one.notes}"
        assert one.sources, f"{one.name} has no sources"
        odd = [source for source in one.sources if not ID.fullmatch(source)]
        assert not odd, f"{one.name}: {odd} are no ids"


def numbered(sheet: Sheet) -> dict[str, Axis | None]:
    """The axes along which numbers stand; words tell themselves what they are."""
    if sheet.form in ("contour", "surface"):
        return {"x": sheet.x, "y": sheet.y, "z": sheet.z}
    if sheet.form == "matrix":
        return {"z": sheet.z}
    return {"y": sheet.y} if sheet.form == "bars" else {"x": sheet.x, "y": sheet.y}


def tells_how_many(case: Case) -> None:
    """In the notes: of what each number is; where they are means over n, those of all lines or bars, and no others."""
    for one in case.sheets:
        notes = "\n".join(one.notes)
        assert TELLS_N.search(notes), f"{one.name} tells no n: {one.notes}"
        said = MEAN.search(notes)
        if said and "n" in one.columns:
            told = range(int(said[1]), int(said[2] or said[1]) + 1)
            rows = [row for row in one.where() if isinstance(row["n"], int)]
            points = {
                row["n"]
                for row in rows
                if row.get("role", "line") == "line" and row.get("category", 0) is not None
            }
            known = points | {row["n"] for row in rows}
            assert points <= {*told}, f"{one.name}: n is of {sorted(points)}, not as in {said[0]!r}"
            assert {told[0], told[-1]} <= known, f"{one.name}: n is of {sorted(known)}, not as in {said[0]!r}"


def is_the_same_again(case: Case) -> None:
    shelf = case.shelf()
    assert [*case.gather(shelf)] == [*case.gather(shelf)], "gathered twice from one shelf, sheets differ"
    assert [*case.gather(case.shelf())] == case.sheets, "gathered from an equal shelf, sheets differ"


def is_the_same_in_another_order(case: Case) -> None:
    """Of families and of reports beside them; rows may stand in another order then."""
    shelf = case.shelf()
    turned = replace(shelf, families=shelf.families[::-1], loose=shelf.loose[::-1], reads={})
    there, here = (
        Counter((one.form, row) for one in sheets for row in one.rows)
        for sheets in (case.gather(turned), case.sheets)
    )
    assert here == there, (
        f"with families in another order {[*(here - there)][:3]} became {[*(there - here)][:3]}"
    )


def comes_back_from_csv(case: Case) -> None:
    for one in case.sheets:
        kinds = {type(cell) for row in one.rows for cell in row} - {str, int, float, type(None)}
        assert not kinds, f"{one.name}: cells are {kinds}"
        for sheet in (one, spoilt(one)):
            head, *lines = csv.reader(io.StringIO(sheet.csv(), newline=""))
            assert tuple(head) == sheet.columns, f"{one.name}: the first line is {head}"
            assert len(lines) == len(sheet.rows), f"{one.name}: {len(lines)} lines of {len(sheet.rows)} rows"
            for line, row in zip(lines, sheet.rows, strict=True):
                found = tuple(map(parsed, line, row))
                assert repr(found) == repr(row), f"{one.name}: {line} of {row}"


def parsed(text: str, cell: Cell) -> Cell:
    """What a reader who knows the kind of the column takes a cell for."""
    return None if cell is None and text == "" else text if cell is None else type(cell)(text)


# ------------------------------------------------------------------------------------------------------------ pictures


def withstands_hostile_names(case: Case) -> None:
    from ticketctl.figures.ink.picture import picture

    for one in case.by_form.values():
        svg = picture(spoilt(one), "svg")
        assert not unsafe(svg), f"{one.name}, painted with hostile names: {unsafe(svg)}"
        assert b"&lt;script&gt;" in svg, f"{one.name}: names are no text"


def can_be_read(case: Case) -> None:
    """No words lie over others, none reach over the edge."""
    from tests.figures.looks import flaws
    from ticketctl.figures.ink.picture import painted

    for one in case.by_form.values():
        with painted(one) as figure:
            over, beyond = flaws(figure)
        assert not over, f"{one.name}: words over words: {over[:3]}"
        assert not beyond, f"{one.name}: words beyond the edge: {beyond[:3]}"


# --------------------------------------------------------------------------------------------------------------- words


def has_a_line_of_help_and_facts(case: Case) -> None:
    plugin, text = plugins("figures")[case.name], describe("figures", case.name)
    assert re.fullmatch(r"[A-Z].{10,117}\.", plugin.help), f"no sentence of a line: {plugin.help!r}"
    body = text.partition("\n")[2].partition("\nFacts:")[0].strip()
    assert len(body) > 50, "its docstring has no more than a line: say what is drawn"
    assert {*plugin.facts} == {"from", "papers"}, f"FACTS are {[*plugin.facts]}"
    assert {*re.findall(r"\w+", plugin.facts["from"])} & FROM, f'FACTS["from"] is {plugin.facts["from"]!r}'
    papers = re.findall(r"\b\d{3}\b(?! to)", plugin.facts["papers"])
    assert all(any(ROOT.glob(f"recipes/papers/{one}*")) for one in papers), f"FACTS: no such paper: {papers}"


def has_keys_with_words_and_defaults(case: Case) -> None:
    params = case.module.Params
    assert params.__dataclass_params__.frozen, "Params is not frozen"
    bare = [part.name for part in fields(params) if part.default is part.default_factory is MISSING]
    assert not bare, f"{bare} have no default"
    names = [part.name for part in fields(params)]
    assert sorted(names) == sorted(keys("figures", case.name)), "Params is not as its source says"
    for name in names:
        line = re.search(rf"^  {name}( = .*?)?: *\S", describe("figures", case.name), flags=re.M)
        assert line, f"{name} has no string below it that says what it means"


def refuses_what_is_no_value(case: Case) -> None:
    hints = get_type_hints(case.module.Params)
    for name in keys("figures", case.name):
        numeric = "float" in str(hints[name])
        for value in (WRONG, "{}", *(("nan", "much") if numeric else ())):
            said = refusal(case, f"{name}={value}")
            assert said, f"{name}={value} is taken"
            assert f"figures.{case.name}.{name}" in said, f"names no key: {said}"
            assert said.isprintable(), f"more than a line: {said!r}"
    assert "has no key" in refusal(case, "no_key_of_any=1"), "a key that is none is taken"


def refusal(case: Case, said: str) -> str:
    try:
        wanted(case.name, [f"figures.{case.name}.{said}"], "svg")
    except UsageError as problem:
        return str(problem)
    return ""


CLAIMS: Mapping[str, Callable[[Case], None]] = {
    one.__name__: one
    for one in (
        says_what_is_missing, gives_sheets_with_names, has_words_around_it, tells_how_many, is_the_same_again,
        is_the_same_in_another_order, comes_back_from_csv, withstands_hostile_names, can_be_read,
        has_a_line_of_help_and_facts, has_keys_with_words_and_defaults, refuses_what_is_no_value,
    )
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- of all at once


HEAVY = """
import sys
from tests.figures.examples import EXAMPLES
from ticketctl.plugins import load
for name, example in zip(sys.argv[1::2], sys.argv[2::2]):
    module, shelf = load("figures", name), EXAMPLES[example]()
    assert not {"torch", "matplotlib"} & {*sys.modules}, f"imported before {name}: by examples or modules"
    [*module.gather(shelf, params=module.Params())]
    for one in {"torch", "matplotlib"} & {*sys.modules}:
        print(f"{name} imports {one}")
        del sys.modules[one]
"""
"""A program: whatever the figures that it is told import of what is heavy, a line each."""


def unpictured(folder: Path, names: list[str]) -> list[str]:
    """Figures without a picture in the docs, and pictures without a figure."""
    found = {
        path.name: path.name.partition(".")[0]
        for path in folder.glob("*.*")
        if path.suffix in (".svg", ".png")
    }
    without = [f"no picture of {name}" for name in names if not any(of == name for of in found.values())]
    return without + [f"{file} is of no figure" for file, of in sorted(found.items()) if of not in names]
