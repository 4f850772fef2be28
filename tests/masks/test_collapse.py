"""The path tracer against a graph of single units, walked edge by edge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ticketctl.errors import ArtifactError
from ticketctl.masks.collapse import collapse
from ticketctl.masks.mask import Mask
from ticketctl.masks.spread import random_masks
from ticketctl.nets.build import build
from ticketctl.nets.describe import shapes
from ticketctl.nets.wrn import PreActivation
from ticketctl.seeds import Seeds

Edge = tuple[Hashable, Hashable, tuple | None]  # from unit, to unit, the weight it needs (None: a shortcut)


def weights_on_paths(edges: Iterable[Edge], inputs: Iterable[Hashable], logits: set[Hashable]) -> set[tuple]:
    """Every path from an input to a logit, one by one; the weights they use."""
    out = defaultdict(list)
    for source, goal, weight in edges:
        out[source].append((goal, weight))
    found: set[tuple] = set()

    def walk(unit: Hashable, used: tuple) -> None:
        if unit in logits:
            found.update(used)
        for goal, weight in out[unit]:
            walk(goal, (*used, weight) if weight else used)

    for unit in inputs:
        walk(unit, ())
    return found


def linear_edges(name: str, keep: torch.Tensor, source: str, goal: str) -> Iterator[Edge]:
    for o, i in keep.nonzero().tolist():
        yield (source, i), (goal, o), (name, o, i)


def conv_edges(name: str, keep: torch.Tensor, source: str, goal: str, size: int) -> Iterator[Edge]:
    """A convolution of stride 1 that keeps the size."""
    pad = keep.shape[-1] // 2
    for o, i, ky, kx in keep.nonzero().tolist():
        for y in range(size):
            for x in range(size):
                if 0 <= y + ky - pad < size and 0 <= x + kx - pad < size:
                    yield (source, i, y + ky - pad, x + kx - pad), (goal, o, y, x), (name, o, i, ky, kx)


def draw_mask(data: st.DataObject, sizes: dict[str, torch.Size], share: float) -> Mask:
    keep = {}
    for name, shape in sizes.items():
        values = data.draw(st.lists(st.floats(0, 1), min_size=shape.numel(), max_size=shape.numel()))
        keep[name] = (torch.tensor(values) < share).reshape(shape)
    return Mask(keep)


@pytest.mark.long
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Tanh])
@given(data=st.data(), share=st.sampled_from([0.1, 0.3, 0.6]))
@settings(max_examples=25, deadline=None)
def test_an_mlp_has_the_paths_of_its_graph(
    activation: type[nn.Module], data: st.DataObject, share: float
) -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 3), activation(), nn.Linear(3, 3), activation(), nn.Linear(3, 2)
    )
    mask = draw_mask(data, shapes(model, ["1.weight", "3.weight", "5.weight"]), share)
    edges = [
        *linear_edges("1.weight", mask.keep["1.weight"], "in", "a"),
        *linear_edges("3.weight", mask.keep["3.weight"], "a", "b"),
        *linear_edges("5.weight", mask.keep["5.weight"], "b", "logit"),
    ]
    used = weights_on_paths(edges, [("in", i) for i in range(4)], {("logit", o) for o in range(2)})
    found = collapse(model, mask, (1, 2, 2))
    assert found.effective == len(used)
    assert found.cut == (not used)
    for name, shape in mask.shapes().items():
        assert found.dead_channels[name] == shape[0] - len({w[1] for w in used if w[0] == name})


class Residual(nn.Module):
    """Stem, one residual block with BatchNorm, a mean over positions, a head that is not masked."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1, bias=False)
        self.conv1 = nn.Conv2d(2, 2, 3, padding=1, bias=True)
        self.bn = nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 2, 1, bias=False)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.conv2(torch.relu(self.bn(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


NAMES = ["stem.weight", "conv1.weight", "conv2.weight", "fc.weight"]


def residual_edges(keep: dict[str, torch.Tensor]) -> list[Edge]:
    places = [(c, y, x) for c in range(2) for y in range(2) for x in range(2)]
    return [
        *conv_edges("stem.weight", keep["stem.weight"], "in", "a", 2),
        *conv_edges("conv1.weight", keep["conv1.weight"], "a", "b", 2),
        *conv_edges("conv2.weight", keep["conv2.weight"], "b", "c", 2),
        *((("a", *place), ("c", *place), None) for place in places),
        *((("c", *place), ("d", place[0]), None) for place in places),
        *linear_edges("fc.weight", keep["fc.weight"], "d", "logit"),
    ]


@given(data=st.data(), share=st.sampled_from([0.15, 0.4, 0.8]))
@settings(max_examples=40, deadline=None)
def test_a_residual_net_has_the_paths_of_its_graph(data: st.DataObject, share: float) -> None:
    model = Residual()
    mask = draw_mask(data, shapes(model, NAMES), share)
    inputs = [("in", 0, y, x) for y in range(2) for x in range(2)]
    used = weights_on_paths(residual_edges(dict(mask.keep)), inputs, {("logit", 0), ("logit", 1)})
    found = collapse(model, mask, (1, 2, 2))
    assert (found.effective, found.cut) == (len(used), not used)
    assert found.effective <= mask.kept


def without(model: nn.Module, names: Iterable[str], *empty: str) -> Mask:
    return Mask(
        {n: torch.full(tuple(s), n not in empty, dtype=torch.bool) for n, s in shapes(model, names).items()}
    )


def test_an_empty_residual_branch_does_not_cut_and_its_partner_is_dead() -> None:
    model = Residual()
    mask = without(model, NAMES, "conv2.weight")
    found = collapse(model, mask, (1, 2, 2))
    assert found.empty_layers == ("conv2.weight",)
    assert not found.cut
    assert found.effective == 2 + 4  # stem and head; conv1 leads nowhere
    assert found.dead_channels == {"stem.weight": 0, "conv1.weight": 2, "conv2.weight": 2, "fc.weight": 0}


def test_an_empty_layer_of_a_chain_cuts() -> None:
    model = build("lenet-300-100", shape=(1, 4, 4), classes=3)
    found = collapse(
        model, without(model, ["fc1.weight", "fc2.weight", "fc3.weight"], "fc2.weight"), (1, 4, 4)
    )
    assert found.cut
    assert found.empty_layers == ("fc2.weight",)
    assert found.effective == 0
    assert found.dead_channels == {"fc1.weight": 300, "fc2.weight": 100, "fc3.weight": 3}


def test_a_layer_the_mask_does_not_name_counts_as_dense() -> None:
    model = Residual()
    found = collapse(model, without(model, NAMES[:3]), (1, 2, 2))
    assert (found.cut, found.effective) == (False, 2 + 36 + 4)


def test_a_weight_that_reads_only_padding_is_on_no_path() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(1, 1))
    mask = without(model, ["0.weight"])
    assert collapse(model, mask, (1, 1, 1)).effective == 1


def test_max_pooling_lets_every_input_through() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 1))
    # the weight of each corner must be seen: two layers, of which the second reads single positions
    corner = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Unflatten(1, (1, 2, 2)), *model[1:])
    mask = without(corner, ["1.weight"])
    assert collapse(corner, mask, (1, 2, 2)).effective == 16


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_a_dense_resnet_is_all_on_paths(stem: str) -> None:
    model = build("resnet18", shape=(3, 32, 32), classes=10, stem=stem)
    names = [name for name, shape in shapes(model).items() if len(shape) > 1]
    size = (3, 32, 32) if stem == "cifar" else (3, 64, 64)
    found = collapse(model, without(model, names), size)
    assert found.effective == sum(shapes(model)[name].numel() for name in names)
    assert set(found.dead_channels.values()) == {0}


@pytest.mark.parametrize("count", [300, 3_000, 30_000])
def test_effective_never_exceeds_kept_and_the_model_is_left_as_it_was(count: int) -> None:
    model = build("resnet20s", shape=(3, 8, 8), classes=10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = [name for name, shape in shapes(model).items() if len(shape) > 1]
    mask = random_masks(shapes(model, names), [count], Seeds(0))[0]
    found = collapse(model, mask, (3, 8, 8))
    assert found.effective <= mask.kept
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_it_works_without_gradients_switched_on_and_refuses_a_mask_that_does_not_fit() -> None:
    model = Residual()
    with torch.no_grad():
        assert collapse(model, without(model, NAMES), (1, 2, 2)).effective == 46
    with pytest.raises(ArtifactError, match="E_ARCH_MISMATCH"):
        collapse(model, Mask({"nowhere.weight": torch.ones(1, dtype=torch.bool)}), (1, 2, 2))


# ------------------------------------------------------------------------- depthwise, pre-activation, gates, others


def grouped_edges(
    name: str, keep: torch.Tensor, source: str, goal: str, size: int, groups: int
) -> Iterator[Edge]:
    """As `conv_edges`, where each group of outputs reads its own inputs alone."""
    each = keep.shape[0] // groups
    for (a, *unit), (b, o, *place), weight in conv_edges(name, keep, source, goal, size):
        channel, *rest = unit
        yield (a, o // each * keep.shape[1] + channel, *rest), (b, o, *place), weight


@given(data=st.data(), share=st.sampled_from([0.15, 0.4, 0.8]))
@settings(max_examples=40, deadline=None)
def test_a_depthwise_pair_has_the_paths_of_its_graph(data: st.DataObject, share: float) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 3, 3, padding=1, groups=3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    names = ["0.weight", "3.weight", "6.weight", "8.weight"]
    mask = draw_mask(data, shapes(model, names), share)
    flat = [
        (("c", c, y, x), ("d", 4 * c + 2 * y + x), None) for c in range(2) for y in range(2) for x in range(2)
    ]
    edges = [
        *conv_edges(names[0], mask.keep[names[0]], "in", "a", 2),
        *grouped_edges(names[1], mask.keep[names[1]], "a", "b", 2, 3),
        *conv_edges(names[2], mask.keep[names[2]], "b", "c", 2),
        *flat,
        *linear_edges(names[3], mask.keep[names[3]], "d", "logit"),
    ]
    used = weights_on_paths(edges, [("in", 0, y, x) for y in range(2) for x in range(2)], LOGITS)
    found = collapse(model, mask, (1, 2, 2))
    assert (found.effective, found.cut, found.unknown) == (len(used), not used, "")


LOGITS: set[Hashable] = {("logit", 0), ("logit", 1)}


@pytest.mark.long
@given(data=st.data(), share=st.sampled_from([0.2, 0.4, 0.8]))
@settings(max_examples=40, deadline=None)
def test_a_pre_activation_block_has_the_paths_of_its_graph(data: st.DataObject, share: float) -> None:
    """The first block's shortcut is a convolution, the second's nothing."""
    blocks = (PreActivation(1, 2, 1), PreActivation(2, 2, 1))
    model = nn.Sequential(
        *blocks, nn.ReLU(), nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    names = [
        "0.conv1.weight",
        "0.conv2.weight",
        "0.downsample.weight",
        "1.conv1.weight",
        "1.conv2.weight",
        "6.weight",
    ]
    sizes = shapes(model, names)
    keep = dict(draw_mask(data, sizes, share).keep)
    for name in ("0.conv1.weight", "1.conv1.weight"):
        keep[name][:, :, [0, 2], :] = False  # fewer paths to walk
    places = [(c, y, x) for c in range(2) for y in range(2) for x in range(2)]
    edges = [
        *conv_edges(names[0], keep[names[0]], "in", "a", 2),
        *conv_edges(names[1], keep[names[1]] & (torch.arange(9).reshape(3, 3) == 4), "a", "b", 2),
        *conv_edges(names[2], keep[names[2]], "in", "b", 2),
        *conv_edges(names[3], keep[names[3]], "b", "c", 2),
        *conv_edges(names[4], keep[names[4]] & (torch.arange(9).reshape(3, 3) == 4), "c", "d", 2),
        *((("b", *place), ("d", *place), None) for place in places),
        *((("d", *place), ("e", place[0]), None) for place in places),
        *linear_edges(names[5], keep[names[5]], "e", "logit"),
    ]
    for name in ("0.conv2.weight", "1.conv2.weight"):
        keep[name] &= torch.arange(9).reshape(3, 3) == 4
    used = weights_on_paths(edges, [("in", 0, y, x) for y in range(2) for x in range(2)], LOGITS)
    found = collapse(model, Mask(keep), (1, 2, 2))
    assert (found.effective, found.cut) == (len(used), not used)


class Gated(nn.Module):
    """Squeeze and excitation: what `fc` says multiplies each channel."""

    def __init__(self, by_module: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.squeeze = nn.Linear(2, 2)
        self.gate = nn.Sigmoid()
        self.fc = nn.Linear(2, 2)
        self.by_module = by_module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x.flatten(1)))
        z = self.squeeze(x)
        gate = self.gate(z) if self.by_module else torch.sigmoid(z).unsqueeze(-1).flatten(1)
        return self.fc(x * gate if self.by_module else gate * x)


@pytest.mark.parametrize("by_module", [True, False])
@given(data=st.data(), share=st.sampled_from([0.2, 0.4, 0.7]))
@settings(max_examples=25, deadline=None)
def test_a_gate_never_closes_and_its_weights_work_where_the_channel_does(
    by_module: bool, data: st.DataObject, share: float
) -> None:
    model = Gated(by_module)
    names = ["stem.weight", "squeeze.weight", "fc.weight"]
    mask = draw_mask(data, shapes(model, names), share)
    # the gate of channel i acts where the channel itself is alive: a path into it goes on as the channel's own
    stem = mask.keep["stem.weight"]
    alive = [i for i in range(2) if stem[i].any()]
    edges = [
        *linear_edges("stem.weight", stem, "in", "a"),
        *((("a", i), ("b", i), None) for i in range(2)),
        *((edge[0], ("b", edge[1][1]), edge[2]) for edge in
          linear_edges("squeeze.weight", mask.keep["squeeze.weight"], "a", "g") if edge[1][1] in alive),
        *linear_edges("fc.weight", mask.keep["fc.weight"], "b", "logit"),
    ]  # fmt: skip
    used = weights_on_paths(edges, [("in", 0), ("in", 1)], LOGITS)
    found = collapse(model, mask, (2, 1, 1))
    assert (found.effective, found.cut, found.unknown) == (len(used), not used, "")


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x.flatten(1)).reshape(-1, 1, 2, 2)
        return self.two(torch.nn.functional.max_pool2d(x, 2).flatten(1))


def test_max_pooling_by_function_lets_every_input_through() -> None:
    assert collapse(Pooled(), without(Pooled(), ["one.weight", "two.weight"]), (1, 2, 2)).effective == 17


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.fc = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.softmax(self.q(x.flatten(1)), -1))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.gamma = nn.Linear(2, 2), nn.Parameter(torch.full((2,), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gamma * self.q(x.flatten(1))


class Standardised(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight)


class Unseen(nn.Module):
    """Its second layer is used in a way no path is seen through."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.fc = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.q(x.flatten(1)) + self.fc(x.flatten(1)).detach()


@pytest.mark.parametrize(
    ("model", "names", "why"),
    [
        (Attending(), ["q.weight", "fc.weight"], "the operation softmax"),
        (Scaled(), ["q.weight"], "the parameters of the net, a Scaled"),
        (nn.Sequential(Standardised(2, 2, 1), nn.Flatten()), ["0.weight"], "the operation sub"),
        (
            nn.Sequential(nn.Flatten(), nn.MultiheadAttention(2, 1)),
            ["1.out_proj.weight"],
            "MultiheadAttention",
        ),
        (Unseen(), ["q.weight", "fc.weight"], "even in the dense net"),
    ],
)
def test_what_it_cannot_follow_is_not_judged_and_said(model: nn.Module, names: list[str], why: str) -> None:
    found = collapse(model, without(model, names, names[0]), (2, 1, 1))
    assert why in found.unknown
    assert (found.cut, found.effective, found.dead_channels) == (False, None, {})
    assert found.empty_layers == (names[0],)


@pytest.mark.parametrize("name", ["mobilenet", "wrn-22-2", "vgg11"])
def test_dense_nets_of_every_kind_are_all_on_paths(name: str) -> None:
    model = build(name, shape=(3, 32, 32), classes=10)
    names = [weight for weight, shape in shapes(model).items() if len(shape) > 1]
    found = collapse(model, without(model, names), (3, 32, 32))
    assert found.effective == sum(shapes(model)[weight].numel() for weight in names)
    assert not found.cut


def test_an_empty_depthwise_layer_cuts_a_mobilenet() -> None:
    model = build("mobilenet", shape=(3, 16, 16), classes=10)
    names = [weight for weight, shape in shapes(model).items() if len(shape) > 1]
    found = collapse(model, without(model, names, "layers.5.0.weight"), (3, 16, 16))
    assert (found.cut, found.effective) == (True, 0)
