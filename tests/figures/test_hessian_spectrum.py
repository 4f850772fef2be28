"""Spectral densities: what is drawn of a hand-made one."""

import numpy as np
import pytest
from shelves import family, net, report, row, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import hessian_spectrum as figure
from ticketctl.figures.sheet import NothingError


def audited(density=True):
    arrays = {"hessian/grid": [-1.0, 0.0, 1.0, 2.0], "hessian/density": [0.001, 10.0, 1e-30, 0.1]}
    rows = [row("hessian.trace", 3.0), row("hessian.max", 2.5), row("hessian.min", -0.5)]
    found = report("audit", rows, arrays if density else {})
    return shelf(family("dense", [net(reports={("audit", "trained"): [found]})], method="dense"))


def test_the_line_breaks_where_the_density_is_below_the_floor():
    (sheet,) = figure.gather(audited(), params=figure.Params())
    drawn = [(one["x"], one["y"]) for one in sheet.where(role="line")]
    assert drawn == [(-1.0, 0.001), (0.0, 10.0), (1.0, None), (2.0, 0.1)]
    assert sheet.y.low == pytest.approx(1e-7)
    assert sheet.y.scale == "log"


def test_upright_lines_stand_at_the_extreme_eigenvalues():
    (sheet,) = figure.gather(audited(), params=figure.Params())
    assert [one["x"] for one in sheet.where(role="mark")] == [-0.5, 2.5]


def test_a_trace_alone_is_no_spectrum():
    with pytest.raises(NothingError, match=r"metrics\.hessian\.density=4"):
        list(figure.gather(audited(density=False), params=figure.Params()))


def test_every_second_report_with_a_density_counts_though_most_nets_have_none():
    rows = [row("hessian.trace", 3.0)]
    plain = [
        net(
            level=level,
            density=0.5**level,
            reports={("audit", "trained"): [report("audit", rows, number=level)]},
        )
        for level in (1, 2, 3)
    ]
    more = audited().families[0].nets
    (sheet,) = figure.gather(
        shelf(family("dense", more, method="dense"), family("imp", plain)), params=figure.Params()
    )
    assert sheet.values("panel") == ["dense"]
    assert np.isfinite([one for one in sheet.column("x") if one is not None]).all()


def test_a_floor_above_everything_is_refused():
    with pytest.raises(UsageError, match=r"figures\.hessian-spectrum\.floor = 1 "):
        figure.Params(floor=1.0)
