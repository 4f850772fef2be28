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
    """sha256 over names, shapes and content, as formats/README.md says."""
    total = hashlib.sha256(f"ticketctl.{kind}.v1\0".encode() + prefix)
    for name, shape, data in sorted(entries):
        total.update(struct.pack("<I", len(name)) + name.encode())
        total.update(struct.pack(f"<B{len(shape)}Q", len(shape), *shape) + data)
    return "sha256:" + total.hexdigest()


def read_mask(path):
    """Name -> bool array, True = kept."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    about = json.loads(header["__metadata__"]["ticketctl"])
    assert about["format"] == "ticketctl.mask" and about["format_version"].startswith("1.")
    keep, entries = {}, []
    for name, entry in about["tensors"].items():
        shape, place = entry["shape"], header[name + ":bits"]
        first, last = place["data_offsets"]
        packed = np.frombuffer(data[start + first : start + last], "u1").reshape(place["shape"])
        columns = math.prod(shape[1:]) if len(shape) > 1 else math.prod(shape)
        keep[name] = (
            np.unpackbits(packed, axis=1, count=columns, bitorder="little").astype(bool).reshape(shape)
        )
        entries.append((name, shape, packed.tobytes()))
    assert digest("mask", entries) == about["digest"], "not the mask it says it is"
    return keep


def read_ladder(path):
    """Number of rounds, and name -> round of death; the mask of level n is `death >= n`."""
    from numcodecs import Blosc

    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("zarr.json"))["attributes"]
        assert about["format"] == "ticketctl.ladder" and about["format_version"].startswith("1.")
        death = {}
        for member in archive.namelist():
            if member.count("/") == 2 and member.endswith("/zarr.json"):
                shape = json.loads(archive.read(member))["shape"]
                chunk = member.removesuffix("zarr.json") + "c"
                names = sorted(
                    (n for n in archive.namelist() if n == chunk or n.startswith(chunk + "/")), key=_row
                )
                parts = [np.frombuffer(Blosc().decode(archive.read(name)[:-4]), "u1") for name in names]
                death[member.split("/")[1]] = np.concatenate(parts)[: math.prod(shape)].reshape(shape)
    entries = [(name, array.shape, array.tobytes()) for name, array in death.items()]
    assert digest("ladder", entries, bytes([about["rounds"]])) == about["digest"], (
        "not the ladder it says it is"
    )
    return about["rounds"], death


def _row(name):
    return [int(part) for part in name.split("/")[3:]]


def read_manifest(path):
    """ticket.json or run.json, once its own digest is seen to cover it."""
    manifest = json.loads(Path(path).read_bytes())
    rest = {key: value for key, value in manifest.items() if key != "manifest_digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    found = "sha256:" + hashlib.sha256(b"ticketctl.manifest_digest.v1\0" + text).hexdigest()
    assert found == manifest["manifest_digest"], "changed by hand"
    return manifest


if __name__ == "__main__":
    print(read_manifest(Path(sys.argv[1]) / "ticket.json")["ticket_id"])
    for layer, kept in read_mask(Path(sys.argv[1]) / "mask.safetensors").items():
        print(f"{layer}: {kept.sum()} of {kept.size} kept")
