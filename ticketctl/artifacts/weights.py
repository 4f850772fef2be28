"""rewind.safetensors and final.safetensors (formats/weights/v1/spec.md): a whole state_dict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.digests import content_digest, refuse_other
from ticketctl.artifacts.ids import shapes_digest
from ticketctl.errors import ArtifactError
from ticketctl.store.tensors import Tensor, pack_tensors, parse_tensors

METADATA = {"format": "pt"}
DTYPES = ("F32", "F16", "BF16", "F64", "I64")
_EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80}
"""Bits that are all set in infinities and NaN, and only there."""


def encode_weights(tensors: Mapping[str, Tensor]) -> bytes:
    """The file that holds `tensors` (state_dict name to tensor).

    Raises:
        ValueError: a dtype outside F32 F16 BF16 F64 I64, a value that is not finite, or no state_dict name.
    """
    for name, tensor in tensors.items():
        fault = _fault(name, tensor)
        if fault:
            raise ValueError(f"{name}: {fault}")
    return pack_tensors(tensors, METADATA)


def decode_weights(data: bytes, *, where: str) -> dict[str, Tensor]:
    """The tensors of a file that nobody vouches for, as views of `data`, in the order of their names.

    Raises:
        ArtifactError: E_FORMAT for the container, E_WEIGHTS for what it holds.
    """
    tensors, metadata = parse_tensors(data, where=where)
    if metadata != METADATA:
        raise ArtifactError(
            "E_FORMAT", f'{where}: the metadata of weights are {{"format":"pt"}} and nothing else'
        )
    for name, tensor in tensors.items():
        fault = _fault(name, tensor)
        if fault:
            raise ArtifactError("E_WEIGHTS", f"{where}: {name}: {fault}")
    return {name: tensors[name] for name in sorted(tensors)}


def claimed_weights(data: bytes, *, digest: str, shapes: str, where: str) -> dict[str, Tensor]:
    """The tensors of a weights file, which are those that a manifest claims: their digest, and that of their shapes.

    Raises:
        ArtifactError: as `decode_weights`; E_WEIGHTS_DIGEST, E_ARCH_MISMATCH where the manifest says otherwise.
    """
    tensors = decode_weights(data, where=where)
    refuse_other("E_WEIGHTS_DIGEST", where, weights_digest(tensors), digest)
    found = shapes_digest({name: tensor.shape for name, tensor in tensors.items()})
    refuse_other("E_ARCH_MISMATCH", where, found, shapes)
    return tensors


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """The identity of weights: `sha256:` over names, dtypes, shapes and raw bytes."""
    entries = [(name, tensor.dtype, tensor.shape, tensor.data) for name, tensor in tensors.items()]
    return content_digest("init", entries)


def zero_where(tensor: Tensor, pruned: NDArray[np.bool_]) -> bool:
    """Whether every pruned entry of `tensor` is exactly +0.0; `pruned` is a bool array of its shape."""
    form = {8: "<u8", 4: "<u4", 2: "<u2"}[tensor.array().dtype.itemsize]
    return not np.frombuffer(tensor.data, dtype=form).reshape(tensor.shape)[pruned].any()


def _fault(name: str, tensor: Tensor) -> str | None:
    if ":" in name:
        return "':' has no place in the name of a weight"
    if tensor.dtype not in DTYPES:
        return f"dtype {tensor.dtype} is not one of {', '.join(DTYPES)}"
    array = tensor.array()
    if tensor.dtype in _EXPONENT:
        mask = _EXPONENT[tensor.dtype]
        finite = not ((array.view("<u2") & mask) == mask).any()
    else:
        finite = tensor.dtype == "I64" or bool(np.isfinite(array).all())
    return None if finite else "not every value is finite"
