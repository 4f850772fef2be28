"""Every shipped recipe: it parses, it names things that exist, and each value says where it was read."""

from __future__ import annotations

import math
import re
import tomllib
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from ticketctl.duration import Duration
from ticketctl.masks.prunable import POLICIES
from ticketctl.nets.initialise import SCHEMES
from ticketctl.plugins import plugins
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import merge, parse_recipe, read_recipe, recipe_names
from ticketctl.shipped import room
from ticketctl.stages.draw import method_of, plan, target_of
from ticketctl.stages.request import Typed, draw_recipe, spend_recipe
from ticketctl.tomltext import toml_text

NAMES = sorted(
    p.relative_to(room("recipes")).with_suffix("").as_posix() for p in room("recipes").rglob("*.toml")
)
BASES = [name for name in NAMES if name.startswith("base/")]
PAPERS = [name for name in NAMES if name.startswith("papers/")]
PARTS = [name for name in NAMES if name.startswith(("draw/", "spend/"))]
"""They hold a table or two, and are laid over a base."""
UNDER = "base/lenet-300-100-digits"
EVIDENCE = ("model", "data", "train", "draw")

TRAINING_IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "tinyimagenet": 100_000,
    "eurosat": 21_600,
    "digits": 1_438,
}


merged = cache(read_recipe)


@cache
def own(name: str) -> dict[str, Any]:
    return tomllib.loads((room("recipes") / f"{name}.toml").read_text(encoding="utf-8"))


def chain(name: str) -> list[str]:
    """The recipe, its parent, and so on."""
    parent = own(name).get("extends")
    return [name, *(chain(parent) if parent else [])]


@cache
def parsed(name: str) -> Recipe:
    tables = merged(name)
    return parse_recipe(merge(merged(UNDER), tables) if name in PARTS else tables, where=name)


def paper_of(name: str) -> str:
    return name.removeprefix("papers/")[:3]


def keys(tables: dict[str, Any]) -> set[str]:
    return {f"{section}.{key}" for section in EVIDENCE for key in tables.get(section) or {}}


def steps_per_epoch(recipe: Recipe) -> int:
    images = TRAINING_IMAGES.get(recipe.data.name, 60_000)
    found = re.search(r":(\d+)(%?)", recipe.data.validation)
    held = 0 if not found else images * int(found[1]) // 100 if found[2] else int(found[1])
    return math.ceil((images - held) / recipe.train.batch)


def test_all_are_seen() -> None:
    # torchtune's test of its configs looked into one folder and saw 3 of 197 files
    assert recipe_names() == NAMES
    assert len(NAMES) >= 115
    assert (len(BASES), len(PARTS)) >= (28, 5)
    count = {paper: sum(name.startswith(f"papers/{paper}") for name in PAPERS) for paper in
             ("000", "001", "002", "003", "004")}  # fmt: skip
    assert count == {"000": 6, "001": 18, "002": 6, "003": 36, "004": 16}


@pytest.mark.parametrize("name", NAMES)
def test_it_parses_and_says_what_it_is(name: str) -> None:
    recipe = parsed(name)
    tables = own(name)
    for text in (tables["summary"], tables["source"]):
        assert text == text.strip() != ""
        assert "\n" not in text
    assert all(parent in NAMES for parent in chain(name))
    assert recipe.summary == tables["summary"]
    known = {f"{section}.{key}" for section, table in recipe.record().items() for key in table}
    own_keys = {f"draw.{key}" for key in recipe.draw.params} if recipe.draw else set()
    assert set(recipe.sources) <= known | own_keys, "a source for no key"


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_copied_out(name: str) -> None:
    tables = merged(name)
    assert tomllib.loads(toml_text(tables)) == tables


@pytest.mark.parametrize("name", NAMES)
def test_what_it_names_exists(name: str) -> None:
    recipe = parsed(name)
    assert recipe.model.name in plugins("nets")
    assert recipe.data.name in plugins("data")
    assert recipe.model.init in SCHEMES
    if recipe.draw:
        assert recipe.draw.method in plugins("draws")
        assert recipe.draw.prunable in POLICIES
        method_of(recipe)
        target_of(recipe)
        assert 1 <= plan(recipe) <= 33


@pytest.mark.parametrize("name", NAMES)
def test_its_points_lie_inside_the_training(name: str) -> None:
    recipe = parsed(name)
    train, per_epoch = recipe.train, steps_per_epoch(recipe)
    total = train.epochs * per_epoch

    def step(text: str) -> int:
        return Duration.parse(text).steps(epochs=train.epochs, steps_per_epoch=per_epoch)

    marks = [step(text) for text in train.milestones]
    assert marks == sorted(set(marks))
    assert all(0 < mark < total for mark in marks)
    assert bool(marks) == (train.schedule == "step")
    assert 0 <= step(train.warmup) < total
    if recipe.draw:
        assert 0 <= step(recipe.draw.rewind) < total
        assert recipe.draw.method != "ltr" or step(recipe.draw.rewind) > 0


@pytest.mark.parametrize("name", [*BASES, *PAPERS, *PARTS])
def test_every_value_has_a_source(name: str) -> None:
    tables = own(name)
    sources = merged(name).get("sources", {})
    assert keys(merged(name)) <= set(sources)
    # a value changed here under the parent's source would be false evidence
    assert keys(tables) <= set(tables.get("sources", {}))
    assert all(text == text.strip() != "" for text in sources.values())


@pytest.mark.parametrize("name", BASES)
def test_bases_are_found_by_model_and_data(name: str) -> None:
    recipe = parsed(name)
    assert name == f"base/{recipe.model.name}-{recipe.data.name}"
    assert recipe.draw is None
    assert recipe.data.validation != "none", "choices are made on held-out images"
    found = draw_recipe(Typed(model=recipe.model.name, data=recipe.data.name)).recipe
    assert found.record("model", "data", "train") == recipe.record("model", "data", "train")


# Sets that lie class by class: the first or last N would hold whole classes out.
@pytest.mark.parametrize("data", ["tinyimagenet", "eurosat", "imagefolder", "tensors"])
def test_sets_sorted_by_class_are_split_at_random(data: str) -> None:
    for name in NAMES:
        recipe = parsed(name)
        if recipe.data.name == data:
            assert recipe.data.validation.startswith(("random:", "none")), name


@pytest.mark.parametrize("name", ["draw/imp", "draw/ltr", "draw/omp", "draw/random"])
def test_draw_recipes_go_with_any_base(name: str) -> None:
    method = name.partition("/")[2]
    for base in BASES:
        model, data = merged(base)["model"]["name"], merged(base)["data"]["name"]
        recipe = draw_recipe(Typed(model=model, data=data, method=method)).recipe
        assert recipe.draw is not None
        assert recipe.draw.method == method


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("spend/")])
def test_spend_recipes_change_no_draw(name: str) -> None:
    drawn = draw_recipe(Typed()).recipe.record()
    spent = spend_recipe(Typed(recipe=name), drawn).recipe
    assert spent.record("model", "data", "draw") == {key: drawn[key] for key in ("model", "data", "draw")}
    if name == "spend/plain":
        assert spent.record() == drawn


# ----------------------------------------------------------------------------------------------------- claims

EXPLICIT = {
    "model": {"name", "init"},
    "data": {"name", "validation", "augment", "normalise"},
    "train": {
        "epochs",
        "batch",
        "optimizer",
        "lr",
        "momentum",
        "nesterov",
        "weight_decay",
        "schedule",
        "drop_last",
    },
}
"""What a claim says itself, whatever our defaults become."""


@pytest.mark.parametrize("name", PAPERS)
def test_claims_are_complete_and_cite_their_own_paper(name: str) -> None:
    paper = paper_of(name)
    tables = merged(name)
    assert paper in own(name)["source"]
    assert own(name)["summary"].startswith(f"Paper {paper}: ")
    assert any(parent.startswith("base/") for parent in chain(name))
    for section, wanted in EXPLICIT.items():
        assert wanted <= set(tables[section])
    if tables["train"]["schedule"] == "step":
        assert {"milestones", "gamma"} <= set(tables["train"])
    if tables["train"]["weight_decay"]:
        assert "decay" in tables["train"]
    if tables["data"]["augment"] == "crop-flip":
        assert "padding" in tables["data"]
    for key, text in tables["sources"].items():
        cited = re.findall(r"\b(00\d)\b", text)
        assert not cited or paper in cited, f"{key}: {text}"
        assert re.match(r"paper |released code|inferred: |default: ours", text), f"{key}: {text}"


@pytest.mark.parametrize("name", PAPERS)
def test_claims_are_named_after_what_they_do(name: str) -> None:
    recipe = parsed(name)
    kind, rest = name.rpartition("/")[2].split("-", 1)
    assert kind == (recipe.draw.method if recipe.draw and recipe.draw.rounds != 0 else "dense")
    setting = f"-m{recipe.train.momentum:g}-b{recipe.train.batch}" if "/003-" in name else ""
    assert rest == f"{recipe.model.name}-{recipe.data.name}{setting}"


@pytest.mark.parametrize("name", PAPERS)
def test_nothing_leaks_in_from_base_or_method(name: str) -> None:
    """`draw --recipe NAME` lays the claim over the base and the method's recipe; both must vanish below it."""
    alone, drawn = parsed(name), draw_recipe(Typed(recipe=name)).recipe
    assert drawn.record("model", "data", "train") == alone.record("model", "data", "train")
    if alone.draw and alone.draw.rounds:
        assert drawn.record("draw") == alone.record("draw")


@pytest.mark.parametrize("name", PAPERS)
def test_expected_values_belong_to_this_training(name: str) -> None:
    expected = merged(name).get("expected")
    if expected is None:
        return
    owner = next(parent for parent in chain(name) if "expected" in own(parent))
    assert expected == own(owner)["expected"], "mixed with the parent's"
    fields = ("model", "data", "train")
    assert parsed(owner).record(*fields) == parsed(name).record(*fields), "another training's"
    assert set(expected) <= {"table", "seeds", "note", "nonconverged", "test_accuracy"}
    assert expected["table"].startswith(paper_of(name))
    assert expected["note"]
    assert set(expected.get("nonconverged", ())) <= set(expected["test_accuracy"])
    for key, accuracy in expected["test_accuracy"].items():
        assert 0 < accuracy < 100
        assert key in LADDER
        draw = parsed(owner).draw
        deepest = draw.rounds if draw and draw.rounds else 0
        assert LADDER[key] <= deepest


LADDER = {"0": 0} | {f"{float(100 - 100 * Fraction(4, 5) ** n):.2f}": n for n in range(1, 33)}
"""Sparsity in percent, as the papers print it -> pruning rounds of 20 %."""


# Typed from the papers' own table of hyperparameters, by hand and apart from the recipes:
# epochs, batch, lr, milestones (or the schedule's name), momentum, weight decay, validation
TRAININGS = {
    "000-art/*-cifar10": (160, 64, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "000-art/*-cifar100": (160, 64, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "000-art/*-tinyimagenet": (300, 64, 0.1, (150, 225), 0.9, 1e-4, "none"),
    "001-toast/*": (180, 128, 0.1, (90, 135), 0.9, 2e-4, "random:10%"),
    "002-label-noise/*-mnist": (200, 128, 0.1, "constant", 0.0, 0.0, "none"),
    "002-label-noise/*-cifar10": (160, 128, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "002-label-noise/*-cifar100": (160, 128, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "003-sgd-noise/*-resnet18-*-m0-b100": (200, 100, 0.1, "cosine", 0.0, 5e-4, "none"),
    "003-sgd-noise/*-resnet18-*-m0-b256": (200, 256, 0.1, "cosine", 0.0, 5e-4, "none"),
    "003-sgd-noise/*-resnet18-*-m0.9-b100": (200, 100, 0.1, "cosine", 0.9, 5e-4, "none"),
    "003-sgd-noise/*-resnet18-*-m0.9-b256": (200, 256, 0.1, "cosine", 0.9, 5e-4, "none"),
    "003-sgd-noise/*-tinyimagenet-m0-b100": (200, 100, 0.2, "cosine", 0.0, 5e-4, "none"),
    "003-sgd-noise/*-tinyimagenet-m0-b256": (200, 256, 0.2, "cosine", 0.0, 5e-4, "none"),
    "003-sgd-noise/*-tinyimagenet-m0.9-b100": (200, 100, 0.2, "cosine", 0.9, 5e-4, "none"),
    "003-sgd-noise/*-tinyimagenet-m0.9-b256": (200, 256, 0.2, "cosine", 0.9, 5e-4, "none"),
    "004-lth-pass/*": (182, 128, 0.1, (91, 136), 0.9, 1e-4, "last:5000"),
}

# method, rewind, rounds, density, prunable
DRAWS = {
    "000-art/imp-*-cifar10": ("imp", "20ep", None, "1/500", "paper-000"),
    "000-art/imp-*-cifar100": ("imp", "20ep", None, "1/500", "paper-000"),
    "000-art/imp-*-tinyimagenet": ("imp", "40ep", None, "1/500", "paper-000"),
    "001-toast/imp-*": ("imp", "0", 16, None, "paper-001"),
    "001-toast/omp-*": ("omp", "0", None, "1/10", "paper-001"),
    "001-toast/ltr-*": ("ltr", "33ep", 16, None, "paper-001"),
    "002-label-noise/imp-lenet-300-100-mnist": ("imp", "0", 32, None, "paper-002"),
    "002-label-noise/ltr-resnet18-*": ("ltr", "1000it", 32, None, "paper-002"),
    "003-sgd-noise/imp-resnet18-*": ("imp", "0", 25, None, "paper-003"),
    "003-sgd-noise/ltr-resnet18-*": ("ltr", "2ep", 25, None, "paper-003"),
    "003-sgd-noise/imp-resnet34-*": ("imp", "0", 20, None, "paper-003"),
    "003-sgd-noise/ltr-resnet34-*": ("ltr", "2ep", 20, None, "paper-003"),
    "004-lth-pass/ltr-*": ("ltr", "3ep", 24, None, "paper-004"),
    "004-lth-pass/omp-*": ("omp", "3ep", None, "1024/3125", "paper-004"),
    "004-lth-pass/random-*": ("random", "0", None, "1024/3125", "paper-004"),
}


def rows(table: dict[str, Any], name: str) -> list[Any]:
    forms = {
        "".join(".*" if sign == "*" else re.escape(sign) for sign in glob): row for glob, row in table.items()
    }
    return [row for form, row in forms.items() if re.fullmatch(f"papers/{form}", name)]


@pytest.mark.parametrize("name", PAPERS)
def test_trainings_are_the_papers(name: str) -> None:
    train = parsed(name).train
    marks = tuple(int(text.removesuffix("ep")) for text in train.milestones)
    course = marks if train.schedule == "step" else train.schedule
    found = (train.epochs, train.batch, train.lr, course, train.momentum, train.weight_decay)
    assert [(*found, parsed(name).data.validation)] == rows(TRAININGS, name)
    assert (train.optimizer, train.nesterov, train.decay, train.drop_last) == ("sgd", False, "all", False)
    assert (train.gamma, train.warmup) == (0.1, "0")


@pytest.mark.parametrize("name", PAPERS)
def test_draws_are_the_papers(name: str) -> None:
    draw = parsed(name).draw
    if draw is None or draw.rounds == 0:
        assert rows(DRAWS, name) == []
        return
    density = None if draw.density is None else str(draw.density)
    assert [(draw.method, draw.rewind, draw.rounds, density, draw.prunable)] == rows(DRAWS, name)
    assert draw.schedule == "continue"
    assert draw.params == ({"rate": "0.2", "scope": "global"} if draw.method in ("imp", "ltr") else {})


IN, OUT = "kaiming-normal", "kaiming-normal-fan-out"
C10, C100 = (0.4914, 0.4822, 0.4465), (0.5071, 0.4867, 0.4408)

# initialisation, augmentation, padding, means, deviations
PIXELS = {
    "000-art/*-cifar10": (OUT, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "000-art/*-cifar100": (OUT, "crop-flip", 4, C100, (0.2675, 0.2565, 0.2761)),
    "000-art/*-tinyimagenet": (OUT, "crop-flip", 4, (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)),
    "001-toast/*-cifar10": (IN, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "001-toast/*-cifar100": (IN, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "001-toast/*-tinyimagenet": (IN, "crop-flip", 4, (), ()),
    "002-label-noise/*-mnist": (IN, "none", 4, (), ()),
    "002-label-noise/*-resnet18-*": (IN, "crop-flip", 4, (), ()),
    "003-sgd-noise/*-resnet18-*": (IN, "crop-flip", 4, (), ()),
    "003-sgd-noise/*-resnet34-*": (IN, "crop-flip", 8, (), ()),
    "004-lth-pass/*-resnet20s-cifar10": (IN, "crop-flip", 4, C10, (0.2470, 0.2435, 0.2616)),
    "004-lth-pass/*-resnet20s-cifar100": (
        IN,
        "crop-flip",
        4,
        (0.5071, 0.4866, 0.4409),
        (0.2673, 0.2564, 0.2762),
    ),
    "004-lth-pass/*-resnet18-cifar10": (OUT, "crop-flip", 4, C10, (0.2470, 0.2435, 0.2616)),
    "004-lth-pass/*-resnet18-cifar100": (
        OUT,
        "crop-flip",
        4,
        (0.5071, 0.4866, 0.4409),
        (0.2673, 0.2564, 0.2762),
    ),
}


@pytest.mark.parametrize("name", PAPERS)
def test_pixels_are_the_papers(name: str) -> None:
    recipe = parsed(name)
    data = recipe.data
    assert [(recipe.model.init, data.augment, data.padding, data.mean, data.std)] == rows(PIXELS, name)
    assert (recipe.model.stem, data.normalise, data.size) == ("cifar", "data", None)


# Typed from the collected figures of reference/draw-methods.md 9, another transcription than the recipes' source.
TABLE_A2 = (
    "0 74.87 20.00 74.28 48.80 74.45 67.23 74.43 79.03 73.21 89.26 71.58 91.41 71.12 95.60 69.43 97.19 67.89"
)
TABLE_A3 = "20.00 75.38 67.23 75.48 89.26 75.25 91.41 75.68 95.60 74.63 97.19 73.11"
PRINTED = {
    "000-art/dense-resnet32-2x-cifar10": "0 94.70",
    "000-art/dense-resnet32-2x-cifar100": "0 74.60",
    "000-art/dense-resnet32-2x-tinyimagenet": "0 62.87",
    "001-toast/imp-resnet18-cifar100": TABLE_A2.replace("95.60 69.43", "94.50 70.44 95.60 69.43"),
    "001-toast/ltr-resnet18-cifar100": TABLE_A3,
}
FIVE = {
    "imp-resnet18-cifar10-m0-b100": "94.58 94.39 93.93 92.95 91.10",
    "imp-resnet18-cifar10-m0-b256": "93.63 94.02 93.93 93.39 92.67",
    "imp-resnet18-cifar10-m0.9-b100": "95.24 94.99 94.39 93.25 91.41",
    "imp-resnet18-cifar10-m0.9-b256": "95.18 94.98 94.29 93.36 91.39",
    "ltr-resnet18-cifar10-m0-b100": "94.62 95.06 94.95 94.71 93.95",
    "ltr-resnet18-cifar10-m0.9-b256": "95.24 95.16 94.55 93.57 91.86",
    "imp-resnet18-cifar100-m0-b256": "74.39 75.03 74.46 72.43 68.65",
    "imp-resnet18-cifar100-m0.9-b100": "78.54 76.60 73.91 70.33 65.05",
    "ltr-resnet18-cifar100-m0.9-b256": "77.71 77.57 77.24 74.35 69.21",
    "imp-resnet34-tinyimagenet-m0-b256": "59.33 59.95 60.20 58.89 57.09",
    "imp-resnet34-tinyimagenet-m0.9-b100": "63.74 62.46 35.95 35.69 15.09",
}
"""Paper 003: dense, 67.23, 89.26, 96.48 and 98.85 %."""


@pytest.mark.parametrize(("name", "text"), PRINTED.items())
def test_expected_values_are_the_printed_ones(name: str, text: str) -> None:
    words = text.split()
    printed = {key: float(value) for key, value in zip(words[::2], words[1::2], strict=True)}
    expected = merged(f"papers/{name}")["expected"]["test_accuracy"]
    assert {key: expected[key] for key in printed} == printed
    assert len(expected) == (1 if "dense" in name else 17)


@pytest.mark.parametrize(("name", "text"), FIVE.items())
def test_expected_values_of_paper_003_are_the_printed_ones(name: str, text: str) -> None:
    levels = ("0", "67.23", "89.26", "96.48", "98.85")
    printed = dict(zip(levels, map(float, text.split()), strict=True))
    claim = f"papers/003-sgd-noise/{name}"
    assert merged(claim)["expected"]["test_accuracy"] == printed
    if name.startswith("imp-"):
        dense = merged(claim.replace("/imp-", "/dense-"))["expected"]["test_accuracy"]
        assert dense == {"0": printed["0"]}


def test_every_claim_of_paper_003_has_its_row() -> None:
    claims = [name for name in PAPERS if "/003-" in name]
    starred = {name.rpartition("/")[2]: merged(name)["expected"].get("nonconverged") for name in claims}
    assert {name: cells for name, cells in starred.items() if cells} == {
        "imp-resnet34-tinyimagenet-m0.9-b100": ["89.26", "96.48", "98.85"],
        "ltr-resnet34-tinyimagenet-m0.9-b100": ["98.85"],
    }
    table = {"cifar10": "003:11", "cifar100": "003:11", "tinyimagenet": "003:2"}
    for name in claims:
        expected = merged(name)["expected"]
        assert (expected["table"], expected["seeds"]) == (table[parsed(name).data.name], 3)
