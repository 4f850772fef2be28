"""Tables of probes and interpolations: what is measured of which net, found again, and read into its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from scipy.stats import rankdata

from tests.stages import tiny
from tests.stages.test_reproduce import carry, planned, recipe_file, row
from tests.stages.test_transfer import shades, written
from ticketctl.artifacts.report import decode_report
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import MismatchError, UsageError
from ticketctl.recipe_explore import InterpolateRecipe
from ticketctl.seeds import Seeds
from ticketctl.stages import due
from ticketctl.stages.against import Line, against
from ticketctl.stages.auditing import check_audits, exams
from ticketctl.stages.audits import refuse_mixed
from ticketctl.stages.between import between
from ticketctl.stages.compare import grouped
from ticketctl.stages.explorations import with_explorations
from ticketctl.stages.explored import explored
from ticketctl.stages.interpolate import interpolate, interpolation
from ticketctl.stages.measured import OF, Of, Reading
from ticketctl.stages.named import of_run, of_ticket
from ticketctl.stages.reproduce import Planned
from ticketctl.stages.subject import Opener
from ticketctl.stages.subjects import subjects_in
from ticketctl.stages.whereabouts import READERS
from ticketctl.tomltext import toml_text

PROBE = {
    "probe": {"metrics": ["linear-probe"]},
    "metrics": {"linear-probe": {"epochs": 1, "converged": False}},
}
HISTORY = {"probe": {"metrics": ["forgetting", "convergence"]}}
LINE = {"curves": {"line": {"alphas": 3, "policies": ["stored"], "sets": ["test"], "pairs": "all"}}}
PLANE = {
    "interpolate": {"curves": ["plane"]},
    "curves": {"plane": {"dimensions": 1, "points": 3, "images": 20}},
}
TRANSFER = {"metrics": {"transfer": {"epochs": 1, "converged": False}}}
ONSET = {"onset": {"inits": 1, "twins": 2}, **LINE}
BARRIER = {"metric": "interpolate.barrier", "unit": "points"}


def file(folder: Path, name: str, tables: dict[str, Any]) -> str:
    (folder / f"{name}.toml").write_text(toml_text({"summary": "s", "source": "s", **tables}))
    return str(folder / f"{name}.toml")


def table(folder: Path, *names: str) -> Planned:
    """Of these rows."""
    recipe = recipe_file(folder, epochs=2)
    line, probe = file(folder, "line", LINE), file(folder, "probe", PROBE)
    blocks = {"metric": "probe.linear-probe.test", "explore": probe, "unit": "percent"}
    every = [
        row("ticket", recipe, "50", of="untrained", **blocks),
        row("permuted", recipe, "50", of="permuted", **blocks),
        row("random dense", recipe, "0", of="random-dense", **blocks),
        row("trained", recipe, "0", **blocks),
        row("forgotten", recipe, "0", over="metric", sparsity="0", metric="probe", unit="number",
            explore=file(folder, "history", HISTORY)) | {"cells": ["forgetting", "convergence"]},
        row("twins", recipe, "75", of="twins", explore=line, **BARRIER),
        row("levels", recipe, "50", "75", of="levels", explore=line, **BARRIER),
        row("re-dense", recipe, "50", of="before", tweaks=["redense"], explore=line,
            sets={"tweaks.redense.lr": 0.001}, **BARRIER),
        row("plane", recipe, "50", metric="interpolate.plane.curvature", unit="number",
            explore=file(folder, "plane", PLANE)),
        row("onset", recipe, "0", of="onset", metric="interpolate.onset", unit="epochs",
            explore=file(folder, "onset", ONSET)),
    ]  # fmt: skip
    return planned(folder, *(one for one in every if one["name"] in names or not names))


def lines(plan: Planned, folder: Path) -> dict[tuple[str, str], Line]:
    found = against(plan.asked.table, grouped(subjects_in([str(folder / "runs")], folder)[0]))
    return {(line.cell.row, line.cell.column): line for line in found}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets are timed for an estimate before each measurement, three tenths of a second."""
    monkeypatch.setattr(due, "LAP", 0.0)


@pytest.mark.long
def test_all_of_them_are_measured_once_and_read_into_their_cells(tmp_path: Path) -> None:
    plan = table(tmp_path)
    check_audits(plan)
    assert not any(exam.there or exam.folder for exam in exams(plan))
    carried = carry(plan, tmp_path)
    assert carried.audited == len(exams(plan)) == 11  # two levels, and forgotten is one report of two cells
    assert [exam.reading.of for exam in exams(plan) if not exam.there] == []
    found = lines(plan, tmp_path)
    assert [place for place, line in found.items() if line.ours is None] == []
    assert len({found[name, "50"].ours for name in ("ticket", "permuted")}) == 2
    assert found["forgotten", "convergence"].ours != found["forgotten", "forgetting"].ours
    assert carry(plan, tmp_path).audited == 0


def test_of_a_ticket_several_runs_are_one(tmp_path: Path) -> None:
    """Its twins, and spends under other seeds, are runs of the same level, and no tickets of their own."""
    plan = table(tmp_path, "ticket", "twins")
    carry(plan, tmp_path)
    level = next((tmp_path / "runs").rglob("levels")).parent
    tiny.spend(level, levels="1", seeds=[5])
    found = lines(plan, tmp_path)
    assert {place: line.n for place, line in found.items()} == {("ticket", "50"): 1, ("twins", "75"): 1}
    assert [line.why for line in found.values()] == ["", ""]


def test_paths_of_a_whole_ladder_are_read_as_those_of_its_levels(tmp_path: Path) -> None:
    plan = table(tmp_path, "levels")
    carry(_trained_alone(tmp_path), tmp_path)
    ticket = open_ticket(next((tmp_path / "runs").rglob("ticket.json")).parent)
    asked = explored(
        "interpolate", None, ("curves.line.pairs=successive",), None, str(tmp_path / "line.toml")
    )
    assert isinstance(asked.recipe, InterpolateRecipe)
    ladder = [of_ticket(ticket, level) for level in range(3)]
    (pair,) = between(ladder, asked.recipe.chosen, asked.recipe.interpolate, {})
    report = interpolate(interpolation(pair, asked, Seeds(0), Opener(tiny.around(tmp_path / "cache"))))
    rows = {row.name: row.value for row in report.metrics}
    successive = {**LINE, "curves": {"line": {**LINE["curves"]["line"], "pairs": "successive"}}}
    file(tmp_path, "line", successive)
    found = lines(plan, tmp_path)
    assert found["levels", "50"].ours == rows["barrier@level-0:level-1"]
    assert found["levels", "75"].ours == rows["barrier@level-1:level-2"]
    # of each pair alone it holds nothing else
    assert [exam.there for exam in exams(plan)] == [False, False]


def test_entries_of_arrays_are_values_too(tmp_path: Path) -> None:
    carry(table(tmp_path, "trained"), tmp_path)
    cells = {"cells": ["0", "1", "9"], "over": "metric", "sparsity": "0"}
    one = row("blocks", recipe_file(tmp_path, epochs=2)) | cells
    plan = planned(tmp_path, one | {"metric": "probe.linear-probe/test.accuracy", "unit": "share"},
                   head={"explore": str(tmp_path / "probe.toml")})  # fmt: skip
    values = [line.ours for line in lines(plan, tmp_path).values()]
    (report,) = (
        decode_report(path.read_bytes(), where="it") for path in (tmp_path / "runs").rglob("reports/probe-*")
    )
    assert values[:2] == list(report.arrays["linear-probe/test.accuracy"][:2])
    assert values[2] is None


def test_transfers_go_to_the_data_sets_that_the_cells_name(tmp_path: Path) -> None:
    recipe, spread = recipe_file(tmp_path, epochs=1), {"over": "target", "sparsity": "50"}
    target = written(tmp_path / "shades.safetensors", shades(80, 0), shades(60, 1))
    head = {"metric": "transfer.transfer", "explore": file(tmp_path, "transfer", TRANSFER)}
    rows = [
        row("ticket", recipe, target, of="untrained", **spread),
        row("trained", recipe, target, **spread),
        row("retrained", recipe, target, of="retrained", over="target", sparsity="0"),
    ]
    plan = planned(tmp_path, *rows, head=head)
    assert carry(plan, tmp_path).audited == 3
    found = lines(plan, tmp_path)
    assert all(line.ours is not None for line in found.values()), [line.why for line in found.values()]
    assert carry(plan, tmp_path).audited == 0
    elsewhere = planned(tmp_path, row("ticket", recipe, "mnist", of="untrained", **spread), head=head)
    (line,) = lines(elsewhere, tmp_path).values()
    assert line.ours is None
    assert "no transfer of its ticket before training to mnist; run: ticketctl transfer" in line.why


def test_what_is_missing_says_how_it_is_made(tmp_path: Path) -> None:
    plan = table(tmp_path, "ticket", "trained", "twins", "levels", "re-dense", "onset")
    carry(_trained_alone(tmp_path), tmp_path)
    why = {place: line.why for place, line in lines(plan, tmp_path).items()}
    ticket = next((tmp_path / "runs").rglob("ticket.json")).parent
    assert why["ticket", "50"].startswith(
        f"no probe of its ticket before training; run: ticketctl probe {ticket} "
    )
    assert f"{ticket} --level 2 --twins 3 --recipe" in why["twins", "75"]
    assert f"{ticket} --level 0,1 --recipe" in why["levels", "50"]
    assert "levels/0 --recipe" in why["onset", "0"]
    assert why["re-dense", "50"] == "no run"


def _trained_alone(folder: Path) -> Planned:
    return planned(folder, row("plain", recipe_file(folder, epochs=2), "75"))


def test_reports_under_other_keys_do_not_count_and_say_so(tmp_path: Path) -> None:
    carry(table(tmp_path, "ticket"), tmp_path)
    plan = table(tmp_path, "ticket")
    other = {**PROBE, "metrics": {"linear-probe": {"epochs": 2, "converged": False}}}
    file(tmp_path, "probe", other)
    (line,) = lines(plan, tmp_path).values()
    assert line.ours is None
    assert "measured otherwise, metrics.linear-probe.epochs 1 instead of 2; run: ticketctl probe" in line.why
    assert [exam.there for exam in exams(plan)] == [False]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"explore": "probe/linaer"}, "did you mean 'probe/linear'"),
        ({"explore": "audit/quick"}, "no key audit"),
        ({"explore": "interpolate/barrier"}, "is no recipe of probe; those begin with probe/"),
        ({"explore": "probe/history"}, "probe/history does not measure linear-probe; it has"),
        ({"metric": "probe.linaer-probe"}, "did you mean 'linear-probe'"),
        ({"of": "twins"}, "of must be trained, untrained, permuted, random-dense, not 'twins'"),
        ({"of": "twin"}, "of: must be"),
        ({"explore": None}, 'say under which recipe: explore = "probe/'),
        ({"of": "untrained", "tweaks": ["ls"]}, "without tweaks"),
        ({"over": "target", "cells": ["mnist"], "sparsity": "50"}, 'goes to a data set: over = "target"'),
        (
            {"metric": "transfer.transfer", "explore": "transfer/frozen"},
            'goes to a data set: over = "target"',
        ),
        ({"metric": "interpolate.onset", "explore": "interpolate/onset"}, 'the onset is of = "onset"'),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    one = row("a", recipe_file(tmp_path), "50", metric="probe.linear-probe", explore="probe/linear") | changes
    with pytest.raises(UsageError, match=r"row 'a'") as caught:
        planned(tmp_path, {key: value for key, value in one.items() if value is not None})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_kind_of_net_belongs_to_some_kind_of_report() -> None:
    assert {one for every in OF.values() for one in every} == set(get_args(Of)) == set(READERS)


def test_of_a_ticket_by_art_the_draw_says_what_the_pruned_net_got_right(tmp_path: Path) -> None:
    """Table 1 and Compression Position of paper 000, against what the draw wrote down."""
    sets = {
        "method": "art",
        "density": "0.5",
        "pretrain": "1ep",
        "max_epochs": 40,
        "lambda_init": 0.001,
        "eta": 2.0,
    }
    recipe = recipe_file(tmp_path, "art", draw=sets)
    probe = file(tmp_path, "position", {"probe": {"metrics": ["compression-position"]},
                                        "metrics": {"compression-position": {"first": 2}}})  # fmt: skip
    rows = [
        row(
            "class 3", recipe, "50", metric="probe.compression-position.class-3", explore=probe, unit="share"
        ),
        row("epochs", recipe, "50", metric="draw.epochs", unit="epochs"),
        row("overlap", recipe, "50", metric="draw.overlap_before_last", unit="share"),
        row("at the end of pre-training", recipe, "50", metric="draw.overlap_at_60", unit="share"),
    ]
    plan = planned(tmp_path, *rows)
    carry(plan, tmp_path)
    found = {name: line.ours for (name, _), line in lines(plan, tmp_path).items()}
    ticket = open_ticket(next((tmp_path / "runs").rglob("ticket.json")).parent)
    notes: Any = ticket.manifest.ext["ticketctl.levels"]
    told, chosen = notes["1"], notes["1"]["chosen_epoch"]
    assert found["epochs"] == chosen
    assert found["overlap"] == pytest.approx(float(told["overlap"][chosen - 2]))
    assert found["at the end of pre-training"] == pytest.approx(float(told["overlap"][0]))
    bits = (ticket.record() or {})["right.pruned"].array()
    digits = Opener(tiny.around(tmp_path / "cache")).open(of_run(open_run(plan_run(plan)), {}))
    labels = np.asarray(digits.images["train"].labels)
    right = np.unpackbits(bits, axis=1, count=len(labels), bitorder="little")[1:].sum(0, dtype=np.int64)
    place = rankdata(-right) / len(labels)
    assert found["class 3"] == pytest.approx(place[labels == 3].mean())


def test_means_of_probes_under_other_keys_are_refused(tmp_path: Path) -> None:
    carry(table(tmp_path, "trained"), tmp_path)
    other = {**PROBE, "metrics": {"linear-probe": {"epochs": 2, "converged": False}}}
    more = row("other", recipe_file(tmp_path, epochs=2), "50", metric="probe.linear-probe", unit="percent",
               explore=file(tmp_path, "other", other))  # fmt: skip
    carry(planned(tmp_path, more), tmp_path)
    runs = subjects_in([str(tmp_path / "runs")], tmp_path)[0]
    found = with_explorations(runs, Reading("probe", None))
    assert [run.value("probe.linear-probe") is None for run in found] == [False, False, True]
    assert "probe.linear-probe" in found[0].known
    with pytest.raises(
        MismatchError, match=r"were measured differently: metrics\.linear-probe\.epochs is 1 and 2"
    ):
        refuse_mixed(found, "probe.linear-probe")


def plan_run(plan: Planned) -> Path:
    """The run of its first report."""
    folder = exams(plan)[0].folder
    assert folder is not None
    return folder
