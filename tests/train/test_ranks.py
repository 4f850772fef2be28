"""Ranks that share a training compute what one process computes, and say when they do not.

What two Gloo processes found out together comes from one launch of tests/train/rank_claims.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train import rank_claims
from tests.warm import marathon
from ticketctl.draws import nm
from ticketctl.errors import UsageError
from ticketctl.train import device
from ticketctl.train.device import settle
from ticketctl.train.rank_lab import check_hooks
from ticketctl.train.slices import parted
from ticketctl.train.threads import Threads
from ticketctl.tweaks import ls

ROUNDING = 1e-5
"""Of float32 after a few steps; weights move by about 1 on the way."""

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    return list(marathon("train/rank_claims.py", folder))


@pytest.mark.long
@pytest.mark.parametrize("course", [*rank_claims.COURSES])
def test_a_shared_training_is_that_of_one_process_but_for_rounding(found: Found, course: str) -> None:
    """Batches of 5 and of 1 image, BatchNorm, augmentation, a mask; under SAM two passes a step."""
    ours = found[0]["courses"][course]
    assert ours["moved"] > 0.1
    assert ours["weights"] < ROUNDING
    assert ours["history"] < ROUNDING
    assert ours["same columns"]
    assert ours["pruned"] == 0


@pytest.mark.long
@pytest.mark.parametrize("course", [*rank_claims.COURSES])
def test_what_was_right_at_each_presentation_is_recorded_of_all_ranks(found: Found, course: str) -> None:
    assert all(rank["courses"][course]["memory"] for rank in found)


def test_all_ranks_end_with_the_same_results(found: Found) -> None:
    assert found[0]["courses"] == found[1]["courses"]


@pytest.mark.parametrize("count", ["64", "7", "1"])
def test_gradient_and_statistics_of_a_shared_batch_are_those_of_the_whole(found: Found, count: str) -> None:
    """The truth is float64; one process in float32 may be further from it."""
    for rank in found:
        ours = rank["passes"][count]
        assert ours["gradient"] < 1e-4
        assert ours["loss"] < 1e-5
        assert ours["logits"] < 1e-3
        assert ours["statistics"] < 1e-5


def test_slices_differ_by_one_image_and_of_fewer_images_than_ranks_everybody_takes_all(found: Found) -> None:
    own = [[rank["passes"][count]["own"] for rank in found] for count in ("64", "7", "1")]
    assert own == [[32, 32], [3, 4], [1, 1]]
    for count in (4, 5, 31):
        ends = [parted(count, rank, 4) for rank in range(4)]
        assert [stop for _, stop in ends[:-1]] == [start for start, _ in ends[1:]]
        assert {stop - start for start, stop in ends} <= {count // 4, count // 4 + 1}
        assert (ends[0][0], ends[-1][1]) == (0, count)


def test_an_evaluation_that_ranks_share_has_the_bits_of_one_process(found: Found) -> None:
    for rank in found:
        assert rank["evaluations"]["shared"] == rank["evaluations"]["alone"]


def test_stopped_by_rank_0_all_stop_and_the_same_training_ends_in_the_same_bytes(found: Found) -> None:
    for rank in found:
        ours = rank["goes_on"]
        assert ours["codes"] == [75, 75, 75]
        assert ours["checkpoint"]
        assert ours["same bytes"]
        assert "final.safetensors" in ours["files"]


def test_rank_0_decides(found: Found) -> None:
    for rank in found:
        ours = rank["words"]
        assert ours["agree"] == [1, 5]
        assert ours["leading"] == [True, False]
        assert ours["told"] == {"text": "é", "number": 3}
        assert ours["led"] == ["", "00ff"]
        assert ours["mask"]
        assert ours["state"] == 0


def test_a_wrong_hash_is_refused_by_rank_and_parameter_and_nothing_is_written(found: Found) -> None:
    for rank in found:
        ours = rank["differences"]
        assert ours["same"] == "nothing"
        assert ours["other"].startswith("TicketctlError: level 1: rank 1 has another b than rank 0")
        assert "rank 1 has another fc.bias than rank 0" in ours["spoilt"]
        assert "final.safetensors" not in ours["written"]
        assert "record.safetensors" not in ours["written"]


def test_ranks_about_to_do_different_trainings_are_told_apart(found: Found) -> None:
    assert all("rank 1 is at something else" in rank["differences"]["another training"] for rank in found)


def test_hooks_that_do_not_say_they_treat_images_apart_are_refused() -> None:
    with pytest.raises(UsageError, match=r"sr-ste is not supported on several devices"):
        check_hooks([nm.Refine(("conv.weight",), nm.Params(when="sr-ste"))])
    check_hooks([ls.Smoothing(ls.Params()), rank_claims.Spoils(True)])


def test_ranks_share_the_threads_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "threads_here", lambda: Threads(8, "of a machine"))
    spec = rank_claims.small.train_spec(threads=0)
    assert [settle(spec, torch.device("cpu"), ranks).threads for ranks in (1, 2, 3, 16)] == [8, 4, 2, 1]
    assert settle(rank_claims.small.train_spec(threads=3), torch.device("cpu"), 2).threads == 3


@pytest.mark.gpu(real="its ranks are processes of their own")
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs: NCCL takes one rank for each")
@pytest.mark.slow
def test_two_gpus_draw_what_one_gpu_draws(tmp_path: Path) -> None:
    from tests.cli.conftest import ask
    from ticketctl.artifacts.run import open_run

    ends = []
    for devices in ("1", "2"):
        words = ["draw", "--rounds", "0", "--epochs", "2", "--device", "cuda", "--set", "train.precision=f32"]
        assert ask(tmp_path, *words, "--devices", devices, "--out", f"d{devices}").code == 0
        ends.append(open_run(tmp_path / f"d{devices}" / "levels" / "0").weights())
    for name, value in ends[0].items():
        torch.testing.assert_close(
            torch.from_numpy(ends[1][name].array().copy()),
            torch.from_numpy(value.array().copy()),
            rtol=1e-3,
            atol=1e-4,
        )
