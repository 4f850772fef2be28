"""Which images a net under audit is shown: ImageNet-O's like by folder, and no more at a time than memory holds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score

from tests.stages import tiny
from tests.stages.test_audit import asked_of, audited
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.samples import Samples, decode_samples
from ticketctl.data.corrupted import Generated
from ticketctl.data.others import Strangers
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.metrics import ood
from ticketctl.seeds import Seeds
from ticketctl.stages import due, sources
from ticketctl.stages.shown import shown
from ticketctl.train.exam import Answers, Exam

STREAM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "seed-0"
    tiny.draw(folder)
    return folder / "levels/1"


@pytest.fixture(autouse=True)
def clean(run: Path) -> None:
    for path in [*run.glob("samples/*"), *run.glob("audit-work/*.zip")]:
        path.unlink()


def folder_of(root: Path, classes: str, count: int = 9) -> Path:
    """Grey images of 8 x 8 pixels in folders of these names."""
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(STREAM.integers(0, 256, (8, 8), dtype=np.uint8))
            image.save(root / name / f"{number}.png")
    return root


def samples(run: Path, name: str) -> Samples:
    return decode_samples((run / f"samples/{name}.safetensors").read_bytes(), where=name)


def value(report: Report, name: str) -> float:
    (found,) = [row.value for row in report.metrics if row.name == name]
    assert found is not None
    return found


def msp(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)


@pytest.mark.parametrize("layout", ["classes", "train and test"])
def test_a_folder_of_some_of_the_nets_classes_is_held_against_these_alone(
    run: Path, tmp_path: Path, layout: str
) -> None:
    """As ImageNet-O is, of 200 classes of 1,000; the number is taken again from the stored answers."""
    parts = ("",) if layout == "classes" else ("train", "test")
    for part in parts:
        folder_of(tmp_path / "o" / part, "73")
    report = audited(run, f"audit.ood=['imagefolder:{tmp_path / 'o'}']", names="ood")
    test, other = samples(run, "test"), samples(run, "ood-imagefolder")
    assert other.logits.shape == (18, 10)
    assert other.protocol["classes"] == [3, 7]
    mine = np.isin(test.labels, [3, 7])
    inside, outside = msp(test.logits[mine][:, [3, 7]]), msp(other.logits[:, [3, 7]])
    area = roc_auc_score(np.r_[np.ones(len(inside)), np.zeros(18)], np.r_[inside, outside])
    assert value(report, "auroc.imagefolder") == pytest.approx(area, abs=1e-12)
    assert report.metrics[0].protocol["restricted"] == {
        "imagefolder": {"classes": 2, "test": int(mine.sum())}
    }
    known = {
        "test": Answers(test.logits, test.labels),
        "ood/imagefolder": Answers(other.logits, other.labels, np.array(other.protocol["classes"])),
    }
    again = ood.measure(Exam(known.__getitem__, tuple(known), Seeds(0)), params=ood.Params())
    assert {name: one.value for name, one in again.values.items()} == {
        row.name: row.value for row in report.metrics
    }
    assert audited(run, f"audit.ood=['imagefolder:{tmp_path / 'o'}']", names="ood").id == report.id


@pytest.mark.parametrize(("classes", "notes"), [("ab", 0), ("37a", 1), ("0123456789", 0)])
def test_a_folder_of_other_or_all_classes_is_held_against_all(
    run: Path, tmp_path: Path, classes: str, notes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("ticketctl.progress.Silent.note", lambda self, text: said.append(text))
    report = audited(run, f"audit.ood=['imagefolder:{folder_of(tmp_path / 'o', classes, 2)}']", names="ood")
    assert "classes" not in samples(run, "ood-imagefolder").protocol
    assert report.metrics[0].protocol["restricted"] == {}
    assert len([line for line in said if "class folders" in line]) == notes


def test_sets_are_made_and_asked_in_pieces_and_say_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [
        f"audit.ood=['noise','imagefolder:{folder_of(tmp_path / 'o', '37', 60)}']", "audit.corruptions=['fog','frost']",
        "audit.severities=[2]",
    ]  # fmt: skip
    whole = audited(run, *sets, names="ood,corruption")
    files = {path.name: path.read_bytes() for path in run.glob("samples/*")}
    assert {"ood-noise.safetensors", "corrupt-fog-2.safetensors", "corrupt-frost-2.safetensors"} <= {*files}
    for path in [*run.glob("samples/*"), *run.glob("audit-work/*.zip")]:
        path.unlink()
    counts: list[int] = []
    for kind in (Generated, Strangers):
        plain = kind.read
        monkeypatch.setattr(
            kind, "read", lambda self, *said, plain=plain: counts.append(len(said[-1])) or plain(self, *said)
        )
    monkeypatch.setattr(sources, "PIECE", 100 * 64)
    assert audited(run, *sets, names="ood,corruption").id == whole.id
    assert {path.name: path.read_bytes() for path in run.glob("samples/*")} == files
    assert sorted(counts) == sorted([100, 20, *2 * [100, 100, 100, 59]])


def test_nets_of_one_command_share_the_pieces(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PIECE", 100 * 64)
    asked = asked_of(run, "audit.corruptions=['fog']", "audit.severities=[1]", names="corruption")
    shelf = sources.Shelf(room=250 * 64)
    around = tiny.around(tmp_path / "cache")
    set_ = shown(asked.subject, asked.wanted.recipe.audit, Seeds(0), around, shelf)["corrupt/fog/1"]
    first = np.concatenate([images.pixels.numpy() for images in set_.pieces()])
    assert [len(held) for held in shelf.held.values()] == [100, 100]
    assert (first == np.concatenate([images.pixels.numpy() for images in set_.pieces()])).all()
    assert len(first) == set_.count == 359


@pytest.mark.parametrize("side", [8, 32, 224])
def test_larger_images_take_longer_to_corrupt_by_their_pixels(
    run: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    asked = asked_of(run, "audit.corruptions=['fog']", "audit.severities=[1,3]", names="corruption")
    monkeypatch.setattr(due, "passes_a_second", lambda net: math.inf)
    monkeypatch.setattr(asked.net.images["test"], "size", (side, side))
    found, each = [], due.CORRUPTED
    for seconds in (each, 0):
        monkeypatch.setattr(due, "CORRUPTED", seconds)
        found.append(due.due(asked.params, asked.answers, asked.net)["corruption"])
    assert found[0] - found[1] == pytest.approx(2 * 359 * each * (side / 32) ** 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_another_data_set_of_other_images_is_refused_with_both_shapes(
    run: Path, tmp_path: Path, channels: int
) -> None:
    side = 8 if channels == 3 else 9
    arrays = {
        f"{part}_{kind}": values
        for part in ("train", "test")
        for kind, values in (
            ("images", np.zeros((20, channels, side, side), np.uint8)), ("labels", np.arange(20) % 10),
        )
    }  # fmt: skip
    save_file(arrays, tmp_path / "other.safetensors")
    says = rf"tensors:.* has images of \[{channels}, {side}, {side}\], and this net takes \[1, 8, 8\]"
    with pytest.raises(UsageError, match=says):
        audited(run, f"audit.ood=['tensors:{tmp_path / 'other.safetensors'}']", names="ood")


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_sets_are_fetched_only_where_they_were_named_and_it_is_allowed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool, offline: bool
) -> None:
    asked: list[bool] = []

    def load(name: str, *, offline: bool, **_: object) -> None:
        asked.append(offline)
        raise UnavailableError(f"{name} is not here")

    monkeypatch.setattr("ticketctl.stages.shown.load", load)
    monkeypatch.setattr("ticketctl.stages.shown.KIN", {"digits": ("mnist",)})
    one = asked_of(run, "audit.ood=['noise']", names="ood")
    spec = one.wanted.recipe.audit.model_copy(update={"ood": ("mnist",) if named else None})
    around = replace(tiny.around(tmp_path / "cache"), offline=offline)
    if named:
        with pytest.raises(UnavailableError, match="mnist is not here"):
            shown(one.subject, spec, Seeds(0), around)
    else:
        assert "ood/noise" in shown(one.subject, spec, Seeds(0), around)
    assert asked == [offline if named else True]
