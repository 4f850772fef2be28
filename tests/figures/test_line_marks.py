"""How lines look where levels lose, where a chord lies beside them, and where points have words."""

from matplotlib.figure import Figure

from ticketctl.figures.ink import lines
from ticketctl.figures.sheet import FORMS, Axis, Sheet


def painted(rows, columns=()):
    sheet = Sheet(
        "barrier", "lines", "a title", Axis("epoch"), Axis("error", "%"), tuple(rows), columns=columns
    )
    figure = Figure()
    legend = lines.paint(sheet, figure)
    return figure.axes[0], legend


def point(x, role="line", **more):
    return ("", "imp", role, x, float(x), None, None, 3, *more.values())


def drawn(axes, dashed):
    """The x of lines that are solid, or dashed."""
    found = [one for one in axes.lines if one.get_linestyle() not in ("None", "") and len(one.get_xdata())]
    return [
        [x for x, y in zip(one.get_xdata(), one.get_ydata(), strict=True) if y == y]
        for one in found
        if (one.get_linestyle() == "--") == dashed
    ]


def test_the_line_is_solid_between_levels_that_win_and_dashed_to_and_from_others():
    axes, _ = painted([point(1), point(2), point(3, "lost"), point(4), point(5)])
    assert drawn(axes, dashed=True) == [[2, 3], [3, 4]]
    assert drawn(axes, dashed=False) == [[1, 2, 4, 5]]  # broken where a value is missing
    hollow = [one for one in axes.lines if one.get_markerfacecolor() == "white"]
    assert [list(one.get_xdata()) for one in hollow] == [[3]]


def test_the_legend_shows_the_solid_line_though_every_level_loses():
    _, legend = painted([point(1, "lost"), point(2, "lost")])
    assert (legend["imp"].get_linestyle(), legend["imp"].get_marker()) == ("-", "o")


def test_a_level_that_nobody_judged_is_neither_filled_nor_hollow_and_its_line_is_thin():
    axes, legend = painted([point(1, "unjudged"), point(2, "unjudged")])
    assert (legend["imp"].get_fillstyle(), legend["imp"].get_linewidth()) == ("left", 0.7)
    axes, legend = painted([point(1), point(2, "unjudged"), point(3, "lost")])
    assert legend["imp"].get_fillstyle() == "full"
    half = [one for one in axes.lines if one.get_fillstyle() == "left"]
    assert [list(one.get_xdata()) for one in half] == [[2]]
    assert drawn(axes, dashed=True) == [[2, 3]]


def test_a_chord_has_no_marks_and_does_not_stand_for_its_series():
    axes, legend = painted([point(0), point(1), point(2), point(0, "chord"), point(2, "chord")])
    assert legend["imp"].get_marker() == "o"
    assert [list(one.get_xdata()) for one in axes.lines if one.get_marker() == "None"] == [[0, 2]]


def test_a_further_column_says_a_word_beside_its_point():
    columns = (*FORMS["lines"], "label")
    axes, _ = painted([point(0, label="2"), point(4, label=None)], columns)
    assert [one.get_text() for one in axes.texts] == ["2"]


def test_where_all_x_are_whole_so_are_the_ticks():
    axes, _ = painted([point(1), point(2)])
    assert all(tick == round(tick) for tick in axes.get_xticks())
