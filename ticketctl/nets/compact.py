"""Compaction: the same net with fewer channels, for inference. Its logits are those of the net it was made of.

Channels that nobody needs (`ticketctl.masks.compact`) leave every layer and norm they run through; what a channel that
is always one number added to a layer goes into that layer's bias. A Linear layer whose inputs must stay (pixels, a
residual stream) picks those that it reads, where that spares it an eighth or more. Found by watching the net run
(`ticketctl.nets.compact_watch`), so tweaks and other people's nets are compacted as far as they are understood. Sums
are taken over fewer zeros, so float32 logits differ by rounding: `compact` measures it and refuses more than `WITHIN`.

It pays where channels are dead, which unstructured masks bring about late; how much is for measuring
(`ticketctl audit --metrics cost`). A channel without incoming weights still trains, so this is nothing to train with.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ticketctl.errors import UsageError
from ticketctl.masks.compact import Link, needed
from ticketctl.nets.compact_flow import Flow, Use, taken_over
from ticketctl.nets.compact_watch import flow_of

WITHIN = 1e-5
"""The largest difference of logits, times the largest logit where that is above 1."""
WORTH = 1 / 8
"""The share of a Linear layer's inputs from which on it picks those it reads."""
TRIALS = 8
"""Random images that both nets must agree on."""


@dataclass(frozen=True)
class Cut:
    """What is left of one layer or norm: places in the tensors of the net it was made of, int64, rising."""

    rows: Tensor
    columns: Tensor | None
    """Of its inputs; None: a norm, or a depthwise convolution."""
    picks: bool
    """Whether it is given all inputs and picks these."""


@dataclass(frozen=True)
class Compacted:
    """A net and what it was made by."""

    net: nn.Module
    """A smaller copy in evaluation mode; nothing of it is shared with the original."""
    cuts: Mapping[str, Cut]
    """By the path of each module that lost something."""


class Picking(nn.Linear):
    """A Linear layer that reads some of its inputs: `picked`, int64."""

    picked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """[N, all inputs] to [N, outputs]."""
        return F.linear(x.index_select(1, self.picked), self.weight, self.bias)


@torch.no_grad()
def compact(net: nn.Module, shape: tuple[int, int, int]) -> Compacted:
    """The smaller net that answers alike; `net` stays as it is.

    Weights are taken as they are: pruned ones must be 0. A net of which nothing can go comes back as a copy.

    Args:
        net: trained, on any device, in float32 or float64.
        shape: channels, height and width of an image.

    Raises:
        UsageError: the copy cannot run, or says something else; this net writes down how many channels it has.
    """
    smaller = copy.deepcopy(net).eval()
    flow = flow_of(smaller, shape)
    cuts = {}
    links = {path: _link(flow, use, smaller.get_submodule(path)) for path, use in flow.uses.items()}
    fixed = frozenset(group for group in flow.groups() if flow.is_fixed(group))
    stay = needed(flow.groups(), fixed, [link for path, link in links.items() if not flow.uses[path].single])
    for path, use in flow.uses.items():
        module = smaller.get_submodule(path)
        cut = _cut(flow, use, module, links[path], stay)
        if cut is not None:
            if cut.columns is not None and not cut.picks:
                _take_over_(module, use, ~stay[flow.root(use.reads)])
            shrink_(module, cut)
            cuts[path] = cut
    _compare(net, smaller, shape)
    return Compacted(smaller, cuts)


@torch.no_grad()
def shrink_(module: nn.Module, cut: Cut) -> None:
    """Take the rows and columns of `cut` alone out of a layer's or norm's tensors.

    Raises:
        UsageError: a cut that does not fit the module.
    """
    try:
        if isinstance(module, _BatchNorm):
            _take_(module, ("weight", "bias", "running_mean", "running_var"), cut.rows)
            module.num_features = len(cut.rows)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            _take_(module, ("weight", "bias"), cut.rows)
            _shrink_layer_(module, cut)
        else:
            raise UsageError(f"a {type(module).__name__} has no channels to take")
    except IndexError as error:
        raise UsageError(f"not the channels of such a {type(module).__name__}: {error}") from None


def _shrink_layer_(module: nn.Conv2d | nn.Linear, cut: Cut) -> None:
    if cut.columns is not None:
        columns = cut.columns.to(module.weight.device)
        module.weight = _like(module.weight, module.weight[:, columns])
        if cut.picks:
            module.__class__ = Picking
            module.register_buffer("picked", columns)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
        return
    module.out_channels = len(cut.rows)
    if cut.columns is None:
        module.in_channels = module.groups = len(cut.rows)
    else:
        module.in_channels = module.weight.shape[1]


def _take_(module: nn.Module, names: tuple[str, ...], rows: Tensor) -> None:
    for name in names:
        held = getattr(module, name)
        if held is not None:
            taken = held[rows.to(held.device)]
            setattr(module, name, _like(held, taken) if isinstance(held, nn.Parameter) else taken)


def _like(old: Tensor, new: Tensor) -> nn.Parameter:
    """A parameter, in the memory layout of the old one."""
    if old.ndim == 4 and old.is_contiguous(memory_format=torch.channels_last):
        new = new.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(new.contiguous() if old.is_contiguous() else new, requires_grad=old.requires_grad)


def _link(flow: Flow, use: Use, module: nn.Module) -> Link:
    weight = module.get_parameter("weight") if isinstance(module, nn.Conv2d | nn.Linear) else torch.empty(0)
    known = ~use.value.isnan()
    has = torch.zeros(0, 0, dtype=torch.bool)
    if not use.single:
        has = (weight.reshape(len(weight), len(known), -1) != 0).any(2).cpu()
    return Link(flow.root(use.reads), flow.root(use.writes), has, known.cpu())


def _cut(flow: Flow, use: Use, module: nn.Module, link: Link, stay: Mapping[int, Tensor]) -> Cut | None:
    """None where nothing goes."""
    rows, reads = stay[link.writes], stay[link.reads]
    if use.single:
        return None if bool(rows.all()) else Cut(_places(rows), None, picks=False)
    asked = _wide(reads, use.repeat)
    picks = type(module) is nn.Linear and flow.is_fixed(link.reads)
    if picks:
        found = module.get_parameter("weight").ne(0).cpu()[rows].any(0)
        picks = int(found.sum()) <= (1 - WORTH) * len(found)
        asked = (found if bool(found.any()) else torch.arange(len(found)) == 0) if picks else asked
    return None if bool(rows.all() and asked.all()) else Cut(_places(rows), _places(asked), picks)


def _places(keep: Tensor) -> Tensor:
    return keep.nonzero().flatten()


def _wide(keep: Tensor, repeat: int) -> Tensor:
    return keep.repeat_interleave(repeat)


def _take_over_(module: nn.Module, use: Use, gone: Tensor) -> None:
    """Give the bias what the channels that go have always added."""
    assert isinstance(module, nn.Conv2d | nn.Linear)
    weight = module.weight
    inputs = gone.to(weight.device) & ~use.value.isnan()
    amount = taken_over(weight.reshape(len(weight), len(gone), -1), use.value, inputs)
    if module.bias is not None:
        module.bias.add_(amount)
    elif bool((amount != 0).any()):
        module.bias = nn.Parameter(amount, requires_grad=weight.requires_grad)


def _compare(net: nn.Module, smaller: nn.Module, shape: tuple[int, int, int]) -> None:
    first = next(net.parameters())
    images = torch.randn(TRIALS, *shape, generator=torch.Generator().manual_seed(0)).to(first)
    mode = net.training
    try:
        was = net.eval()(images)
        now = smaller(images)
    except RuntimeError as error:
        line = next(iter(str(error).splitlines()), "")
        raise UsageError(
            f"this net does not run with fewer channels, and is not compacted: {line}"
        ) from error
    finally:
        net.train(mode)
    worst = difference(was, now)
    if not worst <= WITHIN:
        raise UsageError(f"this net says something else with fewer channels (by {worst:.1e}): not compacted")


@torch.no_grad()
def difference(was: Tensor, now: Tensor) -> float:
    """The largest difference of two tensors of logits, over the largest of the first where that is above 1.

    Logits that are no finite numbers must be the same in both, at the same places; else it is infinite.
    """
    if was.shape != now.shape:
        return math.inf
    sound = was.isfinite() & now.isfinite()
    if not bool((sound | torch.isclose(was, now, rtol=0, atol=0, equal_nan=True)).all()):
        return math.inf
    ours, theirs = was[sound], now[sound]
    return float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1)) if len(ours) else 0.0
