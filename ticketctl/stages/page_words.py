"""What a report page says in sentences: which runs, how far they win, what went wrong, what was judged. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.verdict_models import Verdict
from ticketctl.errors import listed
from ticketctl.figures.rows import percent
from ticketctl.stages.compare import Group, grouped
from ticketctl.stages.gallery import Gallery
from ticketctl.stages.labels import labels_of
from ticketctl.stages.otherwise import changes
from ticketctl.stages.subjects import Subject
from ticketctl.stages.verdict_words import RULES
from ticketctl.stages.winning import POINT, Win, accuracy_win

LADDERS = 8
"""Ladders, tickets and nets that a sentence names at most."""
FEW = 3
"""Ladders that have a sentence each."""
LOST = {"no level wins": "more than one point below the dense net's test accuracy everywhere"}


def title_of(gallery: Gallery) -> str:
    """Nets, data and methods, as the heading of a page."""
    parts = [f"{_names(nets)} on {_names(data)}" for nets, data in [_places(gallery)] if nets]
    methods = _methods(gallery)
    return ": ".join([*parts, _names(methods)] if methods else parts) or _judged(gallery)


def _judged(gallery: Gallery) -> str:
    """A heading where nothing but verdicts, or onsets, was named."""
    shelf = gallery.shelf
    data = sorted({one.data.name for one in shelf.verdicts} | {one.data.name for one in shelf.loose})
    return f"{'Verdicts' if gallery.shelf.verdicts else 'Onsets of stability'} on {_names(data)}"


def summary(gallery: Gallery) -> tuple[str, ...]:
    """The first paragraph, sentence by sentence."""
    runs = gallery.subjects
    groups = grouped(runs)
    said = [_counted(gallery)] if runs or gallery.tickets else []
    said += [*_wins(groups), *_dense(groups)]
    said += [_diverged(runs)] if runs else []
    said += [_collapsed(gallery.tickets)] if gallery.tickets else []
    return (*said, *(verdict_sentence(one) for one in gallery.shelf.verdicts[:LADDERS]))


def _places(gallery: Gallery) -> tuple[list[str], list[str]]:
    pairs = {(run.net, run.data) for run in gallery.subjects}
    pairs |= {(one.manifest.arch.name, one.manifest.draw.data.name) for one in gallery.tickets}
    return sorted({net for net, _ in pairs}), sorted({data for _, data in pairs})


def _methods(gallery: Gallery) -> list[str]:
    known = {run.method for run in gallery.subjects} - {"dense"}
    return sorted(known | {one.manifest.draw.method for one in gallery.tickets})


def _names(names: Sequence[str], most: int = 4) -> str:
    return listed(names, most)


def _counted(gallery: Gallery) -> str:
    """How many of what."""
    runs, (nets, data) = gallery.subjects, _places(gallery)
    seeds = {run.seeds[0] for run in runs} | {
        int(one.manifest.draw.seeds.get("root", 0)) for one in gallery.tickets
    }
    densities = [float(run.density) for run in runs]
    between = _between([percent(max(densities)), percent(min(densities))]) if densities else ""
    said = [
        f"{_many(len(runs), 'trained net')} and {_many(len(gallery.tickets), 'ticket')}"
        f" of {_names(nets)} on {_names(data)}",
        f"drawn by {_names(_methods(gallery))}" if _methods(gallery) else "",
        f"at sparsities {between}" if between else "",
        f"with {'seed' if len(seeds) == 1 else 'seeds'} {listed([str(one) for one in sorted(seeds)], LADDERS)}",
    ]
    return ", ".join(part for part in said if part) + "."


def _between(ends: Sequence[str]) -> str:
    return f"of {ends[0]}" if ends[0] == ends[1] else f"from {ends[0]} to {ends[1]}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# ----------------------------------------------------------------------------------------------------------- winning


def wins(groups: Sequence[Group]) -> list[tuple[str, Win, Win]]:
    """Of each ladder its label and how far it wins in accuracy, by the rules of papers 004 and 003."""
    labels = labels_of(groups, changes(groups))
    found = []
    for ladder in _ladders(groups):
        near, level = (accuracy_win(ladder, groups, below=below)[0] for below in (POINT, Fraction(0)))
        found.append((labels[id(ladder[0])], near, level))
    return found


def _wins(groups: Sequence[Group]) -> list[str]:
    """A sentence for each ladder; of many, for that which wins furthest."""
    found = wins(groups)
    if len(found) <= FEW:
        return [_won(*one) for one in found]
    best = max(found, key=lambda one: (one[1].sparsity or -1, one[2].sparsity or -1))
    return [f"Of {len(found)} kinds of tickets this one wins furthest: {_won(*best)}"]


def _ladders(groups: Sequence[Group]) -> list[list[Group]]:
    found: dict[Any, list[Group]] = {}
    for group in groups:
        settings = tuple(sorted(group.settings.items()))
        key = (group.net, group.data, group.method, group.control, group.tweaks, settings)
        if group.method != "dense":
            found.setdefault(key, []).append(group)
    return list(found.values())


def _won(label: str, near: Win, level: Win) -> str:
    if near.sparsity is None:
        return f"{label}: {LOST.get(near.why, f'held against no dense net, {near.why}')}."
    runs = "one run" if near.n == 1 else f"means over {near.n} runs at least"
    text = f"{label}: at most one point below the dense net's test accuracy up to {_sparsity(near)} (paper 004's rule)"
    equal = f"not below it up to {_sparsity(level)}" if level.sparsity is not None else "below it everywhere"
    return f"{text}, {equal} (paper 003's rule); {runs}."


def _sparsity(win: Win) -> str:
    assert win.sparsity is not None
    return f"{percent(float(1 - win.sparsity))} sparsity"


def _dense(groups: Sequence[Group]) -> list[str]:
    """The accuracy of the dense nets, where there is one kind of them."""
    dense = [group for group in groups if group.method == "dense" and not group.tweaks]
    mean = dense[0].mean("test.accuracy") if len(dense) == 1 else None
    return [] if mean is None else [f"The dense net answers {100 * mean:.2f} % of the test images right."]


# -------------------------------------------------------------------------------------------------- what went wrong


def _diverged(runs: Sequence[Subject]) -> str:
    lost = sum(run.diverged for run in runs)
    return (
        f"{lost} of {len(runs)} trainings diverged; they are in no mean." if lost else "No training diverged."
    )


def _collapsed(tickets: Sequence[Ticket]) -> str:
    """From which level on layers are empty, of each ticket."""
    told = [(one, level) for one in tickets if (level := collapse(one))]
    if not told:
        return "No layer of a ticket is empty, and none is cut off from the output."
    names = [f"{one.manifest.draw.method} {one.manifest.ticket_id[:9]} {level}" for one, level in told]
    return f"Collapsed: {listed(names, LADDERS)}."


def collapse(ticket: Ticket) -> str:
    """From which level on layers of it are empty, or no path leads to the output; "" if at none."""
    for level in ticket.manifest.draw.levels:
        if level.empty_layers or level.cut:
            what = f"{listed(level.empty_layers, 2)} empty" if level.empty_layers else "cut off"
            return f"from level {level.level} on ({what})"
    return ""


# ------------------------------------------------------------------------------------------------------------ verdicts


def verdict_sentence(verdict: Verdict) -> str:
    """How a verdict ends, by which rule, in which measures nets fail, and how far each ladder passes in all."""
    rule = f"by rule {verdict.rule.winning}, {RULES[verdict.rule.winning]} the dense net"
    passed = sum(net.outcome == "pass" for net in verdict.nets)
    failed = Counter(
        f"{one.metric} ({one.status})" if one.status == "missing" else one.metric
        for net in verdict.nets
        for one in net.metrics
        if one.status != "pass"
    )
    worst = [f"{name} in {count}" for name, count in failed.most_common()]
    told = f"; what fails most: {listed(worst, LADDERS)}" if worst else ""
    nets = "net passes" if passed == 1 else "nets pass"
    said = f"{verdict.outcome} {rule}; {passed} of {len(verdict.nets)} {nets}{told}{_passed(verdict)}"
    return f"Verdict {verdict.verdict_id[:9]}: {said}."


def _passed(verdict: Verdict) -> str:
    """Of ladders of several levels how sparse they may become."""
    several = Counter(net.ladder for net in verdict.nets)
    told = [
        f"{one.ladder} {percent(1 - float(Fraction(one.lth_pass)))}" if one.lth_pass else f"{one.ladder} none"
        for one in verdict.ladders
        if several[one.ladder] > 1
    ]
    return f"; largest sparsity that passes every measure: {listed(told, LADDERS)}" if told else ""
