"""How much of the final mask the largest weights already made: of draws, and of trainings."""

from dataclasses import replace

import numpy as np
import pytest
from shelves import drawn, family, net, report, row, shelf

from ticketctl.figures import mask_intersection as figure
from ticketctl.figures.sheet import NothingError


def ticket(overlap, *, seed=0, pretrain=2):
    made = drawn({1: {"a": [1, 0, 0, 0]}}, label="art", seed=seed, method="art")
    return replace(made, notes={"1": {"overlap": overlap, "pretrain_epochs": pretrain}})


def sheet_of(*families, along="any", tickets=()):
    (one,) = figure.gather(shelf(*families, tickets=tickets), params=figure.Params(along=along))
    return one


def probed(density=0.25):
    arrays = {"mask-intersection/epochs": np.array([0, 5]), "mask-intersection/overlap": np.array([0.5, 1.0])}
    found = report("probe", [row("mask-intersection", 1.0)], arrays)
    return net(level=1, density=density, reports={("probe", "trained"): [found]})


def test_along_a_draw_stand_means_over_tickets_that_went_so_far():
    one = sheet_of(tickets=(ticket([0.4, 0.6, 1.0]), ticket([0.6, 0.8], seed=1)))
    points = [(found["x"], found["y"], found["n"]) for found in one.where(series="art")]
    assert points == [(1, pytest.approx(50), 2), (2, pytest.approx(70), 2), (3, 100, 1)]
    assert [found["x"] for found in one.where(role="mark")] == [2]
    assert [found["y"] for found in one.where(role="reference")] == [25]


def test_along_a_training_stand_the_epochs_whose_weights_were_kept():
    one = sheet_of(family("art", [probed()]))
    assert [(found["x"], found["y"]) for found in one.where(series="art")] == [(0, 50), (5, 100)]
    assert one.values("panel") == ["75 %"]


def test_the_draw_comes_first_and_the_training_where_it_is_asked_for():
    given = {"tickets": (ticket([0.4]),)}
    assert [found["y"] for found in sheet_of(family("art", [probed()]), **given).where(series="art")] == [40]
    other = sheet_of(family("art", [probed()]), along="training", **given)
    assert [found["y"] for found in other.where(series="art")] == [50, 100]


@pytest.mark.parametrize("overlap", [["much"], "0.5", [1.5], [None], 3])
def test_notes_of_another_form_are_no_overlap(overlap):
    with pytest.raises(NothingError, match="--method art"):
        sheet_of(tickets=(ticket(overlap),))
