"""Recipes of a probe and of an interpolation: what they may say, and what is refused, by its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ticketctl.errors import UsageError
from ticketctl.plugins import plugins
from ticketctl.recipe_explore import InterpolateRecipe, ProbeRecipe, parse_explore


def test_nothing_said_is_the_line_between_trained_nets_and_all_metrics_of_a_probe() -> None:
    found = parse_explore("interpolate", {}, where="here")
    assert isinstance(found, InterpolateRecipe)
    assert found.chosen == ("line",)
    assert found.interpolate.model_dump() == {
        "curves": ("line",), "of": "trained", "epoch": None, "align": "none", "align_images": 1000,
    }  # fmt: skip
    assert found.onset is None
    probe = parse_explore("probe", {}, where="here")
    own = {name for name, one in plugins("metrics").items() if one.literals.get("COMMAND") == "probe"}
    wanting = {name for name in own if plugins("metrics")[name].literals.get("ASKED")}
    assert {*probe.chosen} == own - wanting
    assert [*probe.chosen] == sorted(probe.chosen)


def test_what_is_named_is_measured_once_in_one_order() -> None:
    curves = {"interpolate": {"curves": ["plane", "eigenvector", "plane"]}}
    assert parse_explore("interpolate", curves, where="here").chosen == ("eigenvector", "plane")
    metrics = {"probe": {"metrics": ["forgetting", "compression-position"]}}
    assert parse_explore("probe", metrics, where="here").chosen == ("compression-position", "forgetting")


def test_keys_of_single_plug_ins_stand_in_tables_of_their_own() -> None:
    tables = {
        "curves": {"line": {"alphas": 5}},
        "summary": "s",
        "source": "p",
        "sources": {"curves.line.alphas": "p"},
    }
    found = parse_explore("interpolate", tables, where="here")
    assert found.tables == {"line": {"alphas": 5}}
    probe = parse_explore("probe", {"metrics": {"linear-probe": {"epochs": 2}}}, where="here")
    assert isinstance(probe, ProbeRecipe)
    assert probe.tables == {"linear-probe": {"epochs": 2}}


@pytest.mark.parametrize(
    ("command", "tables", "says"),
    [
        ("interpolate", {"interpolat": {}}, "no key interpolat; did you mean 'interpolate'?"),
        ("interpolate", {"interpolate": {"curve": ["line"]}}, "no key interpolate.curve; did you mean 'curves'?"),
        ("interpolate", {"interpolate": {"curves": ["lin"]}}, "no curve named 'lin'; did you mean 'line'?"),
        ("interpolate", {"interpolate": {"curves": []}}, "interpolate.curves: names no curve"),
        ("interpolate", {"interpolate": {"curves": "line"}}, 'must be a list, as ["line"]'),
        ("interpolate", {"interpolate": {"curves": ["gap"]}}, "ticketctl audit --metrics gap"),
        ("interpolate", {"interpolate": {"curves": ["forgetting"]}}, "ticketctl probe --metrics forgetting"),
        ("interpolate", {"interpolate": {"align": True}}, "interpolate.align: must be 'none', 'weights' or"),
        ("interpolate", {"interpolate": {"align_images": 1}}, "interpolate.align_images: must be 2 or more"),
        ("interpolate", {"interpolate": {"of": "draw"}}, "interpolate.of: must be 'trained' or 'untrained'"),
        ("interpolate", {"curves": {"line": 5}}, "curves.line: write curves.NAME.KEY, not 5"),
        ("interpolate", {"curves": {"line": {"alpha": 5}}}, "curves.line has no key alpha; did you mean 'alphas'?"),
        ("interpolate", {"curves": {"plane": {"points": 5}}}, "curves.plane.points: plane is not measured"),
        ("interpolate", {"curves": {"lines": {"alphas": 5}}}, "no curve named 'lines'; did you mean 'line'?"),
        ("interpolate", {"metrics": {"gap": {}}}, "no key metrics"),
        ("interpolate", {"probe": {}}, "it has [probe], and is for ticketctl probe"),
        ("interpolate", {"train": {"lr": 1}}, "and interpolate has no [train]; its recipes begin with interpolate/"),
        ("probe", {"probe": {"metric": ["gap"]}}, "no key probe.metric; did you mean 'metrics'?"),
        ("probe", {"probe": {"metrics": ["gap"]}}, "ticketctl audit --metrics gap"),
        ("probe", {"probe": {"metrics": ["plane"]}}, "ticketctl interpolate --metrics plane"),
        ("probe", {"probe": {"metrics": ["forgeting"]}}, "no metric named 'forgeting'; did you mean 'forgetting'?"),
        ("probe", {"probe": {"images": 1}}, "probe.images: must be 2 or more"),
        ("probe", {"probe": {"images": "all"}}, "probe.images: must be a whole number"),
        ("probe", {"metrics": {"weight-distribution": {"x": 1}}}, "weight-distribution has no key x; it has none"),
        ("probe", {"metrics": {"gap": {}}}, "gap is measured by another command: ticketctl audit"),
        ("probe", {"interpolate": {}}, "it has [interpolate], and is for ticketctl interpolate"),
        ("probe", {"train": {"lr": 1}}, "trains, and probe has no [train]; its recipes begin with probe/"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line_with_its_place(
    command: str, tables: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parse_explore(command, tables, where="mine.toml")
    assert str(refused.value).startswith("mine.toml: ")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
