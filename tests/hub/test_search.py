"""What a search finds is what the cards say, in a table that takes no orders; `list` has the same filters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import samples, verdicts
from tests.cli.conftest import Answer, ask
from tests.hub.fakehub import FakeHub
from ticketctl.artifacts.verdict import open_verdict
from ticketctl.artifacts.workspace import runs, tickets
from ticketctl.errors import UsageError
from ticketctl.hub.client import Found
from ticketctl.stages import search as stage
from ticketctl.stages.search import search, told
from ticketctl.stages.shortlist import Wish, runs_like, tickets_like, wish

TAGS = ("ticketctl", "lottery-ticket", "sparse")


def card(*tags: str) -> dict[str, bytes]:
    lines = "".join(f'- "{tag}"\n' for tag in (*TAGS, *tags))
    return {"README.md": f"---\nlibrary_name: ticketctl\ntags:\n{lines}---\n# T\n".encode()}


@pytest.fixture
def shelf(desk: FakeHub) -> FakeHub:
    """Four repositories of tickets, one private, and one of something else."""
    rows: dict[str, tuple[str, ...]] = {
        "ada/one": ("method:imp", "net:resnet18", "data:cifar10", "density:0.0352", "verdict:pass"),
        "lab/two": ("method:imp", "net:resnet18", "data:cifar100", "density:0.1000", "verdict:fail"),
        "bob/three": ("method:snip", "net:vgg16", "data:cifar10", "density:0.0500"),
        "bob/secret": ("method:imp", "net:resnet18", "data:cifar10", "density:0.0352"),
    }
    for name, tags in rows.items():
        desk.put(name, card(*tags), private=name == "bob/secret")
    desk.put("bob/dense", {"README.md": b'---\ntags: [dense, "net:resnet18"]\n---\n'}, private=False)
    return desk


def names(*words: str, author: str | None = None, limit: int = 20, **wanted: Any) -> set[str]:
    return {hit.repo for hit in search(wish(**wanted), words=words, author=author, limit=limit)}


def test_all_that_has_our_tag_and_may_be_seen_is_found(shelf: FakeHub) -> None:
    assert names() == {"ada/one", "lab/two", "bob/three"}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"method": "imp"}, {"ada/one", "lab/two"}),
        ({"model": "resnet18", "data": "cifar10"}, {"ada/one"}),
        ({"verdict": "fail"}, {"lab/two"}),
        ({"density": "0.03-0.05"}, {"ada/one", "bob/three"}),
        ({"density": "0.0352"}, {"ada/one"}),
        ({"density": "0-0.01"}, set()),
        ({"model": "resnet"}, set()),
    ],
)
def test_each_filter_leaves_what_it_says(shelf: FakeHub, wanted: dict[str, str], found: set[str]) -> None:
    assert names(**wanted) == found


def test_words_authors_and_limits_are_the_hubs(shelf: FakeHub) -> None:
    assert names("thr") == {"bob/three"}
    assert names(author="lab") == {"lab/two"}
    assert len(names(limit=2)) == 2
    shelf.page = 1
    assert names(density="0.1", limit=1) == {"lab/two"}


def test_a_density_is_looked_for_in_so_many_and_no_more(
    shelf: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MOST", 1)
    assert len(names(density="0-1")) == 1


@pytest.mark.parametrize("text", ["1-0", "2", "-1", "x", "0.1-", "0,1", "1e-3", "0.1-0.2-0.3", "nan"])
def test_what_is_no_range_of_densities_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--density"):
        wish(density=text)


def test_tags_that_lie_are_words_and_no_numbers() -> None:
    row = Found("a/b", ("density:nan", "density:0.5", "net:" + "x" * 500, "verdict:", ":", "data:a:b"), 0, "")
    hit = told(row)
    assert (hit.density, len(hit.net), hit.data, hit.verdict) == (None, 80, "a:b", "")


def test_the_table_takes_no_orders_from_a_card(shelf: FakeHub, tmp_path: Path) -> None:
    shelf.fault(
        "edit", "/api/models$", how=lambda rows: rows[0]["tags"].append("verdict:\x1b[2J\x07\u202e") or rows
    )
    answer = ask(tmp_path, "search", "--method", "snip")
    assert answer.code == 0
    assert all(sign.isprintable() or sign == "\n" for sign in answer.out + answer.err)


def test_the_command_prints_a_table_and_json(shelf: FakeHub, tmp_path: Path) -> None:
    answer = ask(tmp_path, "search", "--model", "resnet18", "--data", "cifar10")
    head, row = answer.out.splitlines()
    assert head.split() == [
        "repository",
        "net",
        "data",
        "method",
        "verdict",
        "density",
        "downloads",
        "updated",
    ]
    assert row.split()[:7] == ["ada/one", "resnet18", "cifar10", "imp", "pass", "0.0352", "0"]
    assert "ticketctl pull ada/one" in answer.err
    (found,) = ask(tmp_path, "search", "one", "--json").json["result"]
    assert found["repo"] == "ada/one"
    assert found["density"] == 0.0352
    assert "no ticket on the Hub" in ask(tmp_path, "search", "nothing").out


def test_a_search_that_cannot_be_is_a_line(shelf: FakeHub, tmp_path: Path) -> None:
    for words, code in (
        (("--offline",), 9),
        (("--author", "a b"), 2),
        (("--verdict", "good"), 2),
        (("\x1b",), 2),
    ):
        answer = ask(tmp_path, "search", *words)
        assert (answer.code, len(answer.complaint) > 10) == (code, True)
    shelf.fault("500")
    assert ask(tmp_path, "search").code == 9


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ticket with two runs."""
    root = tmp_path_factory.mktemp("runs")
    draw = root / "net-data" / "imp-0123abcd" / "seed-0"
    ticket = samples.ticket(draw / "ticket").manifest
    samples.run(draw / "levels" / "2", ticket_id=ticket.ticket_id)
    samples.run(draw / "levels" / "0", sparse=False)
    return root


def test_a_ticket_has_the_verdicts_of_its_runs(workspace: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    shutil.copytree(workspace, root)
    judged = open_verdict(verdicts.written(root / "verdicts", verdicts.small()))
    net = judged.verdict.nets[0]
    trained = runs(root)
    named = net.pairs[0].net.run
    known = [(folder, one.model_copy(update={"run_id": named})) for folder, one in trained[:1]]
    assert runs_like(known, Wish(verdict=net.outcome), root) == known
    assert runs_like(trained, Wish(verdict=net.outcome), root) == []
    others = {"pass", "fail", "incomplete"} - {net.outcome}
    assert all(runs_like(known, Wish(verdict=other), root) == [] for other in others)


def test_list_filters_tickets_and_runs_by_what_their_manifests_say(workspace: Path) -> None:
    found, trained = tickets(workspace), runs(workspace)
    ((_, ticket),) = found
    own = {"model": ticket.arch.name, "data": ticket.draw.data.name, "method": ticket.draw.method}
    share = ticket.mask.kept / ticket.mask.prunable
    assert tickets_like(found, Wish(**own, density=(share, share)), workspace) == found
    assert len(runs_like(trained, Wish(**own), workspace)) == 2
    assert len(runs_like(trained, Wish(density=(1.0, 1.0)), workspace)) == 1
    for key in own:
        assert tickets_like(found, Wish(**{key: "other"}), workspace) == []
        assert runs_like(trained, Wish(**{key: "other"}), workspace) == []
    assert tickets_like(found, Wish(verdict="pass"), workspace) == []


def listed(workspace: Path, *words: str) -> Answer:
    return ask(workspace.parent, "list", *words, "--workspace", str(workspace))


def test_list_takes_the_filters_of_search(workspace: Path) -> None:
    assert len(listed(workspace, "--density", "0-1", "--json").json["result"]) == 1
    assert "no tickets like that" in listed(workspace, "--method", "snip").out
    assert "no runs like that" in listed(workspace, "runs", "--verdict", "fail").out
    assert "takes no filters" in listed(workspace, "methods", "--method", "imp").complaint


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (("--method", "impp"), "no method named 'impp'; did you mean 'imp'?"),
        (("--data", "mnits"), "no data set named 'mnits'; did you mean 'mnist'?"),
        (("--model", "lenet"), "no model named 'lenet'; there is lenet-300-100"),
    ],
)
def test_a_name_that_finds_nothing_and_comes_near_one_of_ours_is_told(
    shelf: FakeHub, workspace: Path, tmp_path: Path, typed: tuple[str, str], hint: str
) -> None:
    for answer in (
        ask(tmp_path, "search", *typed),
        listed(workspace, *typed),
        listed(workspace, "runs", *typed),
    ):
        assert answer.code == 0
        assert hint in answer.err
        assert " like that" in answer.out
    assert ask(tmp_path, "search", *typed, "--json").json["result"] == []
    assert hint not in ask(tmp_path, "search", *typed, "--quiet").err


def test_names_of_others_and_names_that_are_ours_get_no_hint(shelf: FakeHub, tmp_path: Path) -> None:
    for typed in (
        ("--method", "bobs-own-way"),
        ("--method", "synflow"),
        ("--model", "torchvision:resnet19"),
        ("--data", "xray"),
    ):
        answer = ask(tmp_path, "search", *typed)
        assert (answer.code, answer.err) == (0, "")
    assert "no model" not in ask(tmp_path, "search", "--model", "resnet18", "--method", "imp").err


def test_an_offline_search_says_where_to_look_instead(
    shelf: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ask(tmp_path, "search", "--offline").complaint
    assert "ticketctl list" in said
    assert "pull" not in said
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert ask(tmp_path, "search").complaint == said
    assert shelf.requests == []
