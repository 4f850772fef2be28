"""model.sig beside an artifact: an OpenSSF model signature (a sigstore bundle) by an elliptic key, made and checked.

Signed are the manifest, every file that it lists, and chain.json: what may change later (clocks, samples, reports,
cards) is not. The bundle is not listed in the manifest, so that signing changes no id. The library hashes whole
folders, so the files get second names in an empty one first; that also keeps other names out of the bundle.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ticketctl.artifacts.chain import CHAIN, read_chain
from ticketctl.artifacts.folder import Check
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verdict import MANIFEST as VERDICT
from ticketctl.artifacts.verdict import REPORTS, open_verdict
from ticketctl.errors import ArtifactError, MissingExtraError, UsageError
from ticketctl.store.files import link_or_copy, make_folder, read_bytes, write_atomic

SIGNATURE = "model.sig"
MAX_SIGNATURE = 4 << 20
MAX_KEY = 1 << 16
_CHANGED = re.compile(
    r"(?:Hash mismatch for '|Extra files found in model '[^']*': |Missing files in model '[^']*': )([^'\"]+)"
)

_OTHER = re.compile(r"'(?:\w+\.)*(\w+?)(?:PrivateKey|PublicKey)?' object has no attribute 'curve'")
"""In the library's words: the kind of a key that is not elliptic."""


def signed_files(folder: Path, kind: str) -> tuple[str, list[str]]:
    """The id of the artifact in `folder`, and the files that a signature of it covers, sorted.

    Args:
        folder: where it lies.
        kind: `ticket`, `run` or `verdict`.

    Raises:
        ArtifactError: it does not open.
    """
    if kind == "verdict":
        verdict = open_verdict(folder).verdict
        name, files = verdict.verdict_id, [VERDICT]
        files += [path.relative_to(folder).as_posix() for path in folder.glob(f"{REPORTS}/*.zarr.zip")]
    elif kind == "ticket":
        ticket = open_ticket(folder).manifest
        name, files = ticket.ticket_id, ["ticket.json", *(entry.path for entry in ticket.files)]
    else:
        run = open_run(folder).manifest
        name, files = run.run_id, ["run.json", *(entry.path for entry in run.files)]
    chain = folder / CHAIN
    return name, sorted([*files, *([CHAIN] if chain.is_file() and not chain.is_symlink() else [])])


def sign(folder: Path, kind: str, key: Path, password: bytes | None = None) -> Path:
    """Write model.sig into `folder`; its path.

    Args:
        folder: where the artifact lies, which the caller has verified.
        kind: `ticket`, `run` or `verdict`.
        key: an elliptic private key (P-256, P-384 or P-521), PEM.
        password: of the key, if it is encrypted.

    Raises:
        UsageError: the key is not one, or needs another password.
        MissingExtraError: model-signing is not installed.
        ArtifactError: the artifact does not open, or its chain does not.
    """
    library = _library()
    read_chain(folder)  # what is signed is whole
    signer = _keyed(
        key,
        "private",
        lambda: library.signing.Config().use_elliptic_key_signer(private_key=key, password=password),
    )
    with _staged(folder, kind) as (place, work):
        bundle = work / SIGNATURE
        signer.set_hashing_config(_hashing(library)).sign(place, bundle)
        write_atomic(folder / SIGNATURE, bundle.read_bytes())
    return folder / SIGNATURE


def verify_signature(folder: Path, kind: str, key: Path) -> Check:
    """Whether model.sig in `folder` is a signature of just these files by the owner of `key`.

    Args:
        folder: where the artifact lies.
        kind: `ticket`, `run` or `verdict`.
        key: the public key, PEM.

    Raises:
        UsageError: the key is not one.
        MissingExtraError: model-signing is not installed.
    """
    library = _library()
    verifier = _keyed(
        key, "public", lambda: library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    )
    try:
        found = read_bytes(folder / SIGNATURE, limit=MAX_SIGNATURE)
        with _staged(folder, kind) as (place, work), redirect_stdout(io.StringIO()):
            (work / SIGNATURE).write_bytes(found)
            verifier.set_hashing_config(_hashing(library)).verify(place, work / SIGNATURE)
            count = sum(path.is_file() for path in place.rglob("*"))
    except ArtifactError as error:
        missing = error.code == "E_FILE_MISSING" and not (folder / SIGNATURE).exists()
        said = f"{folder}: not signed: there is no {SIGNATURE}" if missing else str(error)
        return Check("signature", False, said, "E_SIGNATURE")
    except Exception as error:  # the library passes on whatever a broken bundle breaks
        return Check("signature", False, f"{folder / SIGNATURE}: {_why(error, key)}", "E_SIGNATURE")
    return Check("signature", True, f"{count} files signed by the owner of {key.name}")


def _why(error: Exception, key: Path) -> str:
    """What is wrong, in a line: other files than were signed, or another hand."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    changed = _CHANGED.findall(said)
    if said.startswith("Signature mismatch") and changed:
        return f"not what was signed: {', '.join(sorted(changed))[:300]}"
    return f"not signed by the owner of {key.name}: {said[:200]}"


def _library() -> Any:
    try:
        import model_signing
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError:
        raise MissingExtraError("signatures need model-signing: pip install 'ticketctl[sign]'") from None
    return model_signing


def _hashing(library: Any) -> Any:
    return library.hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def _keyed(key: Path, side: str, build: Callable[[], Any]) -> Any:
    read_key(key)
    try:
        return build()
    except Exception as error:  # cryptography raises ValueError, TypeError, UnsupportedAlgorithm and its own
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        if other := _OTHER.search(said):
            kind = other[1][:1].upper() + other[1][1:]
            article = "an" if kind[0] in "ERX" else "a"  # as RSA, X25519 are spoken
            raise UsageError(
                f"{key}: {article} {kind} key; an elliptic one (P-256, P-384, P-521) is needed"
            ) from None
        raise UsageError(f"{key}: not an elliptic {side} key in PEM form: {said}") from None


def read_key(key: Path) -> bytes:
    """The bytes of a key file.

    Raises:
        UsageError: it is no small plain file.
    """
    try:
        return read_bytes(key, limit=MAX_KEY)
    except ArtifactError as error:
        raise UsageError(f"--key {error.said}; it names a PEM file") from None


@contextmanager
def _staged(folder: Path, kind: str) -> Iterator[tuple[Path, Path]]:
    """The signed files alone, in a folder called after the id, and a folder beside it to work in.

    Raises:
        ArtifactError: the artifact does not open, or a file is not there.
    """
    name, files = signed_files(folder, kind)
    with TemporaryDirectory(prefix="ticketctl-sign-") as scratch:
        place, work = Path(scratch) / name, Path(scratch) / "work"
        for path in (work, *sorted({(place / one).parent for one in files})):
            make_folder(path)
        for one in files:
            link_or_copy(folder / one, place / one)
        yield place, work
