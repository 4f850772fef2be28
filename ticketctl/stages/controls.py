"""Control tickets: what a ticket must beat. Each is a ticket of its own, and is spent like one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.models import ticket_id
from ticketctl.artifacts.ticket import write_ticket
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
from ticketctl.train.lab import Level
from ticketctl.train.state import State

KINDS = ("shuffled", "reinit", "random-erk")
Death = Mapping[str, NDArray[np.uint8]]


def write_controls(
    folder: Path, death: Death, last: Level, setting: Setting, fields: Mapping[str, Any], init: str
) -> None:
    """Write all three below `folder`.

    `shuffled`: the rounds of death permuted inside each layer. `reinit`: the same ladder over a new initialisation,
    trained from step 0. `random-erk`: as many weights at every level, spread by ERK.
    """
    of = ticket_id(setting.arch, init, mask_digest(last.mask.to_arrays()))
    rounds = len(fields["draw"]["levels"]) - 1
    start = last.start
    for kind, ladder, weights in (
        ("shuffled", shuffle_death(death, setting.seeds), start),
        ("reinit", death, fresh_start(setting)),
        ("random-erk", _erk(death, rounds, setting), start),
    ):
        target = folder / kind / "ticket"
        make_folder(target)
        step = setting.rewind_step() if kind != "reinit" else 0
        draw = {**fields["draw"], "levels": _levels(ladder, rounds, setting), "parents": [of]}
        write_ticket(
            target,
            **{**fields, "draw": draw},
            keep=level_mask(ladder, rounds).to_arrays(),
            init=weights.tensors(),
            ladder=Ladder(ladder, rounds, (), (), ()),
            control={"kind": kind, "of": of},
            init_role="rewind" if step else "init",
            init_step=step,
            init_epoch=repr(step / setting.bench.feed.steps_per_epoch) if step else "0",
        )


def fresh_start(setting: Setting) -> State:
    """Another initialisation than the draw's, from a stream of its own."""
    model_spec = setting.recipe.model
    other = Seeds(setting.seeds.key("draw", "reinit") % 2**62)
    shape, classes = setting.data.shape, len(setting.data.classes)
    model = build(model_spec.name, shape=shape, classes=classes, stem=model_spec.stem)
    initialise_(model, model_spec.init, other)
    return State.of(model, 0)


def _erk(death: Death, rounds: int, setting: Setting) -> Death:
    counts = [level_mask(death, level).kept for level in range(1, rounds + 1)]
    return rounds_of_death([Mask.full(setting.shapes), *random_ladder(setting.shapes, counts, setting.seeds)])


def _levels(death: Death, rounds: int, setting: Setting) -> list[dict[str, Any]]:
    masks = (level_mask(death, level) for level in range(rounds + 1))
    return [level_record(number, mask, setting, {}) for number, mask in enumerate(masks)]
