"""The onset of stability: what is trained, what is measured of it, what is searched, and what is reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.stages import tiny
from ticketctl.artifacts.report import Report, decode_report
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import DivergedError, MismatchError, StoppedError, UsageError
from ticketctl.recipe_explore import InterpolateRecipe, parse_explore
from ticketctl.recipe_files import assignments, merge, read_recipe
from ticketctl.seeds import STREAMS, Seeds
from ticketctl.stages.bisection import bisect
from ticketctl.stages.estimate import speed_of
from ticketctl.stages.explored import Explored
from ticketctl.stages.named import Asked, named
from ticketctl.stages.onset import WORK, Search, onset, searches
from ticketctl.stages.onset_due import onset_due
from ticketctl.stages.setting import Setting
from ticketctl.stages.stability import Origin, Stability, as_twin, initialised, noise
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.lab import Fit, Lab, Wish
from ticketctl.train.loop import Loop
from ticketctl.train.schedule import learning_rates
from ticketctl.train.state import State

TABLES: dict[str, Any] = {
    "onset": {"inits": 1, "twins": 2},
    "curves": {"line": {"alphas": 5, "sets": ["val"], "policies": ["recalibrate"]}},
}
EPOCHS = 4
LAST = ("data.validation=last:200", "train.batch=256", "train.epochs=4", "train.threads=1", "train.lr=0.3")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ws") / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(folder, "draw.rounds=1", "train.epochs=4", "train.lr=0.3", "keep.epochs=[0,1,2,3,4]")
    return folder


@pytest.fixture
def place(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "lenet-digits" / "imp-00000000" / "seed-0"))


def asked(*sets: str, own: Mapping[str, Any] | None = None) -> Explored:
    recipe = parse_explore("interpolate", merge(TABLES, assignments(sets)), where="here")
    return Explored(recipe, False, own or {})


def search_of(place: Path, *sets: str, **longer: Any) -> Search:
    (found,) = searches(named(Asked([str(place)], workspace=place.parents[2])), asked(*sets), **longer)
    return found


def of_model(
    workspace: Path, *sets: str, own: tuple[str, ...] = LAST, seed: int = 0, **longer: Any
) -> Search:
    words = assignments(own)
    nets = named(Asked(model="lenet-300-100", data="digits", seed=seed, workspace=workspace, sets=words))
    (found,) = searches(nets, asked(*sets, own=words), **longer)
    return found


def found(search: Search, stop: Callable[[], int | None] = tiny.never, heard: Any = None) -> Report:
    return onset(search, tiny.around(search.folder.parents[2] / "cache", stop, heard))


def rows(report: Report) -> dict[str, Any]:
    return {row.name: row.value for row in report.metrics}


def array(report: Report, name: str) -> Any:
    return report.arrays[f"onset/{name}"]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings stay when a search is over."""
    monkeypatch.setattr(Origin, "clear", lambda self: None)


# ------------------------------------------------------------------------------------------------- what is trained


def begun(origin: Origin, epoch: int) -> State:
    """What twins from `epoch` begin with."""
    setting, dense = origin.subject.setting, FitFiles(origin.work / f"init-{origin.number}" / "dense")
    step = epoch * setting.bench.feed.steps_per_epoch
    return dense.read_state(dense.state(step), step) if epoch else setting.initial


def ended(origin: Origin, epoch: int, twin: int) -> State:
    files = FitFiles(origin.work / f"init-{origin.number}" / f"epoch-{epoch}" / f"twin-{twin}")
    return files.read_state(files.final, EPOCHS * origin.subject.setting.bench.feed.steps_per_epoch)


@pytest.mark.usefixtures("kept")
def test_the_dense_net_of_a_ticket_is_the_very_one_that_its_draw_trained(place: Path) -> None:
    origin = search_of(place).origin(0, tiny.around(place / "cache"))
    origin.evaluated(3)
    run = open_run(place / "levels/0")
    for epoch in range(EPOCHS):
        assert weights_digest(begun(origin, epoch).tensors()) == weights_digest(run.state(f"epoch-{epoch}"))


@pytest.mark.long
@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("longer", [{"epochs": 2}, {"scale": Fraction(1, 2)}])
def test_a_stretched_search_is_that_of_the_draw_stretched_alike(
    place: Path, tmp_path: Path, longer: dict[str, Any]
) -> None:
    half = tmp_path / "half"
    tiny.draw(half, "draw.rounds=0", "train.epochs=2", "train.lr=0.3", "keep.epochs=[0,1]")
    search, whole = search_of(place, **longer), search_of(place)
    origin = search.origin(0, tiny.around(place / "cache"))
    assert origin.epochs == 2
    origin.evaluated(1)
    drawn, run = begun(origin, 1), open_run(half / "levels/0")
    assert weights_digest(drawn.tensors()) == weights_digest(run.state("epoch-1"))
    whole.origin(0, tiny.around(place / "cache")).evaluated(3)  # goes its own way beside it
    assert search.folder == whole.folder
    assert array(found(search), "epochs").max() == 1


def test_a_stretched_search_is_of_another_net_and_what_was_typed_for_it_stays(tmp_path: Path) -> None:
    own = (*LAST, "train.schedule=step", "train.milestones=['2ep','60%']", "train.warmup=1ep")
    long = of_model(tmp_path, own=own, scale=Fraction(3))
    train = long.net.recipe.train
    assert (train.epochs, train.milestones, train.warmup) == (12, ("2ep", "60%"), "1ep")
    assert long.folder != of_model(tmp_path, own=own).folder
    assert long.folder == of_model(tmp_path, own=(*own, "train.epochs=12")).folder


def test_lengths_that_nobody_typed_are_stretched_with_a_search(tmp_path: Path) -> None:
    nets = named(Asked(model="resnet20s", data="digits", seed=0, workspace=tmp_path, sets={}))
    said = nets[0].recipe.train
    spec = said.model_copy(update={"milestones": ("2ep", "60%"), "warmup": "1ep"})
    net = replace(nets[0], recipe=nets[0].recipe.model_copy(update={"train": spec}))
    (long,) = searches([net], asked(), scale=Fraction(3))
    train = long.net.recipe.train
    assert (train.epochs, train.milestones, train.warmup) == (3 * said.epochs, ("6ep", "60%"), "3ep")


def test_a_training_of_more_epochs_than_can_be_looked_up_is_refused_at_once(tmp_path: Path) -> None:
    of_model(tmp_path, epochs=100_000)
    for epochs in (100_001, 10**20):
        with pytest.raises(UsageError, match=r"an onset is searched for among 100,000 epochs at most"):
            of_model(tmp_path, epochs=epochs)


def test_without_sgd_noise_there_is_no_onset(place: Path, tmp_path: Path) -> None:
    around = tiny.around(place / "cache")
    search = of_model(tmp_path, own=(*LAST, "train.batch=1238"))
    for ask in (onset, onset_due):
        with pytest.raises(
            UsageError, match=r"without SGD noise, all 1,238 images in every step and none augm"
        ):
            ask(search, around)
    for word in ("train.batch=1237", "data.augment=crop-flip"):
        of_model(tmp_path, own=(*LAST, "train.batch=1238", word)).origin(0, around)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_twin_goes_on_as_a_plain_loop_does_from_there_with_a_fresh_optimizer(
    place: Path, epoch: int
) -> None:
    origin = search_of(place).origin(0, tiny.around(place / "cache"))
    origin.evaluated(epoch)
    for twin in range(2):
        start, end = begun(origin, epoch), ended(origin, epoch, twin)
        wanted = plain_loop(origin.subject.setting, start, epoch, Seeds(0, {"order": noise(Seeds(0), twin)}))
        for name, value in wanted.items():
            torch.testing.assert_close(end.weights[name], value, atol=2e-5, rtol=2e-5)
        assert any(not torch.equal(start.weights[name], value) for name, value in wanted.items())


def plain_loop(setting: Setting, start: State, epoch: int, seeds: Seeds) -> dict[str, torch.Tensor]:
    """SGD with momentum from zero and the rates of epochs `epoch` and later, written out."""
    images, train = setting.bench.feed.images, setting.recipe.train
    inputs, labels = images.batch(0, len(images))
    weights = {name: value.clone().requires_grad_() for name, value in start.weights.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=1.0, momentum=train.momentum)
    rates = learning_rates(train, 5)
    for now in range(epoch, train.epochs):
        order = torch.from_numpy(seeds.order("order", now, count=len(images)))
        for step, rows in enumerate(order.split(train.batch)):
            optimizer.param_groups[0]["lr"] = rates[now * 5 + step]
            optimizer.zero_grad()
            logits: torch.Tensor = torch.func.functional_call(setting.bench.model, weights, (inputs[rows],))
            F.cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
    return {name: value.detach() for name, value in weights.items()}


def test_initialisations_differ_in_every_stream_and_no_two_noises_are_alike() -> None:
    streams = ("init", "order", "augment", "split")
    one, other = (initialised(Seeds(3), number) for number in (0, 1))
    assert one == Seeds(3)
    assert all(one.key(stream) != other.key(stream) for stream in streams)
    pinned = initialised(Seeds(3, {"init": 8, "split": 9}), 2)
    assert pinned == Seeds(5, {"init": 10, "split": 9}), (
        "the nets must differ; what is held out may be pinned"
    )
    every = [initialised(Seeds(3), number) for number in range(100)]
    roots = [noise(seeds, twin) for seeds in every for twin in range(100)] + [seeds.root for seeds in every]
    assert len(set(roots)) == len(roots)


def test_twins_differ_in_order_and_augmentation_and_in_nothing_else() -> None:
    parent = Seeds(3, {"init": 8})
    one, other = (as_twin(parent, twin) for twin in (0, 1))
    differ = {stream for stream in STREAMS if one.key(stream) != other.key(stream)}
    assert differ == {stream for stream in STREAMS if one.key(stream) != parent.key(stream)}
    assert differ == {"order", "augment"}


# ------------------------------------------------------------------------------------------------ what is measured


@pytest.mark.usefixtures("kept")
def test_the_barriers_are_those_of_equation_3_between_all_pairs_of_twins(place: Path) -> None:
    """Paper 003: max over alpha of E(alpha W1 + (1 - alpha) W2) - (E(W1) + E(W2)) / 2, by a plain state-dict loop."""
    origin = search_of(place, "onset.twins=3").origin(0, tiny.around(place / "cache"))
    one = origin.evaluated(1)
    ends = [ended(origin, 1, twin).weights for twin in range(3)]
    images = origin.subject.images["val"]
    inputs, labels = images.batch(0, len(images))

    def error(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], alpha: float) -> float:
        mixed = {name: alpha * value + (1 - alpha) * second[name] for name, value in first.items()}
        with torch.no_grad():
            said = torch.func.functional_call(origin.subject.setting.bench.model, mixed, (inputs,))
        return 100 * float((said.argmax(1) != labels).double().mean())

    wanted = []
    for first, second in combinations(ends, 2):
        curve = [error(first, second, alpha) for alpha in np.linspace(0, 1, 5)]
        wanted.append(max(curve) - (curve[0] + curve[-1]) / 2)
    assert one.barriers == pytest.approx(wanted, abs=1e-9)
    assert one.barrier == pytest.approx(np.mean(wanted))
    assert one.stable(float(np.mean(wanted)) + 0.01)
    assert not one.stable(float(np.mean(wanted)) - 0.01)


def test_twins_under_the_same_noise_are_one_net_and_stable_from_the_beginning(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.stages.stability.noise", lambda seeds, twin: 7)
    report = found(search_of(place, "onset.threshold=1e-9"))
    assert not array(report, "barrier").any()
    assert rows(report)["onset"] == 0


# ----------------------------------------------------------------------------------------------- what is searched


@pytest.mark.long
def test_bisection_ends_where_the_full_scan_says_and_repeats_nothing_of_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = counted(monkeypatch)
    whole = found(search_of(place, "onset.scan=true"))
    assert array(whole, "epochs").tolist() == array(whole, "order").tolist() == [[0, 1, 2, 3]]
    assert len(finished) == 1 + 2 * EPOCHS
    barriers = array(whole, "barrier")[0]
    assert len(set(barriers.tolist())) > 1, "or there is nothing to search"
    for threshold in (*((barriers[:-1] + barriers[1:]) / 2), barriers.min() / 2, barriers.max() + 1):
        if threshold <= 0:
            continue
        report = found(search_of(place, f"onset.threshold={threshold}"))
        truth = bisect(lambda epoch: barriers[epoch] < threshold, EPOCHS)  # noqa: B023  # called at once
        assert rows(report)["onset"] == truth.first
        order = array(report, "order")[0]
        assert [int(np.flatnonzero(order == n)[0]) for n in range(len(truth.trace))] == [
            k for k, _ in truth.trace
        ]
    assert len(finished) == 1 + 2 * EPOCHS, "a threshold costs no training"


def counted(patch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the trainings that come to their ends from now on."""
    finished: list[str] = []
    plain = Loop._finish

    def finish(self: Loop) -> None:
        plain(self)
        finished.append(self.order.key)

    patch.setattr(Loop, "_finish", finish)
    return finished


def planted(patch: pytest.MonkeyPatch, truth: list[Callable[[int], bool]]) -> list[tuple[int, int]]:
    """Evaluations that cost nothing, by initialisation; the list of those that were made."""
    there: dict[tuple[int, int], Stability] = {}

    def evaluated(self: Origin, epoch: int) -> Stability:
        value = 0.5 if truth[self.number](epoch) else 3.0
        there[self.number, epoch] = Stability(epoch, np.array([value, value, value + 0.3]), 0.1)
        made.append((self.number, epoch))
        return there[self.number, epoch]

    made: list[tuple[int, int]] = []
    patch.setattr(Origin, "evaluated", evaluated)
    patch.setattr(Origin, "known", lambda self, epoch: there.get((self.number, epoch)))
    return made


def test_the_report_has_the_onset_of_each_initialisation_and_their_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = planted(monkeypatch, [lambda k: k >= 85, lambda k: k >= 84, lambda k: k >= 86])
    report = found(of_model(tmp_path, "onset.inits=3", "onset.twins=3", own=(*LAST, "train.epochs=200")))
    values = rows(report)
    assert [values[f"onset.init-{n}"] for n in range(3)] == [85, 84, 86]
    row = next(row for row in report.metrics if row.name == "onset")
    assert (row.value, row.n, row.metric, row.better) == (85, 3, "onset", "lower")
    assert row.error == pytest.approx(1 / np.sqrt(3))
    assert values["onset.std"] == 1
    assert values["onset.evaluations"] == len(asked) <= 24
    assert (values["onset.monotone"], values["onset.diverged"], values["onset.settled"]) == (1, 0, 85)
    assert row.protocol["evaluations at most"] == 8
    assert row.protocol["roots"] == [0, 1, 2]
    epochs, stable = array(report, "epochs"), array(report, "stable")
    for number, first in enumerate([85, 84, 86]):
        mine = epochs[number] >= 0
        assert (stable[number][mine] == (epochs[number][mine] >= first)).all()
        assert array(report, "barrier")[number][mine] == pytest.approx(
            np.where(stable[number][mine], 0.6, 3.1)
        )
    assert array(report, "barrier.pairs").shape == (*epochs.shape, 3)
    again = decode_report((tmp_path / report_file(tmp_path)).read_bytes(), where="again")
    assert again.id == report.id


def report_file(workspace: Path) -> Path:
    (path,) = workspace.rglob("reports/interpolate-*.zarr.zip")
    return path


def test_evidence_against_monotony_is_said_whichever_search_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, [lambda k: k in (3, 8, 9) or k > 11])
    heard, own = tiny.Heard(), (*LAST, "train.epochs=16")
    blind = found(of_model(tmp_path, "onset.twins=3", own=own), heard=heard)
    assert rows(blind)["onset"] == rows(blind)["onset.settled"] == 8
    assert rows(blind)["onset.monotone"] == 1
    assert not any("comes and goes" in note for note in heard.notes)
    whole = found(of_model(tmp_path, "onset.twins=3", "onset.scan=true", own=own), heard=heard)
    assert rows(whole)["onset"] == 3
    assert rows(whole)["onset.settled"] == 12
    assert rows(whole)["onset.monotone"] == 0
    row = whole.metrics[0]
    assert row.protocol["contradictions"] == [[[3, 11], [8, 11], [9, 11]]]
    said = [note for note in heard.notes if "comes and goes" in note]
    assert said[0] == "initialisation 0: stable from epoch 3 and not from 11: stability comes and goes"
    knowing = found(of_model(tmp_path, "onset.twins=3", own=own))
    assert rows(knowing)["onset"] == 8
    assert rows(knowing)["onset.monotone"] == 0, "what the scan found lies there"
    assert (array(knowing, "order") >= 0).sum() == rows(knowing)["onset.evaluations"] == 4


# --------------------------------------------------------------------------------------- stopped, lost, gone on with


@pytest.mark.long
def test_stopped_at_any_moment_it_ends_in_the_same_bytes_and_repeats_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Specification, T26. A stop is asked for after every so manieth question whether to stop."""
    other = Path(shutil.copytree(place, place.parent / "seed-1"))
    truth = found(search_of(place))
    finished, sessions = counted(monkeypatch), 0
    for session in count():
        questions = iter(range(10_000))
        most = 25 + 13 * session
        try:
            report = found(search_of(other), lambda: 75 if next(questions) > most else None)  # noqa: B023  # called in this turn
            break
        except StoppedError:
            sessions += 1
    assert sessions > 3
    assert len(finished) == len(set(finished)) == 1 + 2 * len(array(truth, "epochs")[0])
    assert report.id == truth.id
    assert tiny.files_below(other) == tiny.files_below(place)


def test_what_is_done_is_not_done_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(search_of(place))
    work = place / "ticket" / WORK
    assert not [path for path in work.iterdir() if path.is_dir()], "trainings are gone"
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    assert found(search_of(place)).id == first.id
    with pytest.raises(pytest.fail.Exception, match="trained"):
        found(search_of(place, "onset.twins=3"))


def test_half_of_the_trainings_are_none(place: Path) -> None:
    """Killed while they are taken away, a scan that comes next trains the dense net anew."""
    search = search_of(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        first = array(found(search), "barrier")
    (gone,) = [path for path in (search.folder / WORK).iterdir() if path.is_dir()]
    assert gone.name == "init-0-gone"
    assert list(gone.rglob("record*"))
    for path in gone.rglob("state-*"):
        path.unlink()
    whole = found(search_of(place, "onset.scan=true"))
    assert not gone.exists()
    assert set(first[0]) <= set(array(whole, "barrier")[0])


def test_twins_that_diverge_are_not_stable_and_counted(tmp_path: Path) -> None:
    own = (*LAST, "train.epochs=1", "train.lr=1e30", "train.momentum=0")
    report = found(of_model(tmp_path, "onset.inits=2", own=own))
    values = rows(report)
    assert (values["onset"], values["onset.diverged"], values["onset.evaluations"]) == (1, 2, 2)
    assert array(report, "diverged").tolist() == [[1], [1]]
    assert not array(report, "stable").any()
    assert np.isnan(array(report, "barrier")).all()


def test_twins_that_learn_nothing_are_not_stable_however_low_their_barrier(tmp_path: Path) -> None:
    """At chance there is nothing between two nets: a barrier of 0 says nothing of SGD noise."""
    heard = tiny.Heard()
    report = found(of_model(tmp_path, own=(*LAST, "train.epochs=1", "train.lr=1e-9")), heard=heard)
    values = rows(report)
    assert (values["onset"], values["onset.nonconverged"], values["onset.diverged"]) == (1, 1, 0)
    assert array(report, "nonconverged").tolist() == [[1]]
    assert array(report, "barrier").tolist() == [[0]]
    assert "initialisation 0: twins failed to train from epoch 0: not stable" in heard.notes


def test_one_twin_that_learns_nothing_is_enough_though_the_others_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = of_model(tmp_path, own=(*LAST, "train.epochs=1"))
    assert rows(found(search))["onset.nonconverged"] == 0
    shutil.rmtree(search.folder)
    plain = Lab.fit_in

    def fit_in(self: Lab, *words: Any, title: str, wish: Wish, **more: Any) -> Fit:
        still = self.bench.train.model_copy(update={"lr": 1e-9})
        wish = replace(wish, train=still) if "twin 1" in title else wish
        return plain(self, *words, title=title, wish=wish, **more)

    monkeypatch.setattr(Lab, "fit_in", fit_in)
    assert rows(found(search))["onset.nonconverged"] == 1


def test_a_dense_net_that_diverges_has_no_onset(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="it has no onset"):
        found(of_model(tmp_path, own=(*LAST, "train.lr=1e30")))


# -------------------------------------------------------------------------------------------------- what it is asked


@pytest.mark.long
def test_a_ticket_and_its_dense_run_have_one_onset_and_a_model_its_own_folder(place: Path) -> None:
    by_ticket, by_run = (found(search_of(one)) for one in (place, place / "levels/0"))
    assert np.array_equal(array(by_ticket, "barrier"), array(by_run, "barrier"), equal_nan=True)
    assert (by_ticket.subject.run_id, by_ticket.subject.ticket) == ("untrained", "dense")
    assert by_ticket.subject.weights == weights_digest(open_run(place / "levels/0").state("epoch-0"))
    assert (place / "ticket" / by_ticket.file_name).exists()
    assert (place / "levels/0" / by_run.file_name).exists()
    one, other = (of_model(place.parents[2], own=own) for own in (LAST, LAST[:-1]))
    assert one.folder.parent.parent == place.parents[2] / "lenet-300-100-digits"
    assert one.folder.parent.name.startswith("onset-")
    assert one.folder != other.folder
    assert of_model(place.parents[2], seed=4).folder == one.folder.with_name("seed-4")
    assert one.net.recipe.train.lr == 0.3


@pytest.mark.long
def test_a_dry_run_prices_what_is_not_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.onset_due.speed_of", lambda setting: speed_of(setting, 0.01))
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)
    around, search = tiny.around(place / "cache"), search_of(place, "onset.scan=true", "onset.inits=2")
    before = onset_due(search, around)
    assert before.evaluations == 2 * EPOCHS
    assert before.price.trainings == 2 * (1 + 2 * EPOCHS)
    assert before.price.epochs == 2 * (3 + 2 * (4 + 3 + 2 + 1))
    assert before.price.steps == 5 * before.price.epochs
    assert before.price.seconds is not None
    assert before.bytes is not None
    assert before.bytes > 10 * 4 * 44_860
    assert onset_due(search_of(place), around).price.trainings == 1 + 2 * 3
    origin = search.origin(1, around)
    origin.evaluated(3)
    after = onset_due(search, around)
    assert after.evaluations == before.evaluations - 1
    assert after.price.epochs == before.price.epochs - 2
    assert not (search.folder / "reports").exists()
    found(search_of(place))
    assert onset_due(search_of(place), around).price.trainings == 0


@pytest.mark.parametrize(
    ("name", "sets", "says"),
    [
        ("levels/1", (), "is level 1; the onset is of the dense net"),
        ("@0", (), ""),
        (".", ("curves.line.threshold=1",), "onset.threshold says what is stable"),
        (".", ("curves.line.alphas=1",), "curves.line.alphas = 1 must be 2 or more"),
        (".", ("onset.twins=1",), "onset.twins: must be 2 or more"),
        (".", ("onset.threshold=0",), "onset.threshold"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(
    drawn: Path, name: str, sets: tuple[str, ...], says: str
) -> None:
    where = Path(f"{drawn}{name}") if name.startswith("@") else drawn / name
    if not says:
        assert search_of(where, *sets).net.level == 0
        return
    with pytest.raises(UsageError, match=r"\w") as refused:
        search_of(where, *sets)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_roots_beyond_what_a_report_can_say_and_other_data_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="roots of twins go up to"):
        of_model(tmp_path, seed=(1 << 53) - 9)
    with pytest.raises(MismatchError, match="was made on sha256:other"):
        found(replace(search_of(place / "levels/0"), made_on="sha256:other"))


def test_the_recipe_is_the_papers() -> None:
    recipe = parse_explore("interpolate", read_recipe("interpolate/onset"), where="onset")
    assert isinstance(recipe, InterpolateRecipe)
    assert recipe.onset is not None
    assert (recipe.onset.inits, recipe.onset.twins, recipe.onset.threshold) == (3, 3, 2)
    assert recipe.curves["line"]["policies"] == ["recalibrate"]


@pytest.mark.gpu
def test_on_a_gpu_an_evaluation_is_the_cpus_within_a_point(place: Path) -> None:
    """Trainings part in the last bits: LeNet in float32 over 20 steps ends within 1 point of error, 200 images."""
    cpu = search_of(place).origin(0, tiny.around(place / "cache")).evaluated(2)
    around = replace(tiny.around(place / "cache"), device=torch.device("cuda"))
    other = search_of(place / "levels/0").origin(0, around).evaluated(2)
    assert other.barrier == pytest.approx(cpu.barrier, abs=1)
