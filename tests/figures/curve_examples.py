"""Shelves of paths between nets and of losses around them, made by hand, for `examples.py`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.figures import (
    test_barrier_figure,
    test_barrier_sparsity,
    test_curve_figures,
    test_landscape,
    test_onset_figure,
)
from tests.figures.handmade_paths import end, line
from tests.figures.shelves import beside, family, net, report, row, shelf, steps, told
from ticketctl.figures.shelf import Shelf


def twins() -> Shelf:
    make = test_barrier_figure.twins
    dense = [make(0, 1.0, seed, curves=[(0.02, 0.05, 0.03)], number=seed) for seed in (0, 1)]
    imp = steps(
        lambda level, density, seed: make(level, density, seed, [(0.02, 0.1 * level, 0.03)] * 2, number=seed)
    )
    return beside(dense, imp=imp)


def levels() -> Shelf:
    first, second = net(level=1, density=0.5), net(level=2, density=0.25)
    found = line([end(first), end(second)], [(0, 1)], [(0.1, 0.4, 0.2)])
    return shelf(
        family("imp", [first, net(level=2, density=0.25, reports={("interpolate", "levels"): [found]})])
    )


def barriers() -> Shelf:
    make = test_barrier_sparsity.twins
    imp, snip = (
        steps(lambda level, density, seed, size=size: make(level, density, [level * size, level + 1.0], seed))
        for size in (1.0, 2.0)
    )
    return beside([make(0, 1.0, [0.5, 0.7])], imp=imp, snip=snip)


def joined() -> Shelf:
    first, second = net(seed=0), net(seed=1)
    arrays = {"t": [0, 0.5, 1], "errors": [0.1, 0.12, 0.2], "line.errors": [0.1, 0.6, 0.2],
              "losses": [1.0, 1.1, 1.2], "line.losses": [1.0, 9.0, 1.2]}  # fmt: skip
    found = report(
        "interpolate", [row("bezier", 1.0)], {f"bezier/{name}": np.array(one) for name, one in arrays.items()},
        recipe={"ends": [end(first), end(second)]},
    )  # fmt: skip
    both = [net(seed=0, reports={("interpolate", "path"): [found]}), second]
    return shelf(family("dense", both, method="dense"))


def bent() -> Shelf:
    make = test_curve_figures.bent
    imp = [make([1.0 + seed, 0.1, 3.0], seed=seed, number=seed) for seed in (1, 2)]
    return beside([make([0.6, 0.1, 0.7], level=0, density=1.0)], imp=imp)


def around(module: str) -> Shelf:
    made = test_landscape.both(module, test_landscape.BOWL, test_landscape.STEEP)
    return told(made, "interpolate", module, images=100, set="test")


def along() -> Shelf:
    made = test_landscape.both("plane", test_landscape.GRID**2, 2 * test_landscape.GRID**2)
    return told(made, "interpolate", "plane", images=100, set="test")


def redense() -> Shelf:
    nets = []
    for seed in (0, 1):
        ends = [end(net(level=1, density=0.5, seed=one)) for one in (seed, seed + 10)]
        found = line(ends, [(0, 1)], [(0.1, 0.2 + seed / 10, 0.4)], sets=("train", "test"), number=seed)
        nets.append(net(level=1, density=0.5, seed=seed + 10, reports={("interpolate", "before"): [found]}))
    return shelf(family("imp + redense", nets))


def onsets() -> Shelf:
    return shelf(
        loose=(test_onset_figure.search(inits=2), replace(test_onset_figure.search(), id="rp1" + "1" * 29))
    )
