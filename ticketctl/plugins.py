"""Plug-ins are modules found by their file name. Listing them reads their source and imports nothing.

A kind (`draws`, `tweaks`, `metrics`, `curves`, `figures`, `dialects`, `nets`, `data`) is a folder of the package plus
the entry-point group `ticketctl.<kind>`. A draw, tweak, metric, curve, figure or dialect is one module and answers to
its file name with dashes, or to its literal `TYPED`. A net or data module serves several names, listed in a literal
dictionary `NAMES` that gives each its one-line help. The others say more of itself in literal constants, `FACTS` and
others. Built-ins win a clash of names.

A name with a colon stands for many: `torchvision:NAME` in `NAMES` serves `torchvision:resnet101` and all its like, and
`MODULE:FUNCTION` serves whatever else has a module before its colon and a function behind it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ticketctl.errors import UsageError, near_miss

OWN = "MODULE:FUNCTION"
"""The name, in a module's `NAMES`, under which a user's own code is reached."""

_ENTRIES = {
    "draws": "draw",
    "tweaks": "tweak",
    "metrics": "measure",
    "curves": "measure",
    "figures": "gather",
    "dialects": "read",
}
"""The function that makes a module a plug-in of its kind."""

FACTS_TITLE = "Facts (E epochs of one training, n rounds, k epochs before the rewind point):"

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Plugin:
    """A name users type, the module behind it, its line of help, and what its `FACTS` say of it."""

    name: str
    module: str
    help: str
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)
    literals: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """All its constants that are written out."""


@cache
def plugins(kind: str) -> dict[str, Plugin]:
    """All plug-ins of `kind` by name, ours first. Imports none of them."""
    found: dict[str, Plugin] = {}
    for path in sorted((_PACKAGE / kind).glob("[a-z]*.py")):
        for plugin in _read(kind, path, f"ticketctl.{kind}.{path.stem}"):
            found[plugin.name] = plugin
    for entry in entry_points(group=f"ticketctl.{kind}"):
        spec = find_spec(entry.value)
        for plugin in _read(kind, Path(spec.origin), entry.value, entry.name) if spec and spec.origin else ():
            found.setdefault(plugin.name, plugin)
    return dict(sorted(found.items()))


def metrics_of(command: str) -> tuple[str, ...]:
    """The metrics of a command (audit, probe, transfer) that are measured where none is named, sorted.

    A module says whose it is, if it is no audit's, by `COMMAND`, and by `ASKED` that it wants to be named.
    """
    known = plugins("metrics").items()
    return tuple(name for name, one in known if _command(one) == command and not one.literals.get("ASKED"))


def wrong_command(name: str, command: str) -> str:
    """Where the metric `name` belongs if not to `command`, or ""."""
    found = plugins("metrics").get(name)
    if found is None or (own := _command(found)) == command:
        return ""
    option = "" if own == "transfer" else f" --metrics {name}"
    return f"{name} is measured by another command: ticketctl {own}{option}"


def _command(metric: Plugin) -> str:
    return str(metric.literals.get("COMMAND", "audit"))


def serving(kind: str, name: str) -> Plugin | None:
    """The plug-in that serves `name`, itself or by what stands before its colon; None if there is none."""
    known = plugins(kind)
    begin, colon, end = name.partition(":")
    if name in known or not colon:
        return known.get(name)
    if f"{begin}:NAME" in known:
        return known[f"{begin}:NAME"]
    dotted = all(part.isidentifier() for part in (*begin.split("."), end))
    return known.get(OWN) if dotted else None


def is_own(kind: str, name: str) -> bool:
    """Whether `name` stands for code of the user's own, which a file could name as well as the user."""
    found = serving(kind, name)
    return found is not None and found.name == OWN


def load(kind: str, name: str) -> ModuleType:
    """Import the module behind `name`.

    Raises:
        UsageError: no such name; says the near miss.
    """
    found = serving(kind, name)
    if found is None:
        noun = {
            "draws": "method",
            "tweaks": "tweak",
            "nets": "model",
            "data": "data set",
            "metrics": "metric",
            "curves": "curve",
            "figures": "figure",
        }.get(kind, kind)
        raise UsageError(f"no {noun} named {name!r}; {near_miss(name, plugins(kind))}")
    return import_module(found.module)


def _read(kind: str, path: Path, module: str, alias: str | None = None) -> list[Plugin]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = next((_literal(node) for node in tree.body if _assigns(node, "NAMES")), None)
    if names is not None:
        return [Plugin(name, module, text) for name, text in names.items()]
    entry = _ENTRIES.get(kind)
    if not any(isinstance(node, ast.FunctionDef) and node.name == entry for node in tree.body):
        return []
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    constants = dict(_constants(tree))
    name = alias or constants.get("TYPED") or path.stem.replace("_", "-")
    return [Plugin(name, module, summary, _facts(tree), constants)]


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        goals = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        for goal in goals:
            if isinstance(goal, ast.Name) and goal.id.isupper():
                with suppress(ValueError, TypeError, SyntaxError):
                    yield goal.id, ast.literal_eval(node.value)  # type: ignore[attr-defined]  # assignments have one


def _facts(tree: ast.Module) -> dict[str, str]:
    found = next((node for node in tree.body if _assigns(node, "FACTS")), None)
    try:
        return _literal(found) if found else {}
    except (AssertionError, AttributeError, ValueError):  # another's, and no plain dictionary
        return {}


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
    """The docstring of the module behind `name`, its facts, and its keys with their defaults; imports nothing.

    Raises:
        UsageError: no such name.
    """
    found = serving(kind, name)
    if found is None:
        raise UsageError(f"nothing named {name!r}; {near_miss(name, plugins(kind))}")
    path = _source(found)
    text = [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""]
    facts = [f"  {key:<9} {fact}" for key, fact in found.facts.items()]
    titles = (FACTS_TITLE, "Keys of [draw]:") if kind == "draws" else ("Facts:", f"Keys of [{kind}.{name}]:")
    for title, lines in zip(titles, (facts, _keys(path)), strict=True):
        text += ["", title, *lines] if lines else []
    return "\n".join(text)


def keys(kind: str, name: str) -> list[str]:
    """The keys of the draw or tweak `name`; imports nothing."""
    found = serving(kind, name)
    lines = _keys(_source(found)) if found else []
    return [line.split()[0].rstrip(":") for line in lines]


def odd_key(kind: str, name: str, table: Iterable[str]) -> str:
    """What is wrong with keys of the plug-in `name`, all of which it should have; "" if nothing is."""
    own = keys(kind, name)
    odd = next((key for key in table if key not in own), None)
    if odd is None:
        return ""
    return f"{kind}.{name} has no key {odd}; {near_miss(odd, own) if own else 'it has none'}"


def defaults(kind: str, name: str) -> dict[str, Any]:
    """The defaults of those keys that have one which is written out; imports nothing."""
    found = serving(kind, name)
    values = {}
    for line in _keys(_source(found)) if found else []:
        key, equals, rest = line.strip().partition(" = ")
        text = rest.partition(": ")[0]
        fraction = re.fullmatch(r"Fraction\((.*)\)", text)
        with suppress(ValueError, TypeError, SyntaxError):
            if equals and fraction:
                values[key] = Fraction(*_arguments(fraction[1]))
            elif equals:
                values[key] = ast.literal_eval(text)
    return values


def _arguments(text: str) -> tuple[Any, ...]:
    found = ast.literal_eval(text)
    return found if isinstance(found, tuple) else (found,)


def _source(plugin: Plugin) -> Path:
    spec = find_spec(plugin.module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _keys(path: Path, name: str = "Params") -> list[str]:
    """`key = default: meaning` of the class `name`, of what it inherits first; it may stand in a module beside it."""
    for node in _body(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.ClassDef) and node.name == name:
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            return [*(key for base in bases for key in _keys(path, base)), *_fields(node)]
        if isinstance(node, ast.ImportFrom) and node.module:
            origin = [alias.name for alias in node.names if (alias.asname or alias.name) == name]
            source = path.parent / f"{node.module.rpartition('.')[2]}.py"
            if origin and source.is_file():
                return _keys(source, origin[0])
    return []


@lru_cache(maxsize=64)
def _body(source: str) -> list[ast.stmt]:
    """Read once: each cell of a paper's table asks for the keys of its method. Not to be changed."""
    return ast.parse(source).body


def _fields(node: ast.ClassDef) -> list[str]:
    found = []
    for line, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            default = f" = {ast.unparse(line.value)}" if line.value else ""
            doc = after.value if isinstance(after, ast.Expr) else None
            meaning = " ".join(str(doc.value).split()) if isinstance(doc, ast.Constant) else ""
            found.append(f"  {line.target.id}{default}: {meaning}")
    return found
