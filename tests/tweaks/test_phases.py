"""redense, acdc, dsd: phases with all weights and phases under a mask, against a training written out by hand."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numcodecs import zstd
from torch import nn

from tests.train import small
from tests.tweaks import alone
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.plugins import plugins
from ticketctl.progress import Silent
from ticketctl.recipe import TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.tweaking import tweak_set
from ticketctl.train.bench import Bench
from ticketctl.train.fit import Fit
from ticketctl.train.kit import Kit, equip, started
from ticketctl.train.state import State
from ticketctl.train.trajectory import trajectory_of
from ticketctl.tweaks import acdc, dsd, redense
from ticketctl.tweaks._fade import Fading, added, whole

PER_EPOCH = 3
STEPS = {"schedule": "step", "milestones": ("2ep",), "gamma": 0.5}

Parts = dict[int, tuple[str, bool]]
"""Epoch at which a phase begins: dense, ticket or largest; and whether the momentum starts fresh."""


def by_hand(
    parts: Parts, rates: list[float], spec: TrainSpec, start: State | None = None
) -> dict[str, torch.Tensor]:
    """The weights after a training of torch's own optimizer whose mask is changed at the epochs of `parts`."""
    net = small.Net()
    (start or small.weights()).load_into(net)
    net.to(memory_format=torch.channels_last)
    named = {name: net.get_parameter(name) for name in small.half().keep}
    keep = dict(small.half().keep)
    optimizer = _sgd(net, spec)
    with torch.no_grad():
        for name, value in named.items():
            value.mul_(keep[name])
    batches = alone.batches(spec.model_copy(update={"epochs": len(rates) // PER_EPOCH}))
    for step, (inputs, labels) in enumerate(batches):
        if step % PER_EPOCH == 0 and step // PER_EPOCH in parts:
            kind, fresh = parts[step // PER_EPOCH]
            keep = _kept(kind, named)
            optimizer = _sgd(net, spec) if fresh else optimizer
            with torch.no_grad():
                for name, value in named.items():
                    value.mul_(keep[name])
        optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
        with torch.no_grad():
            for name, value in named.items():
                value.mul_(keep[name])
    return {name: value.detach() for name, value in net.named_parameters()}


def _sgd(net: nn.Module, spec: TrainSpec) -> torch.optim.SGD:
    return torch.optim.SGD(net.parameters(), lr=1.0, momentum=spec.momentum, weight_decay=spec.weight_decay)


def _kept(kind: str, named: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    if kind == "ticket":
        return dict(small.half().keep)
    if kind == "dense":
        return {name: torch.ones_like(value, dtype=torch.bool) for name, value in named.items()}
    least = (
        torch.cat([value.detach().abs().flatten() for value in named.values()]).sort(descending=True).values
    )
    return {name: value.detach().abs() >= least[small.half().kept - 1] for name, value in named.items()}


def assert_ends_as(fit: Fit, wanted: dict[str, torch.Tensor]) -> None:
    found = fit.end().weights
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


def rates_of(fit: Fit) -> list[float]:
    """The rate of the last step of each epoch."""
    return [float(rate) for rate in fit.history[1:, fit.columns.index("lr")]]


def full() -> Mask:
    return Mask.full(small.half().shapes())


# ------------------------------------------------------------------------------------------------------ re-dense


def sparse(folder: Path, train: TrainSpec) -> Fit:
    return small.lab(folder, small.bench(train)).fit(small.weights(), small.half())


def again(folder: Path, before: Fit, train: TrainSpec, **keys: Any) -> Fit:
    """As a stage would: from the end of the sparse training, with no mask, on a fresh course."""
    bench = small.bench(train)
    return small.lab(folder, bench).fit(
        State(before.end().weights, 0), full(), hooks=[alone.hook("redense", keys, bench)]
    )


def test_redense_at_a_rate_of_0_is_the_sparse_net_to_the_byte(tmp_path: Path) -> None:
    spec = alone.spec(**STEPS)
    before = sparse(tmp_path / "before", spec)
    after = again(tmp_path / "after", before, spec, lr=0.0)
    assert alone.same_bytes(before, after)
    assert after.steps == 4 * PER_EPOCH


def test_redense_moves_the_pruned_weights_at_the_last_sparse_rate(tmp_path: Path) -> None:
    spec = alone.spec(**STEPS, warmup="1ep")
    before = sparse(tmp_path / "before", spec)
    after = again(tmp_path / "after", before, spec)
    assert rates_of(after) == [0.025] * 4
    assert bool((alone.pruned(before) == 0).all())
    assert float((alone.pruned(after) != 0).float().mean()) > 0.9
    wanted = by_hand({0: ("dense", False)}, [0.025] * 12, spec, before.end())
    assert_ends_as(after, wanted)


def test_redense_takes_a_rate_and_a_length(tmp_path: Path) -> None:
    spec = alone.spec(schedule="cosine")
    after = again(tmp_path / "after", sparse(tmp_path / "before", spec), spec, lr=0.003, epochs=2)
    assert rates_of(after) == [0.003] * 2
    assert after.train.schedule == "constant"


@pytest.mark.parametrize("name", ["redense", "dsd"])
def test_after_a_cosine_a_rate_must_be_given(name: str) -> None:
    bench = small.bench(alone.spec(schedule="cosine"))
    with pytest.raises(UsageError, match=f"set tweaks.{name}.lr"):
        alone.hook(name, {}, bench)
    alone.hook(name, {"lr": 0.01}, bench)


def test_redense_says_that_it_comes_after_and_is_dense() -> None:
    literals = plugins("tweaks")["redense"].literals
    assert literals["AFTER"] is True
    assert literals["DENSE"] is True


@pytest.mark.parametrize("lr", [None, 0.0])
def test_redense_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lr: float | None
) -> None:
    alone.goes_on(tmp_path, [("redense", {"lr": lr, "epochs": 2})], monkeypatch, each=3, mask=False)


# --------------------------------------------------------------------------------------------------------- AC/DC


def test_acdc_compresses_and_decompresses_where_the_released_code_does() -> None:
    phases = acdc.phases_of(acdc.Params(), 200)
    assert [epoch for epoch, dense in phases.items() if not dense] == [10, 50, 90, 130, 170]
    assert [epoch for epoch, dense in phases.items() if dense] == [0, 30, 70, 110, 150]


def test_phases_of_any_length_alternate_and_end_compressed() -> None:
    for epochs in range(1, 260):
        phases = acdc.phases_of(acdc.Params(), epochs)
        begins = list(phases)
        assert begins[0] == 0
        assert begins == sorted(begins)
        assert begins[-1] < epochs
        assert all(phases[a] != phases[b] for a, b in pairwise(begins))
        assert phases[begins[-1]] is False
        if epochs >= 10:
            assert len(begins) == 10
    uneven = acdc.Params(Fraction(0), Fraction(1, 4), Fraction(1, 8), Fraction(1, 2))
    assert acdc.phases_of(uneven, 8) == {0: False, 2: True, 3: False}


ACDC = {"warmup": "1/6", "compress": "1/6", "decompress": "2/6", "final": "4/6"}
"""Of six epochs: dense, compressed, two decompressed, two compressed."""


def test_acdc_is_the_training_written_out_by_hand(tmp_path: Path) -> None:
    spec = alone.spec(epochs=6, **STEPS)
    fit = alone.train(tmp_path, [("acdc", ACDC)], train=spec)
    rates = [0.05] * 6 + [0.025] * 12
    parts = {0: ("dense", False), 1: ("largest", False), 2: ("dense", True), 4: ("largest", False)}
    assert_ends_as(fit, by_hand(parts, rates, spec))
    other = {**parts, 2: ("dense", False)}
    with pytest.raises(AssertionError):  # the reset of the momentum is seen
        assert_ends_as(fit, by_hand(other, rates, spec))


def test_the_mask_of_acdc_is_its_last_and_keeps_as_many_weights_as_the_ticket(tmp_path: Path) -> None:
    fit = alone.train(tmp_path, [("acdc", ACDC)], train=alone.spec(epochs=6))
    mask, weights = fit.mask_at_end(), fit.end().weights
    assert mask.kept == small.half().kept
    assert not mask.equal(small.half())
    assert all(torch.equal(weights[name] != 0, keep) for name, keep in mask.keep.items())
    way = trajectory_of(fit)
    assert way is not None
    assert way.step.tolist() == [0, 3, 6, 12]
    masks = [Mask.from_arrays(each) for each in way.masks()]
    assert [each.density == 1 for each in masks] == [True, False, True, False]
    assert masks[-1].equal(mask)
    assert fit.notes["best_epoch"] is None


def test_acdc_begun_in_a_compressed_phase_begins_under_the_tickets_mask(tmp_path: Path) -> None:
    bench = small.bench(alone.spec(epochs=6))
    start = State(small.weights().weights, PER_EPOCH + 1)
    hook = alone.hook("acdc", ACDC, bench)
    fit = small.lab(tmp_path, bench, keep=(5,)).fit(start, small.half(), hooks=[hook])
    way = trajectory_of(fit)
    assert way is not None
    assert way.step.tolist() == [PER_EPOCH + 1, 6, 12]
    assert Mask.from_arrays(next(way.masks())).equal(small.half())
    held = fit.state(5).weights
    assert all(bool((held[name][~keep] == 0).all()) for name, keep in small.half().keep.items())


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(("epochs", "has"), [(2, 1), (6, 2), (12, 5), (20, 5), (200, 5)])
def test_acdc_tells_of_phases_without_room(tmp_path: Path, epochs: int, has: int) -> None:
    """Beginnings at 1, 3, 5 ... 17 twentieths, to whole epochs, halves up; of two at one epoch the later wins."""
    kinds: dict[int, bool] = {0: True}
    for number, twentieth in enumerate(range(1, 18, 2)):
        kinds[min((2 * twentieth * epochs + 20) // 40, epochs - 1)] = number % 2 == 1
    ordered = [kinds[at] for at in sorted(kinds)]
    found = sum(not now and before for before, now in pairwise([True, *ordered]))
    assert found == has
    if epochs > 20:
        assert acdc.compressed(acdc.phases_of(acdc.Params(), epochs)) == found
        return
    told = Told()
    alone.train(tmp_path, [("acdc", {})], train=alone.spec(epochs=epochs), reporter=told)
    wanted = f"of 5 compressed phases {epochs} epochs have room for {found}; 20 or more"
    assert [wanted in note for note in told.notes] == ([True] if found < 5 else [])


def test_acdc_that_could_not_alternate_is_refused() -> None:
    with pytest.raises(UsageError, match=r"epochs = 1 has no dense phase .*; train\.epochs = 20 or more"):
        alone.hook("acdc", {}, small.bench(alone.spec(epochs=1)))
    with pytest.raises(
        UsageError, match=r"epochs = 9 has no dense phase .*; give a larger tweaks\.acdc\.warmup"
    ):
        alone.hook("acdc", {"warmup": "0", "final": "1/20"}, small.bench(alone.spec(epochs=9)))
    alone.hook("acdc", {}, small.bench(alone.spec(epochs=2)))


def test_acdc_begun_in_its_last_phase_is_refused_before_anything_is_trained() -> None:
    bench = small.bench(alone.spec(epochs=6))
    last = max(alone.hook("acdc", ACDC, bench).phases(6))  # type: ignore[attr-defined]  # of these hooks alone
    alone.hook("acdc", ACDC, bench, begun=last * PER_EPOCH - 1)
    with pytest.raises(UsageError, match=rf"begins after epoch {last} of 6, in the last"):
        alone.hook("acdc", ACDC, bench, begun=last * PER_EPOCH)


@pytest.mark.parametrize(
    ("fade", "begin", "part"),
    [
        ("1/2", 0, ""),
        ("1/2", 6, "nothing"),
        ("1/2", 8, "nothing"),
        ("1/2", 5, "a step"),
        ("1/12", 0, "a step"),
    ],
)
def test_a_ghost_that_is_gone_at_once_is_told(tmp_path: Path, fade: str, begin: int, part: str) -> None:
    """Of 12 steps; a ghost is there in a step where 1 - t / (fade 12) is above 0."""
    told = Told()
    bench = small.bench(alone.spec(epochs=4), reporter=told)
    seen = sum(1 - t / (Fraction(fade) * 12) > 0 for t in range(begin, 12))
    assert part == {0: "nothing", 1: "a step"}.get(seen, "")

    train_ghost(tmp_path, bench, Fraction(fade), begin)
    assert [f"ghost: what fades is gone after step {int(Fraction(fade) * 12)} of 12" in n and part in n
            for n in told.notes] == ([True] if part else [])  # fmt: skip


def train_ghost(folder: Path, bench: Bench, fade: Fraction, begin: int, left: int | None = None) -> None:
    """A training from step `begin` on of a net with a ghost that does nothing, of which `left` is there."""

    class Faded(Fading):
        place = "tweak.ghost"

        def identity(self) -> dict[str, Any]:
            return {"name": "faded"}

        def model(self, net: nn.Module, seeds: Seeds) -> None:
            ghost = nn.Module()
            ghost.register_buffer("left", whole())
            added(net).ghost = ghost

    hook = Faded()
    hook.fade = fade
    own = equip(replace(bench, model=small.Net(), machines={}), [hook], Seeds(0))
    start = started(State(small.weights().weights, begin), own.model)
    if left is not None:
        start.weights["tweak.ghost.left"].fill_(left)
    small.lab(folder, own).fit(start, small.half(), hooks=[hook])


def test_of_a_ghost_that_was_gone_before_nothing_is_told_whether_stopped_or_not(tmp_path: Path) -> None:
    """A sequel begins with a net whose ghost has faded; so does a process that goes on with any training."""
    told, left = Told(), iter(range(10**9))
    for stop in (lambda: 75 if next(left) >= 6 else None, small.never):
        bench = small.bench(alone.spec(epochs=4), reporter=told, stop=stop)
        with suppress(StoppedError):
            train_ghost(tmp_path, bench, Fraction(1, 12), 0, left=0)
    assert (told.notes, next(left)) == ([], 7)


# ----------------------------------------------------------------------------------------------------------- DSD


@pytest.mark.parametrize(
    ("keys", "parts", "rates"),
    [
        ({}, {2: ("dense", True)}, [0.05] * 3 + [0.025] * 3 + [0.0025] * 6),
        (
            {"cycles": 2, "factor": 0.5},
            {2: ("dense", True), 4: ("ticket", True), 6: ("dense", True)},
            ([0.05] * 3 + [0.025] * 3 + [0.0125] * 6) * 2,
        ),
        (
            {"end": "sparse", "mask": "magnitude", "lr": 0.02},
            {2: ("dense", True), 4: ("largest", True)},
            [0.05] * 3 + [0.025] * 3 + [0.02] * 6 + [0.05] * 3 + [0.025] * 3,
        ),
    ],
    ids=["one cycle", "two cycles", "ends sparse, by magnitude"],
)
def test_dsd_is_the_training_written_out_by_hand(
    tmp_path: Path, keys: dict[str, Any], parts: Parts, rates: list[float]
) -> None:
    spec = alone.spec(epochs=2, schedule="step", milestones=("1ep",), gamma=0.5)
    fit = alone.train(tmp_path, [("dsd", keys)], train=spec)
    assert fit.steps == len(rates)
    assert rates_of(fit) == pytest.approx(rates[PER_EPOCH - 1 :: PER_EPOCH])
    assert_ends_as(fit, by_hand(parts, rates, spec))
    ends_sparse = keys.get("end") == "sparse"
    assert (fit.mask_at_end().kept == small.half().kept) == ends_sparse
    assert bool((alone.pruned(fit) != 0).any())


def test_dsd_that_ends_sparse_holds_the_tickets_mask(tmp_path: Path) -> None:
    fit = alone.train(tmp_path, [("dsd", {"end": "sparse"})], train=alone.spec(epochs=1))
    assert fit.mask_at_end().equal(small.half())
    assert bool((alone.pruned(fit) == 0).all())
    way = trajectory_of(fit)
    assert way is not None
    assert way.step.tolist() == [0, 3, 6]


def test_dsd_that_ends_dense_keeps_the_masks_of_the_way_in_its_record(tmp_path: Path) -> None:
    """Read with numpy and zstd alone, as the docstring says; largest |w| by torch's own topk of the weights there."""
    spec = alone.spec(epochs=1)
    bench = small.bench(spec)
    hook = alone.hook("dsd", {"cycles": 2, "mask": "magnitude"}, bench)
    fit = small.lab(tmp_path, bench, keep=(6,)).fit(small.weights(), small.half(), hooks=[hook])
    assert trajectory_of(fit) is None
    assert plugins("tweaks")["dsd"].literals["RECORD"] == ("masks.step", "masks.ends", "masks.changes")
    held = {name: value.numpy() for name, value in fit.hook(0).items() if name.startswith("masks.")}
    steps, ends = held["masks.step"].tolist(), [0, *held["masks.ends"].tolist()]
    now, found = np.zeros(-(-small.half().size // 8), dtype=np.uint8), []
    for begin, end in pairwise(ends):
        packed = zstd.decompress(held["masks.changes"][begin:end].tobytes())
        now = now ^ np.frombuffer(packed, dtype=np.uint8)
        found.append(np.unpackbits(now, bitorder="little")[: small.half().size].astype(bool))
    assert steps == [0, 3, 6, 9]
    flat = np.concatenate([keep.numpy().ravel() for keep in small.half().keep.values()])
    assert np.array_equal(found[0], flat)
    assert found[1].all()
    assert found[3].all()
    assert found[2].sum() == flat.sum()
    at = fit.state(6).weights  # the weights after the change: those that were let go are 0
    alive = np.concatenate([at[name].numpy().ravel() != 0 for name in small.half().keep])
    assert np.array_equal(found[2], alive)


# ------------------------------------------------------------------------------------------------------ distances


@pytest.mark.parametrize(
    ("name", "keys", "epochs", "dense"),
    [("dsd", {}, 2, (2, 3, 4)), ("dsd", {"end": "sparse"}, 2, (2, 3)), ("acdc", ACDC, 6, (0, 2, 3))],
)
def test_distances_are_from_the_masked_start_over_what_is_kept_at_the_time(
    tmp_path: Path, name: str, keys: dict[str, Any], epochs: int, dense: tuple[int, ...]
) -> None:
    """Paper 002: weights that come back begin at 0. In torch, from the weights that were kept after every epoch."""
    spec = alone.spec(epochs=epochs, **({} if name == "acdc" else STEPS))
    bench = small.bench(spec)
    hook = alone.hook(name, keys, bench)
    every = tuple(range(0, PER_EPOCH * hook.plan(spec).epochs + 1, PER_EPOCH))
    fit = small.lab(tmp_path, bench, keep=every).fit(small.weights(), small.half(), hooks=[hook])
    masked, full = (fit.columns.index(f"distance.{kind}") for kind in ("masked", "full"))
    start, keep = small.weights().weights, small.half().keep
    assert fit.history[0, masked] == fit.history[0, full] == 0
    for row, step in enumerate(every):
        weights = fit.state(step).weights
        moved = [(weights[n].double() - (start[n] * keep[n]).double()).flatten() for n in keep]
        assert fit.history[row, full] == pytest.approx(float(torch.cat(moved).norm()), rel=1e-6)
        alive = torch.cat([weights[n].flatten() != 0 for n in keep]) | (row in dense)
        kept = torch.cat(moved)[alive].norm()
        assert fit.history[row, masked] == pytest.approx(float(kept), rel=1e-6)


# -------------------------------------------------------------------------------------------------------- common


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "keys", "epochs"),
    [("acdc", ACDC, 6), ("dsd", {"cycles": 2, "mask": "magnitude"}, 1), ("dsd", {"end": "sparse"}, 1)],
)
@pytest.mark.parametrize("always", [True, False], ids=["a checkpoint at every step", "when stopped alone"])
def test_phases_go_on_where_they_were_stopped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    keys: dict[str, Any],
    epochs: int,
    always: bool,
) -> None:
    clock = {"clock": small.Clock(1000.0)} if always else {}
    alone.goes_on(tmp_path, [(name, keys)], monkeypatch, each=5, train=alone.spec(epochs=epochs), **clock)


@pytest.mark.parametrize("name", ["acdc", "dsd"])
def test_phases_of_a_dense_net_are_refused(name: str) -> None:
    module = {"acdc": acdc, "dsd": dsd}[name]
    with pytest.raises(UsageError, match=name):
        module.tweak(Kit(small.bench(), Seeds(0), None), params=module.Params())


@pytest.mark.parametrize(
    "pair",
    [
        ("acdc", "dsd"), ("acdc", "redense"), ("dsd", "redense"), ("acdc", "pools"), ("dsd", "pools"),
        ("redense", "pools"), ("acdc", "swa"), ("dsd", "ema"), ("pools", "scaled-init"),
    ],
)  # fmt: skip
def test_pairs_without_sense_are_refused_with_the_reason(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        tweak_set(pair)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("redense", "lr", -0.1), ("redense", "epochs", 0), ("acdc", "compress", "0"), ("acdc", "decompress", "2"),
        ("acdc", "warmup", "9/10"), ("acdc", "final", "1"), ("dsd", "cycles", 0), ("dsd", "factor", 0.0),
        ("dsd", "lr", 0.0),
    ],
)  # fmt: skip
def test_keys_out_of_range_are_refused_by_name(name: str, key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"tweaks.{name}.{key}"):
        alone.hook(name, {key: value}, small.bench())


@pytest.mark.parametrize("name", ["acdc", "dsd", "redense"])
def test_identities_are_plain_json_and_know_every_key(name: str) -> None:
    hook = alone.hook(name, {}, small.bench())
    found = hook.identity()
    assert json.loads(json.dumps(found)) == found
    module = {"acdc": acdc, "dsd": dsd, "redense": redense}[name]
    assert set(module.Params.__dataclass_fields__) <= found.keys()
