"""Methods run directly, on the embedded digits: what the suites over draws share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.stages import tiny
from ticketctl import plugins
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages.method import method_of, target_of
from ticketctl.stages.setting import Setting, prepare, seeds_of
from ticketctl.train.lab import Lab, Level
from ticketctl.train.state import State

METHODS = sorted(plugins.plugins("draws"))
NEEDS: dict[str, dict[str, Any]] = {"imp": {"rate": "1/2"}, "ltr": {"rate": "1/2", "rewind": "3it"}}
"""What a method cannot do without, or takes long without."""

SUITE: dict[str, dict[str, Any]] = {
    **NEEDS,
    "aimp": {"rate": "1/2", "share": "5/6"},
    "art": {"pretrain": "1ep", "lambda_init": 1e-2, "eta": 1.3, "max_epochs": 40},
    "earlybird": {"form": "weight", "length": 2, "epsilon": "1"},
    "erk-plus": {"density": "3/5"},
    "gmp": {"every": "2it"},
    "gradient": {"rate": "1/2", "rewind": "3it"},
    "nm": {"density": "1/2"},
    "random-iterative": {"rate": "1/2", "rewind": "3it"},
    "rigl": {"every": "2it"},
    "set": {"every": "2it"},
}
"""The same for `ticketctl.testing`, whose net and trainings are smaller still."""


def tables(method: str, **draw: Any) -> dict[str, Any]:
    said = {"method": method, "density": "3/20", **NEEDS.get(method, {}), **draw}
    if "rounds" in draw:
        del said["density"]
    return {**tiny.TABLES, "draw": said}


def setting_of(cache: Path, layers: dict[str, Any], seed: int = 0) -> Setting:
    recipe = parse_recipe(layers, where="test")
    return prepare(recipe, seeds_of(recipe, seed), tiny.around(cache))


def lab_of(setting: Setting, folder: Path) -> Lab:
    draw = setting.recipe.draw
    assert draw is not None
    return setting.lab(folder, rewind=setting.rewind_step(), restart=draw.schedule == "restart")


def levels_of(setting: Setting, folder: Path) -> list[Level]:
    method, params = method_of(setting.recipe)
    lab = lab_of(setting, folder)
    levels: list[Level] = list(method.draw(lab, target=target_of(setting.recipe), params=params))
    return levels


def bits(state: State) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in state.weights.items()}


def masks(levels: list[Level]) -> list[dict[str, bytes]]:
    return [{name: keep.numpy().tobytes() for name, keep in level.mask.keep.items()} for level in levels]


class Drawings:
    """Each method's levels at density 0.15 and seed 0, drawn once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, tuple[Setting, list[Level]]] = {}

    def __call__(self, method: str) -> tuple[Setting, list[Level]]:
        if method not in self.made:
            setting = setting_of(self.folder / "cache", tables(method))
            self.made[method] = setting, levels_of(setting, self.folder / method)
        return self.made[method]
