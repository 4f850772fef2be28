"""What a malicious Hub sends, and where it leads to, gets it nothing: no byte elsewhere, no token, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.fakehub import hostile_bytes
from tests.hub.fakehub.hostile import Case, Stage
from tests.hub.hostile_stage import held, hubs, sandbox, stage

__all__ = ["hubs", "sandbox", "stage"]  # fixtures, which pytest finds by their names here

GROUPS = ("contents", "headers", "redirects", "refusals", "slowness")
CASES = [case for group in GROUPS for case in getattr(hostile_bytes, group)()]


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_hub_gets_nothing_by_what_it_sends(stage: Stage, sandbox: Path, case: Case) -> None:
    held(stage, sandbox, case)


def test_the_cases_have_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 90
