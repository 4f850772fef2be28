"""Which images of the data a specimen shows, and what is drawn of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.specimens import picked, random_images, specimen
from ticketctl.seeds import Seeds
from ticketctl.train.specimen import Specimen


@pytest.fixture
def whole() -> Specimen:
    return specimen(nn.Flatten(), *random_images(40, (1, 2, 2), 4), classes=4)


def test_numbers_are_those_of_the_data_whatever_is_picked_of_what_is_picked(whole: Specimen) -> None:
    places = np.array([0, 2, 3])
    assert (whole.numbers("test", places) == places).all()
    part = picked(whole, [5, 9, 11, 30])
    assert part.numbers("test", places).tolist() == [5, 11, 30]
    assert picked(part, [3, 1]).numbers("test", np.arange(2)).tolist() == [30, 9]


def test_more_that_are_drawn_contain_fewer_and_all_are_in_order(whole: Specimen) -> None:
    few, more = (whole.drawn("test", most, Seeds(0), "attack") for most in (7, 20))
    assert len(set(few.tolist())) == 7
    assert {*few.tolist()} < {*more.tolist()}
    assert (np.diff(more) > 0).all()
    for most in (0, 40, 41):
        assert (whole.drawn("test", most, Seeds(0), "attack") == np.arange(40)).all()
    others = [whole.drawn("test", 7, Seeds(1), "attack"), whole.drawn("test", 7, Seeds(0), "perturb")]
    assert all(few.tolist() != other.tolist() for other in others)


@pytest.mark.parametrize("most", [1, 4, 9])
def test_a_subset_keeps_what_is_drawn_of_the_whole_as_far_as_it_has_it(whole: Specimen, most: int) -> None:
    shown = list(range(1, 40, 3))
    part = picked(whole, shown)
    found = part.numbers("test", part.drawn("test", most, Seeds(0), "attack"))
    assert len(found) == most
    assert {*found.tolist()} <= {*shown}
    assert {*whole.drawn("test", most, Seeds(0), "attack").tolist()} & {*shown} <= {*found.tolist()}


def test_of_a_set_that_lies_class_by_class_few_are_drawn_and_the_other_sets_stay(whole: Specimen) -> None:
    order = np.argsort(whole.labels("test").numpy(), kind="stable")
    one = replace(whole, images={**whole.images, "test": whole.images["test"].pick(order)})
    few = one.few("test", 12, Seeds(0), "probe")
    places = one.drawn("test", 12, Seeds(0), "probe")
    assert len(set(few.labels("test").tolist())) == 4 > len(set(one.labels("test", 0, 12).tolist()))
    assert torch.equal(few.pixels("test"), one.pixels("test")[places])
    assert torch.equal(few.labels("test"), one.labels("test")[places])
    assert few.numbers("test", np.arange(12)).tolist() == order[places].tolist()
    assert few.images["train"] is one.images["train"]
    for most in (0, 40, 50):
        assert one.few("test", most, Seeds(0), "probe") is one
