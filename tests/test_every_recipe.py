"""Every shipped recipe: it parses, it names things that exist, and each value says where it was read."""

from __future__ import annotations

import math
import re
import tomllib
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ticketctl import recipe_files
from ticketctl.duration import Duration
from ticketctl.masks.prunable import POLICIES, head, policy, prunable
from ticketctl.masks.select import kept_count
from ticketctl.masks.smartratio import SmartRatio
from ticketctl.nets.build import layout
from ticketctl.nets.initialise import SCHEMES
from ticketctl.plugins import plugins
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import merge, parse_recipe, read_recipe, recipe_names
from ticketctl.shipped import room
from ticketctl.stages import request
from ticketctl.stages.method import method_of, plan, target_of
from ticketctl.stages.request import Typed, draw_recipe, spend_recipe
from ticketctl.tomltext import toml_text

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(
    p.relative_to(room("recipes")).with_suffix("").as_posix()
    for p in room("recipes").rglob("*.toml")
    if not p.name.startswith(("table-", "figure-"))  # no recipes: tests/test_every_table.py
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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the files once: hundreds of recipes are read hundreds of times here."""
    for module in (recipe_files, request):
        monkeypatch.setattr(module, "recipe_names", lambda: NAMES)


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
    assert len(BASES) >= 63
    assert {name.removeprefix("draw/") for name in PARTS if name.startswith("draw/")} == {
        path.stem.replace("_", "-") for path in (ROOT / "ticketctl" / "draws").glob("[a-z]*.py")
    }, "every method has a recipe"
    count = {paper: sum(name.startswith(f"papers/{paper}") for name in PAPERS) for paper in
             ("000", "001", "002", "003", "004")}  # fmt: skip
    assert count == {"000": 56, "001": 42, "002": 12, "003": 93, "004": 72}


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
        cost = plan(recipe)
        assert 1 <= cost.trainings <= 33
        assert cost.epochs >= recipe.train.epochs


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


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("draw/")])
def test_draw_recipes_go_with_any_base(name: str) -> None:
    """Bases have no [draw] (tested above), so one of them and one of another family stand for all."""
    method = name.partition("/")[2]
    for model, data in (("lenet-300-100", "digits"), ("vgg19", "tinyimagenet")):
        recipe = draw_recipe(Typed(model=model, data=data, method=method)).recipe
        assert recipe.draw is not None
        assert recipe.draw.method == method
        method_of(recipe)
        target_of(recipe)


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
    kind = recipe.draw.method if recipe.draw and recipe.draw.rounds != 0 else "dense"
    pair = f"{recipe.model.name}-{recipe.data.name}"
    assert name.rpartition("/")[2] == f"{kind}-{pair}{setting_of(recipe, kind, paper_of(name))}"


def setting_of(recipe: Recipe, kind: str, paper: str) -> str:
    """What tells apart the claims of a paper that have method, net and data in common."""
    params = recipe.draw.params if recipe.draw else {}
    noise = f"-m{recipe.train.momentum:g}-b{recipe.train.batch}" if paper == "003" else ""
    budget = f"-{float(params['share']) * recipe.train.epochs:g}ep" if kind == "aimp" else ""
    loss = f"-{params['regulariser']}" if kind == "art" else ""
    return noise + budget + loss.removesuffix("-hypersparse")


@pytest.mark.parametrize("name", PAPERS)
def test_nothing_leaks_in_from_base_or_method(name: str) -> None:
    """`draw --recipe NAME` lays the claim over the base and the method's recipe; both must vanish below it."""
    alone, drawn = parsed(name), draw_recipe(Typed(recipe=name)).recipe
    assert drawn.record("model", "data", "train") == alone.record("model", "data", "train")
    if alone.draw and alone.draw.rounds:
        assert drawn.record("draw") == alone.record("draw")


# Typed from the papers' own table of hyperparameters, by hand and apart from the recipes:
# epochs, batch, lr, milestones (or the schedule's name), momentum, weight decay, validation
NAMED = "as the name says"
TRAININGS = {
    "000-art/*-cifar10": (160, 64, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "000-art/*-cifar100": (160, 64, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "000-art/*-tinyimagenet": (300, 64, 0.1, (150, 225), 0.9, 1e-4, "none"),
    "001-toast/*": (180, 128, 0.1, (90, 135), 0.9, 2e-4, "random:10%"),
    "002-label-noise/*-mnist": (200, 128, 0.1, "constant", 0.0, 0.0, "none"),
    "002-label-noise/*-cifar10": (160, 128, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "002-label-noise/*-cifar100": (160, 128, 0.1, (80, 120), 0.9, 1e-4, "none"),
    "003-sgd-noise/*-resnet18-cifar10*": (200, NAMED, 0.1, "cosine", NAMED, 5e-4, "none"),
    "003-sgd-noise/*-vgg16-cifar100*": (200, NAMED, 0.1, "cosine", NAMED, 5e-4, "none"),
    "003-sgd-noise/*-resnet34-tinyimagenet*": (200, NAMED, 0.2, "cosine", NAMED, 5e-4, "none"),
    "004-lth-pass/[!r]*-cifar10*": (182, 128, 0.1, (91, 136), 0.9, 1e-4, "last:5000"),
    "004-lth-pass/random-*-cifar10*": (182, 128, 0.1, (91, 136), 0.9, 1e-4, "last:5000"),
    "004-lth-pass/rigl-*-cifar10*": (250, 128, 0.1, (125, 187), 0.9, 5e-4, "last:5000"),
    "004-lth-pass/*-imagefolder": (90, 1024, 0.4, (30, 60, 80), 0.9, 1e-4, "none"),
}

OF_FIVE = "1024/3125"
"""0.8 to the 5th."""

# method, rewind, rounds, density, prunable
DRAWS = {
    "000-art/imp-*-cifar10": ("imp", "20ep", None, "1/500", "paper-000"),
    "000-art/imp-*-cifar100": ("imp", "20ep", None, "1/500", "paper-000"),
    "000-art/imp-*-tinyimagenet": ("imp", "40ep", None, "1/500", "paper-000"),
    "000-art/omp-*": ("omp", "0", None, "1/50", "paper-000"),
    "000-art/snip-*": ("snip", "0", None, "1/50", "paper-000"),
    "000-art/grasp-*": ("grasp", "0", None, "1/50", "paper-000"),
    "000-art/smartratio-*": ("smartratio", "0", None, "1/50", "paper-000"),
    "000-art/rigl-*": ("rigl", "0", None, "1/50", "paper-000"),
    "000-art/art-*": ("art", "0", None, "1/50", "paper-000"),
    "001-toast/imp-*[!x]-[ct]*": ("imp", "0", 16, None, "paper-001"),
    "001-toast/imp-resnet32-2x-*": ("imp", "0", None, "1/50", "paper-001"),
    "001-toast/omp-*": ("omp", "0", None, "1/10", "paper-001"),
    "001-toast/ltr-*": ("ltr", "33ep", 16, None, "paper-001"),
    "001-toast/random-*": ("random", "0", None, "1/20", "paper-001"),
    "001-toast/grasp-*": ("grasp", "0", None, "1/20", "paper-001"),
    "001-toast/synflow-*": ("synflow", "0", None, "1/20", "paper-001"),
    "002-label-noise/imp-lenet-300-100-mnist": ("imp", "0", 32, None, "paper-002"),
    "002-label-noise/ltr-resnet18-*": ("ltr", "1000it", 32, None, "paper-002"),
    "002-label-noise/gradient-lenet-300-100-mnist": ("gradient", "0", 32, None, "paper-002"),
    "002-label-noise/gradient-resnet18-*": ("gradient", "1000it", 32, None, "paper-002"),
    "002-label-noise/random-iterative-lenet-300-100-mnist": ("random-iterative", "0", 32, None, "paper-002"),
    "002-label-noise/random-iterative-resnet18-*": ("random-iterative", "1000it", 32, None, "paper-002"),
    "003-sgd-noise/imp-*-cifar10*": ("imp", "0", 25, None, "paper-003"),
    "003-sgd-noise/ltr-*-cifar10*": ("ltr", "2ep", 25, None, "paper-003"),
    "003-sgd-noise/imp-*-tinyimagenet-*": ("imp", "0", 20, None, "paper-003"),
    "003-sgd-noise/ltr-*-tinyimagenet-*": ("ltr", "2ep", 20, None, "paper-003"),
    "003-sgd-noise/aimp-*": ("aimp", "0", 20, None, "paper-003"),
    "004-lth-pass/ltr-*-cifar10*": ("ltr", "3ep", 24, None, "paper-004"),
    "004-lth-pass/omp-*-cifar10*": ("omp", "3ep", None, OF_FIVE, "paper-004"),
    "004-lth-pass/random-*-cifar10*": ("random", "0", None, OF_FIVE, "paper-004"),
    "004-lth-pass/snip-*-cifar10*": ("snip", "0", None, OF_FIVE, "paper-004"),
    "004-lth-pass/grasp-*-cifar10*": ("grasp", "0", None, OF_FIVE, "paper-004"),
    "004-lth-pass/synflow-*-cifar10*": ("synflow", "0", None, OF_FIVE, "paper-004"),
    "004-lth-pass/rigl-*": ("rigl", "0", None, "16384/78125", "paper-004"),
    "004-lth-pass/ltr-*-imagefolder": ("ltr", "15ep", 12, None, "paper-004"),
    "004-lth-pass/omp-*-imagefolder": ("omp", "15ep", None, "64/125", "paper-004"),
    "004-lth-pass/random-*-imagefolder": ("random", "0", None, "64/125", "paper-004"),
    "004-lth-pass/snip-*-imagefolder": ("snip", "0", None, "64/125", "paper-004"),
    "004-lth-pass/grasp-*-imagefolder": ("grasp", "0", None, "64/125", "paper-004"),
    "004-lth-pass/synflow-*-imagefolder": ("synflow", "0", None, "64/125", "paper-004"),
}

FIFTH: dict[str, Any] = {"rate": "0.2", "scope": "global"}
SHRINK: dict[str, Any] = {
    "pretrain": "37.5%",
    "lambda_init": 5e-6,
    "eta": 1.05,
    "half_window": 1,
    "stop": "means",
}

# the method's own keys
OWN_KEYS: dict[str, dict[str, Any]] = {
    "*/dense-*": {},
    "*/imp-*": FIFTH,
    "*/ltr-*": FIFTH,
    "*/omp-*": {},
    "*/random-[!i]*": {},
    "*/snip-*": {"per_class": 10, "bn": "eval", "loss": "cross-entropy"},
    "*/grasp-*": {"temperature": 200.0, "per_class": 10, "bn": "train"},
    "*/synflow-*": {"iterations": 100, "bn": "scale"},
    "*/smartratio-*": {"hybrid": False, "decay": "quadratic"},
    "000-art/rigl-*": {"preset": "paper", "distribution": "uniform", "search": 360},
    "000-art/art-*0": SHRINK | {"regulariser": "hypersparse"},
    "000-art/art-*-tinyimagenet": SHRINK | {"regulariser": "hypersparse", "pretrain": "20%"},
    "000-art/art-*-l1": SHRINK | {"regulariser": "l1"},
    "000-art/art-*-l2": SHRINK | {"regulariser": "l2"},
    "002-label-noise/gradient-*": FIFTH | {"batches": 1, "bn": "eval"},
    "002-label-noise/random-iterative-*": FIFTH,
    "003-sgd-noise/aimp-*-20ep": FIFTH | {"share": "0.1"},
    "003-sgd-noise/aimp-*-50ep": FIFTH | {"share": "0.25"},
    "004-lth-pass/rigl-*": {"preset": "itop"},
}


def without_loss(name: str) -> str:
    """The regularisers of paper 000 share net, data and training."""
    return re.sub(r"(/art-.*)-l[12]$", r"\1", name)


def rows(table: dict[str, Any], name: str) -> list[Any]:
    return [row for glob, row in table.items() if fnmatchcase(name, f"papers/{glob}")]


@pytest.mark.parametrize("name", PAPERS)
def test_trainings_are_the_papers(name: str) -> None:
    train = parsed(name).train
    marks = tuple(int(text.removesuffix("ep")) for text in train.milestones)
    course = marks if train.schedule == "step" else train.schedule
    found = (train.epochs, train.batch, train.lr, course, train.momentum, train.weight_decay)
    (row,) = rows(TRAININGS, without_loss(name))
    in_name = re.search(r"-m([\d.]+)-b(\d+)", name)
    named = {1: int(in_name[2]), 4: float(in_name[1])} if in_name else {}
    wanted = tuple(named.get(at) if value == NAMED else value for at, value in enumerate(row))
    assert (*found, parsed(name).data.validation) == wanted
    itop, big = (
        "/004-lth-pass/rigl-" in name and train.epochs == 250,
        train.batch == 1024 and train.epochs == 90,
    )
    assert (train.optimizer, train.nesterov, train.decay, train.drop_last) == ("sgd", itop, "all", False)
    assert (train.gamma, train.warmup) == (0.1, "5ep" if big else "0")


@pytest.mark.parametrize("name", PAPERS)
def test_draws_are_the_papers(name: str) -> None:
    draw = parsed(name).draw
    assert draw is not None
    assert rows(OWN_KEYS, name) == [draw.params]
    if draw.rounds == 0:
        assert rows(DRAWS, name) == []
        return
    density = None if draw.density is None else str(draw.density)
    assert [(draw.method, draw.rewind, draw.rounds, density, draw.prunable)] == rows(DRAWS, name)
    assert draw.schedule == "continue"


def test_the_settings_of_paper_003_are_all_there() -> None:
    found = {name.partition("-resnet18-cifar10-")[2] for name in PAPERS if "/ltr-resnet18-cifar10-m" in name}
    grid = {f"m{m}-b{b}" for m in ("0", "0.9") for b in (8, 32, 100, 256, 1024, 2048)}
    assert found == grid | {"m0.3-b256", "m0.6-b256", "m0.95-b256"}


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "tinyimagenet"])
@pytest.mark.parametrize("net", ["resnet32-2x", "vgg19"])
def test_smartratio_keeps_a_tenth_of_the_classifier_only_where_paper_000_does(net: str, data: str) -> None:
    draw = parsed(f"papers/000-art/smartratio-{net}-{data}").draw
    assert draw is not None
    classes, side = {"cifar10": (10, 32), "cifar100": (100, 32), "tinyimagenet": (200, 64)}[data]
    model = layout(net, shape=(3, side, side), classes=classes)
    weights = dict(model.named_parameters())
    shapes = {name: weights[name].shape for name in prunable(model, policy(draw.prunable))}
    rule = SmartRatio(shapes, head(model), "quadratic", net.startswith("vgg"))
    size = sum(shape.numel() for shape in shapes.values())
    tenth = set()
    for sparsity in ("0.9", "0.95", "0.98", "0.995", "0.998"):
        _, share = rule.counts_with_fallback(kept_count(size, 1 - Fraction(sparsity)))
        tenth |= {sparsity} if share == Fraction(1, 10) else set()
    assert tenth == ({"0.998"} if net == "resnet32-2x" and data != "cifar10" else set())


IN, OUT = "kaiming-normal", "kaiming-normal-fan-out"
C10, C100 = (0.4914, 0.4822, 0.4465), (0.5071, 0.4867, 0.4408)
TINY = (0.4802, 0.4481, 0.3975)

PASS_10 = (C10, (0.2470, 0.2435, 0.2616))
PASS_100 = ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))

# initialisation, augmentation, padding, means, deviations
PIXELS = {
    "000-art/*-resnet32-2x-cifar10": (OUT, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "000-art/*-resnet32-2x-cifar100": (OUT, "crop-flip", 4, C100, (0.2675, 0.2565, 0.2761)),
    "000-art/*-resnet32-2x-tinyimagenet": (OUT, "crop-flip", 4, TINY, (0.2770, 0.2691, 0.2821)),
    "000-art/*-vgg19-cifar10": (IN, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "000-art/*-vgg19-cifar100": (IN, "crop-flip", 4, C100, (0.2675, 0.2565, 0.2761)),
    "000-art/*-vgg19-tinyimagenet": (IN, "crop-flip", 4, TINY, (0.2770, 0.2691, 0.2821)),
    "001-toast/*-cifar10": (IN, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "001-toast/*-cifar100": (IN, "crop-flip", 4, C10, (0.2023, 0.1994, 0.2010)),
    "001-toast/*-tinyimagenet": (IN, "crop-flip", 4, (), ()),
    "002-label-noise/*-mnist": (IN, "none", 4, (), ()),
    "002-label-noise/*-resnet18-*": (IN, "crop-flip", 4, (), ()),
    "003-sgd-noise/*-resnet18-*": (IN, "crop-flip", 4, (), ()),
    "003-sgd-noise/*-vgg16-*": (IN, "crop-flip", 4, (), ()),
    "003-sgd-noise/*-resnet34-*": (IN, "crop-flip", 8, (), ()),
    "004-lth-pass/*-resnet20s-cifar10": (IN, "crop-flip", 4, *PASS_10),
    "004-lth-pass/*-resnet20s-cifar100": (IN, "crop-flip", 4, *PASS_100),
    "004-lth-pass/*-vgg11-cifar10": (IN, "crop-flip", 4, *PASS_10),
    "004-lth-pass/*-vgg11-cifar100": (IN, "crop-flip", 4, *PASS_100),
    "004-lth-pass/*-resnet18-cifar10": (OUT, "crop-flip", 4, *PASS_10),
    "004-lth-pass/*-resnet18-cifar100": (OUT, "crop-flip", 4, *PASS_100),
    "004-lth-pass/*-wrn-28-10-cifar10": (OUT, "crop-flip", 4, *PASS_10),
    "004-lth-pass/*-wrn-28-10-cifar100": (OUT, "crop-flip", 4, *PASS_100),
    "004-lth-pass/*-imagefolder": (OUT, "crop-flip", 28, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@pytest.mark.parametrize("name", PAPERS)
def test_pixels_are_the_papers(name: str) -> None:
    recipe = parsed(name)
    data = recipe.data
    assert [(recipe.model.init, data.augment, data.padding, data.mean, data.std)] == rows(
        PIXELS, without_loss(name)
    )
    big = data.name == "imagefolder"
    stem, size = ("imagenet", 224) if big else ("cifar", None)
    assert (recipe.model.stem, data.normalise, data.size) == (stem, "data", size)
