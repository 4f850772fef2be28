"""Reads a ticket with numpy alone (numcodecs for ladders), sharing no code with ticketctl: `read_ticket.py FOLDER`.

It trusts more than `ticketctl verify` does. It shows that formats/*/v1/spec.md is enough to write a reader from.
"""

import hashlib
import json
import math
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np


def digest(kind, entries, prefix=b""):
    total = hashlib.sha256(f"ticketctl.{kind}.v1\0".encode() + prefix)
    for name, shape, data in sorted(entries):
        total.update(struct.pack("<I", len(name)) + name.encode())
        total.update(struct.pack(f"<B{len(shape)}Q", len(shape), *shape) + data)
    return "sha256:" + total.hexdigest()


def check(kind, about, entries, prefix=b""):
    assert about["format"] == f"ticketctl.{kind}", about["format"]
    assert about["format_version"].startswith("1."), about["format_version"]
    assert digest(kind, entries, prefix) == about["digest"], f"not the {kind} it says it is"


def read_mask(path):
    """Name -> bool array, True = kept."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    about = json.loads(header["__metadata__"]["ticketctl"])
    keep, entries = {}, []
    for name, entry in about["tensors"].items():
        shape, place = entry["shape"], header[name + ":bits"]
        first, last = place["data_offsets"]
        packed = np.frombuffer(data[start + first : start + last], "u1").reshape(place["shape"])
        columns = math.prod(shape[1:]) if len(shape) > 1 else math.prod(shape)
        bits = np.unpackbits(packed, axis=1, count=columns, bitorder="little")
        keep[name] = bits.astype(bool).reshape(shape)
        entries.append((name, shape, packed.tobytes()))
    check("mask", about, entries)
    return keep


def read_ladder(path):
    """Number of rounds, and name -> round of death; the mask of level n is `death >= n`."""
    from numcodecs import Blosc

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about, death = json.loads(members["zarr.json"])["attributes"], {}
    for document in (name for name in members if name.count("/") == 2 and name.endswith("/zarr.json")):
        shape, folder = json.loads(members[document])["shape"], document.removesuffix("zarr.json")
        chunks = [name for name in members if name.startswith(folder + "c")]
        chunks.sort(key=lambda name: [int(part) for part in name.split("/")[3:]])
        parts = [np.frombuffer(Blosc().decode(members[name][:-4]), "u1") for name in chunks]
        death[document.split("/")[1]] = np.concatenate(parts)[: math.prod(shape)].reshape(shape)
    entries = [(name, array.shape, array.tobytes()) for name, array in death.items()]
    check("ladder", about, entries, bytes([about["rounds"]]))
    return about["rounds"], death


def read_manifest(path):
    """ticket.json or run.json, once its own digest is seen to cover it."""
    manifest = json.loads(Path(path).read_bytes())
    rest = {key: value for key, value in manifest.items() if key != "manifest_digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    found = hashlib.sha256(b"ticketctl.manifest_digest.v1\0" + text).hexdigest()
    assert manifest["manifest_digest"] == "sha256:" + found, "changed by hand"
    return manifest


if __name__ == "__main__":
    for layer, kept in read_mask(Path(sys.argv[1]) / "mask.safetensors").items():
        print(f"{layer}: {kept.sum()} of {kept.size} kept")
