"""The rules of the house that a machine can check: layers, size, no unsafe reader, no print, no path of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.every import every

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ticketctl"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)

MODULE_LINES, FUNCTION_LINES = 300, 45

LONGER: set[str] = set()
"""Modules over 300 lines when this test was written: each is to be split, and none is to join them."""

LONGER_FUNCTIONS = {
    "artifacts/ticket.py:write_ticket",  # half of it documents its arguments
    "artifacts/run.py:write_run",
    "api/commands.py:draw",
    "api/commands.py:spend",
    "api/commands.py:audit",
    "cli/draw.py:draw",  # the options of the command and its help
    "cli/spend.py:spend",
    "cli/audit.py:audit",
    "cli/probe.py:probe",
    "cli/transfer.py:transfer",
    "cli/interpolate.py:interpolate",
}

UNSAFE = {"torch.save", "torch.load", "yaml.load", "eval", "exec", "os.system", "np.load", "numpy.load"}
ALLOWED = {"stages/torch_files.py": ["torch.save"]}
"""Where torch's own files are written, of names and tensors alone, for other programs to read."""

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_METHODS = {"extractall"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def _read_once() -> Iterator[None]:
    """Each module is parsed once for all that is asked of it, and kept no longer."""
    yield
    tree_of.cache_clear()


@cache
def calls(path: Path) -> set[str]:
    """What a module calls, as it is written."""
    return {ast.unparse(node.func) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)}


def unsafe(tree: ast.AST) -> list[str]:
    """What a module has that can run what a file says."""
    return [fault for node in ast.walk(tree) for fault in _faults(node)]


def _faults(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
        )
        yield from (name for name in names if name.partition(".")[0] in UNSAFE_MODULES)
        if isinstance(node, ast.ImportFrom):
            yield from (full for name in node.names if (full := f"{node.module}.{name.name}") in UNSAFE)
    if not isinstance(node, ast.Call):
        return
    called = ast.unparse(node.func)
    if called == "torch.load" and _reads_weights_only(node):
        return
    if called in UNSAFE or called.rpartition(".")[2] in UNSAFE_METHODS:
        yield called
    for keyword in node.keywords:
        if keyword.arg in ("shell", "allow_pickle") and not (
            isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        ):
            yield f"{called}({keyword.arg}=…)"


def _reads_weights_only(call: ast.Call) -> bool:
    """What torch then builds is plain; importers may use it (ruff's ban asks each for its reason)."""
    said = {word.arg: word.value for word in call.keywords}.get("weights_only")
    return isinstance(said, ast.Constant) and said.value is True


@pytest.mark.long
@every(MODULES)
def test_nothing_runs_what_a_file_says(path: Path) -> None:
    assert unsafe(tree_of(path)) == ALLOWED.get(path.relative_to(PACKAGE).as_posix(), [])


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import loads", "torch.load(f)", "torch.load(f, weights_only=False)",
     "torch.load(f, weights_only=x)", "from torch import load", "eval('1')", "exec(x)",
     "archive.extractall(p)", "run(x, shell=True)", "np.load(f, allow_pickle=True)", "f(allow_pickle=x)",
     "yaml.load(f)"],
)  # fmt: skip
def test_the_check_for_unsafe_calls_can_fail(code: str) -> None:
    assert unsafe(ast.parse(code))


@pytest.mark.long
@every(MODULES)
def test_only_the_command_line_prints(path: Path) -> None:
    assert "print" not in calls(path)
    if path.parent.name != "cli":
        assert not {"sys.stdout.write", "sys.stderr.write"} & calls(path)


@every(MODULES)
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    name = path.relative_to(PACKAGE).as_posix()
    if name in LONGER:
        assert lines > MODULE_LINES, f"{name} is short now: take it off the list"
    else:
        assert lines <= MODULE_LINES


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.long
@every(MODULES)
def test_functions_are_short(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    long = {
        f"{name}:{node.name}"
        for node in _functions(path)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES
    }
    assert long <= LONGER_FUNCTIONS


@every(MODULES)
def test_public_functions_are_described(path: Path) -> None:
    """Ruff's D1 sees to the methods; this holds even where someone writes a noqa."""
    tree = tree_of(path)
    parts = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef))]
    mute = [getattr(node, "name", "the module") for node in parts if not ast.get_docstring(node)]
    assert [name for name in mute if not name.startswith("_")] == []


@every(MODULES)
def test_no_drawers_for_odds_and_ends(path: Path) -> None:
    assert not re.search(r"util|helper|misc|common", path.relative_to(PACKAGE).as_posix())


def test_no_path_of_one_machine() -> None:
    """In nothing that is shipped: code, recipes, formats, docs."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.rstrip("\0").split("\0"):
        path = ROOT / name
        if (
            name.startswith("tests/")
            or path.suffix not in {".py", ".toml", ".md", ".json", ""}
            or not path.is_file()
        ):
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [
            f"{name}: {hit}"
            for hit in re.findall(r"(?:/(?:home|root|Users|work)/|C:\\\\Users)[\w./-]*", text)
        ]
    assert found == []


@pytest.mark.long
def test_imports_run_downhill() -> None:
    """The contracts of pyproject.toml."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", done.stdout)
