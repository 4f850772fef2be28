"""The suite over tweaks can fail: a tweak with one fault breaks the claim about it, and a sound one none.

`faulty_tweak.py` is written down once for each fault, as a module of another package with an entry point.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticketctl.plugins import plugins
from ticketctl.testing import TweakSuite

SOURCE = Path(__file__).with_name("faulty_tweak.py")
CLAIMS = [name for name in dir(TweakSuite) if name.startswith("test_")]

FAULTS = {
    "never zero": "at_zero_strength",
    "idle": "it_changes_the_training",
    "alien weight": "names_and_its_own",
    "leaks": "zero_at_every_step",
    "second pass": "zero_at_every_step",
    "leaks in company": "zero_at_every_step_beside",
    "moves the mask": "the_ticket_stays",
    "longer": "as_many_steps",
    "unseeded": "the_same_seed",
    "unseeded weight": "the_same_seed",
    "constant": "another_seed",
    "random state": "it_leaves",
    "python's random state": "it_leaves",
    "mask of the kit": "it_leaves",
    "net of the kit": "it_leaves",
    "other identity": "it_leaves",
    "prints": "it_prints",
    "prints below": "it_prints",
    "warns": "it_prints",
    "writes": "it_writes",
    "forgets": "stopped_again",
    "forgets in company": "beside_other_tweaks_it_ends",
    "no JSON": "plain_json",
    "forgets a key": "plain_json",
    "same for all": "changes_with_every_key",
    "another error": "values_that_cannot_be",
    "two lines": "values_that_cannot_be",
    "takes NaN": "values_that_cannot_be",
    "no name": "values_that_cannot_be",
}
"""What `faulty_tweak.py` does when it has this fault, and the claim that says so."""

ALSO = {"forgets": "killed_at"}
"""Faults that break a second claim which no other breaks."""

SOURCES: dict[str, tuple[str, str, str]] = {
    "help": ("Louder: multiply the loss by a number that grows with the steps.", "Louder", "its_help"),
    "year": ("Nobody 2026", "Nobody", "its_help"),
    "computed": ("RANK = 3", "RANK = 1 + 2", "written_out"),
    "no list": ('EXCLUDES = {"mish": "for no reason at all"}', 'EXCLUDES = ("mish",)', "written_out"),
    "changes": ('"changes": "loss"', '"changes": "everything"', "are_sound"),
    "cost": ('"cost": "none"', '"price": "none"', "are_sound"),
    "whom": ('"mish": "for', '"misch": "for', "are_sound"),
    "why": ('"for no reason at all"', '""', "are_sound"),
    "needs": ("RANK = 3", 'NEEDS = ("money",)', "are_sound"),
    "key of zero": ('ZERO = {"strength"', 'ZERO = {"volume"', "are_sound"),
    "thawed": ("@dataclass(frozen=True)", "@dataclass", "are_frozen"),
    "mute key": ('    """How much louder, from 0."""\n', "", "are_frozen"),
    "hidden keys": ("class Params:", "class _Keys:", "an_unknown_key"),
}
"""Faults that are seen in the source: what is replaced by what, and the claim."""

HIDDEN = "\n\nParams = _Keys\n\n\ndef tweak("


def name_of(fault: str) -> str:
    return "faulty-" + "".join(letter if letter.isalpha() else "-" for letter in fault).strip("-")


def source_of(fault: str) -> str:
    text = SOURCE.read_text(encoding="utf-8")
    old, new, _ = SOURCES.get(fault, ("", "", ""))
    assert old in text
    text = text.replace(old, new, 1) if old else text
    text = text.replace("\n\ndef tweak(", HIDDEN, 1) if fault == "hidden keys" else text
    said = "" if fault in SOURCES or fault == "none" else fault
    return text.replace('FAULT, NAME = "", "faulty"', f"FAULT, NAME = {said!r}, {name_of(fault)!r}", 1)


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All of them, as pip would install them."""
    folder = tmp_path_factory.mktemp("installed")
    lines = ["[ticketctl.tweaks]"]
    for fault in ["none", *FAULTS, *SOURCES, "own weight"]:
        module = name_of(fault).replace("-", "_")
        (folder / f"{module}.py").write_text(source_of(fault), encoding="utf-8")
        lines.append(f"{name_of(fault)} = {module}")
    facts = folder / "faulty-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        plugins.cache_clear()
        yield
    plugins.cache_clear()


def suite_of(fault: str) -> TweakSuite:
    found: TweakSuite = type("Faulty", (TweakSuite,), {"tweak": name_of(fault)})()
    return found


def claim_of(words: str) -> str:
    [claim] = [name for name in CLAIMS if name.endswith(words)] or [name for name in CLAIMS if words in name]
    return claim


def check(suite: TweakSuite, claim: str, folders: pytest.TempPathFactory) -> None:
    method = getattr(suite, claim)
    if method.__func__.__code__.co_argcount == 1:
        method()
    else:
        method(folders)


@pytest.mark.parametrize(
    ("fault", "words"),
    [*FAULTS.items(), *ALSO.items(), *((fault, words) for fault, (*_, words) in SOURCES.items())],
)
def test_a_fault_is_found(fault: str, words: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(AssertionError):
        check(suite_of(fault), claim_of(words), tmp_path_factory)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["none", "own weight"])
def test_a_sound_tweak_passes_every_claim(fault: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    suite = suite_of(fault)
    for claim in CLAIMS:
        check(suite, claim, tmp_path_factory)


def test_every_claim_is_broken_by_some_fault() -> None:
    words = [*FAULTS.values(), *ALSO.values(), *(words for *_, words in SOURCES.values())]
    assert {claim_of(each) for each in words} == {*CLAIMS}
