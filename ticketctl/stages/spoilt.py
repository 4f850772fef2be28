"""The corrupted test images that a net under audit is shown: made here, or a user's folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.corrupted import EXTRA, SMALLEST, STANDARD, Corrupted, Generated
from ticketctl.data.corrupted_folder import Clean, opened
from ticketctl.data.sets import Split
from ticketctl.errors import UsageError, listed, near_miss
from ticketctl.recipe_audit import AuditSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.sources import Shelf, Source, chosen, in_pieces
from ticketctl.stages.subject import Subject
from ticketctl.store.expand import expanded


def spoilt(
    subject: Subject, spec: AuditSpec, seeds: Seeds, around: Surroundings, shelf: Shelf | None
) -> dict[str, Source]:
    """The sets `corrupt/NAME/SEVERITY`; none where the images are of a form that cannot be corrupted.

    Raises:
        UsageError: no such corruption; a folder that is not of these images.
        UnavailableError: the folder is not there.
    """
    wanted = _names(spec)
    found = _corrupted(subject, spec, seeds, around)
    if found is None:
        return {}
    if found.missing():
        around.reporter.note(f"{spec.corrupted}: without {listed(list(found.missing()))}")
    return {
        f"corrupt/{name}/{severity}": _source(found, name, severity, subject, spec, seeds, shelf)
        for name in found.names() if name in wanted
        for severity in found.severities(name) if severity in spec.severities
    }  # fmt: skip


def _names(spec: AuditSpec) -> Sequence[str]:
    every = (*STANDARD, *EXTRA)
    if isinstance(spec.corruptions, str):
        return STANDARD if spec.corruptions == "standard" else every
    odd = next((name for name in spec.corruptions if name not in every), None)
    if odd is not None:
        raise UsageError(f"audit.corruptions: no corruption named {odd!r}; {near_miss(odd, every)}")
    return spec.corruptions


def _corrupted(subject: Subject, spec: AuditSpec, seeds: Seeds, around: Surroundings) -> Corrupted | None:
    data, frost = subject.setting.data, expanded(spec.frost) if spec.frost else None
    if spec.corrupted is not None:
        clean = Clean(subject.setting.base_name, data.shape, data.classes, data.test.labels)
        return opened(expanded(spec.corrupted), clean, subject.setting.poll)
    channels, high, wide = data.shape
    if channels not in (1, 3) or high != wide or high < SMALLEST:
        around.reporter.note(
            f"images of {list(data.shape)} are not corrupted: they are not square, grey or colour"
        )
        return None
    return Generated(data.test, data.fingerprint, seeds, frost, subject.setting.poll)


def _source(
    found: Corrupted,
    name: str,
    severity: int,
    subject: Subject,
    spec: AuditSpec,
    seeds: Seeds,
    shelf: Shelf | None,
) -> Source:
    """The same places as of the clean test images."""
    places, mark = chosen(found.count, spec.images, seeds, "test"), found.stamp(name)
    rows = np.arange(found.count) if places is None else places
    content = found.fingerprint(name)

    def read(some: NDArray[np.int64]) -> Split:
        if shelf is None:
            return found.read(name, severity, some)
        return shelf.get((content, severity, some.tobytes()), lambda: found.read(name, severity, some))

    return Source(
        lambda: in_pieces(read, rows, subject),
        len(rows),
        subject.setting.base_name,
        content,
        "test",
        {"corruption": name, "severity": severity, "stamp": mark.kind, "reason": mark.reason},
        places,
    )
