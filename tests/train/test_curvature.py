"""Eigenvalues of the Hessian, against full matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.train import small
from ticketctl.errors import StoppedError
from ticketctl.seeds import Seeds
from ticketctl.train.curvature import Curvature, hessian_product, lanczos


@pytest.mark.parametrize("seed", range(4))
def test_lanczos_finds_the_ends_of_a_spectrum(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.sort(generator.normal(size=30)) * 3
    turn, _ = np.linalg.qr(generator.normal(size=(30, 30)))
    matrix = torch.from_numpy(turn @ np.diag(values) @ turn.T)
    found = lanczos(lambda vector: matrix @ vector, torch.from_numpy(generator.normal(size=30)), steps=30)
    assert found.largest == pytest.approx(values[-1], abs=1e-8)
    assert found.smallest == pytest.approx(values[0], abs=1e-8)
    assert found.residual < 1e-6


def test_a_negative_spectrum_has_a_negative_largest_eigenvalue_and_an_early_end_is_none_the_worse() -> None:
    matrix = torch.diag(torch.tensor([-1.0, -2.0, -2.0, -5.0], dtype=torch.float64))
    found = lanczos(lambda vector: matrix @ vector, torch.ones(4, dtype=torch.float64), steps=20)
    assert (found.largest, found.smallest) == (pytest.approx(-1), pytest.approx(-5))


def test_the_product_is_that_of_the_full_hessian_over_alive_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval()
    inputs, labels = torch.randn(7, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    keep = (torch.arange(20).view(5, 4) % 3 > 0).double()
    multiply, length = hessian_product(net, inputs, labels, {"0.weight": keep})
    names = [name for name, _ in net.named_parameters()]
    flat = torch.cat([value.detach().reshape(-1) for value in net.parameters()])
    alive = torch.cat([
        (keep if name == "0.weight" else torch.ones_like(value)).reshape(-1) for name, value in net.named_parameters()
    ])  # fmt: skip

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split([value.numel() for value in net.parameters()])
        named = {
            name: part.view(value.shape)
            for name, part, value in zip(names, parts, net.parameters(), strict=True)
        }
        return nn.functional.cross_entropy(torch.func.functional_call(net, named, (inputs,)), labels)

    full = torch.autograd.functional.hessian(loss, flat) * alive[:, None] * alive[None, :]
    assert length == len(flat)
    for column in range(0, length, 5):
        unit = torch.zeros(length, dtype=torch.float64)
        unit[column] = 1
        torch.testing.assert_close(multiply(unit), full[column], rtol=1e-9, atol=1e-12)
    found = lanczos(multiply, torch.ones(length, dtype=torch.float64), steps=length)
    assert found.largest == pytest.approx(float(torch.linalg.eigvalsh(full)[-1]), rel=1e-8)


def test_measuring_changes_no_bit_of_the_training_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    def fit(name: str, *hooks: Curvature, stop: int | None = None) -> object:
        asked = iter(range(10_000))
        bench = small.bench(small.train_spec(epochs=3), stop=lambda: 75 if next(asked) == stop else None)
        return small.lab(tmp_path / name, bench).fit(small.weights(), small.half(), hooks=hooks)

    plain, whole = fit("plain"), fit("whole", Curvature(2, Seeds(0)))
    assert plain.files.final.read_bytes() == whole.files.final.read_bytes()
    values = whole.hook(0)["lambda_max"]
    assert values.shape == (4,)
    assert bool(values.isfinite().all())
    for stop in (7, 11):
        with pytest.raises(StoppedError):
            fit(f"cut-{stop}", Curvature(2, Seeds(0)), stop=stop)
        cut = fit(f"cut-{stop}", Curvature(2, Seeds(0)))
        assert torch.equal(cut.hook(0)["lambda_max"], values)
