"""What the net costs: parameters, multiply-adds, bytes, and measured inference time, dense, compacted and sparse.

Parameters of the net and `cost.alive`, those no mask sets to 0. Multiply-adds (MACs) of convolutions and Linear layers
for one image: of all weights, of the kept ones alone, and of the compacted net. Bytes of the files that hold it.
Time of one image in milliseconds, the median over rounds in which the forms of the net take turns on the same batch:
`dense` is the net as it is with its zeros; `compact` the same net without channels that nobody needs, whose logits
are the same up to rounding (ticketctl/nets/compact.py); `csr` its weights as sparse matrices, for nets of Linear layers
on a CPU. `cost.speed.compact` is how many times as fast as dense it was in the same rounds.

Sparsity has three denominators, and papers take one or another: `sparsity.prunable` of the weights the mask speaks
about, `sparsity.weights` of all weight matrices, and alive over all parameters (`cost.alive` / `cost.parameters`).

Choices: no time is derived from counts; kept weights alone do not make a net faster. Wall-clock time depends on the
machine and on what else it does: compare times of one report, not of two; `time = false` leaves them out, and only
then are two reports of one net equal. The errors are the bootstrap's over rounds. Biases, norms and activations count
as parameters, and have no MACs. A form that this net cannot take is left out, and the protocol says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.metrics._cost_turns import Floats, middle, seconds_of
from ticketctl.nets.compact import compact, difference
from ticketctl.nets.compact_sparse import no_sparse, sparse
from ticketctl.nets.describe import layer_macs, macs, parameter_count
from ticketctl.train.exam import Exam, Measurement, Value
from ticketctl.train.specimen import Specimen

FACTS = {"data": "test", "cost": "some 50 passes over one batch of test images"}
NEEDS = ("net", "test")
TIMED = True
BETTER = {"cost": "lower", "cost.speed.compact": "higher", "cost.speed.csr": "higher"}
COMPARED = 500
"""Test images on which the compacted net's logits are compared."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.cost]`."""

    time: bool = True
    """Whether to measure time; without it two reports of one net are equal."""
    batch: int = 100
    """Images at once while time is measured; at most the test images there are."""
    rounds: int = 15
    """Turns of each form, 2 or more."""

    def __post_init__(self) -> None:
        for key, least in (("batch", 1), ("rounds", 2)):
            if getattr(self, key) < least:
                raise UsageError(f"metrics.cost.{key} = {getattr(self, key)} must be at least {least}")


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images, about."""
    timed = 3 * (params.rounds + 3) * min(params.batch, sizes["test"]) if params.time else 0
    return timed + 2 * min(COMPARED, sizes["test"]) + 30


def measure(exam: Exam, *, params: Params) -> Measurement:
    """The rows above; counts and bytes are whole, times in ms per image; the seconds of each round."""
    specimen = exam.specimen
    forms, why = _forms(specimen)
    specimen.poll()
    values = _counted(specimen, forms.get("compact")) | _sparsity(specimen)
    specimen.poll()
    protocol: dict[str, Any] = {"prunable_tensors": len(specimen.masks()), **why}
    if "compact" in forms:
        protocol |= _agreement(specimen, forms["compact"])
    if not params.time:
        return Measurement(values, protocol)
    images = _inputs(specimen, params.batch)
    timed = _timed(specimen, forms, images, params.rounds)
    protocol |= {
        "threads": torch.get_num_threads(),
        "images": len(images),
        "clock": "wall, forms in turn, median",
    }
    arrays = {f"seconds.{name}": seconds for name, seconds in timed.items()}
    return Measurement(values | _times(exam, timed, len(images)), protocol, arrays)


def _shape(specimen: Specimen) -> tuple[int, int, int]:
    channels, height, width = specimen.pixels("test", 0, 1).shape[1:]
    return channels, height, width


def _forms(specimen: Specimen) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The forms the net can take, and why it cannot take the others."""
    forms, why = {"dense": specimen.model}, {}
    try:
        forms["compact"] = compact(specimen.model, _shape(specimen)).net
    except UsageError as error:
        why["compact"] = str(error)
    reason = no_sparse(specimen.model)
    if reason:
        why["csr"] = reason
    else:
        forms["csr"] = sparse(specimen.model)
    return forms, why


def _counted(specimen: Specimen, smaller: nn.Module | None) -> dict[str, Value]:
    net, shape = specimen.model, _shape(specimen)
    kept = {name: int(keep.count_nonzero()) for name, keep in specimen.masks().items()}
    sizes = {name: weight.numel() for name, weight in net.named_parameters()}
    work = layer_macs(net, shape)
    alive = sum(each * kept.get(name, sizes[name]) // sizes[name] for name, each in work.items())
    gone = sum(sizes[name] - each for name, each in kept.items())
    found = {"cost.parameters": parameter_count(net), "cost.alive": parameter_count(net) - gone}
    found |= {"cost.macs": sum(work.values()), "cost.macs.alive": alive}
    if smaller is not None:
        found |= {
            "cost.parameters.compact": parameter_count(smaller),
            "cost.macs.compact": macs(smaller, shape),
        }
    if specimen.sizes:
        found["cost.bytes"] = sum(specimen.sizes.values())
    return {name: Value(float(number), None, 1) for name, number in found.items()}


def _sparsity(specimen: Specimen) -> dict[str, Value]:
    masks = specimen.masks()
    gone = sum(keep.numel() - int(keep.count_nonzero()) for keep in masks.values())
    prunable = sum(keep.numel() for keep in masks.values())
    matrices = sum(weight.numel() for weight in specimen.model.parameters() if weight.ndim > 1)
    return {
        "sparsity.prunable": Value(gone / max(1, prunable), None, max(1, prunable)),
        "sparsity.weights": Value(gone / max(1, matrices), None, max(1, matrices)),
    }


def _inputs(specimen: Specimen, count: int) -> Tensor:
    """The first test images, as the net takes them."""
    return specimen.scaling(specimen.pixels("test", 0, count) * 255)


@torch.no_grad()
def _agreement(specimen: Specimen, smaller: nn.Module) -> dict[str, Any]:
    """How far the compacted net's logits are from the net's, and how many answers differ."""
    images = _inputs(specimen, COMPARED)
    was = specimen.model(images)
    specimen.poll()
    now = smaller(images)
    changed = int((was.argmax(1) != now.argmax(1)).sum())
    return {"compact_difference": difference(was, now), "compact_changed": changed, "compared": len(images)}


@torch.no_grad()
def _timed(
    specimen: Specimen, forms: Mapping[str, nn.Module], images: Tensor, rounds: int
) -> dict[str, Floats]:
    def settle() -> None:
        if images.device.type == "cuda":
            torch.cuda.current_stream(images.device).synchronize()  # others may be capturing beside it

    runs: dict[str, Callable[[], None]] = {name: partial(net, images) for name, net in forms.items()}
    return seconds_of(runs, rounds, settle, specimen.poll)


def _times(exam: Exam, timed: Mapping[str, Floats], images: int) -> dict[str, Value]:
    found = {}
    for name, seconds in timed.items():
        each = 1e3 * seconds / images
        error = exam.resampled(partial(middle, each), len(each), f"cost.{name}")
        found[f"cost.time.{name}"] = Value(middle(each, each * 0 + 1), error, len(each))
    dense = timed["dense"]
    for name in (name for name in timed if name != "dense"):
        ratio = partial(_ratio, dense, timed[name])
        error = exam.resampled(ratio, len(dense), f"cost.speed.{name}")
        found[f"cost.speed.{name}"] = Value(ratio(dense * 0 + 1), error, len(dense))
    return found


def _ratio(dense: Floats, other: Floats, weights: Floats) -> float:
    return middle(dense, weights) / middle(other, weights)
