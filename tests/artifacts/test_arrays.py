"""Archives written by hand, opened by zarr itself: the format's own implementation is the oracle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from tests.artifacts import samples
from ticketctl.artifacts import arrays
from ticketctl.artifacts.arrays import Form, chunk_shape, pack_group, read_array, refuse_unread, unpack_group
from ticketctl.artifacts.ladder import encode_ladder
from ticketctl.artifacts.series import encode_series
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.zips import unpack_zip

FORMS = [
    Form("uint8", "u1", "blosc"),
    Form("uint8", "u1", "zstd"),
    Form("float32", "<f4", "zstd", "NaN"),
    Form("int64", "<i8", "zstd"),
]
SHAPES = st.lists(st.integers(0, 7), max_size=4).map(tuple)


def opened(data: bytes) -> zarr.Group:
    """The archive as zarr sees it."""
    make = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore({name: make(content) for name, content in unpack_zip(data, where="").items()})
    return zarr.open_group(store, mode="r", zarr_format=3)


def filled(shape: tuple[int, ...], form: Form) -> np.ndarray:
    return (samples.words(math.prod(shape), "fill") % 200).astype(form.dtype).reshape(shape)


@given(SHAPES, st.sampled_from(FORMS))
def test_zarr_reads_what_we_write(shape: tuple[int, ...], form: Form) -> None:
    array = filled(shape, form)
    group = opened(pack_group({"about": "x"}, {"a": (array, form)}))
    assert dict(group.attrs) == {"about": "x"}
    found = group["a"]
    assert isinstance(found, zarr.Array)
    np.testing.assert_array_equal(found[...], array)
    assert found.dtype == np.dtype(form.dtype)


@given(SHAPES, st.sampled_from(FORMS))
def test_we_read_what_we_write(shape: tuple[int, ...], form: Form) -> None:
    array = filled(shape, form)
    group = unpack_group(pack_group({}, {"a": (array, form)}), where="")
    np.testing.assert_array_equal(read_array(group, "a", form, limit=1 << 20), array)
    refuse_unread(group)


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (1024, 2000), (5, 1 << 20), (3, 2, 1 << 20)])
@pytest.mark.parametrize("form", FORMS[:2])
def test_zarr_writes_the_same_chunks_and_documents(shape: tuple[int, ...], form: Form) -> None:
    array = filled(shape, form)
    chunks = chunk_shape(shape, 1)
    blosc = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=1, blocksize=math.prod(chunks))
    compressor: Any = blosc if form.compressor == "blosc" else ZstdCodec(level=3, checksum=True)
    contents: dict[str, Any] = {}
    group = zarr.open_group(MemoryStore(contents), mode="w", zarr_format=3)
    made = group.create_array(
        "a",
        shape=shape,
        dtype="u1",
        chunks=chunks,
        serializer=BytesCodec(),
        compressors=[compressor, Crc32cCodec()],
        fill_value=0,
        config={"write_empty_chunks": True},
    )
    made[...] = array
    theirs = {name: value.to_bytes() for name, value in contents.items()}
    ours = unpack_zip(pack_group({}, {"a": (array, form)}), where="")
    assert theirs.keys() == ours.keys()
    for name, content in ours.items():
        if name.endswith("zarr.json"):
            assert canonical_json(parse_json(theirs[name], where="")) == content
        else:
            assert theirs[name] == content


def test_ladders_and_series_open_in_zarr() -> None:
    group = opened(encode_ladder(samples.full_ladder()))
    for name, array in samples.death().items():
        np.testing.assert_array_equal(group[f"death/{name}"][...], array)
    series = samples.series()
    measured = opened(encode_series(series))
    np.testing.assert_array_equal(measured["scalars"][...], series.scalars)
    np.testing.assert_array_equal(measured["correct_bits"][...], series.correct_bits)


@pytest.mark.parametrize(
    ("shape", "item", "chunk"),
    [((), 4, ()), ((0, 3), 4, (1, 3)), ((1 << 22,), 1, (1 << 22,)), (((1 << 22) + 1,), 1, (1 << 22,)),
     ((512, 512, 3, 3), 1, (512, 512, 3, 3)), ((1000, 4609), 1, (910, 4609)), ((3, 5 << 20), 1, (1, 5 << 20)),
     ((1 << 20, 2), 8, (1 << 18, 2))],
)  # fmt: skip
def test_chunks_are_whole_arrays_or_rows(shape: tuple[int, ...], item: int, chunk: tuple[int, ...]) -> None:
    assert chunk_shape(shape, item) == chunk


def test_a_row_beyond_the_largest_chunk_is_not_written() -> None:
    with pytest.raises(ValueError, match="more than a chunk holds"):
        pack_group({}, {"a": (np.zeros((2, arrays.MAX_CHUNK + 1), "u1"), FORMS[0])})


def test_the_limit_holds_before_anything_is_unpacked() -> None:
    group = unpack_group(pack_group({}, {"a": (np.zeros(1000, "u1"), FORMS[0])}), where="x")
    with pytest.raises(ArtifactError, match=r"x: a: \[1000\] is larger than allowed here \(999 bytes\)"):
        read_array(group, "a", FORMS[0], limit=999)
