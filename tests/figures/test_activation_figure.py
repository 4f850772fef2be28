"""Activation sparsity by layer and against sparsity."""

from dataclasses import replace

import numpy as np
import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import activation_sparsity as figure
from ticketctl.figures.sheet import NothingError

MODULE = "activation-sparsity"


def probed(level, density, small, *, zero=None, stages=None, seed=0):
    """A trained net, and the share of small outputs of each of its layers."""
    layers = [f"relu{at + 1}" for at in range(len(small))]
    told = {"layers": layers, "stages": stages or {}}
    rows = [replace(row(MODULE, 0.5), protocol=told)]
    arrays = {f"{MODULE}/small": np.array(small), f"{MODULE}/zero": np.array(zero or small)}
    found = report("probe", rows, arrays, keys={MODULE: {"threshold": "0.01", "bn": "stored"}}, number=level)
    return net(level=level, density=density, seed=seed, reports={("probe", "trained"): [found]})


def sheets(*families, **keys):
    return {
        one.part.split("-")[0]: one for one in figure.gather(shelf(*families), params=figure.Params(**keys))
    }


def test_by_layer_each_level_is_a_line_in_percent():
    nets = [probed(1, 0.5, [0.2, 0.4]), probed(1, 0.5, [0.4, 0.4], seed=1), probed(2, 0.25, [0.1, 0.0])]
    one = sheets(family("imp", nets))["layers"]
    assert [(found["x"], found["y"], found["n"]) for found in one.where(series="50 %")] == [
        (1, pytest.approx(30), 2), (2, pytest.approx(40), 2),
    ]  # fmt: skip
    assert [found["y"] for found in one.where(series="75 %")] == [10, 0]
    assert "activations: relu1, relu2" in one.notes
    assert "small: up to 0.01" in one.notes


def test_against_sparsity_each_stage_is_a_line_that_begins_at_the_dense_net():
    stages = {"1": "relu2"}
    dense = family("dense", [probed(0, 1.0, [0.9, 0.8], stages=stages)], method="dense")
    nets = [probed(1, 0.5, [0.2, 0.4], stages=stages)]
    one = sheets(dense, family("imp", nets, dense=dense.groups[0]))["sparsity"]
    assert [(found["series"], found["x"], found["y"]) for found in one.where(role="line")] == [
        ("stage 1", 0, 80), ("stage 1", 50, 40),
    ]  # fmt: skip


def test_of_a_net_without_stages_the_first_twelve_layers_are_lines():
    nets = [probed(1, 0.5, [0.1] * 13), probed(2, 0.25, [0.2] * 13)]
    one = sheets(family("imp", nets))["sparsity"]
    assert one.values("series") == [f"relu{at}" for at in range(1, 13)]
    assert "the first 12 of 13 activations" in one.notes


def test_exact_zeros_are_drawn_where_they_are_asked_for():
    one = sheets(family("imp", [probed(1, 0.5, [0.2], zero=[0.1])]), share="zero")
    assert [found["y"] for found in one["layers"].where(role="line")] == [10]
    assert "sparsity" not in one  # one level is no line


def test_without_a_probe_the_recipe_is_named():
    with pytest.raises(NothingError, match="probe/activations"):
        sheets(family("imp", [net(density=0.5)]))
