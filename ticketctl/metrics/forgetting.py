"""Forgetting: how often a training image was learned and lost again while the net was trained.

An event is a presentation answered wrongly right after one answered correctly (Toneva et al. 2019, section 3; paper
003, tables 1 and 8 to 10). Presentations are those of the training itself: one in each epoch, augmented, in train mode,
before the step of that batch. `forgetting` is the mean over images, `forgetting.std` the spread over images that the
papers print as ±. `forgetting.unforgettable` is the share of images that were learned and never lost.

An image that was never answered correctly is a class of its own: it counts as many events as presentations, so that it
is the hardest of all, and `forgetting.never-learned` is the share of such images; `forgetting.learned` is the mean
without them. (A count that starts from "wrong before the first epoch" gives them no event, and ranks them with the
unforgettable: DeepCore does.) `forgetting.first` is the epoch, from 1, in which an image is first answered correctly,
over those that ever are. Arrays: `events` of each training image, in the order of the training set, and
`learned_first`, that epoch, -1 where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ticketctl.data.subsets import forgetting
from ticketctl.train.exam import Absent, Exam, Measurement, Value

FACTS = {"data": "what the training answered", "cost": "a moment"}
COMMAND = "probe"
NEEDS = ("history",)
BETTER: dict[str, str] = {}


@dataclass(frozen=True)
class Params:
    """No keys."""


def measure(exam: Exam, *, params: Params) -> Measurement:
    """The rows above; shares in [0, 1]; int64 [N] of events and of first epochs.

    Raises:
        Absent: the net was not trained, its answers were not kept, or there are fewer than two epochs of them.
    """
    if exam.history is None:
        raise Absent("the net was not trained")
    correct = exam.history.correct
    if correct is None:
        raise Absent("what the training answered to each image was not kept")
    if len(correct) < 2 or not correct.shape[1]:
        raise Absent(
            f"{len(correct)} epochs of answers to {correct.shape[1]} images; forgetting takes two epochs"
        )
    exam.poll()
    found = forgetting(correct)
    events, learned = found.events.astype(np.int64), found.learned_first >= 0
    first = np.where(learned, found.learned_first.astype(np.int64) + 1, -1)
    values = {
        "forgetting": Value.mean(events),
        "forgetting.std": Value(float(events.std(ddof=1)) if len(events) > 1 else 0.0, None, len(events)),
        "forgetting.unforgettable": Value.mean(learned & (events == 0)),
        "forgetting.never-learned": Value.mean(~learned),
    }
    if learned.any():
        values |= {
            "forgetting.learned": Value.mean(events[learned]),
            "forgetting.first": Value.mean(first[learned]),
        }
    protocol = {"presentations": len(correct), "never_learned": "as many events as presentations"}
    return Measurement(values, protocol, {"events": events, "learned_first": first})
