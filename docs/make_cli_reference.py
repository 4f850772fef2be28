"""Write docs/reference/cli.md from the program's own help: `python docs/make_cli_reference.py`.

`tests/test_docs.py` compares the page with what `page()` returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command

from ticketctl.cli.app import app

PAGE = Path(__file__).parent / "reference" / "cli.md"

HEAD = """\
# Command line

<!-- Written by docs/make_cli_reference.py from the program's help; do not edit. -->

Results go to stdout, everything else (choices made for you, progress, errors) to stderr. The exit codes are a
contract: [exit-codes.md](exit-codes.md). `--set` reaches every key of [recipes-keys.md](recipes-keys.md).

## JSON

With `--json` a command prints one object and nothing else on stdout:

| key | value |
|---|---|
| `schema` | `ticketctl.cli.v1` |
| `ok` | whether the command did what was asked |
| `result` | what the command found or made; `null` if it failed |
| `error` | `null`, or an object with `code` (such as `E_USAGE`), `exit_code` and `message` |

## Environment

| variable | meaning |
|---|---|
| `TICKETCTL_WORKSPACE` | the workspace, instead of `--workspace` |
| `TICKETCTL_CACHE` | the data sets' cache; else `$XDG_CACHE_HOME/ticketctl`, else `~/.cache/ticketctl` |
| `TICKETCTL_MIRROR` | base address of a mirror, laid out like the cache's folder `downloads` |
| `TICKETCTL_DEBUG` | set to anything: print the traceback behind exit code 70 |
"""


def page() -> str:
    """The whole page."""
    program: Any = get_command(app)
    parts = [HEAD, f"## ticketctl\n\n{program.help}\n", _options(program)]
    for name, command in program.commands.items():
        parts += [
            f"## ticketctl {name}\n\n{_usage(name, command)}\n",
            _prose(command.help),
            _options(command),
        ]
    return "\n".join(part for part in parts if part)


def _usage(name: str, command: Any) -> str:
    places = [param for param in command.params if not _is_option(param)]
    arguments = " ".join(_place(param) if param.required else f"[{_place(param)}]" for param in places)
    return f"`ticketctl {name} [OPTIONS]{' ' + arguments if arguments else ''}`"


def _prose(text: str) -> str:
    """The docstring; its indented or bare command lines become code."""
    lines = []
    for paragraph in text.split("\n\n"):
        first = paragraph.removeprefix("Example: ")
        if first.startswith("ticketctl "):
            lead = "Example:\n\n" if first != paragraph else ""
            lines.append(f"{lead}    {first}")
        else:
            lines.append(paragraph)
    return "\n\n".join(lines) + "\n"


def _options(command: Any) -> str:
    rows = [_row(param) for param in command.params if getattr(param, "help", None)]
    if not rows:
        return ""
    return "\n".join(["| option or argument | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _row(param: Any) -> str:
    if _is_option(param):
        value = "" if param.is_flag else f" {_kind(param)}"
        name = ", ".join(f"`{option}{value}`" for option in param.opts)
    else:
        name = f"`{_place(param)}`"
    meaning = param.help.replace("|", "\\|")
    if param.envvar:
        meaning += f" Environment: `{param.envvar}`."
    return f"| {name} | {_default(param)} | {meaning} |"


def _kind(param: Any) -> str:
    """What an option takes, from the type of its parameter."""
    text = str(getattr(param, "type", None) or param.type_descriptor.annotation).lower()
    found = next((word for word in ("path", "int", "float") if word in text), "text")
    return {"path": "PATH", "int": "N", "float": "X", "text": "TEXT"}[found]


def _default(param: Any) -> str:
    if getattr(param, "is_flag", False) or param.default is None:
        return ""
    return f"`{param.default}`"


def _is_option(param: Any) -> bool:
    return bool(param.opts[0].startswith("-"))


def _place(param: Any) -> str:
    return str(param.name).upper()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
