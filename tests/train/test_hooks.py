"""The doors into a training: what they see, what they change, and that a kill at any step changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from torch import Tensor, nn

from tests.train import small
from ticketctl.errors import MismatchError, StoppedError
from ticketctl.masks.mask import Mask
from ticketctl.train import loop as loop_module
from ticketctl.train.course import Course
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Batch, Hooks, due, follow
from ticketctl.train.lab import Fit, Lab

EPOCHS, PER_EPOCH = 4, 3


class Everything(Hooks):
    """Uses every door: a decay of its own, a mask that moves, a state that grows, a stop."""

    every = 2
    moves_mask = True

    def __init__(self, stop_after: int = 99) -> None:
        self.stop_after = stop_after
        self.seen = torch.zeros(0, dtype=torch.int64)
        self.sums = torch.zeros(3, dtype=torch.float64)
        self.calls: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {"name": "everything", "stop_after": self.stop_after}

    def start(self, loop: Course) -> None:
        self.calls.append("start")

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        logits: Tensor = model(inputs) * 1.5
        return logits

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        assert len(batch.labels) == len(logits) == len(batch.index)
        return value + 0.1 * logits.float().square().mean()

    def grads(self, loop: Course) -> bool:
        assert all(p.grad is not None for p in loop.parameters.values())
        self.seen = torch.cat([self.seen, torch.tensor([loop.step])])
        return loop.step % 4 != 3

    def step(self, loop: Course) -> None:
        keep = dict(loop.mask.keep)
        flat = keep["fc.weight"].clone().reshape(-1)
        flat[(7 * loop.step) % flat.numel()] ^= True
        loop.set_mask(Mask({**keep, "fc.weight": flat.reshape(keep["fc.weight"].shape)}))

    def epoch(self, loop: Course) -> bool:
        loop.poll()
        self.sums = self.sums + torch.tensor([loop.train_loss, loop.train_accuracy, float(loop.right.sum())])
        return loop.epochs_done >= self.stop_after

    def finish(self, loop: Course) -> None:
        with torch.no_grad():
            loop.parameters["fc.bias"].add_(1.0)

    def state(self) -> dict[str, Tensor]:
        return {"seen": self.seen, "sums": self.sums}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.seen, self.sums = tensors["seen"], tensors["sums"]


def train(lab: Lab, hook: Hooks, **keys: Any) -> Fit:
    return lab.fit(small.weights(), keys.pop("mask", small.half()), hooks=[hook], **keys)


def spec(**keys: Any) -> Any:
    return small.train_spec(epochs=EPOCHS, weight_decay=0.01, **keys)


def test_doors_with_a_cadence_open_every_so_many_steps(tmp_path: Path) -> None:
    fit = train(small.lab(tmp_path, small.bench(spec())), Everything())
    assert fit.hook(0)["seen"].tolist() == [1, 3, 5, 7, 9, 11]
    assert [len(due((Everything(), Hooks()), step)) for step in range(4)] == [0, 1, 0, 1]


def test_a_hook_follows_a_whole_step_if_it_looks_at_weights_alone() -> None:
    class Looks(Hooks):
        def step(self, loop: Course) -> None:
            pass

    class Follows(Looks):
        reads_grads = False

    class Asked(Follows):
        def grads(self, loop: Course) -> bool:
            return True

    sorts: list[type[Hooks]] = [Follows, Looks, Asked]
    assert [follow((sort(),)) for sort in sorts] == [True, False, False]
    assert follow(())
    assert not follow((Follows(), Looks()))


def test_a_mask_that_moves_is_what_the_weights_end_under(tmp_path: Path) -> None:
    fit = train(small.lab(tmp_path, small.bench(spec())), Everything())
    wanted = small.half().keep["fc.weight"].clone().reshape(-1)
    for step in [1, 3, 5, 7, 9, 11]:
        wanted[7 * step % wanted.numel()] ^= True
    assert torch.equal(fit.mask_at_end().keep["fc.weight"].reshape(-1), wanted)
    weights = fit.end().weights
    for name, keep in fit.mask_at_end().keep.items():
        assert bool((weights[name][~keep] == 0).all())


def test_a_mask_may_begin_full_and_move(tmp_path: Path) -> None:
    lab = small.lab(tmp_path, small.bench(spec()))
    fit = train(lab, Everything(), mask=lab.full())
    assert fit.mask_at_end().size - fit.mask_at_end().kept == 6


def test_a_hook_ends_the_training_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    fit = train(small.lab(tmp_path, small.bench(spec())), Everything(stop_after=2))
    assert fit.steps == 2 * PER_EPOCH
    assert fit.notes["status"] == "done"
    assert len(fit.history) == 3
    assert not torch.isnan(fit.history[-1]).any()


class Silent(Hooks):
    def identity(self) -> dict[str, Any]:
        return {"name": "silent"}


class Still(Silent):
    def grads(self, loop: Course) -> bool:
        return False


class Doubled(Silent):
    """Twice the loss at half the rate is the same course without weight decay and momentum."""

    def loss(self, logits: Tensor, batch: Batch, value: Tensor) -> Tensor:
        return 2 * value


def test_hooks_that_do_nothing_change_no_bit(tmp_path: Path) -> None:
    plain = small.lab(tmp_path / "plain", small.bench(spec())).fit(small.weights(), small.half())
    hooked = train(small.lab(tmp_path / "hooked", small.bench(spec())), Silent())
    assert plain.files.final.read_bytes() == hooked.files.final.read_bytes()
    assert plain.key != hooked.key


def test_a_batch_may_be_refused_its_step(tmp_path: Path) -> None:
    fit = train(small.lab(tmp_path, small.bench(spec())), Still())
    assert torch.equal(fit.end().weights["fc.bias"], small.weights().weights["fc.bias"])
    assert bool((fit.end().weights["norm.running_mean"] != 0).any())  # but its statistics were seen


def test_the_loss_is_the_hooks_to_change(tmp_path: Path) -> None:
    plain = small.lab(
        tmp_path / "a", small.bench(spec(momentum=0.0).model_copy(update={"weight_decay": 0.0}))
    )
    keys = {"weight_decay": 0.0, "lr": 0.025}
    doubled = small.lab(tmp_path / "b", small.bench(spec(momentum=0.0).model_copy(update=keys)))
    ours = train(doubled, Doubled()).end().weights
    theirs = plain.fit(small.weights(), small.half()).end().weights
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)


def test_two_hooks_cannot_both_run_the_net(tmp_path: Path) -> None:
    lab = small.lab(tmp_path, small.bench(spec()))
    with pytest.raises(ValueError, match="two hooks"):
        lab.fit(small.weights(), small.half(), hooks=[Everything(), Everything()])


@pytest.mark.long
@pytest.mark.parametrize("checkpoints", ["at every step", "when stopped alone"])
def test_stopped_anywhere_it_ends_in_the_same_bits(
    tmp_path: Path, checkpoints: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = train(small.lab(tmp_path / "truth", small.bench(spec())), Everything())
    if checkpoints == "at every step":
        monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", -1.0)
    for polls in range(1, 40, 3):
        folder, left = tmp_path / str(polls), iter(range(10**6))
        bench = small.bench(spec(), stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None)
        try:
            train(small.lab(folder, bench), Everything())
        except StoppedError:
            pass
        else:
            break
        fit = train(small.lab(folder, small.bench(spec())), Everything())
        assert fit.files.final.read_bytes() == truth.files.final.read_bytes()
        assert torch.equal(fit.history.nan_to_num(-1), truth.history.nan_to_num(-1))
        for name, value in truth.hook(0).items():
            assert torch.equal(fit.hook(0)[name], value), name
        assert fit.mask_at_end().equal(truth.mask_at_end())


def test_a_training_after_another_on_the_same_bench_is_as_on_a_fresh_one(tmp_path: Path) -> None:
    bench = small.bench(spec())
    used = small.lab(tmp_path / "used", bench)
    train(used, Everything())
    after = used.fit(small.weights(1), small.half(3))
    fresh = small.lab(tmp_path / "fresh", small.bench(spec())).fit(small.weights(1), small.half(3))
    assert after.files.final.read_bytes() == fresh.files.final.read_bytes()
    assert torch.equal(after.tensors["memory.events"], fresh.tensors["memory.events"])


def test_until_stops_where_the_whole_training_passes_through(tmp_path: Path) -> None:
    whole = small.lab(tmp_path / "whole", small.bench(spec())).fit(small.weights(), None, keep=(5,))
    part = small.lab(tmp_path / "part", small.bench(spec())).fit(small.weights(), None, until=5)
    assert part.steps == 5
    for name, value in whole.state(5).weights.items():
        assert torch.equal(part.end().weights[name], value), name


def test_the_start_point_is_the_state_the_dense_net_passes_through(tmp_path: Path) -> None:
    lab = small.lab(tmp_path / "lab", small.bench(spec()), rewind=5)
    whole = small.lab(tmp_path / "whole", small.bench(spec())).fit(small.weights(), None, keep=(5,))
    start = lab.start_point()
    assert start.step == 5
    assert all(torch.equal(start.weights[name], value) for name, value in whole.state(5).weights.items())
    assert small.lab(tmp_path / "again", small.bench(spec()), rewind=5, restart=True).start_point().step == 0


def test_another_course_over_the_same_batches_is_that_course(tmp_path: Path) -> None:
    short = spec().model_copy(update={"epochs": 2, "lr": 0.01, "momentum": 0.0})
    other = small.lab(tmp_path / "other", small.bench(spec())).fit(small.weights(), small.half(), train=short)
    own = small.lab(tmp_path / "own", small.bench(short)).fit(small.weights(), small.half())
    assert other.files.final.read_bytes() == own.files.final.read_bytes()
    same = small.lab(tmp_path / "same", small.bench(spec())).fit(small.weights(), small.half(), train=spec())
    plain = small.lab(tmp_path / "plain", small.bench(spec())).fit(small.weights(), small.half())
    assert same.key == plain.key
    with pytest.raises(ValueError, match="same batches"):
        small.lab(tmp_path / "b", small.bench(spec())).fit(
            small.weights(), None, train=short.model_copy(update={"batch": 4})
        )


class Counts(Silent):
    """Counts its epochs; with `polls` it asks first, with `stops` it polls where it may not."""

    def __init__(self, *, polls: bool = False, stops: bool = False, end: int = 99) -> None:
        self.polls, self.stops, self.end = polls, stops, end
        self.epochs = self.steps = torch.zeros((), dtype=torch.int64)

    def epoch(self, loop: Course) -> bool:
        if self.polls:
            loop.poll()
        self.epochs = self.epochs + 1
        return int(self.epochs) >= self.end

    def step(self, loop: Course) -> None:
        self.steps = self.steps + 1
        if self.stops:
            loop.poll()

    def state(self) -> dict[str, Tensor]:
        return {"epochs": self.epochs, "steps": self.steps}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.epochs, self.steps = tensors["epochs"], tensors["steps"]


@pytest.mark.long
@pytest.mark.parametrize(
    "make",
    [
        lambda: [Counts(), Counts(polls=True)],
        lambda: [Counts(stops=True)],
        lambda: [Counts(end=3)],
    ],
    ids=["the second polls", "a poll inside a step", "an early end that is measured late"],
)
def test_every_epoch_and_step_is_seen_once_wherever_it_was_stopped(tmp_path: Path, make: Any) -> None:
    rare = spec(eval_every=5)
    truth = small.lab(tmp_path / "truth", small.bench(rare)).fit(small.weights(), None, hooks=make())
    for polls in range(1, 40):
        folder, left = tmp_path / str(polls), iter(range(10**6))
        bench = small.bench(rare, stop=lambda left=left, polls=polls: 75 if next(left) >= polls else None)
        try:
            small.lab(folder, bench).fit(small.weights(), None, hooks=make())
        except StoppedError:
            pass
        else:
            break
        fit = small.lab(folder, small.bench(rare)).fit(small.weights(), None, hooks=make())
        assert fit.files.final.read_bytes() == truth.files.final.read_bytes(), polls
        for number in range(len(make())):
            for name, value in truth.hook(number).items():
                assert torch.equal(fit.hook(number)[name], value), (polls, name)
        assert torch.equal(fit.history.nan_to_num(-1), truth.history.nan_to_num(-1))


def test_a_training_that_a_hook_ended_is_measured_at_its_end(tmp_path: Path) -> None:
    fit = small.lab(tmp_path, small.bench(spec(eval_every=4))).fit(
        small.weights(), None, hooks=[Counts(end=3)]
    )
    assert fit.steps == 3 * PER_EPOCH
    assert "test.accuracy" in fit.metrics()


def test_a_training_begun_on_one_kind_of_device_does_not_go_on_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(1000))
    bench = small.bench(spec(), stop=lambda: 75 if next(left) > 5 else None)
    with pytest.raises(StoppedError):
        small.lab(tmp_path, bench).fit(small.weights(), None)
    write = FitFiles.write_checkpoint
    path = tmp_path / "000" / "checkpoint.safetensors"
    files, key = FitFiles(tmp_path / "000"), json.loads(read_header(path)["ticketctl"])["key"]
    notes, tensors = files.read_checkpoint(key) or ({}, {})
    write(files, key, {**notes, "device": "cuda"}, tensors)
    with pytest.raises(MismatchError, match="--device cuda"):
        small.lab(tmp_path, small.bench(spec())).fit(small.weights(), None)


def read_header(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, "pt") as file:
        found: dict[str, str] = file.metadata()
    return found
