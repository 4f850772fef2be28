"""What the card of a push says, out of the artifacts that are pushed and nothing else. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ticketctl import __version__
from ticketctl.artifacts.chain import read_chain
from ticketctl.artifacts.manifest import RunManifest, TicketManifest, read_provenance
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.verdict import Verdict
from ticketctl.errors import MissingExtraError
from ticketctl.figures.rows import averaged
from ticketctl.figures.sheet import Axis, Cell, Sheet
from ticketctl.figures.shelf import Shelf
from ticketctl.hub.card import Card, code, plain
from ticketctl.hub.card_there import sealed_picture
from ticketctl.hub.licences import written
from ticketctl.plugins import plugins
from ticketctl.stages.gallery import Gallery
from ticketctl.stages.page_commands import commands, standins
from ticketctl.stages.plot import need_matplotlib
from ticketctl.stages.push_numbers import beside, common, of_levels, of_runs, subjects_of, ticket_of
from ticketctl.stages.push_public import public_provenance
from ticketctl.stages.push_things import Thing, counted
from ticketctl.stages.subjects import Subject

SERIES = 8
"""Lines that a figure has at most."""
SHOWN = 12
"""Steps of a history that are told."""
AUTHORS = re.compile(r"[A-Z][^;,:]*? \d{4}")
"""Of papers in the FACTS of draws: Frankle and Carbin 2019."""


def card_of(
    found: Sequence[Thing],
    repo: str,
    address: str,
    licence: str | None,
    workspace: Path,
    bases: Sequence[str] = (),
) -> Card:
    """The card, but for its figure.

    Args:
        found: what is pushed, in its places.
        repo: org/name.
        address: of the repository, for people.
        licence: as given; None: that of the artifacts, where they agree.
        workspace: where runs are looked for by their folders.
        bases: repositories that it follows from.
    """
    tickets = [one for one in found if isinstance(one.manifest, TicketManifest)]
    drawn = [one for one in tickets if ticket_of(one).control is None]
    subjects = subjects_of(found, workspace)
    rows = (*of_levels(drawn), *of_runs(beside(subjects, drawn)))
    gallery = Gallery(
        Shelf((), (), _verdicts(found), None, "", (), []),
        tuple(subjects),
        tuple(open_ticket(one.folder) for one in drawn),
        0,
    )
    lines = commands(gallery, ())
    given = licence or common(getattr(one.manifest, "license", None) for one in found) or ""
    return Card(
        repo=repo, address=address, title=_title(found, repo), what=tuple(_what(found)),
        nets=_words(found, "net"), data=_words(found, "data"), methods=_methods(found, subjects),
        densities=tuple(dict.fromkeys(_densities(found))),
        verdicts=tuple(dict.fromkeys(one.outcome for one in _verdicts(found))), rows=rows,
        licence=written(given) or None,
        figure="", single=len(drawn) == 1, provenance=tuple(_provenance(found)),
        commands=tuple((one.title, one.text) for one in lines),
        standins=tuple((one.title, one.text) for one in standins(one.text for one in lines)),
        citation=_citation(found, address), contents=tuple((one.path, one.noun, one.id) for one in found),
        bases=tuple(bases),
    )  # fmt: skip


def with_figure(card: Card) -> tuple[Card, bytes | None]:
    """The card with its figure as PNG, or with the reason why it has none."""
    if not any(row.kept < row.prunable for row in card.rows):
        return replace(card, figure="no pruned net was trained"), None
    try:
        need_matplotlib("the figure")
    except MissingExtraError as error:
        return replace(card, figure=str(error)), None
    from ticketctl.figures.ink.picture import picture

    return card, sealed_picture(picture(sheet_of(card), "png"))


def sheet_of(card: Card) -> Sheet:
    """The table's numbers as a figure; accuracies and sparsities in percent."""
    rows: list[tuple[Cell, ...]] = []
    series = list(dict.fromkeys(row.series for row in card.rows))
    for row in (row for row in card.rows if row.series in series[:SERIES]):
        spread = 100 * row.deviation if row.deviation is not None else None
        y, dense = 100 * row.mean, row.kept == row.prunable
        low, high = (None, None) if spread is None else (y - spread, y + spread)
        label = f"{row.series}, dense" if dense and ": dense" not in row.series else row.series
        x = None if dense else 100 * (1 - row.density)
        rows.append(("", label, "reference" if dense else "line", x, y, low, high, row.n))
    more = len(series) - SERIES
    left_out = (f"{more} more series stand in the table alone",) if more > 0 else ()
    title = f"{', '.join(card.nets)} on {', '.join(card.data)}: test accuracy against sparsity"
    return Sheet(
        "accuracy-sparsity", "lines", title, Axis("sparsity", "%", "sparsity"), Axis("test accuracy", "%"),
        tuple(rows), notes=(averaged(rows, "runs"), *left_out),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- words


def _verdicts(found: Iterable[Thing]) -> tuple[Verdict, ...]:
    return tuple(one.manifest for one in found if isinstance(one.manifest, Verdict))


def _words(found: Iterable[Thing], what: str) -> tuple[str, ...]:
    """Nets or data sets, each once."""
    words: dict[str, None] = {}
    for one in (one.manifest for one in found):
        if isinstance(one, Verdict):
            continue
        data = one.draw.data if isinstance(one, TicketManifest) else one.data
        words[one.arch.name if what == "net" else data.name] = None
    return tuple(words)


def _methods(found: Iterable[Thing], subjects: Iterable[Subject]) -> tuple[str, ...]:
    drawn = [one.manifest.draw.method for one in found if isinstance(one.manifest, TicketManifest)]
    return tuple(dict.fromkeys([*drawn, *(run.method for run in subjects if run.method != "dense")]))


def _densities(found: Iterable[Thing]) -> Iterator[float]:
    """Of tickets; where there is none, of runs."""
    tickets = [one for one in found if isinstance(one.manifest, TicketManifest)]
    for one in tickets or [one for one in found if isinstance(one.manifest, RunManifest)]:
        part: Any = one.manifest.mask if isinstance(one.manifest, TicketManifest) else one.manifest
        yield part.kept / max(1, part.prunable)


def _title(found: Sequence[Thing], repo: str) -> str:
    drawn = [ticket_of(one) for one in found if one.noun == "ticket"]
    if len(drawn) == 1:
        one, others = drawn[0], [other for other in found if other.noun != "ticket"]
        more = f", with {counted(others)}" if others else ""
        return f"A lottery ticket: {one.arch.name} on {one.draw.data.name} by {one.draw.method}{more}"
    return f"{repo}: {counted(found)}"


def _what(found: Sequence[Thing]) -> Iterator[str]:
    yield f"Made with ticketctl {plain(__version__)}: {counted(found)}, verified before they were pushed."
    for one in (one.manifest for one in found):
        if not isinstance(one, TicketManifest) or one.control is not None:
            continue
        share = one.mask.kept / max(1, one.mask.prunable)
        ladder = f" Its ladder goes from level 0 to {one.ladder.rounds}." if one.ladder else ""
        yield (
            f"Ticket {code(one.ticket_id)}: {plain(one.arch.name)} on {plain(one.draw.data.name)}, "
            f"{one.mask.kept:,} of {one.mask.prunable:,} weights kept (density {share:.4f}), found by "
            f"{code(one.draw.method)}; training starts from {_start(one)}.{ladder}"
        )


def _start(one: TicketManifest) -> str:
    if one.init.role == "rewind":
        return f"the weights of epoch {plain(one.init.epoch)} (late rewinding)"
    return "the initialisation" if one.init.role == "init" else "trained weights"


def _provenance(found: Sequence[Thing]) -> Iterator[str]:
    """History, versions, device and cost of the tickets, or of the runs where there is none."""
    tickets = [one for one in found if one.kind == "ticket"]
    for one in (tickets or list(found))[:SHOWN]:
        yield f"{one.kind} {code(one.id)}: {'; '.join(_history(one))}"
    if len(tickets or found) > SHOWN:
        yield f"and {len(tickets or found) - SHOWN} more"


def _history(one: Thing) -> Iterator[str]:
    chain = read_chain(one.folder)
    for link in chain.links[-SHOWN:] if chain else ():
        yield f"{plain(link.step)} made {link.made.kind} {code(link.made.id)} ({plain(link.tool)})"
    if chain is None:
        yield "no record of its steps lies beside it"
    if not isinstance(one.manifest, Verdict):
        cost: Any = one.manifest.draw.cost if isinstance(one.manifest, TicketManifest) else one.manifest.cost
        yield f"{cost.steps:,} steps, {cost.images:,} images"
    said = public_provenance(read_provenance(one.folder))
    around: Mapping[str, Any] = said.get("environment", {})
    if seconds := said.get("seconds"):
        yield f"{seconds} s"
    names = ("device_name", "device", "torch", *(() if around.get("device") == "cpu" else ("cuda",)))
    if around:
        yield ", ".join(
            f"{name.replace('_name', '')} {plain(around[name])}" for name in names if around.get(name)
        )


def _citation(found: Sequence[Thing], address: str) -> str:
    """The artifacts' own, or one of the repository that names the paper of its method."""
    own = common(getattr(one.manifest, "citation", None) for one in found if one.kind != "verdict")
    if own:
        return str(own)
    methods = {one.manifest.draw.method for one in found if isinstance(one.manifest, TicketManifest)}
    papers = []
    for method in sorted(methods):
        known = plugins("draws").get(method)
        names = AUTHORS.findall(known.facts.get("paper", "").replace("&", "and")) if known else []
        papers.append(f"{method} ({'; '.join(names)})" if names else method)
    key = re.sub(r"[^A-Za-z0-9]", "", found[0].id[:11])
    note = (
        f"Drawn by {', '.join(papers)} with ticketctl {__version__}" if papers else f"ticketctl {__version__}"
    )
    title = _title(found, address.rpartition("/")[2]).replace("{", "(").replace("}", ")")
    return f"@misc{{{key},\n  title = {{{title}}},\n  howpublished = {{\\url{{{address}}}}},\n  note = {{{note}}}\n}}"
