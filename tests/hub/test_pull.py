"""What is pulled is what was pushed, whole or not at all: names, files, ids, and what is left after a fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.artifacts import hostile_verdicts, samples
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.set import SetEntry, encode_set
from ticketctl.artifacts.signature import MAX_SIGNATURE, SIGNATURE
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verdict import open_verdict
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.artifacts.workspace import resolve, runs, tickets
from ticketctl.errors import ArtifactError, HubError, LockedError, ResourceError, StoppedError, UsageError
from ticketctl.hub import fetch
from ticketctl.progress import Silent
from ticketctl.stages import arrival
from ticketctl.stages.origin import ORIGIN
from ticketctl.stages.pull import pull
from ticketctl.store.locks import locked

REPO = "ada/first"
OTHERS = {
    "README.md": b"# First\n",
    "config.json": b"{}",
    "old.pt": b"\x80\x02.",
    "run_me.py": b"1/0",
    "x/y.txt": b"",
}


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def seen(workspace: Path) -> set[str]:
    """What a user sees in a workspace: hidden files and folders are ours."""
    found = {path.relative_to(workspace) for path in workspace.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A ticket, a control, runs of them, a verdict, each in a folder."""
    root = tmp_path_factory.mktemp("made")
    ticket = samples.ticket(root / "ticket").manifest.ticket_id
    samples.ticket(root / "control", with_ladder=False, control={"kind": "shuffled", "of": ticket})
    samples.run(root / "run", ticket_id=ticket)
    samples.run(root / "dense", sparse=False, ticket_id=ticket)
    hostile_verdicts.sound(root / "verdict")
    (root / "ticket" / "provenance.json").write_text('{"argv": ["draw"]}')
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def hub(desk: FakeHub, made: dict[str, Path]) -> Iterator[FakeHub]:
    """A Hub with the ticket, and files beside it that nobody listed."""
    desk.put(REPO, read(made["ticket"]) | OTHERS, tag="v1")
    return desk


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def refused(kind: type[Exception], act: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(("size", "comes"), [(2 << 20, True), (MAX_SIGNATURE + 1, False)])
def test_a_signature_comes_along_if_it_is_no_larger_than_one_that_is_checked(
    hub: FakeHub, tmp_path: Path, size: int, comes: bool
) -> None:
    hub.put(REPO, {SIGNATURE: b" " * size})
    assert (pull(REPO, tmp_path).folders[0] / SIGNATURE).exists() is comes


def test_a_pulled_ticket_is_the_one_that_was_pushed(
    hub: FakeHub, workspace: Path, made: dict[str, Path]
) -> None:
    done = pull(f"hf://{REPO}@v1", workspace)
    commit = hub.repos[REPO].head.sha
    folder = workspace / "hub" / "ada--first" / commit[:12] / "ticket"
    assert [one.folder for one in done.things] == [folder]
    assert read(folder) == read(made["ticket"])
    assert done.things[0].id == open_ticket(made["ticket"]).manifest.ticket_id
    assert all(check.ok for check in verify_ticket(folder))
    assert tickets(workspace)[0][0] == folder
    assert resolve(None, workspace)[0].folder == folder
    assert seen(workspace) == {f"hub/ada--first/{commit[:12]}/{name}" for name in (ORIGIN, *(
        f"ticket/{one}" for one in read(made["ticket"])))}  # fmt: skip
    assert not (folder.parents[1] / arrival.WORK).exists()


def test_only_what_the_manifest_lists_is_fetched_and_each_once(hub: FakeHub, workspace: Path) -> None:
    done = pull(REPO, workspace)
    asked = [line.split("/")[-1] for line in hub.asked("GET", "/resolve/")]
    assert sorted(asked) == sorted({*asked})
    assert not {*asked} & {path.rpartition("/")[2] for path in OTHERS}
    assert {*OTHERS} <= {*done.skipped}
    assert hub.leaks() == []
    assert hub.repos[REPO].downloads == 1


def test_the_origin_says_what_was_asked_for_and_which_commit_it_was(hub: FakeHub, workspace: Path) -> None:
    done = pull(f"{REPO}@v1", workspace)
    said = json.loads((done.things[0].draw / ORIGIN).read_text())
    assert (said["repo"], said["requested"], said["resolved"]) == (REPO, "v1", hub.repos[REPO].head.sha)
    assert said["bytes"] == done.bytes == sum(path.stat().st_size for path in done.things[0].folder.iterdir())
    assert hub.token not in json.dumps(said)


def test_what_is_there_is_not_fetched_again(hub: FakeHub, workspace: Path) -> None:
    first = pull(REPO, workspace)
    for name, requests in ((REPO, 1), (f"{REPO}@v1", 1), (str(first.name), 0)):
        before = len(hub.requests)
        again = pull(name, workspace)
        assert again.things == first.things
        assert (again.fetched, len(hub.requests) - before) == (0, requests)
    with hub.offline():
        assert pull(f"{REPO}@v1", workspace, offline=True).things == first.things


def test_offline_and_not_here_is_said_at_once(
    hub: FakeHub, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not here, and offline" in refused(HubError, lambda: pull(REPO, workspace, offline=True))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not here, and offline" in refused(HubError, lambda: pull(REPO, workspace))
    assert hub.requests == []


def test_offline_the_cache_of_the_hubs_own_client_is_read(
    hub: FakeHub, workspace: Path, made: dict[str, Path], tmp_path: Path
) -> None:
    commit = hub.repos[REPO].head.sha
    home = tmp_path / "hf" / "hub" / "models--ada--first"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    blobs, snapshot = home / "blobs", home / "snapshots" / commit
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, (name, data) in enumerate(read(made["ticket"]).items()):
        (blobs / str(number)).write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    done = pull(REPO, workspace, offline=True)
    assert read(done.things[0].folder) == read(made["ticket"])
    assert not any(path.is_symlink() for path in workspace.rglob("*"))
    assert (done.fetched, hub.requests) == (0, [])
    shutil.rmtree(workspace)
    (blobs / "0").write_bytes(b"x" * (blobs / "0").stat().st_size)
    refused(ArtifactError, lambda: pull(REPO, workspace, offline=True))
    (snapshot / "mask.safetensors").unlink()
    assert "not here, and offline" in refused(HubError, lambda: pull(REPO, workspace, offline=True))
    assert seen(workspace) == set()


def test_a_link_out_of_the_cache_is_not_followed(hub: FakeHub, workspace: Path, tmp_path: Path) -> None:
    commit = hub.repos[REPO].head.sha
    snapshot = tmp_path / "hf" / "hub" / "models--ada--first" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (tmp_path / "secret").write_text("{}")
    (snapshot / "ticket.json").symlink_to(tmp_path / "secret")
    assert "leads out" in refused(ArtifactError, lambda: pull(f"{REPO}@{commit}", workspace, offline=True))


def test_another_ticket_than_expected_does_not_come(
    hub: FakeHub, workspace: Path, made: dict[str, Path]
) -> None:
    own, other = open_ticket(made["ticket"]).manifest.ticket_id, "tk1" + "b" * 29
    assert "[E_TICKET_ID]" in refused(ArtifactError, lambda: pull(REPO, workspace, expect=other))
    assert seen(workspace) == set()
    assert hub.asked("GET", "mask") == []
    assert pull(REPO, workspace, expect=own).things[0].id == own
    refused(ArtifactError, lambda: pull(REPO, workspace, expect=other, offline=True))
    refused(UsageError, lambda: pull(REPO, workspace, expect=own[:11]))


@pytest.mark.parametrize("kind", ["wrong", "longer", "shorter"])
def test_other_bytes_than_listed_leave_nothing_behind(hub: FakeHub, workspace: Path, kind: str) -> None:
    hub.fault(kind, "/blob/")
    refused((ArtifactError, HubError), lambda: pull(REPO, workspace))  # type: ignore[arg-type]  # either
    assert seen(workspace) == set()
    hub.mend()
    assert pull(REPO, workspace).fetched > 0


def test_a_pull_that_broke_off_goes_on_where_it_was(hub: FakeHub, workspace: Path) -> None:
    hub.fault("drop", "/blob/", after=100, times=1)
    hub.fault("500", "/blob/", skip=1)
    refused(HubError, lambda: pull(REPO, workspace))
    assert seen(workspace) == set()
    kept = sum(path.stat().st_size for path in workspace.rglob("*.part"))
    assert kept > 0
    hub.mend()
    done = pull(REPO, workspace)
    assert any(one.headers.get("range", "").startswith("bytes=") for one in hub.requests)
    assert done.fetched < done.bytes
    assert all(check.ok for check in verify_ticket(done.things[0].folder))


def test_a_connection_that_breaks_now_and_then_is_taken_up_again(hub: FakeHub, workspace: Path) -> None:
    hub.fault("drop", "/blob/", after=100, times=2)
    assert pull(REPO, workspace).things


def test_whoever_is_stopped_sees_nothing_and_may_go_on(hub: FakeHub, workspace: Path) -> None:
    class Stopping(Silent):
        def download(self, name: str, done: int, total: int | None) -> None:
            if done > 3000:
                raise StoppedError("stopped", 130)

    refused(StoppedError, lambda: pull(REPO, workspace, reporter=Stopping()))
    assert seen(workspace) == set()
    assert list((workspace / "hub" / "ada--first" / arrival.WORK).rglob("*"))
    assert pull(REPO, workspace).things


def test_a_branch_that_moves_meanwhile_gives_one_commit(
    hub: FakeHub, workspace: Path, made: dict[str, Path]
) -> None:
    first = hub.repos[REPO].head.sha
    hub.fault("between", "/tree/", times=1, do=lambda: hub.put(REPO, read(made["dense"]), whole=True))
    done = pull(REPO, workspace)
    assert done.name.revision == first != hub.repos[REPO].head.sha
    assert read(done.things[0].folder) == read(made["ticket"])


def test_a_dry_run_says_what_would_come_and_writes_nothing(hub: FakeHub, workspace: Path) -> None:
    plan = pull(REPO, workspace, dry_run=True)
    assert not workspace.exists()
    done = pull(REPO, workspace)
    assert (plan.things, plan.files, plan.bytes) == (done.things, done.files, done.bytes)


def test_bytes_are_told_as_they_come(hub: FakeHub, workspace: Path) -> None:
    told: list[tuple[int, int | None]] = []

    class Listening(Silent):
        def download(self, name: str, done: int, total: int | None) -> None:
            told.append((done, total))

    done = pull(REPO, workspace, reporter=Listening())
    assert [count for count, _ in told] == sorted(count for count, _ in told)
    assert told[-1] == (done.bytes, done.bytes)


def test_the_way_that_is_left_is_told_in_percent_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr(fetch, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Listening(Silent):
        def download(self, name: str, done: int, total: int | None) -> None:
            told.append(name)

    load = fetch.Load("pulling a/b", 1000, Listening(), began=0.0)
    load.add(100, wire=False)
    now[0] = 20.0
    load.add(400, wire=True)
    load.add(500, wire=True)
    assert told == ["pulling a/b", "pulling a/b (50 %, 25 s left)", "pulling a/b"]


def test_what_was_spoilt_here_is_mended_and_what_was_added_stays(hub: FakeHub, workspace: Path) -> None:
    folder = pull(REPO, workspace).things[0].folder
    (folder / "notes.txt").write_text("mine")
    (folder / "mask.safetensors").write_bytes(b"")
    done = pull(REPO, workspace)
    assert all(check.ok for check in verify_ticket(folder))
    assert done.fetched > 0
    assert (folder / "notes.txt").read_text() == "mine"


def test_two_at_once_do_not_meet(hub: FakeHub, workspace: Path) -> None:
    with locked(workspace / "hub" / "ada--first"):
        refused(LockedError, lambda: pull(REPO, workspace))


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    hub: FakeHub, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    assert "are free" in refused(ResourceError, lambda: pull(REPO, workspace))
    assert hub.asked("GET", "mask") == []


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"README.md": b"x"}, "E_FILE_MISSING"),
        ({"ticket.json": b"{}"}, "E_FORMAT"),
        ({"ticket.json": b" " * (5 << 20)}, "E_MANIFEST"),
        ({"run.json": b"[]"}, "E_MANIFEST"),
        ({"set.json": b"{}"}, "E_FORMAT"),
        ({"ticket.json": b"{}", "run.json": b"{}"}, "E_FILE_MISSING"),
    ],
)
def test_what_is_no_ticket_is_refused_by_name(
    hub: FakeHub, workspace: Path, files: dict[str, bytes], code: str
) -> None:
    hub.put("ada/other", files)
    assert f"[{code}]" in refused(ArtifactError, lambda: pull("ada/other", workspace))
    assert seen(workspace) == set()


def test_a_file_that_the_hub_lists_otherwise_than_the_manifest_is_refused_unfetched(
    hub: FakeHub, workspace: Path
) -> None:
    hub.put(REPO, {"mask.safetensors": b"0123"})
    assert "[E_FILE_DIGEST]" in refused(ArtifactError, lambda: pull(REPO, workspace))
    assert hub.asked("GET", "mask") == []


def test_a_ticket_that_is_whole_and_wrong_takes_no_place(
    hub: FakeHub, workspace: Path, made: dict[str, Path]
) -> None:
    from tests.artifacts.hostile_folders import rewrite

    folder = workspace.parent / "wrong"
    shutil.copytree(made["ticket"], folder)
    rewrite(folder, lambda fields: fields["draw"]["levels"][1].update(kept=3))
    hub.put(REPO, read(folder))
    error = refused(ArtifactError, lambda: pull(REPO, workspace))
    assert f"hf://{REPO}@" in error
    assert str(workspace) not in error
    assert seen(workspace) == set()


def entry(path: str, kind: str, folder: Path) -> SetEntry:
    manifest: Any = {
        "ticket": lambda: open_ticket(folder).manifest,
        "run": lambda: open_run(folder).manifest,
        "verdict": lambda: open_verdict(folder).verdict,
    }[kind]()
    seal = manifest.manifest_digest
    return SetEntry(path=path, kind=kind, id=getattr(manifest, f"{kind}_id"), manifest_digest=seal)  # type: ignore[arg-type]  # one of three words


def whole(made: dict[str, Path], places: dict[str, str], **more: bytes) -> dict[str, bytes]:
    """A set: what is to lie where."""
    kinds = {"ticket": "ticket", "control": "ticket", "run": "run", "dense": "run", "verdict": "verdict"}
    entries = [entry(path, kinds[name], made[name]) for path, name in places.items()]
    files = {
        f"{path}/{name}".lstrip("/"): data
        for path, what in places.items()
        for name, data in read(made[what]).items()
    }
    return {**files, "set.json": encode_set(entries), **more}


ONE = {"": "ticket", "controls/shuffled": "control", "levels/0": "dense", "spends/12ab/2-seed-0": "run",
       "controls/shuffled/spends/12ab/2-seed-0": "run"}  # fmt: skip


def test_a_set_takes_the_places_of_a_draw(hub: FakeHub, workspace: Path, made: dict[str, Path]) -> None:
    verdict = f"verdicts/verdict-{open_verdict(made['verdict']).verdict.verdict_id}"
    hub.put("lab/set", whole(made, {**ONE, verdict: "verdict"}) | OTHERS)
    done = pull("lab/set", workspace)
    draw = done.things[0].draw
    assert done.folders == [draw]
    assert {one.place: one.kind for one in done.things} == {
        "ticket": "ticket", "controls/shuffled/ticket": "ticket", "levels/0": "run", "spends/12ab/2-seed-0": "run",
        "controls/shuffled/spends/12ab/2-seed-0": "run", verdict: "verdict",
    }  # fmt: skip
    assert {folder for folder, _ in tickets(workspace)} == {
        draw / "ticket",
        draw / "controls/shuffled/ticket",
    }
    assert len(runs(workspace)) == 3
    assert all(check.ok for folder, _ in runs(workspace) for check in verify_run(folder))
    assert resolve(None, workspace)[0].folder == draw / "ticket"
    assert {*done.skipped} == {*OTHERS, ".gitattributes"}
    assert pull("lab/set", workspace).fetched == 0


def test_equal_files_of_a_set_travel_once(hub: FakeHub, workspace: Path, made: dict[str, Path]) -> None:
    hub.put("lab/set", whole(made, ONE))
    done = pull("lab/set", workspace)
    assert len(hub.asked("GET", "/blob/")) == len({*hub.asked("GET", "/blob/")})
    assert done.fetched < done.bytes


def test_a_set_of_two_draws_has_two_folders(hub: FakeHub, workspace: Path, made: dict[str, Path]) -> None:
    one, other = "imp-0123abcd-seed-0", "imp-0123abcd-seed-1"
    hub.put("lab/set", whole(made, {one: "ticket", other: "control", f"{other}/levels/2": "run"}))
    done = pull("lab/set", workspace)
    commit = hub.repos["lab/set"].head.sha[:12]
    assert [folder.name for folder in done.folders] == [f"{commit}-{one}", f"{commit}-{other}"]
    assert all((folder / ORIGIN).is_file() for folder in done.folders)
    assert {one.id for one in pull("lab/set", workspace, offline=True).things} == {
        one.id for one in done.things
    }


def test_only_tickets_may_be_asked_for_and_the_rest_later(
    hub: FakeHub, workspace: Path, made: dict[str, Path]
) -> None:
    hub.put("lab/set", whole(made, ONE))
    first = pull("lab/set", workspace, only="ticket")
    assert {one.kind for one in first.things} == {"ticket"}
    assert runs(workspace) == []
    then = pull("lab/set", workspace)
    assert len(then.things) == 5
    assert 0 < then.fetched < then.bytes
    assert {one.kind for one in pull("lab/set", workspace, only="ticket", offline=True).things} == {"ticket"}


def test_a_run_alone_lies_where_runs_are_found(hub: FakeHub, workspace: Path, made: dict[str, Path]) -> None:
    hub.put("lab/run", read(made["run"]))
    done = pull("lab/run", workspace)
    level, seed = (open_run(made["run"]).manifest.level, open_run(made["run"]).manifest.seeds["root"])
    assert done.things[0].place == f"spends/pulled/{level}-seed-{seed}"
    assert [folder for folder, _ in runs(workspace)] == done.folders
    assert "holds no ticket" in refused(UsageError, lambda: pull("lab/run", workspace, only="ticket"))


@pytest.mark.parametrize("change", ["id", "seal", "gone", "place"])
def test_a_set_that_says_otherwise_than_its_things_is_refused(
    hub: FakeHub, workspace: Path, made: dict[str, Path], change: str
) -> None:
    good = whole(made, {"": "ticket", "levels/0": "dense"})
    rows = [entry("", "ticket", made["ticket"]), entry("levels/0", "run", made["dense"])]
    other = {"id": "rn1" + "c" * 29} if change == "id" else {"manifest_digest": f"sha256:{'0' * 64}"}
    rows[1] = rows[1].model_copy(update=other if change in ("id", "seal") else {})
    if change == "place":
        level, seed = open_run(made["run"]).manifest.level, open_run(made["run"]).manifest.seeds["root"]
        pulled = f"spends/pulled/{level}-seed-{seed}"
        good = whole(made, {"": "run", pulled: "run"})
        rows = [entry("", "run", made["run"]), entry(pulled, "run", made["run"])]
    good["set.json"] = encode_set(rows)
    if change == "gone":
        del good["levels/0/run.json"]
    hub.put("lab/set", good)
    code = "E_FILE_MISSING" if change == "gone" else "E_MANIFEST"
    assert f"[{code}]" in refused(ArtifactError, lambda: pull("lab/set", workspace))
    assert seen(workspace) == set()


def test_files_that_the_hub_keeps_as_xet_come_all_the_same(
    hub: FakeHub, workspace: Path, made: dict[str, Path]
) -> None:
    route = f"{hub.url}/api/models/{REPO}/xet-read-token/main"
    link = f'<{route}>; rel="xet-auth"'
    hub.fault("headers", "/resolve/", X_Xet_Hash="a" * 64, X_Xet_Refresh_Route=route, Link=link)
    assert read(pull(REPO, workspace).things[0].folder) == read(made["ticket"])
    assert hub.asked("GET", "xet-read-token") == []
