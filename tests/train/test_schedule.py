"""Learning rates against closed forms and against torch's own schedulers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from ticketctl.errors import UsageError
from ticketctl.recipe import TrainSpec
from ticketctl.train.schedule import learning_rates

PER_EPOCH, EPOCHS, LR = 7, 10, 0.3
TOTAL = PER_EPOCH * EPOCHS


def rates(**keys: Any) -> list[float]:
    return learning_rates(TrainSpec(epochs=EPOCHS, lr=LR, **keys), PER_EPOCH)


def by_torch(make: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = make(optimizer)
    found = []
    for _ in range(TOTAL):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return found


def test_constant() -> None:
    assert rates() == [LR] * TOTAL


def test_cosine() -> None:
    assert rates(schedule="cosine") == pytest.approx(
        [LR * math.cos(math.pi * step / TOTAL / 2) ** 2 for step in range(TOTAL)], rel=1e-12, abs=1e-15
    )
    truth = by_torch(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL))
    assert rates(schedule="cosine") == pytest.approx(truth, rel=1e-9)


def test_steps() -> None:
    found = rates(schedule="step", milestones=("5ep", "56it", "80%"), gamma=0.2)
    truth = [LR] * 35 + [LR * 0.2] * 21 + [LR * 0.2 * 0.2 * 0.2] * 14  # 80 % of 10 epochs is step 56, too
    assert found == pytest.approx(truth, rel=1e-12)
    torchs = by_torch(lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [35, 56, 56], gamma=0.2))
    assert found == pytest.approx(torchs, rel=1e-9)


def test_the_order_of_milestones_means_nothing() -> None:
    assert rates(schedule="step", milestones=("6ep", "2ep")) == rates(
        schedule="step", milestones=("2ep", "6ep")
    )


def test_milestones_without_the_step_schedule_do_nothing() -> None:
    assert rates(milestones=("2ep",)) == rates()


@pytest.mark.parametrize("warmup", ["1ep", "12it", "15%"])
def test_warm_up(warmup: str) -> None:
    steps = {"1ep": 7, "12it": 12, "15%": 14}[warmup]  # percent are rounded up to whole epochs
    truth = by_torch(
        lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1)
    )
    assert rates(warmup=warmup) == pytest.approx(truth, rel=1e-9)
    assert rates(warmup=warmup)[0] == pytest.approx(LR / steps)
    assert rates(warmup=warmup)[steps - 1] == LR
    product = [a * b / LR for a, b in zip(truth, rates(schedule="cosine"), strict=True)]
    assert rates(warmup=warmup, schedule="cosine") == pytest.approx(product, rel=1e-9)


def test_the_rate_of_a_step_depends_on_nothing_before_it() -> None:
    """A training that begins at step k takes rate k of the same list: there is one list, and no state."""
    assert len(rates(schedule="cosine")) == TOTAL
    assert rates(schedule="cosine") == rates(schedule="cosine")


@pytest.mark.parametrize("keys", [{"milestones": ("11ep",), "schedule": "step"}, {"warmup": "71it"}])
def test_points_past_the_end_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="past the end"):
        rates(**keys)
