"""Claims about what a metric says of itself, what of its keys it takes, and what it costs."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ticketctl import plugins
from ticketctl.errors import UsageError
from ticketctl.recipe_audit import parse_audit
from ticketctl.recipe_explore import parse_explore
from ticketctl.testing.metric_case import MetricCase
from ticketctl.testing.metric_subject import MetricSubject
from ticketctl.testing.subject import Folders
from ticketctl.testing.watch import refusal

NEEDED = ("net", "train", "val", "test", "ood", "corrupt", "history")
FORMS: dict[str, type] = {
    "FACTS": dict, "NEEDS": tuple, "BETTER": dict, "VERDICT": tuple, "EXTRA": str, "IMPORTS": tuple, "ASKED": bool,
}  # fmt: skip
"""Constants that are read from the source, and what each is."""

SIZES = {"train": 5, "val": 1, "test": 1, "ood/noise": 1, "corrupt/fog/1": 1}
"""Images of each set, times what is asked."""
HOSTILE: tuple[Any, ...] = ("no such value", math.nan, math.inf, -1, True, 10**40, [[]])
"""What somebody may type for a key: of another kind, or far outside any range."""


class MetricWords(MetricSubject):
    """Its literals are sound, its keys are described, values that cannot be are refused in one line."""

    def test_its_help_is_one_line_and_its_text_says_how_it_is_computed(self) -> None:
        """The docstring's first line stands in lists; the rest gives formula, source and choices."""
        plugin, text = plugins.plugins("metrics")[self.metric], plugins.describe("metrics", self.metric)
        assert 10 < len(plugin.help) < 120, f"{len(plugin.help)} characters of help: {plugin.help!r}"
        assert plugin.help.endswith("."), f"no full stop: {plugin.help!r}"
        body = text.partition("\n")[2].partition("\nFacts:")[0].strip()
        assert len(body) > 50, (
            "the module's docstring has no more than its first line: say how it is computed"
        )

    def test_its_constants_are_written_out(self, tmp_path_factory: Folders) -> None:
        """They are read from the source, which imports nothing: what is computed is not seen."""
        case = self.case(tmp_path_factory)
        for name, form in FORMS.items():
            if hasattr(case.module, name):
                value = getattr(case.module, name)
                assert isinstance(value, form), f"{name} is {value!r}, and should be a {form.__name__}"
                assert case.literals.get(name) == value, f"{name} = {value!r} is computed, or not at the top"

    def test_it_says_what_it_needs_what_it_costs_and_which_way_is_better(
        self, tmp_path_factory: Folders
    ) -> None:
        """FACTS, NEEDS and BETTER; EXTRA and IMPORTS if it needs a package, which is imported inside functions."""
        case = self.case(tmp_path_factory)
        said = {name: case.literals.get(name) for name in ("FACTS", "NEEDS", "BETTER")}
        for name, value in said.items():
            assert value is not None, f"there is no {name}, or it is no literal"
        for fact in ("data", "cost"):
            assert isinstance(case.literals["FACTS"].get(fact), str), f'FACTS has no "{fact}", in words'
        assert case.needs, f"NEEDS is empty; there is {', '.join(NEEDED)}"
        alien = sorted({*case.needs} - {*NEEDED})
        assert not alien, f"NEEDS {alien}; there is {', '.join(NEEDED)}"
        for row, way in case.literals["BETTER"].items():
            assert way in ("higher", "lower"), f"BETTER says {way!r} of {row}: it is higher or lower"
        together = ("EXTRA" in case.literals) == ("IMPORTS" in case.literals)
        assert together, "EXTRA and IMPORTS go together: how to install it, and what is then there"
        early = sorted({*_imported(case)} & {*case.literals.get("IMPORTS", ())})
        assert not early, (
            f"{early} is imported at the top: a plain install has it not; import it where it is used"
        )

    def test_its_keys_are_frozen_and_described(self, tmp_path_factory: Folders) -> None:
        """Params is a frozen dataclass, seen in the source, a string below each field; all have defaults."""
        params: Any = self.case(tmp_path_factory).module.Params
        assert hasattr(params, "__dataclass_params__"), "Params is no dataclass"
        assert params.__dataclass_params__.frozen, "Params is not frozen"
        error = refusal(TypeError, params)
        assert error is None, f"a key has no default: {error}"
        names, known = [part.name for part in fields(params)], plugins.keys("metrics", self.metric)
        assert sorted(known) == sorted(names), (
            f"in the source Params is seen to have {known}, and it has {names}"
        )
        said = plugins.describe("metrics", self.metric)
        for name in names:
            line = re.search(rf"^  {re.escape(name)}( = .*?)?: *(\S.*)$", said, flags=re.M)
            assert line, f"{name} has no string below it that says what it means"

    def test_an_unknown_key_is_refused_with_the_near_miss(self, tmp_path_factory: Folders) -> None:
        """Keys are the fields of Params."""
        case = self.case(tmp_path_factory)
        names = sorted((part.name for part in fields(case.module.Params)), key=len)
        wrong = f"{names[-1]}z" if names else "rate"
        command, tables = case.literals.get("COMMAND", "audit"), {"metrics": {self.metric: {wrong: 1}}}
        parse: Callable[..., Any] = parse_audit if command == "audit" else partial(parse_explore, command)
        error = refusal(UsageError, lambda: parse(tables, where="the suite"))
        assert error is not None, f"metrics.{self.metric}.{wrong} was taken for a key"
        assert not names or f"did you mean {names[-1]!r}?" in str(error), str(error)

    def test_values_that_cannot_be_are_refused_in_one_line(self, tmp_path_factory: Folders) -> None:
        """When Params is made, by a UsageError that names the key: before anything is measured."""
        case = self.case(tmp_path_factory)
        hints = get_type_hints(case.module.Params)
        for part in fields(case.module.Params):
            kinds = {hints[part.name], *get_args(hints[part.name])}
            for value in HOSTILE:
                self._check_refusal(case, part.name, value, kinds)

    def _check_refusal(self, case: MetricCase, key: str, value: object, kinds: set[Any]) -> None:
        told, refused = f"{key} = {str(value)[:60]!r}", None
        try:
            case.params({**case.keys, key: value})
        except Exception as error:  # another's code may raise anything
            refused = error
        assert refused is None or isinstance(refused, UsageError), f"{told}: no UsageError, but {refused!r}"
        assert "\n" not in str(refused), f"{told}: more than a line: {refused}"
        named = refused is None or f"metrics.{self.metric}.{key}" in str(refused)
        assert named, f"{told}: the refusal does not name metrics.{self.metric}.{key}: {refused}"
        odd = isinstance(value, float) and not math.isfinite(value)
        below = value == -1 and bool(kinds & {int, float}) and key not in self.signed
        assert refused is not None or not odd, f"{told} is taken: refuse it in __post_init__"
        assert refused is not None or not below, f"{told} is taken: refuse it, or name {key} in `signed`"

    def test_its_price_is_a_number_that_grows_with_the_images(self, tmp_path_factory: Folders) -> None:
        """In forward passes of single images; a metric of answers alone needs none."""
        case = self.case(tmp_path_factory)
        price = getattr(case.module, "price", None)
        assert price is not None or not case.of_net, (
            "a metric of the net says what it costs: price(sizes, params)"
        )
        for keys in ({}, case.keys) if price is not None else ():
            _check_prices(price, case.params(keys))


def _check_prices(price: Any, params: Any) -> None:
    before = 0.0
    for count in (2, 100, 10_000):
        sizes = {name: count * times for name, times in SIZES.items()}
        found = price(sizes, params)
        number = isinstance(found, float | int) and not isinstance(found, bool) and math.isfinite(found)
        assert number, f"its price is {found!r}, which is no number"
        assert found >= 0, f"its price is {found}, which is less than nothing"
        assert found >= before, f"{count} test images cost {found}, and fewer cost {before}"
        before = found


def _imported(case: MetricCase) -> Iterator[str]:
    """Packages that the module imports at its top."""
    spec = find_spec(case.module.__name__)
    assert spec is not None
    for node in ast.parse(Path(str(spec.origin)).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
