"""What is measured along a training is part of its price: against the images that really go through the net."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.cli.conftest import ask
from tests.stages import tiny
from ticketctl.errors import UsageError
from ticketctl.nets.lenet import LeNet
from ticketctl.stages import estimate
from ticketctl.stages.estimate import estimate_draw
from ticketctl.stages.pace import Pace, Speed
from ticketctl.stages.watching import Shown, watching

SHOWN = Shown({"train": 1238, "val": 200, "test": 359}, 10)
"""As tiny draws and spends have it."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder, "train.epochs=3", "draw.rounds=1")
    return folder


@pytest.fixture
def seen() -> Iterator[list[int]]:
    """Sizes of the batches that go through a whole net."""
    found: list[int] = []

    def note(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if isinstance(module, LeNet):
            found.append(len(inputs[0]))  # type: ignore[arg-type]  # images

    handle = register_module_forward_pre_hook(note)
    yield found
    handle.remove()


@pytest.mark.long
@pytest.mark.parametrize(
    "sets",
    [
        ("keep.metrics=['nll','gap','ece']",),
        ("keep.metrics=['nll','temperature']", "keep.every=2"),
        ("keep.metrics=['gap','dead-units']", "keep.every=7", "metrics.dead-units.images=50"),
    ],
)
def test_the_forward_passes_that_are_priced_are_those_that_are_made(
    sets: tuple[str, ...], drawn: Path, seen: list[int]
) -> None:
    """Of a dense net and a ticket, three epochs each."""
    shutil.rmtree(drawn / "spends", ignore_errors=True)
    tiny.spend(drawn, "seeds.order=1", seeds=[5])
    plain = sum(seen)
    seen.clear()
    tiny.spend(drawn, "seeds.order=1", *sets, seeds=[5])
    recipe = tiny.recipe("train.epochs=3", *sets)
    assert watching(recipe, SHOWN, 6, 2)[0] == pytest.approx(sum(seen) - plain, abs=10)  # some probe an image


def test_an_eigenvalue_costs_twenty_products_of_a_batch_before_and_after_each_epoch(drawn: Path) -> None:
    recipe = tiny.recipe("keep.lambda_max=3", "train.batch=100")
    passes, beside = watching(recipe, SHOWN, 4, 2)
    products = 20 * 3 * 100 * (4 + 2)
    assert 5 * products <= passes <= 15 * products  # one is 2.7 gradients of some 3 passes
    assert beside == 0
    assert watching(tiny.recipe("keep.lambda_max=3", "train.batch=4096"), SHOWN, 4, 2)[0] == pytest.approx(
        passes * 1238 / 100
    )


def test_keys_of_a_metric_are_priced_and_wrong_ones_refused() -> None:
    few, many = (
        watching(tiny.recipe("keep.metrics=['lime']", f"metrics.lime.images={count}"), SHOWN, 2, 1)[0]
        for count in (10, 110)
    )
    assert many - few == pytest.approx(3 * 100 * 1000, rel=0.5)  # a thousand perturbations of each image
    with pytest.raises(UsageError, match=r"metrics\.lime\.images"):
        watching(tiny.recipe("keep.metrics=['lime']", "metrics.lime.images='x'"), SHOWN, 2, 1)


def test_nothing_watched_costs_nothing() -> None:
    assert watching(tiny.recipe(), SHOWN, 4, 2) == (0, 0)
    pace = Pace(1238, 559, Speed(1000.0, 500.0, 0.5), shown=SHOWN)
    plain, _ = pace.seconds(tiny.recipe(), 20, 2)
    alone, busy = pace.seconds(tiny.recipe("keep.metrics=['gap']"), 20, 2)
    assert alone - plain == pytest.approx((4 + 2) * (1238 + 359) * 0.5 / 1000, rel=0.1)
    assert busy == pytest.approx(2 * alone)


def test_a_draw_is_not_watched_and_not_priced_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "speed_of", lambda setting: Speed(1.0, 0.5, 0.25))
    monkeypatch.setattr("time.process_time", lambda: 0.0)
    plain, watched = (
        estimate_draw(tiny.recipe(*sets), 0, tiny.around(tmp_path))["seconds"]
        for sets in ((), ("keep.metrics=['gap']", "keep.lambda_max=3"))
    )
    assert plain == watched


def test_a_dry_run_counts_what_is_watched(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At an image a second, evaluated ones in a quarter of that: nll before and after three epochs, of two nets."""
    monkeypatch.setattr("ticketctl.stages.price.speed_of", lambda setting: Speed(1.0, 1.0, 0.25))
    monkeypatch.setattr("time.process_time", lambda: 0.0)
    words = ("spend", str(drawn / "ticket"), "--seed", "9", "--dry-run", "--json", "--device", "cpu")
    plain, watched = (
        ask(drawn, *words, *sets).json["result"]["cost"] for sets in ((), ("--set", "keep.metrics=['nll']"))
    )
    assert watched["seconds"] - plain["seconds"] == pytest.approx(2 * 4 * 359 / 4, rel=0.01)
    assert watched["steps"] == plain["steps"]
    wrong = ask(drawn, *words, "--set", "keep.metrics=['nonesuch']")
    assert wrong.code == 2
