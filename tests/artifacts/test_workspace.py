from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.artifacts import samples
from ticketctl.artifacts import workspace
from ticketctl.artifacts.workspace import copies, folder_of, resolve, resolve_run, runs, tickets
from ticketctl.errors import ArtifactError, UsageError

ONE, TWO = "toy-digits/imp-aaaa0001/seed-0", "toy-digits/imp-aaaa0001/seed-1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two draws (the second newer and of other weights), a control newer than both, a level and a spend."""
    root = tmp_path / "runs"
    samples.ticket(root / ONE / "ticket")
    samples.ticket(root / TWO / "ticket", level=1)
    samples.ticket(root / TWO / "controls/shuffled/ticket", level=2)
    samples.run(root / TWO / "levels/3")
    samples.run(root / TWO / "spends/abc/3-seed-0", seeds={"root": 5})
    for age, path in enumerate(["controls/shuffled/ticket", "ticket"]):
        os.utime(root / TWO / path / "ticket.json", (1000 - age, 1000 - age))
    os.utime(root / ONE / "ticket" / "ticket.json", (10, 10))
    os.utime(root / TWO / "levels/3/run.json", (10, 10))
    return root


def place(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix()


def test_lists_the_newest_first(root: Path) -> None:
    listed = [place(folder, root) for folder, _ in tickets(root)]
    assert listed == [f"{TWO}/controls/shuffled/ticket", f"{TWO}/ticket", f"{ONE}/ticket"]
    assert [place(folder, root) for folder, _ in runs(root)] == [
        f"{TWO}/spends/abc/3-seed-0",
        f"{TWO}/levels/3",
    ]


def test_equal_times_are_told_apart_by_path(root: Path) -> None:
    for folder, _ in tickets(root):
        os.utime(folder / "ticket.json", (10, 10))
    assert place(tickets(root)[0][0], root) == f"{ONE}/ticket"


def test_damaged_ones_are_left_out_of_the_list_but_not_taken_for_older_ones(root: Path) -> None:
    (root / TWO / "ticket" / "mask.safetensors").unlink()
    assert f"{TWO}/ticket" not in [place(folder, root) for folder, _ in tickets(root)]
    with pytest.raises(ArtifactError):
        resolve(None, root)


def test_nothing_named_is_the_newest_draw_and_no_control(root: Path) -> None:
    ticket, level = resolve(None, root)
    assert (place(ticket.folder, root), level) == (f"{TWO}/ticket", None)


@pytest.mark.parametrize("spec", [ONE, f"{ONE}/ticket", f"{ONE}/ticket/ticket.json"])
def test_names_below_the_root_and_paths(root: Path, spec: str) -> None:
    for given in (spec, str(root / spec)):
        assert place(resolve(given, root)[0].folder, root) == f"{ONE}/ticket"


def test_beginnings_of_ids(root: Path) -> None:
    name = tickets(root)[-1][1].ticket_id
    assert place(resolve(name[:12], root)[0].folder, root) == f"{ONE}/ticket"
    assert resolve(f"{name}@2", root)[1] == 2
    with pytest.raises(UsageError, match="no ticket 'tk1zzz"):
        resolve("tk1zzzzzz", root)


@pytest.mark.parametrize(
    ("suffix", "level"), [("@0", 0), ("@2", 2), ("@0.0", 0), ("@.186", 1), ("@0.4579", 2)]
)
def test_levels_and_sparsities(root: Path, suffix: str, level: int) -> None:
    assert resolve(ONE + suffix, root)[1] == level
    assert samples.ladder().kept == (107, 87, 58, 34)


def test_levels_that_are_not_there_are_listed(root: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no level 9; there is 0 \(sparsity 0\.0000\), 1 \(sparsity 0\.1869\)"
    ):
        resolve(f"{ONE}@9", root)
    with pytest.raises(UsageError, match=r"no level at sparsity 0\.3; there is 0"):
        resolve(f"{ONE}@0.3", root)


def test_near_misses(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{ONE}'"):
        resolve(ONE.replace("imp", "imq"), root)
    with pytest.raises(UsageError, match="ticketctl draw"):
        resolve(None, tmp_path / "empty")
    with pytest.raises(UsageError, match="did you mean"):
        resolve_run(f"{TWO}/levels/4", root)


def test_runs_by_path_and_by_id(root: Path) -> None:
    wanted = root / TWO / "levels/3"
    manifest = dict(runs(root))[wanted]
    assert resolve_run(f"{TWO}/levels/3", root).folder == wanted
    assert resolve_run(str(wanted), root).folder == wanted
    assert resolve_run(manifest.run_id[:14], root).folder == wanted
    assert place(resolve_run(None, root).folder, root) == f"{TWO}/spends/abc/3-seed-0"


def test_folders_are_found_without_being_opened(root: Path) -> None:
    (root / TWO / "ticket" / "mask.safetensors").unlink()
    assert folder_of(None, root) == (root / TWO / "ticket", "ticket")
    assert folder_of(f"{TWO}/controls/shuffled", root) == (root / TWO / "controls/shuffled/ticket", "ticket")
    assert folder_of(f"{TWO}/levels/3", root) == (root / TWO / "levels/3", "run")
    with pytest.raises(UsageError, match="did you mean"):
        folder_of(f"{TWO}/levels/4", root)


def test_a_beginning_that_two_ids_share_names_both_with_their_places(tmp_path: Path) -> None:
    known = [
        (tmp_path / "a/b/seed-0/ticket", "tk1" + "a" * 12 + "b" * 17),
        (tmp_path / "c/ticket", "tk1" + "a" * 29),
    ]
    with pytest.raises(UsageError) as refused:
        workspace._by_id("tk1aaa", known, tmp_path)
    assert str(refused.value) == (
        "tk1aaa is the beginning of tk1aaaaaaaaaaaaa (c), tk1aaaaaaaaaaaab (a/b/seed-0); give more of it"
    )


@pytest.mark.parametrize("length", [3, 4, 5])
def test_too_short_a_beginning_says_how_much_is_wanted_and_what_there_is(root: Path, length: int) -> None:
    run, ticket = dict(runs(root))[root / TWO / "levels/3"].run_id, tickets(root)[-1][1].ticket_id
    with pytest.raises(UsageError, match=rf"at least 6 signs; so begins .*{ticket[:11]} \({ONE}\)"):
        resolve(f"{ticket[:length]}@2", root)
    with pytest.raises(UsageError, match=rf"at least 6 signs; so begins .*{run[:11]} \({TWO}/levels/3\)"):
        resolve_run(run[:length], root)
    with pytest.raises(UsageError, match="so begins none here"):
        resolve("tk1z", root)
    assert resolve(ticket[:6], root)[0].manifest.ticket_id == ticket


def test_a_run_is_no_ticket_and_its_ticket_is_named(root: Path) -> None:
    for place, level in (("levels/3", 3), ("spends/abc/3-seed-0", 3)):
        manifest = dict(runs(root))[root / TWO / place]
        for spec in (f"{TWO}/{place}", str(root / TWO / place), manifest.run_id, manifest.run_id[:8]):
            with pytest.raises(UsageError, match=rf"is a run, not a ticket; its ticket is {TWO}@{level}$"):
                resolve(spec, root)
    samples.run(root / "elsewhere")
    with pytest.raises(UsageError, match="is a run, not a ticket; its ticket does not lie beside it"):
        resolve("elsewhere", root)


def test_of_folders_that_hold_one_ticket_the_newest_is_taken_and_all_are_known(root: Path) -> None:
    (name,) = [found.ticket_id for path, found in tickets(root) if path == root / ONE / "ticket"]
    shutil.copytree(root / ONE, root / "toy-digits/copy/seed-0")
    assert [place(folder, root) for folder in copies(f"{name[:8]}@2", root)] == [
        "toy-digits/copy/seed-0/ticket",
        f"{ONE}/ticket",
    ]
    assert place(resolve(name, root)[0].folder, root) == "toy-digits/copy/seed-0/ticket"
    assert copies(ONE, root) == []
    shutil.rmtree(root / "toy-digits/copy")
    samples.ticket(root / "toy-digits/copy/seed-0/ticket", citation="another")
    assert place(resolve(name, root)[0].folder, root) == "toy-digits/copy/seed-0/ticket"
    assert len(copies(name, root)) == 2


def test_a_part_of_several_names_lists_them_with_their_ids(root: Path) -> None:
    ids = {
        place(folder, root).removesuffix("/ticket"): found.ticket_id[:11] for folder, found in tickets(root)
    }
    with pytest.raises(UsageError) as refused:
        resolve("imp-aaaa0001", root)
    which = ", ".join(f"{ids[name]} ({name})" for name in sorted(ids))
    assert str(refused.value).startswith(f"imp-aaaa0001 is a part of the names of several: {which}; give")
    with pytest.raises(UsageError, match=f"did you mean '{TWO}/controls/shuffled'"):
        resolve("controls/shuffled", root)
