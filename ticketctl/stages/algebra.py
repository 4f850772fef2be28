"""New tickets from old ones: a level cut out, masks intersected or joined, a net renamed into another naming.

Every one of them is a ticket like any other: it can be spent, audited and pushed, names those it came from as its
parents, and keeps the recipe of the first, so that it is spent as that was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.artifacts.chain import ALGEBRA
from ticketctl.artifacts.compare import difference
from ticketctl.artifacts.ladder import Ladder
from ticketctl.artifacts.masks import Keep
from ticketctl.artifacts.models import Arch
from ticketctl.artifacts.ticket import MANIFEST, Ticket, open_ticket, write_ticket
from ticketctl.errors import ArtifactError, MismatchError, UsageError
from ticketctl.masks.collapse import Collapse, collapse
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import layout, source
from ticketctl.nets.naming import between
from ticketctl.recipe import fingerprint
from ticketctl.stages import lineage
from ticketctl.stages.architecture import fitting, net_from, own_code, shapes_of
from ticketctl.stages.at_level import AtLevel
from ticketctl.stages.records import level_record
from ticketctl.store.files import make_folder
from ticketctl.store.locks import locked
from ticketctl.store.tensors import Tensor
from ticketctl.train.state import from_tensor

TOLERANCE = 1e-4
"""How far the logits of one net under two names may lie apart, relative to the largest."""

_JOIN: dict[str, Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]] = {
    "intersect": np.logical_and,
    "union": np.logical_or,
}


@dataclass(frozen=True)
class Result:
    """A ticket that was made, or was there; what is to be told of it."""

    ticket: Ticket
    made: bool
    notes: tuple[str, ...] = ()


def cut(of: AtLevel, workspace: Path, out: Path | None = None) -> Result:
    """One level as a ticket of its own, without the rest of the ladder: its id is that of the level.

    Raises:
        MismatchError: another ticket lies in the folder.
        ArtifactError, UsageError, ResourceError, LockedError: as their names say.
    """
    manifest = of.ticket.manifest
    levels = [part.model_dump(mode="json") for part in manifest.draw.levels if part.level == of.number]
    draw = {**manifest.draw.model_dump(mode="json"), "levels": levels, "parents": [manifest.ticket_id]}
    fields = {"keep": of.keep, "draw": draw, "level": of.number}
    return _write("cut", [of], fields, workspace, out)


def joined(step: str, of: Sequence[AtLevel], workspace: Path, out: Path | None = None) -> Result:
    """The weights that all of them keep (`intersect`), or any of them (`union`), from the start of the first.

    Raises:
        UsageError: fewer than two, tickets of different nets, or nothing is kept by all.
        MismatchError: another ticket lies in the folder.
        ArtifactError, ResourceError, LockedError: as their names say.
    """
    if len(of) < 2:
        raise UsageError(f"mask {step} needs two tickets at least")
    first = of[0].keep
    for one in of[1:]:
        _check_same(first, one.keep, one.ticket.folder)
    keep = {name: reduce(_JOIN[step], [one.keep[name] for one in of]) for name in first}
    if not any(layer.any() for layer in keep.values()):
        raise UsageError("no weight is kept by all of them: there is no ticket to write")
    base = of[0].ticket
    paths = _paths(base, keep)
    draw = {
        **base.manifest.draw.model_dump(mode="json"),
        "method": step,
        "rounds": 1,
        "params": {},
        "levels": [level_record(1, Mask.from_arrays(keep), paths, {})],
        "cost": {"steps": 0, "images": 0, "epochs": "0"},
        "parents": sorted({one.id for one in of}),
    }
    starts = {one.ticket.manifest.init.digest for one in of}
    notes = [f"starts differ: the ticket takes that of {base.folder}"] if len(starts) > 1 else []
    empty = [f"{name} keeps nothing" for name in sorted(paths.empty_layers)]
    cut_off = ["no path from input to output is left: it cannot be trained"] if paths.cut else []
    fields = {"keep": keep, "draw": draw, "level": 1, "structure": "unstructured"}
    return _write(step, list(of), fields, workspace, out, (*notes, *empty, *cut_off))


def remapped(of: Ticket, to: str, workspace: Path, out: Path | None = None) -> Result:
    """The same ticket under the names of another net: `torchvision:resnet18`, `timm:resnet18`, or ours.

    Every tensor must be found under one name of the same shape, and both nets must answer alike to the same images.

    Raises:
        UsageError: no such net, or the ticket's net already.
        ArtifactError: E_ARCH_MISMATCH: parameters that are not in both, or nets that compute something else.
        MissingExtraError: timm is not installed.
        MismatchError, ResourceError, LockedError: as their names say.
    """
    arch, init = of.manifest.arch, of.init()
    if to == arch.name:
        raise UsageError(f"{of.folder} is a ticket of {to} already")
    own_code(arch)
    target = _target(of, to)
    ours, theirs = (
        shapes_of(net_from(one, values=False)) for one in (arch, target)
    )  # in the nets' own order
    try:
        names = between(ours, theirs, net=to)
    except ArtifactError as error:
        raise ArtifactError(error.code, f"{arch.name} is not {to} under other names: {error.said}") from None
    if missing := sorted(init.keys() - names.keys()):
        raise ArtifactError("E_ARCH_MISMATCH", f"{to} has no {missing[0]} ({len(missing)} such tensors)")
    weights = {names[name]: tensor for name, tensor in init.items()}
    _check_alike(of, target, weights)
    return _write("remap", [AtLevel(of, None)], _renamed(of, target, names, weights), workspace, out)


def _renamed(
    of: Ticket, target: Arch, names: Mapping[str, str], weights: Mapping[str, Tensor]
) -> dict[str, Any]:
    """All that names parameters, under their new names."""
    ladder, draw = of.ladder(), of.manifest.draw.model_dump(mode="json")
    recipe = {**draw["recipe"], "model": {**draw["recipe"].get("model", {}), "name": target.name}}
    levels = [
        {**level, "empty_layers": sorted(names[name] for name in level["empty_layers"])}
        for level in draw["levels"]
    ]
    moved = {names[name]: layer for name, layer in ladder.death.items()} if ladder else {}
    return {
        "arch": target.model_dump(mode="json", exclude={"param_shapes"}),
        "init": weights,
        "keep": {names[name]: layer for name, layer in of.mask().items()},
        "ladder": Ladder(moved, ladder.rounds, (), (), ladder.accuracy) if ladder else None,
        "level": of.manifest.level,
        "excluded": [names.get(name, name) for name in of.manifest.mask.excluded],
        "draw": {**draw, "recipe": recipe, "levels": levels, "parents": [of.manifest.ticket_id]},
    }


def _target(of: Ticket, to: str) -> Arch:
    """The arch of the net that the ticket is moved to, for the same images and classes."""
    arch = of.manifest.arch
    kwargs = dict(arch.kwargs) if source(to) == "ticketctl" else {}
    if source(to) == "ticketctl" and arch.source != "ticketctl":
        kwargs = {"stem": _stem(to, arch)}
    return arch.model_copy(update={"name": to, "source": source(to), "kwargs": kwargs})


def _stem(to: str, arch: Arch) -> str:
    """Nets of the zoos have the stem of ImageNet, but for small images, where ours of the same name has either."""
    for stem in ("imagenet", "cifar"):
        try:
            layout(to, shape=(arch.in_chans, *arch.size), classes=arch.num_classes, stem=stem)
            return stem
        except UsageError:
            continue
    raise UsageError(f"{to} cannot be built for images of {list(arch.size)}")


def _check_alike(of: Ticket, target: Arch, weights: Mapping[str, Tensor]) -> None:
    """Both nets give the same logits on the same noise."""
    arch = of.manifest.arch
    first = fitting(arch, {name: tensor.shape for name, tensor in of.init().items()}, str(of.folder))
    second = net_from(target)
    first.load_state_dict({name: from_tensor(tensor) for name, tensor in of.init().items()})
    second.load_state_dict({name: from_tensor(tensor) for name, tensor in weights.items()})
    images = torch.linspace(-1, 1, 4 * arch.in_chans * arch.size[0] * arch.size[1]).sin()
    images = images.view(4, arch.in_chans, *arch.size)
    with torch.no_grad():
        one, two = first.eval()(images), second.eval()(images)
    if one.shape != two.shape or not torch.allclose(
        one, two, rtol=0, atol=TOLERANCE * float(one.abs().max())
    ):
        raise ArtifactError(
            "E_ARCH_MISMATCH", f"{arch.name} and {target.name} have the same tensors, but answer differently"
        )


def _check_same(first: Keep, other: Keep, where: Path) -> None:
    if apart := difference(first, other):
        raise UsageError(f"{where}: a mask of another net: {apart.replace('the second', 'this one')}")


def _paths(ticket: Ticket, keep: Keep) -> Collapse:
    arch = ticket.manifest.arch
    own_code(arch)
    model = fitting(arch, {name: tensor.shape for name, tensor in ticket.init().items()}, str(ticket.folder))
    return collapse(model, Mask.from_arrays(keep), (arch.in_chans, *arch.size))


def _write(
    step: str,
    of: Sequence[AtLevel],
    fields: Mapping[str, Any],
    workspace: Path,
    out: Path | None,
    notes: tuple[str, ...] = (),
) -> Result:
    """Write the ticket, unless it lies there."""
    first = of[0].ticket.manifest
    said = {
        "step": step,
        "of": [{"ticket": one.ticket.manifest.ticket_id, "level": one.number} for one in of],
    }
    name = fields.get("arch", {}).get("name", first.arch.name).replace(":", "-")
    place = f"{name}-{first.draw.data.name}/{step}-{fingerprint({**said, 'to': name})[:8]}"
    folder = out or workspace / place / f"seed-{first.draw.seeds.get('root', 0)}"
    sources = [one.ticket for one in of]
    lineage.check(sources)
    with locked(folder):
        if (folder / "ticket" / MANIFEST).exists():
            there = open_ticket(folder / "ticket")
            net = fields.get("arch", {}).get("name", first.arch.name)
            if there.manifest.ext.get(ALGEBRA) != said or there.manifest.arch.name != net:
                raise MismatchError(f"{folder}: holds another ticket; give another --out")
            lineage.drew(there, sources)  # a kill may have come between the two
            return Result(there, made=False, notes=notes)
        make_folder(folder / "ticket")
        ticket = write_ticket(
            folder / "ticket",
            **{**_of_first(of[0].ticket), "ext": {**first.ext, ALGEBRA: said}, **fields},
        )
        lineage.drew(ticket, sources)
    return Result(ticket, made=True, notes=notes)


def _of_first(ticket: Ticket) -> dict[str, Any]:
    """What a new ticket has from the first that it is made of, unless the step says otherwise."""
    manifest = ticket.manifest
    return {
        "arch": manifest.arch.model_dump(mode="json", exclude={"param_shapes"}),
        "init": ticket.init(),
        "excluded": manifest.mask.excluded,
        "scope": manifest.mask.scope,
        "structure": manifest.mask.structure,
        "init_role": manifest.init.role,
        "init_step": manifest.init.step,
        "init_epoch": manifest.init.epoch,
        "license": manifest.license,
        "authors": manifest.authors,
        "citation": manifest.citation,
    }
