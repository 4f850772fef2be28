"""Gain of tweaks: paired differences and their intervals, worked out by hand."""

import pytest
from shelves import family, net, shelf

from ticketctl.figures import gain as figure
from ticketctl.figures.sheet import NothingError

T2 = 4.302652729911275  # two-sided 95 % of Student's t with 2 degrees: table in any textbook


def nets(accuracies, *, tweaks=(), density=0.1, **settings):
    own = {f"tweaks.{tweak}.key": "1" for tweak in tweaks}
    return [
        net(level=1, density=density, seed=at, values={"test.accuracy": one}, settings={**settings, **own})
        for at, one in enumerate(accuracies)
        if one is not None
    ]


def pair(plain=(0.5, 0.6, 0.7), tweaked=(0.52, 0.63, 0.74), **more):
    return (
        family("imp", nets(plain, **more)),
        family("imp + ls", nets(tweaked, tweaks=("ls",), **more), tweaks=("ls",)),
    )


def sheet(*families, **keys):
    (one,) = figure.gather(shelf(*families), params=figure.Params(**keys))
    return one


def test_the_gain_is_the_mean_difference_by_seed_with_its_interval():
    (bar,) = sheet(*pair()).where(series="ls")
    assert (bar["category"], bar["n"]) == ("90 %", 3)
    assert bar["y"] == pytest.approx(3)
    assert bar["high"] - bar["y"] == pytest.approx(T2 * 1 / 3**0.5)  # gaps 2, 3 and 4 points: deviation 1


def test_a_seed_that_one_side_lacks_makes_no_pair():
    (bar,) = sheet(*pair(tweaked=(None, 0.63, 0.74))).where(series="ls")
    assert (bar["n"], bar["y"]) == (2, pytest.approx(3.5))


def test_one_pair_has_no_interval():
    (bar,) = sheet(*pair(tweaked=(0.52,))).where(series="ls")
    assert (bar["low"], bar["high"], bar["n"]) == (None, None, 1)


def test_zero_is_a_level_across():
    (zero,) = sheet(*pair()).where(series="without tweaks")
    assert (zero["category"], zero["y"]) == (None, 0.0)


def test_other_settings_are_no_plain_spend_of_it():
    plain, _ = pair()
    _, other = pair(**{"train.lr": "0.2"})
    with pytest.raises(NothingError, match="--tweaks"):
        sheet(plain, other)


def test_what_has_no_plain_spend_is_counted():
    _, other = pair(**{"train.lr": "0.2"})
    assert "left out for want of the same training without tweaks: 1 with them" in sheet(*pair(), other).notes


def test_of_several_plain_spends_the_one_with_most_pairs_is_taken_and_said():
    plain, tweaked = pair()
    other = family("imp (2)", nets((0.1, 0.1)))
    for order in ((plain, other), (other, plain)):
        one = sheet(*order, tweaked)
        (bar,) = one.where(series="ls")
        assert (bar["y"], bar["n"]) == (pytest.approx(3), 3)
        assert (
            one.notes[-1] == "of several trainings without tweaks that with most pairs is taken: imp + ls (2)"
        )


def test_a_plain_spend_of_other_seeds_is_no_missing_one():
    plain, tweaked = pair(plain=(None, None, None, 0.5))
    with pytest.raises(NothingError, match="no run with tweaks has its seed and level"):
        sheet(plain, tweaked)
    *both, last = (
        *pair(),
        family("imp + ema", nets((None, None, None, 0.7), tweaks=("ema",)), tweaks=("ema",)),
    )
    said = "left out for want of a seed and level in common with those without tweaks: imp + ema"
    assert sheet(*both, last).notes[-1] == said


def test_of_near_levels_the_nearest_is_the_plain_one():
    levels = [*nets((0.1,), density=0.1009), *nets((0.5,), density=0.1)]
    tweaked = family("imp + ls", nets((0.6,), tweaks=("ls",)), tweaks=("ls",))
    (bar,) = sheet(family("imp", levels), tweaked).where(series="ls")
    assert bar["y"] == pytest.approx(10)


def test_the_dense_nets_with_the_same_tweak_stand_first():
    plain, tweaked = pair()
    dense = family("dense", nets((0.8, 0.8), density=1.0), method="dense")
    both = family(
        "dense + ls", nets((0.81, 0.83), tweaks=("ls",), density=1.0), method="dense", tweaks=("ls",)
    )
    ladder = family("imp", plain.nets, dense=dense.groups[0])
    found = [(row["category"], row["y"]) for row in sheet(dense, both, ladder, tweaked).where(series="ls")]
    assert found == [("dense", pytest.approx(2)), ("90 %", pytest.approx(3))]


def test_many_sparsities_are_lines():
    densities = [0.8**level for level in range(1, 9)]
    plain = family("imp", [one for density in densities for one in nets((0.5,), density=density)])
    tweaked = family(
        "imp + ls", [one for density in densities for one in nets((0.6,), tweaks=("ls",), density=density)],
        tweaks=("ls",),
    )  # fmt: skip
    one = sheet(plain, tweaked)
    assert one.form == "lines"
    assert [row["y"] for row in one.where(role="line")] == [pytest.approx(10)] * 8
