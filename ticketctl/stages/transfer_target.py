"""The data set that nets are transferred to: its recipe, its images in the form that a net takes, both in a setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ticketctl.data.load import form_of
from ticketctl.errors import UsageError
from ticketctl.plugins import load as plugin
from ticketctl.recipe import KeepSpec, Recipe, SeedSpec, SpendSpec, TrainSpec, fingerprint
from ticketctl.recipe_data import DataSpec
from ticketctl.recipe_explore import TransferRecipe
from ticketctl.recipe_files import read_recipe, recipe_names
from ticketctl.seeds import Seeds
from ticketctl.stages.named import lacks_place
from ticketctl.stages.params import checked
from ticketctl.stages.setting import Setting, Surroundings, prepare
from ticketctl.stages.target_content import cut_of

HELD_OUT = "random:10%"
"""Of a target without a base recipe for the net: the images to choose by."""
TAKEN = ("validation", "augment", "padding")
"""What of the `[data]` of a base recipe is taken."""


@dataclass
class Target:
    """Where nets are transferred to. The nets of one form and recipe share its images."""

    name: str
    """As it was typed, with its path."""
    recipe: TransferRecipe
    seeds: Seeds
    """Of the split, and of everything that is initialised or trained."""
    around: Surroundings
    settings: dict[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UsageError: no such data set, or none behind its colon; a key of the head is out of its range."""
        form_of(self.name)
        if lacks_place(self.name) and self.around.data_dir is None:
            raise UsageError(f"--to {self.name} needs a place: write --to {self.name}:PATH")
        for name in self.recipe.chosen:
            checked(plugin("metrics", name).Params, self.recipe.metrics.get(name, {}), f"metrics.{name}")

    @property
    def base_name(self) -> str:
        """Without a path of this machine."""
        return self.name.partition(":")[0]

    def setting(self, source: Setting, train: TrainSpec, *, plain: bool = False) -> Setting:
        """The target's images in the form of `source`, and a net like its own for the target's classes.

        Args:
            source: of the net that is transferred.
            train: the course.
            plain: without augmentation, for a frozen net.

        Raises:
            UsageError: the net was made on these very data; no form that it takes; a single class.
            UnavailableError: the data cannot be had.
        """
        recipe = self._recipe(source, train, plain)
        key = fingerprint({"recipe": recipe.record(), "plain": plain})
        if key not in self.settings:
            self.settings[key] = prepare(recipe, self.seeds, self.around)
        found = self.settings[key]
        if found.data.fingerprint == source.data.fingerprint or self.name == source.recipe.data.name:
            raise UsageError(
                f"--to {self.name}: the net was made on it; ticketctl probe measures its features there"
            )
        if len(found.data.classes) < 2:
            raise UsageError(f"--to {self.name}: it has one class, and nothing to tell apart")
        return found

    def record(self, setting: Setting) -> dict[str, Any]:
        """What a value depends on besides the net: plain data."""
        data = setting.recipe.data
        return {
            "name": self.base_name,
            "fingerprint": setting.data.fingerprint,
            "form": list(setting.data.shape),
            "classes": len(setting.data.classes),
            "held_out": data.validation,
            "statistics": {"of": self.recipe.transfer.statistics, "mean": data.mean, "std": data.std},
            **setting.counts,
        }

    def _recipe(self, source: Setting, train: TrainSpec, plain: bool) -> Recipe:
        changed = {
            "data": data_of(self.name, source, self.recipe.transfer.statistics, plain=plain),
            "train": train, "keep": KeepSpec(), "seeds": SeedSpec(), "spend": SpendSpec(), "tweaks": {}, "metrics": {},
        }  # fmt: skip
        return source.recipe.model_copy(update=changed)


def data_of(name: str, source: Setting, statistics: str, *, plain: bool) -> DataSpec:
    """`[data]` of the target: what the base recipe of the source's net on it says, in the form that the net takes.

    Args:
        name: of the target, with its path.
        source: of the net.
        statistics: `target` or `source`.
        plain: without augmentation.
    """
    spec = target_tables(name, source.recipe.model.name, source.data.shape) | _scale(source, statistics)
    return DataSpec.model_validate(spec | ({"augment": "none"} if plain else {}))


def target_tables(name: str, model: str, form: tuple[int, int, int] | None) -> dict[str, Any]:
    """`[data]` of a target, normalised by its own mean and deviation.

    Args:
        name: of the target, with its path.
        model: the net.
        form: channels, height and width that it takes; None: as the images are.
    """
    base = f"base/{model}-{name.partition(':')[0]}"
    tables = read_recipe(base).get("data", {}) if base in recipe_names() else {}
    spec = {"validation": HELD_OUT, **{key: tables[key] for key in TAKEN if key in tables}}
    return {**spec, "name": name, "form": form, "normalise": "data", **(cut_of(name, form) if form else {})}


def _scale(source: Setting, statistics: str) -> dict[str, Any]:
    data = source.recipe.data
    if statistics == "target":
        return {"normalise": "data"}
    return {"normalise": data.normalise, "mean": data.mean, "std": data.std}
