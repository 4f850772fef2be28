"""Reads samples or a report with numpy (and numcodecs), sharing no code with ticketctl: `read_report.py FILE`.

It trusts more than `ticketctl verify` does. It shows that formats/*/v1/spec.md is enough to write a reader from.
"""

import base64
import hashlib
import json
import math
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

TYPES = {"float64": "f8", "float32": "f4", "int64": "i8", "uint8": "u1", "F32": "f4", "I64": "i8"}


def canonical(record, *without):
    record = {key: value for key, value in record.items() if key not in without}
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(kind, entries, prefix=b""):
    total = hashlib.sha256(f"ticketctl.{kind}.v1\0".encode() + prefix)
    for name, code, array in sorted(entries, key=lambda entry: entry[0]):
        form = f"<I{len(name)}sB{len(code)}s"
        total.update(struct.pack(form, len(name), name.encode(), len(code), code.encode()))
        total.update(struct.pack(f"<B{array.ndim}Q", array.ndim, *array.shape) + array.tobytes())
    return "sha256:" + total.hexdigest()


def check(kind, about, found):
    assert about["format"] == f"ticketctl.{kind}", about["format"]
    assert about["format_version"].startswith("1."), about["format_version"]
    assert about["digest"] == found, f"not the {kind} it says it is"


def read_samples(path):
    """What the header says, and name -> array: logits, labels, perhaps index."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    about = json.loads(header.pop("__metadata__")["ticketctl"])
    arrays = {}
    for name, place in header.items():
        flat = np.frombuffer(data[start:][slice(*place["data_offsets"])], "<" + TYPES[place["dtype"]])
        arrays[name] = flat.reshape(place["shape"])
    entries = [(name, header[name]["dtype"], array) for name, array in arrays.items()]
    check("samples", about, digest("samples", entries, canonical(about, "digest") + b"\0"))
    return about, arrays


def read_report(path):
    """What the attributes say, and path -> array: value and error in the order of about["metrics"], and others."""
    from numcodecs import Zstd

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about, arrays = json.loads(members["zarr.json"])["attributes"], {}
    for document in (name for name in members if name.endswith("/zarr.json")):
        path, said = document.removesuffix("/zarr.json"), json.loads(members[document])
        if said["node_type"] == "array":
            chunks = [name for name in members if f"{name}/".startswith(f"{path}/c/")]
            chunks.sort(key=lambda name: [int(part) for part in name[len(path) + 3 :].split("/") if part])
            flat = b"".join(Zstd().decode(members[name][:-4]) for name in chunks)
            array = np.frombuffer(flat, "<" + TYPES[said["data_type"]])
            arrays[path] = array[: math.prod(said["shape"])].reshape(said["shape"])
    check("report", about, digest("report", [(p, a.dtype.str[1:], a) for p, a in arrays.items()]))
    core = b"ticketctl.report.v1\0" + canonical(about, "report_id", "attributes_digest")
    found = base64.b32encode(hashlib.sha256(core).digest()).decode().lower()
    assert about["report_id"] == "rp1" + found[:29], "changed by hand"
    return about, arrays


if __name__ == "__main__":
    about, arrays = (read_samples if sys.argv[1].endswith(".safetensors") else read_report)(sys.argv[1])
    for row, value in zip(about.get("metrics", ()), arrays.get("value", ()), strict=True):
        print(row["name"], value if row["status"] == "done" else row["reason"])
