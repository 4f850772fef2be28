"""From what was typed to the nets that are probed, transferred or interpolated. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.workspace import folder_of, resolve
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.plugins import is_own, plugins
from ticketctl.recipe import Recipe, fingerprint
from ticketctl.recipe_data import places
from ticketctl.recipe_files import merge, parse_recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.fitting import check_starts, trained_at
from ticketctl.stages.intent import read_intent
from ticketctl.stages.kept import state_after
from ticketctl.stages.levels import levels_in
from ticketctl.stages.places import drawn_tables
from ticketctl.stages.request import Typed, draw_recipe, subject
from ticketctl.stages.tweaking import changes
from ticketctl.store.expand import expanded

Kind = Literal["run", "ticket", "permuted", "random-dense", "plain"]
"""A trained net; a ticket's at a level, untrained; the same with its mask permuted in each layer, or without mask at
its initialisation; a dense net of a recipe, at its initialisation."""


@dataclass(frozen=True)
class Named:
    """A net that somebody named."""

    kind: Kind
    folder: Path
    """What is measured of it is written below."""
    recipe: Recipe
    """Builds the net and says the data; of tweaks, those alone that changed the net."""
    seeds: Seeds
    level: int = 0
    run: Run | None = None
    ticket: Ticket | None = None
    epoch: int | None = None
    """After which the run kept the weights that are meant; None: those of its end."""

    @property
    def label(self) -> str:
        """For people."""
        if self.run is not None:
            return str(self.run.folder) + ("" if self.epoch is None else f" after epoch {self.epoch}")
        at = f"{self.folder}@{self.level}" if self.kind != "plain" else f"{self.folder}"
        return f"{at}, {'untrained' if self.kind in ('ticket', 'plain') else self.kind}"


@dataclass(frozen=True)
class Asked:
    """What was typed of nets."""

    names: Sequence[str] = ()
    level: str | None = None
    model: str | None = None
    data: str | None = None
    seed: int = 0
    """Of the initialisation of a net that `model` names."""
    workspace: Path = Path("runs")
    sets: Mapping[str, Any] | None = None
    """Of the nets' own recipes: where data lie, or a net that is somebody's own code."""


def named(asked: Asked) -> list[Named]:
    """The nets, in the order in which they were named, a ticket's levels ascending.

    A name is a run's, which is trained, or a ticket's, which is not; without a name it is the newest ticket.

    Raises:
        UsageError: no such run, ticket, level or model; words that do not go together.
        ArtifactError: something is damaged.
    """
    if asked.model is not None:
        return [_plain(asked)]
    found: list[Named] = []
    for name in asked.names or (None,):
        found += _one(name, asked)
    return found


def _one(name: str | None, asked: Asked) -> list[Named]:
    if name is not None and not name.strip():
        raise UsageError("a net's name is empty; leave it out for the newest ticket (ticketctl list)")
    if name is not None and folder_of(name, asked.workspace)[1] == "run":
        if asked.level is not None:
            raise UsageError(f"{name} is a run, and a run has one level; --level is for tickets")
        return [of_run(open_run(folder_of(name, asked.workspace)[0]), asked.sets)]
    ticket, level = resolve(name, asked.workspace)
    if level is not None and asked.level is not None:
        raise UsageError(f"{name} says a level, and so does --level; give one of them")
    levels = [level] if level is not None else levels_in(asked.level, ticket, asked.workspace)
    return [of_ticket(ticket, one, asked.sets) for one in levels]


def of_run(run: Run, sets: Mapping[str, Any] | None = None) -> Named:
    """The trained net of a run.

    Raises:
        UsageError: `sets` say another data set, or words of other tables than `[data]` and `[model]`.
    """
    recipe = _recipe(_run_tables(run), sets or {}, str(run.folder), run.manifest.data.name)
    odd = next((tweak for tweak in run.manifest.arch.tweaks if tweak not in plugins("tweaks")), None)
    if odd is not None:
        raise UsageError(f"{run.folder}: the tweak {odd} changed its net, and is not installed here")
    worn = tuple(tweak for tweak in run.manifest.arch.tweaks if changes(tweak) == "net")
    spend = recipe.spend.model_copy(update={"tweaks": worn, "attribution": False})
    recipe = recipe.model_copy(update={"spend": spend})
    return Named(
        "run", run.folder, recipe, _seeds(run.manifest.seeds, str(run.folder)), run.manifest.level, run
    )


def at_epoch(net: Named, epoch: int | None) -> Named:
    """The net as its training left it after an epoch; None: as it is.

    Raises:
        UsageError: it was not trained, or these weights were not kept; says the epochs that were.
    """
    if epoch is None:
        return net
    if net.run is None:
        raise UsageError(
            f"{net.label}, and epoch {epoch} is of a training: name a run that kept it (keep.epochs)"
        )
    state_after(net.run.manifest, epoch, str(net.run.folder))
    return replace(net, epoch=epoch)


def _run_tables(run: Run) -> Mapping[str, Any]:
    """The run's recipe, with the place of its data, where its draw knows it and they lie there."""
    drawn = (folder for folder in run.folder.resolve().parents[:5] if (folder / "ticket").is_dir())
    for intent in map(read_intent, drawn):
        if intent is None or intent.get("data") != run.manifest.data.fingerprint:
            continue
        name = str(places(intent["asked"].get("recipe", {}).get("data", {})).get("name", ""))
        target = name.partition(":")[2]
        with suppress(UsageError):  # a user's whom this machine does not know
            if target and expanded(target).exists():
                return merge(run.manifest.recipe, {"data": {"name": name}})
    return run.manifest.recipe


def lacks_place(data: str) -> bool:
    """Whether the name of a data set takes a path behind a colon, and has none."""
    found = plugins("data").get(data)
    return found is not None and f"{data}:" in found.help


def check_known(whose: str, data: str, folder: Path | None, note: str = "") -> None:
    """Refuse data of somebody's own, where nothing says where those lie: tickets and runs carry no path.

    Args:
        whose: how the line begins: "X was made on".
        data: their name.
        folder: what `--data-dir` says.
        note: what is said of the path to write.

    Raises:
        UsageError: says what would say it.
    """
    if folder is None and lacks_place(data):
        raise UsageError(
            f"{whose} {data}, and where that lies is not known here; write --data {data}:PATH{note}, or give --data-dir"
        )


def check_places(nets: Sequence[Named], folder: Path | None) -> None:
    """As `check_known`, of nets, before anything is measured.

    Args:
        nets: what was named.
        folder: what `--data-dir` says.

    Raises:
        UsageError: names the net.
    """
    for net in nets:
        check_known(f"{net.label} was made on", net.recipe.data.name, folder, ", the net's own data")


def of_ticket(
    ticket: Ticket, level: int, sets: Mapping[str, Any] | None = None, kind: Kind = "ticket"
) -> Named:
    """A ticket's net at a level, from which nothing was trained yet; level 0 is dense.

    Raises:
        UsageError: as `of_run`; or the ticket has no weights of this level, or no such level.
    """
    tables, drawn = drawn_tables(ticket), ticket.manifest.draw
    recipe = _recipe(tables, sets or {}, str(ticket.folder), drawn.data.name)
    plain = recipe.spend.model_copy(update={"tweaks": (), "attribution": False, "start": "ticket"})
    recipe = recipe.model_copy(update={"spend": plain})
    check_starts([ticket], [level], recipe)
    if level:
        ticket.ticket_id_at(level)
    return Named(kind, ticket.folder, recipe, _seeds(drawn.seeds, str(ticket.folder)), level, None, ticket)


def with_controls(found: Sequence[Named], sets: Mapping[str, Any] | None) -> list[Named]:
    """Each ticket's level with the nets that it is compared with: its mask permuted in each layer; the dense net at its
    initialisation, unless that is level 0 and named; and the dense net that the draw trained.

    Raises:
        UsageError: one of them is no ticket, or its draw kept no trained dense net.
    """
    nets: list[Named] = []
    for one in found:
        if one.ticket is None:
            raise UsageError(f"--controls: {one.label} is no ticket; the controls are of a ticket's mask")
        nets.append(one)
        nets += [of_ticket(one.ticket, one.level, sets, "permuted")] if one.level else []
    for ticket in {one.ticket.folder: one.ticket for one in nets if one.ticket}.values():
        if not any(_begins(one, ticket) for one in nets):
            nets.append(of_ticket(ticket, 0, sets, "random-dense"))
        nets.append(of_run(open_run(trained_at(ticket, 0)), sets))
    return nets


def _begins(one: Named, ticket: Ticket) -> bool:
    """Whether it is the dense net of the ticket at its initialisation."""
    return one.folder == ticket.folder and one.level == 0 and ticket.manifest.init.role == "init"


def _plain(asked: Asked) -> Named:
    if asked.names or asked.level is not None:
        raise UsageError("--model names a dense net that is initialised anew; leave out NET and --level")
    plain = draw_recipe(Typed(model=asked.model, data=asked.data)).recipe
    recipe = parse_recipe(merge(plain.record(), asked.sets), where="--set") if asked.sets else plain
    changed = recipe.changed("model", "data")
    own = "untrained" if changed == plain.changed("model", "data") else f"untrained-{fingerprint(changed)}"
    folder = asked.workspace / subject(recipe) / own / f"seed-{asked.seed}"
    return Named("plain", folder, recipe, Seeds(asked.seed, recipe.seeds.model_dump(exclude_none=True)))


def _seeds(said: Mapping[str, int], where: str) -> Seeds:
    if "root" not in said:
        raise ArtifactError(
            "E_MANIFEST", f"{where}: its seeds have no root, so its net cannot be built again"
        )
    return Seeds(int(said["root"]), {name: root for name, root in said.items() if name != "root"})


def _recipe(tables: Mapping[str, Any], sets: Mapping[str, Any], where: str, data: str) -> Recipe:
    said = {f"{table}.{key}" for table, keys in sets.items() for key in keys}
    other = min(said - {"model.name", "data.name"}, default=None)
    if other is not None:
        raise UsageError(f"--set {other}: a net is taken as it is; data.name says where its data lie")
    model = tables.get("model")
    net = str(model.get("name", "")) if isinstance(model, Mapping) else ""
    if is_own("nets", net) and sets.get("model", {}).get("name") != net:
        raise UsageError(
            f"{where}: its net is {net}, code that would be run; if you trust it: --set model.name={net}"
        )
    try:
        recipe = parse_recipe(merge(tables, sets), where=where)
    except UsageError as error:
        if sets:
            raise
        raise ArtifactError("E_MANIFEST", f"{error}: no net can be built by its recipe") from None
    if recipe.data.name.partition(":")[0] != data:
        raise UsageError(f"{where}: trained on {data}, not on {recipe.data.name}")
    return recipe
