"""Nets on another data set: frozen under a new head, or trained under their mask; and what they are compared with."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

from tests.stages import tiny
from ticketctl.artifacts.chain import read_chain
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verify import verify_run
from ticketctl.data.adapted import changed
from ticketctl.errors import DivergedError, StoppedError, UsageError
from ticketctl.progress import Silent
from ticketctl.recipe_explore import TransferRecipe, TransferSpec, parse_explore
from ticketctl.recipe_files import merge
from ticketctl.seeds import Seeds
from ticketctl.stages import transfer_fit
from ticketctl.stages.audit import audit
from ticketctl.stages.explored import Explored
from ticketctl.stages.named import Named, of_run, of_ticket
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.subject import Opener
from ticketctl.stages.transfer import Errand, Transfer, errands, frozen, opened
from ticketctl.stages.transfer_fit import Tuning, reported, tuned, tuning
from ticketctl.stages.transfer_target import Target
from ticketctl.train.predict import answers_of

KINDS = 5
QUICK: dict[str, Any] = {"train": {"epochs": 2, "lr": 0.1, "batch": 64}, "transfer": {"train": "all"}}


def shades(count: int, seed: int, kinds: int = KINDS, form: tuple[int, ...] = (3, 12, 12)) -> dict[str, Any]:
    """Colour images whose class is where they are bright."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, kinds, count)
    images = numbers.integers(0, 130, (count, *form))
    for place, label in enumerate(labels):
        images[place, :, 2 * label : 2 * label + 4] += 110
    return {"images": images.astype(np.uint8), "labels": labels}


def written(path: Path, train: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    parts = {"train": train, "test": test}
    save_file(
        {
            f"{part}_{key}": np.ascontiguousarray(value)
            for part, one in parts.items()
            for key, value in one.items()
        },
        path,
    )
    return f"tensors:{path}"


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a small transfer would be the timing of its net."""
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ws") / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(folder)
    return folder


@pytest.fixture
def draw(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may write into."""
    return Path(shutil.copytree(drawn, tmp_path / "net-data" / "imp-00000000" / "seed-0"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("data") / "shades.safetensors", shades(240, 0), shades(90, 1))


def to(name: str, tables: Mapping[str, Any] | None = None, *, seed: int = 0, **words: Any) -> Target:
    recipe = parse_explore("transfer", tables or {}, where="test")
    assert isinstance(recipe, TransferRecipe)
    return Target(name, recipe, Seeds(seed), tiny.around(Path("nowhere"), **words))


def level(draw: Path, number: int) -> Named:
    return of_run(open_run(draw / "levels" / str(number)))


def head_on(net: Named, target: Target) -> Transfer:
    return frozen(opened(Errand(net), Opener(target.around)), target, Explored(target.recipe, False, {}))


def training(net: Named, target: Target, keep: str = "mask+init") -> Tuning:
    return tuning(opened(Errand(net), Opener(target.around)), target, keep=keep)


def values(report: Report) -> dict[str, float | None]:
    return {row.name: row.value for row in report.metrics}


def pixels_of(path: str) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.int64]]]:
    """The target's images as the digits' net takes them, flat, and their labels, by hand."""
    sets = {"train": shades(240, 0), "test": shades(90, 1)}
    images = {
        name: changed(one["images"], (1, 8, 8)).reshape(len(one["labels"]), -1) / 255
        for name, one in sets.items()
    }
    mean, std = round(images["train"].mean(), 4), round(images["train"].std(), 4)
    return {name: (one - mean) / std for name, one in images.items()}, {
        name: one["labels"] for name, one in sets.items()
    }


# ------------------------------------------------------------------------------------------------------------- frozen


def test_a_frozen_net_gets_the_head_that_scikit_learn_finds_on_its_features(draw: Path, data: str) -> None:
    target = to(data)
    report = audit(head_on(level(draw, 2), target))
    weights = {name: one.array() for name, one in open_run(draw / "levels/2").weights().items()}
    images, labels = pixels_of(data)

    def hidden(name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = images[name]
        for layer in ("fc1", "fc2"):
            found = np.maximum(found @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
        return found

    held = np.sort(Seeds(0).order("split", count=240)[:24])
    train = np.setdiff1d(np.arange(240), held)
    theirs = LogisticRegression(C=1 / (1e-4 * len(train)), max_iter=2000).fit(
        hidden("train")[train], labels["train"][train]
    )
    ours = values(report)
    assert ours["transfer.lbfgs"] == pytest.approx(theirs.score(hidden("test"), labels["test"]), abs=2 / 90)
    assert ours["transfer.lbfgs.val"] == pytest.approx(
        theirs.score(hidden("train")[held], labels["train"][held]), abs=2 / 24
    )
    assert [row.n for row in report.metrics if row.name in ("transfer", "transfer.val")] == [90, 24]
    assert ours["transfer-head.parameters"] == (100 + 1) * KINDS


def test_the_net_is_as_it_was_and_its_report_says_which_net_and_which_target(draw: Path, data: str) -> None:
    target, run = to(data), open_run(draw / "levels/2")
    asked = head_on(level(draw, 2), target)
    before = asked.subject.state.weights
    report = audit(asked)
    after = asked.subject.state.weights
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert report.metrics[0].protocol["backbone"]["before and after"] == "equal"
    assert (report.kind, report.data.name, report.data.fingerprint) == (
        "transfer",
        "digits",
        run.manifest.data.fingerprint,
    )
    assert (report.subject.run_id, report.subject.weights) == (
        run.manifest.run_id,
        run.manifest.weights.digest,
    )
    said = report.recipe["target"]
    assert (said["name"], said["form"], said["classes"], said["held_out"]) == (
        "tensors",
        [1, 8, 8],
        KINDS,
        "random:10%",
    )
    assert all(check.ok for check in verify_run(draw / "levels/2"))


def test_what_was_measured_of_one_target_is_kept_and_is_not_another_targets(
    draw: Path, data: str, tmp_path: Path
) -> None:
    first = audit(head_on(level(draw, 2), to(data)))
    heard = tiny.Heard()
    assert audit(head_on(level(draw, 2), to(data, reporter=heard))).id == first.id
    assert heard.notes[-1].endswith(": measured before")
    assert "transfer" not in heard.notes
    other = written(tmp_path / "other.safetensors", shades(240, 7), shades(90, 8))
    assert audit(head_on(level(draw, 2), to(other))).id != first.id
    assert len(list((draw / "levels/2/reports").iterdir())) == 2


def test_a_ticket_is_taken_untrained_unless_its_trained_net_is_asked_for(draw: Path, data: str) -> None:
    ticket = of_ticket(open_ticket(draw / "ticket"), 1)
    report = audit(head_on(ticket, to(data)))
    assert report.subject.run_id == "untrained"
    assert (draw / "ticket" / report.file_name).is_file()
    (plan,) = errands([ticket], TransferSpec(of="trained"), False, {})
    assert plan.net.folder == draw / "levels/1"


def test_the_sources_statistics_are_taken_where_they_are_asked_for(draw: Path, data: str) -> None:
    own = head_on(level(draw, 0), to(data)).subject.setting.recipe.data
    theirs = head_on(
        level(draw, 0), to(data, {"transfer": {"statistics": "source"}})
    ).subject.setting.recipe.data
    source = Opener(tiny.around(Path("nowhere"))).open(level(draw, 0)).setting.recipe.data
    assert own.mean != theirs.mean == source.mean
    assert own.std != theirs.std == source.std


def test_fewer_images_are_drawn_of_each_set(draw: Path, data: str) -> None:
    report = audit(head_on(level(draw, 0), to(data, {"transfer": {"images": 20}})))
    assert {row.name: row.n for row in report.metrics if row.name == "transfer"} == {"transfer": 20}


# ------------------------------------------------------------------------------------------------------------ trained


def test_all_weights_are_trained_under_the_mask_from_the_nets_own_with_a_dense_new_head(
    draw: Path, data: str
) -> None:
    one = training(level(draw, 2), to(data, QUICK))
    run_before = open_run(draw / "levels/2").weights()
    given = {name: value.array() for name, value in run_before.items()}
    start = {name: value.numpy() for name, value in one.start.weights.items()}
    assert {name for name in start if not np.array_equal(start[name], given[name])} == {
        "fc3.weight",
        "fc3.bias",
    }
    assert one.start.weights["fc3.weight"].shape == (KINDS, 100)
    run = tuned(one)
    kept, old = run.mask(), open_run(draw / "levels/2").mask()
    assert kept is not None
    assert old is not None
    assert set(old) - set(kept) == {"fc3.weight"}
    final = {name: value.array() for name, value in run.weights().items()}
    for name, keep in kept.items():
        assert np.array_equal(keep, old[name])
        assert (final[name][~keep] == 0).all()
        assert (final[name][keep] != given[name][keep]).any()
    assert run.folder.parent.parent == draw / "transfers"
    assert run.folder.name == "2-seed-0"
    assert (
        run.manifest.ext["ticketctl.transfer"]["net"]["run_id"] == open_run(draw / "levels/2").manifest.run_id
    )
    assert run.manifest.start.role == "trained"
    chain = read_chain(run.folder)  # its history goes on through the run that it came from
    assert chain is not None
    assert [link.step for link in chain.links] == ["draw", "train", "train"]


def test_with_the_mask_alone_every_weight_is_new_also_under_the_seed_of_the_draw(
    draw: Path, data: str
) -> None:
    ticket = of_ticket(open_ticket(draw / "ticket"), 2)
    both, mask = (training(ticket, to(data, QUICK), keep) for keep in ("mask+init", "mask"))
    assert both.mask == mask.mask or all(
        torch.equal(keep, mask.mask.keep[name]) for name, keep in both.mask.keep.items()
    )
    for name in ("fc1.weight", "fc2.weight"):
        keep = both.mask.keep[name]
        assert not (both.start.weights[name][keep] == mask.start.weights[name][keep]).any()
    assert torch.equal(both.start.weights["fc3.weight"], mask.start.weights["fc3.weight"])
    assert both.folder != mask.folder


def test_the_report_of_what_was_trained_says_what_the_engine_measured_and_how_sparse_it_is(
    draw: Path, data: str
) -> None:
    one = training(level(draw, 2), to(data, QUICK))
    run = tuned(one)
    report = reported(one, run, {})
    found, metrics = values(report), run.manifest.metrics
    assert found["transfer"] == pytest.approx(float(metrics["test.accuracy"]), abs=1e-6)
    assert found["transfer.val"] == pytest.approx(float(metrics["val.accuracy"]), abs=1e-6)
    assert found["transfer.train"] > 0.5
    matrices = [value.array() for name, value in run.weights().items() if name.endswith("weight")]
    kept = run.mask()
    assert kept is not None
    pruned = sum(int((~keep).sum()) for keep in kept.values())
    assert found["transfer-head.sparsity"] == pytest.approx(pruned / sum(one.size for one in matrices))
    assert report.subject.run_id == run.manifest.run_id
    assert report.data.name == "tensors"
    assert all(check.ok for check in verify_run(run.folder))


def test_a_run_on_the_target_is_opened_by_its_folder_on_the_images_it_was_trained_on(
    draw: Path, data: str
) -> None:
    run = tuned(training(level(draw, 1), to(data, QUICK)))
    subject = Opener(tiny.around(Path("nowhere"))).open(of_run(run, {"data": {"name": data}}))
    assert subject.setting.data.shape == (1, 8, 8)
    answers = answers_of(subject.setting.bench.model, subject.images["test"])
    right = float((answers.logits.argmax(1) == answers.labels).mean())
    assert right == pytest.approx(float(run.manifest.metrics["test.accuracy"]), abs=1e-9)


def test_stopped_again_and_again_it_ends_in_the_same_bytes(
    draw: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(draw, tmp_path / "again-data" / "imp-00000000" / "seed-0"))
    whole = tuned(training(level(draw, 2), to(data, QUICK)))
    stops, run = 0, None
    while run is None:
        try:
            run = tuned(training(level(other, 2), to(data, QUICK, stop=_after(6))))
        except StoppedError:
            stops += 1
    assert stops > 1
    assert tiny.files_below(run.folder) == tiny.files_below(whole.folder)
    monkeypatch.setattr(transfer_fit, "_trained", None)  # what is there is not trained again
    assert tuned(training(level(other, 2), to(data, QUICK))).manifest == run.manifest


def _after(polls: int) -> Callable[[], int | None]:
    """Asks to stop at one poll of so many, so that each try comes some steps further."""
    left = iter(range(polls))
    return lambda: None if next(left, None) is not None else 75


# --------------------------------------------------------------------------------------------------------- references


def test_references_are_the_draws_trained_dense_net_and_one_dense_net_trained_on_the_target(
    draw: Path, data: str
) -> None:
    tickets = [of_ticket(open_ticket(draw / "ticket"), number) for number in (1, 2)]
    plans = errands(tickets, TransferSpec(), True, {})
    assert [(plan.net.level, plan.net.run is not None, plan.retrained) for plan in plans] == [
        (1, False, False), (2, False, False), (0, True, False), (0, True, True),
    ]  # fmt: skip
    one = training(plans[-1].net, to(data), "form")
    assert one.mask.kept == one.mask.size
    run = tuned(one)
    assert (run.manifest.ticket, run.manifest.level, run.manifest.mask) == ("dense", 0, None)
    assert run.manifest.recipe["train"] == open_run(draw / "levels/0").manifest.recipe["train"]
    again = errands([level(draw, 2)], TransferSpec(), True, {})[-1]
    assert training(again.net, to(data), "form").folder == run.folder


def test_the_dense_net_of_a_control_is_that_of_its_draw(draw: Path) -> None:
    control = draw / "controls" / "reinit" / "ticket"
    shutil.copytree(draw / "ticket", control)
    plans = errands([of_ticket(open_ticket(control), 1)], TransferSpec(), True, {})
    assert [plan.net.folder for plan in plans[1:]] == [draw / "levels/0"] * 2


def test_a_dense_net_is_named_once_and_has_no_mask_to_keep(draw: Path) -> None:
    dense = level(draw, 0)
    assert [plan.retrained for plan in errands([dense], TransferSpec(), True, {})] == [False, True]
    spec = TransferSpec(train="all", keep="mask")
    assert [plan.retrained for plan in errands([level(draw, 2)], spec, True, {})] == [False, True]
    shutil.rmtree(draw / "levels/0")
    with pytest.raises(UsageError, match="no trained dense net lies there"):
        errands([level(draw, 2)], TransferSpec(), True, {})


# -------------------------------------------------------------------------------------------------------- wrong words


def test_the_nets_own_data_are_no_target_under_any_name(draw: Path, tmp_path: Path) -> None:
    setting = Opener(tiny.around(Path("nowhere"))).open(level(draw, 0)).setting.data
    splits = [{"images": part.images, "labels": part.labels} for part in (setting.train, setting.test)]
    for name in ("digits", written(tmp_path / "same.safetensors", *splits)):
        with pytest.raises(UsageError, match="the net was made on it; ticketctl probe"):
            head_on(level(draw, 0), to(name))


@pytest.mark.parametrize(
    ("kinds", "form", "says"),
    [(1, (3, 12, 12), "it has one class"), (2, (2, 12, 12), "images of 2 channels, and the net takes 1")],
)
def test_targets_that_cannot_be_are_refused(
    draw: Path, tmp_path: Path, kinds: int, form: tuple[int, ...], says: str
) -> None:
    name = written(tmp_path / "odd.safetensors", shades(40, 0, kinds, form), shades(20, 1, kinds, form))
    with pytest.raises(UsageError, match=says):
        head_on(level(draw, 0), to(name))
    with pytest.raises(UsageError, match="no data set named 'mnst'"):
        to("mnst")


def test_a_run_that_diverged_is_refused_and_one_that_diverges_on_the_target_is_kept_and_flagged(
    draw: Path, data: str
) -> None:
    wild = to(data, {"transfer": {"train": "all"}, "train": {"epochs": 2, "lr": 1e30, "batch": 32}})
    one = training(level(draw, 1), wild)
    run = tuned(one)
    assert run.manifest.status == "diverged"
    (row,) = reported(one, run, {}).metrics
    assert (row.status, row.value) == ("nan", None)
    with pytest.raises(DivergedError, match="there is nothing to transfer of it"):
        opened(Errand(of_run(run, {"data": {"name": data}})), Opener(wild.around))


def test_a_net_that_a_tweak_changed_is_transferred_frozen_and_not_trained(draw: Path, data: str) -> None:
    spent = tiny.spend(draw, "spend.dense=false", "spend.vanilla=false", levels="1", tweaks=["mish"])
    net = of_run(next(one.run for one in spent if one.job.tweaks))
    assert audit(head_on(net, to(data))).metrics[0].status == "done"
    with pytest.raises(UsageError, match="mish changed this net"):
        training(net, to(data, QUICK))


def test_a_colour_net_of_convolutions_takes_larger_grey_images(tmp_path: Path) -> None:
    folder = tmp_path / "net-data" / "imp-00000000" / "seed-0"
    source = written(tmp_path / "source.safetensors", shades(80, 0, 3), shades(30, 1, 3))
    small = (
        "model.name=resnet20s",
        "model.width=1/4",
        "train.epochs=1",
        "train.lr=0.01",
        f"data.name={source}",
    )
    tiny.draw(folder, *small, "data.validation=last:20", "draw.rounds=1")
    target = written(tmp_path / "t.safetensors", shades(80, 2, 4, (1, 20, 20)), shades(30, 3, 4, (1, 20, 20)))
    net = of_run(open_run(folder / "levels/1"), {"data": {"name": source}})
    report = audit(head_on(net, to(target)))
    assert report.recipe["target"]["form"] == [3, 12, 12]
    assert report.metrics[0].status == "done"
    run = tuned(training(net, to(target, QUICK)))
    assert isinstance(run, Run)
    assert run.manifest.arch.num_classes == 4


# ------------------------------------------------------------------------------------------------------------ recipes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("transfer.keep = 'mask'", "keep = mask is for train = all"),
        ("train.lr = 0.1", r"\[train\] is for transfer.train = all"),
        ("transfer.train = 'all'\ntrain.lrr = 0.1", "train: no key lrr; did you mean 'lr'"),
        ("transfer.train = 'all'\ntrain.lr = -1", "lr: must be above 0, not -1"),
        ("transfer.train = 'all'\nmetrics.transfer.epochs = 1", "metrics.transfer is of a head"),
        ("transfer.train = 'all'\ntransfer.images = 5", "images is for train = head"),
        ("train.lr = 0.1\nmodel.name = 'resnet18'", "its recipes begin with transfer/"),
        ("transfer.to = 'mnist'", "no key transfer.to"),
    ],
)
def test_recipes_that_cannot_be_are_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_explore("transfer", merge({"summary": "s"}, tomllib.loads(text)), where="here")
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_on_a_gpu_a_frozen_transfer_comes_out_within_two_images(draw: Path, data: str) -> None:
    """Features differ in their last bits, so images near the border between two classes may change sides."""
    found = {}
    for device in ("cpu", "cuda"):
        around = Surroundings(torch.device(device), Path("nowhere"), Silent(), tiny.never, offline=True)
        target = to(data)
        target.around = around
        found[device] = values(audit(head_on(level(draw, 2), target)))["transfer.lbfgs"]
    assert found["cuda"] == pytest.approx(found["cpu"], abs=2 / 90)
