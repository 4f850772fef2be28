"""What is pushed is what lies here, in one commit with its parent, or nothing at all is to be seen."""

from __future__ import annotations

import io
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import hostile_verdicts, samples
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.set import parse_set
from ticketctl.cli.push import _agree
from ticketctl.errors import ArtifactError, HubError, StoppedError, UsageError
from ticketctl.progress import Silent
from ticketctl.stages.pull import pull
from ticketctl.stages.push import Asked, Pushed, push

# the client's own upload of large files uses an argument that its transport has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "ada/first"
MADE = {"README.md", "config.json", ".gitattributes"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A workspace with one draw: its ticket, a control, three runs; and a verdict."""
    root = tmp_path / "runs"
    draw = root / "toy-digits" / "imp-12345678" / "seed-0"
    ticket = samples.ticket(draw / "ticket").manifest.ticket_id
    samples.ticket(
        draw / "controls/shuffled/ticket", with_ladder=False, control={"kind": "shuffled", "of": ticket}
    )
    samples.run(draw / "levels/0", sparse=False)
    samples.run(draw / "levels/3", ticket_id=ticket)
    samples.run(draw / "spends/abcd1234/3-seed-0", ticket_id=ticket)
    hostile_verdicts.sound(root / "verdicts/verdict-x")
    said = {"host": "h", "sessions": [{"command": ["ticketctl", "draw", "--out", str(root)], "seconds": "2"}]}
    (draw / "ticket/provenance.json").write_text(json.dumps(said))
    return root


def pushed(workspace: Path, /, *names: str, to: str | None = REPO, **more: Any) -> Pushed:
    return push(Asked(names, to, **more), workspace)


def local(folder: Path) -> dict[str, bytes]:
    """The files that a manifest lists, and the manifest."""
    (name,) = [one for one in ("ticket.json", "run.json") if (folder / one).is_file()]
    listed = [one["path"] for one in json.loads((folder / name).read_text())["files"]]
    return {path: (folder / path).read_bytes() for path in (name, *listed)}


def test_a_ticket_goes_in_one_commit_with_its_files_and_a_tag(hub: FakeHub, runs: Path) -> None:
    done = pushed(runs)
    repo = hub.repos[REPO]
    there, here = repo.files, local(runs / "toy-digits/imp-12345678/seed-0/ticket")
    assert {path: there[path] for path in here} == here
    figure = {"accuracy-sparsity.png"} & {*there}  # the ticket tells no test accuracy
    assert {*there} - {*here} == MADE | {"provenance.json"} | figure
    (ticket,) = [one.id for one in done.preview.parcel.things]
    assert (len(repo.commits), repo.private, done.commit) == (2, True, repo.head.sha)
    assert repo.head.parent is not None
    assert ticket in repo.head.title
    assert repo.tags == {f"v-{ticket[:11]}": repo.head.sha}
    assert len(there["config.json"].splitlines()) == 3
    assert json.loads(there["provenance.json"]) == {
        "command": ["ticketctl", "draw"],
        "seconds": "2",
        "sessions": 1,
        "steps": 96,
    }


def test_without_a_name_it_is_called_after_whose_it_is_and_what(hub: FakeHub, runs: Path) -> None:
    done = pushed(runs, to=None)
    ticket = done.preview.parcel.things[0].id
    assert [*hub.repos] == [f"ada/toy-digits-imp-{ticket[:8]}"]


def test_the_same_again_does_nothing(hub: FakeHub, runs: Path) -> None:
    first, before = pushed(runs), len(hub.requests)
    again = pushed(runs)
    assert (again.changed, again.commit) == (False, first.commit)
    assert len(hub.repos[REPO].commits) == 2
    assert not [
        one for one in hub.requests[before:] if one.method in ("PUT", "DELETE") or "/commit/" in one.path
    ]


def test_a_draw_with_its_runs_is_a_set_and_what_is_gone_is_removed(
    hub: FakeHub, runs: Path, tmp_path: Path
) -> None:
    pushed(runs, "toy-digits/imp-12345678/seed-0", runs=True)
    repo = hub.repos[REPO]
    entries = parse_set(repo.files["set.json"], where="there").entries
    assert [one.path for one in entries] == [
        "", "controls/shuffled", "levels/0", "levels/3", "spends/abcd1234/3-seed-0",
    ]  # fmt: skip
    assert list(repo.tags) == [f"s-{json.loads(repo.files['set.json'])['manifest_digest'][7:19]}"]
    notes = {**repo.files}
    hub.put(REPO, {"notes.txt": b"by hand"})
    pushed(runs)
    left = {*repo.files}
    assert {"set.json", "levels/3/run.json"} & left == set()
    assert "notes.txt" in left
    assert {*notes} - left == {
        path for path in notes if path.startswith(("controls/", "levels/", "spends/", "set.json"))
    }
    assert len(repo.commits) == 4


def test_things_of_several_draws_and_a_verdict_lie_in_groups(
    hub: FakeHub, runs: Path, tmp_path: Path
) -> None:
    other = runs / "toy-digits/imp-12345678/seed-1/ticket"
    samples.ticket(other, level=2)
    seed = "toy-digits/imp-12345678/seed-0"
    samples.run(runs / seed / "controls/shuffled/spends/abcd1234/3-seed-0")
    control = [f"{seed}/controls/shuffled", f"{seed}/controls/shuffled/spends/abcd1234/3-seed-0"]
    names = [seed, "toy-digits/imp-12345678/seed-1", "verdicts/verdict-x", *control]
    done = pushed(runs, *names, runs=False)
    paths = [one.path for one in done.preview.parcel.things]
    assert sorted(paths) == paths
    assert [path.partition("/")[2] for path in paths if "controls" in path] == [
        "controls/shuffled", "controls/shuffled/spends/abcd1234/3-seed-0",
    ]  # fmt: skip
    assert len({path.partition("/")[0] for path in paths}) == 3
    got = pull(REPO, tmp_path / "w")
    assert sorted(one.id for one in got.things) == sorted(one.id for one in done.preview.parcel.things)


@pytest.mark.long
@pytest.mark.parametrize(
    "names", [(), ("levels/3",), ("SEED", "--runs"), ("SEED/controls/shuffled",), ("verdicts/verdict-x",)]
)
def test_what_was_pushed_can_be_pulled(
    hub: FakeHub, runs: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    seed = "toy-digits/imp-12345678/seed-0"
    typed = [name.replace("SEED", seed) for name in names if name != "--runs"]
    typed = [f"{seed}/{name}" if name.startswith("levels") else name for name in typed]
    done = pushed(runs, *typed, runs="--runs" in names)
    got = pull(REPO, tmp_path / "w", expect=None)
    assert [one.id for one in got.things] == [one.id for one in done.preview.parcel.things]
    for one, there in zip(got.things, done.preview.parcel.things, strict=True):
        if one.kind != "verdict":
            assert local(one.folder) == local(there.folder)


# -- refusals ---------------------------------------------------------------------------------------------------


def test_a_damaged_ticket_is_not_pushed(hub: FakeHub, runs: Path) -> None:
    mask = runs / "toy-digits/imp-12345678/seed-0/ticket/mask.safetensors"
    data = bytearray(mask.read_bytes())
    data[-1] ^= 1
    mask.write_bytes(data)
    with pytest.raises(ArtifactError, match="not pushed, for files failed"):
        pushed(runs)
    assert hub.requests == []


def test_a_draw_that_is_not_done_is_not_pushed(hub: FakeHub, runs: Path) -> None:
    draw = runs / "toy-digits/imp-12345678/seed-0"
    (draw / "intent.json").write_text("{}")
    shutil.rmtree(draw / "ticket")
    with pytest.raises(UsageError, match="not done"):
        pushed(runs, "toy-digits/imp-12345678/seed-0", runs=True)
    assert hub.requests == []


def test_a_secret_is_not_pushed_and_not_shown(hub: FakeHub, runs: Path) -> None:
    secret = "hf_" + "x" * 30
    with pytest.raises(UsageError, match=r"--licence '\(token\)': no id of a licence") as refused:
        pushed(runs, licence=secret)
    with pytest.raises(UsageError, match="--message: holds a token of the Hub"):
        pushed(runs, message=secret)
    assert secret not in str(refused.value)
    assert not [one for one in hub.requests if one.method != "GET"]


@pytest.mark.parametrize(
    "words", [("--to", "ada/first@v1"), ("--to", "nowhere"), ("name", "@2"), ("name", "none"), ("two", "")]
)
def test_what_cannot_be_meant_is_refused(hub: FakeHub, runs: Path, words: tuple[str, str]) -> None:
    kind, text = words
    seed = "toy-digits/imp-12345678/seed-0"
    asked = {
        "--to": Asked((), text),
        "name": Asked((f"{seed}{text}" if text.startswith("@") else text,), REPO),
        "two": Asked((seed, "verdicts/verdict-x", f"{seed}/controls/shuffled", f"{seed}/levels/0"), None),
    }
    with pytest.raises(UsageError):
        push(Asked(("verdicts/verdict-x",), None) if kind == "two" else asked[kind], runs)
    assert not [one for one in hub.requests if one.method != "GET"]


def test_what_others_keep_there_is_left_alone(hub: FakeHub, runs: Path) -> None:
    hub.put(REPO, {"model.safetensors": b"theirs"})
    with pytest.raises(UsageError, match="something else"):
        pushed(runs)
    assert len(hub.repos[REPO].commits) == 2


def test_a_public_repository_takes_nothing_unless_that_is_said(hub: FakeHub, runs: Path) -> None:
    hub.put(REPO, {"README.md": b"mine"}, private=False)
    with pytest.raises(UsageError, match="--public"):
        pushed(runs)
    assert pushed(runs, public=True).changed
    assert pushed(runs, to="ada/second", public=True).preview.public
    assert not hub.repos["ada/second"].private


def test_nothing_leaves_before_it_is_agreed_to(hub: FakeHub, runs: Path) -> None:
    seen = []
    done = push(Asked((), REPO), runs, agree=lambda preview: bool(seen.append(preview)))
    assert (done.agreed, done.commit, len(seen)) == (False, None, 1)
    assert {item.path for item in seen[0].parcel.items} >= {"ticket.json", "README.md"}
    assert [one.method for one in hub.requests if one.method != "GET"] == []
    assert hub.repos == {}


def test_a_dry_run_asks_nobody_where_the_target_is_named(hub: FakeHub, runs: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("HF_TOKEN")
    done = pushed(runs, dry_run=True)
    assert done.commit is None
    with pytest.raises(HubError, match="hf auth login"):
        pushed(runs)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="needs the network"):
        pushed(runs)
    assert hub.requests == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "meant"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_on_a_terminal_all_is_shown_and_then_asked(
    hub: FakeHub, runs: Path, monkeypatch: Any, typed: str, meant: bool
) -> None:
    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", shown)
    agree = partial(_agree, yes=False, silent=False)
    done = push(Asked((), REPO, public=True), runs, agree=agree)
    assert (done.agreed, REPO in hub.repos) == (meant, meant)
    text = shown.getvalue()
    assert "public: everybody sees it" in text
    assert "on the card: tags: method:imp, net:toy, data:digits" in text
    for item in done.preview.parcel.items:
        assert f"{item.size:,}  {item.path}" in text


# -- faults -----------------------------------------------------------------------------------------------------

FAULTS = {
    "403": ("/commit/", "no right to write"),
    "413": ("/commit/", "too large"),
    "500": ("/commit/", "trouble of its own"),
    "bad token": ("/commit/", "does not know the token"),
    "drop": ("/commit/", "broke"),
    "503": ("/info/lfs/", "trouble of its own"),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", FAULTS)
def test_a_repository_that_was_made_for_nothing_is_removed(hub: FakeHub, runs: Path, kind: str) -> None:
    path, said = FAULTS[kind]
    hub.fault(kind, path, method="POST")
    with pytest.raises(HubError, match=said):
        pushed(runs)
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("token", "to"), [(FakeHub.reader, REPO), (FakeHub.stranger, REPO), (FakeHub.token, "bob/x")]
)
def test_who_has_no_right_is_told_so(hub: FakeHub, runs: Path, monkeypatch: Any, token: str, to: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match="no right to write"):
        pushed(runs, to=to)
    assert hub.repos == {}


def test_a_repository_that_was_there_is_as_it_was(hub: FakeHub, runs: Path) -> None:
    pushed(runs)
    before = {**hub.repos[REPO].files}
    hub.fault("500", "/commit/", method="POST")
    with pytest.raises(HubError):
        pushed(runs, "toy-digits/imp-12345678/seed-0", runs=True)
    assert (hub.repos[REPO].files, len(hub.repos[REPO].commits)) == (before, 2)


def test_an_empty_repository_that_cannot_be_removed_is_told(hub: FakeHub, runs: Path) -> None:
    hub.fault("403", "/commit/", method="POST")
    hub.fault("403", "/api/repos/delete")
    with pytest.raises(HubError, match="could not be removed again"):
        pushed(runs)
    assert {*hub.repos[REPO].files} == {".gitattributes"}


def test_a_card_that_the_hub_refuses_is_told(hub: FakeHub, runs: Path) -> None:
    errors = json.dumps(
        {"errors": [{"message": f'"license" must be one of {hub.token}'}], "warnings": []}
    ).encode()
    hub.fault("raw", "/api/validate-yaml", data=b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
              b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(errors), errors))  # fmt: skip
    with pytest.raises(
        UsageError, match=r'refuses the card \("license" must be one of \(token\)\); --licence'
    ):
        pushed(runs, licence="h-research")
    assert hub.repos == {}


def test_what_somebody_put_there_meanwhile_is_never_removed(hub: FakeHub, runs: Path) -> None:
    hub.fault("between", "/commit/", method="POST", times=1, do=lambda: hub.put(REPO, {"theirs.txt": b"x"}))
    hub.fault("403", "/commit/", method="POST")
    with pytest.raises(HubError, match="stays, for somebody has put files there"):
        pushed(runs)
    assert hub.repos[REPO].files["theirs.txt"] == b"x"


def test_who_is_stopped_leaves_nothing(hub: FakeHub, runs: Path) -> None:
    class Stops(Silent):
        def download(self, name: str, done: int, total: int | None) -> None:
            raise StoppedError("stopped", 130)

    with pytest.raises(StoppedError):
        push(Asked((), REPO), runs, reporter=Stops())
    assert hub.repos == {}


def test_a_commit_whose_answer_got_lost_is_a_success(hub: FakeHub, runs: Path) -> None:
    hub.fault("drop", "/commit/", method="POST", after=1)
    done = pushed(runs)
    assert done.commit == hub.repos[REPO].head.sha
    assert hub.repos[REPO].tags


def test_who_comes_between_is_read_anew_once(hub: FakeHub, runs: Path) -> None:
    pushed(runs)
    hub.fault("between", "/commit/", method="POST", times=1, do=lambda: hub.put(REPO, {"x.txt": b"x"}))
    done = pushed(runs, "toy-digits/imp-12345678/seed-0", runs=True)
    repo = hub.repos[REPO]
    assert (len(repo.commits), done.commit) == (4, repo.head.sha)
    assert {"x.txt", "set.json"} <= {*repo.files}
    hub.fault("stale", "/commit/", method="POST")
    with pytest.raises(HubError, match="somebody else changed it"):
        pushed(runs)
    assert len(repo.commits) == 4


def test_a_tag_that_was_not_set_is_set_by_the_next_push(hub: FakeHub, runs: Path) -> None:
    hub.fault("500", "/tag/", times=1)
    with pytest.raises(HubError, match="whole, but its tag"):
        pushed(runs)
    assert hub.repos[REPO].tags == {}
    assert not pushed(runs).changed
    assert len(hub.repos[REPO].tags) == 1


def test_what_was_pulled_is_pushed_on_as_it_is(hub: FakeHub, runs: Path, tmp_path: Path) -> None:
    pushed(runs, "toy-digits/imp-12345678/seed-0", runs=True)
    pull(REPO, tmp_path / "w")
    (ticket,) = (tmp_path / "w").glob("hub/*/*/ticket")
    pushed(tmp_path / "w", str(ticket.parent), runs=True, to="ada/second")
    first, second = (hub.repos[name].files for name in (REPO, "ada/second"))
    assert {path for path in first if first[path] != second.get(path)} == {
        "README.md"
    }  # it names the repository
    assert {*first} == {*second}
