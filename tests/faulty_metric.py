"""Doubt: how close the second answer comes to the first, under a little noise on the pixels.

The mean over images of p2 / p1, the two largest softmax probabilities, each image with its own noise of strength s.
Nobody 2026: made to be broken, by the test of the suite over metrics, which writes it down once for each FAULT.
"""

from __future__ import annotations

import math
import os
import random
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ticketctl.errors import StoppedError, UsageError
from ticketctl.train.exam import Absent, Exam, Measurement, Value

FAULT, NAME = "", "faulty"

FACTS = {"data": "test", "cost": "1 pass over the test images"}
NEEDS = ("net", "test")
BETTER = {"doubt": "lower", "doubt.most": "lower"}
ASKED = True
PASSED: list[int] = []


@dataclass(frozen=True)
class Params:
    """Keys."""

    noise: float = 0.01
    """Its strength s, from 0."""
    form: Literal["ratio", "difference"] = "ratio"
    """Whether p2 is divided by p1, or taken from it."""

    def __post_init__(self) -> None:
        if FAULT == "another error" and self.noise < 0:
            raise RuntimeError("noise")
        if FAULT == "takes less" and self.noise < 0:
            return
        if not 0 <= self.noise < math.inf and FAULT != "takes NaN":
            more = "\nor more" if FAULT == "two lines" else " or more"
            key = "noise" if FAULT == "no name" else f"metrics.{NAME}.noise"
            raise UsageError(f"{key} = {self.noise:g} must be 0{more}")


def price(sizes: Mapping[str, int], params: Params) -> Any:
    return {"price in words": "cheap", "negative price": -1.0, "falling price": 1e6 / sizes["test"]}.get(
        FAULT, sizes["test"]
    )


def measure(exam: Exam, *, params: Params) -> Measurement:
    if FAULT == "absent":
        raise Absent("none of this is to be had here")
    doubts = _of_net(exam, params) if exam.net is not None else _of_answers(exam)
    if FAULT == "counts calls":
        PASSED.append(1)
        doubts = doubts + len(PASSED)
    first = "first" if FAULT == "another first" else "doubt"
    values = {first: Value.mean(doubts), "doubt.most": Value(float(doubts.max()), None, len(doubts))}
    values |= _odd_rows(doubts)
    return Measurement(values, _protocol(), {_array_name(): _array(doubts)})


def _of_answers(exam: Exam) -> Any:
    if FAULT == "reads others":
        exam.answers("train")
    seen = exam.answers("test")
    doubts = _doubts(torch.from_numpy(seen.logits).double(), "ratio")
    if FAULT == "order":
        doubts = doubts * np.arange(len(doubts))
    elif FAULT == "seed":
        doubts = doubts + int(exam.seeds.raw("perturb", count=1)[0] % 7)
    elif FAULT == "answers":
        seen.logits[0] += 1
    return doubts


def _of_net(exam: Exam, params: Params) -> Any:
    net = exam.specimen
    pixels = net.pixels("test")
    _fail(exam, pixels)
    count = pixels[0].numel()
    draws = [exam.seeds.raw("perturb", place, count=count) for place in range(len(pixels))]
    noise = torch.from_numpy(np.stack(draws).astype(np.float64) / 2**64).float().view_as(pixels)
    if FAULT == "unseeded":
        noise = torch.rand_like(noise)
    elif FAULT == "numpy's chance":
        noise = noise * float(np.random.random())
    weight = next(net.model.parameters())
    before = weight.detach().clone()
    _spoil(net.model, weight)
    try:
        if FAULT in ("never asks", "deaf"):
            logits = net.logits(pixels + params.noise * noise).detach()
            _ask_deaf(net)
        else:
            logits = net.said(pixels + params.noise * noise)
            net.poll()
    except StoppedError:
        if FAULT != "stopped amid":
            _mend(weight, before)
        raise
    _mend(weight, before)
    return _doubts(logits.double(), params.form)


def _ask_deaf(net: Any) -> None:
    if FAULT == "deaf":
        try:
            net.poll()
        except StoppedError:
            return


def _spoil(model: torch.nn.Module, weight: torch.Tensor) -> None:
    """Change the weights for a while, as some metrics do; and what its fault is."""
    with torch.no_grad():
        weight.mul_(1 + 2**-10)
    if FAULT == "mode":
        model.train()
        model.eval()
        next(iter(model.children())).train()
    elif FAULT == "gradient":
        weight.grad = torch.zeros_like(weight)
    elif FAULT == "hook":
        model.register_forward_hook(lambda *_: None)
    elif FAULT == "random state":
        torch.rand(1)
    elif FAULT == "Python's random state":
        random.random()
    elif FAULT == "prints":
        print("here I am")
    elif FAULT == "prints below":
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"here I am")
    elif FAULT == "warns":
        warnings.warn("here I am", stacklevel=1)
    elif FAULT == "writes":
        with open("log.json", "w", encoding="utf-8") as file:
            file.write("1")


def _mend(weight: torch.Tensor, before: torch.Tensor) -> None:
    if FAULT != "weights":
        with torch.no_grad():
            weight.copy_(before)


def _fail(exam: Exam, pixels: torch.Tensor) -> None:
    if FAULT == "grey alone" and pixels.shape[1] != 1:
        raise ValueError("3 channels")
    if FAULT == "no pruned layer" and any(not keep.any() for keep in exam.specimen.masks().values()):
        raise ValueError("nothing is left")
    if FAULT == "many images" and len(pixels) < 3:
        raise ValueError("too few")
    reason = "here it is\nnot to be had" if FAULT == "absent in lines" else ""
    if FAULT in ("absent in lines", "absent without a reason") and pixels.shape[1] != 1:
        raise Absent(reason)


def _doubts(logits: torch.Tensor, form: str) -> Any:
    two = logits.softmax(1).topk(2).values
    found = two[:, 1] / two[:, 0] if form == "ratio" else two[:, 0] - two[:, 1]
    return found.numpy()


def _odd_rows(doubts: Any) -> dict[str, Any]:
    return {
        "bad row name": {"doubt of all": Value(0.0, None, 1)},
        "negative error": {"doubt.most": Value(float(doubts.max()), -0.1, 1)},
        "no number": {"doubt.most": Value(math.nan, None, 1)},
        "a bare float": {"doubt.most": 1.0},
        "a half": {"doubt.most": Value(1.0, None, 1.5)},
        "a row less": {},
    }.get(FAULT, {})


def _protocol() -> dict[str, Any]:
    return (
        {"pair": (1, 2)}
        if FAULT == "a tuple"
        else {"eps": math.nan}
        if FAULT == "NaN said"
        else {"noise": "uniform"}
    )


def _array_name() -> str:
    return "doubt of each" if FAULT == "bad array name" else "doubt"


def _array(doubts: Any) -> Any:
    kind = {"half floats": np.float16, "truth": np.bool_}.get(FAULT, np.float64)
    return doubts.astype(kind) if FAULT != "nine dimensions" else doubts.reshape((1,) * 8 + (-1,))
