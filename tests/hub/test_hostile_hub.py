"""What a malicious Hub says of its repositories gets it nothing: no byte elsewhere, no token, no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hub.fakehub import hostile, hostile_bytes, hostile_sets, outcomes
from tests.hub.fakehub.hostile import Case, Stage
from tests.hub.hostile_stage import held, hubs, sandbox, stage

__all__ = ["hubs", "sandbox", "stage"]  # fixtures, which pytest finds by their names here

GROUPS = [
    hostile.names,
    hostile.facts,
    hostile.listings,
    hostile.manifests,
    hostile_sets.sets,
    hostile_sets.caches,
    hostile_bytes.changes,
]
CASES = [case for group in GROUPS for case in group()]


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_hub_gets_nothing_by_what_it_says(stage: Stage, sandbox: Path, case: Case) -> None:
    held(stage, sandbox, case)


def test_the_cases_have_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 100


def test_the_page_of_all_outcomes_is_current() -> None:
    """Its rows are the cases, each with an exit code that the case allows."""
    rows = re.findall(r"^\| (.+?) \| (\d+) \| .* \|$", outcomes.PAGE.read_text(), flags=re.M)
    cases = [case for group in outcomes.GROUPS.values() for case in group()]
    assert [name for name, _ in rows] == [case.name for case in cases]
    assert [
        case.name for case, (_, code) in zip(cases, rows, strict=True) if int(code) not in case.exits
    ] == []


def told(on: Stage) -> None:
    """What the Hub was told, the other origin is told too."""
    on.other.requests.extend(on.hub.requests)


@pytest.mark.parametrize(
    "case",
    [Case("a token that goes elsewhere", lambda on: on.between("/tree/", do=lambda: told(on)), (0,)),
     Case("another exit code", hostile.nothing, (9,)),
     Case("a fault that nobody meets", lambda on: on.drop("/none"), (0,)),
     Case("a file elsewhere", lambda on: on.between("/tree/", do=lambda: (on.inside / "x").write_text("")), (0,))],
    ids=lambda case: case.name,
)  # fmt: skip
def test_the_watch_over_the_cases_can_fail(stage: Stage, sandbox: Path, case: Case) -> None:
    with pytest.raises(AssertionError):
        held(stage, sandbox, case)
