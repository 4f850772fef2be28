"""PAC-Bayes flatness: the largest relative noise on the weights that the training loss bears.

`pac-bayes.weight` is the largest sigma with E CE(theta + sigma |theta| * eps) <= 1.1 CE(theta), eps standard normal on
the kernels of convolutions, over unaugmented training images (Jiang et al. 2020, the magnitude-aware form; the released
code of paper 004). `pac-bayes.input` is the same with sigma * eps added to the pixels, clipped to [0, 1]. A flat
minimum bears more: higher is better.

Choices: noise on convolutions alone is the released code's; in a net without any it lies on all Linear weights. Pruned
weights are 0 and so stay 0. Sigma is looked for by halving [0, 5] (pixels: [0, 2]) until the bracket is as narrow as
`tolerance`, and its lower end is the value; the loss is taken to rise with the noise. Every sigma is tried with the
same draws, so the loss is a smooth function of it; the released code draws anew each time. A sigma is given up as
soon as its draws so far add up to more than all may. The loss is a float64 mean; where it comes out as no number, the
noise is too much. A net of loss exactly 0 bears the noise that leaves it at 0. A value at the end of the range says
"at least". BatchNorm uses its stored statistics.

The error is that of the draws, carried over to sigma by the slope of the loss; the choice of the images is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ticketctl.errors import UsageError
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.normal import normal
from ticketctl.train.predict import batch_on
from ticketctl.train.specimen import Specimen

FACTS = {
    "data": "train",
    "cost": "about 0.7 passes over the images per draw and halving, of which there are 15 x 13 and 3 x 11",
}
NEEDS = ("net", "train")
ASKED = True
BETTER = {"pac-bayes": "higher"}

MOST = {"weight": 5.0, "input": 2.0}
"""Upper ends of the searches."""
KEPT = 1 << 27
"""Normal numbers that are kept between tries; those beyond are drawn again."""
TRIED = 0.7
"""Share of the draws of a try that are run, since a hopeless sigma is given up."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.pac-bayes]`."""

    images: int = 2000
    """Training images, picked by the seed; 0: all (the released code)."""
    draws: int = 15
    """Draws of noise on the weights."""
    input_draws: int = 3
    """Draws of noise on the pixels."""
    factor: float = 1.1
    """How many times its own loss the net may have."""
    tolerance: float = 1e-3
    """Width of the bracket at which the search ends."""

    def __post_init__(self) -> None:
        _check(self)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images, about."""
    of = {kind: _halvings(most, params.tolerance) + 2 for kind, most in MOST.items()}
    tries = params.draws * of["weight"] + params.input_draws * of["input"]
    return min(params.images or sizes["train"], sizes["train"]) * (1 + TRIED * tries)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`pac-bayes.weight` in [0, 5] and `pac-bayes.input` in [0, 2]; what was tried, and each draw's loss at the value.

    Raises:
        UsageError: a key out of its range.
        Absent: no layer to put noise on, or a loss that is not finite.
    """
    net = exam.specimen
    shown = torch.from_numpy(net.drawn("train", params.images, exam.seeds, "perturb")).to(net.device)
    kind, weights = _weights(net.model)
    clean = _loss(net, shown, _as_they_are, math.inf)
    if not math.isfinite(clean):
        raise Absent(f"the loss of the net itself is {clean}")
    searches: dict[str, tuple[Loss, int]] = {
        "weight": (_OnWeights(net, shown, exam.seeds, weights).loss, params.draws),
        "input": (_OnPixels(net, shown, exam.seeds).loss, params.input_draws),
    }
    values, bounds, arrays = {}, dict[str, str](), {"loss.clean": np.array([clean])}
    for name, (loss, draws) in searches.items():
        found = largest(loss, params.factor * clean, draws, MOST[name], params.tolerance)
        values[f"pac-bayes.{name}"] = Value(found.sigma, found.error, draws)
        bounds |= {f"pac-bayes.{name}": found.bound} if found.bound else {}
        arrays |= {
            f"{name}.tried": np.array(found.tried),
            f"{name}.losses": np.array(found.losses or draws * [clean]),
        }
    protocol = {
        "noise": {"weight": f"sigma |theta| eps on the weights of {kind}", "input": "sigma eps, clipped to [0, 1]"},
        "range": {name: [0.0, most] for name, most in MOST.items()},
        "images": len(shown), "draws": "the same at every sigma", "batchnorm": "stored", "bounds": bounds,
    }  # fmt: skip
    return Measurement(values, protocol, arrays)


def _check(params: Params) -> None:
    for key, least, right in (
        ("images", 0, "0 (all) or more"),
        ("draws", 1, "at least 1; the released code has 15"),
        ("input_draws", 1, "at least 1; 3 is the default"),
    ):
        if getattr(params, key) < least:
            raise UsageError(f"metrics.pac-bayes.{key} = {getattr(params, key)} must be {right}")
    if not 1 < params.factor < math.inf:
        raise UsageError(
            f"metrics.pac-bayes.factor = {params.factor} must be above 1; the paper's code has 1.1"
        )
    if not 1e-6 <= params.tolerance <= 1:
        raise UsageError(f"metrics.pac-bayes.tolerance = {params.tolerance} must be from 1e-6 to 1")


def _halvings(most: float, tolerance: float) -> int:
    return max(1, math.ceil(math.log2(most / tolerance)))


# ------------------------------------------------------------------------------------------------------- the search


@dataclass(frozen=True)
class Largest:
    """The end of a search."""

    sigma: float
    error: float | None
    tried: Sequence[float]
    losses: Sequence[float]
    """Of each draw, at sigma; none at 0."""

    @property
    def bound(self) -> str:
        """What the end of the range says of the sigma that was looked for, "at least 5"; "" within the range."""
        if len(self.tried) == 1:
            return f"at least {self.sigma:g}"
        return "" if self.sigma else f"at most {self.tried[-1]:.3g}"


Loss = Callable[[float, int, float], float]
"""Of sigma, the number of a draw, and a limit beyond which the exact value does not matter."""


def largest(loss: Loss, limit: float, draws: int, most: float, tolerance: float) -> Largest:
    """The largest sigma in [0, most] whose mean loss over the draws is at most `limit`, by halving.

    Losses are 0 or more, and their mean is taken to rise with sigma. The loss at 0 is taken to be within the limit.
    """
    tried, losses = [most], _losses(loss, most, limit, draws)
    if _holds(losses, limit, draws):
        return Largest(most, None, tried, losses)
    low, high, kept = 0.0, most, list[float]()
    for _ in range(_halvings(most, tolerance)):
        middle = (low + high) / 2
        tried.append(middle)
        losses = _losses(loss, middle, limit, draws)
        if _holds(losses, limit, draws):
            low, kept = middle, losses
        else:
            high = middle
    error = None
    if len(kept) > 1:
        error = _error(kept, [loss(high, draw, math.inf) for draw in range(draws)], high - low)
    return Largest(low, error, tried, kept)


def _losses(loss: Loss, sigma: float, limit: float, draws: int) -> list[float]:
    """Of the draws in turn, up to the one with which all is lost."""
    found: list[float] = []
    for draw in range(draws):
        found.append(loss(sigma, draw, draws * limit - math.fsum(found)))
        if not math.fsum(found) <= draws * limit:
            break
    return found


def _holds(losses: Sequence[float], limit: float, draws: int) -> bool:
    return len(losses) == draws and math.fsum(losses) <= draws * limit


def _error(losses: Sequence[float], others: Sequence[float], width: float) -> float | None:
    """The standard error of the mean loss, over its slope up to the losses `width` further; None without a slope."""
    slope = (math.fsum(others) - math.fsum(losses)) / len(losses) / width
    spread = float(np.std(losses, ddof=1)) / math.sqrt(len(losses))
    return spread / slope if 0 < slope < math.inf else None


# --------------------------------------------------------------------------------------------------------- the noise


def _loss(net: Specimen, shown: Tensor, changed: Callable[[Tensor, int], Tensor], limit: float) -> float:
    """Mean cross-entropy over the images `shown`; beyond `limit` as far as it was added up, and NaN if it is none."""
    images, total, size = net.images["train"], 0.0, batch_on(net.device)
    for start in range(0, len(shown), size):
        net.poll()
        index = shown[start : start + size]
        with torch.no_grad():
            logits = net.logits(changed(images.take(index).float() / 255, start)).double()
            total += float(nn.functional.cross_entropy(logits, images.labels[index], reduction="sum"))
        if not total <= limit * len(shown):
            break
    return total / len(shown)


def _as_they_are(pixels: Tensor, start: int) -> Tensor:
    return pixels


def _weights(model: nn.Module) -> tuple[str, dict[str, Tensor]]:
    """Where the noise lies, in words, and the weights by name."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    kinds = ((_ConvNd, "convolutions"), (nn.Linear, "Linear layers, there being no convolution"))
    for kind, words in kinds:
        found = [module.weight for module in model.modules() if isinstance(module, kind)]
        if found:
            return words, {names[id(weight)]: weight for weight in found if id(weight) in names}
    raise Absent("the net has neither a convolution nor a Linear layer")


class _Noise:
    """Normal numbers that are drawn once, as far as there is room for them."""

    def __init__(self, net: Specimen, shown: Tensor, seeds: Seeds) -> None:
        self.net, self.shown, self.seeds = net, shown, seeds
        self.room = KEPT
        self.kept: dict[tuple[Any, ...], Tensor] = {}

    def of(self, *position: Any, like: Tensor) -> Tensor:
        """Those at `position`, of the shape of `like`."""
        self.net.poll()
        if position in self.kept:
            return self.kept[position]
        found = torch.from_numpy(self.drawn(*position, size=like.numel())).view(like.shape).to(like.device)
        if found.numel() <= self.room:
            self.room -= found.numel()
            self.kept[position] = found
        return found

    def drawn(self, *position: Any, size: int) -> NDArray[np.float32]:
        """`size` of them."""
        return normal(self.seeds, "perturb", *position, count=size)


class _OnWeights(_Noise):
    """Noise on some weights."""

    def __init__(self, net: Specimen, shown: Tensor, seeds: Seeds, weights: Mapping[str, Tensor]) -> None:
        super().__init__(net, shown, seeds)
        self.weights = weights
        self.plain = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def loss(self, sigma: float, draw: int, limit: float) -> float:
        """Of the net with the noise of `draw`; its weights are put back."""
        try:
            for name, plain in self.plain.items():
                part = self.of("weight", name, draw, like=plain)
                self.weights[name].copy_(torch.addcmul(plain, plain.abs(), part, value=sigma))
            return _loss(self.net, self.shown, _as_they_are, limit)
        finally:
            for name, plain in self.plain.items():
                self.weights[name].copy_(plain)


class _OnPixels(_Noise):
    """Noise on the images; that of an image depends on its number in the data and the draw alone."""

    def loss(self, sigma: float, draw: int, limit: float) -> float:
        """Of the net, the noise of `draw` on the images."""

        def changed(pixels: Tensor, start: int) -> Tensor:
            return (pixels + sigma * self.of("input", draw, start, like=pixels)).clamp(0, 1)

        return _loss(self.net, self.shown, changed, limit)

    def drawn(self, *position: Any, size: int) -> NDArray[np.float32]:
        """For the images of a batch, one after the other."""
        _, draw, start = position
        places = self.shown[start : start + batch_on(self.net.device)].cpu().numpy()
        numbers = self.net.numbers("train", places).tolist()
        each = size // len(numbers)
        return np.concatenate(
            [normal(self.seeds, "perturb", "input", draw, number, count=each) for number in numbers]
        )
