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
from pydantic import TypeAdapter

from tests.every import OTHERS, every
from ticketctl import recipe_files
from ticketctl.duration import Duration
from ticketctl.masks.prunable import POLICIES, head, policy, prunable
from ticketctl.masks.select import kept_count
from ticketctl.masks.smartratio import SmartRatio
from ticketctl.nets.build import layout
from ticketctl.nets.initialise import SCHEMES
from ticketctl.plugins import load, plugins
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import merge, parse_recipe, read_recipe, recipe_names
from ticketctl.shipped import room
from ticketctl.stages import request
from ticketctl.stages.method import method_of, plan, target_of
from ticketctl.stages.request import Typed, draw_recipe, spend_recipe
from ticketctl.stages.tweaking import check_keys, sets_of
from ticketctl.tomltext import toml_text

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(
    p.relative_to(room("recipes")).with_suffix("").as_posix()
    for p in room("recipes").rglob("*.toml")
    if not p.name.startswith(("table-", "figure-"))  # no recipes: tests/test_every_table.py
)
OF_TRAINING = [name for name in NAMES if not name.startswith(OTHERS)]
BASES = [name for name in NAMES if name.startswith("base/")]
PAPERS = [name for name in NAMES if name.startswith("papers/")]
PARTS = [name for name in NAMES if name.startswith(("draw/", "spend/"))]
"""They hold a table or two, and are laid over a base."""
UNDER = "base/lenet-300-100-digits"
EVIDENCE = ("model", "data", "train", "draw", "spend", "keep", "seeds", "tweaks")
ROWS = ROOT.parent / "shared" / "reference" / "recipes.md"
"""Every training of the papers; it lies beside the repository where it is worked on, and is not shipped."""

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


def plain(name: str) -> str:
    """The recipe that a claim differs from by its suffix alone, which stands below: its draw, or its dense net."""
    parent = own(name).get("extends")
    apart = "draw" not in own(name) and parent is not None and name.startswith(f"{parent}-")
    return plain(parent) if parent and apart else name


def is_spend(name: str) -> bool:
    """Whether it is laid over the recipe of a ticket that is drawn already."""
    tables = own(name)
    other = {"spend", "tweaks"} & tables.keys() or "subset" in tables.get("data", {}) or "train" in tables
    return plain(name) != name and bool(other)


def keys(tables: dict[str, Any]) -> set[str]:
    """What has a value, as `data.noise.rate`."""
    return set(flat({section: tables.get(section) or {} for section in EVIDENCE}))


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
    assert count == {"000": 57, "001": 78, "002": 48, "003": 132, "004": 79}


@every(OF_TRAINING)
def test_it_parses_and_says_what_it_is(name: str) -> None:
    recipe = parsed(name)
    tables = own(name)
    for text in (tables["summary"], tables["source"]):
        assert text == text.strip() != ""
        assert "\n" not in text
    assert all(parent in NAMES for parent in chain(name))
    assert recipe.summary == tables["summary"]
    known = keys(recipe.record())
    own_keys = {f"draw.{key}" for key in recipe.draw.params} if recipe.draw else set()
    assert set(recipe.sources) <= known | own_keys, "a source for no key"


@every(NAMES)
def test_it_can_be_copied_out(name: str) -> None:
    tables = merged(name)
    assert tomllib.loads(toml_text(tables)) == tables


@every(OF_TRAINING)
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
    check_tweaks(recipe)


def check_tweaks(recipe: Recipe) -> None:
    """They exist, go together, and take the keys that are given."""
    check_keys(recipe)
    (names,) = {names for names in sets_of(recipe, ()) if names} or {()}
    assert set(recipe.tweaks) <= set(names), "keys of a tweak that is not spent"
    for name, table in recipe.tweaks.items():
        TypeAdapter(load("tweaks", name).Params).validate_python(table)


@every(OF_TRAINING)
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


@every([*BASES, *PAPERS, *PARTS])
def test_every_value_has_a_source(name: str) -> None:
    tables = own(name)
    sources = merged(name).get("sources", {})
    assert keys(merged(name)) <= set(sources)
    # a value changed here under the parent's source would be false evidence
    assert keys(tables) <= set(tables.get("sources", {}))
    assert all(text == text.strip() != "" for text in sources.values())


@every(BASES)
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
    for name in OF_TRAINING:
        recipe = parsed(name)
        if recipe.data.name == data:
            assert recipe.data.validation.startswith(("random:", "none")), name


@every([name for name in NAMES if name.startswith("draw/")])
def test_draw_recipes_go_with_any_base(name: str) -> None:
    """Bases have no [draw] (tested above), so one of them and one of another family stand for all."""
    method = name.partition("/")[2]
    for model, data in (("lenet-300-100", "digits"), ("vgg19", "tinyimagenet")):
        recipe = draw_recipe(Typed(model=model, data=data, method=method)).recipe
        assert recipe.draw is not None
        assert recipe.draw.method == method
        method_of(recipe)
        target_of(recipe)


@every([name for name in NAMES if name.startswith("spend/")])
def test_spend_recipes_change_no_draw(name: str) -> None:
    drawn = draw_recipe(Typed()).recipe.record()
    spent = spend_recipe(Typed(recipe=name), drawn).recipe
    assert spent.record("model", "data", "draw") == {key: drawn[key] for key in ("model", "data", "draw")}
    check_tweaks(spent)
    if name == "spend/plain":
        assert spent.record() == drawn
    else:
        assert spent.spend.tweaks == tuple(own(name)["spend"]["tweaks"])


@every([name for name in NAMES if name.startswith("spend/") or is_spend(name)])
def test_a_spend_recipe_goes_over_the_draw_it_is_for(name: str) -> None:
    """`draw --recipe A`, then `spend --recipe A-what`: nothing changes but what the file says."""
    draw = drawn_by(name) if name in PAPERS else "papers/004-lth-pass/ltr-wrn-28-10-cifar100"
    drawn = draw_recipe(Typed(recipe=draw)).recipe.record()
    spent = spend_recipe(Typed(recipe=name), drawn).recipe
    before, after = flat(drawn), flat(spent.record())
    said = keys(own(name))
    assert {key for key in {*before, *after} if before.get(key) != after.get(key)} <= said <= set(after)
    assert not any(key.startswith(("model.", "draw.", "seeds.")) for key in said)
    assert said
    check_tweaks(spent)


def drawn_by(name: str) -> str:
    """The recipe that draws the tickets that this one spends."""
    return drawn_by(own(name)["extends"]) if is_spend(name) else name


def flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Values by key, as `train.lr`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        place = f"{above}.{key}" if above else key
        found |= flat(value, place) if isinstance(value, dict) else {place: value}
    return found


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


@every(PAPERS)
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


@every(PAPERS)
def test_claims_are_named_after_what_they_do(name: str) -> None:
    if plain(name) != name:
        parent = own(name)["extends"]
        assert name == f"{parent}-{variant_of(own(name))}"
        return
    recipe = parsed(name)
    kind = recipe.draw.method if recipe.draw and recipe.draw.rounds != 0 else "dense"
    pair = f"{recipe.model.name}-{recipe.data.name}"
    assert name.rpartition("/")[2] == f"{kind}-{pair}{setting_of(recipe, kind, paper_of(name))}"


def variant_of(tables: dict[str, Any]) -> str:
    """What a claim changes in the one that it extends."""
    data, train, spend = (tables.get(section, {}) for section in ("data", "train", "spend"))
    words = [f"noise{100 * Fraction(data['noise']['rate'])}"] if "noise" in data else []
    words += [f"drop{100 * Fraction(data['drop']['most_forgotten'])}"] if "drop" in data else []
    words += [data["subset"]["pick"].replace("random", "fewshot")] if "subset" in data else []
    words += [f"train-m{train['momentum']:g}-b{train['batch']}"] if train else []
    words += ["kept"] if "keep" in tables else []
    words += ["small"] if "widths" in tables.get("model", {}) else []
    words += [tweak.replace("+", "-") for tweak in spend.get("tweaks", ())]
    words += [spend["schedule"]] if "schedule" in spend else []
    return "-".join(words)


def setting_of(recipe: Recipe, kind: str, paper: str) -> str:
    """What tells apart the claims of a paper that have method, net and data in common."""
    params = recipe.draw.params if recipe.draw else {}
    noise = f"-m{recipe.train.momentum:g}-b{recipe.train.batch}" if paper == "003" else ""
    budget = f"-{float(params['share']) * recipe.train.epochs:g}ep" if kind == "aimp" else ""
    loss = f"-{params['regulariser']}" if kind == "art" else ""
    return noise + budget + loss.removesuffix("-hypersparse")


@every(PAPERS)
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
    """The regularisers of paper 000 share net, data and training, and so do a claim and its variants."""
    return re.sub(r"(/art-.*)-l[12]$", r"\1", plain(name))


def rows(table: dict[str, Any], name: str) -> list[Any]:
    return [row for glob, row in table.items() if fnmatchcase(name, f"papers/{glob}")]


@every(PAPERS)
def test_trainings_are_the_papers(name: str) -> None:
    train = parsed(name).train
    marks = tuple(int(text.removesuffix("ep")) for text in train.milestones)
    course = marks if train.schedule == "step" else train.schedule
    found = (train.epochs, train.batch, train.lr, course, train.momentum, train.weight_decay)
    (row,) = rows(TRAININGS, without_loss(name))
    in_name = re.findall(
        r"-m([\d.]+)-b(\d+)", name
    )  # the last: it may be found with others than it is spent with
    named = {1: int(in_name[-1][1]), 4: float(in_name[-1][0])} if in_name else {}
    wanted = tuple(named.get(at) if value == NAMED else value for at, value in enumerate(row))
    assert (*found, parsed(name).data.validation) == wanted
    itop, big = (
        "/004-lth-pass/rigl-" in name and train.epochs == 250,
        train.batch == 1024 and train.epochs == 90,
    )
    assert (train.optimizer, train.nesterov, train.decay, train.drop_last) == ("sgd", itop, "all", False)
    assert (train.gamma, train.warmup) == (0.1, "5ep" if big else "0")


@every(PAPERS)
def test_draws_are_the_papers(name: str) -> None:
    draw = parsed(name).draw
    assert draw is not None
    assert rows(OWN_KEYS, plain(name)) == [draw.params]
    if draw.rounds == 0:
        assert rows(DRAWS, plain(name)) == []
        return
    density = None if draw.density is None else str(draw.density)
    assert [(draw.method, draw.rewind, draw.rounds, density, draw.prunable)] == rows(DRAWS, plain(name))
    assert draw.schedule == "continue"


def test_the_settings_of_paper_003_are_all_there() -> None:
    drawn = [name for name in PAPERS if "/ltr-resnet18-cifar10-m" in name and plain(name) == name]
    found = {name.partition("-resnet18-cifar10-")[2] for name in drawn}
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
    "004-lth-pass/*-imagefolder": (OUT, "resized-crop", 4, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@every(PAPERS)
def test_pixels_are_the_papers(name: str) -> None:
    recipe = parsed(name)
    data = recipe.data
    assert [(recipe.model.init, data.augment, data.padding, data.mean, data.std)] == rows(
        PIXELS, without_loss(name)
    )
    big = data.name == "imagefolder"
    stem, sizes = ("imagenet", (256, 224)) if big else ("cifar", (None, None))
    assert (recipe.model.stem, data.normalise, (data.resize, data.size)) == (stem, "data", sizes)
    if big:  # torchvision's RandomResizedCrop, the standard of ImageNet
        assert (data.crop_scale, data.crop_ratio) == ((0.08, 1.0), (3 / 4, 4 / 3))


# -------------------------------------------------------------------------------------- typed from the rows, by hand

NOISY = ["imp-lenet-300-100-mnist", "gradient-lenet-300-100-mnist", "random-iterative-lenet-300-100-mnist"]
NOISY += [f"{draw}-resnet18-cifar10" for draw in ("ltr", "gradient", "random-iterative")]
NOISY += [f"{draw}-resnet18-cifar100" for draw in ("ltr", "gradient", "random-iterative")]
NOISES = {f"{name}-noise{rate}" for name in NOISY for rate in (20, 40, 80)}


def variants(paper: str, ending: str) -> set[str]:
    return {
        name.rpartition("/")[2]
        for name in PAPERS
        if paper_of(name) == paper and plain(name) != name and re.search(rf"-({ending})$", name)
    }


def test_every_share_of_wrong_labels_is_there() -> None:
    assert variants("002", r"noise\d+") == NOISES
    for name in NOISES:
        noise = parsed(f"papers/002-label-noise/{name}").data.noise
        assert noise is not None
        assert (noise.kind, noise.rate) == ("symmetric", Fraction(int(name[-2:]), 100))


def test_every_training_of_all_weights_again_has_the_last_sparse_rate() -> None:
    magnitude = {name for name in NOISES if name.startswith(("imp-", "ltr-"))}
    assert variants("002", "redense") == {f"{name}-redense" for name in magnitude}
    for name in magnitude:
        recipe = parsed(f"papers/002-label-noise/{name}-redense")
        assert recipe.spend.tweaks == ("redense",)
        assert recipe.tweaks == {"redense": {"lr": 0.1 if "mnist" in name else 0.001}}
        last = recipe.train.lr * recipe.train.gamma ** len(recipe.train.milestones)
        assert last == pytest.approx(recipe.tweaks["redense"]["lr"])


def test_paper_001_spends_each_tweak_alone_and_its_groups_on_every_net() -> None:
    alone = ("skip", "swish", "mish", "ls", "scaled-init", "at-scaled-init-kd")
    one = {f"imp-resnet18-cifar100-{what}" for what in alone}
    pairs = [f"{net}-cifar100" for net in ("resnet18", "resnet34", "resnet50", "vgg16", "mobilenet")]
    drawn = [f"imp-{pair}" for pair in (*pairs, "resnet18-cifar10", "resnet18-tinyimagenet")]
    drawn += ["omp-resnet18-cifar100", "ltr-resnet18-cifar100"]
    groups = {f"{draw}-{group}" for draw in drawn for group in ("at", "trt", "at-trt")}
    compared = {f"imp-resnet32-2x-{data}-at-trt" for data in ("cifar10", "cifar100")}
    assert variants("001", ".*") == one | groups | compared | {"ltr-resnet18-cifar100-restart"}


def test_rewound_tickets_are_trained_on_or_anew() -> None:
    name = "papers/001-toast/ltr-resnet18-cifar100"
    assert [parsed(each).spend.schedule for each in (name, f"{name}-restart")] == [None, "restart"]
    draw = parsed(name).draw
    assert draw is not None
    assert draw.schedule == "continue"


def test_paper_003_trains_every_ticket_on_few_images() -> None:
    pairs = ("resnet34-tinyimagenet", "resnet18-cifar10", "resnet18-cifar100")
    grid = [f"m{m}-b{b}" for m in ("0", "0.9") for b in (100, 256)]
    tickets = {f"{draw}-{pair}-{one}-fewshot" for draw in ("imp", "ltr") for pair in pairs for one in grid}
    assert variants("003", "fewshot") == tickets | {f"dense-{pair}-m0-b256-fewshot" for pair in pairs}
    forgotten = {f"imp-resnet18-cifar10-m0-b256-{end}-forgotten" for end in ("least", "most")}
    assert variants("003", "forgotten") == forgotten
    for name in forgotten:
        subset = parsed(f"papers/003-sgd-noise/{name}").data.subset
        assert subset is not None
        assert (subset.pick, subset.record) == (re.findall(r"\w+-forgotten", name)[0], ("RUN",))


def test_paper_003_trains_dense_nets_without_the_most_forgotten_images() -> None:
    """A draw of no rounds on nine tenths of the images, whatever their class, and nothing else changed."""
    grid = [f"dense-resnet18-cifar10-m{m}-b{b}" for m in ("0", "0.9") for b in (100, 256)]
    assert variants("003", "drop.*") == {f"{name}-drop10" for name in grid}
    for name in grid:
        full, less = parsed(f"papers/003-sgd-noise/{name}"), parsed(f"papers/003-sgd-noise/{name}-drop10")
        drop = less.data.drop
        assert drop is not None
        assert (drop.most_forgotten, drop.least_forgotten, drop.record) == (Fraction(1, 10), None, ("RUN",))
        assert less.data.model_copy(update={"drop": None}) == full.data
        assert (less.train, less.draw, less.data.subset) == (full.train, full.draw, None)


def test_paper_003_spends_under_other_settings_than_it_searches() -> None:
    grid = {f"m{m}-b{b}" for m in ("0", "0.9") for b in (100, 256)}
    wanted = {
        f"imp-resnet34-tinyimagenet-{search}-train-{train}"
        for search in ("m0-b256", "m0.9-b100")
        for train in grid - {search}
    }
    assert variants("003", r"train-m[\d.]+-b\d+") == wanted


SMALL = {"resnet18": 20.956, "resnet20s": 21.08, "wrn-28-10": 20.99, "resnet50": 51.20}
"""Percent of the ticket's net; 20.956 and 21.08 were measured elsewhere, 51.20 is printed by the released code."""


@every(sorted(variants("004", "small")))
def test_small_dense_nets_are_as_large_as_a_ticket(name: str) -> None:
    model, data = (getattr(parsed(f"papers/004-lth-pass/{name}"), part) for part in ("model", "data"))
    classes, side = {"cifar10": (10, 32), "cifar100": (100, 32), "imagefolder": (1000, 224)}[data.name]

    def size(**more: Any) -> int:
        stem = {"stem": model.stem} if model.name.startswith(("resnet18", "resnet50")) else {}
        net = layout(model.name, shape=(3, side, side), classes=classes, **stem, **more)
        weights = dict(net.named_parameters())
        return sum(weights[each].numel() for each in prunable(net, policy("paper-004")))

    assert 100 * size(widths=model.widths) / size() == pytest.approx(SMALL[model.name], abs=0.02)
    assert len(variants("004", "small")) == 7


# ------------------------------------------------------------------------------------------------- rows and recipes


def listed() -> dict[str, list[str]]:
    """Rows of the table in recipes/README.md: id -> patterns of recipes, none where a row is left out."""
    text = (room("recipes") / "README.md").read_text(encoding="utf-8").partition("## Every row")[2]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] not in ("row", "---"):
            found[cells[0]] = re.findall(r"`([a-z0-9/*.!\[\]-]+)`", cells[1])
    return found


def matching(pattern: str) -> set[str]:
    return {name for name in NAMES if fnmatchcase(name, pattern) or fnmatchcase(name, f"papers/{pattern}")}


def test_every_listed_row_has_recipes_and_every_recipe_a_row() -> None:
    named: set[str] = set()
    for row, patterns in listed().items():
        for pattern in patterns:
            assert matching(pattern), f"{row}: no recipe is called {pattern}"
            named |= matching(pattern)
    assert set(PAPERS) - named == set()
    assert {name for name in NAMES if name.startswith("spend/")} - named == {"spend/plain"}


LEFT_OUT = {"r003-probe", "r003-transfer", "r003-lmc", "r003-onset"}
"""They need commands that are not there yet."""


@pytest.mark.skipif(not ROWS.is_file(), reason="the table of recipes is not beside this copy")
def test_every_row_of_the_reference_is_listed() -> None:
    ids: set[str] = set()
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        cell = line.strip("|").partition("|")[0].strip()
        if line.startswith(("| r0", "| x-")):
            first, *others = cell.split(" / ")
            stem = first.rpartition("-")[0]
            ids |= {first, *(stem + other if other.startswith("-") else other for other in others)}
    assert len(ids) == 44
    rows_ = listed()
    assert ids - rows_.keys() == set()
    assert {row for row in ids if not rows_[row]} == LEFT_OUT
