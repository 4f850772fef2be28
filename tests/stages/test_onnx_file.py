"""Nets as ONNX files: onnxruntime answers as torch does, each tensor has its own name, and failure is one line."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.stages import onnx_file as module
from ticketctl.stages.onnx_file import onnx_file


def test_equal_tensors_have_a_name_each() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    for value in net.parameters():
        nn.init.ones_(value)
    graph = onnx.load_from_string(onnx_file(net, {}, (1, 2, 2), sparse=False, about="")[0]).graph
    assert {one.name for one in graph.initializer} == net.state_dict().keys() - {"3.num_batches_tracked"}
    assert not [node for node in graph.node if node.op_type == "Identity"]


class Attention(nn.Module):
    """Whose fast path in evaluation mode ONNX has no operator for."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2)
        found: torch.Tensor = self.heads(tokens, tokens, tokens, need_weights=False)[0]
        return found.mean(1)


def test_attention_is_written_and_answers_as_in_torch() -> None:
    net, images = Attention().eval(), torch.linspace(-1, 1, 3 * 3 * 8).sin().view(3, 3, 2, 4)
    data, _ = onnx_file(net, {}, (3, 2, 4), sparse=False, about="x")
    (got,) = onnxruntime.InferenceSession(data).run(None, {"images": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, net(images).numpy(), atol=1e-5)


class Odd(nn.Module):
    """Has an operator that ONNX lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.layer(x.flatten(1))
        return torch.linalg.matrix_exp(hidden.T @ hidden)


def test_a_net_that_onnx_cannot_hold_is_one_line_and_nothing_on_the_outputs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as ONNX: .*matrix_exp") as refused:
        onnx_file(Odd().eval(), {}, (1, 2, 2), sparse=False, about="")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    print("heard")
    assert capfd.readouterr().out == "heard\n"


def test_without_its_extra_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ticketctl\[onnx\]'"):
        onnx_file(Odd(), {}, (1, 2, 2), sparse=False, about="")


@pytest.mark.parametrize(("kept", "sparse"), [(341, True), (342, False)])
def test_a_layer_is_sparse_below_a_third_kept_where_it_is_smaller(kept: int, sparse: bool) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(32, 32, bias=False)).eval()
    keep = (np.arange(1024) < kept).reshape(32, 32)
    data, names = onnx_file(net, {"1.weight": keep}, (1, 4, 8), sparse=True, about="")
    dense, _ = onnx_file(net, {"1.weight": keep}, (1, 4, 8), sparse=False, about="")
    assert names == (["1.weight"] if sparse else [])
    assert (3 * kept < 1024) is sparse
    assert len(data) <= len(dense) + 64
