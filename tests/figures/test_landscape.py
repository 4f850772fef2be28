"""Landscapes of weights and of images: losses of hand-made planes, cut where they are drawn cut."""

import numpy as np
import pytest
from shelves import family, net, report, row, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import input_landscape, landscape
from ticketctl.figures.sheet import NothingError

GRID = np.array([-1.0, 0.0, 1.0])


def measured(module, loss, *, level=0, density=1.0, keys=None, number=0):
    """A net with the report of a curve."""
    arrays = {f"{module}/grid": GRID if module == "plane" else GRID * 8 / 255, f"{module}/loss": loss}
    one = report("interpolate", [row(module, 0.5)], arrays, keys={module: keys or {}}, number=number)
    return net(level=level, density=density, reports={("interpolate", "trained"): [one]})


def both(module, dense, ticket):
    nets = measured(module, dense), measured(module, ticket, level=1, density=0.25, number=1)
    return shelf(family("dense", nets[:1], method="dense"), family("imp", nets[1:]))


BOWL = GRID[:, None] ** 2 + 2 * GRID**2
STEEP = np.array([[20.0, 3.0, np.inf], [9.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


def sheets(figure, of, **keys):
    return {one.name: one for one in figure.gather(of, params=figure.Params(**keys))}


def test_losses_over_two_directions_are_drawn_as_contours_and_as_surfaces_of_the_same_numbers():
    found = sheets(landscape, both("plane", BOWL, STEEP))
    assert list(found) == ["landscape.contour", "landscape.surface"]
    contour, surface = found.values()
    assert contour.rows == surface.rows
    (corner,) = (one for one in contour.where(panel="dense") if (one["x"], one["y"]) == (-1.0, 0.0))
    assert corner["z"] == corner["loss"] == 1.0  # a = -1, b = 0: a^2 + 2 b^2


def test_losses_above_the_ceiling_are_drawn_at_it_and_the_table_keeps_them():
    contour = sheets(landscape, both("plane", BOWL, STEEP))["landscape.contour"]
    cut = {(one["x"], one["y"]): (one["z"], one["loss"]) for one in contour.where(panel="imp at 75 %")}
    assert cut[-1.0, -1.0] == (8.0, 20.0)
    assert cut[-1.0, 1.0] == (8.0, None)
    assert cut[0.0, 0.0] == (1.0, 1.0)
    assert "3 losses are above 8, the ceiling, and drawn at it" in contour.notes


def test_without_a_ceiling_infinite_losses_are_drawn_at_the_largest_finite_one():
    contour = sheets(landscape, both("plane", BOWL, STEEP), ceiling=0)["landscape.contour"]
    assert contour.z.high == 20.0
    assert max(contour.column("z")) == 20.0
    assert "1 loss is above 20, the largest finite one, and drawn at it" in contour.notes


def test_one_direction_is_a_line_for_each_net():
    found = sheets(landscape, both("plane", GRID**2, np.array([9.0, 1.0, np.inf])))
    (lines,) = found.values()
    assert lines.name == "landscape.lines"
    assert [(one["x"], one["y"]) for one in lines.where(series="dense")] == [(-1, 1), (0, 0), (1, 1)]
    assert [one["y"] for one in lines.where(series="imp at 75 %")] == [9.0, 1.0, None]
    assert lines.y.high == 8.0


def test_a_net_looked_at_in_one_direction_and_in_two_has_both():
    arrays = ({"plane/grid": GRID, "plane/loss": loss} for loss in (GRID**2, BOWL))
    reports = [
        report("interpolate", [row("plane", 0.5)], one, keys={"plane": {"dimensions": d}})
        for d, one in enumerate(arrays, 1)
    ]
    one = net(reports={("interpolate", "trained"): reports})
    found = sheets(landscape, shelf(family("dense", [one], method="dense")))
    assert list(found) == ["landscape.lines", "landscape.contour", "landscape.surface"]


def test_around_images_the_axes_are_in_steps_of_a_pixel():
    found = sheets(input_landscape, both("input-plane", BOWL, STEEP))
    contour = found["input-landscape.contour"]
    assert sorted(set(contour.column("x"))) == pytest.approx([-8.0, 0.0, 8.0])
    assert contour.x.label == "along the gradient's sign [1/255]"


@pytest.mark.parametrize(
    ("figure", "recipe"), [(landscape, "landscape"), (input_landscape, "input-landscape")]
)
def test_what_makes_it_is_named_where_there_is_none(figure, recipe):
    with pytest.raises(NothingError, match=f"--recipe interpolate/{recipe}"):
        list(figure.gather(shelf(family("dense", [net()], method="dense")), params=figure.Params()))


@pytest.mark.parametrize("ceiling", [-1.0, float("nan"), float("inf")])
def test_a_ceiling_that_is_no_loss_is_refused(ceiling):
    with pytest.raises(UsageError, match=r"figures\.landscape\.ceiling"):
        landscape.Params(ceiling=ceiling)


def test_nets_of_another_data_set_may_have_been_measured_under_other_keys():
    one = measured("plane", BOWL, keys={"points": 3})
    other = measured("plane", STEEP, level=1, density=0.5, keys={"points": 51}, number=1)
    of = shelf(family("imp", [one]), family("imp", [other], data="mnist"))
    names = [sheet.name for sheet in landscape.gather(of, params=landscape.Params())]
    assert names[::2] == [f"landscape.contour-lenet-300-100-{data}" for data in ("digits", "mnist")]


def test_where_a_report_says_nothing_of_its_protocol_no_note_is_empty():
    of = both("plane", BOWL, STEEP)
    for one in (
        one for each in of.nets for found in each.reports("interpolate", "trained") for one in found.metrics
    ):
        one.protocol.clear()  # a dictionary, as the test made it
    assert all(note for sheet in sheets(landscape, of).values() for note in sheet.notes)
