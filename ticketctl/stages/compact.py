"""Compact a run's net into a file of its own beside the run, and build it again from there."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from ticketctl.artifacts.compact import Compact, decode_compact, encode_compact
from ticketctl.errors import ArtifactError, MismatchError, UsageError
from ticketctl.nets.compact import Compacted, Cut, compact, shrink_
from ticketctl.stages.subject import Subject
from ticketctl.store.files import make_folder, read_bytes, write_atomic
from ticketctl.train.state import State

FOLDER, NAME = "compact", "final.safetensors"
LIMIT = 1 << 34


def write_compact(subject: Subject) -> Path:
    """Write `compact/final.safetensors` beside the run, in the place of an earlier one; where it lies.

    Raises:
        UsageError: this net cannot be compacted (says why).
    """
    images = subject.images["test"]
    image = (int(images.scaling.offset.shape[1]), *images.size)
    data = encode_compact(_filed(subject, compact(subject.setting.bench.model, image), image))
    path = subject.run.folder / FOLDER / NAME
    make_folder(path.parent)
    write_atomic(path, data)
    return path


def read_compact(path: Path, subject: Subject) -> nn.Module:
    """The compacted net of a file, on the CPU in evaluation mode. `subject` is the run it was made of.

    Raises:
        ArtifactError: the file is damaged, or fits no net of this kind (E_ARCH_MISMATCH).
        MismatchError: it was made of another run's weights.
    """
    found = decode_compact(read_bytes(path, limit=LIMIT), where=str(path))
    if found.subject != subject.run.manifest.weights.digest:
        raise MismatchError(f"{path}: was compacted from the weights {found.subject}, not from this run's")
    return rebuilt(found, subject.setting.bench.model, where=str(path))


@torch.no_grad()
def rebuilt(found: Compact, larger: nn.Module, *, where: str) -> nn.Module:
    """A copy of `larger`, whatever its weights, cut and filled as the file says.

    Raises:
        ArtifactError: it does not fit (E_ARCH_MISMATCH).
    """
    net = copy.deepcopy(larger).cpu().eval()
    try:
        for path, rows in found.rows.items():
            columns = found.columns.get(path)
            picks = f"{path}.picked" in found.weights
            cut = Cut(torch.tensor(rows), None if columns is None else torch.tensor(columns), picks)
            module = net.get_submodule(path)
            shrink_(module, cut)
            if f"{path}.bias" in found.weights and module._parameters.get("bias", 0) is None:
                module.bias = nn.Parameter(torch.zeros(len(rows)))
        net.load_state_dict(State.from_tensors(found.weights, 0).weights)
    except (AttributeError, RuntimeError, UsageError) as error:
        line = " ".join(str(error).split())[:200]
        raise ArtifactError("E_ARCH_MISMATCH", f"{where}: does not fit this net: {line}") from None
    return net


def _filed(subject: Subject, made: Compacted, image: tuple[int, int, int]) -> Compact:
    manifest = subject.run.manifest
    columns = {path: cut.columns.numpy() for path, cut in made.cuts.items() if cut.columns is not None}
    rows = {path: cut.rows.numpy() for path, cut in made.cuts.items()}
    weights = State.of(made.net, 0).tensors()
    return Compact(manifest.run_id, manifest.weights.digest, image, weights, rows, columns)
