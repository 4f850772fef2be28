"""Claims about how a tweak goes about it: repeatable, quiet, leaving no trace."""

from __future__ import annotations

import random  # noqa: TID251  # disturbed, not used

import numpy as np
import torch

from ticketctl.testing.stops import differing, files_below
from ticketctl.testing.subject import Folders, no_waiting
from ticketctl.testing.tweak_subject import TweakSubject


class TweakManners(TweakSubject):
    """Same seed, same bits; nothing but the run comes out."""

    def test_the_same_seed_gives_the_same_bits(self, tmp_path_factory: Folders) -> None:
        """Wherever the global random states stand, and whatever the threads were."""
        case, first = self.case(tmp_path_factory), self.bought(tmp_path_factory).run
        torch.rand(7)
        np.random.random(3)
        random.random()
        threads = torch.get_num_threads()
        torch.set_num_threads(threads + 1)
        try:
            with no_waiting():
                again = case.spend(case.new_folder())[-1].run
        finally:
            torch.set_num_threads(threads)
        unlike = differing(files_below(again.folder), files_below(first.folder))
        assert not unlike, f"{unlike} came out differently the second time; take chance from kit.seeds"

    def test_another_seed_gives_other_weights(self, tmp_path_factory: Folders) -> None:
        """Of order and augmentation; the ticket stays the same."""
        case, first = self.case(tmp_path_factory), self.bought(tmp_path_factory).run.manifest
        with no_waiting():
            other = case.spend(case.new_folder(), seed=1)[-1].run.manifest
        assert other.ticket == first.ticket, "another ticket"
        assert other.training_id != first.training_id, "one training id for two seeds"
        assert other.weights.digest != first.weights.digest, "the same weights from two seeds"

    def test_it_leaves_process_and_kit_as_they_were(self, tmp_path_factory: Folders) -> None:
        """Global random states and settings; mask, teacher and levels; its identity; in `tweak` also the net."""
        traces = [
            trace
            for spent in (self.bought(tmp_path_factory), self.combined(tmp_path_factory))
            for trace in spent.attendance.traces
        ]
        assert not traces, "; ".join(traces[:5])

    def test_it_prints_nothing_and_warns_of_nothing(self, tmp_path_factory: Folders) -> None:
        """What users should read goes through kit.bench.reporter.note."""
        spent = self.bought(tmp_path_factory)
        assert not spent.heard, f"printed: {spent.heard}"
        assert not spent.attendance.warned, f"warned: {spent.attendance.warned}"

    def test_it_writes_below_its_run_alone(self, tmp_path_factory: Folders) -> None:
        """A tweak writes no files at all: what it wants to keep goes into `state`."""
        strays = self.bought(tmp_path_factory).strays
        assert not strays, f"left behind: {strays}"
