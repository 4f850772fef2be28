"""Every way in which the Hub fails is one line and one exit code, within seconds, and no token is in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hub.fakehub import FakeHub
from ticketctl.errors import HubError, StoppedError, TicketctlError, UsageError
from ticketctl.hub import client, session
from ticketctl.hub.endpoints import allowed, endpoint, origin_of, storage_allowed
from ticketctl.hub.errors import StaleError, quoted
from ticketctl.hub.names import HubName, parse
from ticketctl.progress import Silent

NAME = "ada/t@v1"
SOON = 8.0


class Notes(Silent):
    """Remembers what it was told; raises at the next block if it is to."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stop = False

    def note(self, text: str) -> None:
        self.said.append(text)

    def alive(self) -> None:
        if self.stop:
            raise StoppedError("stopped", 130)


def resolve(hub: client.Hub) -> object:
    return hub.commit(parse(NAME))


def download(hub: client.Hub) -> object:
    return b"".join(hub.blocks(HubName("ada/t", "v1"), "a.bin"))


def failure(act: Callable[[client.Hub], object], reporter: Notes | None = None, **how: Any) -> TicketctlError:
    """The error that asking the Hub ends with, soon."""
    began = time.monotonic()
    with pytest.raises(TicketctlError) as caught, client.connect(reporter=reporter, **how) as hub:
        act(hub)
    assert time.monotonic() - began < SOON
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 400
    assert "Canary" not in text
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None
    return caught.value


@pytest.fixture
def desk_with_files(desk: FakeHub) -> FakeHub:
    desk.put("ada/t", {"ticket.json": b"{}", "a.bin": bytes(300_000)}, tag="v1")
    return desk


ROWS = {
    "revision": (9, "no branch, tag or commit 'v1'"),
    "404": (9, "no such repository"),
    "401": (9, "does not know the token"),
    "bad token": (9, "does not know the token"),
    "403": (9, "no right to read"),
    "gated": (9, "is gated"),
    "disabled": (9, "was disabled"),
    "413": (9, "too large"),
    "429": (9, "asks for patience (429)"),
    "500": (9, "trouble of its own (500)"),
    "502": (9, "trouble of its own (502)"),
    "503": (9, "trouble of its own (503)"),
    "504": (9, "trouble of its own (504)"),
    "400": (9, "refuses (400)"),
    "entry": (3, "a file that was listed is not there"),
    "slow": (9, "does not answer in time"),
    "drop": (9, "broke"),
}


@pytest.mark.parametrize("act", [resolve, download])
@pytest.mark.parametrize("kind", ROWS)
def test_each_failure_is_a_line_and_a_code(
    desk_with_files: FakeHub, kind: str, act: Callable[[client.Hub], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "slow":
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.3")
    desk_with_files.fault(kind, **({"seconds": 2.0} if kind == "slow" else {}))
    error = failure(act)
    code, words = ROWS[kind]
    assert (error.exit_code, words in str(error)) == (code, True), error


def test_nobody_listens(desk_with_files: FakeHub) -> None:
    with desk_with_files.offline():
        error = failure(resolve)
    assert error.exit_code == 9
    assert "cannot be reached" in str(error)


def test_a_drip_is_given_up(desk_with_files: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1.0")
    desk_with_files.fault("drip", "a.bin|/blob/", every=0.05)
    assert "less than 1000 bytes a second" in str(failure(download))


def test_a_download_that_breaks_off_is_told(desk_with_files: FakeHub) -> None:
    desk_with_files.fault("drop", "/blob/", after=1000)
    assert failure(download).exit_code == 9


def test_a_private_repository_and_no_token_says_how_to_log_in(
    desk_with_files: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failure(resolve, token_allowed=False)
    assert error.exit_code == 9
    assert "hf auth login" in str(error)
    monkeypatch.setenv("HF_TOKEN", desk_with_files.stranger)
    assert "private" in str(failure(resolve))


@pytest.mark.parametrize("token", ["hf_Canary\x00x", "hf_Canary\tz", "hf_Canaryä"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(
    desk: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    assert "signs that no token has" in str(failure(resolve))
    assert desk.requests == []


def test_a_commit_on_an_old_one_can_be_told_from_other_refusals(desk_with_files: FakeHub) -> None:
    desk_with_files.fault("stale")
    error = failure(resolve)
    assert isinstance(error, StaleError)
    assert error.exit_code == 9


def test_what_goes_wrong_once_is_tried_again_and_said(desk_with_files: FakeHub) -> None:
    notes = Notes()
    desk_with_files.fault("503", times=1)
    desk_with_files.fault("drop", times=1)
    with client.connect(reporter=notes) as hub:
        assert hub.commit(parse(NAME)) == desk_with_files.repos["ada/t"].head.sha
    assert len(notes.said) == 2
    assert all("trying again in" in line for line in notes.said)


def test_a_short_retry_after_is_obeyed_and_a_long_one_is_not_waited_for(
    desk_with_files: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(session.time, "sleep", waits.append)
    desk_with_files.fault("429", retry_after=4, times=1)
    with client.connect() as hub:
        resolve(hub)
    assert waits == [4.0]
    desk_with_files.fault("429", retry_after=3600)
    assert "429" in str(failure(resolve))
    assert waits == [4.0]


def test_a_write_is_not_repeated_after_an_error_of_the_server(desk_with_files: FakeHub) -> None:
    desk_with_files.fault("500", method="POST")
    failure(lambda hub: write(hub))
    assert len(desk_with_files.asked("POST")) == 1


def write(hub: client.Hub) -> None:
    with hub.explained(parse(NAME), "write"):
        hub.api.create_tag("ada/t", tag="v2")


def test_offline_asks_nobody(desk_with_files: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "offline" in str(failure(resolve, offline=True))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert failure(resolve).exit_code == 9
    assert desk_with_files.requests == []


def test_words_of_a_server_are_cut_cleaned_and_hold_no_token() -> None:
    said = "no\x1b[2J\n\n" + "hf_" + "A" * 30 + " Authorization: Bearer abcdefgh " + "x" * 5000
    shown = quoted(said)
    assert shown.isprintable()
    assert len(shown) <= 120
    assert "AAAA" not in shown
    assert "abcdefgh" not in shown


@pytest.mark.parametrize("where", ["next", "redirect"])
def test_a_token_goes_to_no_other_origin(desk_with_files: FakeHub, where: str) -> None:
    desk = desk_with_files
    there = f"{desk.store_url}/api/models/ada/t/tree/x"
    if where == "next":
        desk.fault("headers", "/tree/", Link=f'<{there}>; rel="next"')
        error = failure(lambda hub: hub.files(HubName("ada/t", "v1")))
        assert "which would be told your token" in str(error)
    else:
        desk.fault("redirect", "/revision/", to=there)
        failure(resolve)  # followed as a stranger, and nothing is there
    assert desk.leaks() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"../../../x"'},
        {"X_Linked_Etag": '"/etc/passwd"'},
        {"X_Repo_Commit": "../../x"},
        {"X_Xet_Cas_Url": "local:///tmp/x"},
        {"X_Xet_Cas_Url": "http://192.0.2.1/"},
        {"X_Xet_Refresh_Route": "https://192.0.2.1/token"},
        {"Link": '<https://192.0.2.1/token>; rel="xet-auth"'},
        {"Content_Encoding": "gzip"},
    ],
)
def test_an_answer_that_could_lead_the_client_astray_is_refused(
    desk_with_files: FakeHub, headers: dict[str, str]
) -> None:
    desk_with_files.fault("headers", **headers)
    assert "refused" in str(failure(resolve))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"sha": 7}', b'{"sha": "../../../../x"}', b"\xff", b"[" * 100_000]
)
def test_an_answer_that_is_none_is_a_line(desk_with_files: FakeHub, body: bytes) -> None:
    desk_with_files.fault("body", data=body)
    assert failure(resolve).exit_code == 9


def test_a_list_without_an_end_is_cut(desk_with_files: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_PAGES", 20)
    desk_with_files.fault("body", "/tree/", data=b"[]")
    desk_with_files.fault(
        "headers", "/tree/", Link=f'<{desk_with_files.url}/api/models/ada/t/tree/v1>; rel="next"'
    )
    assert "page after page" in str(failure(lambda hub: hub.files(HubName("ada/t", "v1"))))


def test_an_endless_answer_is_cut(desk_with_files: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST", 1000)
    desk_with_files.fault("body", data=b" " * 5000)
    assert "more than 1000 bytes" in str(failure(resolve))


def test_somebody_who_stops_is_heard_within_a_block(desk_with_files: FakeHub) -> None:
    notes = Notes()
    notes.stop = True
    assert failure(download, notes).exit_code == 130


def test_the_hubs_own_client_is_afterwards_as_it_was(desk: FakeHub) -> None:
    from huggingface_hub.utils import _http, logging

    before = (_http._GLOBAL_CLIENT_FACTORY, logging.get_verbosity())
    with client.connect():
        assert isinstance(_http.get_session(), session.Session)
    assert (_http._GLOBAL_CLIENT_FACTORY, logging.get_verbosity()) == before
    assert not isinstance(_http.get_session(), session.Session)


def test_requests_say_who_we_are_and_tell_nothing_else(desk_with_files: FakeHub) -> None:
    with client.connect() as hub:
        resolve(hub)
        download(hub)
    agents = {one.headers["user-agent"] for one in desk_with_files.requests if one.origin == "hub"}
    assert all(agent.startswith("ticketctl/") for agent in agents)
    assert [line for line in desk_with_files.asked() if "agent-harnesses" in line] == []


@pytest.mark.parametrize("url", ["http://192.0.2.1", "ftp://x", "huggingface.co", "file:///etc", "http://"])
def test_an_endpoint_that_is_not_safe_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("TICKETCTL_INSECURE_ENDPOINT", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", url)
    with pytest.raises(UsageError, match="no https address"):
        endpoint()


def test_plain_http_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TICKETCTL_INSECURE_ENDPOINT", raising=False)
    public, here = origin_of("https://huggingface.co"), origin_of("http://127.0.0.1:8080")
    assert allowed(origin_of("https://cdn.example"), public)
    assert not allowed(origin_of("http://cdn.example"), public)
    assert not allowed(here, public)
    assert allowed(origin_of("http://localhost:9"), here)
    assert not storage_allowed("local:///tmp", public)
    assert not storage_allowed("local:///tmp", here)
    monkeypatch.setenv("TICKETCTL_INSECURE_ENDPOINT", "1")
    assert storage_allowed("local:///tmp", here)
    assert not storage_allowed("local:///tmp", public)
    assert allowed(origin_of("http://192.0.2.1"), origin_of("http://192.0.2.1"))


def test_hub_errors_are_of_exit_code_9() -> None:
    assert issubclass(StaleError, HubError)
    assert HubError.exit_code == 9
