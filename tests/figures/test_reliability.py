"""Reliability diagrams: bins of a report, worked out by hand."""

import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import reliability as figure
from ticketctl.figures.sheet import NothingError

NAN = float("nan")


def audited(ece, count, confidence, accuracy, **more):
    arrays = {"ece/bin.count": count, "ece/bin.confidence": confidence, "ece/bin.accuracy": accuracy}
    found = report("audit", [row("ece", ece, error=more.pop("error", None))], arrays)
    return net(reports={("audit", "trained"): [found]}, **more)


def both():
    dense = audited(0.0125, [0, 3, 0, 7], [NAN, 0.4, NAN, 0.9], [NAN, 1 / 3, NAN, 6 / 7], error=0.005)
    ticket = audited(0.25, [1, 0, 0, 9], [0.2, NAN, NAN, 0.8], [0.0, NAN, NAN, 1.0], level=1, density=0.1)
    return shelf(family("dense", [dense], method="dense"), family("imp", [ticket]))


def test_bins_are_in_percent_and_empty_ones_are_left_out():
    (sheet,) = figure.gather(both(), params=figure.Params())
    first, second = sheet.where(panel="dense: ECE 1.25 ± 0.50 %")
    assert (first["low"], first["high"], first["n"]) == (25.0, 50.0, 3)
    assert (first["confidence"], first["accuracy"]) == pytest.approx((40, 100 / 3))
    assert (second["low"], second["high"], second["n"]) == (75.0, 100.0, 7)


def test_the_error_of_a_panel_is_in_its_title_and_the_images_in_the_notes():
    (sheet,) = figure.gather(both(), params=figure.Params())
    assert sheet.values("panel") == ["dense: ECE 1.25 ± 0.50 %", "imp at 90 %: ECE 25.00 %"]
    assert sheet.notes[0].startswith("n = 10 test images")


def test_without_an_ece_the_audit_is_named():
    with pytest.raises(NothingError, match="ticketctl audit RUNS --metrics ece"):
        list(figure.gather(shelf(family("dense", [net()], method="dense")), params=figure.Params()))
