"""`ticketctl sign`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ticketctl.cli import options as opt
from ticketctl.cli.inspect import Thing
from ticketctl.cli.output import print_json, print_line, visible
from ticketctl.errors import ArtifactError, UsageError


def sign(
    thing: Thing = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Your private key: P-256, P-384 or P-521, PEM.")
    ] = None,
    workspace: opt.Workspace = opt.DEFAULT_WORKSPACE,
    json: opt.Json = False,
) -> None:
    """Sign a ticket, run or verdict: writes model.sig (OpenSSF model signing), which `verify --key` checks."""
    from ticketctl.artifacts.signature import SIGNATURE, signed_files
    from ticketctl.artifacts.signature import sign as write_signature

    if key is None:
        raise UsageError(
            "sign with --key KEY.pem; make one: openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"
        )
    folder, kind = _sound(thing, workspace)
    replaced = (folder / SIGNATURE).is_file()
    path = write_signature(folder, kind, key, _password(key))
    name, files = signed_files(folder, kind)
    if json:
        print_json({"id": name, "kind": kind, "signature": str(path), "files": files, "replaced": replaced})
        return
    more = ", which replaces the signature that was there" if replaced else ""
    print_line(visible(f"{kind} {name}: {len(files)} files signed in {path}{more}"))


def _sound(thing: str | None, workspace: Path) -> tuple[Path, str]:
    """What is signed must be whole."""
    from ticketctl.artifacts.verify import verify_run, verify_ticket
    from ticketctl.artifacts.workspace import folder_of
    from ticketctl.cli.places import verdict_folder

    if (place := verdict_folder(thing, workspace)) is not None:
        from ticketctl.stages.verdict_check import verify

        folder, kind, checks = place, "verdict", verify(place)
    else:
        folder, kind = folder_of(thing, workspace)
        checks = verify_ticket(folder) if kind == "ticket" else verify_run(folder)
    failed = next((check for check in checks if not check.ok), None)
    if failed:
        raise ArtifactError(failed.code, f"{folder}: not signed, for {failed.name} failed: {failed.detail}")
    return folder, kind


def _password(key: Path) -> bytes | None:
    """Of an encrypted key, asked for on a terminal; never an argument, which others could read."""
    from ticketctl.artifacts.signature import read_key

    if b"ENCRYPTED" not in read_key(key):
        return None
    if not sys.stdin.isatty():
        raise UsageError(f"{key} is encrypted, and there is no terminal to ask for its password")
    return str(typer.prompt(f"password of {key}", hide_input=True, err=True)).encode()
