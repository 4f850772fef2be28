"""What `--only` takes of a grid, against conditions written out in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import pytest

from ticketctl.errors import UsageError
from ticketctl.stages.only import Only

NAMES = ("density", "tweaks", "method", "train.lr")
EVERY = [
    dict(zip(NAMES, values, strict=True))
    for values in product(
        ("0.5", "0.20", "1e-1", "0.05"),
        ("none", "skip", "skip,swish", "ls"),
        ("imp", "snip"),
        ("0.1", "0.05"),
    )
]

SAID: dict[str, Callable[[Mapping[str, str]], bool]] = {
    "": lambda one: True,
    " , ": lambda one: True,
    "density>=0.1": lambda one: float(one["density"]) >= 0.1,
    "density>0.1": lambda one: float(one["density"]) > 0.1,
    "density<0.1": lambda one: float(one["density"]) < 0.1,
    "density<=0.10": lambda one: float(one["density"]) <= 0.1,
    "density=0.2": lambda one: one["density"] == "0.20",
    "density=0.100": lambda one: one["density"] == "1e-1",
    "density!=0.2": lambda one: one["density"] != "0.20",
    "density=0.2,density=0.5": lambda one: one["density"] in ("0.20", "0.5"),
    "density>0.05,density<0.5": lambda one: 0.05 < float(one["density"]) < 0.5,
    " density >= 0.1 , tweaks = skip ": lambda one: float(one["density"]) >= 0.1 and one["tweaks"] == "skip",
    "tweaks=skip,swish": lambda one: one["tweaks"] in ("skip", "skip,swish"),
    "tweaks!=none,method=imp": lambda one: one["tweaks"] != "none" and one["method"] == "imp",
    "train.lr<0.1": lambda one: float(one["train.lr"]) < 0.1,
    "method=none": lambda one: False,
    "method>1": lambda one: False,
}


@pytest.mark.parametrize("text", SAID)
def test_takes_what_the_conditions_say(text: str) -> None:
    only = Only(text, NAMES)
    assert [one for one in EVERY if only.has(one)] == [one for one in EVERY if SAID[text](one)]


def test_a_label_that_is_not_there_equals_nothing_and_is_no_number() -> None:
    assert not Only("density>0", NAMES).has({})
    assert not Only("tweaks=skip", NAMES).has({})
    assert Only("tweaks!=skip", NAMES).has({})


WRONG = {
    "densty=1": "no axis 'densty'; did you mean 'density'?",
    "skip": "'skip' is no NAME=VALUE",
    "density>0.1,swish": "'swish' is no NAME=VALUE",
    "density>=some": "'some' is no number",
    "density>=": "'' is no number",
    "=1": "is no NAME=VALUE",
    "tweaks~skip": "is no NAME=VALUE",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_condition_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Only(text, NAMES)
    assert repr(text) in str(refused.value)
    assert WRONG[text] in str(refused.value)


def test_a_number_that_is_none_is_compared_with_nothing() -> None:
    with pytest.raises(UsageError, match="is no number"):
        Only("density>nan", NAMES)
    assert not Only("density>0.1", NAMES).has({"density": "nan"})
