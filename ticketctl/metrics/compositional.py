"""Compositional neurons: how well a formula over concepts says where each unit fires.

For every unit (channel) of a layer: the places where it fires are those where its activation, spread bilinearly over
the masks of the images, exceeds its 99.5 % quantile over all images and positions. A beam search looks for the formula
of at most three concepts, joined by OR, AND and AND NOT, whose places overlap most with these: IoU = |U and F| /
(|U| + |F| - |U and F| + 1e-10) over the whole set (Mu and Andreas 2020; paper 004, Figure 7). `compositional` is the
mean of the 70 units of highest IoU (all, where there are fewer), `compositional.mean` that of all units, and
`compositional.atomic` that of the best single concepts of all units.

The images come from a folder of the user's, `--set metrics.compositional.folder=DIR`: images/, masks/ and
concepts.json, or Broden in NetDissect's layout (see `ticketctl/data/segmented.py`); no data set of CIFAR's size has
such masks, and without a folder there is nothing to measure.

Choices: the layer is the last activation that has positions, unless `layer` names a module. Formulas are built from
left to right, as the released code does; unlike there, one that another order of its operands makes again counts once,
and one that no place tells from a shorter formula is left out, so neither takes a place in the beam. The quantile is
exact: the value that a share of at most 0.005 of all positions exceeds; where that share is less than one position (49
images with maps of 2 x 2 have 196), the metric is absent. A unit is dead if no value of it exceeds its quantile (it is
constant, or always 0): IoU 0, and listed. That departs from our specification, where a unit whose quantile is its least
value is dead as well: one that is 0 at all but 0.4 % of its positions fires there, and those places have a formula. A
whole set of images in Broden's manner is read; the paper takes its ADE20k part: leave that one in index.csv. Formulas
of all units are in the array `formulas`, UTF-8, a line each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl.data.segmented import LIMIT, Segmented, members_of, packed, read_segmented
from ticketctl.errors import UsageError, near_miss
from ticketctl.masks.select import order_statistic
from ticketctl.metrics._activations import watching
from ticketctl.metrics._compositional import Bits, Concepts, Found, concepts_of, search, words
from ticketctl.store.expand import expanded
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.predict import batch_on
from ticketctl.train.specimen import Specimen

FACTS = {
    "data": "your segmented images, or Broden",
    "cost": "1 pass over the images; and a search, about 0.07 s per unit, which the estimate of the time leaves out",
}
NEEDS = ("net",)
BETTER = {"compositional": "higher"}

SPREAD = 100
"""Maps that are spread over the masks at once."""
LISTED = 20
"""Units that the protocol lists; the arrays have all."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.compositional]`."""

    folder: str = ""
    """Your segmented images; without it the metric is absent."""
    layer: str = ""
    """A module whose output has positions; none: the last activation that has them."""
    images: int = 2000
    """Images at most, spread over the set; 0: all."""
    length: int = 3
    """Concepts in a formula at most."""
    beam: int = 5
    """Formulas that are kept in each round of the search."""
    candidates: int = 0
    """The best single concepts of a unit alone are tried; 0: all, which takes no longer."""
    quantile: float = 0.005
    """Share of its positions at which a unit fires."""
    top: int = 70
    """Units of highest IoU whose mean is the metric."""

    def __post_init__(self) -> None:
        _check(self)


def content(params: Params) -> dict[str, str]:
    """What stands for `folder` in the report: a digest of its files.

    Raises:
        UsageError, UnavailableError: there is none, or a file cannot be read.
    """
    folder = expanded(params.folder)
    return {"folder": members_of(folder).content(lambda: None)} if params.folder else {}


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images; what the search takes is not in it."""
    count = _listed(expanded(params.folder)) if params.folder else 0
    return min(params.images or count, count)


def _listed(folder: Path) -> int:
    """How many images the set in `folder` has by its looks, without reading one."""
    if (folder / "index.csv").is_file():  # Broden's, a line for each
        return max((folder / "index.csv").read_bytes().count(b"\n") - 1, 0)
    return sum(path.is_file() for path in (folder / "images").rglob("*"))


def measure(exam: Exam, *, params: Params) -> Measurement:
    """`compositional`, `compositional.mean` and `compositional.atomic` in [0, 1]; formula and IoU of each unit.

    Raises:
        UsageError: a key out of its range, no such layer, or a set that does not fit in memory.
        UnavailableError, ArtifactError: the set is not what it should be.
        Absent: no folder was given, the net has no layer with positions, or too few images for a quantile.
    """
    if not params.folder:
        raise Absent("no --set metrics.compositional.folder=DIR with segmented images was given")
    net = exam.specimen
    layer = params.layer or _last_with_positions(net)
    net.reporter.note(f"compositional: reading {params.folder}")
    shown = read_segmented(expanded(params.folder), shape=_shape(net), most=params.images, tick=net.poll)
    maps = _maps(net, layer, shown)
    thresholds = _thresholds(maps, params.quantile, net)
    concepts = Concepts(len(shown.concepts), shown.image, shown.concept, shown.bits)
    limits = {"length": params.length, "beam": params.beam, "candidates": params.candidates}
    found = []
    for unit, threshold in enumerate(thresholds):
        net.poll()
        fired = _fired(maps[:, unit], threshold, shown.size)
        found.append(search(fired, concepts, **limits, poll=net.poll))
    dead = maps.amax((0, 2, 3)).numpy() <= thresholds
    return _measurement(found, dead, thresholds, layer, shown, params)


def _check(params: Params) -> None:
    wrong = (
        ("images", params.images < 0, "0 (all) or more"),
        ("length", not 1 <= params.length <= 10, "from 1 to 10; the paper has 3"),
        ("beam", params.beam < 1, "at least 1; the paper has 5"),
        ("candidates", params.candidates < 0, "0 (all) or more"),
        ("quantile", not 0 < params.quantile < 1, "between 0 and 1; the paper has 0.005"),
        ("top", params.top < 1, "at least 1; the paper has 70"),
    )
    for key, is_wrong, right in wrong:
        if is_wrong:
            raise UsageError(f"metrics.compositional.{key} = {getattr(params, key)} must be {right}")


def _shape(net: Specimen) -> tuple[int, int, int]:
    """Channels, height and width of what the net takes."""
    images = next(iter(net.images.values()))
    return (net.scaling.offset.shape[1], *images.size)


# ----------------------------------------------------------------------------------------------------- where units fire


def _last_with_positions(net: Specimen) -> str:
    """The name of the last activation whose output is a map, [N, units, h, w]."""
    found: list[str] = []

    def take(name: str, output: Tensor, axis: int) -> None:
        if output.dim() == 4 and axis == 1 and output.shape[2:].numel() > 1:
            found.append(name)

    with torch.no_grad(), watching(net.model, take):
        net.logits(torch.zeros(1, *_shape(net), device=net.device))
    if not found:
        raise Absent(
            "no activation of this net has positions, so units have no places; name a layer, if it has any"
        )
    return found[-1]


def _maps(net: Specimen, layer: str, shown: Segmented) -> Tensor:
    """The outputs of a layer on all images, float32 [N, units, h, w], on the CPU."""
    maps = torch.empty(0)
    size = batch_on(net.device)
    for start in range(0, len(shown), size):
        net.poll()
        pixels = torch.from_numpy(shown.images[start : start + size]).to(net.device).float() / 255
        with torch.no_grad(), _caught(net.model, layer) as caught:
            net.logits(pixels)
        output = caught.get(layer)
        if not isinstance(output, Tensor) or output.dim() != 4 or len(output) != len(pixels):
            given = "".join(f", {size}" for size in output.shape[1:]) if isinstance(output, Tensor) else None
            raise UsageError(
                f"metrics.compositional.layer = {layer} gives {'nothing' if given is None else f'[N{given}]'}; "
                "a layer with maps [N, units, h, w] is needed"
            )
        if not start:
            shape = (len(shown), *output.shape[1:])
            if 4 * torch.Size(shape).numel() > LIMIT:
                raise UsageError(
                    f"metrics.compositional.images = {len(shown)}: the maps of {layer} take more than {LIMIT >> 30} "
                    "GiB; take fewer images, or a later layer"
                )
            maps = torch.empty(shape)
        maps[start : start + len(pixels)] = output
    return maps


@contextmanager
def _caught(model: nn.Module, layer: str) -> Iterator[dict[str, Tensor]]:
    """The output of `layer`, a module (the last time that it is called) or an activation, in the pass meanwhile."""
    caught: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    if layer in modules:

        def behind(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                caught[layer] = output.clone()  # what follows may work in place

        handle = modules[layer].register_forward_hook(behind)
        try:
            yield caught
        finally:
            handle.remove()
        return
    known: set[str] = set()

    def take(name: str, output: Tensor, axis: int) -> None:
        known.add(name)
        if name == layer:
            caught[name] = output.clone()

    with watching(model, take):
        yield caught
    if not caught:
        raise UsageError(
            f"metrics.compositional.layer = {layer}: there is no such layer; "
            f"{near_miss(layer, {*known, *modules} - {''})}"
        )


def _thresholds(maps: Tensor, share: float, net: Specimen) -> NDArray[np.float32]:
    """Of each unit the least value that at most a share of its positions exceeds, [units]; Absent if it is of none."""
    found, count = np.empty(maps.shape[1], np.float32), maps[:, 0].numel()
    above = int(share * count)
    if not above:
        raise Absent(
            f"a share of {share} of {count} positions ({len(maps)} images, maps of {list(maps.shape[2:])}) is none: "
            "show more images, or name an earlier layer: metrics.compositional.layer"
        )
    for unit in range(len(found)):
        net.poll()
        found[unit] = order_statistic(maps[:, unit].reshape(-1), count - above - 1).item()
    return found


def _fired(maps: Tensor, threshold: np.float32, size: tuple[int, int]) -> Bits:
    """Where a unit with these maps [N, h, w] exceeds its threshold, bits [N, words] of masks of `size`.

    Bilinear values lie between those around them, so images whose map has none above need not be looked at.
    """
    bits = packed(np.zeros((1, size[0] * size[1]), bool)).repeat(len(maps), axis=0)
    images = torch.nonzero(maps.flatten(1).amax(1) > float(threshold))[:, 0]
    for part in images.split(SPREAD):
        spread = nn.functional.interpolate(maps[part, None], size, mode="bilinear", align_corners=False)
        bits[part.numpy()] = packed((spread > float(threshold)).flatten(1).numpy())
    return bits


# ----------------------------------------------------------------------------------------------------------- the result


def _measurement(
    found: list[Found],
    dead: NDArray[np.bool_],
    thresholds: NDArray[np.float32],
    layer: str,
    shown: Segmented,
    params: Params,
) -> Measurement:
    names = [concept.name for concept in shown.concepts]
    texts = ["" if one.formula is None else words(one.formula, names) for one in found]
    iou, atomic = np.array([one.iou for one in found]), np.array([one.atomic_iou for one in found])
    order = np.argsort(-iou, kind="stable")
    best = iou[order[: params.top]]
    values = {
        "compositional": Value(float(best.mean()), None, len(best)),
        "compositional.mean": Value.mean(iou),
        "compositional.atomic": Value.mean(atomic),
    }
    arrays = {
        "iou": iou, "atomic": atomic, "threshold": thresholds, "dead": dead.astype(np.uint8),
        "length": np.array([0 if one.formula is None else len(concepts_of(one.formula)) for one in found]),
        "formulas": np.frombuffer("\n".join([*texts, ""]).encode(), np.uint8),
    }  # fmt: skip
    protocol = {
        "layer": layer, "set": shown.fingerprint, "images": len(shown), "concepts": len(names),
        "mask": list(shown.size),
        "search": "from left to right; OR, AND, AND NOT", "quantile": "exact", "dead": int(dead.sum()),
        "dead_units": np.flatnonzero(dead)[:LISTED].tolist(),
        "best": [{"unit": int(unit), "formula": texts[unit], "iou": float(iou[unit])} for unit in order[:LISTED]],
    }  # fmt: skip
    return Measurement(values, protocol, arrays)
