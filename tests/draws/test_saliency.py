"""SNIP and its kin against automatic differentiation on explicit masks, finite differences and big-number roots."""

from __future__ import annotations

import copy
import json
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tests.train import small
from ticketctl.draws import _rounds, force, grasp, mag_init, snip, snip_iterative, synflow
from ticketctl.draws._rounds import schedule
from ticketctl.draws._saliency import LOSSES, cross_entropy, gap, gradient_scores, least_gap, saliency, zeros
from ticketctl.errors import DivergedError, StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import top
from ticketctl.seeds import Seeds
from ticketctl.train.lab import Lab, Level, Plan, Target
from ticketctl.train.scoring import Batch, balanced_sample, random_sample, scoring_net
from ticketctl.train.state import State

METHODS: dict[str, ModuleType] = {
    "mag-init": mag_init, "snip": snip, "snip-iterative": snip_iterative, "force": force, "grasp": grasp,
    "synflow": synflow,
}  # fmt: skip
KEYS: dict[str, dict[str, Any]] = {
    "snip": {"per_class": 2}, "grasp": {"per_class": 2},
    "snip-iterative": {"per_class": 2, "iterations": 4}, "force": {"per_class": 2, "iterations": 4},
    "synflow": {"iterations": 4},
}  # fmt: skip
every = pytest.mark.parametrize("method", METHODS)
fifth = Target(Fraction(1, 5))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


def make_lab(folder: Path, seed: int = 0, **bench: Any) -> Lab:
    """A lab that scores, and does not train what it was given."""
    made = small.lab(folder, small.bench(padding=1, images=60, **bench), seeds=Seeds(seed))
    made.fit = lambda *_, **__: None
    return made


def draw(lab: Lab, method: str, target: Target = fifth, **keys: Any) -> Level:
    module = METHODS[method]
    params = module.Params(**{**KEYS.get(method, {}), **keys})
    module.cost(Plan(target, 2), params)
    *_, last = module.draw(lab, target=target, params=params)
    assert isinstance(last, Level)
    return last


def material(lab: Lab, bn: str = "eval") -> tuple[nn.Module, list[Batch]]:
    net = scoring_net(lab.bench, lab.initial, bn=bn)
    sample = balanced_sample(lab.bench, lab.seeds, per_class=4, precision="f64")
    return net, sample.batches(5)


def half(lab: Lab) -> Mask:
    return top(
        {name: torch.from_numpy(np.random.default_rng(1).random(s)) for name, s in lab.shapes.items()}, 80
    )


def bits(scores: Any) -> dict[str, bytes]:
    return {name: score.numpy().tobytes() for name, score in scores.items()}


def on_masks(net: nn.Module, batches: list[Batch], mask: Mask) -> dict[str, Tensor]:
    """dL/dm by automatic differentiation on mask variables, L the sum of the batches' mean losses."""
    keeps = {name: keep.double().requires_grad_() for name, keep in mask.keep.items()}
    total = torch.zeros((), dtype=torch.float64)
    for inputs, labels in batches:
        twin = copy.deepcopy(net)
        weights = {name: keep * twin.get_parameter(name).detach() for name, keep in keeps.items()}
        logits = functional_call(twin, weights, (inputs,))
        total = total - logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
    found = torch.autograd.grad(total, list(keeps.values()))
    return dict(zip(keeps, found, strict=True))


# ------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("bn", ["eval", "train"])
def test_snip_is_the_gradient_on_explicit_mask_variables(lab: Lab, bn: str) -> None:
    net, batches = material(lab, bn)
    assert len(batches) == 3
    found = saliency(net, batches, lab.full())
    for name, wanted in on_masks(net, batches, lab.full()).items():
        torch.testing.assert_close(found[name], wanted.abs(), rtol=1e-10, atol=1e-15)


def test_snip_of_a_masked_net_is_that_gradient_where_it_keeps_and_0_elsewhere(lab: Lab) -> None:
    net, batches = material(lab)
    mask = half(lab)
    found = saliency(net, batches, mask)
    for name, wanted in on_masks(net, batches, mask).items():
        keep = mask.keep[name]
        torch.testing.assert_close(found[name][keep], wanted.abs()[keep], rtol=1e-10, atol=1e-15)
        assert not found[name][~keep].any()


def test_force_is_that_gradient_for_pruned_weights_too(lab: Lab) -> None:
    """d/dm of the net with weights m w, at m = 0 for the pruned: the dense w times the gradient at the masked net."""
    net, batches = material(lab)
    mask = half(lab)
    found = saliency(net, batches, mask, dense=True)
    for name, wanted in on_masks(net, batches, mask).items():
        torch.testing.assert_close(found[name], wanted.abs(), rtol=1e-10, atol=1e-15)
        assert found[name][~mask.keep[name]].any()


def test_snip_is_what_removing_a_little_of_a_weight_does_to_the_loss(lab: Lab) -> None:
    net, batches = material(lab)
    found = saliency(net, batches[:1], lab.full())["fc.weight"]
    inputs, labels = batches[0]
    weight = net.get_parameter("fc.weight")
    for row, column in ((0, 0), (1, 17), (2, 47)):
        losses = []
        kept = float(weight[row, column].detach())
        for factor in (1 - 1e-6, 1 + 1e-6):
            weight.data[row, column] = kept * factor
            losses.append(float(nn.functional.cross_entropy(net(inputs), labels)))
        weight.data[row, column] = kept
        assert abs(losses[1] - losses[0]) / 2e-6 == pytest.approx(float(found[row, column]), rel=1e-5)


def test_a_factor_on_the_loss_changes_no_mask(lab: Lab) -> None:
    net, batches = material(lab)
    plain = saliency(net, batches, lab.full())
    scaled = saliency(net, batches, lab.full(), loss=lambda logits, y: 37.5 * cross_entropy(logits, y))
    for count in (1, 20, 100, 197):
        assert top(plain, count).equal(top(scaled, count))


def test_a_weight_of_0_scores_0(lab: Lab) -> None:
    net, batches = material(lab)
    net.get_parameter("conv.weight").data[1] = 0
    for dense in (False, True):
        scores = saliency(net, batches, lab.full(), dense=dense)
        assert not scores["conv.weight"][1].any()
        assert scores["conv.weight"][0].all()


def test_nll_is_minus_the_mean_logit_of_the_label(lab: Lab) -> None:
    """The gradient of -mean(logit_y) on the output layer is minus the mean hidden value over the class."""
    net, _ = material(lab)
    [batch] = balanced_sample(lab.bench, lab.seeds, per_class=4, precision="f64").batches()
    hidden: list[Tensor] = []
    net.get_submodule("fc").register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    net(batch[0])
    net.get_submodule("fc")._forward_pre_hooks.clear()
    means = torch.stack([hidden[0][batch[1] == label].sum(0) for label in range(3)]) / len(batch[1])
    found = saliency(net, [batch], lab.full(), loss=LOSSES["nll"])["fc.weight"]
    torch.testing.assert_close(found, (means * net.get_parameter("fc.weight")).abs(), rtol=1e-10, atol=1e-15)


def test_a_pure_score_changes_nothing_of_the_net_it_is_given(lab: Lab) -> None:
    """Even of one that is in train mode and moves its statistics."""
    net, batches = material(lab, "train")
    net.requires_grad_(True)
    before = copy.deepcopy(net.state_dict())
    saliency(net, batches, half(lab))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


# --------------------------------------------------------------------------------------------------------- draws


def trace(lab: Lab) -> dict[str, Any]:
    model, feed = lab.bench.model, lab.bench.feed
    return {
        "state": {name: value.numpy().tobytes() for name, value in model.state_dict().items()},
        "initial": bits(lab.initial.weights),
        "modes": [module.training for module in model.modules()],
        "grads": [
            (p.requires_grad, None if p.grad is None else p.grad.numpy().tobytes())
            for p in model.parameters()
        ],
        "feed": {name: v.numpy().tobytes() for name, v in vars(feed).items() if isinstance(v, Tensor)},
        "random": (torch.random.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()),
        "grad mode": torch.is_grad_enabled(),
    }


@every
@pytest.mark.parametrize("keys", [{}, {"bn": "train", "augment": True}, {"precision": "f32"}])
def test_scoring_touches_nothing_of_the_bench(lab: Lab, method: str, keys: dict[str, Any]) -> None:
    known = METHODS[method].Params.__dataclass_fields__
    keys = {key: value for key, value in keys.items() if key in known and method != "synflow"}
    for parameter in lab.bench.model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    before = trace(lab)
    draw(lab, method, **keys)
    assert trace(lab) == before


@every
def test_the_same_seed_gives_the_same_bytes_of_mask_and_scores(tmp_path: Path, method: str) -> None:
    first = draw(make_lab(tmp_path / "a"), method)
    torch.rand(3)
    again = draw(make_lab(tmp_path / "b"), method)
    assert bits(first.mask.keep) == bits(again.mask.keep)
    assert bits(first.scores) == bits(again.scores)
    assert json.dumps(first.notes) == json.dumps(again.notes)
    if method in ("snip", "snip-iterative", "force", "grasp"):  # the others look at no image
        assert bits(draw(make_lab(tmp_path / "c", seed=1), method).scores) != bits(first.scores)


@every
@pytest.mark.parametrize("density", ["1/198", "0.0499", "0.5", "1"])
def test_every_count_is_exact(lab: Lab, method: str, density: str) -> None:
    target = Target(Fraction(density))
    assert draw(lab, method, target).mask.kept == int(198 * Fraction(density) + Fraction(1, 2))


@every
def test_the_record_says_how_it_was_chosen(lab: Lab, method: str) -> None:
    level = draw(lab, method)
    notes = json.loads(json.dumps(level.notes))
    assert notes["rounds"] == KEYS.get(method, {}).get("iterations", 1)
    assert notes["gap"] > 0
    assert notes["precision"] == ("f32" if method == "mag-init" else "f64")
    assert level.scores is not None
    assert list(level.scores) == list(lab.shapes)
    if method not in ("snip-iterative", "synflow"):  # there only survivors count
        assert notes["zeros"] == sum(int((score == 0).sum()) for score in level.scores.values()) < 40
    rounds = notes["rounds"] if method in ("snip-iterative", "force") else 1
    if method in ("mag-init", "synflow"):
        assert "samples" not in notes
    else:
        assert len(notes["samples"]) == 2 * 3 * rounds
        assert notes["bn"] in ("eval", "train")
        assert notes["loss"].startswith("cross-entropy")


@every
def test_weights_that_are_not_numbers_are_refused(lab: Lab, method: str) -> None:
    lab.initial.weights["fc.weight"][1, 2] = float("nan")
    with pytest.raises(DivergedError):
        draw(lab, method)


@every
def test_the_layer_whose_scores_are_not_numbers_is_named(lab: Lab, method: str) -> None:
    lab.initial.weights["conv.weight"][0, 0, 0, 0] = float("inf")
    with pytest.raises(DivergedError, match=r"conv\.weight"):
        draw(lab, method)


@pytest.mark.parametrize("method", ["snip", "snip-iterative", "force", "grasp", "synflow"])
def test_somebody_who_asks_to_stop_is_heard(tmp_path: Path, method: str) -> None:
    with pytest.raises(StoppedError):
        draw(make_lab(tmp_path, stop=lambda: 75), method)


@pytest.mark.parametrize(
    ("method", "keys"),
    [("snip", {"per_class": 0}), ("grasp", {"temperature": 0.0}), ("grasp", {"chunk": 0}),
     ("force", {"iterations": 0}), ("force", {"batches": 0}), ("snip-iterative", {"per_class": 0}),
     ("synflow", {"iterations": 0})],
)  # fmt: skip
def test_keys_that_cannot_be_are_refused_before_anything_runs(method: str, keys: dict[str, Any]) -> None:
    module = METHODS[method]
    with pytest.raises(UsageError, match=f"draw.{next(iter(keys))}"):
        module.cost(Plan(fifth, 2), module.Params(**keys))
    with pytest.raises(UsageError, match="density"):
        module.cost(Plan(Target(rounds=3), 2), module.Params())


def test_snip_ranks_what_the_pure_score_says_and_keeps_the_best(lab: Lab) -> None:
    level = draw(lab, "snip")
    net = scoring_net(lab.bench, lab.initial)
    [batch] = balanced_sample(lab.bench, lab.seeds, per_class=2, precision="f64").batches()
    wanted = on_masks(net, [batch], lab.full())
    flat = torch.cat([score.abs().flatten() for score in wanted.values()])
    kept = torch.cat([keep.flatten() for keep in level.mask.keep.values()])
    assert float(flat[kept].min()) > float(flat[~kept].max())
    cut = (float(flat[kept].min()) - float(flat[~kept].max())) / float(flat[kept].min())
    assert level.notes["gap"] == pytest.approx(cut, rel=1e-9)


def test_masks_of_one_shot_scores_are_nested_across_densities(lab: Lab) -> None:
    for method in ("snip", "grasp", "mag-init"):
        masks = [draw(lab, method, Target(Fraction(d, 10))).mask for d in (1, 3, 6, 9)]
        assert all(low <= high for low, high in pairwise(masks)), method


def test_redrawn_weights_change_the_scores_and_not_the_ticket(lab: Lab) -> None:
    plain, other = draw(lab, "snip"), draw(lab, "snip", redraw="xavier-normal")
    assert bits(plain.scores) != bits(other.scores)
    assert other.start is lab.initial


@pytest.mark.parametrize("bn", ["eval", "train"])
@pytest.mark.parametrize("method", ["force", "snip-iterative"])
def test_in_one_round_it_is_snip(lab: Lab, method: str, bn: str) -> None:
    one = draw(lab, method, iterations=1, bn=bn)
    other = draw(lab, "snip", bn=bn)
    assert bits(one.mask.keep) == bits(other.mask.keep)
    assert bits(one.scores) == bits(other.scores)
    assert one.notes == other.notes


def masks_of(monkeypatch: pytest.MonkeyPatch, lab: Lab, method: str, **keys: Any) -> list[Mask]:
    found = []

    def spy(scores: Any, count: int, *, among: Mask | None = None) -> Mask:
        found.append(top(scores, count, among=among))
        return found[-1]

    monkeypatch.setattr(_rounds, "top", spy)
    draw(lab, method, **keys)
    return found


def test_iterative_snip_is_nested_and_force_lets_weights_come_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = masks_of(monkeypatch, lab, "snip-iterative", iterations=8)
    assert all(low <= high for high, low in pairwise(nested))
    free = masks_of(monkeypatch, lab, "force", iterations=8)
    assert not all(low <= high for high, low in pairwise(free))
    counts = schedule(198, Fraction(1, 5), 8)
    assert [mask.kept for mask in nested] == [mask.kept for mask in free] == counts


def test_a_pruned_weight_does_not_come_back_when_all_that_is_left_scores_0(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tie rule alone would prefer the lower index, pruned or not."""
    rising = torch.arange(198, dtype=torch.float64).split([54, 144])
    answers = iter([rising, [0 * part for part in rising]])

    def said(*_: Any, **__: Any) -> dict[str, Tensor]:
        return {name: p.view(s) for (name, s), p in zip(lab.shapes.items(), next(answers), strict=True)}

    monkeypatch.setattr(_rounds, "saliency", said)
    first, second = masks_of(monkeypatch, lab, "snip-iterative", iterations=2)
    assert second <= first


def test_every_round_sees_other_images_unless_told_otherwise(lab: Lab) -> None:
    fresh = draw(lab, "force", iterations=3, batches=2).notes["samples"]
    assert len(fresh) == 3 * 2 * 6
    assert len({tuple(sorted(fresh[at : at + 6])) for at in range(0, 36, 6)}) == 6
    same = draw(lab, "force", iterations=3, batches=2, fresh=False).notes["samples"]
    assert same == fresh[:12]


def test_more_batches_of_the_same_round_are_averaged(lab: Lab) -> None:
    level = draw(lab, "force", iterations=1, batches=2, bn="eval")
    net = scoring_net(lab.bench, lab.initial)
    batches = [
        batch
        for number in (0, 1)
        for batch in balanced_sample(
            lab.bench, lab.seeds, per_class=2, number=number, precision="f64"
        ).batches()
    ]
    assert level.scores is not None
    for name, wanted in on_masks(net, batches, lab.full()).items():
        torch.testing.assert_close(level.scores[name], wanted.abs() / 2, rtol=1e-10, atol=1e-15)


def test_mag_init_keeps_the_largest_of_the_net_or_of_each_layer(lab: Lab) -> None:
    weights = {name: lab.initial.weights[name].abs() for name in lab.shapes}
    everywhere = draw(lab, "mag-init").mask
    assert everywhere.equal(top(weights, 40))
    level = draw(lab, "mag-init", scope="layer")
    assert {name: kept for name, (kept, _) in level.mask.layers().items()} == {
        "conv.weight": 11, "fc.weight": 29,  # 54/5 = 10.8 and 144/5 = 28.8, of 40
    }  # fmt: skip
    for name, weight in weights.items():
        keep = level.mask.keep[name]
        assert float(weight[keep].min()) > float(weight[~keep].max())
    assert level.notes["gap"] > 0


# ------------------------------------------------------------------------------------------------------- gradient


def trained(lab: Lab) -> State:
    """Any other weights than the initial ones, pruned by a mask."""
    weights = dict(small.weights(9).weights)
    return State(
        {name: w * half(lab).keep[name] if name in lab.shapes else w for name, w in weights.items()}, 5
    )


def test_gradient_scores_are_those_on_mask_variables_over_random_batches(lab: Lab) -> None:
    state, mask = trained(lab), half(lab)
    scored = gradient_scores(lab, state, mask, 2, batches=2)
    net = scoring_net(lab.bench, state)
    samples = [random_sample(lab.bench, lab.seeds, count=5, number=n, precision="f64") for n in (2, 3)]
    wanted = on_masks(net, [(sample.inputs, sample.labels) for sample in samples], mask)
    for name, keep in mask.keep.items():
        torch.testing.assert_close(
            scored.scores[name][keep], wanted[name].abs()[keep], rtol=1e-10, atol=1e-15
        )
        assert not scored.scores[name][~keep].any()
    assert scored.notes["samples"] == [*samples[0].index, *samples[1].index]
    assert (scored.notes["bn"], scored.notes["loss"]) == ("eval", "cross-entropy")


def test_gradient_scores_leave_the_bench_alone_and_levels_see_other_batches(lab: Lab) -> None:
    state, mask = trained(lab), half(lab)
    before = trace(lab)
    one = gradient_scores(lab, state, mask, 1, bn="train", augment=True)
    assert trace(lab) == before
    assert bits(gradient_scores(lab, state, mask, 1, bn="train", augment=True).scores) == bits(one.scores)
    assert gradient_scores(lab, state, mask, 2).notes["samples"] != one.notes["samples"]
    level = one.choose(top(one.scores, 40, among=mask), mask)
    assert json.loads(json.dumps(level.notes))["gap"] > 0


# --------------------------------------------------------------------------------------------- schedule and record


@pytest.mark.parametrize("size", [250, 1000, 11_164_352])
@pytest.mark.parametrize("density", ["0.1", "1/500", "1024/3125", "1"])
@pytest.mark.parametrize("rounds", [1, 7, 100])
def test_counts_are_the_rounded_powers_of_the_density(size: int, density: str, rounds: int) -> None:
    exact = Fraction(density)
    found = schedule(size, exact, rounds)
    with localcontext() as context:
        context.prec = 60
        base = Decimal(exact.numerator) / Decimal(exact.denominator)
        wanted = [
            int((size * base ** (Decimal(t) / rounds) + Decimal("0.5")).to_integral_value(ROUND_FLOOR))
            for t in range(1, rounds)
        ]
    assert found == [*wanted, int(size * exact + Fraction(1, 2))]


@pytest.mark.parametrize("error", [-1e-6, 1e-6])
def test_the_arithmetic_of_the_machine_does_not_decide_a_count(
    error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = schedule(11_164_352, Fraction(1, 50), 20)
    exact = _rounds._log
    monkeypatch.setattr(_rounds, "_log", lambda value: exact(value) + error)
    assert schedule(11_164_352, Fraction(1, 50), 20) == wanted


def test_a_power_that_falls_on_a_half_goes_up() -> None:
    """10 * (1/16)^(1/2) is 2.5 exactly."""
    assert schedule(10, Fraction(1, 16), 2) == [3, 1]


def test_a_gap_is_measured_between_the_last_kept_and_the_first_pruned() -> None:
    scores = {"a": torch.tensor([5.0, 4.0, 0.0]), "b": torch.tensor([3.0, 1.0])}
    mask = top(scores, 2)
    assert gap(scores, mask) == pytest.approx((4 - 3) / 4)
    assert gap(scores, mask, among=top(scores, 4)) == pytest.approx(1 / 4)
    assert gap(scores, mask, among=mask) is None
    alive = Mask({"a": torch.tensor([True, True, True]), "b": torch.tensor([False, True])})
    assert gap(scores, mask, among=alive) == pytest.approx((4 - 1) / 4)
    assert gap({"a": torch.tensor([2.0, 2.0])}, Mask({"a": torch.tensor([True, False])})) == 0
    assert gap({"a": torch.zeros(2)}, Mask({"a": torch.tensor([True, False])})) == 0
    signed = {"a": torch.tensor([-1.0, -4.0])}
    assert gap(signed, top(signed, 1)) == pytest.approx(3 / 4)
    layers = Mask({name: top({name: score}, 1).keep[name] for name, score in scores.items()})
    assert least_gap(scores, layers) == pytest.approx(1 / 5)


def test_zeros_are_counted_among_survivors() -> None:
    scores = {"a": torch.tensor([5.0, 0.0, -0.0]), "b": torch.tensor([0.0])}
    alive = Mask({"a": torch.tensor([True, True, False]), "b": torch.tensor([True])})
    assert zeros(scores) == 3
    assert zeros(scores, alive) == 2
