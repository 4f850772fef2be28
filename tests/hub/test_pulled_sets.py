"""A set that was pulled is verified whole, thing by thing, and each thing of it can be told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import hostile_verdicts, samples
from tests.cli.conftest import Answer, ask
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.set import SetEntry, encode_set
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.store.documents import parse_json

REPO = "lab/set"
FILES = {"ticket": "ticket.json", "run": "run.json", "verdict": "verdict.json"}
IDS = {"ticket": "ticket_id", "run": "run_id", "verdict": "verdict_id"}
PLACES = {"levels/0", "levels/3", "spends/12ab/3-seed-1"}


def held(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A ticket, its three runs and a verdict, as they are pushed."""
    root = tmp_path_factory.mktemp("made")
    name = samples.ticket(root / "ticket").manifest.ticket_id
    samples.run(root / "levels/0", sparse=False, ticket_id=name)
    samples.run(root / "levels/3", ticket_id=name)
    samples.run(root / "spends/12ab/3-seed-1", ticket_id=name)
    hostile_verdicts.sound(root / "verdict")
    told = parse_json((root / "verdict" / "verdict.json").read_bytes(), where="verdict")
    places: dict[str, tuple[Any, Path]] = {
        "": ("ticket", root / "ticket"),
        **{place: ("run", root / place) for place in PLACES},
    }
    places[f"verdicts/verdict-{told['verdict_id']}"] = ("verdict", root / "verdict")
    found, entries = dict[str, bytes](), []
    for place, (kind, folder) in sorted(places.items()):
        manifest = parse_json((folder / FILES[kind]).read_bytes(), where=place)
        entries.append(
            SetEntry(
                path=place, kind=kind, id=manifest[IDS[kind]], manifest_digest=manifest["manifest_digest"]
            )
        )
        found |= {f"{place}/{path}".lstrip("/"): data for path, data in held(folder).items()}
    return {**found, "set.json": encode_set(entries)}


@pytest.fixture
def hub(desk: FakeHub, files: dict[str, bytes]) -> FakeHub:
    desk.put(REPO, files | {"notes.txt": b"mine"})
    return desk


def pulled(home: Path, *words: str) -> tuple[Path, Answer]:
    """The draw folder, as it is typed in `home`, and what pull said."""
    answer = ask(home, "pull", REPO, *words)
    assert answer.code == 0, answer.err
    (origin,) = home.glob("runs/hub/*/*/origin.json")
    return origin.parent.relative_to(home), answer


def test_a_set_on_the_hub_is_verified_thing_by_thing(hub: FakeHub, tmp_path: Path) -> None:
    answer = ask(tmp_path, "verify", f"hf://{REPO}")
    assert answer.code == 0, answer.err
    *lines, last = answer.out.splitlines()
    assert last == "5 things: all sound"
    assert sorted(line.split()[0] for line in lines) == ["run", "run", "run", "ticket", "verdict"]
    assert all(": sound" in line for line in lines)
    result = ask(tmp_path, "verify", f"hf://{REPO}", "--deep", "--json").json["result"]
    assert [one["sound"] for one in result] == [True] * 5
    assert all("chain" in [check["name"] for check in one["checks"]] for one in result)


@pytest.mark.parametrize("what", ["levels/3/final.safetensors", "spends/12ab/3-seed-1/run.json"])
def test_one_spoilt_thing_of_a_pulled_folder_is_found(hub: FakeHub, tmp_path: Path, what: str) -> None:
    folder, _ = pulled(tmp_path)
    (tmp_path / folder / what).unlink()
    place = (folder / what).parent.as_posix()
    answer = ask(tmp_path, "verify", str(folder))
    assert answer.code == 3
    assert f"run {place}: not sound" in answer.out
    assert "FAILED" in answer.out
    assert answer.out.splitlines()[-1] == "5 things: 1 not sound"
    assert "1 of 5 things are not sound" in answer.complaint
    assert place in answer.complaint
    told = ask(tmp_path, "verify", str(folder), "--json").json
    assert [one["folder"] for one in told["result"] if not one["sound"]] == [place]
    assert ask(tmp_path, "verify", f"{folder}/ticket").code == 0


def test_what_was_made_beside_a_pull_is_verified_with_it(hub: FakeHub, tmp_path: Path) -> None:
    folder, _ = pulled(tmp_path)
    samples.run(tmp_path / folder / "spends" / "own" / "3-seed-9")
    assert ask(tmp_path, "verify", str(folder)).out.splitlines()[-1] == "6 things: all sound"


def test_a_folder_that_does_not_say_what_came_is_not_taken_for_sound(hub: FakeHub, tmp_path: Path) -> None:
    folder, _ = pulled(tmp_path)
    note = tmp_path / folder / "origin.json"
    nothing = {**json.loads(note.read_text()), "things": []}
    for said in ({}, nothing):
        note.write_text(json.dumps(said))
        assert ask(tmp_path, "verify", str(folder)).code == 3


def test_several_names_are_verified_one_after_another(hub: FakeHub, tmp_path: Path) -> None:
    folder, _ = pulled(tmp_path)
    two = [f"{folder}/ticket", f"{folder}/levels/0"]
    assert [one["kind"] for one in ask(tmp_path, "verify", *two, "--json").json["result"]] == [
        "ticket",
        "run",
    ]
    assert ask(tmp_path, "verify", *two, two[0]).out.splitlines()[-1] == "2 things: all sound"
    answer = ask(tmp_path, "verify", *two, "nothing")
    assert (answer.code, answer.out) == (2, "")
    assert ask(tmp_path, "verify", two[0], f"{folder}/levels/0/final.safetensors", "--deep").code == 2


def test_what_was_left_by_wish_is_counted_and_the_rest_is_named(
    hub: FakeHub, tmp_path: Path, files: dict[str, bytes]
) -> None:
    _, answer = pulled(tmp_path, "--only", "ticket")
    left = [line for line in answer.out.splitlines() if line.startswith("not fetched")]
    count = sum(path.startswith(("levels", "spends", "verdicts")) for path in files)
    assert left == [
        f"not fetched: {count} files of runs and verdicts, as --only ticket asks",
        "not fetched: notes.txt",
    ]
    told = ask(tmp_path, "pull", REPO, "--only", "ticket", "--dry-run", "--json").json["result"]
    assert told["left_out"] == count


def test_the_id_of_a_level_is_told_from_that_of_its_ticket(hub: FakeHub, tmp_path: Path) -> None:
    folder, _ = pulled(tmp_path)
    own = open_ticket(tmp_path / folder / "ticket").manifest.ticket_id
    asked = ask(tmp_path, "inspect", str(folder), "--level", "2", "--json").json["result"]["asked"]
    answer = ask(tmp_path, "pull", REPO, "--expect", asked["ticket_id"])
    assert answer.code == 3
    assert f"which is level 2 of {own}; --expect takes a ticket's own id" in answer.complaint
    (there := tmp_path / "there").mkdir()
    answer = ask(there, "pull", REPO, "--expect", asked["ticket_id"])
    assert (answer.code, "--expect takes a ticket's own id" in answer.complaint) == (3, True)
    assert ask(there, "pull", REPO, "--expect", own).code == 0


@pytest.mark.long
def test_diff_takes_a_level_of_each_side(hub: FakeHub, tmp_path: Path) -> None:
    name = f"hf://{REPO}"
    folder, _ = pulled(tmp_path)
    kept = open_ticket(tmp_path / folder / "ticket").kept_by_level()
    for typed, first, second in (("1,3", 1, 3), ("2", 2, 2), ("3, 0", 3, 0)):
        total = ask(tmp_path, "diff", name, name, "--level", typed, "--json").json["result"]["layers"][-1]
        assert (total["first"], total["second"]) == (kept[first], kept[second])
    for typed in ("1,2,3", "1,", ",", "x,1"):
        assert ask(tmp_path, "diff", name, name, "--level", typed).code == 2


def test_a_revision_that_looks_like_a_level_or_a_short_commit_says_what_is_right(
    hub: FakeHub, tmp_path: Path
) -> None:
    for revision, right in {
        "2": "use --level 2",
        "0.9": "use --level 0.9",
        "7e54571": "all 40 digits of a commit",
        "nowhere": "commit 'nowhere'",
    }.items():
        answer = ask(tmp_path, "inspect", f"hf://{REPO}@{revision}")
        assert answer.code == 9
        assert answer.complaint.endswith(right), answer.complaint


def test_the_json_of_one_thing_stays_an_object(hub: FakeHub, tmp_path: Path) -> None:
    folder, _ = pulled(tmp_path)
    assert json.loads(ask(tmp_path, "verify", f"{folder}/levels/0", "--json").out)["result"]["kind"] == "run"
