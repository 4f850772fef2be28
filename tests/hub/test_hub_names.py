"""Names on the Hub: what is one, what is none, and that the Hub's own client takes what we take."""

from __future__ import annotations

import pytest
from huggingface_hub.utils import validate_repo_id

from ticketctl.errors import UsageError
from ticketctl.hub.names import HubName, is_commit, is_hub, parse

SHA = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("hf://org/name", "org/name", None),
        ("org/name", "org/name", None),
        ("hf://org/name@v1.0", "org/name", "v1.0"),
        ("hf://org/name@refs/pr/3", "org/name", "refs/pr/3"),
        ("hf://Org_1/na.me-2@v-tk1abcdefgh", "Org_1/na.me-2", "v-tk1abcdefgh"),
        (f"org/name@{SHA}", "org/name", SHA),
        ("o/n", "o/n", None),
        (f"org/{'n' * 92}", f"org/{'n' * 92}", None),
    ],
)
def test_a_name_is_taken_apart_and_the_hubs_client_takes_it(
    text: str, repo: str, revision: str | None
) -> None:
    name = parse(text)
    assert name == HubName(repo, revision)
    validate_repo_id(name.repo)
    assert parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "", "hf://", "name", "hf://name", "org/", "/name", "org//name", "org/name/file", "hf://datasets/org/name",
        "../name", "org/..", "org/a..b", "org/a--b", "o--rg/name", "-org/name", "org/-name", "org/name-", ".org/name",
        "org/name.", "org/name.git", "org/na me", "org/näme", "org/name\n", "org/na\x1bme", "org\\name", "~/name",
        f"org/{'n' * 93}", "org/name@", "org/name@..", "org/name@../x", "org/name@a..b", "org/name@/x", "org/name@x/",
        "org/name@a//b", "org/name@-x", "org/name@x.lock", "org/name@x y", "org/name@a@b", "org/name@x:y",
        f"org/name@{'x' * 201}", "https://huggingface.co/org/name", "org/name?x", "org/name#x", "org/%2e%2e",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused_in_one_printable_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_folders_of_two_repositories_differ() -> None:
    pairs = [("a/b-c", "a-b/c"), ("a/b_c", "a_b/c"), ("a.b/c", "a/b.c")]
    assert all(parse(one).folder != parse(other).folder for one, other in pairs)


def test_a_commit_is_40_lower_case_hex_digits_and_nothing_else() -> None:
    assert is_commit(SHA)
    for text in (SHA[:-1], SHA + "0", SHA.upper(), f"{SHA}\n", "../" + SHA[3:], None, 7, b"0" * 40):
        assert not is_commit(text)


def test_only_the_scheme_makes_a_name_of_the_hub_where_folders_are_named_too() -> None:
    assert is_hub("hf://org/name")
    assert not any(map(is_hub, ("org/name", "HF://org/name", None, "runs/hf://x", 3)))
