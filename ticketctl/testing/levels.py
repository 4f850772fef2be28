"""Claims about what comes out: masks, the weights they lie on, what it took."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch

from ticketctl.errors import UsageError
from ticketctl.testing.case import Case, Drawn
from ticketctl.testing.subject import Folders, Subject, no_waiting
from ticketctl.testing.watch import bits, refusal
from ticketctl.train.feed import Images
from ticketctl.train.lab import Level
from ticketctl.train.state import State

REWIND = "2it"


class LevelClaims(Subject):
    """Masks are exact, nested, over the prunable weights; levels start where they say; the cost is the truth."""

    def test_the_deepest_level_keeps_exactly_what_was_asked(self, tmp_path_factory: Folders) -> None:
        """floor(N d + 1/2) of the N prunable weights."""
        drawn = self.drawn(tmp_path_factory)
        size = sum(shape.numel() for shape in drawn.setting.shapes.values())
        kept = drawn.levels[-1].mask.kept
        spec = drawn.setting.recipe.draw
        assert spec is not None
        if self.sets_its_own_density(self.case(tmp_path_factory)) or spec.density is None:
            assert 0 < kept < size, f"{kept} of {size} weights kept: nothing was pruned, or everything"
        else:
            wanted = math.floor(size * spec.density + Fraction(1, 2))
            assert kept == wanted, f"{kept} of {size} weights kept, not {wanted}; use kept_count and top"

    def test_masks_lie_on_the_prunable_weights(self, tmp_path_factory: Folders) -> None:
        """Bool, of the same names in the same order, and of the same shapes, on the CPU."""
        drawn = self.drawn(tmp_path_factory)
        for number, level in enumerate(drawn.levels):
            keep = level.mask.keep
            assert list(keep) == list(drawn.setting.shapes), f"level {number} masks {list(keep)}"
            for name, shape in drawn.setting.shapes.items():
                told = f"level {number}, {name}"
                assert keep[name].shape == shape, (
                    f"{told}: shape {tuple(keep[name].shape)}, not {tuple(shape)}"
                )
                assert keep[name].dtype == torch.bool, f"{told}: {keep[name].dtype}, not bool"
                assert keep[name].device.type == "cpu", f"{told}: on {keep[name].device}"

    def test_level_0_keeps_everything_and_each_level_less(self, tmp_path_factory: Folders) -> None:
        """Each mask is a subset of the one before."""
        levels = self.drawn(tmp_path_factory).levels
        assert len(levels) > 1, "no level but the first"
        assert levels[0].mask.kept == levels[0].mask.size, "level 0 is the dense net"
        for number, (above, below) in enumerate(pairwise(levels), 1):
            assert below.mask.kept < above.mask.kept, f"level {number} keeps no fewer than the one before"
            assert below.mask <= above.mask, f"level {number} keeps weights that the one before had lost"

    def test_masks_of_two_densities_are_nested_if_it_says_so(self, tmp_path_factory: Folders) -> None:
        """At twice the density the mask keeps all that it keeps at once."""
        case, drawn = self.case(tmp_path_factory), self.drawn(tmp_path_factory)
        said = getattr(case.module, "FACTS", {}).get("nested", "").partition(";")[0] == "yes"
        spec = drawn.setting.recipe.draw
        assert spec is not None
        if not (said if self.nested is None else self.nested):
            return
        if spec.density is None or self.sets_its_own_density(case):
            return
        with no_waiting():
            wider = case.drawn(changes={"draw": {"density": str(min(1, 2 * spec.density))}})
        small, large = drawn.levels[-1].mask, wider.levels[-1].mask
        assert small <= large, (
            f"{small.kept} kept weights are not among the {large.kept} of twice the density"
        )

    def test_the_cost_is_what_it_takes(self, tmp_path_factory: Folders) -> None:
        """`cost` gives the number of trainings and their epochs; with `at_most`, neither is exceeded."""
        _check_cost(self.drawn(tmp_path_factory))

    def test_levels_start_from_the_rewind_point_to_the_bit(self, tmp_path_factory: Folders) -> None:
        """All weights, biases and buffers, pruned ones included, are those that the dense net passed through."""
        _check_starts(self.case(tmp_path_factory), self.drawn(tmp_path_factory))

    def test_a_rewind_point_is_honoured_or_refused(self, tmp_path_factory: Folders) -> None:
        """With `rewind = "2it"`: levels start there and the cost is still the truth, or a UsageError says why not."""
        case = self.case(tmp_path_factory)
        drawn: list[Drawn] = []
        with no_waiting():
            changes = {"draw": {"rewind": REWIND}}
            error = refusal(UsageError, lambda: drawn.append(case.drawn(changes=changes)))
        if error is not None:
            assert "rewind" in str(error), f"refused without a word on the rewind point: {error}"
        for one in drawn:
            _check_starts(case, one)
            _check_cost(one)

    def test_the_ticket_gives_finite_logits(self, tmp_path_factory: Folders) -> None:
        """The net that the ticket starts from, masked, on the test images."""
        drawn = self.drawn(tmp_path_factory)
        level, bench = drawn.levels[-1], drawn.setting.bench
        logits = _logits(drawn, level)
        assert bool(logits.isfinite().all()), "NaN or infinite"
        if level.fit is not None:
            level.fit.end().load_into(bench.model)
            for name, keep in level.mask.keep.items():
                weight = bench.model.get_parameter(name)
                assert not bool(weight[~keep].count_nonzero()), f"{name}: the training's mask is another one"

    def test_notes_are_plain_json_without_a_path(self, tmp_path_factory: Folders) -> None:
        """They are stored in the ticket, whose id depends on them."""
        drawn = self.drawn(tmp_path_factory)
        for number, level in enumerate(drawn.levels):
            notes = dict(level.notes)
            text = json.dumps(notes, allow_nan=False)
            assert json.loads(text) == notes, f"level {number}: {notes} comes back as {text}"
            for place in (drawn.lab.folder, Path.cwd(), Path.home()):
                assert place == Path("/") or str(place) not in text, f"level {number}: {place} in {text}"

    def test_scores_lie_on_the_mask(self, tmp_path_factory: Folders) -> None:
        """Floating point numbers of the names and shapes of the mask, where a level has any."""
        for number, level in enumerate(self.drawn(tmp_path_factory).levels):
            if level.scores is not None:
                found = {name: score.shape for name, score in level.scores.items()}
                assert found == dict(level.mask.shapes()), f"level {number}: {found}"
                for name, score in level.scores.items():
                    assert score.is_floating_point(), f"level {number}, {name}: {score.dtype}"
                    assert not bool(score.isnan().any()), f"level {number}, {name}: NaN"


def _check_cost(drawn: Drawn) -> None:
    cost, fits = drawn.cost, drawn.lab.fits
    epochs = Fraction(sum(fit.steps for fit in fits), drawn.setting.bench.feed.steps_per_epoch)
    told = f"cost() says {cost}, it took {len(fits)} trainings of {float(epochs):g} epochs in all"
    if cost.at_most:
        assert len(fits) <= cost.trainings, told
        assert epochs <= cost.epochs + 1e-9, told
    else:
        assert len(fits) == cost.trainings, told
        assert abs(epochs - cost.epochs) < 1e-9, told


def _check_starts(case: Case, drawn: Drawn) -> None:
    """Against a dense training of our own, to the rewind point and no further."""
    setting, step = drawn.setting, drawn.setting.rewind_step()
    lab = case.lab(setting)
    with no_waiting():
        truth = lab.fit(lab.initial, None, until=step).end() if step else setting.initial
    for number, level in enumerate(drawn.levels):
        if level.role is None:
            assert level.start.step == step, f"level {number} starts at step {level.start.step}, not {step}"
            other = _other(bits(level.start.weights), bits(truth.weights))
            assert not other, (
                f"level {number} starts from other values of {other}; if it should, name its role"
            )


def _other(found: Mapping[str, bytes], truth: Mapping[str, bytes]) -> list[str]:
    return [name for name in {**truth, **found} if found.get(name) != truth.get(name)]


@torch.no_grad()
def _logits(drawn: Drawn, level: Level) -> torch.Tensor:
    """Of the test images, by the masked start."""
    bench = drawn.setting.bench
    weights = dict(level.start.weights)
    for name, keep in level.mask.keep.items():
        weights[name] = weights[name] * keep
    State(weights).load_into(bench.model)
    images = bench.exams["test"]
    assert isinstance(images, Images)
    inputs, _ = images.batch(0, len(images))
    logits: torch.Tensor = bench.model.eval()(inputs)
    return logits
