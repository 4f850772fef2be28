"""A folder of draws is pushed with all draws below; with runs go controls; groups are called as the draws are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import samples
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.cli.push import _shown
from ticketctl.errors import UsageError
from ticketctl.stages.pull import pull
from ticketctl.stages.push import Asked, Pushed, push

# the client's own upload of large files uses an argument that its transport has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "ada/first"
NAMES = ["imp-12345678-seed-0", "imp-12345678-seed-1", "imp-abcdef01-seed-0"]


def drawn(folder: Path, level: int, seed: int) -> Ticket:
    folder.mkdir(parents=True)
    rungs = samples.ladder()
    return write_ticket(
        folder, arch=samples.ARCH, keep=rungs.mask(level), init=samples.weights(seed), ladder=rungs, level=level,
        draw=samples.draw(rungs) | {"seeds": {"root": seed}}, init_step=4, init_epoch=0.25,
    )  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three draws, one of them with a control that was spent; two of one recipe; one on other data."""
    root = tmp_path / "runs"
    places = [
        "toy-digits/imp-12345678/seed-0",
        "toy-digits/imp-12345678/seed-1",
        "toy-mnist/imp-abcdef01/seed-0",
    ]
    for level, place in enumerate(places, 1):
        one = drawn(root / place / "ticket", level, int(place[-1])).manifest
        samples.run(root / place / f"levels/{level}", ticket_id=one.ticket_id)
    mine = root / places[2]
    control = samples.ticket(
        mine / "controls/shuffled/ticket",
        with_ladder=False,
        control={"kind": "shuffled", "of": one.ticket_id},
    ).manifest
    samples.run(mine / "controls/shuffled/spends/abcd1234/3-seed-0", ticket_id=control.ticket_id)
    return root


def dry(workspace: Path, *names: str, **more: Any) -> Pushed:
    return push(Asked(names, REPO, dry_run=True, **more), workspace)


def paths(done: Pushed) -> list[str]:
    return [one.path for one in done.preview.parcel.things]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("WHOLE", NAMES),
        ("toy-digits", NAMES[:2]),
        ("WHOLE/toy-digits", NAMES[:2]),
        ("toy-digits/imp-12345678", NAMES[:2]),
        ("toy-mnist", [""]),
        ("toy-mnist/imp-abcdef01/seed-0", [""]),
    ],
)
def test_a_folder_of_draws_is_all_draws_below(hub: FakeHub, runs: Path, name: str, found: list[str]) -> None:
    assert paths(dry(runs, name.replace("WHOLE", str(runs)))) == found


def test_with_runs_the_controls_go_and_their_spends_and_that_is_shown(
    hub: FakeHub, runs: Path, tmp_path: Path
) -> None:
    done = push(Asked(("toy-mnist",), REPO, runs=True), runs)
    assert paths(done) == ["", "controls/shuffled", "controls/shuffled/spends/abcd1234/3-seed-0", "levels/3"]
    assert any(line.startswith("1 ticket, 1 control, 2 runs in ") for line in _shown(done.preview))
    assert (
        "A lottery ticket: toy on digits by imp, with 1 control, 2 runs"
        in hub.repos[REPO].files["README.md"].decode()
    )
    got = pull(REPO, tmp_path / "theirs")
    assert sorted(one.id for one in got.things) == sorted(one.id for one in done.preview.parcel.things)
    assert paths(dry(runs, "toy-mnist/imp-abcdef01/seed-0/controls/shuffled", runs=True)) == [
        "controls/shuffled", "controls/shuffled/spends/abcd1234/3-seed-0",
    ]  # fmt: skip


def test_a_folder_with_runs_has_those_of_every_draw(hub: FakeHub, runs: Path) -> None:
    found = paths(dry(runs, str(runs), runs=True))
    assert [path for path in found if "levels" in path] == [
        f"{name}/levels/{level}" for level, name in enumerate(NAMES, 1)
    ]


def test_what_was_pulled_is_not_pushed_with_the_workspace_but_by_its_name(
    hub: FakeHub, runs: Path, tmp_path: Path
) -> None:
    push(Asked((str(runs),), REPO, runs=True), runs)
    pull(REPO, runs)
    assert paths(dry(runs, str(runs))) == NAMES
    assert paths(dry(runs, "hub/ada--first")) == NAMES  # pulled and pushed on, a group keeps its name


def test_a_folder_with_a_draw_that_is_not_done_is_refused(hub: FakeHub, runs: Path) -> None:
    draw = runs / "toy-digits/imp-12345678/seed-2"
    draw.mkdir()
    (draw / "intent.json").write_text("{}")
    with pytest.raises(UsageError, match=r"seed-2: this draw is not done"):
        dry(runs, "toy-digits")
    with pytest.raises(UsageError, match="no ticket or run 'toy-nothing'"):
        dry(runs, "toy-nothing")


def test_a_folder_that_is_called_after_somebody_gives_its_name_to_nothing(
    hub: FakeHub, tmp_path: Path
) -> None:
    for name in ("canary-ada", "canary-bob"):
        samples.ticket(tmp_path / "runs/of" / name / "seed-0/ticket", level=1 + ("bob" in name))
    found = paths(dry(tmp_path / "runs", "of"))
    assert len({*found}) == 2
    assert "canary" not in " ".join(found)
