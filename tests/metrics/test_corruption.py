"""Errors under corruption against a plain loop; mCE by its definition; what is missing is said."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from ticketctl.data.corrupted import EXTRA, STANDARD
from ticketctl.metrics import corruption
from ticketctl.metrics._corruption import mce, mce_variance, relative_mce
from ticketctl.seeds import Seeds
from ticketctl.train.exam import Absent, Answers, Exam, Measurement

EVERY = [(name, level) for name in STANDARD for level in range(1, 6)]
STREAM = np.random.default_rng(0)


def answers(labels: np.ndarray, share: float, seed: int = 0) -> Answers:
    """Of 5 classes; about `share` are wrong."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(size=(len(labels), 5)).astype(np.float32)
    chosen = np.where(draws.random(len(labels)) < share, (labels + 1) % 5, labels)
    logits[np.arange(len(labels)), chosen] += 4
    return Answers(logits, labels)


def known(keys: list[tuple[str, int]] = EVERY, count: int = 120) -> dict[str, Answers]:
    labels = STREAM.integers(0, 5, count)
    found = {"test": answers(labels, 0.1)}
    for seed, (name, level) in enumerate(keys):
        found[f"corrupt/{name}/{level}"] = answers(labels, 0.1 + 0.1 * level, seed)
    return found


def measured(sets: dict[str, Answers]) -> Measurement:
    return corruption.measure(Exam(sets.__getitem__, tuple(sets), Seeds(0)), params=corruption.Params())


def wrong(one: Answers) -> np.ndarray:
    return one.logits.argmax(1) != one.labels


def test_the_rows_are_plain_means_of_errors() -> None:
    sets = known([*EVERY, *((name, level) for name in EXTRA for level in range(1, 6))])
    found = measured(sets)
    errors = {
        name: [wrong(sets[f"corrupt/{name}/{level}"]).mean() for level in range(1, 6)]
        for name in STANDARD + EXTRA
    }
    standard = np.mean([errors[name] for name in STANDARD])
    assert next(iter(found.values)) == "corruption"
    assert found.values["corruption"].value == pytest.approx(standard)
    assert found.values["corruption.relative"].value == pytest.approx(standard - wrong(sets["test"]).mean())
    assert found.values["corruption.extra"].value == pytest.approx(np.mean([errors[name] for name in EXTRA]))
    for name in STANDARD + EXTRA:
        assert found.values[f"corruption.{name}"].value == pytest.approx(np.mean(errors[name]))
    assert found.arrays["errors"] == pytest.approx(np.array([errors[name] for name in STANDARD + EXTRA]))
    assert found.protocol["corruptions"] == [*STANDARD, *EXTRA]
    assert found.protocol["missing"] == []


def test_calibration_is_the_mean_over_the_sets() -> None:
    sets = known()
    logits = [
        (torch.tensor(one.logits), torch.tensor(one.labels)) for key, one in sets.items() if key != "test"
    ]
    values = measured(sets).values
    nll = np.mean(
        [torch.nn.functional.cross_entropy(said.double(), labels).item() for said, labels in logits]
    )
    ece = np.mean(
        [multiclass_calibration_error(said.softmax(1), labels, 5, 15).item() for said, labels in logits]
    )
    assert values["corruption.nll"].value == pytest.approx(nll, abs=1e-9)
    assert values["corruption.ece"].value == pytest.approx(ece, abs=1e-5)


def test_the_error_is_that_of_images_whose_errors_hang_together() -> None:
    labels = STREAM.integers(0, 5, 400)
    same = answers(labels, 0.3)
    sets = {"test": answers(labels, 0.1, 7)} | {f"corrupt/{name}/{level}": same for name, level in EVERY}
    value = measured(sets).values["corruption"]
    share = wrong(same).mean()
    assert value.n == 400
    assert value.error == pytest.approx((share * (1 - share) / 399) ** 0.5)  # 75 sets tell no more than one
    apart = wrong(same).astype(float) - wrong(sets["test"])
    assert measured(sets).values["corruption.relative"].error == pytest.approx(apart.std(ddof=1) / 20)


def test_sets_of_different_images_have_no_error_and_it_is_said() -> None:
    sets = known(EVERY[:2])
    sets["corrupt/gaussian_noise/2"] = answers(STREAM.integers(0, 5, 50), 0.5)
    found = measured(sets)
    assert found.values["corruption"].error is None
    assert found.values["corruption.relative"].error is None
    assert found.protocol["same-images"] is False
    shares = [wrong(one).mean() for key, one in sets.items() if key != "test"]
    assert found.values["corruption"].value == pytest.approx(np.mean(shares))


def test_missing_sets_are_listed_and_not_a_number() -> None:
    found = measured(known([("fog", 2), ("fog", 4), ("spatter", 1)]))
    missing = found.protocol["missing"]
    assert len(missing) == 75 - 2 + 4
    assert {"fog/1", "frost/3", "spatter/5"} <= {*missing}
    assert not {"fog/2", "spatter/1", "saturate/1"} & {*missing}
    assert np.isnan(found.arrays["errors"]).tolist() == [
        [True, False, True, False, True],
        [False] + [True] * 4,
    ]
    assert "corruption.frost" not in found.values


def test_without_corrupted_images_it_is_absent() -> None:
    with pytest.raises(Absent, match="no corrupted images"):
        measured({"test": answers(np.arange(5), 0.1)})


def test_how_often_each_image_is_wrong_stands_in_the_order_of_the_protocol() -> None:
    sets = known([("fog", 2), ("fog", 4), ("spatter", 1)])
    found = measured(sets)
    assert found.protocol["corruptions"] == ["fog", "spatter"]
    fog = wrong(sets["corrupt/fog/2"]).astype(int) + wrong(sets["corrupt/fog/4"])
    assert found.arrays["wrong"].dtype == np.uint8
    assert (found.arrays["wrong"] == [fog, wrong(sets["corrupt/spatter/1"])]).all()
    sets["corrupt/fog/4"] = answers(STREAM.integers(0, 5, 50), 0.5)
    assert "wrong" not in measured(sets).arrays


# -------------------------------------------------------------------------------- of one net against another: mCE

ERRORS = STREAM.random((15, 5)) / 2


def exact(errors: np.ndarray) -> dict[str, Fraction]:
    return {name: Fraction(row.mean()) for name, row in zip(STANDARD, errors, strict=True)}


def test_t11_mce_of_a_net_against_itself_is_one_and_twice_the_errors_are_two() -> None:
    assert mce(exact(ERRORS), exact(ERRORS)) == (1, [])
    assert mce(exact(2 * ERRORS), exact(ERRORS)) == (2, [])
    more = {name: error + Fraction(1, 5) for name, error in exact(ERRORS).items()}
    assert relative_mce(more, exact(ERRORS), (Fraction(3, 10), Fraction(1, 10))) == (1, [])


def test_mce_is_the_mean_of_ratios_of_sums_over_the_severities() -> None:
    other = STREAM.random((15, 5))
    plain = sum(sum(ticket) / sum(dense) for ticket, dense in zip(other, ERRORS, strict=True)) / 15
    assert float(mce(exact(other), exact(ERRORS))[0] or 0) == pytest.approx(plain, rel=1e-12)
    clean = (0.05, 0.02)
    plain = (
        sum(
            sum(ticket - clean[0]) / sum(dense - clean[1])
            for ticket, dense in zip(other, ERRORS + 0.1, strict=True)
        )
        / 15
    )
    found = relative_mce(exact(other), exact(ERRORS + 0.1), (Fraction(clean[0]), Fraction(clean[1])))
    assert float(found[0] or 0) == pytest.approx(plain, rel=1e-12)


def test_t11_a_corruption_without_an_error_of_the_dense_net_is_left_out_and_named() -> None:
    dense = ERRORS.copy()
    dense[4] = 0
    thrice = {name: 3 * error for name, error in exact(ERRORS).items()}
    assert mce(thrice, exact(dense)) == (3, ["glass_blur"])
    assert mce(exact(ERRORS), exact(0 * dense)) == (None, [*STANDARD])
    assert relative_mce(exact(ERRORS), exact(dense), (Fraction(0), Fraction(1)))[0] is None


def counted(draws: np.random.Generator, count: int, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """How many of 5 severities of 6 corruptions two nets miss; the more is `shared`, the more are hard for both."""
    hard = shared * draws.normal(size=count)
    level = np.linspace(-1.2, 0.6, 5)[:, None] + np.linspace(-0.5, 0.5, 6)[:, None, None]
    return tuple(
        (level + shift + hard + draws.normal(size=(6, 5, count)) > 0).sum(axis=1).astype(np.uint8)
        for shift in (0.15, 0.0)
    )


def ratio(ticket: np.ndarray, dense: np.ndarray) -> float:
    return float((ticket.sum(axis=1) / dense.sum(axis=1)).mean())


@pytest.mark.long
@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_the_error_of_mce_is_its_spread_over_samples_of_images_that_are_hard_for_both_nets(
    shared: float,
) -> None:
    draws = np.random.default_rng(7)
    pairs = [counted(draws, 300, shared) for _ in range(600)]
    spread = np.std([ratio(*pair) for pair in pairs], ddof=1)
    stated = [float(mce_variance(*pair) or 0) ** 0.5 for pair in pairs[:40]]
    assert np.mean(stated) == pytest.approx(spread, rel=0.15)
    if shared == 3.0:  # two independent nets, independent corruptions: another number
        apart = [
            np.sqrt((((a.var(axis=1) / b.mean(axis=1) ** 2) + a.mean(axis=1) ** 2 * b.var(axis=1)
                      / b.mean(axis=1) ** 4) / 300).sum()) / 6
            for a, b in pairs[:40]
        ]  # fmt: skip
        assert abs(np.mean(apart) / spread - 1) > 0.15


def test_the_error_of_mce_is_the_jackknifes_and_exact() -> None:
    ticket, dense = counted(np.random.default_rng(3), 400, 1.0)
    without = [ratio(np.delete(ticket, at, axis=1), np.delete(dense, at, axis=1)) for at in range(400)]
    found = mce_variance(ticket, dense)
    assert found is not None
    assert float(found) == pytest.approx(np.var(without) * 399, rel=0.01)
    order = np.random.default_rng(4).permutation(400)
    assert mce_variance(ticket[:, order], dense[:, order]) == found
    assert mce_variance(dense, dense) == 0


def test_counts_that_do_not_tell_have_no_error() -> None:
    ticket, dense = counted(np.random.default_rng(3), 20, 1.0)
    for ours, theirs in ((ticket[:, :9], dense), (ticket[:2], dense), (ticket, 0 * dense), (ticket[:0], dense[:0]),
                         (ticket[:, :1], dense[:, :1])):  # fmt: skip
        assert mce_variance(ours, theirs) is None
