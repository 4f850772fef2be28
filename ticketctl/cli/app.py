"""The program: its commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

from ticketctl import __version__
from ticketctl.cli.demo import demo
from ticketctl.cli.diff import diff
from ticketctl.cli.doctor import doctor
from ticketctl.cli.draw import draw
from ticketctl.cli.inspect import inspect
from ticketctl.cli.listing import list_
from ticketctl.cli.output import print_error
from ticketctl.cli.recipes import recipes
from ticketctl.cli.spend import spend
from ticketctl.cli.verify import verify
from ticketctl.errors import ResourceError, StoppedError, TicketctlError

app = typer.Typer(
    name="ticketctl",
    help="Draw a lottery ticket once, spend it under any recipe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: dict[str, Callable[..., None]] = {
    "draw": draw,
    "spend": spend,
    "inspect": inspect,
    "verify": verify,
    "diff": diff,
    "list": list_,
    "recipes": recipes,
    "doctor": doctor,
    "demo": demo,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ticketctl {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Draw a lottery ticket once, spend it under any recipe."""


def main() -> None:
    """Run the program; leaves by `SystemExit` with one of the documented exit codes."""
    sys.exit(guarded(app))


def guarded(run: Callable[[], object]) -> int:
    """Run, and turn whatever goes wrong into its line and exit code."""
    as_json = "--json" in sys.argv[1:]
    try:
        run()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except TicketctlError as error:
        print_error(error, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        print_error(StoppedError("stopped at once", 130), as_json)
        return 130
    except BrokenPipeError:  # the reader of our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        print_error(ResourceError("out of memory; a smaller batch helps: --set train.batch=64"), as_json)
        return 10
    except Exception as error:  # the last resort: whatever gets here is a bug of ours
        if os.environ.get("TICKETCTL_DEBUG"):
            traceback.print_exc()
        bug = TicketctlError(
            f"a bug of ticketctl: {type(error).__name__}: {error} (TICKETCTL_DEBUG=1 shows where)"
        )
        print_error(bug, as_json)
        return bug.exit_code
    return 0
