"""This machine, measured: how fast nets are trained by the very loop that draws and spends use, and by what yardstick.

Variants of one net take turns, so that what else the machine does meets all of them alike: the engine (data,
augmentation, mask, record of what was right, checks between steps), the engine without mask, a bare loop, a product of
matrices, batches alone, an evaluation. Ratios are taken round by round. Absolute figures are by the clock of the
processor where one thread computes on a CPU, and else by that of the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from ticketctl import __version__
from ticketctl.errors import UsageError
from ticketctl.nets.build import find
from ticketctl.nets.describe import layer_macs, parameter_count
from ticketctl.progress import Reporter
from ticketctl.recipe import TrainSpec
from ticketctl.stages.benchmark_aims import judged
from ticketctl.stages.benchmark_cases import Case
from ticketctl.stages.benchmark_load import HELD, SLOWER, Meter
from ticketctl.stages.benchmark_loader import Batches, PictureBatches, Pictures
from ticketctl.stages.benchmark_peak import Product, saturating
from ticketctl.stages.benchmark_record import Busy, LeftOut, Machine, Net, Peak, Record, Spread
from ticketctl.stages.benchmark_rig import Paced, Rig, Site, training_flop
from ticketctl.stages.benchmark_shares import (
    ENOUGH,
    FEW,
    LEAST_STEPS,
    LIMIT,
    NETS_SHARE,
    PROBES_SHARE,
    ROUNDS,
    YARDSTICK_SHARE,
    Clock,
    expected,
    goes_on,
    round_seconds,
    shares,
    step_of,
    wanted,
)
from ticketctl.stages.benchmark_turns import Lap, Run, Stopwatch, Timing, in_turns, rates, ratios
from ticketctl.stages.estimate import speed_from
from ticketctl.stages.pace import Pace
from ticketctl.train.device import Place, settle, settle_arithmetic
from ticketctl.train.evaluate import examine

IMP_ROUNDS, IMP_EPOCHS = 20, 160
"""The ladder whose time is told: so many rounds after the dense net, each a training of so many epochs."""

Laps = Mapping[str, Sequence[Lap]]


def site_of(device: torch.device, threads: int, reporter: Reporter) -> Site:
    """Settle threads (0: as many as a training takes here) and arithmetic for this process, as trainings do."""
    train = settle(TrainSpec(epochs=1, threads=threads), device)
    settle_arithmetic(train, device)
    return Site(Place(device, train.precision), train.threads, reporter)


def machine_of(site: Site) -> Machine:
    """What figures are figures of."""
    return Machine(threads=site.threads, **site.place.describe())


def benchmark(cases: Sequence[Case], site: Site, seconds: float) -> Record:
    """Measure each net in turn.

    Args:
        cases: what is trained.
        site: where; its reporter is told how far it is.
        seconds: about how long that may take, beside making images and building nets, and half of what it takes at
            most. A net that needs more than its share of it gets fewer rounds, or is left out.

    Raises:
        UsageError, MissingExtraError: a net that is not there; no time for even one net.
        DivergedError: a net of somebody's own whose loss is not finite.
    """
    for case in cases:
        find(case.net)
    held = _held_by_others(site)
    site.reporter.note(expected(len(cases), seconds))
    rigs = [Rig(case, site) for case in cases]
    began, meter, watch = time.perf_counter(), Meter(), _stopwatch(site)
    site.reporter.note("multiplying matrices: the yardstick")
    product = saturating(site.place.precision, site.place.device, watch, YARDSTICK_SHARE * seconds)
    found, left_out = _each(rigs, seconds, watch, product)
    machine, nets = machine_of(site), tuple(net for net, _ in found)
    products = [lap for _, laps in found for lap in laps["matmul"]]
    return Record(
        ticketctl=__version__,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        clock="processor" if watch.clock is time.process_time else "wall",
        seconds=time.perf_counter() - began,
        machine=machine,
        load=_load(meter, [laps["engine"] for _, laps in found], held),
        peak=Peak(
            precision=site.place.precision,
            size=product.size,
            flop_per_second=Spread.of(rates(products, product.flop)),
        ),
        nets=nets,
        left_out=tuple(left_out),
        aims=tuple(one for net in nets for one in judged(net, machine)),
    )


def _each(
    rigs: Sequence[Rig], seconds: float, watch: Stopwatch, product: Product
) -> tuple[list[tuple[Net, Laps]], list[LeftOut]]:
    """The nets that there is time for, and the others."""
    enough = max(ENOUGH, PROBES_SHARE * seconds / (5 * len(rigs)))
    steps = [step_of(rig.train.batch, _probe(rig, watch), enough) for rig in rigs]
    clock = Clock(time.perf_counter(), seconds)
    found: list[tuple[Net, Laps]] = []
    left_out: list[LeftOut] = []
    for rig, step, share in zip(rigs, steps, shares(steps, NETS_SHARE * seconds), strict=True):
        if share == 0 or clock.spent() + LEAST_STEPS * step > LIMIT * seconds:
            left_out.append(_left_out(rig, step))
            rig.site.reporter.note(left_out[-1].told)
        else:
            found.append(_Work(rig, watch, product, share, clock).done())
    if not found:
        raise UsageError(f"--seconds {seconds:g}: no time for any; {left_out[0].told}")
    return found, left_out


def _probe(rig: Rig, watch: Stopwatch) -> Callable[[int], float]:
    """Seconds of a step of so many images: the least of three, or of as many as end within a second."""
    loop = rig.bare()
    inputs, labels = loop.inputs, loop.labels
    loop.inputs, loop.labels = inputs[:FEW], labels[:FEW]
    loop.step()  # sets things up

    def timed(images: int) -> float:
        loop.inputs, loop.labels = inputs[:images], labels[:images]
        began, found = time.perf_counter(), [watch.lap(loop.step).wall]
        while len(found) < 3 and time.perf_counter() - began < 1:
            found.append(watch.lap(loop.step).wall)
        return min(found)

    return timed


def _left_out(rig: Rig, step: float) -> LeftOut:
    return LeftOut(
        net=rig.case.net,
        batch=rig.train.batch,
        round_seconds=round_seconds(step),
        wanted_seconds=wanted(step),
    )


def _stopwatch(site: Site) -> Stopwatch:
    own = site.place.device.type == "cpu" and site.threads == 1
    return Stopwatch(time.process_time if own else time.perf_counter, site.wait)


def _held_by_others(site: Site) -> int:
    """Bytes of the GPU's memory that are taken before this process asks for any (its own context among them)."""
    if site.place.device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(site.place.device)
    return int(total - free - torch.cuda.memory_reserved(site.place.device))


def _load(meter: Meter, trained: Sequence[Sequence[Lap]], held: int) -> Busy:
    """`trained`: laps of the same training, for each net."""
    load = meter.load()
    slower = max(speed_from([(1, lap.work, lap.wall) for lap in laps]).slower for laps in trained)
    felt = held > HELD or slower > SLOWER or load.is_busy
    busy = True if felt else load.is_busy
    return Busy(
        cores=load.cores, foreign_cores=load.foreign, slower=slower, gpu_memory_of_others=held, busy=busy
    )


@dataclass(frozen=True)
class _Work:
    """One net to be measured."""

    rig: Rig
    watch: Stopwatch
    product: Product
    share: float
    """Seconds of this net."""
    clock: Clock

    def done(self) -> tuple[Net, Laps]:
        """Its figures, and the laps they are of."""
        reporter, title = self.rig.site.reporter, self.rig.case.title
        reporter.note(f"{title}: its first step")
        began = time.perf_counter()
        engine, first = self.rig.begun()
        variants = self._variants(engine)
        turn = self.share / (2 * ROUNDS * len(variants))
        repeats = {name: self.watch.repeats(run, turn) for name, run in variants.items()}
        laps = in_turns(variants, self._more(began, title), self.watch, repeats)
        self.rig.check(engine)
        return self._figures(engine, laps, first), laps

    def _variants(self, engine: Paced) -> dict[str, Run]:
        """What takes turns, in this order."""
        rig, images = self.rig, self.rig.held_out()
        variants: dict[str, Run] = {
            "engine": engine.step,
            "no mask": rig.engine(masked=False).step,
            "bare": rig.bare().step,
            "matmul": self.product,
            "loader": Batches(rig.feed_apart()),
            "evaluation": lambda: examine(
                engine.model, {"test": images}, lambda: None, engine.machine.forward
            ),
        }
        if rig.case.padding is not None and rig.site.place.device.type == "cpu":
            source = rig.feed.images
            pictures = Pictures(source.source, source.labels.numpy(), augment=True)
            variants["pictures"] = PictureBatches(pictures, rig.train.batch)
        return variants

    def _more(self, began: float, title: str) -> Callable[[int], bool]:
        first = time.perf_counter()

        def more(done: int) -> bool:
            now, whole = time.perf_counter(), self.clock.seconds
            self.rig.site.reporter.work(title, min(self.clock.spent(), whole), whole)
            return goes_on(done, now - began, now - first, self.share)

        return more

    def _figures(self, engine: Paced, laps: Laps, first: float) -> Net:
        case, batch = self.rig.case, self.rig.train.batch
        macs = layer_macs(engine.model, case.sizes.shape)
        flop = training_flop(macs)
        pictures = laps.get("pictures")
        speed, looked = rates(laps["engine"], batch), rates(laps["evaluation"], batch)
        share = ratios(laps["matmul"], laps["engine"]).times(flop * batch / self.product.flop)
        alone, busy = self._ladder(engine, laps)
        return Net(
            net=case.net,
            data=case.sizes.name,
            batch=batch,
            precision=self.rig.site.place.precision,
            augmented=case.padding is not None,
            graph=engine.is_graph,
            rounds=len(laps["engine"]),
            parameters=parameter_count(engine.model),
            macs=sum(macs.values()),
            flop=flop,
            images_per_second=Spread.of(speed),
            ms_per_step=Spread.of(_per_call(laps["engine"]).times(1e3)),
            matmul_flop_per_second=Spread.of(rates(laps["matmul"], self.product.flop)),
            share_of_peak=Spread.of(share),
            share_of_bare=Spread.of(ratios(laps["bare"], laps["engine"])),
            mask_cost=Spread.of(_over_one(ratios(laps["engine"], laps["no mask"]))),
            loader_us=Spread.of(_per_call(laps["loader"]).times(1e6 / batch)),
            loader_images_per_second=Spread.of(rates(laps["loader"], batch)),
            loader_over_pictures=Spread.of(ratios(pictures, laps["loader"])) if pictures else None,
            evaluated_per_second=Spread.of(looked),
            first_step_seconds=first,
            epoch_seconds=case.sizes.images / speed.median + case.sizes.tested / looked.median,
            imp_seconds=alone,
            imp_seconds_as_busy=busy,
        )

    def _ladder(self, engine: Paced, laps: Laps) -> tuple[float, float]:
        """Seconds of a ladder: with the machine to itself, and as busy as it was."""
        case, batch = self.rig.case, self.rig.train.batch
        trained, looked = (
            speed_from([(batch, lap.work, lap.wall) for lap in laps[name]])
            for name in ("engine", "evaluation")
        )
        speed = replace(trained, share=trained.alone / looked.alone)
        pace = Pace(case.sizes.images, case.sizes.tested, speed, parameter_count(engine.model))
        train = self.rig.train.model_copy(update={"epochs": IMP_EPOCHS, "drop_last": False})
        recipe = case.recipe.model_copy(update={"train": train})
        trainings = IMP_ROUNDS + 1
        return pace.seconds(recipe, trainings * IMP_EPOCHS * pace.per_epoch(recipe), trainings)


def _per_call(laps: Sequence[Lap]) -> Timing:
    """Seconds."""
    return Timing.of(lap.work for lap in laps)


def _over_one(ratio: Timing) -> Timing:
    """What a ratio is above 1."""
    return Timing(ratio.median - 1, ratio.least - 1, ratio.most - 1, ratio.unsure)
