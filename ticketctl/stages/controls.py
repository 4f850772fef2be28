"""Control tickets: what a ticket must beat. Each is a ticket of its own, and is spent like one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.ticket import Ticket, write_ticket
from ticketctl.masks.ladder import level_mask, rounds_of_death
from ticketctl.masks.mask import Mask
from ticketctl.masks.shuffle import shuffle_death
from ticketctl.masks.spread import random_ladder
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.stages.records import level_record
from ticketctl.stages.setting import Setting
from ticketctl.store.files import make_folder
from ticketctl.train.state import State

Death = Mapping[str, NDArray[np.uint8]]


def write_control(folder: Path, kind: str, ticket: Ticket, setting: Setting) -> None:
    """Write the control `kind` of a ticket, a function of the ticket and the draw's seed, into `folder`.

    `shuffled`: the rounds of death permuted inside each layer. `reinit`: the same ladder over a new initialisation,
    trained from step 0. `random-erk`: as many weights at every level, spread by ERK.

    Raises:
        StoppedError: asked to stop; what is written is whole, and the next call writes the rest.
    """
    make_folder(folder)
    manifest, ladder = ticket.manifest, ticket.ladder()
    assert ladder is not None
    death = _death(kind, ladder, setting)
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
    model_spec = setting.recipe.model
    other = Seeds(setting.seeds.key("draw", "reinit") % 2**62)
    shape, classes = setting.data.shape, len(setting.data.classes)
    model = build(model_spec.name, shape=shape, classes=classes, stem=model_spec.stem)
    initialise_(model, model_spec.init, other)
    return State.of(model, 0)


def _erk(ladder: Ladder, setting: Setting) -> Death:
    masks = random_ladder(setting.shapes, ladder.kept[1:], setting.seeds)
    return rounds_of_death([Mask.full(setting.shapes), *masks])


def _levels(death: Death, rounds: int, setting: Setting) -> list[dict[str, Any]]:
    found = []
    for level in range(rounds + 1):
        setting.poll()
        found.append(level_record(level, level_mask(death, level), setting, {}))
    return found
