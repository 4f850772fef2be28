from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.artifacts import hostile_folders, hostile_trajectories, make_corpus, reports, samples
from ticketctl.artifacts.report import Subject, encode_report, report_id
from ticketctl.artifacts.run import ReportFile, Run, StateFile, open_run
from ticketctl.artifacts.verify import verify_run
from ticketctl.artifacts.weights import encode_weights, weights_digest
from ticketctl.errors import ArtifactError, UsageError


def failed(folder: Path) -> list[str]:
    return [f"{check.name} {check.code}" for check in verify_run(folder) if not check.ok]


def final() -> dict:
    return samples.pruned(samples.weights(1), samples.ladder().mask(samples.ROUNDS))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = samples.run(tmp_path)
    keep, series = run.mask(), run.series()
    assert keep is not None
    assert series is not None
    assert all((keep[name] == (array >= 3)).all() for name, array in samples.death().items())
    assert weights_digest(run.weights()) == weights_digest(final()) == weights_digest(run.state("best-val"))
    np.testing.assert_array_equal(series.scalars, samples.series().scalars)
    assert run.manifest.metrics == {"test/acc": "0.5", "test/n": "200"}
    assert failed(tmp_path) == []


def test_a_dense_net_is_a_run(tmp_path: Path) -> None:
    run = samples.run(tmp_path, sparse=False, series=None)
    assert run.mask() is None
    assert run.series() is None
    assert run.manifest.features == ("weights.file",)
    assert (run.manifest.kept, run.manifest.prunable) == (107, 107)
    assert failed(tmp_path) == []


def test_finished_files_are_linked(tmp_path: Path) -> None:
    source = tmp_path / "fit.safetensors"
    source.write_bytes(encode_weights(final()))
    states = [StateFile("epoch-1", 12, 1, source)]
    run = samples.run(tmp_path / "run", weights=source, states=states)
    assert (run.folder / "final.safetensors").stat().st_ino == source.stat().st_ino
    assert (run.folder / "states/epoch-1.safetensors").stat().st_ino == source.stat().st_ino
    assert run.manifest.run_id == samples.run(tmp_path / "copy").manifest.run_id
    assert failed(run.folder) == []


def test_a_linked_file_is_judged_first(tmp_path: Path) -> None:
    (tmp_path / "fit.safetensors").write_bytes(b"not weights")
    with pytest.raises(ArtifactError):
        samples.run(tmp_path / "run", weights=tmp_path / "fit.safetensors")
    assert list((tmp_path / "run").iterdir()) == []


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one, two = samples.run(tmp_path / "one"), samples.run(tmp_path / "two")
    assert (one.folder / "run.json").read_bytes() == (two.folder / "run.json").read_bytes()


@pytest.mark.parametrize(
    "change", [{"seeds": {"root": 1}}, {"level": 2}, {"recipe": {}}, {"ticket": "tk1" + "b" * 29}]
)
def test_the_id_is_of_all_that_made_it(tmp_path: Path, change: dict) -> None:
    one, other = samples.run(tmp_path / "one"), samples.run(tmp_path / "two", **change)
    assert one.manifest.run_id != other.manifest.run_id


def test_the_id_is_not_of_what_was_measured(tmp_path: Path) -> None:
    one = samples.run(tmp_path / "one")
    other = samples.run(tmp_path / "two", metrics={}, series=None, states=[])
    assert one.manifest.run_id == other.manifest.run_id


def test_reports_are_listed(tmp_path: Path) -> None:
    plain = samples.run(tmp_path / "plain").manifest
    subject = Subject(
        run_id=plain.run_id,
        ticket=plain.ticket,
        level=plain.level,
        weights=plain.weights.digest,
        status="done",
    )
    audit = replace(reports.audit(), subject=subject)
    name = f"audit-{report_id(audit)}"
    listed = ReportFile(name, "audit", "sha256:" + "0" * 64, encode_report(audit))
    run = samples.run(tmp_path / "listed", reports=[listed])
    assert run.manifest.reports[0].file == f"reports/{name}.zarr.zip"
    assert failed(tmp_path / "listed") == []


def test_states_have_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is best-val"):
        samples.run(tmp_path).state("last")


def test_minus_zero_where_pruned_is_found(tmp_path: Path) -> None:
    keep = samples.ladder().mask(samples.ROUNDS)
    wrong = {
        name: type(tensor).of(np.where(keep[name], tensor.array(), np.float32(-0.0)))
        if name in keep
        else tensor
        for name, tensor in samples.weights(1).items()
    }
    samples.run(tmp_path, weights=wrong, states=[])
    assert failed(tmp_path) == ["weights E_WEIGHTS"]


def test_truth_tells_everything(tmp_path: Path) -> None:
    run = open_run(samples.run(tmp_path).folder)
    assert isinstance(run, Run)
    assert make_corpus.run_truth(run)["states"].keys() == {"best-val"}


def test_a_record_makes_it_version_1_2_and_nothing_else_does(tmp_path: Path) -> None:
    made = {
        "1.0": samples.run(tmp_path / "plain"),
        "1.1": hostile_trajectories.run(tmp_path / "moved"),
        "1.2": samples.tweaked(tmp_path / "tweaked"),
    }
    assert {version: run.manifest.format_version for version, run in made.items()} == {
        version: version for version in made
    }
    both = samples.run(tmp_path / "both", record=samples.written(), trajectory=_moves())
    assert both.manifest.format_version == "1.2"
    assert both.manifest.trajectory is not None
    assert failed(both.folder) == []
    assert samples.redense(tmp_path / "dense-again", made["1.0"]).manifest.format_version == "1.0"
    assert samples.run(tmp_path / "nothing", record={}).manifest.format_version == "1.0"


def _moves() -> hostile_trajectories.Walk:
    return hostile_trajectories.walk(last=samples.ladder().mask(samples.ROUNDS))


def test_what_was_written_down_is_read(tmp_path: Path) -> None:
    found = samples.tweaked(tmp_path).record()
    assert found is not None
    assert found.keys() == samples.written().keys()
    for name, tensor in samples.written().items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(found[name].array(), tensor.array())
    assert samples.run(tmp_path / "plain").record() is None


def test_the_record_has_no_part_in_the_id(tmp_path: Path) -> None:
    one, other = samples.tweaked(tmp_path / "one"), samples.tweaked(tmp_path / "two", record=None)
    assert one.manifest.run_id == other.manifest.run_id
    assert one.manifest.manifest_digest != other.manifest.manifest_digest


def test_tweaks_and_the_weights_they_add_have_a_part_in_the_id(tmp_path: Path) -> None:
    one = samples.tweaked(tmp_path / "one")
    fewer = samples.tweaked(tmp_path / "two", arch={**samples.ARCH, "tweaks": ["skip"]})
    without = {name: tensor for name, tensor in one.weights().items() if name not in samples.SKIP}
    plain = samples.tweaked(tmp_path / "three", weights=without, states=[])
    assert len({run.manifest.run_id for run in (one, fewer, plain)}) == 3
    assert one.manifest.arch.param_shapes != plain.manifest.arch.param_shapes
    assert {"E_ARCH_MISMATCH"} == {
        check.code for check in verify_run(_with_final(tmp_path / "four", one, plain)) if not check.ok
    }


def _with_final(folder: Path, one: Run, other: Run) -> Path:
    """`one`, its final weights those of `other`, listed and sealed."""
    hostile = samples.tweaked(folder)
    data = (other.folder / "final.safetensors").read_bytes()
    digest = other.manifest.weights.digest
    hostile_folders.replaced(
        hostile.folder, "final.safetensors", data, lambda f: f["weights"].update(digest=digest)
    )
    assert hostile.manifest.run_id == one.manifest.run_id
    return folder


def test_a_record_that_is_not_listed_is_no_part_of_the_run(tmp_path: Path) -> None:
    run = samples.run(tmp_path)
    (tmp_path / "record.safetensors").write_bytes(b"anything")
    assert open_run(tmp_path).record() is None
    assert run.manifest.format_version == "1.0"
    assert failed(tmp_path) == []


def test_a_ticket_may_keep_which_images_it_was_drawn_on(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path / "subset", record={"subset.index": samples.written()["subset.index"]})
    assert ticket.manifest.format_version == "1.1"
    record = ticket.record()
    assert record is not None
    assert record["subset.index"].array().tolist() == [0, 2, 3, 7, 8]
    assert samples.ticket(tmp_path / "nothing", record={}).manifest.format_version == "1.0"
