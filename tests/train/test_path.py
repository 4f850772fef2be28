"""Nets between two nets against the plain loop: interpolate a state_dict, load it, run all images."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.metrics.specimens import random_images, specimen
from ticketctl.curves._site import scored as scored_at_site
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train import path as module
from ticketctl.train.feed import Images
from ticketctl.train.first_layer import between, first_layer
from ticketctl.train.path import Norms, Policy, Seen, together, walk
from ticketctl.train.recalibrate import recalibrate
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End

LAST = 4


class Mlp(nn.Module):
    """A first Linear layer, an activation that writes into what it is given, BatchNorm behind."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(48, 8)
        self.act = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm1d(8)
        self.fc2 = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.norm(self.act(self.fc1(x.flatten(1)))))
        return y


class Scaled(Mlp):
    """Its input goes through a buffer first, which is another in each net."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.scale)


class Twice(Mlp):
    """The images are read by one layer twice."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.fc2(self.fc1(x.flatten(1)))


class Masking(Mlp):
    """The first layer's weight is computed at each call."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.linear(x.flatten(1), self.fc1.weight.abs(), self.fc1.bias)
        y: Tensor = self.fc2(self.norm(self.act(hidden)))
        return y


class Writing(Mlp):
    """It writes into the images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(0.5))


def _named(name: str) -> nn.Module:
    shape, width = ((1, 28, 28), 1) if name == "lenet-300-100" else ((3, 32, 32), Fraction(1, 4))
    net = build(name, shape=shape, classes=10, width=Fraction(width))
    initialise_(net, "kaiming-normal", Seeds(0))
    return net


def _shaken(net: nn.Module, seed: int) -> State:
    """A net with other weights and statistics."""
    numbers = np.random.default_rng(seed)
    found = {}
    for name, value in State.of(net, 0).weights.items():
        if value.is_floating_point():
            noise = torch.from_numpy(
                np.asarray(numbers.normal(0, 0.05, tuple(value.shape)), dtype=np.float32)
            )
            value = value + (noise.abs() if name.endswith("var") else noise)
        else:
            value = value + seed
        found[name] = value
    return State(found, 0)


def _ends(net: nn.Module) -> tuple[End, End]:
    return End("0", _shaken(net, 3), None), End("1", _shaken(net, 8), None)


def _specimen(net: nn.Module, count: int = 40, shape: tuple[int, int, int] = (3, 4, 4)) -> Specimen:
    return specimen(net, *random_images(count, shape, 10), mean=(0.5,) * shape[0], std=(0.25,) * shape[0])


def _plain(seen: Specimen, ends: tuple[End, End], place: int, policy: Policy) -> Tensor:
    """Logits, by the plain loop in one batch."""
    net, first, second = copy.deepcopy(seen.model), ends[0].state.weights, ends[1].state.weights
    share = place / LAST
    state = {
        name: (1 - share) * value + share * second[name] if value.is_floating_point() else value
        for name, value in first.items()
    }
    weights = {name for name, _ in net.named_parameters()}
    net.load_state_dict({k: v if k in weights or policy != "stored" else first[k] for k, v in state.items()})
    images = seen.images["train"]
    if policy == "recalibrate":
        recalibrate(net, images)
    if policy == "batch":
        for norm in module.norms_of(net):
            norm.train()
    with torch.no_grad():
        return net(images.batch(0, len(images))[0])


def _logits(
    seen: Specimen, ends: tuple[End, End], policy: Policy, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> tuple[list[Tensor], Seen]:
    """What the nets at all places say, and what is made of it."""
    said: list[Tensor] = []
    scored = module.scored

    def note(logits: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
        said.append(logits)
        return scored(logits, labels)

    monkeypatch.setattr(module, "scored", note)
    images = seen.images["train"]
    norms = Norms(policy, images)
    found = walk(seen, ends, range(LAST + 1), LAST, sets={"train": images}, norms=norms, shared=shared)
    return said, found["train"]


def _agree(seen: Specimen, policy: Policy, monkeypatch: pytest.MonkeyPatch, *, shared: bool) -> None:
    ends = _ends(seen.model)
    said, found = _logits(seen, ends, policy, monkeypatch, shared)
    labels = seen.images["train"].labels
    assert len(said) == LAST + 1
    for place, logits in enumerate(said):
        truth = _plain(seen, ends, place, policy)
        torch.testing.assert_close(logits, truth, rtol=1e-5, atol=1e-5)
        assert found.right[place].tolist() == (truth.argmax(1) == labels).tolist()
        loss = nn.functional.cross_entropy(truth.double(), labels)
        assert found.loss[place] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("policy", get_args(Policy))
@pytest.mark.parametrize("kind", [Mlp, Scaled, Twice, Masking, Writing])
@pytest.mark.parametrize("shared", [True, False])
def test_nets_that_read_images_by_a_linear_layer_say_what_the_plain_loop_says(
    policy: Policy, kind: type[nn.Module], shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _agree(_specimen(kind()), policy, monkeypatch, shared=shared)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("lenet-300-100", "recalibrate"),
        ("resnet20", "recalibrate"),
        ("vgg11", "recalibrate"),
        ("mobilenet", "interpolate"),  # over 8 images its 27 norms make 3e-5 of the rounding
    ],
)
def test_nets_of_the_zoo_say_what_the_plain_loop_says(
    name: str, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = _named(name)
    shape = (1, 28, 28) if name == "lenet-300-100" else (3, 32, 32)
    seen = _specimen(net, 8, shape)
    assert (together(seen, 8, LAST + 1) > 1) == (name == "lenet-300-100")
    _agree(seen, policy, monkeypatch, shared=True)


def test_a_net_of_someone_elses_says_what_the_plain_loop_says(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = nn.Sequential(nn.GroupNorm(2, 8), nn.SiLU(), nn.Flatten(), nn.Linear(32, 10))
    _agree(_specimen(nn.Sequential(nn.Conv2d(3, 8, 3), inside)), "interpolate", monkeypatch, shared=True)


class _Products(TorchDispatchMode):
    """Counts products with all pixels."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket is torch.ops.aten.addmm and args[2].shape == (48, 8)
        return func(*args, **(kwargs or {}))


def _products(seen: Specimen, ends: tuple[End, End], shared: bool) -> int:
    images = seen.images["train"]
    with _Products() as found:
        walk(
            seen, ends, range(LAST + 1), LAST, sets={"a": images}, norms=Norms("interpolate", images),
            shared=shared,
        )  # fmt: skip
    return found.count


def test_places_share_two_products_with_the_images() -> None:
    seen = _specimen(Mlp())
    ends = _ends(seen.model)
    assert _products(seen, ends, True) == 2 + 1  # at the ends, and the look at two images
    assert _products(seen, ends, False) == LAST + 1


@pytest.mark.parametrize("kind", [Scaled, Twice, Masking, Writing])
def test_a_layer_that_may_not_be_shared_is_not(kind: type[nn.Module]) -> None:
    net, inputs = kind().eval(), torch.rand(2, 3, 4, 4)
    assert first_layer(net, inputs.clone()) is None
    found = first_layer(Mlp().eval(), inputs)
    assert found is not None
    assert (found.weight, found.bias, found.outputs, found.inputs) == ("fc1.weight", "fc1.bias", 8, 48)


def test_blocks_and_batches_do_not_change_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _specimen(Mlp(), 41)
    ends, norms = _ends(seen.model), Norms("interpolate", seen.images["train"])
    whole = walk(seen, ends, range(5), LAST, sets=seen.images, norms=norms, shared=True)
    monkeypatch.setattr(module, "BATCH", 10)
    monkeypatch.setattr(module, "HELD", 1)
    parts = walk(seen, ends, range(5), LAST, sets=seen.images, norms=norms, shared=True)
    for name, one in whole.items():
        assert (one.right == parts[name].right).all()
        assert one.loss == pytest.approx(parts[name].loss, rel=1e-6)


def test_between_is_the_line_in_float64_exact_at_the_ends_and_the_same_from_either_side() -> None:
    first, second = torch.linspace(-3, 5, 101) ** 3, torch.linspace(2, -7, 101)
    for last in (1, 2, 30):
        for place in range(last + 1):
            found = between(first, second, place, last)
            truth = first.double() + place / last * (second.double() - first.double())
            torch.testing.assert_close(found.double(), truth, rtol=1e-6, atol=1e-6)
            assert torch.equal(found, between(second, first, last - place, last))
            assert torch.equal(found, between(first, second, place, last, second - first))
            assert torch.equal(between(first, first, place, last), first)
    assert torch.equal(between(first, second, 0, 7), first)
    assert torch.equal(between(first, second, 7, 7), second)


def test_integer_buffers_are_an_ends_own_and_weights_that_both_lack_stay_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, states = Mlp(), []
    keep = torch.arange(384).view(8, 48)
    masks = [Mask({"fc1.weight": keep % number == 0}) for number in (4, 6)]
    ends = tuple(End(e.name, e.state, mask) for e, mask in zip(_ends(net), masks, strict=True))
    net.register_forward_hook(
        lambda *_: states.append({name: value.clone() for name, value in net.state_dict().items()})
    )
    seen = _specimen(net)
    walk(seen, ends, [0, 1, 3, 4], LAST, sets=seen.images, norms=Norms("interpolate", seen.images["train"]))
    union = masks[0].keep["fc1.weight"] | masks[1].keep["fc1.weight"]
    assert {int(state["norm.num_batches_tracked"]) for state in states} == {3, 8}
    assert all(bool((state["fc1.weight"][~union] == 0).all()) for state in states)
    counts = {int(state["fc1.weight"].count_nonzero()) for state in states}
    assert counts == {masks[0].kept, masks[1].kept, int(union.sum())}


@pytest.mark.parametrize("policy", get_args(Policy))
@pytest.mark.parametrize("stop", [None, 3])
def test_the_net_is_left_as_it_was_also_by_a_stop(policy: Policy, stop: int | None) -> None:
    asked: list[int] = []

    def poll() -> None:
        asked.append(1)
        if stop and len(asked) == stop:
            raise StoppedError("stopped", 75)

    net = Mlp()
    net.act.train()
    seen = _specimen(net)
    seen = Specimen(seen.model, None, seen.images, 10, seen.scaling, poll=poll)
    net.act.train()
    before, modes = State.of(net, 0).weights, [m.training for m in net.modules()]
    places = [value.data_ptr() for value in net.state_dict().values()]
    norms = Norms(policy, seen.images["train"])
    try:
        walk(seen, _ends(net), range(5), LAST, sets=seen.images, norms=norms, shared=True)
        assert stop is None
    except StoppedError:
        assert stop
    assert [m.training for m in net.modules()] == modes
    assert [value.data_ptr() for value in net.state_dict().values()] == places
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert net.norm.track_running_stats
    assert all(parameter.grad is None for parameter in net.parameters())


def test_ends_of_another_architecture_are_refused_by_the_name_of_a_tensor() -> None:
    seen = _specimen(Mlp())
    good, bad = _ends(Scaled())
    norms = Norms("interpolate", seen.images["train"])
    cut = dict(bad.state.weights) | {"fc2.bias": torch.zeros(3)}
    with pytest.raises(UsageError, match=r"net 1: 'fc2\.bias' is \(3,\), not \(10,\)"):
        walk(seen, (good, End("1", State(cut), None)), [0], 1, sets=seen.images, norms=norms)
    del cut["fc2.bias"]
    with pytest.raises(UsageError, match=r"'fc2\.bias' is missing"):
        walk(seen, (good, End("1", State(cut), None)), [0], 1, sets=seen.images, norms=norms)


def test_answers_that_are_no_numbers_are_wrong_and_their_loss_is_kept() -> None:
    seen = _specimen(Mlp())
    good, other = _ends(seen.model)
    broken = dict(other.state.weights) | {"fc2.bias": torch.full((10,), torch.nan)}
    norms = Norms("interpolate", seen.images["train"])
    for shared in (False, True):
        found = walk(
            seen, (good, End("1", State(broken), None)), [0, 1, 4], LAST, sets=seen.images, norms=norms,
            shared=shared,
        )["train"]  # fmt: skip
        assert np.isfinite(found.loss).tolist() == [True, False, False]
        assert not found.right[1:].any()


def test_an_infinite_logit_is_wrong_as_a_missing_one_is() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[2.0, 1], [torch.inf, 1], [2, -torch.inf], [2, torch.nan]])
    assert module.scored(logits, labels)[0].tolist() == [True, False, False, False]
    assert scored_at_site(logits, labels)[1].tolist() == [True, False, False, False]


@pytest.mark.parametrize("shared", [False, True])
def test_no_more_logits_are_held_than_those_of_a_batch(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, sizes, plain = _specimen(Mlp(), 2100), [], module.scored
    ends, norms = _ends(seen.model), Norms("interpolate", seen.images["train"])
    whole = walk(seen, ends, [0, 2], LAST, sets=seen.images, norms=norms, shared=shared)["train"]
    monkeypatch.setattr(
        module, "scored", lambda logits, labels: sizes.append(len(logits)) or plain(logits, labels)
    )
    found = walk(seen, ends, [0, 2], LAST, sets={"train": seen.images["train"]}, norms=norms, shared=shared)
    assert max(sizes) <= 501
    assert sum(sizes) == 2 * 2100
    assert (found["train"].right == whole.right).all()
    for place, loss in zip((0, 2), whole.loss, strict=True):
        truth = _plain(seen, ends, place, "interpolate")
        labels = seen.images["train"].labels
        assert loss == pytest.approx(float(nn.functional.cross_entropy(truth.double(), labels)), rel=1e-6)


def test_a_set_without_images_is_refused_in_words() -> None:
    seen = _specimen(Mlp())
    empty = seen.images["train"].pick(np.arange(0))
    with pytest.raises(UsageError, match="there are no val images"):
        walk(
            seen, _ends(seen.model), [0], LAST, sets={"train": seen.images["train"], "val": empty},
            norms=Norms("interpolate", seen.images["train"]),
        )  # fmt: skip
    assert module.cut(0, 50) == []


@pytest.mark.gpu
@pytest.mark.parametrize("policy", get_args(Policy))
@pytest.mark.parametrize("kind", [Mlp, Twice])
def test_a_gpu_says_the_same(policy: Policy, kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    here = _specimen(kind())
    there = _moved(here)
    ends = _ends(here.model)
    one, two = (_logits(seen, ends, policy, monkeypatch, True) for seen in (here, there))
    for ours, theirs in zip(one[0][: LAST + 1], two[0], strict=True):
        torch.testing.assert_close(ours, theirs.cpu(), rtol=1e-4, atol=1e-4)
    assert two[1].loss == pytest.approx(one[1].loss, rel=1e-4)


def _moved(seen: Specimen) -> Specimen:
    device = torch.device("cuda")
    scaling = type(seen.scaling)(seen.scaling.scale.to(device), seen.scaling.offset.to(device))
    images = copy.copy(seen.images["train"])
    images.labels, images.pixels, images.scaling = images.labels.to(device), images.pixels.to(device), scaling
    found: dict[str, Images] = dict.fromkeys(seen.images, images)
    return Specimen(copy.deepcopy(seen.model).to(device), None, found, seen.classes, scaling)
