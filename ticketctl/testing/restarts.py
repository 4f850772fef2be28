"""Claims about the draw as a command: stopped or killed at any moment it ends in the same bytes, and verifies."""

from __future__ import annotations

from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.masks.mask import Mask
from ticketctl.testing.stops import differing, files_below, stopped_again_and_again
from ticketctl.testing.subject import Folders, Subject, no_waiting
from ticketctl.testing.watch import bits, mask_bits
from ticketctl.train.state import State


class Restarts(Subject):
    """What was interrupted goes on; what is written can be read."""

    def test_the_ticket_verifies_and_is_the_deepest_level(self, tmp_path_factory: Folders) -> None:
        """Every check of `verify`, on the ticket and its runs; mask and start are the level's."""
        folder, _ = self.killed(tmp_path_factory)
        runs = [path.parent for path in sorted(folder.rglob("run.json"))]
        checks = [*verify_ticket(folder / "ticket"), *(check for run in runs for check in verify_run(run))]
        assert all(check.ok for check in checks), [check for check in checks if not check.ok]
        ticket, level = open_ticket(folder / "ticket"), self.drawn(tmp_path_factory).levels[-1]
        ladder = ticket.ladder()
        assert ladder is not None
        truth = mask_bits(level.mask)
        assert mask_bits(Mask.from_arrays(ticket.mask())) == truth, "another mask in the ticket"
        deepest = Mask.from_arrays(ladder.mask(ladder.rounds))
        assert mask_bits(deepest) == truth, "another mask at the bottom of the ladder"
        start = State.from_tensors(ticket.init(), 0)
        assert bits(start.weights) == bits(_plus_zero(level.start).weights), "other weights in the ticket"

    def test_the_ticket_holds_no_path_of_this_machine(self, tmp_path_factory: Folders) -> None:
        """It travels."""
        folder, _ = self.killed(tmp_path_factory)
        for name, data in files_below(folder / "ticket").items():
            assert str(folder.parent.parent).encode() not in data, f"{name} names this machine's folders"

    def test_stopped_again_and_again_it_ends_in_the_same_bytes(self, tmp_path_factory: Folders) -> None:
        """By SIGTERM or Ctrl-C, between steps, in evaluations, while it scores: wherever it asks."""
        folder, _ = self.killed(tmp_path_factory)
        case = self.case(tmp_path_factory)
        other = case.new_folder() / "seed-0"
        with no_waiting():
            stops = stopped_again_and_again(case.ticket, other)
        assert stops > 2, f"only {stops} moments at which it could be stopped"
        unlike = differing(files_below(other), files_below(folder))
        assert not unlike, f"stopped {stops} times, it ended with others of {unlike}"

    def test_killed_at_any_moment_it_ends_in_the_same_bytes(self, tmp_path_factory: Folders) -> None:
        """From copies of its folder as it was on the way, checkpoints and half-done levels included."""
        folder, copies = self.killed(tmp_path_factory)
        case, truth = self.case(tmp_path_factory), files_below(folder)
        assert copies, "it never asked whether to stop: call lab.poll() in long work"
        for copy in copies:
            with no_waiting():
                case.ticket(copy)
            unlike = differing(files_below(copy), truth)
            assert not unlike, f"killed at {copy.name}, it ended with others of {unlike}"


def _plus_zero(state: State) -> State:
    """As artifacts hold it: every zero is positive."""
    return State.from_tensors(state.tensors(), state.step)
