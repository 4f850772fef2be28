"""A `~` at the beginning of a path is a home folder, and one that nobody has is said in one line."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ticketctl.errors import UsageError
from ticketctl.store.expand import expanded


@pytest.mark.parametrize("typed", ["here", "/there/it/is", "a/~/b", "~", "~/a b", "../~x", "", "a~"])
def test_paths_are_expanded_as_python_itself_does(
    typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded(typed) == expanded(Path(typed)) == Path(os.path.expanduser(typed))


def test_the_home_of_another_user_is_where_the_machine_says() -> None:
    other = pwd.getpwall()[0]
    assert expanded(f"~{other.pw_name}/a") == Path(other.pw_dir) / "a"


def test_a_user_that_nobody_is_has_no_home_and_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"^~no-such-user/a: this machine has no user no-such-user; write the whole"
    ):
        expanded("~no-such-user/a")


def test_who_has_no_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # as in containers
    with pytest.raises(UsageError, match=r"^~/a: this user has no home folder; write the whole path$"):
        expanded("~/a")
