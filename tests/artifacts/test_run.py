from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.artifacts import make_corpus, samples
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
    report = ReportFile("audit-1", "audit", "sha256:" + "0" * 64, b"PK")
    run = samples.run(tmp_path, reports=[report])
    assert run.manifest.reports[0].file == "reports/audit-1.zarr.zip"
    assert failed(tmp_path) == []


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
