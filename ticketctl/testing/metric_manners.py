"""Claims about how a metric goes about it: it leaves all as it was, says nothing, and can be stopped."""

from __future__ import annotations

from collections.abc import Iterator

from ticketctl.errors import StoppedError
from ticketctl.testing.metric_case import FORMS
from ticketctl.testing.metric_subject import MetricSubject
from ticketctl.testing.stops import spread
from ticketctl.testing.subject import Folders

STOPS = 4
"""Moments at which a measurement is stopped."""


class MetricManners(MetricSubject):
    """The next metric finds the same net, and the same process."""

    def test_it_leaves_net_answers_and_process_as_they_were(self, tmp_path_factory: Folders) -> None:
        """Weights, buffers, modes, gradients, hooks; images and answers; random states and settings."""
        for form in FORMS:
            traces = self.seen(tmp_path_factory, form).traces
            assert not traces, f"on {form.name}: {_told(traces)}"

    def test_it_leaves_them_so_when_it_is_stopped(self, tmp_path_factory: Folders) -> None:
        """Wherever it asked, first, last and between: what it changes for a while it puts back in `finally`."""
        for when, traces, _ in self._stopped(tmp_path_factory):
            assert not traces, f"stopped at {when}: {_told(traces)}"

    def test_it_asks_whether_to_stop(self, tmp_path_factory: Folders) -> None:
        """A metric of the net calls specimen.poll() at least once a second, and lets it through when it raises."""
        if self.absent or not self.case(tmp_path_factory).of_net:
            return
        polls = self.seen(tmp_path_factory).polls
        assert polls, "it never asked whether to stop: call exam.specimen.poll() once a batch"
        for when, _, error in self._stopped(tmp_path_factory):
            assert isinstance(error, StoppedError), f"stopped at {when}, it went on, or raised {error!r}"

    def test_it_prints_nothing_warns_of_nothing_and_writes_nothing(self, tmp_path_factory: Folders) -> None:
        """What users should read goes through exam.specimen.reporter.note."""
        for form in FORMS:
            seen = self.seen(tmp_path_factory, form)
            assert not seen.heard, f"on {form.name} it prints {seen.heard}"
            assert not seen.warned, f"on {form.name} it warns: {seen.warned}"
            assert not seen.strays, f"on {form.name} it leaves files behind: {seen.strays}"

    def _stopped(self, tmp_path_factory: Folders) -> Iterator[tuple[str, list[str], Exception | None]]:
        """Measurements that were stopped: at which question, what they changed, and what they raised."""
        polls = self.seen(tmp_path_factory).polls
        for at in sorted({*spread(polls, STOPS), 1, polls}) if polls else []:
            seen = self.seen(tmp_path_factory, stop_at=at)
            yield f"question {at} of {polls}", seen.traces, seen.error


def _told(traces: list[str]) -> str:
    more = f" and {len(traces) - 5} more" if len(traces) > 5 else ""
    return f"it has changed {'; '.join(traces[:5])}{more}"
