from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ticketctl.errors import ArtifactError, ResourceError
from ticketctl.store import files


def code_of(path: Path, limit: int = 100) -> str:
    with pytest.raises(ArtifactError) as caught:
        files.read_bytes(path, limit=limit)
    assert str(path) in str(caught.value)
    return caught.value.code


def test_reads_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.read_bytes(tmp_path / "a", limit=3) == b"abc"
    assert files.read_bytes(tmp_path / "a", limit=1 << 50) == b"abc"  # allocates what is there, not the limit


def test_refuses_all_but_regular_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    assert code_of(tmp_path / "none") == "E_FILE_MISSING"
    assert code_of(tmp_path / "link") == "E_PATH"
    assert code_of(tmp_path / "fifo") == "E_PATH"
    assert code_of(tmp_path) == "E_PATH"
    assert code_of(Path("/dev/zero")) == "E_PATH"
    assert code_of(tmp_path / "file" / "below") == "E_PATH"
    assert code_of(tmp_path / "file", limit=2) == "E_FORMAT"


def test_leaves_no_handle_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        code_of(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_unreadable_files_are_the_machines_fault(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(ResourceError, match="too long"):
        files.read_bytes(path, limit=1)


@pytest.mark.parametrize("name", ["a", "a.b-c_d", "states/best@1.safetensors", "a/b/c/d", "0%1"])
def test_plain_names_are_members(tmp_path: Path, name: str) -> None:
    assert files.member(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../b", "/a", "a/", "a//b", ".hidden", "a/.hidden", "a b", "a\\b", "a\0b", "a\n", "é",
     "a/b/c/d/e", "x" * 101, "~", "-a", "C:a"],
)  # fmt: skip
def test_other_names_are_not(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        files.member(tmp_path, name)
    assert caught.value.code == "E_PATH"


def test_folders_that_are_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "inside").symlink_to(tmp_path / "real")
    with pytest.raises(ArtifactError, match="link"):
        files.member(tmp_path, "inside/a")


def test_writes_with_the_users_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "a", b"abc")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(tmp_path / "a", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match=r"a: cannot be written \(3 bytes\): No space left"):
        files.write_atomic(tmp_path / "a", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_links_or_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(tmp_path / "a", b"abc")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_ino == (tmp_path / "a").stat().st_ino

    def refuse(*names: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    files.link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"abc"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_sweeps_what_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"{files.TEMPORARY}a-1").write_bytes(b"half")
    (tmp_path / "a").write_bytes(b"whole")
    assert files.sweep_temporaries(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()].count("a") == 1


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ResourceError):
        files.make_folder(tmp_path / "a" / "b")
