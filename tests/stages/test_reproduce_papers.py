"""The shipped tables, planned: each draw once, each cell at the level and under the recipe that the paper means."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.test_every_table import ALL
from ticketctl.stages.against import HALF_LEVEL
from ticketctl.stages.cells import is_ladder, ladder_of
from ticketctl.stages.measured import needs_report
from ticketctl.stages.reproduce import Asked, plan_table

LONG = {f"004:fig{number}" for number in (2, 3, 4, 5, 6, 8, 9)}
"""Tables with hundreds of draws: of these the planning takes seconds, and one row of each kind says as much."""


@pytest.mark.parametrize("spec", ALL)
def test_every_shipped_table_is_planned_or_says_why_not(spec: str, tmp_path: Path) -> None:
    kinds = ("LTH, C10-R18", "OMP, C10-R18") if spec == "004:fig2" else ("LTH, C10-R18",)
    rows = sorted({cell.row for cell in ALL[spec].cells if cell.row.startswith(kinds)})
    asked = Asked(ALL[spec], rows if spec in LONG else (), workspace=tmp_path)
    plan = plan_table(asked)
    left = sum(line.partition(", left out ")[2].partition(": ")[0].count(",") + 1 for line in plan.refused)
    assert len(plan.cells) + left == sum(not asked.rows or cell.row in rows for cell in ALL[spec].cells)
    assert bool(plan.audits) == any(needs_report(cell.metric) for cell in plan.cells)
    assert {use for _, use in plan.audits} <= set(plan.uses)
    assert {use.draw for use in plan.uses} == set(plan.draws)
    assert len(plan.seeds) == (ALL[spec].seeds or 1)
    assert {draw.seed for draw in plan.draws} == set(plan.seeds)
    assert not list(tmp_path.iterdir())


def test_levels_are_the_nearest_ones(tmp_path: Path) -> None:
    plan = plan_table(Asked(ALL["001:A4"], rows=["LTH + AT + TRT, CIFAR-10"], workspace=tmp_path))
    recipe = plan.draws[0].recipe
    # worked out by hand: 0.8 ** 10 = 10.7 %, 0.8 ** 13 = 5.5 %; the last of 18 rounds ends at 2 % exactly
    assert [use.level for use in plan.uses] == [10, 13, 18]
    densities = ladder_of(recipe)
    assert densities[10] == Fraction(4, 5) ** 10
    assert densities[-1] == Fraction(1, 50)
    assert pytest.approx(0.1115718) == HALF_LEVEL  # log(1.25) / 2


def test_the_papers_seeds_are_taken(tmp_path: Path) -> None:
    plan = plan_table(Asked(ALL["001:A2"], workspace=tmp_path))
    assert plan.seeds == (42, 1099, 5469)
    assert (len(plan.draws), len(plan.uses)) == (3, 3 * 5 * 17)
    assert plan_table(Asked(ALL["003:11"], workspace=tmp_path)).seeds == (0, 1, 2)


def test_one_shot_methods_are_drawn_for_every_density(tmp_path: Path) -> None:
    plan = plan_table(Asked(ALL["001:A4"], rows=["GraSP, CIFAR-10"], workspace=tmp_path))
    assert [draw.recipe.draw and draw.recipe.draw.density for draw in plan.draws] == [
        Fraction(1, 10), Fraction(1, 20), Fraction(1, 50),
    ]  # fmt: skip
    assert not is_ladder(plan.draws[0].recipe)


def test_rows_go_to_draw_or_spend_as_the_papers_tell(tmp_path: Path) -> None:
    """Paper 002 prunes under noise; paper 003 trains a ticket with another batch, or on a part of the images."""
    noisy = plan_table(Asked(ALL["002:fig4"], seeds=[0], workspace=tmp_path))
    assert len(noisy.draws) == 1
    noise = noisy.draws[0].recipe.data.noise
    assert noise is not None
    assert noise.rate == Fraction(2, 5)
    assert {use.sets for use in noisy.uses} == {()}
    other = plan_table(Asked(ALL["003:4"], rows=["3"], levels="10", seeds=[0], workspace=tmp_path))
    assert other.draws[0].recipe.train.batch == 256
    assert other.uses[0].sets == ("train.batch=100", "train.momentum=0.9")
    part = plan_table(Asked(ALL["003:21"], rows=["1"], seeds=[0], workspace=tmp_path))
    assert len(part.draws) == 1
    assert part.draws[0].recipe.data.subset is None
    assert len({use.sets for use in part.uses}) == 4
    dense = plan_table(Asked(ALL["003:21"], rows=["dense"], seeds=[0], workspace=tmp_path))
    fractions = [draw.recipe.data.subset and draw.recipe.data.subset.fraction for draw in dense.draws]
    assert fractions == [Fraction(1, 100), Fraction(1, 50), Fraction(1, 20), Fraction(1, 10)]


def test_a_value_over_the_dense_nets_takes_the_dense_net_of_the_ladder_as_well(tmp_path: Path) -> None:
    plan = plan_table(Asked(ALL["004:fig3"], rows=["LTH, C10-R20s"], levels="0.8926", workspace=tmp_path))
    assert sorted(use.level or 0 for use in plan.uses) == [0, 10]
    assert [reading.recipe for reading, _ in plan.audits] == ["audit/lth-pass"] * 2
    alone = plan_table(Asked(ALL["004:fig5"], rows=["LTH, C10-R20s"], levels="0.8926", workspace=tmp_path))
    assert [use.level for use in alone.uses] == [10]


def test_a_winning_sparsity_takes_audits_of_the_whole_ladder_but_in_accuracy(tmp_path: Path) -> None:
    plan = plan_table(Asked(ALL["004:text4.5"], rows=["VGG-11 CIFAR-10"], workspace=tmp_path))
    assert [use.level for _, use in plan.audits] == list(range(25))
    assert len(plan.cells) == 10


def test_the_course_of_the_eigenvalue_is_kept_by_spends(tmp_path: Path) -> None:
    plan = plan_table(Asked(ALL["001:figa11"], rows=["LTH"], levels="0.8926", seeds=[0], workspace=tmp_path))
    assert [use.sets for use in plan.uses] == [("keep.lambda_max=3",)]
    assert not plan.audits
