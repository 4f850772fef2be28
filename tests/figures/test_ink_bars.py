"""Bars as they are painted: what is 0 is seen, words do not lie over words."""

import numpy as np
import pytest

from tests.figures.looks import cut, overlapping
from ticketctl.figures.ink.picture import painted
from ticketctl.figures.sheet import Axis, Sheet


def bars(layers=3, series=2, *, panels=1, zero=-1, word="layer"):
    rows = [
        (f"level {panel}" if panels > 1 else "", f"ticket {one}", f"{word} {at}",
         0.0 if at == zero else 10.0 + at, None if at == zero else 9.0 + at, None if at == zero else 11.0 + at, 3)
        for panel in range(panels) for one in range(series) for at in range(layers)
    ]  # fmt: skip
    rows += [
        (f"level {panel}" if panels > 1 else "", "all", None, 5.0, None, None, 3) for panel in range(panels)
    ]
    return Sheet(
        "one", "bars", "a net", Axis("layer"), Axis("kept", "%", low=0), tuple(rows), notes=("n = 3",)
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("layers", "series", "panels", "word"),
    [(3, 2, 1, "fc"), (3, 5, 4, "fc"), (21, 2, 2, "layer4.0.downsample"), (54, 3, 1, "layer4.0.conv" * 4)],
)
def test_no_words_of_bars_lie_over_others_nor_beyond_the_edge(layers, series, panels, word):
    with painted(bars(layers, series, panels=panels, word=word)) as figure:
        assert overlapping(figure) == []
        assert cut(figure) == []


def test_a_bar_of_nothing_is_a_0():
    with painted(bars(9, 1, zero=4)) as figure:
        (place,) = [text.xy[0] for text in figure.axes[0].texts if text.get_text() == "0"]
    assert place == 4


def test_bars_are_as_high_as_their_values_and_stand_about_their_category():
    with painted(bars(2, 2)) as figure:
        found = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in figure.axes[0].patches]
    middles = np.array(found).reshape(2, 2, 2)
    assert middles[:, :, 1].tolist() == [[10, 11], [10, 11]]
    assert middles[:, :, 0].mean(axis=0) == pytest.approx([0, 1])


@pytest.mark.long
def test_where_layers_are_too_many_for_names_every_other_is_named_and_the_axis_says_so():
    with painted(bars(250, 1)) as figure:
        axes = figure.axes[0]
        step = int(axes.get_xlabel().split("one in ")[1].split()[0])
        assert len(axes.get_xticklabels()) == -(-250 // step)
        assert overlapping(figure) == []
