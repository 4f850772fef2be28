"""Selection against a stable sort in float64, and counts against decimal arithmetic."""

from __future__ import annotations

import time
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ticketctl.errors import DivergedError, UsageError
from ticketctl.masks import select
from ticketctl.masks.mask import Mask
from ticketctl.masks.select import kept_count, order_statistic, top, top_by_layer


def stable_sort_top(scores: dict[str, torch.Tensor], count: int, among: Mask | None = None) -> list[int]:
    """The definition: sort the survivors' scores, largest first, stably over the flat order."""
    flat = torch.cat([score.double().reshape(-1) for score in scores.values()]).tolist()
    alive = [True] * len(flat)
    if among is not None:
        alive = torch.cat([among.keep[name].reshape(-1) for name in scores]).tolist()
    ranked = sorted((i for i in range(len(flat)) if alive[i]), key=lambda i: -flat[i])
    return sorted(ranked[:count])


def chosen(mask: Mask) -> list[int]:
    return torch.cat([keep.reshape(-1) for keep in mask.keep.values()]).nonzero().flatten().tolist()


# Few distinct values, both zeros and neighbours in float32 among them: nearly everything is a tie.
heavy_ties = st.sampled_from([0.0, -0.0, 1.0, 1.0000001192092896, -1.0, 0.5, 3e38, 1e-45])
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[str, torch.Tensor], int, Mask | None]:
    names = draw(st.permutations(["z", "a", "m"]))
    scores, keep = {}, {}
    for name in names:
        shape = (draw(st.integers(1, 4)), draw(st.integers(1, 5)))
        size = shape[0] * shape[1]
        values = draw(st.lists(heavy_ties, min_size=size, max_size=size))
        dtype = draw(dtypes)
        if dtype == torch.float16:
            values = [min(value, 6e4) for value in values]
        scores[name] = torch.tensor(values, dtype=dtype).reshape(shape)
        bits = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        keep[name] = torch.tensor(bits).reshape(shape)
    among = draw(st.sampled_from([None, Mask(keep)]))
    survivors = among.kept if among else sum(score.numel() for score in scores.values())
    return scores, draw(st.integers(0, survivors)), among


@pytest.mark.long
@given(problems())
@settings(max_examples=200, deadline=None)
def test_top_is_the_head_of_a_stable_descending_sort(problem: tuple) -> None:
    scores, count, among = problem
    mask = top(scores, count, among=among)
    assert chosen(mask) == stable_sort_top(scores, count, among)
    assert mask.kept == count
    assert list(mask.keep) == list(scores)


@given(problems())
@settings(max_examples=50, deadline=None)
def test_top_by_layer_is_top_in_each_layer(problem: tuple) -> None:
    scores, _, among = problem
    left = {
        name: score.numel() if among is None else int(among.keep[name].sum())
        for name, score in scores.items()
    }
    counts = {name: number // 2 for name, number in left.items()}
    mask = top_by_layer(scores, counts, among=among)
    for name, score in scores.items():
        within = None if among is None else Mask({name: among.keep[name]})
        assert mask.keep[name].flatten().nonzero().flatten().tolist() == stable_sort_top(
            {name: score}, counts[name], within
        )


def _numpy_sort_top(flat: np.ndarray, alive: np.ndarray, count: int) -> np.ndarray:
    index = np.flatnonzero(alive)
    order = np.argsort(-flat[index].astype(np.float64), kind="stable")
    keep = np.zeros(flat.size, dtype=bool)
    keep[index[order[:count]]] = True
    return keep


@pytest.mark.long
@pytest.mark.parametrize(
    "kind", ["normal", "ties", "constant", "sorted", "periodic", "one value rare", "two scales"]
)
@pytest.mark.parametrize("share", [0, 1, 7, 500, 999, 1000])
def test_the_bracket_of_large_arrays_changes_nothing(kind: str, share: int) -> None:
    size = 600_001  # above the size from which a sample brackets the threshold
    assert size // select._SAMPLE >= 4
    noise = np.random.Generator(np.random.Philox(7)).standard_normal(size).astype(np.float32)
    flat = {
        "normal": noise,
        "ties": np.round(noise * 3),
        "constant": np.full(size, 2.5, dtype=np.float32),
        "sorted": np.sort(noise),
        "periodic": (np.arange(size) % 4 == 0).astype(np.float32) * noise,
        "one value rare": np.where(np.arange(size) == 1234, 9, 1).astype(np.float32),
        "two scales": np.where(np.arange(size) % 5, noise * 1e-30, noise * 1e30).astype(np.float32),
    }[kind]
    alive = np.random.Generator(np.random.Philox(8)).random(size) < 0.37
    scores = {"a": torch.from_numpy(flat[:400_000]), "b": torch.from_numpy(flat[400_000:])}
    among = Mask.from_arrays({"a": alive[:400_000], "b": alive[400_000:]})
    for mask, living in ((None, np.ones(size, dtype=bool)), (among, alive)):
        count = int(living.sum()) * share // 1000
        kept = np.concatenate(list(top(scores, count, among=mask).to_arrays().values()))
        assert np.array_equal(kept, _numpy_sort_top(flat, living, count))


def test_a_large_layer_with_few_or_no_survivors_is_ranked() -> None:
    flat = torch.arange(700_000, dtype=torch.float32)
    keep = torch.zeros(700_000, dtype=torch.bool)
    assert top({"w": flat}, 0, among=Mask({"w": keep})).kept == 0
    keep[[3, 600_000]] = True
    assert chosen(top({"w": flat}, 1, among=Mask({"w": keep}))) == [600_000]


def test_equal_scores_keep_the_lower_flat_index_in_the_order_of_the_mapping() -> None:
    first = {"z": torch.ones(2, 2), "a": torch.ones(3)}
    assert chosen(top(first, 5)) == [0, 1, 2, 3, 4]
    assert top(first, 5).layers() == {"z": (4, 4), "a": (1, 3)}
    assert top(dict(reversed(first.items())), 5).layers() == {"a": (3, 3), "z": (2, 4)}


def test_flat_order_is_c_order_whatever_the_memory_layout() -> None:
    scores = torch.arange(24.0).remainder(5).reshape(2, 3, 2, 2)
    plain = top({"w": scores}, 11)
    assert top({"w": scores.contiguous(memory_format=torch.channels_last)}, 11).equal(plain)


def test_a_pruned_weight_stays_pruned_however_large_and_its_nan_is_not_read() -> None:
    keep = torch.tensor([True, False, True, False, True])
    scores = torch.tensor([1.0, 1e9, -5.0, float("nan"), 2.0])
    assert chosen(top({"w": scores}, 2, among=Mask({"w": keep}))) == [0, 4]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_survivors_non_finite_score_raises_with_the_layers_name(bad: float) -> None:
    scores = {"fine": torch.ones(4), "broken.weight": torch.tensor([1.0, bad, bad])}
    with pytest.raises(DivergedError, match=r"'broken.weight': 2 of 3"):
        top(scores, 1)
    with pytest.raises(DivergedError, match=r"'broken.weight'"):
        top_by_layer(scores, {"fine": 1, "broken.weight": 1})


def test_more_than_the_survivors_cannot_be_kept() -> None:
    with pytest.raises(UsageError, match="4 weights: 3 are left"):
        top({"w": torch.ones(3)}, 4)
    with pytest.raises(UsageError, match=r"layer 'w': .*2 weights: 1 are left"):
        top_by_layer({"w": torch.ones(3)}, {"w": 2}, among=Mask({"w": torch.tensor([True, False, False])}))


def test_scores_and_mask_of_different_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="different layers"):
        top({"w": torch.ones(3)}, 1, among=Mask({"v": torch.ones(3, dtype=torch.bool)}))
    with pytest.raises(ValueError, match="different layers"):
        top_by_layer({"w": torch.ones(3)}, {"v": 1})


@settings(deadline=None)
@given(st.integers(1, 10**9), st.decimals("0.0001", 1, places=6))
@example(11_159_232, Decimal("0.1"))
@example(1000, Decimal("0.2"))
@example(1, Decimal("0.5"))
@example(7, Decimal("0.5"))
def test_kept_count_rounds_the_exact_product_half_up(size: int, density: Decimal) -> None:
    with localcontext(prec=60):
        expected = int((size * density).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if expected:
        assert kept_count(size, Fraction(density)) == expected
    else:
        with pytest.raises(UsageError, match="keeps none"):
            kept_count(size, Fraction(density))


@pytest.mark.parametrize("density", [Fraction(0), Fraction(-1, 2), Fraction(3, 2)])
def test_a_density_outside_its_range_is_refused(density: Fraction) -> None:
    with pytest.raises(UsageError, match="density"):
        kept_count(100, density)


@given(
    st.lists(heavy_ties, min_size=1, max_size=20),
    st.sampled_from([torch.float32, torch.float64, torch.float16]),
    st.data(),
)
def test_the_value_at_a_rank_is_that_of_a_sort(
    values: list[float], dtype: torch.dtype, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(0, len(values) - 1))
    typed = torch.tensor(values, dtype=torch.float64).to(dtype)
    before = typed.clone()
    found = order_statistic(typed, rank)
    assert (found.dtype, found.shape) == (dtype, ())
    assert float(found) == sorted(typed.tolist())[rank]
    assert torch.equal(typed, before)


@pytest.mark.slow
def test_eleven_million_weights_take_at_most_half_a_sort() -> None:
    torch.set_num_threads(1)
    flat = np.abs(np.random.Generator(np.random.Philox(0)).standard_normal(11_159_232)).astype(np.float32)
    scores = {str(i): torch.from_numpy(part) for i, part in enumerate(np.array_split(flat, 20))}
    dense = top(scores, 8_927_386)
    best: dict[str, float] = {}
    for _ in range(7):
        for name, work in (
            ("sort", lambda: np.sort(flat)),
            ("level 1", lambda: top(scores, 8_927_386)),
            ("level 2", lambda: top(scores, 7_141_908, among=dense)),
        ):
            start = time.perf_counter()
            work()
            best[name] = min(best.get(name, 9.0), time.perf_counter() - start)
    assert max(best["level 1"], best["level 2"]) <= 0.5 * best["sort"], best
