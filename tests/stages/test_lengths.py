"""Points past the end of a training are refused exactly where the schedule itself cannot be made."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages import tiny
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.lengths import check_lengths, check_rewind, rewind_step
from ticketctl.train.schedule import learning_rates

POINTS = st.builds(
    lambda amount, unit: f"{amount:g}{unit}",
    st.one_of(st.integers(0, 12), st.floats(0, 12).map(lambda x: round(x, 2))),
    st.sampled_from(["ep", "it"]),
) | st.integers(0, 250).map(lambda share: f"{share}%")


def recipe(warmup: str, milestone: str, epochs: int) -> Recipe:
    return tiny.recipe(
        f"train.epochs={epochs}", f"train.warmup={warmup}", "train.schedule=step",
        f"train.milestones=[{milestone!r}]".replace("'", '"'),
    )  # fmt: skip


def refused(one: Recipe, per_epoch: int | None) -> bool:
    try:
        check_lengths(one, per_epoch)
    except UsageError:
        return True
    return False


@given(POINTS, POINTS, st.integers(1, 6), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_what_is_refused_is_what_has_no_schedule(
    warmup: str, point: str, epochs: int, per_epoch: int
) -> None:
    one = recipe(warmup, point, epochs)
    try:
        learning_rates(one.train, per_epoch)
    except UsageError:
        assert refused(one, per_epoch)
    else:
        assert not refused(one, per_epoch)
        assert not refused(one, None), "what is not known yet is no fault"


@pytest.mark.parametrize(
    ("sets", "fault"),
    [
        (("train.warmup=5ep",), "train.warmup: 5ep lies past the end of the training (2 epochs)"),
        (("train.schedule=step", 'train.milestones=["1ep","3ep"]'), "train.milestones: 3ep lies past"),
        (("keep.epochs=[1,3]",), "keep.epochs: 3 lies past the end of the training (2 epochs)"),
        (("keep.epochs=[3]", "train.epochs=1"), "(1 epoch)"),
    ],
)
def test_the_key_is_named_before_data_are_there(sets: tuple[str, ...], fault: str) -> None:
    with pytest.raises(UsageError) as said:
        check_lengths(tiny.recipe(*sets))
    assert fault in str(said.value)


def test_milestones_count_under_the_step_schedule_alone() -> None:
    check_lengths(tiny.recipe('train.milestones=["9ep"]'))


@pytest.mark.parametrize(("rewind", "known", "unknown"), [
    ("2ep", True, True), ("100%", True, True), ("3ep", True, True), ("1.8ep", False, False), ("10it", True, False),
    ("9it", False, False), ("0", False, False),
])  # fmt: skip
def test_levels_begin_before_the_end(rewind: str, known: bool, unknown: bool) -> None:
    """Two epochs of five steps; with data unknown a point in steps is not looked at."""
    one = tiny.recipe(f"draw.rewind={rewind}")
    for per_epoch, wrong in ((tiny.PER_EPOCH, known), (None, unknown)):
        if wrong:
            with pytest.raises(UsageError, match=r"rewind.*end of the training"):
                check_rewind(one, per_epoch)
        else:
            check_rewind(one, per_epoch)
    if not known:
        assert 0 <= rewind_step(one, tiny.PER_EPOCH) < 2 * tiny.PER_EPOCH
