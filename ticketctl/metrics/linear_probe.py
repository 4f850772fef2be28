"""Linear probe: accuracy of a linear classifier on what the frozen net gives behind each of its blocks.

Behind every block the mean over positions (C features), and on it a Linear layer of its own, trained for 5 epochs at
0.005 with weight decay 1e-4 while all else is frozen (paper 003, section 5.1 and appendix G). The usual subject is a
ticket that is not trained yet, at its rewind point. The first row is the last block's accuracy on the validation
images; on the test images where there are none. `linear-probe.block-4` is block 4 of the net's; `.lbfgs` rows are
heads trained to the end, to the minimum of the same objective; 5 epochs are far from that where features are small.
The minimum too depends on how large features are: the decay is on the weights, and tiny features need large ones, so
that it holds their heads down, `.lbfgs` as well. `standardize` answers that: heads then see what lies in the features.

Choices, where the paper is silent: SGD with momentum 0.9, batches of 256, images unaugmented, heads that start at 0.
BatchNorm decides most: an untrained net has statistics of 0 and 1, so they are taken anew over the training images
(`recalibrate`); the net's own come back in the end. `stored` leaves them, `batch` takes those of 500 images at a time.
All blocks are seen in one pass; each head is trained by itself, so a block's row is the same to the bit whichever
others are probed. Paper 003 counts the blocks of ResNet-34 otherwise: compare by depth fraction, where 1 is the last.
What a block is in other nets: `ticketctl/nets/blocks.py`. A row whose head left the numbers (a rate too high for
features this large) is left out and named in the protocol; `standardize` mends that. So is a block that gives NaN or
infinite values: the others have their rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticketctl.errors import UsageError, near_miss
from ticketctl.metrics import _heads as heads
from ticketctl.metrics._heads import Found, HeadKeys
from ticketctl.nets.blocks import Block, blocks_of
from ticketctl.train.exam import Absent, Exam, Measurement, Value
from ticketctl.train.features import Tap, batchnorm, groups, widths_of
from ticketctl.train.specimen import Specimen

COMMAND = "probe"
FACTS = {
    "data": "train, val if any, test",
    "cost": "1 pass over all images, 1 more over the training images for BatchNorm; the heads are cheap",
}
NEEDS = ("net", "train", "test")
BETTER = {"linear-probe": "higher"}


@dataclass(frozen=True)
class Params(HeadKeys):
    """Keys of `[metrics.linear-probe]`."""

    blocks: tuple[str, ...] = ()
    """Names or numbers of blocks (layer2.1, 4); none: all."""
    weights: bool = False
    """Keep the heads: arrays `block-4.weight` [C, classes] and `block-4.bias`."""

    def __post_init__(self) -> None:
        heads.check("linear-probe", self)


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images."""
    return heads.passes(sizes, params)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """Rows `linear-probe`, `.train`, `.test`, `.block-N`; the same behind `.lbfgs`. All in [0, 1].

    Arrays, one entry for each block: `block`, `depth_fraction`, `channels`, `epochs`, `train.accuracy` and so on, and
    `lbfgs.…` with `iterations`, `gradient` (largest component at the end) and `converged`.

    Raises:
        UsageError: a block that the net does not have.
        Absent: the net has no blocks, or what the last gives is not finite, or its head left the numbers.
    """
    net, every = exam.specimen, blocks_of(exam.specimen.model)
    blocks = _asked(every, params.blocks)
    if not blocks:
        raise Absent(f"{type(net.model).__name__} has no block before its output layer")
    with batchnorm(net, params.bn, params.bn_images) as used:
        found = _probed(exam, blocks, params)
    chosen = "val" if "val" in net.images else "test"
    values, lost = _rows(blocks, found, chosen, heads.shown(net))
    protocol = heads.protocol(net, params, used) | {
        "chosen on": chosen, "blocks": {str(block.number): block.name for block in blocks},
        "blocks of the net": len(every), "diverged": lost,
        "not finite": [block.name for block, one in zip(blocks, found, strict=True) if not one[""].fed],
    }  # fmt: skip
    return Measurement(values, protocol, _arrays(net, blocks, found, len(every), params))


def _asked(every: Sequence[Block], names: Sequence[str]) -> list[Block]:
    known = {word: block for block in every for word in (str(block.number), block.name)}
    for name in names:
        if name not in known:
            right = near_miss(name, [block.name for block in every])
            raise UsageError(f"metrics.linear-probe.blocks: the net has no block {name!r}; {right}")
    wanted = {known[name].number for name in names}
    return [block for block in every if not names or block.number in wanted]


def _probed(exam: Exam, blocks: Sequence[Block], params: Params) -> list[dict[str, Found]]:
    """In one pass, or in as many as it takes to hold what each of them sees."""
    net, taps = exam.specimen, [Tap.behind(block) for block in blocks]
    images = sum(len(net.images[name]) for name in heads.shown(net))
    found: list[dict[str, Found]] = []
    for places in groups(widths_of(net, taps), images, heads.LIMIT):
        found += heads.trained(net, [taps[place] for place in places], heads.recipes(params), exam.seeds)
    return found


def _rows(
    blocks: Sequence[Block], found: Sequence[Mapping[str, Found]], chosen: str, sets: Sequence[str]
) -> tuple[dict[str, Value], list[str]]:
    """And the names of those that left the numbers."""
    if not found[-1][""].fed:
        raise Absent(f"block {blocks[-1].name} gives values that are NaN or infinite")
    values, lost = dict[str, Value](), list[str]()
    for key, last in found[-1].items():
        if last.head.finite:
            values[f"linear-probe{key}"] = last.value(chosen)
            values |= {f"linear-probe{key}.{name}": last.value(name) for name in sets if name != chosen}
        for block, one in zip(blocks, found, strict=True):
            row = f"linear-probe{key}.block-{block.number}"
            if one[key].head.finite:
                values[row] = one[key].value(chosen)
            elif one[key].fed:
                lost.append(row)
    if "linear-probe" not in values:
        raise Absent("the last block's head left the numbers: give a lower lr, or standardize = true")
    return values, lost


def _arrays(
    net: Specimen, blocks: Sequence[Block], found: Sequence[Mapping[str, Found]], count: int, params: Params
) -> dict[str, Any]:
    numbers = [block.number for block in blocks]
    epochs = params.epochs if params.solver == "sgd" else 0
    arrays: dict[str, Any] = {
        "block": numbers,
        "depth_fraction": [number / count for number in numbers],
        "channels": [len(one[""].head.weight) for one in found],
        "epochs": [epochs] * len(blocks),
    }
    for key in found[0]:
        before = f"{key[1:]}." if key else ""
        hits = [one[key] for one in found]
        arrays |= {
            f"{before}{name}.accuracy": [one.accuracy(name) for one in hits] for name in heads.shown(net)
        }
        arrays[f"{before}iterations"] = [one.head.iterations for one in hits]
        if hits[0].head.gradient is not None:
            arrays[f"{before}gradient"] = [one.head.gradient or 0.0 for one in hits]
            arrays[f"{before}converged"] = [one.head.converged for one in hits]
    done = {name: heads.plain(values) for name, values in arrays.items()}
    if params.weights:
        done |= heads.kept({f"block-{number}": one for number, one in zip(numbers, found, strict=True)})
    return done
