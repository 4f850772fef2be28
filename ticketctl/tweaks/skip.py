"""Extra skip connections: the input of each 3x3 unit is added to its output before the activation.

With S the branch of a unit, a BasicBlock computes h = act(BN1(conv1(x)) + S1(x)) and y = act(BN2(conv2(h)) + S2(h) +
shortcut(x)); its own shortcut stays. Paper 001 (Jaiswal et al. 2022, ToST), section 3.1 and figure 3, after RepVGG
(Ding et al. 2021). The paper speaks of BasicBlocks whose shapes agree and no further; the rest is ours: a Bottleneck
has one branch, around its 3x3 convolution; VGG one around every convolution-BatchNorm-activation; MobileNet one around
every depthwise convolution; a pre-activation block (WRN) adds what enters the BatchNorm to what leaves the convolution
behind it, h = conv1(act(BN1(x))) + S1(x) and y = conv2(act(BN2(h))) + S2(h) + shortcut(x). A ResNet's stem has none.
How other people's nets are read: `ticketctl/tweaks/_units.py`.

Kinds of S: `identity`, S(x) = x; `identity-bn`, a BatchNorm (RepVGG's); `proj`, a 1x1 convolution and BatchNorm on
every unit, in as many groups as the unit's own convolution has. The released code has `proj` alone, its weights filled
with 1e-4 (`proj_init=const:1e-4`), which the BatchNorm divides away: all channels of a branch start the same. It does
not count these weights; on ResNet-18 they are 1,220,608 (and 7,680 in BatchNorms), beside 11,159,232 prunable ones.
Here they count, under the names `tweak.skip.<unit>.…`, dots in the unit's name written as `_`; no mask prunes them.

Where a unit changes the shape (stride, or channels), an identity has by `mismatch` no branch; or the average over each
window of the stride, with zero channels on both sides (channels cut off where there are fewer), which has no weights,
and a BatchNorm before it if there is one; or `proj`. `fade` makes ghost skips: each branch is multiplied by a number
that falls from 1 to 0 in a straight line over that share of the training and stays 0; the net then computes the plain
net's numbers, equal to the bit. The schedule is ours. `alpha` multiplies each branch for good (the released code's
argument, left at 1); at 0 the net is the plain one.

What an identity does to the scale: h is about x, and y about h + x, so a block whose shortcut is an identity passes on
twice what it was given, until a shortcut with a BatchNorm sets it back. That is 4 times in the first stage of ResNet-18
and twice in the others; in ResNet-20s, whose shortcuts pad, 2^7. Logits and the gradients of the first layers grow
alike, and a rate that suits the plain net can be far too high: such nets want `train.warmup`, a lower rate, `alpha =
0.1` or `identity-bn` (docs/results.md has the figures, and those of a net written apart from this one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ticketctl.errors import UsageError
from ticketctl.nets.initialise import initialise_
from ticketctl.nets.strided import sound_
from ticketctl.recipe import Rational
from ticketctl.seeds import Seeds
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit
from ticketctl.tweaks._fade import Fading, added, check_fade, share_of, whole
from ticketctl.tweaks._units import Unit, units_of

FACTS = {
    "changes": "net",
    "paper": "Jaiswal et al. 2022 (001), section 3.1; ghost skips: its abstract",
    "cost": "a step 1.06 times; identity-bn 1.15, proj 1.4 (ResNet-18 a quarter wide, one CPU thread)",
    "weights": "none; identity-bn 2 per channel; proj 1,220,608 and 7,680 in BatchNorms on ResNet-18",
}

RECORD = ("units",)
"""Of the net: its 3x3 units, those of them whose shapes agree, and those with a branch."""
ZERO = {"alpha": 0.0}


@dataclass(frozen=True)
class Params:
    """Keys of `[tweaks.skip]`."""

    kind: Literal["identity", "identity-bn", "proj"] = "identity"
    """The branch: the input itself, its BatchNorm, or a 1x1 convolution and BatchNorm (the released code)."""
    mismatch: Literal["none", "pad", "proj"] = "none"
    """What an identity does where shapes differ: no branch, average pooling and zero channels, or a projection."""
    gamma0: float = 1.0
    """Scale that the BatchNorms of identity-bn start with."""
    proj_init: str = "kaiming"
    """Weights of the 1x1 convolutions: kaiming (normal, fan in) or a number, as const:1e-4 (the released code)."""
    alpha: float = 1.0
    """Factor on every branch; 0: no branches."""
    fade: Rational = Fraction(0)
    """Share of the training over which the branches fade to nothing (ghost skips); 0: they stay."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    """The branches of the net that is spent.

    Raises:
        UsageError: a key out of its range, or one that the chosen kind does not read.
    """
    del kit
    _check(params)
    return _Ghost(params) if params.fade and params.alpha else _Skip(params)


class _Skip(Hooks):
    def __init__(self, params: Params) -> None:
        self.params = params
        self.counts = torch.zeros(3, dtype=torch.int64)

    def identity(self) -> dict[str, Any]:
        return {"tweak": "skip", **asdict(self.params), "fade": str(self.params.fade)}

    def model(self, net: nn.Module, seeds: Seeds) -> None:
        """Raises UsageError for a net without a 3x3 unit."""
        units = units_of(net)
        branched = [unit for unit in units if self.params.alpha and _has_branch(unit, self.params)]
        self.counts = torch.tensor([len(units), sum(unit.matched for unit in units), len(branched)])
        if self.params.alpha:
            _attach(net, branched, self.params, seeds)

    def state(self) -> dict[str, Tensor]:
        return {"units": self.counts}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing: the counts are the net's."""


class _Ghost(Fading, _Skip):
    place = "tweak.skip"

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.fade = params.fade


def _check(params: Params) -> None:
    check_fade("skip", params.fade)
    projects = "proj" in (params.kind, params.mismatch)
    constant = _constant(params.proj_init)
    wrong = (
        ("alpha", "a finite number", not math.isfinite(params.alpha)),
        ("gamma0", "a finite number", not math.isfinite(params.gamma0)),
        ("gamma0", "1 unless kind is identity-bn", params.kind != "identity-bn" and params.gamma0 != 1),
        ("proj_init", "kaiming or const:1e-4", constant is None and params.proj_init != "kaiming"),
        ("proj_init", "kaiming where nothing is projected", constant is not None and not projects),
        ("mismatch", "none where kind projects all", params.kind == "proj" and params.mismatch != "none"),
    )
    for key, right, found in wrong:
        if found:
            raise UsageError(f"tweaks.skip.{key}: must be {right}, not {getattr(params, key)!r}")


def _constant(text: str) -> float | None:
    """The number of `const:<number>`; None where there is none."""
    word, _, number = text.partition(":")
    try:
        value = float(number)
    except ValueError:
        return None
    return value if word == "const" and math.isfinite(value) else None


def _has_branch(unit: Unit, params: Params) -> bool:
    return unit.matched or params.kind == "proj" or params.mismatch != "none"


# ---------------------------------------------------------------------------------------------------- the branches


class _Branches(nn.ModuleDict):
    """All branches of a net, by unit, and what is left of them where they fade."""

    left: Tensor | None

    def __init__(self, alpha: float, ghost: bool) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("left", whole() if ghost else None)

    def scaled(self, value: Tensor) -> Tensor:
        """`value` as it is added now."""
        if self.alpha != 1:
            value = self.alpha * value
        return value if self.left is None else share_of(self.left) * value


class _Branch(nn.Module):
    """A branch, and the hooks that put it around its unit.

    The hooks are methods of a module of the net and know no other one: in a copy of the net they are the copy's.
    """

    def __init__(self, unit: Unit, params: Params, branches: _Branches) -> None:
        super().__init__()
        self.within = (branches,)  # in a tuple, or its tensors would have a second name
        self.held: Tensor | None = None
        conv = unit.conv
        if params.kind == "proj" or (params.mismatch == "proj" and not unit.matched):
            self.conv, self.norm = _projection(conv), nn.BatchNorm2d(conv.out_channels)
            return
        if params.kind == "identity-bn":
            self.norm = nn.BatchNorm2d(conv.in_channels)
        if not unit.matched:
            self.resize = _Resize(conv)

    def forward(self, x: Tensor) -> Tensor:
        """From the shape of the unit's input to that of its output."""
        for part in self.children():
            x = part(x)
        return self.within[0].scaled(x)

    def before(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Where the unit begins."""
        self.held = self(inputs[0])

    def behind(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Where the unit ends."""
        value, self.held = self.held, None
        if value is None or value.shape != output.shape:
            raise UsageError("tweak skip: this net runs its layers in another order than it names them in")
        return output + value.to(output.dtype)


class _Resize(nn.Module):
    """Average of each window of the stride, zero channels on both sides (or as many cut off)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.stride = conv.stride
        more = conv.out_channels - conv.in_channels
        self.padding = (0, 0, 0, 0, more // 2, more - more // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        if self.stride != (1, 1):
            x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True)
        return F.pad(x, self.padding)


def _projection(conv: nn.Conv2d) -> nn.Conv2d:
    """1x1, from the shape of what enters `conv` to that of what leaves it; its values are not set.

    Its constructor would draw them from the global random state, which is nobody's.
    """
    sizes = (conv.in_channels, conv.out_channels, 1)
    made = nn.utils.skip_init(nn.Conv2d, *sizes, stride=conv.stride, groups=conv.groups, bias=False)
    assert isinstance(made, nn.Conv2d)
    return sound_(made)


def _attach(net: nn.Module, units: list[Unit], params: Params, seeds: Seeds) -> None:
    branches = _Branches(params.alpha, ghost=bool(params.fade))
    for unit in units:
        branch = branches[_name(unit, branches)] = _Branch(unit, params, branches)
        unit.first.register_forward_pre_hook(branch.before)
        unit.last.register_forward_hook(branch.behind)
    _fill(branches, params, seeds)
    added(net).skip = branches.to(next(net.parameters()).device)


def _name(unit: Unit, branches: _Branches) -> str:
    """Of the unit's branch."""
    name = unit.name.replace(".", "_")
    while hasattr(branches, name):  # another unit's, or a word that means something to torch
        name += "_"
    return name


@torch.no_grad()
def _fill(branches: _Branches, params: Params, seeds: Seeds) -> None:
    """Initial values; every tensor has the stream of its full name."""
    net = nn.Module()
    net.tweak = nn.Module()
    net.tweak.skip = branches
    initialise_(net, "kaiming-normal", seeds)
    constant = _constant(params.proj_init)
    for branch in branches.values():
        parts = dict(branch.named_children())
        if "conv" in parts and constant is not None:
            parts["conv"].get_parameter("weight").fill_(constant)
        if "conv" not in parts and "norm" in parts:
            parts["norm"].get_parameter("weight").fill_(params.gamma0)
