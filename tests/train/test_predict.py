"""Logits of a net, against the net itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.train import small
from ticketctl.errors import StoppedError
from ticketctl.train.evaluate import evaluate
from ticketctl.train.predict import answers_of


def test_logits_are_what_the_net_says_in_evaluation_mode_and_give_the_same_loss_and_accuracy() -> None:
    bench = small.bench()
    images, model = bench.feed.images, bench.model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = answers_of(model, images)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    logits = torch.from_numpy(found.logits)
    labels = torch.from_numpy(found.labels)
    loss, accuracy = evaluate(model, images)
    assert float(torch.nn.functional.cross_entropy(logits, labels)) == pytest.approx(loss, rel=1e-6)
    assert float((logits.argmax(1) == labels).float().mean()) == pytest.approx(accuracy)
    assert found.logits.dtype == np.float32
    assert len(found) == len(images)


def test_a_stop_leaves_the_mode_as_it_was() -> None:
    bench = small.bench()

    def stop() -> None:
        raise StoppedError("stopped", 75)

    with pytest.raises(StoppedError):
        answers_of(bench.model.train(), bench.feed.images, stop)
    assert bench.model.training
