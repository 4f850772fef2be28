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
from ticketctl.train.curvature import Curvature, extremes, hessian_product, product_of, ritz


@pytest.mark.parametrize("seed", range(4))
def test_lanczos_finds_the_ends_of_a_spectrum(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.sort(generator.normal(size=30)) * 3
    turn, _ = np.linalg.qr(generator.normal(size=(30, 30)))
    matrix = torch.from_numpy(turn @ np.diag(values) @ turn.T)
    (found,) = extremes(lambda vector: matrix @ vector, torch.from_numpy(generator.normal(size=30)), 30)
    assert found.largest == pytest.approx(values[-1], abs=1e-8)
    assert found.smallest == pytest.approx(values[0], abs=1e-8)
    assert max(found.residual, found.residual_smallest) < 1e-6


def test_a_negative_spectrum_has_a_negative_largest_eigenvalue_and_an_early_end_is_none_the_worse() -> None:
    matrix = torch.diag(torch.tensor([-1.0, -2.0, -2.0, -5.0], dtype=torch.float64))
    (found,) = extremes(lambda vector: matrix @ vector, torch.ones(4, dtype=torch.float64), 20)
    assert (found.largest, found.smallest) == (pytest.approx(-1), pytest.approx(-5))


def test_many_matrices_at_once_are_each_one_by_itself_however_early_it_ends() -> None:
    generator = np.random.default_rng(0)
    dense = generator.normal(size=(12, 12))
    low = np.outer(dense[0], dense[0]) - 3 * np.outer(dense[1], dense[1])
    matrices = torch.from_numpy(
        np.stack([dense + dense.T, low, np.zeros((12, 12)), -1e-9 * (dense @ dense.T)])
    )
    starts = torch.from_numpy(generator.normal(size=(4, 12)))
    products = lambda vectors: torch.einsum("nij,nj->ni", matrices, vectors)  # noqa: E731  # short
    found, ends = ritz(products, starts, 12), extremes(products, starts, 12)
    assert [len(one.values) for one in found] == [12, 3, 1, 12]
    for one, end, matrix, start in zip(found, ends, matrices, starts, strict=True):
        (alone,) = ritz(lambda vector, matrix=matrix: matrix @ vector, start, 12)
        scale = max(abs(alone.values).max(), 1e-30)
        np.testing.assert_allclose(one.values, alone.values, atol=1e-8 * scale)
        np.testing.assert_allclose(one.weights, alone.weights, atol=1e-6)
        truth = np.linalg.eigvalsh(matrix.numpy())
        assert min(truth) - 1e-8 * scale <= one.values[0] <= one.values[-1] <= max(truth) + 1e-8 * scale
        assert one.weights.sum() == pytest.approx(1)
        assert (end.smallest, end.largest) == (one.values[0], one.values[-1])
        assert max(end.residual, end.residual_smallest) < 1e-5 * scale + 1e-30
        unit = start.numpy() / np.linalg.norm(start.numpy())
        assert one.weights @ one.values == pytest.approx(unit @ matrix.numpy() @ unit, abs=1e-8 * scale)


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_a_residual_is_the_distance_that_an_eigenvalue_is_within(steps: int) -> None:
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(40, 40))
    matrix = matrix + matrix.T
    start = torch.from_numpy(generator.normal(size=40))
    (found,) = extremes(lambda vector: torch.from_numpy(matrix) @ vector, start, steps)
    truth = np.linalg.eigvalsh(matrix)
    assert 1e-3 < abs(found.largest - truth).min() <= found.residual
    assert abs(found.smallest - truth).min() <= found.residual_smallest


@pytest.mark.parametrize("count", [1, 3])
def test_a_residual_is_that_of_the_vector_itself_in_the_products_own_rounding(count: int) -> None:
    generator = np.random.default_rng(2)
    turn, _ = np.linalg.qr(generator.normal(size=(50, 50)))
    whole = (turn * np.r_[[3.0, 1.0, -2.0], np.zeros(47)]) @ turn.T  # four products span all that there is
    matrix = torch.from_numpy(whole).float()
    asked: list[np.ndarray] = []

    def multiply(vectors: torch.Tensor) -> torch.Tensor:
        asked.append(vectors.double().numpy())
        return vectors @ matrix

    found = extremes(multiply, torch.from_numpy(generator.normal(size=(count, 50))).float(), 20)
    for row, one in enumerate(found):
        pairs = (asked[-2], one.largest, one.residual), (asked[-1], one.smallest, one.residual_smallest)
        for vectors, value, residual in pairs:
            assert np.linalg.norm(vectors[row]) == pytest.approx(1, abs=1e-6)
            true = np.linalg.norm(whole @ vectors[row] - value * vectors[row])
            assert 1e-8 < residual < 1e-5
            assert residual == pytest.approx(true, rel=0.5, abs=3e-7)


def test_a_tiny_matrix_is_seen_as_well_as_a_large_one() -> None:
    generator = np.random.default_rng(3)
    matrix = torch.from_numpy(generator.normal(size=(60, 60))).float()
    matrix, start = matrix + matrix.T, torch.from_numpy(generator.normal(size=60)).float()
    (large,) = ritz(lambda vector: matrix @ vector, start, 12)
    (tiny,) = ritz(lambda vector: matrix * 2.0**-40 @ vector, start, 12)
    assert len(large.values) == 12
    assert (tiny.values == large.values * 2.0**-40).all()


def test_a_flat_diagonal_does_not_hide_what_is_beside_it() -> None:
    matrix = torch.zeros(6, 6)
    matrix[0, 1] = matrix[1, 0] = 0.1
    for start in ([1.0, 0, 0, 0, 0, 0], [1.0, 0.5, 0, 0, 0, 0]):
        (found,) = ritz(lambda vector: matrix @ vector, torch.tensor(start), 6)
        assert found.values == pytest.approx([-0.1, 0.1])
    (none,) = extremes(torch.zeros_like, torch.ones(6), 6)
    assert (none.largest, none.smallest, none.residual, none.residual_smallest) == (0, 0, 0, 0)


def test_each_pass_through_the_vectors_asks_whether_to_stop() -> None:
    asked: list[int] = []
    values = torch.arange(1.0, 31.0)
    ritz(lambda vector: values * vector, torch.ones(30), 10, poll=lambda: asked.append(1))
    assert len(asked) == 4 * 10


def test_what_a_loss_does_not_depend_on_or_depends_on_straight_has_no_curvature() -> None:
    used, idle = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    assert product_of((used**3).sum(), [idle, used])(torch.ones(3)).tolist() == [0, 6, 12]
    assert product_of(used.sum(), [used])(torch.ones(2)).tolist() == [0, 0]
    assert product_of(torch.tensor(1.0), [used])(torch.ones(2)).tolist() == [0, 0]


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
    (found,) = ritz(multiply, torch.ones(length, dtype=torch.float64), length)
    assert found.values[-1] == pytest.approx(float(torch.linalg.eigvalsh(full)[-1]), rel=1e-8)


@pytest.mark.long
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
