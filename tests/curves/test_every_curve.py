"""What every curve owes, whoever wrote it: a curve takes part as soon as its module is there.

Nets are those of `ticketctl.testing` (convolutions and BatchNorm, grey and in colour, masked and dense) and MLPs, on
images of 8 x 8 pixels.
"""

from __future__ import annotations

import json
import math
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, fields, replace
from functools import cache
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.curves.grounds import Keeper, Stopped, check_same
from tests.every import every
from ticketctl import plugins
from ticketctl.errors import StoppedError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe_explore import parse_explore
from ticketctl.seeds import Seeds
from ticketctl.stages.params import checked
from ticketctl.testing.metric_case import CLASSES, OWN, PLAIN, Form, bits_of, images_of, net_of
from ticketctl.testing.metric_claims import ARRAY, DTYPES, ROW
from ticketctl.testing.metric_watch import Stop
from ticketctl.testing.metric_words import HOSTILE
from ticketctl.testing.watch import changed, listening, mask_bits, net_state, process_state
from ticketctl.train.exam import Absent, Measurement
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State
from ticketctl.train.terrain import End, Keep, Terrain, unkept

CURVES = sorted(plugins.plugins("curves"))


@dataclass(frozen=True)
class Said:
    """What makes a curve quick, or cannot be guessed."""

    keys: Mapping[str, Any] | None = None
    more: tuple[Mapping[str, Any], ...] = ()
    """Other keys under which the price must hold too."""
    random: bool = True
    """Whether its values follow the seed."""
    signed: tuple[str, ...] = ()
    """Keys that may be below 0."""


SAID = {
    "bezier": Said({"epochs": 3, "points": 5, "batch": 8}, ({"epochs": 0, "points": 9, "images": 10},)),
    "eigenvector": Said({"points": 5, "batch": 12, "steps": 12}),
    "input-plane": Said({"points": 5, "images": 20}, ({"points": 3, "set": "train"},)),
    "line": Said(
        {"alphas": 5},
        (
            {"alphas": 3, "policies": ["interpolate"], "sets": ["test"]},
            {"alphas": 4, "policies": ["recalibrate", "stored", "batch"], "bn_images": 20, "pairs": "successive"},
        ),
        random=False,
    ),
    "plane": Said(
        {"points": 5, "images": 30, "span": 2.0},
        ({"points": 5, "dimensions": 1, "bn": "recalibrate", "bn_images": 20},),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """A net, and others of its form."""

    name: str
    form: Form
    mlp: bool = False

    def __str__(self) -> str:
        return self.name


CONV = Ground("a pruned net with convolutions and BatchNorm", PLAIN)
MLP = Ground("an MLP", Form("an MLP", pruned="none"), mlp=True)
GROUNDS = (
    CONV,
    MLP,
    Ground("a dense net of colour images", Form("colour", channels=3, pruned="none")),
    Ground("a net with a layer that is pruned whole", Form("layer", pruned="layer")),
    Ground("a pruned MLP", Form("a pruned MLP"), mlp=True),
    Ground("a Linear layer", Form("linear", linear=True)),
)
"""Each is an ordinary subject."""
ODD = (
    Ground("two images", Form("two images", images=2)),
    Ground("images of one class", Form("one class", alike=True)),
    Ground("a net that is sure of everything", Form("sure", loud=1e4)),
)
"""And here it must not fail either."""


def net(ground: Ground) -> tuple[nn.Module, Mask | None]:
    if not ground.mlp:
        return net_of(ground.form)
    draws = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    keep = {}
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.randn(value.shape, generator=draws) * 0.3)
            if value.ndim > 1 and ground.form.pruned != "none":
                keep[name] = torch.rand(value.shape, generator=draws) < 0.5
                value.mul_(keep[name])
    return model.eval(), Mask(keep) if keep else None


def other(name: str, first: State, mask: Mask | None, seed: int) -> End:
    """A net not far from the first, under a mask of its own."""
    draws, state = torch.Generator().manual_seed(seed), {}
    keep = {} if mask is None else {
        key: torch.rand(kept.shape, generator=draws) < 0.5 if kept.any() else kept for key, kept in mask.keep.items()
    }  # fmt: skip
    for key, value in first.weights.items():
        noise = torch.randn(value.shape, generator=draws) * 0.3
        moved = value * noise.exp() if key.endswith("var") else value + noise
        state[key] = (moved * keep.get(key, 1)) if value.is_floating_point() else value
    return End(name, State(state), Mask(keep) if keep else None)


def module_of(curve: str) -> ModuleType:
    return plugins.load("curves", curve)


def literals(curve: str) -> Mapping[str, Any]:
    return plugins.plugins("curves")[curve].literals


def params_of(curve: str, keys: Mapping[str, Any] | None = None) -> Any:
    said = SAID.get(curve, Said()).keys or {}
    return checked(module_of(curve).Params, said if keys is None else keys, f"curves.{curve}")


def ends_of(curve: str) -> int:
    words = literals(curve)["FACTS"]["nets"]
    return {"1": 1, "2": 2}.get(words, 3)


def terrain(
    curve: str, ground: Ground, seed: int = 0, poll: Callable[[], None] = lambda: None, keep: Keep = unkept
) -> Terrain:
    model, mask = net(ground)
    images = {name: each for name, each in images_of(ground.form, model).items() if name in OWN}
    specimen = Specimen(model, mask, images, CLASSES, images["test"].scaling, poll=poll)
    first = State.of(model, 0)
    others = [other(f"net-{number}", first, mask, number) for number in range(1, ends_of(curve))]
    return Terrain(specimen, (End("0", first, mask), *others), Seeds(seed), keep)


def state(on: Terrain) -> dict[str, Any]:
    """All that a curve has to leave as it is."""
    specimen = on.specimen
    found = {**process_state(), **net_state(specimen.model)}
    for name, images in specimen.images.items():
        found |= {f"pixels of {name}": bits_of(images.pixels), f"labels of {name}": bits_of(images.labels)}
    for end in on.ends:
        found |= {f"{key} of net {end.name}": bits_of(value) for key, value in end.state.weights.items()}
        found |= {} if end.mask is None else {f"mask {key}": v for key, v in mask_bits(end.mask).items()}
    for path, each in specimen.model.named_modules():
        hooks = (each._forward_hooks, each._forward_pre_hooks, each._backward_hooks, each._backward_pre_hooks)
        found[f"hooks and attributes of {path}"] = ([len(kind) for kind in hooks], sorted(vars(each)))
    return found


@dataclass(frozen=True)
class Seen:
    """One measurement, and what was noticed beside it."""

    found: Measurement | None
    reason: str
    polls: int
    points: tuple[str, ...]
    """Names that were asked of `keep`, in their order."""
    traces: tuple[str, ...]
    noise: tuple[str, ...]
    """What it printed, warned of or wrote."""

    @property
    def measurement(self) -> Measurement:
        assert self.found is not None, self.reason
        return self.found


def look(curve: str, ground: Ground, seed: int, folder: Path | None = None) -> Seen:
    stop, keeper = Stop(None), Keeper()
    on = terrain(curve, ground, seed, stop, keeper)
    before, found, reason = state(on), None, ""
    with warnings.catch_warnings(record=True) as warned, listening() as heard, chdir(folder or Path.cwd()):
        warnings.simplefilter("always")
        try:
            found = module_of(curve).measure(on, params=params_of(curve))
        except Absent as absent:
            reason = str(absent)
    noise = [*heard, *(f"{one.category.__name__}: {one.message}" for one in warned)]
    noise += [path.name for path in folder.iterdir()] if folder else []
    return Seen(
        found, reason, stop.times, tuple(keeper.asked), tuple(changed(before, state(on))), tuple(noise)
    )


@cache
def seen(curve: str, ground: Ground = CONV, seed: int = 0) -> Seen:
    return look(curve, ground, seed)


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Iterator[None]:
    yield
    seen.cache_clear()


# ---------------------------------------------------------------------------------------------------------------- words


@every(CURVES)
def test_its_help_is_one_line_and_its_text_says_how_it_is_computed(curve: str) -> None:
    plugin, text = plugins.plugins("curves")[curve], plugins.describe("curves", curve)
    assert 10 < len(plugin.help) < 120
    assert plugin.help.endswith(".")
    assert len(text.partition("\n")[2].partition("\nFacts:")[0].strip()) > 200


@every(CURVES)
def test_it_says_between_how_many_nets_it_lies_what_it_costs_and_which_way_is_better(curve: str) -> None:
    said = literals(curve)
    assert said["FACTS"].keys() == {"nets", "cost"}
    assert said["FACTS"]["nets"] in ("1", "2", "2 or more")
    assert {*said["BETTER"].values()} <= {"higher", "lower"}
    assert ("EXTRA" in said) == ("IMPORTS" in said)
    assert all(getattr(module_of(curve), name) == said[name] for name in ("FACTS", "BETTER"))


@every(CURVES)
def test_its_keys_are_frozen_described_and_have_defaults(curve: str) -> None:
    kind = module_of(curve).Params
    assert kind.__dataclass_params__.frozen
    kind()
    names = sorted(part.name for part in fields(kind))
    assert sorted(plugins.keys("curves", curve)) == names
    said = plugins.describe("curves", curve)
    for name in names:
        assert re.search(rf"^  {re.escape(name)}( = .*?)?: *(\S.*)$", said, flags=re.M), name


@every(CURVES)
def test_an_unknown_key_is_refused_with_the_near_miss(curve: str) -> None:
    name = max((part.name for part in fields(module_of(curve).Params)), key=len)
    tables = {"interpolate": {"curves": [curve]}, "curves": {curve: {f"{name}z": 1}}}
    with pytest.raises(UsageError, match=f"curves.{curve} has no key {name}z; did you mean '{name}'"):
        parse_explore("interpolate", tables, where="here")


@every(CURVES)
def test_values_that_cannot_be_are_refused_in_one_line_that_names_the_key(curve: str) -> None:
    kind, signed = module_of(curve).Params, SAID.get(curve, Said()).signed
    hints = get_type_hints(kind)
    for part in fields(kind):
        kinds = {hints[part.name], *get_args(hints[part.name])}
        for value in HOSTILE:
            told, refused = f"{part.name} = {str(value)[:60]!r}", None
            try:
                params_of(curve, {part.name: value})
            except UsageError as error:
                refused = str(error)
            odd = isinstance(value, float) and not isfinite(value)
            below = value == -1 and bool(kinds & {int, float}) and part.name not in signed
            assert refused is not None or not (odd or below), f"{told} is taken"
            assert refused is None or f"curves.{curve}.{part.name}" in refused, f"{told}: {refused}"
            assert "\n" not in (refused or "")


# ----------------------------------------------------------------------------------------------------------- the values


@every(CURVES)
def test_its_rows_are_well_named_and_their_numbers_finite(curve: str) -> None:
    values = seen(curve).measurement.values
    better = literals(curve)["BETTER"]
    for name, one in values.items():
        assert re.fullmatch(ROW, name), name
        assert isfinite(one.value), f"{name} is {one.value}"
        assert one.error is None or (isfinite(one.error) and one.error >= 0), f"{name} ± {one.error}"
        assert type(one.value) in (float, int), f"{name} is {type(one.value)}"
        assert type(one.n) is int, f"{name} was taken over {one.n!r}"
        assert one.n >= 0
    first = next(iter(values))
    assert {first, first.partition(".")[0]} & {curve, *better}
    rows = {word for name in values for word in (name, name.partition(".")[0])}
    assert {*better} <= rows, f"BETTER names what is no row: {sorted({*better} - rows)}"


@every(CURVES)
def test_its_arrays_and_its_protocol_are_such_as_a_report_holds(curve: str) -> None:
    found = seen(curve).measurement
    assert found.arrays
    for name, array in found.arrays.items():
        assert re.fullmatch(ARRAY, name), name
        assert str(array.dtype) in DTYPES, f"{name} is {array.dtype}"
        assert array.ndim <= 8
    assert json.loads(json.dumps(found.protocol, allow_nan=False)) == dict(found.protocol)


@pytest.mark.long
@every((curve, ground) for curve in CURVES for ground in GROUNDS)
def test_it_measures_mlps_and_convolutions_masked_and_dense(case: tuple[str, Ground]) -> None:
    one = seen(*case)
    if one.found is None:
        assert 10 <= len(one.reason) <= 1000
        assert "\n" not in one.reason
        assert case[1].form.linear, f"{case[1]}: {one.reason}"
    else:
        assert not any(math.isnan(value.value) for value in one.found.values.values())
    assert one.traces == ()


@pytest.mark.long
@every((curve, ground) for curve in CURVES for ground in ODD)
def test_where_there_is_little_it_measures_or_says_why_not(case: tuple[str, Ground]) -> None:
    one = seen(*case)
    assert one.found is not None or 10 <= len(one.reason) <= 1000
    assert one.traces == ()


@every(CURVES)
def test_the_same_nets_give_the_same_values_wherever_the_global_random_states_stand(curve: str) -> None:
    one = seen(curve).measurement
    torch.manual_seed(7)
    np.random.seed(8)  # a measurement that takes chance from there would show it
    random.seed(9)
    check_same(one, look(curve, CONV, 0).measurement)


@every(CURVES)
def test_another_seed_gives_other_values_where_there_is_chance_in_them(curve: str) -> None:
    one, two = (seen(curve, MLP, seed).measurement for seed in (0, 1))
    same = all(array.tobytes() == two.arrays[name].tobytes() for name, array in one.arrays.items())
    assert same != SAID.get(curve, Said()).random


# ------------------------------------------------------------------------------------------------------------- manners


@every(CURVES)
def test_it_leaves_net_images_and_process_as_it_found_them_and_is_silent(curve: str) -> None:
    one = seen(curve)
    assert one.traces == ()
    assert one.noise == ()


def test_it_writes_no_files(tmp_path: Path) -> None:
    for curve in CURVES:
        folder = tmp_path / curve
        folder.mkdir()
        assert look(curve, MLP, 0, folder).noise == (), curve


@pytest.mark.long
@every((curve, ground) for curve in CURVES for ground in (CONV, MLP))
def test_stopped_at_any_question_it_leaves_the_net_as_it_was(case: tuple[str, Ground]) -> None:
    curve, ground = case
    polls = seen(curve, ground).polls
    assert polls > 3, "it does not ask whether to stop"
    for at in sorted({1, 2, 3, polls // 3, polls // 2, polls - 1, polls}):
        on = terrain(curve, ground, poll=Stop(at))
        before = state(on)
        with pytest.raises(StoppedError):
            module_of(curve).measure(on, params=params_of(curve))
        assert changed(before, state(on)) == [], f"stopped at question {at} of {polls}"


@every(CURVES)
def test_its_points_have_legal_names_each_of_its_own(curve: str) -> None:
    points = seen(curve).points
    assert points, "it keeps nothing: a long measurement cannot go on"
    assert len({*points}) == len(points)
    assert all(re.fullmatch(r"[a-z0-9.-]{1,80}", name) for name in points), points


@pytest.mark.long
@every((curve, ground) for curve in CURVES for ground in (CONV, MLP))
def test_stopped_between_points_it_goes_on_to_the_same_values_and_makes_none_twice(
    case: tuple[str, Ground],
) -> None:
    curve, ground = case
    whole, params = seen(curve, ground), params_of(curve)
    count = len(whole.points)
    for at in sorted({0, 1, count // 2, count - 1}):
        keeper = Keeper(at)
        with pytest.raises(Stopped):
            module_of(curve).measure(terrain(curve, ground, keep=keeper), params=params)
        assert len(keeper.made) == at
        keeper.stop = None
        again = module_of(curve).measure(terrain(curve, ground, keep=keeper), params=params)
        check_same(whole.measurement, again)
        assert sorted(keeper.made) == sorted(whole.points)


@every(CURVES)
def test_kept_points_are_all_that_it_goes_on_from(curve: str) -> None:
    """Read back from other memory, read-only, as files are."""
    keeper = Keeper()
    module_of(curve).measure(terrain(curve, CONV, keep=keeper), params=params_of(curve))
    for point in keeper.known.values():
        for array in point.values():
            assert str(array.dtype) in DTYPES
            array.setflags(write=False)
    again = module_of(curve).measure(terrain(curve, CONV, keep=keeper), params=params_of(curve))
    check_same(seen(curve).measurement, again)


@every(CURVES)
def test_other_numbers_of_nets_than_it_lies_between_are_refused(curve: str) -> None:
    on, words = terrain(curve, MLP), literals(curve)["FACTS"]["nets"]
    first = on.ends[0]
    wrong = {"1": [2], "2": [1, 3], "2 or more": [1]}[words]
    for count in wrong:
        with pytest.raises(UsageError):
            module_of(curve).measure(replace(on, ends=(first,) * count), params=params_of(curve))


@every(curve for curve in CURVES if ends_of(curve) > 1)
def test_a_net_of_another_form_is_refused(curve: str) -> None:
    on, alien = terrain(curve, CONV), terrain(curve, MLP)
    with pytest.raises(UsageError):
        module_of(curve).measure(replace(on, ends=(on.ends[0], alien.ends[0])), params=params_of(curve))


# --------------------------------------------------------------------------------------------------------------- price


def passes(curve: str, ground: Ground, keys: Mapping[str, Any]) -> tuple[float, float]:
    """Forward passes of single images: as priced, and as counted in multiplications."""
    on = terrain(curve, ground)
    sizes = {name: len(images) for name, images in on.specimen.images.items()}
    params, batch = params_of(curve, keys), on.specimen.images["test"].batch(0, 10)[0]
    with FlopCounterMode(display=False) as one, torch.no_grad():
        on.specimen.model(batch)
    with FlopCounterMode(display=False) as all_:
        module_of(curve).measure(on, params=params)
    each = one.get_total_flops() / len(batch)
    return module_of(curve).price(sizes, params, len(on.ends)), all_.get_total_flops() / each


@pytest.mark.long
@every(
    (curve, keys)
    for curve in CURVES
    for keys in (SAID.get(curve, Said()).keys or {}, *SAID.get(curve, Said()).more)
)
def test_its_price_is_what_it_costs_within_a_factor_of_three(case: tuple[str, Mapping[str, Any]]) -> None:
    said, counted = passes(case[0], CONV, case[1])
    assert said > 0
    assert 1 / 3 <= said / counted <= 3, f"priced at {said:.0f} passes, and {counted:.0f} were counted"


@every(CURVES)
def test_its_price_grows_with_the_images_and_with_the_nets(curve: str) -> None:
    before, params = 0.0, params_of(curve, {})
    for count in (2, 100, 10_000):
        found = module_of(curve).price(
            {"train": 5 * count, "val": count, "test": count}, params, ends_of(curve)
        )
        assert isinstance(found, float)
        assert isfinite(found)
        assert found >= before > -1
        before = found
    if literals(curve)["FACTS"]["nets"] == "2 or more":
        sizes = {"train": 50, "val": 10, "test": 10}
        assert module_of(curve).price(sizes, params, 3) > module_of(curve).price(sizes, params, 2)


@every(CURVES)
def test_it_can_be_priced_without_held_out_images(curve: str) -> None:
    found = module_of(curve).price({"train": 50, "test": 10}, params_of(curve, {}), ends_of(curve))
    assert found > 0
