"""The onset of stability: the first epoch from which twins of a dense net end linearly connected (paper 003, C.3).

Each of `onset.inits` initialisations has an onset of its own. Their roots are s, s + 1, ...: everything differs, the
images held out too, as between draws of several seeds. By bisection at most ceil(log2(T + 1)) epochs of a training of T
are evaluated; with `onset.scan` all of them. An epoch is stable if the mean error barrier over all pairs of twins from
it lies below `onset.threshold`; if a twin diverged or did not converge it is not. T is stable: nothing is trained from
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from ticketctl.artifacts.records import MAX_INT
from ticketctl.artifacts.report import Report
from ticketctl.curves import line
from ticketctl.errors import MismatchError, UsageError
from ticketctl.recipe import KeepSpec, Recipe, fingerprint
from ticketctl.recipe_explore import InterpolateRecipe, OnsetSpec
from ticketctl.stages.bisection import (
    at_most,
    bisect,
    contradictions,
    scan,
)
from ticketctl.stages.explored import Explored
from ticketctl.stages.named import Named
from ticketctl.stages.onset_found import BETTER, Outcome, measurement
from ticketctl.stages.params import checked
from ticketctl.stages.reported import REPORTS, measured, written
from ticketctl.stages.request import lengthened
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.stability import APART, TABLES, Origin, Stability, initialised
from ticketctl.stages.subject import Opener
from ticketctl.stages.twins import check_noise
from ticketctl.store.files import sweep_temporaries
from ticketctl.store.locks import locked

WORK = "onset-work"
LONGEST = 100_000
"""Epochs of a training; each is looked up."""


@dataclass(frozen=True)
class Search:
    """What the onset is searched for of."""

    net: Named
    """Dense, of the first initialisation."""
    folder: Path
    """Its reports, and the work, lie below."""
    spec: OnsetSpec
    params: line.Params
    made_on: str | None = None
    """The fingerprint of the data of a run that was named."""
    stretched: bool = False
    """Whether the dense net is trained longer or shorter than that which lies there."""

    @property
    def label(self) -> str:
        """For people."""
        return f"onset of {self.folder}"

    @property
    def work(self) -> Path:
        """Of its parts and trainings: a search of another length is not in the way of this one."""
        place, recipe = self.folder / WORK, self.net.recipe
        length = f"epochs-{recipe.train.epochs}-{fingerprint(recipe.changed('train'))}"
        return place / length if self.stretched else place

    def origin(self, number: int, around: Surroundings) -> Origin:
        """Initialisation `number`, with data and net of its own.

        Raises:
            UnavailableError, UsageError, MismatchError: as `Opener.open`.
            UsageError: it is trained without SGD noise.
        """
        net = replace(self.net, seeds=initialised(self.net.seeds, number))
        subject = Opener(around).open(net)
        check_noise(self.label, subject.setting)
        data = subject.setting.data
        if self.made_on not in (None, data.fingerprint):
            raise MismatchError(
                f"{data.name}: its content is {data.fingerprint}, and {self.folder} was made on {self.made_on}"
            )
        return Origin(number, subject, self.spec.twins, self.params, self.work)


def searches(
    found: Sequence[Named], asked: Explored, *, epochs: int | None = None, scale: Fraction | None = None
) -> list[Search]:
    """One for each net that was named: a ticket or a dense run of it, whose recipe is its draw's, or a model.

    Args:
        found: the nets.
        asked: the recipe of the search.
        epochs: stretch the training to so many, as `lengthened` does.
        scale: stretch it by this factor.

    Raises:
        UsageError: no `[onset]`, a net that is pruned or was tweaked, a key of the wrong kind.
    """
    recipe = asked.recipe
    assert isinstance(recipe, InterpolateRecipe)
    if recipe.onset is None:
        raise UsageError("there is no [onset] in the recipe; --recipe interpolate/onset has one")
    table = recipe.tables.get("line", {})
    if "threshold" in table:
        raise UsageError("curves.line.threshold: not used here; onset.threshold says what is stable")
    params = checked(line.Params, table, "curves.line")
    longer = partial(lengthened, typed=asked.sets, epochs=epochs, scale=scale)
    return [_search(net, longer(net.recipe), recipe.onset, params) for net in found]


def _search(net: Named, recipe: Recipe, spec: OnsetSpec, params: line.Params) -> Search:
    highest = net.seeds.root + spec.inits + APART * spec.twins
    if highest > MAX_INT:
        raise UsageError(f"--seed {net.seeds.root}: roots of twins go up to {highest}; give a lower one")
    if recipe.train.epochs > LONGEST:
        raise UsageError(f"{net.label}: an onset is searched for among {LONGEST:,} epochs at most")
    if net.run is not None and (net.level or net.run.manifest.arch.tweaks):
        what = "was tweaked" if net.level == 0 else f"is level {net.level}"
        raise UsageError(
            f"{net.label} {what}; the onset is of the dense net: name its ticket, or its run of level 0"
        )
    if net.ticket is not None and net.level not in (0, net.ticket.manifest.level):
        raise UsageError(f"{net.label}: the onset is of the dense net; leave the level out")
    folder = net.folder
    if net.kind == "plain":
        name = f"onset-{fingerprint(recipe.changed(*TABLES))}"
        folder = folder.parents[1] / name / folder.name
    recipe = recipe.model_copy(update={"keep": KeepSpec()})
    kind = net.kind if net.ticket is None else "random-dense"
    dense = replace(net, kind="plain" if net.run else kind, folder=folder, recipe=recipe, level=0, run=None)
    made_on = net.run.manifest.data.fingerprint if net.run else None
    stretched = recipe.train != net.recipe.train and net.kind != "plain"
    return Search(dense, folder, spec, params, made_on, stretched)


def onset(search: Search, around: Surroundings) -> Report:
    """The report of a search, written into `reports/` of its folder.

    The same call again goes on where the last one stopped; what was evaluated is not evaluated again.

    Raises:
        DivergedError: a dense net left the finite numbers.
        LockedError, StoppedError, UsageError, UnavailableError, MismatchError, ResourceError: as their names say.
    """
    origins = (search.origin(number, around) for number in range(search.spec.inits))
    first = [next(origins)]  # what cannot be is refused here, before there is a folder
    with locked(search.folder / WORK):
        sweep_temporaries(search.folder / REPORTS, "interpolate-")
        _begin(search, around)
        outcomes = [_searched(search, first.pop(), around)]  # which lets its data go before the next are read
        outcomes += [_searched(search, one, around) for one in origins]
        head, found = outcomes[0].head, measurement(search.spec, outcomes)
        return written(search.folder, measured(head, "onset", BETTER, found))


def _begin(search: Search, around: Surroundings) -> None:
    spec, epochs = search.spec, search.net.recipe.train.epochs
    trainings = spec.inits * (1 + spec.twins * round(at_most(epochs, lambda _: 1.0, {}, spec.scan)))
    around.reporter.job(f"{search.label}: at most {trainings} trainings", trainings)


def _searched(search: Search, origin: Origin, around: Surroundings) -> Outcome:
    spec, number = search.spec, origin.number
    there = {epoch: one for epoch in range(origin.epochs) if (one := origin.known(epoch)) is not None}

    def evaluate(epoch: int) -> bool:
        one = there[epoch] = there[epoch] if epoch in there else origin.evaluated(epoch)
        around.reporter.note(f"initialisation {number}: {_told(one, spec.threshold)}")
        return one.stable(spec.threshold)

    found = (scan if spec.scan else bisect)(evaluate, origin.epochs)
    origin.clear()
    head = origin.head({"onset": spec.model_dump(mode="json")})
    outcome = Outcome(origin.epochs, found, dict(sorted(there.items())), spec.threshold, head)
    failed = [epoch for epoch, one in outcome.there.items() if one.diverged or one.guesses]
    if failed:
        told = ", ".join(map(str, failed))
        around.reporter.remark(
            f"initialisation {number}: twins failed to train from epoch {told}: not stable"
        )
    for early, late in contradictions(outcome.stable):
        around.reporter.remark(
            f"initialisation {number}: stable from epoch {early} and not from {late}: stability comes and goes"
        )
    return outcome


def _told(one: Stability, threshold: float) -> str:
    if one.diverged:
        return f"epoch {one.epoch}: a twin diverged: not stable"
    if one.guesses:
        return f"epoch {one.epoch}: a twin is no better than guessing: not stable"
    error = "" if one.error is None else f" ± {one.error:.2f}"
    said = "stable" if one.stable(threshold) else "not stable"
    return f"epoch {one.epoch}: barrier {one.barrier:.2f}{error} points: {said}"
