"""Distribution of the IoU of units: counted by hand."""

import pytest
from shelves import family, net, report, row, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import neuron_iou as figure
from ticketctl.figures.sheet import NothingError


def audited(iou, dead, **more):
    found = report(
        "audit", [row("compositional", 0.1)], {"compositional/iou": iou, "compositional/dead": dead}
    )
    return net(reports={("audit", "trained"): [found]}, **more)


def test_shares_of_units_by_iou_of_both_nets_lie_over_the_same_bins():
    nets = audited([0.0, 0.01, 0.1, 0.19], [1, 0, 0, 0]), audited([0.06, 0.16], [0, 0], level=1, density=0.5)
    of = shelf(family("dense", nets[:1], method="dense"), family("imp", nets[1:]))
    (sheet,) = figure.gather(of, params=figure.Params(bins=4))
    assert [one["high"] for one in sheet.where(series="dense")] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert [one["share"] for one in sheet.where(series="dense")] == [50, 0, 25, 25]
    assert [one["share"] for one in sheet.where(series="imp at 50 %")] == [0, 50, 0, 50]
    assert sheet.notes[0] == "n = 2-4 units of each; dead, one net after the other: 1, 0"


def test_without_formulas_the_audit_is_named():
    with pytest.raises(NothingError, match=r"metrics\.compositional\.folder=DIR"):
        list(figure.gather(shelf(family("dense", [net()], method="dense")), params=figure.Params()))


def test_no_bins_are_refused():
    with pytest.raises(UsageError, match=r"figures\.neuron-iou\.bins = 1 "):
        figure.Params(bins=1)
