"""Averages of weights against closed forms and against torch's AveragedModel."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from tests.train import small
from tests.tweaks import alone
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.progress import Silent
from ticketctl.train import recalibrate
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.tweaks import swa

PER_EPOCH = 3
Named = dict[str, Tensor]


class Album(Hooks):
    """The net after every step, and at the end of every epoch."""

    def __init__(self) -> None:
        self.steps: list[Named] = []
        self.epochs: list[Named] = []
        self.rates: list[float] = []

    def identity(self) -> dict[str, Any]:
        return {"name": "album"}

    def step(self, loop: Course) -> None:
        self.steps.append(copied(loop))
        self.rates.append(loop.optimizer.param_groups[0]["lr"])

    def epoch(self, loop: Course) -> bool:
        self.epochs.append(copied(loop))
        return False


def copied(loop: Course) -> Named:
    return {name: value.clone() for name, value in loop.model.state_dict().items()}


def mean(nets: list[Named], shares: list[float]) -> dict[str, Tensor]:
    """Float64, of everything but integers, which are the last net's."""
    found = {}
    for name, last in nets[-1].items():
        parts = [share * net[name].double() for share, net in zip(shares, nets, strict=True)]
        found[name] = torch.stack(parts).sum(0) if last.is_floating_point() else last
    return found


def close(ours: Any, theirs: Named, *, but: tuple[str, ...] = ()) -> None:
    for name, value in theirs.items():
        if not name.endswith(but or ("\0",)):
            torch.testing.assert_close(ours[name].double(), value.double(), rtol=1e-5, atol=1e-6, msg=name)


# -------------------------------------------------------------------------------------------- exponential averages


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_after_five_steps_it_is_the_closed_form_and_torchs(tmp_path: Path, decay: float) -> None:
    """a_5 = d^4 w_1 + (1 - d) (d^3 w_2 + d^2 w_3 + d w_4 + w_5): the shares sum to 1."""
    album = Album()
    fit = alone.train(tmp_path, [("ema", {"decay": decay})], others=(album,), until=5)
    shares = [decay**4, *((1 - decay) * decay ** (5 - k) for k in range(2, 6))]
    assert sum(shares) == pytest.approx(1)
    close(fit.end().weights, mean(album.steps, shares))
    net = small.Net()
    torchs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    for weights in album.steps:
        net.load_state_dict(weights)
        torchs.update_parameters(net)
    close(fit.end().weights, dict(torchs.module.state_dict()), but=("num_batches_tracked",))


def test_at_decay_zero_it_is_the_last_net_to_the_bit(tmp_path: Path) -> None:
    plain = alone.train(tmp_path / "plain", [])
    assert alone.same_bytes(alone.train(tmp_path / "ema", [("ema", {"decay": 0.0})]), plain)


def test_the_training_is_not_touched_and_the_average_is_what_is_measured(tmp_path: Path) -> None:
    one, other = Album(), Album()
    plain = alone.train(tmp_path / "plain", [], others=(one,))
    fit = alone.train(tmp_path / "ema", [("ema", {"decay": 0.9})], others=(other,))
    for ours, theirs in zip(one.steps, other.steps, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(plain.history[1:-1], fit.history[1:-1])
    column = fit.columns.index("test.loss")
    assert fit.history[-1, column] != plain.history[-1, column]


def test_the_average_is_not_kept_twice(tmp_path: Path) -> None:
    assert alone.train(tmp_path / "ema", [("ema", {})]).hook(0) == {}
    held = alone.train(tmp_path / "swa", [("swa", {"start": "1/2"})]).hook(0)
    assert {name: int(value) for name, value in held.items()} == {"nets": 3, "epochs": 4}


class Moves(Hooks):
    """Swaps half of the mask in the middle of the training."""

    moves_mask = True

    def identity(self) -> dict[str, Any]:
        return {"name": "moves"}

    def step(self, loop: Course) -> None:
        if loop.step == 6:
            loop.set_mask(small.half(seed=6))


@pytest.mark.parametrize("worn", [("ema", {"decay": 0.9}), ("swa", {"start": "1/4"})], ids=["ema", "swa"])
def test_where_the_mask_moved_the_average_is_under_the_last_one(tmp_path: Path, worn: Any) -> None:
    fit = alone.train(tmp_path, [worn], others=(Moves(),))
    last: Mask = small.half(seed=6)
    assert fit.mask_at_end().equal(last)
    assert all(not fit.end().weights[name][~keep].any() for name, keep in last.keep.items())


# ------------------------------------------------------------------------------------------------ stochastic averages


@pytest.mark.parametrize(("start", "nets"), [("1/4", 4), ("3/4", 2), ("0.6", 2), ("1", 1), ("1/100", 4)])
def test_weights_are_the_mean_over_the_ends_of_the_last_epochs(tmp_path: Path, start: str, nets: int) -> None:
    album = Album()
    fit = alone.train(tmp_path, [("swa", {"start": start, "bn": "average"})], others=(album,))
    close(fit.end().weights, mean(album.epochs[-nets:], [1 / nets] * nets))
    assert int(fit.hook(0)["nets"]) == nets


def test_it_is_torchs_averaged_model_with_torchs_batchnorm_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalibrate, "BATCH", 5)
    album = Album()
    fit = alone.train(tmp_path, [("swa", {"start": "1/2"})], others=(album,), padding=1)
    net = small.Net()
    torchs = AveragedModel(net)
    for weights in album.epochs[1:]:
        net.load_state_dict(weights)
        torchs.update_parameters(net)
    images = small.bench().feed.images
    every = images.batch(0, len(images))[0]
    update_bn((every[first::3] for first in range(3)), torchs)  # 5 at a time, spread over all
    close(fit.end().weights, dict(torchs.module.state_dict()))


def test_of_one_net_it_is_that_net(tmp_path: Path) -> None:
    plain = alone.train(tmp_path / "plain", [])
    same = alone.train(tmp_path / "average", [("swa", {"start": 1, "bn": "average"})])
    assert alone.same_bytes(same, plain)
    fit = alone.train(tmp_path / "recalibrate", [("swa", {"start": 1})])
    for name, _ in small.Net().named_parameters():
        assert torch.equal(fit.end().weights[name], plain.end().weights[name])
    assert not torch.equal(fit.end().weights["norm.running_mean"], plain.end().weights["norm.running_mean"])


def test_with_a_rate_of_its_own_the_schedule_is_the_papers(tmp_path: Path) -> None:
    """lr_init up to half of swa_start epochs, a line to swa_lr at nine tenths (timgaripov/swa)."""
    album = Album()
    spec = alone.spec(epochs=8, lr=0.08, schedule="step", milestones=("2ep",))
    alone.train(tmp_path, [("swa", {"start": "3/4", "lr": 0.02})], train=spec, others=(album,))
    wanted = []
    for epoch in range(8):
        t, ratio = epoch / 6, 0.02 / 0.08
        factor = 1.0 if t <= 0.5 else 1 - (1 - ratio) * (t - 0.5) / 0.4 if t <= 0.9 else ratio
        wanted += [0.08 * factor] * PER_EPOCH
    assert album.rates == pytest.approx(wanted, rel=1e-12)


def test_without_one_the_rates_are_the_recipes(tmp_path: Path) -> None:
    spec = alone.spec(schedule="cosine")
    albums = Album(), Album()
    alone.train(tmp_path / "a", [("swa", {})], train=spec, others=albums[:1])
    alone.train(tmp_path / "b", [], train=spec, others=albums[1:])
    assert albums[0].rates == albums[1].rates


def test_the_first_epoch_is_the_one_that_completes_the_share() -> None:
    for epochs in range(1, 30):
        for start in (Fraction(1, 3), Fraction(3, 4), Fraction(1), Fraction(1, 1000)):
            first = swa.first_epoch(start, epochs)
            assert 1 <= first <= epochs
            assert Fraction(first - 1, epochs) < start <= Fraction(first, epochs)


class Ends(Hooks):
    """Ends the training after two epochs."""

    def identity(self) -> dict[str, Any]:
        return {"name": "ends"}

    def epoch(self, loop: Course) -> bool:
        return loop.epochs_done == 2


def test_a_training_that_ended_before_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ended after epoch 2.*tweaks\.swa\.start = 3/4"):
        alone.train(tmp_path, [("swa", {})], others=(Ends(),))


def test_one_that_is_to_end_before_it_is_refused_before_its_first_step(tmp_path: Path) -> None:
    album = Album()
    with pytest.raises(UsageError, match=r"ends after epoch 2.*tweaks\.swa\.start = 3/4"):
        alone.train(tmp_path, [("swa", {})], until=2 * PER_EPOCH, others=(album,))
    assert not album.steps


# --------------------------------------------------------------------------------------------- too short for a tweak


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(("decay", "epochs"), [(0.999, 4), (0.9, 4), (0.8, 4), (0.8, 5)])
def test_the_share_of_the_first_net_is_told_where_it_is_more_than_a_tenth(
    tmp_path: Path, decay: float, epochs: int
) -> None:
    """Measured, not computed: the average of the numbers 1, 0, 0, ... is the share of the first of them."""
    told, steps = Told(), epochs * PER_EPOCH

    def first_in(rate: float) -> float:
        held = AveragedModel(torch.nn.Linear(1, 1), multi_avg_fn=get_ema_multi_avg_fn(rate))
        for step in range(steps):
            net = torch.nn.Linear(1, 1).double()
            net.weight.data.fill_(float(step == 0))
            held.module.double()
            held.update_parameters(net)
        return float(held.module.weight.detach())

    alone.train(tmp_path, [("ema", {"decay": decay})], train=alone.spec(epochs=epochs), reporter=told)
    share = first_in(decay)
    if share <= 0.1:
        assert not told.notes
        return
    (note,) = told.notes
    assert f"ema: {100 * share:.0f} % of" in note
    assert f"{steps} steps" in note
    better = float(note.rpartition("; with ")[2].split()[0])
    assert first_in(better) == pytest.approx(0.01, rel=1e-2)


@pytest.mark.parametrize(
    ("keys", "epochs", "words"),
    [
        ({}, 2, ["the last alone"]),
        ({}, 4, []),
        ({"start": "1"}, 4, []),
        ({"lr": 0.02}, 3, ["the last alone", "in 3 epochs; in 4 or more"]),
        ({"lr": 0.02}, 4, []),
        ({"start": "1", "lr": 0.02}, 4, ["in 10 or more"]),
    ],
)
def test_a_mean_of_one_net_and_a_rate_that_is_not_reached_are_told(
    tmp_path: Path, keys: dict[str, Any], epochs: int, words: list[str]
) -> None:
    told, album = Told(), Album()
    fit = alone.train(
        tmp_path, [("swa", keys)], train=alone.spec(epochs=epochs), others=(album,), reporter=told
    )
    assert len(told.notes) == len(words)
    assert all(word in note for word, note in zip(words, told.notes, strict=True))
    if "lr" in keys:
        assert (album.rates[-1] == keys["lr"]) != any("or more" in word for word in words)
    if "start" not in keys:
        assert (int(fit.hook(0)["nets"]) == 1) == ("the last alone" in words)


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_each_process_of_a_training_tells_the_same_which_is_kept_once(tmp_path: Path, name: str) -> None:
    keys = {"lr": 0.01, "start": Fraction(1)} if name == "swa" else {}
    told = Told()
    for polls in (4, 9, 10**6):
        left = iter(range(10**6))
        with suppress(StoppedError):
            fit = alone.train(
                tmp_path, [(name, keys)], reporter=told, clock=small.Clock(50.0),
                stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None,
            )  # fmt: skip
    (text,) = fit.notes["remarks"]
    assert told.notes == [text] * 3


def test_a_training_of_no_step_leaves_the_net(tmp_path: Path) -> None:
    for name in ("ema", "swa"):
        fit = alone.train(tmp_path / name, [(name, {})], until=0, mask=False)
        for tensor, value in small.weights().weights.items():
            assert torch.equal(fit.end().weights[tensor], value)


def test_stopped_while_batchnorm_is_set_it_begins_that_pass_anew(tmp_path: Path) -> None:
    """The stop falls between the last epoch and the record: all questions but those of `finish` are answered no."""
    plain = alone.train(tmp_path / "plain", [("swa", {})])
    asked = iter(range(10**6))
    alone.train(tmp_path / "counted", [("swa", {})], stop=lambda: next(asked) < 0 or None)
    last = next(asked) - 1
    for back in (1, 2, 3, 4):
        left = iter(range(10**6))
        folder = tmp_path / str(back)
        with pytest.raises(StoppedError):
            alone.train(
                folder,
                [("swa", {})],
                stop=lambda left=left, back=back: 75 if next(left) > last - back else None,
                clock=small.Clock(50.0),
            )
        assert alone.same_bytes(alone.train(folder, [("swa", {})]), plain)


# ----------------------------------------------------------------------------------------------- in a whole training

ALL: alone.Worn = [("ema", {"decay": 0.8}), ("sam", {}), ("ls", {}), ("kd", {})]
WORN: dict[str, alone.Worn] = {
    "ema": [("ema", {"decay": 0.8})],
    "swa": [("swa", {"start": "1/3", "lr": 0.01})],
    "swa, statistics averaged": [("swa", {"start": "2/3", "bn": "average"})],
    "ema, sam, ls, kd": ALL,
    "swa, asam, ls": [("asam", {}), ("swa", {"start": "1/2"}), ("ls", {})],
}
each = pytest.mark.parametrize("worn", WORN.values(), ids=WORN.keys())


@pytest.mark.long
@each
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    tmp_path: Path, worn: alone.Worn, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.goes_on(tmp_path, worn, monkeypatch, train=alone.spec(epochs=3), each=5)


@pytest.mark.long
@each
def test_with_a_checkpoint_at_every_step_too(
    tmp_path: Path, worn: alone.Worn, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.goes_on(tmp_path, worn, monkeypatch, train=alone.spec(epochs=3), each=11, clock=small.Clock(50.0))


@each
def test_pruned_weights_are_zero_in_the_end(tmp_path: Path, worn: alone.Worn) -> None:
    assert not alone.pruned(alone.train(tmp_path, worn)).any()


def test_each_of_four_together_has_its_part(tmp_path: Path) -> None:
    whole = alone.train(tmp_path / "whole", ALL)
    for number in range(len(ALL)):
        without = alone.train(tmp_path / str(number), [*ALL[:number], *ALL[number + 1 :]])
        assert not alone.same_bytes(without, whole), ALL[number]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ema", {"decay": 1.0}),
        ("ema", {"decay": -0.1}),
        ("ema", {"decay": float("nan")}),
        ("swa", {"start": "0"}),
        ("swa", {"start": "5/4"}),
        ("swa", {"lr": 0.0}),
        ("swa", {"lr": float("nan")}),
    ],
)
def test_keys_out_of_range_are_refused_by_name(name: str, keys: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"tweaks\.{name}\.{next(iter(keys))}"):
        alone.hook(name, keys, small.bench())
