"""What must not leave this machine: tokens, names of people and machines, places on disks; looked for in every file.

Bytes of any kind are searched for tokens and for what is known to be secret here; texts (JSON documents, cards, heads
of safetensors files, attributes of zarr archives), each string of them by itself too, also for paths, users and hosts.
"""

from __future__ import annotations

import getpass
import io
import json
import os
import re
import socket
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ticketctl.errors import UsageError

TOKENS = {
    "a token of the Hub": rb"(?:hf|api_org)_[A-Za-z0-9]{20,}",
    "a token of GitHub": rb"(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "an access key of AWS": rb"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "a private key": rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----",
    "an API key": rb"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{32,}",
}
_TOKENS = {kind: re.compile(pattern) for kind, pattern in TOKENS.items()}
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN")
"""Environment variables whose values go nowhere."""
HOMES = {"home", "Users", "root", "scratch", "mnt", "media", "Volumes", "gpfs", "lustre", "nfs"}
"""First folders of paths that are somebody's on any machine."""
SHORTEST = 3
"""Signs of a user's or a host's name that is looked for: shorter ones stand in everything."""
COMMON = {
    "audit", "cifar", "cifar10", "cpu", "cuda", "data", "debian", "dense", "digits", "draw", "gpu", "host",
    "imagenet", "imp", "lenet", "linux", "local", "lottery", "mask", "mnist", "model", "models", "net",
    "resnet", "root", "run", "runs", "server", "spend", "test", "ticket", "torch", "train", "ubuntu",
    "user", "val", "work",
}  # fmt: skip
"""Words that stand in artifacts anyway: as the name of a user or host they tell nobody who it is."""
_PATH = re.compile(r"(?<![\w.:/\\])/([\w.@~+-]+)/[\w.@~+ /-]*[\w]")
_WINDOWS = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]:[\\/]+[\w.@~+-]+[\\/]")
_HEAD = 100_000_000
_MEMBER = 64 << 20


@dataclass(frozen=True)
class Known:
    """What is private here, by kind; nothing of it is ever shown."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    homes: tuple[str, ...] = field(default=(), repr=False)
    users: tuple[str, ...] = field(default=(), repr=False)
    hosts: tuple[str, ...] = field(default=(), repr=False)
    roots: frozenset[str] = field(default=frozenset(), repr=False)


def known_here(*secrets: str | None) -> Known:
    """What this machine and its environment tell.

    Args:
        secrets: further ones, as the token of the Hub's own login.
    """
    homes, users, hosts = {os.environ.get("HOME", "")}, {os.environ.get("USER", "")}, {socket.gethostname()}
    with suppress(RuntimeError, OSError, KeyError):
        homes.add(str(Path.home()))
    with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        users.add(getpass.getuser())
    users |= {os.environ.get("LOGNAME", ""), os.environ.get("USERNAME", "")}
    hosts |= {name.partition(".")[0] for name in hosts} | {os.environ.get("HOSTNAME", "")}
    with suppress(OSError):
        roots = {entry.name for entry in os.scandir("/") if entry.is_dir()}
    values = {*secrets, *(os.environ.get(name) for name in VARIABLES)}
    return Known(
        tuple(sorted(one for one in values if one and len(one) >= 8)),
        tuple(sorted(one.rstrip("/") for one in homes if len(one.rstrip("/")) > 1)),
        tuple(sorted(one for one in users if _tells(one))),
        tuple(sorted(one for one in hosts if _tells(one) and not one.startswith("localhost"))),
        frozenset(roots | HOMES),
    )


def _tells(name: str) -> bool:
    return len(name) >= SHORTEST and name.lower() not in COMMON


def refuse_private(files: Iterator[tuple[str, bytes]], known: Known, *, public: Sequence[str] = ()) -> None:
    """Read all that is to travel.

    Args:
        files: paths in the repository and contents.
        known: what is private.
        public: words that are known to everybody, as the repository's name.

    Raises:
        UsageError: names the file and the kind of what is in it, never what it is.
    """
    for path, data in files:
        kind = private_word(path, known, public) or private_in(data, path, known, public)
        if kind is not None:
            raise UsageError(f"{path}: holds {kind}; nothing was sent")


def private_in(data: bytes, path: str, known: Known, public: Sequence[str] = ()) -> str | None:
    """The kind of the first private thing in a file, or None."""
    for kind, pattern in _TOKENS.items():
        if pattern.search(data):
            return kind
    for kind, words in (("a token", known.secrets), ("the home folder", known.homes)):
        if any(word.encode() in data for word in words):
            return kind
    return next((said for text in _texts(data, path) if (said := private_word(text, known, public))), None)


def private_word(text: str, known: Known, public: Sequence[str] = ()) -> str | None:
    """The kind of the first private thing in a text, or None."""
    for word in public:
        text = text.replace(word, "")
    raw = text.encode("utf-8", "surrogatepass")
    for kind, pattern in _TOKENS.items():
        if pattern.search(raw):
            return kind
    for kind, words in (("a token", known.secrets), ("the home folder", known.homes)):
        if any(word in text for word in words):
            return kind
    if any(re.search(rf"[/\\~]{re.escape(word)}(?![\w.-])", text) for word in known.users):
        return "the name of a user"
    if any(re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) for word in known.hosts):
        return "the name of this machine"
    if _WINDOWS.search(text) or any(found[1] in known.roots for found in _PATH.finditer(text)):
        return "a path of a machine"
    return None


def _texts(data: bytes, path: str) -> Iterator[str]:
    """Every text in a file: itself if it is one, the head of tensors, what an archive says of its arrays."""
    if path.endswith(".safetensors"):
        size = int.from_bytes(data[:8], "little")
        yield from _strings(data[8 : 8 + min(size, _HEAD)])
    elif path.endswith(".zip"):
        yield from _archived(data)
    elif not path.endswith((".png", ".pdf")):
        yield from _strings(data)


def _archived(data: bytes) -> Iterator[str]:
    """Names and comments in an archive, and its JSON documents; its arrays are numbers."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield archive.comment.decode("utf-8", "replace")
            for member in archive.infolist():
                yield f"{member.filename}\n{member.comment.decode('utf-8', 'replace')}"
                if member.filename.endswith((".json", ".zattrs", ".zarray", ".zgroup")):
                    with archive.open(member) as file:
                        yield from _strings(file.read(_MEMBER))
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise UsageError(f"an archive that cannot be looked through ({type(error).__name__})") from None


def _strings(data: bytes) -> Iterator[str]:
    """The text as it stands, and every string of its JSON, for escapes hide signs there."""
    text = data.decode("utf-8", "replace")
    yield text
    with suppress(ValueError, RecursionError):
        yield from _inside(json.loads(text))


def _inside(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):  # metadata of safetensors are JSON in a string
            with suppress(ValueError, RecursionError):
                yield from _inside(json.loads(value))
    elif isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from _inside(child)
    elif isinstance(value, list):
        for child in value:
            yield from _inside(child)
