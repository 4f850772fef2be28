"""What every draw method owes, whoever wrote it: the suite that ships as `ticketctl.testing`, on each that is found.

A method takes part as soon as its module is there. What it cannot do without stands in `tests.draws.drawing.SUITE`;
other forms of a method, where they go other ways through its code, stand in FORMS.
"""

from __future__ import annotations

from typing import Any

from tests.draws.drawing import METHODS, SUITE
from ticketctl.testing import DrawSuite

FORMS: dict[str, dict[str, Any]] = {
    "earlybird of channels": {
        "method": "earlybird", "keys": {"form": "channel", "length": 2, "epsilon": "1"}, "density": "1/2",
        "sets_density": True,
    },
    "gmp that regrows": {"method": "gmp", "keys": {"every": "2it", "regrow": True, "scope": "layer"}},
    "imp fine-tuned": {"method": "imp", "keys": {"rate": "1/2", "retrain": "finetune"}},
    "nm by SR-STE": {"method": "nm", "keys": {"when": "sr-ste", "start": "trained"}},
    "snip from a rewind point": {"method": "snip", "keys": {"rewind": "3it"}},
}  # fmt: skip


def suite(name: str, attributes: dict[str, Any]) -> type[DrawSuite]:
    """The class that a user would write."""
    return type(name, (DrawSuite,), {"__module__": __name__, **attributes})


def class_name(words: str) -> str:
    return "Test" + "".join(word[0].upper() + word[1:] for word in words.replace("-", " ").split())


for method in METHODS:
    globals()[class_name(method)] = suite(
        class_name(method), {"method": method, "keys": SUITE.get(method, {})}
    )
for form, attributes in FORMS.items():
    globals()[class_name(form)] = suite(class_name(form), attributes)
