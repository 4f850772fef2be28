"""One draw has one folder, however its forgetting record is spelled; and a draw's folder is no run."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.data import load
from ticketctl.errors import MismatchError, UsageError
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import DataSpec, NoiseSpec
from ticketctl.stages.finished import finished_draw
from ticketctl.stages.identity import check_data
from ticketctl.stages.intent import read_intent
from ticketctl.stages.places import run_at, with_ids
from ticketctl.stages.request import run_folder

PICK = ("data.subset.pick=most-forgotten", "data.subset.fraction=0.2", "draw.rounds=1", "train.epochs=1")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw whose dense run is a record, in a workspace."""
    folder = tmp_path_factory.mktemp("identity") / "runs" / "net-data" / "imp-1" / "seed-0"
    tiny.draw(folder, "train.epochs=2", "train.lr=0.5", "draw.rounds=0")
    return folder


@pytest.fixture
def workspace(counted: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own, with that draw."""
    shutil.copytree(counted, tmp_path / "runs" / "net-data" / "imp-1" / "seed-0")
    return tmp_path / "runs"


def record_in(workspace: Path) -> Path:
    return workspace / "net-data/imp-1/seed-0/levels/0"


def asking(workspace: Path, record: str | Path, *sets: str) -> Recipe:
    return with_ids(tiny.recipe(*PICK, f"data.subset.record={record}", *sets), workspace)


def drawn(recipe: Recipe, workspace: Path) -> Path:
    """The folder of the draw, drawn."""
    folder = run_folder(recipe, 0, None, workspace)
    around = tiny.around(workspace.parent / "cache")
    tiny.run_draw(recipe, 0, folder, type(around)(**{**around.__dict__, "workspace": workspace}))
    return folder


def test_every_spelling_of_a_record_is_one_draw(workspace: Path) -> None:
    place = record_in(workspace)
    run_id = open_run(place).manifest.run_id
    spelled = [str(place), f"{place}/", "net-data/imp-1/seed-0/levels/0", run_id, run_id[:9]]
    recipes = [asking(workspace, name) for name in spelled]
    folder = drawn(recipes[0], workspace)
    for name, recipe in zip(spelled, recipes, strict=True):
        assert run_folder(recipe, 0, None, workspace) == folder, name
        assert finished_draw(recipe, 0, folder) is not None, name


def test_a_draw_by_another_record_or_share_is_another(workspace: Path) -> None:
    recipe = asking(workspace, record_in(workspace))
    folder = drawn(recipe, workspace)
    other = asking(workspace, record_in(workspace), "data.subset.fraction=0.3")
    assert run_folder(other, 0, None, workspace) != folder
    assert run_folder(recipe, 1, None, workspace) != folder
    with pytest.raises(MismatchError, match=r"recipe\.data\.subset\.record was \['rn1\w+'\], is \['/gone'\]"):
        finished_draw(asking(workspace, "/gone"), 0, folder)


def test_a_draw_begun_under_one_spelling_goes_on_under_another(workspace: Path) -> None:
    recipe = asking(workspace, record_in(workspace))
    folder = drawn(recipe, workspace)
    shutil.rmtree(folder / "ticket")
    again = asking(workspace, open_run(record_in(workspace)).manifest.run_id)
    assert drawn(again, workspace) == folder
    assert (folder / "ticket" / "ticket.json").is_file()
    assert str(record_in(workspace)) in str(read_intent(folder))


def test_a_folder_named_by_an_older_version_is_found(workspace: Path) -> None:
    """Its hash is over the record as it was typed."""
    recipe = asking(workspace, record_in(workspace))
    old = workspace / "lenet-300-100-digits" / f"imp-{recipe.fingerprint}" / "seed-0"
    drawn(recipe, workspace).parent.rename(old.parent)
    run_id = open_run(record_in(workspace)).manifest.run_id
    for record in (record_in(workspace), run_id):
        assert run_folder(asking(workspace, record), 0, None, workspace) == old
    assert run_folder(asking(workspace, run_id, "train.lr=0.2"), 0, None, workspace) != old


def test_a_finished_draw_is_found_where_its_record_was_moved(workspace: Path) -> None:
    folder = drawn(asking(workspace, record_in(workspace)), workspace)
    moved = workspace.parent / "moved"
    record_in(workspace).rename(moved)
    recipe = asking(workspace, moved)
    assert run_folder(recipe, 0, None, workspace) == folder
    assert finished_draw(recipe, 0, folder) is not None


def test_without_a_record_the_folder_is_named_as_ever(tmp_path: Path) -> None:
    for sets in ((), ("data.subset.fraction=0.2",), ("tweaks.kd.teacher=x",)):
        recipe = tiny.recipe(*sets)
        above = tmp_path / "lenet-300-100-digits"
        assert run_folder(recipe, 3, None, tmp_path) == above / f"imp-{recipe.fingerprint}" / "seed-3"
    assert tiny.recipe().fingerprint == "c933583b"


# -------------------------------------------------------------------------------------------- folders of a draw


@pytest.mark.parametrize("inside", ["seed-0", "seed-0/ticket", "seed-0/levels", ""])
def test_a_draws_folder_is_refused_with_the_name_of_its_dense_run(counted: Path, inside: str) -> None:
    dense = "net-data/imp-1/seed-0/levels/0"
    for name, right in (
        (counted.parent / inside, counted / "levels" / "0"),
        (f"net-data/imp-1/{inside}", dense),
    ):
        with pytest.raises(UsageError, match="which holds several runs; the dense one is") as refused:
            run_at(str(name), "data.subset.record", counted.parents[2])
        assert str(refused.value).endswith(f"--set data.subset.record={right}")
        assert run_at(str(right), "data.subset.record", counted.parents[2]) == counted / "levels/0"


def test_of_a_draw_without_a_dense_run_another_is_named(counted: Path, tmp_path: Path) -> None:
    shutil.copytree(counted / "levels" / "0", tmp_path / "snip" / "levels" / "1")
    with pytest.raises(
        UsageError, match=r"snip/levels/1; name one, as --set data\.drop\.record=snip/levels/1$"
    ):
        run_at("snip", "data.drop.record", tmp_path)


# ------------------------------------------------------------------------------------------------- data looked at again


def test_a_folder_of_data_is_looked_at_once_for_all_draws_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until something is refused: that is looked at anew, and so may have been put right meanwhile."""
    there, looks = ["sha256:one"], []
    (tmp_path / "pictures").mkdir()
    monkeypatch.setattr(load, "fingerprint_here", lambda name, **how: looks.append(name) or there[0])
    spec = DataSpec(name=f"imagefolder:{tmp_path / 'pictures'}")
    for number in range(1, 41):
        noise = NoiseSpec(kind="asymmetric", rate=Fraction(1, number), map={"0": "1"})
        check_data(tmp_path / f"seed-{number}", "sha256:one", spec.model_copy(update={"noise": noise}))
    assert len(looks) == 1, "whatever their labels"
    for _ in range(2):
        with pytest.raises(MismatchError, match=r"seed-41: begun on other data .*was two, is one"):
            check_data(tmp_path / "seed-41", "sha256:two", spec)
    there[0] = "sha256:two"
    check_data(tmp_path / "seed-41", "sha256:two", spec)
    (tmp_path / "pictures").rename(tmp_path / "old")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(MismatchError, match="was one, is two"):
        check_data(tmp_path / "seed-0", "sha256:one", spec)
