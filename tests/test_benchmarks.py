"""That the benchmark of a GPU runs, as far as a CPU can take it, and that its sums are right."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks import gpu


def test_time_that_no_kernel_covers_is_idle_and_overlaps_count_once() -> None:
    assert gpu.idle_share([(0, 4), (1, 3), (2, 6), (8, 10)]) == pytest.approx(0.2)
    assert gpu.idle_share([(5, 7)]) == 0


@pytest.mark.long
def test_the_figures_of_a_net_are_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    words = ["gpu", "--device", "cpu", "--quick", "--nets", "G6", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    gpu.main()
    found = json.loads(file.read_text())
    assert found["G6 LeNet-300-100, batch 128"]["images/s"] > 0
    assert found["G12 seconds to the first step"] > 0
