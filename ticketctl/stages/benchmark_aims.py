"""What is aimed at, for which machine, and whether a figure reaches it.

C1 to C5 are ratios of one CPU thread, by processor time; G1 to G8 images a second of an H100: one table of all is in
docs/how-to/benchmark-a-machine.md. An aim is held against nothing else: of another device, thread count or precision
nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ticketctl.stages.benchmark_record import Judged, Machine, Net, Spread

H100 = "H100"
BATCH = 128
RESNETS = ("resnet20", "resnet18")


@dataclass(frozen=True)
class Aim:
    """One of them."""

    mark: str
    figure: str
    """The key in `Net`."""
    must: float
    goal: float | None = None
    """What one would like, beyond what must be."""
    at_most: bool = False
    """Whether less is better."""
    nets: tuple[str, ...] = ()
    """Empty: any net on augmented colour images."""
    batch: int | None = None
    """None: any."""
    bf16: bool = False
    """Whether it is for bfloat16 alone."""

    def reached(self, value: float, bound: float) -> bool:
        """Whether `value` is as good as `bound`."""
        return value <= bound if self.at_most else value >= bound


CPU_AIMS = (
    Aim("C1", "loader_us", 8.0, at_most=True),
    Aim("C1", "loader_over_pictures", 25.0),
    Aim("C3", "share_of_bare", 0.95, nets=RESNETS, bf16=True),
    Aim("C3", "share_of_bare", 0.80, nets=("lenet-300-100",), bf16=True),
    Aim("C4", "mask_cost", 0.03, at_most=True, nets=("lenet-300-100",)),
    Aim("C4", "mask_cost", 0.015, at_most=True, nets=("resnet20",)),
    Aim("C5", "share_of_peak", 0.80, nets=("resnet18",), bf16=True),
    Aim("C5", "share_of_peak", 0.55, nets=("resnet20",), bf16=True),
)
GPU_AIMS = (
    Aim("G1", "images_per_second", 45e3, 60e3, nets=("resnet18",), batch=BATCH, bf16=True),
    Aim("G2", "images_per_second", 55e3, 75e3, nets=("resnet18",), batch=512, bf16=True),
    Aim("G5", "images_per_second", 80e3, 200e3, nets=("resnet20",), batch=BATCH, bf16=True),
    Aim("G6", "images_per_second", 0.6e6, 1.5e6, nets=("lenet-300-100",), batch=BATCH, bf16=True),
    Aim("G8", "loader_images_per_second", 5e6, 20e6),
)
UNITS = {"loader_us": ("µs", 1.0), "share_of_peak": ("%", 100.0), "mask_cost": ("%", 100.0)}


def judged(net: Net, machine: Machine) -> tuple[Judged, ...]:
    """Every aim that is for this net on this kind of device, held against its figure where the machine allows it."""
    reason = "" if machine.device == "cuda" or machine.threads == 1 else "for one thread"
    return tuple(
        Judged(
            net=net.net, batch=net.batch, figure=aim.figure, mark=aim.mark, aim=words_of(aim),
            verdict=reason or verdict(aim, figure),
        )
        for aim, figure in _meant(net, machine)
    )  # fmt: skip


def _meant(net: Net, machine: Machine) -> Iterator[tuple[Aim, Spread]]:
    known = GPU_AIMS if H100 in machine.device_name else ()
    for aim in CPU_AIMS if machine.device == "cpu" else known:
        figure = getattr(net, aim.figure)
        fits = net.net in aim.nets if aim.nets else net.augmented and net.data == "cifar10"
        wrong = (aim.bf16 and net.precision != "bf16") or aim.batch not in (None, net.batch)
        if fits and not wrong and figure is not None:
            yield aim, figure


def verdict(aim: Aim, figure: Spread) -> str:
    """In words; of a median whose rounds lie on both sides of the bound, that chance could turn it."""
    if figure.unsure:
        return "not judged: uneven"
    if aim.goal is not None and aim.reached(figure.median, aim.must):
        return "goal met" if aim.reached(figure.median, aim.goal) else "must met, goal missed"
    said = "met" if aim.reached(figure.median, aim.must) else "missed"
    close = aim.reached(figure.least, aim.must) != aim.reached(figure.most, aim.must)
    return f"{said}, within the spread" if close else said


def words_of(aim: Aim) -> str:
    """`at least 0.95`; `at least 45,000, goal 60,000`."""
    unit, factor = UNITS.get(aim.figure, ("", 1.0))

    def said(value: float) -> str:
        shown = f"{value:,.0f}" if value >= 1000 else f"{value * factor:g}"
        return f"{shown} {unit}".rstrip()

    bound = f"at {'most' if aim.at_most else 'least'} {said(aim.must)}"
    return bound if aim.goal is None else f"{bound}, goal {said(aim.goal)}"
