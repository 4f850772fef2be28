"""Contours, surfaces, scatters, histograms and reliability diagrams: what their ink says, and how large it is."""

import io
from functools import cache

import numpy as np
import pytest
from looks import cut, overlapping
from matplotlib.patches import Ellipse

from ticketctl.figures.ink.contour import finer, grids, levels_of, spots
from ticketctl.figures.ink.picture import DOTS, painted
from ticketctl.figures.sheet import Axis, Sheet

NAMES = ("dense", "imp at 59.04 %, a name that needs more than one line", "c", "d", "e", "f")


def bowls(form, count=6, size=31, top=8.0):
    line = np.linspace(-1, 1, size)
    rows = [
        (name, float(a), float(b), float(min(top, (place + 2) * (a * a + 2 * b * b) + a * b)))
        for place, name in enumerate(NAMES[:count])
        for a in line
        for b in line
    ]
    axes = Axis("first direction", "filter lengths"), Axis("second direction", "filter lengths")
    return Sheet("landscape", form, "net on data", *axes, tuple(rows), z=Axis("loss", low=0.0, high=top))


def scattered(count=150):
    points = np.random.default_rng(0).normal(size=(count, 2))
    rows = [
        (panel, series, "point", float(x), float(y), None, None, None)
        for panel in NAMES[:2]
        for series in ("first", "last")
        for x, y in points
    ]
    rows += [(panel, "7", "ellipse", 0.5, -0.25, 2.0, 1.0, 30.0) for panel in NAMES[:2]]
    return Sheet("tsne-hardness", "scatter", "net on data", Axis("t-SNE 1"), Axis("t-SNE 2"), tuple(rows))


def shares(scale="linear"):
    rows = [
        (panel, series, bin / 10, (bin + 1) / 10, float(bin + place) * (panel == "f") + 0.6, 55)
        for panel in NAMES
        for place, series in enumerate(("test images", "noise", "fashion-mnist"))
        for bin in range(10)
    ]
    y = Axis("share", "%", scale, low=0.5 if scale == "log" else None)
    return Sheet("ood-histograms", "histogram", "net on data", Axis("confidence"), y, tuple(rows))


def bins():
    rows = [
        (name, 10.0 * bin, 10.0 * bin + 10, 10.0 * bin + 4, 10.0 * bin, 10**bin)
        for name in NAMES
        for bin in range(1, 5)
    ]
    x, y = Axis("confidence", "%", low=0.0, high=100.0), Axis("accuracy", "%", low=0.0, high=100.0)
    return Sheet("reliability", "reliability", "net on data", x, y, tuple(rows))


SHEETS = {
    "contour": bowls("contour"),
    "surface": bowls("surface"),
    "scatter": scattered(),
    "histogram": shares("log"),
    "reliability": bins(),
}


@cache
def seen(form):
    """Bytes of the SVG, words over words, words beyond the edge: painted once."""
    with painted(SHEETS[form]) as figure:
        out = io.BytesIO()
        figure.savefig(out, format="svg", dpi=DOTS)
        return out.getvalue(), overlapping(figure), cut(figure)


@pytest.fixture(scope="module", autouse=True)
def _seen_once():
    yield
    seen.cache_clear()


@pytest.mark.long
@pytest.mark.parametrize("form", SHEETS)
def test_six_panels_take_less_than_150_kb(form):
    assert len(seen(form)[0]) < 150_000


@pytest.mark.long
@pytest.mark.parametrize("form", SHEETS)
def test_no_words_lie_over_others_nor_beyond_the_edge(form):
    assert seen(form)[1:] == ([], [])


def test_a_grid_has_x_along_its_rows_and_nothing_where_nothing_is_said():
    rows = (("", 0.0, 10.0, 1.0), ("", 1.0, 10.0, 2.0), ("", 0.0, 20.0, 3.0), ("", 1.0, 20.0, None))
    sheet = Sheet("landscape", "contour", "", Axis("x"), Axis("y"), rows)
    x, y, z = grids(sheet)[""]
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0], [10.0, 20.0])
    np.testing.assert_array_equal(z, [[1.0, 2.0], [3.0, np.nan]])


def test_a_plane_seen_more_finely_is_the_same_plane():
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 3, 4)
    fine = finer((x, y, 2 * x[None, :] - y[:, None]), 7)
    np.testing.assert_allclose(fine[2], 2 * fine[0][None, :] - fine[1][:, None], atol=1e-12)


def test_levels_are_few_and_hold_all_that_is_drawn():
    sheet = bowls("contour", 1, 5)
    levels = levels_of(sheet, grids(sheet))
    assert levels[0] <= 0
    assert levels[-1] >= 8
    assert len(levels) <= 10


@pytest.mark.parametrize("form", ["contour", "surface"])
def test_a_plane_without_a_slope_can_be_drawn(form):
    rows = tuple(("", float(a), float(b), 2.5) for a in range(3) for b in range(3))
    with painted(Sheet("landscape", form, "", Axis("x"), Axis("y"), rows)) as figure:
        figure.canvas.draw()


@pytest.mark.long
def test_numbers_of_levels_are_written_on_their_lines():
    assert b">1</text>" in seen("contour")[0]


def test_all_contours_share_one_scale():
    with painted(bowls("contour", 3, 9)) as figure:
        assert [axes.get_ylabel() for axes in figure.axes].count("loss") == 1
        assert len(figure.axes) == 4


def test_an_ellipse_has_its_axes_and_its_angle():
    with painted(scattered(4)) as figure:
        (found,) = figure.axes[0].findobj(Ellipse)
        assert (*found.center, found.width, found.height, found.angle) == (0.5, -0.25, 2.0, 1.0, 30.0)


def test_series_of_a_scatter_have_marks_of_their_own_and_every_second_is_hollow():
    with painted(scattered(4)) as figure:
        first, last = figure.axes[0].lines
        assert first.get_marker() != last.get_marker()
        assert (first.get_markerfacecolor() == "none", last.get_markerfacecolor() == "none") == (False, True)


def test_the_diagonal_of_a_reliability_diagram_and_the_counts_below_it():
    with painted(bins()) as figure:
        above, below = figure.axes[:2]
        diagonal = next(line for line in above.lines if line.get_linestyle() == "--")
        assert list(map(list, diagonal.get_data())) == [[0, 100], [0, 100]]
        assert [bar.get_height() for bar in below.patches] == [10, 100, 1000, 10000]
        assert [bar.get_height() for bar in above.patches] == [10, 20, 30, 40]


def test_no_bar_of_any_panel_is_cut_at_the_top():
    with painted(shares()) as figure:
        figure.canvas.draw()
        assert {axes.get_ylim()[0] for axes in figure.axes} == {0.0}
        assert all(axes.get_ylim()[1] > 11 for axes in figure.axes)  # 9 + 2


def test_numbers_of_levels_stand_on_their_lines_apart_from_each_other_and_inside():
    turn = np.linspace(0, 2 * np.pi, 60)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    lines = [[radius * circle] for radius in (0.1, 0.5, 0.55, 0.6)] + [[], [2 * circle]]
    found = np.array(spots(lines, (-1.0, 1.0), (-1.0, 1.0)))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [0.1, 0.5, 0.55, 0.6])
    far = np.linalg.norm(found[:, None] - found[None], axis=-1) + 9 * np.eye(4)
    assert far.min() > 2 * 0.12
