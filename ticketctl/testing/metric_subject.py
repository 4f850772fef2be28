"""What every claim about a metric is on: the metric, named by a subclass, and the measurements that claims look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ticketctl.testing.metric_case import PLAIN, Form, MetricCase
from ticketctl.testing.metric_watch import Seen, seen
from ticketctl.testing.subject import Folders


class MetricSubject:
    """The attributes that a subclass sets."""

    metric: ClassVar[str]
    """Its name, as users type it."""
    keys: ClassVar[Mapping[str, Any]] = {}
    """Keys of `[metrics.<name>]`: what makes it quick, or shows more of it."""
    absent: ClassVar[bool] = False
    """With these keys there is nothing to measure in the suite's nets, with a reason."""
    seeded: ClassVar[bool] = False
    """Of a metric of answers: another seed may give other values, not only other errors."""
    signed: ClassVar[tuple[str, ...]] = ()
    """Keys that may be -1."""
    unseen: ClassVar[tuple[str, ...]] = ()
    """Names in BETTER of rows that other keys or other nets give."""

    _made: ClassVar[dict[Any, Any]]

    def __init_subclass__(cls) -> None:
        cls._made = {}

    def files(self, folder: Path) -> Mapping[str, Any]:
        """More keys, whose values are files: override it to write them into `folder`."""
        return {}

    def case(self, tmp_path_factory: Folders) -> MetricCase:
        """The metric with its keys."""
        if "case" not in self._made:
            files = self.files(tmp_path_factory.mktemp(f"{self.metric}-files"))
            self._made["case"] = MetricCase(self.metric, {**self.keys, **files})
        found: MetricCase = self._made["case"]
        return found

    def seen(self, tmp_path_factory: Folders, form: Form = PLAIN, **wish: Any) -> Seen:
        """A measurement, watched; `wish` as in `metric_watch.seen`."""
        key = (form, *sorted(wish.items()))
        if key not in self._made:
            self._made[key] = self.again(tmp_path_factory, form, **wish)
        found: Seen = self._made[key]
        return found

    def again(self, tmp_path_factory: Folders, form: Form = PLAIN, **wish: Any) -> Seen:
        """The same, made anew."""
        return seen(self.case(tmp_path_factory), tmp_path_factory.mktemp(self.metric), form, **wish)
