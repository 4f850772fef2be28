"""What every claim about a tweak is on: the tweak, named by a subclass, and the spends that most claims look at."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from ticketctl.errors import UsageError
from ticketctl.stages.spent import Spent
from ticketctl.stages.tweaking import tweak_set
from ticketctl.testing.subject import Folders, no_waiting
from ticketctl.testing.tweak_case import Bought, TweakCase, drawn


class TweakSubject:
    """The attributes that a subclass sets."""

    tweak: ClassVar[str]
    """Its name, as users type it."""
    keys: ClassVar[Mapping[str, Any]] = {}
    """Keys of `[tweaks.<name>]`: what makes it quick, or shows more of it."""
    zero: ClassVar[Mapping[str, Any] | None] = None
    """Keys that take its strength away, laid over `keys`; none: the module's ZERO, if it has one."""
    others: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """For a key whose other values cannot be guessed: all keys to give, this one among them."""
    beside: ClassVar[tuple[str, ...]] = ("ls", "ema")
    """Tweaks that it is combined with; those that exclude it, or that it excludes, are left out."""
    tables: ClassVar[Mapping[str, Any]] = {}
    """Other tables of the recipe, e.g. {"train": {"epochs": 5}}."""
    idle: ClassVar[bool] = False
    """With these keys it may leave a training as it is."""
    kills: ClassVar[int] = 3
    """At how many moments a spend is killed."""

    _made: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls._made = {}

    def case(self, tmp_path_factory: Folders) -> TweakCase:
        """The tweak with its keys, in a folder that all claims share, on a ticket that all suites share."""
        if "case" not in self._made:
            folder = tmp_path_factory.mktemp(self.tweak)
            with no_waiting():
                origin = drawn(self.tables, folder.parent)
            self._made["case"] = TweakCase(self.tweak, self.keys, self.tables, origin, folder)
        found: TweakCase = self._made["case"]
        return found

    def bought(self, tmp_path_factory: Folders) -> Bought:
        """The spend with seed 0, watched."""
        if "bought" not in self._made:
            with no_waiting():
                self._made["bought"] = self.case(tmp_path_factory).bought()
        found: Bought = self._made["bought"]
        return found

    def plain(self, tmp_path_factory: Folders) -> Spent:
        """The same spend without tweaks."""
        if "plain" not in self._made:
            case = self.case(tmp_path_factory)
            with no_waiting():
                self._made["plain"] = case.spend(case.new_folder(), plain=True)[-1]
        found: Spent = self._made["plain"]
        return found

    def combined(self, tmp_path_factory: Folders) -> Bought:
        """The spend with its companions, watched."""
        if "combined" not in self._made:
            with no_waiting():
                self._made["combined"] = self.case(tmp_path_factory).bought(beside=self.companions())
        found: Bought = self._made["combined"]
        return found

    def companions(self) -> tuple[str, ...]:
        """Those of `beside` that go together with it, and with each other."""
        found: list[str] = []
        for name in self.beside:
            with suppress(UsageError):
                tweak_set([self.tweak, *found, name])
                found += [name] if name != self.tweak else []
        return tuple(found)

    def zeros(self, case: TweakCase) -> Mapping[str, Any] | None:
        """Keys at which it does nothing."""
        own: Mapping[str, Any] | None = case.says("ZERO", None) if self.zero is None else self.zero
        return own
