"""The suite over draw methods can fail: a method with one fault breaks the claim about it, and a sound one none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch

from ticketctl import plugins
from ticketctl.errors import DivergedError
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, top
from ticketctl.testing import DrawSuite
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Cost, Lab, Level, Plan, Target
from ticketctl.train.state import State

CLAIMS = [name for name in dir(DrawSuite) if name.startswith("test_")]
FROM_SOURCE = ("help", "keys_are")
"""Claims that read a module's file, which the methods here do not have."""


@dataclass(frozen=True)
class Params:
    scale: str = "none"
    """Nothing."""


class Restless(Hooks):
    """Counts steps; with the fault it forgets them when it is killed."""

    def __init__(self, forgets: bool) -> None:
        self.forgets, self.steps = forgets, 0

    def identity(self) -> dict[str, Any]:
        return {"name": "restless", "forgets": self.forgets}

    def step(self, loop: Course) -> None:
        self.steps += 1

    def state(self) -> dict[str, torch.Tensor]:
        return {"steps": torch.tensor(self.steps)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.steps = 0 if self.forgets else int(tensors["steps"])


class Method(ModuleType):
    """|w| at the start plus a little chance and a count of steps, with one `fault`."""

    Params = Params
    FACTS: ClassVar[dict[str, str]] = {"nested": "yes; if it has no fault"}

    def __init__(self, fault: str = "") -> None:
        super().__init__("faulty")
        self.fault = fault

    def cost(self, plan: Plan, params: Params) -> Cost:
        dense = 1 if plan.rewind else 0
        extra = 1 if self.fault == "cost" else 0
        return Cost(2 + dense + extra, 2 * plan.epochs - plan.skipped, at_most=self.fault == "at most")

    def draw(self, lab: Lab, *, target: Target, params: Params) -> Iterator[Level]:
        count = self.count(lab, target.density or Fraction(1, 2))
        start = lab.start_point()
        yield Level(lab.full(), start, None)
        counted = self.counted(lab, start)
        scores = self.scores(lab, start, counted, target.density or Fraction(1, 2))
        self.mischief(lab)
        mask = top(scores, count)
        if self.fault == "nesting":
            yield Level(top({name: -score for name, score in scores.items()}, mask.kept + 9), start, None)
        if self.fault == "names":
            mask = Mask(dict(reversed(mask.keep.items())))
        first = self.start(start)
        notes: dict[str, Any] = {"counted": (counted,) if self.fault == "notes" else [counted]}
        if self.fault == "path":
            notes["path"] = str(lab.folder)
        if self.fault == "score shapes":
            scores = {name: score.reshape(-1) for name, score in scores.items()}
        yield Level(mask, first, lab.fit(first, mask), notes=notes, scores=scores)

    def counted(self, lab: Lab, start: State) -> int:
        try:
            fit = lab.fit(start, None, hooks=(Restless(self.fault == "forgets"),))
        except DivergedError:
            if self.fault != "deaf":
                raise
            return 0
        if self.fault == "ranks NaN":
            return int(fit.end().weights["fc.weight"].isnan().sum())
        return int(fit.hook(0)["steps"])

    def scores(self, lab: Lab, start: State, counted: int, density: Fraction) -> dict[str, torch.Tensor]:
        found = {name: start.weights[name].abs() for name in lab.shapes}
        if self.fault == "not nested":
            found = {name: score.roll(round(float(density) * 1000)) for name, score in found.items()}
        if self.fault in ("ranks NaN", "forgets"):
            found = {name: score.roll(counted) for name, score in found.items()}
        if self.fault == "unseeded":
            found = {name: torch.rand(shape) for name, shape in lab.shapes.items()}
        if self.fault == "one seed":
            found = {
                name: torch.arange(shape.numel()).float().view(shape) for name, shape in lab.shapes.items()
            }
        return found

    def mischief(self, lab: Lab) -> None:
        if self.fault == "eval":
            lab.bench.model.eval()
        elif self.fault == "gradients":
            next(lab.bench.model.parameters()).sum().backward()
        elif self.fault == "weights":
            lab.bench.model.state_dict()["fc.bias"].add_(1)
        elif self.fault == "lab":
            lab.initial.weights["fc.bias"].add_(1)
        elif self.fault == "random state":
            torch.rand(1)
        elif self.fault == "prints":
            print("here I am")
        elif self.fault == "prints below":
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"here I am")
        elif self.fault == "writes":
            with open("scores.txt", "w", encoding="utf-8") as file:
                file.write("1")

    def count(self, lab: Lab, density: Fraction) -> int:
        size = lab.full().size
        if self.fault == "keeps none":
            return max(1, int(size * density))
        return kept_count(size, density) + (1 if self.fault == "count" else 0)

    def start(self, start: State) -> State:
        if self.fault == "start":
            return State({**start.weights, "fc.bias": start.weights["fc.bias"] + 1}, start.step)
        return State(start.weights, 0) if self.fault == "start step" else start


FAULTS = {
    "count": "keeps_exactly",
    "names": "masks_lie",
    "nesting": "each_level_less",
    "not nested": "of_two_densities",
    "cost": "the_cost",
    "start": "levels_start",
    "start step": "a_rewind_point",
    "notes": "notes_are",
    "path": "notes_are",
    "score shapes": "scores_lie",
    "unseeded": "the_same_seed",
    "one seed": "another_seed",
    "eval": "it_leaves",
    "gradients": "it_leaves",
    "weights": "it_leaves",
    "lab": "it_leaves",
    "random state": "it_leaves",
    "prints": "it_prints",
    "prints below": "it_prints",
    "writes": "it_writes",
    "deaf": "a_net_that_diverges",
    "ranks NaN": "trained_weights",
    "keeps none": "a_density_that",
    "forgets": "killed_at",
}


def claims_of(fault: str, monkeypatch: pytest.MonkeyPatch) -> DrawSuite:
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: Method(fault) if name == "faulty" else load(kind, name)
    )
    return type("Faulty", (DrawSuite,), {"method": "faulty"})()


@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
def test_a_fault_is_found(
    fault: str, words: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = claims_of(fault, monkeypatch)
    [claim] = [name for name in CLAIMS if words in name]
    with pytest.raises(AssertionError):
        getattr(suite, claim)(tmp_path_factory)


@pytest.mark.long
def test_a_sound_method_passes_every_claim(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fault in ("", "at most"):
        suite = claims_of(fault, monkeypatch)
        for claim in CLAIMS:
            if not any(word in claim for word in FROM_SOURCE):
                getattr(suite, claim)(tmp_path_factory)
