"""`verify --deep`: from an artifact back through every step to the draw, as far as the steps' artifacts are here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from ticketctl.artifacts.chain import Artifact, Chain, Link, link_of, read_chain
from ticketctl.artifacts.folder import Check
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import MANIFEST as TICKET
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verdict import MANIFEST as VERDICT
from ticketctl.artifacts.verdict import open_verdict, verify_verdict
from ticketctl.artifacts.verify import verify_run, verify_ticket
from ticketctl.artifacts.workspace import run_folders, ticket_folders
from ticketctl.errors import ArtifactError
from ticketctl.store.files import read_bytes

__all__ = ["verify_deep"]

_OPEN: dict[str, Callable[[Path], Artifact]] = {
    "ticket": lambda folder: open_ticket(folder).manifest,
    "run": lambda folder: open_run(folder).manifest,
    "verdict": lambda folder: open_verdict(folder).verdict,
}
ABOVE = 5
"""Folders above an artifact, where the ticket may lie: `controls/<kind>/spends/<hash>/<run>` is the deepest."""
SIGNS = {"rn1": "run", "rp1": "report", "tk1": "ticket", "vd1": "verdict"}
"""What an id names, by its beginning."""
_VERIFY = {"ticket": verify_ticket, "run": verify_run, "verdict": verify_verdict}


def verify_deep(folder: Path, kind: str, root: Path) -> list[Check]:
    """Check the history of a sound ticket, run or verdict.

    Args:
        folder: where it lies.
        kind: `ticket`, `run` or `verdict`.
        root: the workspace, in which the artifacts of earlier steps are looked for.

    Returns:
        A line for the chain, one for each report that it names, one for each earlier step. What cannot be
        checked, because it is not here or was never written down, is `skipped`.
    """
    own = _OPEN[kind](folder)
    try:
        chain = read_chain(folder)
        if chain is None:
            said = "no chain.json: what it came from is known by what its manifest says alone"
            link, head = link_of(own), Check("chain", True, said, skipped=True)
        else:
            link = _own(chain, own, folder)
            head = Check("chain", True, f"{len(chain.links)} steps, each sealed by those before it")
    except ArtifactError as error:
        return [Check("chain", False, str(error), error.code)]
    here = _Workspace(root, folder)
    walk = _Walk(chain, here, folder)
    return [head, *walk.reports(), *walk.steps(link)]


def _own(chain: Chain, own: Artifact, folder: Path) -> Link:
    """The link that made the artifact, which must say of it what it says itself.

    Raises:
        ArtifactError: E_CHAIN: there is none, or it is of something else.
    """
    name = link_of(own).made.id
    link = chain.of(name)
    if link is None:
        raise ArtifactError("E_CHAIN", f"{folder}: its chain does not say how {name} was made")
    _refuse_other(link, own, str(folder))
    return link


def _refuse_other(link: Link, made: Artifact, where: str) -> None:
    again = link_of(made)
    for key in ("made", "step", "recipe_digest", "parents"):
        if getattr(again, key) != getattr(link, key):
            raise ArtifactError(
                "E_CHAIN",
                f"{where}: the chain says of {link.made.id} another {key.replace('_', ' ')} than its manifest",
            )


@dataclass(frozen=True)
class _Workspace:
    """Artifacts by kind and id, opened once; a ladder, which is large, only where some level of it may be meant."""

    root: Path
    first: Path
    read: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    """Ids of levels, by the folder of their ticket, as far as they were asked for."""

    @cached_property
    def tickets(self) -> dict[str, list[Path]]:
        """Folders by the ticket's own id."""
        beside = [
            above / "ticket" for above in list(self.first.parents)[:ABOVE]
        ]  # of a draw that has its own --out
        near = [folder for folder in beside if (folder / TICKET).is_file()]
        folders = dict.fromkeys([self.first, *near, *ticket_folders(self.root)])
        return _by_id(folders, lambda folder: (open_ticket(folder).manifest.ticket_id,))

    def levels(self, folder: Path) -> tuple[str, ...]:
        """Ids of all levels of the ticket there; none if its ladder is damaged, or it has none."""
        if folder not in self.read:
            try:
                ladder = open_ticket(folder).ladder()
            except ArtifactError:
                ladder = None
            self.read[folder] = ladder.ticket_ids if ladder else ()
        return self.read[folder]

    @cached_property
    def runs(self) -> dict[str, list[Path]]:
        """Folders by run id."""
        folders = dict.fromkeys([self.first, *run_folders(self.root)])
        return _by_id(folders, lambda folder: (open_run(folder).manifest.run_id,))

    def folders(self, kind: str, name: str) -> list[Path]:
        """Where artifacts of this id lie."""
        if kind == "report":
            return []
        if kind == "verdict":
            place = self.root / "verdicts" / f"verdict-{name}"
            return [place] if (place / VERDICT).is_file() else []
        if kind == "run":
            return self.runs.get(name, [])
        every = (folder for each in self.tickets.values() for folder in each)
        first = (
            folder for folder in every if name in self.levels(folder)
        )  # its own draw's comes before others
        return self.tickets.get(name) or [*islice(first, 1)]


def _by_id(folders: Iterable[Path], ids: Callable[[Path], Iterable[str]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        with suppress(ArtifactError):  # of what does not open nobody knows the id: it is not here
            for name in ids(folder):
                found.setdefault(name, []).append(folder)
    return found


@dataclass(frozen=True)
class _Walk:
    chain: Chain | None
    here: _Workspace
    folder: Path

    def reports(self) -> Iterator[Check]:
        """Reports that the chain names and that lie, or should lie, beside the artifact."""
        from ticketctl.artifacts.report import decode_report

        for link in self.chain.links if self.chain else ():
            if link.made.kind != "report":
                continue
            found = sorted(self.folder.glob(f"reports/*-{link.made.id}.zarr.zip"))
            name = f"{link.step} {link.made.id[:11]}"
            if not found:
                yield Check(name, True, "its report is not here", skipped=True)
                continue
            try:
                report = decode_report(read_bytes(found[0], limit=1 << 31), where=str(found[0]))
                _refuse_other(link, report, str(found[0]))
                yield Check(name, True, f"{found[0].name}, of {', '.join(link.parents)[:40]}")
            except ArtifactError as error:
                yield Check(name, False, str(error), error.code)

    def steps(self, last: Link) -> Iterator[Check]:
        """Every earlier step, the nearest first."""
        known = {link.id: link for link in self.chain.links} if self.chain else {}
        seen, open_ = {last.id}, [last]
        while open_:
            link = open_.pop(0)
            inputs = [known[name] for name in link.inputs]
            yield from self._unlinked(link, inputs)
            for one in inputs:
                if one.id not in seen:
                    seen.add(one.id)
                    open_.append(one)
                    if one.made.kind != "report":  # those lie beside what was judged by them
                        yield self._step(one)

    def _step(self, link: Link) -> Check:
        """What lies here of an earlier step is what the chain says, and sound."""
        name = f"{link.step}: {link.made.kind} {link.made.id[:11]}"
        folders = self.here.folders(link.made.kind, link.made.id)
        others = 0
        for folder in folders:
            try:
                made = _OPEN[link.made.kind](folder)
                if link_of(made).made != link.made:
                    others += 1
                    continue
                _refuse_other(link, made, str(folder))
            except ArtifactError as error:
                return Check(name, False, str(error), error.code)
            failed = next((check for check in _VERIFY[link.made.kind](folder) if not check.ok), None)
            if failed:
                return Check(name, False, f"{folder}: {failed.name}: {failed.detail}", failed.code)
            return Check(name, True, f"{folder}, sealed and sound")
        copies = f" ({others} of the same content have another manifest)" if others else ""
        return Check(name, True, f"not in {self.here.root}{copies}", skipped=True)

    def _unlinked(self, link: Link, inputs: list[Link]) -> Iterator[Check]:
        """Parents that a manifest names and of which the chain has no step: a level's id is known by its ladder."""
        made = {one.made.id for one in inputs}
        left = [parent for parent in link.parents if parent not in made]
        levels = {name for one in inputs for name in self._levels(one)} if left else set()
        for parent in left:
            if parent in levels:
                continue
            kind = next((kind for sign, kind in SIGNS.items() if parent.startswith(sign)), "ticket")
            folders = self.here.folders(kind, parent)
            name = f"{kind} {parent[:11]}"
            if not folders:
                yield Check(name, True, f"{link.made.id[:11]} names it; it is not here", skipped=True)
                continue
            failed = next((check for check in _VERIFY[kind](folders[0]) if not check.ok), None)
            detail = f"{failed.name}: {failed.detail}" if failed else "sound; the chain has no step of it"
            yield Check(name, failed is None, f"{folders[0]}: {detail}", failed.code if failed else "")

    def _levels(self, link: Link) -> set[str]:
        """Ids of the levels of the ticket that a link made."""
        folders = self.here.folders("ticket", link.made.id) if link.made.kind == "ticket" else ()
        return {name for folder in folders for name in self.here.levels(folder)}
