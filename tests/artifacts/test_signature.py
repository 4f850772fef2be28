"""Signatures: the owner of a key vouches for just these bytes; the OpenSSF library itself reads what we write."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.artifacts import samples
from tests.cli.conftest import ask
from ticketctl.artifacts.chain import CHAIN, chained
from ticketctl.artifacts.signature import SIGNATURE, sign, signed_files, verify_signature
from ticketctl.artifacts.verify import verify_ticket
from ticketctl.errors import ArtifactError, UsageError

pytest.importorskip("model_signing", reason="model-signing is not installed: pip install 'ticketctl[sign]'")


def keys(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """A private and a public key in PEM form."""
    private = ec.generate_private_key(ec.SECP256R1())
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / f"{name}.pem").write_bytes(private.private_bytes(serialization.Encoding.PEM, form, hidden))
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.pem", folder / f"{name}.pub"


@pytest.fixture
def ticket(tmp_path: Path) -> Path:
    found = samples.ticket(tmp_path / "ticket")
    chained(found.folder, found.manifest, [], tool="ticketctl 1")
    return found.folder


def test_a_signature_holds_and_changes_no_id(ticket: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "mine")
    before = (ticket / "ticket.json").read_bytes()
    assert sign(ticket, "ticket", private) == ticket / SIGNATURE
    assert verify_signature(ticket, "ticket", public).ok
    assert (ticket / "ticket.json").read_bytes() == before
    assert all(check.ok for check in verify_ticket(ticket))


def test_the_library_reads_it_without_us(ticket: Path, tmp_path: Path) -> None:
    import model_signing

    private, public = keys(tmp_path, "mine")
    sign(ticket, "ticket", private)
    verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public)
    verifier.set_ignore_unsigned_files(True).verify(ticket, ticket / SIGNATURE)  # the signature is not signed
    (ticket / "mask.safetensors").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"mask\.safetensors"):
        verifier.verify(ticket, ticket / SIGNATURE)


def test_a_chain_that_is_no_chain_is_not_signed(ticket: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "mine")
    sign(ticket, "ticket", private)
    (ticket / CHAIN).rename(tmp_path / CHAIN)
    for make in (
        lambda: (ticket / CHAIN).symlink_to(tmp_path / CHAIN),
        lambda: (ticket / CHAIN).write_bytes(b"{}"),
    ):
        make()
        with pytest.raises(ArtifactError, match=r"chain\.json"):
            sign(ticket, "ticket", private)
        assert not verify_signature(ticket, "ticket", public).ok
        (ticket / CHAIN).unlink()


def test_signed_are_the_manifest_its_files_and_the_chain_and_nothing_else(
    ticket: Path, tmp_path: Path
) -> None:
    (ticket / "provenance.json").write_text("{}")
    (ticket / "README.md").write_text("a card")
    sign(ticket, "ticket", keys(tmp_path, "mine")[0])
    bundle = json.loads((ticket / SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    named = [resource["name"] for resource in statement["predicate"]["resources"]]
    assert named == signed_files(ticket, "ticket")[1]
    assert {"ticket.json", CHAIN} < {*named}
    assert not {"provenance.json", "README.md", SIGNATURE} & {*named}
    assert str(tmp_path) not in json.dumps(statement)


@pytest.mark.parametrize("name", ["mask.safetensors", "ladder.zarr.zip", CHAIN])
def test_a_changed_or_missing_file_is_named(name: str, ticket: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "mine")
    sign(ticket, "ticket", private)
    data = bytearray((ticket / name).read_bytes())
    data[len(data) // 2] ^= 1
    (ticket / name).write_bytes(data)
    found = verify_signature(ticket, "ticket", public)
    assert (found.ok, found.code) == (False, "E_SIGNATURE")
    assert f"not what was signed: {name}" in found.detail
    if name == CHAIN:
        (ticket / name).unlink()
        assert f"not what was signed: {name}" in verify_signature(ticket, "ticket", public).detail


def test_another_key_and_another_ticket_are_told_apart(ticket: Path, tmp_path: Path) -> None:
    sign(ticket, "ticket", keys(tmp_path, "mine")[0])
    other = keys(tmp_path, "other")[1]
    assert "not signed by the owner of other.pub" in verify_signature(ticket, "ticket", other).detail
    elsewhere = samples.ticket(tmp_path / "elsewhere", level=1).folder
    shutil.copy(ticket / SIGNATURE, elsewhere)
    assert not verify_signature(elsewhere, "ticket", tmp_path / "mine.pub").ok


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff" * 64, b'{"dsseEnvelope": {"payload": 3}}'])
def test_a_broken_bundle_fails_in_one_line(content: bytes, ticket: Path, tmp_path: Path) -> None:
    public = keys(tmp_path, "mine")[1]
    (ticket / SIGNATURE).write_bytes(content)
    found = verify_signature(ticket, "ticket", public)
    assert (found.ok, found.code) == (False, "E_SIGNATURE")
    assert "\n" not in found.detail


def test_an_unsigned_ticket_is_said_to_be_unsigned(ticket: Path, tmp_path: Path) -> None:
    found = verify_signature(ticket, "ticket", keys(tmp_path, "mine")[1])
    assert (found.ok, found.code) == (False, "E_SIGNATURE")
    assert "not signed: there is no model.sig" in found.detail


def test_a_link_in_the_place_of_a_signature_is_not_followed(ticket: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "mine")
    sign(ticket, "ticket", private)
    (ticket / SIGNATURE).rename(tmp_path / "moved.sig")
    (ticket / SIGNATURE).symlink_to(tmp_path / "moved.sig")
    assert not verify_signature(ticket, "ticket", public).ok


def test_what_is_no_elliptic_key_is_refused_in_one_line(ticket: Path, tmp_path: Path) -> None:
    public = keys(tmp_path, "mine")[1]
    with pytest.raises(UsageError, match="not an elliptic private key in PEM form"):
        sign(ticket, "ticket", public)
    with pytest.raises(UsageError, match="no such file; it names a PEM file"):
        sign(ticket, "ticket", tmp_path / "nothing")
    strange = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    form = serialization.PrivateFormat.PKCS8
    data = strange.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (tmp_path / "rsa.pem").write_bytes(data)
    with pytest.raises(UsageError, match=r"an RSA key; an elliptic one \(P-256, P-384, P-521\) is needed"):
        sign(ticket, "ticket", tmp_path / "rsa.pem")
    other = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "ed.pem").write_bytes(
        other.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    with pytest.raises(UsageError, match="an Ed25519 key; an elliptic one"):
        sign(ticket, "ticket", tmp_path / "ed.pem")
    (tmp_path / "rsa.pub").write_bytes(
        strange.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(UsageError, match="an RSA key; an elliptic one"):
        verify_signature(ticket, "ticket", tmp_path / "rsa.pub")


def test_an_encrypted_key_needs_its_password(ticket: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "mine", b"open")
    with pytest.raises(UsageError, match="not an elliptic private key"):
        sign(ticket, "ticket", private)
    sign(ticket, "ticket", private, b"open")
    assert verify_signature(ticket, "ticket", public).ok


def test_the_command_says_that_a_signature_takes_the_place_of_another(ticket: Path, tmp_path: Path) -> None:
    first, second = keys(tmp_path, "mine"), keys(tmp_path, "other")
    said = "replaces the signature that was there"
    assert said not in ask(tmp_path, "sign", str(ticket), "--key", str(first[0])).out
    assert said in ask(tmp_path, "sign", str(ticket), "--key", str(second[0])).out
    assert ask(tmp_path, "sign", str(ticket), "--key", str(first[0]), "--json").json["result"]["replaced"]
    assert verify_signature(ticket, "ticket", first[1]).ok
    assert not verify_signature(ticket, "ticket", second[1]).ok
