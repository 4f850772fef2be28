"""The claims about figures can fail: a figure with one fault breaks the claim about it, and a sound one none.

`faulty_figure.py` is written down once for each fault, as a module of another package with an entry point.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.figures.examples import EXAMPLES
from tests.figures.figure_claims import CLAIMS, Case, unpictured
from tests.figures.hostile_words import BYTES, unsafe
from tests.figures.test_every_figure import heavy
from ticketctl.plugins import plugins

SOURCE = Path(__file__).with_name("faulty_figure.py")

FAULTS = {
    "silent": ("says_what_is_missing", "no sheet and no reason"),
    "late": ("says_what_is_missing", "an empty shelf gives faulty-figure-late"),
    "two lines": ("says_what_is_missing", "more than a line"),
    "no command": ("says_what_is_missing", "names no command"),
    "another's command": ("says_what_is_missing", "no such command"),
    "no recipe": ("says_what_is_missing", "no such recipe"),
    "no metric": ("says_what_is_missing", "no such metric"),
    "no sheet": ("gives_sheets_with_names", "gives no sheet"),
    "twice": ("gives_sheets_with_names", "two sheets of one name"),
    "another's": ("gives_sheets_with_names", "a sheet of {'paper'}"),
    "no title": ("has_words_around_it", "without a title"),
    "no place": ("has_words_around_it", "does not say net and data"),
    "no axis": ("has_words_around_it", "the y axis has no name"),
    "no rows": ("has_words_around_it", "is empty"),
    "no notes": ("has_words_around_it", "has no notes"),
    "blank note": ("has_words_around_it", "a blank in"),
    "open note": ("has_words_around_it", "a blank in"),
    "no sources": ("has_words_around_it", "has no sources"),
    "odd source": ("has_words_around_it", "are no ids"),
    "no n": ("tells_how_many", "tells no n"),
    "more n": ("tells_how_many", "n is of [2], not as in 'mean over n = 2-3'"),
    "less n": ("tells_how_many", "n is of [2], not as in 'mean over n = 1'"),
    "counts": ("is_the_same_again", "sheets differ"),
    "order": ("is_the_same_in_another_order", "with families in another order"),
    "numpy": ("comes_back_from_csv", "cells are {<class 'numpy.float64'>}"),
    "truth": ("comes_back_from_csv", "cells are {<class 'bool'>}"),
    "many points": ("withstands_hostile_names", "bytes"),
    "words over words": ("can_be_read", "words over words"),
    "words beyond": ("can_be_read", "words beyond the edge"),
}
"""What `faulty_figure.py` does when it has this fault, the claim that says so, and in which words."""

KEY = '    metric: str = "test.accuracy"\n'
SOURCES = {
    "no full stop": ("its sparsity.\n", "its sparsity\n", "has_a_line_of_help", "no sentence"),
    "one line": ("The mean over seeds", '"""\n_ = """The mean', "has_a_line_of_help", "no more than a line"),
    "no facts": ("FACTS = {", "TOLD = {", "has_a_line_of_help", "FACTS are []"),
    "fact": ('"papers": ', '"paper": ', "has_a_line_of_help", "FACTS are ['from', 'paper']"),
    "from nothing": ('"runs"', '"life"', "has_a_line_of_help", "is 'life'"),
    "no paper": ("001 Fig 2", "777 Fig 2", "has_a_line_of_help", "no such paper: ['777']"),
    "bare key": (KEY, "    metric: str\n", "has_keys", "['metric'] have no default"),
    "thawed": ("@dataclass(frozen=True)", "@dataclass", "has_keys", "not frozen"),
    "mute key": ('    """As a run\'s manifest names it."""\n', "", "has_keys", "metric has no string below it"),
    "takes all": (KEY, KEY.replace("str", "Any"), "refuses", "metric=[[1]] is taken"),
    "takes NaN": (KEY, KEY + '    """A."""\n    low: float = 0\n', "refuses", "low=nan is taken"),
}  # fmt: skip
"""Faults that are seen in the source: what is replaced by what, the claim, and its words."""


def name_of(fault: str) -> str:
    return "faulty-figure-" + "".join(one if one.isalpha() else "-" for one in fault).lower()


def source_of(fault: str) -> str:
    text = SOURCE.read_text(encoding="utf-8")
    old, new, *_ = SOURCES.get(fault, ("", ""))
    assert old in text
    text = text.replace(old, new, 1) if old else text
    said = "" if fault in (*SOURCES, "none") else fault
    return text.replace('FAULT, NAME = "", "faulty-figure"', f"FAULT, NAME = {said!r}, {name_of(fault)!r}", 1)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All of them, as pip would install them."""
    folder = tmp_path_factory.mktemp("installed")
    lines = ["[ticketctl.figures]"]
    for fault in ("none", "torch", "matplotlib", *FAULTS, *SOURCES):
        module = name_of(fault).replace("-", "_")
        (folder / f"{module}.py").write_text(source_of(fault), encoding="utf-8")
        lines.append(f"{name_of(fault)} = {module}")
    facts = folder / "faulty_figures-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: faulty-figures\nVersion: 1\n", encoding="utf-8"
    )
    (facts / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        plugins.cache_clear()
        yield folder
    plugins.cache_clear()


def case(fault: str) -> Case:
    return Case(name_of(fault), EXAMPLES["accuracy-sparsity"])


@pytest.mark.parametrize("fault", [*FAULTS, *SOURCES])
def test_a_fault_is_found_and_named(fault: str) -> None:
    claim, says = FAULTS.get(fault) or SOURCES[fault][2:]
    (name,) = [one for one in CLAIMS if one.startswith(claim)]
    with pytest.raises(AssertionError) as found:
        CLAIMS[name](case(fault))
    assert says in str(found.value)


def test_a_sound_figure_passes_every_claim() -> None:
    for claim in CLAIMS.values():
        claim(case("none"))


def test_every_claim_has_a_fault() -> None:
    told = [claim for claim, _ in FAULTS.values()] + [claim for *_, claim, _ in SOURCES.values()]
    assert all(any(name.startswith(one) for one in told) for name in CLAIMS)


def test_a_figure_without_an_example_is_told_of() -> None:
    with pytest.raises(AssertionError, match=r"no example of new: add one to tests/figures/examples\.py"):
        CLAIMS["gives_sheets_with_names"](Case("new", None))


@pytest.mark.long
def test_what_is_heavy_is_found(installed: Path) -> None:
    """The torch that is imported here is an empty module in the same place."""
    (installed / "torch.py").write_text("", encoding="utf-8")
    names = {name_of(fault): "accuracy-sparsity" for fault in ("torch", "none", "matplotlib")}
    found = heavy(names, str(installed))
    assert found == [f"{name_of(fault)} imports {fault}" for fault in ("torch", "matplotlib")]
    (installed / "torch.py").unlink()


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ("<g>", "no XML"),
        ("\x00", "no XML"),
        ("<script/>", "script"),
        ('<image href="http://there/one.png"/>', "http://there/one.png"),
        ('<image xlink:href="//there"/>', "//there"),
        ('<g style="fill: url(there.svg#one)"/>', "url(there.svg#one)"),
        ('<g onload="alert(1)"/>', "onload"),
        (" " * BYTES, "bytes"),
        ('<use href="#one"/><g style="clip-path: url(#one)">&lt;script&gt;</g>', ""),
    ],
)
def test_what_a_picture_may_not_hold_is_found(inside: str, says: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{inside}</svg>'
    said = unsafe(svg.encode())
    assert says in said
    assert bool(says) == bool(said)


def test_pictures_that_are_missing_or_of_nothing_are_found(tmp_path: Path) -> None:
    for name in ("barrier.twins.svg", "gain.svg", "gone.svg", "index.md"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert unpictured(tmp_path, ["barrier", "gain", "radar"]) == [
        "no picture of radar",
        "gone.svg is of no figure",
    ]
