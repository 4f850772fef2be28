"""The largest eigenvalue by epoch and against sparsity."""

import numpy as np
import pytest
from shelves import family, net, shelf

from ticketctl.artifacts.series import Series
from ticketctl.figures import lambda_max as figure
from ticketctl.figures.sheet import NothingError


def watched(values, *, first=0, **more):
    epochs = np.arange(first, first + len(values), dtype=np.int32)
    series = Series(("test.loss",), np.zeros((len(values), 1), np.float32), epochs, epochs.astype(np.int64))
    return net(series=series, record={"lambda_max": np.array(values, np.float64)}, **more)


def ladder():
    dense = family("dense", [watched([50.0, 4.0])], method="dense")
    nets = [
        watched(one, level=1, density=0.1, seed=at, first=2)
        for at, one in enumerate(([8.0, 2.0], [6.0, 4.0]))
    ]
    return dense, family("imp", nets, dense=dense.groups[0])


def sheets(*families, **keys):
    return {one.part: one for one in figure.gather(shelf(*families), params=figure.Params(**keys))}


def test_a_line_over_epochs_is_the_mean_of_the_runs():
    rows = sheets(*ladder())["epochs"].where(panel="90 %")
    assert [(row["x"], row["y"], row["n"]) for row in rows] == [(2.0, 7.0, 2), (3.0, 3.0, 2)]


def test_a_panel_for_each_level_the_dense_net_first():
    assert sheets(*ladder())["epochs"].values("panel") == ["dense", "90 %"]


def test_against_sparsity_stands_the_last_value_from_the_dense_net_on():
    rows = sheets(*ladder())["sparsity"].where(series="imp")
    assert [(row["x"], row["y"]) for row in rows] == [(0.0, 4.0), (pytest.approx(90), 3.0)]


def test_in_place_of_a_middle_level_without_a_record_stands_the_nearest_that_has_one():
    """Of levels at 50, 75, 93.75 and 96.88 % the second is the middle one, and the first is nearest to it."""
    nets = [
        net(density=0.5**level, level=level)
        if level == 2
        else watched([4.0, 2.0], density=0.5**level, level=level)
        for level in (1, 2, 4, 5)
    ]
    one = sheets(family("imp", nets))["epochs"]
    assert one.values("panel") == ["50 %", "96.88 %"]
    assert one.notes[-1] == "without a record: 75 %; the nearest level that has one stands for it"
    asked = sheets(family("imp", nets), levels=(75.0, 94.0))["epochs"]
    assert (asked.values("panel"), asked.notes[-1]) == (["50 %", "93.75 %"], one.notes[-1])
    assert not any("without a record" in note for note in sheets(*ladder())["epochs"].notes)


def test_where_a_value_is_not_above_0_the_scale_is_linear():
    assert sheets(*ladder())["epochs"].y.scale == "log"
    assert sheets(family("imp", [watched([1.0, -0.5], density=0.5, level=1)]))["epochs"].y.scale == "linear"


def test_a_record_of_another_length_than_the_history_is_not_guessed_at():
    one = watched([1.0, 2.0])
    assert figure.course_of(net(series=one.series(), record={"lambda_max": np.ones(3)})) == {}


def test_an_eigenvalue_that_is_no_number_is_no_point():
    assert figure.course_of(watched([1.0, np.nan])) == {0.0: 1.0}


def test_without_records_the_key_is_named():
    with pytest.raises(NothingError, match=r"keep\.lambda_max"):
        sheets(family("imp", [net(density=0.5)]))
