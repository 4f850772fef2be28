"""Tensors that somebody has made up to hurt cost a reader of masks one line, and no memory to speak of."""

from __future__ import annotations

import contextlib
import math
import random
import time

import numpy as np
import pytest

from ticketctl.dialects.tree import Sparse, Tensor, Tree
from ticketctl.errors import ArtifactError, TicketctlError
from ticketctl.stages.recognised import recognised


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(np.array([np.nan, 4], np.float32), "whole numbers"), (np.array([np.inf]), "whole numbers"),
     (np.ones(9, np.int64), "8 whole numbers"), (np.array([2**62, 2**62, 0]), "no shape"), (np.array([True]), "whole")],
)  # fmt: skip
@pytest.mark.parametrize("beside", ["npz", "2:4", "bitmask"])
def test_a_shape_that_is_none_is_refused(beside, wrong, said):
    shape, bits = Tensor.of(wrong), Tensor.of(np.zeros(1, np.uint8))
    held = {
        "npz": {"bits/w": bits, "shape/w": shape},
        "2:4": {"w.values": bits, "w.meta": bits, "w.shape": shape},
        "bitmask": {"w.bitmask": bits, "w.shape": shape, "w.compressed": bits, "w.row_offsets": bits},
    }[beside]
    with pytest.raises(ArtifactError, match=said):
        recognised(Tree("a.npz", held))


@pytest.mark.parametrize(
    ("shape", "indices", "said"),
    [((1 << 14, 1 << 15), np.zeros((2, 1), np.int64), "when they are dense"),
     ((1 << 40, 1 << 40), np.zeros((2, 1), np.int64), "when they are dense"),
     ((4, 4), np.zeros((2, 1), np.float32), "one value for each"),
     ((0, 1 << 62), np.zeros((2, 1), np.int64), "no weight"),
     ((1,) * 9, np.zeros((9, 1), np.int64), "no weight"), ((), np.zeros((0, 1), np.int64), "no weight")],
)  # fmt: skip
def test_a_sparse_tensor_that_would_swell_or_is_none_is_refused_at_once(shape, indices, said):
    leaf = Sparse(shape, indices, np.ones(1, np.float32))
    began = time.monotonic()
    with pytest.raises(ArtifactError, match=said):
        recognised(Tree("a.pt", {"w": leaf}), "coo")
    assert time.monotonic() - began < 10


@pytest.mark.long
def test_tensors_nobody_could_have_written_are_refused_in_one_line():
    """20,000 files with the names of every dialect and whatever in them: none gets past the errors that users see."""
    draw = random.Random(0)
    codes = {"U8": "u1", "I64": "<i8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "I16": "<i2", "BF16": "<u2"}
    shapes = [(), (0,), (1,), (2,), (4, 8), (1, 1), (2, 2, 3, 3), (3, 0), (2, 4), (4, 1)]
    ends = [
        "_orig",
        "_mask",
        ".mask",
        ".bitmask",
        ".shape",
        ".compressed",
        ".row_offsets",
        ".values",
        ".meta",
        "",
    ]
    begins = ["", "bits/", "shape/", "weights/", "masks/", "params/"]

    def leaf():
        if draw.random() < 0.1:
            parts = np.zeros((2, 1), draw.choice(["i8", "f4"])), np.zeros(draw.choice([1, 3]), "f4")
            return Sparse(draw.choice([(4, 4), (0, 4), (4,), (), (1 << 62, 9)]), *parts)
        code, shape = draw.choice([*codes]), draw.choice(shapes)
        size = math.prod(shape) * np.dtype(codes[code]).itemsize
        return Tensor(code, shape, bytes(draw.choices([0, 0, 1, 255], k=size)))

    def table():
        names = draw.choice(["a.weight", "module.a.weight", "", "\x1b[31m"]), draw.choice(["1", "a.weight"])
        return {draw.choice(begins) + draw.choice(names) + draw.choice(ends): leaf() for _ in range(5)}

    tops = ["mask", "masks", "net", "state_dict", "params", "layer", "weights", "backward_masks"]
    for _ in range(20_000):
        value = (
            table() if draw.random() < 0.5 else {draw.choice(tops): draw.choice([table(), leaf(), [leaf()]])}
        )
        with contextlib.suppress(TicketctlError), np.errstate(all="ignore"):
            recognised(Tree("a.pt", value))
