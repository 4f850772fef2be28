"""The nets of an interpolation, opened one after the other; many of them may share one net in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticketctl.artifacts.report_models import Subject as Said
from ticketctl.errors import DivergedError, MismatchError, UsageError
from ticketctl.stages.between import Between
from ticketctl.stages.conditions import own_images
from ticketctl.stages.named import Named
from ticketctl.stages.subject import Opener, Subject
from ticketctl.train.feed import Images
from ticketctl.train.terrain import End


@dataclass(frozen=True)
class Ends:
    """Nets of one form and on one data set, and the one whose report it is."""

    subject: Said
    first: Subject
    """The first of them. The net of its setting holds its weights, until the `Opener` opens another."""
    ends: tuple[End, ...]
    said: tuple[Mapping[str, Any], ...]
    """Of each end, which net it is: plain JSON."""
    apart: tuple[str, ...] = ()
    """Of `train` and `val`, the sets that are not the same images under the same labels for all of them."""

    @property
    def images(self) -> dict[str, Images]:
        """What they are measured on: the first net's sets; no validation images that another has trained on."""
        return {
            name: one for name, one in self.first.images.items() if name != "val" or name not in self.apart
        }

    @property
    def remarks(self) -> tuple[str, ...]:
        """What changes how their report is to be read."""
        told = {
            "val": "these nets were held out different validation images, and some trained on the others': errors are "
            "taken on the test images instead",
            "train": "these nets were not trained on the same images and labels: train means the first net's",
        }
        return tuple(told[name] for name in self.apart)


@dataclass(frozen=True)
class _Met:
    """What stays of a net that was opened, whose data are let go."""

    end: End
    said: Mapping[str, Any]
    label: str
    data: str
    """Its name."""
    fingerprint: str
    form: Mapping[str, Any]
    own: Mapping[str, str]
    """Digests of its images and their labels."""


def opened(between: Between, opener: Opener) -> Ends:
    """The nets; the first is opened last, so that its weights stay in the net.

    Raises:
        DivergedError: there are several, and the training of one has diverged.
        UsageError: a net of another form than the first; MismatchError: of another data set.
        ArtifactError, UnavailableError: as `Opener.open`.
    """
    if len(between.ends) > 1:
        _refuse_diverged(between.ends)
    last = opener.open(between.subject)
    own, met = last.said, list[_Met]()
    for name, net in zip(reversed(between.names), reversed(between.ends), strict=True):
        _let_go(opener)
        last = opener.open(net)
        met.insert(0, _met(name, last))
    for other in met[1:]:
        _check_alike(met[0], other)
    apart = (name for name in ("train", "val") if len({one.own.get(name) for one in met}) > 1)
    return Ends(own, last, tuple(one.end for one in met), tuple(one.said for one in met), tuple(apart))


def _let_go(opener: Opener) -> None:
    """All settings but the newest: each holds its data in memory, and twins, whose seeds differ, have one each."""
    for key in [*opener.settings][:-1]:
        del opener.settings[key]


def _met(name: str, subject: Subject) -> _Met:
    return _Met(
        End(name, subject.state, subject.mask),
        {"name": name, **subject.said.model_dump(mode="json")},
        subject.named.label,
        subject.setting.base_name,
        subject.setting.data.fingerprint,
        _form(subject),
        own_images(subject.images),
    )


def _refuse_diverged(nets: Sequence[Named]) -> None:
    odd = next((net for net in nets if net.run is not None and net.run.manifest.status == "diverged"), None)
    if odd is not None:
        raise DivergedError(f"{odd.label}: its training diverged; there is no path from it to another net")


def _check_alike(first: _Met, other: _Met) -> None:
    """Weights of the one must mean in the other's net what they mean in its own."""
    if first.fingerprint != other.fingerprint:
        ours, theirs = (f"{one.data} ({one.fingerprint[:18]})" for one in (first, other))
        raise MismatchError(f"{other.label} and {first.label} were trained on other data: {theirs}, {ours}")
    odd = next(
        (name for name in (*first.form, *other.form) if first.form.get(name) != other.form.get(name)), None
    )
    if odd is not None:
        was, wanted = _word(other.form.get(odd)), _word(first.form.get(odd))
        raise UsageError(f"{other.label}: another net than {first.label}: {odd} is {was}, not {wanted}")


def _form(subject: Subject) -> dict[str, Any]:
    """All but its weights that a net's answers are a function of: code, tweaks, normalisation, shapes of tensors."""
    recipe, model = subject.setting.recipe, subject.setting.bench.model
    scaling = subject.images["test"].scaling
    keys = recipe.model.model_dump(mode="json", exclude={"init"})
    return {
        **{f"model.{key}": value for key, value in keys.items()},
        "tweaks": {name: recipe.tweaks.get(name, {}) for name in subject.named.recipe.spend.tweaks},
        "normalisation": [value.flatten().tolist() for value in (scaling.scale, scaling.offset)],
        **{name: tuple(value.shape) for name, value in model.state_dict().items()},
    }


def _word(value: Any) -> str:
    if value == {}:
        return "none"
    return ", ".join(value) if isinstance(value, dict) else "not there" if value is None else str(value)
