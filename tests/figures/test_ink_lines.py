"""Lines as they are painted: ticks, marks, uprights, what stands in the legend."""

import pytest
from matplotlib.figure import Figure

from ticketctl.figures.ink import lines
from ticketctl.figures.sheet import Axis, Sheet


def painted(*rows):
    """The axes and the legend of rows of panel, series, role, x, y."""
    table = tuple((*row, None, None, 1) for row in rows)
    figure = Figure()
    legend = lines.paint(Sheet("gain", "lines", "title", Axis("epoch"), Axis("value"), table), figure)
    figure.canvas.draw()
    return figure.axes, legend


def test_whole_epochs_have_whole_ticks():
    (axes,), _ = painted(*(("", "a", "line", float(x), 0.5) for x in range(3)))
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_other_places_keep_the_ticks_between():
    (axes,), _ = painted(*(("", "a", "line", x / 2, 0.5) for x in range(3)))
    assert any(not float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("points", [5, 16, 17, 200])
def test_a_long_line_has_few_marks_and_never_none(points):
    (axes,), _ = painted(*(("", "a", "line", float(x), 1.0) for x in range(points)))
    (line,) = axes.lines
    shown = len(range(0, points, line.get_markevery()))
    assert line.get_marker() == "o"
    assert 8 <= shown <= 16 or shown == points


def test_uprights_at_one_place_are_dashed_in_turn():
    rows = [("", name, "mark", 3.0, None) for name in "abc"] + [("", "a", "line", 1.0, 1.0)]
    (axes,), _ = painted(*rows)
    marks = [line for line in axes.lines if list(line.get_xdata()) == [3.0, 3.0]]
    assert len({str(line._dash_pattern) for line in marks}) == 3


def test_the_legend_shows_a_line_where_some_panel_has_one():
    rows = [
        ("left", "a", "paper", 1.0, 1.0),
        ("right", "a", "line", 1.0, 1.0),
        ("right", "b", "paper", 1.0, 1.0),
    ]
    _, legend = painted(*rows)
    assert list(legend) == ["a", "b", lines.PAPER]
    assert legend["a"].get_linestyle() == "-"
    assert legend["b"].get_linestyle() == "None"


def test_the_paper_s_marks_have_the_colour_and_form_of_their_series():
    (axes,), _ = painted(
        ("", "a", "line", 1.0, 1.0), ("", "b", "line", 1.0, 2.0), ("", "b", "paper", 1.0, 3.0)
    )
    line, mark = (next(one for one in axes.lines if list(one.get_ydata()) == [y]) for y in (2.0, 3.0))
    assert (mark.get_color(), mark.get_marker()) == (line.get_color(), line.get_marker())
    assert mark.get_markerfacecolor() == "none"


@pytest.mark.parametrize("far", [-70.0, 70.0])
def test_the_paper_s_marks_are_all_inside_however_far_from_the_runs(far):
    """Three series at one place stand side by side: what is moved aside does not widen the axes by itself."""
    rows = [("", name, role, 1.0, y) for name in "abc" for role, y in (("line", 1.0), ("paper", far))]
    (axes,), _ = painted(*rows)
    low, high = axes.get_ylim()
    assert low < min(far, 1.0) < max(far, 1.0) < high
