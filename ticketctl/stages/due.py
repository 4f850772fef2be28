"""What an audit takes: said before it begins, and how much of it is left while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ticketctl import plugins
from ticketctl.nets.blocks import blocks_of
from ticketctl.progress import Reporter
from ticketctl.stages.answered import Answered
from ticketctl.train.exam import History
from ticketctl.train.features import Tap, widths_of
from ticketctl.train.specimen import Specimen

LAP = 0.3
"""Seconds for which the net is timed, about."""
PROBE = 100
"""Images that it is timed on."""
CORRUPTED = 1e-4
"""Seconds to corrupt an image of 32 x 32 pixels, on average; of others as many times more as they have pixels."""
BESIDE = 0.2
"""Seconds that a metric takes besides: reading, writing."""
RESAMPLED, RESAMPLED_CLASS = 3e-6, 5e-7
"""Seconds that 200 resamplings take for each image, and for each class of it (ACE, SCE; the others less)."""


def passes_a_second(net: Specimen) -> float:
    """Images that go through the net in a second, forward alone, as it is now."""
    pixels = net.pixels("test", 0, PROBE)
    _pass(net, pixels)
    began, laps = time.perf_counter(), 0
    while laps < 2 or time.perf_counter() - began < LAP:
        _pass(net, pixels)
        laps += 1
    return laps * len(pixels) / max(time.perf_counter() - began, 1e-6)


def _pass(net: Specimen, pixels: torch.Tensor) -> None:
    net.said(pixels)
    if net.device.type == "cuda":
        # the stream alone: waiting for all of the device would break a capture of a job beside this one
        torch.cuda.current_stream(net.device).synchronize()


def due(
    params: Mapping[str, Any], answers: Answered, net: Specimen, history: History | None = None
) -> dict[str, float]:
    """Seconds that each metric takes, about.

    Args:
        params: of each metric that is still to be measured, in that order.
        answers: sets that were answered before cost nothing.
        net: timed for a moment.
        history: of its training, if it was trained; metrics are told its kept states as `epochs`.
    """
    sizes = {name: source.count for name, source in answers.shown.items()}
    sizes["epochs"] = len(history.epochs) if history else 0
    high, wide = net.images["test"].size
    rate, seen, found = passes_a_second(net), set[str](), {}
    sizes |= {"rate": max(1, round(min(rate, 1e12))), "classes": net.classes, "features": _features(net)}
    for metric, values in params.items():
        module = plugins.load("metrics", metric)
        new = {name for name in answers.of(module.NEEDS) if name not in seen and not answers.there(name)}
        seen |= new
        price = getattr(module, "price", None)
        passes = sum(sizes[name] for name in new) + (price(sizes, values) if price else 0)
        made = sum(sizes[name] for name in new if name.startswith("corrupt/"))
        beside = BESIDE + (0 if price else sizes["test"] * (RESAMPLED + RESAMPLED_CLASS * net.classes))
        found[metric] = beside + passes / rate + CORRUPTED * made * high * wide / 32**2
    return found


def _features(net: Specimen) -> int:
    """Numbers that its blocks give out together, averaged over positions; 0 of a net without blocks."""
    taps = [Tap.behind(block) for block in blocks_of(net.model)]
    return sum(widths_of(net, taps)) if taps else 0


def told(seconds: Mapping[str, float]) -> str:
    """How long they take together, in words."""
    total = sum(seconds.values())
    return f"about {max(1, total):.0f} s" if total < 90 else f"about {total / 60:.0f} min"


@dataclass
class Meter:
    """Says how far an audit is, by what its metrics were priced at."""

    reporter: Reporter
    seconds: Mapping[str, float]
    """Priced, by metric."""
    poll: Callable[[], None]
    """Raises where somebody asked to stop."""
    name: str = ""
    over: float = 0.0
    """Priced seconds of the metrics that are done."""
    began: float = field(default_factory=time.monotonic)

    def begin(self, name: str, head: str) -> None:
        """The metric `name` begins; `head` is how it is called."""
        self.name, self.head, self.began = name, head, time.monotonic()
        self.reporter.note(head)

    def end(self) -> None:
        """It is done."""
        self.over += self.seconds.get(self.name, 0.0)

    def tick(self) -> None:
        """Called from within it; raises where somebody asked to stop."""
        self.poll()
        spent = min(time.monotonic() - self.began, self.seconds.get(self.name, 0.0))
        self.reporter.work(self.head, self.over + spent, sum(self.seconds.values()))
