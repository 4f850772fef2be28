"""What `ticketctl spend` says of its cost before it begins, and that saying it fetches nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.cli.conftest import Program, ask
from ticketctl.stages.pace import PARAMETER, START, TRAINING, Speed


@pytest.mark.long
def test_a_dry_run_says_what_is_to_train_and_how_long_that_takes_and_the_spend_says_the_first_too(
    cli: Program,
) -> None:
    words = ("spend", "--level", "1,2", "--seed", "0-1", "--tweaks", "ls")
    planned, told = cli(*words, "--dry-run"), cli(*words, "--dry-run", "--json").json["result"]
    assert "\nto train    7 trainings, 7 epochs and 147 steps in all\ntime        about " in planned.out
    assert planned.out.rstrip().endswith("; what tweaks cost more is not counted")
    assert list(told["cost"]) == ["trainings", "epochs", "steps", "seconds", "seconds_as_busy"]
    assert [told["cost"][key] for key in ("trainings", "epochs", "steps")] == [7, 7.0, 147]
    assert 0 < told["cost"]["seconds"] <= told["cost"]["seconds_as_busy"]
    assert told["unknown"] == []
    real = cli(*words)
    assert "\nspend: 10 runs, 3 of them there; 7 trainings, 7 epochs and 147 steps in all\n" in real.err
    assert real.err.count("epoch 1/1 ") == 7


def test_nothing_is_to_train_where_all_runs_are_there(read: Program) -> None:
    assert "to train    none: all 2 runs are there" in read("spend", "--dry-run").out
    cost = read("spend", "--dry-run", "--json").json["result"]["cost"]
    assert set(cost.values()) == {0}
    assert "spend: 2 runs, all there" in read("spend").err


def test_what_lies_before_the_rewind_point_is_not_counted(cli: Program) -> None:
    late = ("--rounds", "1", "--epochs", "4", "--rewind", "1ep", "--out", "late", "-q")
    assert cli("draw", *late).code == 0
    for sets, epochs in (
        ((), 7),
        (("--set", "spend.schedule=restart"), 8),
        (("--set", "spend.start=init"), 8),
    ):
        result = cli("spend", "late/ticket", "--seed", "3", *sets, "--dry-run", "--json").json["result"]
        assert (result["cost"]["epochs"], result["cost"]["steps"]) == (epochs, 21 * epochs)


@pytest.fixture
def resnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ticket of a net that takes images of any size, if they are grey and of ten classes; and an empty cache."""
    monkeypatch.setenv("TICKETCTL_CACHE", str(tmp_path / "cache"))
    own = ("--set", "model.widths=[2,2,2,2]", "--epochs", "1")
    answer = ask(
        tmp_path, "draw", "--model", "resnet20s", "--method", "random", "--density", "0.5", *own, "-q"
    )
    assert answer.code == 0, answer.err
    return tmp_path


def test_a_dry_run_fetches_nothing_and_says_why_the_time_is_not_known(
    resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.data._network.request", lambda *words: pytest.fail("fetched"))
    (resnet / "other.toml").write_text(
        '[data]\nname = "kmnist"\nvalidation = "last:500"\n[model]\ninit = "torch"\n'
    )
    words = ("spend", "--recipe", "other.toml", "--dry-run")
    planned, told = ask(resnet, *words), ask(resnet, *words, "--json").json["result"]
    assert "\nto train    2 trainings, 2 epochs in all\n" in planned.out
    assert planned.out.endswith(
        "\ntime        not known: kmnist is not here, and a dry run fetches nothing\n"
    )
    assert told["unknown"] == ["kmnist is not here, and a dry run fetches nothing"]
    assert [told["cost"][key] for key in ("steps", "seconds", "seconds_as_busy")] == [None] * 3
    assert planned.err.splitlines()[3:7] == [
        "data kmnist: from the recipe other.toml, the ticket was drawn on digits",
        "data.validation last:500: from the recipe other.toml, the ticket was drawn with random:10%",
        "model.init torch: from the recipe other.toml, the ticket was drawn with kaiming-normal",
        "data.mean and data.std: those of digits, as the ticket was drawn; --set data.mean=[] --set data.std=[] takes "
        "those of kmnist",
    ]
    typed = ask(resnet, *words, "--data", "digits", "--set", "data.validation=random:10%")
    assert "data" not in "".join(typed.err.splitlines()[:3] + typed.err.splitlines()[4:-2])


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--set data.noise.kind=file --set data.noise.path=/nonesuch.npy", "/nonesuch.npy: cannot be read"),
        ("--data kmnist --data-dir torn", "torn/train-images-idx3-ubyte.gz: not a sound gzip file"),
        ("--data kmnist --data-dir other", "other/train-images-idx3-ubyte.gz: not the published file"),
        ("--data imagefolder:torn", "torn: no images in train"),
    ],
)
def test_what_no_network_would_bring_is_refused_by_a_dry_run_as_by_the_spend(
    words: str, says: str, resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.data._network.request", lambda *words: pytest.fail("fetched"))
    for name, content in (("torn", b"torn"), ("other", gzip.compress(b"other"))):
        (resnet / name).mkdir()
        (resnet / name / "train-images-idx3-ubyte.gz").write_bytes(content)
    planned, real = (ask(resnet, "spend", *words.split(), *more) for more in (["--dry-run"], []))
    assert (planned.code, planned.out) == (5, "")
    assert says in planned.complaint
    assert (real.code, real.complaint) == (5, planned.complaint)


def test_a_spend_costs_the_images_that_there_are_however_large_the_batch(
    cli: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.stages.price.speed_of", lambda setting: Speed(1.0, 1.0, 0.25))
    monkeypatch.setattr("time.process_time", lambda: 0.0)
    words = ("spend", "--level", "1", "--set", "train.batch=4096", "--seed", "7", "--dry-run", "--json")
    cost = cli(*words).json["result"]["cost"]
    assert (cost["trainings"], cost["steps"]) == (2, 2)
    beside = START + 2 * (TRAINING + PARAMETER * 50_610)
    assert cost["seconds"] == pytest.approx(beside + 2 * (1295 + 2 * (143 + 359) / 4))


def test_other_data_than_the_nets_are_refused_before_they_are_fetched(
    resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.data._network.request", lambda *words: pytest.fail("fetched"))
    for name in ("cifar10", "cifar100", "eurosat"):
        wants = f"conv1.weight is (2, 1, 3, 3) there (drawn on digits), (2, 3, 3, 3) in resnet20s on {name}"
        for words in ((), ("--dry-run",)):
            assert wants in ask(resnet, "spend", "--data", name, *words).complaint


def test_other_data_are_not_taken_for_the_draws_own(resnet: Path) -> None:
    runs = ask(resnet, "spend", "--data", "kmnist", "--dry-run", "--json").json["result"]["runs"]
    assert not any(run["ready"] for run in runs)


def test_deterministic_kernels_are_what_is_spent_with_where_they_are_asked_for(read: Program) -> None:
    answer = read("spend", "--deterministic", "--dry-run", "--json")
    assert answer.json["result"]["recipe"]["train"]["deterministic"] is True
    assert answer.repeat.endswith("--set train.deterministic=true")
