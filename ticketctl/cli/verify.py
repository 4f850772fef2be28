"""`ticketctl verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketctl.cli import complete
from ticketctl.cli import options as opt
from ticketctl.cli.lone import verify_lone
from ticketctl.cli.output import note, print_failure, print_json, print_line, print_table, visible
from ticketctl.cli.places import payloads, verdict_folder
from ticketctl.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from ticketctl.artifacts.folder import Check

Things = Annotated[
    list[str] | None,
    typer.Argument(
        help="Tickets or runs (path, id prefix or name), files of theirs, verdicts; a pulled folder is all in it. "
        "Default: newest ticket.",
        autocompletion=complete.things,
    ),
]


@dataclass(frozen=True)
class _Named:
    """What is to be verified: its folder or file, its kind, and which payload files, where they are meant."""

    folder: Path
    kind: str | None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Judged:
    """What was found out of one thing."""

    folder: Path
    kind: str
    checks: Sequence[Check]

    @property
    def failed(self) -> list[Check]:
        """In their order."""
        return [check for check in self.checks if not check.ok]

    @property
    def line(self) -> str:
        """In a few words."""
        left = sum(check.skipped for check in self.checks)
        more = f", {left} of {len(self.checks)} checks not made" if left else ""
        return visible(f"{self.kind} {self.folder}: {'not sound' if self.failed else 'sound'}{more}")

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        checks = [
            {"name": check.name, "ok": None if check.skipped else check.ok, "detail": check.detail}
            for check in self.checks
        ]
        return {"folder": str(self.folder), "kind": self.kind, "sound": not self.failed, "checks": checks}


def verify(
    things: Things = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Go back through every step to the draw, as far as they are here.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option("--key", help="Check the signature with this public key (PEM); see `sign`.")
    ] = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Check every byte of tickets, runs or files: digests, counts, padding, shapes, zeros. Exit 3 if anything fails."""
    names: list[str | None] = [*things] if things else [None]
    wanted = list(dict.fromkeys(one for name in names for one in _named(name, workspace)))
    whole = [one.kind for one in wanted if not one.files]
    if (deep or key) and len(whole) < len(wanted):
        raise UsageError("--deep and --key are for tickets, runs and verdicts, not for lone files of theirs")
    judged = []
    for one in wanted:
        judged.append(_judged(one, workspace, deep, key))
        if not json:
            _show(judged[-1], alone=len(wanted) == 1)
    if not json and len(judged) > 1:
        bad = sum(bool(one.failed) for one in judged)
        print_line(f"{len(judged)} things: {f'{bad} not sound' if bad else 'all sound'}")
    _end(judged, json)


def _end(judged: Sequence[_Judged], json: bool) -> None:
    """The object of `--json`, of several things a list, and the exit code."""
    error = _error(judged)
    records = [one.record() for one in judged]
    result = records if len(records) > 1 else records[0]
    if error is None:
        if json:
            print_json(result)
        return
    if json:
        print_failure(result, error)
    note(f"ticketctl: {error}")
    raise typer.Exit(error.exit_code)


def _error(judged: Sequence[_Judged]) -> ArtifactError | None:
    """What failed first; None: nothing did."""
    bad = [one for one in judged if one.failed]
    if not bad:
        return None
    first, failed = bad[0], bad[0].failed
    what = f"{len(failed)} of {len(first.checks)} checks failed, {failed[0].name} first"
    many = f"{len(bad)} of {len(judged)} things are not sound: " if len(judged) > 1 else ""
    detail = failed[0].detail.removesuffix(f" [{failed[0].code}]")
    return ArtifactError(failed[0].code, f"{many}{first.folder}: {what}: {detail}")


def _show(one: _Judged, *, alone: bool) -> None:
    """Every check of a thing that is alone; of several the line of each, and what failed."""
    if alone:
        rows = [[check.name, _word(check), check.detail] for check in one.checks]
        print_table(["check", "", "detail"], rows, left=3)
    print_line(one.line)
    for check in [] if alone else one.failed:
        print_line(visible(f"  {check.name} FAILED: {check.detail}"))


def _named(thing: str | None, workspace: Path) -> list[_Named]:
    """What a name leads to: one thing, or all that lie in the folder of a pull.

    Raises:
        UsageError: nothing of that name.
        ArtifactError: the folder of a pull does not say what came.
    """
    from ticketctl.artifacts.workspace import folder_of

    for base in () if thing is None else (Path(thing), workspace / thing):
        if (base / "origin.json").is_file():
            from ticketctl.stages.origin import held

            return [_Named(folder, kind) for kind, folder in held(base)]
    files, wanted = payloads(thing, workspace)
    if files:
        folder = Path(thing) if thing and Path(thing).is_file() else files[0].parent
        return [_Named(folder, wanted, tuple(files))]
    if (place := verdict_folder(thing, workspace)) is not None:
        return [_Named(place, "verdict")]
    return [_Named(*folder_of(thing, workspace))]


def _judged(one: _Named, workspace: Path, deep: bool, key: Path | None) -> _Judged:
    """Every check of it."""
    from ticketctl.artifacts.verify import verify_run, verify_ticket

    folder, kind = one.folder, one.kind or "file"
    if one.files:
        kind, checks = verify_lone(one.files, one.kind)
        return _Judged(folder, kind, checks)
    if kind == "verdict":
        from ticketctl.stages.verdict_check import verify as verify_verdict

        checks = verify_verdict(folder)
    else:
        checks = verify_ticket(folder) if kind == "ticket" else verify_run(folder)
    if deep and all(check.ok for check in checks):
        from ticketctl.artifacts.deep import verify_deep

        checks = [*checks, *verify_deep(folder, kind, workspace)]
    if key:
        from ticketctl.artifacts.signature import verify_signature

        checks = [*checks, verify_signature(folder, kind, key)]
    return _Judged(folder, kind, checks)


def _word(check: Check) -> str:
    return "not checked" if check.skipped else "ok" if check.ok else "FAILED"
