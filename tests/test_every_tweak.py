"""What every tweak owes, whoever wrote it: the suite that ships as `ticketctl.testing`, on each that is found.

A tweak takes part as soon as its module is there. What makes it quick stands in SAID; other forms of a tweak, where
they go other ways through its code, stand in FORMS.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ticketctl.plugins import plugins
from ticketctl.testing import TweakSuite

SAID: dict[str, dict[str, Any]] = {
    "acdc": {"others": {"compress": {"compress": "11/100"}}},
    "asam": {"keys": {"eta": 0.01}},
    "pools": {"keys": {"coefficients": [0.8, 0.9, 0.95]}},
    "scaled-init": {"keys": {"iterations": 2, "batch": 32}},
    "skip": {
        "keys": {"mismatch": "pad"},
        "others": {
            "gamma0": {"kind": "identity-bn", "gamma0": 0.5},
            "proj_init": {"kind": "proj", "mismatch": "none", "proj_init": "const:1e-4"},
        },
    },
    "swa": {"keys": {"start": "1/2"}},
}
"""What makes a tweak quick, shows more of it, or cannot be guessed."""

FORMS: dict[str, dict[str, Any]] = {
    "dsd by magnitude, sparse in the end": {
        "tweak": "dsd",
        "keys": {"mask": "magnitude", "end": "sparse", "lr": 0.01},
        "others": {"factor": {"lr": None, "factor": 0.2}},
    },
    "swish that fades": {"tweak": "swish", "keys": {"fade": "1/2"}},
}
"""Other ways through a tweak's code."""


def suite(name: str, attributes: dict[str, Any]) -> type[TweakSuite]:
    """The class that a user would write."""
    return type(name, (TweakSuite,), {"__module__": __name__, **attributes})


def class_name(words: str) -> str:
    return "Test" + "".join(
        word[0].upper() + word[1:] for word in words.replace("-", " ").replace(",", "").split()
    )


class TestSkipByProjectionsThatFade(TweakSuite):
    tweak = "skip"
    keys: ClassVar[dict[str, Any]] = {"kind": "proj", "fade": "1/2"}
    others: ClassVar[dict[str, Any]] = {
        **SAID["skip"]["others"],
        "mismatch": {"kind": "identity", "mismatch": "pad"},
    }


for tweak in plugins("tweaks"):
    globals()[class_name(tweak)] = suite(class_name(tweak), {"tweak": tweak, **SAID.get(tweak, {})})
for form, attributes in FORMS.items():
    globals()[class_name(form)] = suite(class_name(form), attributes)
