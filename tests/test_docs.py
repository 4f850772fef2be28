"""The documentation cannot lie: what it shows runs, generated pages are current, links lead somewhere.

Each page runs from top to bottom in a workspace of its own. HTML comments just above a block steer it:

    <!-- not run: reason -->         shown only
    <!-- slow: reason -->            run with `--slow` alone, and so is the rest of its page
    <!-- numbers vary: reason -->    numbers, ids and hashes of the output are not compared
    <!-- exits 2 -->                 the exit code of its last command
    <!-- file: NAME -->              the block is written to NAME

A console block's commands begin with `$ `; the lines below are the output, in order, `...` for any lines.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.warm import Warm
from ticketctl import errors
from ticketctl.cli.app import COMMANDS
from ticketctl.plugins import plugins

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RUN = {"console", "bash", "python"}


@dataclass
class Block:
    """A fenced block and the comments above it."""

    language: str
    line: int
    lines: list[str] = field(default_factory=list)
    orders: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    block: Block | None = None
    orders: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.fullmatch(r"<!-- (not run|slow|numbers vary|exits|file):? ?(.*?) -->", line)
        if block is None and line.startswith("```"):
            block = Block(line[3:].strip(), number, orders=orders)
        elif block is not None and line == "```":
            yield block
            block, orders = None, {}
        elif block is not None:
            block.lines.append(line)
        else:
            orders = {**orders, comment[1]: comment[2]} if comment else {}
    assert block is None, f"the block at line {block and block.line} has no end"


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block with the output it shows. A bash block shows none."""
    if block.language == "bash":
        yield block.text, ["..."]
        return
    command: str | None = None
    shown: list[str] = []
    for line in block.lines:
        if line.startswith("$ "):
            if command is not None:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line)
    assert command is not None, f"line {block.line}: a console block without a command"
    yield command, shown


def plain(line: str, varies: bool) -> str:
    """A line as it is compared."""
    if varies:
        line = re.sub(r"\b(tk1|rn1|rp1|vd1)[a-z2-7]+|(?<=[-/])[0-9a-f]{8}(?=\b)|\b00[34]\b", "", line)
        line = re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "", line)
    return " ".join(line.split())


def check_shown(shown: list[str], output: str, *, varies: bool) -> None:
    """Every line shown is in the output, in this order; without `...` between, one right after the other."""
    found = [plain(line, varies) for line in output.splitlines()]
    place, gap = 0, False
    for line in shown:
        if line == "...":
            gap = True
            continue
        rest = found[place:]
        wanted = plain(line, varies)
        assert wanted in (rest if gap else rest[:1]), f"shown, not printed here: {line!r}; printed:\n{output}"
        place += rest.index(wanted) + 1
        gap = False
    assert gap or place == len(found), f"printed and not shown:\n{found[place:]}"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty folder in which `ticketctl`, `python` and read_ticket.py are at hand."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool, target in (("ticketctl", "-m ticketctl"), ("python", "")):
        path = tools / tool
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {target} "$@"\n')
        path.chmod(0o755)
    place = tmp_path / "here"
    place.mkdir()
    (place / "read_ticket.py").write_bytes((DOCS / "read_ticket.py").read_bytes())
    return place


def environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TICKETCTL", "PYTHON"))}
    above = place.parent
    return kept | {
        "PATH": f"{above / 'bin'}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(place)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(above),
        "TICKETCTL_CACHE": str(above / "cache"),
        "TERM": "dumb",
        "OMP_NUM_THREADS": "1",
    }


def run_page(page: Path, place: Path, *, slow: bool) -> None:
    """Run the page's blocks in order."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if "slow" in block.orders and not slow:
            break
        if "not run" in block.orders:
            continue
        if "file" in block.orders:
            write_file(place / block.orders["file"], block.text)
        elif block.language == "python":
            (place / "block.py").write_text(block.text, encoding="utf-8")
            run_block(page, block, "python block.py", ["..."], place)
        elif block.language in RUN:
            found = list(commands(block))
            for number, (command, shown) in enumerate(found, 1):
                run_block(page, block, command, shown, place, last=number == len(found))


def run_block(
    page: Path, block: Block, command: str, shown: list[str], place: Path, *, last: bool = True
) -> None:
    code, output = run(command, place)
    where = f"{name_of(page)}:{block.line}: {command}"
    wanted = int(block.orders.get("exits", 0)) if last else 0
    assert code == wanted, f"{where}: exit {code}\n{output}"
    try:
        check_shown(shown, output, varies="numbers vary" in block.orders)
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from None


def run(command: str, place: Path) -> tuple[int, str]:
    """Exit code, and what went to stderr and then to stdout. What needs no shell runs in the warm process."""
    plain = re.fullmatch(r"((?:ticketctl|python) [^|<>&;$]*?)(?: > ([\w.-]+))?", command, re.DOTALL)
    if plain:
        return run_warm(shlex.split(plain[1]), place, plain[2])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stderr + done.stdout


def run_warm(argv: list[str], place: Path, file: str | None) -> tuple[int, str]:
    out, err = place / file if file else place.parent / "out.txt", place.parent / "err.txt"
    code = Warm.one().begin(argv, place, environment(place), out, err).wait()
    return code, err.read_text() + ("" if file else out.read_text())


def write_file(path: Path, text: str) -> None:
    """Write a file that a page shows. A pyproject.toml is installed, as far as its entry points go."""
    path.write_text(text, encoding="utf-8")
    if path.name == "pyproject.toml":
        project = tomllib.loads(text)["project"]
        folder = path.parent / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        folder.mkdir()
        facts = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (folder / "METADATA").write_text(facts)
        lines = [
            line
            for group, points in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{name} = {module}" for name, module in points.items()))
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


def runs(page: Path, *, slow: bool) -> bool:
    """Whether a page has anything to run, in the default run or in the slow one."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if "slow" in block.orders:
            return slow
        if block.language in RUN and not {"not run", "file"} & block.orders.keys() and not slow:
            return True
    return False


def cases(pages: list[Path]) -> list[Any]:
    """Those of how-to train nets, a minute and a half in all."""
    marks = {"how-to": pytest.mark.long}
    return [pytest.param(page, marks=marks.get(page.parent.name, ()), id=name_of(page)) for page in pages]


@pytest.mark.parametrize("page", cases([page for page in PAGES if runs(page, slow=False)]))
def test_the_page_runs_as_written(page: Path, workspace: Path) -> None:
    run_page(page, workspace, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runs(page, slow=True)], ids=name_of)
def test_the_slow_page_runs_as_written(page: Path, workspace: Path) -> None:
    run_page(page, workspace, slow=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_known_language_and_known_orders(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.language in {*RUN, "toml", "text", "json"}, f"{name_of(page)}:{block.line}"
        assert block.orders.get("not run", "reason") != "", f"{name_of(page)}:{block.line}: not run, why?"


def test_output_is_compared() -> None:
    check_shown(["a 1", "...", "c"], "a  1\nb\nb\nc\n", varies=False)
    check_shown(
        ["ticket 17 tk1abc runs/imp-0123abcd 3.5", "..."],
        "ticket 18 tk1xyz runs/imp-89abcdef\nb",
        varies=True,
    )
    for shown in (["b"], ["a 1"], ["a 2", "..."], ["...", "c", "b", "..."]):
        with pytest.raises(AssertionError):
            check_shown(shown, "a 1\nb\nc\n", varies=False)


# ------------------------------------------------------------------------------------------------------ completeness


def everything() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def written_by_hand() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.parent.name != "reference")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_docs_and_has_help(name: str) -> None:
    assert re.search(rf"ticketctl {name}\b", written_by_hand()) or f"`{name}`" in written_by_hand()
    assert (COMMANDS[name].__doc__ or "").strip()


@pytest.mark.parametrize(
    "name", [name for name, plugin in plugins("draws").items() if "ticketctl." in plugin.module]
)
def test_every_draw_method_is_in_the_docs(name: str) -> None:
    assert f"`{name}`" in written_by_hand()


@pytest.mark.parametrize("kind", ["nets", "data"])
def test_every_plugin_kind_is_in_the_docs(kind: str) -> None:
    assert f"ticketctl.{kind}" in written_by_hand()


def test_every_environment_variable_is_in_the_docs() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ticketctl").rglob("*.py"))
    names = set(re.findall(r"TICKETCTL_[A-Z_]*[A-Z]", sources))
    assert names
    assert not {name for name in names if name not in everything()}


def test_every_control_and_stream_is_in_the_docs() -> None:
    for path, wanted in (
        ("masks/prunable.py", "POLICIES"),
        ("artifacts/models.py", "CONTROL_KINDS"),
        ("seeds.py", "STREAMS"),
    ):
        tree = ast.parse((ROOT / "ticketctl" / path).read_text(encoding="utf-8"))
        for word in words_of(tree, wanted):
            assert f"`{word}`" in written_by_hand(), f"{wanted} of {path}: {word}"


def words_of(tree: ast.Module, name: str) -> list[str]:
    """The words of a literal tuple, or the keys of a dictionary, assigned to `name`."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = getattr(node, "value", None)
            parts = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [])
            return [ast.literal_eval(part) for part in parts]
    raise AssertionError(f"no {name}")


def test_every_exit_code_is_explained() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \|", page, flags=re.M))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    for kind in kinds:
        if kind not in (
            errors.ArtifactError,
            errors.StoppedError,
        ):  # the one has many codes, the other two exits
            assert rows.get(str(kind.exit_code)) == f"`{kind.code}`", kind
    assert {"0", "3", "75", "130"} <= rows.keys()
    documented = {
        int(number) for number in re.findall(r"^[ │├└─A-Za-z]+?(\d+)[ /]", errors.__doc__ or "", flags=re.M)
    }
    assert documented <= {int(number) for number in rows}


# --------------------------------------------------------------------------------------------------- generated, linked


def generator(name: str) -> ModuleType:
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_cli_reference", "make_recipe_reference"])
def test_the_generated_page_is_current(name: str) -> None:
    module = generator(name)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), f"run python docs/{name}.py"


def test_the_pages_of_the_draw_methods_are_current() -> None:
    module = generator("make_draw_reference")
    pages = module.pages()
    others = {module.PAGE, module.TWEAKS, module.METRICS, module.CURVES, module.FIGURES}
    assert {*module.FOLDER.iterdir()} == {*pages} - others, "run python docs/make_draw_reference.py"
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name}: run python docs/make_draw_reference.py"
        )


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from their text."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{name_of(page)}: {target}"
        assert not anchor or anchor in headings(goal), f"{name_of(page)}: {target}"


def test_every_page_is_reached_from_the_index() -> None:
    seen, queue = set(), [DOCS / "index.md"]
    while queue:
        page = queue.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                queue.append((page.parent / target).resolve())
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_are_short_enough_to_read(page: Path) -> None:
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith(("|", "<!--", "*", "![")):
            assert len(line) <= 120, f"{name_of(page)}:{number}: {len(line)}"
