"""What is read of a plug-in's source is what stands in it now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ticketctl import plugins

BELOW = """
class Below:
    share: float = 0.5
    \"\"\"Of all.\"\"\"
"""
ABOVE = """
from {module} import Below

class Params(Below):
    steps: int = 3
    \"\"\"How many.\"\"\"
"""


def test_keys_are_read_anew_when_a_source_was_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the module itself, and of one beside it that it takes from."""
    monkeypatch.syspath_prepend(tmp_path)
    above, below = (tmp_path / f"written_anew_{name}.py" for name in ("above", "below"))
    above.write_text(ABOVE.format(module=below.stem))
    below.write_text(BELOW)
    one = plugins.Plugin("anew", above.stem, "")
    monkeypatch.setattr(plugins, "serving", lambda kind, name: one)
    for _ in range(2):
        assert plugins.keys("tweaks", "anew") == ["share", "steps"]
        assert plugins.defaults("tweaks", "anew") == {"share": 0.5, "steps": 3}
    below.write_text(BELOW.replace("0.5", "0.7"))  # as many bytes
    assert plugins.defaults("tweaks", "anew") == {"share": 0.7, "steps": 3}
    above.write_text(ABOVE.format(module=below.stem).replace("steps", "waits"))
    assert plugins.keys("tweaks", "anew") == ["share", "waits"]
    assert one.module not in sys.modules
