"""Levels side by side and layers in order: by hand, and against what torch runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.figures.shelves import drawn, family, net, report, row, shelf
from ticketctl.figures import ladders
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.metrics.weight_distribution import group_of
from ticketctl.nets.build import layout


def masks(*shapes: tuple[str, tuple[int, ...]], kept: int = 1) -> dict[str, np.ndarray]:
    return {name: np.arange(np.prod(shape)).reshape(shape) < kept for name, shape in shapes}


@pytest.mark.parametrize(
    ("wanted", "place"), [(0.5, 1), (0.45, 1), (0.56, 1), (0.4, None), (0.25, 2), (1e-9, None)]
)
def test_the_nearest_density_is_at_most_fifteen_percent_away(wanted, place):
    assert ladders.nearest([1.0, 0.5, 0.25, 0.0], wanted) == place


def test_the_common_density_is_the_least_that_most_ladders_have():
    assert ladders.common([[0.5, 0.25, 0.1], [0.5, 0.24], [0.25]]) == 0.24
    assert ladders.common([[0.5, 0.25]]) == 0.25


@pytest.mark.parametrize(("count", "most"), [(1, 4), (3, 4), (4, 4), (20, 4), (25, 7), (9, 1)])
def test_a_spread_has_the_last_place_and_no_more_than_asked(count, most):
    found = ladders.spread(count, most)
    assert found[-1] == count - 1
    assert len(found) == min(count, most)
    assert found == sorted({*found} & {*range(count)})


def test_tickets_of_other_shapes_are_of_another_group():
    one, two = (drawn({0: masks(("a", (2, 2)), kept=4), 1: masks(("a", (2, 2)))}, seed=at) for at in (0, 1))
    wide = drawn({1: masks(("a", (2, 3)))}, seed=2)
    found = ladders.alike(shelf(tickets=(one, wide, two)))
    assert [(part, tickets) for part, _, tickets in found] == [
        ("lenet-300-100-on-digits.1", [one, two]),
        ("lenet-300-100-on-digits.2", [wide]),
    ]


def test_levels_that_keep_all_or_nothing_are_not_pruned():
    shape = ("a", (2, 2))
    ticket = drawn({level: masks(shape, kept=kept) for level, kept in enumerate((4, 2, 0))})
    assert ladders.pruned(ticket) == [1]
    assert ladders.chosen([ticket], 50.0) == {ticket: 1}
    assert ladders.chosen([ticket], 90.0) == {}


def test_names_tell_seeds_and_twins_apart():
    tickets = [drawn({1: masks(("a", (2, 2)))}, seed=seed, label=label) for label, seed in
               [("imp", 0), ("imp", 1), ("snip", 0), ("omp", 5), ("omp", 5)]]  # fmt: skip
    assert [*ladders.named(tickets).values()] == [
        "imp, seed 0", "imp, seed 1", "snip, seed 0", "omp, seed 5 (4)", "omp, seed 5 (5)",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["resnet20", "resnet50", "mobilenet", "vgg11", "wrn-22-2", "lenet-300-100"])
def test_by_name_layers_stand_as_torch_runs_them_and_are_grouped_as_the_probe_does(name):
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    model = layout(name, shape=shape, classes=10).eval()
    ran: list[str] = []
    for path, module in model.named_modules():
        module.register_forward_pre_hook(lambda *_, path=path: ran.append(f"{path}.weight"))
    with torch.no_grad():
        model(torch.zeros((1, *shape), device="meta"))
    names = prunable(model, Policy())
    shapes = {one: tuple(model.get_parameter(one).shape) for one in sorted(names)}
    ticket = replace(drawn({1: {"a": np.ones(2)}}), layers=shapes)
    found = ladders.layers_of(shelf(), ticket)
    assert [layer.name for layer in found] == [one for one in dict.fromkeys(ran) if one in names]
    assert [layer.group for layer in found] == [group_of(model, layer.name) for layer in found]


def test_a_probe_s_report_says_order_and_groups():
    said = replace(
        row("weight-distribution", 0.5),
        protocol={"layers": ["b", "a"], "groups": ["residual", "downsampling", "linear"]},
    )
    probe = report("probe", [said], {"weight-distribution/group": [2, 0]})
    ticket = drawn({1: masks(("a", (2, 2, 1, 1)), ("b", (2, 2)))})
    known = family("imp", [net(density=0.5, reports={("probe", "trained"): [probe]})])
    assert [(one.name, one.group) for one in ladders.layers_of(shelf(known), ticket)] == [
        ("b", "linear"), ("a", "residual"),
    ]  # fmt: skip
    other = drawn({1: masks(("a", (2, 2, 1, 1)), ("c", (2, 2)))})
    assert [one.name for one in ladders.layers_of(shelf(known), other)] == ["a", "c"]


def test_a_layer_counts_what_its_mask_keeps():
    ticket = drawn({1: masks(("a.weight", (2, 3)), ("b.weight", (5,)), kept=2)})
    layers = [ladders.Layer("b.weight", "linear"), ladders.Layer("a.weight", "linear")]
    assert ladders.kept_of(ticket, 1, layers).tolist() == [2, 2]
    assert ladders.sizes_of(ticket, layers).tolist() == [5, 6]
    assert [layer.label for layer in layers] == ["b", "a"]


def test_of_each_family_the_level_that_counts_and_is_nearest_is_taken():
    one = family("imp", [net(density=density, level=at) for at, density in enumerate((0.5, 0.25, 0.0))])
    two = family("snip", [net(density=0.26)])
    found = ladders.at_density([one, two], None, lambda group: True)
    assert {family.label: group.density for family, group in found.items()} == {"imp": 0.25, "snip": 0.26}
    found = ladders.at_density([one, two], None, lambda group: group.density > 0.3)
    assert {family.label: group.density for family, group in found.items()} == {"imp": 0.5}
    assert ladders.at_density([one, two], None, lambda group: False) == {}
    assert ladders.at_density([one, two], 99.0, lambda group: True) == {}
