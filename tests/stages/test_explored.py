"""From what was typed to the recipe of a probe or an interpolation."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.recipe_explore import InterpolateRecipe
from ticketctl.stages import explored as stage
from ticketctl.stages.explored import explored
from ticketctl.stages.measured import whole_name


def test_what_is_typed_wins_over_the_recipe_and_the_recipe_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[interpolate]\ncurves = ["line"]\nalign = "weights"\n[curves.line]\nalphas = 9\nimages = 50\n'
    )
    found = explored("interpolate", None, ["curves.line.alphas=7"], None, str(file))
    assert found.recipe.chosen == ("line",)
    assert found.tables == {"line": {"alphas": 7, "images": 50}}
    assert isinstance(found.recipe, InterpolateRecipe)
    assert found.recipe.interpolate.align == "weights"
    assert (found.named, found.kind) == (False, "interpolate")
    plane = explored("interpolate", " plane , plane", ["interpolate.align=none"], None, None)
    assert (plane.recipe.chosen, plane.named) == (("plane",), True)


def test_values_are_a_function_of_the_commands_table_but_for_what_is_measured() -> None:
    found = explored("interpolate", "line", ["interpolate.of=untrained"], None, None)
    assert found.spec == {"of": "untrained", "align": "none", "align_images": 1000}
    assert explored("probe", "forgetting", ["probe.images=9"], None, None).spec == {"images": 9}


def test_words_of_the_nets_own_recipes_are_set_apart() -> None:
    found = explored("probe", None, ["model.name=mine:net", "data.name=a"], "tensors:b.safetensors", None)
    assert found.sets == {"model": {"name": "mine:net"}, "data": {"name": "tensors:b.safetensors"}}


@pytest.mark.parametrize(
    ("command", "names", "sets", "says"),
    [
        ("probe", " , ", [], "--metrics names none; leave it out to measure all"),
        ("probe", None, ["probe=3"], "--set probe: write probe.KEY=VALUE"),
        ("probe", None, ["train.lr=3"], "--set train…: probe has data, metrics, model, probe"),
        ("probe", None, ["train.threads=2"], "--set train…: probe has data, metrics, model, probe; a net is taken as "
            "it is; threads: OMP_NUM_THREADS"),
        ("probe", "nope", [], "--metrics: no metric named 'nope'; there is activation-sparsity, compression-position"),
        ("interpolate", None, ["metrics.gap.x=3"], "--set metrics…: interpolate has curves, data, interpolate, model"),
        ("interpolate", None, ["summary.x=3"], "--set summary…: interpolate has"),
    ],
)  # fmt: skip
def test_what_cannot_be_typed_is_refused(command: str, names: str | None, sets: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        explored(command, names, sets, None, None)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("linear-probe", "probe.linear-probe"),
        ("line", "interpolate.barrier"),
        ("transfer", "transfer.transfer"),
        ("ece", "audit.ece"),
        ("nope", None),
    ],
)
def test_of_a_metric_alone_the_name_is_known_under_which_runs_are_compared(
    name: str, meant: str | None
) -> None:
    assert whole_name(name) == (f"did you mean '{meant}'?" if meant else "")


def test_without_a_package_what_is_named_is_refused_and_what_is_only_meant_is_told_as_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "missing", lambda kind, names: {"forgetting": "needs sklearn: pip install x"})
    with pytest.raises(MissingExtraError, match="forgetting needs sklearn: pip install x"):
        explored("probe", "forgetting", [], None, None)
    assert explored("probe", None, [], None, None).missing == {"forgetting": "needs sklearn: pip install x"}
    monkeypatch.setattr(stage, "missing", lambda kind, names: {"line": "needs scipy: pip install x"})
    with pytest.raises(MissingExtraError, match="line needs scipy"):
        explored("interpolate", None, [], None, None)


def test_nets_are_aligned_with_scipy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "find_spec", lambda name: None)
    explored("interpolate", None, [], None, None)
    for align in ("weights", "activations"):
        with pytest.raises(MissingExtraError, match=r"pip install 'ticketctl\[align\]'"):
            explored("interpolate", None, [f"interpolate.align={align}"], None, None)
