from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ticketctl.errors import ArtifactError
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

ARRAYS = hnp.arrays(
    st.sampled_from(["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
NAMES = st.from_regex(r"[A-Za-z0-9_.]{1,12}", fullmatch=True).filter(lambda name: name != "__metadata__")


@given(st.dictionaries(NAMES, ARRAYS, max_size=4))
def test_the_safetensors_library_writes_the_same_bytes(arrays: dict[str, np.ndarray]) -> None:
    ours = pack_tensors({name: Tensor.of(array) for name, array in arrays.items()}, {"format": "pt"})
    assert ours == safetensors.numpy.save(arrays, metadata={"format": "pt"})


@given(st.dictionaries(NAMES, ARRAYS, max_size=4))
def test_what_is_packed_is_parsed(arrays: dict[str, np.ndarray]) -> None:
    tensors, metadata = parse_tensors(
        pack_tensors({name: Tensor.of(array) for name, array in arrays.items()}), where=""
    )
    assert metadata == {}
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name].array(), array)
        assert tensors[name].array().dtype == array.dtype


def test_big_endian_arrays_become_little() -> None:
    assert Tensor.of(np.array([1], ">u2")).data == b"\x01\x00"


def test_bfloat16_is_its_bits() -> None:
    tensor = Tensor("BF16", (2,), b"\x80\x3f\x00\x00")
    assert parse_tensors(pack_tensors({"a": tensor}), where="")[0]["a"].array().tolist() == [0x3F80, 0]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "__metadata__", "a" * 201, "a:bit", "é"])
def test_names_that_no_reader_takes_are_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="tensor name"):
        pack_tensors({name: Tensor("U8", (1,), b"\0")})


def test_data_of_another_length_are_not_written() -> None:
    with pytest.raises(ValueError, match="do not fill"):
        pack_tensors({"a": Tensor("F32", (2,), b"\0\0\0\0")})


def test_two_metadata_keys_are_not_written() -> None:
    with pytest.raises(ValueError, match="one metadata key"):
        pack_tensors({}, {"a": "1", "b": "2"})


@pytest.mark.parametrize("metadata", [{}, {"a": "x" * (1 << 20)}])
def test_headers_that_no_reader_takes_are_not_written(metadata: dict[str, str]) -> None:
    tensors = {} if metadata else {f"t{number}": Tensor("U8", (0,), b"") for number in range(10_001)}
    with pytest.raises(ValueError, match="more than a reader takes"):
        pack_tensors(tensors, metadata)


def test_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^here\.safetensors: .*\[E_FORMAT\]$"):
        parse_tensors(b"", where="here.safetensors")
