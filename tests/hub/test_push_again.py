"""A push onto what is there keeps what people wrote on its card, and its licence; licences are those of the Hub."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.artifacts import samples
from tests.cli.conftest import ask
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import HubError, UsageError
from ticketctl.hub.card_there import (
    COUNTED,
    FIGURE,
    counted_for,
    is_made,
    is_ours,
    licence_of,
    sealed_picture,
)
from ticketctl.progress import Silent
from ticketctl.stages.pull import pull
from ticketctl.stages.push import Asked, Pushed, push

# the client's own upload of large files uses an argument that its transport has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "ada/first"
SEED = "toy-digits/imp-12345678/seed-0"


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    ticket = samples.ticket(root / SEED / "ticket").manifest.ticket_id
    samples.run(root / SEED / "levels/3", ticket_id=ticket)
    return root


def pushed(workspace: Path, told: Told | None = None, **more: Any) -> Pushed:
    return push(Asked((SEED,), REPO, **more), workspace, reporter=told)


def trained(runs: Path) -> None:
    """A spend, whose accuracy is drawn on a figure."""
    ticket = open_ticket(runs / SEED / "ticket").manifest.ticket_id
    samples.run(
        runs / SEED / "spends/abcd1234/3-seed-0",
        ticket_id=ticket,
        seeds={"root": 1},
        metrics={"test.accuracy": 0.5},
        training_id="sha256:" + "3" * 64,
    )


def card(hub: FakeHub) -> bytes:
    return hub.repos[REPO].files["README.md"]


def front(hub: FakeHub) -> dict[str, Any]:
    found = yaml.safe_load(card(hub).decode().split("---\n")[1])
    assert isinstance(found, dict)
    return found


# -- cards ------------------------------------------------------------------------------------------------------


def test_a_card_that_was_changed_by_hand_stays_until_it_is_asked_for(hub: FakeHub, runs: Path) -> None:
    pushed(runs)
    ours = card(hub)
    assert is_made(ours)
    mine = ours.replace(b"# A lottery ticket", b"# My ticket", 1)
    hub.put(REPO, {"README.md": mine})
    told = Told()
    again = pushed(runs, told, licence="mit")
    assert (again.changed, card(hub)) == (False, mine)
    (line,) = [one for one in told.lines if "by hand" in one]
    assert "--licence mit is not put there; --card replaces such files" in line
    grown = pushed(runs, runs=True)  # other things change, and the card stays
    assert (grown.changed, card(hub)) == (True, mine)
    assert "set.json" in hub.repos[REPO].files
    assert pushed(runs, card=True).changed
    assert card(hub) == ours


def test_a_card_of_an_earlier_push_is_replaced(hub: FakeHub, runs: Path) -> None:
    pushed(runs)
    first = card(hub)
    pushed(runs, runs=True)
    assert card(hub) != first
    assert is_made(card(hub))


def test_a_card_that_is_changed_during_the_push_stays(hub: FakeHub, runs: Path) -> None:
    pushed(runs)
    hub.fault("between", "/commit/", method="POST", times=1, do=lambda: hub.put(REPO, {"README.md": b"mine"}))
    told = Told()
    pushed(runs, told, runs=True)
    assert card(hub) == b"mine"
    assert "set.json" in hub.repos[REPO].files
    assert [line for line in told.lines if "by hand meanwhile" in line]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "mine"), [(COUNTED, b'{"library_name": "mine"}'), (FIGURE, b"mine"), (FIGURE, b"")]
)
def test_what_else_was_put_there_by_hand_stays_until_it_is_asked_for(
    hub: FakeHub, runs: Path, name: str, mine: bytes
) -> None:
    trained(runs)
    pushed(runs, runs=True)
    ours = hub.repos[REPO].files[name]
    hub.put(REPO, {name: mine})
    told = Told()
    again = pushed(runs, told, runs=True)
    assert (again.changed, hub.repos[REPO].files[name]) == (False, mine)
    assert [line for line in told.lines if f"{name}: written or changed by hand" in line]
    pushed(runs)  # of fewer things, of which there may be no figure
    assert hub.repos[REPO].files[name] == mine
    assert pushed(runs, runs=True, card=True).changed
    assert hub.repos[REPO].files[name] == ours


def test_figure_and_config_of_an_earlier_push_are_replaced_and_removed(hub: FakeHub, runs: Path) -> None:
    trained(runs)
    pushed(runs, runs=True)
    png = hub.repos[REPO].files[FIGURE]
    with Image.open(io.BytesIO(png)) as picture:
        picture.verify()  # its check sums too
    earlier = {COUNTED: counted_for(["older", 'a "net"']), FIGURE: sealed_picture(png[:-12] + png[-12:])}
    assert all(is_ours(path, data) for path, data in earlier.items())
    assert not is_ours(FIGURE, png.replace(b"IDAT", b"IDAt", 1))
    hub.put(REPO, earlier)
    told = Told()
    pushed(runs, told, runs=True)
    assert hub.repos[REPO].files[FIGURE] == png
    pushed(runs)
    assert FIGURE not in hub.repos[REPO].files
    assert not [line for line in told.lines if "by hand" in line]


def test_the_licence_that_json_tells_is_that_of_the_card_that_stays(
    hub: FakeHub, runs: Path, tmp_path: Path
) -> None:
    hub.put(REPO, {"README.md": b"---\nlicense: cc-by-4.0\n---\nwords\n"})
    command = ("push", "--to", REPO, "--yes", "--json", "--licence", "mit")
    said = json.loads(ask(tmp_path, *command).out)["result"]
    assert (said["licence"], said["claims"]) == ("cc-by-4.0", [])
    said = json.loads(ask(tmp_path, *command, "--card").out)["result"]
    assert (said["licence"], "licence: mit" in said["claims"]) == ("mit", True)


def test_the_command_says_that_a_card_stays(hub: FakeHub, runs: Path, tmp_path: Path) -> None:
    hub.put(REPO, {"README.md": b"words\n"})
    answer = ask(tmp_path, "push", "--to", REPO, "--yes", "--json")
    assert answer.code == 0, answer.err
    assert "README.md: written or changed by hand" in answer.err
    assert json.loads(answer.out)["result"]["kept"] == ["README.md"]
    answer = ask(tmp_path, "push", "--to", REPO, "--yes", "--json", "--card")
    assert json.loads(answer.out)["result"]["kept"] == []
    assert is_made(card(hub))


# -- licences ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["wrong", "cc-by-4", "mit\nevil: 1", "mit ", "", "other: mine", "x" * 5000])
def test_a_licence_that_the_hub_does_not_know_is_refused(hub: FakeHub, runs: Path, typed: str) -> None:
    with pytest.raises(UsageError, match="no id of a licence on the Hub") as refused:
        pushed(runs, licence=typed)
    assert hub.requests == []
    said = str(refused.value)
    assert len(said) < 400
    assert "\n" not in said
    if typed == "cc-by-4":
        assert "did you mean 'cc-by-4.0'?" in said


@pytest.mark.parametrize("typed", ["MIT", "cc-by-4.0", "openrail++", "other"])
def test_a_licence_of_the_hub_stands_on_the_card(hub: FakeHub, runs: Path, typed: str) -> None:
    pushed(runs, licence=typed)
    assert front(hub)["license"] == typed.lower()


def test_a_later_push_keeps_the_licence_of_the_card_and_says_which(hub: FakeHub, runs: Path) -> None:
    pushed(runs, licence="cc-by-4.0")
    assert not pushed(runs).changed
    told = Told()
    pushed(runs, told, runs=True)
    assert front(hub)["license"] == "cc-by-4.0"
    assert told.lines == [line for line in told.lines if "pushing" in line] + [
        "hf://ada/first: licence cc-by-4.0, as on its card; --licence changes it"
    ]
    pushed(runs, runs=True, licence="mit")
    assert front(hub)["license"] == "mit"


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("license: mit", "mit"),
        ("license: other\nlicense_name: Ours alone", "Ours alone"),
        ("license: other", "other"),
        ("license: other\nlicense_name: 3", "other"),
        ("license: other\nlicense_name: [a, {b: c}]", "other"),
        ("license: other\nlicense_name: ' '", "other"),
        ("license: [mit, cc-by-4.0]", "mit, cc-by-4.0"),
        ("tags: [x]", None),
        ("license: 3", None),
        ("license: {a: b}", None),
        (": : :\n\t", None),
    ],
)
def test_the_licence_of_a_card_is_read(lines: str, licence: str | None) -> None:
    assert licence_of(f"---\n{lines}\n---\n# words\n".encode()) == licence


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"words", b"---\n", b"---\n- a\n---\n"])
def test_a_card_that_is_none_has_no_licence_and_is_somebodys(text: bytes) -> None:
    assert licence_of(text) is None
    assert not is_made(text)


def test_a_name_of_a_licence_outlives_another_push(hub: FakeHub, runs: Path) -> None:
    hub.put(REPO, {"README.md": b"---\nlicense: other\nlicense_name: Ours alone\n---\n"})
    pushed(runs, card=True)
    assert (front(hub)["license"], front(hub)["license_name"]) == ("other", "Ours alone")
    assert not pushed(runs).changed


# -- words ------------------------------------------------------------------------------------------------------


def test_a_message_of_200_signs_goes_and_a_longer_one_is_refused(hub: FakeHub, runs: Path) -> None:
    with pytest.raises(UsageError, match="201 signs; at most 200"):
        pushed(runs, message="x" * 201)
    pushed(runs, message="x" * 200)
    assert re.match("x{200} ", hub.repos[REPO].head.title)


def test_small_tickets_travel_in_kilobytes(hub: FakeHub, runs: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "push", "--to", REPO, "--yes")
    assert re.search(r"pushing ada/first: \d+ of \d+ kB", answer.err), answer.err
    assert "0 of 0" not in answer.err
    answer = ask(tmp_path, "pull", REPO)
    assert "MB" not in "".join(line for line in answer.err.splitlines() if "pulling" in line)


# -- what is others' ----------------------------------------------------------------------------------------------


def test_files_that_are_only_called_as_ours_are_stay(hub: FakeHub, runs: Path) -> None:
    pushed(runs)
    theirs = {f"notes/{name}": b"{}" for name in ("provenance.json", "chain.json", "model.sig")}
    hub.put(REPO, theirs)
    pushed(runs, runs=True)
    assert {"set.json", *theirs} <= {*hub.repos[REPO].files}


@pytest.mark.parametrize("there", [False, True])
def test_what_somebody_pushed_meanwhile_is_not_replaced_and_not_removed(
    hub: FakeHub, runs: Path, tmp_path: Path, there: bool
) -> None:
    other = tmp_path / "other"
    samples.ticket(other / "ticket", level=1, with_ladder=False)
    push(Asked((str(other),), "ada/second"), runs)
    second = {**hub.repos["ada/second"].files}
    if there:
        pushed(runs)
    hub.fault("between", "/commit/", method="POST", times=1, do=lambda: hub.put(REPO, second))
    with pytest.raises(HubError, match="meanwhile; push again"):
        pushed(runs, runs=there)
    assert second.items() <= hub.repos[REPO].files.items()


def test_a_draw_that_is_gone_comes_again_with_those_that_are_here(hub: FakeHub, tmp_path: Path) -> None:
    for level in (1, 3):
        samples.ticket(tmp_path / f"own/{level}/ticket", level=level, with_ladder=False)
    push(Asked([str(tmp_path / f"own/{level}") for level in (1, 3)], REPO), tmp_path)
    first = pull(REPO, tmp_path)
    shutil.rmtree(first.folders[0])
    again = pull(REPO, tmp_path)
    assert (again.things, len(again.folders)) == (first.things, 2)
    assert all((one.folder / "ticket.json").is_file() for one in again.things)
    assert pull(REPO, tmp_path).fetched == 0
