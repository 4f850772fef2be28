"""One-shot draws of several densities in one workspace train their dense net once."""

from __future__ import annotations

from pathlib import Path

from tests.draws.drawing import tables
from tests.stages import tiny
from tests.train import small
from ticketctl.artifacts.run import open_run
from ticketctl.progress import Silent
from ticketctl.recipe_files import parse_recipe
from ticketctl.stages.draw import draw
from ticketctl.stages.request import run_folder


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_second_density_takes_the_dense_net_of_the_first_and_ends_in_the_same_bytes(
    tmp_path: Path,
) -> None:
    said = [parse_recipe(tables("omp", density=density), where="test") for density in ("1/10", "1/20")]
    told, folders = Told(), []
    for recipe in said:
        folders.append(run_folder(recipe, 0, None, tmp_path / "runs"))
        draw(recipe, 0, folders[-1], tiny.around(tmp_path / "cache", reporter=told))
    assert [note for note in told.notes if "another draw" in note] == [
        "level 0, dense: another draw here has trained it"
    ]
    draw(said[1], 0, tmp_path / "apart", tiny.around(tmp_path / "cache"))
    assert small.files_below(folders[1]) == small.files_below(tmp_path / "apart")
    ids = {open_run(folder / "levels" / "0").manifest.training_id for folder in folders}
    assert len(ids) == 1
    assert not (tmp_path / ".dense").exists(), "a folder that was named has no neighbours"
