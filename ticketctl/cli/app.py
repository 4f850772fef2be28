"""The program: its commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TextIO

import typer

from ticketctl import __version__
from ticketctl.cli.audit import audit
from ticketctl.cli.benchmark import benchmark
from ticketctl.cli.collect import collect
from ticketctl.cli.compare import compare
from ticketctl.cli.demo import demo
from ticketctl.cli.diff import diff
from ticketctl.cli.doctor import doctor
from ticketctl.cli.draw import draw
from ticketctl.cli.export import export
from ticketctl.cli.from_hub import with_hub_names
from ticketctl.cli.import_ import import_
from ticketctl.cli.inspect import inspect
from ticketctl.cli.interpolate import interpolate
from ticketctl.cli.listing import list_
from ticketctl.cli.mask import mask
from ticketctl.cli.options import at_home
from ticketctl.cli.output import note, print_error
from ticketctl.cli.plan import plan
from ticketctl.cli.plot import plot
from ticketctl.cli.probe import probe
from ticketctl.cli.pull import pull
from ticketctl.cli.push import push
from ticketctl.cli.recipes import recipes
from ticketctl.cli.report import report
from ticketctl.cli.reproduce import reproduce
from ticketctl.cli.search import search
from ticketctl.cli.sign import sign
from ticketctl.cli.signals import Stop
from ticketctl.cli.spend import spend
from ticketctl.cli.status import status
from ticketctl.cli.sweep import sweep
from ticketctl.cli.transfer import transfer
from ticketctl.cli.verify import verify
from ticketctl.cli.watch import watch
from ticketctl.errors import ResourceError, StoppedError, TicketctlError, UsageError, by_chance

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
    "import": import_,
    "export": export,
    "spend": spend,
    "audit": audit,
    "probe": probe,
    "transfer": transfer,
    "interpolate": interpolate,
    "inspect": inspect,
    "verify": verify,
    "sign": sign,
    "diff": diff,
    "mask": mask,
    "push": push,
    "pull": pull,
    "search": search,
    "compare": compare,
    "reproduce": reproduce,
    "plan": plan,
    "sweep": sweep,
    "status": status,
    "collect": collect,
    "plot": plot,
    "report": report,
    "watch": watch,
    "list": list_,
    "recipes": recipes,
    "benchmark": benchmark,
    "doctor": doctor,
    "demo": demo,
}
for name, command in COMMANDS.items():
    app.command(name)(at_home(with_hub_names(command)))


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


NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
NO_SPACE |= {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBADF}
"""Refusals of the machine; what else the system answers is a bug of ours until a subclass says otherwise."""


def main() -> None:
    """Run the program; leaves by `SystemExit` with one of the documented exit codes."""
    sys.stdout, sys.stderr = _writable(sys.stdout), _writable(sys.stderr)
    warnings.showwarning = _warned
    code = guarded(_stoppable)
    with suppress(ValueError, OSError):  # the interpreter would flush again on its way out, and complain
        _deafen(sys.stderr)
    sys.exit(code)


def _stoppable() -> object:
    """What a signal finds before a command takes it over, or in one that never does: it ends the program there."""
    Stop("stopped at once").install()
    return app(standalone_mode=False)


def _warned(message: Warning | str, *_: object, **__: object) -> None:
    """A warning is a line for people, without the place in our code that it came from."""
    note(f"ticketctl: {message}")


def guarded(run: Callable[..., object]) -> int:
    """Run, and turn whatever goes wrong into its line and exit code."""
    as_json = _wants_json(sys.argv[1:])
    try:
        found = run(standalone_mode=False) if isinstance(run, typer.Typer) else run()
        sys.stdout.flush()
        if found == 130:  # typer answers Ctrl-C by this number
            raise KeyboardInterrupt
        return found if isinstance(found, int) else 0
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):
            return _reader_gone()
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BrokenPipeError:
        return _reader_gone()
    except (Exception, KeyboardInterrupt) as problem:
        error = _as_ours(problem)
        try:
            print_error(error, as_json)
            sys.stdout.flush()
        except OSError:
            _deafen(sys.stdout)
        return error.exit_code


def _wants_json(words: Sequence[str]) -> bool:
    """Whether an error, too, is to be an object."""
    return bool({"--json", "--format=json"} & {*words}) or ("--format", "json") in pairwise(words)


def _as_ours(problem: BaseException) -> TicketctlError:
    """The error of ours that says what `problem` means to the user."""
    if isinstance(problem, TicketctlError):
        return problem
    if isinstance(problem, KeyboardInterrupt):
        return StoppedError("stopped at once", 130)
    if isinstance(problem, MemoryError) or _ran_out_of_memory(problem):
        return ResourceError("out of memory; a smaller batch helps (--set train.batch=64), or smaller data")
    if (chance := by_chance(problem)) is not None:
        return chance
    if isinstance(problem, typer.TyperException):
        return UsageError(_of_typer(problem))
    if isinstance(problem, OSError) and problem.errno in NO_SPACE:
        return ResourceError(f"{problem.filename or 'the output, or a file'}: {problem.strerror}")
    if isinstance(problem, OSError) and problem.errno == errno.ENAMETOOLONG:
        return UsageError(f"a name is too long for a file: {str(problem.filename)[:60]}…")
    if os.environ.get("TICKETCTL_DEBUG"):
        traceback.print_exception(problem)
    what = f"{type(problem).__name__}: {problem}"
    return TicketctlError(f"a bug of ticketctl: {what} (TICKETCTL_DEBUG=1 shows where)")


def _ran_out_of_memory(problem: BaseException) -> bool:
    """Whether torch says so: its CPU allocator raises a bare RuntimeError."""
    said = str(problem).lower()
    return isinstance(problem, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def _of_typer(problem: typer.TyperException) -> str:
    """Its message in one line, and the help that lists what there is."""
    context = getattr(problem, "ctx", None)
    if len(sys.argv) < 2 and context is not None:  # no command at all: the help is what was wanted
        sys.stderr.write(context.get_help() + "\n\n")
        return "which command?"
    text = _of_value(problem) or " ".join(problem.format_message().split()).removesuffix(".")
    return f"{text} ({context.command_path} -h lists what there is)" if context is not None else text


def _of_value(problem: typer.TyperException) -> str | None:
    """What an option's value must be, in the words of recipes; None where no value was wrong."""
    from pydantic import ValidationError

    from ticketctl.recipe_base import fault

    cause, option = problem.__cause__ or problem.__context__, getattr(problem, "param", None)
    if not isinstance(cause, ValidationError) or option is None:
        return None
    return f"{max(option.opts, key=len)}{fault(cause, None)}"


def _reader_gone() -> int:
    """The reader of our output has enough: `ticketctl list | head -1` is no failure."""
    _deafen(sys.stdout)
    return 0


def _writable(stream: TextIO | None) -> TextIO:
    """The stream, or a sink where it was closed; it shows what its encoding lacks as an escape."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")
    return stream


def _deafen(stream: TextIO) -> None:
    """Lead a stream that cannot take what is left in its buffer to nowhere; one that can is left as it is."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
