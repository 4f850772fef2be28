"""Finished dense trainings that several draws have in common: one-shot draws of other densities begin with the same.

A folder for each training, named by its id, with the files of `FitFiles`; they are linked, not copied, so they take
room once. Bits are promised on one machine and one version alone, so trainings of others lie apart. Nothing depends on
what lies here: without it a training is done again, to the same bits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ticketctl import __version__
from ticketctl.errors import ArtifactError, MismatchError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import link_or_copy, make_folder, read_bytes, sha256, write_atomic
from ticketctl.train.bench import Order
from ticketctl.train.device import Place
from ticketctl.train.fitfiles import LIMIT, FitFiles

RECORD, DIGESTS = "record.safetensors", "digests.json"


@dataclass(frozen=True)
class Shelf:
    """The trainings of one machine and version."""

    folder: Path

    @classmethod
    def at(cls, folder: Path, place: Place) -> Shelf:
        """Below `folder`, that of `place`."""
        here = canonical_json({**place.describe(), "ticketctl": __version__})
        return cls(folder / hashlib.sha256(here).hexdigest()[:16])

    @classmethod
    def beside(cls, draw: Path, place: Place) -> Shelf | None:
        """What draws of one net on one data set have in common, `draw` being `…/<method>-<hash>/seed-<n>` among them.

        None for a folder of another form: what lies around it is nobody's business.
        """
        placed = draw.name.startswith("seed-") and re.fullmatch(r".+-[0-9a-f]{8}", draw.parent.name)
        return cls.at(draw.parents[1] / ".dense", place) if placed else None

    def fetch(self, order: Order, files: FitFiles) -> bool:
        """Put the training of `order` into its folder, if it lies here with all weights that are to be kept.

        Returns:
            Whether it did. What is damaged is passed over.
        """
        here = FitFiles(self.folder / order.key)
        try:
            digests = _digests_in(here.folder)
            found = here.read_record(order.key) if digests else None
            if found is None:
                return False
            best = found[0]["best_epoch"]
            paths = [here.final, *map(here.state, order.keep), *([] if best is None else [here.best(best)])]
            paths.append(here.folder / RECORD)
            if not all(digests.get(path.name) == _digest(path) for path in paths):
                return False
        except (ArtifactError, MismatchError, OSError):
            return False
        _link(paths, files.folder)
        return True

    def put(self, order: Order, files: FitFiles) -> None:
        """Keep a finished training, unless it diverged."""
        found, place = files.read_record(order.key), self.folder / order.key
        if found is None or found[0]["status"] != "done":
            return
        parts = ("final.safetensors", "state-*.safetensors", "best-*.safetensors", RECORD)
        _link([path for part in parts for path in sorted(files.folder.glob(part))], place)
        digests = {path.name: _digest(path) for path in sorted(place.glob("*.safetensors"))}
        write_atomic(place / DIGESTS, canonical_json(digests))


def serves(order: Order) -> bool:
    """Whether a training may be another draw's too: dense, and as the recipe has it."""
    return order.mask is None and not order.hooks


def _digests_in(folder: Path) -> dict[str, str]:
    path = folder / DIGESTS
    found = parse_json(read_bytes(path, limit=LIMIT), where=str(path)) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _digest(path: Path) -> str:
    """Files of runs are names of the same bytes: what was done to them there must not come back from here."""
    return sha256(read_bytes(path, limit=LIMIT)) if path.is_file() else ""


def _link(paths: Iterable[Path], folder: Path) -> None:
    """In order: a record says that the rest is there, so it is last."""
    make_folder(folder)
    for path in paths:
        link_or_copy(path, folder / path.name)
