"""Compression Positions and their embedding: tables of a hand-made report."""

import math

import numpy as np
import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import compression_position as positions
from ticketctl.figures import tsne_hardness as embedding
from ticketctl.figures.sheet import NothingError

M = "compression-position"
CP = np.array([0.125, 0.25, 0.75, 1.0])
EMBEDDED = {
    f"{M}/embedding.points": np.arange(8.0).reshape(4, 2),
    f"{M}/embedding.window": np.array([0, -1, 1, 2]),
    f"{M}/embedding.ellipses": np.array([[1.0, 2.0, 3.0, 0.5, math.pi / 6], [np.nan] * 5]),
}


def probed(**arrays):
    known = {f"{M}/cp": CP, f"{M}/class": np.array([0.1875, 0.875, np.nan])} | arrays
    rows = [row(M, 0.5), row(f"{M}.class-0", 0.1875, M, n=2), row(f"{M}.class-1", 0.875, M, n=2)]
    one = net(reports={("probe", "trained"): [report("probe", rows, known)]})
    return shelf(family("dense", [one], method="dense"))


def sheets(figure, of):
    return {one.name: one for one in figure.gather(of, params=figure.Params())}


def test_means_by_class_are_a_row_of_a_heat_map_and_classes_without_images_are_empty():
    means = sheets(positions, probed())[f"{M}.means"]
    found = [(one["row"], one["column"], one["value"], one["images"]) for one in means.where()]
    assert found == [("dense", "0", 0.1875, 2), ("dense", "1", 0.875, 2), ("dense", "2", None, None)]


def test_with_hardness_the_heat_map_is_class_by_hardness():
    of = probed(**{f"{M}/table": np.array([[0.1, np.nan], [0.2, 0.9]]), f"{M}/hardness": [0, 0, 1, 1]})
    found = sheets(positions, of)
    cells = {(one["row"], one["column"]): one["value"] for one in found[f"{M}.means"].where(panel="dense")}
    assert cells == {("0", "0"): 0.1, ("0", "1"): None, ("1", "0"): 0.2, ("1", "1"): 0.9}
    assert found[f"{M}.spread"].values("series") == ["hardness 0", "hardness 1"]


def test_the_distribution_counts_every_image_once():
    spread = sheets(positions, probed())[f"{M}.spread"]
    shares = {round(one["low"], 6): one["share"] for one in spread.where() if one["share"]}
    assert shares == {0.1: 25.0, 0.25: 25.0, 0.75: 25.0, 0.95: 25.0}
    assert sum(one["share"] for one in spread.where()) == 100


def test_bins_are_as_exact_as_they_are_typed_whatever_the_report_keeps():
    spread = sheets(positions, probed(**{f"{M}/cp": CP.astype(np.float32)}))[f"{M}.spread"]
    assert [one["low"] for one in spread.where()] == [*np.linspace(0, 1, 21)[:-1]]


def test_points_in_a_window_are_drawn_and_ellipses_are_whole_axes_in_degrees():
    (sheet,) = embedding.gather(probed(**EMBEDDED), params=embedding.Params())
    points = {one["series"]: (one["x"], one["y"]) for one in sheet.where(role="point")}
    assert list(points.values()) == [(0.0, 1.0), (4.0, 5.0), (6.0, 7.0)]
    (ellipse,) = sheet.where(role="ellipse")
    assert [ellipse[name] for name in ("series", "x", "y", "width", "height")] == ["0", 1, 2, 6, 1]
    assert ellipse["angle"] == pytest.approx(30)


@pytest.mark.parametrize(("figure", "word"), [(positions, "keep.epochs"), (embedding, "embedding=features")])
def test_what_makes_it_is_named_where_there_is_none(figure, word):
    with pytest.raises(NothingError, match=word):
        list(figure.gather(shelf(family("dense", [net()], method="dense")), params=figure.Params()))


def test_of_very_many_points_every_second_or_third_is_drawn_and_said():
    many = {f"{M}/embedding.points": np.zeros((1400, 2)), f"{M}/embedding.window": np.arange(1400) % 4 - 1}
    (sheet,) = embedding.gather(probed(**EMBEDDED | many), params=embedding.Params())
    assert sum(one["role"] == "point" for one in sheet.where()) == 3 * 175
    assert "n = 1050 training images in a window, one in 2 of which is drawn, of 1400" in sheet.notes[0]


def test_where_no_report_says_how_the_images_were_spread_the_note_ends_with_their_number():
    of = probed(**EMBEDDED)
    for one in (
        one for each in of.nets for found in each.reports("probe", "trained") for one in found.metrics
    ):
        one.protocol.clear()  # a dictionary, as the test made it
    (sheet,) = embedding.gather(of, params=embedding.Params())
    assert sheet.notes[0] == "n = 3 training images in a window, of 4 that were spread"
