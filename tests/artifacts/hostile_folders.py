"""Hostile tickets and runs: folders made from a sound one, each with the code that `verify` refuses it with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.artifacts import samples
from ticketctl.artifacts.ladder import encode_ladder, kept_per_level, ladder_digest
from ticketctl.artifacts.manifest import SEAL
from ticketctl.artifacts.masks import encode_mask, mask_digest
from ticketctl.artifacts.models import recipe_digest, run_id, shapes_digest, ticket_id
from ticketctl.artifacts.records import seal
from ticketctl.artifacts.ticket import complete
from ticketctl.artifacts.weights import encode_weights, weights_digest
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import sha256
from ticketctl.store.tensors import Tensor

Fields = dict[str, Any]
Case = tuple[str, Callable[[Path], Any], str, str]
"""Name, what spoils a sound folder, code, why."""
ZERO = "sha256:" + "0" * 64


def rewrite(folder: Path, change: Callable[[Fields], Any], *, sealed: bool = True) -> None:
    """Change the manifest and (unless not `sealed`) cover the change by its digest."""
    path = next(path for path in (folder / "ticket.json", folder / "run.json") if path.exists())
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_bytes(canonical_json(seal(fields, SEAL) if sealed else fields))


def fields_with(change: Callable[[Fields], Any], *, sealed: bool = True) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, change, sealed=sealed)


def text_with(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the bytes of the manifest."""

    def spoil(folder: Path) -> None:
        path = next(path for path in (folder / "ticket.json", folder / "run.json") if path.exists())
        path.write_bytes(change(path.read_bytes()))

    return spoil


def replaced(
    folder: Path, name: str, data: bytes, change: Callable[[Fields], Any] = lambda fields: None
) -> None:
    """Replace a payload file, list it as it is now, and change the manifest further; ids are made to fit."""

    def relist(fields: Fields) -> None:
        entry = next(entry for entry in fields["files"] if entry["path"] == name)
        entry |= {"size": len(data), "sha256": sha256(data)}
        change(fields)
        reidentify(fields)

    (folder / name).write_bytes(data)
    rewrite(folder, relist)


def reidentify(fields: Fields) -> None:
    """Make the id fit the manifest, so that only the intended fault is left."""
    if "ticket_id" in fields:
        fields["ticket_id"] = ticket_id(fields["arch"], fields["init"]["digest"], fields["mask"]["digest"])
    else:
        core = {key: fields[key] for key in ("ticket", "level", "arch", "seeds", "recipe")}
        fields["run_id"] = run_id(**core, weights=fields["weights"]["digest"])


def other_mask(
    change: Callable[[dict[str, np.ndarray]], Any], *, digest: bool = True
) -> Callable[[Path], None]:
    """A mask of other bits, with counts (and the digest) to fit."""

    def spoil(folder: Path) -> None:
        keep = samples.ladder().mask(samples.ROUNDS)
        change(keep)

        def recount(fields: Fields) -> None:
            kept = sum(int(array.sum()) for array in keep.values())
            total = sum(array.size for array in keep.values())
            fields["mask"] |= {"kept": kept, "prunable": total}
            if digest:
                fields["mask"]["digest"] = mask_digest(keep)
            if "draw" in fields:
                fields["draw"]["levels"] = []
            else:
                fields |= {"kept": kept, "prunable": total}

        replaced(folder, "mask.safetensors", encode_mask(keep), recount)

    return spoil


def swap_two(keep: dict[str, np.ndarray]) -> None:
    keep["fc1.weight"] = keep["fc1.weight"][::-1].copy()


def rename(keep: dict[str, np.ndarray]) -> None:
    keep["fc9.weight"] = keep.pop("fc1.weight")


def reshape(keep: dict[str, np.ndarray]) -> None:
    keep["fc1.weight"] = keep["fc1.weight"].reshape(12, 5)


def empty_layer(keep: dict[str, np.ndarray]) -> None:
    keep["fc2.weight"][:] = False


def other_init(tensors: dict[str, Tensor], **parts: Any) -> Callable[[Path], None]:
    def change(fields: Fields) -> None:
        fields["init"]["digest"] = parts.get("digest", weights_digest(tensors))
        if "shapes" in parts:
            fields["arch"]["param_shapes"] = parts["shapes"]

    return lambda folder: replaced(folder, "rewind.safetensors", encode_weights(tensors), change)


def other_ladder(folder: Path, *, ids: bool = False, rounds: int = samples.ROUNDS) -> None:
    """A ladder whose last level is another mask, or whose ids are made up."""
    manifest = json.loads((folder / "ticket.json").read_bytes())
    ladder = samples.full_ladder(rounds)
    if not ids:
        death = {name: array[::-1].copy() for name, array in samples.death().items()}
        plain = type(ladder)(death, rounds, kept_per_level(death, rounds), (), ladder.accuracy)
        ladder = complete(plain, manifest["arch"], manifest["init"]["digest"])
    digest = ladder_digest(ladder.death, ladder.rounds)
    replaced(folder, "ladder.zarr.zip", encode_ladder(ladder), lambda f: f["ladder"].update(digest=digest))


def shared_cases(manifest: str) -> Iterator[Case]:
    """What no manifest may be."""
    yield "not-canonical", text_with(lambda t: t.replace(b":", b": ", 1)), "E_MANIFEST", "a space too many"
    yield "tail", text_with(lambda t: t + b"\n"), "E_MANIFEST", "a line end behind the manifest"
    yield "array", text_with(lambda t: b"[]"), "E_MANIFEST", "not an object"
    yield "key-twice", text_with(lambda t: b'{"arch":1,' + t[1:]), "E_MANIFEST", "a key twice"
    yield "nan", text_with(lambda t: t.replace(b'"level":3', b'"level":NaN')), "E_MANIFEST", "NaN"
    yield "deep", text_with(lambda t: b"[" * 5000), "E_MANIFEST", "nested 5000 deep"
    unsealed = fields_with(lambda f: f.update(license="none"), sealed=False)
    yield "unsealed", unsealed, "E_MANIFEST", "changed by hand, manifest_digest not"
    yield "other-format", fields_with(lambda f: f.update(format="x")), "E_FORMAT", "another format"
    yield "newer-major", fields_with(lambda f: f.update(format_version="2.0")), "E_VERSION", "from the future"
    feature = fields_with(lambda f: f["features"].append("mask.quantum"))
    yield "feature", feature, "E_FEATURE", "a feature nobody has yet"
    yield (
        "feature-missing",
        fields_with(lambda f: f["features"].pop()),
        "E_MANIFEST",
        "uses what it does not name",
    )
    yield "unknown-key", fields_with(lambda f: f.update(more=1)), "E_MANIFEST", "a key that 1.0 has not"
    yield "missing-key", fields_with(lambda f: f.pop("license")), "E_MANIFEST", "a key is missing"
    yield "float", fields_with(lambda f: f.update(level=3.0)), "E_MANIFEST", "a float"
    yield "huge-int", fields_with(lambda f: f.update(ext={"a": 1 << 60})), "E_MANIFEST", "beyond 2^53"
    escape = fields_with(lambda f: f.update(license="\x1b[2Jfree"))
    yield "escape", escape, "E_MANIFEST", "an escape sequence for the terminal"
    for name, path in (("traversal", "../x"), ("absolute", "/etc/passwd"), ("hidden", ".git/config")):
        spoil = fields_with(lambda f, path=path: f["files"][0].update(path=path))
        yield name, spoil, "E_PATH", f"lists {path}"
    yield (
        "listed-twice",
        fields_with(lambda f: f["files"].append(f["files"][-1])),
        "E_MANIFEST",
        "a file twice",
    )
    yield (
        "unlisted",
        fields_with(lambda f: f["files"].pop()),
        "E_MANIFEST",
        "a part that files[] does not list",
    )
    yield "role", fields_with(lambda f: f["files"][0].update(role="report")), "E_MANIFEST", "another role"
    recipe = fields_with(lambda f: f.get("draw", f).update(recipe={}))
    yield "recipe", recipe, "E_MANIFEST", "recipe_digest is of another recipe"
    yield "no-manifest", lambda folder: (folder / manifest).unlink(), "E_FILE_MISSING", "no manifest"
    yield (
        "no-mask",
        lambda folder: (folder / "mask.safetensors").unlink(),
        "E_FILE_MISSING",
        "a file is missing",
    )

    def flip(folder: Path) -> None:
        path = folder / "mask.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")

    def grow(folder: Path) -> None:
        path = folder / "mask.safetensors"
        path.write_bytes(path.read_bytes() + b"\0")

    yield "flipped", flip, "E_FILE_DIGEST", "a byte of the mask differs from what is listed"
    yield "grown", grow, "E_FILE_DIGEST", "a file longer than listed"
    yield (
        "mask-digest",
        other_mask(swap_two, digest=False),
        "E_MASK_DIGEST",
        "another mask than the manifest says",
    )
    yield "mask-name", other_mask(rename), "E_ARCH_MISMATCH", "masks a weight that is not there"
    yield "mask-shape", other_mask(reshape), "E_ARCH_MISMATCH", "a mask of another shape than its weight"
    bomb = fields_with(lambda f: (f["mask"].update(prunable=1 << 40), f.update(prunable=1 << 40)))
    if manifest == "ticket.json":
        bomb = fields_with(lambda f: f["mask"].update(prunable=1 << 40))
    yield "claims", bomb, "E_COUNT", "more weights than the mask file has bits"


def ticket_cases() -> Iterator[Case]:
    yield from shared_cases("ticket.json")
    yield "id", fields_with(lambda f: f.update(ticket_id="tk1" + "a" * 29)), "E_TICKET_ID", "not its id"
    yield (
        "arch",
        fields_with(lambda f: f["arch"].update(num_classes=5)),
        "E_TICKET_ID",
        "another net, the old id",
    )
    yield (
        "mask-empty",
        other_mask(empty_layer),
        "E_COUNT",
        "a layer keeps nothing and the draw does not say so",
    )
    more = {**samples.weights(), "fc3.weight": samples.weights()["fc1.bias"]}
    shapes = shapes_digest({name: tensor.shape for name, tensor in more.items()})
    yield "init-digest", other_init(samples.weights(5), digest=ZERO), "E_WEIGHTS_DIGEST", "other weights"
    yield "init-shapes", other_init(more), "E_ARCH_MISMATCH", "weights of another net than arch says"
    few = {name: tensor for name, tensor in samples.weights().items() if name != "fc1.weight"}
    fewer = shapes_digest({name: tensor.shape for name, tensor in few.items()})
    yield "init-few", other_init(few, shapes=fewer), "E_ARCH_MISMATCH", "a masked weight is missing"
    yield (
        "init-more",
        other_init(more, shapes=shapes),
        "E_TICKET_ID",
        "sound, but the ladder's ids are of another net",
    )
    yield "ladder", other_ladder, "E_MASK_DIGEST", "the ladder's level is not the mask beside it"
    yield "ladder-ids", lambda folder: other_ladder(folder, ids=True), "E_TICKET_ID", "made-up ids of levels"
    digest = fields_with(lambda f: f["ladder"].update(digest=ZERO))
    yield "ladder-digest", digest, "E_STORE_DIGEST", "another ladder than the manifest says"
    yield "ladder-rounds", fields_with(lambda f: f["ladder"].update(rounds=9)), "E_COUNT", "other rounds"
    kept = fields_with(lambda f: f["draw"]["levels"][-1].update(kept=1))
    yield "level-kept", kept, "E_COUNT", "draw.levels and mask do not keep the same"
    other = fields_with(lambda f: f["draw"]["levels"][1].update(kept=1))
    yield "level-other", other, "E_COUNT", "draw.levels and ladder do not keep the same"
    yield (
        "level-order",
        fields_with(lambda f: f["draw"]["levels"].reverse()),
        "E_MANIFEST",
        "levels not in order",
    )
    yield "level", fields_with(lambda f: f.update(level=77)), "E_MANIFEST", "a level beyond the ladder"
    yield from extra_cases()
    control = fields_with(lambda f: f.update(control={"kind": "shuffled", "of": "me"}))
    yield "control", control, "E_MANIFEST", "a control of nothing"


def extra(name: str, data: bytes, *, role: str = "", version: str = "1.1") -> Callable[[Path], None]:
    """A ticket with a further file."""

    def add(folder: Path) -> None:
        (folder / name).write_bytes(data)
        entry = {
            "path": name, "size": len(data), "sha256": sha256(data), "role": role or name.partition(".")[0],
        }  # fmt: skip

        def change(fields: Fields) -> None:
            files = sorted([*fields["files"], entry], key=lambda one: str(one["path"]))
            fields.update(files=files, format_version=version)

        rewrite(folder, change)

    return add


def extra_cases() -> Iterator[Case]:
    """Scores and records that do not fit."""
    sound = {name: Tensor.of(score) for name, score in samples.scores().items()}
    name, scores = next(iter(sound)), encode_weights(sound)
    yield (
        "scores-old",
        extra("scores.safetensors", scores, version="1.0"),
        "E_MANIFEST",
        "of a version without",
    )
    yield (
        "scores-role",
        extra("scores.safetensors", scores, role="record"),
        "E_MANIFEST",
        "under another role",
    )
    yield (
        "role-later",
        extra("later.bin", b"what is this", role="later"),
        "E_MANIFEST",
        "of a role this version has not",
    )
    yield "scores-name", extra("other.safetensors", scores, role="scores"), "E_MANIFEST", "under another name"
    few = encode_weights({name: sound[name]})
    yield "scores-few", extra("scores.safetensors", few), "E_ARCH_MISMATCH", "not of every masked weight"
    wide = encode_weights({**sound, name: Tensor.of(sound[name].array().astype("f8"))})
    yield "scores-wide", extra("scores.safetensors", wide), "E_ARCH_MISMATCH", "float64"
    yield "record", extra("record.safetensors", b"\x80\x04not one"), "E_FORMAT", "not a safetensors file"


def other_final(tensors: dict[str, Tensor], digest: str | None = None) -> Callable[[Path], None]:
    def change(fields: Fields) -> None:
        fields["weights"]["digest"] = digest or weights_digest(tensors)

    return lambda folder: replaced(folder, "final.safetensors", encode_weights(tensors), change)


def pruned_as(value: float) -> dict[str, Tensor]:
    """Final weights whose pruned entries are `value`."""
    keep = samples.ladder().mask(samples.ROUNDS)
    tensors = samples.weights(1)
    masked = {name: np.where(keep[name], tensors[name].array(), np.float32(value)) for name in keep}
    return {**tensors, **{name: Tensor.of(array) for name, array in masked.items()}}


def run_cases() -> Iterator[Case]:
    yield from shared_cases("run.json")
    yield "id", fields_with(lambda f: f.update(run_id="rn1" + "a" * 29)), "E_RUN_ID", "not its id"
    yield "seed", fields_with(lambda f: f["seeds"].update(root=1)), "E_RUN_ID", "another seed, the old id"
    yield "ticket", fields_with(lambda f: f.update(ticket="tk2")), "E_MANIFEST", "not the id of a ticket"
    yield "pruned", other_final(pruned_as(0.5)), "E_WEIGHTS", "pruned weights that are not zero"
    yield "minus-zero", other_final(pruned_as(-0.0)), "E_WEIGHTS", "pruned weights that are minus zero"
    final = pruned_as(0.0)
    yield "final-digest", other_final(final, ZERO), "E_WEIGHTS_DIGEST", "other weights than the manifest says"
    few = {name: tensor for name, tensor in final.items() if name != "fc2.bias"}
    yield "final-few", other_final(few), "E_ARCH_MISMATCH", "weights of another net than arch says"
    yield "series", lambda f: replaced(f, "series.zarr.zip", b"PK"), "E_STORE", "a series that is no archive"
    yield "status", fields_with(lambda f: f.update(status="fine")), "E_MANIFEST", "a status that 1.0 has not"
    yield "kept", fields_with(lambda f: f.update(kept=1)), "E_COUNT", "the run and its mask count differently"
    metrics = fields_with(lambda f: f["metrics"].update(acc="high"))
    yield "metric", metrics, "E_MANIFEST", "a metric that is not a number"
    state = fields_with(lambda f: f["states"][0].update(digest=ZERO))
    yield "state", state, "E_WEIGHTS_DIGEST", "another state than the manifest says"
    assert recipe_digest({})
