"""Frozen nets on other data, against sparsity."""

import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import transfer as figure
from ticketctl.figures.sheet import NothingError


def moved(value, *, to="mnist", lbfgs=None, number=0):
    rows = [row("transfer", value), *([row("transfer.lbfgs", lbfgs, "transfer")] if lbfgs else [])]
    recipe = {"target": {"name": to, "fingerprint": f"sha256:{to}"}}
    return report("transfer", rows, recipe=recipe, number=number)


def nets(level, density, *, seed=0, **reports):
    made = {("transfer", of): [*found] for of, found in reports.items()}
    return net(level=level, density=density, seed=seed, reports=made)


def sheets(*families, **keys):
    return {one.part: one for one in figure.gather(shelf(*families), params=figure.Params(**keys))}


def two():
    dense = family(
        "dense", [nets(0, 1.0, trained=[moved(0.8)], retrained=[moved(0.99, number=7)])], method="dense"
    )
    ladder = [
        nets(
            1, 0.5, trained=[moved(0.7, lbfgs=0.9)], untrained=[moved(0.4)], retrained=[moved(0.99, number=7)]
        ),
        nets(1, 0.5, seed=1, trained=[moved(0.9, lbfgs=0.95)]),
    ]
    return dense, family("imp", ladder, dense=dense.groups[0])


def test_frozen_tickets_are_lines_and_dense_nets_levels_across_in_percent():
    one = sheets(*two())["mnist"]
    assert [(found["series"], found["x"], found["y"], found["n"]) for found in one.where(role="line")] == [
        ("imp", 50, pytest.approx(80), 2), ("imp, untrained", 50, pytest.approx(40), 1),
    ]  # fmt: skip
    across = {found["series"]: (found["y"], found["n"]) for found in one.where(role="reference")}
    assert across == {
        "frozen dense": (pytest.approx(80), 1),
        "dense, trained on the target": (pytest.approx(99), 1),
    }


def test_the_head_that_was_trained_to_the_end_is_drawn_where_it_is_asked_for():
    one = sheets(*two(), head="lbfgs")["mnist"]
    assert [found["y"] for found in one.where(role="line")] == [pytest.approx(92.5)]


def test_each_target_has_a_sheet_of_its_own():
    both = [moved(0.7), moved(0.2, to="cifar100", number=1)]
    ladder = family("imp", [nets(1, 0.5, trained=both)])
    found = sheets(ladder)
    assert [next(one.where(role="line"))["y"] for one in found.values()] == pytest.approx([70, 20])
    assert list(sheets(ladder, to="cifar100")) == ["cifar100"]


def test_without_a_transfer_the_command_is_named():
    with pytest.raises(NothingError, match=r"ticketctl transfer runs/net/seed-0/levels/[0-9]+ --to mnist"):
        sheets(family("imp", [net(density=0.5)]), to="mnist")
