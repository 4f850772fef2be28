"""Where the probes, transfers and interpolations of a run lie, and of the ticket behind it. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ticketctl.artifacts.models import RunManifest
from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.report_models import UNTRAINED
from ticketctl.artifacts.run import MANIFEST, open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.recipe import TrainSpec
from ticketctl.recipe_explore import TransferRecipe
from ticketctl.recipe_files import merge
from ticketctl.stages.kept import epoch_near, kept_states
from ticketctl.stages.measured import Reading
from ticketctl.stages.recorded import PRECISE, settings_of
from ticketctl.stages.report_wants import FORM, ONSET, TWINS, explore_wants, table
from ticketctl.stages.reported import EPOCH, REPORTS
from ticketctl.stages.stored import Shelf, of_run
from ticketctl.stages.subjects import Subject, ticket_beside
from ticketctl.stages.target_content import goes_to


@dataclass(frozen=True)
class Whose:
    """Whose reports are looked for."""

    run: Subject
    ticket: Ticket | None
    """Beside the run."""
    reading: Reading
    shelf: Shelf

    def below(self, *folders: Path | None) -> list[Report]:
        """Reports of the kind, of runs or tickets, the newest of all first."""
        return self.shelf.below((folder / REPORTS for folder in folders if folder), self.reading.kind)

    @property
    def mine(self) -> list[Report]:
        """Of the run."""
        return self.below(self.run.folder)

    @property
    def beside(self) -> Path | None:
        """The folder of its ticket."""
        return self.ticket.folder if self.ticket else None

    @property
    def tickets(self) -> list[Report]:
        """Of the ticket beside it: of untrained nets, and of paths."""
        return self.below(self.beside)

    def untrained(self, level: int, own: bool) -> Iterator[Report]:
        """Of a level of the ticket itself, or of another ticket at that level that was made of it."""
        if self.ticket is None:
            return
        init = self.ticket.manifest.init.digest
        for one in self.tickets:
            said = one.subject  # of a dense net there is no ticket's id
            if (said.run_id, said.level) != (UNTRAINED, level):
                continue  # before the ticket's file is read for its levels' ids
            same = said.ticket == self.ticket.ticket_id_at(level) if level else said.weights == init
            if same == own:
                yield one

    @property
    def level(self) -> int:
        """Of the run."""
        return self.run.manifest.level

    def is_mine(self, report: Report) -> bool:
        """Whether it is of the run, or of the weights that it kept at the share of its training that is meant."""
        weights = self.run.manifest.weights.digest if self.reading.at is None else self._kept
        return weights is not None and of_run(report, self.run.manifest.run_id, weights)

    @property
    def _kept(self) -> str | None:
        own = self.run.manifest
        epoch = None if self.reading.at is None else epoch_near(own, self.reading.at)
        return None if epoch is None else kept_states(own)[epoch].digest

    def is_end(self, end: Mapping[str, Any]) -> bool:
        """Whether the end of a path is the run."""
        own = self.run.manifest
        return (end.get("run_id"), end.get("weights")) == (own.run_id, own.weights.digest)


def _trained(of: Whose) -> Iterable[Report]:
    return [one for one in of.mine if of.is_mine(one) and _of_one(one)]


def epochs_of(of: Whose) -> list[Report]:
    """Of the run after epochs whose weights it kept, but for its last: these are the run's own."""
    own = of.run.manifest
    kept = {one.digest for one in kept_states(own).values()} - {own.weights.digest}
    return [
        one
        for one in of.mine
        if EPOCH in one.recipe and any(of_run(one, own.run_id, weights) for weights in kept) and _of_one(one)
    ]


def _untrained(of: Whose) -> Iterable[Report]:
    return [one for one in of.untrained(of.level, True) if _of_one(one)]


def _permuted(of: Whose) -> Iterable[Report]:
    return [*of.untrained(of.level, False)] if of.level else []


def _random_dense(of: Whose) -> Iterable[Report]:
    """Of a ticket that starts at its initialisation, level 0 is the dense net at its initialisation."""
    return [*of.untrained(0, of.ticket is not None and of.ticket.manifest.init.role == "init")]


def _twins(of: Whose) -> Iterable[Report]:
    """Twins of the run's own level, trained of one ticket; where no recipe is asked for, any number of them."""
    for one in of.untrained(of.level, True):
        ends, runs = ends_of(one), {*_runs_in(one)} - {UNTRAINED}
        alike = len({(str(end.get("level")), str(end.get("ticket"))) for end in ends}) == 1
        # a paper's cell wants as many as the paper had
        many = len(ends) == TWINS if of.reading.recipe else len(ends) > 1
        if many and len(ends) == len(runs) and alike and ends[0].get("level") == of.level:
            yield one


def _levels(of: Whose) -> Iterable[Report]:
    """The run stands among the ends, behind the level above."""
    for one in of.tickets:
        for before, after in pairwise(ends_of(one)):
            if of.is_end(after) and before.get("level") == of.level - 1:
                yield one


def _before(of: Whose) -> Iterable[Report]:
    """Two ends: of the same level the run before the tweak that goes on from it, and the run."""
    for one in of.below(*level_beside(of.run.folder, of.level)):
        ends = ends_of(one)
        if len(ends) == 2 and of.is_end(ends[1]) and went_on_from(of.run.manifest, ends[0].get("weights")):
            yield one


def level_beside(folder: Path, level: int) -> list[Path]:
    """Where runs of a level may lie, beside one in `folder`: those of its draw, then of spends."""
    draw = ticket_beside(folder).parent
    own = [draw / place / str(level) for place in ("levels", "search")]
    return [*own, *sorted(draw.glob(f"spends/*/{level}-seed-*"))]


def went_on_from(run: RunManifest, weights: object) -> bool:
    """Whether the run began with these weights, by their digest."""
    return weights == run.start.digest


def _onset(of: Whose) -> Iterable[Report]:
    """With the run, or with its ticket."""
    return [one for one in of.below(of.run.folder, of.beside) if ONSET in one.recipe]


def _retrained(of: Whose) -> Iterable[Report]:
    """Of runs that were trained on a target with nothing of the net but its form, as the recipe and its seed say."""
    places = ticket_beside(of.run.folder).parent.glob("transfers/*/0-seed-*")
    told = [
        one
        for one in of.below(*(place for place in places if _trained_alike(place, of)))
        if _kept(one) == FORM
    ]
    return [one for one in told if one.seeds.get("root") == of.run.seeds[0]]


def _trained_alike(place: Path, of: Whose) -> bool:
    """Whether the run at `place` was trained as the recipe changes the training of the net that it has its form of."""
    if not (place / MANIFEST).is_file() or of.reading.recipe is None:
        return (place / MANIFEST).is_file()  # no recipe: by any
    recipe = explore_wants(of.reading.recipe, of.reading.kind).recipe
    wanted = _course(of.run.manifest, recipe.train if isinstance(recipe, TransferRecipe) else {})
    return wanted is not None and wanted == _course(open_run(place).manifest, {})


def _course(run: RunManifest, changed: Mapping[str, Any]) -> dict[str, str] | None:
    """The keys of a run's training, with some changed; None: it has no such table."""
    try:
        train = TrainSpec.model_validate(merge(table(run.recipe.get("train")), changed))
    except ValidationError:
        return None
    said = settings_of(to_record({"train": train.model_dump(mode="json", exclude_none=True)}), dense=True)
    return {key: value for key, value in said.items() if key not in PRECISE}


def _of_one(report: Report) -> bool:
    """Whether it is about one net: no path, and no onset."""
    return ("ends" not in report.recipe or len(ends_of(report)) == 1) and ONSET not in report.recipe


def ends_of(report: Report) -> list[Mapping[str, Any]]:
    """What a report says of each net that a path lies between; none, where it says it otherwise."""
    told = report.recipe.get("ends")
    return [table(end) for end in told] if isinstance(told, list | tuple) else []


def _runs_in(report: Report) -> list[str]:
    """The ids of the runs that a path lies between."""
    return [str(end.get("run_id")) for end in ends_of(report)]


def of_several(report: Report, reading: Reading) -> bool:
    """Whether it is of a whole ladder's paths, where one is looked for."""
    return reading.of == "levels" and len(_runs_in(report)) > 2


def _kept(report: Report) -> object:
    return table(report.recipe.get("transfer")).get("keep")


def _goes_to(report: Report, reading: Reading) -> bool:
    """Of transfers, whether the target is that one, and the net was frozen."""
    if reading.kind != "transfer":
        return True
    if reading.of != "retrained" and _kept(report) is not None:
        return False
    return goes_to(table(report.recipe.get("target")), reading.to)


def found(of: Whose) -> tuple[Report, ...]:
    """The reports that the reading means, the newest first.

    Raises:
        ArtifactError: a report is damaged.
    """
    return tuple(dict.fromkeys(one for one in READERS[of.reading.of](of) if _goes_to(one, of.reading)))


READERS: Mapping[str, Callable[[Whose], Iterable[Report]]] = {
    "trained": _trained, "untrained": _untrained, "permuted": _permuted, "random-dense": _random_dense,
    "twins": _twins, "levels": _levels, "before": _before, "onset": _onset, "retrained": _retrained,
}  # fmt: skip
