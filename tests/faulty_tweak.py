"""Louder: multiply the loss by a number that grows with the steps.

L' = L (1 + strength n / 10) after n steps, those counted by the tweak itself. Nobody 2026: made to be broken, by the
test of the suite over tweaks, which writes it down once for each FAULT.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.train.course import Course
from ticketctl.train.hooks import Batch, Hooks
from ticketctl.train.kit import Kit

FAULT, NAME = "", "faulty"

FACTS = {"changes": "loss", "cost": "none"}
EXCLUDES = {"mish": "for no reason at all"}
RANK = 3
ZERO = {"strength": 0.0}


@dataclass(frozen=True)
class Params:
    """Keys."""

    strength: float = 0.5
    """How much louder, from 0."""
    form: Literal["product", "square"] = "product"
    """Whether the number is squared."""


def tweak(kit: Kit, *, params: Params) -> Hooks:
    if FAULT == "another error" and params.strength < 0:
        raise ValueError("strength")
    if not 0 <= params.strength < math.inf and FAULT != "takes NaN":
        more = "\nor more" if FAULT == "two lines" else " or more"
        key = "strength" if FAULT == "no name" else f"tweaks.{NAME}.strength"
        raise UsageError(f"{key} = {params.strength:g} must be 0{more}")
    if FAULT == "mask of the kit" and kit.mask is not None:
        kit.mask.keep["fc.weight"][0, 0] ^= True
    if FAULT == "net of the kit":
        kit.bench.model.eval()
    return (Mover if FAULT == "moves the mask" else Louder)(params)


class Louder(Hooks):
    def __init__(self, params: Params) -> None:
        self.params, self.steps, self.uses = params, 0, 0

    def identity(self) -> dict[str, Any]:
        said: dict[str, Any] = {"tweak": NAME, **asdict(self.params)}
        if FAULT == "forgets a key":
            del said["form"]
        elif FAULT == "same for all":
            said["form"] = "product"
        elif FAULT == "no JSON":
            said["pair"] = (1, 2)
        elif FAULT == "other identity":
            said["steps"] = self.uses
        return said

    def plan(self, train: TrainSpec) -> TrainSpec:
        return train.model_copy(update={"epochs": train.epochs + (FAULT == "longer")})

    def model(self, net: nn.Module, seeds: Seeds) -> None:
        if FAULT == "alien weight":
            net.louder = nn.Linear(1, 1)
        elif FAULT in ("own weight", "unseeded weight"):
            own = nn.Module()
            own.bias = nn.Parameter(torch.rand(2) if FAULT == "unseeded weight" else torch.ones(2))
            net.tweak = nn.Module()
            net.tweak.add_module(NAME.replace("-", "_"), own)

    def start(self, loop: Course) -> None:
        self.alone = len(loop.machine.hooks) == 1
        if FAULT == "forgets in company" and loop.begun and not self.alone:
            self.steps = 0
        if FAULT == "random state":
            torch.rand(1)
        elif FAULT == "python's random state":
            random.random()
        elif FAULT == "prints":
            print("here I am")
        elif FAULT == "prints below":
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"here I am")
        elif FAULT == "warns":
            warnings.warn("here I am", stacklevel=1)
        elif FAULT == "writes":
            with open("log.json", "w", encoding="utf-8") as file:
                json.dump(1, file)

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        self.uses += 1
        if FAULT == "idle":
            return value
        number = self.params.strength * self.steps / 10
        if FAULT == "never zero":
            number += 0.01
        if FAULT == "unseeded":
            number += float(torch.rand(()))
        return value * (1 + (number if self.params.form == "product" else number**2))

    def grads(self, loop: Course) -> bool:
        if FAULT == "second pass" and loop.step == 3:
            weight = loop.parameters["fc.weight"]
            kept = weight.detach().clone()
            with torch.no_grad():
                weight.add_(0.01)
            loop.again()
            with torch.no_grad():
                weight.copy_(kept)
        return True

    @torch.no_grad()
    def step(self, loop: Course) -> None:
        self.steps += 1
        if loop.step == 2 and (FAULT == "leaks" or (FAULT == "leaks in company" and not self.alone)):
            loop.parameters["fc.weight"].add_(0.01)

    @torch.no_grad()
    def finish(self, loop: Course) -> None:
        if FAULT == "constant":
            for value in loop.model.state_dict().values():
                value.fill_(1)
            for name, keep in loop.masks.items():
                loop.parameters[name].mul_(keep)

    def state(self) -> dict[str, Tensor]:
        return {"steps": torch.tensor(self.steps)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.steps = 0 if FAULT == "forgets" else int(tensors["steps"])


class Mover(Louder):
    moves_mask = True

    def finish(self, loop: Course) -> None:
        keep = {name: kept.clone() for name, kept in loop.mask.keep.items()}
        keep["fc.weight"].view(-1)[int(keep["fc.weight"].view(-1).int().argmax())] = False
        loop.set_mask(Mask(keep))
