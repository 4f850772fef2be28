"""Control tickets: what a ticket must beat. Each is a ticket of its own, and is spent like one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.masks.ladder import level_mask, rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.masks.shuffle import shuffle_death
from ticketctl.masks.spread import random_ladder
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.stages.finished import dense_run
from ticketctl.stages.records import level_record, paths_of
from ticketctl.stages.setting import Setting, net_of
from ticketctl.store.files import make_folder
from ticketctl.train.state import State

Death = Mapping[str, NDArray[np.uint8]]


def write_control(folder: Path, kind: str, ticket: Ticket, setting: Setting) -> None:
    """Write the control `kind` of a ticket, a function of the ticket and the draw's seed, into `folder`.

    `shuffled`: the rounds of death permuted inside each layer. `reinit`: the same ladder over a new initialisation,
    trained from step 0. `random-erk`: as many weights at every level, spread by ERK. `inverted`: as many weights at
    every level, those that the draw ranked lowest; of a ladder that ranks by magnitude, those of its dense net.

    Raises:
        StoppedError: asked to stop; what is written is whole, and the next call writes the rest.
    """
    make_folder(folder)
    manifest, ladder = ticket.manifest, ticket.ladder()
    assert ladder is not None
    death = _inverted(ticket, ladder, setting) if kind == "inverted" else _death(kind, ladder, setting)
    fresh = kind == "reinit"
    draw = manifest.draw.model_dump(mode="json")
    write_ticket(
        folder,
        arch=manifest.arch.model_dump(mode="json"),
        draw=draw | {"levels": _levels(death, ladder.rounds, setting), "parents": [manifest.ticket_id]},
        excluded=manifest.mask.excluded,
        scope=manifest.mask.scope,
        level=manifest.level,
        keep=level_mask(death, manifest.level).to_arrays(),
        init=fresh_start(setting).tensors() if fresh else ticket.init(),
        ladder=Ladder(death, ladder.rounds, (), (), ()),
        control={"kind": kind, "of": manifest.ticket_id},
        init_role="init" if fresh else manifest.init.role,
        init_step=0 if fresh else manifest.init.step,
        init_epoch="0" if fresh else manifest.init.epoch,
    )


def _death(kind: str, ladder: Ladder, setting: Setting) -> Death:
    if kind == "shuffled":
        return shuffle_death(ladder.death, setting.seeds)
    return ladder.death if kind == "reinit" else _erk(ladder, setting)


def fresh_start(setting: Setting) -> State:
    """Another initialisation than the draw's, from a stream of its own."""
    other = Seeds(setting.seeds.key("draw", "reinit") % 2**62)
    model = net_of(setting.recipe.model, setting.data)
    initialise_(model, setting.recipe.model.init, other)
    return State.of(model, 0)


def _erk(ladder: Ladder, setting: Setting) -> Death:
    masks = random_ladder(setting.shapes, ladder.kept[1:], setting.seeds)
    return rounds_of_death([Mask.full(setting.shapes), *masks])


def _inverted(ticket: Ticket, ladder: Ladder, setting: Setting) -> Death:
    """The lowest-ranked weights, fewer from level to level; lots decide among equals, of which there can be many.

    Over all layers together where the draw ranked so, else with the ladder's own counts in each layer.
    """
    names = list(setting.shapes)
    scores = {name: score.double().numpy().ravel() for name, score in _scores(ticket, names).items()}
    levels = [level_mask(ladder.death, level).layers() for level in range(1, ladder.rounds + 1)]
    together = ticket.manifest.mask.scope == "global"
    death: dict[str, NDArray[np.uint8]] = {}
    for group in [names] if together else [[name] for name in names]:
        counts = [sum(level[name][0] for name in group) for level in levels]
        places = _places([scores[name] for name in group], group, setting.seeds)
        survived = np.zeros(len(places), np.uint8)
        for count in counts:
            survived += places < count
        ends = np.cumsum([scores[name].size for name in group])[:-1]
        death |= dict(zip(group, np.split(survived, ends), strict=True))
    return {name: death[name].reshape(tuple(setting.shapes[name])) for name in names}


def _places(scores: list[NDArray[np.float64]], names: list[str], seeds: Seeds) -> NDArray[np.int64]:
    """Each weight's place from the lowest score to the highest, equal ones in a random order."""
    lots = [
        seeds.raw("shuffle", "inverted", name, count=score.size)
        for name, score in zip(names, scores, strict=True)
    ]
    order = np.lexsort((np.concatenate(lots), np.concatenate(scores)))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def _scores(ticket: Ticket, names: list[str]) -> dict[str, torch.Tensor]:
    """What the draw ranked, by layer in flat order."""
    stored = ticket.scores()
    if stored is not None:
        return {name: torch.from_numpy(stored[name].copy()) for name in names}
    folder = dense_run(ticket.folder.parent)
    assert folder is not None
    dense = State.from_tensors(open_run(folder).weights(), 0).weights
    return {name: dense[name].abs() for name in names}


def _levels(death: Death, rounds: int, setting: Setting) -> list[dict[str, Any]]:
    found = []
    for level in range(rounds + 1):
        setting.poll()
        mask = level_mask(death, level)
        found.append(level_record(level, mask, paths_of(mask, setting), {}))
    return found
