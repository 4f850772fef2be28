"""What a benchmark trains: nets by name, under their shipped recipes, on made-up images of their data sets' sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import plugins, serving
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import merge, parse_recipe, read_recipe, recipe_names


@dataclass(frozen=True)
class Sizes:
    """A data set, as far as speed knows it."""

    name: str
    shape: tuple[int, int, int]
    """Channels, height, width."""
    images: int
    """Trained on."""
    tested: int
    """Evaluated after each epoch."""


SETS = (Sizes("cifar10", (3, 32, 32), 50_000, 10_000), Sizes("mnist", (1, 28, 28), 60_000, 10_000))
"""A net takes the first for which a recipe is shipped."""
CLASSES = 10
FALLBACK = "base/resnet20s-cifar10"
"""How a net without a recipe of its own is trained."""

NETS = ("lenet-300-100", "resnet20", "resnet18")
LARGE_BATCH = 512
"""On a GPU ResNet-18 is also timed with this batch, where neither nets nor batch are named."""


@dataclass(frozen=True)
class Case:
    """One net in one batch size."""

    recipe: Recipe
    sizes: Sizes

    @property
    def net(self) -> str:
        """Its name."""
        return self.recipe.model.name

    @property
    def batch(self) -> int:
        """Images of a step."""
        return self.recipe.train.batch

    @property
    def title(self) -> str:
        """For a line of progress."""
        return f"{self.net}, batch {self.batch}"

    @property
    def padding(self) -> int | None:
        """Zero pixels around an image before its random crop; None: no augmentation."""
        return self.recipe.data.padding if self.recipe.data.augment == "crop-flip" else None


def cases_of(nets: Sequence[str], batch: int | None = None) -> tuple[Case, ...]:
    """The nets, each once, in the batch of its recipe or in `batch`. Imports no torch.

    Raises:
        UsageError: no such net (says the near miss), none at all, or a batch above the number of images.
    """
    if not nets:
        raise UsageError("--nets: name at least one, such as resnet20 (ticketctl list models)")
    return tuple(_case(net, batch) for net in dict.fromkeys(nets))


def with_large_batch(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """And ResNet-18 in a batch that fills a GPU."""
    return (*cases, *cases_of(("resnet18",), LARGE_BATCH))


def _case(net: str, batch: int | None) -> Case:
    if serving("nets", net) is None:
        raise UsageError(f"no model named {net!r}; {near_miss(net, plugins('nets'))}")
    sizes = next((one for one in SETS if _base(net, one) in recipe_names()), SETS[0])
    own = _base(net, sizes) in recipe_names()
    tables = read_recipe(_base(net, sizes) if own else FALLBACK)
    changes = {"model": {"name": net}, "train": {} if batch is None else {"batch": batch}}
    recipe = parse_recipe(merge(tables, changes), where=net)
    if recipe.train.batch > sizes.images:
        raise UsageError(f"--batch {recipe.train.batch}: {sizes.name} has {sizes.images} images")
    return Case(recipe, sizes)


def _base(net: str, sizes: Sizes) -> str:
    return f"base/{net}-{sizes.name}"
