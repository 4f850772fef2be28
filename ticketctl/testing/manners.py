"""Claims about how a method goes about it: repeatable, quiet, leaving no trace; and what it refuses."""

from __future__ import annotations

import random  # noqa: TID251  # disturbed, not used
import re
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from ticketctl import plugins
from ticketctl.errors import DivergedError, TicketctlError, UsageError
from ticketctl.recipe import DrawSpec
from ticketctl.stages.method import method_of
from ticketctl.testing.subject import Folders, Subject, no_waiting
from ticketctl.testing.watch import Watched, bits, mask_bits, refusal, with_nan
from ticketctl.train.lab import Level
from ticketctl.train.state import State

HUGE = 1e38
"""A learning rate after whose first step nothing is finite."""
TINY = "1/1000000"
"""A density that keeps not one weight of the net."""


class Manners(Subject):
    """Same seed, same bits; nothing but the levels comes out; what is not finite is never ranked."""

    def test_the_same_seed_gives_the_same_bits(self, tmp_path_factory: Folders) -> None:
        """Wherever the global random states stand, whatever the threads were, in whatever order weights are given."""
        case, first = self.case(tmp_path_factory), self.drawn(tmp_path_factory)
        torch.rand(7)
        np.random.random(3)
        random.random()
        threads = torch.get_num_threads()
        torch.set_num_threads(threads + 1)
        try:
            with no_waiting():
                again = case.drawn(turn=lambda state: State(dict(reversed(list(state.weights.items())))))
        finally:
            torch.set_num_threads(threads)
        assert len(again.levels) == len(first.levels), "another number of levels"
        for number, (level, other) in enumerate(zip(first.levels, again.levels, strict=True)):
            assert _facts(level) == _facts(other), f"level {number} came out differently the second time"

    def test_another_seed_gives_another_mask(self, tmp_path_factory: Folders) -> None:
        """Of the same size. A method that cannot says `seeded = False`."""
        case, first = self.case(tmp_path_factory), self.drawn(tmp_path_factory)
        with no_waiting():
            other = case.drawn(seed=1)
        if not self.sets_its_own_density(case):
            assert [level.mask.kept for level in other.levels] == [level.mask.kept for level in first.levels]
        if self.seeded:
            deepest = [mask_bits(drawn.levels[-1].mask) for drawn in (first, other)]
            assert deepest[0] != deepest[1], "the same mask from two seeds; take chance from lab.seeds"

    def test_it_leaves_net_and_process_as_they_were(self, tmp_path_factory: Folders) -> None:
        """Between trainings: weights, buffers, modes, gradients, global random states, what the lab holds."""
        traces = self.drawn(tmp_path_factory).lab.traces
        assert not traces, "; ".join(traces[:5])

    def test_it_prints_nothing(self, tmp_path_factory: Folders) -> None:
        """What users should read goes through lab.note."""
        heard = self.drawn(tmp_path_factory).heard
        assert not heard, f"printed: {heard}"

    def test_it_writes_below_its_folder_alone(self, tmp_path_factory: Folders) -> None:
        """The lab's own trainings are all that it leaves on disk."""
        strays = self.drawn(tmp_path_factory).strays
        assert not strays, f"left behind: {strays}"

    # ------------------------------------------------------------------------------------------------ what is refused

    def test_a_net_that_diverges_is_never_ranked(self, tmp_path_factory: Folders) -> None:
        """At a learning rate of 1e38 the draw ends with a DivergedError, at the first training that diverges."""
        case = self.case(tmp_path_factory)
        setting = case.setting(changes={"train": {"lr": HUGE}})
        lab = case.lab(setting)
        with no_waiting():
            error = refusal(DivergedError, lambda: list(case.levels(setting, lab)))
        assert not any(fit.diverged for fit in lab.fits[:-1]), "it went on after a training that diverged"
        assert error is not None or not lab.fits, "a training diverged, and nothing was said"

    def test_weights_that_are_not_finite_are_refused(self, tmp_path_factory: Folders) -> None:
        """A NaN among the initial weights is a DivergedError; before any training it names the layer."""
        case = self.case(tmp_path_factory)
        setting = case.setting()
        name = max(setting.shapes, key=lambda layer: setting.shapes[layer].numel())
        sick = {**setting.initial.weights, name: with_nan(setting.initial.weights[name])}
        lab = case.lab(setting, initial=State(sick))
        with no_waiting():
            error = refusal(TicketctlError, lambda: list(case.levels(setting, lab)))
        assert error is not None, f"a NaN in {name} was ranked, or trained"
        _names_a_layer(error, lab)

    def test_trained_weights_that_are_not_finite_are_never_ranked(self, tmp_path_factory: Folders) -> None:
        """A NaN in what a training gives back is a DivergedError that names the layer, or does not touch the mask."""
        case, first = self.case(tmp_path_factory), self.drawn(tmp_path_factory)
        setting = case.setting()
        name = max(setting.shapes, key=lambda layer: setting.shapes[layer].numel())
        lab = case.lab(setting, poison=name)
        levels: list[Level] = []
        with no_waiting():
            error = refusal(TicketctlError, lambda: levels.extend(case.levels(setting, lab)))
        if error is not None:
            _names_a_layer(error, lab)
        else:
            found, truth = (mask_bits(some[-1].mask) for some in (levels, first.levels))
            assert found == truth, f"a NaN in {name} after a training made another mask, and nothing was said"

    def test_a_density_that_keeps_nothing_is_refused_before_any_training(
        self, tmp_path_factory: Folders
    ) -> None:
        """With a UsageError; also where the method takes no density at all."""
        case = self.case(tmp_path_factory)
        setting = case.setting(changes={"draw": {"density": TINY}})
        lab = case.lab(setting)
        with no_waiting():
            error = refusal(UsageError, lambda: list(case.levels(setting, lab)))
        assert error is not None, f"density {TINY} of 644 weights was not refused; use kept_count"
        assert lab.calls == 0, "trained first, refused then"

    def test_an_unknown_key_is_refused_with_the_near_miss(self, tmp_path_factory: Folders) -> None:
        """Keys are the fields of Params."""
        case = self.case(tmp_path_factory)
        names = sorted((part.name for part in fields(case.module.Params)), key=len)
        wrong = f"{names[-1]}z" if names else "rate"
        error = refusal(UsageError, lambda: method_of(case.recipe({"draw": {wrong: "1"}})))
        assert error is not None, f"draw.{wrong} was taken for a key"
        assert f"draw.{wrong}" in str(error), str(error)
        assert not names or f"did you mean {names[-1]!r}?" in str(error), str(error)

    # ------------------------------------------------------------------------------------------------ what it says

    def test_its_help_is_one_line_and_its_text_cites_its_source(self) -> None:
        """The docstring's first line stands in lists; the rest names a paper or a year."""
        plugin, text = plugins.plugins("draws")[self.method], plugins.describe("draws", self.method)
        assert 10 < len(plugin.help) < 120, f"{len(plugin.help)} characters of help: {plugin.help!r}"
        cited = re.search(r"\b(19|20)\d\d\b|\b[Pp]apers? 00\d", text)
        assert cited, "the module's docstring names no paper and no year"

    def test_its_keys_are_frozen_described_and_its_own(self, tmp_path_factory: Folders) -> None:
        """Params is a frozen dataclass with a string below each field; no key hides one that all methods share."""
        params: Any = self.case(tmp_path_factory).module.Params
        assert hasattr(params, "__dataclass_params__"), "Params is no dataclass"
        assert params.__dataclass_params__.frozen, "Params is not frozen"
        taken = {part.name for part in fields(params)} & set(DrawSpec.model_fields)
        assert not taken, f"{sorted(taken)} are keys of every method"
        said = plugins.describe("draws", self.method)
        for part in fields(params):
            line = re.search(rf"^  {re.escape(part.name)}( = .*?)?: *(\S.*)$", said, flags=re.M)
            assert line, f"{part.name} has no string below it that says what it means"


def _facts(level: Level) -> dict[str, object]:
    """All that a level says, but where it lies."""
    trained = None if level.fit is None else (level.fit.key, bits(level.fit.end().weights), level.fit.steps)
    scores, record = (None if some is None else bits(some) for some in (level.scores, level.record))
    start = (bits(level.start.weights), level.start.step, level.role)
    return {
        "mask": mask_bits(level.mask),
        "start": start,
        "fit": trained,
        "notes": dict(level.notes),
        "scores": scores,
        "record": record,
    }


def _names_a_layer(error: TicketctlError, lab: Watched) -> None:
    """Unless it was a training that refused."""
    if not lab.training:
        assert isinstance(error, DivergedError), f"not a DivergedError, but {error!r}"
        assert any(name in str(error) for name in lab.shapes), f"names no layer: {error}"
