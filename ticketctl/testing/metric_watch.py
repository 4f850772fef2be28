"""Looking over a metric's shoulder: what it found, what it printed, and what it left changed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ticketctl.errors import StoppedError
from ticketctl.testing.metric_case import PLAIN, Form, MetricCase, Shown, bits_of, shuffled
from ticketctl.testing.watch import changed, listening, mask_bits, net_state, process_state
from ticketctl.train.exam import Absent, Measurement

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Seen:
    """One measurement."""

    form: Form
    found: Measurement | None
    """None: there was nothing to measure, or it failed."""
    reason: str | None
    """Why there was nothing to measure."""
    error: Exception | None
    """What it failed with."""
    polls: int
    """How often it asked whether to stop."""
    read: frozenset[str]
    """Sets whose answers it read."""
    traces: list[str]
    """What it changed."""
    heard: list[str]
    warned: list[str]
    strays: list[str]
    """Files that it wrote."""

    @property
    def measurement(self) -> Measurement:
        """What it found, on a subject that it can measure."""
        assert self.error is None, f"on {self.form.name} it raises {self.error!r}"
        assert self.found is not None, (
            f"on {self.form.name} there is nothing to measure: {self.reason}; give keys with which there is, "
            "or say `absent = True`"
        )
        return self.found


@dataclass
class Stop:
    """Counts the times that it is asked, and stops at one of them."""

    at: int | None
    times: int = 0

    def __call__(self) -> None:
        """Asked; raises to stop."""
        self.times += 1
        if self.at is not None and self.times >= self.at:
            raise StoppedError("stopped", 75)


def seen(
    case: MetricCase,
    folder: Path,
    form: Form = PLAIN,
    *,
    seed: int = 0,
    stop_at: int | None = None,
    other_order: bool = False,
) -> Seen:
    """Measure and watch.

    Args:
        case: the metric.
        folder: an empty folder to work in.
        form: what is measured.
        seed: of the audit.
        stop_at: at which question whether to stop the answer is yes.
        other_order: the images of each set come in another order; of metrics of answers alone.
    """
    stop = Stop(stop_at)
    shown, params = case.shown(form, stop), case.params()
    shown = shuffled(shown) if other_order else shown
    before, found, reason, error = state(shown), None, None, None
    with warnings.catch_warnings(record=True) as warned, listening() as heard, chdir(folder):
        warnings.simplefilter("always")
        try:
            found = case.module.measure(shown.exam(seed), params=params)
        except Absent as absent:
            reason = str(absent)
        except Exception as problem:  # whatever somebody's code raises is what is looked at
            error = problem
    strays = sorted(path.name for path in folder.iterdir())
    said = [f"{each.category.__name__}: {each.message}" for each in warned]
    return Seen(
        form, found, reason, error, stop.times, frozenset(shown.read), changed(before, state(shown)), heard,
        said, strays,
    )  # fmt: skip


def state(shown: Shown) -> dict[str, Any]:
    """All that a metric has to leave as it is, by what a message calls it."""
    found = {**process_state(), **_answers(shown)}
    if shown.net is None:
        return found
    net = shown.net
    found |= {**net_state(net.model), **_layers(net.model)}
    if net.mask is not None:
        found |= {f"the mask of {name}": value for name, value in mask_bits(net.mask).items()}
    for name, images in net.images.items():
        found |= {
            f"the {name} images": bits_of(images.pixels),
            f"the labels of the {name} images": bits_of(images.labels),
        }
    return found


def _answers(shown: Shown) -> Mapping[str, bytes]:
    return {
        f"the answers to {name}": bits_of(one.logits) + bits_of(one.labels)
        for name, one in shown.answers.items()
    }


def _layers(model: nn.Module) -> dict[str, Any]:
    kinds = {f"the layer {path or 'itself'}": type(each) for path, each in model.named_modules()}
    hooks = {
        f"the number of hooks on {path or 'the net'}": sum(len(getattr(each, kind)) for kind in HOOKS)
        for path, each in model.named_modules()
    }
    own = {
        f"methods of {path or 'the net'}": sorted(vars(each).keys()) for path, each in model.named_modules()
    }
    return {**kinds, **hooks, **own}
