"""The onset of stability: every evaluation, its order, the epoch that was found."""

import numpy as np
import pytest
from shelves import report, row, shelf

from ticketctl.figures import onset as figure
from ticketctl.figures.sheet import NothingError


def search(*, inits=1, threshold="2.0"):
    """Epochs 0, 2, 4 of 8, asked in the order 4, 2, 0; at 0 a twin of the first initialisation diverged."""
    shape = (inits, 3)
    pairs = np.array([[[9.0, 11.0], [2.0, 4.0], [0.0, 1.0]]] * inits)
    pairs[0, 0] = np.nan
    diverged = np.zeros(shape, np.uint8)
    diverged[0, 0] = 1
    arrays = {
        "epochs": np.array([[0, 2, 4]] * inits), "order": np.array([[2, 1, -1]] * inits), "diverged": diverged,
        "nonconverged": np.zeros(shape, np.uint8), "barrier": pairs.mean(2), "barrier.pairs": pairs,
        "barrier.std": pairs.std(2, ddof=1),
    }  # fmt: skip
    rows = [row("onset", 4.0), *(row(f"onset.init-{at}", 4.0, "onset") for at in range(inits))]
    training = {"model": {"name": "lenet-300-100"}, "train": {"batch": 64}}
    return report(
        "interpolate", rows, {f"onset/{name}": one for name, one in arrays.items()},
        recipe={"onset": {"threshold": threshold}, "training": training},
    )  # fmt: skip


def sheet_of(*reports):
    (one,) = figure.gather(shelf(loose=tuple(reports)), params=figure.Params())
    return one


def test_points_are_means_over_pairs_numbered_in_the_order_of_the_search():
    one = sheet_of(search())
    points = [(row["x"], row["y"], row["n"], row["label"]) for row in one.where(role="line")]
    assert points == [(2, 3.0, 2, "2"), (4, 0.5, 2, None)]
    low = next(one.where(role="line"))["low"]
    assert low == pytest.approx(3 - 2**0.5)


def test_the_onset_is_an_upright_and_the_threshold_of_the_search_a_line_across():
    one = sheet_of(search(threshold="1.5"))
    assert [row["x"] for row in one.where(role="mark")] == [4]
    assert [row["y"] for row in one.where(role="reference")] == [1.5]


def test_an_evaluation_that_diverged_stands_in_the_notes():
    assert "a twin diverged from epoch 0: not stable" in sheet_of(search()).notes


def test_each_initialisation_has_a_panel():
    assert sheet_of(search(inits=2)).values("panel") == ["initialisation 0", "initialisation 1"]


def test_without_a_search_the_recipe_is_named():
    with pytest.raises(NothingError, match="interpolate/onset"):
        list(figure.gather(shelf(), params=figure.Params()))
