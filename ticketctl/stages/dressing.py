"""A training with tweaks: their hooks, made from what each needs, and a net of its own that they have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ticketctl import plugins
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.weights import decode_weights, weights_digest
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.nets.initialise import initialise_
from ticketctl.recipe import Recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.params import checked
from ticketctl.stages.setting import Setting, net_of
from ticketctl.stages.tweaking import DENSE, Names, changes, literal
from ticketctl.store.files import read_bytes
from ticketctl.train.curvature import Curvature
from ticketctl.train.hooks import Hooks
from ticketctl.train.kit import Kit, Teacher, Trained, equip, started
from ticketctl.train.lab import Fit, Wish
from ticketctl.train.state import State
from ticketctl.train.watch import Watch


@dataclass(frozen=True)
class Outfit:
    """A setting whose net, course and steps are as the tweaks want them."""

    setting: Setting
    hooks: tuple[Hooks, ...]
    names: Names
    """All tweaks of the job."""
    acting: Names
    """Those that the hooks belong to, in their order."""
    added: int
    """Weights that are not the plain net's."""
    beside: tuple[Hooks, ...] = ()
    """Hooks that are no tweak's."""

    def wish(self, start: State, origin: State | None) -> Wish:
        """How the training differs from the recipe's; distances are measured from `origin`, if it is given."""
        stays = any(literal(name, "STEPS", None) == 0 for name in self.names)
        return Wish(start.step if stays else None, hooks=(*self.hooks, *self.beside), origin=origin)

    def start(self, start: State) -> State:
        """`start` of the plain net, or of this one, with the weights that tweaks have added."""
        return started(start, self.setting.bench.model)

    def mask(self, mask: Mask) -> Mask:
        """What is held at zero: nothing, where a tweak says so."""
        dense = any(literal(name, "DENSE", False) for name in self.names)
        return Mask.full(mask.shapes()) if dense else mask

    def record(self, fit: Fit) -> dict[str, torch.Tensor]:
        """What is kept of what hooks held at the end: a tweak's RECORD, as `<tweak>.<name>`; curvature; metrics."""
        found: dict[str, torch.Tensor] = {}
        for number, name in enumerate(self.acting):
            for key in literal(name, "RECORD", ()):
                held = fit.hook(number).items()
                found |= {f"{name.replace('-', '_')}.{at}": value for at, value in held if at.startswith(key)}
        for number, hook in enumerate(self.beside, len(self.hooks)):
            found |= fit.hook(number) if isinstance(hook, Curvature | Watch) else {}
        return found


def dress(
    setting: Setting,
    recipe: Recipe,
    seeds: Seeds,
    mask: Mask,
    *,
    ticket: Ticket | None,
    teacher: Teacher | None,
    sequel: bool = False,
    begun: int = 0,
) -> Outfit:
    """The outfit of one job.

    Args:
        setting: of the spend, its net plain.
        recipe: of the job.
        seeds: of the job.
        mask: the ticket's; one that keeps everything for the dense net.
        ticket: whose draw's levels a tweak may need; None: it is only to be seen whether the tweaks fit.
        begun: steps of the course before the training begins.
        sequel: whether training begins where another spend ended: what changes the start has had its say there.
        teacher: whom a tweak learns from; None: nobody does, or it is only to be seen whether the tweaks fit.

    Raises:
        UsageError: a key of a tweak cannot be, or the tweak does not fit the net or the data.
        ArtifactError: the teacher or a level is damaged.
    """
    names, settled = recipe.spend.tweaks, _settled(setting, recipe, teacher)
    if not names:
        return Outfit(settled, (), (), (), 0)
    net = _on_device(setting)
    initialise_(net, recipe.model.init, setting.seeds)
    needs = {need for name in names for need in literal(name, "NEEDS", ())}
    kit = Kit(
        replace(setting.bench, model=net, machines={}),
        seeds,
        mask if mask.kept < mask.size else None,
        (teacher or Teacher(setting.bench.model, "")) if "teacher" in needs else None,
        levels_of(ticket) if ticket is not None and "levels" in needs else (),
        0 if sequel else begun,
    )
    acting = tuple(name for name in names if not (sequel and changes(name) == "start"))
    return _worn(settled, kit, acting, recipe)


def _worn(settled: Setting, kit: Kit, acting: Names, recipe: Recipe) -> Outfit:
    """The net of `kit` as `acting` have changed it: the job's tweaks that have a say in this training."""
    net = kit.bench.model
    hooks = tuple(_hook(name, recipe, kit) for name in acting)
    before = _weights(net)
    bench = equip(kit.bench, hooks, settled.seeds)  # initialisation is the draw's, whatever the spend's seed
    added = _weights(net) - before
    initial = started(settled.initial, net)
    return Outfit(replace(settled, bench=bench, initial=initial), hooks, recipe.spend.tweaks, acting, added)


def _settled(setting: Setting, recipe: Recipe, teacher: Teacher | None) -> Setting:
    """The setting with what its recipe says of this job."""
    tables = {name: _public(table, teacher) for name, table in recipe.tweaks.items()}
    return replace(
        setting, recipe=setting.recipe.model_copy(update={"spend": recipe.spend, "tweaks": tables})
    )


def _on_device(setting: Setting) -> nn.Module:
    """Another net as the setting's, its values not set."""
    net = net_of(setting.recipe.model, setting.data)
    net.to(setting.bench.place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    return net


def _weights(net: nn.Module) -> int:
    """Entries of weight matrices, which is what sparsities count: no biases, nothing of BatchNorm."""
    return sum(weight.numel() for weight in net.parameters() if weight.dim() > 1)


def _public(table: Mapping[str, Any], teacher: Teacher | None) -> dict[str, Any]:
    """A tweak's keys as artifacts carry them: a teacher that was named by its place is named by its weights."""
    named = teacher is not None and table.get("teacher", DENSE) != DENSE
    return {**table, "teacher": teacher.digest} if named and teacher else dict(table)


def _hook(name: str, recipe: Recipe, kit: Kit) -> Hooks:
    module = plugins.load("tweaks", name)
    params = checked(module.Params, recipe.tweaks.get(name, {}), f"tweaks.{name}")
    hook: Hooks = module.tweak(kit, params=params)
    return hook


def teacher_of(source: Run | Path, setting: Setting) -> Teacher:
    """The net of a run, or of a weights file.

    Raises:
        UsageError: not the net that is spent, or one that tweaks have changed.
        ArtifactError: its weights are damaged.
    """
    if isinstance(source, Path):
        weights, where = decode_weights(read_bytes(source, limit=1 << 36), where=str(source)), source
    else:
        weights, where = source.weights(), source.folder
        changed = [name for name in source.manifest.arch.tweaks if changes(name) == "net"]
        if changed:
            raise UsageError(f"{where}: this net was changed by {', '.join(changed)}; a plain one can teach")
    shapes = {name: tuple(value.shape) for name, value in setting.initial.weights.items()}
    if {name: tuple(value.shape) for name, value in weights.items()} != shapes:
        raise UsageError(f"{where}: weights of another net than {setting.recipe.model.name} cannot teach it")
    net = _on_device(setting)
    State.from_tensors(weights, 0).load_into(net)
    return Teacher(net.requires_grad_(False).eval(), weights_digest(weights))


def levels_of(ticket: Ticket) -> tuple[Trained, ...]:
    """The sparse levels of the ticket's draw that lie there trained, in order.

    Raises:
        ArtifactError: one of them is damaged.
    """
    found = []
    folder = ticket.folder.parent / "levels"
    for path in sorted(folder.glob("[0-9]*"), key=_number):
        if (path / "run.json").is_file() and _number(path):
            found.append(_trained(path))
    return tuple(found)


def _number(path: Path) -> int:
    return int(path.name) if path.name.isdigit() else 0


def _trained(path: Path) -> Trained:
    run = open_run(path)
    keep = run.mask()
    if keep is None:
        raise ArtifactError("E_COUNT", f"{path}: a sparse level without a mask")
    return Trained(run.manifest.level, Mask.from_arrays(keep), State.from_tensors(run.weights(), 0))
