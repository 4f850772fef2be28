"""The draws that fix layer counts before anything is trained: what they train, keep, note and refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.draws.drawing import bits, lab_of, setting_of, tables
from tests.stages import tiny
from ticketctl.draws import (
    balanced,
    er,
    erk,
    erk_plus,
    from_scores,
    pyramidal,
    random,
    shuffle,
    smartratio,
    uniform,
)
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.masks import profiles
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count
from ticketctl.stages.setting import Setting
from ticketctl.train.lab import Lab, Level, Plan, Target

DENSITY = Fraction(3, 20)
TENTH = Target(DENSITY)
PLAIN = {
    "random": random,
    "uniform": uniform,
    "er": er,
    "erk": erk,
    "erk-plus": erk_plus,
    "balanced": balanced,
    "pyramidal": pyramidal,
    "smartratio": smartratio,
}
GIVEN = {"from-scores": from_scores, "shuffle": shuffle}
ALL = {**PLAIN, **GIVEN}
every = pytest.mark.parametrize("method", ALL)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def ready(cache: Path, folder: Path, method: str = "random", **draw: Any) -> tuple[Setting, Lab]:
    """A lab with a ticket at hand: every eighth weight and all of the output layer, cut to 15 %."""
    setting = setting_of(cache, tables(method, **draw))
    lab = lab_of(setting, folder)
    lab.inputs = {"ticket": ticket_for(lab)}
    return setting, lab


def ticket_for(lab: Lab) -> Mask:
    sizes = {name: shape.numel() for name, shape in lab.shapes.items()}
    count = kept_count(sum(sizes.values()), DENSITY)
    head = list(sizes)[-1]
    keep = {name: torch.ones(sizes[name], dtype=torch.bool) for name in sizes}
    left = count - sizes[head]
    for name in list(sizes)[:-1]:
        keep[name] = torch.arange(sizes[name]) % 8 == 0
        left -= int(keep[name].sum())
    first = next(iter(sizes))
    keep[first][torch.nonzero(~keep[first]).flatten()[:left]] = True
    return Mask({name: keep[name].reshape(lab.shapes[name]) for name in reversed(sizes)})


def drawn(module: Any, lab: Lab, target: Target = TENTH, **params: Any) -> list[Level]:
    return list(module.draw(lab, target=target, params=module.Params(**params)))


def counts(level: Level) -> dict[str, int]:
    return {name: kept for name, (kept, _) in level.mask.layers().items()}


def untrainable(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(lab, "fit", fit)


@pytest.mark.long
@every
def test_the_dense_net_is_not_trained_and_the_ticket_is(method: str, cache: Path, tmp_path: Path) -> None:
    setting, lab = ready(cache, tmp_path)
    dense, ticket = drawn(ALL[method], lab)
    assert dense.fit is None
    assert dense.mask.density == 1
    assert ticket.mask.kept == kept_count(dense.mask.size, DENSITY)
    assert list(ticket.mask.keep) == list(setting.shapes)
    assert bits(dense.start) == bits(ticket.start) == bits(setting.initial)
    assert ticket.fit is not None
    assert ticket.fit.steps == setting.recipe.train.epochs * tiny.PER_EPOCH
    assert lab.calls == 1
    cost = ALL[method].cost(Plan(TENTH, 7), ALL[method].Params())
    assert (cost.trainings, cost.epochs) == (1, 7)


@pytest.mark.parametrize("method", ["random", "erk", "shuffle", "smartratio"])
def test_a_rewind_point_is_trained_to_and_no_further(method: str, cache: Path, tmp_path: Path) -> None:
    setting, lab = ready(cache, tmp_path, rewind="3it")
    dense, ticket = drawn(ALL[method], lab)
    whole = lab.fit(lab.initial, None, keep=(3,))
    assert dense.fit is None
    assert bits(dense.start) == bits(ticket.start) == bits(whole.state(3))
    assert ticket.start.step == 3
    assert ticket.fit is not None
    assert ticket.fit.steps == setting.recipe.train.epochs * tiny.PER_EPOCH - 3
    _, other = ready(cache, tmp_path / "other")
    assert drawn(ALL[method], other)[1].mask.equal(ticket.mask)


@every
def test_rounds_are_refused_by_name_before_anything_is_trained(
    method: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lab = ready(cache, tmp_path)
    untrainable(lab, monkeypatch)
    for call in (
        lambda: drawn(ALL[method], lab, Target(rounds=3)),
        lambda: ALL[method].cost(Plan(Target(rounds=3), 2), ALL[method].Params()),
    ):
        with pytest.raises(UsageError, match=f"^{method} prunes once"):
            call()


@pytest.mark.parametrize(
    ("module", "params", "rule"),
    [
        (uniform, {}, profiles.uniform),
        (uniform, {"form": "plus"}, lambda s, n: profiles.uniform_plus(s, n, first=None, head="fc3.weight")),
        (er, {}, profiles.er),
        (erk, {"power": Fraction(1, 2)}, lambda s, n: profiles.erk(s, n, power=Fraction(1, 2))),
        (
            erk,
            {"custom": {"fc3.weight": Fraction(1, 4)}},
            lambda s, n: profiles.erk(s, n, custom={"fc3.weight": Fraction(1, 4)}),
        ),
        (erk_plus, {}, lambda s, n: profiles.erk_plus(s, n, head="fc3.weight")),
        (balanced, {}, profiles.balanced),
        (balanced, {"rule": "raw"}, profiles.balanced_raw),
        (pyramidal, {}, lambda s, n: profiles.pyramidal(s, n)[0]),
    ],
)
def test_layers_keep_what_the_rule_says(
    module: Any, params: dict[str, Any], rule: Callable[..., dict[str, int]], cache: Path, tmp_path: Path
) -> None:
    setting, lab = ready(cache, tmp_path)
    ticket = drawn(module, lab, **params)[1]
    assert counts(ticket) == rule(setting.shapes, kept_count(lab.full().size, DENSITY))


@pytest.mark.long
@pytest.mark.parametrize("method", [name for name in ALL if name not in ("random", "shuffle")])
def test_another_seed_moves_the_weights_and_not_the_counts(method: str, cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path / "0")
    one = drawn(ALL[method], lab)[1]
    lab.seeds = type(lab.seeds)(1)
    lab.folder = tmp_path / "1"
    two = drawn(ALL[method], lab)[1]
    assert counts(one) == counts(two)
    assert not one.mask.equal(two.mask)


@pytest.mark.parametrize("method", ["uniform", "er", "erk", "erk-plus", "pyramidal", "from-scores"])
def test_a_least_count_fills_empty_layers_and_keeps_the_total(
    method: str, cache: Path, tmp_path: Path
) -> None:
    _, lab = ready(cache, tmp_path)
    sparse = Target(Fraction(1201, lab.full().size))
    ticket = drawn(ALL[method], lab, sparse, least=90)[1]
    assert ticket.mask.kept == 1201
    assert min(counts(ticket).values()) >= 90


def test_fewer_weights_than_layers_are_said_to_leave_some_empty(cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path)
    said: list[str] = []
    lab.note = said.append
    drawn(uniform, lab, Target(Fraction(2, lab.full().size)))
    assert said == ["2 weights for 3 layers leave some layers empty"]


def test_the_raw_balanced_rule_says_how_much_it_falls_short(cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path)
    said: list[str] = []
    lab.note = said.append
    ticket = drawn(balanced, lab, rule="raw")[1]
    count = kept_count(lab.full().size, DENSITY)
    assert ticket.mask.kept < count
    assert said == [
        f'balanced, rule = "raw": {ticket.mask.kept:,} weights are kept of the {count:,} asked for'
    ]


@pytest.mark.parametrize(
    ("module", "params", "density", "says"),
    [
        (erk_plus, {}, "1/100", "fc3.weight alone take 1,000 weights .* use --method erk"),
        (uniform, {"form": "plus"}, "1/1000", "fc3.weight alone take 200 weights"),
        (
            smartratio,
            {"head": Fraction(3, 10)},
            "1/1000",
            "smartratio keeps 30% of the output layer, which leaves",
        ),
        (smartratio, {}, "1/10000", "keeps 10% of the output layer, which leaves the other layers -9"),
        (smartratio, {}, "1", "keeps no more than 30% of the output layer"),
        (smartratio, {"head": Fraction(3, 2)}, "1/10", r"draw\.head 1.5 cannot be"),
        (erk, {"custom": {"fc9": Fraction(1)}}, "1/10", "no prunable layer named 'fc9'"),
        (er, {"least": 1000}, "1/100", r"draw\.least 1,000 takes 3,000 weights"),
        (uniform, {}, "1/10000000", "keeps none"),
    ],
)
def test_what_cannot_be_reached_is_refused_before_anything_is_trained(
    module: Any,
    params: dict[str, Any],
    density: str,
    says: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, lab = ready(cache, tmp_path, rewind="3it")
    untrainable(lab, monkeypatch)
    with pytest.raises(UsageError, match=says) as refused:
        drawn(module, lab, Target(Fraction(density)), **params)
    assert "\n" not in str(refused.value)


# --- methods that start from a ticket ---------------------------------------------------------------------------


def test_from_scores_takes_the_tickets_counts_and_no_position(cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path)
    given = lab.inputs["ticket"]
    ticket = drawn(from_scores, lab)[1]
    assert counts(ticket) == {name: given.layers()[name][0] for name in lab.shapes}
    assert not ticket.mask.equal(given)
    assert ticket.notes == {"ticket_kept": given.kept}


def test_from_scores_scales_to_another_density_and_says_so(cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path)
    said: list[str] = []
    lab.note = said.append
    given, count = lab.inputs["ticket"], kept_count(lab.full().size, DENSITY / 3)
    ticket = drawn(from_scores, lab, Target(DENSITY / 3))[1]
    assert ticket.mask.kept == count
    for name, kept in counts(ticket).items():
        assert kept == pytest.approx(given.layers()[name][0] / 3, abs=1)
    assert said == [f"the ticket keeps {given.kept:,} weights: its layers are scaled to {count:,}"]


def test_a_shuffle_moves_the_weights_of_a_layer_or_of_the_net(cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path)
    given = lab.inputs["ticket"]
    layers = {name: given.layers()[name][0] for name in lab.shapes}
    within = drawn(shuffle, lab, scope="layer")[1]
    across = drawn(shuffle, lab, scope="global")[1]
    assert counts(within) == layers
    assert counts(across) != layers
    share = math.prod(lab.shapes["fc1.weight"]) * given.density
    assert counts(across)["fc1.weight"] == pytest.approx(share, abs=5 * math.sqrt(share))
    assert across.mask.kept == within.mask.kept == given.kept
    assert not within.mask.equal(given)


def test_a_shuffle_to_another_density_is_refused_with_the_tickets_own(cache: Path, tmp_path: Path) -> None:
    _, lab = ready(cache, tmp_path)
    given = lab.inputs["ticket"]
    with pytest.raises(UsageError, match=f"or give {given.kept}/{given.size}$"):
        drawn(shuffle, lab, Target(Fraction(1, 10)))
    assert len(drawn(shuffle, lab, Target(Fraction(given.kept, given.size)))) == 2


@pytest.mark.parametrize("method", GIVEN)
def test_a_ticket_that_is_missing_or_of_another_net_is_refused(
    method: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lab = ready(cache, tmp_path)
    untrainable(lab, monkeypatch)
    given = dict(lab.inputs["ticket"].keep)
    without_head = {name: keep for name, keep in given.items() if name != "fc3.weight"}
    others = {
        r"'fc3.weight' is \(10, 100\) here and not prunable in the ticket": without_head,
        r"'stem' is not prunable here and \(4, 4\) in the ticket": {**given, "stem": torch.ones(4, 4) > 0},
        r"'fc3.weight' is \(10, 100\) here and \(5, 100\) in the ticket": {
            **given,
            "fc3.weight": torch.ones(5, 100) > 0,
        },
    }
    for says, keep in others.items():
        lab.inputs = {"ticket": Mask(keep)}
        with pytest.raises(ArtifactError, match=says) as refused:
            drawn(GIVEN[method], lab)
        assert refused.value.code == "E_ARCH_MISMATCH"
    lab.inputs = {}
    with pytest.raises(UsageError, match=f"{method} starts from a ticket: .*draw.ticket="):
        drawn(GIVEN[method], lab)


@pytest.mark.parametrize("method", GIVEN)
def test_methods_that_need_a_ticket_say_so(method: str) -> None:
    assert GIVEN[method].NEEDS == ("ticket",)
    assert GIVEN[method].Params().ticket == ""
