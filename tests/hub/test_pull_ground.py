"""A workspace that somebody else has prepared leads no pull astray: not elsewhere, not into a wait without end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.artifacts import samples
from tests.artifacts.hostile_folders import rewrite
from tests.hub.fakehub import FakeHub, hostile, hostile_sets
from tests.hub.fakehub.hostile import read
from ticketctl.errors import ArtifactError
from ticketctl.stages.pull import Pulled, pull
from ticketctl.store.files import sha256

REPO = "ada/t"


@dataclass
class Ground:
    """A Hub with a ticket, a workspace, and a folder of the user's outside of it."""

    hub: FakeHub
    workspace: Path
    outside: Path
    files: dict[str, bytes]

    @property
    def home(self) -> Path:
        """Of the repository."""
        return self.workspace / "hub" / "ada--t"

    @property
    def commit(self) -> str:
        """What is pulled."""
        return self.hub.repos[REPO].head.sha

    @property
    def part(self) -> Path:
        """Where the mask's first bytes would be."""
        return (
            self.home
            / ".pulling"
            / self.commit[:12]
            / "blobs"
            / f"{sha256(self.files['mask.safetensors'])}.part"
        )

    def pull(self, revision: str | None = None) -> Pulled:
        """The ticket."""
        return pull(f"{REPO}@{revision}" if revision else REPO, self.workspace)


@pytest.fixture
def ground(desk: FakeHub, tmp_path: Path) -> Ground:
    samples.ticket(tmp_path / "ticket")
    made = Ground(desk, tmp_path / "runs", tmp_path / "outside", read(tmp_path / "ticket"))
    desk.put(REPO, made.files, private=False)
    made.outside.mkdir()
    (made.outside / "mine").write_text("mine")
    return made


def link(path: Path, to: Path) -> None:
    """A link, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)


PLACES: dict[str, Callable[[Ground], Path]] = {
    "of all repositories": lambda on: on.workspace / "hub",
    "of the repository": lambda on: on.home,
    "of the draw": lambda on: on.home / on.commit[:12],
    "of the ticket": lambda on: on.home / on.commit[:12] / "ticket",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_folder_that_is_a_link_is_refused(ground: Ground, name: str) -> None:
    link(PLACES[name](ground), ground.outside)
    with pytest.raises(ArtifactError, match="a link; pulled things"):
        ground.pull()
    assert read(ground.outside) == {"mine": b"mine"}


def test_the_workspace_itself_may_be_a_link(ground: Ground) -> None:
    ground.workspace.symlink_to(ground.outside)
    assert ground.pull().things[0].folder.is_dir()


def fifo(path: Path) -> None:
    """A pipe that nobody writes into."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


TRAPS: dict[str, Callable[[Ground], None]] = {
    "the hidden folder": lambda on: link(on.home / ".pulling", on.outside),
    "the commit's": lambda on: link(on.part.parents[1], on.outside),
    "the bytes'": lambda on: link(on.part.parent, on.outside),
    "a part of a file": lambda on: link(on.part, on.outside / "mine"),
    "a whole file": lambda on: link(on.part.with_suffix(""), on.outside / "mine"),
    "a pipe for a part": lambda on: fifo(on.part),
    "a pipe for a whole file": lambda on: fifo(on.part.with_suffix("")),
    "the lock's owner": lambda on: link(on.home / ".lock-owner.json", on.outside / "mine"),
    "a pipe for the lock's owner": lambda on: fifo(on.home / ".lock-owner.json"),
    "the note": lambda on: link(on.home / on.commit[:12] / "origin.json", on.outside / "mine"),
    "a pipe for the note": lambda on: fifo(on.home / on.commit[:12] / "origin.json"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", TRAPS)
def test_a_link_or_pipe_among_what_is_ours_is_swept_away(ground: Ground, name: str) -> None:
    TRAPS[name](ground)
    (ticket,) = ground.pull().things
    assert read(ground.outside) == {"mine": b"mine"}
    assert {path: data for path, data in read(ticket.folder).items() if path in ground.files} == ground.files


def test_a_pulled_ticket_that_was_sealed_anew_is_noticed_and_put_right(ground: Ground) -> None:
    (ticket,) = ground.pull().things
    rewrite(ticket.folder, lambda fields: fields["ext"].update({"x.note": "changed"}))
    assert ground.pull(ground.commit).fetched > 0
    assert (ticket.folder / "ticket.json").read_bytes() == ground.files["ticket.json"]
    assert ground.pull(ground.commit).fetched == 0


def test_a_note_of_another_commit_is_not_believed(ground: Ground) -> None:
    (ticket,) = ground.pull().things
    other = ground.home / ("0" * 12)
    ticket.draw.rename(other)
    done = ground.pull(ground.commit)
    assert done.fetched > 0
    assert done.things[0].draw.name == ground.commit[:12]


def test_two_names_that_some_file_systems_take_for_one_are_refused(ground: Ground) -> None:
    stage = SimpleNamespace(files=ground.files, hub=ground.hub)
    spoil = hostile_sets.listing(lambda row: [{**row, "path": path} for path in ("A", "a")])
    spoil(stage)  # type: ignore[arg-type]  # it has all that is asked for
    ground.hub.put(
        hostile.REPO, {f"{path}/{name}": data for path in "Aa" for name, data in ground.files.items()}
    )
    with pytest.raises(ArtifactError, match="two things claim"):
        pull(hostile.REPO, ground.workspace)
