"""Plug-ins are modules found by their file name. Listing them reads their source and imports nothing.

A kind (`draws`, `nets`, `data`) is a folder of the package plus the entry-point group `ticketctl.<kind>`. A draw is
one module and answers to its file name with dashes. A net or data module serves several names, listed in a literal
dictionary `NAMES` that gives each its one-line help. Built-ins win a clash of names.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ticketctl.errors import UsageError, near_miss

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Plugin:
    """A name users type, the module behind it, and its line of help."""

    name: str
    module: str
    help: str


@cache
def plugins(kind: str) -> dict[str, Plugin]:
    """All plug-ins of `kind` by name, ours first. Imports none of them."""
    found: dict[str, Plugin] = {}
    for path in sorted((_PACKAGE / kind).glob("[a-z]*.py")):
        for plugin in _read(path, f"ticketctl.{kind}.{path.stem}"):
            found[plugin.name] = plugin
    for entry in entry_points(group=f"ticketctl.{kind}"):
        spec = find_spec(entry.value)
        for plugin in _read(Path(spec.origin), entry.value, entry.name) if spec and spec.origin else ():
            found.setdefault(plugin.name, plugin)
    return dict(sorted(found.items()))


def load(kind: str, name: str) -> ModuleType:
    """Import the module behind `name`.

    Raises:
        UsageError: no such name; says the near miss.
    """
    known = plugins(kind)
    if name not in known:
        noun = {"draws": "method", "nets": "model", "data": "data set"}.get(kind, kind)
        raise UsageError(f"no {noun} named {name!r}; {near_miss(name, known)}")
    return import_module(known[name].module)


def _read(path: Path, module: str, alias: str | None = None) -> list[Plugin]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = next((_literal(node) for node in tree.body if _assigns(node, "NAMES")), None)
    if names is not None:
        return [Plugin(name, module, text) for name, text in names.items()]
    if not any(isinstance(node, ast.FunctionDef) and node.name == "draw" for node in tree.body):
        return []
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return [Plugin(alias or path.stem.replace("_", "-"), module, summary)]


def _assigns(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id == name
    return isinstance(node, ast.Assign) and any(
        isinstance(goal, ast.Name) and goal.id == name for goal in node.targets
    )


def _literal(node: ast.stmt) -> dict[str, str]:
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    assert node.value is not None
    value = ast.literal_eval(node.value)
    return {str(key): str(text) for key, text in value.items()}


def describe(kind: str, name: str) -> str:
    """The docstring of the module behind `name`, and its keys with their defaults; imports nothing.

    Raises:
        UsageError: no such name.
    """
    known = plugins(kind)
    if name not in known:
        raise UsageError(f"nothing named {name!r}; {near_miss(name, known)}")
    spec = find_spec(known[name].module)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin)
    text = [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""]
    keys = _keys(path)
    return "\n".join([*text, *(["", "Keys of [draw]:", *keys] if keys else [])])


def _keys(path: Path) -> list[str]:
    """`key = default: meaning` of the module's Params, which may come from a shared private module beside it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Params":
            return _fields(node)
        if isinstance(node, ast.ImportFrom) and node.module:
            shared = [name.name for name in node.names if name.asname == "Params"]
            source = path.parent / f"{node.module.rpartition('.')[2]}.py"
            if shared and source.is_file():
                classes = (part for part in ast.parse(source.read_text(encoding="utf-8")).body)
                return next(
                    _fields(part)
                    for part in classes
                    if isinstance(part, ast.ClassDef) and part.name == shared[0]
                )
    return []


def _fields(node: ast.ClassDef) -> list[str]:
    found = []
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            default = f" = {ast.unparse(field.value)}" if field.value else ""
            doc = after.value if isinstance(after, ast.Expr) else None
            meaning = str(doc.value) if isinstance(doc, ast.Constant) else ""
            found.append(f"  {field.target.id}{default}: {meaning}")
    return found
