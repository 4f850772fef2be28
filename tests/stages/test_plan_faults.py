"""A plan refuses what its jobs would refuse, names whose fault it is, and says it in the words of the job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.stages import tiny
from ticketctl.errors import TicketctlError, UsageError
from ticketctl.stages.draw import draw
from ticketctl.stages.fitting import check_rewound
from ticketctl.stages.grid import plan_grid
from ticketctl.stages.grid_spec import grid_in
from ticketctl.stages.jobs import Plan, plan_of
from ticketctl.stages.plan_cost import cost_of
from ticketctl.stages.plan_faults import refuse
from ticketctl.stages.plan_wanted import Wanted, plan_meant
from ticketctl.stages.request import Typed
from ticketctl.stages.wallet import Wanted as Wanting
from ticketctl.stages.wallet import prepare_spend

HEAD = "dense = false\n[axes]\ndensity = 0.5\n"
SETS = '\n[sets]\n"model.name" = "lenet-300-100"\n"data.name" = "digits"\n"train.epochs" = 2\n'


def planned(axes: str, sets: str = "", head: str = HEAD) -> Plan:
    found = plan_grid(grid_in(head + axes + SETS + sets, "g"), [0, 1], Path("runs"))
    return plan_of(found, found.places, "", {})


def fault_of(axes: str, folder: Path, sets: str = "") -> str:
    with pytest.raises(TicketctlError) as said:
        cost_of(planned(axes, sets), tiny.around(folder), timed=0)
    assert isinstance(said.value, UsageError)
    assert "\n" not in str(said.value)
    return str(said.value)


# ------------------------------------------------------------------------------------------------------- without data


@pytest.mark.parametrize(
    ("axes", "fault"),
    [
        (
            'method = "random"\nspend = ["train.lr=0.1", "train.warmup=3ep"]',
            "1 of 2 combinations cannot be: train.warmup: 3ep lies past the end of the training (2 epochs); --scale "
            "stretches it along [density 0.5, method random, spend train.warmup=3ep]; [[exclude]] leaves some out",
        ),
        (
            'method = ["imp", "random"]\n"draw.rewind" = ["0", "2ep"]',
            "rewind 2ep is the end of the training; name an earlier point [density 0.5, method imp, draw.rewind 2ep], "
            "[density 0.5, method random, draw.rewind 2ep]",
        ),
        ('method = "random"\nspend = ["train.lr=0.1", "keep.epochs=[9]"]', "keep.epochs: 9 lies past the end"),
        ('method = "random"\ntweaks = ["none", "kd"]\n"tweaks.kd.teacher" = "nothere"', "no run in 'nothere'"),
        ('method = "imp"\nspend = ["spend.optimizer=kept; train.optimizer=adam"]', "trained with sgd and this spend"),
        ('method = "imp"\nspend = ["none", "spend.optimizer=kept"]', "that go on from a rewind point; this one starts"),
        ('method = "imp"\n"draw.keep" = "masks"\nspend = ["spend.start=trained"]', "draw.keep=masks drops them"),
        ('method = "imp"\n"draw.rewind" = "1ep"\nspend = ["spend.optimizer=kept; train.batch=32"]', "of batch 64; "),
        ('method = "random"\nspend = ["train.lr=0.1; keep.metrics=[\'nope\']"]', "no metric named 'nope'"),
        ('method = "random"\nspend = ["train.lr=0.1; keep.metrics=[\'ood\']"]', "ood needs ood images"),
    ],
)  # fmt: skip
def test_what_a_recipe_alone_says_is_refused_while_the_grid_is_read(axes: str, fault: str) -> None:
    with pytest.raises(UsageError) as said:
        planned(axes.replace("\\", ""))
    told = str(said.value)
    assert fault in told
    assert "cannot be" in told


@pytest.mark.parametrize(
    ("axis", "wants"),
    [('tweaks = ["none", "pools"]', "pools"), ('spend = ["none", "spend.start=trained"]', "spend.start")],
)
def test_controls_have_no_trained_levels(axis: str, wants: str) -> None:
    planned(f'method = "imp"\n{axis}')
    with pytest.raises(
        UsageError, match=rf"^1 of 2 combinations cannot be: {wants}.* controls are drawn untrained"
    ):
        planned(f'method = "imp"\n{axis}', head='controls = ["shuffled"]\n[axes]\ndensity = 0.5\n')


def test_what_the_draws_optimizer_knew_is_kept_after_a_rewind_point() -> None:
    planned('method = "imp"\n"draw.rewind" = "1ep"\nspend = ["none", "spend.optimizer=kept"]')
    planned('method = "imp"\nlevel = 0\nspend = ["spend.optimizer=kept"]', head="dense = false\n[axes]\n")


@pytest.mark.parametrize(("rewind", "keys"), [("0", ()), ("1ep", ("train.batch=32",))])
def test_that_nothing_is_kept_is_said_in_the_words_of_the_spend(
    rewind: str, keys: tuple[str, ...], tmp_path: Path
) -> None:
    tiny.draw(tmp_path, "draw.rounds=1", f"draw.rewind={rewind}", "train.momentum=0.9")
    with pytest.raises(UsageError) as own:
        tiny.spend(tmp_path, "spend.optimizer=kept", *keys, levels="1")
    drawn = tiny.recipe("draw.rounds=1", f"draw.rewind={rewind}", "train.momentum=0.9")
    with pytest.raises(UsageError) as said:
        check_rewound(drawn, tiny.recipe("spend.optimizer=kept", "train.momentum=0.9", *keys))
    assert str(said.value) == str(own.value)


def test_the_way_out_is_not_told_where_no_combination_can_be() -> None:
    with pytest.raises(UsageError, match=r"^1 of 1 combinations cannot be") as said:
        planned('method = "random"', '"keep.epochs" = [3]')
    assert "exclude" not in str(said.value)


def test_metrics_of_spends_are_nothing_to_a_draw() -> None:
    planned('method = "random"', '"keep.metrics" = ["nope"]')


TABLE = """
title = "Made up"
paper = "000"
table = "1"
source = "ours"
note = "none"
metric = "test.accuracy"
unit = "percent"
[[row]]
name = "short"
recipe = "draw/random"
over = "train.epochs"
sparsity = 50
cells = ["2", "9"]
sets = { "train.warmup" = "5ep" }
[[row]]
name = "plain"
recipe = "draw/random"
over = "train.epochs"
sparsity = 50
cells = ["2"]
"""


def test_cells_of_a_table_that_cannot_be_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "table.toml").write_text(TABLE)
    meant = plan_meant(Wanted(str(tmp_path / "table.toml"), tmp_path))
    assert {(one.labels["row"], one.labels["cell"]) for one in meant.plan.places} == {
        ("short", "9"),
        ("plain", "2"),
    }
    assert list(meant.refused) == [
        "row 'short', left out 2: train.warmup: 5ep lies past the end of the training (2 epochs); "
        "--scale stretches it along"
    ]
    (tmp_path / "table.toml").write_text(TABLE.replace('["2", "9"]', '["2", "3"]'))
    with pytest.raises(UsageError, match=r"row 'short': train.warmup: 5ep lies past"):
        plan_meant(Wanted(str(tmp_path / "table.toml"), tmp_path, rows=["short"]))


def test_a_file_that_is_not_there_is_told_with_the_nearest_that_is(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").touch()
    with pytest.raises(UsageError, match=r"there is no such file; did you mean 'grid.toml'\?"):
        plan_meant(Wanted(str(tmp_path / "grids.toml"), tmp_path))


# ------------------------------------------------------------------------------------------------ recipes of spends

OTHER_NETS = (
    '[model]\nname = "resnet20"',
    "[model]\nwidth = 2",
    "[data]\nform = [1, 4, 4]",
)


@pytest.mark.parametrize("filed", OTHER_NETS)
def test_a_recipe_of_another_net_is_refused_in_the_words_of_the_spend(filed: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(filed)
    ticket = tiny.draw(tmp_path / "seed-0", "draw.rounds=0", "train.epochs=1")
    wanted = Wanting(
        str(ticket.folder), None, None, False, tmp_path, Typed(recipe=str(tmp_path / "mine.toml"))
    )
    with pytest.raises(UsageError) as own:
        prepare_spend(wanted)
    with pytest.raises(UsageError) as said:
        planned(f'method = ["imp", "random"]\nspend = ["none", "{tmp_path}/mine.toml"]')
    assert str(said.value) == (
        f"2 of 4 combinations cannot be: {own.value} [density 0.5, method imp, spend {tmp_path}/mine.toml], "
        f"[density 0.5, method random, spend {tmp_path}/mine.toml]; [[exclude]] leaves some out"
    )


def test_a_recipe_may_begin_the_same_net_otherwise_or_say_its_draw(tmp_path: Path) -> None:
    text = '[model]\ninit = "torch"\nstem = "imagenet"\n[draw]\nrounds = 2\n[train]\nlr = 0.02'
    (tmp_path / "mine.toml").write_text(text)
    plan = planned(f'method = "imp"\nspend = "{tmp_path}/mine.toml"')
    assert cost_of(plan, tiny.around(tmp_path), timed=0).jobs["spend"] == (2, 0)


def test_a_recipe_that_names_another_net_is_for_the_net_on_the_axis(tmp_path: Path) -> None:
    """As it was: the axis says which, and nothing else of the recipe fails to fit it."""
    (tmp_path / "mine.toml").write_text('[model]\nname = "resnet20"\n[train]\nlr = 0.02')
    text = f'model = "lenet-300-100"\ndata = "digits"\nmethod = "imp"\nspend = "{tmp_path}/mine.toml"'
    found = plan_grid(grid_in(HEAD + text, "g"), [0], tmp_path)
    assert {use.sets for use in found.uses} == {("train.lr=0.02",)}


def test_a_recipe_that_names_other_data_is_refused_whether_or_not_the_net_would_fit(tmp_path: Path) -> None:
    """A job reads the data of its draw, wherever they lie: its results would be told under another name."""
    for name in ("mnist", "tensors:other.safetensors", "imagefolder:pictures"):
        (tmp_path / "mine.toml").write_text(f'[data]\nname = "{name}"\n[train]\nlr = 0.02')
        axes = f'method = "random"\nspend = ["none", "{tmp_path}/mine.toml"]'
        with pytest.raises(UsageError) as said:
            planned(axes)
        fault = f"data.name ({name}, and not digits) is the draw's"
        assert f"1 of 2 combinations cannot be: {fault}" in str(said.value)
        text = f'{HEAD}model = "lenet-300-100"\ndata = "digits"\n{axes}'  # there the axis says it
        found = plan_grid(grid_in(text, "g"), [0], tmp_path)
        assert {use.sets for use in found.uses} == {(), ("train.lr=0.02",)}


@pytest.mark.parametrize("filed", ["[model]\nwidth = 2", "[data]\nform = [1, 8, 8]"])
def test_of_somebodys_own_data_another_net_is_refused_once_they_are_looked_at(
    filed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = {"train": 32, "test": 8}
    arrays = {f"{part}_images": np.zeros((many, 1, 6, 6), np.uint8) for part, many in parts.items()}
    labels = {f"{part}_labels": np.arange(many) % 2 for part, many in parts.items()}
    save_file({**arrays, **labels}, tmp_path / "mine.safetensors")
    Path("mine.toml").write_text(filed)
    sets = SETS.replace("digits", "tensors:mine.safetensors")
    grid = grid_in(f'{HEAD}method = "random"\nspend = ["none", "mine.toml"]{sets}', "g")
    found = plan_grid(grid, [0], Path("runs"))
    with pytest.raises(UsageError) as said:
        cost_of(plan_of(found, found.places, "", {}), tiny.around(tmp_path), timed=0)
    assert "1 of 2 combinations cannot be: the ticket is for another net: fc1." in str(said.value)
    assert "spend mine.toml]" in str(said.value)


# ---------------------------------------------------------------------------------------------------------- with data


@pytest.mark.parametrize(
    ("axes", "sets", "named"),
    [
        ('method = ["random", "from-scores"]', "", "[density 0.5, method from-scores]"),
        ('method = ["gmp"]', '"draw.end" = "9ep"', "[density 0.5, method gmp]"),
        ('method = "imp"\n"draw.rewind" = ["0", "42it"]', "", "[density 0.5, method imp, draw.rewind 42it]"),
        (
            'method = "imp"\n"data.subset.fraction" = ["1", "1/2"]\nspend = ["none", "train.warmup=30it"]',
            "",
            "(2 epochs of 11 steps); --scale stretches it along "
            "[density 0.5, method imp, data.subset.fraction 1/2, spend train.warmup=30it]",
        ),
        ('method = "random"\ntweaks = ["none", "dsd"]', '"train.schedule" = "cosine"', "tweaks dsd]"),
        ('method = "random"\n"train.batch" = [64, 5000]', '"train.drop_last" = true', "train.batch 5000]"),
    ],
)
def test_what_data_and_method_say_is_refused_before_anything_is_trained(
    axes: str, sets: str, named: str, tmp_path: Path
) -> None:
    said = fault_of(axes, tmp_path, sets)
    assert "combinations cannot be: " in said
    assert named in said
    assert not (tmp_path / "runs").exists()


def test_dense_nets_and_controls_are_no_combinations_of_their_own(tmp_path: Path) -> None:
    head = 'controls = ["shuffled"]\n[axes]\ndensity = [0.5, 0.2]\n'
    plan = planned('method = ["imp", "ltr"]', '"draw.rewind" = "0"', head=head)
    assert len({repr(place.labels) for place in plan.places}) == 4 + 4 + 2
    with pytest.raises(
        UsageError, match=r"^2 of 4 combinations cannot be: ltr rewinds to a later point"
    ) as said:
        cost_of(plan, tiny.around(tmp_path), timed=0)
    assert "control" not in str(said.value)
    assert "net dense" not in str(said.value)


def test_all_that_differ_in_their_seeds_alone_are_named(tmp_path: Path) -> None:
    said = fault_of('method = "imp"\n"draw.rewind" = ["0", "42it"]\n"seeds.order" = [7, 8]', tmp_path)
    assert said.startswith("2 of 4 combinations cannot be: ")
    assert "seeds.order 7], " in said
    assert "seeds.order 8]" in said


def test_a_cell_cannot_be_if_one_of_its_runs_cannot() -> None:
    plan = planned('method = ["imp", "random"]')
    bad, good = plan.places[0], plan.places[-1]
    assert (bad.use.draw.recipe.draw, good.use.draw.recipe.draw) != (None, None)
    labels = {"row": "one", "cell": "50"}
    cells = [replace(bad, labels=labels), replace(good, labels=labels), replace(good, labels={"row": "two"})]
    of_table = replace(plan, places=tuple(cells), about={"table": "made up"})
    with pytest.raises(
        UsageError, match=r"^1 of 2 cells cannot be: too long \[row one, cell 50\]; --rows or"
    ):
        refuse(of_table, [(bad.use.draw.recipe, "too long")])


def test_it_is_said_in_the_words_of_the_draw(tmp_path: Path) -> None:
    said = fault_of('method = "gmp"', tmp_path, '"draw.end" = "9ep"')
    (job,) = planned('method = "gmp"', '"draw.end" = "9ep"').jobs[:1]
    with pytest.raises(UsageError) as own:
        draw(job.draw.recipe, 0, tmp_path / "draw", tiny.around(tmp_path))
    assert str(own.value) in said


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("train.warmup=9ep", "train.warmup: 9ep lies past the end of the training (2 epochs of 5 steps)"),
        ('keep.metrics=["temperature"]', "temperature needs validation images"),
    ],
)
def test_a_spend_says_it_too_before_anything_is_trained(key: str, fault: str, tmp_path: Path) -> None:
    """It was said once the training began, of which the dense net's comes first."""
    tiny.draw(
        tmp_path / "seed-0",
        "draw.rounds=1",
        "train.epochs=1",
        "data.validation=none",
    )
    with pytest.raises(UsageError) as said:
        tiny.spend(tmp_path / "seed-0", key, "train.epochs=2", "train.batch=300", levels="1")
    assert fault in str(said.value)
    assert not list((tmp_path / "seed-0").rglob("spends/*/*/work"))


def test_what_can_be_is_counted(tmp_path: Path) -> None:
    plan = planned('method = ["imp", "random"]\nspend = ["none", "train.lr=0.02"]\ntweaks = ["none", "ls"]')
    cost = cost_of(plan, tiny.around(tmp_path), timed=0)
    assert cost.bill.record()["trainings"] > 0
    assert cost.hours(plan, 1) == (None, None), "nothing was timed"


def test_a_spend_that_is_shorter_than_what_lies_before_the_rewind_point_is_counted(tmp_path: Path) -> None:
    """One of two epochs lies before it, and so half of the one that is spent."""
    plan = planned('method = "imp"\nspend = ["train.epochs=1"]', '"draw.rewind" = "1ep"')
    cost = cost_of(plan, tiny.around(tmp_path), timed=0)
    assert [item.epochs for _, item in cost.bill.spends] == [0.5, 0.5]


@pytest.mark.parametrize("part", ["data.subset.fraction=0.1", "train.batch=1000"])
def test_a_spend_of_few_steps_begins_as_far_in_as_its_ticket_left_the_draw(part: str, tmp_path: Path) -> None:
    """30 of the draw's steps, 21 an epoch, are past the end of the spend's own; it begins at the same share."""
    plan = planned(f'method = "imp"\nspend = ["{part}"]', '"draw.rewind" = "30it"')
    cost = cost_of(plan, tiny.around(tmp_path), timed=0)
    assert [item.epochs for _, item in cost.bill.spends] == [pytest.approx(2 - 30 / 21)] * 2
