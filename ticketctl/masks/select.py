"""Which weights stay: the one place that counts and ranks. Every draw keeps an exact number by a stated tie
rule.

Rank, do not threshold: `kept_count` rounds half up in exact
arithmetic, `top` keeps the largest scores, and of equal scores those with the lower flat index (layers in the
order of the mapping given, C order inside). Pruned weights never enter the ranking. The result is that of a
stable descending sort in float64, found without sorting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks.mask import Mask

_SAMPLE = 1 << 17
_LEAST_SAMPLE = 1 << 8
_SIGMAS = 4

_Floats = NDArray[np.floating[Any]]


def kept_count(size: int, density: Fraction) -> int:
    """`floor(size * density + 1/2)`, exactly.

    Args:
        size: number of prunable weights.
        density: fraction to keep, in (0, 1].

    Raises:
        UsageError: the density is outside (0, 1], or not one weight would stay.
    """
    if not 0 < density <= 1:
        raise UsageError(f"density {float(density):g} cannot be; it lies above 0 and at most at 1")
    count = round_half_up(size * density)
    if count == 0:
        raise UsageError(
            f"density {float(density):g} of {size:,} weights keeps none; the least is {0.5 / size:.3g}"
        )
    return count


def round_half_up(value: Fraction) -> int:
    """The nearest integer, halves upwards; never the banker's rounding of `round`."""
    return math.floor(value + Fraction(1, 2))


def order_statistic(values: torch.Tensor, rank: int) -> torch.Tensor:
    """The value at `rank` (from 0) in ascending order, a scalar where the values lie; exact, so the same by any way.

    numpy's partition takes a tenth of the time of kthvalue on a CPU. On other devices nothing waits; where torch is to
    be deterministic it may refuse kthvalue there, whose index depends on chance, though not its value.

    Args:
        values: finite, [n] with n > `rank`.
        rank: at least 0.
    """
    if values.device.type == "cpu":
        return values.new_tensor(np.partition(values.numpy(), rank)[rank])
    if torch.are_deterministic_algorithms_enabled():
        return values.sort().values[rank]
    return values.kthvalue(rank + 1).values


def top(scores: Mapping[str, torch.Tensor], count: int, *, among: Mask | None = None) -> Mask:
    """The `count` largest scores over all layers together.

    Args:
        scores: one real tensor per layer, any device, of the weight's shape.
        count: how many to keep, 0 to the number of survivors.
        among: the survivors; `None` means all.

    Raises:
        UsageError: fewer survivors than `count`.
        DivergedError: a survivor's score is NaN or infinite; names the layer. Scores of pruned weights are
            not read.
    """
    _check(scores, among)
    survivors = among.kept if among else sum(score.numel() for score in scores.values())
    if not 0 <= count <= survivors:
        raise UsageError(f"cannot keep {count:,} weights: {survivors:,} are left to choose from")
    keep = _largest(_parts(scores, among), count)
    return Mask(_split(keep, scores))


def top_by_layer(
    scores: Mapping[str, torch.Tensor], counts: Mapping[str, int], *, among: Mask | None = None
) -> Mask:
    """The `counts[name]` largest scores of each layer; see `top`. A count of 0 empties the layer.

    Raises:
        UsageError: a layer with fewer survivors than its count; names it.
        DivergedError: as `top`.
    """
    _check(scores, among)
    if counts.keys() != scores.keys():
        raise ValueError(f"counts and scores name different layers: {sorted(counts.keys() ^ scores.keys())}")
    keep: dict[str, torch.Tensor] = {}
    for name, score in scores.items():
        try:
            within = None if among is None else Mask({name: among.keep[name]})
            keep |= top({name: score}, counts[name], among=within).keep
        except UsageError as error:
            raise UsageError(f"layer {name!r}: {error}") from None
    return Mask(keep)


def _check(scores: Mapping[str, torch.Tensor], among: Mask | None) -> None:
    if not scores:
        raise ValueError("no scores to rank")
    if among is not None and among.shapes() != {name: score.shape for name, score in scores.items()}:
        raise ValueError("the scores and the mask they are ranked among have different layers or shapes")


@dataclass(frozen=True)
class _Part:
    """A layer in flat order: its scores, its place among all, and which weights survive (None: all)."""

    scores: _Floats
    at: slice
    alive: NDArray[np.bool_] | None

    def living(self, where: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """`where`, restricted to the survivors in place."""
        return where if self.alive is None else np.logical_and(where, self.alive, out=where)


def _parts(scores: Mapping[str, torch.Tensor], among: Mask | None) -> list[_Part]:
    parts: list[_Part] = []
    start = 0
    for name, score in scores.items():
        alive = None if among is None else among.keep[name].contiguous().numpy().reshape(-1)
        parts.append(_Part(_array(score), slice(start, start + score.numel()), alive))
        _refuse_non_finite(name, parts[-1])
        start += score.numel()
    return parts


def _array(score: torch.Tensor) -> _Floats:
    score = score.detach().to("cpu")
    exact = score if score.dtype in (torch.float32, torch.float64) else score.to(_wider(score.dtype))
    array: _Floats = exact.contiguous().numpy().reshape(-1)
    return array


def _wider(dtype: torch.dtype) -> torch.dtype:
    """Half precision fits into float32 exactly; integers and booleans go to float64."""
    return torch.float32 if dtype.is_floating_point else torch.float64


def _refuse_non_finite(name: str, part: _Part) -> None:
    finite = np.isfinite(part.scores)
    if finite.all():
        return
    bad = int(np.count_nonzero(part.living(~finite)))
    if bad:
        of = part.scores.size if part.alive is None else int(np.count_nonzero(part.alive))
        raise DivergedError(
            f"layer {name!r}: {bad:,} of {of:,} scores are NaN or infinite; nothing was ranked"
        )


def _largest(parts: Sequence[_Part], count: int) -> NDArray[np.bool_]:
    """Where in flat order the `count` largest survivors lie, ties to the lower index.

    Only what lies in a bracket around the threshold is partitioned (the idea of Floyd and Rivest 1975), and
    layers are looked at one by one: copying 11 M scores together takes as long as ranking them.
    """
    keep = np.empty(parts[-1].at.stop, dtype=np.bool_)
    low, high = _bracket(parts, count)
    at, values = _inside(parts, low, high, keep)
    rank = count - int(np.count_nonzero(keep))
    if not 0 <= rank <= at.size:  # the sample misled: sorted or periodic data
        at, values = _inside(parts, -np.inf, np.inf, keep)
        rank = count
    if rank:
        threshold = np.partition(values, values.size - rank)[values.size - rank]
        larger = at[values > threshold]
        keep[larger] = True
        keep[at[values == threshold][: rank - larger.size]] = True
    return keep


def _inside(
    parts: Sequence[_Part], low: Any, high: Any, keep: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], _Floats]:
    """Set `keep` to the survivors above `high`; return places and scores of those from `low` to `high`."""
    indices, values = [], []
    for part in parts:
        above = part.living(np.greater(part.scores, high, out=keep[part.at]))
        index = np.flatnonzero(part.living(part.scores >= low) ^ above)
        indices.append(index + part.at.start)
        values.append(part.scores[index])
    return np.concatenate(indices), np.concatenate(values)


def _bracket(parts: Sequence[_Part], count: int) -> tuple[Any, Any]:
    """Two values likely to enclose the `count`-th largest survivor, from an evenly spaced sample."""
    step = parts[-1].at.stop // _SAMPLE
    if step < 4:
        return -np.inf, np.inf
    picks = [p.scores[::step] if p.alive is None else p.scores[::step][p.alive[::step]] for p in parts]
    sample = np.sort(np.concatenate(picks))
    if sample.size < _LEAST_SAMPLE:
        return -np.inf, np.inf
    survivors = sum(p.scores.size if p.alive is None else int(np.count_nonzero(p.alive)) for p in parts)
    share = 1 - count / survivors
    spread = _SIGMAS * math.sqrt(max(share * (1 - share), 1 / sample.size) / sample.size)
    low, high = math.floor((share - spread) * sample.size), math.ceil((share + spread) * sample.size)
    return sample[low] if low >= 0 else -np.inf, sample[high] if high < sample.size else np.inf


def _split(flat: NDArray[np.bool_], like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    pieces = torch.from_numpy(flat).split([score.numel() for score in like.values()])
    return {
        name: piece.reshape(score.shape) for piece, (name, score) in zip(pieces, like.items(), strict=True)
    }
