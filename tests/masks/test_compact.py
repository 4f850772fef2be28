"""Which channels are needed, on nets that are only their connections."""

from __future__ import annotations

import numpy as np
import torch

from ticketctl.masks.compact import Link, needed


def link(reads: int, writes: int, rows: list[list[int]], known: list[int] | None = None) -> Link:
    weights = torch.tensor(rows, dtype=torch.bool)
    return Link(reads, writes, weights, torch.tensor(known or [0] * weights.shape[1], dtype=torch.bool))


def test_a_channel_goes_with_the_last_reader_of_it_through_all_layers_below() -> None:
    chain = [link(0, 1, [[1, 0], [0, 1], [1, 1]]), link(1, 2, [[1, 0, 0], [0, 1, 0]]), link(2, 3, [[1, 0]])]
    stay = needed({0: 2, 1: 3, 2: 2, 3: 1}, frozenset({0, 3}), chain)
    assert stay[2].tolist() == [True, False]
    assert stay[1].tolist() == [True, False, False]
    assert stay[0].tolist() == [True, True]


def test_a_channel_that_is_always_one_number_goes_where_all_its_readers_can_take_it_over() -> None:
    one, other = link(1, 2, [[1, 1]], [1, 0]), link(1, 2, [[1, 1]])
    assert needed({1: 2, 2: 1}, frozenset({2}), [one])[1].tolist() == [False, True]
    assert needed({1: 2, 2: 1}, frozenset({2}), [one, other])[1].tolist() == [True, True]


def test_a_residual_stream_keeps_what_any_reader_reads() -> None:
    stream = [link(0, 1, [[1], [1], [1]]), link(1, 2, [[0, 1, 0]]), link(2, 1, [[1], [0], [0]])]
    head = link(1, 3, [[0, 0, 1]])
    stay = needed({0: 1, 1: 3, 2: 1, 3: 1}, frozenset({0, 3}), [*stream, head])
    assert stay[1].tolist() == [False, False, True]
    assert stay[2].tolist() == [True]  # nobody needs it, and a layer is never empty


def test_it_is_what_walking_back_from_the_logits_finds() -> None:
    draws = np.random.default_rng(0)
    for _ in range(20):
        sizes = {group: int(draws.integers(1, 6)) for group in range(6)}
        links = []
        for _ in range(9):
            reads, writes = sorted(draws.choice(6, 2, replace=False))
            rows = draws.random((sizes[writes], sizes[reads])) < 0.3
            links.append(Link(reads, writes, torch.from_numpy(rows), torch.zeros(sizes[reads]).bool()))
        stay = needed(sizes, frozenset({5}), links)
        edges = {}
        for one in links:
            for row, column in one.weights.nonzero().tolist():
                edges.setdefault((one.writes, row), set()).add((one.reads, column))
        seen, todo = set(), [(5, channel) for channel in range(sizes[5])]
        while todo:
            place = todo.pop()
            if place not in seen:
                seen.add(place)
                todo += edges.get(place, ())
        for group, keep in stay.items():
            wanted = [(group, channel) in seen for channel in range(sizes[group])]
            assert keep.tolist() == (wanted if any(wanted) else [True, *wanted[1:]])
