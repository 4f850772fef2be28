"""What a run kept along its training, as metrics see it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.run import MANIFEST as RUN
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.series import Series
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket
from ticketctl.stages.kept import kept_states
from ticketctl.stages.subjects import ticket_beside
from ticketctl.train.exam import History
from ticketctl.train.state import State

RECORDED = "right.pruned"
"""In the record of a draw by art: uint8 [T, ceil(N / 8)], bits in little order."""


def history_of(run: Run) -> History:
    """Its series, the correct bits of its training images, and the weights of `keep.epochs`, read where asked for; and
    what the draw of its ticket wrote down, if the run is the draw's own.

    Raises:
        ArtifactError: the series, or the ticket, is damaged.
    """
    series = run.series()
    epochs = tuple(kept_states(run.manifest))
    rows: dict[str, NDArray[np.float64]] = {}
    if series is not None:
        rows = dict(zip(series.columns, series.scalars.astype(np.float64).T, strict=True))
        rows["epoch"] = series.epoch.astype(np.float64)
    return History(rows, epochs, partial(_weights, run), _correct(series), _pruned(run, series))


def read_of(run: Run) -> dict[str, str]:
    """Digests of the files that `history_of` reads, by their names: a run's may be there or not, and so its ticket's.

    Raises:
        ArtifactError: the ticket is damaged.
    """
    kept = {state.file for state in kept_states(run.manifest).values()}
    kept |= {run.manifest.series.file} if run.manifest.series else set()
    found = {one.path: one.sha256 for one in run.manifest.files if one.path in kept}
    ticket = _draw_of(run)
    drawn = ticket.manifest.files if ticket else ()
    return found | {f"ticket/{one.path}": one.sha256 for one in drawn if one.role == "record"}


def _pruned(run: Run, series: Series | None) -> NDArray[np.bool_] | None:
    """What the draw of its ticket wrote down of the training images, where this is the draw's own training.

    Under other seeds, with tweaks or another recipe a spend is another training: what a mask was taken from is the
    draw's past, not that of every net which is trained under it.
    """
    ticket = _draw_of(run)
    if series is None or series.samples is None or ticket is None:
        return None
    found = (ticket.record() or {}).get(RECORDED)
    if found is None or found.array().shape[1] != -(-series.samples // 8):
        return None
    return np.unpackbits(found.array(), axis=1, count=series.samples, bitorder="little").astype(bool)


def _draw_of(run: Run) -> Ticket | None:
    """The ticket beside the run, with a record of its draw, where the run is the draw's own training."""
    place = ticket_beside(run.folder)
    own = place.parent / "levels" / str(run.manifest.level)
    if not ((place / MANIFEST).is_file() and (own / RUN).is_file()):
        return None
    ticket, drawn = open_ticket(place), open_run(own).manifest
    same = drawn.ticket == ticket.manifest.ticket_id and drawn.training_id == run.manifest.training_id
    return ticket if same and ticket.has("record") else None


def _weights(run: Run, epoch: int) -> Mapping[str, Any]:
    return State.from_tensors(run.state(f"epoch-{epoch}"), 0).weights


def _correct(series: Series | None) -> NDArray[np.bool_] | None:
    if series is None or series.correct_bits is None or series.samples is None:
        return None
    return np.unpackbits(series.correct_bits, axis=1, count=series.samples, bitorder="little").astype(bool)
