"""Claims about what a tweak says of itself, what of its keys it takes, and what it refuses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ticketctl import plugins
from ticketctl.errors import UsageError
from ticketctl.stages.setting import Setting
from ticketctl.testing.subject import Folders
from ticketctl.testing.tweak_case import TweakCase
from ticketctl.testing.tweak_subject import TweakSubject
from ticketctl.testing.tweak_watch import Made
from ticketctl.testing.watch import refusal

CHANGES = ("net", "loss", "gradient", "weights", "mask", "start", "course")
NEEDED = ("teacher", "levels")
FORMS: dict[str, type | tuple[type, ...]] = {
    "FACTS": dict, "EXCLUDES": dict, "NEEDS": tuple, "RANK": int, "AFTER": bool, "DENSE": bool, "STEPS": int,
    "LENGTH": bool,    "RECORD": tuple, "ZERO": dict,
}  # fmt: skip
"""Constants that are read from the source, and what each is."""

HOSTILE: tuple[Any, ...] = ("no such value", math.nan, math.inf, -1, 10**40, [[]])
"""What somebody may type for a key: of another kind, or far outside any range."""


class TweakWords(TweakSubject):
    """Its literals are sound; its identity says all keys; keys that cannot be are refused in one line."""

    def test_its_identity_is_plain_json_with_every_key(self, tmp_path_factory: Folders) -> None:
        """It names the training, so all that the bits depend on stands in it."""
        hook = self.bought(tmp_path_factory).attendance.last.hook
        said = hook.identity()
        text = json.dumps(said, allow_nan=False)
        assert json.loads(text) == said, f"{said} comes back as {text}"
        assert said.get("tweak") == self.tweak, f'no "tweak": {self.tweak!r} in {said}'
        missing = [
            part.name for part in fields(self.case(tmp_path_factory).module.Params) if part.name not in said
        ]
        assert not missing, f"{missing} are not in {said}: two trainings would have one name"

    def test_its_identity_changes_with_every_key(self, tmp_path_factory: Folders) -> None:
        """A key whose other values cannot be guessed stands in `others`. A teacher is named by its weights."""
        case, made = self.case(tmp_path_factory), self.bought(tmp_path_factory).attendance.last
        for part in fields(case.module.Params):
            if part.name == "teacher" and "teacher" in case.says("NEEDS", ()):
                continue
            found = [*self._pairs(case, made, part.name)]
            assert found, f"no other value for {part.name} was found; give one in `others`"
            for one, other, value in found:
                assert one != other, f"{part.name} = {value!r} changes nothing in {one}"

    def _pairs(self, case: TweakCase, made: Made, key: str) -> Iterator[tuple[str, str, object]]:
        """Identities that differ in one key, as far as its values are taken."""
        if key in self.others:
            keys = {**self.keys, **self.others[key]}
            without = {name: value for name, value in keys.items() if name != key}
            one, other = _said(case, made, without), _said(case, made, keys)
            if one is None or other is None:
                raise AssertionError(f"others[{key!r}]: {keys} is refused, with the key or without it")
            yield one, other, keys[key]
            return
        one = _said(case, made, self.keys)
        assert one is not None
        hint = get_type_hints(case.module.Params, include_extras=False)[key]
        for value in _other_values(getattr(made.params, key), hint):
            other = _said(case, made, {**self.keys, key: value})
            if other is not None:
                yield one, other, value

    # ------------------------------------------------------------------------------------------------ what is refused

    def test_an_unknown_key_is_refused_with_the_near_miss(self, tmp_path_factory: Folders) -> None:
        """Keys are the fields of Params."""
        case = self.case(tmp_path_factory)
        names = sorted((part.name for part in fields(case.module.Params)), key=len)
        wrong = f"{names[-1]}z" if names else "rate"
        error = refusal(UsageError, lambda: case.recipe({wrong: 1}))
        assert error is not None, f"tweaks.{self.tweak}.{wrong} was taken for a key"
        assert not names or f"did you mean {names[-1]!r}?" in str(error), str(error)

    def test_values_that_cannot_be_are_refused_in_one_line(self, tmp_path_factory: Folders) -> None:
        """By a UsageError that names the key; what is taken has an identity that is plain JSON, NaN is not."""
        case = self.case(tmp_path_factory)
        setting = case.setting()
        for part in fields(case.module.Params):
            for value in HOSTILE:
                self._check_refusal(case, setting, part.name, value)

    def _check_refusal(self, case: TweakCase, setting: Setting, key: str, value: object) -> None:
        told, said = f"{key} = {str(value)[:60]!r}", ""
        try:
            [hook] = case.dressed(setting, {**self.keys, key: value}).hooks
            said = json.dumps(hook.identity(), default=repr)
            refused = None
        except Exception as error:
            refused = error
        assert not re.search(r"\b(NaN|Infinity)\b", said), f"{told} is taken: {said}"
        assert refused is None or isinstance(refused, UsageError), f"{told}: no UsageError, but {refused!r}"
        assert "\n" not in str(refused), f"{told}: more than a line: {refused}"
        named = refused is None or f"tweaks.{self.tweak}.{key}" in str(refused)
        assert named, f"{told}: the key is not named: {refused}"

    # ------------------------------------------------------------------------------------------------ what it says

    def test_its_help_is_one_line_and_its_text_cites_its_source(self) -> None:
        """The docstring's first line stands in lists; the rest names a paper or a year."""
        plugin, text = plugins.plugins("tweaks")[self.tweak], plugins.describe("tweaks", self.tweak)
        assert 10 < len(plugin.help) < 120, f"{len(plugin.help)} characters of help: {plugin.help!r}"
        assert plugin.help.endswith("."), f"no full stop: {plugin.help!r}"
        cited = re.search(r"\b(19|20)\d\d\b|\b[Pp]apers? 00\d", text)
        assert cited, "the module's docstring names no paper and no year"

    def test_its_constants_are_written_out(self, tmp_path_factory: Folders) -> None:
        """They are read from the source, which imports nothing: what is computed is not seen."""
        case = self.case(tmp_path_factory)
        literals = plugins.plugins("tweaks")[self.tweak].literals
        for name, form in FORMS.items():
            if hasattr(case.module, name):
                value = getattr(case.module, name)
                assert isinstance(value, form), f"{name} is {value!r}"
                assert literals.get(name) == value, f"{name} = {value!r} is computed, or not at the top"

    def test_its_constants_are_sound(self, tmp_path_factory: Folders) -> None:
        """What it changes, what it costs, whom it excludes and why, what it needs, its keys at zero strength."""
        case, known = self.case(tmp_path_factory), plugins.plugins("tweaks")
        facts, excludes = case.says("FACTS", {}), case.says("EXCLUDES", {})
        assert facts.get("changes") in CHANGES, f'FACTS["changes"] is none of {", ".join(CHANGES)}'
        assert isinstance(facts.get("cost"), str), 'FACTS has no "cost"'
        for name, reason in excludes.items():
            assert name in known.keys() - {self.tweak}, f"EXCLUDES {name!r}, which is no other tweak"
            assert isinstance(reason, str), f"EXCLUDES {name!r}: {reason!r} is no reason"
            assert reason, f"EXCLUDES {name!r} without a reason"
        alien = set(case.says("NEEDS", ())) - set(NEEDED)
        assert not alien, f"NEEDS {sorted(alien)}; there is {', '.join(NEEDED)}"
        assert case.says("STEPS", 0) == 0, "STEPS is 0, or not there"
        names = {part.name for part in fields(case.module.Params)}
        assert set(case.says("ZERO", {})) <= names, f"ZERO has keys that are none of {sorted(names)}"

    def test_its_keys_are_frozen_and_described(self, tmp_path_factory: Folders) -> None:
        """Params is a frozen dataclass with a string below each field, and everything has a default."""
        params: Any = self.case(tmp_path_factory).module.Params
        assert hasattr(params, "__dataclass_params__"), "Params is no dataclass"
        assert params.__dataclass_params__.frozen, "Params is not frozen"
        error = refusal(TypeError, params)
        assert error is None, f"a key has no default: {error}"
        said = plugins.describe("tweaks", self.tweak)
        for part in fields(params):
            line = re.search(rf"^  {re.escape(part.name)}( = .*?)?: *(\S.*)$", said, flags=re.M)
            assert line, f"{part.name} has no string below it that says what it means"


def _said(case: TweakCase, made: Made, keys: Mapping[str, Any]) -> str | None:
    """The identity with these keys; None if they cannot be."""
    try:
        params = TypeAdapter(case.module.Params).validate_python(dict(keys))
        said = case.module.tweak(made.kit, params=params).identity()
    except (UsageError, ValidationError):
        return None
    return json.dumps(said, sort_keys=True, default=repr)


def _other_values(value: object, hint: Any) -> list[Any]:
    """Values of a key of this type, other than `value`: some may be out of its range."""
    kinds = [hint, *get_args(hint)] if get_origin(hint) is not Literal else []
    found: list[Any] = [
        option for kind in [hint, *kinds] if get_origin(kind) is Literal for option in get_args(kind)
    ]
    if isinstance(value, tuple):
        found += [value[:-1], (*value, *value[:1])]
    elif bool in kinds:
        found += [True, False]
    elif int in kinds:
        found += [1, 2, 3] if value is None else [value + 1, value - 1]  # type: ignore[operator]  # a number
    elif float in kinds:
        found += [0.05] if value is None else [value * 0.9, value + 0.05]  # type: ignore[operator]  # a number
    elif Fraction in kinds:
        found += [Fraction(1, 3), Fraction(2, 3)]
    return [option for option in found if option != value]
