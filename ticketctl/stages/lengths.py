"""Points of a training that a recipe names: none may lie past its end. Nothing here imports torch."""

from __future__ import annotations

from ticketctl.duration import Duration
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe

FINE, COARSE = 1_000_000, 1
"""Stand for the steps of an epoch while the data are not there. A point is rounded to a step: what is at the end or
past it with fine ones is at the end or past it with any, and what is past it with coarse ones is past it with any."""


def check_lengths(recipe: Recipe, per_epoch: int | None = None) -> None:
    """Refuse what a training would refuse as it begins: the learning rate's course, and what is kept along it.

    Args:
        recipe: of the training.
        per_epoch: steps of an epoch, at least 1; None: the data are not there, and points in steps are not looked at.

    Raises:
        UsageError: `train.warmup`, one of `train.milestones` or of `keep.epochs` lies past the end; names it.
    """
    check_kept(recipe)
    train = recipe.train
    _check_inside("train.warmup", train.warmup, recipe, per_epoch)
    for text in train.milestones if train.schedule == "step" else ():
        _check_inside("train.milestones", text, recipe, per_epoch)


def check_kept(recipe: Recipe) -> None:
    """Refuse `keep.epochs` past the end of the training.

    Raises:
        UsageError: names the first.
    """
    last = recipe.train.epochs
    late = next((epoch for epoch in recipe.keep.epochs if epoch > last), None)
    if late is not None:
        raise UsageError(f"keep.epochs: {late} lies past the end of the training ({_epochs(last)})")


def steps_of(recipe: Recipe, images: int) -> int:
    """Steps of an epoch.

    Args:
        recipe: of the training.
        images: how many it trains on, at least 1.

    Raises:
        UsageError: there is none, for they fill no batch and `train.drop_last` wants full ones.
    """
    batch = recipe.train.batch
    steps = images // batch if recipe.train.drop_last else -(-images // batch)
    if steps == 0:
        raise UsageError(f"batch {batch} is larger than the {images} training images")
    return steps


def check_rewind(recipe: Recipe, per_epoch: int | None = None) -> None:
    """Refuse a draw whose levels would begin where its training ends; otherwise as `check_lengths`.

    Raises:
        UsageError: `draw.rewind` is the end, or lies past it.
    """
    if recipe.draw is not None and (per_epoch or Duration.parse(recipe.draw.rewind).unit != "it"):
        rewind_step(recipe, per_epoch or FINE)


def rewind_step(recipe: Recipe, per_epoch: int) -> int:
    """The step that levels rewind to.

    Args:
        recipe: of a draw.
        per_epoch: steps of an epoch, at least 1.

    Raises:
        UsageError: at or past the end of the training.
    """
    assert recipe.draw is not None
    text, epochs = recipe.draw.rewind, recipe.train.epochs
    step = _check_inside("draw.rewind", text, recipe, per_epoch)
    if step >= epochs * per_epoch:
        raise UsageError(f"rewind {text} is the end of the training; name an earlier point")
    return step


def _check_inside(key: str, text: str, recipe: Recipe, per_epoch: int | None) -> int:
    """The step of a point, or 0 where it is not known."""
    point, epochs = Duration.parse(text), recipe.train.epochs
    if per_epoch is None and point.unit == "it":
        return 0
    try:
        return point.steps(epochs=epochs, steps_per_epoch=per_epoch or COARSE)
    except UsageError:
        long = _epochs(epochs) + (f" of {per_epoch} steps" if per_epoch not in (None, FINE) else "")
        raise UsageError(
            f"{key}: {point} lies past the end of the training ({long}); --scale stretches it along"
        ) from None


def _epochs(number: int) -> str:
    return f"{number} epoch{'' if number == 1 else 's'}"
