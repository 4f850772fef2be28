"""Binding against an element-wise loop, and through real optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ticketctl.errors import ArtifactError
from ticketctl.masks.bind import Binding
from ticketctl.masks.mask import Mask


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
    )


def mask(step: int = 3) -> Mask:
    conv = torch.arange(108).reshape(4, 3, 3, 3) % step != 0
    return Mask({"0.weight": conv, "4.weight": torch.arange(32).reshape(2, 16) % (step + 1) != 0})


def test_apply_zeroes_exactly_the_pruned_weights() -> None:
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Binding(model, mask()).apply_()
    for name, value in model.state_dict().items():
        keep = mask().keep.get(name, torch.tensor(True))
        assert torch.equal(value, torch.where(keep, before[name], torch.zeros_like(before[name])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_masks_lie_as_the_weights_do(dtype: torch.dtype, layout: torch.memory_format) -> None:
    model = net().to(dtype=dtype, memory_format=layout)
    binding = Binding(model, mask())
    for weight, held in zip(binding.weights, binding.masks, strict=True):
        assert (held.dtype, held.stride(), held.device) == (weight.dtype, weight.stride(), weight.device)
        assert not held.requires_grad
    assert torch.equal(binding.masks[0].bool(), mask().keep["0.weight"])


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    ],
    ids=["SGD", "AdamW"],
)
def test_pruned_weights_are_zero_after_every_step_under_momentum_and_decay(optimizer) -> None:
    model = net().to(memory_format=torch.channels_last)
    binding = Binding(model, mask())
    binding.apply_()
    steps = optimizer(model.parameters())
    x = torch.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    for _ in range(3):
        steps.zero_grad()
        model(x).square().sum().backward()
        steps.step()
        assert binding.violations() != {}
        binding.apply_()
        assert binding.violations() == {}


def test_violations_count_non_zero_and_nan_pruned_weights_by_layer() -> None:
    model = net()
    binding = Binding(model, mask())
    binding.apply_()
    with torch.no_grad():
        model[4].weight[0, 0] = 1e-30
        model[4].weight[0, 4] = float("nan")
        model[4].weight[0, 1] = 5.0  # kept
    assert binding.violations() == {"4.weight": 2}


def test_clean_leaves_no_negative_zero() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
    binding = Binding(model, mask())
    binding.apply_()
    assert torch.signbit(model[0].weight[~mask().keep["0.weight"]]).all()
    binding.clean_()
    weight = model[0].weight
    assert not torch.signbit(weight[weight == 0]).any()
    assert torch.equal(weight == -1, mask().keep["0.weight"])


def test_load_reuses_the_buffers_and_apply_to_masks_momentum() -> None:
    binding = Binding(net(), mask(3))
    places = [held.data_ptr() for held in binding.masks]
    binding.load_(mask(5))
    assert [held.data_ptr() for held in binding.masks] == places
    momentum = [torch.ones_like(weight) for weight in binding.weights]
    binding.apply_to_(momentum)
    for name, buffer in zip(binding.names, momentum, strict=True):
        assert torch.equal(buffer, mask(5).keep[name].float())


def test_nothing_enters_the_autograd_graph() -> None:
    model = net()
    Binding(model, mask()).apply_()
    assert all(parameter.is_leaf and parameter.grad is None for parameter in model.parameters())


def test_a_mask_that_does_not_fit_is_refused_with_the_layers_name() -> None:
    with pytest.raises(ArtifactError, match=r"'5.weight'.*E_ARCH_MISMATCH"):
        Binding(net(), Mask({"5.weight": torch.ones(2, 16, dtype=torch.bool)}))
    with pytest.raises(ArtifactError, match=r"'4.weight' is \(2, 16\) in the model and \(16, 2\)"):
        Binding(net(), Mask({"4.weight": torch.ones(16, 2, dtype=torch.bool)}))


def test_other_layers_cannot_be_loaded_and_other_tensors_not_masked() -> None:
    binding = Binding(net(), mask())
    with pytest.raises(ValueError, match="other layers"):
        binding.load_(Mask({"0.weight": mask().keep["0.weight"]}))
    with pytest.raises(ValueError, match="1 tensors for 2"):
        binding.apply_to_([torch.ones(4, 3, 3, 3)])
    swapped = {"0.weight": mask().keep["0.weight"], "4.weight": torch.ones(16, 2, dtype=torch.bool)}
    with pytest.raises(ValueError, match=r"\(16, 2\), not \(2, 16\)"):
        binding.load_(Mask(swapped))
