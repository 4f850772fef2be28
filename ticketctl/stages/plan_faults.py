"""Trainings of a plan that cannot be: which of its combinations or cells they are of, in one line. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ticketctl.errors import UsageError, listed
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import assignments
from ticketctl.stages.agenda import SPENT, Use
from ticketctl.stages.errands import delivered, spend_recipe_of
from ticketctl.stages.fitting import check_optimizer, check_rewound, check_trained
from ticketctl.stages.grid_spec import CONTROL, NET
from ticketctl.stages.jobs import Plan
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

    def why(self, use: Use) -> str:
        """As `check`; "" where nothing is wrong."""
        above = use.draw.folder.parent  # of all seeds, which have the same recipe
        key = (above, use.sets, use.tweaks, use.control, use.level == 0, delivered(use))
        if key not in self._known:
            self._known[key] = _why(use)
        return self._known[key]


def _why(use: Use) -> str:
    recipe = use.draw.recipe
    try:
        check_lengths(recipe)
        check_rewind(recipe)
        if not delivered(use):
            _check_spend(use)
    except UsageError as error:
        return str(error)
    return ""


def _check_spend(use: Use) -> None:
    """As `prepare_spend` does, whose ticket is there; raises UsageError."""
    drawn, own, said = use.draw.recipe, spend_recipe_of(use), assignments(use.sets)
    if own.model.name != drawn.model.name:
        spend_recipe(Typed(sets=use.sets), drawn.record(*SPENT, "draw"))  # whose refusal it is
    without_unspent(own, [use.tweaks], said, {})
    settled_watch(own, said, {})
    check_lengths(own)
    check_optimizer(drawn.model_dump(mode="json")["train"], own)
    if use.level != 0:
        check_rewound(drawn, own)
        check_trained(drawn, own, control=bool(use.control))
    teacher_named(own, use.tweaks, use.draw.folder.parents[2])


def refuse(plan: Plan, unsound: Sequence[tuple[Recipe, str]]) -> None:
    """Refuse a plan of which some trainings cannot be.

    Args:
        plan: the plan.
        unsound: their recipes, each with why.

    Raises:
        UsageError: there is one; names the combinations, or a table's cells, that need it.
    """
    if not unsound:
        return
    bad = dict[str, str]()
    for job in plan.jobs:  # what a job needs comes before it
        recipe = job.draw.recipe if job.use is None else spend_recipe_of(job.use)
        own = next((why for one, why in unsound if job.reading is None and one == recipe), "")
        if why := own or next((bad[need] for need in job.needs if need in bad), ""):
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
        way: what helps, where some of them can be.
    """
    reasons: dict[str, list[str]] = {}
    for which, why in faults.items():
        reasons.setdefault(why, []).append(which)
    parts = "; ".join(f"{why} {listed(which, 2)}" for why, which in list(reasons.items())[:REASONS])
    more = f"; and {len(reasons) - REASONS} other reasons" if len(reasons) > REASONS else ""
    return (
        f"{len(faults)} of {many} {what} cannot be: {parts}{more}{f'; {way}' if len(faults) < many else ''}"
    )
