"""Whether a ticket fits what is asked of it, as far as that is known before data are there and torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketctl.artifacts.ticket import Ticket
from ticketctl.data.load import form_of
from ticketctl.duration import Duration
from ticketctl.errors import UsageError
from ticketctl.recipe import ModelSpec, Recipe
from ticketctl.stages.places import drawn_tables
from ticketctl.stages.tweaking import Names, literal

if TYPE_CHECKING:
    from torch import nn

Shapes = Mapping[str, tuple[int, ...]]


def check_fit(ticket: Ticket, recipe: Recipe) -> None:
    """Refuse a data set of another form than the ticket's net takes, where the form is known without the data.

    Torch is imported only where form or net are not the draw's.

    Raises:
        UsageError: no such data set, or it does not fit; says the first tensor of another shape.
    """
    form, arch = form_of(recipe.data.name), ticket.manifest.arch
    if form is None:
        return
    form = (recipe.data.form or form[0], form[1])
    drawn = ModelSpec.model_validate(drawn_tables(ticket)["model"])
    same_net = drawn.model_copy(update={"init": recipe.model.init}) == recipe.model
    if same_net and form == ((arch.in_chans, *arch.size), arch.num_classes):
        return
    theirs = {name: tuple(tensor.shape) for name, tensor in ticket.init().items()}
    refuse_misfit(
        ticket, theirs, _shapes(layout_of(recipe.model, *form)), f"{recipe.model.name} on {recipe.data.name}"
    )


def layout_of(spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The recipe's net on the meta device, for images of this form.

    Raises:
        UsageError: no such net, or one that this form or its options do not fit.
    """
    from ticketctl.nets.build import layout

    return layout(
        spec.name,
        shape=shape,
        classes=classes,
        stem=spec.stem,
        width=spec.width,
        widths=spec.widths,
        conv_bias=spec.conv_bias,
    )


def _shapes(net: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def refuse_misfit(ticket: Ticket, theirs: Shapes, ours: Shapes, where: str) -> None:
    """Refuse a ticket for another net.

    Args:
        ticket: the ticket.
        theirs: shapes of the ticket's tensors, by name.
        ours: those of the net that the recipe builds.
        where: the net and its data, in words.

    Raises:
        UsageError: they differ; says the first tensor that does.
    """
    refuse_other_net(ticket.manifest.draw.data.name, theirs, ours, where)


def refuse_other_net(data: str, theirs: Shapes, ours: Shapes, where: str) -> None:
    """As `refuse_misfit`, of a ticket that is, or will be, drawn on `data`."""
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if odd:
        raise UsageError(
            f"the ticket is for another net: {odd[0]} is {theirs.get(odd[0])} there "
            f"(drawn on {data}), {ours.get(odd[0])} in {where}"
        )


def settled_start(recipe: Recipe, ticket: Ticket) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe without a `spend.start` that this ticket begins with anyway, and a line that says so."""
    if recipe.spend.start != "init" or ticket.manifest.init.role != "init":
        return recipe, ()
    spend = recipe.spend.model_copy(update={"start": "ticket"})
    note = "spend.start init: not used, the ticket begins at its initialisation anyway"
    return recipe.model_copy(update={"spend": spend}), (note,)


def check_starts(tickets: Sequence[Ticket], levels: Sequence[int], recipe: Recipe) -> None:
    """Refuse levels whose training has no weights to begin from.

    Levels that go on from trained weights have each their own, and the ticket holds those of its level alone.

    Raises:
        UsageError: says which, and what would do.
    """
    manifest = tickets[0].manifest
    other = [level for level in levels if level not in (0, manifest.level)]
    if other and manifest.init.role == "trained":
        raise UsageError(
            f"{tickets[0].folder}: level {other[0]} started from other trained weights than the ticket's; "
            f"spend level {manifest.level}, or draw with draw.retrain=rewind"
        )
    check_optimizer(manifest.draw.recipe.get("train"), recipe)
    for ticket in tickets if recipe.spend.start == "trained" else ():
        for level in filter(None, levels):
            trained_at(ticket, level)


def check_optimizer(drawn: Any, recipe: Recipe) -> None:
    """What one optimizer knows means nothing to another kind of optimizer, nor to one that knows nothing.

    Args:
        drawn: `[train]` of the draw.
        recipe: of the spend.

    Raises:
        UsageError: `spend.optimizer = kept`, and it could not go on with what the draw's knew.
    """
    if recipe.spend.optimizer != "kept":
        return
    train = recipe.train
    before = {"optimizer": "sgd", "momentum": 0.0, **(drawn if isinstance(drawn, dict) else {})}
    kind = str(before["optimizer"])
    if kind != train.optimizer:
        raise UsageError(
            f"spend.optimizer = kept: the draw trained with {kind} and this spend trains with {train.optimizer}, which "
            f"cannot go on with what {kind} knew; spend with train.optimizer={kind}, or spend.optimizer=fresh"
        )
    if kind == "sgd" and not (train.momentum and float(before["momentum"])):
        whose = "this spend" if float(before["momentum"]) else "the draw"
        raise UsageError(
            f"spend.optimizer = kept: {whose} has train.momentum = 0, so there is nothing to go on with; "
            "spend.optimizer=fresh is the same then"
        )


def check_trained(drawn: Recipe, recipe: Recipe, *, control: bool) -> None:
    """Refuse a sparse level that wants what, by the draw's recipe, no draw leaves behind.

    Args:
        drawn: the draw's.
        recipe: of the spend, with its tweaks.
        control: whether a control is spent, and not the ticket.

    Raises:
        UsageError: as `check_needs` and `trained_at` say it of the ticket itself.
    """
    needing = [name for name in recipe.spend.tweaks if "levels" in literal(name, "NEEDS", ())]
    wants = "spend.start=trained" if recipe.spend.start == "trained" else needing[0] if needing else ""
    if wants and control:
        raise UsageError(
            f"{wants} needs the levels that a draw has trained; controls are drawn untrained and have none"
        )
    if recipe.spend.start == "trained" and drawn.draw is not None and drawn.draw.keep != "all":
        raise UsageError(
            f"{wants} needs the levels that a draw has trained, and draw.keep={drawn.draw.keep} drops them; "
            "draw.keep=all keeps them"
        )


def check_rewound(drawn: Recipe, recipe: Recipe) -> None:
    """Refuse `spend.optimizer = kept` of a sparse level that, by the draw's recipe, begins with nothing to keep.

    Args:
        drawn: the draw's.
        recipe: of the spend.

    Raises:
        UsageError: as `check_kept`.
    """
    if recipe.spend.optimizer != "kept" or drawn.draw is None:
        return
    rewound = recipe.spend.start == "ticket" and Duration.parse(drawn.draw.rewind).amount
    restarts = (recipe.spend.schedule or drawn.draw.schedule) == "restart"
    check_kept(bool(rewound) and not restarts, drawn.train.batch, recipe.train.batch)


def check_kept(rewound: bool, drawn: int, batch: int) -> None:
    """Refuse `spend.optimizer = kept` where nothing is there to keep, or the training that it knew cannot be repeated.

    Args:
        rewound: whether the spend goes on from a rewind point.
        drawn: images in a batch of the draw.
        batch: those of the spend.

    Raises:
        UsageError: says which, and what would do.
    """
    if not rewound:
        raise UsageError(
            "spend.optimizer = kept is for tickets that go on from a rewind point; this one starts with nothing to keep"
        )
    if drawn != batch:
        raise UsageError(
            f"spend.optimizer = kept repeats the draw's training, of batch {drawn}; spend with it too"
        )


def trained_at(ticket: Ticket, level: int) -> Path:
    """The run of this level that the draw has trained.

    Raises:
        UsageError: it does not lie beside the ticket.
    """
    for place in ("levels", "search"):
        folder = ticket.folder.parent / place / str(level)
        if (folder / "run.json").is_file():
            return folder
    wants = f"{ticket.folder}: spend.start=trained wants the weights that the draw trained at level {level}"
    if ticket.manifest.control:
        raise UsageError(
            f"{wants}; controls are drawn untrained and have none: spend them without spend.start, "
            "or the ticket alone without --controls"
        )
    raise UsageError(f"{wants}, and they do not lie beside it: the same draw with draw.keep=all keeps them")


def check_needs(tickets: Sequence[Ticket], sets: Sequence[Names]) -> None:
    """Refuse tweaks that need the nets of a draw's other levels, for controls.

    Raises:
        UsageError: says the tweak, and what would do.
    """
    needing = [name for names in sets for name in names if "levels" in literal(name, "NEEDS", ())]
    control = next((ticket for ticket in tickets if ticket.manifest.control), None)
    if needing and control:
        raise UsageError(
            f"{control.folder}: {needing[0]} needs the levels that a draw has trained; controls are drawn untrained "
            f"and have none: spend {needing[0]} without --controls, or the controls without {needing[0]}"
        )
