"""What can be seen of a painted sheet without looking: where its words lie."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from matplotlib.text import Text

SLACK = 1.5
"""Pixels by which boxes of words may touch: a box is a little larger than its ink."""


def boxes(figure: Any) -> list[tuple[str, Any]]:
    """The words that are drawn, with their boxes in pixels."""
    figure.canvas.draw()
    renderer, hidden = figure.canvas.get_renderer(), _in_store(figure)
    words = [
        one
        for one in figure.findobj(Text)
        if one.get_visible() and one.get_text().strip() and one not in hidden
    ]
    found = [(one.get_text(), Text.get_window_extent(one, renderer)) for one in words]
    return [(text, box) for text, box in found if box.width and box.height]


def _in_store(figure: Any) -> set[Any]:
    """Labels that axes have, and do not draw."""
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    every = {
        label
        for axis in axes
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for label in (tick.label1, tick.label2)
    }
    drawn = {label for axis in axes for tick in axis._update_ticks() for label in (tick.label1, tick.label2)}
    return every - drawn


def flaws(figure: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs of words that lie over each other, and words that reach over the edge of the picture."""
    found, (width, height) = boxes(figure), figure.canvas.get_width_height()
    over = [
        (one, other)
        for (one, a), (other, b) in combinations(found, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > SLACK and min(a.y1, b.y1) - max(a.y0, b.y0) > SLACK
    ]
    beyond = [
        text
        for text, box in found
        if box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > width + SLACK or box.y1 > height + SLACK
    ]
    return over, beyond


def cut(figure: Any) -> list[str]:
    """Words that reach over the edge of the picture."""
    return flaws(figure)[1]


def overlapping(figure: Any) -> list[tuple[str, str]]:
    """Pairs of words that lie over each other."""
    return flaws(figure)[0]
