"""scaled-init: slopes by finite differences, the search by an independent one, and a start that is scaled once."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.train import small
from ticketctl.errors import StoppedError, UsageError
from ticketctl.progress import Silent
from ticketctl.seeds import Seeds
from ticketctl.train.bench import Bench
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.train.lab import Fit, Lab
from ticketctl.tweaks import _gradinit
from ticketctl.tweaks._gradinit import CONSTRAINT, OBJECTIVE, Params, Problem, Search, look_ahead, norm_of
from ticketctl.tweaks.scaled_init import batches, tweak


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def kit(bench: Bench, seeds: Seeds | None = None) -> Kit:
    return Kit(bench, seeds or Seeds(0), small.half())


def fit(
    folder: Path, bench: Bench | None = None, seeds: Seeds | None = None, **keys: Any
) -> tuple[Fit, Hooks]:
    bench = bench or small.bench()
    hook = tweak(kit(bench, seeds), params=Params(**{"iterations": 6, "batch": 3, **keys}))
    lab: Lab = small.lab(folder, bench, keep=(0,))
    return lab.fit(small.weights(), small.half(), hooks=[hook], seeds=seeds), hook


class Tiny(nn.Module):
    """Ten weights: 2 x 2, its bias, and 2 x 2 without one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.last = nn.Linear(2, 2, bias=False)
        numbers = np.random.default_rng(1)
        with torch.no_grad():
            for value in self.parameters():
                value.copy_(torch.from_numpy(numbers.normal(0, 1.5, tuple(value.shape)).astype(np.float32)))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.tanh(self.first(x.flatten(1))))
        return logits


TINY_MASK = {"first.weight": torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)}


def points(seed: int, count: int = 6) -> tuple[Tensor, Tensor]:
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.normal(0, 1, (count, 2))), torch.from_numpy(numbers.integers(0, 2, count))


def conv_net() -> tuple[nn.Module, dict[str, Tensor]]:
    net = small.Net()
    small.weights().load_into(net)
    numbers = np.random.default_rng(3)
    with torch.no_grad():
        for name in ("norm.weight", "norm.bias", "fc.bias"):
            value = net.get_parameter(name)
            value.copy_(torch.from_numpy(numbers.normal(0.8, 0.3, tuple(value.shape)).astype(np.float32)))
    masks = {name: keep.double() for name, keep in small.half().keep.items()}
    return net.double(), masks


def images(seed: int, count: int = 8) -> tuple[Tensor, Tensor]:
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.normal(0, 1, (count, 2, 4, 4))), torch.from_numpy(
        numbers.integers(0, 3, count)
    )


# --------------------------------------------------------------------------------------------- T6: the slopes


def value_of(problem: Problem, scales: Tensor, what: str) -> float:
    """Loss, norm or objective of a scaled net; u of the objective is that of scales 1."""
    theta = {name: value.requires_grad_(True) for name, value in problem.scaled(scales).items()}
    if what == "loss":
        return problem.loss(theta, images(1)).item()
    if what == "norm":
        return norm_of(problem.gradients(theta, images(1))[1], "sgd").item()
    ones = {n: v.requires_grad_(True) for n, v in problem.scaled(torch.ones_like(scales)).items()}
    grads = problem.gradients(ones, images(1))[1]
    moved = look_ahead(theta, grads, norm_of(grads, "sgd"), Params())
    return problem.loss(moved, images(2)).item()


@pytest.mark.parametrize("what", ["loss", "norm", "objective"])
def test_slopes_are_those_of_finite_differences(what: str) -> None:
    problem = Problem.of_net(*conv_net())
    ones = torch.ones(len(problem.start), dtype=torch.float64)
    theta = {name: value.requires_grad_(True) for name, value in problem.scaled(ones).items()}
    loss, grads = problem.gradients(theta, images(1))
    norm, at = norm_of(grads, "sgd"), theta
    value = {"loss": loss, "norm": norm}.get(what)
    if value is None:
        at = look_ahead(theta, grads, norm, Params())
        value = problem.loss(at, images(2))
    slopes = problem.slopes(value, at)
    for place in range(len(ones)):
        step = torch.zeros_like(ones)
        step[place] = 1e-5
        rise = value_of(problem, ones + step, what) - value_of(problem, ones - step, what)
        assert slopes[place] == pytest.approx(rise / 2e-5, abs=1e-6)


def test_a_convolution_before_batchnorm_may_be_scaled_without_a_change() -> None:
    net, masks = conv_net()
    net.norm.eps = 1e-12  # type: ignore[union-attr, assignment]  # mypy knows attributes as Tensor | Module
    problem = Problem.of_net(net, masks)
    at = list(problem.start).index("conv.weight")
    scales = torch.ones(len(problem.start), dtype=torch.float64)
    before = float(problem.loss(problem.scaled(scales), images(1)))
    scales[at] = 0.3
    theta = {name: value.requires_grad_(True) for name, value in problem.scaled(scales).items()}
    loss, grads = problem.gradients(theta, images(1))
    assert loss.item() == pytest.approx(before, abs=1e-6)
    assert float(problem.slopes(loss, theta)[at]) == pytest.approx(0, abs=1e-6)
    ones = {
        name: value.requires_grad_(True) for name, value in problem.scaled(torch.ones(len(scales))).items()
    }
    whole = problem.gradients(ones, images(1))[1][at]
    torch.testing.assert_close(
        grads[at], whole / 0.3, rtol=1e-6, atol=1e-8
    )  # steps that are relatively larger


# ---------------------------------------------------------------------------------- T7: under the mask throughout


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_look_ahead_has_the_masks_support_and_the_norm_is_over_what_lives(optimizer: Any) -> None:
    net, masks = conv_net()
    problem = Problem.of_net(net, masks)
    theta = {n: v.requires_grad_(True) for n, v in problem.scaled(torch.ones(len(problem.start))).items()}
    _, grads = problem.gradients(theta, images(1))
    moved = look_ahead(theta, grads, norm_of(grads, optimizer), Params(optimizer=optimizer))
    for name, keep in masks.items():
        assert bool((moved[name][keep == 0] == 0).all())
        assert bool((moved[name] != theta[name]).any())
    with torch.no_grad():
        for name, keep in masks.items():
            net.get_parameter(name).mul_(keep)
    net.train()
    nn.functional.cross_entropy(net(images(1)[0]), images(1)[1]).backward()
    alive = []
    for name, value in net.named_parameters():
        assert value.grad is not None
        alive.append(value.grad[masks[name] == 1] if name in masks else value.grad.flatten())
    order = 2 if optimizer == "sgd" else 1
    wanted = torch.linalg.vector_norm(torch.cat(alive), order)
    assert norm_of(grads, optimizer).item() == pytest.approx(float(wanted), rel=1e-12)


# ------------------------------------------------------------------------- the search, by one written differently


def plain_search(net: Tiny, mask: Tensor, data: list[Any], params: Params) -> tuple[list[Tensor], list[Any]]:
    """The algorithm of section 3.5 with scales that are autograd's own leaves; torch.optim.Adam's formulae by hand."""
    start = [net.first.weight.detach() * mask, net.first.bias.detach(), net.last.weight.detach()]
    scales = [torch.ones((), dtype=torch.float64, requires_grad=True) for _ in start]
    least = [params.lower, 0.0, params.lower]
    moments = {kind: [0.0] * 3 for kind in (CONSTRAINT, OBJECTIVE)}
    squares, counts, rows = [0.0] * 3, {CONSTRAINT: 0, OBJECTIVE: 0}, []

    def loss_at(weights: list[Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        hidden = torch.tanh(batch[0] @ weights[0].T + weights[1])
        return nn.functional.cross_entropy(hidden @ weights[2].T, batch[1])

    for first, second in data:
        weights = [s * w for s, w in zip(scales, start, strict=True)]
        loss = loss_at(weights, first)
        grads = list(torch.autograd.grad(loss, weights, create_graph=True))
        grads[0] = grads[0] * mask
        if params.optimizer == "adam":
            norm = sum(g.abs().sum() for g in grads)
        else:
            norm = torch.sqrt(sum((g**2).sum() for g in grads))
        if norm > params.gamma:
            kind, target = CONSTRAINT, norm
        else:
            if params.optimizer == "adam":
                along = [g.sign() for g in grads]
            else:
                along = [g / norm if params.normalise else g for g in grads]
            ahead = [w - params.eta * u.detach() for w, u in zip(weights, along, strict=True)]
            kind, target = OBJECTIVE, loss_at(ahead, second) / params.eta
        rows.append((norm.item(), loss.item(), target.item() if kind else math.nan, float(kind)))
        slopes = torch.autograd.grad(target, scales)
        counts[kind] += 1
        moved = []
        for i, slope in enumerate(float(each.clamp(-params.clip, params.clip)) for each in slopes):
            moments[kind][i] = 0.9 * moments[kind][i] + 0.1 * slope
            squares[i] = 0.999 * squares[i] + 0.001 * slope**2
            mean = moments[kind][i] / (1 - 0.9 ** counts[kind])
            spread = squares[i] / (1 - 0.999 ** (counts[0] + counts[1]))
            now = scales[i].item() - params.lr * mean / (math.sqrt(spread) + 1e-8)
            moved.append(torch.tensor(max(now, least[i]), dtype=torch.float64, requires_grad=True))
        scales = moved
    return scales, rows


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"normalise": False},
        {"optimizer": "adam", "gamma": 2.0},
        {"clip": 0.05},
        {"gamma": 1e-3, "lower": 0.97},
    ],
    ids=["released", "plain gradient", "adam", "clipped", "constraints and a bound"],
)
def test_five_iterations_are_those_of_plain_autograd(keys: dict[str, Any]) -> None:
    params = Params(**{"gamma": 0.45, "lr": 0.05, **keys})
    data = [(points(10 + i), points(20 + i)) for i in range(5)]
    net = Tiny()
    search = Search(Problem.of_net(net, TINY_MASK), params)
    rows = [search.iterate(*pair) for pair in data]
    scales, wanted = plain_search(net, TINY_MASK["first.weight"], data, params)
    torch.testing.assert_close(search.scales, torch.stack(scales).detach(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.array(rows), np.array(wanted), rtol=1e-10)
    if not keys:
        assert {row[3] for row in rows} == {CONSTRAINT, OBJECTIVE}  # both kinds were met
    if "lower" in keys:
        assert search.floored()


class Surgeon:
    """The same search without a graph of gradients: weights are written into the net, slopes are difference quotients.

    Convolution, BatchNorm and a mask; `torch.Tensor.backward` once per gradient, Adam in plain Python.
    """

    def __init__(self, params: Params) -> None:
        self.params, (self.net, self.masks) = params, conv_net()
        self.net.train()
        self.named = dict(self.net.named_parameters())
        self.start = {n: v.detach() * self.masks.get(n, 1) for n, v in self.named.items()}
        self.before = {n: v.clone() for n, v in self.net.named_buffers()}
        self.scales = dict.fromkeys(self.named, 1.0)
        self.mean = {kind: dict.fromkeys(self.named, 0.0) for kind in (CONSTRAINT, OBJECTIVE)}
        self.square, self.counts = dict.fromkeys(self.named, 0.0), {CONSTRAINT: 0, OBJECTIVE: 0}

    def value(self, theta: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        """The cross-entropy by its definition, in train mode."""
        with torch.no_grad():
            for name, value in theta.items():
                self.named[name].copy_(value)
        logits = self.net(batch[0])
        picked = logits[torch.arange(len(batch[1])), batch[1]]
        return (logits.exp().sum(1).log() - picked).mean()

    def gradient(self, theta: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        self.net.zero_grad()
        self.value(theta, batch).backward()
        return {
            n: (v.grad * self.masks.get(n, 1)).clone() for n, v in self.named.items() if v.grad is not None
        }

    def at(self, scales: dict[str, float]) -> dict[str, Tensor]:
        return {name: scales[name] * self.start[name] for name in self.start}

    def norm(self, scales: dict[str, float], batch: tuple[Tensor, Tensor]) -> float:
        return math.sqrt(sum(float((g**2).sum()) for g in self.gradient(self.at(scales), batch).values()))

    def iterate(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> int:
        norm = self.norm(self.scales, first)
        along = {n: g / norm for n, g in self.gradient(self.at(self.scales), first).items()}
        kind = CONSTRAINT if norm > self.params.gamma else OBJECTIVE

        def objective(scales: dict[str, float]) -> float:
            if kind == CONSTRAINT:
                return self.norm(scales, first)
            ahead = {n: value - self.params.eta * along[n] for n, value in self.at(scales).items()}
            return float(self.value(ahead, second).detach()) / self.params.eta

        slopes = {}
        for name, scale in self.scales.items():
            step = 1e-5
            ends = [objective({**self.scales, name: scale + sign * step}) for sign in (1, -1)]
            slopes[name] = max(-self.params.clip, min(self.params.clip, (ends[0] - ends[1]) / (2 * step)))
        self.counts[kind] += 1
        for name, slope in slopes.items():
            self.mean[kind][name] = 0.9 * self.mean[kind][name] + 0.1 * slope
            self.square[name] = 0.999 * self.square[name] + 0.001 * slope**2
            mean = self.mean[kind][name] / (1 - 0.9 ** self.counts[kind])
            spread = math.sqrt(self.square[name] / (1 - 0.999 ** sum(self.counts.values())))
            least = 0.0 if name.endswith("bias") else self.params.lower
            self.scales[name] = max(least, self.scales[name] - self.params.lr * mean / (spread + 1e-8))
        return kind


def test_the_search_of_a_masked_net_with_batchnorm_is_that_of_difference_quotients() -> None:
    params = Params(gamma=1.5, lr=0.05)
    surgeon, search = Surgeon(params), Search(Problem.of_net(*conv_net()), params)
    kinds = []
    for number in range(8):
        pair = images(10 + number), images(30 + number)
        kinds.append(surgeon.iterate(*pair))
        assert search.iterate(*pair)[3] == kinds[-1]
        wanted = torch.tensor(list(surgeon.scales.values()), dtype=torch.float64)
        torch.testing.assert_close(search.scales, wanted, rtol=1e-4, atol=1e-5)
    assert set(kinds) == {CONSTRAINT, OBJECTIVE}
    assert len({round(scale, 3) for scale in surgeon.scales.values()}) > 2


def test_tensors_that_are_zero_keep_their_scale_and_a_scale_at_zero_stays() -> None:
    net = Tiny()
    with torch.no_grad():
        net.first.bias.zero_()
    search = Search(Problem.of_net(net, TINY_MASK), Params(gamma=0.1, lr=0.2))
    for number in range(10):
        search.iterate(points(number), points(100 + number))
    assert search.scales[list(search.problem.start).index("first.bias")] == 1
    search = Search(Problem.of_net(Tiny(), TINY_MASK), Params(gamma=0.1))
    search.scales[1] = 0.0  # a bias
    search.iterate(points(1), points(2))
    assert search.scales[1] == 0
    assert (search.scales[[0, 2]] != 1).all()


# ---------------------------------------------------------------------------------- T5: the start of a training


def test_no_iterations_change_no_bit(tmp_path: Path) -> None:
    scaled, hook = fit(tmp_path / "scaled", iterations=0)
    plain = small.lab(tmp_path / "plain", small.bench()).fit(small.weights(), small.half())
    assert scaled.files.final.read_bytes() == plain.files.final.read_bytes()
    assert hook.state()["log"].shape == (0, 4)


def test_the_start_is_the_scales_times_the_weights_and_nothing_else(tmp_path: Path) -> None:
    made, _ = fit(tmp_path, lr=0.1, iterations=12)
    start, plain, held = made.state(0).weights, small.weights().weights, made.hook(0)
    mask = small.half().keep
    assert held["log"].shape == (12, 4)
    names = [name.removeprefix("scale.") for name in held if name.startswith("scale.")]
    assert names == sorted(name for name, _ in small.Net().named_parameters())
    for name in names:
        wanted = held[f"scale.{name}"] * plain[name] * mask.get(name, torch.ones(()))
        assert torch.equal(start[name] + 0.0, wanted + 0.0), name
        assert held[f"scale.{name}"] >= (0 if name.endswith("bias") else np.float32(0.01))
    for name in plain.keys() - set(names):  # BatchNorm's statistics
        assert torch.equal(start[name], plain[name]), name
    for name, keep in mask.items():
        assert torch.equal(start[name] != 0, keep & (plain[name] != 0))
    assert {float(held[f"scale.{name}"]) for name in ("conv.weight", "fc.weight")} != {1.0}


@pytest.mark.parametrize("stopped", [False, True])
def test_distances_are_from_the_scaled_start(tmp_path: Path, stopped: bool) -> None:
    """Masked: over kept weights, from s theta^0; full: from all of s theta^0, pruned weights being 0 now."""
    if stopped:
        left = iter(range(10**6))
        with pytest.raises(StoppedError):
            fit(tmp_path, small.bench(stop=lambda: 75 if next(left) >= 12 else None), lr=0.1)
    made, _ = fit(tmp_path, lr=0.1)
    end, plain, held = made.end().weights, small.weights().weights, made.hook(0)
    kept = whole = 0.0
    for name, keep in small.half().keep.items():
        origin = (held[f"scale.{name}"] * plain[name]).double()
        assert float(held[f"scale.{name}"]) != 1
        moved = (end[name].double() - origin).square()
        kept, whole = kept + float(moved[keep].sum()), whole + float(moved.sum())
    masked, full = (made.columns.index(f"distance.{kind}") for kind in ("masked", "full"))
    assert made.history[0, masked] == pytest.approx(0, abs=1e-6)
    assert made.history[-1, masked] == pytest.approx(math.sqrt(kept), rel=1e-5)
    assert made.history[-1, full] == pytest.approx(math.sqrt(whole), rel=1e-5)


def test_scales_are_a_function_of_the_stream_draw_alone(tmp_path: Path) -> None:
    def scales(name: str, seeds: Seeds) -> list[float]:
        held = fit(tmp_path / name, small.bench(padding=1), seeds, lr=0.1)[0].hook(0)
        return [float(value) for name, value in held.items() if name.startswith("scale.")]

    one = scales("one", Seeds(3))
    assert one == scales("same", Seeds(3))
    assert one == scales("order", Seeds(3, {"order": 9, "augment": 9}))
    assert one != scales("other", Seeds(3, {"draw": 9}))


def test_batches_are_disjoint_while_there_are_images_and_share_a_half() -> None:
    bench = small.bench()
    found = []
    for overlap in (True, False):
        (first, _), (second, labels) = batches(bench, Seeds(1), 0, Params(batch=3, overlap=overlap))
        assert labels.shape == (6,)
        assert len({tuple(image.flatten().tolist()) for image in first}) == 6
        found.append((first, second))
    assert torch.equal(found[0][0][:3], found[0][1][:3])
    assert torch.equal(found[0][1][3:], found[1][1][3:])
    rows = [tuple(image.flatten().tolist()) for image in (*found[1][0], *found[1][1])]
    assert len(set(rows)) == 12
    assert batches(bench, Seeds(1), 0, Params(batch=128))[0][0].shape[0] == 2 * small.IMAGES


def test_the_net_that_trains_is_left_as_it_was_by_the_search(tmp_path: Path) -> None:
    bench = small.bench()
    before = {}

    class Looks(Hooks):
        def identity(self) -> dict[str, Any]:
            return {"name": "looks"}

        def start(self, loop: Course) -> None:
            flags = [p.requires_grad and p.grad is None for p in loop.parameters.values()]
            before["flags"] = [all(flags), loop.model.training, loop.model.norm.track_running_stats]

    hook = tweak(kit(bench), params=Params(iterations=3, batch=3))
    small.lab(tmp_path, bench).fit(small.weights(), small.half(), hooks=[hook, Looks()])
    assert before["flags"] == [True, True, True]


def test_numbers_that_are_not_finite_give_the_start_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _gradinit.Problem.slopes
    calls = iter(range(100))

    def third_is_lost(problem: Problem, value: Tensor, theta: Any) -> Tensor:
        return own(problem, value, theta) * (math.nan if next(calls) == 2 else 1)

    monkeypatch.setattr(Problem, "slopes", third_is_lost)
    notes = Notes()
    made, _ = fit(tmp_path / "lost", replace(small.bench(), reporter=notes))
    plain = small.lab(tmp_path / "plain", small.bench()).fit(small.weights(), small.half())
    assert made.files.final.read_bytes() == plain.files.final.read_bytes()
    assert len(made.hook(0)["log"]) == 3
    assert any("left the finite numbers" in text for text in notes.texts)


def test_a_search_of_constraints_alone_and_scales_at_their_bound_are_told(tmp_path: Path) -> None:
    notes = Notes()
    fit(tmp_path, replace(small.bench(), reporter=notes), gamma=1e-6, lr=0.2, lower=0.9)
    assert any("6 of 6 iterations" in text for text in notes.texts)
    assert any("lower bound" in text for text in notes.texts)


def test_stopped_anywhere_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    truth, _ = fit(tmp_path / "truth", small.bench(padding=1), iterations=4)
    for polls in range(1, 60, 2):
        left = iter(range(10**6))
        bench = small.bench(
            padding=1, stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None
        )
        folder = tmp_path / str(polls)
        try:
            fit(folder, bench, iterations=4)
        except StoppedError:
            pass
        else:
            break
        again, _ = fit(folder, small.bench(padding=1), iterations=4)
        assert again.files.final.read_bytes() == truth.files.final.read_bytes(), polls
        assert again.hook(0).keys() == truth.hook(0).keys()
        for name, value in truth.hook(0).items():
            assert torch.equal(again.hook(0)[name].nan_to_num(-1), value.nan_to_num(-1)), name
    else:
        pytest.fail("it never came to its end")


def test_its_identity_is_plain_json_and_names_its_numbers() -> None:
    one = tweak(kit(small.bench()), params=Params()).identity()
    assert json.loads(json.dumps(one)) == one
    assert one["draw"] == 0
    assert one["iterations"] == 180


@pytest.mark.parametrize(
    "keys",
    [
        {"iterations": -1},
        {"batch": 1},
        {"eta": 0.0},
        {"gamma": -1.0},
        {"lr": math.inf},
        {"lower": 2.0},
        {"clip": 0.0},
    ],
)
def test_keys_out_of_range_are_refused_by_name(keys: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"tweaks.scaled-init.{next(iter(keys))}"):
        tweak(kit(small.bench()), params=Params(**keys))


def test_a_long_search_tells_how_far_it_is_three_times(tmp_path: Path) -> None:
    notes = Notes()
    fit(tmp_path, replace(small.bench(), reporter=notes), iterations=100)
    told = [text for text in notes.texts if "of 100 iterations" in text and "held" not in text]
    assert told == [f"scaled-init: {done} of 100 iterations" for done in (25, 50, 75)]
