"""Boards: which nets stand side by side."""

import pytest
from shelves import family, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures.boards import boards, percent, spread
from ticketctl.figures.paths import check_sparsities


def ladder(label, levels=8, *, dense=None, data="digits", seeds=1):
    nets = [
        net(level=level, density=0.5**level, seed=seed)
        for level in range(1, levels + 1)
        for seed in range(seeds)
    ]
    return family(label, nets, dense=dense, data=data)


def whole(data="digits", label="dense"):
    return family(label, [net()], method="dense", data=data)


def labels(board):
    return [entry.label for entry in board.entries]


def test_all_nets_of_a_data_set_share_a_board_where_they_have_room():
    dense = whole()
    (board,) = boards(shelf(dense, ladder("imp", 2, dense=dense.groups[0])), lambda _: True)
    assert labels(board) == ["dense", "imp at 50 %", "imp at 75 %"]
    assert (board.part, board.left) == ("", 0)


def test_where_nets_are_many_each_ladder_has_a_board_from_its_first_to_its_last_level():
    dense = whole()
    ladders = [ladder(label, 9, dense=dense.groups[0]) for label in ("imp", "snip")]
    imp, snip = boards(shelf(dense, *ladders), lambda _: True, most=6)
    assert labels(imp) == ["dense", *(f"imp at {one} %" for one in ("50", "87.5", "96.88", "99.22", "99.8"))]
    assert [imp.part, snip.part] == ["lenet-300-100-digits-imp", "lenet-300-100-digits-snip"]
    assert "4 measured nets of other sparsities or recipes not shown" in imp.notes


def test_sparsities_are_matched_by_the_nearest_level():
    (board,) = boards(shelf(ladder("imp")), lambda _: True, wanted=(74, 97))
    assert labels(board) == ["imp at 75 %", "imp at 96.88 %"]


def test_of_several_seeds_the_first_that_has_it_and_did_not_diverge_is_shown():
    lost = net(level=1, density=0.5, seed=0, diverged=True)
    nets = [lost, *(net(level=1, density=0.5, seed=seed) for seed in (1, 2))]
    (board,) = boards(shelf(family("imp", nets)), lambda _: True)
    assert [entry.net.seeds[0] for entry in board.entries] == [1]
    assert board.notes == ("one net each, of seed 1; 2 of other seeds are not shown",)


def test_a_label_does_not_repeat_the_net_and_data_of_the_title():
    (board,) = boards(shelf(family("lenet-300-100 on digits: imp", [net(density=0.5)])), lambda _: True)
    assert labels(board) == ["imp at 50 %"]


def test_nothing_measured_is_no_board():
    assert boards(shelf(whole(), ladder("imp")), lambda _: False) == []


@pytest.mark.parametrize(
    ("sparsity", "said"), [(36.0, "36"), (83.2231, "83.22"), (99.9023, "99.9023"), (0.0, "0")]
)
def test_sparsities_are_short_and_tell_levels_apart(sparsity, said):
    assert percent(sparsity) == said


@pytest.mark.parametrize("most", range(1, 9))
def test_what_is_spread_is_no_more_than_asked_and_ends_with_the_last(most):
    found = spread(list(range(7)), most)
    assert len(found) == len(set(found)) == min(most, 7)
    assert found[-1] == 6
    assert most == 1 or found[0] == 0


def test_a_sparsity_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"figures\.landscape\.sparsities = 100 must be from 0"):
        check_sparsities("landscape", (50.0, 100.0))


def test_a_long_name_of_a_ladder_is_said_once_in_the_title_and_its_sparsities_are_never_cut():
    dense = whole()
    long = ladder("imp (shuffled) + skip + swish, weight_decay=0.0005", 2, dense=dense.groups[0])
    (board,) = boards(shelf(dense, long), lambda _: True)
    assert labels(board) == ["dense", "50 % pruned", "75 % pruned"]
    assert board.subject == f"lenet-300-100 on digits, {long.label}"


def test_nets_of_nearly_one_density_are_told_apart():
    close = [net(level=level, density=density) for level, density in ((1, 0.5), (2, 0.500001))]
    (board,) = boards(shelf(family("imp", close)), lambda _: True)
    assert labels(board) == ["imp at 50 % (1)", "imp at 50 % (2)"]
