"""What a probe measures, and of which images: the machinery is the audit's."""

from __future__ import annotations

from dataclasses import replace

from ticketctl.plugins import plugins
from ticketctl.recipe_audit import AuditSpec
from ticketctl.recipe_explore import ProbeRecipe
from ticketctl.seeds import Seeds
from ticketctl.stages.audit import Audit
from ticketctl.stages.explored import Explored
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.shown import shown
from ticketctl.stages.subject import Subject


def fitting(asked: Explored, trained: bool) -> Explored:
    """What of `asked` a net has: without a training it has no history, which is measured where it was named alone.

    Args:
        asked: what was typed.
        trained: whether the net was.
    """
    assert isinstance(asked.recipe, ProbeRecipe)
    recipe = asked.recipe
    if trained or recipe.probe.metrics:
        return asked
    known = plugins("metrics")
    left = tuple(name for name in recipe.chosen if "history" not in known[name].literals["NEEDS"])
    spec = recipe.probe.model_copy(update={"metrics": left})
    return replace(asked, recipe=recipe.model_copy(update={"probe": spec}))


def asked_of(subject: Subject, asked: Explored, seeds: Seeds, around: Surroundings) -> Audit:
    """The probe of a net, on its own images."""
    assert isinstance(asked.recipe, ProbeRecipe)
    sets = AuditSpec(images=asked.recipe.probe.images)
    return Audit(subject, asked, shown(subject, sets, seeds, around, None, ()), seeds)
