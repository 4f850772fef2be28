"""A ResNet-18 ladder of 25 levels, on disk and on the wire, beside other tools' files.

python -m tests.benchmarks.sizes [--levels 25]

The same masks for all: nested, 20 % fewer weights at each of 25 levels, ranked by the sizes of a fresh net's weights.

* ticketctl: one ticket, with the initial weights, the mask of the last level and all levels in its ladder.
* open_lth: `mask.pth` of each level (int32 ones and zeros), and the initial weights once.
* torch.nn.utils.prune: a state_dict of each level, with `X_orig` and `X_mask` (float32). All hold the same initial
  weights, so that a store that keeps equal pieces once has an easy task; trained ones differ from level to level.

On the wire without Xet every file of other content travels whole. With Xet it is what the Hub's own client puts into
an empty store on this disk: pieces that are not there yet, compressed, and their lists.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tests.benchmarks.artifacts import ROUNDS, empty, ladder_of_random_masks
from tests.hub.fakehub.xet import XetStore
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.ticket import write_ticket
from ticketctl.masks.ladder import rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.train.state import State

SETS = ("ticketctl", "open_lth", "torch.nn.utils.prune")


def ours(folder: Path, masks: list[Mask], state: State) -> None:
    """One ticket."""
    arch = {"name": "resnet18", "source": "ticketctl", "num_classes": 10, "in_chans": 3, "size": [32, 32]}
    death = rounds_of_death(masks)
    levels = [
        {"level": level, "kept": mask.kept, "empty_layers": empty(mask), "cut": False, "effective": None}
        | {"metrics": {}}
        for level, mask in enumerate(masks)
    ]  # fmt: skip
    data = {"name": "none", "fingerprint": "none", "train": 1, "validation": 0, "test": 1}
    drawn = {
        "method": "omp",
        "rounds": ROUNDS,
        "params": {},
        "recipe": {},
        "data": data,
        "seeds": {"root": 0},
    }
    cost = {"steps": 0, "images": 0, "epochs": "0"}
    write_ticket(
        folder, arch={**arch, "kwargs": {}}, keep=masks[-1].to_arrays(), init=state.tensors(),
        draw={**drawn, "levels": levels, "cost": cost, "parents": []}, ladder=Ladder(death, ROUNDS, (), (), ()),
        level=ROUNDS, init_role="init",
    )  # fmt: skip


def open_lth(folder: Path, masks: list[Mask], state: State) -> None:
    """As a run folder of open_lth has them."""
    for level, mask in enumerate(masks[1:], 1):
        place = folder / f"level_{level}" / "main"
        place.mkdir(parents=True)
        _save({name: keep.int() for name, keep in _tensors(mask).items()}, place / "mask.pth")
    _save(state.weights, folder / "model_ep0_it0.pth")


def torch_prune(folder: Path, masks: list[Mask], state: State) -> None:
    """As a checkpoint of a net under torch.nn.utils.prune has them."""
    for level, mask in enumerate(masks[1:], 1):
        found: dict[str, Tensor] = {}
        pruned = _tensors(mask)
        for name, tensor in state.weights.items():
            found |= (
                {f"{name}_orig": tensor, f"{name}_mask": pruned[name].float()}
                if name in pruned
                else {name: tensor}
            )
        _save(found, folder / f"level_{level}.pt")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    torch.save(dict(tensors), path)  # their format; nothing here is ever unpickled


def _tensors(mask: Mask) -> dict[str, Tensor]:
    return {name: torch.from_numpy(keep) for name, keep in mask.to_arrays().items()}


def files_in(folder: Path) -> Iterator[Path]:
    """All of them."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def whole(folder: Path) -> int:
    """Bytes of files of different content, which is what travels without Xet."""
    return sum({_digest(path): path.stat().st_size for path in files_in(folder)}.values())


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_pieces(folder: Path, store: Path) -> int:
    """Bytes that Xet puts into an empty store, in one commit."""
    import hf_xet

    kept = XetStore(store)
    login = {"token": "xet", "token_expiry_unix_secs": int(time.time()) + 3600}
    with hf_xet.XetSession().new_upload_commit(endpoint=kept.url, **login) as commit:
        for path in files_in(folder):
            commit.start_upload_file(str(path), sha256=hf_xet.COMPUTE_SHA256)
    return kept.size()


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--levels", type=int, default=ROUNDS, help="of the other tools, for a quick look")
    asked = words.parse_args()
    masks, state = ladder_of_random_masks()
    writers = dict(zip(SETS, (ours, open_lth, torch_prune), strict=True))
    print(
        f"{masks[0].size:,} prunable weights, {ROUNDS} levels, density {masks[-1].kept / masks[0].size:.4f} at the last"
    )
    print(
        "| files of | files | on disk, MB | on the wire, MB | with Xet, MB |\n| --- | ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        for name, write in writers.items():
            folder = Path(scratch) / name
            folder.mkdir()
            write(folder, masks if write is ours else masks[: asked.levels + 1], state)
            sizes = [path.stat().st_size for path in files_in(folder)]
            row = [sum(sizes), whole(folder), in_pieces(folder, Path(scratch) / f"{name}-store")]
            print(f"| {name} | {len(sizes)} | {' | '.join(f'{one / 1e6:,.2f}' for one in row)} |", flush=True)
            for path in files_in(folder) if write is ours else ():
                alone = Path(scratch) / f"alone-{path.name}"
                alone.mkdir()
                path_there = alone / path.name
                path_there.write_bytes(path.read_bytes())
                xet = in_pieces(alone, Path(scratch) / f"store-{path.name}")
                size = path.stat().st_size / 1e6
                print(f"| … {path.name} | 1 | {size:,.2f} | {size:,.2f} | {xet / 1e6:,.2f} |")


if __name__ == "__main__":
    main()
