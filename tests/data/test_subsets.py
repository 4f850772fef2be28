"""Subsets of the training images: sizes per class (spend-audit T32), forgetting (T21), ties, nesting."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketctl.data.subsets import by_chance, forgetting, left, picked, size_by, summed, with_never_learned
from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.memory import Memory


def told(history):
    """Forgetting of one image, presentation by presentation, as the definition says it: events, first, whether ever."""
    events = sum(before and not after for before, after in pairwise(history))
    return (events, history.index(True), True) if any(history) else (len(history), -1, False)


# ----------------------------------------------------------------------------------------------------- forgetting


@pytest.mark.parametrize(
    ("history", "events", "first", "unforgettable"),
    [("010110", 2, 1, 0.0), ("000", 3, -1, 0.0), ("111", 0, 0, 1.0), ("001", 0, 2, 1.0), ("10", 1, 0, 0.0)],
)
def test_the_histories_of_t21(history, events, first, unforgettable):
    found = forgetting(np.array([[sign == "1"] for sign in history]))
    assert (found.events.tolist(), found.learned_first.tolist()) == ([events], [first])
    assert found.unforgettable == unforgettable
    assert found.events.dtype == found.learned_first.dtype == np.int32


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**32))
def test_forgetting_is_what_the_definition_says_image_by_image(presentations, count, seed):
    correct = np.random.default_rng(seed).random((presentations, count)) < 0.5
    found = forgetting(correct)
    truth = [told(correct[:, image].tolist()) for image in range(count)]
    assert found.events.tolist() == [events for events, _, _ in truth]
    assert found.learned_first.tolist() == [first for _, first, _ in truth]
    never = sum(events == 0 and ever for events, _, ever in truth) / count
    assert found.unforgettable == (None if presentations < 2 else never)


def test_an_image_that_was_never_learned_is_harder_than_any_that_was():
    """DeepCore ranks these as never forgotten: they have no event, and start from a wrong answer."""
    worst = np.tile([True, False], 20)
    found = forgetting(np.stack([worst, np.zeros(40, bool)], 1))
    assert found.events.tolist() == [20, 40]


def test_one_presentation_says_nothing_of_forgetting():
    assert forgetting(np.array([[True, False]])).unforgettable is None
    assert forgetting(np.zeros((0, 3), bool)).learned_first.tolist() == [-1] * 3


@pytest.mark.parametrize("table", [np.zeros(3, bool), np.zeros((2, 3)), np.zeros((2, 3, 1), bool)])
def test_what_is_no_table_of_answers_is_refused(table):
    with pytest.raises(ValueError, match=r"bool \[E, N\]"):
        forgetting(table)


def test_the_counts_of_a_training_give_the_same_scores_as_its_history():
    """What the training loop counts on the way, against the table of all its answers."""
    import torch

    correct = np.random.default_rng(0).random((9, 50)) < 0.4
    memory = Memory(50, torch.device("cpu"))
    for answers in correct:
        logits = torch.from_numpy(np.stack([answers, ~answers], 1)).float()
        memory.see(torch.arange(50), logits, torch.zeros(50, dtype=torch.int64))
        memory.end_epoch()
    scores = with_never_learned(memory.events.numpy().astype(np.uint16), correct.any(0), 9)
    np.testing.assert_array_equal(scores, forgetting(correct).events)


def test_scores_of_several_trainings_are_summed():
    assert summed([np.array([1, 2]), np.array([10, 20])]).tolist() == [11, 22]
    for bad in ([], [np.array([1]), np.array([1, 2])]):
        with pytest.raises(ValueError, match="several trainings"):
            summed(bad)


# -------------------------------------------------------------------------------------------------------- subsets


@given(
    share=st.fractions(Fraction(1, 500), 1, max_denominator=500),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    root=st.integers(0, 5),
)
def test_of_each_class_the_rounded_share_is_picked_once(share, sizes, root):
    """T32; and never none of a class."""
    numbers = np.random.default_rng(root)
    labels = numbers.permutation(np.repeat(np.arange(len(sizes)), sizes))
    index = np.arange(len(labels))
    found = picked(index, labels, by_chance(index, len(labels), Seeds(root)), size_by(share, None))
    assert len(set(found.tolist())) == len(found)
    assert (np.diff(found) > 0).all()
    assert np.bincount(labels[found]).tolist() == [max(1, round(share * size)) for size in sizes]


def test_a_count_is_the_same_for_every_class_and_refused_where_a_class_is_too_small():
    labels = np.repeat([0, 1, 2], [5, 9, 3])
    index, ranks = np.arange(17), np.zeros(17, np.int64)
    assert np.bincount(labels[picked(index, labels, ranks, size_by(None, 3))]).tolist() == [3, 3, 3]
    with pytest.raises(UsageError, match="class 2 has 3"):
        picked(index, labels, ranks, size_by(None, 4))


def test_least_and_most_forgotten_are_the_ends_of_each_class_and_ties_go_by_index():
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    scores = np.array([5, 1, 2, 1, 2, 1, 9, 0])
    index = np.arange(8)
    assert picked(index, labels, scores, size_by(None, 2)).tolist() == [1, 2, 4, 7]
    assert picked(index, labels, -scores, size_by(None, 2)).tolist() == [0, 1, 3, 6]


def test_a_larger_random_pick_holds_the_smaller_whatever_is_held_out():
    labels = np.random.default_rng(0).integers(0, 3, 300)
    everything, some = np.arange(300), np.arange(40, 300)
    sizes = (size_by(Fraction("0.1"), None), size_by(Fraction("0.5"), None))
    for index in (everything, some):
        ranks = by_chance(index, 300, Seeds(2))
        few, many = (set(picked(index, labels, ranks, size).tolist()) for size in sizes)
        assert few < many <= set(index.tolist())
    np.testing.assert_array_equal(by_chance(everything, 300, Seeds(2))[40:], by_chance(some, 300, Seeds(2)))


def test_a_random_pick_follows_its_own_stream_alone():
    index = np.arange(100)
    first = by_chance(index, 100, Seeds(1))
    np.testing.assert_array_equal(first, by_chance(index, 100, Seeds(9, {"subset": 1})))
    assert first.tolist() != by_chance(index, 100, Seeds(1, {"subset": 2})).tolist()


def test_every_image_is_picked_about_equally_often():
    """Over 2,000 seeds each of 20 images of one class is among 5 picked: 500 times, deviation 19.4."""
    index, labels = np.arange(20), np.zeros(20, np.int64)
    times = np.zeros(20)
    for root in range(2000):
        times[picked(index, labels, by_chance(index, 20, Seeds(root)), size_by(None, 5))] += 1
    assert abs(times - 500).max() < 4 * np.sqrt(2000 * 0.25 * 0.75)


# ----------------------------------------------------------------------------------------------------------- drop


def test_the_share_left_out_is_of_all_images_whatever_their_class():
    index = np.array([3, 5, 6, 8, 9])
    scores = np.array([7, 0, 7, 1, 7])
    assert left(index, -scores, Fraction("0.4")).tolist() == [5, 8, 9]
    assert left(index, scores, Fraction("0.4")).tolist() == [3, 6, 9]
    assert left(index, scores, Fraction(0)).tolist() == index.tolist()


def test_something_must_be_left():
    with pytest.raises(UsageError, match="none of 2"):
        left(np.arange(2), np.arange(2), Fraction(9, 10))
