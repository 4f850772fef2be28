"""Few-shot curves: which families make a line."""

from fractions import Fraction

import pytest
from shelves import family, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import few_shot as figure
from ticketctl.figures.sheet import NothingError


def trained(share, accuracy, *, label="imp", dense=0.5, epochs="8", **more):
    """A ladder of one level on a share of the images; None: all."""
    own = {} if share is None else {"data.subset.fraction": share, "data.subset.pick": "random"}
    settings = {"train.epochs": epochs, "train.lr": "0.1", **own, **more}
    whole = family("dense", [net(values={"test.accuracy": dense}, settings=settings)], method="dense")
    nets = [net(level=1, density=0.1, values={"test.accuracy": accuracy}, settings=settings)]
    return family(label, nets, dense=whole.groups[0])


def sheet(*families, **keys):
    (one,) = figure.gather(shelf(*families), params=figure.Params(**keys))
    return one


def line(one, series):
    return [(row["x"], row["y"]) for row in one.where(series=series)]


def test_shares_are_in_percent_and_all_images_are_a_hundred():
    one = sheet(trained(None, 0.9), trained("1/100", 0.6), trained("0.1", 0.8))
    assert line(one, "90 %") == [
        (1.0, pytest.approx(60)),
        (10.0, pytest.approx(80)),
        (100.0, pytest.approx(90)),
    ]


def test_the_dense_nets_are_beside():
    one = sheet(trained(None, 0.9, dense=0.95), trained("1/100", 0.6, dense=0.4))
    assert line(one, "dense") == [(1.0, pytest.approx(40)), (100.0, pytest.approx(95))]
    assert one.values("series") == ["dense", "90 %"]


def test_epochs_may_go_with_the_share_and_are_told():
    one = sheet(trained(None, 0.9), trained("1/100", 0.6, epochs="60", **{"search.train.epochs": "8"}))
    assert len(line(one, "90 %")) == 2
    assert "epochs, each a pass over the images that are left: 60 at 1 %, 8 at 100 %" in one.notes


def test_what_differs_in_more_than_the_share_is_another_panel():
    more = [
        trained(share, 0.7, label=f"imp, lr={lr}", **{"train.lr": lr})
        for share in (None, "0.1")
        for lr in ("1", "2")
    ]
    assert sheet(*more).values("panel") == ["imp, lr=1", "imp, lr=2"]


def test_images_picked_by_forgetting_are_no_share():
    settings = {"data.subset.fraction": "0.1", "data.subset.pick": "most-forgotten"}
    assert figure.share_of(family("imp", [net(density=0.5, settings=settings)])) is None
    assert figure.share_of(trained("1/20", 0.5)) == Fraction(1, 20)


def test_two_families_of_one_share_are_two_lines():
    again = [trained(share, 0.7, label="imp, search=x") for share in (None, "0.1")]
    assert len(sheet(trained(None, 0.9), trained("0.1", 0.6), *again).values("panel")) == 2


def test_a_line_goes_through_families_of_the_same_epochs_and_the_notes_tell_of_no_others():
    searched = {"search.train.epochs": "20"}
    few = [trained(share, 0.6, epochs="20", **searched) for share in ("0.1", "0.3", None)]
    other = trained(None, 0.9, epochs="8", label="imp, epochs=8", **searched)
    one = sheet(other, *few)
    assert line(one, "90 %")[-1] == (100.0, pytest.approx(60))
    assert not any("epochs, each" in note for note in one.notes)


def test_families_that_share_no_line_are_counted_and_named():
    one = sheet(
        trained(None, 0.9), trained("0.1", 0.8), trained(None, 0.9, label="imp, lr=1", **{"train.lr": "1"})
    )
    assert one.notes[-1] == "1 not drawn, alike on no other share: imp, lr=1"


def test_one_share_is_no_curve():
    with pytest.raises(NothingError, match=r"data\.subset\.fraction"):
        sheet(trained("0.1", 0.6))


def test_a_level_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"figures\.few-shot\.levels"):
        figure.Params(levels=(120.0,))


def test_of_many_levels_twelve_are_drawn_the_first_and_the_last_among_them():
    def ladder(share):
        one = trained(share, 0.5)
        nets = [
            net(level=at, density=0.8**at, values={"test.accuracy": 0.5}, settings=one.nets[0].settings)
            for at in range(1, 26)
        ]
        return family("imp", nets, dense=one.dense)

    names = sheet(ladder(None), ladder("0.1")).values("series")
    assert (len(names), names[0], names[-1]) == (12, "dense", "99.62 %")
