"""Frozen nets on other data, against sparsity."""

from dataclasses import replace

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


def test_an_untrained_ticket_stands_once_under_the_family_that_its_draw_trained():
    """Four ways to train two tickets, one of them under fewer seeds: the reports of the tickets are the same ones."""
    tickets = [moved(0.4, number=1), moved(0.5, number=2)]
    drew = [
        replace(nets(1, 0.5, seed=at, untrained=[one]), place=f"runs/net/seed-{at}/levels/1")
        for at, one in enumerate(tickets)
    ]
    spent = [
        [
            replace(one, place=f"runs/net/seed-{at}/spends/aa/1-seed-{at}", id=f"rn1{number:029d}")
            for at, one in enumerate(drew)
        ]
        for number in (5, 6)
    ]
    few = [nets(1, 0.5, trained=[moved(0.9, number=3)], untrained=[tickets[0]])]
    families = [
        family("imp + swish", spent[0]),
        family("imp + ls", few),
        family("imp", drew),
        family("imp + ema", spent[1]),
    ]
    one = sheets(*families)["mnist"]
    assert [(row["series"], row["y"], row["n"]) for row in one.where(role="line")] == [
        ("imp + ls", pytest.approx(90), 1), ("imp, untrained", pytest.approx(45), 2),
    ]  # fmt: skip
    assert one.notes[-1] == "the same tickets, trained otherwise too: imp + swish; imp + ls; imp + ema"


def test_where_no_draw_s_own_nets_are_there_the_family_with_most_of_its_tickets_shows_them():
    tickets = [moved(0.4, number=1), moved(0.5, number=2)]
    many = [nets(1, 0.5, seed=at, untrained=[one]) for at, one in enumerate(tickets)]
    away = [[replace(one, place="elsewhere") for one in some] for some in (many[:1], many)]
    one = sheets(family("imp + ls", away[0]), family("imp + ema", away[1]))["mnist"]
    assert [(row["series"], row["n"]) for row in one.where(role="line")] == [("imp + ema, untrained", 2)]


def test_without_a_transfer_the_command_is_named():
    with pytest.raises(NothingError, match=r"ticketctl transfer runs/net/seed-0/levels/[0-9]+ --to mnist"):
        sheets(family("imp", [net(density=0.5)]), to="mnist")
