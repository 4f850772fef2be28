"""numpy's files, `.npy` and archives of them: read without pickles and without believing what their headers claim."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from ticketctl.store.zips import pack_zip

MAX_MEMBERS = 10_000
MAX_GROWN = 1 << 30
"""Bytes that deflated members may become: a thousandth of them may be in the file, so its own size is no bound."""


def npy_array(data: bytes) -> NDArray[Any]:
    """The array in the bytes of a `.npy` file, if it holds no objects and as much as it claims.

    Raises:
        ValueError: it is damaged.
    """
    file = io.BytesIO(data)
    try:
        header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(file)
        if math.prod(shape) * dtype.itemsize > len(data) and not dtype.hasobject:
            raise ValueError(f"claims {math.prod(shape)} values, and is {len(data)} bytes")
        found: NDArray[Any] = npy.read_array(io.BytesIO(data), allow_pickle=False)
    # of a header that somebody made up; the last two are how Python gives up on one that is nested deep
    except (EOFError, OverflowError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or "a header that is nested too deep") from None
    return found


def npz_arrays(data: bytes, *, limit: int, grown: int = MAX_GROWN) -> dict[str, NDArray[Any]]:
    """The arrays in an archive of `.npy` files, by name; what else lies in it is passed over.

    Args:
        data: the archive, its members stored or deflated.
        limit: bytes that all its arrays may take.
        grown: bytes that those of deflated members may take.

    Raises:
        ValueError: it is damaged, a name stands twice, its members overlap or are packed otherwise, or it holds more
            than `limit`, `grown` or 10,000 of them.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if len({info.filename for info in infos}) < len(infos):
                raise ValueError("a name stands twice")
            if len(infos) > MAX_MEMBERS or sum(info.file_size for info in infos) > limit:
                raise ValueError(f"its arrays are more than {MAX_MEMBERS}, or more than {limit} bytes")
            packed = sum(info.file_size for info in infos if info.compress_type != zipfile.ZIP_STORED)
            if packed > grown:
                what = f"its compressed arrays are {packed} bytes when unpacked, more than {grown}"
                raise ValueError(f"{what}; save it without compression (numpy.savez)")
            if {info.compress_type for info in infos} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise ValueError("its arrays are packed as numpy never packs them")
            if sum(info.compress_size for info in infos) > len(data):
                raise ValueError("its members overlap")
            # a member gives no more than the size it claims
            return {info.filename.removesuffix(".npy"): npy_array(archive.read(info)) for info in infos}
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError, zlib.error) as error:
        raise ValueError(str(error)) from None


def pack_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The archive that holds `arrays`, numbers all of them, as `numpy.load` opens it; equal content, equal bytes."""
    return pack_zip({f"{name}.npy": _npy(array) for name, array in arrays.items()})


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    npy.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()
