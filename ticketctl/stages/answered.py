"""What a net says to each set of images, asked once and kept beside its run: every number of it can be taken again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.samples import FOLDER, LIMIT, Samples, SamplesData, decode_samples, encode_samples
from ticketctl.errors import ArtifactError
from ticketctl.stages.conditions import machine
from ticketctl.stages.sources import Source
from ticketctl.stages.subject import Subject
from ticketctl.store.files import make_folder, read_bytes, write_atomic
from ticketctl.train.exam import Answers
from ticketctl.train.predict import answers_of

PROTOCOL = {"mode": "eval", "precision": "f32", "normalisation": "stored", "batchnorm": "stored"}


@dataclass
class Answered:
    """The answers of one net, by set; a file that is not of this net, these images and this way of asking is written
    anew.
    """

    subject: Subject
    shown: Mapping[str, Source]
    """The sets of images, as `shown.shown` gives them."""
    sources: dict[str, str] = field(default_factory=dict)
    """Digests of what was asked for so far, by set."""
    poll: Callable[[], None] = lambda: None
    """Called while the net is asked; raises where somebody asked to stop."""
    _held: dict[str, Samples] = field(default_factory=dict)
    """The net's own sets, which most metrics read."""

    def __call__(self, name: str) -> Answers:
        """The answers to the set `name`."""
        found = self._held.get(name) or self._kept(name) or self._asked(name)
        if "/" not in name:
            self._held[name] = found
        self.sources[found.set] = found.digest
        classes = found.protocol.get("classes")
        asked = None if classes is None else np.array(classes, dtype=np.int64)
        return Answers(np.array(found.logits), np.array(found.labels), asked)

    def of(self, needs: Iterable[str]) -> list[str]:
        """The sets that a metric with these `NEEDS` is shown, sorted."""
        wanted = set(needs)
        return sorted(known for known in self.shown if known.partition("/")[0] in wanted)

    def there(self, name: str) -> bool:
        """Whether the set was answered before."""
        return self._path(name).is_file() and self._kept(name) is not None

    def not_finite(self, name: str) -> int:
        """Of how many images of the set some logit is no finite number."""
        return int((~np.isfinite(self(name).logits).all(axis=1)).sum())

    def has(self, sources: Mapping[str, str]) -> bool:
        """Whether the answers with these digests are there, by the names of their files."""
        kept = {self.file_name(name): name for name in self.shown}
        found = {name: self._kept(kept[name]) for name in sources if name in kept}
        return all(
            (one := found.get(name)) is not None and one.digest == digest for name, digest in sources.items()
        )

    def described(self, names: Iterable[str]) -> dict[str, Any]:
        """Which images the sets of these names are, as a record."""
        sources = {name: self.shown[name] for name in names}
        return {
            self.file_name(name): to_record([one.name, one.fingerprint, one.split, one.protocol])
            for name, one in sources.items()
        }

    def file_name(self, name: str) -> str:
        """Of a set, as its file is called: `ood/noise` is `ood-noise`, 512 images of it `ood-noise-n512`."""
        source = self.shown[name]
        plain = name.replace("/", "-").replace("_", "-")
        return plain if source.places is None else f"{plain}-n{source.count}"

    def _path(self, name: str) -> Path:
        return self.subject.named.folder / FOLDER / f"{self.file_name(name)}.safetensors"

    def _kept(self, name: str) -> Samples | None:
        try:
            found = decode_samples(read_bytes(self._path(name), limit=LIMIT), where=str(self._path(name)))
        except ArtifactError:  # none is there, or a damaged one: it is made again
            return None
        new = self._empty(name, found)
        words = [(one.set, one.subject, one.data, one.protocol) for one in (found, new)]
        same = words[0] == words[1] and np.array_equal(found.places(), new.places())
        return found if same and self._labelled(name, found) else None

    def _labelled(self, name: str, found: Samples) -> bool:
        """Whether the labels are those of the net's own set; other sets have none, or are made with them."""
        return "/" in name or np.array_equal(found.labels, self.shown[name].images().labels.cpu().numpy())

    def _asked(self, name: str) -> Samples:
        setting = self.subject.setting
        parts = [answers_of(setting.bench.model, images, self.poll) for images in self.shown[name].pieces()]
        answers = Answers(
            np.concatenate([one.logits for one in parts]), np.concatenate([one.labels for one in parts])
        )
        made = encode_samples(self._empty(name, answers))
        make_folder(self._path(name).parent)
        write_atomic(self._path(name), made)
        return decode_samples(made, where=str(self._path(name)))

    def _empty(self, name: str, answers: Answers | Samples) -> Samples:
        """The samples of this net and way of asking that hold these answers."""
        setting, source = self.subject.setting, self.shown[name]
        return Samples(
            set=self.file_name(name),
            subject=self.subject.said.weights,
            data=SamplesData(name=source.name, fingerprint=source.fingerprint, split=source.split),
            logits=answers.logits,
            labels=answers.labels,
            index=source.places,
            protocol=to_record({**PROTOCOL, **machine(setting.bench.place), **source.protocol}),
        )
