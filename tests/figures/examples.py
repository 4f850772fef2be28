"""A small shelf made by hand for every figure: what `test_every_figure.py` asks of each, it asks of these.

A figure's own tests have the builders; here they are put together, with several families, seeds and levels where it has
them, so that an order, a mean or a legend could go wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.figures import (
    curve_examples,
    test_activation_figure,
    test_audit_sparsity,
    test_compression_figures,
    test_convergence_figure,
    test_distance,
    test_few_shot,
    test_forgetting_figure,
    test_gain,
    test_hessian_spectrum,
    test_label_noise,
    test_lambda_max,
    test_layer_figures,
    test_maps,
    test_mask_intersection_figure,
    test_neuron_iou,
    test_ood_histograms,
    test_paper_figure,
    test_probe_figures,
    test_radar_figure,
    test_reliability,
    test_sweep_figures,
    test_training_curves,
    test_transfer_figure,
)
from tests.figures.shelves import beside, drawn, family, ladder, shelf, steps, told
from ticketctl.figures.shelf import Net, Paper, PaperCell, Shelf


def runs() -> Shelf:
    dense, imp = ladder({0.5: [0.9, 0.92], 0.25: [0.88, 0.9], 0.125: [0.8, 0.7]})
    _, snip = ladder({0.5: [0.89, 0.9], 0.25: [0.8, 0.84], 0.125: [0.6, 0.5]}, label="snip")
    return shelf(dense, imp, replace(snip, dense=dense.groups[0]))


def activations() -> Shelf:
    def make(level: int, density: float, seed: int) -> Net:
        small, stages = [0.1 * level, 0.3, 0.2 + seed / 10], {"1": "relu1", "2": "relu3"}
        return test_activation_figure.probed(level, density, small, seed=seed, stages=stages)

    return beside([make(0, 1.0, 0), make(0, 1.0, 1)], imp=steps(make))


def audits() -> Shelf:
    def make(level: int, density: float, seed: int, top: float = 0.95) -> Net:
        values = {"accuracy": top - level / 20 + seed / 100, "nll": 0.3 + level / 9, "ece": 0.01 + level / 90}
        return test_audit_sparsity.audited(level, density, seed, auroc_fmnist=0.9 - level / 30, **values)

    snip = steps(lambda level, density, seed: make(level, density, seed, 0.93))
    return beside([make(0, 1.0, 0), make(0, 1.0, 1)], imp=steps(make), snip=snip)


def positions() -> Shelf:
    module = test_compression_figures.M
    more = {f"{module}/table": np.array([[0.1, np.nan], [0.2, 0.9]]), f"{module}/hardness": [0, 0, 1, 1]}
    return test_compression_figures.probed(**more)


def embedded() -> Shelf:
    made = test_compression_figures.probed(**test_compression_figures.EMBEDDED)
    return told(made, "probe", test_compression_figures.M, embedding="features of this net, by scikit-learn")


def converged() -> Shelf:
    def make(level: int, density: float, seed: int) -> Net:
        return test_convergence_figure.probed(
            0.95 - level / 20 - seed / 50, level=level, density=density, seed=seed
        )

    made = beside([make(0, 1.0, 0), make(0, 1.0, 1)], imp=steps(make), snip=steps(make))
    return told(made, "probe", "convergence", error="val")


def converged_dense() -> Shelf:
    make = test_convergence_figure.probed
    both = [family(f"dense, lr={lr}", [make(lr)], method="dense") for lr in (0.1, 0.2)]
    return told(shelf(*both), "probe", "convergence", error="val")


def corrupted() -> Shelf:
    make = test_maps.shown
    imp = [make([[0.2, 0.2 + seed / 10], [0.1, 0.4]], density=0.1, level=1, seed=seed) for seed in (0, 1)]
    snip = [make([[0.3, 0.5], [0.2, 0.6]], density=0.1, level=1)]
    return beside([make([[0.1, 0.2], [0.3, 0.4]])], imp=imp, snip=snip)


def costs() -> Shelf:
    def make(level: int, density: float, seed: int) -> Net:
        return test_maps.priced(
            9e6 * density, 0.95 - level / 20 - seed / 50, level=level, density=density, seed=seed
        )

    return beside([make(0, 1.0, 0)], imp=steps(make), snip=steps(make))


def shares() -> Shelf:
    make, accuracies = test_few_shot.trained, {None: 0.9, "1/10": 0.8, "1/100": 0.6}
    imp = [make(share, one, dense=one - 0.05) for share, one in accuracies.items()]
    snip = [make(share, one / 2, label="snip", **{"train.lr": "0.2"}) for share, one in accuracies.items()]
    return shelf(*imp, *snip)


def gains(count: int = 2) -> Shelf:
    def make(low: float, high: float, **more: Any) -> list[Net]:
        found = [
            test_gain.nets((low - at / 90, low, high), density=0.1 / 2**at, **more) for at in range(count)
        ]
        return [one for some in found for one in some]

    tweaked = (
        family(f"imp + {tweak}", make(low, 0.7, tweaks=(tweak,)), tweaks=(tweak,))
        for tweak, low in (("ls", 0.55), ("swish", 0.45))
    )
    return shelf(family("imp", make(0.5, 0.6)), *tweaked)


def tickets() -> Shelf:
    other = drawn({**test_layer_figures.LADDER}, seed=2, label="snip", method="snip")
    return shelf(tickets=(*test_layer_figures.TWO, other))


def intersections() -> Shelf:
    make = test_mask_intersection_figure.ticket
    return shelf(tickets=(make([0.4, 0.6, 1.0]), make([0.6, 0.8], seed=1)))


def formulas() -> Shelf:
    make = test_neuron_iou.audited
    return beside(
        [make([0.0, 0.01, 0.1, 0.19], [1, 0, 0, 0])], imp=[make([0.06, 0.16], [0, 0], level=1, density=0.5)]
    )


def paper(cells: list[PaperCell]) -> Shelf:
    """With runs behind those cells that have a value of ours."""
    found = [
        replace(one, sources=(f"rn1{at:029d}",) if one.ours is not None else ())
        for at, one in enumerate(cells)
    ]
    return shelf(paper=Paper("001:A2", "Tweaks", 3, tuple(found)))


def targets() -> Shelf:
    make = test_paper_figure.cell
    return paper([make("a", name, 80.0, 70.0, sparsity=89.26) for name in ("mnist", "eurosat")])


def probes() -> Shelf:
    probe = test_probe_figures.probe

    def make(level: int, density: float, seed: int) -> Net:
        number = 10 * level + seed
        untrained, permuted = (
            probe([0.5 - level / 20, 0.7], number=number),
            probe([0.3, 0.4], number=100 + number),
        )
        return test_probe_figures.probed(level, density, seed, untrained=untrained, permuted=permuted)

    return beside([test_probe_figures.probed(0, 1.0, trained=probe([0.9, 0.95]))], imp=steps(make))


def radars() -> Shelf:
    make = test_radar_figure.audited
    imp = [make(seed, 0.1, 3, accuracy=0.8 + seed / 10, ece=0.03, nll=0.3) for seed in (0, 1)]
    return test_radar_figure.shelf_of(
        ("imp", imp), ("snip", [make(0, 0.1, 1, accuracy=0.7, ece=0.02, nll=0.5)])
    )


EXAMPLES: dict[str, Callable[[], Shelf]] = {
    "accuracy-sparsity": runs,
    "activation-sparsity": activations,
    "audit-sparsity": audits,
    "barrier": curve_examples.twins,
    "barrier-sparsity": curve_examples.barriers,
    "bezier": curve_examples.joined,
    "compression-position": positions,
    "convergence": converged,
    "corruption-map": corrupted,
    "cost-accuracy": costs,
    "distance": lambda: shelf(*test_distance.ladder({0.5: 14.0, 0.125: 6.0})),
    "eigenvector": curve_examples.bent,
    "few-shot": shares,
    "forgetting": lambda: shelf(test_forgetting_figure.ladder()),
    "gain": gains,
    "hessian-spectrum": test_hessian_spectrum.audited,
    "input-landscape": lambda: curve_examples.around("input-plane"),
    "label-noise": lambda: shelf(test_label_noise.ladder()),
    "lambda-max": lambda: shelf(*test_lambda_max.ladder()),
    "landscape": lambda: curve_examples.around("plane"),
    "layer-density": tickets,
    "mask-intersection": intersections,
    "mask-iou": tickets,
    "neuron-iou": formulas,
    "onset": curve_examples.onsets,
    "ood-histograms": lambda: test_ood_histograms.audited(
        test_ood_histograms.TEST, test_ood_histograms.NOISE
    ),
    "paper": lambda: paper(test_paper_figure.LADDER),
    "probe-depth": probes,
    "probe-sparsity": probes,
    "radar": radars,
    "redense-path": curve_examples.redense,
    "reliability": test_reliability.both,
    "sweep-axes": test_sweep_figures.example,
    "sweep-cost": test_sweep_figures.example,
    "sweep-map": runs,
    "sweep-ranks": test_sweep_figures.example,
    "training-curves": lambda: shelf(*test_training_curves.two()),
    "transfer": lambda: shelf(*test_transfer_figure.two()),
    "tsne-hardness": embedded,
    "weight-distribution": tickets,
}
"""By the figure's name: what feeds it."""

MORE: dict[str, tuple[str, Callable[[], Shelf]]] = {
    "barrier between levels": ("barrier", curve_examples.levels),
    "convergence of dense nets": ("convergence", converged_dense),
    "gain at many sparsities": ("gain", lambda: gains(8)),
    "landscape in one direction": ("landscape", curve_examples.along),
    "mask-iou of one ticket": ("mask-iou", lambda: shelf(tickets=test_layer_figures.TWO[:1])),
    "mask-intersection along a training": (
        "mask-intersection", lambda: shelf(family("art", [test_mask_intersection_figure.probed()])),
    ),
    "paper in bars": ("paper", targets),
    "sweep-ranks of many seeds": ("sweep-ranks", test_sweep_figures.many),
}  # fmt: skip
"""What a figure draws in another way: its name, and what feeds it then."""
