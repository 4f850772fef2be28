"""Reads samples or a report without ticketctl, as formats/*/v1/spec.md says; it trusts more than `ticketctl verify`."""

import argparse
import base64
import hashlib
import json
import struct
import zipfile

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
    assert [about["format"], about["format_version"][:2]] == [f"ticketctl.{kind}", "1."], about["format"]
    assert about["digest"] == found, f"not the {kind} it says it is"


def read_samples(path):
    """What the header says, and name -> array: logits, labels, perhaps index."""
    data = np.fromfile(path, np.uint8).tobytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    about, arrays = json.loads(header.pop("__metadata__")["ticketctl"]), {}
    for name, place in header.items():
        kind, begin = "<" + TYPES[place["dtype"]], start + place["data_offsets"][0]
        arrays[name] = np.ndarray(place["shape"], kind, data, begin)
    entries = [(name, header[name]["dtype"], array) for name, array in arrays.items()]
    check("samples", about, digest("samples", entries, canonical(about, "digest") + b"\0"))
    return about, arrays


def read_report(path):
    """What the attributes say, and path -> array: value and error in the order of about["metrics"], and others."""
    from numcodecs import Zstd  # samples are read without

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about, arrays = json.loads(members["zarr.json"])["attributes"], {}
    for document in (name for name in members if name.endswith("/zarr.json")):
        path, said = document.removesuffix("/zarr.json"), json.loads(members[document])
        if said["node_type"] == "array":
            chunks = [name for name in members if f"{name}/".startswith(f"{path}/c/")]
            chunks.sort(key=lambda name: [int(part) for part in name[len(path) + 3 :].split("/") if part])
            flat = b"".join(Zstd().decode(members[name][:-4]) for name in chunks)
            arrays[path] = np.ndarray(said["shape"], "<" + TYPES[said["data_type"]], flat)
    check("report", about, digest("report", [(p, a.dtype.str[1:], a) for p, a in arrays.items()]))
    core = hashlib.sha256(b"ticketctl.report.v1\0" + canonical(about, "report_id", "attributes_digest"))
    found = base64.b32encode(core.digest()).decode().lower()
    assert about["report_id"] == "rp1" + found[:29], "changed by hand"
    return about, arrays


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", help="samples/SET.safetensors or reports/audit-ID.zarr.zip")
    file = parser.parse_args().file
    try:
        about, arrays = (read_samples if file.endswith(".safetensors") else read_report)(file)
    except Exception as error:  # whatever a file of another kind leads to
        parser.exit(3, f"{file}: no samples, no report, or damaged: {error!r}\n")
    if "logits" in arrays:
        print(about["set"], "accuracy", (arrays["logits"].argmax(1) == arrays["labels"]).mean())
    for row, value in zip(about.get("metrics", ()), arrays.get("value", ()), strict=True):
        print(row["name"], value if row["status"] == "done" else row["reason"])
