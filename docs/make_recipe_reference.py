"""Write docs/reference/recipes-keys.md from ticketctl/recipe.py and the draw methods, read as text with `ast`.

Run `python docs/make_recipe_reference.py`; `tests/test_docs.py` compares the page with what `page()` returns.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ticketctl.plugins import describe, plugins

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "recipes-keys.md"
SOURCES = [
    ROOT / "ticketctl" / f"{name}.py" for name in ("recipe", "recipe_data", "recipe_audit", "recipe_explore")
]
MEASURING = {
    "audit": "AuditSpec", "verdict": "VerdictSpec", "probe": "ProbeSpec", "transfer": "TransferSpec",
    "interpolate": "InterpolateSpec", "onset": "OnsetSpec",
}  # fmt: skip
"""Tables of recipes that measure, and train nothing."""

HEAD = """\
# Recipe keys

<!-- Written by docs/make_recipe_reference.py from ticketctl/recipe.py and ticketctl/draws; do not edit. -->

A recipe is a TOML file. Every key below can also be given on the command line, as `--set train.lr=0.05`. A key that is
not listed here is refused, and the near miss is named. How files are merged:
[write-a-recipe](../how-to/write-a-recipe.md). The streams: [seeds and bits](../concepts/seeds-and-bits.md). The keys of
single tweaks: [tweaks](../tweaks.md).

A *point* in a training is written `2ep` (epochs), `1000it` (optimizer steps), `18%` (of the training, rounded up to a
whole epoch) or `0`. An *exact number* is a decimal or a fraction, `"0.2"` or `"1/5"`: it is never rounded to binary.
"""

MEASURED = """\

# Recipes that measure

Those of `audit`, `probe`, `transfer` and `interpolate` have the tables below instead, each command its own; an onset
trains, by `[train]` and `[data]` of its net. The keys of single measures stand in `[metrics.NAME]`
([metrics](../metrics.md)) and `[curves.NAME]` ([curves](../curves.md)).
"""

POINTS = {"milestones", "warmup", "rewind"}


@dataclass(frozen=True)
class Key:
    """One key of a table."""

    name: str
    kind: str
    default: str
    meaning: str


def page() -> str:
    """The whole page."""
    classes = {
        node.name: node
        for source in SOURCES
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    top = list(_keys(classes["Recipe"]))
    tables = [key for key in top if key.kind.removesuffix("; or none") in classes]
    lines = [
        HEAD,
        "## At the top of the file",
        "",
        _table([_extends(), *(k for k in top if k not in tables)]),
    ]
    for key in tables:
        lines += _section(classes, key.name, _class_of(key))
    lines.append(_methods())
    lines += [MEASURED, *(line for name, kind in MEASURING.items() for line in _section(classes, name, kind))]
    return "\n".join(part for part in lines if part is not None).replace("\n\n\n", "\n\n")


def _class_of(key: Key) -> str:
    return key.kind.removesuffix("; or none")


def _section(classes: dict[str, ast.ClassDef], name: str, kind: str) -> list[str]:
    """A table and those inside it."""
    node = classes[kind]
    note = (ast.get_docstring(node) or "").partition("`")[2].partition("`")[2].strip(" .:;")
    keys = list(_keys(node))
    inner = [key for key in keys if _class_of(key) in classes]
    shown = [replace(key, kind="table; or none") if key in inner else key for key in keys]
    lines = [f"## [{name}]", "", f"{note[0].upper()}{note[1:]}.\n" if note else "", _table(shown)]
    return lines + [line for key in inner for line in _section(classes, f"{name}.{key.name}", _class_of(key))]


def _extends() -> Key:
    return Key("extends", "text", "", "The recipe this one changes: a shipped name or a file.")


def _keys(node: ast.ClassDef) -> Iterator[Key]:
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            meaning = " ".join(str(text.value).split()) if isinstance(text, ast.Constant) else ""
            name = field.target.id
            if name != "params":
                kind = "point" if name in POINTS else _kind(field.annotation)
                kind = "list of points" if name == "milestones" else kind
                yield Key(name, kind, _default(field.value), meaning)


def _kind(node: ast.expr) -> str:
    """A type as people say it."""
    match node:
        case ast.BinOp(left=left, right=ast.Constant(value=None)):
            return f"{_kind(left)}; or none"
        case ast.BinOp(left=left, right=right):
            return f"{_kind(left)}, or a {_kind(right)}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=choices)):
            return ", ".join(f"`{ast.literal_eval(choice)}`" for choice in choices)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, ast.Call() as call])):
            bounds = {word.arg: ast.unparse(word.value) for word in call.keywords}
            signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
            return ", ".join(
                [_kind(kind), *(f"{signs[key]} {value}" for key, value in bounds.items() if key)]
            )
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[kind, _])):
            one, *rest = _kind(kind).split(", ")
            return ", ".join([f"list of {one}{'' if one == 'text' else 's'}", *rest])
        case ast.Subscript(value=ast.Name(id="dict")):
            return "table"
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    return {**words, "Rational": "exact number", "Names": "text or list of texts"}.get(
        ast.unparse(node), ast.unparse(node)
    )


def _default(node: ast.expr | None) -> str:
    match node:
        case None:
            return "required"
        case ast.Constant(value=None):
            return "none"
        case ast.Call(func=ast.Name(id="Fraction"), args=[ast.Constant(value=value)]):
            return f'`"{value}"`'
        case ast.Constant(value=bool(value)):
            return f"`{str(value).lower()}`"
        case ast.Constant(value=""):
            return '`""`'
        case ast.Tuple(elts=[]):
            return "`[]`"
    return f"`{ast.unparse(node)}`".replace("'", '"')


def _table(keys: object) -> str:
    assert isinstance(keys, Iterator | list)
    rows = [
        f"| `{key.name}` | {key.kind} | {key.default} | {key.meaning} |".replace("|  |", "| |")
        for key in keys
    ]
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _methods() -> str:
    """The keys of `[draw]` that belong to single methods."""
    lines = ["## Keys of [draw] that belong to a method", ""]
    lines += ["`ticketctl list methods NAME` prints the whole text of a method.", ""]
    ours = (ROOT / "ticketctl" / "draws").glob("[a-z]*.py")
    for name in sorted(path.stem.replace("_", "-") for path in ours):
        lines += [f"### {name}", "", plugins("draws")[name].help, ""]
        keys = describe("draws", name).partition("Keys of [draw]:\n")[2].splitlines()
        lines += [_own_key(key) for key in keys]
        lines += [""] if keys else ["No keys of its own.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _own_key(line: str) -> str:
    """One line of `ticketctl list methods NAME`, with its default as TOML writes it."""
    key, _, meaning = line.strip().partition(": ")
    key = re.sub(r"Fraction\((\d+), (\d+)\)", r'"\1/\2"', key).replace("'", '"').replace(" = None", "")
    return f"* `{key}`: {meaning}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
