"""A claim about each of many small things, as one test: pytest's work for a test costs more than such a claim."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

OTHERS = ("audit/", "interpolate/", "probe/", "transfer/")
"""Folders of recipes that train nothing: tests/test_every_audit_recipe.py, tests/test_every_explore_recipe.py."""


def every(cases: Iterable[Any]) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Makes one test of a claim: it is tried on all cases, and those for which it fails are all named."""
    many = list(cases)

    def over(claim: Callable[[Any], None]) -> Callable[[], None]:
        def test() -> None:
            failed: dict[str, Exception] = {}
            for case in many:
                try:
                    claim(case)
                except Exception as problem:
                    problem.add_note(f"for {case}")
                    failed[str(case)] = problem
            assert many, "a claim about nothing"
            if failed:
                names = ", ".join(failed)
                raise ExceptionGroup(f"{len(failed)} of {len(many)} fail: {names}", [*failed.values()])

        test.__name__, test.__qualname__, test.__doc__ = claim.__name__, claim.__qualname__, claim.__doc__
        test.__module__ = claim.__module__
        return test

    return over
