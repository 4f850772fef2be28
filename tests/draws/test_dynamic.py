"""RigL and SET: the update of one layer against a program by hand, and every update of small trainings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.draws.drawing import bits, levels_of, setting_of, tables
from tests.train import small
from ticketctl.artifacts.trajectory import decode_trajectory, encode_trajectory
from ticketctl.draws import _dynamic, _dynamic_draw, rigl
from ticketctl.draws import set as sets
from ticketctl.draws._dynamic import Moving, Schedule, drop_grow, in_time_rate
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.masks.profiles import erk
from ticketctl.masks.trajectory import Recorder, Trajectory, is_recorded, packed_bits
from ticketctl.seeds import Seeds
from ticketctl.train import evaluate, loop
from ticketctl.train.course import Course
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Cost, Level, Plan, Target
from ticketctl.train.trajectory import trajectory_of

METHODS = {"rigl": rigl, "set": sets}
TARGET = Target(Fraction(1, 4), None)
SIZE = 3 * 2 * 3 * 3 + 3 * 48
QUARTER = 50  # 198 / 4 = 49.5
paper = {"alpha": 0.3, "alpha_end": 0.0, "anneal": "cosine", "every": 100, "end": 1000, "up": False}


# ---------------------------------------------------------------------------------------------- one layer's update


def by_hand(
    weight: list[float], growth: list[float], active: list[bool], n_drop: int
) -> tuple[list[bool], list[bool]]:
    """The rule in plain Python: drop the smallest, grow the largest of all that was not kept; ties by place."""
    alive = sorted(
        (place for place, on in enumerate(active) if on), key=lambda place: (-abs(weight[place]), place)
    )
    kept = set(alive[: len(alive) - n_drop])
    others = sorted(
        (place for place in range(len(active)) if place not in kept),
        key=lambda place: (-abs(growth[place]), place),
    )
    grown = set(others[:n_drop])
    return (
        [place in kept | grown for place in range(len(active))],
        [place in grown and not active[place] for place in range(len(active))],
    )


@pytest.mark.parametrize("seed", range(60))
def test_an_update_is_what_the_rule_says_ties_included(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    shape = [(7,), (4, 5), (2, 3, 3, 3)][seed % 3]
    levels = 3 if seed % 2 else 1000  # few values, so many ties
    weight, growth = (numbers.integers(-levels, levels + 1, shape) / 8 for _ in range(2))
    active = numbers.random(shape) < numbers.random()
    weight *= active
    for n_drop in {0, 1, int(active.sum()) // 3, int(active.sum())} - {int(active.sum()) + 1}:
        n_drop = min(n_drop, int(active.sum()))
        tensors = (torch.tensor(array, dtype=torch.float32) for array in (weight, growth))
        mask, new = drop_grow(*tensors, torch.tensor(active), n_drop)
        flat = (array.reshape(-1).tolist() for array in (weight, growth, active))
        wanted = by_hand(*flat, n_drop)
        assert mask.reshape(-1).tolist() == wanted[0]
        assert new.reshape(-1).tolist() == wanted[1]
        assert int(mask.sum()) == int(active.sum())


def test_the_published_example_of_the_rule() -> None:
    """|w| 1..6 active at even places, the gradient largest at the dropped and at one pruned place."""
    weight = torch.tensor([0.5, 0, -0.1, 0, 0.9, 0, 0.2, 0])
    gradient = torch.tensor([9.0, 0.1, -3.0, 0.2, 9.0, -4.0, 0.3, 0.1])
    mask, new = drop_grow(weight, gradient, weight != 0, 2)
    assert mask.nonzero().squeeze(1).tolist() == [0, 2, 4, 5]  # 2 was dropped and comes back; 6 is gone
    assert new.nonzero().squeeze(1).tolist() == [5]


def test_where_all_is_equal_the_lower_places_stay_and_come() -> None:
    active = torch.tensor([False, True, True, True, False, True])
    mask, new = drop_grow(torch.ones(6) * active, torch.zeros(6), active, 2)
    assert mask.tolist() == [True, True, True, True, False, False]
    assert new.tolist() == [True, False, False, False, False, False]


def test_the_memory_layout_of_a_weight_does_not_matter() -> None:
    numbers = torch.from_numpy(np.random.default_rng(3).integers(-2, 3, (2, 4, 6, 5, 5)).astype(np.float32))
    weight, gradient = numbers
    active = weight != 0
    plain = drop_grow(weight, gradient, active, 40)
    last = [tensor.to(memory_format=torch.channels_last) for tensor in (weight, gradient, active)]
    for ours, theirs in zip(plain, drop_grow(*last, 40), strict=True):
        assert torch.equal(ours, theirs)
        assert theirs.is_contiguous()


def test_the_fraction_is_alpha_at_first_and_0_at_the_end_along_half_a_cosine() -> None:
    schedule = Schedule(**paper)
    assert schedule.fraction(0) == 0.3
    assert schedule.fraction(500) == pytest.approx(0.15)
    assert schedule.fraction(1000) == 0.0
    assert schedule.fraction(2000) == 0.0
    for t in range(0, 1001, 50):
        assert schedule.fraction(t) == pytest.approx(0.15 * (1 + math.cos(math.pi * t / 1000)), abs=1e-15)
    itop = Schedule(**{**paper, "alpha": 0.5, "alpha_end": 0.005})
    assert (itop.fraction(0), itop.fraction(1000)) == (0.5, 0.005)
    for t in range(0, 1001, 50):  # torch's cosine annealing from 0.5 with eta_min 0.005
        wanted = 0.005 + 0.495 * (1 + math.cos(math.pi * t / 1000)) / 2
        assert itop.fraction(t) == pytest.approx(wanted, abs=1e-15)
    assert Schedule(**{**paper, "anneal": "constant"}).fraction(999) == 0.3


def test_n_drop_is_counted_in_float64() -> None:
    """0.15 of 60 is 9, where float32 makes 8 of it; ITOP rounds up."""
    down = Schedule(**{**paper, "alpha": 0.15, "anneal": "constant"})
    up = Schedule(**{**paper, "alpha": 0.15, "anneal": "constant", "up": True})
    assert [schedule.n_drop(1, 60) for schedule in (down, up)] == [9, 9]
    assert [schedule.n_drop(1, 61) for schedule in (down, up)] == [9, 10]
    assert [schedule.n_drop(1, 0) for schedule in (down, up)] == [0, 0]
    assert [schedule.n_drop(1, 6) for schedule in (down, up)] == [0, 1]


def test_updates_are_the_multiples_below_the_end() -> None:
    assert Schedule(**paper).updates == 9  # 100 to 900
    assert Schedule(**{**paper, "end": 901}).updates == 9
    assert Schedule(**{**paper, "end": 100}).updates == 0
    late = Schedule(**{**paper, "begin": 250})
    assert (late.updates, late.number(300), late.number(900)) == (7, 1, 7)


def test_the_rate_is_the_share_of_bits_that_were_ever_set() -> None:
    masks = [Mask({"a": torch.tensor(row, dtype=torch.bool)}) for row in ([1, 0, 0, 1, 0], [1, 1, 0, 0, 0])]
    ever = packed_bits(masks[0]) | packed_bits(masks[1])
    assert in_time_rate(packed_bits(masks[0]), 5) == 0.4
    assert in_time_rate(ever, 5) == 0.6


# -------------------------------------------------------------------------------------------------- in a training


@dataclass
class Seen:
    """One update, from both sides."""

    step: int
    weight: dict[str, torch.Tensor]
    gradient: dict[str, torch.Tensor]
    moments: dict[str, dict[str, torch.Tensor]]
    mask: Mask
    after: dict[str, torch.Tensor] = field(default_factory=dict)
    moments_after: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    mask_after: Mask | None = None


class Witness(Moving):
    """Takes down what stands before and after each of its updates."""

    seen: list[Seen]

    def _update(self, loop: Course) -> bool:
        weight, moments = self._now(loop)
        gradient = {name: loop.parameters[name].grad.clone() for name in loop.masks}
        row = Seen(loop.step + 1, weight, gradient, moments, loop.mask)
        done = super()._update(loop)
        row.after, row.moments_after = self._now(loop)
        row.mask_after = loop.mask
        if done:
            self.seen.append(row)
        else:
            assert row.mask.equal(row.mask_after)
        return done

    def _now(self, loop: Course) -> tuple[dict[str, Any], dict[str, Any]]:
        weights = {name: loop.parameters[name].detach().clone() for name in loop.masks}
        moments = {
            name: {
                key: value.clone()
                for key, value in loop.optimizer.state[loop.parameters[name]].items()
                if value is not None and value.dim()
            }
            for name in loop.masks
        }
        return weights, moments


def small_draw(
    folder: Path,
    method: str = "rigl",
    asked: Callable[[], int | None] = small.never,
    *,
    tick: float = 0.0,
    rewind: int = 0,
    train: dict[str, Any] | None = None,
    seeds: Seeds | None = None,
    target: Target = TARGET,
    **keys: Any,
) -> list[Level]:
    """As a new process would: six epochs of three steps."""
    spec = small.train_spec(**{"momentum": 0.9, "weight_decay": 1e-3, "epochs": 6, **(train or {})})
    lab = small.lab(
        folder, small.bench(spec, stop=asked, clock=small.Clock(tick)), rewind=rewind, seeds=seeds
    )
    module = METHODS[method]
    params = module.Params(**{"every": "2it", **keys})
    return list(module.draw(lab, target=target, params=params))


@pytest.fixture
def witnessed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[Level], list[Seen]]]:
    """A small draw, and all updates of it."""

    def run(*args: Any, **keys: Any) -> tuple[list[Level], list[Seen]]:
        made: list[Witness] = []

        def watching(*args: Any) -> Witness:
            made.append(Witness(*args))
            made[-1].seen = []
            return made[-1]

        monkeypatch.setattr(_dynamic_draw, "Moving", watching)
        return small_draw(*args, **keys), made[0].seen

    return run


FORMS = {
    "rigl": {"method": "rigl"},
    "rigl, adam": {"method": "rigl", "train": {"optimizer": "adam", "lr": 0.01}},
    "rigl, itop": {"method": "rigl", "preset": "itop"},
    "rigl, uniform": {"method": "rigl", "distribution": "uniform", "target": Target(Fraction(2, 5))},
    "rigl, constant": {"method": "rigl", "anneal": "constant", "end": Fraction(1)},
    "set": {"method": "set"},
    "set, itop": {"method": "set", "preset": "itop"},
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@each_form
def test_every_update_is_the_rule_on_what_stood_there(
    form: dict[str, Any], tmp_path: Path, witnessed: Any
) -> None:
    """Counts stay, n_drop leave or return, the grown ones are the top of all that was not kept."""
    itop = form.get("preset") == "itop"
    levels, seen = witnessed(tmp_path, **form)
    end = 18 if itop or "end" in form else 13  # three quarters of 18 steps
    assert [row.step for row in seen] == list(range(2, end, 2))
    counts = seen[0].mask.layers()
    moved = 0
    for row in seen:
        assert row.mask_after is not None
        assert row.mask_after.layers() == counts
        alpha, low = (0.5, 0.005) if itop else (0.3, 0.0)
        share = (
            low + (alpha - low) / 2 * (1 + math.cos(math.pi * row.step / end)) if end != 18 or itop else alpha
        )
        for name, active in row.mask.keep.items():
            count = int(active.sum())
            n_drop = math.ceil(share * count - 1e-9) if itop else math.floor(share * count + 1e-9)
            if form["method"] == "set":
                words = Seeds(0).raw("draw", "set", name, row.step, count=active.numel()) >> np.uint64(11)
                growth = words.astype(np.float64)
            else:
                growth = row.gradient[name].reshape(-1).numpy()
            weight = row.weight[name].reshape(-1).tolist()
            wanted, new = by_hand(weight, growth.tolist(), active.reshape(-1).tolist(), n_drop)
            assert row.mask_after.keep[name].reshape(-1).tolist() == wanted
            moved += sum(new)
            gone = active.reshape(-1) & ~torch.tensor(wanted)
            assert int(gone.sum()) == sum(new) <= n_drop
    assert moved > 0
    assert levels[1].notes["grown"] == moved
    assert levels[1].mask.equal(seen[-1].mask_after)


@each_form
def test_what_is_new_is_0_without_moments_and_what_came_back_is_as_it_was(
    form: dict[str, Any], tmp_path: Path, witnessed: Any
) -> None:
    _, seen = witnessed(tmp_path, **form)
    stirred = 0
    for row in seen:
        assert row.mask_after is not None
        for name, now in row.mask_after.keep.items():
            new = now & ~row.mask.keep[name]
            stayed = now & row.mask.keep[name]
            assert bool((row.after[name][~stayed] == 0).all())
            assert not bool(torch.signbit(row.after[name][new]).any())
            assert torch.equal(row.after[name][stayed], row.weight[name][stayed])
            assert row.moments_after[name]
            for key, value in row.moments_after[name].items():
                assert bool((value[~stayed] == 0).all())
                assert torch.equal(value[stayed], row.moments[name][key][stayed])
                stirred += int((row.moments[name][key][new] != 0).sum())
    assert stirred > 0  # dense gradients had left something there


def test_moments_may_be_kept(tmp_path: Path, witnessed: Any) -> None:
    _, seen = witnessed(tmp_path, moments="keep")
    for row in seen:
        for name, value in row.moments_after.items():
            assert torch.equal(value["momentum_buffer"], row.moments[name]["momentum_buffer"])


def test_the_gradient_is_the_dense_one_of_the_mean_loss_without_weight_decay(
    tmp_path: Path, witnessed: Any
) -> None:
    """Computed anew by autograd, in train mode, on the masked weights and the batch of the first step."""
    levels, seen = witnessed(tmp_path, every="1it", train={"weight_decay": 0.1})
    lab = small.lab(tmp_path / "other", small.bench(small.train_spec()))
    net = small.Net().train()
    net.load_state_dict(dict(lab.initial.weights))
    lab.bench.feed.begin_epoch(lab.seeds, 0)
    inputs, labels, _ = lab.bench.feed.batch(0)
    for name, keep in seen[0].mask.keep.items():
        dict(net.named_parameters())[name].data.mul_(keep)
    nn.functional.cross_entropy(net(inputs), labels).backward()
    for name, gradient in seen[0].gradient.items():
        parameter = dict(net.named_parameters())[name]
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-7)
        assert bool((gradient[~seen[0].mask.keep[name]] != 0).any())
    assert levels[1].notes["updates"] == 12


class Skipping(Hooks):
    """Leaves out the batches at which the paper's form would update."""

    every = 2

    def identity(self) -> dict[str, Any]:
        return {"name": "skipping"}

    def grads(self, loop: Course) -> bool:
        return loop.step + 1 >= 13


@pytest.mark.parametrize("update_step", ["skip", "apply"])
def test_alpha_0_never_moves_the_mask_and_trains_as_a_static_one_but_for_skipped_steps(
    update_step: str, tmp_path: Path
) -> None:
    level = small_draw(
        tmp_path / "moving", alpha=Fraction(0), alpha_end=Fraction(0), update_step=update_step
    )[1]
    spec = small.train_spec(momentum=0.9, weight_decay=1e-3, epochs=6)
    lab = small.lab(tmp_path / "static", small.bench(spec))
    hooks = (Skipping(),) if update_step == "skip" else ()
    static = lab.fit(lab.initial, level.mask, hooks=hooks)
    assert level.fit is not None
    assert bits(level.fit.end()) == bits(static.end())
    assert level.notes["itop_rate"] == QUARTER / SIZE
    assert all(
        np.array_equal(mask[name], level.mask.keep[name].numpy())
        for mask in trajectory_of(level.fit).masks()
        for name in mask
    )


def test_the_batch_of_an_update_counts_as_a_step_and_moves_no_kept_weight(
    tmp_path: Path, witnessed: Any
) -> None:
    levels, seen = witnessed(tmp_path)
    assert levels[1].fit.steps == 18
    assert len(seen) == 6
    for row in seen:
        for name, keep in row.mask.keep.items():
            assert bool((row.weight[name][~keep] == 0).all())


def test_the_rate_begins_at_the_density_never_falls_and_counts_every_mask(tmp_path: Path) -> None:
    for method in METHODS:
        level = small_draw(tmp_path / method, method)[1]
        assert level.fit is not None
        rates = level.fit.hook(0)["rates"].tolist()
        trajectory = trajectory_of(level.fit)
        assert trajectory is not None
        flat = [np.concatenate([mask[n].reshape(-1) for n in mask]) for mask in trajectory.masks()]
        union = [reduce(np.logical_or, flat[: t + 1]).sum() / SIZE for t in range(len(flat))]
        assert rates == union
        assert rates[0] == QUARTER / SIZE
        assert rates == sorted(rates)
        assert rates[-1] == level.notes["itop_rate"] > rates[0]


def test_the_trajectory_holds_every_mask_from_the_first_to_the_last(tmp_path: Path, witnessed: Any) -> None:
    levels, seen = witnessed(tmp_path)
    trajectory = trajectory_of(levels[1].fit)
    assert trajectory is not None
    assert trajectory.step.tolist() == [0, 2, 4, 6, 8, 10, 12]
    wanted = [seen[0].mask, *(row.mask_after for row in seen)]
    assert all(
        Mask.from_arrays(mask).equal(want) for mask, want in zip(trajectory.masks(), wanted, strict=True)
    )
    stored = decode_trajectory(encode_trajectory(trajectory), where="")
    assert stored.step.tolist() == trajectory.step.tolist()
    assert all(Mask.from_arrays(stored.rows(t)).equal(want) for t, want in enumerate(wanted))


@pytest.mark.parametrize(
    ("most", "steps"), [(2, [0, 12]), (3, [0, 6, 12]), (5, [0, 4, 6, 10, 12]), (7, range(0, 13, 2))]
)
def test_a_trajectory_of_fewer_masks_has_them_evenly_and_the_last(
    most: int, steps: list[int], tmp_path: Path, witnessed: Any
) -> None:
    levels, seen = witnessed(tmp_path, masks=most)
    trajectory = trajectory_of(levels[1].fit)
    assert trajectory is not None
    assert trajectory.step.tolist() == list(steps)
    by_step = {row.step: row.mask_after for row in seen} | {0: seen[0].mask}
    for step, mask in zip(steps, trajectory.masks(), strict=True):
        assert Mask.from_arrays(mask).equal(by_step[step])


class Swap(Hooks):
    """Moves the mask at step 4 and writes nothing down."""

    moves_mask = True

    def identity(self) -> dict[str, Any]:
        return {"name": "swap"}

    def step(self, loop: Course) -> None:
        if loop.step == 3:
            loop.set_mask(small.half(9))


def test_of_a_mask_that_nobody_wrote_down_the_first_and_the_last_are_known(tmp_path: Path) -> None:
    lab = small.lab(tmp_path, small.bench())
    trajectory = trajectory_of(lab.fit(lab.initial, small.half(), hooks=(Swap(),)))
    assert trajectory is not None
    assert trajectory.step.tolist() == [0, 6]
    first, last = map(Mask.from_arrays, trajectory.masks())
    assert first.equal(small.half())
    assert last.equal(small.half(9))
    assert trajectory_of(lab.fit(lab.initial, small.half())) is None


def test_a_training_that_loses_the_finite_numbers_ends_as_others_do(tmp_path: Path) -> None:
    from ticketctl.errors import DivergedError

    with pytest.raises(DivergedError, match="not finite"):
        small_draw(tmp_path, every="1it", train={"lr": 1e30})


# ------------------------------------------------------------------------------------------------------ the draw


def test_the_ticket_is_the_final_mask_on_the_start_and_its_run_the_training(tmp_path: Path) -> None:
    dense, ticket = small_draw(tmp_path)
    lab = small.lab(tmp_path, small.bench())
    assert dense.fit is None
    assert dense.mask.kept == SIZE
    assert ticket.mask.kept == QUARTER
    assert bits(ticket.start) == bits(dense.start) == bits(lab.initial)
    assert ticket.role is None
    assert ticket.fit is not None
    assert ticket.mask.equal(ticket.fit.mask_at_end())
    for name, keep in ticket.mask.keep.items():
        assert bool((ticket.fit.end().weights[name][~keep] == 0).all())


def test_layers_keep_what_erk_gives_them(tmp_path: Path) -> None:
    ticket = small_draw(tmp_path)[1]
    counts = erk(ticket.mask.shapes(), QUARTER)
    assert {name: kept for name, (kept, _) in ticket.mask.layers().items()} == counts


def test_uniform_keeps_the_first_convolution_dense_and_the_total_exact(tmp_path: Path) -> None:
    ticket = small_draw(tmp_path, distribution="uniform", target=Target(Fraction(2, 5)))[1]
    assert ticket.mask.layers() == {"conv.weight": (54, 54), "fc.weight": (25, 144)}  # 79 in all
    with pytest.raises(UsageError, match="use erk, or a larger density"):
        small_draw(tmp_path / "few", distribution="uniform")


def test_another_seed_begins_elsewhere_and_the_same_seed_at_the_same_masks(tmp_path: Path) -> None:
    for method in METHODS:
        draws = [
            trajectory_of(small_draw(tmp_path / f"{method}{n}", method, seeds=seeds)[1].fit)
            for n, seeds in enumerate((Seeds(0), Seeds(0), Seeds(0, {"draw": 1})))
        ]
        one, again, other = [[packed_bits(Mask.from_arrays(m)).tobytes() for m in t.masks()] for t in draws]
        assert one == again
        assert all(ours != theirs for ours, theirs in zip(one, other, strict=True))


def test_what_set_grows_belongs_to_the_training_and_what_rigl_grows_does_not(tmp_path: Path) -> None:
    """So that a training under another stream draw is never taken for this one."""
    schedule = Schedule(**paper)
    one, other = Seeds(0), Seeds(0, {"draw": 1})
    assert Moving("set", schedule, one).identity() != Moving("set", schedule, other).identity()
    assert "draw" not in Moving("rigl", schedule, None).identity()


def test_keys_win_over_presets() -> None:
    found = _dynamic_draw.settled("rigl", rigl.Params(preset="itop", alpha=Fraction(1, 5), every="7it"))
    assert (found.alpha, found.every, found.alpha_end, found.end) == (
        Fraction(1, 5),
        "7it",
        Fraction(1, 200),
        1,
    )
    assert _dynamic_draw.settled("set", sets.Params(preset="itop")).every == "1500it"
    plain = _dynamic_draw.settled("rigl", rigl.Params())
    assert (plain.alpha, plain.every, plain.end, plain.distribution) == (
        Fraction(3, 10),
        "100it",
        Fraction(3, 4),
        "erk",
    )


@pytest.mark.parametrize(
    "keys",
    [
        {"alpha": Fraction(2)},
        {"alpha": Fraction(1, 10), "alpha_end": Fraction(1, 5)},
        {"end": Fraction(0)},
        {"end": Fraction(5, 4)},
        {"multiplier": Fraction(0)},
        {"search": -1},
        {"search": 2, "multiplier": Fraction(2)},
        {"masks": 1},
        {"masks": 0},
        {"every": "0"},
        {"every": "often"},
        {"target": Target(Fraction(1))},
        {"target": Target(None, 3)},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_trained(keys: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        small_draw(tmp_path, **keys)
    assert refused.value.exit_code == 2
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_interval_is_in_steps_epochs_or_percent(tmp_path: Path) -> None:
    for text, every in (("4it", 4), ("1ep", 3), ("50%", 9)):
        assert small_draw(tmp_path / text, every=text)[1].notes["every"] == every


def test_a_mask_that_never_moves_is_said(tmp_path: Path) -> None:
    said: list[str] = []

    class Told(small.Silent):
        def note(self, text: str) -> None:
            said.append(text)

    from dataclasses import replace

    bench = replace(small.bench(small.train_spec()), reporter=Told())
    level = list(rigl.draw(small.lab(tmp_path, bench), target=TARGET, params=rigl.Params()))[1]
    assert level.notes["updates"] == 0
    assert any("the mask never moves" in text and "draw.every" in text for text in said)


def test_from_a_rewind_point_updates_go_on_where_the_schedule_stands(tmp_path: Path) -> None:
    ticket = small_draw(tmp_path, rewind=5)[1]
    trajectory = trajectory_of(ticket.fit)
    assert trajectory is not None
    assert trajectory.step.tolist() == [5, 6, 8, 10, 12]
    assert ticket.start.step == 5


def test_a_multiplier_stretches_the_course(tmp_path: Path, witnessed: Any) -> None:
    train = {"epochs": 3, "schedule": "step", "milestones": ("1ep", "2ep")}
    levels, seen = witnessed(tmp_path, multiplier=Fraction(2), train=train)
    assert levels[1].fit.steps == 18
    assert [row.step for row in seen] == [2, 4, 6, 8, 10, 12]
    rates = dict(zip(levels[1].fit.columns, levels[1].fit.history.numpy().T, strict=True))["lr"]
    assert rates[1:].tolist() == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])


def test_searching_apart_moves_the_mask_at_a_constant_rate_and_tunes_it_after(tmp_path: Path) -> None:
    """Paper 000's form: the mask of a long training at a constant rate, its weights trained on by the recipe."""
    train = {"epochs": 2, "schedule": "cosine"}
    ticket = small_draw(tmp_path, search=4, train=train)[1]
    searched = small_draw(tmp_path / "alone", train={"epochs": 4, "schedule": "constant"})[1]
    assert searched.fit is not None
    assert ticket.mask.equal(searched.mask)
    assert bits(ticket.start) == bits(searched.fit.end())
    assert (ticket.role, ticket.start.step) == ("trained", 0)
    assert ticket.search is not None, "the training that found the mask, for the stage to keep"
    way, alone = trajectory_of(ticket.search), trajectory_of(searched.fit)
    assert way is not None
    assert alone is not None
    assert way.step.tolist() == alone.step.tolist() == [0, 2, 4, 6, 8]
    assert searched.search is None
    assert ticket.fit is not None
    assert ticket.fit.steps == 6


def test_it_costs_one_training_or_what_the_keys_make_of_it() -> None:
    plan = Plan(TARGET, 160)
    for module in METHODS.values():
        assert module.cost(plan, rigl.Params()) == Cost(1, 160)
        assert module.cost(plan, rigl.Params(multiplier=Fraction(5, 2))) == Cost(1, 400)
        assert module.cost(plan, rigl.Params(search=360)) == Cost(2, 520)
        with pytest.raises(UsageError, match="give --density"):
            module.cost(Plan(Target(None, 3), 160), rigl.Params())


@pytest.mark.parametrize("method", METHODS)
def test_on_digits_it_draws_in_one_training(method: str, tmp_path: Path) -> None:
    setting = setting_of(tmp_path / "cache", tables(method, every="2it"))
    dense, ticket = levels_of(setting, tmp_path / "work")
    assert ticket.mask.kept == math.floor(dense.mask.size * 0.15 + 0.5)
    assert ticket.fit is not None
    assert ticket.fit.steps == 10
    assert ticket.notes["updates"] == 3


class StopAt:
    """Asks to stop at the n-th question (from 0), and counts the questions."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.asked = at, 0

    def __call__(self) -> int | None:
        self.asked += 1
        return 75 if self.at is not None and self.asked > self.at else None


@pytest.mark.long
@pytest.mark.parametrize(
    ("keys", "each"),
    [
        ({"method": "rigl", "tick": 2 * loop.CHECKPOINT_SECONDS, "train": {"epochs": 4}}, 2),
        ({"method": "rigl", "preset": "itop", "masks": 3, "train": {"optimizer": "adam", "lr": 0.01}}, 3),
        ({"method": "set", "every": "1it", "rewind": 4, "masks": 4, "train": {"epochs": 4}}, 3),
    ],
    ids=["every step, a checkpoint at each", "itop, adam, few masks", "set, rewound"],
)
def test_stopped_anywhere_and_begun_again_it_ends_in_the_same_bytes(
    keys: dict[str, Any], each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "BATCH", 4)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", float("inf"))
    monkeypatch.setattr("os.fsync", lambda handle: None)
    keys = dict(keys)
    method, asked = keys.pop("method"), StopAt()
    small_draw(tmp_path / "truth", method, asked, **keys)
    wanted = {
        name: data for name, data in small.files_below(tmp_path / "truth").items() if "best-" not in name
    }
    for at in range(0, asked.asked, each):
        folder = tmp_path / str(at)
        with pytest.raises(StoppedError):
            small_draw(folder, method, StopAt(at), **keys)
        small_draw(folder, method, **keys)
        found = small.files_below(folder)
        assert {name: found[name] for name in wanted} == wanted, at


# ---------------------------------------------------------------------------------------------------- the record


@pytest.mark.parametrize(("of", "most"), [(1, 1), (6, 2), (6, 6), (6, 99), (750, 255), (1000, 7)])
def test_what_is_recorded_is_spread_evenly_and_ends_with_the_last(of: int, most: int) -> None:
    chosen = [number for number in range(1, of + 1) if is_recorded(number, of, most)]
    assert len(chosen) == min(most, of)
    assert chosen[-1] == of
    gaps = np.diff([0, *chosen])
    assert gaps.max() - gaps.min() <= 1


def test_a_recorder_that_was_written_down_goes_on_as_if_nothing_had_been() -> None:
    numbers = np.random.default_rng(1)
    masks = [
        Mask.from_arrays({"a": numbers.random((5, 3)) < 0.5, "b": numbers.random(11) < 0.5}) for _ in range(6)
    ]
    shapes = masks[0].shapes()
    whole, broken = Recorder(), Recorder()
    assert broken.tensors() == {}
    for step, mask in enumerate(masks):
        keep = step not in (2, 3, 5)
        whole.see(step, mask, keep=keep)
        broken.see(step, mask, keep=keep)
        again = Recorder()
        again.restore(broken.tensors())
        broken = again
        found = Trajectory.of_tensors(shapes, broken.tensors())
        assert found is not None
        assert Mask.from_arrays(list(found.masks())[-1]).equal(mask)  # the newest is always there
    one, two = (recorder.tensors() for recorder in (whole, broken))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    found = Trajectory.of_tensors(shapes, one)
    assert found is not None
    assert found.step.tolist() == [0, 1, 4, 5]
    assert Trajectory.of_tensors(shapes, {}) is None


def test_a_record_is_as_small_as_what_moved() -> None:
    """2 M weights, a tenth kept: 100 updates of 15 to 0 % in less than a quarter of their packed bits."""
    numbers = np.random.default_rng(0)
    keep = numbers.random(2_000_000) < 0.1
    recorder, updates = Recorder(), 20
    recorder.see(0, Mask({"w": torch.from_numpy(keep.copy())}))
    for t in range(updates):
        count = int(keep.sum() * 0.075 * (1 + math.cos(math.pi * t / updates)))
        out = numbers.choice(np.flatnonzero(keep), count, replace=False)
        come = numbers.choice(np.flatnonzero(~keep), count, replace=False)
        keep[out], keep[come] = False, True
        recorder.see(t + 1, Mask({"w": torch.from_numpy(keep.copy())}))
    held = sum(tensor.numel() * tensor.element_size() for tensor in recorder.tensors().values())
    assert held < 0.3 * (updates + 2) * 2_000_000 / 8
    assert _dynamic.Moving.moves_mask
