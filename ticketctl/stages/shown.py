"""The sets of images that a net under audit is shown: its own, corrupted ones, and others that no class of it has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ticketctl.data.load import load
from ticketctl.data.others import KIN, NOISE, Strangers, among, noise, unlabelled
from ticketctl.errors import UnavailableError, UsageError
from ticketctl.progress import Attentive
from ticketctl.recipe_audit import AuditSpec
from ticketctl.seeds import Seeds
from ticketctl.stages.setting import Surroundings
from ticketctl.stages.sources import Shelf, Source, chosen, in_pieces, picked
from ticketctl.stages.spoilt import spoilt
from ticketctl.stages.subject import Subject
from ticketctl.store.expand import expanded
from ticketctl.train.feed import Images

FOLDER = "imagefolder"
"""The data set whose classes go by the names of a user's folders."""


def shown(
    subject: Subject,
    spec: AuditSpec,
    seeds: Seeds,
    around: Surroundings,
    shelf: Shelf | None = None,
    needs: Collection[str] = ("ood", "corrupt"),
) -> dict[str, Source]:
    """The sets by name: `train`, `val`, `test`, the others as `ood/NAME`, corrupted ones as `corrupt/NAME/SEVERITY`.

    Args:
        subject: the net.
        spec: how many images of each set, and which others.
        seeds: of the audit; subsets, noise and corruptions are drawn from them.
        around: where data are looked for.
        shelf: of images that other nets are shown as well.
        needs: which of the sets that are not the net's own are wanted.

    Raises:
        UsageError: a set of another form than the net's images, or no such set.
        UnavailableError: one that was named cannot be had.
    """
    setting = subject.setting
    found: dict[str, Source] = {}
    for name, images in subject.images.items():
        places = chosen(len(images), spec.images, seeds, name)
        found[name] = Source(
            partial(_own, images, places), len(images) if places is None else len(places),
            setting.base_name, setting.data.fingerprint, name, {}, places,
        )  # fmt: skip
    if "ood" in needs:
        found |= _outside(subject, spec, seeds, around)
    return found | spoilt(subject, spec, seeds, around, shelf) if "corrupt" in needs else found


def _outside(subject: Subject, spec: AuditSpec, seeds: Seeds, around: Surroundings) -> dict[str, Source]:
    setting, found = subject.setting, {}
    if spec.ood is None:  # nobody asked for a download
        around = replace(around, offline=True)
    for name in spec.ood if spec.ood is not None else (*KIN.get(setting.base_name, ()), NOISE):
        if name == setting.recipe.data.name:
            raise UsageError(f"audit.ood: {name} is the net's own data set")
        try:
            found[f"ood/{name.partition(':')[0]}"] = _other(name, subject, spec, seeds, around)
        except UnavailableError:
            if spec.ood is not None:
                raise
            around.reporter.note(f"ood/{name} is left out: it is not here; named in audit.ood it is fetched")
    return found


def _own(images: Images, places: NDArray[np.int64] | None) -> list[Images]:
    return [picked(images, places)]


def _other(name: str, subject: Subject, spec: AuditSpec, seeds: Seeds, around: Surroundings) -> Source:
    base, _, place = name.partition(":")
    folder = expanded(place)
    if name == NOISE:
        return _noise(subject, spec, seeds)
    if base == FOLDER and place and folder.is_dir() and not (folder / "train").exists():
        return _strangers(folder, subject, spec, seeds, around)
    return _kin(name, subject, spec, seeds, around)


def _noise(subject: Subject, spec: AuditSpec, seeds: Seeds) -> Source:
    data, seed = subject.setting.data, seeds.of("noise")
    count = min(len(data.test), spec.images or len(data.test))
    rows = np.arange(count)
    places = rows if count < len(data.test) else None
    read = partial(noise, data.shape, seeds=seeds)
    return Source(lambda: in_pieces(read, rows, subject), count, NOISE, f"seed:{seed}", "test", {}, places)


def _kin(name: str, subject: Subject, spec: AuditSpec, seeds: Seeds, around: Surroundings) -> Source:
    """The test images of another data set, without labels."""
    data, reporter = subject.setting.data, Attentive(around.reporter, subject.setting.poll)
    other = load(name, cache=around.cache, folder=around.data_dir, offline=around.offline, reporter=reporter)
    if other.shape != data.shape:
        raise UsageError(
            f"audit.ood: {name} has images of {list(other.shape)}, and this net takes {list(data.shape)}"
        )
    base, count = name.partition(":")[0], len(other.test)
    protocol = _restricted(other.classes, subject, around) if base == FOLDER else {}
    places = chosen(count, spec.images, seeds, f"ood/{base}")
    rows = np.arange(count) if places is None else places
    return Source(
        lambda: in_pieces(lambda some: unlabelled(other.test.images[some]), rows, subject), len(rows),
        base, other.fingerprint, "test", protocol, places,
    )  # fmt: skip


def _strangers(folder: Path, subject: Subject, spec: AuditSpec, seeds: Seeds, around: Surroundings) -> Source:
    """The images of a folder DIR/CLASS/IMAGE: ImageNet-O."""
    found = Strangers(folder, subject.setting.data.shape, subject.setting.poll)
    places = chosen(len(found), spec.images, seeds, f"ood/{FOLDER}")
    rows = np.arange(len(found)) if places is None else places
    return Source(
        lambda: in_pieces(found.read, rows, subject), len(rows), FOLDER, found.fingerprint, "test",
        _restricted(found.classes, subject, around), places,
    )  # fmt: skip


def _restricted(theirs: Sequence[str], subject: Subject, around: Surroundings) -> dict[str, Any]:
    """Which of the net's classes its logits are of, where the folders of other images are some of them."""
    own = subject.setting.data.classes
    classes, shared = among(theirs, own), {*theirs} & {*own}
    if shared and {*theirs} - shared:
        around.reporter.note(
            f"ood/{FOLDER}: {len(shared)} of its class folders are classes of the net and {len({*theirs} - shared)} "
            f"are not: all {len(own)} logits and all test images are compared"
        )
    return {} if classes is None else {"classes": classes}
