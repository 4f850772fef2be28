"""Between which nets, or about which, an interpolation measures. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticketctl.artifacts.run import Run, open_run
from ticketctl.errors import UsageError
from ticketctl.plugins import plugins
from ticketctl.recipe_explore import InterpolateSpec
from ticketctl.stages.fitting import trained_at
from ticketctl.stages.named import Named, at_epoch, of_run


@dataclass(frozen=True)
class Between:
    """Nets that are measured together."""

    subject: Named
    """Whose report it is: the first net, or the ticket that all of them were trained from."""
    ends: tuple[Named, ...]
    names: tuple[str, ...]
    """Short, of each end."""
    label: str
    """For people."""


def least_ends(curves: Sequence[str]) -> int:
    """How many nets the curves take at least: 1 or 2.

    Raises:
        UsageError: some take one net, others two: they do not go together.
    """
    wants = {name: _nets(name)[0] for name in curves}
    if len({*wants.values()}) > 1:
        one, two = (next(name for name, ends in wants.items() if ends == count) for count in (1, 2))
        raise UsageError(f"{one} is measured about one net, {two} between two: name them in two commands")
    return next(iter(wants.values()))


def check_ends(curves: Sequence[str], count: int) -> None:
    """Refuse more nets than a curve lies between; curves about one net take them one after the other.

    Raises:
        UsageError: names the curve.
    """
    for name in curves:
        least, most = _nets(name)
        if least > 1 and most is not None and count > most:
            raise UsageError(f"{name} lies between {most} nets, and here are {count}; name {most} of them")


def _nets(curve: str) -> tuple[int, int | None]:
    """At least, and at most; None: as many as there are."""
    words = plugins("curves")[curve].facts["nets"].split()
    return int(words[0]), None if words[1:] else int(words[0])


def between(
    found: Sequence[Named], curves: Sequence[str], spec: InterpolateSpec, sets: Mapping[str, Any]
) -> list[Between]:
    """Each net alone, or all together, as the curves take them.

    Args:
        found: what was named.
        curves: what is measured.
        spec: says whether of a ticket's level the trained net is meant, or the untrained.
        sets: of the nets' own recipes, as tables.

    Raises:
        UsageError: as `at_epoch`; a net alone where two are wanted, or more than a curve takes; a level that the draw
            did not keep trained; an alignment, which permutes further nets, of one alone.
    """
    single = least_ends(curves) == 1
    if single and spec.align != "none":
        raise UsageError(
            f"interpolate.align = {spec.align!r} permutes further nets to match the first; {curves[0]} is measured "
            "about one net: leave it out"
        )
    nets = [at_epoch(_meant(one, spec.of, sets), spec.epoch) for one in found]
    if single:
        return [Between(net, (net,), ("0",), net.label) for net in nets]
    if len(nets) < 2:
        raise UsageError(
            f"{', '.join(curves)} lies between nets, and {nets[0].label} is one: name another, "
            "a ticket with --level all, or train twins of it with --twins 3"
        )
    check_ends(curves, len(nets))
    if _one_ladder(found):
        names = tuple(f"level-{one.level}" for one in found)
        label = f"{found[0].folder}@{','.join(str(one.level) for one in found)}, {spec.of}"
        return [Between(found[-1], tuple(nets), names, label)]
    others = nets[1].label if len(nets) == 2 else f"{len(nets) - 1} others"
    names = tuple(str(number) for number in range(len(nets)))
    return [Between(nets[0], tuple(nets), names, f"{nets[0].label} to {others}")]


def _one_ladder(found: Sequence[Named]) -> bool:
    """Whether all are levels of one ticket, each another."""
    return (
        found[0].ticket is not None
        and len({one.folder for one in found}) == 1
        and len({one.level for one in found}) == len(found)
    )


def alike(pair: Between, digests: Sequence[str]) -> list[str]:
    """What is to be said of ends that are one and the same net.

    Args:
        pair: the nets.
        digests: of the weights of each end.
    """
    first: dict[str, Named] = {}
    said = []
    for end, digest in zip(pair.ends, digests, strict=True):
        if digest in first:
            said.append(
                f"{first[digest].label} and {end.label} are one and the same net: no path lies between them"
            )
        first.setdefault(digest, end)
    return said


def of_twins(ticket: Named, runs: Sequence[Run], sets: Mapping[str, Any]) -> Between:
    """Twins that were trained from a ticket's level."""
    names = tuple(f"twin-{number}" for number in range(len(runs)))
    return Between(ticket, tuple(of_run(run, sets) for run in runs), names, twins_label(ticket, len(runs)))


def twins_label(ticket: Named, count: int) -> str:
    """Twins of a ticket's level, for people."""
    return f"{ticket.folder}@{ticket.level}, {count} twins"


def _meant(one: Named, of: str, sets: Mapping[str, Any]) -> Named:
    if one.ticket is None or of == "untrained":
        return one
    try:
        folder = trained_at(one.ticket, one.level)
    except UsageError:
        name = f"{one.folder}@{one.level}"
        raise UsageError(
            f"{name}: its draw kept no trained net of this level; ticketctl spend {name} trains one, whose run may be "
            "named here, and --set interpolate.of=untrained takes the ticket as it is"
        ) from None
    return of_run(open_run(folder), sets)
