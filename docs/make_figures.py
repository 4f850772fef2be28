"""Make the pictures of the documentation by the commands that its pages show: `python docs/make_figures.py`.

The console blocks of some sections (`SECTIONS`) are run as they stand, in their order, and what `ticketctl plot` and
the browser draw is put where the pages show it. Blocks marked `not run` are left out, but for those whose reason has a
word that is named with `--also`. A folder that is named keeps the runs: what had been run there is not run again.

    python docs/make_figures.py                                  all that needs nothing but digits
    python docs/make_figures.py --runs made --also browser       also the picture of the report page
    python docs/make_figures.py --runs made --also MNIST         also those of nets on MNIST
    python docs/make_figures.py --runs made --only conv/,onset   the blocks in which some command has one of these words
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Section:
    """A heading of a page, below which commands make pictures."""

    page: Path
    heading: str
    runs: str
    """The folder in which they are run."""
    pictures: str = "figures"
    """Where below docs/ the pictures belong."""


SECTIONS = (
    Section(DOCS.parent / "README.md", "## See it", "readme", ""),
    Section(DOCS / "how-to" / "make-a-report.md", "## The picture of a page", "readme", ""),
    Section(DOCS / "how-to" / "plot-figures.md", "## The pictures of this documentation", "pictures"),
)
DONE = "done.txt"
"""In a folder of runs: the commands that were run there to their end."""
TOOLS = {"ticketctl": "-m ticketctl", "python": ""}


@dataclass(frozen=True)
class Block:
    """The commands of a fenced block, and why it is not run, if it is not."""

    commands: tuple[str, ...]
    not_run: str

    def wanted(self, also: Collection[str], only: Collection[str]) -> bool:
        """Whether it is to be run: one that is marked `not run` where a word of its reason is among `also`."""
        named = not only or any(word in command for word in only for command in self.commands)
        return named and (not self.not_run or any(word in self.not_run for word in also))


def blocks(section: Section) -> Iterator[Block]:
    """The console and Python blocks of a section; the latter as one command."""
    text = section.page.read_text(encoding="utf-8").partition(f"\n{section.heading}\n")[2]
    text = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    fenced = r"(?:^<!-- not run: (?P<why>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$"
    for found in re.finditer(fenced, text, flags=re.MULTILINE | re.DOTALL):
        lines = found["body"].splitlines()
        if found["language"] == "python":
            yield Block((f"python - <<'END'\n{found['body']}END",), found["why"] or "")
        elif found["language"] == "console":
            yield Block(tuple(line[2:] for line in lines if line.startswith("$ ")), found["why"] or "")


def environment(tools: Path) -> dict[str, str]:
    """Where `ticketctl` and `python` are this checkout's, on one thread, and nothing that was set changes a run."""
    tools.mkdir(parents=True, exist_ok=True)
    for name, target in TOOLS.items():
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {target} "$@"\n', encoding="utf-8")
        (tools / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKETCTL")}
    paths = {
        name: os.pathsep.join([str(first), *filter(None, [kept.get(name)])])
        for name, first in (("PATH", tools), ("PYTHONPATH", DOCS.parent))
    }
    return kept | paths | {"OMP_NUM_THREADS": "1"}


def run(commands: Sequence[str], folder: Path, known: dict[str, str]) -> None:
    """Run commands in a folder, each of them once; the first that fails ends all.

    Raises:
        SystemExit: a command fails; with its output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / DONE
    done = log.read_text(encoding="utf-8").split("\0") if log.is_file() else []
    for command in commands:
        if command in done:
            continue
        begun = time.monotonic()
        _say(f"$ {command.splitlines()[0]}")
        ended = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=known, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise SystemExit(f"{ended.stdout}{ended.stderr}\nexit {ended.returncode}: {command}")
        _say(f"  {time.monotonic() - begun:.0f} s")
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{command}\0")


def place(runs: Path, goal: Path) -> None:
    """Copy what was drawn in a folder to where the pages show it, and say what of it they do not show.

    Args:
        runs: with figures/*.svg, and *.png beside them.
        goal: the folder of the pages' pictures.
    """
    for kind in ("svg", "png"):
        shown = {path.stem for path in goal.glob(f"*.{kind}")}
        placed: set[str] = set()
        for path in sorted(
            (runs / "figures" if kind == "svg" else runs).glob(f"*.{kind}"), key=lambda one: one.stem
        ):
            name = as_shown(path.stem, shown)
            if name is None or name in placed:
                _say(f"  not shown: {path.name}")
                continue
            placed.add(name)
            shutil.copyfile(path, goal / f"{name}.{kind}")
            _say(f"  {path.name} as {goal / f'{name}.{kind}'}")


def as_shown(name: str, shown: Collection[str]) -> str | None:
    """What a picture is called on a page: parts of its name that only tell runs apart are left out there.

    Args:
        name: of the figure, its sheet and its runs, between dots.
        shown: pictures that there are. Of a figure that has none yet, all are shown; else those of these sheets.
    """
    parts = name.split(".")
    starts = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    known = next((start for start in starts if start in shown), None)
    new = not any(one.partition(".")[0] == parts[0] for one in shown)
    return name if new else known


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def make(runs: Path, docs: Path, also: Collection[str], only: Collection[str]) -> None:
    """Run all blocks that are wanted, and place what they draw.

    Args:
        runs: the folder in which they are run.
        docs: that of the documentation whose pictures are replaced.
        also: words of reasons for which blocks are not run; these are.
        only: words of commands; none: all.
    """
    known = environment(runs / "bin")
    for section in SECTIONS:
        for block in blocks(section):
            if block.wanted(also, only):
                run(block.commands, runs / section.runs, known)
    for folder, pictures in dict.fromkeys((one.runs, one.pictures) for one in SECTIONS):
        place(runs / folder, docs / pictures)


def main() -> None:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, help="folder that keeps the runs; none: nothing is kept")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder whose pictures are replaced")
    parser.add_argument("--also", default="", help="words of reasons, with commas: browser,MNIST")
    parser.add_argument("--only", default="", help="words of commands, with commas")
    typed = parser.parse_args()
    words = [[one for one in text.split(",") if one] for text in (typed.also, typed.only)]
    with tempfile.TemporaryDirectory() as bare:
        make((typed.runs or Path(bare)).resolve(), typed.docs.resolve(), *words)


if __name__ == "__main__":
    main()
