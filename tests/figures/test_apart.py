"""Lines, marks and names that would hide each other: what lies below is wider, the paper's marks step aside."""

from itertools import pairwise

import pytest

from tests.figures.looks import boxes
from ticketctl.figures.ink import apart, lines, style
from ticketctl.figures.ink.picture import painted, picture
from ticketctl.figures.sheet import FORMS, Axis, Sheet


def sheet(rows, *, x=None, y=None, form="lines"):
    """Of rows without a panel; a name for each."""
    axes = (x or Axis("epoch"), y or Axis("value"))
    return Sheet("gain", form, "a net", *axes, tuple(("", *row) for row in rows))


def line(name, values, role="line"):
    return [(name, role, float(at), value, None, None, 1) for at, value in enumerate(values)]


def widths(*rows, **axes):
    with painted(sheet([row for one in rows for row in one], **axes)) as figure:
        return [one.get_linewidth() for one in figure.axes[0].lines]


def test_a_line_that_another_hides_is_wider_and_one_that_two_hide_wider_still():
    apart_from_all = widths(line("a", [0, 1, 2, 3]), line("b", [9, 8, 7, 6]))
    hidden = widths(line("a", [0, 1, 2, 3]), line("b", [0, 1, 2, 9]))
    twice = widths(line("a", [0, 1, 2, 3]), line("b", [0, 1, 2, 3]), line("c", [0, 1, 2, 3]))
    assert apart_from_all == [1.5, 1.5]
    assert hidden[0] > hidden[1] == 1.5
    assert twice[0] > twice[1] > twice[2] == 1.5


def test_on_a_logarithmic_scale_decades_lie_apart():
    rows = line("a", [100.0, 0.1, 0.1]), line("b", [100.0, 0.001, 0.001])
    assert widths(*rows)[0] > 1.5
    assert widths(*rows, y=Axis("value", scale="log")) == [1.5, 1.5]


@pytest.mark.parametrize(("met", "under"), [(1, 0), (2, 1), (4, 1)])
def test_half_of_its_points_hide_a_line(met, under):
    lower = [(float(at), 0.0) for at in range(4)]
    upper = [(float(at), 0.0 if at < met else 1.0) for at in range(4)]
    assert apart.hidden({"lower": lower, "upper": upper}) == {"lower": under, "upper": 0}


def test_the_paper_s_marks_at_one_place_stand_side_by_side_about_it_and_the_legend_says_so():
    with painted(sheet([row for name in "abc" for row in line(name, [1.0], "paper")])) as figure:
        axes = figure.axes[0]
        shown = [float(one.get_transform().transform((0.0, 1.0))[0]) for one in axes.lines]
        place = float(axes.transData.transform((0.0, 1.0))[0])
        words = [text for text, _ in boxes(figure)]
    assert sum(shown) / 3 == pytest.approx(place)
    assert all(after - before > 2 for before, after in pairwise(shown))
    assert lines.PAPER + lines.BESIDE in words


def test_the_paper_s_marks_of_one_series_stand_at_their_place():
    assert apart.aside({"a": [(0.0, 1.0), (1.0, 1.0)]}) == {"a": 0.0}
    assert apart.aside({"a": [(0.0, 1.0)], "b": [(1.0, 1.0)]}) == {"a": 0.0, "b": 0.0}


def test_many_series_of_a_paper_together_step_no_farther_than_twenty_points():
    steps = [*apart.aside({str(at): [(0.0, 1.0)] for at in range(40)}).values()]
    assert max(steps) - min(steps) <= apart.SPREAD


def test_a_point_alone_shows_its_deviation():
    with painted(sheet([("a", "line", 1.0, 5.0, 4.0, 7.0, 3)])) as figure:
        low, high = figure.axes[0].get_ylim()
    assert low < 4 < 7 < high


def test_the_legend_is_read_row_by_row():
    names = [
        "dense",
        "a name that is much longer than others are",
        *"cdefghijklmnop",
        "the last of them all, long too",
    ]
    with painted(sheet([row for at, name in enumerate(names) for row in line(name, [at, at])])) as figure:
        found = [(round(-box.y0 / 4), box.x0, text) for text, box in boxes(figure) if text in names]
    assert [text for *_, text in sorted(found)] == names
    assert len({row for row, *_ in found}) > 1, "several rows, or nothing is shown here"


def test_a_legend_has_as_many_columns_as_fit():
    assert style.columns([1.0, 1.0, 1.0, 1.0], 4.0) == 4
    assert style.columns([1.0, 3.0, 1.0, 3.0], 4.0) == 2, "the long ones in one column"
    assert style.columns([1.0, 3.0, 1.0, 3.0], 3.9) == 1
    assert style.columns([], 1.0) == 1


def test_marks_at_the_ends_of_an_axis_are_whole():
    ends = Axis("alpha", low=0.0, high=1.0)
    with painted(sheet(line("a", [1.0, 2.0]), x=ends)) as figure:
        figure.canvas.draw()
        axes = figure.axes[0]
        sides = axes.transData.transform([(0.0, 1.0), (1.0, 1.0)])[:, 0]
        box, mark = axes.get_window_extent(), figure.dpi / 72 * style.RC["lines.markersize"] / 2
    assert box.x0 <= sides[0] - mark
    assert sides[1] + mark <= box.x1


def test_numbers_between_powers_of_ten_stand_as_low_as_these():
    rows = [("a", "line", x, 1.0, None, None, 1) for x in (1000.0, 40000.0)]
    with painted(sheet(rows, x=Axis("cost", scale="log"))) as figure:
        tops = {text: box.y1 for text, box in boxes(figure)}
    assert tops["2000"] == pytest.approx(tops["10000"], abs=0.5)


def test_a_scale_of_less_than_a_decade_has_three_ticks_at_least():
    rows = line("a", [0.6, 1.1, 2.4, 4.4])
    with painted(sheet(rows, y=Axis("eigenvalue", scale="log"))) as figure:
        shown = {text for text, _ in boxes(figure)}
    assert {"1", "2", "3"} <= shown


def test_in_svg_hatches_are_not_as_faint_as_the_fill_below_them():
    rows = [("", name, at / 4, (at + 1) / 4, 0.25, 9) for name in ("test", "noise") for at in range(4)]
    assert FORMS["histogram"][1:3] == ("series", "low")
    drawn = picture(
        Sheet("ood-histograms", "histogram", "a net", Axis("confidence"), Axis("share"), tuple(rows)), "svg"
    )
    hatched = [one for one in drawn.decode().split("<path ") if "fill: url(#" in one]
    assert len(hatched) == 2
    assert not any("fill-opacity" in one for one in hatched)


def test_the_name_of_an_ellipse_hides_no_point():
    points = [
        ("", "late", "point", x / 10, y / 10, None, None, None) for x in range(-5, 6) for y in range(-5, 6)
    ]
    rows = (
        *points,
        ("", "7", "ellipse", 0.0, 0.0, 1.2, 1.2, 0.0),
        ("", "late", "point", 4.0, 4.0, None, None, None),
    )
    rows += (("", "late", "point", -4.0, -4.0, None, None, None),)
    with painted(Sheet("tsne-hardness", "scatter", "a net", Axis("x"), Axis("y"), rows)) as figure:
        ((_, box),) = [one for one in boxes(figure) if one[0] == "7"]
        places = [
            figure.axes[0].transData.transform((float(row[3]), float(row[4])))
            for row in rows
            if row[2] == "point"
        ]
    assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in places)


def printed(figure):
    """How large an inch of it is on paper: pictures of up to 700 pixels are 16.5 cm wide at most, others 18.8."""
    wide = 2.54 * float(figure.get_size_inches()[0])
    return min(1, (16.5 if wide / 2.54 * 96 <= 700 else 18.8) / wide)


def grid(panels, across, rows):
    names = [f"{'corruption ' if rows > 3 else 'random-iterative '}{at}" for at in range(rows)]
    return tuple(
        (f"net {panel}", name, str(to), 30.0 + 3 * to, 3)
        for panel in range(panels) for name in names for to in range(across)
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("panels", "across", "rows"), [(1, 21, 3), (3, 5, 15), (4, 5, 15), (1, 10, 10)])
def test_matrices_are_not_so_wide_that_their_letters_are_below_seven_points_on_paper(panels, across, rows):
    z = Axis("accuracy", "%")
    with painted(Sheet("sweep-map", "matrix", "a net", z, z, grid(panels, across, rows), z=z)) as figure:
        figure.canvas.draw()
        small = min(
            text.get_fontsize() for axes in figure.axes for text in [*axes.texts, *axes.get_yticklabels()]
        )
        assert small * printed(figure) >= 6.8


@pytest.mark.long
@pytest.mark.parametrize("panels", [1, 2, 6])
def test_reliability_diagrams_are_read_on_paper_and_no_title_reaches_over_the_edge(panels):
    rows = tuple(
        (f"imp at 83.2{at} %: ECE 1.13 ± 0.27 %", low, low + 50.0, low + 25.0, low + 20.0, 10)
        for at in range(panels) for low in (0.0, 50.0)
    )  # fmt: skip
    ends = Axis("confidence", "%", low=0.0, high=100.0), Axis("accuracy", "%", low=0.0, high=100.0)
    with painted(Sheet("reliability", "reliability", "a net", *ends, rows)) as figure:
        found = boxes(figure)
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for _, box in found)
        assert 8 * printed(figure) >= 7


def test_the_table_of_a_radar_chart_is_read_on_paper():
    names = ["accuracy ↑", "corruption error ↓", "ECE ↓", "LIME stability ↓", "NLL ↓", "Hessian trace ↓"]
    rows = tuple((net, name, 0.5, 0.07338, 3) for net in ("dense", "random-iterative") for name in names)
    with painted(Sheet("radar", "radar", "a net", Axis("metric"), Axis("share"), rows)) as figure:
        assert min(text.get_fontsize() for text in figure.axes[1].texts) * printed(figure) >= 7
