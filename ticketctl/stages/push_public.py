"""provenance.json as everybody may read it: versions, device, seconds, steps and the command; no host, no place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ticketctl.figures.page.words import PLACE
from ticketctl.hub.private import Known, private_word
from ticketctl.recipe_files import recipe_names

AROUND = (
    "cpu_capability",
    "cuda",
    "cudnn",
    "device",
    "device_name",
    "numpy",
    "precision",
    "threads",
    "torch",
)
"""Of what a training ran on, what counts for its numbers."""
PLACES = ("--workspace", "--data-dir", "--out", "--log-file", "--home", "--message", "--key", "--labels")
"""Options that say where things lie here, or what was said to somebody; left out with their values."""
MOST = 300


def public_provenance(record: Mapping[str, Any], known: Known | None = None) -> dict[str, Any]:
    """The public form of a provenance record of ours, or of a public one; only what is known to be harmless is kept.

    Args:
        record: as it lies beside the artifact.
        known: what is private here.
    """
    private = known or Known()
    sessions = [one for one in _list(record.get("sessions")) if isinstance(one, Mapping)]
    sessions = sessions or [{key: record[key] for key in ("command", "seconds") if key in record}]
    around = record.get("environment")
    said: dict[str, Any] = {key: _word(record.get(key), private) for key in ("tool", "tool_version")}
    if isinstance(around, Mapping):
        told = {key: _word(around.get(key), private) for key in AROUND}
        said["environment"] = {key: word for key, word in told.items() if word}
    if (seconds := _seconds(sessions)) is not None:
        said["seconds"] = f"{seconds:g}"
    if command := [str(word) for word in _list(sessions[-1].get("command"))]:
        known_count = record.get("sessions")  # a number in the public form
        said["command"] = public_command(command, private)
        said["sessions"] = known_count if isinstance(known_count, int) else len(sessions)
    return {key: value for key, value in said.items() if value not in (None, "", {})}


def public_command(words: Sequence[str], known: Known) -> list[str]:
    """A command line without places, hosts and users.

    >>> public_command(["ticketctl", "draw", "--workspace", "w", "--set", "data.name=tensors:~/a"], Known())
    ['ticketctl', 'draw', '--set', 'data.name=PATH']
    """
    return [_public(word, known) for word in _kept(words)][:MOST]


def _kept(words: Sequence[str]) -> Iterator[str]:
    skip = False
    for at, word in enumerate(words):
        if skip:
            skip = False
        elif word in PLACES:
            skip = at + 1 < len(words)
        elif word.partition("=")[0] not in PLACES:
            yield word


def _public(word: str, known: Known) -> str:
    """One word; of `key=value` the value."""
    key, sign, value = word.partition("=")
    if sign and value:
        return f"{_public(key, known)}={_public(value, known)}"
    shipped = word in recipe_names() or word.startswith("hf://")
    somewhere = any(sign in word for sign in "/\\~") or word.endswith(
        (".toml", ".pem", ".safetensors", ".zip")
    )
    if private_word(word, known) or (somewhere and not shipped and not _is_number(word)):
        return PLACE
    return _printable(word)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _is_number(word: str) -> bool:
    return word.replace("/", "").replace(".", "").isdecimal()


def _word(value: Any, known: Known) -> str | None:
    text = str(value) if isinstance(value, str | int | float) else ""
    return None if private_word(text, known) else _printable(text)[:200]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _seconds(sessions: Sequence[Mapping[str, Any]]) -> float | None:
    """Of all sessions; None where one was cut off, for nobody knows how long it took."""
    try:
        told = [float(str(one["seconds"])) for one in sessions]
    except (KeyError, ValueError):
        return None
    return round(sum(told), 1) if told else None
