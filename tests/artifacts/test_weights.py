from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from ticketctl.artifacts.weights import decode_weights, encode_weights, weights_digest, zero_where
from ticketctl.store.tensors import Tensor

ALL = {
    "F32": np.float32(1.5).tobytes(),
    "F16": np.float16(1.5).tobytes(),
    "BF16": b"\xc0\x3f",
    "F64": np.float64(1.5).tobytes(),
    "I64": np.int64(-1).tobytes(),
}


def test_every_dtype_comes_back() -> None:
    tensors = {code.lower(): Tensor(code, (1,), data) for code, data in ALL.items()}
    again = decode_weights(encode_weights(tensors), where="")
    assert list(again) == sorted(tensors)
    assert {name: (tensor.dtype, bytes(tensor.data)) for name, tensor in again.items()} == {
        code.lower(): (code, data) for code, data in ALL.items()
    }


def test_digest_is_the_formula_of_the_spec() -> None:
    tensors = {"b": Tensor.of(np.array(7, "i8")), "a": Tensor.of(np.array([[1.0, 2.0]], "f4"))}
    text = b"ticketctl.init.v1\0"
    text += (
        struct.pack("<I", 1)
        + b"a"
        + b"\x03F32"
        + struct.pack("<B2Q", 2, 1, 2)
        + np.array([1, 2], "<f4").tobytes()
    )
    text += struct.pack("<I", 1) + b"b" + b"\x03I64" + struct.pack("<B", 0) + np.array(7, "<i8").tobytes()
    assert weights_digest(tensors) == "sha256:" + hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("code", "bits"),
    [("F32", "7f800000"), ("F32", "ffc00000"), ("F16", "7c00"), ("F16", "fe01"), ("BF16", "7f80"), ("BF16", "ffff"),
     ("F64", "7ff0000000000000")],
)  # fmt: skip
def test_what_is_not_finite_is_not_written(code: str, bits: str) -> None:
    with pytest.raises(ValueError, match="not every value is finite"):
        encode_weights({"w": Tensor(code, (1,), bytes.fromhex(bits)[::-1])})


@pytest.mark.parametrize(
    ("code", "bits"), [("F32", "7f7fffff"), ("F16", "fbff"), ("BF16", "7f7f"), ("BF16", "0001")]
)
def test_the_largest_and_smallest_numbers_are_finite(code: str, bits: str) -> None:
    encode_weights({"w": Tensor(code, (1,), bytes.fromhex(bits)[::-1])})


@pytest.mark.parametrize("tensor", [Tensor.of(np.zeros(1, "i4")), Tensor.of(np.zeros(1, "?"))])
def test_other_dtypes_are_not_written(tensor: Tensor) -> None:
    with pytest.raises(ValueError, match="dtype"):
        encode_weights({"w": tensor})


def test_minus_zero_is_not_zero() -> None:
    pruned = np.array([True, False])
    assert zero_where(Tensor.of(np.array([0.0, 1.0], "f4")), pruned)
    assert not zero_where(Tensor.of(np.array([-0.0, 1.0], "f4")), pruned)
    assert not zero_where(Tensor("BF16", (2,), b"\x00\x80\x00\x00"), pruned)
    assert zero_where(Tensor("BF16", (2,), b"\x00\x00\x00\x80"), pruned)
