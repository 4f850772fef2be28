"""As few keys as tell things apart. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Words = Mapping[str, str]
"""Keys and values of one thing."""


def fewest(words: Mapping[int, Words], kinds: Mapping[int, Any]) -> list[str]:
    """As few keys as tell different kinds apart: each time the one that sets most apart, the first by name.

    Args:
        words: keys and values of each.
        kinds: what is to be told apart; equal kinds need not be.
    """
    keys: list[str] = []
    while _apart(words, kinds, keys) < len({*kinds.values()}):
        unused = {key for word in words.values() for key in word} - {*keys}
        # a key that all of them have says more than one that some lack
        left = sorted(unused, key=lambda key: (sum(key not in word for word in words.values()), key))
        best = max(left, key=lambda key: _apart(words, kinds, [*keys, key]), default=None)
        if best is None or _apart(words, kinds, [*keys, best]) == _apart(words, kinds, keys):
            break
        keys.append(best)
    return keys


def _apart(words: Mapping[int, Words], kinds: Mapping[int, Any], keys: Sequence[str]) -> int:
    """How many different answers these keys give."""
    return len({tuple(words[place].get(key) for key in keys) for place in kinds})
