"""What a file that no mask can be read from is, by its first bytes: a user may have named the wrong one."""

from __future__ import annotations

import json

READ = "import reads files of torch.save, safetensors, and numpy's .npz and .npy"
_SIGNS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes its weights"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"BZh", "a bzip2 archive; unpack it"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it"),
)
_ONNX_NEXT = {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72}
"""Tags of the fields of an ONNX ModelProto that may follow its first, ir_version (field 1, a varint)."""
_LOOKED = 4096


def kind_of(data: bytes) -> str | None:
    """What a file is that import does not read; None for all others.

    Sources: the signatures of the formats' own specifications; POSIX ustar; onnx.proto (ModelProto).

    >>> kind_of(b"\\x89PNG\\r\\n\\x1a\\n..."), kind_of(b"[1, 2]"), kind_of(b"PK\\x03\\x04")
    ('a PNG image', 'a JSON text', 'a zip archive, and none that torch.save or numpy wrote')
    """
    if not data:
        return "empty"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return None  # safetensors: the length of its header comes first, and may look like any sign below
    for sign, said in _SIGNS:
        if data.startswith(sign):
            return said
    if data[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if data.startswith(b"PK"):
        return _zip(data)
    if len(data) > 2 and data[0] == 0x08 and 0 < data[1] < 32 and data[2] in _ONNX_NEXT:
        return "an ONNX model, which is exported and not imported"
    return _text(data)


def _zip(data: bytes) -> str | None:
    """torch's archives hold data.pkl, those of TorchScript constants.pkl besides; numpy's hold .npy files."""
    if b"/constants.pkl" in data:
        return "a TorchScript archive; save its state_dict: torch.save(net.state_dict(), FILE)"
    if b"data.pkl" in data or b".npy" in data:
        return None
    if b"config.json" in data and b".weights.h5" in data:
        return "a Keras archive"
    return "a zip archive, and none that torch.save or numpy wrote"


def _text(data: bytes) -> str | None:
    try:
        text = data[:_LOOKED].decode("utf-8", "strict" if len(data) <= _LOOKED else "ignore")
    except UnicodeDecodeError:
        return None
    if not all(sign.isprintable() or sign in "\t\r\n\ufeff" for sign in text):
        return None
    if len(data) > _LOOKED:
        return "a JSON text" if text.lstrip()[:1] in ("{", "[") else "a text"
    try:
        json.loads(text)
    except ValueError:
        return "a text"
    return "a JSON text"
