"""Forgetting events against the definition, read off image by image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ticketctl.metrics.forgetting import Params, measure
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent, Exam, History


def found_in(correct):
    history = History({}, (), dict, None if correct is None else np.asarray(correct, dtype=bool))
    return measure(Exam(lambda name: None, (), Seeds(0), history=history), params=Params())


def one(*presentations):
    """The measure of a single image."""
    return found_in(np.array(presentations)[:, None])


def test_an_image_learned_lost_learned_and_lost_again_has_two_events() -> None:
    found = one(0, 1, 0, 1, 1, 0)
    assert found.arrays["events"].tolist() == [2]
    assert found.arrays["learned_first"].tolist() == [2]  # epoch 1 is the first
    assert found.values["forgetting"].value == 2
    assert found.values["forgetting.unforgettable"].value == 0


def test_an_image_never_learned_is_a_class_of_its_own_and_not_unforgettable() -> None:
    found = one(0, 0, 0)
    assert found.arrays["events"].tolist() == [3]
    assert found.arrays["learned_first"].tolist() == [-1]
    assert found.values["forgetting.never-learned"].value == 1
    assert found.values["forgetting.unforgettable"].value == 0
    assert "forgetting.learned" not in found.values
    assert "forgetting.first" not in found.values


def test_an_image_always_right_is_unforgettable() -> None:
    found = one(1, 1, 1)
    assert found.arrays["events"].tolist() == [0]
    assert found.values["forgetting.unforgettable"].value == 1
    assert found.values["forgetting.first"].value == 1
    assert found.values["forgetting"].error is None  # of one image there is none


def test_all_rows_are_those_of_a_loop_over_images_and_presentations() -> None:
    rng = np.random.default_rng(0)
    correct = rng.random((9, 200)) < rng.random(200) ** 2
    events, first = [], []
    for image in range(200):
        seen = correct[:, image].tolist()
        lost = sum(before and not after for before, after in pairwise(seen))
        events.append(lost if any(seen) else len(seen))
        first.append(seen.index(True) + 1 if any(seen) else -1)
    learned = [place for place, epoch in enumerate(first) if epoch > 0]
    found = found_in(correct)
    assert found.arrays["events"].tolist() == events
    assert found.arrays["learned_first"].tolist() == first
    assert {str(array.dtype) for array in found.arrays.values()} == {"int64"}
    values = {name: each.value for name, each in found.values.items()}
    assert 0 < len(learned) < 200
    assert values == pytest.approx(
        {
            "forgetting": sum(events) / 200,
            "forgetting.std": np.std(events, ddof=1),
            "forgetting.unforgettable": sum(events[place] == 0 for place in learned) / 200,
            "forgetting.never-learned": 1 - len(learned) / 200,
            "forgetting.learned": sum(events[place] for place in learned) / len(learned),
            "forgetting.first": sum(first[place] for place in learned) / len(learned),
        },
        rel=1e-12,
    )
    assert next(iter(values)) == "forgetting"
    assert found.values["forgetting"].error == pytest.approx(np.std(events, ddof=1) / 200**0.5)
    assert found.values["forgetting.learned"].n == len(learned)


def test_nothing_to_measure_is_said_in_a_line() -> None:
    with pytest.raises(Absent, match="was not trained"):
        measure(Exam(lambda name: None, (), Seeds(0)), params=Params())
    with pytest.raises(Absent, match="was not kept"):
        found_in(None)
    with pytest.raises(Absent, match="1 epochs of answers to 4 images"):
        found_in(np.ones((1, 4)))
