"""Where the training of a ticket begins: the weights, the step of the schedule, and what the optimizer knows."""

from __future__ import annotations

from fractions import Fraction

import torch

from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import Recipe, TrainSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.fitting import check_kept, refuse_misfit, trained_at
from ticketctl.stages.setting import Setting
from ticketctl.store.locks import locked
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Wish
from ticketctl.train.momentum import Handed, Taken
from ticketctl.train.state import State


def beginning(ticket: Ticket, level: int, setting: Setting) -> tuple[Mask, State, str]:
    """Mask, start and its role, by `spend.start`. Level 0 is the dense net, trained from its initialisation.

    Raises:
        UsageError: the ticket's net is not the one that the recipe builds, or has no trained weights to begin from.
    """
    init = ticket.manifest.init
    weights = State.from_tensors(ticket.init(), init.step)
    _must_fit(ticket, weights, setting)
    full = Mask.full({name: torch.Size(array.shape) for name, array in ticket.mask().items()})
    if level == 0:
        start = weights if init.role == "init" else setting.initial
        return full, State(start.weights, 0), "init"
    mask, where = Mask.from_arrays(ticket.mask(level)), setting.recipe.spend.start
    if where == "trained":
        return mask, _trained(ticket, level), "trained"
    if where == "init" and init.role != "init":
        return mask, State(setting.initial.weights, 0), "init"
    step = 0 if restarts(setting.recipe) else entry(ticket, setting)
    return mask, State(weights.weights, step), init.role


def _trained(ticket: Ticket, level: int) -> State:
    """What the draw trained at this level, to be trained on from the beginning of a schedule."""
    return State.from_tensors(open_run(trained_at(ticket, level)).weights(), 0)


def momentum(setting: Setting, ticket: Ticket, mask: Mask, start: State, role: str) -> Handed | None:
    """What the optimizer of the draw's dense net knew at the rewind point, with `spend.optimizer = kept`.

    The dense net is trained to that point as the draw did, once for all spends of the ticket, in a folder beside it;
    of pruned weights nothing is known.

    Raises:
        UsageError: the ticket was not rewound, or enters the schedule at its beginning; its draw cannot be repeated.
    """
    if setting.recipe.spend.optimizer == "fresh":
        return None
    drawn, init, batch = ticket.manifest.draw, ticket.manifest.init, setting.recipe.train.batch
    rewound = role == "rewind" and start.step > 0
    train = TrainSpec.model_validate(drawn.recipe["train"]) if rewound else setting.recipe.train
    check_kept(rewound, train.batch, batch)
    seeds = Seeds(
        int(drawn.seeds["root"]), {key: value for key, value in drawn.seeds.items() if key != "root"}
    )
    folder = ticket.folder.parent / "dense-to-rewind"
    with locked(folder):
        wish = Wish(until=init.step, train=train, hooks=(Taken(),))
        lab, origin = setting.lab(folder, seeds), State(setting.initial.weights, 0)
        title = "the dense net, to the rewind point"
        fit = lab.fit_in(FitFiles(folder), origin, None, keep=(), title=title, wish=wish)
    if fit.diverged or weights_digest(fit.end().tensors()) != init.digest:
        raise UsageError(
            f"{folder}: spend.optimizer = kept repeats the draw's training to the rewind point, and here that does not "
            "end in the ticket's weights: other data, device or version"
        )
    return Handed(fit.hook(0), mask)


def entry(ticket: Ticket, setting: Setting) -> int:
    """The step of this schedule at which a ticket enters it: as far into it as it left the draw's own.

    The same step under the draw's recipe; under more epochs or another batch the same share, with a step to go.
    """
    total, share = setting.recipe.train.epochs * setting.bench.feed.steps_per_epoch, share_before(ticket)
    step = ticket.manifest.init.step if share is None else round(share * total)
    return max(0, min(step, total - 1))


def share_before(ticket: Ticket) -> Fraction | None:
    """The share of its draw's schedule, in [0, 1], that lies before a ticket's start; None: the draw does not say."""
    init, train = ticket.manifest.init, ticket.manifest.draw.recipe.get("train")
    epochs = train.get("epochs") if isinstance(train, dict) else None
    return Fraction(init.epoch) / epochs if isinstance(epochs, int) else None


def restarts(recipe: Recipe) -> bool:
    """Whether a rewound ticket is trained for the whole schedule."""
    drawn = recipe.draw.schedule if recipe.draw else "continue"
    return (recipe.spend.schedule or drawn) == "restart"


def _must_fit(ticket: Ticket, weights: State, setting: Setting) -> None:
    ours = {name: tuple(value.shape) for name, value in setting.initial.weights.items()}
    theirs = {name: tuple(value.shape) for name, value in weights.weights.items()}
    refuse_misfit(ticket, theirs, ours, f"{setting.recipe.model.name} on {setting.data.name}")
