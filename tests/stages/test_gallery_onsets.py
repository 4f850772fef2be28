"""Onsets of nets that were never drawn are on the shelf, with runs beside them or alone."""

import numpy as np
import pytest

from ticketctl.artifacts.report import MetricRow, Report, ReportData, Subject, encode_report
from ticketctl.errors import UsageError
from ticketctl.stages.gallery import gallery


def written(folder):
    """An onset's report below a folder."""
    found = Report(
        kind="interpolate",
        subject=Subject(
            run_id="untrained", ticket="dense", level=0, weights="sha256:" + "0" * 64, status="done"
        ),
        data=ReportData(name="digits", fingerprint="f"),
        seeds={"root": 0},
        env={},
        recipe={"onset": {"inits": 1}, "keys": {"line": {}}},
        metrics=[MetricRow("onset", "onset", "none", 3.0, None, 1)],
        arrays={"onset/epochs": np.array([[0, 3]])},
    )
    path = folder / found.file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_report(found))
    return path


@pytest.mark.parametrize("named", [".", "lenet-300-100-digits", "lenet-300-100-digits/onset-1a2b3c4d/seed-0"])
def test_an_onset_without_a_run_is_found_from_any_folder_above(tmp_path, named):
    written(tmp_path / "lenet-300-100-digits" / "onset-1a2b3c4d" / "seed-0")
    shelf = gallery([str(tmp_path / named)], tmp_path).shelf
    assert [one.arrays["onset/epochs"].tolist() for one in shelf.loose] == [[[0, 3]]]
    assert shelf.families == ()


def test_a_report_in_a_folder_of_another_name_is_none(tmp_path):
    written(tmp_path / "lenet-300-100-digits" / "imp-1a2b3c4d" / "seed-0")
    with pytest.raises(UsageError, match="no run there"):
        gallery([str(tmp_path)], tmp_path)
