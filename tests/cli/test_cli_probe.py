"""`ticketctl probe` from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ask
from tests.cli.ladder import files, levels, second_reading, seed_0
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.metrics import forgetting, linear_probe

QUICK = ("--metrics", "activation-sparsity,weight-distribution")
HISTORY = ("--metrics", "convergence,forgetting,mask-intersection")


@pytest.fixture(autouse=True)
def _not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticketctl.stages.due.LAP", 0.01)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    words = ("--rounds", "1", "--epochs", "3", "--set", "keep.epochs=[0,1,2,3]", "--rewind", "1ep")
    assert ask(folder, "draw", "-q", *words).code == 0
    return folder


def nets(home: Path, *words: str) -> Any:
    answer = ask(home, "probe", *words, "--json", "-q")
    assert answer.code == 0, answer.err
    return answer.json["result"]["nets"]


@pytest.mark.long
def test_the_newest_ticket_is_probed_untrained_and_its_report_is_shown_verified_and_read(home: Path) -> None:
    table = ask(home, "probe")
    assert table.code == 0, table.err
    rows = {text.split()[0]: text.split() for text in table.out.splitlines()}
    (record,) = nets(home)
    assert record["net"] == f"{seed_0(home)}/ticket@1, untrained"
    assert table.out.splitlines()[-1] == f"report in {record['file']}"
    values = {row["name"]: row for row in record["metrics"]}
    assert rows["linear-probe"][1] == f"{values['linear-probe']['value']:.4f}"
    assert rows["linear-probe"][-1] == "higher"
    assert {row["metric"] for row in values.values()} == {
        "activation-sparsity", "linear-probe", "weight-distribution",
    }  # fmt: skip
    assert "[3/3] weight-distribution" in table.err
    again = ask(home, "probe")
    assert (again.out, again.err) == (table.out, f"probe of {record['net']}: measured before\n")
    assert (
        "convergence, forgetting, mask-intersection: absent: the net was not trained"
        in ask(home, "probe", *HISTORY).out
    )
    assert record["file"].startswith(f"{seed_0(home)}/ticket/reports/probe-")
    assert record["subject"]["run_id"] == "untrained"
    ticket = open_ticket(home / seed_0(home) / "ticket")
    assert record["subject"]["ticket"] == ticket.manifest.ticket_id
    assert ask(home, "verify", record["file"]).code == 0
    assert ask(home, "verify", f"{seed_0(home)}/ticket").code == 0
    assert record["report"] in ask(home, "inspect", record["file"]).out
    about, _ = second_reading(home / record["file"])
    assert (about["report_id"], about["format_version"]) == (record["report"], "1.1")


def test_a_trained_run_is_also_asked_for_what_it_kept_along_its_way(home: Path) -> None:
    run = levels(home)[1]
    (record,) = nets(home, run, *HISTORY)
    assert record["file"].startswith(f"{run}/reports/probe-")
    assert record["subject"]["run_id"] == open_run(home / run).manifest.run_id
    values = {row["name"]: row for row in record["metrics"]}
    assert values["mask-intersection"]["value"] == 1, "of the final mask with itself"
    assert {values[name]["status"] for name in ("convergence", "forgetting")} == {"done"}
    assert ask(home, "verify", run).code == 0
    lines = ask(home, "probe", levels(home)[0], *HISTORY).out.splitlines()
    assert any(text.startswith("mask-intersection: absent: the net is dense") for text in lines)


def test_a_dry_run_writes_nothing_and_says_how_long_each_metric_takes(home: Path) -> None:
    before, words = files(home), ("--seed", "3", "--level", "all", "--dry-run")
    lines = ask(home, "probe", *words).out.splitlines()
    assert [text for text in lines if text.endswith(":")] == [
        f"{seed_0(home)}/ticket@{level}, untrained:" for level in (0, 1)
    ]
    assert sum(text.startswith("linear-probe ") for text in lines) == 2
    plans = nets(home, *words)
    assert all(row["seconds"] > 0 and not row["there"] for plan in plans for row in plan["measures"])
    assert all(len(plan["measures"]) == 3 for plan in plans), "an untrained net has no history"
    assert files(home) == before
    assert ask(home, "probe", "-q", *QUICK, "--seed", "3").code == 0
    (plan,) = nets(home, "--seed", "3", "--dry-run", *QUICK)
    assert [row["there"] for row in plan["measures"]] == [True, True]


def test_all_levels_get_a_line_each_and_what_none_has_is_said_once(home: Path) -> None:
    lines = ask(home, "probe", "--level", "all", *QUICK).out.splitlines()
    assert lines[0] == f"below {seed_0(home)}/"
    assert lines[1].split() == ["net", "activation-sparsity", "weight-distribution"]
    assert [text.split(",")[0] for text in lines[2:4]] == ["ticket@0", "ticket@1"]
    assert sum(text.startswith("report in ") for text in lines) == 2
    answer = ask(home, "probe", "--level", "all", *HISTORY)
    assert answer.out.count("the net was not trained") == 1
    assert "net " not in answer.out.partition("convergence")[0], "no column has a value"
    assert "of 2 nets: absent: the net was not trained" in answer.out


def test_controls_are_the_permuted_mask_the_initialisation_and_the_trained_dense_net(home: Path) -> None:
    found = nets(home, "--controls", *QUICK)
    ticket = f"{seed_0(home)}/ticket"
    assert [one["net"] for one in found] == [
        f"{ticket}@1, untrained", f"{ticket}@1, permuted", f"{ticket}@0, random-dense", levels(home)[0],
    ]  # fmt: skip
    dense = open_run(home / levels(home)[0])
    assert found[-1]["subject"]["weights"] == dense.manifest.weights.digest
    (start,) = [state for state in dense.manifest.states if state.name == "epoch-0"]
    assert found[2]["subject"]["weights"] == start.digest
    share = [{row["name"]: row["value"] for row in one["metrics"]}["weight-distribution"] for one in found]
    assert share == pytest.approx([0.8, 0.8, 1, 1], abs=1e-3)


def test_the_initialisation_is_not_measured_twice_where_it_is_level_0_itself(home: Path, drawn: Path) -> None:
    def kinds(folder: Path) -> list[str]:
        words = ("--controls", "--level", "all", "--metrics", "weight-distribution", "--json", "-q")
        found = ask(folder, "probe", *words).json["result"]["nets"]
        return [one["net"].rpartition(", ")[2].rpartition("/")[2] for one in found]

    assert kinds(home) == ["untrained", "untrained", "permuted", "random-dense", "0"], "rewound to epoch 1"
    copy = Path(shutil.copytree(drawn, home / "rewound-to-0"))
    assert kinds(copy) == ["untrained", "untrained", "permuted", "untrained", "permuted", "0"]


def test_a_net_that_is_only_named_is_the_dense_one_that_a_draw_begins_with(home: Path) -> None:
    words = ("--model", "lenet-300-100", "--data", "digits", *QUICK)
    (plain,) = nets(home, *words)
    assert plain["net"] == "runs/lenet-300-100-digits/untrained/seed-0, untrained"
    (start,) = [one for one in open_run(home / levels(home)[0]).manifest.states if one.name == "epoch-0"]
    assert plain["subject"]["weights"] == start.digest
    (other,) = nets(home, *words, "--seed", "1")
    assert other["subject"]["weights"] != plain["subject"]["weights"]
    assert ask(home, "verify", plain["file"]).code == 0


@pytest.mark.long
def test_what_was_measured_is_taken_as_it_is_and_other_images_or_keys_are_measured(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, told = linear_probe.measure, list[int]()

    def counted(*rest: Any, **more: Any) -> Any:
        told.append(1)
        return plain(*rest, **more)

    monkeypatch.setattr(linear_probe, "measure", counted)

    def measures(*words: str) -> bool:
        told.clear()
        nets(home, "--metrics", "linear-probe", *words)
        return bool(told)

    own = ("--set", "probe.images=30")
    assert measures(*own)
    assert not measures(*own)
    assert not measures(*own, "--level", "1")
    assert measures("--set", "probe.images=31")
    assert measures(*own, "--set", "metrics.linear-probe.epochs=1")
    assert measures(*own, "--level", "0")
    assert measures(*own, levels(home)[1])
    assert not measures(*own)


def test_a_metric_that_breaks_is_named_with_the_way_around_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(forgetting, "measure", broken)
    answer = ask(home, "probe", "-q", levels(home)[1], *HISTORY, "--seed", "7")
    assert (answer.code, len(answer.err.strip().splitlines())) == (70, 1)
    assert "metric forgetting of " in answer.err
    assert "; all but it: --metrics convergence,mask-intersection" in answer.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nix"], "no ticket or run 'nix'"),
        (["n" * 300], f"no ticket or run '{'n' * 99}…'"),
        (["--seed", "0-2"], "--seed: one is taken here, a whole number from 0 to "),
        (["--seed", str(1 << 53)], "--seed: one is taken here"),
        (["@run", "--level", "1"], "is a run, and a run has one level; --level is for tickets"),
        (["--level", "7"], "--level '7': there is 0"),
        (["--metrics", "forgeting"], "no metric named 'forgeting'; did you mean 'forgetting'?"),
        (["--metrics", "accuracy"], "accuracy is measured by another command: ticketctl audit --metrics accuracy"),
        (["--metrics", "line"], "line is measured by another command: ticketctl interpolate --metrics line"),
        (["--metrics", ","], "--metrics names none"),
        (["--controls", "@run"], "--controls: @run is no ticket"),
        (["--set", "probe.epoch=1"], "untrained, and epoch 1 is of a training: name a run that kept it (keep.epochs)"),
        (["@run", "--set", "probe.epoch=99"], "after epoch 99 were not kept; epochs that were (keep.epochs): "),
        (["--set", "probe.image=3"], "no key probe.image; did you mean 'images'?"),
        (["--set", "probe.images=1"], "probe.images: must be 2 or more"),
        (["--set", "metrics.linear-probe.epoch=3"], "has no key epoch; did you mean 'epochs'?"),
        (["--set", "metrics.linear-probe.epochs=-1"], "metrics.linear-probe.epochs = -1 must be"),
        (["--set", "metrics.linear-prob.epochs=1"], "no metric named 'linear-prob'; did you mean 'linear-probe'?"),
        (["--metrics", "forgetting", "--set", "metrics.linear-probe.epochs=1"], "linear-probe is not measured"),
        (["--set", "train.lr=1"], "a net is taken as it is"),
        (["--recipe", "interpolate/barrier"], "it has [interpolate], and is for ticketctl interpolate"),
        (["--recipe", "probe/linea"], "did you mean 'probe/linear'?"),
        (["--data", "mnist"], "trained on digits, not on mnist"),
        (["--model", "resnet99", "--data", "digits"], "no model named 'resnet99'"),
        (["--model", "lenet-300-100", "--level", "1"], "leave out NET and --level"),
        (["--seed", "-1"], "--seed"),
        (["--device", "tpu"], "no device named 'tpu'"),
    ],
)  # fmt: skip
def test_what_cannot_be_gets_one_line(home: Path, words: list[str], says: str) -> None:
    before, run = files(home), levels(home)[1]
    answer = ask(home, "probe", "-q", *(run if word == "@run" else word for word in words))
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert says.replace("@run", run) in answer.err
    assert files(home) == before


def test_without_its_package_a_metric_that_is_named_exits_6_and_one_that_is_meant_is_absent(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(kind: str, names: Any) -> dict[str, str]:
        return {
            name: "needs sklearn: pip install 'ticketctl[plot]'" for name in names if name == "forgetting"
        }

    monkeypatch.setattr("ticketctl.stages.explored.missing", missing)
    answer = ask(home, "probe", "-q", *HISTORY, "--seed", "8")
    assert (answer.code, answer.out) == (6, "")
    assert answer.complaint == "ticketctl: forgetting needs sklearn: pip install 'ticketctl[plot]'"
    (plan,) = nets(home, levels(home)[1], "--dry-run", "--seed", "8")
    rows = {row["name"]: row for row in plan["measures"]}
    assert rows["forgetting"]["missing"].startswith("needs sklearn")
    assert rows["forgetting"]["seconds"] == 0


def test_a_damaged_ticket_and_data_of_another_content_are_refused_by_their_codes(
    home: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(home / seed_0(home) / "ticket", tmp_path / "ticket"))
    mask = place / "mask.safetensors"
    mask.write_bytes(mask.read_bytes()[:-9])
    answer = ask(tmp_path, "probe", "-q", str(place), *QUICK)
    assert (answer.code, answer.out) == (3, "")
    assert "[E_" in answer.complaint
    run = Path(shutil.copytree(home / levels(home)[1], tmp_path / "run"))
    (run / "run.json").write_text((run / "run.json").read_text()[:-9])
    assert "[E_MANIFEST" in ask(tmp_path, "probe", "-q", str(run), *QUICK).complaint
