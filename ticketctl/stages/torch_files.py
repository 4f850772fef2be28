"""Files for `torch.load`: the one place where something is pickled, a flat dict of tensors and nothing else."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch

from ticketctl.dialects.tree import Sparse, Tensor
from ticketctl.train.state import from_tensor


def saved(tensors: Mapping[str, Tensor | Sparse]) -> bytes:
    """The file of torch.save that holds them, which torch reads with `weights_only`; equal for equal ones."""
    file = io.BytesIO()
    state = {name: _torch(leaf) for name, leaf in tensors.items()}
    torch.save(state, file)  # noqa: TID251  # names and tensors alone: what others' tools read
    return file.getvalue()


def _torch(leaf: Tensor | Sparse) -> torch.Tensor:
    if isinstance(leaf, Tensor):
        return from_tensor(leaf)
    values = torch.from_numpy(leaf.values.copy())
    places = torch.from_numpy(leaf.indices)
    return torch.sparse_coo_tensor(places, values, leaf.shape, check_invariants=True, is_coalesced=True)
