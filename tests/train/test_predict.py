"""Logits of a net, against the net itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.train import small
from ticketctl.errors import StoppedError
from ticketctl.train.evaluate import evaluate
from ticketctl.train.predict import answers_of, right_answers, right_of


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


def test_which_answers_are_right_is_told_batch_by_batch_by_the_labels_that_are_given() -> None:
    bench, sizes = small.bench(), []
    images, model = bench.feed.images, bench.model.train()
    logits = answers_of(model, images).logits
    model.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
    for labels in (images.labels, images.labels.roll(1)):
        found = right_answers(model, images, labels)
        assert found.tolist() == (logits.argmax(1) == labels.numpy()).tolist()
    assert 0 < found.sum() < len(found)
    assert max(sizes) <= 50
    assert model.training


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_an_answer_with_a_logit_that_is_no_number_is_wrong_wherever_it_stands(odd: float) -> None:
    labels = torch.tensor([0, 1, 0, 1])
    logits = torch.tensor([[1.0, 0], [1, 0], [3, odd], [3, odd]])
    assert right_of(logits, labels).tolist() == [True, False, False, False]
