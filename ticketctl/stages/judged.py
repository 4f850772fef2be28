"""From what was typed to the nets of a verdict: runs of one kind and density, each beside its dense net, by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run, open_run
from ticketctl.artifacts.verdict_models import Facts
from ticketctl.errors import UsageError, listed
from ticketctl.stages.compare import Group, grouped
from ticketctl.stages.judged_partners import DENSE, WIDTHS, by_seeds, is_full, own_dense
from ticketctl.stages.otherwise import changes
from ticketctl.stages.reported import REPORTS, read_report
from ticketctl.stages.subjects import Subject, subjects_in
from ticketctl.stages.verdict import CHANCE
from ticketctl.stages.verdict_inputs import Audited, Net, Pair

SMALL = "small-dense"
"""What dense nets of other widths are called beside those of the usual ones."""


@dataclass(frozen=True)
class Partnered:
    """A run and the dense run that it is held against."""

    run: Subject
    dense: Subject

    @property
    def seeds(self) -> tuple[int, int]:
        """Root and initialisation."""
        return self.run.seeds


@dataclass(frozen=True)
class Case:
    """Runs of one kind and density, each with its partner; `left_out` have none."""

    name: str
    ladder: str
    density: Fraction
    pairs: tuple[Partnered, ...]
    left_out: tuple[Subject, ...]

    def folders(self) -> Iterator[Path]:
        """Of all runs whose audits are needed."""
        for pair in self.pairs:
            yield from (pair.run.folder, pair.dense.folder)


def cases(names: Sequence[str], against: str, workspace: Path) -> list[Case]:
    """What is judged, and against what; the least sparse of a ladder first.

    Args:
        names: runs, or folders that hold runs at any depth, as `compare` takes them.
        against: `dense`, each run's own: of the same seed, trained by the same recipe without tweaks, in any draw of
            the same net and data; or runs named like `names`, one of each seed.
        workspace: where names are looked for second.

    Raises:
        UsageError: no such run; nothing to judge; a run without a partner (of named ones: none at all), and what
            makes it; two runs of one seed where one belongs.
        ArtifactError: a run is damaged.
    """
    subjects, _ = subjects_in(names, workspace)
    if against == DENSE:
        partner_of = own_dense(subjects)
        pruned = [run for run in subjects if run.method != DENSE or run.tweaks]
        partners = {one.folder for run in pruned if (one := partner_of(run)) is not None}
        found = [run for run in subjects if run in pruned or not (is_full(run) or run.folder in partners)]
        why = f"{listed([str(name) for name in names])}: dense nets alone; name tickets beside them"
    else:
        references = by_seeds(subjects_in([against], workspace)[0], against)
        partner_of = lambda run: references.get(run.seeds)  # noqa: E731  # one line says it
        named = {one.manifest.run_id for one in references.values()}
        found = [run for run in subjects if run.manifest.run_id not in named]
        why = f"{listed([str(name) for name in names])}: no run but those that are judged against"
    if not found:
        raise UsageError(why)
    groups = grouped(found)
    ladders = [_ladder(group, apart, groups) for group, apart in zip(groups, changes(groups), strict=True)]
    found_cases = [
        _case(group, name, partner_of, against) for group, name in zip(groups, ladders, strict=True)
    ]
    places = {name: place for place, name in enumerate(dict.fromkeys(ladders))}
    return sorted(found_cases, key=lambda case: (places[case.ladder], -case.density))


def nets(found: Iterable[Case], reports: Callable[[Path], Report | None]) -> list[Net]:
    """The cases with their reports and facts, as `verdict.judge` takes them.

    Args:
        found: as `cases` gives them.
        reports: the report of the run in a folder, as `latest_report`.

    Raises:
        UsageError: a run has no audit; names the command.
        ArtifactError: a run is damaged.
    """
    known: dict[Path, Audited] = {}

    def audited(run: Subject) -> Audited:
        if run.folder not in known:
            report = reports(run.folder)
            if report is None:
                raise UsageError(f"{run.folder}: not audited; run: ticketctl audit {run.folder}")
            known[run.folder] = Audited(report, facts_of(run))
        return known[run.folder]

    return [
        Net(
            case.name,
            case.ladder,
            f"{case.density.numerator}/{case.density.denominator}",
            [Pair(*pair.seeds, audited(pair.run), audited(pair.dense)) for pair in case.pairs],
            [run.seeds for run in case.left_out],
        )
        for case in found
    ]


def remarks(run: Subject | Run) -> list[str]:
    """What is to be known of a net before its values are read: it diverged, learned nothing, or lost layers.

    Raises:
        ArtifactError: its mask is damaged.
    """
    facts, found = facts_of(run), []
    if run.manifest.status == "diverged":
        found.append("this net diverged: its values are those of the last finite weights")
    if (
        facts.train_accuracy is not None
        and float(Fraction(facts.train_accuracy)) <= float(CHANCE) / facts.classes
    ):
        found.append(
            f"this net has learned nothing: training accuracy {100 * float(facts.train_accuracy):.1f} %"
        )
    if facts.collapsed:
        found.append(f"layers without any weight: {listed(list(facts.collapsed))}")
    return found


def facts_of(run: Subject | Run) -> Facts:
    """What a verdict says of a net that its report does not.

    Raises:
        ArtifactError: its mask is damaged.
    """
    manifest, keep = run.manifest, open_run(run.folder).mask() or {}
    return Facts(
        kept=manifest.kept,
        prunable=max(1, manifest.prunable),
        classes=manifest.arch.num_classes,
        train_accuracy=manifest.metrics.get("train.accuracy"),
        collapsed=tuple(sorted(name for name, array in keep.items() if not array.any())),
    )


def latest_report(folder: Path) -> Report | None:
    """The newest audit of the run in `folder` as it is now; None if there is none.

    Raises:
        ArtifactError: the run, or the newest report of it, is damaged.
    """
    path = latest_report_file(folder)
    return None if path is None else read_report(path)


def latest_report_file(folder: Path) -> Path | None:
    """As `latest_report`, its file. Newest by time, ties by name; reports on other weights are passed over."""
    files = sorted(
        (folder / REPORTS).glob("audit-*.zarr.zip"), key=lambda path: (-path.stat().st_mtime_ns, path.name)
    )
    manifest = open_run(folder).manifest if files else None
    for path in files:
        subject = read_report(path).subject
        if manifest and (subject.run_id, subject.weights) == (manifest.run_id, manifest.weights.digest):
            return path
    return None


# ------------------------------------------------------------------------------------------------------------- cases


def _ladder(group: Group, apart: Mapping[str, str], groups: Sequence[Group]) -> str:
    """What tells runs from others at any density."""
    net = [group.net] if len({other.net for other in groups}) > 1 else []
    narrow = group.method == DENSE and not is_full(group.runs[0])
    # of a small dense net the density says what widths would
    keys = [f"{key}={value}" for key, value in apart.items() if not (narrow and key in WIDTHS)]
    keys = [key for key in keys if key not in (f"{name}={usual}" for name, usual in WIDTHS.items())]
    method = SMALL if narrow else group.method
    return " ".join([*net, method, *filter(None, [group.control]), *group.tweaks, *keys])


def _case(group: Group, ladder: str, partner_of: Callable[[Subject], Subject | None], against: str) -> Case:
    runs = sorted(_by_seed(group, ladder).values(), key=lambda run: run.seeds)
    found = [(run, partner_of(run)) for run in runs]
    pairs = tuple(Partnered(run, dense) for run, dense in found if dense is not None)
    alone = tuple(run for run, dense in found if dense is None)
    if alone and (against == DENSE or not pairs):
        raise UsageError(_lonely(alone[0], against))
    density = group.density if group.method != DENSE else _share(pairs)
    name = f"{ladder} at {100 * float(1 - density):.2f} %"
    return Case(name, ladder, density, pairs, alone)


def _share(pairs: Sequence[Partnered]) -> Fraction:
    """How large small dense nets are beside the dense nets that they are held against."""
    shares = [Fraction(pair.run.manifest.kept, max(1, pair.dense.manifest.prunable)) for pair in pairs]
    return sum(shares, Fraction(0)) / len(shares)


def _by_seed(group: Group, ladder: str) -> dict[tuple[int, int], Subject]:
    found: dict[tuple[int, int], Subject] = {}
    for run in group.runs:
        if run.seeds in found:
            raise UsageError(
                f"{ladder}: two runs of seed {run.seeds[0]}, {found[run.seeds].folder} and {run.folder}; name one"
            )
        found[run.seeds] = run
    return found


def _lonely(run: Subject, against: str) -> str:
    seed, init = run.seeds
    which = f"seed {seed}" if seed == init else f"seed {seed} and initialisation {init}"
    if against != DENSE:
        return f"--against {against}: no run of {which} there, as {run.folder} has"
    if run.method == DENSE:
        return f"{run.folder} is a dense net; say what it is held against: --against RUN"
    above = next((path for path in run.folder.parents if (path / "ticket").is_dir()), None)
    way = (
        f"ticketctl spend {above / 'ticket'} --seed {seed}"
        if above
        else "ticketctl spend with spend.dense=true"
    )
    return f"{run.folder}: no dense net of {which} and its recipe beside it; train it: {way}"
