"""A plan counts the images of a part of the data as the training itself does, and so knows where its steps end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe
from ticketctl.stages.draw import draw
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.stages.sound import Asked, _classes_of, _images, check_all

NOISE = ("data.noise.kind=symmetric", "data.noise.rate=0.4")
PARTS = {
    "all": (),
    "half": ("data.subset.fraction=1/2",),
    "a few of each class": ("data.subset.count=7",),
    "less than an image of a class": ("data.subset.fraction=1/1000",),
    "wrong labels": ("data.subset.fraction=1/3", *NOISE),
    "another split by the seed": ("data.subset.fraction=1/7", "data.validation=random:10%"),
    "both": ("data.subset.fraction=1/7", "data.validation=random:200", *NOISE),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_as_many_images_as_the_training_takes(part: str, tmp_path: Path) -> None:
    around = tiny.around(tmp_path)
    for seed in (0, 1):
        recipe = tiny.recipe(*PARTS[part])
        whole = recipe.model_copy(update={"data": recipe.data.model_copy(update={"subset": None})})
        setting = prepare(whole, seeds_of(whole, 0), around)  # of the first seed, as a plan has it
        found = _images(recipe, _classes_of(setting, Asked(recipe, seed)))
        assert found == prepare(recipe, seeds_of(recipe, seed), around).counts["train"]


def test_whatever_a_run_says_so_many_are_left(tmp_path: Path) -> None:
    tiny.draw(tmp_path / "seed-0", "train.epochs=1", "train.lr=0.5", "draw.rounds=0")
    record = tmp_path / "seed-0/levels/0"
    around = tiny.around(tmp_path)
    setting = prepare(tiny.recipe(), seeds_of(tiny.recipe(), 0), around)
    drop = f"data.drop={{ most_forgotten = 0.3, record = '{record}' }}"
    subset = f"data.subset={{ fraction = 0.3, pick = 'least-forgotten', record = '{record}' }}"
    for sets, exact in (((drop,), True), ((subset,), True), ((drop, subset), False)):
        recipe = tiny.recipe(*sets)
        found = _images(recipe, _classes_of(setting, Asked(recipe, 0)))
        truth = prepare(recipe, seeds_of(recipe, 0), around).counts["train"]
        assert found == truth if exact else found >= truth


def asked_of(recipe: Recipe, folder: Path) -> str:
    """Why its draw cannot be, as a plan finds it; "" where it can."""
    around, unsound = tiny.around(folder), list[tuple[Recipe, str]]()
    whole = recipe.model_copy(update={"data": recipe.data.model_copy(update={"subset": None})})
    setting = prepare(whole.model_copy(update={"draw": None}), seeds_of(recipe, 0), around)
    check_all(setting, [Asked(recipe, 0, folder / "draw")], around, unsound)
    return unsound[0][1] if unsound else ""


@pytest.mark.parametrize(
    "point",
    [
        "draw.rewind={}it",
        "train.warmup={}it",
        'train.milestones=["{}it"]',
        "draw.method=gmp draw.rounds=none draw.density=1/2 draw.end={}it",
    ],
)
def test_a_point_in_steps_ends_with_the_part_in_the_words_of_the_draw(point: str, tmp_path: Path) -> None:
    """Two epochs of three steps of a half, of five of all."""
    sets = [text for text in point.split() if not text.endswith("=none")]
    tables = {**tiny.TABLES, "train": {**tiny.TABLES["train"], "schedule": "step"}}
    if "draw.method=gmp" in sets:
        tables["draw"] = {}

    def recipe(step: int, *more: str) -> Recipe:
        return tiny.recipe(*(text.format(step) for text in sets), *more, tables=tables)

    half = "data.subset.fraction=1/2"
    assert not asked_of(recipe(5, half), tmp_path)
    assert not asked_of(recipe(8), tmp_path)
    said = asked_of(recipe(8, half), tmp_path)
    with pytest.raises(UsageError) as own:
        draw(recipe(8, half), 0, tmp_path / "draw", tiny.around(tmp_path))
    assert said == str(own.value)


def test_a_batch_that_a_part_does_not_fill_is_refused_in_the_words_of_the_draw(tmp_path: Path) -> None:
    recipe = tiny.recipe("data.subset.count=20", "train.drop_last=true")
    with pytest.raises(UsageError, match="batch 256 is larger than the 200 training images") as own:
        draw(recipe, 0, tmp_path / "draw", tiny.around(tmp_path))
    assert asked_of(recipe, tmp_path) == str(own.value)


def test_seeds_of_other_parts_are_asked_each(tmp_path: Path) -> None:
    """A class that has too few images with one seed's labels has enough of them with another's."""
    recipe = tiny.recipe("data.subset.count=112", *NOISE)
    around, unsound = tiny.around(tmp_path), list[tuple[Recipe, str]]()
    whole = recipe.model_copy(update={"data": recipe.data.model_copy(update={"subset": None}), "draw": None})
    setting = prepare(whole, seeds_of(recipe, 0), around)
    truth = dict[int, bool]()
    for seed in range(6):
        try:
            truth[seed] = prepare(recipe, seeds_of(recipe, seed), around).counts["train"] > 0
        except UsageError:
            truth[seed] = False
    assert {*truth.values()} == {True, False}
    check_all(setting, [Asked(recipe, seed, tmp_path / "draw") for seed in truth], around, unsound)
    assert len(unsound) == [*truth.values()].count(False)
