"""Forgetting: events counted by hand from the answers of a training."""

import numpy as np
import pytest
from shelves import family, net, shelf

from ticketctl.artifacts.series import Series
from ticketctl.errors import UsageError
from ticketctl.figures import forgetting as figure
from ticketctl.figures.sheet import NothingError

ANSWERS = np.array(
    [  # images: never lost, lost once, lost twice, never learned
        [1, 1, 1, 0],
        [1, 0, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 0, 0],
    ],
    bool,
)


def trained(answers=ANSWERS, **more):
    epochs = np.arange(len(answers) + 1, dtype=np.int32)
    bits = np.packbits(answers, axis=-1, bitorder="little")
    table = np.zeros((len(epochs), 1), np.float32)
    return net(series=Series(("test.loss",), table, epochs, epochs.astype(np.int64), None, bits, None,
                             answers.shape[1]), **more)  # fmt: skip


def sheets(*families, **keys):
    return {one.part: one for one in figure.gather(shelf(*families), params=figure.Params(**keys))}


def ladder():
    dense = family("dense", [trained()], method="dense")
    return family(
        "imp", [trained(level=1, density=0.5), trained(level=1, density=0.5, seed=1)], dense=dense.groups[0]
    )


def test_events_are_counted_at_the_epoch_in_which_they_happen():
    rows = sheets(ladder())["epochs"].where(series="50 %")
    assert [(row["x"], row["y"]) for row in rows] == [(2.0, 50.0), (3.0, 0.0), (4.0, 25.0)]


def test_counts_are_of_learned_images_in_percent_of_all():
    rows = sheets(ladder())["counts"].where(series="dense")
    assert [(row["x"], row["y"]) for row in rows] == [(0.0, 25.0), (1.0, 25.0), (2.0, 25.0)]


def test_a_band_that_would_end_at_nothing_ends_at_the_mean_and_that_is_said():
    """Once forgotten: by one net of three 3 of 4 images, by the others none. Mean 25 %, deviation 43 %."""
    lost = np.array([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], bool)
    kept = np.ones_like(lost)
    nets = [trained(answers, level=1, density=0.5, seed=at) for at, answers in enumerate((lost, kept, kept))]
    one = sheets(family("imp", nets))["counts"]
    (row,) = one.where(x=1.0)
    assert (row["y"], row["low"], row["high"]) == (25.0, None, pytest.approx(25 + 43.3, abs=0.1))
    assert figure.ENDS in one.notes
    assert figure.ENDS not in sheets(ladder())["counts"].notes


def test_an_image_that_was_never_learned_is_neither_forgotten_nor_unforgettable():
    found = figure.forgot(trained())
    assert (found.unforgettable, found.never, found.events) == (25.0, 25.0, 1.0)


def test_counts_and_shares_make_up_all_images():
    found = figure.forgot(trained(np.random.default_rng(0).random((6, 37)) < 0.5))
    assert sum(found.counts.values()) + found.never == pytest.approx(100)
    assert found.counts[0.0] == found.unforgettable


def test_the_numbers_are_those_of_the_probe():
    from ticketctl.data.subsets import forgetting

    answers = np.random.default_rng(1).random((7, 203)) < 0.6
    theirs, ours = forgetting(answers), figure.forgot(trained(answers))
    assert ours.unforgettable == pytest.approx(100 * theirs.unforgettable)
    assert ours.events == pytest.approx(theirs.events[theirs.learned_first >= 0].mean())


def test_against_sparsity_lines_begin_with_the_dense_net():
    rows = sheets(ladder())["shares"].where(panel="unforgettable")
    assert [(row["x"], row["y"], row["n"]) for row in rows] == [(0.0, 25.0, 1), (50.0, 25.0, 2)]


def test_trainings_of_other_lengths_are_told():
    one = family("imp", [trained(level=1, density=0.5), trained(ANSWERS[:2], level=2, density=0.25)])
    assert "trainings of 2 to 4 epochs: the fewer, the less can be forgotten" in sheets(one)["events"].notes


def test_one_epoch_tells_nothing():
    assert figure.forgot(trained(ANSWERS[:1])) is None
    with pytest.raises(NothingError, match="two epochs"):
        sheets(family("imp", [trained(ANSWERS[:1], density=0.5)]))


def test_a_sheet_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"figures\.forgetting\.of"):
        figure.Params(of=("share",))
