"""Points of a long measurement: made once, read afterwards, made again where a file was damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ticketctl.stages.points import Points
from ticketctl.store.tensors import Tensor, pack_tensors


def test_a_point_is_made_once_and_read_as_it_was_made(tmp_path: Path) -> None:
    made, told = [], []
    points = Points(tmp_path / "work", "of", told.append)

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"loss": np.array([0.1, np.inf, np.nan]), "half-right.2": np.array([[1, 0]], np.uint8)}

    for _ in range(3):
        found = points("a-1", make)
        assert found["loss"].tobytes() == make()["loss"].tobytes()
        assert found["half-right.2"].tolist() == [[1, 0]]
        made.pop()
    assert len(made) == 1
    assert told == ["a-1"] * 3


@pytest.mark.parametrize("damage", [b"", b"\0" * 8, b"not a point"])
def test_a_damaged_point_is_made_again(tmp_path: Path, damage: bytes) -> None:
    points = Points(tmp_path)
    points("p", lambda: {"x": np.array([1.0])})
    (tmp_path / "p.safetensors").write_bytes(damage)
    assert points("p", lambda: {"x": np.array([2.0])})["x"].tolist() == [2.0]
    assert points("p", lambda: {"x": np.array([3.0])})["x"].tolist() == [2.0]


@pytest.mark.parametrize("said", ["5", "null", '{"names":5,"of":""}', '{"of":""}', "[]", "x"])
def test_a_point_that_says_something_odd_or_is_of_something_else_counts_as_none(
    tmp_path: Path, said: str
) -> None:
    data = pack_tensors({"t0": Tensor.of(np.array([1.0]))}, {"point": said})
    (tmp_path / "p.safetensors").write_bytes(data)
    assert Points(tmp_path)("p", lambda: {"x": np.array([2.0])})["x"].tolist() == [2.0]
    assert Points(tmp_path, "other")("p", lambda: {"x": np.array([3.0])})["x"].tolist() == [3.0]


def test_a_point_whose_making_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    def stopped() -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Points(tmp_path)("p", stopped)
    assert not list(tmp_path.iterdir())
