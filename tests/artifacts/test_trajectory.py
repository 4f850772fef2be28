from __future__ import annotations

import tracemalloc
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import zarr
import zarr.storage

from tests.artifacts import samples
from tests.artifacts.hostile_trajectories import ROWS, SHAPES, Walk, run, walk
from ticketctl.artifacts.masks import pack_rows
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.trajectory import (
    KEYFRAME,
    Trajectory,
    decode_trajectory,
    encode_trajectory,
)
from ticketctl.artifacts.verify import verify_run
from ticketctl.errors import ArtifactError


def again(moves: Walk | Trajectory) -> Trajectory:
    return decode_trajectory(encode_trajectory(moves), where="")


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def failed(folder: Path) -> list[str]:
    return [f"{check.name} {check.code}" for check in verify_run(folder) if not check.ok]


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 32, 33, 50])
def test_every_mask_comes_back_by_itself_and_in_order(rows: int) -> None:
    moves = walk(rows)
    found = again(moves)
    assert found.step.tolist() == moves.step.tolist()
    assert all(same(found.rows(t), moves.all[t]) for t in reversed(range(rows)))
    assert all(same(*pair) for pair in zip(found.masks(), moves.all, strict=True))


def test_what_is_read_is_written_alike() -> None:
    data = encode_trajectory(walk())
    assert encode_trajectory(decode_trajectory(data, where="")) == data


def test_order_of_names_does_not_matter() -> None:
    backwards = walk(5, dict(reversed(SHAPES.items())))
    assert encode_trajectory(backwards) == encode_trajectory(walk(5))


def test_a_row_that_is_not_there_is_refused() -> None:
    found = again(walk())
    for t in (-1, ROWS):
        with pytest.raises(ValueError, match="not one of 0 to 18"):
            found.rows(t)


def test_zarr_reads_it_and_finds_the_rows_that_the_specification_describes(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(encode_trajectory(walk()))
    with zarr.storage.ZipStore(tmp_path / "t.zip", mode="r") as store:
        group = zarr.open_group(store, mode="r")
        assert group.attrs["keyframe"] == KEYFRAME
        assert np.asarray(group["step"]).tolist() == walk().step.tolist()
        for name in SHAPES:
            stored = np.asarray(group[f"bits/{name}"])
            assert group[f"bits/{name}"].chunks[0] == 16
            for t, masks in enumerate(walk().all):
                start = t - t % 16
                assert np.array_equal(reduce(np.bitwise_xor, stored[start : t + 1]), pack_rows(masks[name]))


def test_the_digest_is_of_masks_steps_names_and_shapes() -> None:
    moves = walk(3)
    flat = {name: (int(np.prod(shape)),) for name, shape in SHAPES.items()}
    others = [
        replace(moves, step=moves.step + 1),
        replace(moves, all=[*moves.all[:2], moves.all[0]]),
        Walk(flat, moves.step, [{n: mask[n].reshape(-1) for n in mask} for mask in moves.all]),
        Walk({n + "s": s for n, s in SHAPES.items()}, moves.step, [{n + "s": m[n] for n in m} for m in moves.all]),
    ]  # fmt: skip
    assert len({again(each).digest for each in [moves, *others]}) == 5


def test_trajectories_that_do_not_fit_together_are_not_written() -> None:
    moves = walk(3)
    names = {"fc1..weight": (5, 12)}
    for wrong in (
        replace(moves, step=moves.step[:2]),
        replace(moves, step=np.arange(4, dtype="i8")),
        replace(moves, step=moves.step.astype("i4")),
        replace(moves, step=moves.step[::-1].copy()),
        replace(moves, step=moves.step - 5),
        Walk(SHAPES, np.zeros(0, "i8"), []),
        replace(moves, shapes={}),
        replace(moves, shapes={**SHAPES, "fc1.weight": (12, 5)}),
        Walk(names, moves.step, [{"fc1..weight": mask["fc1.weight"]} for mask in moves.all]),
        replace(moves, shapes={"fc1.weight": (1 << 20, 1 << 20)}),
    ):
        with pytest.raises(ValueError, match=r"step|parameters|belongs|reader"):
            encode_trajectory(wrong)


def test_empty_parameters_are_left_out() -> None:
    moves = walk(3)
    more = Walk(
        {**SHAPES, "none": (0, 4)}, moves.step, [{**m, "none": np.zeros((0, 4), bool)} for m in moves.all]
    )
    assert encode_trajectory(more) == encode_trajectory(moves)


class Long:
    """Many masks of a layer of a million weights, made as they are asked for."""

    def __init__(self) -> None:
        self.shapes = {"w": (1000, 1000)}
        self.step = np.arange(320, dtype="i8")

    def masks(self):
        keep = np.zeros((1000, 1000), bool)
        for t in range(len(self.step)):
            keep = keep.copy()
            keep[t % 1000, ::3] = True
            yield {"w": keep}


def test_neither_writer_nor_reader_holds_more_than_a_chunk_of_masks() -> None:
    """40 MB of packed masks, 320 MB of bools; a chunk has 2 MB."""
    tracemalloc.start()
    data = encode_trajectory(Long())
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    found = decode_trajectory(data, where="")
    kept = found.rows(319)["w"].sum()
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept == 320 * 334
    assert len(data) < 1 << 20
    assert max(written, read) < 20 << 20


def test_a_layer_too_large_for_sixteen_rows_in_a_chunk_has_fewer() -> None:
    shape = (9, 1 << 20)
    keep = [np.zeros(shape, bool) for _ in range(18)]
    for t, mask in enumerate(keep):
        mask[t % 9, t] = True
    found = again(Walk({"w": shape}, np.arange(18, dtype="i8"), [{"w": mask} for mask in keep]))
    assert found.stored["w"].chunk == (14, 9, 1 << 17)
    assert all(np.array_equal(found.rows(t)["w"], keep[t]) for t in (0, 13, 15, 16, 17))
    assert all(np.array_equal(mask["w"], keep[t]) for t, mask in enumerate(found.masks()))


def test_a_limit_holds_before_anything_is_unpacked() -> None:
    data = encode_trajectory(Long())
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="larger than allowed"):
        decode_trajectory(data, where="", limit=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_run_carries_its_trajectory(tmp_path: Path) -> None:
    written = run(tmp_path)
    manifest = written.manifest
    assert manifest.format_version == "1.1"
    assert "trajectory.xor" in manifest.features
    assert [entry.role for entry in manifest.files if entry.path == "trajectory.zarr.zip"] == ["trajectory"]
    found = open_run(tmp_path).trajectory()
    assert found is not None
    assert manifest.trajectory is not None
    assert (found.digest, len(found.step)) == (manifest.trajectory.digest, manifest.trajectory.rows)
    assert same(found.rows(ROWS - 1), samples.ladder().mask(samples.ROUNDS))
    assert failed(tmp_path) == []


def test_a_run_without_one_is_what_it_was_before(tmp_path: Path) -> None:
    plain = samples.run(tmp_path)
    assert plain.trajectory() is None
    assert plain.manifest.format_version == "1.0"
    assert b"trajectory" not in (tmp_path / "run.json").read_bytes()


def test_the_trajectory_is_no_part_of_the_id(tmp_path: Path) -> None:
    assert run(tmp_path / "a").manifest.run_id == samples.run(tmp_path / "b").manifest.run_id


def test_states_of_a_moving_mask_need_not_lie_under_the_last(tmp_path: Path) -> None:
    from ticketctl.artifacts.run import StateFile

    states = [StateFile("best-val", 12, 1, samples.weights(1))]
    moved = walk(last=samples.ladder().mask(samples.ROUNDS))
    samples.run(tmp_path / "moved", trajectory=moved, states=states)
    samples.run(tmp_path / "static", states=states)
    assert failed(tmp_path / "moved") == []
    assert failed(tmp_path / "static") == ["state best-val E_WEIGHTS"]


def test_a_dense_run_has_no_trajectory(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="and to a mask"):
        samples.run(tmp_path, sparse=False, trajectory=walk())
