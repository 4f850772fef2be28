"""A file that import does not read is named for what it is; what it reads is never taken for one of these."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from PIL import Image

from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.errors import ArtifactError
from ticketctl.stages.first_bytes import kind_of
from ticketctl.stages.foreign_files import trees


def _image(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("L", (3, 2)).save(out, form)
    return out.getvalue()


def _onnx(**fields: str) -> bytes:
    graph = onnx.helper.make_graph([], "g", [], [])
    return onnx.helper.make_model(graph, **fields).SerializeToString()


def _zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("mask.pth"), io.BytesIO())
    return out.getvalue()


def _torch(value: object, *, zipped: bool = True) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def _scripted() -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():  # torch would rather write something else by now
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), out)
    return out.getvalue()


def _saved(write: Callable[..., None], *values: object, **named: object) -> bytes:
    out = io.BytesIO()
    write(out, *values, **named)
    return out.getvalue()


HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(40)  # section II.A of the HDF5 file format specification
OTHERS = {
    "a PNG image": _image("PNG"), "a JPEG image": _image("JPEG"), "a GIF image": _image("GIF"),
    "an ONNX model, which is exported and not imported": _onnx(producer_name="a"), "an HDF5 file": HDF5,
    "a gzip archive": gzip.compress(b"x"), "a tar archive": _tar(), "a Keras archive": _zip(
        "metadata.json", "config.json", "model.weights.h5"), "a zip archive, and none": _zip("a.txt"),
    "a JSON text": json.dumps({"mask":{"a": [1, 0]}}, separators=(",", ":")).encode(),
    "a text": "name,kept\nfc1,0.3 ä\n".encode(), "empty": b"", "a TorchScript archive": _scripted(),
    "a pickle that torch.save did not write": pickle.dumps({"mask": [1, 0]}),
}  # fmt: skip


@pytest.mark.parametrize("said", OTHERS)
def test_a_file_of_another_kind_is_named_with_what_can_be_imported(said, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(OTHERS[said])
    with pytest.raises(ArtifactError) as refused:
        [*trees((path,))]
    assert str(refused.value).startswith(f"a.pth: {said}")
    assert "torch.save" in str(refused.value)
    assert ("damaged" in str(refused.value)) == ("pickle" in said)


@pytest.mark.parametrize("first", [1, 7, 10, 11])
def test_onnx_is_known_whatever_its_first_fields(first):
    assert "ONNX" in (kind_of(_onnx(ir_version=first)) or "")
    assert "ONNX" in (kind_of(_onnx(ir_version=first, doc_string="d", domain="x")) or "")


def test_what_is_read_is_taken_for_nothing_else():
    mask = {"fc1.weight": torch.ones(2, 2, dtype=torch.int32)}
    arrays = {name: value.numpy() for name, value in mask.items()}
    for data in (
        _torch(mask), _torch(mask, zipped=False), safetensors.numpy.save(arrays), safetensors.numpy.save({}),
        _saved(np.savez, **arrays), _saved(np.savez_compressed, **arrays), _saved(np.save, np.ones(3)),
    ):  # fmt: skip
        assert kind_of(data) is None


def test_a_long_text_that_breaks_in_a_letter_is_a_text():
    assert kind_of(("x" + "ä" * 5000).encode()) == "a text"
    assert kind_of(json.dumps([0] * 5000).encode()) == "a JSON text"


@pytest.mark.parametrize("sign", [b"PK", b"\x1f\x8b", b"\x08\x08\x12", b"BZh"])
def test_a_safetensors_file_is_one_however_long_its_header_is(sign: bytes) -> None:
    length = int.from_bytes(sign, "little")
    header = b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}'.ljust(length)
    data = length.to_bytes(8, "little") + header + bytes(4)
    assert data.startswith(sign)
    assert [*safetensors.numpy.load(data)] == ["a"]
    assert kind_of(data) is None
