"""Wrong labels and subsets, from the recipe to the artifact."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.stages import tiny
from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.data.noise import symmetric
from ticketctl.data.splits import hold_out
from ticketctl.errors import MismatchError, StoppedError, UsageError
from ticketctl.seeds import Seeds
from ticketctl.stages import setting as setting_module
from ticketctl.stages.pool import Pool
from ticketctl.stages.samples import samples_of
from ticketctl.stages.setting import Setting, prepare, seeds_of
from ticketctl.train import evaluate
from ticketctl.train.loop import Loop

NOISY = "data.noise.rate=0.4"
COUNT, HELD = 1438, 200
"""Training images of the digits, and those that the tiny recipe holds out, the last ones."""


def settled(tmp_path: Path, *sets: str, seed: int = 0, heard: tiny.Heard | None = None) -> Setting:
    recipe = tiny.recipe(*sets)
    return prepare(recipe, seeds_of(recipe, seed), tiny.around(tmp_path.parent / "cache", reporter=heard))


def series_of(run: Run) -> dict[str, np.ndarray]:
    series = run.series()
    assert series is not None
    return dict(zip(series.columns, series.scalars.T, strict=True))


def logits_of(run: Run, pixels: np.ndarray) -> np.ndarray:
    """LeNet-300-100 by numpy, in float64, from what the run's file holds."""
    weights = safetensors.numpy.load_file(run.folder / "final.safetensors")
    spec: Any = run.manifest.recipe["data"]
    x = ((pixels.astype(np.float64) / 255 - float(spec["mean"][0])) / float(spec["std"][0])).reshape(
        len(pixels), -1
    )
    for layer in ("fc1", "fc2", "fc3"):
        x = x @ weights[f"{layer}.weight"].astype(np.float64).T + weights[f"{layer}.bias"]
        x = np.maximum(x, 0) if layer != "fc3" else x
    return x


def scored(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    top = logits.max(1, keepdims=True)
    entropy = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(labels)), labels]
    return float(entropy.mean()), float((logits.argmax(1) == labels).mean())


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw under symmetric noise."""
    folder = tmp_path_factory.mktemp("noisy") / "seed-0"
    tiny.draw(folder, NOISY, "train.epochs=3")
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw without, whose runs counted what was forgotten: at a rate at which much is."""
    folder = tmp_path_factory.mktemp("clean") / "seed-0"
    tiny.draw(folder, "train.epochs=5", "train.lr=0.5", "train.batch=64")
    return folder


# -------------------------------------------------------------------------------------------------- the measurement


def test_the_four_sets_are_scored_as_numpy_scores_them(noisy: Path, tmp_path: Path) -> None:
    """On the trained weights, in eval mode: drawn against the given, against the true label, never drawn, all."""
    setting = settled(tmp_path, NOISY)
    truth = symmetric(np.array(setting.data.train.labels), Fraction("0.4"), 10, Seeds(0), per_class=False)
    train = np.arange(COUNT - HELD)
    drawn, given, pixels = truth.drawn[train], truth.given[train], np.array(setting.data.train.images[train])
    for level in (0, 2):
        run = open_run(noisy / "levels" / str(level))
        found, logits = series_of(run), logits_of(run, pixels)
        for name, where, labels in (
            ("permuted", drawn, given), ("restored", drawn, truth.clean[train]), ("unpermuted", ~drawn, given),
            ("train.eval", drawn | True, given),
        ):  # fmt: skip
            loss, accuracy = scored(logits[where], labels[where])
            assert found[f"{name}.loss"][-1] == pytest.approx(loss, rel=1e-4), name
            assert found[f"{name}.accuracy"][-1] == pytest.approx(accuracy, abs=1e-6), name
        held = np.arange(COUNT - HELD, COUNT)
        for name, split, labels in (
            ("val", np.array(setting.data.train.images[held]), truth.given[held]),  # as noisy as the rest
            ("test", np.array(setting.data.test.images), np.array(setting.data.test.labels)),  # never
        ):
            assert found[f"{name}.accuracy"][-1] == pytest.approx(
                scored(logits_of(run, split), labels)[1], abs=1e-6
            )


def test_train_accuracy_is_the_weighted_mean_of_permuted_and_unpermuted(noisy: Path) -> None:
    """T23: the two sets are disjoint and cover all images, at every epoch; restored is of the permuted ones."""
    run = open_run(noisy / "levels" / "1")
    record, found = run.record(), series_of(run)
    assert record is not None
    drawn = record["labels.drawn"].array()[: COUNT - HELD].sum() / (COUNT - HELD)
    mixed = drawn * found["permuted.accuracy"] + (1 - drawn) * found["unpermuted.accuracy"]
    np.testing.assert_allclose(found["train.eval.accuracy"], mixed, atol=1e-6)
    assert len(mixed) == 4


def test_all_of_it_takes_one_pass_over_the_training_images(tmp_path: Path) -> None:
    bench = settled(tmp_path, NOISY).bench
    seen = []

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        seen.append(len(inputs))
        return torch.zeros(len(inputs), 10)

    values = evaluate.examine(bench.model, bench.exams, forward=forward)
    assert sum(seen) == COUNT + len(bench.exams["test"]) == evaluate.passed(bench.exams)
    assert values[::2] == pytest.approx([math.log(10)] * 6)
    assert bench.exams["train.eval"] is bench.feed.images


@pytest.mark.parametrize(("rate", "empty"), [("0", ("permuted", "restored")), ("1", ("unpermuted",))])
def test_a_set_without_images_has_no_score(rate: str, empty: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder, f"data.noise.rate={rate}", "draw.rounds=0", "train.epochs=1")
    run = open_run(folder / "levels" / "0")
    found = series_of(run)
    for name in ("permuted", "restored", "unpermuted", "train.eval"):
        assert bool(np.isnan(found[f"{name}.accuracy"]).all()) == (name in empty)
        assert (f"{name}.accuracy" in run.manifest.metrics) == (name not in empty)


def test_images_read_batch_by_batch_score_the_same(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting_module, "room", lambda device: 0)
    tiny.draw(tmp_path / "seed-0", NOISY, "train.epochs=3")
    for level in "012":
        wanted, found = (
            (folder / "levels" / level / "series.zarr.zip").read_bytes()
            for folder in (noisy, tmp_path / "seed-0")
        )
        assert found == wanted


def test_the_best_test_epoch_is_reported_as_an_oracle_and_only_of_noisy_trainings(
    noisy: Path, clean: Path
) -> None:
    run = open_run(noisy / "levels" / "1")
    tests = series_of(run)["test.accuracy"][1:]  # not the row before training
    assert float(run.manifest.metrics["oracle.test.accuracy"]) == pytest.approx(max(tests), abs=1e-6)
    assert float(run.manifest.metrics["test.accuracy"]) == pytest.approx(tests[-1], abs=1e-6)
    assert (
        not {"oracle.test.accuracy", "permuted.accuracy"}
        & open_run(clean / "levels/1").manifest.metrics.keys()
    )


# ----------------------------------------------------------------------------------------------------- the training


def as_tensors(setting: Setting, labels: np.ndarray, index: np.ndarray, path: Path) -> Path:
    """A data set of these training images and labels, held-out ones behind them, for a draw without any keys."""
    held = np.arange(COUNT - HELD, COUNT)
    rows = np.concatenate([index, held])
    arrays = {
        "train_images": setting.data.train.images[rows], "train_labels": labels[rows],
        "test_images": setting.data.test.images, "test_labels": setting.data.test.labels,
    }  # fmt: skip
    safetensors.numpy.save_file({name: np.array(array) for name, array in arrays.items()}, path)
    return path


@pytest.mark.long
@pytest.mark.parametrize(
    "sets",
    [
        (NOISY,),
        ("data.subset.fraction=0.3",),
        (NOISY, "data.subset.count=20", "seeds.subset=4", "seeds.labels=5"),
    ],
    ids=["noise", "subset", "both"],
)
def test_bits_are_those_of_a_data_set_with_these_images_and_labels(
    sets: tuple[str, ...], tmp_path: Path
) -> None:
    """The training knows nothing of how its labels came about, and what is measured beside it moves no bit."""
    setting = settled(tmp_path, *sets)
    record = {name: value.numpy() for name, value in samples_of(setting).items()}
    labels = record.get("labels.given", np.array(setting.data.train.labels))
    path = as_tensors(
        setting, labels, record.get("subset.index", np.arange(COUNT - HELD)), tmp_path / "a.safetensors"
    )
    tiny.draw(tmp_path / "ours", *sets)
    same = (
        "data.normalise=data",
        f"data.mean={list(setting.data.mean)}",
        f"data.std={list(setting.data.std)}",
    )
    tiny.draw(tmp_path / "theirs", f"data.name=tensors:{path}", *same)
    for name in ("levels/0/final.safetensors", "levels/2/final.safetensors", "ticket/mask.safetensors"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_what_is_killed_anywhere_ends_in_the_same_bytes(noisy: Path, tmp_path: Path) -> None:
    wanted = tiny.files_below(noisy)
    folder, sets = tmp_path / "seed-0", (NOISY, "train.epochs=3")
    for patience in itertools.count(10, 10):
        left = itertools.count(patience, -1)
        try:
            tiny.draw(folder, *sets, stop=lambda left=left: 75 if next(left) <= 0 else None)
        except StoppedError:
            continue
        break
    assert patience > 20
    assert tiny.files_below(folder) == wanted


def test_noise_does_not_depend_on_what_is_held_out(tmp_path: Path) -> None:
    drawn = {
        settled(tmp_path, NOISY, f"data.validation={rule}").samples.labels.digest
        for rule in ("none", "first:100", "random:20%")
    }
    assert len(drawn) == 1


# ----------------------------------------------------------------------------------------------------- the identity


def test_recipes_without_these_keys_say_nothing_of_them(clean: Path, tmp_path: Path) -> None:
    """Their ids, their columns and their files stay what they were."""
    setting = settled(tmp_path)
    assert set(setting.identity) == {"data", "train", "keep", "arch", "fingerprint"}
    assert set(setting.identity["data"]) == {"validation", "augment", "padding", "normalise", "mean", "std"}
    assert list(setting.bench.exams) == ["val", "test"]
    assert samples_of(setting) == {}
    run = open_run(clean / "levels/1")
    assert run.record() is None
    assert not {"noise", "subset", "drop"} & run.manifest.recipe["data"].keys()


def test_an_identity_knows_labels_and_images_by_content_alone(tmp_path: Path) -> None:
    """However they were named: a share or a count, a rate or the file that such labels were written to."""
    first = settled(tmp_path, NOISY)
    assert first.samples.labels is not None
    np.save(tmp_path / "given.npy", first.samples.labels.given)
    by_file = settled(tmp_path, "data.noise.kind=file", f"data.noise.path={tmp_path / 'given.npy'}")
    clean = np.array(first.data.train.labels)
    np.testing.assert_array_equal(by_file.samples.labels.given, first.samples.labels.given)
    np.testing.assert_array_equal(by_file.samples.labels.drawn, first.samples.labels.given != clean)
    other = settled(tmp_path, NOISY, seed=1)
    plain, none = settled(tmp_path), settled(tmp_path, NOISY, "data.noise.kind=none")
    everything = settled(tmp_path, "data.subset.fraction=1")
    assert plain.identity == none.identity == everything.identity
    some = settled(tmp_path, "data.subset.fraction=0.5")
    ids = [one.identity for one in (plain, first, by_file, other, some)]
    assert len({json.dumps(one, sort_keys=True) for one in ids}) == 5
    assert settled(tmp_path, NOISY).identity == first.identity


def test_the_same_labels_in_another_file_are_the_same_training(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 10, COUNT)
    np.save(tmp_path / "a.npy", labels)
    safetensors.numpy.save_file({"x": labels.astype(np.uint8), "y": labels * 0}, tmp_path / "b.safetensors")
    torch.save({"x": np.stack([labels, labels]).T.astype(np.int32)}, tmp_path / "c.pt")
    ids = [
        settled(tmp_path, "data.noise.kind=file", f"data.noise.path={tmp_path / name}", *more).identity
        for name, *more in (
            ("a.npy",), ("b.safetensors", "data.noise.key=x"), ("c.pt", "data.noise.column=1"),
        )
    ]  # fmt: skip
    assert ids[0] == ids[1] == ids[2]


# ----------------------------------------------------------------------------------------------- artifact and spend


def test_tickets_and_runs_hold_their_labels_and_images(tmp_path: Path) -> None:
    setting = settled(tmp_path, NOISY, "data.subset.count=7")
    tiny.draw(tmp_path / "seed-0", NOISY, "data.subset.count=7", "draw.rounds=0")
    record = open_run(tmp_path / "seed-0/levels/0").record()
    assert record is not None
    assert open_ticket(tmp_path / "seed-0/ticket").record() == record
    arrays = {name: tensor.array() for name, tensor in record.items()}
    assert {name: (array.dtype.str[1:], len(array)) for name, array in arrays.items()} == {
        "labels.given": ("i8", COUNT), "labels.clean": ("i8", COUNT), "labels.drawn": ("u1", COUNT),
        "subset.index": ("i8", 70),
    }  # fmt: skip
    np.testing.assert_array_equal(arrays["labels.clean"], setting.data.train.labels)
    assert not (set(arrays["subset.index"].tolist()) & set(range(COUNT - HELD, COUNT)))
    given = arrays["labels.given"][arrays["subset.index"]]
    assert np.bincount(given).tolist() == [7] * 10  # of each class as it is given
    assert open_run(tmp_path / "seed-0/levels/0").manifest.data.train == 70


def test_a_spend_keeps_the_labels_and_images_of_the_draw_under_every_seed(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    tiny.draw(folder, NOISY, "data.subset.fraction=0.5", seed=3)
    spent = tiny.spend(folder, levels="2", seeds=[3, 4])
    assert [one.trained for one in spent] == [False, True, False, True]
    records = [one.run.record() for one in spent]
    assert all(one == records[0] for one in records)
    seeds = [one.run.manifest.seeds for one in spent]
    assert seeds[0] == {"root": 3}
    assert seeds[1] == {"root": 4, "init": 3, "split": 3, "labels": 3, "subset": 3}
    other = tiny.spend(folder, "seeds.labels=9", levels="2", seeds=[4])
    assert other[1].run.record()["labels.given"] != records[0]["labels.given"]
    assert other[1].run.manifest.seeds["labels"] == 9


def test_a_noisy_ticket_may_be_spent_on_clean_labels_and_a_clean_one_on_noisy(
    noisy: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "seed-0"
    shutil.copytree(noisy, copy)
    spent = tiny.spend(copy, "data.noise.kind=none", levels="2")
    assert [one.trained for one in spent] == [True, True]
    tiny.draw(tmp_path / "plain", "train.epochs=3")
    assert spent[0].run.manifest.training_id == open_run(tmp_path / "plain/levels/0").manifest.training_id
    back = tiny.spend(tmp_path / "plain", NOISY, levels="2")
    assert back[0].run.manifest.training_id == open_run(noisy / "levels/0").manifest.training_id


def test_no_path_of_the_users_is_in_an_artifact_and_the_spend_finds_the_labels_again(
    clean: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret-folder"
    shutil.copytree(clean / "levels/0", secret / "run")
    np.save(secret / "labels.npy", np.random.default_rng(0).integers(0, 10, COUNT))
    folder = tmp_path / "seed-0"
    sets = (
        "data.noise.kind=file", f"data.noise.path={secret / 'labels.npy'}",
        f"data.drop.record={secret / 'run'}", "data.drop.most_forgotten=0.1",
        f"data.subset.record={secret / 'run'}", "data.subset.pick=least-forgotten", "data.subset.fraction=0.5",
    )  # fmt: skip
    ticket = tiny.draw(folder, *sets)
    data: Any = ticket.manifest.draw.recipe["data"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", data["noise"]["path"])
    assert data["drop"]["record"] == data["subset"]["record"] == [open_run(secret / "run").manifest.run_id]
    for name, content in tiny.files_below(folder).items():
        assert b"secret" not in content or name == "intent.json", name
    assert [one.trained for one in tiny.spend(folder, levels="all")] == [False] * 3
    assert [one.trained for one in tiny.spend(folder, levels="1", seeds=[8])] == [True] * 2
    (folder / "intent.json").unlink()  # as on another machine
    with pytest.raises(UsageError, match=r"data\.noise\.path: .* --set data\.noise\.path=FILE"):
        tiny.spend(folder, levels="1", seeds=[9])
    with_labels = tiny.spend(folder, f"data.noise.path={secret / 'labels.npy'}", levels="1", seeds=[9])
    assert [one.trained for one in with_labels] == [True] * 2  # the images stand in the ticket
    assert with_labels[1].run.record() == ticket.record()
    np.save(secret / "labels.npy", np.random.default_rng(1).integers(0, 10, COUNT))
    with pytest.raises(UsageError, match=r"data\.drop\.record: no run rn1\w+ below runs"):
        tiny.spend(folder, f"data.noise.path={secret / 'labels.npy'}", levels="1", seeds=[9])


def test_a_draw_does_not_go_on_with_other_labels_under_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = tmp_path / "labels.npy", tmp_path / "seed-0"
    sets = ("data.noise.kind=file", f"data.noise.path={path}")
    np.save(path, np.zeros(COUNT, np.int64))
    left = itertools.count(30, -1)
    with pytest.raises(StoppedError):
        tiny.draw(folder, *sets, stop=lambda: 75 if next(left) <= 0 else None)
    np.save(path, np.ones(COUNT, np.int64))
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    with pytest.raises(MismatchError):
        tiny.draw(folder, *sets)


# ------------------------------------------------------------------------------------------------ counts of a run


def events(history: list[bool]) -> int:
    """Of one image; as many as presentations where it was never right."""
    lost = sum(before and not after for before, after in itertools.pairwise(history))
    return lost if any(history) else len(history)


def scores(folder: Path) -> np.ndarray:
    series = open_run(folder).series()
    assert series is not None
    assert series.correct_bits is not None
    table = np.unpackbits(series.correct_bits, axis=1, count=COUNT - HELD, bitorder="little").astype(bool)
    return np.array([events(column.tolist()) for column in table.T])


@pytest.mark.parametrize("pick", ["least-forgotten", "most-forgotten"])
def test_picks_are_the_ends_of_each_class_by_the_runs_whole_history(
    pick: str, clean: Path, tmp_path: Path
) -> None:
    runs = [clean / "levels/0", clean / "levels/2"]
    listed = json.dumps([str(run) for run in runs])
    found = settled(
        tmp_path, "data.subset.fraction=0.2", f"data.subset.pick={pick}", f"data.subset.record={listed}"
    )
    total = scores(runs[0]) + scores(runs[1])
    assert len(np.unique(total)) > 3
    labels, wanted = np.array(found.data.train.labels)[: COUNT - HELD], []
    for name in range(10):
        own = [int(image) for image in np.flatnonzero(labels == name)]
        own.sort(key=lambda image: (total[image] if pick.startswith("least") else -total[image], image))
        wanted += own[: round(len(own) / 5)]
    assert found.samples.index is not None
    assert found.samples.index.tolist() == sorted(wanted)
    assert found.samples.ids == {"subset": [open_run(run).manifest.run_id for run in runs]}


def test_counts_are_of_the_images_that_are_not_held_out_wherever_these_lie(tmp_path: Path) -> None:
    """Of a random hold-out, and of one at the beginning: the counts have no names, places alone."""
    for rule in ("random:300", "first:250"):
        folder = tmp_path / rule.replace(":", "-")
        tiny.draw(folder, f"data.validation={rule}", "train.lr=0.5", "draw.rounds=0", "train.epochs=4")
        run = folder / "levels/0"
        found = settled(
            tmp_path, f"data.validation={rule}", f"data.drop.record={run}", "data.drop.most_forgotten=0.25"
        )
        series = open_run(run).series()
        assert series is not None
        assert series.correct_bits is not None
        train, _ = hold_out(COUNT, rule, Seeds(0))
        table = np.unpackbits(series.correct_bits, axis=1, count=len(train), bitorder="little").astype(bool)
        total = {int(image): events(column.tolist()) for image, column in zip(train, table.T, strict=True)}
        worst = sorted(total, key=lambda image: (-total[image], image))[: round(len(train) / 4)]
        assert found.samples.index is not None
        assert found.samples.index.tolist() == sorted(set(total) - set(worst))


def test_a_subset_is_picked_of_what_was_not_dropped(clean: Path, tmp_path: Path) -> None:
    drop = (f"data.drop.record={clean / 'levels/0'}", "data.drop.least_forgotten=0.5")
    left = settled(tmp_path, *drop).samples.index
    for pick in ("pick=random", f"pick=most-forgotten data.subset.record={clean / 'levels/0'}"):
        more = [f"data.subset.{pick}".split()[0], *pick.split()[1:], "data.subset.fraction=0.4"]
        found = settled(tmp_path, *drop, *more).samples.index
        assert found is not None
        assert left is not None
        labels = np.array(settled(tmp_path).data.train.labels)
        assert set(found.tolist()) < set(left.tolist())
        sizes = np.bincount(labels[left], minlength=10)
        assert np.bincount(labels[found], minlength=10).tolist() == [
            max(1, round(Fraction(2, 5) * int(size))) if size else 0 for size in sizes
        ]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("data.validation=first:200",), "trained on data.validation last:200, not first:200"),
        (("data.validation=random:200",), "trained on data.validation last:200"),
        (("data.name=tensors:FILE",), "trained on other data"),
        (("data.drop.record=/nowhere",), "there is no run"),
    ],
)
def test_counts_of_other_images_are_refused(
    sets: tuple[str, ...], said: str, clean: Path, tmp_path: Path
) -> None:
    setting = settled(tmp_path)
    path = as_tensors(
        setting,
        np.array(setting.data.train.labels),
        np.arange(COUNT - HELD)[::-1],
        tmp_path / "a.safetensors",
    )
    sets = (f"data.drop.record={clean / 'levels/0'}", "data.drop.most_forgotten=0.1", *sets)
    with pytest.raises(UsageError, match=said) as refused:
        settled(tmp_path, *(text.replace("FILE", str(path)) for text in sets))
    assert "\n" not in str(refused.value)


def test_another_split_seed_is_refused_where_it_matters(clean: Path, tmp_path: Path) -> None:
    tiny.draw(tmp_path / "a", "data.validation=random:200", "draw.rounds=0")
    keys = ("data.drop.most_forgotten=0.1", "data.drop.record=")
    random = (keys[0], f"{keys[1]}{tmp_path / 'a/levels/0'}", "data.validation=random:200")
    settled(tmp_path, *random)
    settled(tmp_path, *random, "seeds.split=0", seed=5)
    with pytest.raises(UsageError, match="the split seed 0, not 5"):
        settled(tmp_path, *random, seed=5)
    settled(tmp_path, keys[0], f"{keys[1]}{clean / 'levels/0'}", seed=5)  # last:200 is the same for all


def test_counts_of_a_subset_are_refused_and_those_under_other_labels_are_told(
    noisy: Path, tmp_path: Path
) -> None:
    tiny.draw(tmp_path / "a", "data.subset.fraction=0.5", "draw.rounds=0")
    keys = ("data.drop.most_forgotten=0.1", "data.drop.record=")
    with pytest.raises(UsageError, match="a part of the images"):
        settled(tmp_path, keys[0], f"{keys[1]}{tmp_path / 'a/levels/0'}")
    for sets, told in (((NOISY,), False), ((), True), ((NOISY, "seeds.labels=1"), True)):
        heard = tiny.Heard()
        settled(tmp_path, keys[0], f"{keys[1]}{noisy / 'levels/0'}", *sets, heard=heard)
        assert any("other labels" in note for note in heard.notes) == told


def test_a_class_of_which_the_share_is_no_image_keeps_one_and_says_so(tmp_path: Path) -> None:
    heard = tiny.Heard()
    found = settled(tmp_path, "data.subset.fraction=0.001", heard=heard)
    assert found.counts["train"] == 10
    assert any("10 of 10 classes" in note for note in heard.notes)
    quiet = tiny.Heard()
    settled(tmp_path, "data.subset.fraction=0.01", heard=quiet)
    assert quiet.notes == []


def test_a_run_that_counted_nothing_is_refused(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "series", lambda self: None)
    with pytest.raises(UsageError, match="kept no forgetting counts"):
        settled(tmp_path, "data.drop.most_forgotten=0.1", f"data.drop.record={clean / 'levels/0'}")


# ------------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("data.noise.rate=1.5",), r"data.noise.rate: a rate lies in \[0, 1\].*, not '?1\.5"),
        (("data.noise.rate=-0.1",), "a rate lies in"), (("data.noise.rate=lots",), "write a number"),
        (("data.noise.rat=0.1",), "did you mean 'rate'"), (("data.noise.kind=pair-flip",), "say the rate"),
        (("data.noise.kind=symmetrical",), "data.noise.kind"),
        ((NOISY, "data.noise.path=x.npy"), "path belongs to kind file"),
        ((NOISY, "data.noise.kind=file"), "labels of a file have no rate"),
        ((NOISY, "data.noise.map.0=1"), "map belongs to kind asymmetric"),
        ((NOISY, "data.noise.kind=asymmetric"), "which class is taken for which"),
        ((NOISY, "data.noise.kind=asymmetric", "data.noise.map.0=ten"), "no class 'ten'"),
        (("data.noise.kind=file",), "where the labels lie is not known"),
        (("data.subset.fraction=0",), r"fraction.* in \(0, 1\]"),
        (("data.subset.fraction=1.1",), r"fraction.* in \(0, 1\]"),
        (("data.subset.count=0",), "data.subset.count"), (("data.subset.pick=random",), "fraction or count"),
        (("data.subset.count=5", "data.subset.fraction=0.1"), "fraction or count"),
        (("data.subset.count=5", "data.subset.pick=most-forgotten"), "needs a record"),
        (("data.subset.count=5", "data.subset.record=x"), "a record belongs to"),
        (("data.subset.count=500",), "500 images of each class, and class 0 has"),
        (("data.drop.record=x",), "most_forgotten or least_forgotten"),
        (("data.drop.most_forgotten=0.1",), "say the record"),
        (("data.drop.most_forgotten=1", "data.drop.record=x"), r"most_forgotten.* in \[0, 1\)"),
        (("data.drop.most-forgotten=0.1",), "did you mean 'most_forgotten'"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line(sets: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        settled(tmp_path, *sets)
    assert "\n" not in str(refused.value)


def test_classes_may_be_named_by_number_without_quotes(tmp_path: Path) -> None:
    found = settled(
        tmp_path, "data.noise.kind=asymmetric", "data.noise.rate=1", "data.noise.map.0=9"
    ).samples.labels
    assert found is not None
    np.testing.assert_array_equal(found.given, np.where(found.clean == 0, 9, found.clean))


def test_labels_of_other_images_are_refused(tmp_path: Path) -> None:
    labels = np.array(settled(tmp_path).data.train.labels)
    path = tmp_path / "human.pt"
    key = ("data.noise.kind=file", f"data.noise.path={path}", "data.noise.key=worse_label")
    torch.save({"worse_label": labels[::-1].copy(), "clean_label": labels}, path)
    settled(tmp_path, *key)
    torch.save({"worse_label": labels, "clean_label": labels[::-1].copy()}, path)
    with pytest.raises(UsageError, match="its true labels are not those of the data"):
        settled(tmp_path, *key)
    torch.save({"worse_label": labels[:-1]}, path)
    with pytest.raises(UsageError, match="1437 labels, and the data set has 1438"):
        settled(tmp_path, *key)


def test_a_pool_without_a_drop_or_subset_reads_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "_scores", lambda *_: pytest.fail("read"))
    assert settled(tmp_path, NOISY, "data.subset.count=2").counts["train"] == 20
