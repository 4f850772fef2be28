"""numpy's files are read without pickles, and give no more than they hold."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from ticketctl.store.npz import npy_array, npz_arrays


def saved(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as found:
        for name, data in members.items():
            found.writestr(f"{name}.npy", data)
    return file.getvalue()


def test_arrays_come_as_numpy_wrote_them():
    arrays = {
        "a/b": np.arange(6, dtype=">i2").reshape(2, 3),
        "c": np.asfortranarray(np.eye(3)),
        "d": np.array(True),
    }
    found = npz_arrays(saved(**arrays), limit=1 << 20)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK", b"junk" * 50, saved(a=np.array([{}], dtype=object)), archive(a=header("(99999999999,)")),
        archive(a=header("(2, 3)") + b"\0" * 8), archive(a=header("(-1,)")),
        archive(a=header("(2,)", "'|O'") + b"\0" * 16),
        archive(a=header("'x'")), archive(a=b"\x93NUMPY\x09\x00"), saved(a=np.ones(9))[:-30],
        archive(a=header("(1,)", "[('f', '<f4', (99999, 99999))]")), archive(a=header(f"({'-' * 9000}1,)")),
        archive(a=header("+".join(["1"] * 4000))), archive(a=header(f"(0, {1 << 62})")),
    ],
)  # fmt: skip
def test_what_is_damaged_or_claims_more_than_it_holds_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011  # numpy words it, zipfile or we
        npz_arrays(data, limit=1 << 20)


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = saved(a=np.zeros(1 << 22, np.uint8))
    assert len(bomb) < 10_000
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        npz_arrays(bomb, limit=1 << 20)


def test_a_name_that_stands_twice_is_refused():
    file = io.BytesIO()
    one = header("(1,)") + np.float32(1).tobytes()
    with zipfile.ZipFile(file, "w") as found:
        found.writestr("a.npy", one)
        with pytest.warns(UserWarning, match="Duplicate"):
            found.writestr("a.npy", one)
    with pytest.raises(ValueError, match="twice"):
        npz_arrays(file.getvalue(), limit=1 << 20)


def test_a_single_array_is_held_to_its_bytes_too():
    np.testing.assert_array_equal(npy_array(header("(2,)") + np.ones(2, np.float32).tobytes()), [1, 1])
    with pytest.raises(ValueError, match="claims 99999 values"):
        npy_array(header("(99999,)"))


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_packed_as_numpy_never_packs_is_refused_before_it_is_unpacked(kind):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as found:
        found.writestr("a.npy", header("(1000,)") + bytes(4000))
    for spoil in (0, 60):  # the packing's own errors are of many kinds
        data = bytearray(file.getvalue())
        data[spoil] ^= 1 if spoil else 0
        with pytest.raises(ValueError, match="packed as numpy never packs"):
            npz_arrays(bytes(data), limit=1 << 20)


def test_members_that_overlap_are_refused():
    data = archive(a=header("(9000,)") + bytes(36_000))
    begin = data.index(b"PK\x01\x02")
    entry, end = data[begin : data.index(b"PK\x05\x06")], bytearray(data[data.index(b"PK\x05\x06") :])
    rows = b"".join(entry.replace(b"a.npy", b"%c.npy" % name) for name in b"bcdefghijklm")
    end[8:10] = end[10:12] = (12).to_bytes(2, "little")
    end[12:16] = len(rows).to_bytes(4, "little")
    with pytest.raises(ValueError, match="overlap"):
        npz_arrays(data[:begin] + rows + bytes(end), limit=1 << 30)


def test_compressed_arrays_that_grow_beyond_a_bound_are_refused_before_they_are_unpacked_and_plain_ones_are_not():
    data = saved(a=np.zeros(1000, np.uint8), b=np.zeros(1000, np.uint8))
    assert len(data) < 1000
    assert npz_arrays(data, limit=1 << 20, grown=2256)["b"].size == 1000
    at = data.index(b"a.npy") + 40
    broken = data[:at] + b"\xff" * 8 + data[at + 8 :]  # whoever unpacked it would say so
    for each in (data, broken):
        with pytest.raises(
            ValueError, match=r"compressed arrays are 2256 bytes .* more than 2255; save it without"
        ):
            npz_arrays(each, limit=1 << 20, grown=2255)
    plain = io.BytesIO()
    np.savez(plain, a=np.zeros(4000, np.uint8))
    assert npz_arrays(plain.getvalue(), limit=1 << 20, grown=2255)["a"].size == 4000
