"""A table of a paper, planned: every draw once, every level where it belongs, and what is left of it counted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from ticketctl.errors import StoppedError, UsageError
from ticketctl.stages.bill import bill_of, survey
from ticketctl.stages.carry import carry_out
from ticketctl.stages.draw import draw
from ticketctl.stages.errands import batches, delivered, is_there, ready_runs, tasks, with_needs
from ticketctl.stages.papers import find_table, table_in
from ticketctl.stages.reproduce import Asked, Planned, plan_table
from ticketctl.stages.request import Typed, draw_recipe, run_folder
from ticketctl.tomltext import toml_text
from ticketctl.train.loop import Loop

HEAD = {
    "title": "Digits", "paper": "ours", "table": "1", "source": "here", "note": "nothing", "seeds": 1,
    "metric": "test.accuracy", "unit": "percent",
}  # fmt: skip


def recipe_file(folder: Path, name: str = "tiny", epochs: int = 1, **changes: Any) -> str:
    """The tiny recipe as a file."""
    content = {**tiny.TABLES, **changes, "train": {**tiny.TABLES["train"], "epochs": epochs}}
    (folder / f"{name}.toml").write_text(toml_text(content))
    return str(folder / f"{name}.toml")


def row(name: str, recipe: str, *cells: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "recipe": recipe, "cells": list(cells), **more}


def planned(folder: Path, *rows: dict[str, Any], head: dict[str, Any] | None = None, **asked: Any) -> Planned:
    """A table of these rows, planned in `folder/runs`."""
    text = toml_text({**HEAD, **(head or {})}) + "".join(_row(one) for one in rows)
    (folder / "mine.toml").write_text(text)
    table = table_in(folder / "mine.toml", "mine.toml")
    return plan_table(Asked(table, workspace=folder / "runs", **asked))


def _row(one: dict[str, Any]) -> str:
    """The keys of a row's sets have dots, so that table is written inline."""
    sets = ", ".join(f'"{key}" = {value}' for key, value in one.get("sets", {}).items())
    plain = {key: value for key, value in one.items() if key != "sets"}
    return f"\n[[row]]\n{toml_text(plain)}" + (f"sets = {{ {sets} }}\n" if sets else "")


def carry(plan: Planned, folder: Path, stop: Any = tiny.never) -> Any:
    return carry_out(plan, 1, tiny.around(folder / "cache", stop), "a table")


# ---------------------------------------------------------------------------------------------------- rows and levels


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"rows": ["Swsh"]}, "did you mean 'Swish'"),
        ({"rows": ["9"]}, "rows 1 to 5"),
        ({"rows": ["LTH,nope"]}, "no such row"),
        ({"levels": "17"}, "no row has level 17"),
        ({"levels": "0.5"}, "no row has sparsity 0.5"),
        ({"levels": "x"}, "write 12, 3,8-10"),
        ({"levels": ""}, "write 12, 3,8-10"),
        ({"levels": "3-2"}, "write 12, 3,8-10"),
    ],
)
def test_what_no_row_has(asked: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        plan_table(Asked(find_table("001:A2"), workspace=tmp_path, **asked))


@pytest.mark.parametrize("levels", ["0,10", "0-0,0.8926", "89.26,0", "0.893,0"])
def test_levels_are_numbers_or_sparsities(levels: str, tmp_path: Path) -> None:
    plan = plan_table(Asked(find_table("001:A2"), ["skip,LTH"], levels, [0], workspace=tmp_path))
    assert [(cell.row, cell.column) for cell in plan.cells] == [
        ("LTH", "0"), ("LTH", "89.26"), ("skip", "0"), ("skip", "89.26"),
    ]  # fmt: skip
    assert plan.draws[0].recipe.draw is not None
    assert plan.draws[0].recipe.draw.rounds == 10  # no deeper than wanted


def test_a_row_that_cannot_be_run_is_left_out_or_refused_when_asked_for(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    rows = (row("one", recipe, "50"), row("two", recipe, "0", tweaks=["skip"]), row("far", recipe, "99"))
    rows = (*rows, row("three", recipe, "accuracy", over="metric", metric="test"))
    plan = planned(tmp_path, *rows)
    assert {cell.row for cell in plan.cells} == {"one", "two"}
    assert "no level" in plan.refused[0]
    assert "test.accuracy: at which sparsity is not said" in plan.refused[1]
    with pytest.raises(UsageError, match=r"row 'three': test\.accuracy: at which sparsity"):
        planned(tmp_path, *rows, rows=["three"])


# ------------------------------------------------------------------------------------------------------------ draws


def test_a_draw_lies_where_draw_would_have_put_it(tmp_path: Path) -> None:
    plan = plan_table(Asked(find_table("001:A2"), seeds=[7], scale=Fraction(1, 10), workspace=tmp_path))
    name = "papers/001-toast/imp-resnet18-cifar100"
    recipe = draw_recipe(Typed(recipe=name, scale=Fraction(1, 10))).recipe
    assert [draw.folder for draw in plan.draws] == [run_folder(recipe, 7, None, tmp_path)]
    assert plan.departures == ("scaled by 0.1",)


def test_two_rows_share_a_draw(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    plan = planned(tmp_path, row("plain", recipe, "0", "50"), row("ls", recipe, "50", tweaks=["ls"]))
    assert len(plan.draws) == 1
    assert [(use.level, use.tweaks) for use in plan.uses] == [(0, ()), (1, ()), (1, ("ls",))]


METHODS = ["imp", "gradient", "random-iterative", "omp", "snip", "random", "synflow", "aimp", "rigl", "gmp"]


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_what_a_draw_trains_itself_is_foreseen(method: str, tmp_path: Path) -> None:
    """Against the draw itself: what is foreseen is there, and of the methods that papers' tables name, no more is."""
    extra = {"share": "1/2"} if method == "aimp" else {}
    wanted = (
        {"density": "1/2"} if method in METHODS[3:] and method != "aimp" else {"rounds": 1, "rate": "1/2"}
    )
    recipe = recipe_file(tmp_path, epochs=2, draw={"method": method, "rewind": "0", **wanted, **extra})
    plan = planned(tmp_path, row("plain", recipe, "0", "50"))
    (one,) = plan.draws
    draw(one.recipe, one.seed, one.folder, tiny.around(tmp_path / "cache"))
    (batch,) = batches(one, plan.uses, plan.asked.workspace)
    found = {min(job.level, 1): is_there(job) for job in batch.jobs}
    foreseen = {0 if use.level == 0 else 1: delivered(use) for use in plan.uses}
    assert all(found[level] for level, said in foreseen.items() if said)
    if method not in ("rigl", "gmp"):
        assert found == foreseen


def test_what_others_need_is_counted(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    plan = planned(
        tmp_path, row("kd", recipe, "50", tweaks=["kd"]), row("again", recipe, "75", tweaks=["redense"])
    )
    found = [(use.level, use.tweaks) for use in with_needs(plan.uses)]
    assert found == [(0, ()), (1, ("kd",)), (2, ()), (2, ("redense",))]


# -------------------------------------------------------------------------------------------------------- carried out


def whole(folder: Path) -> Planned:
    """A control, another batch, a teacher, what an earlier training forgot, and a draw that prunes once."""
    imp = recipe_file(folder, draw={**tiny.TABLES["draw"], "rounds": 1})
    snip = recipe_file(folder, "snip", draw={"method": "snip", "density": "1/4"})
    return planned(
        folder,
        row("plain", imp, "0", "50"),
        row("kd", imp, "50", tweaks=["kd"], sets={"tweaks.kd.tau": 2}),
        row("shuffled", imp, "50", control="shuffled"),
        row("batch", imp, "50", sets={"train.batch": 128}),
        row("few", imp, "0.5", over="data.subset.fraction", sparsity="50",
            sets={"data.subset.pick": '"most-forgotten"', "data.subset.record": '"RUN"'}),
        row("snip", snip, "50", "75"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planned, int, int]:
    """The whole table, carried out at once: the trainings that were foreseen, and those that took place."""
    folder = tmp_path_factory.mktemp("whole")
    plan, runs = whole(folder), 0
    around = tiny.around(folder / "cache")
    todo = tasks(plan)
    paces = survey(plan, todo, around, timed=False, faults=None)
    cost = bill_of(plan, todo, paces).record()
    with pytest.MonkeyPatch.context() as patch:
        run = Loop.run

        def counted(self: Loop, *words: Any, **more: Any) -> Any:
            nonlocal runs
            runs += 1
            return run(self, *words, **more)

        patch.setattr(Loop, "run", counted)
        carried = carry(plan, folder)
    assert (carried.drawn, carried.faults) == (3, [])
    assert list(carried.runs) == ready_runs(plan)
    return folder, plan, cost["trainings"], runs


def test_as_many_trainings_as_foreseen(done: tuple[Path, Planned, int, int]) -> None:
    _, plan, foreseen, runs = done
    assert foreseen == runs == 2 + 4 + 2  # imp's levels; kd, shuffled, batch, few; two tickets of snip
    assert bill_of(plan, tasks(plan), {}).record()["trainings"] == 0


def test_a_second_time_nothing_is_trained(
    done: tuple[Path, Planned, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan, _, _ = done
    monkeypatch.setattr(Loop, "run", lambda *words, **more: pytest.fail("trains again"))
    carried = carry(whole(folder), folder)
    assert (carried.drawn, carried.trained) == (0, 0)
    assert list(carried.runs) == ready_runs(plan)


@pytest.mark.long
@pytest.mark.parametrize("after", [3, 60])
def test_stopped_again_and_again_it_ends_in_the_same_bytes(
    after: int, done: tuple[Path, Planned, int, int], tmp_path: Path
) -> None:
    """In the same folder by name, for paths of runs that counted forgetting are part of a spend's recipe."""
    folder, stops = done[0], 0
    while stops < 100 and _is_stopped(whole(tmp_path), tmp_path, after * (stops + 1)):
        stops += 1
    assert stops > 0
    assert everything(tmp_path) == everything(folder)


def _is_stopped(plan: Planned, folder: Path, after: int) -> bool:
    """Whether so many polls were too few for it to come to its end."""
    polls = iter(range(after))
    try:
        carry(plan, folder, lambda: 75 if next(polls, None) is None else None)
    except StoppedError as stopped:
        return stopped.exit_code == 75
    return False


def everything(folder: Path) -> list[tuple[str, bytes]]:
    """All that was written, without the folders whose name has a path of this machine in its hash."""
    found = tiny.files_below(folder / "runs")
    return sorted(
        ("/".join(part for part in name.split("/") if len(part) != 8), content)
        for name, content in found.items()
    )


def test_a_draw_that_diverges_does_not_keep_the_others_back(tmp_path: Path) -> None:
    good = recipe_file(tmp_path, draw={**tiny.TABLES["draw"], "rounds": 1})
    bad = recipe_file(
        tmp_path, "bad", draw={**tiny.TABLES["draw"], "rounds": 1}, model={"name": "lenet-300-100"}
    )
    text = Path(bad).read_text().replace("lr = 0.05", "lr = 1e30")
    Path(bad).write_text(text)
    plan = planned(tmp_path, row("bad", bad, "50"), row("good", good, "50"))
    carried = carry(plan, tmp_path)
    assert len(carried.faults) == 1
    assert len(carried.runs) == 1


@pytest.mark.long
def test_a_ticket_that_was_drawn_by_hand_without_controls_gets_those_that_a_table_wants(
    tmp_path: Path,
) -> None:
    once = recipe_file(tmp_path, draw={"method": "random", "density": "1/2"})
    plan = planned(tmp_path, row("shuffled", once, "50", control="shuffled"))
    (one,) = plan.draws
    bare = one.recipe.model_copy(update={"draw": one.recipe.draw.model_copy(update={"controls": False})})
    draw(bare, one.seed, one.folder, tiny.around(tmp_path / "cache"))
    assert not (one.folder / "controls").exists()
    carried = carry(plan, tmp_path)
    assert (carried.drawn, carried.faults) == (1, [])
    assert one.done
    assert (one.folder / "controls/shuffled/ticket/ticket.json").is_file()
