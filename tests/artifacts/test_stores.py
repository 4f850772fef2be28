from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.artifacts import make_corpus, samples
from ticketctl.artifacts.ladder import Ladder, decode_ladder, encode_ladder, kept_per_level, ladder_digest
from ticketctl.artifacts.series import Series, decode_series, encode_series


def test_a_ladder_comes_back() -> None:
    ladder = samples.full_ladder()
    again = decode_ladder(encode_ladder(ladder), where="")
    assert make_corpus.ladder_truth(again) == make_corpus.ladder_truth(ladder)
    assert encode_ladder(again) == encode_ladder(ladder)


def test_masks_of_a_ladder_are_nested_and_counted() -> None:
    ladder = samples.full_ladder()
    for level in range(ladder.rounds + 1):
        mask = ladder.mask(level)
        assert sum(int(array.sum()) for array in mask.values()) == ladder.kept[level]
        if level:
            assert all((mask[name] <= ladder.mask(level - 1)[name]).all() for name in mask)
    assert ladder.kept[0] == sum(array.size for array in ladder.death.values())
    with pytest.raises(ValueError, match="not one of 0 to 3"):
        ladder.mask(4)


@pytest.mark.parametrize("rounds", [0, 1, 254])
def test_the_fewest_and_the_most_rounds(rounds: int) -> None:
    death = {"w": np.minimum(np.arange(300), rounds).astype("u1").reshape(3, 100)}
    ids = ("tk1" + "a" * 29,) * (rounds + 1)
    ladder = Ladder(death, rounds, kept_per_level(death, rounds), ids, (None,) * (rounds + 1))
    assert decode_ladder(encode_ladder(ladder), where="").kept == ladder.kept


def test_rounds_belong_to_the_identity() -> None:
    death = samples.death()
    assert ladder_digest(death, 3) != ladder_digest(death, 4)


def test_ladders_that_do_not_fit_together_are_not_written() -> None:
    ladder = samples.full_ladder()
    for wrong in (
        replace(ladder, kept=ladder.kept[:-1]),
        replace(ladder, kept=(0, *ladder.kept[1:])),
        replace(ladder, rounds=2),
        replace(ladder, ticket_ids=()),
        replace(ladder, death={}),
        replace(ladder, death={"__w": ladder.death["fc1.weight"]}),
    ):
        with pytest.raises(ValueError, match=r"round|kept|ladder"):
            encode_ladder(wrong)


def test_a_series_comes_back_with_one_nan() -> None:
    series = samples.series()
    odd = series.scalars.copy()
    odd.view("u4")[0, 0] = 0xFFC12345
    assert encode_series(replace(series, scalars=odd)) == encode_series(series)
    again = decode_series(encode_series(series), where="")
    assert make_corpus.series_truth(again) == make_corpus.series_truth(replace(series, samples=11))
    assert again.scalars.view("u4")[0, 0] == 0x7FC00000
    assert encode_series(again) == encode_series(series)


def test_a_training_that_never_began_has_a_series_too() -> None:
    none = Series(
        (),
        np.zeros((0, 0), "f4"),
        np.zeros(0, "i4"),
        np.zeros(0, "i8"),
        None,
        np.zeros((0, 2), "u1"),
        None,
        9,
    )
    again = decode_series(encode_series(none), where="")
    assert again.scalars.shape == (0, 0)
    assert again.correct_bits is not None
    assert again.correct_bits.shape == (0, 2)
    assert np.isinf(decode_series(encode_series(infinite()), where="").scalars).all()


def infinite() -> Series:
    """A loss that left the numbers is worth knowing."""
    return Series(("loss",), np.array([[np.inf]], "f4"), np.zeros(1, "i4"), np.zeros(1, "i8"))


def test_series_that_do_not_fit_together_are_not_written() -> None:
    series = samples.series()
    assert series.forget_count is not None
    for wrong in (
        replace(series, epoch=series.epoch[:-1]),
        replace(series, step=series.step.astype("i4")),
        replace(series, columns=("a",)),
        replace(series, columns=("a", "a")),
        replace(series, samples=12),
        replace(series, forget_count=None),
        replace(series, correct_bits=np.full((2, 2), 255, "u1")),
    ):
        with pytest.raises(ValueError, match=r"epoch|step|scalars|samples|forget|correct"):
            encode_series(wrong)
