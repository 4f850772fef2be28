"""Transfer a frozen net to another data set: a new output layer on its features, beside nets to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import Report
from ticketctl.artifacts.report_models import ReportData
from ticketctl.artifacts.run import open_run
from ticketctl.errors import DivergedError, UsageError
from ticketctl.recipe_audit import AuditSpec
from ticketctl.recipe_explore import TransferSpec
from ticketctl.stages.audit import Audit
from ticketctl.stages.explored import Explored
from ticketctl.stages.finished import dense_run
from ticketctl.stages.fitting import trained_at
from ticketctl.stages.named import Named, at_epoch, of_run
from ticketctl.stages.shown import shown
from ticketctl.stages.subject import Opener, Subject
from ticketctl.stages.transfer_target import Target


@dataclass(frozen=True)
class Transfer(Audit):
    """The new head on a frozen net: an audit of the net whose images are the target's."""

    made_on: ReportData | None = field(kw_only=True, default=None)
    """The data set of the net itself."""

    def head(self, *names: str) -> Report:
        """A report of these metrics, or all, without values; its data are the net's own."""
        found = super().head(*names)
        assert self.made_on is not None
        spec = {"train": "head", "images": self.wanted.spec["images"]}
        return replace(found, data=self.made_on, recipe={**found.recipe, "transfer": spec})


@dataclass(frozen=True)
class Errand:
    """A net that is transferred, and how."""

    net: Named
    retrained: bool = False
    """Nothing is taken of it but its form and its recipe: a dense net, initialised anew, is trained on the target."""


def frozen(subject: Subject, target: Target, asked: Explored) -> Transfer:
    """The frozen transfer of a net.

    Raises:
        UsageError: as `Target.setting`.
        DivergedError: the net's training left the finite numbers.
    """
    source = subject.setting
    train = source.recipe.train.model_copy(
        update={"batch": 1, "drop_last": False}
    )  # nothing is trained in batches
    images = target.setting(source, train, plain=True)
    bench = replace(images.bench, model=source.bench.model)
    moved = replace(subject, setting=replace(images, bench=bench))
    spec = AuditSpec(images=target.recipe.transfer.images)
    sets = shown(moved, spec, target.seeds, target.around, None, ())
    made_on = ReportData(name=source.base_name, fingerprint=source.data.fingerprint)
    beside = {"target": target.record(images)}
    return Transfer(moved, asked, sets, target.seeds, beside, made_on=made_on)


def opened(errand: Errand, opener: Opener) -> Subject:
    """Its net.

    Raises:
        DivergedError: a run that diverged: its weights are not what its training was to come to.
        MismatchError, UnavailableError, UsageError, ArtifactError: as `Opener.open`.
    """
    run = errand.net.run
    if run is not None and run.manifest.status == "diverged":
        raise DivergedError(f"{run.folder}: diverged; there is nothing to transfer of it")
    return opener.open(errand.net)


def errands(
    found: Sequence[Named], spec: TransferSpec, controls: bool, sets: Mapping[str, Any] | None
) -> list[Errand]:
    """What there is to transfer.

    Args:
        found: what was named.
        spec: which net of a ticket's level is meant, and what is taken of it.
        controls: also the trained dense net of each draw, and a dense net that is trained on the target.
        sets: of the nets' own recipes, as tables.

    Raises:
        UsageError: as `at_epoch`; a level that the draw did not keep trained; no dense net of the draw.
    """
    nets = [at_epoch(_meant(one, spec.of, sets), spec.epoch) for one in found]
    plans = [Errand(net) for net in nets]
    if not controls:
        return plans
    for folder in dict.fromkeys(draw_of(net) for net in nets):
        dense = _dense_of(folder) if folder is not None else None
        if dense is None:
            raise UsageError(
                f"--controls: {folder or nets[0].folder}: no trained dense net lies there, as draw keeps it in levels/0"
            )
        net = at_epoch(of_run(open_run(dense), sets), spec.epoch)
        if spec.keep != "mask" and all(
            dense != one.folder for one in nets
        ):  # of a dense net there is no mask to keep
            plans.append(Errand(net))
        plans.append(Errand(net, retrained=True))
    return plans


def draw_of(net: Named) -> Path | None:
    """The folder of the draw that the net belongs to; None: it lies in none."""
    if net.ticket is not None:
        return net.ticket.folder.parent
    above = [folder for folder in net.folder.parents[:5] if (folder / "ticket/ticket.json").is_file()]
    return above[0] if above else None


def _dense_of(draw: Path) -> Path | None:
    """Its trained dense net; that of a control is the one of the draw whose control it is."""
    controlled = draw.parent.name == "controls"
    return dense_run(draw) or (dense_run(draw.parents[1]) if controlled else None)


def _meant(one: Named, of: str, sets: Mapping[str, Any] | None) -> Named:
    if one.ticket is None or of == "untrained":
        return one
    return of_run(open_run(trained_at(one.ticket, one.level)), sets)
