"""Traces, eigenvalues and densities of the loss's Hessian, against full matrices and curvlinops."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.metrics.specimens import apart, exam_of, random_images, specimen
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.metrics import _hessian as shared
from ticketctl.metrics import hessian
from ticketctl.metrics.hessian import Params
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train import hessian as products
from ticketctl.train.curvature import extremes, ritz
from ticketctl.train.exam import Absent, Exam
from ticketctl.train.specimen import Specimen

EXACT = Params(images=24, least=150, most=150, steps=50)
FEW = Params(images=24, least=4, most=4, steps=6)


def mlp(act: type[nn.Module] = nn.Tanh) -> nn.Module:
    """83 parameters."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), act(), nn.Linear(5, 3))
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.7)
    return net


def conv_net(act: type[nn.Module] = nn.SiLU) -> nn.Module:
    """With BatchNorm, whose statistics are not the first ones."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 2, bias=False), nn.BatchNorm2d(4), act(), nn.Flatten(), nn.Linear(4, 3)
    )
    initialise_(net, "kaiming-normal", Seeds(1))
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.running_mean += torch.tensor([0.1, -0.2, 0.3, 0.0])
        norm.running_var *= torch.tensor([0.5, 2.0, 1.0, 0.1])
        norm.weight *= torch.tensor([1.5, -0.5, 1.0, 0.2])
    return net


def pruned(net: nn.Module, share: float = 0.4, seed: int = 0) -> Mask:
    """A random mask of all weights with more than one axis, applied."""
    draws = np.random.default_rng(seed)
    keep = {
        name: torch.from_numpy(draws.random(tuple(value.shape)) >= share)
        for name, value in net.named_parameters()
        if value.ndim > 1
    }
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.mul_(keep[name]) if name in keep else None
    return Mask(keep)


def subject(net: nn.Module, mask: Mask | None = None, count: int = 30, seed: int = 0) -> Specimen:
    pixels, labels = random_images(count, (3, 2, 2), 3)
    return apart(specimen(net, pixels, labels, mask=mask, classes=3))


def drawn() -> np.ndarray:
    """Which 24 of the 30 training images a batch is of."""
    places = subject(mlp()).drawn("train", 24, Seeds(0), "hessian")
    assert places.tolist() != list(range(24))
    return places


def matrix(net: nn.Module, seen: Specimen, index: Any) -> np.ndarray:
    """The whole Hessian, float64 [P, P], by torch.autograd.functional on a net of doubles."""
    pixels, labels = seen.pixels("train")[index].double(), seen.labels("train")[index]
    values = {name: value.detach().double() for name, value in net.named_parameters()}
    buffers = {name: value.double() for name, value in net.named_buffers()}

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([value.numel() for value in values.values()])
        named = {name: part.view(values[name].shape) for name, part in zip(values, parts, strict=True)}
        return nn.functional.cross_entropy(
            torch.func.functional_call(net, {**named, **buffers}, (pixels,)), labels
        )

    start = torch.cat([value.reshape(-1) for value in values.values()])
    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(loss, start).numpy()


def alive(net: nn.Module, mask: Mask) -> np.ndarray:
    parts = [
        mask.keep.get(name, torch.ones_like(value)).reshape(-1) for name, value in net.named_parameters()
    ]
    return torch.cat([part.bool() for part in parts]).numpy()


@pytest.mark.long
@pytest.mark.parametrize("make", [mlp, lambda: mlp(nn.ReLU), conv_net])
def test_trace_eigenvalues_and_layers_are_those_of_the_whole_matrix_kept_and_full(make: Any) -> None:
    net = make()
    mask = pruned(net)
    seen = subject(net, mask)
    found = hessian.measure(exam_of(seen), params=EXACT)
    full, kept = matrix(net, seen, drawn()), alive(net, mask)
    for tail, truth in (("", full[np.ix_(kept, kept)]), (".full", full)):
        trace = found.values[f"hessian.trace{tail}"]
        assert trace.n == 150
        assert trace.error is not None
        assert abs(trace.value - np.trace(truth)) < 4 * trace.error
        per_sample = 2 * ((truth**2).sum() - (np.diag(truth) ** 2).sum())
        assert trace.error == pytest.approx((per_sample / 150) ** 0.5, rel=0.3)
        ends = eigvalsh(truth)
        assert found.values[f"hessian.max{tail}"].value == pytest.approx(ends[-1], rel=1e-4)
        assert found.values[f"hessian.min{tail}"].value == pytest.approx(ends[0], abs=1e-4 * ends[-1])
        assert found.values[f"hessian.power{tail}"].value == pytest.approx(ends[abs(ends).argmax()], rel=1e-4)
        for name in ("residual", "residual.min"):  # by a product in float32
            assert 0 < found.values[f"hessian.{name}{tail}"].value < 1e-3 * ends[-1]
    assert next(iter(found.values)) == "hessian.trace"
    sizes = np.cumsum([value.numel() for value in net.parameters()])[:-1]
    truth = [part.sum() for part in np.split(np.diag(full) * kept, sizes)]
    layers, errors = found.arrays["layers"], found.arrays["layers.error"]
    assert (abs(layers - truth) < 4 * errors + 1e-6).all()
    assert layers.sum() == pytest.approx(found.values["hessian.trace"].value)
    assert list(found.protocol["layers"]) == [name for name, _ in net.named_parameters()]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")  # what it imports uses it
def test_curvlinops_has_the_same_products_and_eigenvalues() -> None:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    net = conv_net(nn.Tanh)  # it has no product with SiLU
    seen = subject(net)
    inputs, labels = seen.pixels("train")[drawn()], seen.labels("train")[drawn()]
    theirs = HessianLinearOperator(
        net,
        nn.CrossEntropyLoss(),
        list(net.parameters()),
        [(inputs, labels)],
        check_deterministic=False,
    )
    (batch,) = hessian._batches(exam_of(seen), FEW)
    ours = hessian._product(batch)
    vector = torch.from_numpy(shared.random_signs(Seeds(7), "test", count=theirs.shape[1]))
    torch.testing.assert_close(ours(vector), theirs @ vector, rtol=1e-4, atol=1e-5)
    values = eigsh(theirs.to_scipy(), k=2, which="BE", return_eigenvectors=False)
    found = hessian.measure(exam_of(seen), params=EXACT).values
    assert found["hessian.max"].value == pytest.approx(values.max(), rel=1e-4)
    assert found["hessian.min"].value == pytest.approx(values.min(), abs=1e-4 * values.max())


def test_a_diagonal_matrix_is_known_after_one_sample_and_its_density_is_where_its_values_are() -> None:
    values = torch.tensor([-3.0, 1.0, 2.0, 10.0])
    rule = shared.Rule(2, 500, 0.02)

    def probe(number: int) -> Tensor:
        return torch.from_numpy(shared.random_signs(Seeds(0), "probe", number, count=4))

    samples = shared.traced(lambda vector: values * vector, probe, [3, 1], rule)
    assert samples.tolist() == [[0.0, 10.0]] * 2
    spectra = [ritz(lambda vector: values * vector, probe(number), 80)[0] for number in range(3)]
    grid, density = shared.density(spectra)
    step = grid[1] - grid[0]
    assert density.sum() * step == pytest.approx(1, abs=1e-6)
    assert (density * grid).sum() * step == pytest.approx(2.5, abs=1e-5)
    tops = grid[1:-1][(density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])]
    assert tops == pytest.approx(values.numpy(), abs=step)


@pytest.mark.long
def test_the_density_of_the_kept_coordinates_has_their_moments_and_no_zeros_of_pruned_ones() -> None:
    net = mlp()
    mask = pruned(net, share=0.8)
    seen = subject(net, mask)
    found = hessian.measure(exam_of(seen), params=Params(images=24, least=2, most=2, density=60, full=False))
    kept = alive(net, mask)
    whole = matrix(net, seen, drawn())[np.ix_(kept, kept)]
    truth = eigvalsh(whole)
    spread = (2 * ((whole**2).sum() - (np.diag(whole) ** 2).sum()) / 60) ** 0.5 / len(whole)
    ritz_values, weights = found.arrays["ritz"], found.arrays["ritz.weight"]
    assert weights.sum() == pytest.approx(1)
    assert weights @ ritz_values == pytest.approx(truth.mean(), abs=3 * spread)
    assert weights @ ritz_values**2 == pytest.approx((truth**2).mean(), rel=0.15)
    assert ritz_values.max() == pytest.approx(truth[-1], rel=1e-3)
    zero = abs(truth) < 1e-6 * truth[-1]
    assert weights[abs(ritz_values) < 1e-5 * truth[-1]].sum() == pytest.approx(zero.mean(), abs=0.08)
    assert "hessian.trace.full" not in found.values


def test_a_concave_loss_has_a_negative_largest_eigenvalue_and_power_iteration_is_flagged() -> None:
    class Bent(nn.Module):
        """Logits (-|w|^2, 0) for label 0 … whose loss is log(1 + exp(|w|^2)); for label 1 its mirror."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4))

        def forward(self, inputs: Tensor) -> Tensor:
            scale = torch.tensor([1.0, 2.0, 3.0, 4.0])
            bend = (scale * self.weight**2).sum().expand(len(inputs))
            return torch.stack([bend, torch.zeros_like(bend)], dim=1)

    pixels, _ = random_images(6, (1, 2, 2), 2)
    seen = specimen(Bent(), pixels, np.zeros(6), classes=2)
    said: list[str] = []
    seen.reporter.remark = said.append
    found = hessian.measure(exam_of(seen), params=Params(images=6, least=2, most=2)).values
    assert found["hessian.max"].value == pytest.approx(-1)  # -scale / 1: H_ii = -2 scale_i (1 - p), p = 1/2
    assert found["hessian.min"].value == pytest.approx(-4)
    assert found["hessian.power"].value == pytest.approx(-4)
    assert found["hessian.trace"].value == pytest.approx(-10)
    assert found["hessian.trace"].error == pytest.approx(0, abs=1e-6)
    assert len(said) == 1


@pytest.mark.parametrize("kept", [1 << 40, 0])
def test_chunks_add_up_to_all_images_whether_graphs_are_kept_or_not(kept: int, monkeypatch: Any) -> None:
    seen = subject(conv_net())
    (batch,) = hessian._batches(exam_of(seen), FEW)
    whole = hessian._product(batch)
    vector = torch.from_numpy(shared.random_signs(Seeds(7), "test", count=75))[
        : len(hessian._kept(batch, {}))
    ]
    monkeypatch.setattr(products, "room", lambda *_: (7, kept > 0))
    parts = hessian._product(batch)
    torch.testing.assert_close(parts(vector), whole(vector), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts(vector), parts(vector), rtol=0, atol=0)


def test_what_a_graph_holds_is_told_by_the_image() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 1000), nn.Tanh(), nn.Linear(1000, 3))
    seen = subject(net)
    (batch,) = hessian._batches(exam_of(seen), FEW)

    def build(start: int, stop: int) -> tuple[Tensor, list[Tensor]]:
        logits = torch.func.functional_call(net, dict(batch.weights), (seen.pixels("train", start, stop),))
        loss = nn.functional.cross_entropy(logits, seen.labels("train", start, stop), reduction="sum")
        return loss, list(batch.weights.values())

    each = products.graph_bytes(build, 9) - products.graph_bytes(build, 8)
    assert 4000 <= each <= 12 * 4000  # of 1000 units, a few numbers each
    assert products.room(build, 24, torch.device("cpu")) == (24, True)


@pytest.mark.long
def test_the_stated_error_is_the_spread_over_seeds_and_the_rule_stops_by_it() -> None:
    net = mlp()
    whole = torch.from_numpy(matrix(net, subject(net), drawn())).float()
    rule = shared.Rule(30, 5000, 0.1)

    def sums(seed: int) -> np.ndarray:
        def probe(number: int) -> Tensor:
            return torch.from_numpy(shared.random_signs(Seeds(seed), "probe", number, count=len(whole)))

        found: np.ndarray = shared.traced(lambda vector: whole @ vector, probe, [len(whole)], rule)[:, 0]
        return found

    found = [sums(seed) for seed in range(40)]
    values, errors = (
        np.array([rule(one) for one in found])
        for rule in (np.mean, lambda one: one.std(ddof=1) / len(one) ** 0.5)
    )
    assert min(map(len, found)) >= 30
    assert (errors < 0.1 * abs(values)).all()
    assert values.std(ddof=1) == pytest.approx(errors.mean(), rel=0.35)
    assert abs(values.mean() - float(whole.trace())) < 4 * errors.mean() / 40**0.5


def test_no_more_than_the_most_are_sampled() -> None:
    found = hessian.measure(exam_of(subject(mlp())), params=Params(images=24, tolerance=0, most=44, steps=0))
    assert list(found.values) == ["hessian.trace"]
    assert found.values["hessian.trace"].n == len(found.arrays["samples"]) == 44


@pytest.mark.long
def test_several_batches_are_averaged_and_share_no_image() -> None:
    net = mlp()
    seen = subject(net, count=33)
    exam = exam_of(seen, 3)
    keys = Params(images=10, batches=3, least=150, most=150, steps=50, full=False)
    order = Seeds(3).order("hessian", "batches", count=33)
    truths = [matrix(net, seen, order[start : start + 10].copy()) for start in (0, 10, 20)]
    found = hessian.measure(exam, params=keys)
    tops = [float(eigvalsh(one)[-1]) for one in truths]
    top = found.values["hessian.max"]
    assert top.value == pytest.approx(np.mean(tops), rel=1e-4)
    assert top.error == pytest.approx(np.std(tops, ddof=1) / 3**0.5, rel=1e-2)
    assert top.n == 3
    trace = found.values["hessian.trace"]
    assert trace.value == pytest.approx(np.mean([np.trace(one) for one in truths]), rel=0.1)
    assert found.arrays["samples.count"].tolist() == [150] * 3
    with pytest.raises(UsageError, match=r"metrics.hessian.batches = 4 of 10 .* at most 8 each"):
        hessian.measure(exam, params=Params(images=10, batches=4))


@pytest.mark.parametrize("keys", [
    {"images": 0}, {"batches": 0}, {"least": 1}, {"most": 10}, {"tolerance": 1.0}, {"steps": -1}, {"density": -1},
])  # fmt: skip
def test_a_key_out_of_range_is_refused_by_its_name(keys: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"metrics.hessian.{next(iter(keys))} = "):
        hessian.measure(exam_of(subject(mlp())), params=Params(**keys))


def test_a_fully_pruned_layer_and_a_net_with_nothing_kept() -> None:
    net = mlp()
    mask = pruned(net, share=2.0)  # biases alone are left
    seen = subject(net, mask)
    found = hessian.measure(exam_of(seen), params=EXACT)
    full, kept = matrix(net, seen, drawn()), alive(net, mask)
    assert found.values["hessian.trace"].value == pytest.approx(np.trace(full[np.ix_(kept, kept)]), rel=0.1)
    assert found.values["hessian.max"].value == pytest.approx(
        eigvalsh(full[np.ix_(kept, kept)])[-1], rel=1e-4
    )
    assert found.arrays["layers"][[0, 2]].tolist() == [0, 0]
    bare = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    with pytest.raises(Absent, match="no parameter"):
        hessian.measure(exam_of(subject(bare, pruned(bare, share=2.0))), params=FEW)


def test_a_flat_loss_has_zeros_and_a_tiny_one_has_its_own_scale() -> None:
    net = mlp()
    with torch.no_grad():
        net[3].bias += torch.tensor([16.0, 0, 0])
    pixels, _ = random_images(24, (3, 2, 2), 3)
    seen = specimen(net, pixels, np.zeros(24), classes=3)
    truth = eigvalsh(matrix(net, seen, slice(24)))
    found = hessian.measure(exam_of(seen), params=EXACT).values
    assert 0 < truth[-1] < 1e-4
    assert found["hessian.max"].value == pytest.approx(truth[-1], rel=1e-2)
    with torch.no_grad():
        net[3].bias += torch.tensor([200.0, 0, 0])
    found = hessian.measure(exam_of(seen), params=Params(images=24)).values
    assert {one.value for one in found.values()} == {0.0}
    assert found["hessian.trace"].n == 30


def test_a_net_of_no_numbers_is_said_to_have_none() -> None:
    net = mlp()
    with torch.no_grad():
        net[1].weight[0, 0] = torch.nan
    found = hessian.measure(exam_of(subject(net)), params=FEW).values
    assert np.isnan([one.value for one in found.values()]).all()


class Witnessed(torch.autograd.Function):
    """x^2 / 2; a token lives as long as its node in a graph does."""

    tokens: list[weakref.ref[Any]] = []  # noqa: RUF012  # of all nodes, on purpose

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        ctx.token = type("Token", (), {})()
        Witnessed.tokens.append(weakref.ref(ctx.token))
        ctx.save_for_backward(inputs)
        return inputs**2 / 2

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * ctx.saved_tensors[0]


class Watched(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = Witnessed.apply(inputs)
        return found


def test_the_net_is_left_as_it_was_and_no_graph_outlives_the_measurement() -> None:
    net = mlp(Watched)
    seen = subject(net, pruned(net))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    gc.collect()
    gc.disable()
    try:
        hessian.measure(exam_of(seen), params=FEW)
        assert len(Witnessed.tokens) >= 3
        assert all(token() is None for token in Witnessed.tokens)
    finally:
        gc.enable()
    assert all(value.grad is None and value.requires_grad for value in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_an_operation_without_a_second_derivative_is_named_and_attention_has_one() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, inputs: Tensor) -> Tensor:
            return inputs.clone()

        @staticmethod
        def backward(ctx: Any, slope: Tensor) -> Tensor:
            raise NotImplementedError("derivative for aten::odd_backward is not implemented\nlong words")

    class Attention(nn.Module):
        def __init__(self, odd: bool) -> None:
            super().__init__()
            self.inner, self.last, self.odd = (
                nn.MultiheadAttention(4, 1, batch_first=True),
                nn.Linear(4, 3),
                odd,
            )

        def forward(self, inputs: Tensor) -> Tensor:
            words = inputs.flatten(2)
            mixed = self.inner(words, words, words, need_weights=False)[0].mean(dim=1)
            return self.last(Once.apply(mixed) if self.odd else mixed)

    net = Attention(False)
    initialise_(net, "kaiming-normal", Seeds(1))
    seen = subject(net)
    found = hessian.measure(exam_of(seen), params=EXACT).values
    assert found["hessian.max"].value == pytest.approx(eigvalsh(matrix(net, seen, drawn()))[-1], rel=1e-4)
    with pytest.raises(Absent, match="without a second derivative: derivative for aten::odd_backward"):
        hessian.measure(exam_of(subject(Attention(True))), params=FEW)


def test_the_same_seed_gives_the_same_bits_and_another_one_other_samples() -> None:
    seen = subject(conv_net())
    one, same, other = (hessian.measure(exam_of(seen, seed), params=FEW) for seed in (0, 0, 1))
    assert one.values == same.values
    assert (one.arrays["samples"] != other.arrays["samples"]).any()


def test_it_is_priced_by_its_keys() -> None:
    small, large = (hessian.price({"train": 1000}, Params(images=count)) for count in (50, 100))
    assert 0 < 1.9 * small < large < 2 * small  # Lanczos's own work is that of no images
    plain = [hessian.price({"train": 1000}, Params(images=count, steps=0)) for count in (50, 100)]
    assert plain[1] == 2 * plain[0]
    assert hessian.price({"train": 1000}, Params(density=5)) > hessian.price({"train": 1000}, Params())


def test_a_spectrum_of_no_numbers_has_none() -> None:
    def multiply(vector: Tensor) -> Tensor:
        return torch.full_like(vector, torch.nan)

    (spectrum,), (ends,) = ritz(multiply, torch.ones(5), 3), extremes(multiply, torch.ones(5), 3)
    assert np.isnan([*spectrum.values, ends.largest, ends.smallest, ends.residual]).all()


@pytest.mark.parametrize(("keys", "words"), [
    ({"steps": 40}, r"metrics.hessian.steps = 40 holds 40 vectors of 83 numbers, 0.0 GB, .* 0.0 GB; 30 fit"),
    ({"steps": 30, "density": 2}, r"metrics.hessian.density = 2 holds 80 vectors .* 0 leaves it out"),
])  # fmt: skip
def test_vectors_that_have_no_room_are_refused(keys: dict[str, int], words: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(products, "memory", lambda _: 4 * 83 * (30 + products.SPARE))
    exam = exam_of(subject(mlp()))
    with pytest.raises(UsageError, match=words):
        hessian.measure(exam, params=Params(images=24, **keys))
    assert hessian.measure(exam, params=Params(images=24, least=2, most=2, steps=30)).values


@pytest.mark.gpu
def test_on_a_gpu_values_are_those_of_the_cpu() -> None:
    from tests.metrics.test_hessian_input import moved

    net = build("resnet20", shape=(3, 8, 8), classes=3)
    initialise_(net, "kaiming-normal", Seeds(0))
    pixels, labels = random_images(40, (3, 8, 8), 3)
    mask = pruned(net)
    keys = Params(images=32, least=8, most=8, steps=10)
    cpu = specimen(net, pixels, labels, mask=mask, classes=3)
    ours = hessian.measure(exam_of(cpu), params=keys).values
    gpu = moved(cpu, pixels, labels)
    theirs = hessian.measure(Exam(exam_of(cpu).answers, ["train"], Seeds(0), gpu), params=keys).values
    for name in ("hessian.trace", "hessian.max", "hessian.trace.full"):
        assert theirs[name].value == pytest.approx(ours[name].value, rel=2e-3), name
