"""A trained net under audit: rebuilt from its run, on the data that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ticketctl.artifacts.run import Run
from ticketctl.errors import MismatchError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.dressing import dress
from ticketctl.stages.setting import Setting, Surroundings, prepare
from ticketctl.stages.tweaking import changes
from ticketctl.train.evaluate import Exam, Part
from ticketctl.train.feed import Images
from ticketctl.train.state import State


@dataclass(frozen=True)
class Subject:
    """A run's net with its trained weights, whatever tweaks made of it, and the images of its data set."""

    run: Run
    setting: Setting
    mask: Mask | None
    """None: the net is dense."""

    @property
    def images(self) -> dict[str, Images]:
        """`train` (unaugmented, under the labels trained on), `val` if any was held out, `test`."""
        exams: Mapping[str, Exam] = self.setting.bench.exams
        known = {name: exams[name] for name in ("val", "test") if name in exams}
        held = {name: exam for name, exam in known.items() if not isinstance(exam, Part)}
        return {"train": self.setting.bench.feed.images, **held}


def subject_of(run: Run, sets: Mapping[str, Any], around: Surroundings) -> Subject:
    """The net of a run.

    Args:
        run: trained to its end, or to where it diverged.
        sets: what was typed of the recipe, as tables: where data lie, or a net that is somebody's own code.
        around: device, cache, reporter.

    Raises:
        UsageError: other words than of `[data]` and `model.name`; another data set than the run's.
        MismatchError: data of the same name with another content.
        UnavailableError, ArtifactError: the data cannot be had; the run is damaged.
    """
    recipe = _recipe(run, sets)
    seeds = run.manifest.seeds
    setting = prepare(
        recipe, Seeds(seeds["root"], {name: root for name, root in seeds.items() if name != "root"}), around
    )
    if setting.data.fingerprint != run.manifest.data.fingerprint:
        raise MismatchError(
            f"{recipe.data.name}: its content is {setting.data.fingerprint}, and {run.folder} was trained on "
            f"{run.manifest.data.fingerprint}"
        )
    kept = run.mask()
    mask = None if kept is None else Mask.from_arrays(kept)
    full = mask if mask is not None else Mask.full(setting.shapes)
    dressed = dress(setting, recipe, setting.seeds, full, ticket=None, teacher=None).setting
    _load(run, dressed)
    return Subject(run, dressed, mask)


def _recipe(run: Run, sets: Mapping[str, Any]) -> Recipe:
    """The run's own, with those of its tweaks alone that changed the net."""
    said = {f"{table}.{key}" for table, keys in sets.items() for key in keys}
    other = min(said - {"model.name", "data.name"}, default=None)
    if other is not None:
        raise UsageError(
            f"--set {other}: a run is audited as it was trained; data.name says where its data lie"
        )
    recipe = parse_recipe(merge(run.manifest.recipe, sets), where=str(run.folder))
    name = str(run.manifest.data.name)
    if recipe.data.name.partition(":")[0] != name:
        raise UsageError(f"{run.folder}: trained on {name}, not on {recipe.data.name}")
    worn = tuple(tweak for tweak in run.manifest.arch.tweaks if changes(tweak) == "net")
    spend = recipe.spend.model_copy(update={"tweaks": worn, "attribution": False})
    return recipe.model_copy(update={"spend": spend})


def _load(run: Run, setting: Setting) -> None:
    weights, net = run.weights(), setting.bench.model
    theirs = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    ours = {name: tuple(value.shape) for name, value in weights.items()}
    if ours != theirs:
        odd = sorted({name for name, _ in ours.items() ^ theirs.items()})
        raise MismatchError(
            f"{run.folder}: its weights are not those of the net that its recipe builds: {odd[0]}"
        )
    State.from_tensors(weights, 0).load_into(net)
