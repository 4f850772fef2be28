"""Streams: pure functions of root, name and position, the same on every machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketctl.seeds import STREAMS, Seeds


def test_the_numbers_are_those_of_philox_keyed_by_the_words() -> None:
    """Against numpy's generator and hashlib directly, and frozen: stored tickets depend on them."""
    key = hashlib.sha256(b"ticketctl.seeds.v1\x0042\x00order\x003").digest()[:16]
    truth = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(5)
    np.testing.assert_array_equal(Seeds(42).raw("order", 3, count=5), truth)
    assert (
        Seeds(42).order("order", 3, count=8).tolist()
        == np.argsort(
            np.random.Philox(key=int.from_bytes(key, "little")).random_raw(8), kind="stable"
        ).tolist()
    )
    assert Seeds(0).raw("order", 0, count=3).tolist() == [
        17270440785250770012, 11100491992053635621, 17564854945045310771,
    ]  # fmt: skip


def test_philox_is_the_published_generator() -> None:
    """Salmon et al. (2011), Philox4x64-10: the known answer of Random123 for key and counter 0.

    numpy counts up before it draws, so its first block is that of counter 1; start from the counter before 0.
    """
    words = np.random.Philox(key=0, counter=2**256 - 1).random_raw(4)
    assert [f"{int(word):016x}" for word in words] == [
        "16554d9eca36314c", "db20fe9d672d0fdc", "d7e772cee186176b", "7e68b68aec7ba23b",
    ]  # fmt: skip


def test_streams_positions_and_roots_do_not_share_numbers() -> None:
    words = [
        tuple(Seeds(root).raw(stream, *position, count=4).tolist())
        for root, stream, position in product((0, 1, 10), STREAMS, ((), (0,), (1,), (10,), ("a",), (1, 0)))
    ]
    assert len(set(words)) == len(words)


@given(st.integers(0, 2**63), st.integers(1, 300))
def test_an_order_is_a_permutation(root: int, count: int) -> None:
    assert sorted(Seeds(root).order("order", 0, count=count).tolist()) == list(range(count))


def test_fewer_numbers_are_the_beginning_of_more() -> None:
    np.testing.assert_array_equal(Seeds(5).raw("init", "w", count=7), Seeds(5).raw("init", "w", count=70)[:7])


def test_an_override_moves_its_stream_alone() -> None:
    twin = Seeds(0, {"order": 1})
    for stream in STREAMS:
        same = Seeds(1 if stream == "order" else 0)
        np.testing.assert_array_equal(twin.raw(stream, 2, count=6), same.raw(stream, 2, count=6))
        assert twin.of(stream) == same.root


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        Seeds(0).raw("colour", count=1)


def test_numbers_are_the_same_in_another_process_with_another_hash_seed() -> None:
    program = "from ticketctl.seeds import Seeds; print(Seeds(3).raw('draw', 'imp', 'w', count=4).tolist())"
    ours = Seeds(3).raw("draw", "imp", "w", count=4).tolist()
    for hash_seed in ("0", "1"):
        environment = {"PYTHONHASHSEED": hash_seed}
        found = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment
        )
        assert found.stdout.strip() == str(ours), found.stderr


def test_words_are_uniform() -> None:
    """Chi-square of the lowest and the highest byte of 10^6 words."""
    words = Seeds(0).raw("augment", 0, count=1_000_000)
    for part in (words & np.uint64(255), words >> np.uint64(56)):
        counts = np.bincount(part.astype(np.int64), minlength=256)
        statistic = ((counts - 1e6 / 256) ** 2 / (1e6 / 256)).sum()
        assert 160 < statistic < 370  # 255 degrees of freedom: mean 255, deviation 22.6
