"""`ticketctl report`, as it is typed; and its page as a browser sees it."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Program, ask
from tests.cli.ladder import FEW as SHORT
from tests.cli.ladder import PLANE, seed_0
from tests.stages.test_page import HOSTILE, check
from tests.stages.written import drawn, run
from tests.test_startup import _loaded
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.figures.page.words import plain
from ticketctl.stages.plot import wanted

FEW = ("--figure", "accuracy-sparsity,layer-density")
CANARY = "SECRET-HOME"


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("reported") / CANARY
    here = home / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    ticket = drawn(here / "ticket")
    for seed, gap in enumerate((-0.01, 0.0, 0.01)):
        run(here / f"spends/aa/10-seed-{seed}", 0.71 + gap, seed=seed, ticket=ticket.ticket_id_at(None))
        run(here / f"levels/{seed}", 0.75 + gap, seed=seed, kept=None)
    words = ["ticketctl", "draw", "--data-dir", str(home), "--workspace", str(home / "runs")]
    said = {"tool_version": "0.1.0", "environment": {"device": "cpu"}, "sessions": [{"command": words}]}
    (here / "ticket/provenance.json").write_text(json.dumps(said))
    return home


@pytest.fixture
def typed(spent: Path, tmp_path: Path) -> Any:
    """The program, typed there; it writes below `tmp_path` and nowhere else."""
    before = sorted(spent.rglob("*"))
    yield lambda *words: ask(spent, "report", *words, "--out", str(tmp_path / "out.html"))
    assert sorted(spent.rglob("*")) == before


def test_the_page_has_what_was_named_and_tells_no_place(typed: Any, spent: Path, tmp_path: Path) -> None:
    answer = typed("runs", *FEW)
    assert answer.code == 0, answer.err
    assert re.fullmatch(r"2 figures, 0\.\d\d MB, in .*out\.html\n", answer.out)
    html = (tmp_path / "out.html").read_bytes()
    found = check(html)
    assert CANARY.encode() not in html
    assert str(spent.parent).encode() not in html
    for said in (
        "71.00",
        "75.00",
        "± sd",
        "ticketctl compare RUNS",
        "ticketctl plot RUNS --figure layer-density",
    ):
        assert said in found.text
    assert "at sparsities from 0 % to 89.3 %" in found.text


def test_equal_artifacts_give_equal_bytes_wherever_they_lie(typed: Any, spent: Path, tmp_path: Path) -> None:
    assert typed("runs", *FEW).code == 0
    shutil.copytree(spent / "runs", tmp_path / "elsewhere/deep/runs")
    answer = ask(tmp_path / "elsewhere/deep", "report", *FEW)  # and without a name: the newest draw
    assert answer.code == 0, answer.err
    assert (tmp_path / "elsewhere/deep/report.html").read_bytes() == (tmp_path / "out.html").read_bytes()


def test_json_says_what_stands_on_the_page(typed: Any, tmp_path: Path) -> None:
    record = typed("runs", "--figure", "layer-density", "--json", "--quiet").json["result"]
    assert record["figures"] == ["layer-density"]
    assert record["bytes"] == (tmp_path / "out.html").stat().st_size
    assert (record["left_out"], record["without"]) == ([], {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "no folder 'nowhere'"),
        (("runs", "--data", "mnist"), "--data goes with --paper"),
        (("runs", "--figure", "layer-densty"), "did you mean 'layer-density'"),
        (("runs", "--figure", "barrier"), "--figure barrier: "),
        (("runs", "--set", "figures.radar"), "--set"),
        (("runs", "--set", "train.lr=0.05"), "a figure's keys begin with figures."),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    typed: Any, tmp_path: Path, words: Any, said: str
) -> None:
    answer = typed(*words)
    assert answer.code == 2
    assert said in answer.complaint
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize("command", ["plot", "report"])
def test_the_help_shows_a_key_that_is_taken(command: str, spent: Path) -> None:
    said = " ".join(ask(spent, command, "--help").out.split())
    key = re.search(r"--set (figures\.[a-z]+\.[a-z]+=\d+)\.", said)
    assert key
    assert wanted(None, [key[1]], "svg").params["radar"].sparsity == 90
    assert "recipe key" not in said


def test_a_file_of_somebody_else_is_left_alone(typed: Any, tmp_path: Path) -> None:
    (tmp_path / "out.html").write_text("mine")
    answer = typed("runs", *FEW)
    assert answer.code == 2
    assert "a file that no report made lies there; name another" in answer.complaint
    assert (tmp_path / "out.html").read_text() == "mine"


@pytest.mark.long
def test_a_report_imports_no_torch(spent: Path, tmp_path: Path) -> None:
    line = f"report runs --figure layer-density --out {tmp_path / 'out.html'}"
    (loaded,) = _loaded(spent, line).values()
    assert not loaded & {"torch", "torchvision", "huggingface_hub"}


@pytest.mark.long
def test_the_commands_on_the_page_make_the_same_tickets_and_nets(cli: Program, home: Path) -> None:
    """In an empty workspace, where nothing is left to find: equal ids are equal masks, weights and recipes."""
    spend = ("spend", "--level", "1", "--seed", "3", "--tweaks", "ls", "--set", "train.lr=0.03", "--quiet")
    assert cli(*spend, "--set", "tweaks.ls.alpha=0.2").code == 0
    assert cli("report", "--figure", "layer-density", "--quiet").code == 0
    found = check((home / "report.html").read_bytes())
    lines = [
        one for one in found.text.splitlines() if one.startswith(("ticketctl draw ", "ticketctl spend "))
    ]
    assert [line.split()[1] for line in lines] == ["draw", "spend", "spend"]  # without and with the tweak
    for line in lines:
        answer = cli(*shlex.split(line)[1:], "--workspace", "again")
        assert answer.code == 0, answer.err
    before, after = ({*_ids(home / root)} for root in ("runs", "again"))
    assert len(before) > 3
    assert before == after


@pytest.mark.long
def test_the_lines_on_the_page_measure_the_same_paths_twins_and_onsets(
    cli: Program, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed again they find all of it measured; an onset, which they search for by its recipe, has the same values."""
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)
    seed = seed_0(home)
    ends = [f"{seed}/levels/1", f"{seed}/levels/2"]
    onset = ("--recipe", "interpolate/onset", "--set", "onset.inits=1", "--set", "onset.twins=2")
    forms = [(f"{seed}/ticket", "--level", "0,1", "--twins", "2", *SHORT), (f"{seed}/ticket", "--level", "0,2", *SHORT),
             (f"{seed}/ticket", "--level", "1,2", "--set", "interpolate.of=untrained", *SHORT), (*ends, *SHORT),
             (ends[0], *PLANE), (*onset, *SHORT)]  # fmt: skip
    for words in forms:
        answer = cli("interpolate", *words, "--quiet")
        assert answer.code == 0, answer.err
    assert cli("report", "--figure", "layer-density", "--quiet").code == 0
    text = check((home / "report.html").read_bytes()).text
    lines = [shlex.split(one)[1:] for one in text.splitlines() if one.startswith("ticketctl interpolate ")]
    assert len(lines) == len(forms)
    standins = {"TICKET": f"{seed}/ticket", "RUNS": ends[0]}
    (search,) = [words for words in lines if "interpolate/onset" in words]
    for words in (words for words in lines if words is not search):
        said = cli(*(standins.get(word, word) for word in words), "--dry-run", "--json", "--quiet")
        assert said.code == 0, said.err
        assert all(one["there"] for net in said.json["result"]["nets"] for one in net["measures"]), words
    assert sum("--twins" in words for words in lines) == 1
    (again,) = cli(*search, "--json", "--quiet").json["result"]["nets"]
    (before,) = (home / seed / "ticket/reports").glob(f"interpolate-{again['report']}*")
    assert before.is_file()


def _ids(root: Path) -> Iterator[str]:
    """Of every ticket and run."""
    for path in root.rglob("ticket.json"):
        yield open_ticket(path.parent).manifest.ticket_id
    for path in root.rglob("run.json"):
        yield open_run(path.parent).manifest.run_id


# ------------------------------------------------------------------------------------------------------------- browser


class Watched(socketserver.ThreadingTCPServer):
    """A proxy that answers nothing and remembers what it was asked for."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def _any(self) -> None:
        assert isinstance(self.server, Watched)
        self.server.asked.append(self.path)
        self.send_error(404)

    do_GET = do_POST = do_CONNECT = do_HEAD = _any  # noqa: N815  # names of the standard library's

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def proxy() -> Iterator[Watched]:
    with Watched() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-domain-reliability",
         "--disable-client-side-phishing-detection", "--disable-extensions", "--metrics-recording-only",
         "--proxy-bypass-list=<-loopback>", "--virtual-time-budget=3000", "--hide-scrollbars")  # fmt: skip


def browse(page: Path, proxy: Watched, *words: str) -> str:
    """The document as it is after the browser has shown it."""
    port, own = proxy.server_address[1], page.parent / "browser"
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--proxy-server=127.0.0.1:{port}", f"--user-data-dir={own}", *words, page.as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def ours(proxy: Watched) -> list[str]:
    """What a page asked for; a browser's own calls home are none of it."""
    return [one for one in proxy.asked if not re.search(r"google|gstatic|gvt1", one)]


@pytest.mark.long
@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
def test_a_browser_fetches_nothing_and_runs_nothing(typed: Any, tmp_path: Path, proxy: Watched) -> None:
    """Against a page that does both, so that the watch is known to see it."""
    bad = tmp_path / "bad.html"
    bad.write_text("<title>no</title><img src=http://canary.test/x.png><script>document.title='ran'</script>")
    assert "<title>ran</title>" in browse(bad, proxy, "--dump-dom")
    assert ours(proxy) == ["http://canary.test/x.png"]
    proxy.asked.clear()
    hostile = " ".join((*HOSTILE[:2], "<img src=http://canary.test/y.png>"))
    assert typed("runs", *FEW, "--title", hostile).code == 0
    seen = browse(tmp_path / "out.html", proxy, "--dump-dom")
    assert ours(proxy) == []
    found = check(seen.encode())
    assert found.tags["img"] == 2
    assert found.words[[*found.tags].index("title")] != "ran"
    assert plain(hostile) in found.text
    assert "<title>ran" not in seen


MEASURE = (
    "<script>document.title = 'wide ' + document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
)


@pytest.mark.long
@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
def test_a_telephone_shows_the_page_without_scrolling_sideways(
    typed: Any, tmp_path: Path, proxy: Watched
) -> None:
    """A copy without the policy, for a script has to measure it."""
    assert typed("runs", *FEW, "--title", "w" * 200).code == 0
    text = (tmp_path / "out.html").read_text().replace("Content-Security-Policy", "none")
    (tmp_path / "copy.html").write_text(text.replace("</body>", f"{MEASURE}</body>"))
    seen = browse(tmp_path / "copy.html", proxy, "--dump-dom", "--window-size=360,800")
    wide, narrow = map(int, re.findall(r"<title>wide (\d+) of (\d+)</title>", seen)[0])
    assert wide <= narrow <= 500  # no window of Chromium's is narrower than it wants
