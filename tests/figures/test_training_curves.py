"""Training curves: which levels, which means, where the uprights stand."""

import numpy as np
import pytest
from shelves import family, net, shelf

from ticketctl.artifacts.series import Series
from ticketctl.errors import UsageError
from ticketctl.figures import training_curves as figure
from ticketctl.figures.epochs import levels_of
from ticketctl.figures.sheet import NothingError


def series(accuracy, *, first=0, each=10):
    """Test accuracy after every epoch from `first` on, NaN where it was not measured."""
    epochs = np.arange(first, first + len(accuracy), dtype=np.int32)
    table = np.array([[one, 1 - one] for one in accuracy], np.float32)
    return Series(("test.accuracy", "test.loss"), table, epochs, (each * epochs).astype(np.int64))


def sheets(*families, **keys):
    return list(figure.gather(shelf(*families), params=figure.Params(**keys)))


def two():
    dense = family("dense", [net(seed=at, series=series(one)) for at, one in enumerate(([0.1, 0.5], [0.3, 0.7]))],
                   method="dense")  # fmt: skip
    nets = [
        net(
            level=level,
            density=density,
            series=series([0.2, np.nan, 0.8], first=2),
            values={"best_val.epoch": 3.0},
        )
        for level, density in enumerate((0.5, 0.25, 0.125), 1)
    ]
    return dense, family("imp", nets, dense=dense.groups[0])


def test_a_point_is_the_mean_of_an_epoch_in_percent_and_one_deviation():
    one = sheets(*two())[0]
    first, last = one.where(series="dense", role="line")
    assert (first["x"], first["n"], last["x"]) == (0.0, 2, 1.0)
    assert (first["y"], last["y"]) == pytest.approx((20, 60))
    assert first["high"] - first["y"] == pytest.approx(100 * 0.02**0.5)  # deviation of two values 0.2 apart


def test_what_was_not_measured_is_no_point():
    assert [row["x"] for row in sheets(*two())[0].where(series="50 %", role="line")] == []
    assert [row["x"] for row in sheets(*two())[0].where(series="75 %", role="line")] == [2.0, 4.0]


def test_shown_are_the_dense_net_a_middle_level_and_the_last():
    assert sheets(*two())[0].values("series") == ["dense", "75 %", "87.5 %", "rewind point"]


def test_levels_are_the_nearest_to_those_asked_for():
    ladder = two()[1]
    assert [name for name, _ in levels_of(ladder, (0.0, 49.0, 99.0))] == ["dense", "50 %", "87.5 %"]


def test_the_best_epoch_stands_upright_in_the_colour_of_its_level():
    marks = list(sheets(*two())[0].where(role="mark", series="75 %"))
    assert [row["x"] for row in marks] == [3.0]


def test_the_rewind_point_is_where_the_pruned_nets_begin():
    (mark,) = sheets(*two())[0].where(series="rewind point")
    assert (mark["x"], mark["n"]) == (2.0, 2)


def test_a_training_may_begin_in_the_midst_of_an_epoch():
    one = series([0.2, 0.3, 0.4], first=0)
    moved = Series(one.columns, one.scalars, one.epoch, np.array([5, 10, 20], np.int64))
    assert figure.begun(net(density=0.5, series=moved)) == 0.5


def test_a_training_from_the_beginning_has_no_rewind_point():
    assert figure.begun(net(density=0.5, series=series([0.1, 0.2, 0.3]))) == 0


def test_accuracy_and_loss_are_sheets_of_their_own():
    assert [(one.name, one.y.label) for one in sheets(*two())] == [
        ("training-curves.accuracy", "accuracy [%]"),
        ("training-curves.loss", "loss [nats]"),
    ]


def test_ladders_share_a_sheet_with_a_panel_for_each():
    dense, imp = two()
    swish = family("imp + swish", imp.nets, dense=dense.groups[0])
    (one,) = sheets(dense, imp, swish, values=("loss",))
    assert (one.part, one.values("panel")) == ("loss", ["imp: test", "imp + swish: test"])
    assert "imp" not in one.title
    assert len(list(one.where(panel="imp: test"))) == len(list(one.where(panel="imp + swish: test"))) > 0


def test_a_sheet_has_twelve_panels_at_most_and_all_ladders_are_on_one():
    dense, imp = two()
    many = [family(f"imp, epochs={at}", imp.nets, dense=dense.groups[0]) for at in range(30)]
    found = sheets(dense, *many, values=("loss",))
    assert [len(one.values("panel")) for one in found] == [10, 10, 10]
    assert [panel for one in found for panel in one.values("panel")] == [f"{one.label}: test" for one in many]
    assert [one.part for one in found] == ["loss", "loss-2", "loss-3"]


def test_nets_and_data_sets_have_sheets_of_their_own():
    dense, imp = two()
    other = family("imp", imp.nets, dense=dense.groups[0], data="mnist")
    assert [one.part for one in sheets(dense, imp, other, values=("loss",))] == [
        "loss-lenet-300-100-digits", "loss-lenet-300-100-mnist",
    ]  # fmt: skip


def test_a_dense_net_alone_has_its_own_curves():
    assert sheets(two()[0])[0].values("series") == ["dense"]


def test_without_a_history_nothing_is_drawn():
    with pytest.raises(NothingError, match="ticketctl spend"):
        sheets(family("imp", [net(density=0.5)]))


@pytest.mark.parametrize(
    "keys", [{"levels": (100.0,)}, {"levels": (-1.0,)}, {"values": ("error",)}, {"values": ()}]
)
def test_a_key_that_cannot_be_is_refused(keys):
    with pytest.raises(UsageError, match=r"figures\.training-curves"):
        figure.Params(**keys)
