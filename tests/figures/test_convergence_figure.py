"""Convergence speed out of probe reports."""

import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import convergence as figure
from ticketctl.figures.sheet import NothingError


def probed(value, **more):
    return net(reports={("probe", "trained"): [report("probe", [row("convergence", value)])]}, **more)


def sheet(*families):
    (one,) = figure.gather(shelf(*families), params=figure.Params())
    return one


def test_a_ladder_is_a_line_from_its_dense_net_on():
    dense = family("dense", [probed(0.96)], method="dense")
    ladder = family("imp", [probed(0.9, level=1, density=0.5), probed(0.8, level=1, density=0.5, seed=1)],
                    dense=dense.groups[0])  # fmt: skip
    one = sheet(dense, ladder)
    assert [(r["x"], r["y"], r["n"]) for r in one.where(series="imp")] == [
        (0.0, 0.96, 1), (50.0, pytest.approx(0.85), 2),
    ]  # fmt: skip


def test_dense_nets_alone_are_bars_by_recipe():
    two = [
        family(name, [probed(value)], method="dense")
        for name, value in (("dense, a", 0.9), ("dense, b", 0.8))
    ]
    one = sheet(*two)
    assert (one.form, [(r["category"], r["y"]) for r in one.where()]) == (
        "bars",
        [("dense, a", 0.9), ("dense, b", 0.8)],
    )


def test_where_no_report_says_of_which_error_the_note_has_no_gap():
    one = sheet(family("imp", [probed(0.9, level=1, density=0.5)]))
    assert "of the error by epoch; 1: all of its fall in the first one" in one.notes


def test_without_reports_the_probe_is_named():
    with pytest.raises(
        NothingError, match=r"ticketctl probe runs/net/seed-0/levels/[0-9]+ --metrics convergence"
    ):
        sheet(family("imp", [net(density=0.5)]))
