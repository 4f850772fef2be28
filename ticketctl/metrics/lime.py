"""Fidelity and stability of LIME's explanations, both as errors: lower is better.

An image is cut into n segments and shown N times with some of them black; z says which are seen. f(z) is the
probability of the class that the net gives the whole image. Around an anchor a, a linear model g of z is fitted to f by
ridge regression with an intercept, near vectors weighing more: w(z) = exp(-d(z, a)^2 / (2 width^2)) (Ribeiro et al.
2016). Of an image (paper 004, section 4.3, and its released code):

    fidelity = mean over the N vectors of (g(z) - f(z))^2, g fitted around the whole image
    stability = mean over random anchors of |c_a - c|^2, c the coefficients of g, c_a those of the fit around a

Both are averaged over images. `lime.causal` is the squared error of all these fits, as the code pools it.

Read `lime.constant` and `lime.response` beside them. A net that answers the same to everything has fidelity 0 and
stability 0, and nets with flat answers come near: that is why random and over-pruned nets can look easy to explain.
`lime.r2`, 1 - fidelity / variance of f, does not reward it; `lime.constant` is the share of images to which the answer
never moves, which have no R^2; `lime.response` is the mean probability for the whole image.

Choices: d is the Hamming distance over n, the paper's text; the released code has the cosine distance, with 1 to a
vector of zeros (`distance = "cosine"`). They weigh differently, at n/2 segments seen .14 against .50, and so the values
of one are not those of the other. The mean of fidelity is unweighted, as in the code. The anchors are vectors of the
same neighbourhood, explained from the same answers: only the weights change. The images are spread evenly over the test
set, which may lie in the order of classes (the code takes one in 50 of ImageNet's, and the first of CIFAR's).
Segments are Felzenszwalb's at scale 10, sigma 0.4, least size 20 pixels, the paper's for 32x32; other sizes take the
same numbers, so that larger images have more segments and one of 8x8 has at most three. One segment is no special case.
Vectors drawn twice are asked once: with few segments that is most of them, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.errors import UsageError
from ticketctl.metrics._lime import CONSTANTS, DISTANCES, Explained, explained, neighbourhood, segments
from ticketctl.metrics._lime_net import quick, responses
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Exam, Measurement, Value
from ticketctl.train.specimen import Specimen

FACTS = {"data": "test", "cost": "`samples` passes over `images` test images"}
NEEDS = ("net", "test")
BETTER = {"fidelity": "lower", "stability": "lower", "lime.causal": "lower", "lime.r2": "higher"}
VERDICT = ("fidelity", "stability")
EXTRA = "audit"
IMPORTS = ("skimage",)

ROWS = ("fidelity", "stability", "causal", "r2", "constant", "response", "segments")
WHICH = ("spread", "first")
NARROWEST = 0.05
"""Below that width a vector other than the anchor weighs nothing, or nothing weighs anything."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.lime]`."""

    images: int = 200
    """Test images that are explained, 1 or more; all, if there are fewer."""
    which: str = "spread"
    """`spread` evenly over the test set, or its `first`."""
    samples: int = 1000
    """N, vectors of each image, itself among them."""
    anchors: int = 5
    """Random anchors, 1 or more and fewer than `samples`."""
    distance: str = "hamming"
    """`hamming`, the paper's, or `cosine`, its released code's."""
    width: float = 0.25
    """Of the kernel, 0.05 or more."""
    ridge: float = 1.0
    """What the squared coefficients cost in the fits, above 0."""

    def __post_init__(self) -> None:
        _check(self)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """Rows `fidelity`, `stability` and `lime.causal`, 0 or more; R^2, at most 1; two shares; the number of segments.

    Errors are over images. Not a number where an answer was none, and R^2 where every image has constant answers.

    Raises:
        UsageError: a key out of range.
    """
    net = quick(exam.specimen)
    places = chosen(len(net.images["test"]), params)
    found = [_image(net, exam.seeds, int(place), params) for place in places]
    arrays = {name: np.array([getattr(one, name) for one in found]) for name in ROWS}
    moving = arrays["r2"][~arrays["constant"]]
    values = {name if name in VERDICT else f"lime.{name}": Value.mean(arrays[name]) for name in ROWS}
    values["lime.r2"] = Value.mean(moving) if len(moving) else Value(np.nan, None, 0)
    arrays["constant"] = arrays["constant"].astype(np.uint8)
    return Measurement(values, _protocol(), {"place": places, **arrays})


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images."""
    return float(min(params.images, sizes["test"]) * params.samples)


def chosen(count: int, params: Params) -> NDArray[np.int64]:
    """Places of the images in a set of `count`, ascending."""
    wanted = min(params.images, count)
    step = count if params.which == "spread" else wanted
    return np.arange(wanted, dtype=np.int64) * step // wanted


def _check(params: Params) -> None:
    rules = {
        "images": (params.images >= 1, "at least 1; the paper's code takes 100"),
        "which": (params.which in WHICH, f"one of {', '.join(WHICH)}"),
        "anchors": (params.anchors >= 1, "at least 1; the paper's code takes 5"),
        "samples": (params.samples > params.anchors, f"above metrics.lime.anchors = {params.anchors}"),
        "distance": (params.distance in DISTANCES, f"one of {', '.join(DISTANCES)}"),
        "width": (NARROWEST <= params.width < np.inf, f"at least {NARROWEST}; the paper's code has 0.25"),
        "ridge": (0 < params.ridge < np.inf, "above 0; the paper's code has 1"),
    }
    for key, (holds, right) in rules.items():
        if not holds:
            raise UsageError(f"metrics.lime.{key} = {getattr(params, key)} must be {right}")


def _image(net: Specimen, seeds: Seeds, place: int, params: Params) -> Explained:
    """One test image: cut, asked, explained."""
    images = net.images["test"]
    image = images.take(torch.tensor([place], device=net.device))[0]
    cut = segments(image.cpu().numpy())
    (number,) = net.numbers("test", np.array([place])).tolist()
    near = neighbourhood(seeds, number, int(cut.max()) + 1, params.samples, params.anchors)
    said = responses(net, image, cut, near.rows, int(near.anchors[0]))
    return explained(near, said, distance=params.distance, width=params.width, ridge=params.ridge)


def _protocol() -> dict[str, Any]:
    return {
        "segments": "felzenszwalb", **CONSTANTS, "scikit-image": version("scikit-image"), "hidden": "black",
        "response": "probability of the class of the whole image", "fidelity": "unweighted", "intercept": "free",
        "anchors": "of the same vectors",
    }  # fmt: skip
