"""A paper's table beside runs: lines, bars, marks alone."""

from dataclasses import replace

import pytest
from shelves import shelf

from ticketctl.errors import UsageError
from ticketctl.figures import paper as figure
from ticketctl.figures.ink.picture import picture
from ticketctl.figures.sheet import NothingError
from ticketctl.figures.shelf import Paper, PaperCell


def cell(row, column, theirs, ours=None, *, sparsity=None, metric="test.accuracy", unit="percent", **more):
    deviation, n = (1.0, 3) if ours is not None else (None, 0)
    level = float(column) if sparsity is None else sparsity
    own = {"theirs_deviation": None, "deviation": deviation, "n": n} | more
    return PaperCell(
        row, column, metric, unit, level, theirs, own["theirs_deviation"], ours, own["deviation"], own["n"]
    )


def sheets(*cells, n=3, **keys):
    held = shelf(paper=Paper("001:A2", "Tweaks", n, cells))
    return list(figure.gather(held, params=figure.Params(**keys)))


LADDER = [
    cell("LTH", "0", 74.87, 70.0),
    cell("LTH", "90", 71.0, 66.0, theirs_deviation=0.5),
    cell("skip", "90", 73.0),
]


def test_the_paper_s_values_are_marks_of_the_series_that_the_runs_have():
    (one,) = sheets(*LADDER)
    assert [(row["x"], row["y"], row["low"]) for row in one.where(series="LTH", role="line")] == [
        (0.0, 70.0, 69.0), (90.0, 66.0, 65.0),
    ]  # fmt: skip
    marks = [(row["x"], row["y"], row["low"], row["high"]) for row in one.where(series="LTH", role="paper")]
    assert marks == [(0.0, 74.87, None, None), (90.0, 71.0, 70.5, 71.5)]


def test_a_row_without_runs_is_its_marks_alone():
    (one,) = sheets(*LADDER)
    assert [row["role"] for row in one.where(series="skip")] == ["paper"]
    assert "1 of 3 cells without runs" in one.notes


def test_one_entry_of_the_legend_stands_for_all_marks():
    svg = picture(sheets(*LADDER)[0], "svg").decode()
    assert svg.count("open marks: the paper") == 1
    assert svg.count(">LTH<") == 1
    assert "LTH (paper)" not in svg


def test_other_columns_are_bars_with_the_paper_s_beside_them():
    targets = [
        cell("a", name, 80.0, 70.0, sparsity=89.26, metric="transfer.transfer")
        for name in ("mnist", "eurosat")
    ]
    (one,) = sheets(*targets)
    assert one.form == "bars"
    assert [(row["series"], row["category"], row["y"]) for row in one.where()] == [
        ("a", "mnist", 70.0), ("a (paper)", "mnist", 80.0), ("a", "eurosat", 70.0), ("a (paper)", "eurosat", 80.0),
    ]  # fmt: skip


def test_bars_of_a_paper_take_the_name_of_their_series():
    one = sheets(cell("a", "mnist", 80.0, 70.0, sparsity=89.26), cell("b", "mnist", 60.0, sparsity=89.26))[0]
    svg = picture(one, "svg").decode()
    assert "open bars: the paper" in svg
    assert "a (paper)" not in svg
    assert ">b<" in svg


def test_units_are_sheets_of_their_own():
    more = cell("LTH", "0", 5.0, 4.0, metric="probe.forgetting", unit="number")
    assert [(one.name, one.y.label) for one in sheets(*LADDER, more)] == [
        ("paper.001-a2-percent", "test accuracy [%]"), ("paper.001-a2-number", "probe forgetting"),
    ]  # fmt: skip


def test_what_a_panel_says_is_not_said_again_by_its_rows():
    blocks = [
        cell(f"momentum {m}: block {block}", level, 50.0, 40.0, metric=f"probe.linear-probe.block-{block}")
        for m in (0, 0.9) for block in (4, 8) for level in ("90", "98")
    ]  # fmt: skip
    assert sheets(*blocks)[0].values("series") == ["momentum 0", "momentum 0.9"]


def test_more_rows_than_marks_are_more_sheets_and_those_without_runs_are_counted():
    rows = [
        cell(f"row {at}", level, 50.0, 40.0 if at < 6 else None) for at in range(16) for level in ("90", "98")
    ]
    (one,) = sheets(*rows)
    assert one.values("series") == [f"row {at}" for at in range(8)]
    assert "8 more rows of the table, without runs, are not drawn" in one.notes


def test_a_figure_that_prints_nothing_gives_the_runs_alone():
    (one,) = sheets(cell("LTH", "0", None, 70.0), cell("LTH", "90", None, 66.0), cell("skip", "0", None))
    assert one.values("role") == ["line"]
    assert one.values("series") == ["LTH"]
    assert "001:A2 prints no numbers" in one.notes


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("swish", ["ReLU, Swish"]),
        ("momentum 0", ["momentum 0, batch 10", "momentum 0, batch 100"]),
        ("batch 10", ["momentum 0, batch 10", "momentum 0.9, batch 10"]),
        ("momentum 0, batch 10", ["momentum 0, batch 10"]),
        ("LTH", ["LTH"]),
        ("LTH R18", ["LTH R18"]),
    ],
)
def test_rows_are_chosen_by_their_names_or_by_whole_words_in_them(words, rows):
    """A row that is called just so stands for itself alone: `LTH` is not `LTH R18`."""
    known = ["LTH", "LTH R18", "ReLU, Swish"]
    known += [
        f"momentum {one}, batch {size}"
        for one in ("0", "0.9")
        for size in (10, 100)
        if (one, size) != ("0.9", 100)
    ]
    cells = [cell(row, column, 75.0, 70.0) for row in known for column in ("0", "90")]
    assert sheets(*cells, rows=words)[0].values("series") == rows


@pytest.mark.parametrize("words", ["Sw", "momentum", "LTH Swish"])
def test_words_that_no_row_has_whole_are_refused_with_the_rows_there_are(words):
    two = [*LADDER, cell("Swish", "0", 75.0, 70.0)]
    with pytest.raises(
        UsageError, match=rf"figures\.paper\.rows = '{words}': no row .* there is LTH, skip, Swish"
    ):
        sheets(*two, rows=words)


def test_a_table_without_runs_names_the_command_that_makes_them():
    with pytest.raises(NothingError, match="ticketctl reproduce 001:A2"):
        sheets(cell("LTH", "0", 74.87))


def test_title_notes_and_command_tell_the_data_that_stand_for_the_paper_s_and_what_else_was_otherwise():
    few = ("data digits instead of mnist", "epochs 4 instead of 200")
    more = (*few, *(f"key {at} instead of 0" for at in range(1, 5)))
    cells = [replace(one, differs=more if at else few) for at, one in enumerate(LADDER[:2])]
    held = shelf(paper=Paper("001:A2", "A net on MNIST", 3, tuple(cells), ("digits", "mnist")))
    (one,) = figure.gather(held, params=figure.Params())
    assert one.title == "A net on MNIST (paper 001:A2), runs on digits instead"
    assert one.notes[:2] == (
        "runs on digits stand for the paper's on mnist",
        "settings other than the paper's: epochs 4 instead of 200, key 1 instead of 0, key 2 instead of 0, "
        "key 3 instead of 0 and 1 more",
    )
    assert "how recipes differ: ticketctl compare --paper 001:A2 --data digits RUNS" in one.notes


def test_without_a_table_the_option_is_named():
    with pytest.raises(NothingError, match="--paper"):
        list(figure.gather(shelf(), params=figure.Params()))
