"""Runs as they are compared: found below a folder, opened, and described by what their training was a function of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.artifacts.manifest import read_manifest
from ticketctl.artifacts.models import CONTROL_KINDS, DataPart, RunManifest, TicketManifest
from ticketctl.artifacts.report_models import UNTRAINED
from ticketctl.artifacts.run import MANIFEST, open_run
from ticketctl.artifacts.ticket import MANIFEST as TICKET
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import ArtifactError, UsageError, near_miss
from ticketctl.stages.copies import without_copies
from ticketctl.stages.course import course_of
from ticketctl.stages.measured import COURSE, RECORDED, REPORTED
from ticketctl.stages.named import lacks_place
from ticketctl.stages.recorded import Settings, searched, settings_of, worn
from ticketctl.stages.report_wants import FORM, table

if TYPE_CHECKING:
    from ticketctl.stages.stored import Stored

DEPTH, FOLDERS, RUNS = 8, 50_000, 5_000
"""How deep and how far is searched below a folder, and how many runs are compared at most."""
BARREN = 5_000
"""Folders without a run that are searched until the first one is found: far fewer lie before it in any workspace."""
TRANSFERRED, TRANSFER = "ticketctl.transfer", "transfer"
"""Where a run's `ext` says what it was transferred from, and the setting that tells so."""
SKIPPED = {"search", "work", "states", "reports"}
"""Folders that hold no result: a search's short trainings, checkpoints, a run's own files."""


@dataclass(frozen=True)
class Subject:
    """A run, as it is compared."""

    folder: Path
    manifest: RunManifest
    method: str
    """The draw's, or dense."""
    control: str
    """The kind of control that was trained, or nothing."""
    tweaks: tuple[str, ...]
    density: Fraction
    """Of the ticket, also where a tweak ended dense."""
    settings: Settings
    stored: Stored | None = field(default=None, repr=False, compare=False)
    """What stored reports say, where `audits.with_audits` or `explorations.with_explorations` has read them."""

    @property
    def net(self) -> str:
        """As in `ticketctl list models`."""
        return self.manifest.arch.name

    @property
    def data(self) -> str:
        """As in `ticketctl list data`."""
        return self.manifest.data.name

    @property
    def final(self) -> Fraction:
        """The share of the prunable weights that the final net has."""
        return Fraction(self.manifest.kept, max(1, self.manifest.prunable))

    @property
    def seeds(self) -> tuple[int, int]:
        """The root and the seed of the initialisation: what runs must share to be paired."""
        root = self.manifest.seeds.get("root", 0)
        return root, self.manifest.seeds.get("init", root)

    @property
    def diverged(self) -> bool:
        """Whether its training left the finite numbers."""
        return self.manifest.status == "diverged"

    @property
    def known(self) -> set[str]:
        """The metrics that it may have."""
        found = {*self.manifest.metrics, *(self.stored.known if self.stored else ())}
        found |= {name for name in COURSE if self.value(name) is not None} if self.method == "art" else set()
        return found | {*RECORDED} if self.keeps_lambda_max else found

    @property
    def keeps_lambda_max(self) -> bool:
        """Whether the largest eigenvalue of the Hessian was recorded along the way."""
        keep = self.manifest.recipe.get("keep")
        return isinstance(keep, dict) and keep.get("lambda_max") is not None

    def value(self, metric: str) -> float | None:
        """The metric, or None if it was not measured or is no finite number.

        `audit.ROW`, `ratio.ROW`, `probe.ROW` and their like are read from reports; `record.NAME` is the last of what
        was recorded along the way, `draw.NAME` what the ticket says of its draw.
        """
        kind, _, name = metric.partition(".")
        if kind in REPORTED:
            return self.stored.value(metric) if self.stored else None
        if kind == "record":
            return self._recorded(name)
        if kind == "draw":
            return course_of(ticket_beside(self.folder), self.manifest.level, name)
        text = self.manifest.metrics.get(metric, "nan")
        try:
            found = float(Fraction(text)) if "/" in text else float(text)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        return found if math.isfinite(found) else None

    def _recorded(self, name: str) -> float | None:
        found = (open_run(self.folder).record() or {}).get(name)
        last = math.nan if found is None else float(found.array()[-1])
        return last if math.isfinite(last) else None


def subjects_in(
    names: Sequence[str], workspace: Path, damaged: list[ArtifactError] | None = None
) -> tuple[list[Subject], int]:
    """The runs below the named folders, and how many copies of one training were left out.

    Of copies one with its ticket beside it is kept, if there is one; of these one that was audited, or recorded more.

    Args:
        names: folders of runs, or folders that hold such at any depth up to 8, as typed or below the workspace.
        workspace: where names are looked for second.
        damaged: where the faults of damaged runs are put, as `opened` does.

    Raises:
        UsageError: no such folder, no run there (or not soon), more than 5,000, or all of the home folder or disk.
        ArtifactError: some run is damaged; names the first and counts the others.
    """
    folders: dict[Path, None] = {}
    for name in names:
        root = _folder(name, workspace)
        _refuse_whole(root, name, workspace)
        found = list(_run_folders(root))
        if not found:
            raise UsageError(f"{name}: no run there; {_instead(root)}")
        folders |= dict.fromkeys(path.resolve() for path in found)
        if len(folders) > RUNS:
            raise UsageError(f"{name}: more than {RUNS} runs; give fewer folders")
    shown = opened(folders, damaged)
    unique = without_copies(shown)
    return sorted(unique, key=lambda found: str(found.folder)), len(shown) - len(unique)


def _folder(name: str, workspace: Path) -> Path:
    for path in (Path(name), workspace / name):
        if path.name == MANIFEST and path.is_file():
            return path.parent
        if path.is_dir():
            return path
    near = [path.name for path in sorted(workspace.iterdir())] if workspace.is_dir() else []
    raise UsageError(f"no folder {name!r} here or below {workspace}; {near_miss(name, near)}")


def _refuse_whole(root: Path, name: str, workspace: Path) -> None:
    """Runs are not looked for in all that there is."""
    try:
        home = Path.home().resolve()
    except RuntimeError:  # a user without a name, as in containers
        home = Path("/")
    if home.is_relative_to(root.resolve()):
        what = "the whole file system" if root.resolve() == Path("/") else "your whole home folder"
        raise UsageError(f"{name}: {what}; name the folder that holds the runs, such as {workspace}")


def _instead(root: Path) -> str:
    """What is right where a folder holds no run."""
    if (root / TICKET).is_file():
        return f"a ticket's runs lie beside it: name {root.parent}"
    if any(next(root.glob(f"{'*/' * depth}ticket/{TICKET}"), None) for depth in range(4)):
        return "there are tickets alone; ticketctl spend makes runs of them"
    return f"a run is a folder with {MANIFEST}, as draw and spend make them"


def _run_folders(root: Path) -> Iterator[Path]:
    """Folders with a run.json; links are not followed, and nothing is looked for inside a run."""
    seen, most, what = 0, BARREN, "folders and no run among the first"
    for here, below, files in os.walk(root):
        path, seen = Path(here), seen + 1
        if seen > most:
            raise UsageError(f"{root}: more than {most:,} {what}; give one nearer to the runs")
        depth = len(path.relative_to(root).parts)
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in SKIPPED)
        if MANIFEST in files or depth >= DEPTH:
            below.clear()
        if MANIFEST in files:
            most, what = FOLDERS, "folders"
            yield path


def opened(folders: Iterable[Path], damaged: list[ArtifactError] | None = None) -> list[Subject]:
    """The runs in `folders`, in their order.

    With a list `damaged`, faults of manifests are put there, and other damaged files are left to whoever reads them.

    Raises:
        ArtifactError: some run is damaged; names the first and counts the others.
    """
    found, faults, tickets = [], [], dict[Path, TicketManifest | None]()
    for folder in folders:
        try:
            found.append(_subject(folder, tickets, whole=damaged is None))
        except ArtifactError as error:
            faults.append(error)
    if damaged is not None:
        damaged.extend({str(one): one for one in faults}.values())
    elif faults:
        others = len({str(one) for one in faults}) - 1  # a damaged ticket is one fault, of all runs beside it
        more = f"; {others} more of {len(found) + len(faults)} runs are damaged" * (others > 0)
        raise ArtifactError(faults[0].code, faults[0].said + more)
    return found


def _subject(folder: Path, tickets: dict[Path, TicketManifest | None], *, whole: bool) -> Subject:
    """`whole`: refuse it where any of its files is not there in its size, or of its ticket."""
    manifest = open_run(folder).manifest if whole else read_manifest(folder / MANIFEST, RunManifest)
    place = ticket_beside(folder)
    if place not in tickets:
        tickets[place] = _manifest_of(place, whole)
    drawn = tickets[place]
    dense = manifest.ticket == "dense"
    draw = manifest.recipe.get("draw")
    method = str(draw.get("method", "unknown")) if isinstance(draw, dict) else "unknown"
    control = "" if dense else _control(folder, drawn)
    tweaks = tuple(sorted(manifest.arch.tweaks))
    settings = {
        key: value for key, value in settings_of(manifest.recipe, dense=dense).items() if worn(key, tweaks)
    }
    if not dense:
        settings |= searched(settings, drawn.draw.recipe if drawn else None)
    settings |= transferred(manifest.ext, manifest.data)
    return Subject(
        folder,
        manifest,
        "dense" if dense else method,
        control,
        tweaks,
        _density(manifest, drawn),
        settings,
    )


def transferred(ext: Mapping[str, Any], target: DataPart | None = None) -> dict[str, str]:
    """`transfer` of a run that was transferred, as `mask+init of trained digits sha256:1a2b...`; else nothing.

    Args:
        ext: of its manifest. Other words than `ticketctl transfer` writes make another transfer of it.
        target: the data that it was trained on: several of somebody's own have one name, and `data.content` is which.
    """
    if TRANSFERRED not in ext:
        return {}
    to = {"data.content": target.fingerprint[:18]} if target and lacks_place(target.name) else {}
    return _handed(ext) | to


def _handed(ext: Mapping[str, Any]) -> dict[str, str]:
    told = table(ext[TRANSFERRED])
    keep, data = str(told.get("keep"))[:20], table(told.get("data"))
    if keep == FORM:
        return {TRANSFER: keep}
    net = "untrained" if table(told.get("net")).get("run_id") == UNTRAINED else "trained"
    begun = f"{net} " if keep == "mask+init" else ""  # a mask alone is the same before and after
    return {TRANSFER: f"{keep} of {begun}{data.get('name')} {str(data.get('fingerprint'))[:18]}"}


def ticket_beside(folder: Path) -> Path:
    """Where the ticket of a run in a workspace lies: beside `levels/3` and beside `spends/<hash>/3-seed-0`."""
    above = folder.parents[1] if folder.parent.name == "levels" else folder.parent.parent.parent
    return above / "ticket"


def _manifest_of(place: Path, whole: bool) -> TicketManifest | None:
    if not (place / TICKET).is_file():
        return None
    return open_ticket(place).manifest if whole else read_manifest(place / TICKET, TicketManifest)


def _control(folder: Path, drawn: TicketManifest | None) -> str:
    """As the ticket says; without one, as the folder `controls/<kind>/spends/...` does."""
    if drawn is not None:
        return drawn.control.kind if drawn.control else ""
    parts = folder.parts[-5:]
    named = len(parts) == 5 and parts[0] == "controls" and parts[2] == "spends" and parts[1] in CONTROL_KINDS
    return parts[1] if named else ""


def _density(manifest: RunManifest, drawn: TicketManifest | None) -> Fraction:
    if manifest.kept == manifest.prunable and manifest.ticket != "dense" and drawn is not None:
        kept = [level.kept for level in drawn.draw.levels if level.level == manifest.level]
        return Fraction(kept[0] if kept else drawn.mask.kept, max(1, drawn.mask.prunable))
    return Fraction(manifest.kept, max(1, manifest.prunable))
