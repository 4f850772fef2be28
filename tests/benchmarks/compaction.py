"""Inference of sparse nets: as they are, compacted, and (LeNet) with sparse weights; how many times as fast as dense.

    python -m tests.benchmarks.compaction [--rounds 9] [--masks magnitude,random]

One thread, CPU seconds, forms of one net taking turns. `dense` is the net itself with its zeros in place. Masks keep
the largest weights of an initialisation over all layers (`magnitude`), or are random with ERK's densities (`random`);
neither is a trained ticket, which has other dead channels: audit one with `--metrics cost` for its own figures.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.harness import take_turns
from ticketctl.masks.prunable import policy, prunable
from ticketctl.masks.select import top
from ticketctl.masks.spread import random_ladder
from ticketctl.nets.build import build, initialise_
from ticketctl.nets.compact import compact, difference
from ticketctl.nets.compact_sparse import no_sparse, sparse
from ticketctl.nets.describe import macs, parameter_count
from ticketctl.seeds import Seeds

NETS: dict[str, tuple[tuple[int, int, int], int]] = {
    "lenet-300-100": ((1, 28, 28), 100),
    "resnet20s": ((3, 32, 32), 100),
    "vgg11": ((3, 32, 32), 50),
}
"""Shapes and batches."""
SPARSITIES = (Fraction(90, 100), Fraction(97, 100), Fraction(99, 100))


def sparse_net(name: str, sparsity: Fraction, masks: str) -> nn.Module:
    """A net at its initialisation, masked, BatchNorm's shifts of both signs and its statistics those of noise."""
    shape, _ = NETS[name]
    net = build(name, shape=shape, classes=10)
    initialise_(net, "kaiming-normal", Seeds(0))
    weights = {path: net.get_parameter(path).detach() for path in prunable(net, policy("default"))}
    kept = round(sum(weight.numel() for weight in weights.values()) * (1 - sparsity))
    if masks == "magnitude":
        mask = top({path: weight.abs() for path, weight in weights.items()}, kept)
    else:
        shapes = {path: weight.shape for path, weight in weights.items()}
        mask = random_ladder(shapes, [kept], Seeds(0))[-1]
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, keep in mask.keep.items():
            weights[path].mul_(keep)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=numbers))
        net.train()(torch.randn(64, *shape, generator=numbers))
    return net.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def measure(name: str, sparsity: Fraction, masks: str, rounds: int) -> dict[str, Any]:
    """Ratios of one net at one sparsity."""
    net, (shape, batch) = sparse_net(name, sparsity, masks), NETS[name]
    smaller = compact(net, shape).net
    forms = {"dense": net, "compact": smaller}
    if not no_sparse(net):
        forms["csr"] = sparse(net)
    images = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1))
    images = images.contiguous(memory_format=torch.channels_last)
    repeats = 30 if name.startswith("lenet") else 1
    timings = take_turns({form: partial(_run, one, images, repeats) for form, one in forms.items()}, rounds)
    found = {
        "net": name,
        "masks": masks,
        "sparsity": float(sparsity),
        "parameters left": parameter_count(smaller) / parameter_count(net),
        "macs left": macs(smaller, shape) / macs(net, shape),
        "logits differ by": max(difference(net(images), one(images)) for one in forms.values()),
    }
    return found | {
        f"{form}, times as fast": timings["dense"].median / timings[form].median
        for form in forms
        if form != "dense"
    }


def _run(net: nn.Module, images: Tensor, repeats: int) -> None:
    for _ in range(repeats):
        net(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--masks", default="magnitude,random")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in NETS:
        for masks in options.masks.split(","):
            for sparsity in SPARSITIES:
                print(json.dumps(measure(name, sparsity, masks, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
