"""Every recipe of an audit: it can be read, names what is there, and says where its values come from."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from ticketctl.errors import UsageError
from ticketctl.plugins import load, plugins
from ticketctl.recipe_audit import AuditRecipe, parse_audit
from ticketctl.recipe_files import merge, read_recipe, recipe_names
from ticketctl.shipped import room
from ticketctl.stages.params import checked
from ticketctl.tomltext import toml_text

AUDITS = [name for name in recipe_names() if name.startswith("audit/")]


def parsed(name: str) -> AuditRecipe:
    return parse_audit(read_recipe(name), where=name)


def keys(tables: dict[str, Any]) -> set[str]:
    found = {f"audit.{key}" for key in tables.get("audit", {})} | {
        f"verdict.{key}" for key in tables.get("verdict", {})
    }
    return found | {
        f"metrics.{name}.{key}" for name, table in tables.get("metrics", {}).items() for key in table
    }


@pytest.mark.parametrize("name", AUDITS)
def test_it_parses_and_survives_its_printed_form(name: str) -> None:
    recipe = parsed(name)
    assert recipe.summary
    assert recipe.source
    tables = read_recipe(name)
    assert parse_audit(tomllib.loads(toml_text(tables)), where="again") == recipe


@pytest.mark.parametrize("name", AUDITS)
def test_its_metrics_take_the_keys_that_it_gives_them(name: str) -> None:
    recipe = parsed(name)
    assert set(recipe.metrics) <= set(recipe.chosen), "keys of what is not measured"
    for metric, table in recipe.metrics.items():
        checked(load("metrics", metric).Params, table, metric)


@pytest.mark.parametrize("name", AUDITS)
def test_every_value_has_a_source_in_the_file_that_gives_it(name: str) -> None:
    own = tomllib.loads((room("recipes") / f"{name}.toml").read_text(encoding="utf-8"))
    assert keys(own) == set(own.get("sources", {}))
    assert keys(read_recipe(name)) <= set(read_recipe(name)["sources"])


def test_a_full_audit_measures_everything_but_autoattack() -> None:
    ours = {name for name, one in plugins("metrics").items() if "COMMAND" not in one.literals}
    assert ours - set(parsed("audit/full").chosen) == {"autoattack"}


def test_what_the_paper_prints_has_all_rows_of_the_verdict_and_its_code_has_another_fgsm() -> None:
    def rows(name: str) -> set[str]:
        chosen = parsed(name).chosen
        return {row for one in chosen for row in plugins("metrics")[one].literals.get("VERDICT", ())}

    assert len(rows("audit/lth-pass")) == len(rows("audit/lth-pass-released")) == 9
    assert set(parsed("audit/lth-pass-released").chosen) - set(parsed("audit/lth-pass").chosen) == {"fgsm-rs"}


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"train": {"epochs": 1}}, "trains, and an audit does not"),
        ({"audit": {"metrics": ["eec"]}}, "no metric named 'eec'; did you mean 'ece'?"),
        ({"metrics": {"eec": {}}}, "no metric named 'eec'"),
        ({"metrics": {"ece": {"bin": 3}}}, "metrics.ece has no key bin; did you mean 'bins'?"),
        ({"metrics": {"nll": {"bins": 3}}}, "metrics.nll has no key bins; it has none"),
        ({"metrics": {"ece": 3}}, "write metrics.NAME.KEY, not 3"),
        ({"audit": {"ood": ["noise", "noise"]}}, "two sets called noise"),
        ({"audit": {"severities": [6]}}, "must be 5 or less, not 6"),
        ({"audit": {"severities": []}}, "must name one at least"),
        ({"verdict": {"winning": "s005"}}, "verdict.winning"),
        ({"audits": {}}, "no key audits; did you mean 'audit'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tables: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=r"here: .*") as caught:
        parse_audit(merge({"summary": "s"}, tables), where="here")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
