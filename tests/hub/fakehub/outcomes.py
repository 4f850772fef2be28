"""Writes docs/reference/hostile-hub.md, every hostile case with its outcome: `python -m tests.hub.fakehub.outcomes`."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.cli.conftest import ask
from tests.hub.fakehub import FakeHub, hostile, hostile_bytes, hostile_sets
from tests.hub.fakehub.hostile import Case, Stage

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/hostile-hub.md"
GROUPS = {
    "Names that are typed": hostile.names,
    "What the Hub says of a repository": hostile.facts,
    "Lists of files": hostile.listings,
    "Manifests that are fetched": hostile.manifests,
    "Sets": hostile_sets.sets,
    "The Hub's cache, offline": hostile_sets.caches,
    "Contents of files": hostile_bytes.contents,
    "Headers": hostile_bytes.headers,
    "Redirects": hostile_bytes.redirects,
    "Refusals": hostile_bytes.refusals,
    "Slowness": hostile_bytes.slowness,
    "Changes under way": hostile_bytes.changes,
}
MEANING = {
    0: "pulled and sound",
    2: "not even asked",
    3: "refused for the files",
    9: "refused for the Hub's answer",
}
HEAD = """# What a malicious Hub can do

`tests/hub/fakehub/hostile*.py` keep these answers as named cases. The suite gives each of them to `ticketctl pull` and
looks at the sandbox afterwards: nothing outside the target folder was made or changed, no sign of a token came to
another server, nothing half-pulled is to be seen, there is one line and no traceback. Exit 0 means that the answer does
no harm, and a sound ticket was pulled with nothing of what was offered beside it; 2 that the name was refused before
anybody was asked; 3 that the files are not what they must be; 9 that the Hub's answer, or a right, was not.

`HUB` and `OTHER` stand for two servers. Answers below HTTP (headers without end, bodies without end, proxies, packed
bodies) are in `tests/hub/test_hostile_wire.py`, prepared workspaces in `tests/hub/test_pull_ground.py`.

Made by `python -m tests.hub.fakehub.outcomes`; in the cases of slowness the client gives up after a second of silence.
"""


def outcomes(
    cases: Iterable[Case], top: Path, hub: FakeHub, other: FakeHub
) -> Iterator[tuple[str, int, str]]:
    """Name, exit code and last line of each case, in a sandbox of its own."""
    ticket = hostile.sound(top / "ticket") if not (top / "ticket").exists() else top / "ticket"
    for case in cases:
        inside = top / case.name.replace(" ", "-").replace("/", "-")
        work = inside / "a/b/home/work"
        work.mkdir(parents=True)
        for one in (hub, other):
            for kept in (one.faults, one.requests, one.repos, one.trees, one.moved):
                kept.clear()
        for name in [name for name in os.environ if name.startswith("HF_")]:
            del os.environ[name]
        home = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(work.parent / "hf")}
        os.environ.update(home, **case.env)
        stage = Stage(hub, other, ticket, inside)
        stage.plant()
        case.spoil(stage)
        answer = ask(work, "pull", *case.ask.split(" "))
        said = answer.err.splitlines()[-1].removeprefix("ticketctl: ") if answer.code else "pulled"
        for url, name in ((hub.url, "HUB"), (other.url, "OTHER")):
            said = (
                said.replace(url, name)
                .replace(url.removeprefix("http://"), name)
                .replace(str(work.parent), "HOME")
                .replace(str(inside), "HERE")
            )
        yield case.name, answer.code, said.replace("|", "\\|").replace("`", "´")[:160]


def main() -> None:
    """Write the page."""
    import huggingface_hub.constants  # noqa: F401  # before a time of 1.0 s is set, which it cannot read

    from ticketctl.hub import session

    session.PAUSE = 0.01
    ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]  # reading them takes longer than all else
    parts, codes = [], Counter[int]()
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeHub(Path(folder) / "hub") as hub,
        FakeHub(Path(folder) / "other") as other,
    ):
        for title, cases in GROUPS.items():
            rows = list(outcomes(cases(), Path(folder), hub, other))
            codes.update(code for _, code, _ in rows)
            lines = [f"| {name} | {code} | {said} |" for name, code, said in rows]
            parts.append("\n".join([f"## {title}", "", "| case | exit | says |", "|---|---|---|", *lines]))
    told = "\n".join(f"* {count} {MEANING[code]} (exit {code})" for code, count in sorted(codes.items()))
    PAGE.write_text("\n".join([HEAD, f"{sum(codes.values())} cases:\n", told, "", "\n\n".join(parts), ""]))


if __name__ == "__main__":
    main()
