"""set.json (formats/set/v1/spec.md) as strict, frozen models."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ticketctl.artifacts.records import Digest, Part, Version, Word

MAX_ENTRIES = 2000
_COMPONENT = r"[A-Za-z0-9_][A-Za-z0-9_.@%-]{0,99}"
_HEADS = r"(?!(?:levels|search|spends|controls|transfers|verdicts)(?:/|$))"
PLACES = {
    "ticket": rf"(?:controls/{_COMPONENT})?",
    "run": rf"(?:|(?:levels|search)/{_COMPONENT}|(?:controls/{_COMPONENT}/)?spends/{_COMPONENT}/{_COMPONENT}"
    rf"|transfers/{_COMPONENT}/{_COMPONENT})",
    "verdict": rf"verdicts/verdict-{_COMPONENT}",
}
"""Where a thing of each kind may stand in the folder of its draw; nothing: in that folder itself."""
IDS = {"ticket": "tk1", "run": "rn1", "verdict": "vd1"}
FILES = {"ticket": "ticket.json", "run": "run.json", "verdict": "verdict.json"}
"""The manifest of each kind."""
_PATHS = {
    kind: re.compile(rf"(?:{_HEADS}(?P<group>{_COMPONENT})(?:/(?=.)|$))?(?P<place>{place})")
    for kind, place in PLACES.items()
}

Id = Annotated[str, Field(pattern=r"^(tk1|rn1|vd1)[a-z2-7]{29}$")]
EntryPath = Annotated[str, Field(pattern=rf"^({_COMPONENT}(/{_COMPONENT}){{0,5}})?$", max_length=610)]


class SetEntry(Part):
    """One ticket, run or verdict: its folder in the set, its id and the seal of its manifest."""

    path: EntryPath
    kind: Literal["run", "ticket", "verdict"]
    id: Id
    manifest_digest: Digest

    @property
    def group(self) -> str:
        """The folder of the draw that it belongs to, or nothing."""
        return self._parts()[0]

    @property
    def place(self) -> str:
        """Its place in the folder of its draw; nothing for the draw's own ticket."""
        return self._parts()[1]

    @property
    def manifest(self) -> str:
        """The path of its manifest."""
        return self.below(FILES[self.kind])

    def below(self, name: str) -> str:
        """The path of one of its files in the set."""
        return f"{self.path}/{name}" if self.path else name

    def _parts(self) -> tuple[str, str]:
        found = _PATHS[self.kind].fullmatch(self.path)
        assert found is not None  # judged below
        return found["group"] or "", found["place"]

    @model_validator(mode="after")
    def _belongs_there(self) -> SetEntry:
        if not self.id.startswith(IDS[self.kind]):
            raise ValueError(f"{self.id[:3]} is no id of a {self.kind}")
        if _PATHS[self.kind].fullmatch(self.path) is None:
            raise ValueError(f"{self.path[:80]!r} is no place of a {self.kind}")
        return self


class SetManifest(Part):
    """set.json."""

    format: Literal["ticketctl.set"]
    format_version: Version
    features: Annotated[tuple[Word, ...], Field(max_length=0)]
    entries: Annotated[tuple[SetEntry, ...], Field(min_length=1, max_length=MAX_ENTRIES)]
    manifest_digest: Digest

    @model_validator(mode="after")
    def _sorted_and_once(self) -> SetManifest:
        paths = [entry.path for entry in self.entries]
        if paths != sorted({*paths}):
            raise ValueError("entries are sorted by their paths, and no two have one")
        return self
