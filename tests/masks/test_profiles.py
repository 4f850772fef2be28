"""Density profiles against rigl's loop, published figures, numpy's roots, and brute force; exact counts throughout."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ticketctl.errors import UsageError
from ticketctl.masks import profiles
from ticketctl.masks.apportion import apportion, at_least, fill
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.nets.describe import shapes as shapes_of
from ticketctl.nets.lenet import build as lenet
from ticketctl.nets.resnet import build as resnet
from ticketctl.nets.resnet_cifar import build as resnet_cifar

RULES = {
    "uniform": profiles.uniform,
    "er": profiles.er,
    "erk": profiles.erk,
    "erk, power 1/2": lambda shapes, total: profiles.erk(shapes, total, power=Fraction(1, 2)),
    "balanced": profiles.balanced,
    "pyramidal": lambda shapes, total: profiles.pyramidal(shapes, total)[0],
}
every = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())

random_shapes = st.lists(st.lists(st.integers(1, 12), min_size=2, max_size=4), min_size=1, max_size=6).map(
    lambda found: {f"l{i}": torch.Size(shape) for i, shape in enumerate(found)}
)


def net_shapes(name: str) -> dict[str, torch.Size]:
    family = lenet if name.startswith("lenet") else resnet_cifar if "20" in name or "32" in name else resnet
    channels, size = (1, (28, 28)) if name.startswith("lenet") else (3, (32, 32))
    with torch.device("meta"):
        model = family(name, channels=channels, size=size, classes=10)
    return shapes_of(model, prunable(model, Policy()))


def vgg_shapes(*widths: int, classes: int = 10) -> dict[str, torch.Size]:
    convs = {
        f"conv{i}": torch.Size([out, into, 3, 3]) for i, (into, out) in enumerate(pairwise([3, *widths]))
    }
    return {**convs, "fc": torch.Size([classes, widths[-1]])}


def sizes_of(shapes: dict[str, torch.Size]) -> dict[str, int]:
    return {name: math.prod(shape) for name, shape in shapes.items()}


def half_up(size: int, density: Fraction) -> int:
    value = Decimal(size * density.numerator) / Decimal(density.denominator)
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def densities(shapes: dict[str, torch.Size], counts: dict[str, int]) -> dict[str, float]:
    return {name: counts[name] / math.prod(shapes[name]) for name in shapes}


def rigl_densities(shapes: dict[str, torch.Size], sparsity: float, power: float = 1.0) -> dict[str, float]:
    """rigl/sparse_utils.py, get_sparsities_erdos_renyi, in its own arithmetic (float, floors, all dimensions)."""
    dense: set[str] = set()
    while True:
        divisor, rhs, raw = 0.0, 0.0, {}
        for name, shape in shapes.items():
            params = math.prod(shape)
            zeros = math.floor(params * sparsity)
            if name in dense:
                rhs -= zeros
            else:
                rhs += params - zeros
                raw[name] = (sum(shape) / math.prod(shape)) ** power
                divisor += raw[name] * params
        eps = rhs / divisor
        largest = max(raw.values())
        if largest * eps <= 1:
            return {name: 1.0 if name in dense else eps * raw[name] for name in shapes}
        dense |= {name for name in raw if raw[name] == largest}


# --- what every rule owes ---------------------------------------------------------------------------------------


@pytest.mark.long
@every
@given(random_shapes, st.fractions(Fraction(1, 200), 1))
@settings(deadline=None, max_examples=60)
def test_every_rule_keeps_exactly_the_total_and_no_more_than_a_layer_has(rule, shapes, density) -> None:
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), density)
    counts = rule(shapes, total)
    assert list(counts) == list(shapes)
    assert sum(counts.values()) == total
    assert all(type(kept) is int and 0 <= kept <= sizes[name] for name, kept in counts.items())


@every
@pytest.mark.parametrize("name", ["lenet-300-100", "resnet20s", "resnet50"])
def test_every_rule_is_exact_on_real_nets_and_dense_at_density_one(rule, name) -> None:
    shapes = net_shapes(name)
    sizes = sizes_of(shapes)
    for total in (len(sizes), sum(sizes.values()) // 977, sum(sizes.values()) // 10, sum(sizes.values()) - 1):
        assert sum(rule(shapes, total).values()) == total
    assert rule(shapes, sum(sizes.values())) == sizes


@pytest.mark.long
@pytest.mark.parametrize("rule", [profiles.er, profiles.erk, profiles.balanced])
@given(st.sampled_from(["lenet-300-100", "resnet20s"]), st.fractions(Fraction(1, 100), 1), st.fractions(0, 1))
@settings(deadline=None, max_examples=25)
def test_the_dense_layers_only_grow_with_the_density(rule, name, density, part) -> None:
    shapes = net_shapes(name)
    sizes = sizes_of(shapes)
    more = half_up(sum(sizes.values()), density)
    less = rule(shapes, max(1, math.floor(more * part)))
    assert {n for n in sizes if less[n] == sizes[n]} <= {
        n for n in sizes if rule(shapes, more)[n] == sizes[n]
    }


# --- sharing out ------------------------------------------------------------------------------------------------

some_layers = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=6)


@given(some_layers, st.fractions(0, 1))
def test_filling_is_the_one_scale_that_meets_the_total(layers, part) -> None:
    """By bisection on the scale, which the code does not use."""
    caps = {str(i): cap for i, (cap, _) in enumerate(layers)}
    shares = {str(i): Fraction(share) for i, (_, share) in enumerate(layers)}
    total = math.floor(sum(caps.values()) * part)
    quotas = fill(shares, caps, total)
    assert sum(quotas.values()) == total
    low, high = 0.0, 41.0
    for _ in range(80):
        scale = (low + high) / 2
        if sum(min(caps[n], scale * float(shares[n])) for n in caps) < total:
            low = scale
        else:
            high = scale
    for name in caps:
        assert float(quotas[name]) == pytest.approx(min(caps[name], high * float(shares[name])), abs=1e-9)


def test_a_layer_without_a_share_gets_nothing() -> None:
    assert fill({"a": Fraction(0), "b": Fraction(1)}, {"a": 5, "b": 5}, 5) == {"a": 0, "b": 5}
    with pytest.raises(ValueError, match="6 weights do not fit into layers of 5"):
        fill({"a": Fraction(0), "b": Fraction(1)}, {"a": 5, "b": 5}, 6)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_lifting_keeps_the_total_and_the_least(sizes, data) -> None:
    named = {str(i): size for i, size in enumerate(sizes)}
    counts = {name: data.draw(st.integers(0, size)) for name, size in named.items()}
    least = data.draw(st.integers(0, 5))
    floors = {name: min(least, size) for name, size in named.items()}
    if sum(counts.values()) < sum(floors.values()):
        with pytest.raises(UsageError, match=r"draw\.least"):
            at_least(counts, named, least)
        return
    found = at_least(counts, named, least)
    assert sum(found.values()) == sum(counts.values())
    assert all(floors[name] <= found[name] <= named[name] for name in named)
    if all(counts[name] >= floors[name] for name in named):
        assert found == counts


def test_a_least_below_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"draw\.least -1"):
        at_least({"a": 1}, {"a": 2}, -1)


# --- uniform ----------------------------------------------------------------------------------------------------


@given(random_shapes, st.fractions(Fraction(1, 50), 1))
@settings(deadline=None)
def test_uniform_is_the_same_density_within_a_weight(shapes, density) -> None:
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), density)
    share = total / sum(sizes.values())
    for name, kept in profiles.uniform(shapes, total).items():
        assert abs(kept - share * sizes[name]) < 1


def test_uniform_plus_has_a_dense_stem_a_fifth_of_the_head_and_the_exact_total() -> None:
    shapes = net_shapes("resnet18")
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), Fraction("0.05"))
    counts = profiles.uniform_plus(shapes, total, first="conv1.weight", head="fc.weight")
    assert counts["conv1.weight"] == sizes["conv1.weight"] == 1728
    assert counts["fc.weight"] == 1024
    rest = (total - 1728 - 1024) / (sum(sizes.values()) - 1728 - 5120)
    for name in set(sizes) - {"conv1.weight", "fc.weight"}:
        assert counts[name] / sizes[name] == pytest.approx(rest, abs=1 / sizes[name])
    assert sum(counts.values()) == total


def test_a_head_that_keeps_a_fifth_anyway_is_like_the_others() -> None:
    shapes = net_shapes("resnet18")
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), Fraction("0.5"))
    counts = profiles.uniform_plus(shapes, total, first="conv1.weight", head="fc.weight")
    rest = (total - 1728) / (sum(sizes.values()) - 1728)
    assert counts["fc.weight"] == pytest.approx(rest * 5120, abs=1)


def test_layers_that_are_not_prunable_ask_for_nothing() -> None:
    shapes = vgg_shapes(64, 64)
    assert profiles.uniform_plus(shapes, 500, first=None, head=None) == profiles.uniform(shapes, 500)
    assert profiles.uniform_plus(shapes, 500, first="stem", head="out") == profiles.uniform(shapes, 500)
    assert profiles.erk_plus(shapes, 500, head="out") == profiles.erk(shapes, 500)


@pytest.mark.parametrize("total", [1, 1728, 1728 + 128])
def test_uniform_plus_refuses_a_density_that_its_first_and_last_layer_use_up(total: int) -> None:
    with pytest.raises(UsageError, match=r"conv0 and fc alone take 1,856 weights .* \"plain\""):
        profiles.uniform_plus(vgg_shapes(64, 64), total, first="conv0", head="fc")


# --- Erdős–Rényi ------------------------------------------------------------------------------------------------

# computed with rigl's own program
PUBLISHED = {
    ("lenet-300-100", "0.1"): {"fc1.weight": 0.0796, "fc2.weight": 0.2302, "fc3.weight": 1.0},
    ("lenet-300-100", "0.05"): {"fc1.weight": 0.0385, "fc2.weight": 0.1113, "fc3.weight": 0.9185},
    ("resnet20s", "0.1"): {
        "conv1.weight": 1.0,
        "layer1.0.conv1.weight": 0.3027,
        "layer1.2.conv2.weight": 0.3027,
        "layer2.0.conv1.weight": 0.2151,
        "layer2.2.conv2.weight": 0.1394,
        "fc.weight": 1.0,
    },
    ("resnet18", "0.1"): {
        "conv1.weight": 1.0,
        "layer1.1.conv2.weight": 0.4797,
        "layer2.0.conv1.weight": 0.3544,
        "layer2.0.conv2.weight": 0.2345,
        "layer2.0.downsample.0.weight": 1.0,
    },
}


@pytest.mark.parametrize(("name", "density"), PUBLISHED)
def test_erk_has_the_densities_measured_on_rigls_code(name: str, density: str) -> None:
    """At the total that rigl's floors leave it: a weight per layer or less above the density's."""
    shapes = net_shapes(name)
    quotas = profiles.erk_quotas(
        shapes, sum(math.ceil(n * Fraction(density)) for n in sizes_of(shapes).values())
    )
    expected = PUBLISHED[name, density]
    assert {n: round(float(quotas[n]) / math.prod(shapes[n]), 4) for n in expected} == expected


@pytest.mark.long
@pytest.mark.parametrize("power", [1.0, 0.5, 2.0, 0.0])
@pytest.mark.parametrize("name", ["lenet-300-100", "resnet20s", "resnet32-2x", "resnet18", "resnet50"])
@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.875, 0.96875])
def test_erk_equals_rigls_loop_but_for_its_floors(name: str, sparsity: float, power: float) -> None:
    """A floor per layer leaves rigl at most a weight per layer more."""
    shapes = net_shapes(name)
    sizes = sizes_of(shapes)
    theirs = rigl_densities(shapes, sparsity, power)
    total = round(sum(theirs[n] * sizes[n] for n in sizes))
    assert total - sum(sizes.values()) * (1 - sparsity) <= len(sizes)
    quotas = profiles.erk_quotas(shapes, total, Fraction(power))
    for layer, size in sizes.items():
        assert float(quotas[layer]) / size == pytest.approx(theirs[layer], abs=1e-5)


def test_er_counts_channels_and_no_kernels() -> None:
    """Two free layers: densities in the ratio of (n_in + n_out) / (n_in n_out), and the total is met."""
    shapes = {"a": torch.Size([64, 32, 3, 3]), "b": torch.Size([128, 64, 1, 1])}
    found = densities(shapes, profiles.er(shapes, 4000))
    assert found["a"] / found["b"] == pytest.approx((96 / 2048) / (192 / 8192), rel=1e-2)
    linear = {"a": torch.Size([300, 784]), "b": torch.Size([100, 300]), "c": torch.Size([10, 100])}
    assert profiles.er(linear, 20_000) == profiles.erk(linear, 20_000)


def test_a_depthwise_convolution_counts_as_its_shape_says() -> None:
    shapes = {"depthwise": torch.Size([32, 1, 3, 3]), "pointwise": torch.Size([640, 320, 1, 1])}
    raw = {"depthwise": (32 + 1 + 3 + 3) / (32 * 9), "pointwise": (640 + 320 + 2) / (640 * 320)}
    quotas = profiles.erk_quotas(shapes, 500)
    found = {name: float(quotas[name]) / math.prod(shapes[name]) for name in shapes}
    assert found["depthwise"] / found["pointwise"] == pytest.approx(raw["depthwise"] / raw["pointwise"])


@pytest.mark.parametrize("power", ["-1", "8.5"])
def test_a_power_out_of_range_is_refused(power: str) -> None:
    with pytest.raises(UsageError, match="power"):
        profiles.erk(vgg_shapes(64), 100, power=Fraction(power))


def test_custom_layers_keep_their_density_and_erk_spends_the_rest() -> None:
    shapes = net_shapes("resnet20s")
    sizes = sizes_of(shapes)
    custom = {"conv1.weight": Fraction(1, 3), "fc.weight": Fraction(0)}
    counts = profiles.erk(shapes, 20_000, custom=custom)
    assert (counts["conv1.weight"], counts["fc.weight"]) == (144, 0)
    others = {name: shape for name, shape in shapes.items() if name not in custom}
    assert {name: counts[name] for name in others} == profiles.erk(others, 20_000 - 144)
    assert list(counts) == list(sizes)


@pytest.mark.parametrize(
    ("custom", "says"),
    [
        ({"conv0": "1.1"}, "density 1.1 of 'conv0'"),
        ({"conf0": "1"}, "no prunable layer named 'conf0'.*conv0"),
        ({"conv1": "1"}, "keeps 36,864 weights"),
        ({"conv1": "0", "conv0": "0"}, "the other layers have 640: 1,000 cannot be kept"),
    ],
)
def test_custom_densities_that_cannot_be_are_refused(custom: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        profiles.erk(vgg_shapes(64, 64), 1000, custom={name: Fraction(text) for name, text in custom.items()})


def test_erk_plus_is_a_dense_head_and_erk_over_the_rest() -> None:
    shapes = net_shapes("resnet18")
    total = half_up(sum(sizes_of(shapes).values()), Fraction("0.02"))
    counts = profiles.erk_plus(shapes, total, head="fc.weight")
    assert counts["fc.weight"] == 5120
    body = {name: shape for name, shape in shapes.items() if name != "fc.weight"}
    assert {name: counts[name] for name in body} == profiles.erk(body, total - 5120)


@pytest.mark.parametrize("total", [1, 5120])
def test_erk_plus_refuses_a_head_that_uses_the_density_up(total: int) -> None:
    with pytest.raises(UsageError, match=r"fc\.weight alone take 5,120 weights of .*--method erk"):
        profiles.erk_plus(net_shapes("resnet18"), total, head="fc.weight")


# --- balanced ---------------------------------------------------------------------------------------------------


@given(random_shapes, st.fractions(Fraction(1, 100), 1))
@settings(deadline=None)
def test_balanced_deals_weights_out_one_by_one(shapes, density) -> None:
    """Brute force: one weight to every layer with room, again and again."""
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), density)
    dealt = dict.fromkeys(sizes, 0)
    while sum(dealt.values()) < total:
        for name in sizes:
            if dealt[name] < sizes[name] and sum(dealt.values()) < total:
                dealt[name] += 1
    assert profiles.balanced(shapes, total) == dealt


@given(random_shapes, st.fractions(Fraction(1, 100), 1))
@settings(deadline=None)
def test_the_raw_balanced_rule_loses_what_small_layers_cannot_hold(shapes, density) -> None:
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), density)
    counts = profiles.balanced_raw(shapes, total)
    meant = [min(total / len(sizes), size) for size in sizes.values()]
    assert sum(counts.values()) == pytest.approx(sum(meant), abs=1)
    assert sum(counts.values()) <= total
    assert all(abs(kept - want) <= 1 for kept, want in zip(counts.values(), meant, strict=True))


# --- pyramidal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet-300-100", "resnet20s", "resnet18", "resnet50"])
@pytest.mark.parametrize("density", ["0.5", "0.1", "0.01", "0.001"])
def test_the_pyramids_ratio_is_the_root_numpy_finds(name: str, density: str) -> None:
    shapes = net_shapes(name)
    sizes = list(sizes_of(shapes).values())
    total = half_up(sum(sizes), Fraction(density))
    roots = np.roots([*sizes[::-1], -total])
    [root] = [r.real for r in roots if abs(r.imag) < 1e-9 and 0 < r.real < 1]
    counts, ratio = profiles.pyramidal(shapes, total)
    assert float(ratio) == pytest.approx(root, rel=1e-9)
    for place, (kept, size) in enumerate(zip(counts.values(), sizes, strict=True), 1):
        assert abs(kept - size * root**place) < 1 + 1e-6 * size


@given(random_shapes, st.fractions(Fraction(1, 100), 1))
@settings(deadline=None)
def test_the_pyramids_densities_fall_from_layer_to_layer(shapes, density) -> None:
    sizes = sizes_of(shapes)
    total = half_up(sum(sizes.values()), density)
    assume(total)
    _, ratio = profiles.pyramidal(shapes, total)
    assert 0 < ratio <= 1
    spent = sum(size * float(ratio) ** place for place, size in enumerate(sizes.values(), 1))
    assert spent == pytest.approx(total, rel=1e-9)


# --- another ticket's densities ---------------------------------------------------------------------------------


@given(random_shapes, st.data())
@settings(deadline=None)
def test_another_tickets_counts_are_kept_or_scaled_in_proportion(shapes, data) -> None:
    sizes = sizes_of(shapes)
    kept = {name: data.draw(st.integers(0, size)) for name, size in sizes.items()}
    assume(any(kept.values()))
    assert profiles.like(kept, shapes, sum(kept.values())) == kept
    less = data.draw(st.integers(1, sum(kept.values())))
    for name, count in profiles.like(kept, shapes, less).items():
        assert abs(count - kept[name] * less / sum(kept.values())) < 1


def test_layers_that_a_ticket_empties_stay_empty_and_bound_the_density() -> None:
    shapes = {"a": torch.Size([10, 10]), "b": torch.Size([5, 4]), "c": torch.Size([50])}
    kept = {"a": 10, "b": 10, "c": 0}
    assert profiles.like(kept, shapes, 60) == {"a": 40, "b": 20, "c": 0}
    with pytest.raises(UsageError, match="have 120 weights; 121 cannot be kept"):
        profiles.like(kept, shapes, 121)


def test_apportioning_gives_the_largest_remainders_their_weight_first() -> None:
    quotas = {"a": Fraction(7, 5), "b": Fraction(9, 5), "c": Fraction(9, 5)}
    assert apportion(quotas, dict.fromkeys(quotas, 9), 5) == {"a": 1, "b": 2, "c": 2}
    assert apportion(quotas, dict.fromkeys(quotas, 9), 4) == {"a": 1, "b": 2, "c": 1}
    assert apportion(quotas, {"a": 9, "b": 1, "c": 9}, 5) == {"a": 2, "b": 1, "c": 2}
