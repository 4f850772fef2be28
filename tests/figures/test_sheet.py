"""Sheets: what they refuse, and that their CSV is what is drawn."""

import csv
import io

import pytest

from ticketctl.figures.sheet import FORMS, Axis, Sheet, counted, slug

ROWS = (("", "imp", "line", 50.0, 90.0, None, None, 1), ("", "imp", "line", 75.0, 88.5, 88.0, 89.0, 3))


def sheet(rows=ROWS, **more):
    fields = {
        "figure": "one",
        "form": "lines",
        "title": "t",
        "x": Axis("sparsity", "%"),
        "y": Axis("accuracy", "%"),
    }
    return Sheet(**{**fields, "rows": rows, **more})


def test_csv_has_every_number_as_it_is_and_nothing_where_there_is_none():
    rows = (("", "a,b", "line", 0.1 + 0.2, -1e-300, None, None, 3),)
    (head, line) = csv.reader(io.StringIO(sheet(rows).csv()))
    assert tuple(head) == FORMS["lines"]
    assert line == ["", "a,b", "line", repr(0.1 + 0.2), "-1e-300", "", "", "3"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="row"):
        sheet((("", "imp", "line", 1.0, value, None, None, 1),))


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="row"):
        sheet((("", "imp", "line", 1.0),))


def test_a_role_that_is_none_is_refused():
    with pytest.raises(ValueError, match="roles"):
        sheet((("", "imp", "best", 1.0, 1.0, None, None, 1),))


def test_columns_of_another_form_are_refused():
    with pytest.raises(ValueError, match="columns of lines"):
        sheet(columns=FORMS["matrix"])


@pytest.mark.parametrize("part", ["../up", "A", "a b", "", "-a"])
def test_a_part_can_leave_no_folder(part):
    if part:
        with pytest.raises(ValueError, match="part"):
            sheet(part=part)
    else:
        assert sheet(part=part).name == "one"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("LeNet-300-100 on MNIST", "lenet-300-100-on-mnist"),
        ("../../etc", "etc"),
        ("...", "part"),
        ("é" * 9, "part"),
        ("a" * 99, "a" * 80),
    ],
)
def test_any_words_become_a_part(text, word):
    assert slug(text) == word
    assert sheet(part=slug(text)).name == f"one.{word}"


def test_where_gives_the_rows_of_a_series():
    assert [one["y"] for one in sheet().where(series="imp")] == [90.0, 88.5]


def test_runs_behind_rows_are_counted_as_a_range():
    assert counted(ROWS) == "1-3"
    assert counted(ROWS[:1]) == "1"
    assert counted([]) == "0"


def test_an_axis_says_its_unit():
    assert Axis("accuracy", "%").label == "accuracy [%]"
    assert Axis("epoch").label == "epoch"
