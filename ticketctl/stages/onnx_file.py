"""A net as an ONNX file, its weights under their own names; sparse layers may be stored as values and places.

The graph is the net's forward pass in evaluation mode as torch's tracer sees it; the number of images is left open.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

from ticketctl.artifacts.masks import Keep
from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.nets.foreign import said

OPSET = 17
LARGEST = 2_000_000_000
"""Bytes of weights; a protobuf message ends at 2 GiB."""
PLACE = 8
"""Bytes of the int64 that says where a kept weight stands."""


def need_onnx() -> None:
    """ONNX files need the extra `onnx`.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("onnx") is None:
        raise MissingExtraError("an ONNX file needs onnx: pip install 'ticketctl[onnx]'")


def onnx_file(
    model: nn.Module, keep: Keep, image: tuple[int, int, int], *, sparse: bool, about: str
) -> tuple[bytes, list[str]]:
    """The file, and the names of the weights that are sparse in it.

    Args:
        model: in evaluation mode, its pruned weights 0.
        keep: the mask; sparse storage takes the kept weights, 0 among them.
        image: channels, height, width.
        sparse: store layers as values and int64 places where that is smaller: below a third kept, in float32.
        about: what the file says of itself (`doc_string`).

    Raises:
        MissingExtraError: onnx is not installed.
        UsageError: the net cannot be traced, or is too large.
    """
    need_onnx()
    import onnx

    if sum(value.numel() * value.element_size() for value in model.state_dict().values()) > LARGEST:
        raise UsageError(
            "the net is larger than the 2 GB that one ONNX file holds; export its weights instead"
        )
    proto = onnx.load_from_string(_traced(model, image))
    _own_names(proto.graph, model)
    proto.doc_string = about
    onnx.checker.check_model(proto, full_check=True)
    names = _thin(proto.graph, keep) if sparse else []
    onnx.checker.check_model(proto)  # onnx infers no shapes from sparse tensors
    return proto.SerializeToString(deterministic=True), names


def _traced(model: nn.Module, image: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    device = next(model.parameters()).device
    try:
        # with gradients, attention goes the way that is made of plain operators
        with warnings.catch_warnings(), torch.enable_grad(), _mute():
            warnings.simplefilter("ignore")  # the tracer is not the newest exporter, which needs onnxscript
            torch.onnx.export(
                model,
                (torch.zeros(2, *image, device=device),),
                file,  # type: ignore[arg-type]  # the tracer writes into an open file as well
                dynamo=False,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["logits"],
                dynamic_axes={"images": {0: "n"}, "logits": {0: "n"}},
                do_constant_folding=False,  # else norms are folded into the weights
                training=torch.onnx.TrainingMode.PRESERVE,
            )
    except Exception as error:  # whatever the tracer meets in a net that may be somebody else's
        raise UsageError(f"the net cannot be written as ONNX: {said(error)}") from None
    return file.getvalue()


@contextmanager
def _mute() -> Iterator[None]:
    """The tracer prints a graph that it cannot finish past Python, and to stdout: nobody sees it."""
    torch._C._jit_set_onnx_log_output_stream("stderr")  # which is not buffered
    try:
        kept = os.dup(2)
    except OSError:  # closed, and mute
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _own_names(graph: Any, model: nn.Module) -> None:
    """The tracer stores equal tensors once and names the others after it: each gets its own again."""
    held = {one.name: one for one in graph.initializer}
    own = model.state_dict().keys()
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in held and node.output[0] in own:
            copy = graph.initializer.add()
            copy.CopyFrom(held[node.input[0]])
            copy.name = node.output[0]
            graph.node.remove(node)


def _thin(graph: Any, keep: Keep) -> list[str]:
    """Turn initializers into sparse ones where that saves bytes; their names."""
    from onnx import helper, numpy_helper

    names = []
    for dense in [one for one in graph.initializer if one.name in keep]:
        array = numpy_helper.to_array(dense)
        places = np.flatnonzero(keep[dense.name])
        if len(places) * (array.itemsize + PLACE) >= array.nbytes:
            continue
        values = numpy_helper.from_array(array.reshape(-1)[places], dense.name)
        at = numpy_helper.from_array(places.astype(np.int64), f"{dense.name}.places")
        graph.sparse_initializer.append(helper.make_sparse_tensor(values, at, list(array.shape)))
        names.append(dense.name)
        graph.initializer.remove(dense)
    return names
