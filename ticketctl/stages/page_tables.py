"""Tables of a report page: tickets, results, verdicts, and with what all of it was made. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ticketctl.artifacts.manifest import read_provenance
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.verdict_models import Finding, LadderPart, NetPart
from ticketctl.artifacts.verdict_models import Verdict as Document
from ticketctl.errors import listed
from ticketctl.figures.page.parts import Table, Verdict
from ticketctl.figures.ranks import reference
from ticketctl.figures.shelf import Drawn
from ticketctl.stages.compare import Group, compare, grouped
from ticketctl.stages.gallery import Gallery
from ticketctl.stages.grouped_cells import NONE, grid, remarks
from ticketctl.stages.page_words import collapse, verdict_sentence, wins
from ticketctl.stages.verdict_words import failing, figure, percent
from ticketctl.stages.winning import Win

METRIC = "test.accuracy"
MOST = 24
"""Kinds of tickets, and ladders of a verdict, that have a table of their own."""
BEYOND = "ticketctl inspect shows all of the verdict"


# ------------------------------------------------------------------------------------------------------------- tickets


def tickets(gallery: Gallery) -> tuple[Table, ...]:
    """Every ticket, and for each kind of them how much is kept at each level."""
    if not gallery.tickets:
        return ()
    collapsed = {one.manifest.ticket_id: collapse(one) for one in gallery.tickets}
    drawn = gallery.shelf.tickets
    same = len({(one.net, one.data) for one in drawn}) == 1
    where, own = (f", {drawn[0].net} on {drawn[0].data}", ()) if same else ("", ("net", "data"))
    rows = [_ticket(one, collapsed.get(one.id, ""), own) for one in drawn]
    columns = ("ticket", "drawn by", *own, "collapse", "seed", "levels", "weights", "kept", "density %")
    whole = Table(f"Tickets{where}, each at its deepest level", columns, tuple(rows), words=3 + len(own))
    return (whole, *_levels(drawn))


def _ticket(one: Drawn, collapsed: str, own: Sequence[str]) -> tuple[str, ...]:
    level = max(one.kept)
    kept = one.kept[level]
    density = f"{100 * kept / max(1, one.prunable):.4g}"
    words = (one.id, one.label, *(str(getattr(one, name)) for name in own), collapsed or "none")
    return (*words, str(one.seed), str(level), str(one.prunable), str(kept), density)


def _levels(drawn: Sequence[Drawn]) -> list[Table]:
    """Tickets with the same numbers of weights share a table: those of controls too."""
    kinds: dict[Any, list[Drawn]] = {}
    for one in drawn:
        kinds.setdefault((one.net, one.data, tuple(one.kept.items())), []).append(one)
    return [_ladder(mine) for mine in kinds.values() if len(mine[0].kept) > 2][:MOST]


def _ladder(mine: Sequence[Drawn]) -> Table:
    first = mine[0]
    seeds: dict[str, list[str]] = {}
    for one in mine:
        seeds.setdefault(one.label, []).append(str(one.seed))
    of = [f"{label}, seed {listed(own, 8)}" for label, own in seeds.items()]
    rows = [
        (str(level), str(kept), f"{100 * kept / max(1, first.prunable):.4g}", f"{first.sparsity(level):.4g}")
        for level, kept in sorted(first.kept.items())
    ]
    caption = f"Density by level ({first.net} on {first.data}): {listed(of, 5)}"
    return Table(
        caption, ("level", "weights kept", "density %", "sparsity %"), tuple(rows), words=0, folded=True
    )


# ------------------------------------------------------------------------------------------------------------- results


def results(gallery: Gallery) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """What `ticketctl compare` shows of the runs, and how it is to be read."""
    groups = grouped(gallery.subjects)
    if not any(METRIC in run.known for run in gallery.subjects):
        return (), ()
    found = compare(groups, METRIC)
    (columns, *rows), where = _lean(grid(found, METRIC))
    table = Table(
        f"Test accuracy in percent{where}: runs that differ in nothing but seeds",
        tuple(columns), tuple(map(tuple, rows)), words=columns.index("n"), headed=False,
        beyond="ticketctl compare RUNS shows all",
    )  # fmt: skip
    return (*_wins(groups), table), tuple(remarks(found, METRIC, whole=False))


def _wins(groups: Sequence[Group]) -> list[Table]:
    """How far each ladder wins in accuracy."""
    rows = tuple(
        (label, _far(near), _far(level), str(near.n), near.why) if near.sparsity is not None
        else (label, NONE, NONE, NONE, near.why)
        for label, near, level in wins(groups)
    )  # fmt: skip
    columns = ("tickets", "within a point (004) %", "not below (003) %", "n at least", "why")
    kept = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    caption = "The largest sparsity that still wins: mean test accuracy against the dense net"
    return [Table(caption, columns[:kept], tuple(row[:kept] for row in rows))] if rows else []


def _far(win: Win) -> str:
    return NONE if win.sparsity is None else f"{100 * float(win.sparsity):.2f}"


def _lean(rows: list[list[str]]) -> tuple[list[list[str]], str]:
    """Without the columns in which no row says anything, or all say the same net and data; these words are apart."""
    below = rows[1:]
    same = len(below) > 1 and len({(row[0], row[1]) for row in below}) == 1
    kept = [
        at
        for at, name in enumerate(rows[0])
        if name == "n" or (any(row[at] not in ("", NONE) for row in below) and not (same and at < 2))
    ]
    where = f", {below[0][0]} on {below[0][1]}" if same else ""
    return [[row[at] for at in kept] for row in rows], where


# ------------------------------------------------------------------------------------------------------------ verdicts


def verdicts(found: Sequence[Document]) -> tuple[Verdict, ...]:
    """Each verdict with the limits of its ladders and every claim of every net."""
    return tuple(_verdict(one) for one in found[:MOST])


def _verdict(one: Document) -> Verdict:
    ladders: dict[str, list[NetPart]] = {}
    for net in one.nets:
        ladders.setdefault(net.ladder, []).append(net)
    limits = [_limits(part) for part in one.ladders[:MOST] if len(ladders.get(part.ladder, ())) > 1]
    claims = [_claims(name, nets) for name, nets in [*ladders.items()][:MOST]]
    title = f"{one.outcome.capitalize()}: {one.verdict_id}"
    return Verdict(title, (verdict_sentence(one),), (_outcomes(one), *limits, *claims))


def _outcomes(one: Document) -> Table:
    rows = [
        (net.name, net.outcome, failing(net) or "-", listed([str(pair.seed) for pair in net.pairs], 8))
        for net in one.nets
    ]
    return Table(
        "How each net fares", ("net", "outcome", "why", "seeds"), tuple(rows), words=4, beyond=BEYOND
    )


def _limits(one: LadderPart) -> Table:
    rows = [
        (part.metric, percent(part.sparsity), percent(part.first_failure), str(part.missing))
        for part in one.metrics
    ]
    most = "none" if one.lth_pass is None else f"{percent(one.lth_pass)} %"
    caption = f"{one.ladder}: how sparse it may become (LTH-PASS sparsity: {most})"
    columns = ("measure", "largest sparsity that passes %", "first that fails %", "missing")
    return Table(caption, columns, tuple(rows), folded=True)


def _claims(ladder: str, nets: Sequence[NetPart]) -> Table:
    """What must hold of each net, and by how much it does."""
    rows = [(net.name, *_claim(found, reference(net))) for net in nets for found in net.metrics]
    columns = ("net", "claim", "pass", "recomputed", "±", "held against", "±", "worse by", "tolerance")
    return Table(f"{ladder}: every claim", columns, tuple(rows), words=3, beyond=BEYOND, folded=True)


def _claim(found: Finding, dense: str) -> tuple[str, ...]:
    way = {"higher": "not lower than", "lower": "not higher than"}.get(str(found.better), "as")
    word = {"pass": "yes", "fail": "no"}.get(found.status, found.status)
    word = f"{word}: {found.reason}" if found.reason else word
    keys = ("mean", "error", "dense", "dense_error", "worse", "allowed")
    return (f"{found.row} {way} {dense}", word, *(figure(getattr(found, key)) for key in keys))


# ---------------------------------------------------------------------------------------------------------- provenance


def provenance(gallery: Gallery, reports: Iterable[Report]) -> tuple[Table, ...]:
    """With which versions and devices, and on which data."""
    made: Counter[tuple[str, ...]] = Counter()
    for ticket in gallery.tickets:
        made[("draw", *_drawn_with(ticket))] += 1
    for report in reports:
        made[(report.kind, *_environment(report.env, str(report.env.get("ticketctl", "-"))))] += 1
    rows = [(*words, str(count)) for words, count in sorted(made.items())]
    columns = ("what", "ticketctl", "torch", "device", "tickets or reports")
    tools = [Table("Versions and devices", columns, tuple(rows), words=4)] if rows else []
    return (*tools, *_data(gallery))


def _drawn_with(ticket: Ticket) -> tuple[str, ...]:
    """A control has been drawn with the ticket that it belongs to, beside which it lies."""
    said = read_provenance(ticket.folder)
    if not said and ticket.manifest.control is not None:
        said = read_provenance(ticket.folder.parents[2] / "ticket")
    environment = said.get("environment")
    known = environment if isinstance(environment, Mapping) else {}
    return _environment(known, str(said.get("tool_version", "-")))


def _environment(known: Mapping[str, Any], tool: str) -> tuple[str, ...]:
    """Those words alone of which each says how numbers came about: no host, no place, nobody's name."""
    names = [str(known[key]) for key in ("device_name", "cpu_capability") if known.get(key)]
    device = str(known.get("device", "-")) + (f" ({', '.join(names)})" if names else "")
    return tool, str(known.get("torch", "-")), device


def _data(gallery: Gallery) -> list[Table]:
    parts = [run.manifest.data for run in gallery.subjects]
    parts += [one.manifest.draw.data for one in gallery.tickets]
    rows = {
        (one.name, one.fingerprint, str(one.train), str(one.validation), str(one.test)): None for one in parts
    }
    columns = ("data", "fingerprint", "train", "validation", "test")
    return [Table("Images", columns, tuple(sorted(rows)), words=2)] if rows else []
