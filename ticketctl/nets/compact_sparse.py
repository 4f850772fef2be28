"""Linear layers whose weights are kept in compressed rows (CSR): for nets that have no other weights, on a CPU.

Inputs are taken features first, W x^T, which is how torch's product of a sparse and a dense matrix goes through memory
in order. Convolutions have no such path that pays (performance notes 5.3).
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ticketctl.errors import UsageError


class SparseLinear(nn.Linear):
    """A Linear layer that multiplies by the weights it has."""

    rows: Tensor
    """Its weight, sparse CSR [outputs, inputs]."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs], a transposed view."""
        across = x.t().contiguous()
        product = (
            self.rows @ across if self.bias is None else torch.addmm(self.bias[:, None], self.rows, across)
        )
        return product.t()


@torch.no_grad()
def sparse(net: nn.Module) -> nn.Module:
    """A copy of `net` in evaluation mode that takes only the weights which are not 0 into its products.

    Raises:
        UsageError: a net with other weights than those of Linear layers, or one that is not on a CPU.
    """
    reason = no_sparse(net)
    if reason:
        raise UsageError(f"no sparse copy: {reason}")
    net = copy.deepcopy(net).eval()
    for module in net.modules():
        if type(module) is nn.Linear:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that torch calls CSR a beta, each time
                module.register_buffer("rows", module.weight.detach().to_sparse_csr(), persistent=False)
            module.__class__ = SparseLinear
    return net


def no_sparse(net: nn.Module) -> str:
    """Why `net` cannot have such a copy; "" where it can."""
    if any(parameter.device.type != "cpu" for parameter in net.parameters()):
        return "sparse products are measured on a CPU alone"
    if any(isinstance(module, _ConvNd) for module in net.modules()):
        return "it has convolutions, and these have no sparse form"
    inside = {id(module.weight) for module in net.modules() if type(module) is nn.Linear}
    if any(parameter.ndim > 1 and id(parameter) not in inside for parameter in net.parameters()):
        return "it has weights outside of Linear layers"
    return ""
