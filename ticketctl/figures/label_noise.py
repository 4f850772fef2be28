"""Accuracies under noisy labels against sparsity: sparse double descent.

A panel for each ladder that was trained on noisy labels, from the dense net on (paper 002, Figures 1, 3, 8, 10, 12).
`test, last epoch` is the result; `test, best epoch` is the best of any epoch, chosen on the test images, an oracle that
only says what stopping in time could gain. `permuted` are the images whose label was drawn, scored against the label
that they were given: what was learned by heart. `restored` are the same, scored against their true label. `train` is
all that was trained on, with the labels as given, in evaluation mode. Lines are means over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ticketctl.errors import UsageError
from ticketctl.figures.rows import PANELS, by_place, from_dense, ids, parts, reading, said, short, split
from ticketctl.figures.sheet import Axis, Cell, NothingError, Sheet
from ticketctl.figures.shelf import Family, Shelf

FACTS = {"from": "runs", "papers": "002 Fig 1, 3, 8, 10, 12"}
SERIES = {
    "test": ("test, last epoch", "test.accuracy"),
    "best": ("test, best epoch (oracle)", "oracle.test.accuracy"),
    "permuted": ("permuted", "permuted.accuracy"),
    "restored": ("restored", "restored.accuracy"),
    "unpermuted": ("unpermuted", "unpermuted.accuracy"),
    "train": ("train, labels as given", "train.eval.accuracy"),
}


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    of: tuple[str, ...] = ("test", "best", "permuted", "restored")
    """Of test, best, permuted, restored, unpermuted, train."""

    def __post_init__(self) -> None:
        """Refuse what is none of them.

        Raises:
            UsageError: another word, or none.
        """
        odd = [one for one in self.of if one not in SERIES]
        if odd or not self.of:
            raise UsageError(
                f"figures.label-noise.of: of {', '.join(SERIES)}, not {', '.join(odd) or 'none'}"
            )


def gather(shelf: Shelf, *, params: Params) -> Iterator[Sheet]:
    """A sheet for each net and data set, of at most twelve panels.

    Raises:
        NothingError: no pruned net was trained on noisy labels.
    """
    noisy = [one for one in shelf.families if not one.is_dense and noise_of(one) and [*_rows(one, params.of)]]
    if not noisy:
        raise NothingError("no ticket trained on noisy labels; run: ticketctl draw --set data.noise.rate=0.4")
    sheets = [(part, where, few) for part, where, mine in by_place(noisy) for few in split(mine, PANELS)]
    names = parts(part or "all" for part, *_ in sheets)
    for (_, where, families), part in zip(sheets, names, strict=True):
        yield _sheet(where, families, tuple(dict.fromkeys(params.of)), "" if len(sheets) == 1 else part)


def noise_of(family: Family) -> str:
    """The noise of its labels in words; "" where there is none."""
    settings = family.nets[0].settings
    kind, rate = settings.get("data.noise.kind", "none"), settings.get("data.noise.rate")
    if kind == "none":
        return ""
    return kind if rate is None else f"{_percent(rate)} {kind}"


def _percent(rate: str) -> str:
    try:
        return f"{float(100 * Fraction(rate)):g} %"
    except (ValueError, ZeroDivisionError):
        return rate


def titled(family: Family) -> str:
    """What its panel is called: its noise, and its label without that."""
    words = [
        word for word in short(family).split(", ") if not word.startswith(("rate=", "noise=", "noise.kind="))
    ]
    return f"{noise_of(family)}, {', '.join(words)}"


def _rows(family: Family, of: Sequence[str], panel: str = "") -> Iterator[tuple[Cell, ...]]:
    for name, metric in (SERIES[one] for one in of):
        yield from from_dense(family, reading(metric), panel=panel, label=name)


def _sheet(where: str, families: Sequence[Family], of: Sequence[str], part: str) -> Sheet:
    names = [titled(one) for one in families]
    if len({*names}) < len(names):
        names = [f"{noise_of(one)}, {short(one)}" for one in families]
    rows = [row for family, name in zip(families, names, strict=True) for row in _rows(family, of, name)]
    nets = [
        net for family in families for net in [*(family.dense.nets if family.dense else ()), *family.nets]
    ]
    notes = [*said(rows, nets)]
    notes += ["best epoch: chosen on the test images, an oracle and no result"] if "best" in of else []
    notes += [
        "permuted: images whose label was drawn, against it; restored: the same, against their true label"
    ]
    return Sheet(
        "label-noise", "lines", f"{where} under noisy labels: accuracy against sparsity",
        Axis("sparsity", "%", "sparsity"), Axis("accuracy", "%"), tuple(rows), part,
        notes=tuple(notes), sources=ids(nets),
    )  # fmt: skip
