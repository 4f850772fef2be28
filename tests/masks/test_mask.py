"""Mask against Python sets of kept positions."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketctl.masks.mask import Mask

SHAPES = {"b.weight": torch.Size([3, 4]), "a.weight": torch.Size([2, 1, 2])}


def _mask(bits: int) -> Mask:
    flat = torch.tensor([bits >> place & 1 for place in range(16)], dtype=torch.bool)
    return Mask({"b.weight": flat[:12].reshape(3, 4), "a.weight": flat[12:].reshape(2, 1, 2)})


masks = st.integers(0, 2**16 - 1)


@settings(deadline=None)
@given(masks, masks)
def test_subset_and_intersection_are_those_of_bit_sets(left: int, right: int) -> None:
    assert (_mask(left) <= _mask(right)) == (left & ~right == 0)
    assert (_mask(left) & _mask(right)).equal(_mask(left & right))
    assert _mask(left).equal(_mask(right)) == (left == right)


@settings(deadline=None)
@given(masks)
def test_counts_and_density_are_the_number_of_ones(bits: int) -> None:
    mask = _mask(bits)
    assert (mask.kept, mask.size) == (bits.bit_count(), 16)
    assert mask.density == Fraction(bits.bit_count(), 16)
    assert mask.layers() == {
        "b.weight": ((bits & 0xFFF).bit_count(), 12),
        "a.weight": ((bits >> 12).bit_count(), 4),
    }


@settings(deadline=None)
@given(masks)
def test_arrays_round_trip_and_share_no_memory(bits: int) -> None:
    mask = _mask(bits)
    arrays = mask.to_arrays()
    again = Mask.from_arrays(arrays)
    for array in arrays.values():
        array[:] = ~array
    assert again.equal(mask)
    assert mask.equal(_mask(bits))


def test_the_order_of_layers_is_kept() -> None:
    assert list(Mask.full(SHAPES).layers()) == ["b.weight", "a.weight"]
    assert list(Mask.from_arrays(Mask.full(SHAPES).to_arrays()).keep) == ["b.weight", "a.weight"]


def test_a_full_mask_keeps_everything() -> None:
    full = Mask.full(SHAPES)
    assert full.density == 1
    assert full.shapes() == SHAPES


@pytest.mark.parametrize(
    ("keep", "error"),
    [
        ({}, ValueError),
        ({"w": torch.ones(3)}, TypeError),
        ({"w": torch.ones(3, dtype=torch.uint8)}, TypeError),
        ({"w": np.ones(3, dtype=bool)}, TypeError),
        ({"w": torch.ones(3, dtype=torch.bool, device="meta")}, TypeError),
        ({"w": torch.ones(0, 3, dtype=torch.bool)}, ValueError),
    ],
    ids=["no layers", "float", "uint8", "numpy", "not on the CPU", "no weights"],
)
def test_what_is_no_mask_is_refused(keep: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        Mask(keep)


def test_arrays_of_zeros_and_ones_are_refused_rather_than_guessed_at() -> None:
    with pytest.raises(TypeError, match="int64"):
        Mask.from_arrays({"w": np.array([0, 1, 2])})


def test_masks_over_different_weights_do_not_compare_and_the_error_says_where() -> None:
    one = Mask.full(SHAPES)
    other = Mask.full({**SHAPES, "a.weight": torch.Size([4])})
    for compare in (one.__le__, one.__and__):
        with pytest.raises(ValueError, match=r"'a.weight' is \(2, 1, 2\) in one and \(4,\) in the other"):
            compare(other)
    assert not one.equal(other)


def test_a_mask_cannot_be_assigned_to() -> None:
    with pytest.raises(FrozenInstanceError):
        Mask.full(SHAPES).keep = {}
