"""Convergence speed against equation 4 of paper 003, in closed form."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from ticketctl.metrics.convergence import Params, convergence_speed, measure
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent, Exam, History


def found_in(**columns):
    rows = {name.replace("_", "."): np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    history = History(rows, (), dict)
    return measure(Exam(lambda name: None, (), Seeds(0), history=history), params=Params())


def test_an_error_that_is_down_after_one_epoch_has_speed_one() -> None:
    assert convergence_speed(np.array([1, 0.5, 0.5])) == 1


@pytest.mark.parametrize("epochs", [1, 2, 7, 200])
def test_an_error_that_falls_evenly_has_speed_t_plus_one_over_two_t(epochs) -> None:
    found = convergence_speed(np.linspace(0.9, 0.1, epochs + 1))
    assert found == pytest.approx(float(Fraction(epochs + 1, 2 * epochs)), abs=1e-12)


def test_it_is_above_one_where_the_error_was_lower_on_the_way() -> None:
    assert convergence_speed(np.array([1.0, 0.25, 0.5])) == pytest.approx((1.5 + 1) / 2)


def test_it_is_the_sum_written_out_and_scale_and_offset_do_not_matter() -> None:
    error = np.random.default_rng(0).random(31)
    exact = [Fraction(value) for value in error.tolist()]
    by_hand = sum((exact[0] - one) / (exact[0] - exact[-1]) for one in exact[1:]) / 30
    assert convergence_speed(error) == pytest.approx(float(by_hand), rel=1e-12)
    assert convergence_speed(0.3 * error + 0.2) == pytest.approx(float(by_hand), rel=1e-9)


def test_where_the_error_ends_as_it_began_there_is_no_speed() -> None:
    assert convergence_speed(np.array([0.5, 0.1, 0.5])) is None
    with pytest.raises(Absent, match=r"val error ends where it began, at 0\.5"):
        found_in(epoch=[0, 1], val_accuracy=[0.5, 0.5])


def test_it_is_of_validation_accuracy_and_of_test_only_where_there_is_no_other() -> None:
    columns = {"epoch": [0, 1, 2], "test_accuracy": [0.0, 0.25, 1.0]}
    found = found_in(**columns)
    assert (found.protocol["error"], found.values["convergence"].value) == ("test", (0.25 + 1) / 2)
    found = found_in(**columns, val_accuracy=[0.5, 1.0, 1.0])
    assert (found.protocol["error"], found.values["convergence"].value) == ("val", 1.0)
    assert found.values["convergence.start"].value == 0.5
    assert found.values["convergence.end"].value == 0.0
    assert found.arrays["error"].tolist() == [0.5, 0.0, 0.0]
    assert found.arrays["epoch"].tolist() == [0, 1, 2]
    assert next(iter(found.values)) == "convergence"


def test_nothing_to_measure_is_said_in_a_line() -> None:
    with pytest.raises(Absent, match="was not trained"):
        measure(Exam(lambda name: None, (), Seeds(0)), params=Params())
    with pytest.raises(Absent, match="neither validation nor test"):
        found_in(epoch=[0, 1], train_accuracy=[0.1, 0.2])
    with pytest.raises(Absent, match="not known before training"):
        found_in(epoch=[0, 1, 2], val_accuracy=[np.nan, 0.5, 0.6])
    with pytest.raises(Absent, match="not known before training"):
        found_in(epoch=[0], val_accuracy=[0.5])
