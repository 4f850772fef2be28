"""What `ticketctl interpolate` is asked and cannot do gets one line, its exit code, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.conftest import ask
from tests.cli.ladder import FEW, PLANE, files, levels, seed_0
from tests.stages.other_runs import arrays_of, as_run
from ticketctl.artifacts.run import open_run
from ticketctl.errors import OfflineError


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nix"], "no ticket or run 'nix'"),
        (["--seed", "0-2"], "--seed: one is taken here"),
        (["@run"], "line lies between nets, and @run is one: name another, a ticket with --level all, or train twins"),
        (["@ticket"], "levels/2 is one: name another, a ticket with --level all"),
        (["@run", "--level", "1"], "is a run, and a run has one level; --level is for tickets"),
        (["--level", "7"], "--level '7': there is 0"),
        (["@ticket@1", "--level", "0"], "says a level, and so does --level"),
        (["--level", "all", "--metrics", "lin"], "no curve named 'lin'; did you mean 'line'?"),
        (["--metrics", "accuracy"], "accuracy is measured by another command: ticketctl audit --metrics accuracy"),
        (["--metrics", "forgetting"], "forgetting is measured by another command: ticketctl probe"),
        (["--metrics", ","], "--metrics names none"),
        (["--metrics", "plane,line"], "plane is measured about one net, line between two"),
        (["--metrics", "bezier", "@run", "@run", "@run"], "bezier lies between 2 nets, and here are 3"),
        (["--metrics", "plane", "--twins", "2"], "--twins: plane is measured about one net, and needs no twins"),
        (["--metrics", "bezier", "--twins", "3"], "bezier lies between 2 nets, and here are 3"),
        (["--twins", "3", "--set", "interpolate.epoch=1"], "--twins: twins are measured at their end"),
        (["@run", *PLANE, "--set", "interpolate.epoch=1"], "epoch 1 were not kept; epochs that were (keep.epochs): no"),
        (["--twins", "1"], "--twins: must be 2 or more"),
        (["--twins", "101"], "--twins"),
        (["@run", "--twins", "2"], "--twins: @run is no ticket"),
        (["--twins", "2", "--set", "curves.line.alphas=1"], "curves.line.alphas = 1 must be 2 or more"),
        (["--level", "all", "--set", "curves.line.alpha=3"], "curves.line has no key alpha; did you mean 'alphas'?"),
        (["--set", "curves.lin.alphas=3"], "no curve named 'lin'; did you mean 'line'?"),
        (["--set", "curves.line=3"], "curves.line: write curves.NAME.KEY, not 3"),
        (["--set", "curves.plane.points=3"], "curves.plane.points: plane is not measured"),
        (["--set", "interpolate.allign=none"], "no key interpolate.allign; did you mean 'align'?"),
        (["--set", "interpolate.align=weigts"], "interpolate.align: must be 'none', 'weights' or 'activations'"),
        (["--set", "interpolate.align_images=1"], "interpolate.align_images: must be 2 or more"),
        (["--epochs", "3"], "--epochs: stretches the trainings of an onset alone; other nets are taken as they are"),
        (["--twins", "2", "--scale", "2"], "--scale: stretches the trainings of an onset alone"),
        (["--set", "train.lr=1"], "a net is taken as it is"),
        (["--set", "data.batch=1"], "--set data.batch: a net is taken as it is"),
        (["--set", "curves=3"], "--set curves: write curves.KEY=VALUE"),
        ([*PLANE, "--set", "interpolate.align=weights"], "permutes further nets to match the first"),
        (["--recipe", "base/lenet-300-100-digits"], "trains, and interpolate has no [train]"),
        (["--recipe", "interpolate/barier"], "did you mean 'interpolate/barrier'?"),
        (["--recipe", "probe/linear"], "it has [probe], and is for ticketctl probe"),
        (["--data", "mnist", "--level", "all"], "trained on digits, not on mnist"),
        (["--model", "resnet99", "--data", "digits", *PLANE], "no model named 'resnet99'; did you mean 'resnet"),
        (["--model", "lenet-300-100", "@run", *PLANE], "leave out NET and --level"),
        (["--seed", "-1"], "--seed"),
        (["--device", "tpu"], "no device named 'tpu'"),
    ],
)  # fmt: skip
def test_what_cannot_be_gets_one_line(drawn: Path, words: list[str], says: str) -> None:
    before = files(drawn)
    places = {
        "@run": levels(drawn)[1],
        "@ticket@1": f"{seed_0(drawn)}/ticket@1",
        "@ticket": f"{seed_0(drawn)}/ticket",
    }
    answer = ask(drawn, "interpolate", "-q", *(places.get(word, word) for word in words))
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert says.replace("@run", levels(drawn)[1]) in answer.err
    assert files(drawn) == before


def test_without_scipy_nets_are_not_aligned_and_nothing_is_begun(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticketctl.stages.explored.find_spec", lambda name: None)
    before = files(drawn)
    answer = ask(drawn, "interpolate", "-q", "--twins", "3", "--set", "interpolate.align=weights")
    assert (answer.code, answer.out) == (6, "")
    assert answer.complaint == "ticketctl: interpolate.align needs scipy: pip install 'ticketctl[align]'"
    assert files(drawn) == before


def test_runs_of_other_data_do_not_lie_on_one_path(drawn: Path, tmp_path: Path) -> None:
    def made(labels: int) -> None:
        arrays = {
            f"{part}_{kind}": values
            for part, count in (("train", 60), ("test", 40))
            for kind, values in (
                ("images", np.zeros((count, 1, 8, 8), np.uint8)), ("labels", np.arange(count) % labels),
            )
        }  # fmt: skip
        save_file(arrays, tmp_path / "other.safetensors")

    made(10)
    words = ("--data", "tensors:other.safetensors", "--rounds", "1", "--epochs", "1")
    assert ask(tmp_path, "draw", "-q", *words).code == 0
    (other,) = tmp_path.glob("runs/*/imp-*/seed-0/levels/0")
    words = (str(drawn / levels(drawn)[0]), str(other), *FEW)
    answer = ask(tmp_path, "interpolate", "-q", *words, *FEW, "--data", "tensors:other.safetensors")
    assert (answer.code, answer.out) == (2, "")
    assert "trained on digits, not on tensors:other.safetensors" in answer.complaint
    made(9)
    words = ("--level", "all", "--data", "tensors:other.safetensors")
    answer = ask(tmp_path, "interpolate", "-q", *words)
    assert (answer.code, answer.out) == (8, "")
    assert "its content is sha256:" in answer.complaint
    assert not [*tmp_path.rglob("interpolate-work"), *tmp_path.rglob("reports")]


@pytest.mark.parametrize("command", ["interpolate", "probe"])
def test_data_that_are_not_here_exit_5_and_a_dry_run_says_that_it_fetches_nothing(
    drawn: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OfflineError("digits are not here")

    monkeypatch.setattr("ticketctl.stages.subject.prepare", offline)
    answer = ask(drawn, command, "-q", "--level", "all")
    assert (answer.code, answer.out, answer.complaint) == (5, "", "ticketctl: digits are not here")
    answer = ask(drawn, command, "-q", "--level", "all", "--dry-run")
    assert answer.code == 0, answer.err
    assert "not known: a dry run fetches nothing: digits are not here" in answer.out
    plans = ask(drawn, command, "-q", "--level", "all", "--dry-run", "--json").json["result"]["nets"]
    assert {plan["unknown"] for plan in plans} == {"a dry run fetches nothing: digits are not here"}


def test_another_net_is_refused_by_what_differs(drawn: Path, tmp_path: Path) -> None:
    words = ("--rounds", "1", "--epochs", "1", "--set", "model.width=1/2")
    assert ask(tmp_path, "draw", "-q", *words).code == 0
    (other,) = tmp_path.glob("runs/*/imp-*/seed-0/levels/0")
    answer = ask(tmp_path, "interpolate", "-q", str(drawn / levels(drawn)[0]), str(other))
    assert (answer.code, answer.out) == (2, "")
    assert f"{other}: another net than " in answer.complaint
    assert "model.width is 1/2, not 1" in answer.complaint


def test_from_a_net_that_diverged_there_is_no_path_though_it_may_be_looked_at(
    drawn: Path, tmp_path: Path
) -> None:
    run = open_run(drawn / levels(drawn)[1])
    lost = as_run(tmp_path / "lost", run, *arrays_of(run), status="diverged").folder
    answer = ask(drawn, "interpolate", "-q", levels(drawn)[1], str(lost))
    assert (answer.code, answer.out) == (4, "")
    assert (
        answer.complaint
        == f"ticketctl: {lost}: its training diverged; there is no path from it to another net"
    )
    assert ask(drawn, "interpolate", "-q", str(lost), *PLANE).code == 0


@pytest.mark.parametrize(("name", "code"), [("run.json", "E_MANIFEST"), ("final.safetensors", "E_FILE")])
def test_a_damaged_run_is_refused_by_its_code(drawn: Path, tmp_path: Path, name: str, code: str) -> None:
    folder = shutil.copytree(drawn / levels(drawn)[1], tmp_path / "run")
    (file,) = folder.glob(name)
    file.write_bytes(file.read_bytes()[:-9])
    answer = ask(drawn, "interpolate", "-q", levels(drawn)[0], str(folder))
    assert (answer.code, answer.out) == (3, "")
    assert f"[{code}" in answer.complaint


def test_a_level_whose_trained_net_was_not_kept_names_the_way(drawn: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(drawn / seed_0(drawn), tmp_path / "runs/a/b/seed-0"))
    shutil.rmtree(place / "levels/1")
    answer = ask(tmp_path, "interpolate", "-q", "--level", "all")
    assert (answer.code, answer.out) == (2, "")
    assert f"ticketctl spend {place.relative_to(tmp_path)}/ticket@1 trains one" in answer.complaint
    assert (
        ask(tmp_path, "interpolate", "-q", "--level", "all", *FEW, "--set", "interpolate.of=untrained").code
        == 0
    )
