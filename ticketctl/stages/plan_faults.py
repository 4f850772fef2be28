"""Trainings of a plan that cannot be: which of its combinations or cells they are of, in one line. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ticketctl.data.load import form_of
from ticketctl.errors import UsageError, listed
from ticketctl.recipe import Recipe
from ticketctl.recipe_data import DataSpec
from ticketctl.recipe_files import assignments
from ticketctl.stages.agenda import SPENT, Use
from ticketctl.stages.cells import is_ladder, ladder_of
from ticketctl.stages.errands import delivered, spend_recipe_of
from ticketctl.stages.fitting import (
    Shapes,
    check_optimizer,
    check_rewound,
    check_trained,
    layout_of,
    refuse_other_net,
)
from ticketctl.stages.grid_spec import CONTROL, NET, OF_DRAW
from ticketctl.stages.jobs import Plan, PlanJob
from ticketctl.stages.lengths import check_lengths, check_rewind
from ticketctl.stages.request import Typed, spend_recipe
from ticketctl.stages.tweaking import without_unspent
from ticketctl.stages.wallet import teacher_named
from ticketctl.stages.watching import settled_watch

REASONS = 3
"""That are told of all there are."""


class Checked:
    """Refuses what trainings would refuse as they begin, whatever the data are; looks at each recipe once."""

    def __init__(self) -> None:
        self._known: dict[object, str] = {}

    def check(self, use: Use) -> None:
        """Of the draw, and of what is spent of it.

        Raises:
            UsageError: a point that lies past the end of the training, or a metric that no training is watched with.
            MissingExtraError: a metric needs a package that is not here.
        """
        if why := self.why(use):
            raise UsageError(why)

    def why_job(self, job: PlanJob) -> str:
        """As `why`, of the job itself: not of its draw, where it is a spend, which is a job of its own."""
        if job.use is not None:
            return "" if job.reading else self.why(job.use)
        return _said(check_drawn_by, job.draw.recipe)

    def why(self, use: Use) -> str:
        """As `check`; "" where nothing is wrong."""
        above = use.draw.folder.parent  # of all seeds, which have the same recipe
        key = (above, use.sets, use.tweaks, use.control, use.level == 0, delivered(use))
        if key not in self._known:
            self._known[key] = _said(_check, use)
        return self._known[key] or _said(_check_level, use)


def _said(check: Callable[[Any], None], one: Any) -> str:
    try:
        check(one)
    except UsageError as error:
        return str(error)
    return ""


def _check(use: Use) -> None:
    check_drawn_by(use.draw.recipe)
    if not delivered(use):
        _check_spend(use)


def _check_level(use: Use) -> None:
    check_level(use.draw.recipe, use.level)


def check_drawn_by(recipe: Recipe) -> None:
    """Refuse a draw of which a point lies past the end of the training; raises UsageError."""
    check_lengths(recipe)
    check_rewind(recipe)


def check_level(recipe: Recipe, level: int | None) -> None:
    """Refuse a level that a ladder has not.

    Raises:
        UsageError: says which there are.
    """
    if level and is_ladder(recipe) and recipe.draw and level > (last := len(ladder_of(recipe)) - 1):
        raise UsageError(f"level {level}: {recipe.draw.method} has levels 0 to {last}, or write deepest")


def _check_spend(use: Use) -> None:
    """As `prepare_spend` does, whose ticket is there; raises UsageError."""
    drawn, own, said = use.draw.recipe, spend_recipe_of(use), assignments(use.sets)
    check_named(drawn, use.sets)
    check_net(drawn, own)
    without_unspent(own, [use.tweaks], said, {})
    settled_watch(own, said, {})
    check_lengths(own)
    check_optimizer(drawn.model_dump(mode="json")["train"], own)
    if use.level != 0:
        check_rewound(drawn, own)
        check_trained(drawn, own, control=bool(use.control))
    teacher_named(own, use.tweaks, use.draw.folder.parents[2])


def check_named(drawn: Recipe, sets: Sequence[str]) -> None:
    """Refuse to spend a ticket as another net than it is drawn for, as a spend does, whose words they are.

    Nor on other data: a job has its ticket trained on those of the draw, wherever they lie.

    Args:
        drawn: recipe of the draw.
        sets: `KEY=VALUE` by which the spend differs.

    Raises:
        UsageError: they name another.
    """
    said = tuple(text for text in sets if text.startswith("model.name="))
    if said:
        spend_recipe(Typed(sets=said), drawn.record(*SPENT, "draw"))
    wanted = assignments(sets).get("data", {}).get("name", drawn.data.name)
    if wanted != drawn.data.name:
        raise UsageError(f"data.name ({wanted}, and not {drawn.data.name}) {OF_DRAW}")


Form = tuple[tuple[int, int, int], int]
"""Channels, height and width of images, and the number of classes."""


def published(spec: DataSpec) -> Form | None:
    """The form of images that is known without them; None: they are somebody's own."""
    found = form_of(spec.name)
    return None if found is None else (spec.form or found[0], found[1])


def check_net(drawn: Recipe, own: Recipe, form: Callable[[DataSpec], Form | None] = published) -> None:
    """As `fitting.check_fit`, before there is a ticket: its net is that which the draw's recipe builds.

    Torch is imported only where nets or data differ.

    Args:
        drawn: recipe of the draw.
        own: of the spend.
        form: of the data; None: it is not known, and nothing is said.

    Raises:
        UsageError: the spend's net has other weights, or cannot be built.
    """
    same = drawn.model.model_copy(update={"init": own.model.init}) == own.model
    keys = ("name", "form", "size")
    if same and all(getattr(drawn.data, key) == getattr(own.data, key) for key in keys):
        return
    theirs, ours = form(drawn.data), form(own.data)
    if theirs is None or ours is None or (same and theirs == ours):
        return
    data = drawn.data.name.partition(":")[0]
    where = f"{own.model.name} on {own.data.name}"
    refuse_other_net(data, _shapes(drawn, theirs), _shapes(own, ours), where)


def _shapes(recipe: Recipe, form: Form) -> Shapes:
    net = layout_of(recipe.model, *form).state_dict()
    return {name: tuple(value.shape) for name, value in net.items()}


def refuse(plan: Plan, unsound: Sequence[tuple[Recipe, str]]) -> None:
    """Refuse a plan of which some trainings cannot be.

    Args:
        plan: the plan.
        unsound: their recipes, each with why.

    Raises:
        UsageError: there is one; names the combinations, or a table's cells, that need it; where jobs were retried
            with other keys, for which no combination stands any more, the jobs.
    """
    if not unsound:
        return
    own = {job: why for job in plan.jobs if (why := _own_fault(job, unsound))}
    if own and (again := plan.about.get("retried")):
        raise UsageError(told_again(again[-1]["set"], own, plan))
    bad = dict[str, str]()
    for job in plan.jobs:  # what a job needs comes before it
        if why := own.get(job) or next((bad[need] for need in job.needs if need in bad), ""):
            bad[job.id] = why
    named, beside = dict[str, str](), dict[str, str]()
    for place in plan.places:
        found = beside if {NET, CONTROL} & {*place.labels} else named
        which = bracketed(place.labels)  # that of several seeds, and a cell is worked out from several runs
        found[which] = found.get(which) or bad.get(plan.of_use[place.use].id, "")
    known = next((own for own in (named, beside) if any(own.values())), None)
    if known is None:
        raise UsageError(unsound[0][1])
    table = "table" in plan.about
    what, way = ("cells", "--rows or --only takes others") if table else ("combinations", EXCLUDE)
    raise UsageError(told({which: why for which, why in known.items() if why}, len(known), what, way))


def _own_fault(job: PlanJob, unsound: Sequence[tuple[Recipe, str]]) -> str:
    """Why the job's own training cannot be; "" of a report, too."""
    if job.reading is not None:
        return ""
    recipe = job.draw.recipe if job.use is None else spend_recipe_of(job.use)
    return next((why for one, why in unsound if one == recipe), "")


def told_again(sets: Sequence[str], faults: Mapping[PlanJob, str], plan: Plan) -> str:
    """What cannot be of the jobs that are retried with other keys.

    Args:
        sets: `KEY=VALUE`.
        faults: by job why it cannot be, one or more; of what needs another of them nothing is said.
        plan: which has them.
    """
    ids = {job.id for job in faults}
    first = {f"[{job.title}]": why for job, why in faults.items() if not ids.intersection(job.needs)}
    many = sum(job.reading is None for job in plan.jobs)
    return f"--set {' '.join(sets)}: {told(first, many, 'jobs', '')}"


EXCLUDE = "[[exclude]] leaves some out"
"""What helps with a grid."""


def bracketed(labels: Mapping[str, str]) -> str:
    """A combination as it is named in a line."""
    return "[" + ", ".join(f"{name} {value}" for name, value in labels.items()) + "]"


def told(faults: Mapping[str, str], many: int, what: str = "combinations", way: str = EXCLUDE) -> str:
    """What cannot be, the same reason once.

    Args:
        faults: by combination why it cannot be, one or more.
        many: how many combinations there are.
        what: they are.
        way: what helps, where some of them can be; "": nothing is said of it.
    """
    reasons: dict[str, list[str]] = {}
    for which, why in faults.items():
        reasons.setdefault(why, []).append(which)
    parts = "; ".join(f"{why} {listed(which, 2)}" for why, which in list(reasons.items())[:REASONS])
    more = f"; and {len(reasons) - REASONS} other reasons" if len(reasons) > REASONS else ""
    out = f"; {way}" if way and len(faults) < many else ""
    return f"{len(faults)} of {many} {what} cannot be: {parts}{more}{out}"
