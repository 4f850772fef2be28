"""The commands that make again what a report page shows, with stand-ins for every place on a machine. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ticketctl.artifacts.report import Report
from ticketctl.artifacts.ticket import Ticket
from ticketctl.errors import TicketctlError, UsageError
from ticketctl.figures.page.parts import Text
from ticketctl.figures.page.words import PLACE, private
from ticketctl.recipe import Recipe
from ticketctl.recipe_files import flat_draw, merge, parse_recipe
from ticketctl.stages.gallery import Gallery
from ticketctl.stages.named import lacks_place
from ticketctl.stages.page_measures import RUNS, TICKET, data_name, measurements
from ticketctl.stages.repeat import draw_line, spend_line
from ticketctl.stages.request import Typed
from ticketctl.stages.subjects import Subject, ticket_beside
from ticketctl.tomltext import toml_text

VERDICT, RECIPE, FOREIGN = "VERDICT", "RECIPE.toml", "MASK-FILE"
STANDINS = {
    RUNS: "the folders of these runs, as draw and spend print them",
    TICKET: "the folder of a ticket, or the beginning of its id; once for each of them",
    VERDICT: "the folder of a verdict, as audit prints it; of several each",
    RECIPE: "a file with the recipe below",
    FOREIGN: "the file or run folder that the mask came in; --init names weights that lay elsewhere",
    PLACE: "a folder or file on the machine where it was made",
}
MOST = 24
"""Kinds of trainings and of reports for which commands stand on a page."""


@dataclass
class _Job:
    """Runs or tickets of one recipe."""

    recipe: Mapping[str, Any]
    given: Mapping[str, Any]
    method: str
    tickets: set[str] = field(default_factory=set)
    levels: set[int] = field(default_factory=set)
    seeds: set[int] = field(default_factory=set)
    tweaks: tuple[str, ...] = ()


def commands(gallery: Gallery, reports: Sequence[Report]) -> tuple[Text, ...]:
    """For each recipe the line that draws or spends it, for each kind of report the line that measures it."""
    draws = _draws(gallery.tickets)
    drawn = [
        Text(f"Draw {at}: tickets by {job.method}", _draw(job)) for at, job in enumerate(draws.values(), 1)
    ]
    places = {digest: at for at, digest in enumerate(draws, 1)}
    spent = [
        Text(f"Nets of tickets of draw {places[digest]}", _spend(job))
        for digest, job in _spends(gallery, draws)
    ]
    shown = [Text("Measurements", line) for line in measurements(reports)]
    verdicts = [
        Text(
            f"Verdict {one.verdict_id}, judged again from its reports", f"ticketctl audit --recheck {VERDICT}"
        )
        for one in gallery.shelf.verdicts
    ]
    compared = [Text("The table of results", f"ticketctl compare {RUNS}")] if gallery.subjects else []
    return (*drawn[:MOST], *spent[:MOST], *shown[:MOST], *verdicts[:MOST], *compared)


def recipes(gallery: Gallery) -> tuple[Text, ...]:
    """Every recipe that something was drawn by, resolved."""
    draws = [*_draws(gallery.tickets).values()][:MOST]
    return tuple(
        Text(f"Draw {at}: {job.method}, seeds {_listed(job.seeds)}", _toml(job.recipe))
        for at, job in enumerate(draws, 1)
    )


def _toml(recipe: Mapping[str, Any]) -> str:
    try:
        return toml_text(flat_draw(recipe)).strip()
    except UsageError:  # a key of the method in two places, with two values: both are shown
        return toml_text(recipe).strip()


def standins(texts: Iterable[str]) -> tuple[Text, ...]:
    """What stands for something else in these commands."""
    said = " ".join(texts)
    return tuple(Text(word, meaning) for word, meaning in STANDINS.items() if word in said)


def of_what(gallery: Gallery) -> tuple[str, ...]:
    """What a figure of a page is drawn of: with its verdicts, for without them it may be another."""
    shelf = gallery.shelf
    bare = shelf.verdicts and not (shelf.families or shelf.tickets or shelf.loose)
    return (*(() if bare else (RUNS,)), *((VERDICT,) if shelf.verdicts else ()))


def plot_line(
    figure: str, sets: Sequence[str], paper: str | None, data: str | None, of: Sequence[str] = (RUNS,)
) -> str:
    """What draws a figure again.

    Args:
        figure: by name, or several with commas.
        sets: as they were typed; those of other figures are passed over.
        paper: as it was typed.
        data: that stands for the paper's.
        of: what the page is about.
    """
    own = [
        private(one)
        for one in sets
        if one.partition("=")[0].split(".")[1:2] in [[one] for one in figure.split(",")]
    ]
    words = ["ticketctl", "plot", *of, "--figure", figure, *(["--paper", paper] if paper else [])]
    words += ["--data", private(data)] if data else []
    return shlex.join([*words, *(word for one in own for word in ("--set", one))])


# --------------------------------------------------------------------------------------------------- draws and spends


def _draws(tickets: Sequence[Ticket]) -> dict[str, _Job]:
    """One for each recipe, by its digest; controls are drawn with the ticket that they belong to."""
    found: dict[str, _Job] = {}
    for ticket in tickets:
        draw = ticket.manifest.draw
        if ticket.manifest.control is None:
            recipe = _hidden(draw.recipe)
            job = found.setdefault(draw.recipe_digest, _Job(recipe, recipe, draw.method))
            job.seeds.add(int(draw.seeds.get("root", 0)))
    return found


def _spends(gallery: Gallery, draws: Mapping[str, _Job]) -> list[tuple[str, _Job]]:
    """One for each recipe of nets that were spent, with all their levels and seeds, and the draw's digest."""
    known = {one.folder.resolve(): one for one in gallery.tickets}
    found: dict[Any, _Job] = {}
    for run in gallery.subjects:
        ticket = known.get(ticket_beside(run.folder).resolve())
        if ticket is None or run.folder.parent.parent.name != "spends":
            continue
        digest = ticket.manifest.draw.recipe_digest
        if digest in draws:
            key = (digest, run.manifest.recipe_digest, run.tweaks)
            job = found.setdefault(key, _spent(run, draws[digest].recipe, draws[digest].method))
            job.tickets.add(ticket.manifest.ticket_id)
            job.levels.add(run.manifest.level)
            job.seeds.add(run.seeds[0])
    return [(digest, job) for (digest, *_), job in found.items()]


def _spent(run: Subject, given: Mapping[str, Any], method: str) -> _Job:
    return _Job(_hidden(run.manifest.recipe), given, method, tweaks=tuple(run.tweaks))


def _hidden(recipe: Any) -> Any:
    """A recipe without the maker's places, and with a stand-in for that of data that lie somewhere."""
    if isinstance(recipe, Mapping):
        kept = {key: _hidden(value) for key, value in recipe.items()}
        data = kept.get("data")
        if isinstance(data, dict) and lacks_place(str(data.get("name"))):
            data["name"] = data_name(data["name"])
        return kept
    if isinstance(recipe, list | tuple):
        return [_hidden(one) for one in recipe]
    return private(recipe) if isinstance(recipe, str) else recipe


def _draw(job: _Job) -> str:
    if job.method in ("intersect", "union"):
        return shlex.join(["ticketctl", "mask", job.method, TICKET, TICKET])
    if job.method == "import":
        names = [str(job.recipe[table]["name"]) for table in ("model", "data")]
        return shlex.join(["ticketctl", "import", FOREIGN, "--model", names[0], "--data", names[1]])
    try:
        return draw_line(Typed(), _parsed(job.recipe), sorted(job.seeds), ())
    except (TicketctlError, AssertionError):  # of another version, or of somebody else's modules
        return f"ticketctl draw --recipe {RECIPE} --seed {_listed(job.seeds)}"


def _spend(job: _Job) -> str:
    """With the ticket's id where it is one."""
    ticket = next(iter(job.tickets)) if len(job.tickets) == 1 else TICKET
    levels, seeds = sorted(job.levels), sorted(job.seeds)
    try:
        given, recipe = _parsed(job.given), _parsed(merge(job.given, job.recipe))
        return spend_line(Path(ticket), levels, seeds, given, recipe, (), [job.tweaks] if job.tweaks else ())
    except (TicketctlError, AssertionError):
        said = f"--level {_listed(levels)} --seed {_listed(seeds)}"
        return f"ticketctl spend {ticket} {said} --recipe {RECIPE}"


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _parsed(tables: Mapping[str, Any]) -> Recipe:
    return parse_recipe(tables, where="the recipe")
