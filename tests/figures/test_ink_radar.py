"""Radar charts as they are painted: the best outside, raw values in the table below."""

import numpy as np
import pytest

from tests.figures.looks import boxes, cut, overlapping
from ticketctl.figures.ink.picture import painted
from ticketctl.figures.sheet import Axis, Sheet


def words(figure):
    return [text for text, _ in boxes(figure)]


def radar(nets=3, word="imp"):
    names = ["accuracy ↑", "corruption error ↓", "FGSM accuracy ↑", "OoD AUROC ↑", "ECE ↓", "NLL ↓",
             "LIME fidelity ↓", "LIME stability ↓", "Hessian trace ↓"]  # fmt: skip
    rows = [
        (f"{word} {at}", name, (at + to) % 4 / 3, 0.0007921 * (at + 1), 3)
        for at in range(nets) for to, name in enumerate(names)
    ]  # fmt: skip
    rows[3] = (*rows[3][:2], None, None, 3)
    return Sheet("one", "radar", "a net", Axis("metric"), Axis("share"), tuple(rows), notes=("n = 3",))


@pytest.mark.long
@pytest.mark.parametrize(("nets", "word"), [(2, "imp"), (8, "random-iterative at 93.13 % " * 3)])
def test_no_words_of_a_radar_chart_lie_over_others_nor_beyond_the_edge(nets, word):
    with painted(radar(nets, word)) as figure:
        assert overlapping(figure) == []
        assert cut(figure) == []


def test_raw_values_stand_in_a_table_and_what_is_missing_is_a_dash():
    with painted(radar(2)) as figure:
        found = words(figure)
    assert found.count("0.0007921") == 8
    assert found.count("–") == 1


def test_the_best_lies_outside_and_what_is_missing_breaks_the_line():
    with painted(radar(1)) as figure:
        away = np.asarray(figure.axes[0].lines[0].get_ydata(), float)
    assert np.isnan(away[3])
    assert (np.nanmin(away), np.nanmax(away)) == pytest.approx((0.25, 1.25))
