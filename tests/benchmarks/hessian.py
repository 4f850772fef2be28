"""What a product with the Hessian costs in gradients over the same images, graphs kept and built anew.

python -m tests.benchmarks.hessian [--rounds 5] [--images 200]

CPU seconds of one thread, variants taking turns. A gradient is a forward and a backward pass, its inputs and weights
channels last, as a training has them, and channels first, as a product has them; the quicker one is the measure.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.benchmarks.harness import take_turns
from tests.metrics.specimens import exam_of, random_images, specimen
from ticketctl.masks.mask import Mask
from ticketctl.metrics import _hessian as shared
from ticketctl.metrics import hessian
from ticketctl.nets.build import build, initialise_
from ticketctl.seeds import Seeds
from ticketctl.train import hessian as products
from ticketctl.train.curvature import within
from ticketctl.train.specimen import Specimen

CASES: dict[str, tuple[str, tuple[int, int, int], float]] = {
    "LeNet-300-100": ("lenet-300-100", (1, 28, 28), 1.5),
    "ResNet-20s": ("resnet20", (3, 32, 32), 2.8),
}
"""The net, its images, and how many gradients a product may cost."""


def pruned(name: str, shape: tuple[int, int, int], count: int) -> Specimen:
    """A net at its initialisation with a fifth of its weights, and random images."""
    net = build(name, shape=shape, classes=10)
    initialise_(net, "kaiming-normal", Seeds(0))
    keep = {}
    with torch.no_grad():
        for key, value in net.named_parameters():
            if value.ndim > 1:
                drawn = shared.random_signs(Seeds(1), key, count=5 * value.numel()).reshape(5, -1)
                keep[key] = torch.from_numpy(drawn.sum(axis=0) > 2).view(value.shape)
                value.mul_(keep[key])
    return specimen(net, *random_images(count, shape, 10), mask=Mask(keep))


def gradient(seen: Specimen, layout: torch.memory_format) -> Callable[[], None]:
    """One, over all its images."""
    inputs = seen.scaling(seen.pixels("train") * 255).contiguous(memory_format=layout)
    labels = seen.labels("train")
    weights = {
        name: (value.detach().contiguous(memory_format=layout) if value.ndim == 4 else value.detach())
        for name, value in seen.model.named_parameters()
    }
    leaves = {name: value.requires_grad_() for name, value in weights.items()}

    def run() -> None:
        loss = nn.functional.cross_entropy(torch.func.functional_call(seen.model, leaves, (inputs,)), labels)
        torch.autograd.grad(loss, list(leaves.values()))

    return run


def measured(name: str, rounds: int, images: int) -> dict[str, Any]:
    """One case."""
    kind, shape, goal = CASES[name]
    seen = pruned(kind, shape, images)
    (batch,) = hessian._batches(exam_of(seen), hessian.Params(images=images))
    kept = hessian._kept(batch, seen.masks())
    held = within(kept, hessian._product(batch))
    room, products.KEPT = products.KEPT, 0
    anew = within(kept, hessian._product(batch))
    products.KEPT = room
    vector = torch.from_numpy(shared.random_signs(Seeds(0), "probe", count=len(kept))) * kept
    variants: dict[str, Callable[[], Any]] = {
        "gradient, channels last": gradient(seen, torch.channels_last),
        "gradient, channels first": gradient(seen, torch.contiguous_format),
        "product": lambda: held(vector),
        "product, graph anew": lambda: anew(vector),
    }
    found = take_turns(variants, rounds)
    least = min(found[one].median for one in variants if one.startswith("gradient"))
    ratios = {one: round(timing.median / least, 2) for one, timing in found.items()}
    return {"case": name, "seconds of a gradient": least, "in gradients": ratios, "goal": goal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in CASES:
        print(json.dumps(measured(name, options.rounds, options.images)), flush=True)


if __name__ == "__main__":
    main()
