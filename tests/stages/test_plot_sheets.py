"""The sheets of a drawing: a file each, and of families that stand beside each other what their labels leave out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.figures.shelves import ladder, shelf
from ticketctl.errors import UsageError
from ticketctl.figures.sheet import Axis, Sheet
from ticketctl.figures.shelf import Shelf
from ticketctl.stages.plot import Drawing, apart, draw, wanted


def drawing(of: Shelf, figure: str = "accuracy-sparsity") -> Drawing:
    return draw(of, wanted(figure, [], "svg"))


def test_nets_whose_names_are_cut_to_the_same_have_files_of_their_own() -> None:
    long = [
        replace(one, net="n" * 300 + end, data=data)
        for end in "ab"
        for data in ("digits", "mnist")
        for one in ladder({0.5: [0.8]})
    ]
    sheets = drawing(shelf(*long), "sweep-map").sheets
    names = [one.name for one in sheets]
    assert len({*names}) == 4
    assert max(map(len, names)) < 140
    assert names == sorted(names), "the first keeps its name"
    assert len({one.title for one in sheets}) == 4


def test_a_sheet_is_made_anew_for_each_name_that_is_taken_and_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each costs a look at all its rows: 10,000 of them for every sheet once took two thirds of all figures' time."""
    one = Sheet("accuracy-sparsity", "lines", "a net", Axis("x"), Axis("y"), ())
    sheets = [
        one,
        replace(one, part="a"),
        replace(one, part="a"),
        replace(one, part="b"),
        replace(one, part="a"),
    ]
    made, check = [], Sheet.__post_init__
    monkeypatch.setattr(Sheet, "__post_init__", lambda self: (made.append(self.part), check(self))[1])
    found = apart(sheets)
    assert [sheet.part for sheet in found] == ["", "a", "a-2", "b", "a-3"]
    assert made == ["a-2", "a-2", "a-3"]


def test_what_labels_leave_out_is_told_of_the_families_of_a_sheet_alone() -> None:
    dense, imp = ladder({0.5: [0.8]})
    imp = replace(imp, label="imp, rewind=0", apart={"draw.rewind": "0", "train.epochs": "8"})
    other = replace(imp, label="imp, rewind=1ep", apart={"draw.rewind": "1ep", "train.epochs": "8"})
    elsewhere = replace(imp, data="mnist", label="art", apart={"train.epochs": "20"})
    first, _ = drawing(shelf(dense, imp, other, elsewhere)).sheets
    assert not any("they differ" in note for note in first.notes)
    beside = replace(imp, label="art", apart={"train.epochs": "20"})
    (one,) = drawing(shelf(dense, imp, other, beside)).sheets
    assert one.notes[-1] == "they differ also in train.epochs"


@pytest.mark.parametrize(
    ("figure", "command"),
    [
        ("gain", "ticketctl spend 'my runs/seed-0' --tweaks swish"),
        ("barrier", "ticketctl interpolate 'my runs/seed-0' --twins 3"),
        ("probe-depth", "ticketctl probe 'my runs/seed-0' --controls --metrics linear-probe"),
        ("landscape", "ticketctl interpolate 'my runs/seed-0/levels/1' --recipe interpolate/landscape"),
        ("convergence", "ticketctl probe 'my runs/seed-0/levels/1' --metrics convergence"),
        ("reliability", "ticketctl audit 'my runs' --metrics ece"),
    ],
)
def test_commands_that_take_single_tickets_or_runs_are_told_with_one(figure: str, command: str) -> None:
    families = [
        replace(
            one,
            groups=tuple(
                replace(
                    group,
                    nets=tuple(
                        replace(net, place=f"my {net.place[:4]}{net.place[8:]}") for net in group.nets
                    ),
                )
                for group in one.groups
            ),
        )
        for one in ladder({0.5: [0.8]})
    ]
    with pytest.raises(UsageError) as caught:
        drawing(shelf(*families, place="'my runs'"), figure)
    assert str(caught.value).endswith(command)


def test_a_figure_of_nothing_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match=r"figures\.eigenvector\.what: loss, accuracy or both, not none"):
        wanted("eigenvector", ["figures.eigenvector.what=[]"], "svg")
