"""What figures over families share: names, parts of sheets, what is chosen of many."""

import pytest
from shelves import family, ladder, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import rows
from ticketctl.figures.epochs import check_levels, finite, ladders, levels_of


@pytest.mark.parametrize(
    ("density", "words"),
    [
        (0.0625, "93.75 %"),
        (1 / 256, "99.61 %"),
        (0.8**32, "99.921 %"),
        (0.5, "50 %"),
        (1.0, "0 %"),
        (0.0, "100 %"),
    ],
)
def test_a_sparsity_has_the_digits_that_tell_levels_apart(density, words):
    assert rows.percent(density) == words


def test_levels_of_a_ladder_down_to_a_thousandth_have_names_of_their_own():
    names = [rows.percent(0.8**level) for level in range(40)]
    assert len({*names}) == 40


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (12, [12]), (13, [7, 6]), (25, [9, 9, 7])])
def test_many_are_split_about_evenly_and_in_order(count, sizes):
    found = rows.split(list(range(count)))
    assert [len(one) for one in found] == sizes
    assert [one for part in found for one in part] == list(range(count))


def test_a_run_that_several_families_have_beside_them_is_counted_once():
    dense = [net(seed=at, values={"test.accuracy": 0.9}, diverged=at == 1) for at in range(3)]
    assert rows.said([("", "imp", "line", 0.0, 1.0, None, None, 2)], [*dense, *dense]) == (
        "mean over n = 2 runs; band: ± one sample deviation", "1 of 3 runs diverged: in no mean",
    )  # fmt: skip


def test_of_single_runs_no_deviation_is_spoken_of():
    assert rows.said([("", "imp", "line", 0.0, 1.0, None, None, 1)], [net()]) == ("single runs, n = 1",)


def test_of_many_the_first_and_the_last_are_kept():
    assert rows.spread(list(range(101)), 5) == [0, 25, 50, 75, 100]
    assert rows.spread([1, 2], 5) == [1, 2]


def test_parts_are_words_that_differ_however_long_their_names_are():
    found = rows.parts(["rewind=1%", "rewind=1", "x" * 90, "x" * 99])
    assert found[:2] == ["rewind-1", "rewind-1-2"]
    assert len({*found}) == 4
    assert all(len(one) <= 80 for one in found)


def test_families_of_one_place_have_no_part():
    one, other = ladder({0.5: [0.9]})
    assert [(part, where) for part, where, _ in rows.by_place([one, other])] == [
        ("", "lenet-300-100 on digits")
    ]


def test_a_label_loses_the_place_that_the_title_says():
    one = family("lenet-300-100 on digits: imp, lr=1", [net()])
    assert rows.short(one) == "imp, lr=1"


def test_a_line_from_the_dense_net_begins_at_0():
    _, mine = ladder({0.5: [0.9]}, dense=[0.8])
    value = rows.reading("test.accuracy")
    assert [(row[3], row[4]) for row in rows.from_dense(mine, value)] == [(0.0, 80.0), (50.0, 90.0)]
    assert list(rows.from_dense(mine, lambda one: None)) == []


def test_a_dense_net_with_a_ladder_is_shown_with_it_and_one_without_alone():
    whole, mine = ladder({0.5: [0.9]})
    alone = family("dense, lr=2", [net(seed=5)], method="dense")
    assert ladders(shelf(whole, mine, alone)) == [mine, alone]


def test_two_levels_are_both_shown():
    _, mine = ladder({0.5: [0.9], 0.25: [0.8]})
    assert [name for name, _ in levels_of(mine)] == ["dense", "50 %", "75 %"]


def test_at_most_twelve_levels_can_be_asked_for():
    with pytest.raises(UsageError, match="at most 12"):
        check_levels(list(range(13)), "figures.x.levels")


def test_numbers_that_are_none_are_left_out():
    import numpy as np

    assert finite([1, 2], np.array([np.inf, 3.0])) == {2.0: 3.0}
