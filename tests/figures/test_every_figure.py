"""Every figure that is found, held to what figures owe (figure_claims.py), on a small shelf of its own (examples.py).

A figure takes part as soon as its module is there; without an example it fails, and that is said.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.every import every
from tests.figures import figure_claims
from tests.figures.examples import EXAMPLES, MORE
from tests.figures.figure_claims import CLAIMS, HEAVY, ROOT, Case
from ticketctl.figures.ink.picture import picture
from ticketctl.figures.sheet import FORMS
from ticketctl.plugins import plugins

CASES = [Case(name, EXAMPLES.get(name)) for name in plugins("figures")]
CASES += [Case(name, example, words) for words, (name, example) in MORE.items()]


@pytest.mark.long
@pytest.mark.parametrize("claim", CLAIMS)
def test_every_figure(claim: str) -> None:
    every(CASES)(CLAIMS[claim])()


def test_examples_are_of_figures_and_show_every_form() -> None:
    assert {*EXAMPLES} <= {*plugins("figures")}
    assert {form for case in CASES if case.example for form in case.by_form} == {*FORMS}


@pytest.mark.long
@every(FORMS)
def test_equal_sheets_give_equal_pictures(form: str) -> None:
    one = next(case.by_form[form] for case in CASES if case.example and form in case.by_form)
    assert picture(one, "svg") == picture(one, "svg")


def heavy(names: dict[str, str], *folders: str) -> list[str]:
    """What figures import, each on an example, that is heavy."""
    path = os.pathsep.join([*folders, str(ROOT), str(ROOT / "tests/figures")])
    words = [word for pair in names.items() for word in pair]
    found = subprocess.run(
        [sys.executable, "-c", HEAVY, *words], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert not found.returncode, found.stderr
    return found.stdout.splitlines()


@pytest.mark.long
def test_to_gather_imports_neither_torch_nor_matplotlib() -> None:
    assert heavy({name: name for name in EXAMPLES}) == []


def test_the_docs_have_a_picture_of_every_figure_and_of_nothing_else() -> None:
    assert figure_claims.unpictured(ROOT / "docs/figures", [*plugins("figures")]) == []
