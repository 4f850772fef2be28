"""Keys of tweaks: refused before any work where they cannot be, or where nothing would read them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.stages import tiny
from ticketctl.errors import UsageError
from ticketctl.plugins import plugins
from ticketctl.stages.params import check_tweak
from ticketctl.stages.tweaking import (
    check_keys,
    check_tweaks,
    sets_of,
    tweak_set,
    without_unspent,
)

OUT_OF_RANGE: dict[str, dict[str, Any]] = {
    "acdc": {"compress": 0},
    "asam": {"rho": -1},
    "dsd": {"cycles": 0},
    "ema": {"decay": 1},
    "kd": {"tau": 0},
    "ls": {"alpha": 7},
    "pools": {"images": 1},
    "redense": {"epochs": 0},
    "sam": {"rho": -0.1},
    "scaled-init": {"batch": 1},
    "skip": {"alpha": float("inf")},
    "swa": {"start": 2},
    "swish": {"beta": 0},
}
"""A value of each tweak's that is no option of it, whatever net and data are."""


def test_every_tweak_with_a_range_is_here() -> None:
    assert set(plugins("tweaks")) - set(OUT_OF_RANGE) == {"mish"}  # it has no keys


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_without_net_and_data(name: str) -> None:
    ((key, value),) = OUT_OF_RANGE[name].items()
    with pytest.raises(UsageError, match=rf"tweaks\.{name}\.{key}\b"):
        check_keys(tiny.recipe(f"tweaks.{name}.{key}={value}"))


@pytest.mark.parametrize("name", sorted(plugins("tweaks")))
def test_what_a_tweak_takes_is_let_pass(name: str) -> None:
    usual = {"dsd": "lr=0.1", "redense": "lr=0", "kd": "weight=1", "swa": "start=1/2", "mish": ""}.get(name)
    keys = {"acdc": "final=0.8", "asam": "rho=1", "ema": "decay=0.5", "ls": "alpha=0", "pools": "neighbours=1",
            "sam": "rho=1", "scaled-init": "batch=2", "skip": "alpha=0.5", "swish": "beta=2"}  # fmt: skip
    item = usual if usual is not None else keys[name]
    check_tweaks(tiny.recipe(*([f"tweaks.{name}.{item}"] if item else [])))


@pytest.mark.parametrize(
    ("typed", "near"), [("LS", "ls"), ("Skip", "skip"), ("SWHIS", "swish"), ("AT", "at")]
)
def test_a_name_in_capitals_has_its_near_miss(typed: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"no tweak named '{typed}'; did you mean '{near}'"):
        tweak_set([typed])


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("tweaks.LS.alpha=0.1", r"\[tweaks\.LS\]: no such tweak; did you mean 'ls'"),
        ("tweaks.ls.Alpha=0.1", r"tweaks\.ls\.Alpha: ls has no such key; did you mean 'alpha'"),
        ("spend.tweaks=['LS']", "no tweak named 'LS'; did you mean 'ls'"),
    ],
)
def test_a_wrong_name_in_a_draws_recipe_is_refused(item: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_tweaks(tiny.recipe(item))


def test_keys_of_a_tweak_that_is_not_spent_are_refused_if_they_were_typed() -> None:
    recipe = tiny.recipe("tweaks.ls.alpha=0.2")
    typed = {"tweaks": {"ls": {"alpha": 0.2}}}
    for words, says in (
        (["skip"], r"--set tweaks\.ls\.alpha: ls is not spent \(skip is\); add it with --tweaks ls"),
        (["skip,sam"], r"\(sam, skip are\)"),
        ([], r"\(no tweak is\)"),
    ):
        with pytest.raises(UsageError, match=says):
            without_unspent(recipe, sets_of(recipe, words), typed, {})
    for words in (["ls"], ["skip", "ls"], ["trt"]):
        assert without_unspent(recipe, sets_of(recipe, words), typed, {}) == (recipe, ())


def test_keys_of_a_file_that_are_not_spent_are_noted_and_the_draws_pass_in_silence() -> None:
    recipe = tiny.recipe("tweaks.ls.alpha=0.2", "tweaks.sam.rho=0.1", "tweaks.skip.alpha=0.5")
    kept, notes = without_unspent(recipe, sets_of(recipe, ["skip"]), {}, {"tweaks": {"ls": {"alpha": 0.2}}})
    assert notes == ("[tweaks.ls]: not used, ls is not spent",)
    assert kept.tweaks == {"skip": {"alpha": 0.5}}
    assert kept.draw is not None
    assert Fraction(str(kept.draw.params["rate"])) == Fraction(1, 2)


@pytest.mark.parametrize(("name", "key"), [("dsd", "cycles"), ("ls", "alpha"), ("scaled-init", "batch")])
def test_true_is_no_number(name: str, key: str) -> None:
    with pytest.raises(UsageError, match=rf"tweaks\.{name}\.{key}: must be a number, not true"):
        check_tweak(name, {key: True})


@pytest.mark.parametrize("typed", ["", ",", " , "])
def test_a_list_that_names_no_tweak_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="names no tweak; leave it out, or write --tweaks none"):
        sets_of(tiny.recipe(), [typed])
    assert sets_of(tiny.recipe(), ["none"]) == [()]
