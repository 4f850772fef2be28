"""The ink: equal bytes whatever is set elsewhere, names as text, words that do not lie over words."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from tests.figures.looks import cut, overlapping
from ticketctl.figures.ink import style
from ticketctl.figures.ink.picture import KINDS, painted, picture
from ticketctl.figures.sheet import Axis, Sheet

HOSTILE = "<script>alert(1)</script>&amp; $\\frac$ ]]> \x1b[31m\x00 " + "long " * 40


def lines(names=("imp", "random"), *, notes=("n = 3",), title="lenet on digits", panel="") -> Sheet:
    rows = [
        (panel, name, "line", 100 - 100 * 0.5**level, 95 - at - level, 94 - at - level, 96 - at - level, 3)
        for at, name in enumerate(names)
        for level in range(1, 8)
    ]
    rows.append((panel, "dense", "reference", None, 96.0, 95.5, 96.5, 3))
    x, y = Axis("sparsity", "%", "sparsity"), Axis("test accuracy", "%")
    return Sheet("accuracy-sparsity", "lines", title, x, y, tuple(rows), notes=tuple(notes))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_equal_sheets_give_equal_bytes_whatever_the_user_has_set(kind):
    first = picture(lines(), kind)
    with mpl.rc_context(
        {"font.size": 31, "svg.hashsalt": "mine", "lines.linewidth": 9, "text.parse_math": True}
    ):
        assert picture(lines(), kind) == first


@pytest.mark.long
def test_another_process_writes_the_same_bytes():
    code = "import sys; from tests.figures.test_ink import svg; sys.stdout.buffer.write(svg())"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=True
    )
    assert found.stdout == svg()


def svg() -> bytes:
    return picture(lines(), "svg")


def test_hostile_names_stay_text_in_a_picture():
    names = tuple(f"{at} {HOSTILE}" for at in range(3))
    tree = ElementTree.fromstring(picture(lines(names, notes=[HOSTILE], title=HOSTILE, panel=HOSTILE), "svg"))
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    links = [
        value for element in tree.iter() for key, value in element.attrib.items() if key.endswith("href")
    ]
    assert "script" not in tags
    assert all(value.startswith("#") for value in links)
    assert any("<script>" in (element.text or "") for element in tree.iter())


def test_a_name_in_any_writing_is_kept_as_words():
    assert "数据 \N{ROCKET}".encode() in picture(lines(("数据 \N{ROCKET}", "imp")), "svg")


def test_words_of_a_picture_can_be_read_and_selected():
    assert b"test accuracy [%]</text>" in svg()


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("size", [3, 60])
def test_no_words_lie_over_others_nor_beyond_the_edge(count, size):
    names = tuple(f"{at} {'word ' * 20}"[:size] for at in range(count))
    with painted(lines(names, notes=["n = 3 " * 60, "second"], title="a net on data " * 12)) as figure:
        assert overlapping(figure) == []
        assert cut(figure) == []


def test_a_picture_grows_by_its_legend_and_its_axes_stay_as_large():
    def axes_height(sheet: Sheet) -> float:
        with painted(sheet) as figure:
            figure.canvas.draw()
            return float(figure.axes[0].get_position().height * figure.get_size_inches()[1])

    few, many = lines(), lines(tuple(f"{'name ' * 8}{at}" for at in range(20)))
    assert axes_height(many) == pytest.approx(axes_height(few), rel=0.03)


def test_the_first_thirty_two_lines_differ_in_colour_dash_or_mark_and_the_first_eight_without_colour():
    looks = [style.stroke(place) for place in range(32)]
    assert len({(one["color"], one["linestyle"], one["marker"]) for one in looks}) == 32
    assert len({(one["linestyle"], one["marker"]) for one in looks[:8]}) == 8


def test_a_series_keeps_its_look_where_others_are_missing():
    assert style.placed(["a", "b", "c"]) == {"a": 0, "b": 1, "c": 2}
    assert style.placed(["new", "b", "other"], [("b", 0), ("gone", 1)]) == {"new": 1, "b": 0, "other": 2}
    assert style.placed(["b", "new"], [("b", 32)]) == {"b": 32, "new": 1}, "a place and 32 more look alike"


def test_bars_of_the_first_thirty_two_places_differ_and_the_first_eight_without_colour():
    looks = [style.fill(place) for place in range(32)]
    assert len({(one["facecolor"], one["hatch"]) for one in looks}) == 32
    assert len({one["hatch"] for one in looks[:8]}) == 8


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 9, 12])
def test_no_picture_is_so_wide_that_its_letters_are_below_seven_points_on_paper(panels):
    """Letters beside axes have 8 points; a picture of up to 700 pixels is printed at most 16.5 cm wide, others 18.8."""
    from matplotlib.figure import Figure

    figure = Figure()
    style.panels(figure, [str(at) for at in range(panels)])
    wide = 2.54 * float(figure.get_size_inches()[0])
    assert 8 * min(1, (16.5 if wide / 2.54 * 96 <= 700 else 18.8) / wide) >= 7


def test_neighbouring_colours_are_told_apart_by_people_who_see_no_red_or_green():
    """Machado et al. 2009, severity 1; distances in CIELAB above 15 between any two of the eight."""
    from skimage.color import rgb2lab

    kinds = {
        "protan": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deutan": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    }
    import numpy as np

    rgb = np.array([[int(one[at : at + 2], 16) / 255 for at in (1, 3, 5)] for one in style.COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for name, matrix in kinds.items():
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        shown = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = rgb2lab(shown[None])[0]
        far = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e9 * np.eye(len(lab))
        assert far.min() > 15, (name, np.unravel_index(far.argmin(), far.shape), far.min())


@pytest.mark.parametrize(("low", "high"), [(0, 20), (50, 99.6), (90, 99.99), (97.3, 97.4), (0, 99.999)])
def test_ticks_of_sparsity_are_few_round_and_inside(low, high):
    ticks = style.sparsity_ticks(low, high)
    assert 1 <= len(ticks) <= 9
    assert all(low - 0.01 <= tick <= high for tick in ticks)


def test_notes_change_the_bytes():
    assert picture(replace(lines(), notes=("n = 4",)), "svg") != svg()


def test_clips_are_called_by_their_number_and_not_by_the_last_bit_of_a_place():
    found = re.findall(rb'<clipPath id="(p[0-9a-f]{10})"', svg())
    names = [sha256(f"accuracy-sparsity {at}".encode()).hexdigest()[:10] for at in range(len(found))]
    assert found
    assert found == [f"p{name}".encode() for name in names]


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_drawn_once_and_is_byte_for_byte_what_matplotlib_saves_by_itself(kind, monkeypatch):
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *args, **more: (drawn.append(1), draw(*args, **more))[1])
    ours = picture(lines(("imp", "random", "snip"), panel="a panel"), kind)
    assert len(drawn) == 1
    monkeypatch.setattr("ticketctl.figures.ink.picture._lay_out", lambda *_: None)
    assert picture(lines(("imp", "random", "snip"), panel="a panel"), kind) == ours
    assert len(drawn) > 2
