"""Every recipe of a probe, transfer or interpolation: it can be read, names what is there, and says its sources."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests.every import every
from ticketctl.errors import UsageError
from ticketctl.plugins import load, metrics_of, plugins
from ticketctl.recipe_base import Measuring
from ticketctl.recipe_explore import RECIPES, parse_explore
from ticketctl.recipe_files import read_recipe, recipe_names
from ticketctl.shipped import room
from ticketctl.stages.between import least_ends
from ticketctl.stages.params import checked
from ticketctl.tomltext import toml_text

ALL = [name for name in recipe_names() if name.partition("/")[0] in RECIPES]


def parsed(name: str) -> Measuring:
    return parse_explore(name.partition("/")[0], read_recipe(name), where=name)


def keys(tables: dict[str, Any]) -> set[str]:
    """`probe.metrics` and `metrics.linear-probe.lr`."""
    own = {f"{table}.{key}" for table in (*RECIPES, "onset") for key in tables.get(table, {})}
    return own | {
        f"{kind}.{name}.{key}"
        for kind in ("curves", "metrics")
        for name, table in tables.get(kind, {}).items()
        for key in table
    }


@every(ALL)
def test_it_parses_and_survives_its_printed_form(name: str) -> None:
    recipe = parsed(name)
    assert recipe.summary
    assert recipe.source
    tables = read_recipe(name)
    again = parse_explore(name.partition("/")[0], tomllib.loads(toml_text(tables)), where="again")
    assert again == recipe


@every(ALL)
def test_its_plugins_take_the_keys_that_it_gives_them(name: str) -> None:
    recipe = parsed(name)
    assert set(recipe.tables) <= set(recipe.chosen), "keys of what is not measured"
    for one, table in recipe.tables.items():
        checked(load(recipe.PLUGINS, one).Params, table, one)


@every(ALL)
def test_every_value_has_a_source_in_the_file_that_gives_it(name: str) -> None:
    own = tomllib.loads((room("recipes") / f"{name}.toml").read_text(encoding="utf-8"))
    assert keys(own) == set(own.get("sources", {}))
    assert keys(read_recipe(name)) <= set(read_recipe(name)["sources"])


@every([name for name in ALL if name.startswith("interpolate/")])
def test_its_curves_go_together(name: str) -> None:
    assert least_ends(parsed(name).chosen) in (1, 2)


def test_every_metric_of_a_probe_and_every_curve_has_a_recipe() -> None:
    asked = {one for name in ALL for one in parsed(name).chosen}
    assert {*metrics_of("probe"), "compression-position", *plugins("curves")} <= asked


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("probe/linaer", "did you mean 'probe/linear'?"),
        ("interpolate/redens", "did you mean 'interpolate/redense'?"),
    ],
)
def test_a_near_miss_is_named(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=r"\?") as caught:
        read_recipe(name)
    assert says in str(caught.value)
