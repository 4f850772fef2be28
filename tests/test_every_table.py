"""Every shipped table of a paper: it names what exists, and what it prints is what the paper prints."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.every import every
from tests.test_expected_values import LADDER, TABLES, expected_of
from ticketctl.artifacts.models import CONTROL_KINDS
from ticketctl.errors import UsageError
from ticketctl.nets.blocks import blocks_of
from ticketctl.nets.build import layout
from ticketctl.recipe_files import read_recipe, recipe_names, table_names
from ticketctl.shipped import room
from ticketctl.stages import papers
from ticketctl.stages.audit_wants import check_audit, wants_of
from ticketctl.stages.measured import needs_audit, needs_report
from ticketctl.stages.papers import Cell, Table, find_table, table_in, tables
from ticketctl.stages.targets import Target, targets_of, telling
from ticketctl.stages.verdict_values import MODULES

ALL = {table.spec: table for table in tables()}
TWEAKS = {"skip", "swish", "mish", "ls", "kd", "scaled-init", "redense"}
WANTED = (
    "000:1 000:2 000:fig1 000:fig2 000:fig3 000:fig4 000:fig5 "
    "001:A1 001:A2 001:A3 001:A4 001:fig1 001:fig2 001:fig4 001:fig5 001:fig7 001:fig8 001:fig9 001:fig10 "
    "001:figa11 001:figa12 001:figa13 "
    "002:fig1 002:fig2 002:fig3 002:fig4 002:fig5 002:fig6 002:fig7 002:fig8 002:fig9 002:fig10 002:fig11 002:fig12 "
    "002:fig13 002:fig14 "
    "003:fig1 003:fig2 003:fig3 003:fig4 003:fig5 003:fig6 003:fig7 003:fig8 003:fig9 003:fig10 003:fig11 003:fig12 "
    "003:fig17 003:fig18 003:fig19 003:fig20 "
    "003:1 003:2 003:3 003:4 003:5 003:6 003:7 003:8 003:9 003:10 003:11 003:12 003:13 003:14 003:15 003:16 003:17 "
    "003:18 003:19 003:20 003:21 003:22 003:23 "
    "004:fig1 004:fig2 004:fig3 004:fig4 004:fig5 004:fig6 004:fig7 004:fig8 004:fig9 004:fig10 004:fig11 "
    "004:text4.1 004:text4.2 004:text4.5"
)
beside = pytest.mark.skipif(
    not TABLES.is_file(), reason="the transcribed tables of the papers are not beside this copy"
)


TABLES_OF_003 = ["2", "3", "4", "7", "11", "12", "13", "14", "16", "21", "22", "23"]


def rows(table: Table) -> dict[str, list[Cell]]:
    """Its cells by row."""
    found: dict[str, list[Cell]] = {}
    for cell in table.cells:
        found.setdefault(cell.row, []).append(cell)
    return found


@cache
def targets(spec: str) -> list[Target]:
    return targets_of(ALL[spec].cells)


def values(cells: list[Cell]) -> list[float]:
    return [float(cell.value) for cell in cells if cell.value is not None]


@cache
def printed(seed: str, table: str) -> dict[str, Any]:
    (found,) = [
        one
        for one in json.loads(TABLES.read_text(encoding="utf-8"))["tables"]
        if (one["seed"], one["table"]) == (seed, table)
    ]
    return dict(found)


def printed_rows(seed: str, table: str) -> list[dict[str, Any]]:
    found = printed(seed, table)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


# ----------------------------------------------------------------------------------------------------- what they say


def test_all_are_there() -> None:
    assert set(ALL) == set(WANTED.split())
    assert not set(table_names()) & set(recipe_names())
    for name in table_names():
        with pytest.raises(UsageError, match="is a table of a paper"):
            read_recipe(name)


@pytest.mark.long
@every(ALL)
def test_it_names_what_exists(spec: str) -> None:
    table = ALL[spec]
    assert find_table(spec).name == find_table(table.name).name == table.name
    assert table.source.startswith(f"paper {table.paper}")
    assert table.note == table.note.strip() != ""
    assert table.name.startswith(f"papers/{table.paper}-")
    for cell in table.cells:
        assert cell.recipe.startswith(f"papers/{table.paper}-")
        assert set(cell.tweaks) <= TWEAKS
        assert cell.control in ("", *CONTROL_KINDS)
        assert cell.sparsity is None or 0 <= cell.sparsity < 100
    assert all(target.recipe.model.name for target in targets(spec))


@every(ALL)
def test_no_two_cells_want_the_same(spec: str) -> None:
    """Else a run lay in both; the dense net behind two rows of paper 003 is one all the same, and printed twice."""
    table, seen = ALL[spec], set()
    for cell, target in zip(table.cells, targets(spec), strict=True):
        wants = (
            target.kind,
            tuple(sorted(target.settings.items())),
            cell.sparsity,
            cell.metric,
            cell.reading,
        )
        assert wants not in seen or cell.sparsity == 0
        seen.add(wants)


@every(ALL)
def test_rows_differ_in_what_their_names_say(spec: str) -> None:
    """Keys that only come along (a milestone, a mean) would keep scaled runs out of every cell."""
    allowed = {
        "train.momentum", "train.batch", "search.train.momentum", "search.train.batch",
        "draw.share", "draw.regulariser", "model.widths", "data.noise.rate", "data.subset.fraction", "data.subset.pick",
    }  # fmt: skip
    for keys in telling(targets(spec)).values():
        assert keys <= allowed


@every(ALL)
def test_figures_have_no_values_and_tables_have(spec: str) -> None:
    has = [cell.value is not None for cell in ALL[spec].cells]
    if spec == "004:fig7":  # its caption prints them
        assert all(has)
    elif "fig" in spec:
        assert not any(has)
        assert "no numbers are printed" in ALL[spec].note
    else:
        assert has.count(False) == (1 if spec == "000:1" else 0)


@every(ALL)
def test_what_is_read_from_audits_says_from_which_and_it_measures_that(spec: str) -> None:
    for cell in ALL[spec].cells:
        check_audit(cell)
        audited = needs_audit(cell.metric) or cell.metric == "winning_sparsity.accuracy"
        assert audited == (cell.audit is not None)
        assert needs_report(cell.metric) <= (cell.reading is not None)
        if cell.metric.startswith("winning_sparsity"):
            assert {*MODULES.values()} - {"compositional"} == {*wants_of(str(cell.audit)).recipe.chosen}


def test_blocks_and_stages_that_are_probed_are_the_nets() -> None:
    found: dict[str, set[int]] = {}
    for spec in ALL:
        for cell, target in zip(ALL[spec].cells, targets(spec), strict=True):
            name, _, number = cell.metric.rpartition("-")
            if name.endswith(("linear-probe.block", "activation-sparsity.stage")):
                found.setdefault(f"{target.net} {name.rpartition('.')[2]}", set()).add(int(number))
    most = {"resnet18 block": 8, "vgg16 block": 13, "resnet34 block": 16, "resnet18 stage": 4}
    assert found == {kind: set(range(1, count + 1)) for kind, count in most.items()}
    for net, count in (("resnet18", 8), ("vgg16", 13), ("resnet34", 16)):
        blocks = blocks_of(layout(net, shape=(3, 32, 32), classes=10))
        assert (len(blocks), net == "vgg16" or blocks[-1].stage == 4) == (count, True)


def test_a_batch_of_the_eigenvalues_of_paper_001_is_one_of_its_trainings() -> None:
    tables = read_recipe("audit/top-eigenvalue")["metrics"]["hessian"]
    assert tables["batches"] == 10
    for spec in ("001:fig2", "001:figa13"):
        batches = {target.recipe.train.batch for target in targets(spec)}
        assert batches == {tables["images"]}


@beside
def test_figure_7_of_paper_004_is_printed_so() -> None:
    found = {row["network"].split()[0]: row["mean_iou"] for row in printed_rows("004", "Fig 7 caption")}
    assert {cell.row: float(cell.value or 0) for cell in ALL["004:fig7"].cells} == found


@every([spec for spec in ALL if ALL[spec].cells[0].unit == "percent"])
def test_levels_are_those_of_the_ladder_where_a_ladder_draws(spec: str) -> None:
    for cell in ALL[spec].cells:
        if cell.sparsity is not None and "/imp-resnet32" not in cell.recipe and "/omp-" not in cell.recipe:
            method = cell.recipe.rpartition("/")[2].partition("-")[0]
            if method in ("imp", "ltr", "aimp", "gradient"):
                key = f"{float(cell.sparsity):.2f}" if cell.sparsity else "0"
                assert key in LADDER, (spec, cell.row, cell.column)


@every(ALL)
def test_plain_rows_are_what_their_recipe_expects(spec: str) -> None:
    """The recipes' `expected` was transcribed apart from these."""
    for cell in ALL[spec].cells:
        expected = expected_of(cell.recipe)
        mine = str(expected.get("table", "")).split(";")[0] == spec
        if not mine or cell.tweaks or cell.sets or cell.value is None or cell.control:
            continue
        kind, key = cell.metric.rpartition(".")[::2] if cell.sparsity is None else (cell.metric, cell.column)
        table = expected.get({"test.accuracy": "test_accuracy"}.get(kind, kind.removeprefix("draw.")), {})
        assert Fraction(str(table[key])) == Fraction(cell.value), (spec, cell.row, key)


# ----------------------------------------------------------------------------------------- against the transcription


@beside
@pytest.mark.parametrize(("table", "plain"), [("A2", "lth"), ("A3", "lth")])
def test_tables_of_tweaks_are_printed_so_and_add_up(table: str, plain: str) -> None:
    names = {
        "LTH": "lth", "skip": "skip", "Swish": "swish", "scaled initialisation": "scaled_init", "label smoothing": "ls",
        "LTH + AT": "lth_at", "LTH + TRT": "lth_trt", "LTH + AT + TRT": "lth_at_trt", "LTH, rewound": "lth_rewind",
    }  # fmt: skip
    paper = printed_rows("001", table)
    found = rows(ALL[f"001:{table}"])
    for name, cells in found.items():
        assert values(cells) == [row[names[name]] for row in paper]
        # the paper cuts sparsities to whole percents, or rounds them
        whole = [(int(cell.sparsity or 0), round(float(cell.sparsity or 0))) for cell in cells]
        assert all(row["sparsity_pct"] in pair for row, pair in zip(paper, whole, strict=True))
        delta = f"{names[name]}_delta"
        base = values(found["LTH"])
        if delta in paper[0]:
            differences = [round(ours - theirs, 2) for ours, theirs in zip(values(cells), base, strict=True)]
            assert differences == pytest.approx([row[delta] for row in paper])
    assert len(found) == 5


@beside
def test_table_a4_is_printed_so() -> None:
    found = rows(ALL["001:A4"])
    for row in printed_rows("001", "A4"):
        for data, name in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100")):
            cells = found.pop(f"{row['method']}, {name}")
            assert values(cells) == [row[f"{data}_{rate}"] for rate in ("90", "95", "98")]
            assert [cell.column for cell in cells] == ["90", "95", "98"]
    dense = printed("001", "A4")["baseline"]
    assert [values(cells) for cells in found.values()] == [
        [dense["dense_cifar10"]],
        [dense["dense_cifar100"]],
    ]


@beside
def test_table_1_of_paper_000_is_printed_so() -> None:
    kinds = {"draw.epochs": "epochs_", "draw.overlap_at_60": "intersection_e60_",
             "draw.overlap_before_last": "intersection_eK-1_"}  # fmt: skip
    losses = {"hypersparse": "HS", "l1": "L1", "l2": "L2"}
    names = {"resnet32-2x": "ResNet-32", "vgg19": "VGG-19", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
    cells = ALL["000:1"].cells
    seen = set()
    for cell, target in zip(cells, targets_of(cells), strict=True):
        (row,) = [
            row
            for row in printed_rows("000", "1")
            if (row["dataset"], row["model"], row["pruning_rate_pct"])
            == (names[target.data], names[target.net], float(cell.column))
        ]
        key = kinds[cell.metric] + losses[target.settings["draw.regulariser"]]
        assert (None if cell.value is None else float(cell.value)) == row[key]
        seen.add((row["dataset"], row["model"], cell.column, key))
    assert len(seen) == len(cells) == 12 * 9


@beside
@pytest.mark.parametrize("table", TABLES_OF_003)
def test_tables_of_paper_003_are_printed_so(table: str) -> None:
    """Row by row in the paper's order: means, deviations, stars, and the settings that the row names."""
    found = list(rows(ALL[f"003:{table}"]).values())
    if table == "23":  # two subsets in a row of the paper
        found = [a + b for a, b in zip(found[::2], found[1::2], strict=True)]
    paper = printed_rows("003", table)
    assert len(found) == len(paper)
    for cells, row in zip(found, paper, strict=True):
        wanted = [value for value in row.values() if isinstance(value, dict)]
        assert values(cells) == [value["mean"] for value in wanted]
        pm = [None if cell.deviation is None else float(cell.deviation) for cell in cells]
        assert pm == [value.get("pm") for value in wanted]
        assert [cell.nonconverged for cell in cells] == [value.get("nonconverged", False) for value in wanted]
        _check_settings(cells, row)


def _check_settings(cells: list[Cell], row: dict[str, Any]) -> None:
    target = targets_of(cells)[-1]
    momentum, batch = (row.get(key, row.get(other)) for key, other in
                       (("train_momentum", "momentum"), ("train_batch", "batch_size")))  # fmt: skip
    if momentum is not None:
        assert float(target.settings["train.momentum"]) == momentum
        assert int(target.settings["train.batch"]) == batch
    if "search_momentum" in row:
        assert float(target.settings.get("search.train.momentum", momentum)) == row["search_momentum"]
        assert int(target.settings.get("search.train.batch", batch)) == row["search_batch"]
    if "pretrained" in row and row["pretrained"] is not None and "budget" not in row:
        assert target.method == ("ltr" if row["pretrained"] else "imp")
    if "dataset" in row:
        assert target.data == row["dataset"].lower().replace("-", "")
    if "budget" in row:
        share = Fraction(target.settings["draw.share"]) * int(target.settings["train.epochs"])
        assert share == int(row["budget"].removesuffix("eps"))
    columns = [key.rpartition("_")[2] for key, value in row.items() if isinstance(value, dict)]
    for cell, column in zip(cells, columns, strict=True):
        share = Fraction(column.removesuffix("%"))
        if column.endswith("%"):
            assert Fraction(str(cell.sets["data.subset.fraction"])) == share / 100
        else:
            assert cell.sparsity == share


EXPLORED_OF_003 = ["1", "5", "6", "8", "9", "10", "15", "17", "18", "19", "20"]


@beside
@pytest.mark.parametrize("table", EXPLORED_OF_003)
def test_tables_of_probes_transfers_and_onsets_are_printed_so(table: str) -> None:
    """Means and deviations of each row of the paper, and the setting that its name says."""
    found = rows(ALL[f"003:{table}"])
    wide = {"1": 2, "5": 2, "8": 2, "9": 2, "10": 2, "15": 4, "17": 2, "18": 2}.get(table, 1)
    paper = printed_rows("003", table)
    assert len(found) == len(paper) * wide
    cells = list(found.values())
    for number, row in enumerate(paper):
        mine = [cell for one in cells[number * wide : (number + 1) * wide] for cell in one]
        ours = [(float(cell.value or 0), float(cell.deviation or 0)) for cell in mine]
        theirs = [(value["mean"], value["pm"]) for value in row.values() if isinstance(value, dict)]
        assert set(ours) == set(theirs)
        assert len(ours) in (len(theirs), 2), "but for the random dense net, which is printed twice"
        if row.get("momentum") is not None:
            target = targets_of(mine)[-1]
            assert float(target.settings["train.momentum"]) == row["momentum"]
            assert int(target.settings["train.batch"]) == row["batch_size"]
            assert target.method == {True: "ltr", False: "imp", None: "dense"}[row.get("pretrained")]


@beside
def test_table_a1_is_printed_so() -> None:
    found, paper = rows(ALL["001:A1"]), printed_rows("001", "A1")
    for name, cells in found.items():
        stage, kind = name.split(", ")
        assert values(cells) == [row[f"layer{stage[-1]}_{kind.lower()}"] for row in paper]
        assert [round(float(cell.column)) for cell in cells] == [row["sparsity_pct"] for row in paper]
    assert len(found) == 8


@beside
def test_table_2_of_paper_000_is_printed_so() -> None:
    """The dense rows: those of the pruned blocks have lost their rates."""
    (cells,) = rows(ALL["000:2"]).values()
    paper = {row["human_label_errors"]: row for row in printed_rows("000", "2") if row["block_index"] == 0}
    names = [key for key in printed("000", "2")["columns"] if key not in ("block_index", "network")][1:]
    for cell in cells:
        label, errors = cell.column.split(".")
        assert float(cell.value or 0) == paper[int(errors)][names[int(label)]]
    assert len(cells) == 40


@beside
@pytest.mark.parametrize("table", ["text 4.1", "text 4.2", "text 4.5"])
def test_sparsities_of_paper_004_are_printed_so(table: str) -> None:
    found = list(rows(ALL[f"004:{table.replace(' ', '')}"]).values())
    for cells, row in zip(found, printed_rows("004", table), strict=True):
        assert values(cells) == [value for value in row.values() if isinstance(value, float)]
        name = next(iter(row.values()))
        data = "cifar100" if "100" in name else "imagefolder" if "IMG" in name else "cifar10"
        assert targets_of(cells)[0].data == data


@beside
@pytest.mark.parametrize("spec", ["002:fig2", "002:fig9", "002:fig11"])
def test_sparsities_of_paper_002s_legends_are_printed_so(spec: str) -> None:
    names = {"resnet18": "ResNet-18", "lenet-300-100": "LeNet-300-100", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100",
             "mnist": "MNIST"}  # fmt: skip
    for cells in rows(ALL[spec]).values():
        target = targets_of(cells)[0]
        rate = float(Fraction(target.settings["data.noise.rate"]))
        (row,) = [
            row
            for row in printed_rows("002", "figure captions")
            if (row["model"], row["dataset"], row["permuted_fraction"])
            == (names[target.net], names[target.data], rate)
        ]
        ours = [float(cell.column) for cell in cells]
        told = f"Fig 9 lists {', '.join(f'{value:g}' for value in ours)}"
        assert ours == row["sparsities_pct"] or told in row["source"]


PRINTED = {
    ("001:A2", "skip", "97.19"): "70.11",
    ("001:A2", "scaled initialisation", "97.19"): "68.45",
    ("001:A2", "label smoothing", "0"): "75.42",
    ("001:A3", "LTH + AT + TRT", "91.41"): "74.23",
    ("001:A3", "LTH, rewound", "91.41"): "75.68",
    ("001:A4", "Random Pruning, CIFAR-100", "98"): "19.83",
    ("003:4", "found with 0 and 256, trained with 0 and 256", "96.48"): "59.98",
    ("003:21", "ticket, momentum 0, batch 256", "0.01"): "85.43",
    ("003:23", "ticket, most forgotten", "0.1"): "91.40",
    ("004:text4.5", "VGG-11 CIFAR-100", "lth_pass"): "86.58",
    ("000:1", "VGG-19 CIFAR-10, HyperSparse: overlap at 60", "90"): "0.77",
    ("001:A1", "stage 1, ReLU", "20.00"): "28.93",
    ("003:8", "momentum 0, batch 256: unforgettable", "forgetting.unforgettable"): "42.18",
    ("003:15", "VGG-16 on CIFAR-100, momentum 0.9, batch 100", "0"): "85.0",
    ("003:17", "momentum 0, batch 256: block 8", "89.26"): "82.87",
    ("003:6", "ticket, momentum 0, batch 256", "mnist"): "97.25",
}
"""Typed by hand, so that there is a check where no transcription lies beside the repository."""


@pytest.mark.parametrize(("place", "value"), PRINTED.items())
def test_cells_are_the_printed_ones(place: tuple[str, str, str], value: str) -> None:
    spec, row, column = place
    (cell,) = [cell for cell in ALL[spec].cells if (cell.row, cell.column) == (row, column)]
    assert str(cell.value) == value


# ----------------------------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize(
    "wanted", ["001:A2", "001:a2", "002:Fig 4", "002:fig. 4", "002:figure-4", "004:text 4.5"]
)
def test_a_table_is_found_however_it_is_written(wanted: str) -> None:
    assert find_table(wanted).paper == wanted[:3]


@pytest.mark.parametrize(
    "wanted", ["", ":", "001:", "001:A9", "A2", "009:1", "../x", "papers/001-toast", "001:../A2"]
)
def test_a_table_that_is_not_there_is_refused_in_a_line(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(papers, "tables", lambda: [*ALL.values()])  # to read them all takes long
    with pytest.raises(UsageError, match="no table"):
        find_table(wanted)


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (room("recipes") / "papers/001-toast/table-a2.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title =", "titel = 1\ntitle =", "titel"),
        ("seeds = 3", "rows = 3", "rows"),
        ('"0" = 74.87', '"none" = 74.87', "sparsity in percent.*not 'none'"),
        ('"0" = 74.87', '"0" = "much"', "values"),
        ('unit = "percent"', 'unit = "miles"', "unit"),
        ("seeds = 3", "seeds = ", "readable"),
        ('name = "LTH"', 'name = "LTH"\nover = "data.subset.fraction"', "sparsity"),
        ('name = "LTH"', 'name = "LTH"\ncells = ["0"]', "cells"),
        ('name = "LTH"', 'name = "LTH"\nnonconverged = ["50"]', "nonconverged"),
    ],
)
def test_a_table_of_ones_own_is_read_and_a_wrong_one_says_where(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert find_table(str(_changed(tmp_path, "A2", "A2"))).cells[0].value == Decimal("74.87")
    with pytest.raises(UsageError, match=says):
        find_table(str(_changed(tmp_path, old, new)))


def test_the_files_are_plain_toml_for_any_reader() -> None:
    for name in table_names():
        path = room("recipes") / f"{name}.toml"
        assert tomllib.loads(path.read_text(encoding="utf-8"))["row"]
        assert table_in(path, name).cells
