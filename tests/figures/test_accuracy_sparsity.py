"""Accuracy against sparsity: means and deviations worked out by hand."""

from dataclasses import replace

import pytest

from tests.figures.shelves import family, ladder, net, shelf
from ticketctl.figures import accuracy_sparsity as figure
from ticketctl.figures.sheet import NothingError


def sheet_of(*families, **keys):
    (one,) = figure.gather(shelf(*families), params=figure.Params(**keys))
    return one


def test_a_point_is_the_mean_and_one_sample_deviation_in_percent():
    one = sheet_of(*ladder({0.5: [0.90, 0.94], 0.25: [0.80]}))
    deviation = 100 * (2 * 0.02**2) ** 0.5  # of two values 0.04 apart
    (first, second) = one.where(series="imp")
    assert (first["x"], first["n"]) == (50.0, 2)
    assert first["y"] == pytest.approx(92)
    assert (first["low"], first["high"]) == pytest.approx((92 - deviation, 92 + deviation))
    assert (second["x"], second["y"], second["low"], second["n"]) == (75.0, pytest.approx(80), None, 1)


def test_the_dense_net_is_a_line_across():
    (dense,) = sheet_of(*ladder({0.5: [0.9]}, dense=(0.90, 0.92))).where(role="reference")
    assert (dense["series"], dense["x"], dense["n"]) == ("dense", None, 2)
    assert dense["y"] == pytest.approx(91)


def test_a_diverged_run_is_in_no_mean_and_is_counted():
    nets = [net(level=1, density=0.5, seed=0, values={"test.accuracy": 0.9})]
    nets += [net(level=1, density=0.5, seed=1, values={"test.accuracy": 0.1}, diverged=True)]
    one = sheet_of(family("imp", nets))
    assert [row["y"] for row in one.where(series="imp")] == [pytest.approx(90)]
    assert "1 of 2 runs diverged: in no mean" in one.notes


def test_each_net_and_data_set_has_a_sheet():
    two = [
        family("imp", [net(density=0.5, values={"test.accuracy": 0.9})], data=data)
        for data in ("digits", "mnist")
    ]
    found = list(figure.gather(shelf(*two), params=figure.Params()))
    assert [one.name for one in found] == [
        f"accuracy-sparsity.lenet-300-100-{data}" for data in ("digits", "mnist")
    ]


def test_without_a_trained_ticket_the_command_is_named():
    dense = family("dense", [net(values={"test.accuracy": 0.9})], method="dense")
    with pytest.raises(NothingError, match="ticketctl spend"):
        list(figure.gather(shelf(dense), params=figure.Params()))


def test_a_metric_that_no_run_has_is_told():
    with pytest.raises(NothingError, match=r"no run measured 'val\.loss'"):
        list(figure.gather(shelf(*ladder({0.5: [0.9]})), params=figure.Params(metric="val.loss")))


def test_many_recipes_have_sheets_of_twelve_lines():
    dense, imp = ladder({0.5: [0.8]})
    many = [replace(imp, label=f"imp, lr={at}") for at in range(30)]
    found = list(figure.gather(shelf(dense, *many), params=figure.Params()))
    assert [one.name for one in found] == [f"accuracy-sparsity.{end}" for end in ("all", "all-2", "all-3")]
    lines = [row["series"] for one in found for row in one.where(role="line")]
    assert lines == [one.label for one in many]
    assert all(len(list(one.where(role="line"))) <= 12 for one in found)


def test_diverged_dense_nets_are_counted_too():
    dense, imp = ladder({0.5: [0.8]})
    group = replace(
        dense.groups[0], nets=tuple(replace(one, diverged=at == 1) for at, one in enumerate(dense.nets))
    )
    (one,) = figure.gather(
        shelf(replace(dense, groups=(group,), dense=group), replace(imp, dense=group)), params=figure.Params()
    )
    assert one.notes == ("single runs, n = 1", "1 of 3 runs diverged: in no mean")
