"""Forgetting records by folder, name and id; and tickets drawn by them, which carry the list of their images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import UsageError
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages.places import run_at
from ticketctl.stages.request import Typed
from ticketctl.stages.spent import Spent
from ticketctl.stages.wallet import Wanted, prepare_spend

PICK = ("data.subset.pick=most-forgotten", "data.subset.fraction=0.2", "draw.rounds=1")
SMALL = ("train.epochs=1", "draw.rounds=0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two runs that counted, and a ticket with controls drawn by the first of them."""
    folder = tmp_path_factory.mktemp("places") / "runs"
    tiny.draw(folder / "net-data" / "imp-1" / "seed-0", "train.epochs=3", "train.lr=0.5", "draw.rounds=0")
    tiny.draw(folder / "net-data" / "imp-2" / "seed-0", *SMALL)
    record = folder / "net-data/imp-1/seed-0/levels/0"
    tiny.draw(
        folder / "net-data" / "imp-3" / "seed-0", *PICK, f"data.subset.record={record}", "draw.controls=true"
    )
    return folder


@pytest.fixture
def moved(home: Path, tmp_path: Path) -> Path:
    """A copy of the drawn folder in a workspace in which the record does not lie, nor where the intent says."""
    folder = tmp_path / "runs" / "net-data" / "imp-3" / "seed-0"
    shutil.copytree(home / "net-data/imp-3/seed-0", folder)
    intent = folder / "intent.json"
    intent.write_text(intent.read_text().replace(str(home), "/gone"))
    return folder


def record_of(home: Path) -> Path:
    return home / "net-data/imp-1/seed-0/levels/0"


def index_of(thing: Any) -> np.ndarray:
    found = thing.record()
    assert found is not None
    return np.array(found["subset.index"].array())


def spend(folder: Path, *sets: str, seeds: list[int], ticket: str = "ticket", **more: Any) -> list[Spent]:
    wanted = Wanted(
        str(folder / ticket), "1", seeds, more.pop("controls", False), folder.parents[2], Typed(sets=sets)
    )
    chosen = prepare_spend(wanted)
    around = tiny.around(folder.parents[3] / "cache")
    return list(tiny.run_spend(chosen.jobs, chosen.recipe, chosen.draw_seeds, around))


# ---------------------------------------------------------------------------------------------- names of a record


def test_a_folder_a_name_below_the_workspace_an_id_and_its_beginning_mean_the_same_run(home: Path) -> None:
    folder, ident = record_of(home), open_run(record_of(home)).manifest.run_id
    for name in (str(folder), "net-data/imp-1/seed-0/levels/0", ident, ident[:10]):
        assert run_at(name, "data.drop.record", home) == folder, name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/nowhere", r"data\.drop\.record: /nowhere: there is no run"),
        (
            "rn1zzzzzz",
            r"no run rn1zzzzzz below .*runs; if it lies elsewhere.*--set data\.drop\.record=FOLDER",
        ),
    ],
)
def test_a_record_that_is_nowhere_is_refused_in_one_line(home: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        run_at(name, "data.drop.record", home)
    assert "\n" not in str(refused.value)


def test_the_beginning_of_two_ids_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_run(record_of(home)).manifest
    other = first.model_copy(update={"run_id": f"{first.run_id[:8]}zzzz"})
    monkeypatch.setattr("ticketctl.artifacts.workspace.runs", lambda root: [(home, first), (home, other)])
    with pytest.raises(
        UsageError, match=r"data\.drop\.record: \w+ is the beginning of rn1.*; give more of it"
    ):
        run_at(first.run_id[:8], "data.drop.record", home)


# ----------------------------------------------------------------------------------------- the recipe of a ticket


def test_the_recipe_in_a_ticket_draws_the_same_ticket_again(home: Path, tmp_path: Path) -> None:
    """Its record is an id, looked up in the workspace; nothing of the first draw's places is needed."""
    ticket = open_ticket(home / "net-data/imp-3/seed-0/ticket")
    recipe = parse_recipe(ticket.manifest.draw.recipe, where="the ticket")
    assert recipe.data.subset is not None
    assert recipe.data.subset.record == (open_run(record_of(home)).manifest.run_id,)
    again = tiny.run_draw(recipe, 0, tmp_path / "again", in_workspace(tmp_path, home))
    assert again.manifest.ticket_id == ticket.manifest.ticket_id
    assert again.record() == ticket.record()
    with pytest.raises(UsageError, match=r"data\.subset\.record: no run rn1\w+ below"):
        tiny.run_draw(recipe, 0, tmp_path / "not", in_workspace(tmp_path, tmp_path / "empty"))


def test_the_beginning_of_an_id_picks_the_images_that_the_folder_picks(home: Path, tmp_path: Path) -> None:
    ident = open_run(record_of(home)).manifest.run_id
    recipe = tiny.recipe(*PICK, f"data.subset.record={ident[:9]}")
    found = tiny.run_draw(recipe, 0, tmp_path / "seed-0", in_workspace(tmp_path, home))
    drawn = open_ticket(home / "net-data/imp-3/seed-0/ticket")
    assert found.manifest.ticket_id == drawn.manifest.ticket_id
    assert (index_of(found) == index_of(drawn)).all()
    data: Any = found.manifest.draw.recipe["data"]
    assert data["subset"]["record"] == [ident]


def in_workspace(tmp_path: Path, workspace: Path) -> Any:
    around = tiny.around(tmp_path / "cache")
    return type(around)(**{**around.__dict__, "workspace": workspace})


# ------------------------------------------------------------------------------------ spending where it is gone


def test_a_ticket_is_spent_on_its_own_images_under_a_new_seed_wherever_its_record_is(
    home: Path, moved: Path
) -> None:
    here = spend(home / "net-data/imp-3/seed-0", seeds=[7])
    there = spend(moved, seeds=[7])
    assert [one.trained for one in there] == [True, True]
    for one, other in zip(here, there, strict=True):
        assert one.run.manifest.run_id == other.run.manifest.run_id
        assert one.run.folder.relative_to(home) == other.run.folder.relative_to(moved.parents[2])
        assert (index_of(other.run) == index_of(open_ticket(moved / "ticket"))).all()
    own = open_run(moved / "levels/1").manifest.training_id
    assert spend(moved, seeds=[0])[1].run.manifest.training_id == own


def test_another_run_in_the_records_old_place_is_not_taken_for_it(home: Path, moved: Path) -> None:
    """The intent's folder holds another run now; the ticket's images stay what they are."""
    intent = moved / "intent.json"
    intent.write_text(intent.read_text().replace("/gone/net-data/imp-1", f"{home}/net-data/imp-2"))
    for one in spend(moved, seeds=[3]):
        assert (index_of(one.run) == index_of(open_ticket(moved / "ticket"))).all()


def test_a_control_is_spent_on_the_images_of_its_ticket(moved: Path) -> None:
    kept = index_of(open_ticket(moved / "ticket"))
    assert {one.control for one in spend(moved, seeds=[4], controls=True)} >= {None, "shuffled"}
    for one in spend(moved, seeds=[5], ticket="controls/shuffled/ticket"):
        assert (index_of(one.run) == kept).all()


@pytest.mark.parametrize(
    "change", ["data.subset.fraction=0.3", "data.validation=last:100", "data.noise.rate=0.2"]
)
def test_a_spend_that_picks_other_images_wants_the_record(moved: Path, change: str) -> None:
    with pytest.raises(UsageError, match=r"data\.subset\.record: no run rn1"):
        spend(moved, change, seeds=[1])


def test_a_record_that_is_typed_is_read(home: Path, moved: Path) -> None:
    """The same images by the record itself as by the ticket's list, and others by another record."""
    kept = index_of(open_ticket(moved / "ticket"))
    typed = spend(moved, f"data.subset.record={record_of(home)}", seeds=[2])
    assert (index_of(typed[1].run) == kept).all()
    other = spend(moved, f"data.subset.record={home / 'net-data/imp-2/seed-0/levels/0'}", seeds=[2])
    assert not np.array_equal(index_of(other[1].run), kept)


def test_a_spends_folder_does_not_depend_on_how_its_record_is_written(home: Path) -> None:
    ticket, ident = (
        home / "net-data/imp-3/seed-0/ticket",
        open_run(home / "net-data/imp-2/seed-0/levels/0").manifest,
    )

    def folders(record: str) -> list[Path]:
        typed = Typed(sets=(f"data.subset.record={record}",))
        return [job.folder for job in prepare_spend(Wanted(str(ticket), None, None, False, home, typed)).jobs]

    whole = folders(ident.run_id)
    assert folders(ident.run_id[:9]) == folders(str(home / "net-data/imp-2/seed-0/levels/0")) == whole
    assert folders("net-data/imp-2/seed-0/levels/0") == whole
    assert folders(str(record_of(home))) != whole


def test_a_draw_that_dropped_nothing_has_all_images(home: Path, tmp_path: Path) -> None:
    """Its ticket has no list; it is spent on all images without its record."""
    folder = tmp_path / "runs" / "net-data" / "imp-4" / "seed-0"
    sets = ("data.drop.most_forgotten=0", f"data.drop.record={record_of(home)}", *SMALL[:1], "draw.rounds=1")
    ticket: Ticket = tiny.draw(folder, *sets)
    assert ticket.record() is None
    intent = folder / "intent.json"
    intent.write_text(intent.read_text().replace(str(home), "/gone"))
    assert [one.trained for one in spend(folder, seeds=[6])] == [True, True]


def test_the_draws_own_level_is_taken_however_its_record_is_written(home: Path) -> None:
    ident = open_run(record_of(home)).manifest.run_id
    for record in (ident, ident[:9], "net-data/imp-1/seed-0/levels/0", str(record_of(home))):
        typed = Typed(sets=(f"data.subset.record={record}",))
        wanted = Wanted(str(home / "net-data/imp-3/seed-0/ticket"), "1", [0], False, home, typed)
        assert all(job.ready for job in prepare_spend(wanted).jobs), record
