"""Nothing private leaves: canaries are found wherever they hide, and what is no secret is left alone."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.artifacts import samples
from ticketctl.errors import UsageError
from ticketctl.hub.private import Known, known_here, private_in, private_word, refuse_private
from ticketctl.stages.push_public import public_command, public_provenance
from ticketctl.store.tensors import Tensor, pack_tensors

# put together, so that no scanner of this source takes them for real
SHIPPED = "papers/001-toast/imp-resnet18-cifar100"
HF = "hf_" + "CanaryOfATokenThatIsNone0123"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "0123456789abcdefABCDEF0123456789abcd"
KNOWN = Known(
    secrets=("s3cr3t-of-mine",),
    homes=("/home/marie",),
    users=("marie",),
    hosts=("pitchblende", "pitchblende.lab.example"),
    roots=frozenset({"home", "tmp", "srv"}),
)
SECRETS = {
    HF: "a token of the Hub",
    AWS: "an access key of AWS",
    GITHUB: "a token of GitHub",
    "s3cr3t-of-mine": "a token",
    "/home/marie/x": "the home folder",
    "../marie/runs": "the name of a user",
    "C:\\Users\\me\\x": "a path of a machine",
    "on pitchblende today": "the name of this machine",
    "pitchblende.lab.example": "the name of this machine",
    "/srv/runs/x": "a path of a machine",
    "file /tmp/a b": "a path of a machine",
    "-----BEGIN EC PRIVATE KEY-----": "a private key",
}
HARMLESS = (
    "levels/3", "train/test of 1/2", "hf://ada/lenet", "https://example.org/home/page", "density 0.5/1", "tmp",
    "marie", "imp", "conv/weight", "sha256:" + "a" * 64, "/tensors/fc1.weight", "pitchblendes", "AKIA", "hf_hub 1.0",
    "a~b", "images/s",
)  # fmt: skip


def archive(document: object, comment: bytes = b"") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zarr.json", json.dumps(document))
        made.comment = comment
    return data.getvalue()


@pytest.mark.parametrize(("secret", "kind"), SECRETS.items())
def test_a_secret_is_found_in_every_kind_of_file(secret: str, kind: str) -> None:
    escaped = json.dumps({"a": [{"b": secret}]}).replace("/", "\\/").replace("m", "\\u006d")
    tensors = {"w": Tensor.of(samples.words(4).astype("u8"))}
    files = {
        "README.md": f"# A card\n{secret}\n".encode(),
        "run.json": json.dumps({"a": [{secret: 1}]}).encode(),
        "escaped.json": escaped.encode(),
        "mask.safetensors": pack_tensors(tensors, {"note": json.dumps({"x": secret})}),
        "ladder.zarr.zip": archive({"attributes": {"x": secret}}),
        "other.zarr.zip": archive({}, comment=secret.encode()),
    }
    assert {path: private_in(data, path, KNOWN) for path, data in files.items()} == dict.fromkeys(files, kind)
    with pytest.raises(UsageError, match=f"^README.md: holds {kind}") as refused:
        refuse_private(iter(files.items()), KNOWN)
    assert secret not in str(refused.value)


@pytest.mark.parametrize("secret", [HF, AWS, GITHUB, "s3cr3t-of-mine"])
def test_a_token_is_found_among_numbers_too(secret: str) -> None:
    weights = pack_tensors({"w": Tensor.of(samples.words(40).astype("u8"))}, {})
    assert private_in(weights[:-32] + secret.encode() + weights[-32:], "w.safetensors", KNOWN)
    assert private_in(b"\x89PNG" + secret.encode(), "a.png", KNOWN)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_may_travel(text: str) -> None:
    assert private_word(text, KNOWN) is None


def test_the_name_of_the_repository_is_known_to_everybody() -> None:
    assert private_word("hf://x/marie", KNOWN) == "the name of a user"
    assert private_word("ticketctl pull hf://marie/lenet", KNOWN, ("marie/lenet",)) is None


def test_what_is_private_here_is_known_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": "/nest/marie", "USER": "marie", "HF_TOKEN": "another-canary"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("socket.gethostname", lambda: "pitchblende.lab")
    known = known_here("of-the-login")
    assert {"another-canary", "of-the-login"} <= {*known.secrets}
    assert "/nest/marie" in known.homes
    assert "marie" in known.users
    assert {"pitchblende", "pitchblende.lab"} <= {*known.hosts}
    assert repr(known) == "Known()"


def test_a_machine_called_after_what_it_does_can_push(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"USER": "test", "LOGNAME": "data", "HOSTNAME": "gpu"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("socket.gethostname", lambda: "cpu")
    assert private_word('{"device": "cpu", "metric": "loss/test", "x": "a/data"}', known_here()) is None


def test_a_sound_ticket_may_travel(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path)
    files = ["ticket.json", *(one.path for one in ticket.manifest.files)]
    refuse_private(((name, (tmp_path / name).read_bytes()) for name in files), known_here())


def test_a_command_keeps_what_counts_and_loses_every_place() -> None:
    words = ["ticketctl", "draw", "--recipe", SHIPPED, "--data-dir", "/data/x"]
    words += ["--workspace=/home/marie/w", "--set", "train.lr=1/3", "--set", "data.name=imagefolder:~/cats"]
    words += ["--out", "here", "--recipe", "mine.toml", "../x", "--seed", "0-2", "hf://ada/x"]
    assert public_command(words, KNOWN) == [
        "ticketctl", "draw", "--recipe", SHIPPED, "--set", "train.lr=1/3", "--set", "data.name=PATH",
        "--recipe", "PATH", "PATH", "--seed", "0-2", "hf://ada/x",
    ]  # fmt: skip


def test_of_provenance_only_what_is_known_to_be_harmless_travels() -> None:
    record = {
        "tool": "ticketctl", "tool_version": "0.1.0", "host": "pitchblende", "user": "marie", "cwd": "/home/marie",
        "environment": {"device": "cpu", "device_name": "of pitchblende", "torch": "2", "path": "/srv/x"},
        "sessions": [
            {"command": ["ticketctl", "draw"], "seconds": "1.5", "started": "2026-01-01"},
            {"command": ["ticketctl", "draw", "--out", "/home/marie"], "seconds": "2.5", "pid": 7},
        ],
    }  # fmt: skip
    assert public_provenance(record, KNOWN) == {
        "tool": "ticketctl", "tool_version": "0.1.0", "environment": {"device": "cpu", "torch": "2"},
        "seconds": "4", "sessions": 2, "command": ["ticketctl", "draw"],
    }  # fmt: skip
    cut = {"sessions": [{"command": ["ticketctl"]}, {"command": ["ticketctl"], "seconds": "1"}]}
    assert "seconds" not in public_provenance(cut)
