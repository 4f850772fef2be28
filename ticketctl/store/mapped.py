"""Large safetensors files of our own: read by mapping them.

What nobody vouches for is read with `files.read_bytes` instead: a mapped file that is cut short kills its
reader.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.store.files import write_atomic
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write the canonical file that holds `arrays`.

    Raises:
        ResourceError: no space, no permission, no such folder; `path` is untouched.
    """
    write_atomic(path, pack_tensors({name: _view(array) for name, array in arrays.items()}, metadata))


def map_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file we wrote; the tensors are read-only views of the mapped file.

    Raises:
        ArtifactError: E_FILE_MISSING, E_PATH for a link or no file, E_FORMAT for what we would not write.
        ResourceError: the file may not be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactError("E_FILE_MISSING", f"{path}: no such file") from None
    except PermissionError as error:
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError:
        raise ArtifactError("E_PATH", f"{path}: not a regular file (links are not followed)") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError("E_PATH", f"{path}: not a regular file")
        if status.st_size == 0:  # which mmap refuses
            raise ArtifactError("E_FORMAT", f"{path}: empty")
        view = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(handle)
    # a slice of a mapping is bytes, so to the parser it is bytes that take no memory
    return parse_tensors(cast(bytes, view), where=str(path))


def _view(array: NDArray[Any]) -> Tensor:
    """What `Tensor.of` makes, without its copy of the data."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    code = Tensor.of(np.empty(0, little.dtype)).dtype
    return Tensor(code, array.shape, little.reshape(-1).view(np.uint8).data)
