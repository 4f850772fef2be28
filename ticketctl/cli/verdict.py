"""A verdict as it is shown, and `audit --recheck`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ticketctl.cli.output import note, print_failure, print_json, print_line, print_table, visible
from ticketctl.cli.tabular import print_as
from ticketctl.errors import TicketctlError, UsageError, listed
from ticketctl.figures.ranks import means, radar, reference
from ticketctl.stages.verdict_words import RULES, failing, figure, percent

if TYPE_CHECKING:
    from ticketctl.artifacts.verdict import Verdict
    from ticketctl.artifacts.verdict_models import Finding, LadderPart, NetPart


class NegativeError(TicketctlError):
    """Some net does not match its dense net, or it cannot be told."""

    exit_code = 1
    code = "E_NEGATIVE"


def recheck(path: Path, json: bool) -> None:
    """Judge the verdict in a folder again from the reports beside it, and show it.

    Raises:
        UsageError: no such folder.
        ArtifactError: it is not what its reports give, or damaged.
        typer.Exit: 1, if it is negative.
    """
    from ticketctl.stages.verdict_check import recheck as judged_again

    folder = _folder(path)
    show_verdict(judged_again(folder), json, folder, "judged again from the reports beside it: the same")


def _folder(path: Path) -> Path:
    """The verdict's folder: itself, that of its document, or the only one in it."""
    folder = path.parent if path.name == "verdict.json" else path
    if not folder.is_dir():
        raise UsageError(
            f"no folder {path}; name one that `ticketctl audit --against` wrote: verdicts/verdict-…"
        )
    inside = sorted(one.parent for one in folder.glob("verdict-*/verdict.json"))
    if (folder / "verdict.json").exists() or not inside:
        return folder
    if len(inside) > 1:
        raise UsageError(
            f"{folder} holds {len(inside)} verdicts; name one: {listed([one.name for one in inside])}"
        )
    return inside[0]


def show_verdict(
    verdict: Verdict,
    json: bool,
    folder: Path | None = None,
    said: str = "",
    runs: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Every metric of every net, extreme sparsities, radar chart.

    Args:
        verdict: as it was judged.
        json: one object, in the place of tables.
        folder: where it lies.
        said: of it, at the end.
        runs: the audits it was just taken from, as `--json` has them; then it stands beside them there.

    Raises:
        typer.Exit: 1, if some net fails or it cannot be told.
    """
    negative = _negative(verdict)
    if json:
        record = as_record(verdict, folder)
        result = record if runs is None else {"runs": runs, "verdict": record}
        print_failure(result, negative) if negative else print_json(result)
    else:
        _show(verdict)
        place = [] if folder is None else [f"verdict in {folder}"]
        print_line(visible("; ".join([*place, *filter(None, [said])])))
    if negative is not None:
        note(f"ticketctl: {negative}")
        raise typer.Exit(negative.exit_code)


def inspect_verdict(folder: Path, json: bool) -> None:
    """Show a verdict as it is written; `recheck` is what judges it again.

    Raises:
        ArtifactError: its document is damaged.
    """
    from ticketctl.artifacts.verdict import open_verdict

    verdict = open_verdict(folder).verdict
    if json:
        print_json(as_record(verdict, folder))
        return
    _show(verdict)
    print_line(visible(f"as written in {folder}; judge it again: ticketctl audit --recheck {folder}"))


def as_record(verdict: Verdict, folder: Path | None = None) -> dict[str, Any]:
    """For `--json`: the document with its numbers as numbers, and the radar chart."""
    values, better = means(verdict)
    found: dict[str, Any] = verdict.model_dump(mode="json")
    for net in found["nets"]:
        net["density"] = float(Fraction(net["density"]))
        for row in net["metrics"]:
            row |= {key: None if row[key] is None else float(row[key]) for key in NUMBERS}
    for ladder, part in zip(found["ladders"], verdict.ladders, strict=True):
        ladder["lth_pass"] = _share(ladder["lth_pass"])
        ladder["indicative"] = _indicative(part, verdict)
        for row in ladder["metrics"]:
            row |= {key: _share(row[key]) for key in ("sparsity", "first_failure")}
    chart = {"raw": values, "radar": radar(values, better), "better": better}
    return {"folder": None if folder is None else str(folder), **found, "chart": chart}


NUMBERS = ("mean", "error", "dense", "dense_error", "worse", "pooled", "allowed")


def _share(text: str | None) -> float | None:
    return None if text is None else float(Fraction(text))


def _negative(verdict: Verdict) -> NegativeError | None:
    if verdict.outcome == "pass":
        return None
    said = [f"{net.name}: {failing(net)}" for net in verdict.nets if net.outcome != "pass"]
    return NegativeError(f"{verdict.outcome}: {listed(said, 3)}")


def _show(verdict: Verdict) -> None:
    rule = verdict.rule
    whole = all(reference(net) == "dense" for net in verdict.nets)
    dense = "dense" if whole else "the reference"
    share = f" or {rule.tol_rel} of {dense}" if float(rule.tol_rel) else ""
    others = f"every other metric at most one pooled standard error{share} worse"
    print_line(visible(f"rule {rule.winning}: {RULES[rule.winning]} {dense}, {others}"))
    for net in verdict.nets:
        print_line("")
        _show_net(net)
    for ladder in verdict.ladders:
        if sum(net.ladder == ladder.ladder for net in verdict.nets) > 1:
            print_line("")
            _show_ladder(ladder, verdict)
    if len(verdict.nets) > 1:
        print_line("")
        _show_radar(verdict)
    print_line("")


def _show_net(net: NetPart) -> None:
    for flag in net.flags:
        who = "this net" if flag.side == "net" else f"its {THEIRS[reference(net)]}"
        print_line(visible(f"{net.name}: {who} of seed {flag.seed} is {flag.kind}"))
    if net.left_out:
        seeds = listed([str(one.seed) for one in net.left_out])
        print_line(visible(f"{net.name}: left out, without a partner: seed {seeds}"))
    seeds = listed([str(pair.seed) for pair in net.pairs])
    indicative = ", indicative: one seed" if net.indicative else ""
    word = "seed" if net.indicative else "seeds"
    print_line(visible(f"{net.name}: {net.outcome}{indicative} ({word} {seeds}){_against(net)}"))
    columns = ["metric", "net", "±", reference(net), "±", "worse by", "allowed", "", ""]
    rows = [_cells(found, reference(net)) for found in net.metrics]
    print_as("table", columns, rows, left=1, prose=True)
    for found in net.metrics:
        if len(found.reason) > ROOM:
            print_line(visible(f"{found.row}: {found.reason}"))


THEIRS = {"dense": "dense net", "reference": "reference"}


def _against(net: NetPart) -> str:
    """Which nets it is held against, where they are no dense ones."""
    if reference(net) == "dense":
        return ""
    kept = sum(Fraction(pair.dense.facts.kept, pair.dense.facts.prunable) for pair in net.pairs)
    runs = listed([pair.dense.run[:11] for pair in net.pairs], 3)
    return f"; reference: {runs} at {100 * float(1 - kept / len(net.pairs)):.2f} %"


ROOM = 40
"""Letters of a reason that have room in a line of the table; a longer one stands below it."""


def _cells(found: Finding, dense: str) -> list[str]:
    reason = [found.reason] if 0 < len(found.reason) <= ROOM else []
    if found.status == "missing":
        return [found.row, *[""] * 6, "missing", *(reason or [""])]
    words = [
        *([f"relative mCE {figure(found.relative.mean)}"] if found.relative else []),
        *([f"no {dense} error on {listed(list(found.skipped))}"] if found.skipped else []),
        *reason,
    ]
    numbers = [
        figure(getattr(found, key)) for key in ("mean", "error", "dense", "dense_error", "worse", "allowed")
    ]
    return [found.row, *numbers, found.status, "; ".join(words)]


def _show_ladder(ladder: LadderPart, verdict: Verdict) -> None:
    found = "none" if ladder.lth_pass is None else f"{percent(ladder.lth_pass)} %"
    indicative = ", indicative: one seed at some level" if _indicative(ladder, verdict) else ""
    print_line(visible(f"{ladder.ladder}: LTH-PASS sparsity {found}{indicative}{_failing_below(ladder)}"))
    rows = [
        [one.metric, percent(one.sparsity), percent(one.first_failure), str(one.missing or "")]
        for one in ladder.metrics
    ]
    print_table(["metric", "extreme sparsity %", "first failure %", "missing"], rows)


def _indicative(ladder: LadderPart, verdict: Verdict) -> bool:
    """Whether some level of it was judged by one seed alone."""
    return any(net.indicative for net in verdict.nets if net.ladder == ladder.ladder)


def _failing_below(ladder: LadderPart) -> str:
    """The first level that fails, where that is no sparser than the LTH-PASS sparsity, and in what."""
    failed = {one.metric: Fraction(one.first_failure) for one in ladder.metrics if one.first_failure}
    first = min(failed.values(), default=None)
    if ladder.lth_pass is None or first is None or first > Fraction(ladder.lth_pass):
        return ""
    metrics = listed([metric for metric, sparsity in failed.items() if sparsity == first])
    return f"; not every level up to it passes: {percent(str(first))} % fails in {metrics}"


def _show_radar(verdict: Verdict) -> None:
    values, better = means(verdict)
    for title, table in (("radar", radar(values, better)), ("raw", values)):
        rows = [
            [name, *("-" if row[metric] is None else f"{row[metric]:.4g}" for metric in better)]
            for name, row in table.items()
        ]
        print_table([title, *better], rows)
        print_line("" if title == "radar" else "radar: 1 is the best and 0 the worst of these nets alone")
