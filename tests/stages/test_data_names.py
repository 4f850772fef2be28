"""What data sets are called where several stand beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.written_sweep import plan_in
from ticketctl.stages import collect
from ticketctl.stages.data_names import data_names
from ticketctl.stages.sweep_entries import entries_of
from ticketctl.stages.sweep_groups import swept_of

FOLDERS = """
dense = false
[axes]
data = ["imagefolder:{0}/a/train", "imagefolder:{0}/b/train"]
method = "random"
density = 0.5
[sets]
"model.name" = "resnet18"
"""


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["digits"], ["digits"]),
        (["imagefolder:/a/train"], ["imagefolder"]),
        (["imagefolder:/a/train", "digits"], ["imagefolder", "digits"]),
        (["imagefolder:/x/cats", "imagefolder:/x/dogs"], ["imagefolder:cats", "imagefolder:dogs"]),
        (["imagefolder:/a/train", "imagefolder:/b/train"], ["imagefolder:a/train", "imagefolder:b/train"]),
        (["tensors:/d/a/1.pt", "tensors:/d/b/1.pt"], ["tensors:a/1.pt", "tensors:b/1.pt"]),
        (["tensors:/d/1.pt", "imagefolder:/d/1.pt"], ["tensors", "imagefolder"]),
        (["imagefolder:train", "imagefolder:b/train"], ["imagefolder:train", "imagefolder:b/train"]),
        (["imagefolder:/train", "imagefolder:train"], ["imagefolder:/train", "imagefolder:train"]),
        (["imagefolder:a/t", "imagefolder:./a/t", "imagefolder:b/t"], ["imagefolder:a/t"] * 2 + ["imagefolder:b/t"]),
    ],
)  # fmt: skip
def test_of_paths_as_much_of_the_end_is_said_as_tells_them_apart(names: list[str], called: list[str]) -> None:
    assert [data_names(names)[name] for name in names] == called


def test_two_folders_of_one_name_are_told_apart_in_titles_labels_and_maps(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "train").mkdir(parents=True)
    plan = plan_in(tmp_path, FOLDERS.format(tmp_path), seeds=1)
    titles = {job.title for job in plan.jobs}
    assert titles == {f"random to 50 %, resnet18 on imagefolder:{one}/train, seed 0" for one in "ab"}
    whole = entries_of(plan)
    rows = collect.rows_of(whole)
    assert [(row["data"], row["data_set"]) for row in rows] == [
        (f"imagefolder:{one}/train",) * 2 for one in "ab"
    ]
    assert len(swept_of(whole).places) == 2


def test_draws_that_differ_in_a_key_are_told_apart_by_it(tmp_path: Path) -> None:
    text = 'dense = false\n[axes]\nmethod = ["imp", "snip"]\ndensity = 0.5\n'
    text += '"train.lr" = [0.1, 0.2]\n"train.batch" = [32, 64]'
    plan = plan_in(tmp_path, text, seeds=2)
    titles = [job.title for job in plan.jobs]
    assert len({*titles}) == len(titles) == 2 * 2 * 2 * 2
    assert "snip to 50 %, lenet-300-100 on digits, train.batch=32, train.lr=0.1, seed 1" in titles
    (one, *_) = plan_in(tmp_path, text.replace("[0.1, 0.2]", "0.1").replace("[32, 64]", "32"), seeds=1).jobs
    assert one.title == "imp to 50 %, lenet-300-100 on digits, seed 0", "what is the same is not said"
