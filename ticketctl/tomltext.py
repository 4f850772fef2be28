"""Plain tables as TOML text, for recipes that people copy out and change. The standard library only reads TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def toml_text(tables: Mapping[str, Any], prefix: str = "") -> str:
    """TOML that `tomllib` reads back as `tables`: strings, whole numbers, floats, booleans, lists, nested tables."""
    plain = {key: value for key, value in tables.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in tables.items() if isinstance(value, Mapping)}
    text = "".join(f"{_key(key)} = {_value(value)}\n" for key, value in plain.items() if value is not None)
    for key, table in nested.items():
        path = f"{prefix}{_key(key)}"
        text += f"\n[{path}]\n{toml_text(table, f'{path}.')}"
    return text


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    return repr(value) if isinstance(value, int | float) else _string(str(value))


def _string(text: str) -> str:
    """A basic string: JSON's form, and DEL escaped, which TOML wants."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
