"""The child behind the fence: reads a file of torch.save as plain values, under limits, and runs nothing of it.

torch reads with `weights_only`, which builds plain values and tensors alone. What numpy's arrays and numbers are
rebuilt with is replaced by the plain classes below, so that no code of numpy sees a state that the file made up.

On stdin: eight bytes of length and a file, again and again. On stdout, for each: `R` and a refusal, or `F` and what was
found, as JSON with its tensors in one safetensors file beside it; each part after eight bytes of its length.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import resource
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from ticketctl.fence.reader import DEEP, GROWN, MANY, SECONDS
from ticketctl.store.tensors import Tensor, pack_tensors

_NUMBERS = {f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}
_CODES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64",
}  # fmt: skip
_LONGEST = 1000
"""Signs of a text that are handed on."""


class RefusedError(Exception):
    """Why a file is not read, in one line that goes after its name."""


class _Dtype:
    """Stands for numpy.dtype: `dtype("i8", ...)`, whose state has the byte order second."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        """The dtype, if it is one of numbers."""
        if self.code not in _NUMBERS or self.order not in ("<", ">", "|", "="):
            what = "Python objects" if self.code in ("O", "O8") else f"{str(self.code)[:20]!r}"
            raise RefusedError(f"holds a numpy array of {what}; arrays of numbers are wanted")
        found: np.dtype[Any] = np.dtype(self.order + self.code)
        return found


class _Array:
    """Stands for numpy.ndarray, whose state is (version, shape, dtype, whether Fortran's order, bytes)."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def tensor(self) -> Tensor:
        """The array, if it is one of numbers and its parts fit."""
        _, shape, dtype, fortran, data = self.state
        flat = _flat(dtype.numpy(), data)
        if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) != flat.size:
            raise RefusedError("holds a numpy array whose data do not fill its shape")
        return Tensor.of(flat.reshape(shape, order="F" if fortran else "C"))


class _Namespace:
    """Stands for argparse.Namespace, which many keep their options in."""


def _flat(dtype: np.dtype[Any], data: Any) -> np.ndarray[Any, np.dtype[Any]]:
    if not isinstance(data, bytes) or len(data) % dtype.itemsize:
        raise RefusedError("holds a numpy array whose data do not fill its shape")
    return np.frombuffer(data, dtype=dtype)


def _rebuilt(*_: Any) -> _Array:
    return _Array()


def _number(dtype: Any, data: Any) -> float | int | bool:
    value: float | int | bool = _flat(dtype.numpy(), data)[0].item()
    return value


_STANDS_FOR: list[Any] = [
    (_Dtype, "numpy.dtype"),
    (_Array, "numpy.ndarray"),
    (_Namespace, "argparse.Namespace"),
    *((_rebuilt, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


def neutral(data: bytes) -> tuple[bytes, bytes]:
    """What a file of torch.save holds: JSON with a number for each tensor, and a safetensors file with the tensors.

    In the JSON a list is a list, a dict has `=` before each of its keys, `{"tensor": "3"}` is a tensor, and
    `{"sparse": {shape, indices, values}}` a sparse one. What is neither of these nor plain is null.

    Raises:
        RefusedError: it is no such file, is damaged, or holds code, too much, or tensors of a kind that is not read.
    """
    found = _Found(GROWN * len(data) + (1 << 20))
    try:
        with torch.serialization.safe_globals(_STANDS_FOR):
            # TID251: the importers' only reader of pickles; nothing but plain values and tensors is made of one
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251
        # keys stay in the file's order
        form = json.dumps(found.form(loaded, 0), ensure_ascii=False, allow_nan=False)
        return form.encode("utf-8"), pack_tensors(found.tensors)
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("needs more memory than a file of its size should") from None
    except Exception as error:  # whatever the file makes torch stumble over; it then says how to run it
        raise RefusedError(_told(str(error))) from None


def _told(text: str) -> str:
    """What torch's message says of the file."""
    if "allocate memory" in text or "out of memory" in text:
        return "needs more memory than a file of its size should"
    if "does not match expected size" in text:
        return "claims a tensor of more bytes than it holds"
    if "magic number" in text or "Unsupported operand" in text:
        return (
            "a pickle that torch.save did not write, or a damaged one; use torch.save(net.state_dict(), FILE)"
        )
    name = re.search(r"(?:GLOBAL|function) ([\w.]{1,120})", text)
    if name is None:
        return "damaged, or no file that torch.save wrote"
    last = name[1].rpartition(".")[2]
    what = f"a pickled {last} ({name[1]})" if last[:1].isupper() else f"{name[1]}, which is code"
    return f"holds {what}; nothing of it was run; save its state_dict: torch.save(net.state_dict(), FILE)"


class _Found:
    """The tensors of a file so far, and how much more it may hold."""

    def __init__(self, room: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.room, self.values = room, 0

    def form(self, value: Any, depth: int) -> Any:
        """The form of a value in the JSON."""
        self.values += 1
        if self.values > MANY or depth > DEEP:
            deep = f"nested deeper than {DEEP}, or within itself"
            much = deep if depth > DEEP else f"more than {MANY} values"
            raise RefusedError(f"{much}; a state_dict of tensors is wanted")
        if isinstance(value, _Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            return self._dict(value, depth)
        if isinstance(value, list | tuple):
            return [self.form(each, depth + 1) for each in value]
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        return self._kept(value.tensor()) if isinstance(value, _Array) else _plain(value)

    def _dict(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        named = {f"={_key(key)}": each for key, each in value.items()}
        if len(named) != len(value):
            raise RefusedError("holds a dict with two keys of the same text")
        return {key: self.form(each, depth + 1) for key, each in named.items()}

    def _tensor(self, value: torch.Tensor) -> dict[str, Any]:
        value = value.detach()
        if value.layout is torch.sparse_coo:
            parts = {"indices": value._indices(), "values": value._values()}
            numbered = {key: self._tensor(part)["tensor"] for key, part in parts.items()}
            return {"sparse": {"shape": [int(size) for size in value.shape], **numbered}}
        if value.layout is not torch.strided or value.dtype not in _CODES or value.is_meta:
            raise RefusedError(f"holds a tensor of {value.dtype}, {value.layout}, which is not read")
        size, there = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if size > there:
            raise RefusedError(f"claims a tensor of {size} bytes and holds {there} of them")
        self.room -= size
        if self.room < 0:
            raise RefusedError("claims many times more tensors than a file of its size holds")
        data = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if size else b""
        return self._kept(Tensor(_CODES[value.dtype], tuple(value.shape), data))

    def _kept(self, tensor: Tensor) -> dict[str, Any]:
        name = str(len(self.tensors))
        self.tensors[name] = tensor
        return {"tensor": name}


def _key(key: Any) -> str:
    if not isinstance(key, str | int | float | bool | tuple | None):
        raise RefusedError(f"holds a dict keyed by {type(key).__name__}; names are wanted")
    return _text(key if isinstance(key, str) else repr(key))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return _text(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(str(value)) if isinstance(value, torch.dtype | torch.device) else None


def _text(text: str) -> str:
    return text[:_LONGEST].encode("utf-8", "replace").decode("utf-8")


def main() -> None:
    """Answer until stdin ends. Nothing is written but the answers: not to any file, and no new process."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between
    torch.set_num_threads(1)
    _shut()
    base = _address_space()
    while header := sys.stdin.buffer.read(8):
        _answer(struct.unpack("<Q", header)[0], base, answers)


def _shut() -> None:
    """No file may grow from here on, no process be started, no core be left behind, and no limit be raised again."""
    for what in ("FSIZE", "CORE", "NPROC"):
        if hasattr(resource, f"RLIMIT_{what}"):  # not every system counts processes
            resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (0, 0))


def _address_space() -> int:
    """Bytes that torch alone takes up; where the system does not say, so many that the limit means nothing."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 1 << 46
    return pages * resource.getpagesize()


def _answer(size: int, base: int, answers: BinaryIO) -> None:
    _limit(resource.RLIMIT_AS, base + GROWN * size + (1 << 30))
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _limit(resource.RLIMIT_CPU, math.ceil(spent) + SECONDS)
    try:
        parts: tuple[bytes, ...] = neutral(sys.stdin.buffer.read(size))
        kind = b"F"
    except (RefusedError, MemoryError) as why:
        parts, kind = ((str(why) or "needs more memory than a file of its size should").encode(),), b"R"
    answers.write(kind + b"".join(struct.pack("<Q", len(part)) + part for part in parts))
    answers.flush()


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, resource.getrlimit(what)[1]))
