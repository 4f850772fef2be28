"""Held-out validation images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketctl.data.splits import hold_out
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds


@given(
    count=st.integers(2, 300),
    kind=st.sampled_from(["first", "last", "random"]),
    share=st.floats(0, 1),
    root=st.integers(0, 9),
)
def test_every_rule_parts_the_images_without_loss_or_overlap(count, kind, share, root):
    held = min(max(1, int(share * count)), count - 1)
    train, validation = hold_out(count, f"{kind}:{held}", Seeds(root))
    assert len(validation) == held
    assert sorted([*train, *validation]) == list(range(count))
    for part in (train, validation):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_first_and_last_hold_out_the_ends():
    assert hold_out(6, "first:2", Seeds(0))[1].tolist() == [0, 1]
    assert hold_out(6, "last:2", Seeds(0))[1].tolist() == [4, 5]


def test_none_holds_out_nothing():
    train, validation = hold_out(4, "none", Seeds(0))
    assert train.tolist() == [0, 1, 2, 3]
    assert validation.tolist() == []


@pytest.mark.parametrize(
    ("rule", "held"), [("last:10%", 5000), ("first:0.5%", 250), ("last:33.3333%", 16666)]
)
def test_a_percentage_is_of_all_train_images_rounded_down(rule, held):
    assert len(hold_out(50_000, rule, Seeds(0))[1]) == held


def test_a_random_choice_is_the_head_of_the_split_streams_order():
    wanted = sorted(Seeds(7).order("split", count=100)[:10].tolist())
    assert hold_out(100, "random:10", Seeds(7))[1].tolist() == wanted


def test_a_random_choice_follows_its_own_stream_only():
    same = hold_out(100, "random:10", Seeds(7, {"order": 1, "init": 2}))[1]
    np.testing.assert_array_equal(same, hold_out(100, "random:10%", Seeds(7))[1])
    assert hold_out(100, "random:10", Seeds(7, {"split": 1}))[1].tolist() != same.tolist()


@pytest.mark.parametrize(
    "rule",
    ["", "half", "first", "first:", "first:-1", "first:1.5", "middle:3", "random:10 %", "random:0",
     "last:100%", "first:10", "first:11", "random:101%", "none:0", "random:1e1", "first:٣", "last:0.1%"],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line_that_says_what_would_be_right(rule):
    with pytest.raises(UsageError) as caught:
        hold_out(10, rule, Seeds(0))
    assert "\n" not in str(caught.value)
    assert "none" in str(caught.value)
