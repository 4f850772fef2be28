"""Matrices as they are painted: numbers that can be read, signs of differences, words beside each other."""

import numpy as np
import pytest

from tests.figures.looks import boxes, cut, overlapping
from ticketctl.figures.ink.picture import painted
from ticketctl.figures.sheet import Axis, Sheet


def words(figure):
    return [text for text, _ in boxes(figure)]


def matrix(rows, columns=None, *, scale=(None, None), panels=1, n=3, value=lambda at, to: at / (to + 1)):
    columns = columns or rows
    cells = [
        (f"net {panel}" if panels > 1 else "", one, other, value(at, to), n if to else 3)
        for panel in range(panels) for at, one in enumerate(rows) for to, other in enumerate(columns)
    ]  # fmt: skip
    scale = Axis("overlap", low=scale[0], high=scale[1])
    return Sheet("one", "matrix", "a net", Axis("x"), Axis("y"), tuple(cells), z=scale)


@pytest.mark.long
@pytest.mark.parametrize(
    ("count", "word", "panels"),
    [(1, "imp", 1), (4, "imp", 1), (7, "ticket " * 9, 1), (16, "s", 1), (5, "fog", 4)],
)
def test_no_words_of_a_matrix_lie_over_others_nor_beyond_the_edge(count, word, panels):
    with painted(matrix([f"{word} {at}" for at in range(count)], panels=panels)) as figure:
        assert overlapping(figure) == []
        assert cut(figure) == []


def test_long_names_on_both_sides_are_numbers_below():
    with painted(matrix([f"imp, train.lr=0.1, seed {at}" for at in range(3)])) as figure:
        found = words(figure)
    assert {"imp, train.lr=0.1, seed 1  [2]", "1", "2", "3"} <= {*found}


def test_numbers_of_runs_are_written_where_they_differ():
    with painted(matrix(["a", "b"], n=5)) as figure:
        assert [text.get_text().split("\n")[1] for text in figure.axes[0].texts] == ["n=3", "n=5"] * 2
    with painted(matrix(["a", "b"])) as figure:
        assert all("n=" not in text.get_text() for text in figure.axes[0].texts)


def test_differences_have_signs_and_no_colour_in_the_middle():
    sheet = matrix(["a", "b"], scale=(-20.0, 20.0), value=lambda at, to: 20.0 * (at - to) - 0.001)
    with painted(sheet) as figure:
        mesh = figure.axes[0].collections[0]
        figure.canvas.draw()
        colours = np.asarray(mesh.get_facecolors())[:, :3]
        assert [text.get_text() for text in figure.axes[0].texts] == ["0.0", "−20.0", "+20.0", "0.0"]
    assert np.ptp(colours[0]) < 0.02
    assert np.ptp(colours[1]) > 0.2


def test_numbers_can_be_read_on_their_cells():
    """Contrast of at least 3 to 1 by WCAG 2.1's relative luminance, all along the scale."""
    sheet = matrix(["a"], [str(at) for at in range(25)], value=lambda at, to: to / 24)
    with painted(sheet) as figure:
        figure.canvas.draw()
        cells = np.asarray(figure.axes[0].collections[0].get_facecolors())[:, :3]
        written = [text.get_color() for text in figure.axes[0].texts]
    linear = np.where(cells <= 0.03928, cells / 12.92, ((cells + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    contrast = [
        1.05 / (one + 0.05) if word == "white" else (one + 0.05) / 0.05
        for one, word in zip(light, written, strict=True)
    ]
    assert min(contrast) >= 3
