"""The wheel and the sdist: what is inside, that it installs, and that it works from where it was installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {"ticketctl", "formats", "recipes", "tests", "docs"}
ALLOWED_FILES = {
    "README.md",
    "LICENSE",
    "constraints.txt",
    "Makefile",
    "pyproject.toml",
    "PKG-INFO",
    ".gitignore",
}


def _run(*words: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """What git would have after the next commit of everything."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.rstrip("\0").split("\0") if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tracked: list[str]) -> Path:
    """A folder with the wheel and the sdist, built offline from a copy with rubbish lying about."""
    copy, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    (copy / "runs").mkdir()
    (copy / "runs" / "secret.txt").write_text("not to be shipped")
    (copy / "notes.txt").write_text("not to be shipped")
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(target), cwd=copy, PIP_NO_INDEX="1")
    return target


def test_wheel_holds_the_rooms(built: Path, tracked: list[str]) -> None:
    (wheel,) = built.glob("ticketctl-*-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    rooms = {f"ticketctl/_shipped/{name}" for name in tracked if name.startswith(("recipes/", "formats/"))}
    code = {name for name in tracked if name.startswith("ticketctl/")}
    assert rooms | code <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ticketctl"}
    assert not [name for name in names if name.endswith((".pyc", "secret.txt", "notes.txt"))]


def test_sdist_is_the_allow_list(built: Path, tracked: list[str]) -> None:
    (archive,) = built.glob("ticketctl-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    odd = {name for name in names if name.partition("/")[0] not in ALLOWED and name not in ALLOWED_FILES}
    assert odd == set()
    wanted = {name for name in tracked if name.partition("/")[0] in ALLOWED}
    assert wanted <= names


@pytest.mark.long
def test_installed_it_works(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "target"
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target),
         str(wheel), cwd=tmp_path)  # fmt: skip
    assert not (target / "recipes").exists()
    assert not (target / "formats").exists()
    where = "import ticketctl; print(ticketctl.__file__)"
    assert _run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(target)).startswith(str(target))
    listed = _run(sys.executable, "-m", "ticketctl", "recipes", cwd=tmp_path, PYTHONPATH=str(target))
    assert "base/lenet-300-100-digits" in listed
    assert "imp " in _run(
        sys.executable, "-m", "ticketctl", "list", "methods", cwd=tmp_path, PYTHONPATH=str(target)
    )
    version = _run(sys.executable, "-m", "ticketctl", "--version", cwd=tmp_path, PYTHONPATH=str(target))
    assert version.startswith("ticketctl ")
