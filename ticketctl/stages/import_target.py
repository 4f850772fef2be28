"""The net that a foreign mask is put to: names, shapes and what is prunable, laid out before any data are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ticketctl.data.adapted import check_channels
from ticketctl.data.load import form_of
from ticketctl.masks.prunable import policy, prunable
from ticketctl.recipe import Recipe
from ticketctl.stages.fitting import layout_of
from ticketctl.stages.setting import Setting


@dataclass(frozen=True)
class Target:
    """A recipe's net; its tensors tell names, shapes and dtypes, and hold no values that mean anything."""

    recipe: Recipe
    model: nn.Module
    tensors: Mapping[str, Tensor]
    """Of its state_dict, in its order."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all tensors."""
        return {name: tuple(value.shape) for name, value in self.tensors.items()}

    def prunable(self, preset: str | None = None) -> tuple[str, ...]:
        """Names of the weights that a mask may be over: by the recipe, or by a policy of this name."""
        drawn = self.recipe.draw.prunable if self.recipe.draw else "default"
        return prunable(self.model, policy(preset or drawn))


def target_before_data(recipe: Recipe) -> Target | None:
    """The recipe's net on its data; None where only the data tell their images' form, as a folder's do.

    Raises:
        UsageError: no such net or data set, or a net that these data or options do not fit.
        MissingExtraError: it is timm's, and timm is not installed.
    """
    known = form_of(recipe.data.name)
    if known is None or recipe.data.size is not None:
        return None
    shape, classes = recipe.data.form or known[0], known[1]
    check_channels(recipe.data.name, known[0][0], shape[0])
    model = layout_of(recipe.model, shape, classes)
    return Target(recipe, model, model.state_dict())


def target_of(setting: Setting) -> Target:
    """The net of a setting, whose data are there."""
    return Target(setting.recipe, setting.bench.model, setting.initial.weights)
