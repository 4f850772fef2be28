"""The suite over metrics can fail: a metric with one fault breaks the claim about it, and a sound one none.

`faulty_metric.py` is written down once for each fault, as a module of another package with an entry point.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ticketctl.plugins import plugins
from ticketctl.testing import MetricSuite

SOURCE = Path(__file__).with_name("faulty_metric.py")
CLAIMS = [name for name in dir(MetricSuite) if name.startswith("test_")]

FAULTS = {
    "another first": ("its_rows", "its first row is 'first'"),
    "bad row name": ("its_rows", "'doubt of all'"),
    "negative error": ("its_rows", "the standard error of doubt.most is -0.1"),
    "no number": ("its_rows", "doubt.most is nan"),
    "a bare float": ("its_rows", "doubt.most is float, not a Value"),
    "a half": ("its_rows", "n = 1.5"),
    "absent": ("its_rows", "there is nothing to measure: none of this"),
    "half floats": ("its_arrays", "the array doubt is float16"),
    "truth": ("its_arrays", "the array doubt is bool"),
    "bad array name": ("its_arrays", "an array is called 'doubt of each'"),
    "nine dimensions": ("its_arrays", "has 9 dimensions"),
    "a tuple": ("its_arrays", "comes back from JSON"),
    "NaN said": ("its_arrays", "no plain JSON"),
    "unseeded": ("the_same_subject", "take chance from exam.seeds"),
    "numpy's chance": ("the_same_subject", "take chance from exam.seeds"),
    "counts calls": ("the_same_subject", "came out differently"),
    "grey alone": ("dense_and_pruned", "on a dense net of colour images it raises ValueError('3 channels')"),
    "no pruned layer": ("dense_and_pruned", "pruned whole it raises"),
    "absent in lines": ("dense_and_pruned", "more than a line"),
    "absent without a reason": ("dense_and_pruned", "its reason is ''"),
    "many images": ("where_there_is_little", "on two images it raises"),
    "weights": ("it_leaves_net", "conv1.weight of the net"),
    "mode": ("it_leaves_net", "training mode of conv1"),
    "gradient": ("it_leaves_net", "the gradient of conv1.weight"),
    "hook": ("it_leaves_net", "the number of hooks on the net"),
    "random state": ("it_leaves_net", "torch's random state"),
    "Python's random state": ("it_leaves_net", "Python's random state"),
    "stopped amid": ("when_it_is_stopped", "stopped at question 1 of 2: it has changed conv1.weight"),
    "never asks": ("it_asks", "it never asked whether to stop"),
    "deaf": ("it_asks", "stopped at question 1 of 1, it went on"),
    "prints": ("it_prints", "prints ['here I am"),
    "prints below": ("it_prints", "prints ['here I am"),
    "warns": ("it_prints", "UserWarning: here I am"),
    "writes": ("it_prints", "log.json"),
    "another error": ("values_that_cannot_be", "no UsageError, but RuntimeError"),
    "two lines": ("values_that_cannot_be", "more than a line"),
    "takes NaN": ("values_that_cannot_be", "noise = 'nan' is taken"),
    "takes less": ("values_that_cannot_be", "noise = '-1' is taken"),
    "no name": ("values_that_cannot_be", "does not name metrics.faulty-metric-no-name.noise"),
    "price in words": ("its_price", "'cheap', which is no number"),
    "negative price": ("its_price", "less than nothing"),
    "falling price": ("its_price", "and fewer cost"),
}
"""What `faulty_metric.py` does when it has this fault, the claim that says so, and in which words."""

OF_ANSWERS = {
    "order": ("the_order", "with the images in another order"),
    "seed": ("another_seed", "depend on the seed of the audit"),
    "answers": ("it_leaves_net", "the answers to test"),
    "reads others": ("it_reads", "it reads answers to ['train']"),
}
"""The same of a metric that takes answers alone."""

SOURCES: dict[str, tuple[str, str, str, str]] = {
    "help": ("noise on the pixels.\n", "noise on the pixels\n", "its_help", "no full stop"),
    "unsaid": ("The mean over images", '"""\n_ = """The mean', "its_help", "say how it is computed"),
    "computed": ("ASKED = True", "ASKED = not False", "written_out", "is computed"),
    "word": ("ASKED = True", "ASKED = 'yes'", "written_out", "should be a bool"),
    "no better": ('BETTER = {"doubt"', '_BETTER = {"doubt"', "which_way", "there is no BETTER"),
    "no needs": ('NEEDS = ("net"', '_NEEDS = ("net"', "which_way", "there is no NEEDS"),
    "cost": ('"cost": "1 pass', '"price": "1 pass', "which_way", 'FACTS has no "cost"'),
    "alien": ('("net", "test")', '("net", "test", "money")', "which_way", "NEEDS ['money']"),
    "sideways": ('"doubt": "lower"', '"doubt": "smaller"', "which_way", "BETTER says 'smaller' of doubt"),
    "alone": ("ASKED = True", 'EXTRA = "audit"', "which_way", "EXTRA and IMPORTS go together"),
    "early import": (
        "ASKED = True", 'EXTRA = "audit"\nIMPORTS = ("numpy",)', "which_way", "['numpy'] is imported at the top",
    ),
    "misspelt": ('"doubt.most": "lower"', '"doubt.mots": "lower"', "every_name", "BETTER names ['doubt.mots']"),
    "thawed": ("@dataclass(frozen=True)", "@dataclass", "are_frozen", "Params is not frozen"),
    "mute key": ('    """Its strength s, from 0."""\n', "", "are_frozen", "noise has no string below it"),
    "no default": ("noise: float = 0.01", "noise: float", "are_frozen", "a key has no default"),
    "hidden keys": ("class Params:", "class _Keys:", "an_unknown_key", "it has none"),
    "no price": ("def price(", "def _price(", "its_price", "says what it costs"),
}  # fmt: skip
"""Faults that are seen in the source: what is replaced by what, the claim, and its words."""

HIDDEN = "\n\nParams = _Keys\n\n\ndef price("
CASES = {**FAULTS, **OF_ANSWERS, **{fault: (claim, says) for fault, (*_, claim, says) in SOURCES.items()}}


def name_of(fault: str) -> str:
    return (
        "faulty-metric-" + "".join(letter if letter.isalpha() else "-" for letter in fault).strip("-").lower()
    )


def source_of(fault: str) -> str:
    text = SOURCE.read_text(encoding="utf-8")
    old, new, *_ = SOURCES.get(fault, ("", ""))
    assert old in text
    text = text.replace(old, new, 1) if old else text
    text = text.replace("\n\ndef price(", HIDDEN, 1) if fault == "hidden keys" else text
    if fault in (*OF_ANSWERS, "sound answers"):
        text = text.replace('NEEDS = ("net", "test")', 'NEEDS = ("test",)', 1)
    said = "" if fault in SOURCES or fault in ("none", "sound answers") else fault
    return text.replace('FAULT, NAME = "", "faulty"', f"FAULT, NAME = {said!r}, {name_of(fault)!r}", 1)


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All of them, as pip would install them."""
    folder = tmp_path_factory.mktemp("installed")
    lines = ["[ticketctl.metrics]"]
    for fault in ["none", "sound answers", *CASES]:
        module = name_of(fault).replace("-", "_")
        (folder / f"{module}.py").write_text(source_of(fault), encoding="utf-8")
        lines.append(f"{name_of(fault)} = {module}")
    facts = folder / "faulty_metrics-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: faulty-metrics\nVersion: 1\n", encoding="utf-8"
    )
    (facts / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        plugins.cache_clear()
        yield
    plugins.cache_clear()


def suite_of(fault: str, **more: Any) -> MetricSuite:
    found: MetricSuite = type("Faulty", (MetricSuite,), {"metric": name_of(fault), **more})()
    return found


def claim_of(words: str) -> str:
    [claim] = [name for name in CLAIMS if name.endswith(words)] or [name for name in CLAIMS if words in name]
    return claim


def check(suite: MetricSuite, claim: str, folders: pytest.TempPathFactory) -> None:
    method = getattr(suite, claim)
    if method.__func__.__code__.co_argcount == 1:
        method()
    else:
        method(folders)


@pytest.mark.parametrize("fault", CASES)
def test_a_fault_is_found_and_named(fault: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    words, says = CASES[fault]
    with pytest.raises(AssertionError) as found:
        check(suite_of(fault), claim_of(words), tmp_path_factory)
    assert says in str(found.value)


@pytest.mark.parametrize("fault", ["none", "sound answers"])
def test_a_sound_metric_passes_every_claim(fault: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    suite = suite_of(fault, keys={"noise": 0.02})
    for claim in CLAIMS:
        check(suite, claim, tmp_path_factory)


def test_absent_is_a_word_that_is_held_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    suite = suite_of("absent", absent=True)
    for claim in CLAIMS:
        check(suite, claim, tmp_path_factory)
    with pytest.raises(AssertionError, match="it does measure something"):
        check(suite_of("none", absent=True), "test_absent_has_its_reason", tmp_path_factory)


def test_a_seeded_metric_of_answers_and_a_signed_key_may_be(tmp_path_factory: pytest.TempPathFactory) -> None:
    check(suite_of("seed", seeded=True), claim_of("another_seed"), tmp_path_factory)
    check(suite_of("takes less", signed=("noise",)), claim_of("values_that_cannot_be"), tmp_path_factory)
    check(suite_of("misspelt", unseen=("doubt.mots",)), claim_of("every_name"), tmp_path_factory)


def test_keys_that_are_files_are_written_first(tmp_path_factory: pytest.TempPathFactory) -> None:
    class Faulty(MetricSuite):
        metric = name_of("none")

        def files(self, folder: Path) -> dict[str, Any]:
            (folder / "noise.txt").write_text("0.5")
            return {"noise": float((folder / "noise.txt").read_text())}

    assert Faulty().case(tmp_path_factory).params().noise == 0.5


def test_every_claim_is_broken_by_some_fault() -> None:
    broken = {claim_of(words) for words, _ in CASES.values()} | {"test_absent_has_its_reason"}
    assert broken == {*CLAIMS}
