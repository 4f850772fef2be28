"""Losses along an eigenvector, paths to re-dense nets, Bezier curves."""

from dataclasses import replace

import numpy as np
import pytest
from handmade_paths import end, line
from shelves import family, net, report, row, shelf

from ticketctl.figures import bezier, eigenvector, redense_path
from ticketctl.figures.sheet import NothingError


def bent(losses, *, level=1, density=0.5, seed=0, number=0):
    arrays = {"t": np.array([-0.5, 0, 0.5]), "loss": np.array(losses), "accuracy": np.array([0.5, 0.9, 0.6])}
    rows = [row("eigenvector", 1.0), row("eigenvector.lambda", 3.0, "eigenvector")]
    found = report(
        "interpolate", rows, {f"eigenvector/{name}": one for name, one in arrays.items()}, number=number
    )
    return net(level=level, density=density, seed=seed, reports={("interpolate", "trained"): [found]})


def test_losses_along_the_eigenvector_are_means_over_nets():
    nets = [bent([1.0, 0.1, 3.0]), bent([2.0, 0.3, np.inf], seed=1, number=1)]
    loss, accuracy = eigenvector.gather(shelf(family("imp", nets)), params=eigenvector.Params())
    points = [(one["x"], one["y"], one["n"]) for one in loss.where(role="line")]
    assert points == [(-0.5, 1.5, 2), (0, pytest.approx(0.2), 2), (0.5, 3.0, 1)]
    assert [one["y"] for one in accuracy.where(role="line")] == pytest.approx([50, 90, 60])
    assert (loss.part, accuracy.part) == ("loss", "accuracy")
    assert any("mean top eigenvalue 3" in note for note in loss.notes)


def test_the_share_of_falling_steps_is_of_the_reports_that_have_the_set():
    def spent(seed, sets, falls):
        found = line([{}, {}], [(0, 1)], [(0.1, 0.3)], sets=sets, number=seed)
        rows = [
            replace(found.metrics[0], name=f"{name}.error.recalibrate.falls", value=falls) for name in sets
        ]
        found = replace(found, metrics=(*found.metrics, *rows))
        return net(level=2, density=0.25, seed=seed, reports={("interpolate", "before"): [found]})

    nets = [spent(0, ["val"], 0.2), spent(1, ["val", "train"], 0.5)]
    (one,) = redense_path.gather(shelf(family("imp + redense", nets)), params=redense_path.Params())
    assert {
        "train images: error falls at 50 % of the steps",
        "val images: error falls at 35 % of the steps",
    } <= {*one.notes}


def test_the_path_to_a_redense_net_runs_from_the_sparse_one():
    """Arrays begin at the second net, which is the re-dense one."""
    sparse, dense = net(level=1, density=0.5), net(level=1, density=0.5, seed=1)
    found = line([end(sparse), end(dense)], [(0, 1)], [(0.1, 0.2, 0.4)], sets=("train", "test"))
    falls = replace(row("train.error.recalibrate.falls", 1.0, "line"))
    found = replace(found, metrics=(*found.metrics, falls))
    went = net(level=1, density=0.5, seed=1, reports={("interpolate", "before"): [found]})
    (one,) = redense_path.gather(shelf(family("imp + redense", [went])), params=redense_path.Params())
    points = sorted((row["x"], row["y"]) for row in one.where(panel="train images"))
    assert points == [(0, pytest.approx(40)), (0.5, pytest.approx(20)), (1, pytest.approx(10))]
    assert one.values("panel") == ["train images", "test images"]
    assert "train images: error falls at 100 % of the steps" in one.notes


def test_a_bezier_curve_stands_beside_its_line_and_the_rule_above_the_mean_of_the_ends():
    first, second = net(seed=0), net(seed=1)
    arrays = {"t": [0, 0.5, 1], "errors": [0.1, 0.12, 0.2], "line.errors": [0.1, 0.6, 0.2],
              "losses": [1.0, 1.1, 1.2], "line.losses": [1.0, 9.0, 1.2]}  # fmt: skip
    found = report(
        "interpolate", [row("bezier", 1.0)], {f"bezier/{name}": np.array(one) for name, one in arrays.items()},
        recipe={"ends": [end(first), end(second)]},
    )  # fmt: skip
    joined = net(seed=0, reports={("interpolate", "path"): [found]})
    whole = family("dense", [joined, second], method="dense")
    (one,) = bezier.gather(shelf(whole), params=bezier.Params())
    assert [point["y"] for point in one.where(series="Bezier curve")] == pytest.approx([10, 12, 20])
    assert [point["y"] for point in one.where(series="straight line")] == pytest.approx([10, 60, 20])
    assert [point["y"] for point in one.where(role="reference")] == [pytest.approx(17)]
    assert "dense: seed 0, seed 1" in one.notes


@pytest.mark.parametrize(
    ("figure", "command"),
    [
        (eigenvector, "interpolate/eigenvector"),
        (redense_path, "interpolate/redense"),
        (bezier, "interpolate/bezier"),
    ],
)
def test_without_the_curve_its_recipe_is_named(figure, command):
    with pytest.raises(NothingError, match=command):
        list(figure.gather(shelf(family("imp", [net(density=0.5)])), params=figure.Params()))
