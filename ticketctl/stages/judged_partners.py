"""The dense nets that runs are held against: of the same seeds and recipe, or as they were named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ticketctl.artifacts.run import MANIFEST
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.stages.recorded import Settings
from ticketctl.stages.subjects import Subject, opened

DENSE = "dense"
TRAINED = ("*/seed-*/levels/0", "*/seed-*/spends/*/0-seed-*")
"""Where draws and spends leave dense nets, below the folder of a net and its data."""
WIDTHS = {"model.width": "1", "model.widths": "[]"}
"""As they are in a net that is no small dense one."""
_SEED = re.compile(r"seed-[0-9]+")


def own_dense(subjects: Sequence[Subject]) -> Callable[[Subject], Subject | None]:
    """Finds the dense net of a run: among the named, else where draws and spends of its net and data leave them."""
    named = [run for run in subjects if run.method == DENSE]
    beside: dict[Path, list[Subject]] = {}

    def partner_of(run: Subject) -> Subject | None:
        here = next((one for one in named if _is_dense_of(one, run)), None)
        above = _net_folder(run.folder)
        if here is not None or above is None:
            return here
        if above not in beside:
            beside[above] = list(_dense_below(above))
        return next((one for one in beside[above] if _is_dense_of(one, run)), None)

    return partner_of


def _dense_below(above: Path) -> Iterator[Subject]:
    """Dense nets below `<net>-<data>`; damaged ones, that nobody named, are passed over."""
    for folder in sorted(path for pattern in TRAINED for path in above.glob(pattern)):
        found = []
        with suppress(ArtifactError):
            found = opened([folder] if (folder / MANIFEST).is_file() else [])
        yield from (run for run in found if run.method == DENSE)


def _net_folder(folder: Path) -> Path | None:
    """`<net>-<data>`, of a run in a workspace."""
    seed = next((path for path in folder.parents if _SEED.fullmatch(path.name)), None)
    return seed.parent.parent if seed else None


def _is_dense_of(dense: Subject, run: Subject) -> bool:
    """Whether `dense` is `run` without pruning, tweaks and (of a small dense net) other widths: the same seeds."""
    wide = is_full(dense) if run.method == DENSE else _widths(dense) == _widths(run)
    if dense.tweaks or not wide:
        return False
    same = (dense.net, dense.data, dense.seeds) == (run.net, run.data, run.seeds)
    return same and dense.folder != run.folder and _training(dense.settings) == _training(run.settings)


def is_full(run: Subject) -> bool:
    """Whether it has the usual widths, so that a dense one is what tickets are held against."""
    return _widths(run) == tuple(WIDTHS.values())


def _widths(run: Subject) -> tuple[str, ...]:
    return tuple(run.settings.get(key, usual) for key, usual in WIDTHS.items())


def _training(settings: Settings) -> dict[str, str]:
    """What a training without mask, tweaks and narrow layers reads."""
    aside = ("draw.", "spend.", "search", "transfer", "tweaks.", *WIDTHS)
    return {key: value for key, value in settings.items() if not key.startswith(aside)}


def by_seeds(subjects: Sequence[Subject], name: str) -> dict[tuple[int, int], Subject]:
    """The runs that were named as `--against NAME`, by their root and initialisation.

    Raises:
        UsageError: two runs of one seed.
    """
    found: dict[tuple[int, int], Subject] = {}
    for run in subjects:
        if run.seeds in found:
            raise UsageError(
                f"--against {name}: two runs of seed {run.seeds[0]}, {found[run.seeds].folder} and {run.folder}; "
                "name one level of one recipe"
            )
        found[run.seeds] = run
    return found
