"""What a draw method states of itself in `FACTS`, against what it does: costs, nesting, start, record, scores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.draws.drawing import SUITE, lab_of, setting_of, tables
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.profiles import erk
from ticketctl.masks.select import kept_count
from ticketctl.masks.spread import scatter
from ticketctl.plugins import describe, load, plugins
from ticketctl.stages.method import method_of, target_of
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target

FACTS = {
    name: found.facts for name, found in plugins("draws").items() if found.module.startswith("ticketctl.")
}
OURS = sorted(FACTS)
KEYS = ["paper", "rule", "scope", "data", "cost", "nested", "start", "inverted", "notes", "limits"]

LADDERS = {"aimp", "gradient", "imp", "ltr", "random-iterative"}
TRAINED = LADDERS | {"art", "earlybird", "gmp", "nm", "omp", "rigl", "set", "supermask"}
"""Methods whose mask depends on a training: they are drawn for real. The others' masks need none."""
MOVING = {"art", "earlybird", "gmp", "rigl", "set", "supermask"}
"""Their masks at two densities come out of two different trainings."""

HERE = {**SUITE, "aimp": {"rate": "1/2"}}
"""What a method needs on this net; whatever a fact is about stays at its default."""

DENSITIES = (Fraction(1, 2), Fraction(3, 20), Fraction(1, 25))
TELLING = {"synflow": (Fraction(1, 200), Fraction(1, 1000))}
"""Where masks of others are not nested, on this net."""


def first(text: str) -> str:
    """A fact without what it says of other values of keys."""
    return text.partition(";")[0]


# ------------------------------------------------------------------------------------------------------------- stated


@pytest.mark.parametrize("name", OURS)
def test_every_method_of_ours_states_its_facts(name: str) -> None:
    assert list(FACTS[name]) == KEYS
    assert all(text == text.strip() and text and not text.endswith(".") for text in FACTS[name].values())
    assert first(FACTS[name]["nested"]) in {"yes", "no", "by counts", "by ticket"}
    assert first(FACTS[name]["scope"]).split()[0] in {"global", "layer", "group"}
    assert re.match(r"(yes|with [a-z]+ = \S+); by .+$|no$", FACTS[name]["inverted"])


@pytest.mark.parametrize("name", OURS)
def test_a_method_is_described_with_its_facts_and_its_paper(name: str) -> None:
    text = describe("draws", name)
    assert all(fact in text for fact in FACTS[name].values())
    doc = " ".join((load("draws", name).__doc__ or "").split())
    for year in re.findall(r"(?:19|20)\d\d", FACTS[name]["paper"]):
        assert re.search(rf"\b{year}\b", doc), year
    assert all(len(line) <= 120 for line in (load("draws", name).__doc__ or "").splitlines())


@pytest.mark.parametrize("name", OURS)
def test_docstrings_have_one_form(name: str) -> None:
    """A line of help, the rule, and what was chosen."""
    help_line, blank, *rest = (load("draws", name).__doc__ or "").splitlines()
    assert help_line.endswith(".")
    assert blank == ""
    assert "reference/" not in "\n".join(rest)
    assert "\n\nChoices: " in "\n".join(rest)


# --------------------------------------------------------------------------------------------------------------- cost

PLAN = {"E": 160, "n": 3, "k": 20}
LETTERS: dict[str, Any] = {"m": 2, "S": 40, "s": Fraction(1, 4), "e": 30}


def value(formula: str) -> float:
    """`(n + 1)E - nk` as a number."""
    product = re.sub(r"(?<=[\w)])\s*(?=[A-Za-z(])", "*", formula)
    return float(eval(product, {}, {**PLAN, **LETTERS}))  # our own module's text


def statements(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Keys that differ from their defaults, and the formula for them."""
    plain, *others = text.split("; ")
    yield {}, plain
    for other in others:
        said, colon, formula = other.partition(": ")
        key, _, given = said.partition(" = ")
        if colon:
            yield {key: LETTERS.get(given, given) if given else True}, formula


def test_formulas_are_read_as_written() -> None:
    assert value("(n + 1)E - nk") == 4 * 160 - 3 * 20
    assert value("3E/8 + 200 + E") == 60 + 200 + 160
    assert value("nsE + E") == 3 * 40 + 160
    assert list(statements("E; hybrid: 2E; share = s: sE; and so on")) == [
        ({}, "E"), ({"hybrid": True}, "2E"), ({"share": Fraction(1, 4)}, "sE"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_the_cost_stated_is_the_cost_computed(name: str) -> None:
    method = load("draws", name)
    target = Target(rounds=PLAN["n"]) if name in LADDERS else Target(density=Fraction(1, 10))
    skipped = PLAN["k"] if "rewind point" in first(FACTS[name]["start"]) else 0
    plan = Plan(Target() if name == "nm" else target, PLAN["E"], skipped)
    found = list(statements(FACTS[name]["cost"]))
    assert len(found) >= 1
    for keys, formula in found:
        cost: Cost = method.cost(plan, TypeAdapter(method.Params).validate_python(keys))
        assert formula.startswith("at most ") == cost.at_most, keys
        assert cost.epochs == value(formula.removeprefix("at most ")), keys


# -------------------------------------------------------------------------------------------------------------- drawn


class Drawings:
    """Levels by method and density, drawn once; where no mask needs a training, nothing is trained."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[tuple[str, Fraction], tuple[Lab, list[Level]]] = {}

    def __call__(self, name: str, density: Fraction) -> tuple[Lab, list[Level]]:
        if (name, density) not in self.made:
            layers = {**HERE.get(name, {}), "density": str(density)}
            if name == "nm":
                layers |= {"density": "1/2" if density == Fraction(1, 2) else "1/4", "m": 4}
                layers["n"] = int(4 * Fraction(layers["density"]))
            lab, levels = self.draw(name, f"{name}-{density.denominator}", layers)
            self.made[name, density] = lab, list(levels)
        return self.made[name, density]

    def draw(self, name: str, folder: str, layers: dict[str, Any]) -> tuple[Lab, Iterator[Level]]:
        setting = setting_of(self.folder / "cache", tables(name, **layers))
        method, params = method_of(setting.recipe)
        lab, target = lab_of(setting, self.folder / folder), target_of(setting.recipe)
        lab.inputs = {"ticket": self.ticket(lab, DENSITIES[1] if name == "from-scores" else target.density)}
        if name not in TRAINED and "rewind" not in layers:
            lab.fit = lambda *_args, **_keys: None
        return lab, method.draw(lab, target=target, params=params)

    @staticmethod
    def ticket(lab: Lab, density: Fraction | None) -> Mask:
        """Another ticket's mask."""
        size = sum(shape.numel() for shape in lab.shapes.values())
        return scatter(
            lab.shapes, erk(lab.shapes, kept_count(size, density or DENSITIES[1])), "test", lab.seeds
        )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawings:
    return Drawings(tmp_path_factory.mktemp("facts"))


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in OURS if name not in MOVING])
def test_masks_are_nested_as_stated(name: str, drawn: Drawings) -> None:
    wanted = TELLING.get(name, DENSITIES[:2] if name in TRAINED else DENSITIES)
    large, *smaller = [drawn(name, density)[1][-1].mask for density in wanted]
    grows = []
    for small in smaller:
        for layer, keep in small.keep.items():
            more = bool((keep & ~large.keep[layer]).any())
            if first(FACTS[name]["nested"]) != "by counts" or keep.sum() <= large.keep[layer].sum():
                grows.append(more)
        large = small
    assert grows
    assert any(grows) == (first(FACTS[name]["nested"]) == "no")


def test_no_method_claims_nested_masks_of_different_trainings() -> None:
    assert {first(FACTS[name]["nested"]) for name in MOVING} == {"no"}


@pytest.mark.long
@pytest.mark.parametrize("name", OURS)
def test_the_record_has_the_keys_stated(name: str, drawn: Drawings) -> None:
    _, levels = drawn(name, DENSITIES[1])
    always, *more = re.sub(r"\(.*?\)", "", FACTS[name]["notes"]).split("; ")
    assert set(re.findall(r"`(\w+)`", always)) == set(levels[-1].notes)
    assert not more or " also: " in more[0]


@pytest.mark.parametrize("name", OURS)
def test_there_is_something_to_invert_as_stated(name: str, drawn: Drawings) -> None:
    _, levels = drawn(name, DENSITIES[1])
    made, _, how = FACTS[name]["inverted"].partition("; by ")
    if made.startswith("with "):
        key, _, given = made.removeprefix("with ").partition(" = ")
        here = HERE.get(name, {}).get(key, getattr(load("draws", name).Params(), key))
        made = "yes" if str(here).lower() == given.strip('"') else "no"
    scored, dense = levels[-1].scores is not None, levels[0].fit is not None
    assert (made == "yes") == (scored or dense)
    if made == "yes":
        assert how.startswith("the scores") == scored


@pytest.mark.parametrize("name", OURS)
def test_a_ticket_starts_where_stated(name: str, drawn: Drawings) -> None:
    lab, levels = drawn(name, DENSITIES[1])
    start, said = levels[-1].start, first(FACTS[name]["start"])
    assert (levels[-1].role == "trained") == said.startswith("trained weights")
    at_first = all(bool((value == lab.initial.weights[key]).all()) for key, value in start.weights.items())
    assert at_first == (said.startswith("initialisation") and not lab.rewind)


@pytest.mark.long
@pytest.mark.parametrize("name", OURS)
def test_a_rewind_point_is_taken_or_refused_as_stated(name: str, drawn: Drawings) -> None:
    layers = {**HERE.get(name, {}), "rewind": "3it"}
    if name == "nm":
        layers["when"] = "init"
    _, levels = drawn.draw(name, f"{name}-rewound", layers)
    if "rewind point" in first(FACTS[name]["start"]):
        assert next(levels).start.step == 3
    else:
        with pytest.raises(UsageError, match="rewind"):
            next(levels)
