"""Claims about the spend as a command: stopped or killed at any moment it ends in the same bytes."""

from __future__ import annotations

from pathlib import Path

from ticketctl.testing.stops import differing, files_below, killed, spread, stopped_again_and_again
from ticketctl.testing.subject import Folders, no_waiting
from ticketctl.testing.tweak_case import Bought, TweakCase
from ticketctl.testing.tweak_subject import TweakSubject


class TweakRestarts(TweakSubject):
    """What was interrupted goes on."""

    def test_stopped_again_and_again_it_ends_in_the_same_bytes(self, tmp_path_factory: Folders) -> None:
        """By SIGTERM or Ctrl-C, between steps, in evaluations, wherever it asks: every file, run.json included."""
        _check_stops(self.case(tmp_path_factory), self.bought(tmp_path_factory))

    def test_beside_other_tweaks_it_ends_in_the_same_bytes(self, tmp_path_factory: Folders) -> None:
        """Stopped again and again with `beside`, as far as they go together."""
        if self.companions():
            _check_stops(
                self.case(tmp_path_factory), self.combined(tmp_path_factory), beside=self.companions()
            )

    def test_killed_at_any_moment_it_ends_in_the_same_bytes(self, tmp_path_factory: Folders) -> None:
        """From copies of its folder as it was on the way, with a checkpoint after every step."""
        case, spent = self.case(tmp_path_factory), self.bought(tmp_path_factory)
        truth = _files(spent)
        with no_waiting():
            copies = killed(case.spend, case.new_folder(), spread(spent.asked, self.kills))
            assert copies, "it never asked whether to stop: call loop.poll() in long work"
            for copy in copies:
                case.spend(copy)
                unlike = differing(files_below(copy / "spends"), truth)
                assert not unlike, f"killed at {copy.name}, it ended with others of {unlike}"


def _check_stops(case: TweakCase, spent: Bought, *, beside: tuple[str, ...] = ()) -> None:
    folder = case.new_folder()

    def work(place: Path, asked: object) -> None:
        case.spend(place, asked, beside=beside)  # type: ignore[arg-type]  # Asked, which is asked

    with no_waiting():
        stops = stopped_again_and_again(work, folder)
    assert stops > 2, f"only {stops} moments at which it could be stopped"
    unlike = differing(files_below(folder / "spends"), _files(spent))
    assert not unlike, f"stopped {stops} times, it ended with others of {unlike}"


def _files(spent: Bought) -> dict[str, bytes]:
    """Of all runs of the spend."""
    return files_below(spent.run.folder.parent.parent)
