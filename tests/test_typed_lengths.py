"""`--epochs` and `--scale` stretch what recipes say; what a user types is of the training that comes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ticketctl.duration import Duration
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.request import Typed, draw_recipe, spend_recipe
from ticketctl.stages.resolving import resolver

LTR = Typed(model="resnet20s", data="digits", method="ltr")


def drawn_by(typed: Typed) -> Recipe:
    return draw_recipe(typed).recipe


def test_a_rewind_point_of_a_recipe_is_stretched_and_one_that_is_typed_is_not(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[draw]\nrewind = "4ep"\n')
    length = drawn_by(LTR).train.epochs
    half = replace(LTR, epochs=length // 2)
    for typed, rewind in [
        (replace(half, recipe=str(mine)), "2ep"),
        (replace(half, rewind="4ep"), "4ep"),
        (replace(half, recipe=str(mine), rewind="4ep"), "4ep"),
        (replace(half, sets=["draw.rewind=4ep"]), "4ep"),
        (replace(half, epochs=None, scale=Fraction(1, 2), rewind="40it"), "40it"),
    ]:
        draw = drawn_by(typed).draw
        assert draw is not None
        assert draw.rewind == rewind
        assert drawn_by(typed).train.epochs == length // 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.milestones", ["6ep", "100it"]),
        ("train.warmup", "3ep"),
        ("keep.epochs", [1, 7]),
        ("draw.rewind", "3ep"),
    ],
)
def test_each_point_and_length_that_is_typed_stays_and_the_others_are_stretched(
    key: str, value: Any, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[train]\nschedule = "step"\nmilestones = ["8ep"]\nwarmup = "2ep"\n[keep]\nepochs = [4]\n'
        '[draw]\nrewind = "8ep"\n'
    )
    half = replace(LTR, recipe=str(mine), scale=Fraction(1, 2))
    plain = drawn_by(half).record()
    typed = drawn_by(replace(half, sets=[f"{key}={json.dumps(value)}"])).record()
    table, name = key.split(".")
    assert plain["train"]["milestones"] == ["4ep"]
    assert plain["train"]["warmup"] == "1ep"
    assert plain["keep"]["epochs"] == [2]
    assert plain["draw"]["rewind"] == "4ep"
    plain[table][name] = value
    assert typed == plain


def test_a_methods_own_length_that_is_typed_stays() -> None:
    sets = {"rigl": ("search", 12), "art": ("max_epochs", 40), "gmp": ("end", "10ep")}
    for method, (key, value) in sets.items():
        for name in (f"draw.{key}", f"draw.params.{key}"):
            typed = replace(LTR, method=method, density=Fraction(1, 10), sets=[f"{name}={value}"])
            draw = drawn_by(replace(typed, scale=Fraction(1, 8))).draw
            assert draw is not None
            assert draw.params[key] == value
            assert draw.params.get("stretch") == ("1/8" if method == "art" else None)


def test_the_length_of_the_training_is_what_is_stretched_whoever_said_it() -> None:
    typed = replace(LTR, sets=["train.epochs=20"])
    assert drawn_by(replace(typed, scale=Fraction(1, 4))).train.epochs == 5
    assert drawn_by(replace(typed, epochs=7)).train.epochs == 7


def test_a_typed_point_past_the_end_of_the_shorter_training_is_refused() -> None:
    draw = drawn_by(replace(LTR, epochs=4, rewind="9ep")).draw
    assert draw is not None
    with pytest.raises(UsageError, match="9ep lies past the end of the training"):
        Duration.parse(draw.rewind).steps(epochs=4, steps_per_epoch=10)


def test_a_spend_takes_what_is_typed_as_it_is_and_stretches_the_draws_recipe() -> None:
    drawn = drawn_by(replace(LTR, sets=["train.schedule=step", 'train.milestones=["8ep"]'])).record()
    tenth = Typed(scale=Fraction(1, 2))
    assert spend_recipe(tenth, drawn).recipe.train.milestones == ("4ep",)
    typed = replace(tenth, sets=['train.milestones=["3ep"]'])
    assert spend_recipe(typed, drawn).recipe.train.milestones == ("3ep",)


def test_what_a_papers_table_sets_is_stretched_as_its_recipes_are() -> None:
    name, sets = "papers/003-sgd-noise/ltr-resnet18-cifar10-m0-b100", ("draw.rewind=20ep",)
    whole, tenth = (resolver(None, scale)(name, sets).draw for scale in (None, Fraction(1, 10)))
    assert whole is not None
    assert tenth is not None
    assert (whole.rewind, tenth.rewind) == ("20ep", "2ep")
