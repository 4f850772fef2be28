"""The bytes of an exported file, form by form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ticketctl.artifacts.masks import Keep
from ticketctl.artifacts.models import Arch
from ticketctl.artifacts.run import Run
from ticketctl.dialects import coo, npz, open_lth, torch_prune, two_four, zeros
from ticketctl.errors import UsageError
from ticketctl.nets.open_lth_names import open_lth_names
from ticketctl.stages.architecture import fitting, own_code
from ticketctl.stages.onnx_file import onnx_file
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.subject import subject_of
from ticketctl.stages.torch_files import saved
from ticketctl.stages.tweaking import changes
from ticketctl.store.npz import pack_npz
from ticketctl.store.tensors import Tensor, pack_tensors
from ticketctl.train.state import State


@dataclass(frozen=True)
class Source:
    """What is exported: a mask, the weights it lies over, and what they are."""

    keep: Keep
    """Empty: the net is dense."""
    weights: Mapping[str, Tensor]
    arch: Arch
    level: int
    ticket: str
    """Its id at this level; `dense` for a dense run."""
    told: str
    """What the weights are, in words."""
    folder: Path
    run: Run | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Weights kept, of how many that the mask is over."""
        masks = self.keep.values()
        return sum(int(mask.sum()) for mask in masks), sum(mask.size for mask in masks)

    @property
    def tweaks(self) -> tuple[str, ...]:
        """Those that changed the net."""
        worn = self.run.manifest.arch.tweaks if self.run else ()
        return tuple(name for name in worn if changes(name) == "net")


def _masked(source: Source) -> dict[str, Tensor]:
    return zeros.write(source.keep, source.weights)


def _dense(source: Source, _: Surroundings) -> tuple[bytes, list[str]]:
    lost = sum(
        int(np.count_nonzero(mask & (source.weights[name].array() == 0)))
        for name, mask in source.keep.items()
    )
    notes = [f"{lost} kept weights are exactly 0: they look pruned in this file"] if lost else []
    return pack_tensors(_masked(source), {"format": "pt"}), notes


def _prune(source: Source, _: Surroundings) -> tuple[bytes, list[str]]:
    return saved(torch_prune.write(source.keep, source.weights)), []


def _coo(source: Source, _: Surroundings) -> tuple[bytes, list[str]]:
    return saved(coo.write(source.keep, _of_numpy(source, "coo"))), []


def _npz(source: Source, _: Surroundings) -> tuple[bytes, list[str]]:
    return pack_npz(npz.write(source.keep, _of_numpy(source, "npz"))), []


def _of_numpy(source: Source, form: str) -> Mapping[str, Tensor]:
    odd = next((name for name, leaf in source.weights.items() if leaf.dtype == "BF16"), None)
    if odd:
        raise UsageError(f"{odd} is in bfloat16, which {form} has no type for; take torch-prune or zeros")
    return source.weights


def _open_lth(source: Source, _: Surroundings) -> tuple[bytes, list[str]]:
    names, note = named_there(source)
    return saved(open_lth.write({names.get(name, name): mask for name, mask in source.keep.items()})), [note]


def named_there(source: Source) -> tuple[dict[str, str], str]:
    """open_lth's names of its parameters, none if it has no such net, and what is to be told of that."""
    names = open_lth_names({name: leaf.shape for name, leaf in source.weights.items()})
    said = "as open_lth names them" if names else f"as ours: open_lth has no net like {source.arch.name}"
    return names, f"parameters are named {said}"


def _two_four(source: Source, _: Surroundings) -> tuple[bytes, list[str]]:
    tensors, filled = two_four.write(source.keep, source.weights)
    notes = [f"{filled} places of pruned weights are stored as 0 and read back as kept"] if filled else []
    return pack_tensors(tensors, {"format": "pt"}), notes


def _onnx(source: Source, around: Surroundings, *, sparse: bool = False) -> tuple[bytes, list[str]]:
    arch = source.arch
    about = f"ticketctl: {source.ticket}, level {source.level}; {source.told}"
    image = (arch.in_chans, *arch.size)
    data, names = onnx_file(_net(source, around), source.keep, image, sparse=sparse, about=about)
    told = f"{len(names)} of {len(source.keep)} masked layers are stored sparse; a third kept or more is smaller dense"
    return data, [told] if sparse else []


def _net(source: Source, around: Surroundings) -> nn.Module:
    """The net with its weights, pruned ones 0, in evaluation mode."""
    own_code(source.arch)
    if source.run is not None and source.tweaks:
        return subject_of(source.run, {}, around).setting.bench.model.eval()
    weights = _masked(source)
    model = fitting(source.arch, {name: leaf.shape for name, leaf in weights.items()}, str(source.folder))
    State.from_tensors(weights, 0).load_into(model)
    return model.eval()


MAKERS: dict[str, Callable[[Source, Surroundings], tuple[bytes, list[str]]]] = {
    "torch-prune": _prune,
    "open-lth": _open_lth,
    "zeros": _dense,
    "coo": _coo,
    "npz": _npz,
    "2:4": _two_four,
    "onnx": _onnx,
    "onnx-sparse": lambda source, around: _onnx(source, around, sparse=True),
}
"""A file's bytes, and what is to be told of it."""
