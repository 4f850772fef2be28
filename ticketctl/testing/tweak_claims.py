"""Claims about what comes out of a spend with a tweak: its weights, its mask, the ticket."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from ticketctl.artifacts.run import Run
from ticketctl.artifacts.verify import verify_run
from ticketctl.stages.tweaking import epochs_of
from ticketctl.store.tensors import Tensor
from ticketctl.testing.stops import differing, files_below
from ticketctl.testing.subject import Folders, no_waiting
from ticketctl.testing.tweak_case import LEVEL, Bought, TweakCase
from ticketctl.testing.tweak_subject import TweakSubject
from ticketctl.train.kit import ADDED


class TweakClaims(TweakSubject):
    """At zero strength nothing; otherwise no more than it is allowed to."""

    def test_at_zero_strength_the_training_is_the_plain_one_to_the_bit(
        self, tmp_path_factory: Folders
    ) -> None:
        """Weights, buffers and all that is measured on the way; a sequel leaves the net that it began from."""
        case = self.case(tmp_path_factory)
        zeros = self.zeros(case)
        if zeros is None:
            return
        with no_waiting():
            spent = case.bought(keys={**self.keys, **zeros})
        plain = self.plain(tmp_path_factory).run
        unlike = _unlike(spent.run.weights(), plain.weights())
        assert not unlike, f"with {dict(zeros)} the training ends in other bits of {unlike}"
        if spent.after is None:
            found, truth = (_metrics(run) for run in (spent.run, plain))
            assert found == truth, f"metrics {found}, not {truth}"
            assert _history(spent.run) == _history(plain), "other values on the way"

    def test_it_changes_the_training(self, tmp_path_factory: Folders) -> None:
        """With its keys it ends in other weights. A tweak that need not says `idle = True`."""
        weights, plain = (
            one.weights() for one in (self.bought(tmp_path_factory).run, self.plain(tmp_path_factory).run)
        )
        assert self.idle or _unlike(weights, plain), "the weights are those of the training without it"

    def test_the_plain_nets_weights_keep_their_names_and_its_own_are_called_after_it(
        self, tmp_path_factory: Folders
    ) -> None:
        """The state_dict after `finish` is the plain net's, and `tweak.<name>.…`, none of which is masked."""
        case = self.case(tmp_path_factory)
        setting = case.setting()
        net = case.dressed(setting, self.keys).setting.bench.model
        _check_names(self.tweak, net.state_dict(), setting.initial.weights)
        run = self.bought(tmp_path_factory).run
        _check_names(self.tweak, run.weights(), self.plain(tmp_path_factory).run.weights())
        masked = [name for name in run.mask() or {} if name.startswith(ADDED)]
        assert not masked, f"{masked} are masked"

    def test_pruned_weights_are_zero_at_every_step(self, tmp_path_factory: Folders) -> None:
        """In every pass, after every step and in the end. One that moves the mask: those of its own mask."""
        _check_pruned(self.case(tmp_path_factory), self.bought(tmp_path_factory))

    def test_pruned_weights_are_zero_at_every_step_beside_other_tweaks(
        self, tmp_path_factory: Folders
    ) -> None:
        """With `beside`, as far as they go together."""
        if self.companions():
            _check_pruned(self.case(tmp_path_factory), self.combined(tmp_path_factory))

    def test_it_takes_as_many_steps_as_a_plan_of_it_says(self, tmp_path_factory: Folders) -> None:
        """Those of the recipe's epochs; of none with STEPS = 0, of `length` of them with LENGTH."""
        spent, plain = self.bought(tmp_path_factory), self.plain(tmp_path_factory)
        taken, usual = (one.run.manifest.cost.steps for one in (spent, plain))
        planned = usual * Fraction(epochs_of(spent.spent[-1].job.recipe), plain.job.recipe.train.epochs)
        assert taken == planned, f"{taken} steps, where a dry run says {planned}: see LENGTH"

    def test_the_run_verifies_and_the_ticket_stays_as_it_was(self, tmp_path_factory: Folders) -> None:
        """Every file of it and of its levels; the run names it, and has its mask unless the tweak moves it."""
        case, spent = self.case(tmp_path_factory), self.bought(tmp_path_factory)
        ticket, manifest = case.ticket, spent.run.manifest
        wrong = [check for check in verify_run(spent.run.folder) if not check.ok]
        assert not wrong, wrong
        place = spent.spent[-1].job.ticket.folder.parent
        for part in ("ticket", "levels"):
            unlike = differing(files_below(place / part), files_below(case.origin / part))
            assert not unlike, f"{part}: others of {unlike}"
        assert manifest.ticket == ticket.ticket_id_at(LEVEL), "the run belongs to another ticket"
        assert manifest.arch.tweaks == (self.tweak,), f"the run says {manifest.arch.tweaks}"
        if case.says("DENSE", False):
            assert spent.run.mask() is None, "DENSE, and the run has a mask"
        elif not case.moves_mask:
            keep, truth = spent.run.mask() or {}, ticket.mask(LEVEL)
            same = keep.keys() == truth.keys() and all(
                np.array_equal(keep[name], truth[name]) for name in truth
            )
            assert same, "the run was trained under another mask; a tweak that moves it says so in FACTS"


def _check_names(tweak: str, found: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    lost = sorted(name for name in plain if name not in found or found[name].shape != plain[name].shape)
    assert not lost, f"of the plain net's tensors {lost} are gone, or have another shape"
    begin = f"{ADDED}{tweak.replace('-', '_')}."
    alien = sorted(name for name in found.keys() - plain.keys() if not name.startswith(begin))
    assert not alien, f"{alien} should be called {begin}…"


def _check_pruned(case: TweakCase, spent: Bought) -> None:
    """+0.0 in the files; in the training zeros may have either sign."""
    seen = spent.attendance
    if case.says("STEPS", None) != 0:
        assert seen.steps, "it took part in no step: does tweak() return a new Hooks each time?"
    assert not seen.leaks, f"{len(seen.leaks)} times; {seen.leaks[0]}"
    run = spent.run
    keep = run.mask() if case.moves_mask or case.says("DENSE", False) else case.ticket.mask(LEVEL)
    for name, kept in (keep or {}).items():
        words = np.frombuffer(run.weights()[name].data, np.uint32).reshape(kept.shape)
        wrong = int(np.count_nonzero(words[~kept]))
        assert not wrong, f"{wrong} pruned weights of {name} are not +0.0 in the end"


def _unlike(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> list[str]:
    """Names of the plain net's tensors that have other bits."""
    return sorted(
        name for name in truth if name not in found or bytes(found[name].data) != bytes(truth[name].data)
    )


def _metrics(run: Run) -> dict[str, str]:
    return {
        name: value for name, value in run.manifest.metrics.items() if not name.endswith("train.objective")
    }


def _history(run: Run) -> dict[str, bytes]:
    """What was measured on the way, but for what was minimised where that is another thing."""
    series = run.series()
    assert series is not None
    assert series.correct_bits is not None
    columns = zip(series.columns, series.scalars.T, strict=True)
    found = {name: values.tobytes() for name, values in columns if name != "train.objective"}
    return {**found, "what was right": series.correct_bits.tobytes()}
