"""Claims about what a metric finds: its rows, errors and arrays, and what they depend on."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

import numpy as np

from ticketctl.testing.metric_case import FORMS, ODD
from ticketctl.testing.metric_subject import MetricSubject
from ticketctl.testing.metric_watch import Seen
from ticketctl.testing.subject import Folders
from ticketctl.train.exam import Measurement, Value

ROW = r"[A-Za-z0-9_./@:+-]{1,100}"
ARRAY = r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,79}"
DTYPES = ("float64", "float32", "int64", "uint8")
SAME = 1e-9
"""Relative to 1 and to the value: additions in another order."""


class MetricClaims(MetricSubject):
    """Values that a report can hold, and that are functions of what they are said to be."""

    def test_its_rows_are_well_named_and_their_numbers_sound(self, tmp_path_factory: Folders) -> None:
        """The first is the metric itself; finite numbers, errors of 0 or more, how many they were taken over."""
        if self.absent:
            return
        case, values = self.case(tmp_path_factory), self.seen(tmp_path_factory).measurement.values
        assert values, "it found no value at all; raise Absent where there is nothing to measure"
        for name, one in values.items():
            _check_row(name, one)
        first, named = next(iter(values)), {self.metric, *case.literals.get("BETTER", {})}
        assert {first, first.partition(".")[0]} & named, (
            f"its first row is {first!r}: call it {self.metric!r}, or name it in BETTER"
        )

    def test_every_name_in_better_is_that_of_a_row(self, tmp_path_factory: Folders) -> None:
        """Or what stands before its first dot; a misspelt one would leave the row without a direction."""
        if self.absent:
            return
        values = self.seen(tmp_path_factory).measurement.values
        rows = {word for name in values for word in (name, name.partition(".")[0])}
        better = self.case(tmp_path_factory).literals.get("BETTER", {})
        odd = sorted(set(better) - rows - set(self.unseen))
        assert not odd, (
            f"BETTER names {odd}, which is none of {', '.join(values)}; of other keys: see `unseen`"
        )

    def test_its_arrays_and_its_protocol_are_such_as_a_report_holds(self, tmp_path_factory: Folders) -> None:
        """Four dtypes, eight dimensions at most, plain names; the protocol is plain JSON."""
        if self.absent:
            return
        found = self.seen(tmp_path_factory).measurement
        for name, array in found.arrays.items():
            assert re.fullmatch(ARRAY, name), (
                f"an array is called {name!r}: letters, digits and _.:+- are allowed"
            )
            kind = getattr(array, "dtype", type(array).__name__)
            assert str(kind) in DTYPES, f"the array {name} is {kind}; a report holds {', '.join(DTYPES)}"
            assert array.ndim <= 8, (
                f"the array {name} has {array.ndim} dimensions, and a report's have 8 at most"
            )
        try:
            text = json.dumps(found.protocol, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"the protocol is no plain JSON: {error}") from None
        assert json.loads(text) == dict(found.protocol), f"the protocol comes back from JSON as {text}"

    def test_the_same_subject_gives_the_same_values(self, tmp_path_factory: Folders) -> None:
        """To the bit, wherever the global random states stand, and after an audit that was stopped."""
        if self.absent:
            return
        one = self.seen(tmp_path_factory).measurement
        _disturb()
        other = self.again(tmp_path_factory).measurement
        odd = _differing(one, other)
        assert not odd, f"{odd} came out differently the second time; take chance from exam.seeds"

    def test_another_seed_gives_only_other_errors(self, tmp_path_factory: Folders) -> None:
        """A metric of answers has no chance in its values but in its errors; if it has, `seeded = True`."""
        if self.absent or self.seeded or self.case(tmp_path_factory).of_net:
            return
        one, other = (self.seen(tmp_path_factory, seed=seed).measurement.values for seed in (0, 1))
        odd = [name for name in one if name not in other or one[name].value != other[name].value]
        assert not odd, f"{odd} depend on the seed of the audit; if they have to, say `seeded = True`"

    def test_the_order_of_the_images_does_not_matter(self, tmp_path_factory: Folders) -> None:
        """Of a metric of answers, but for rounding."""
        if self.absent or self.case(tmp_path_factory).of_net:
            return
        one, other = (
            self.seen(tmp_path_factory, other_order=order).measurement.values for order in (False, True)
        )
        for name, value in one.items():
            there = other[name].value
            assert abs(there - value.value) <= SAME * max(1.0, abs(value.value)), (
                f"{name} is {value.value}, and {there} with the images in another order"
            )

    def test_it_reads_what_it_says_that_it_needs(self, tmp_path_factory: Folders) -> None:
        """All answers that it asks for are of sets in NEEDS: what an audit shows, prices and cites."""
        needs = self.case(tmp_path_factory).needs
        read = {name.partition("/")[0] for name in self.seen(tmp_path_factory).read}
        assert read <= {*needs}, f"it reads answers to {sorted(read - {*needs})}, and NEEDS is {needs}"

    def test_it_measures_dense_and_pruned_nets_of_grey_and_colour_images(
        self, tmp_path_factory: Folders
    ) -> None:
        """Also one with a layer that is pruned whole; or it says in a line why it cannot."""
        for form in FORMS:
            _check_told(self.seen(tmp_path_factory, form))

    def test_where_there_is_little_it_measures_or_says_why_not(self, tmp_path_factory: Folders) -> None:
        """Two images, images of one class, one Linear layer, a net that is sure: an audit goes on past it."""
        for form in ODD:
            _check_told(self.seen(tmp_path_factory, form))

    def test_absent_has_its_reason(self, tmp_path_factory: Folders) -> None:
        """With `absent`, it does say why there is nothing to measure."""
        if self.absent:
            seen = self.seen(tmp_path_factory)
            assert seen.error is None, f"it raises {seen.error!r}, where it should raise Absent"
            assert seen.reason, "`absent` is said, and it does measure something"
            _check_told(seen)


def _check_row(name: str, one: Value) -> None:
    assert re.fullmatch(ROW, name), (
        f"a row is called {name!r}: 1 to 100 letters, digits and _./@:+- are allowed"
    )
    assert isinstance(one, Value), f"{name} is {type(one).__name__}, not a Value"
    assert isinstance(one.value, float | int), f"{name} is {type(one.value).__name__}, not a float"
    assert isfinite(one.value), f"{name} is {one.value}"
    error = one.error
    assert error is None or (isinstance(error, float | int) and isfinite(error) and error >= 0), (
        f"the standard error of {name} is {error}; it is 0 or more, or None"
    )
    whole = isinstance(one.n, int) and not isinstance(one.n, bool)
    assert whole and one.n >= 0, f"{name} was taken over n = {one.n!r}: a whole number is wanted"  # noqa: PT018  # one sentence


def _check_told(seen: Seen) -> None:
    where = f"on {seen.form.name}"
    assert seen.error is None, (
        f"{where} it raises {seen.error!r}; raise Absent where there is nothing to measure"
    )
    if seen.found is None:
        reason = str(seen.reason)
        assert 10 <= len(reason) <= 1000, f"{where} it is Absent, and its reason is {reason!r}"
        assert "\n" not in reason, f"{where} the reason of Absent has more than a line: {reason!r}"
        return
    for name, one in seen.found.values.items():
        negative = one.error is not None and one.error < 0
        assert not negative, f"{where} the standard error of {name} is {one.error}"


def _disturb() -> None:
    """Move the global random states, which nobody may look at."""
    import torch

    torch.rand(7)
    np.random.random(3)


def _differing(one: Measurement, other: Measurement) -> list[str]:
    """What is not the same in both."""
    odd = [f"{name}" for name in {*one.values, *other.values} if not _same(one.values, other.values, name)]
    odd += [f"the array {name}" for name in {*one.arrays, *other.arrays} if not _alike(one, other, name)]
    return sorted(odd) + (["the protocol"] if one.protocol != other.protocol else [])


def _same(one: Any, other: Any, name: str) -> bool:
    pair = [(each[name].value, each[name].error, each[name].n) for each in (one, other) if name in each]
    return len(pair) == 2 and repr(pair[0]) == repr(pair[1])


def _alike(one: Measurement, other: Measurement, name: str) -> bool:
    pair = [np.asarray(each.arrays[name]) for each in (one, other) if name in each.arrays]
    return len(pair) == 2 and pair[0].shape == pair[1].shape and pair[0].tobytes() == pair[1].tobytes()
