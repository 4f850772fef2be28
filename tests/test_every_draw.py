"""What every draw method owes, whoever wrote it: exact, nested, repeatable, and quiet about it.

Each method that is found takes part, with the arguments it says it needs.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.draws.drawing import METHODS, Drawings, bits, levels_of, masks, setting_of, tables
from tests.stages import tiny
from ticketctl import plugins
from ticketctl.errors import DivergedError, UsageError
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.stages.draw import method_of, plan

every = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawings:
    return Drawings(tmp_path_factory.mktemp("draws"))


@every
def test_the_deepest_level_keeps_exactly_what_was_asked(method: str, drawn: Drawings) -> None:
    setting, levels = drawn(method)
    total = sum(shape.numel() for shape in setting.shapes.values())
    wanted = int((Decimal(total) * Decimal("0.15")).quantize(Decimal(1), ROUND_HALF_UP))
    assert levels[-1].mask.kept == wanted
    assert levels[0].mask.kept == total
    assert len(levels) <= plan(setting.recipe)


@every
def test_levels_are_nested_over_the_same_weights(method: str, drawn: Drawings) -> None:
    setting, levels = drawn(method)
    for above, below in pairwise(levels):
        assert list(below.mask.keep) == list(setting.shapes)
        assert below.mask.kept < above.mask.kept
        for name, keep in below.mask.keep.items():
            assert keep.shape == setting.shapes[name]
            assert not bool((keep & ~above.mask.keep[name]).any()), name


@every
def test_every_level_starts_from_the_rewind_point_to_the_bit(method: str, drawn: Drawings) -> None:
    """All weights, biases and buffers, pruned ones included, are those the dense net passed through."""
    setting, levels = drawn(method)
    step = setting.rewind_step()
    dense = levels[0].fit
    truth = bits(setting.initial if not step or dense is None else dense.state(step))
    for level in levels:
        assert bits(level.start) == truth
        assert level.start.step == step
    if step:
        assert truth != bits(setting.initial)


@every
def test_every_level_is_trained_to_the_end(method: str, drawn: Drawings) -> None:
    setting, levels = drawn(method)
    total = setting.recipe.train.epochs * tiny.PER_EPOCH
    for number, level in enumerate(levels):
        assert level.fit is not None
        assert level.fit.steps == total - (setting.rewind_step() if number else 0)
        for name, keep in level.mask.keep.items():
            assert bool((level.fit.end().weights[name][~keep] == 0).all())


@every
def test_the_same_seed_draws_the_same_bits_and_another_seed_others(
    method: str, drawn: Drawings, tmp_path: Path
) -> None:
    _, levels = drawn(method)
    torch.rand(7)  # whatever others did to the global generators
    np.random.random(3)
    again = levels_of(setting_of(tmp_path / "cache", tables(method)), tmp_path / "again")
    assert masks(again) == masks(levels)
    for ours, theirs in zip(again, levels, strict=True):
        assert bits(ours.start) == bits(theirs.start)
        assert ours.fit is not None
        assert theirs.fit is not None
        assert ours.fit.key == theirs.fit.key
        assert ours.fit.files.final.read_bytes() == theirs.fit.files.final.read_bytes()
    other = levels_of(setting_of(tmp_path / "cache", tables(method), seed=1), tmp_path / "other")
    assert [level.mask.kept for level in other] == [level.mask.kept for level in levels]
    assert masks(other)[1:] != masks(levels)[1:]
    assert bits(other[0].start) != bits(levels[0].start)


@every
def test_it_touches_no_global_state_and_prints_nothing(
    method: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    setting = setting_of(tmp_path / "cache", tables(method))
    before = torch.random.get_rng_state(), np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr]
    flags = torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(), torch.is_grad_enabled()
    capfd.readouterr()
    levels_of(setting, tmp_path / "work")
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tobytes() == before[1]  # type: ignore[index, union-attr]
    assert flags == (
        torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(), torch.is_grad_enabled(),
    )  # fmt: skip
    assert capfd.readouterr() == ("", "")


@every
def test_it_writes_below_its_folder_alone(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    levels_of(setting_of(tmp_path / "cache", tables(method)), tmp_path / "work")
    assert not list(here.iterdir())
    assert {path.name for path in tmp_path.iterdir()} <= {"here", "work", "cache"}


@every
def test_a_net_that_diverges_is_never_ranked(method: str, tmp_path: Path) -> None:
    with pytest.raises(DivergedError) as refused:
        tiny.run_draw(
            parse_recipe(merge(tables(method), {"train": {"lr": 1e9}}), where="test"),
            0,
            tmp_path / "seed-0",
            tiny.around(tmp_path / "cache"),
        )
    assert refused.value.exit_code == 4
    assert not (tmp_path / "seed-0" / "ticket" / "ticket.json").exists()
    [file] = (tmp_path / "seed-0" / "work").rglob("final.safetensors")
    assert all(bool(np.isfinite(value).all()) for value in safetensors.numpy.load_file(file).values())


@every
def test_its_help_is_one_line_and_its_text_cites_a_paper(method: str) -> None:
    assert 10 < len(plugins.plugins("draws")[method].help) < 120
    assert re.search(r"\b(19|20)\d\d\b|[Pp]apers? 00\d", plugins.describe("draws", method))


@every
def test_an_unknown_key_is_refused_with_the_near_miss(method: str) -> None:
    with pytest.raises(UsageError, match=r"draw\.rat:|has no such key"):
        method_of(parse_recipe(tables(method, rat="0.2"), where="test"))


@every
def test_it_says_how_many_trainings_it_takes(
    method: str, drawn: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, levels = drawn(method)
    assert plan(setting.recipe) == sum(level.fit is not None for level in levels)
