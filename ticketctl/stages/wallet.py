"""Which ticket, levels, seeds and recipe a spend means. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ticketctl.artifacts.models import CONTROL_KINDS
from ticketctl.artifacts.records import to_record
from ticketctl.artifacts.ticket import Ticket, open_ticket
from ticketctl.errors import UsageError
from ticketctl.recipe import Recipe, fingerprint
from ticketctl.recipe_files import assignments, read_recipe
from ticketctl.seeds import Seeds
from ticketctl.stages.fitting import check_fit, check_needs, check_starts, settled_start
from ticketctl.stages.levels import levels_in
from ticketctl.stages.meant import meant
from ticketctl.stages.places import by_content, drawn_tables, with_ids
from ticketctl.stages.request import Typed, check_trust, spend_recipe
from ticketctl.stages.tweaking import (
    DENSE,
    Names,
    asked_sets,
    check_keys,
    literal,
    needs_mask,
    recipe_with,
    sequel_of,
    sets_of,
    tweak_set,
    without_unspent,
)
from ticketctl.stages.watching import settled_watch


@dataclass(frozen=True)
class Wanted:
    """What was typed."""

    ticket: str | None
    levels: str | None
    seeds: list[int] | None
    controls: bool
    workspace: Path
    typed: Typed
    tweaks: tuple[str, ...] = ()
    """One text for each `--tweaks`."""
    argv: tuple[str, ...] = ()
    """The command's arguments, by which an unfinished spend without a ticket's name is known again."""


@dataclass(frozen=True)
class Job:
    """One training to do or to find."""

    ticket: Ticket
    level: int
    seed: int
    folder: Path

    drawn: Path | None
    """The draw's own run of this level, if recipe and seed are the draw's."""

    recipe: Recipe
    """With the tweaks of this job alone."""
    after: Job | None = None
    """The spend from whose end this one begins."""
    teacher: Job | Path | None = None
    """The dense net to learn from, or the run or weights file that was named."""

    @property
    def tweaks(self) -> Names:
        """What is changed in the training."""
        return self.recipe.spend.tweaks

    @property
    def before(self) -> tuple[Job, ...]:
        """Jobs that must be done before this one."""
        return tuple(job for job in (self.after, self.teacher) if isinstance(job, Job))

    @property
    def found(self) -> Path | None:
        """Where the run lies, if it is there already: among the draw's own, or as an earlier spend left it."""
        places = (folder for folder in (self.drawn, self.folder) if folder)
        return next((folder for folder in places if (folder / "run.json").exists()), None)

    @property
    def ready(self) -> bool:
        """Whether the run is there already."""
        return self.found is not None


@dataclass(frozen=True)
class Chosen:
    """A spend, settled."""

    recipe: Recipe
    jobs: tuple[Job, ...]
    draw_seeds: Seeds
    notes: tuple[str, ...]
    ticket: Ticket
    levels: tuple[int, ...]
    seeds: tuple[int, ...]
    given: Recipe
    """The draw's recipe, from which `recipe` may differ."""
    typed_sets: tuple[Names, ...] = ()
    """The tweak sets that were typed."""
    sets: tuple[Names, ...] = ((),)
    """All that are spent, the plain one too; that of none is empty."""


def prepare_spend(wanted: Wanted) -> Chosen:
    """Settle a spend, and say each choice that was made for the user.

    Raises:
        UsageError: no such ticket, level, key; controls that were not drawn.
        ArtifactError: the ticket is damaged.
    """
    ticket, level, notes = meant(wanted.ticket, wanted.workspace, wanted.argv)
    manifest = ticket.manifest
    if level is not None and wanted.levels is not None:
        raise UsageError("the ticket's name says a level, and so does --level; give one of them")
    levels = levels_in(wanted.levels, ticket, wanted.workspace) if level is None else [level]
    drawn_seed = int(manifest.draw.seeds["root"])
    seeds = wanted.seeds or [drawn_seed]
    drawn = drawn_tables(ticket)
    check_trust(wanted.typed, drawn)
    given, choice = spend_recipe(Typed(), drawn).recipe, spend_recipe(wanted.typed, drawn)
    check_fit(ticket, choice.recipe)
    tickets = [ticket, *(_controls(ticket) if wanted.controls else [])]
    recipe, started = settled_start(with_ids(choice.recipe, wanted.workspace), ticket)
    check_starts(tickets, levels, recipe)
    notes += [f"level {levels[0]}: the deepest"] if level is None and wanted.levels is None else []
    notes += [f"seed {drawn_seed}: the draw's"] if wanted.seeds is None else []
    overrides = {key: value for key, value in manifest.draw.seeds.items() if key != "root"}
    check_keys(recipe)
    sets = sets_of(recipe, wanted.tweaks)
    check_needs(tickets, sets)
    filed = read_recipe(wanted.typed.recipe) if wanted.typed.recipe else {}
    typed = assignments(wanted.typed.sets)
    recipe, unspent = without_unspent(recipe, sets, typed, filed)
    recipe, unwatched = settled_watch(recipe, typed, filed)
    asked = asked_sets(recipe, wanted.tweaks)
    todo = jobs(tickets, levels, seeds, recipe, sets, wanted.workspace, asked)
    return Chosen(
        recipe,
        tuple(todo),
        Seeds(drawn_seed, overrides),
        (*notes, *choice.notes, *started, *unspent, *unwatched, *_undressed(sets, recipe)),
        ticket,
        tuple(levels),
        tuple(seeds),
        given,
        tuple(tweak_set([words]) for words in wanted.tweaks),
        tuple(sets),
    )


def jobs(
    tickets: Sequence[Ticket],
    levels: Sequence[int],
    seeds: Sequence[int],
    recipe: Recipe,
    sets: Sequence[Names] = ((),),
    workspace: Path = Path("runs"),
    asked: Sequence[Names] | None = None,
) -> list[Job]:
    """Every run of a spend: the dense net first, then each ticket's levels, under each tweak set; with what they need.

    The dense net is trained without tweaks, and for an attribution also with those of each set that was `asked` for
    (None: with all `sets`); work that several jobs share stands there once.
    """
    dense = recipe.spend.dense or 0 in levels
    plain = [()] if dense else []
    tweaked = [
        names for names in sets if dense and names and _with_dense(names, recipe, levels, asked or sets)
    ]
    pairs = [(tickets[0], 0, names) for names in [*plain, *tweaked]]
    pairs += [(ticket, level, names) for names in sets for ticket in tickets for level in levels if level]
    found: dict[Path, Job] = {}
    for ticket, level, names in pairs:
        for seed in seeds:
            for one in needed_by(_job(ticket, level, seed, recipe, names, workspace)):
                found.setdefault(one.folder, one)
    for names in sets:
        if names and not any(names == spent for _, _, spent in pairs):
            raise UsageError(
                f"tweaks {', '.join(names)}: level 0 is the dense net, which has no mask for them; "
                "name a level of the ticket"
            )
    return list(found.values())


def needed_by(job: Job) -> Iterator[Job]:
    """All that must be done before the job, in order, and the job."""
    for before in job.before:
        yield from needed_by(before)
    yield job


def _with_dense(names: Names, recipe: Recipe, levels: Sequence[int], asked: Sequence[Names]) -> bool:
    """Whether the dense net is spent with these tweaks too: level 0 is, and for an attribution what was asked for."""
    wanted = 0 in levels or (recipe.spend.attribution and names in asked)
    return wanted and not any(needs_mask(name) for name in names)


def _undressed(sets: Sequence[Names], recipe: Recipe) -> list[str]:
    """The tweaks for which an attribution has no dense row."""
    names = dict.fromkeys(name for names in sets for name in names if needs_mask(name))
    said = ", ".join(names)
    return [f"attribution: the dense net has no mask for {said}, so it is not trained with it"] * bool(
        names and recipe.spend.attribution
    )


def _job(ticket: Ticket, level: int, seed: int, general: Recipe, names: Names, workspace: Path) -> Job:
    recipe = settled_start(recipe_with(general, names), ticket)[0]
    folder = run_folder(ticket, recipe, level, seed)
    drawn = None if names else _drawn(ticket, level, seed, recipe)
    sequel = sequel_of(names)
    rest = tuple(name for name in names if name != sequel)
    after = _job(ticket, level, seed, general, rest, workspace) if sequel else None
    teacher = _teacher(ticket, seed, general, names, workspace)
    return Job(ticket, level, seed, folder, drawn, recipe, after, teacher)


def _teacher(ticket: Ticket, seed: int, general: Recipe, names: Names, workspace: Path) -> Job | Path | None:
    """Whom the tweak that needs a teacher learns from: the dense run of the same seed, or a run that is named."""
    if not any("teacher" in literal(name, "NEEDS", ()) for name in names):
        return None
    return teacher_named(general, names, workspace) or _job(ticket, 0, seed, general, (), workspace)


def teacher_named(recipe: Recipe, names: Names, workspace: Path) -> Path | None:
    """The run or weights file that a tweak is to learn from; None: no tweak learns, or it learns from the dense run.

    Raises:
        UsageError: nothing is there.
    """
    learning = next((name for name in names if "teacher" in literal(name, "NEEDS", ())), None)
    named = DENSE if learning is None else str(recipe.tweaks.get(learning, {}).get("teacher", DENSE))
    if named == DENSE:
        return None
    for folder in (Path(named), workspace / named):
        if (folder / "run.json").is_file() or (folder.suffix == ".safetensors" and folder.is_file()):
            return folder
    raise UsageError(
        f"tweaks.{learning}.teacher: no run in {named!r}; name a folder with run.json, a weights file, or {DENSE}"
    )


def _drawn(ticket: Ticket, level: int, seed: int, recipe: Recipe) -> Path | None:
    draw, drawn = ticket.manifest.draw, drawn_tables(ticket)
    sections = ("model", "data", "train", "keep", "seeds")
    same = {key: to_record(recipe.record(*sections)).get(key) for key in sections}
    if recipe.data.name.partition(":")[0] == str(drawn["data"]["name"]).partition(":")[0]:
        same["data"]["name"] = drawn["data"]["name"]  # of one and the same set, wherever it lies
    own = seed == draw.seeds["root"] and all(
        by_content(drawn.get(key)) == by_content(value) for key, value in same.items()
    )
    own = own and not (recipe.keep.lambda_max or recipe.keep.metrics)  # a draw measures neither
    own = own and recipe.spend.schedule in (None, recipe.draw.schedule if recipe.draw else None)
    own = own and (level == 0 or (recipe.spend.start, recipe.spend.optimizer) == ("ticket", "fresh"))
    return ticket.folder.parent / "levels" / str(level) if own else None


def run_folder(ticket: Ticket, recipe: Recipe, level: int, seed: int) -> Path:
    """`spends/<hash>/<level>-seed-<n>` beside the ticket; the hash is over what a spend is a function of.

    A ticket that was copied out of its draw may have others beside it: there its id belongs to the hash.
    """
    record = by_content(recipe.changed("model", "data", "train", "spend", "keep", "seeds", "tweaks"))
    if ticket.folder.name != "ticket":
        record["ticket"] = ticket.manifest.ticket_id
    return ticket.folder.parent / "spends" / fingerprint(record) / f"{level}-seed-{seed}"


def _controls(ticket: Ticket) -> list[Ticket]:
    """The controls beside a ticket."""
    folder = ticket.folder.parent / "controls"
    found = [
        open_ticket(folder / kind / "ticket") for kind in CONTROL_KINDS if (folder / kind / "ticket").is_dir()
    ]
    if not found:
        raise UsageError(
            f"{ticket.folder}: drawn without controls; the same draw with --controls makes them, untrained"
        )
    return found
