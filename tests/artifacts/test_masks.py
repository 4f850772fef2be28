from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ticketctl.artifacts.masks import decode_mask, encode_mask, mask_digest, matrix_shape

NAMES = st.from_regex(r"[a-z0-9_]{1,4}(\.[a-z0-9_]{1,4}){0,2}", fullmatch=True)
MANY = {f"w{number}": np.ones(1, "?") for number in range(4097)}
BITS = hnp.arrays("?", hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=9))


@pytest.mark.long
@given(st.dictionaries(NAMES, BITS, min_size=1, max_size=4))
def test_what_is_encoded_is_decoded(keep: dict[str, np.ndarray]) -> None:
    data = encode_mask(keep)
    again = decode_mask(data, where="")
    assert list(again) == sorted(keep)
    for name, array in keep.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == np.bool_
    assert encode_mask(dict(reversed(keep.items()))) == data


@given(BITS)
def test_bits_lie_where_the_spec_says_by_brute_force(keep: np.ndarray) -> None:
    packed = safetensors.numpy.load(encode_mask({"w": keep}))["w:bits"]
    rows, columns = matrix_shape(keep.shape)
    matrix = keep.reshape(rows, columns)
    assert packed.shape == (rows, -(-columns // 8))
    for row in range(rows):
        for place in range(8 * packed.shape[1]):
            bit = packed[row, place // 8] >> place % 8 & 1
            assert bit == (matrix[row, place] if place < columns else 0)


def test_digest_is_the_formula_of_the_spec() -> None:
    keep = {"b": np.array([True, False, True]), "a.w": np.array([[True, False]] * 2)}
    text = b"ticketctl.mask.v1\0"
    text += struct.pack("<I", 3) + b"a.w" + struct.pack("<B2Q", 2, 2, 2) + b"\x01\x01"
    text += struct.pack("<I", 1) + b"b" + struct.pack("<B1Q", 1, 3) + b"\x05"
    assert mask_digest(keep) == "sha256:" + hashlib.sha256(text).hexdigest()


def test_digest_tells_shapes_apart() -> None:
    flat = np.ones(6, "?")
    assert (
        len({mask_digest({"w": flat.reshape(shape)}) for shape in ((6,), (1, 6), (6, 1), (2, 3), (1, 1, 6))})
        == 5
    )


def test_empty_parameters_are_left_out() -> None:
    keep = {"w": np.ones((2, 2), "?"), "none": np.ones((0, 3), "?")}
    assert decode_mask(encode_mask(keep), where="").keys() == {"w"}
    assert mask_digest(keep) == mask_digest({"w": keep["w"]})


def test_any_memory_order_is_the_same_mask() -> None:
    keep = np.arange(24).reshape(2, 3, 4) % 5 == 0
    assert encode_mask({"w": np.asfortranarray(keep)}) == encode_mask({"w": keep})


@pytest.mark.parametrize(
    "keep",
    [{}, {"w": np.ones((0,), "?")}, {"w": np.ones(3, "u1")}, {"w": np.ones((1,) * 9, "?")}, {"a..b": np.ones(1, "?")},
     MANY, {"w:bits": np.ones(1, "?")}, {"": np.ones(1, "?")}, {"w" * 201: np.ones(1, "?")}],
)  # fmt: skip
def test_what_no_reader_takes_is_not_written(keep: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"mask|name"):
        encode_mask(keep)
