"""What two Gloo processes find out together, for tests/train/test_ranks.py; it prints what each of them found.

One launch for all claims: a process that imports torch takes seconds. Run it in a process that has not used autograd.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.spawn import start_processes

from tests.train import small
from ticketctl.errors import StoppedError, TicketctlError
from ticketctl.masks.mask import Mask
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.train.course import Course
from ticketctl.train.evaluate import examine
from ticketctl.train.feed import Images
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Hooks
from ticketctl.train.lab import Fit, Wish
from ticketctl.train.ranks import Ranks, joined
from ticketctl.train.state import State
from ticketctl.tweaks._sharpness import Sharpness

RANKS = 2
Found = dict[str, Any]
COURSES: dict[str, tuple[dict[str, Any], tuple[Callable[[], Hooks], ...]]] = {
    "sgd": ({"momentum": 0.9, "weight_decay": 0.01}, ()),
    "adam": ({"optimizer": "adam", "lr": 0.01}, ()),
    "sam": ({"momentum": 0.9}, (lambda: Sharpness("sam", 0.05),)),
}


class Spoils(Hooks):
    """Changes one weight on one rank."""

    def __init__(self, here: bool) -> None:
        self.here = here

    def identity(self) -> dict[str, Any]:
        return {"name": "spoils"}

    def step(self, loop: Course) -> None:
        if self.here and loop.step == 2:
            with torch.no_grad():
                loop.parameters["fc.bias"][0] += 1e-6


def fit(
    folder: Path,
    ranks: Ranks | None,
    *,
    stop: Callable[[], int | None] = small.never,
    hooks: tuple[Hooks, ...] = (),
    title: str = "test",
    **train: Any,
) -> Fit:
    """A training under a mask whose batches are of 5, 5 and 1 images; augmented, with BatchNorm."""
    bench = replace(
        small.bench(small.train_spec(epochs=3, **train), padding=1, images=11, stop=stop), ranks=ranks
    )
    lab, wish = small.lab(folder, bench), Wish(hooks=hooks)
    return lab.fit_in(FitFiles(folder), small.weights(), small.half(), keep=(), title=title, wish=wish)


def furthest(ours: State, theirs: State) -> float:
    """The largest difference of two nets' values."""
    pairs = ((ours.weights[name], value) for name, value in theirs.weights.items())
    return max(float((mine - value).abs().max()) for mine, value in pairs)


def said(run: Callable[[], object]) -> str:
    try:
        run()
    except TicketctlError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


# ------------------------------------------------------------------------------------------------------------ claims


def courses(ranks: Ranks, folder: Path) -> Found:
    """Trainings that are shared beside those that are not."""
    found: Found = {}
    for name, (keys, makers) in COURSES.items():
        alone = fit(
            folder / f"alone-{name}-{ranks.rank}", None, hooks=tuple(make() for make in makers), **keys
        )
        shared = fit(folder / f"shared-{name}", ranks, hooks=tuple(make() for make in makers), **keys)
        columns = ["train.accuracy", "val.accuracy", "test.accuracy", "epoch", "step", "lr"]
        places = [shared.columns.index(column) for column in columns]
        found[name] = {
            "weights": furthest(shared.end(), alone.end()),
            "moved": furthest(shared.end(), small.weights()),
            "history": float((shared.history - alone.history).abs().nan_to_num().max()),
            "same columns": bool(torch.equal(shared.history[1:, places], alone.history[1:, places])),
            "memory": all(
                torch.equal(shared.tensors[key], alone.tensors[key])
                for key in ("memory.events", "memory.epochs")
            ),
            "pruned": max(
                float(shared.end().weights[key][~keep].abs().max()) for key, keep in small.half().keep.items()
            ),
        }
    return found


def goes_on(ranks: Ranks, folder: Path) -> Found:
    """Stopped by rank 0 after some steps, and gone on with."""
    fit(folder / "undisturbed", ranks, momentum=0.9)
    codes = []
    for after in (0, 2, 5):
        asked = iter(range(1000))
        stop = (lambda: 75 if next(asked) >= after else None) if ranks.leads else small.never  # noqa: B023  # called before the next turn
        try:
            fit(folder / "stopped", ranks, stop=stop, momentum=0.9)
        except StoppedError as error:
            codes.append(error.exit_code)
    there = (folder / "stopped" / "checkpoint.safetensors").exists()
    ranks.agree(0)  # before the next training sweeps it
    fit(folder / "stopped", ranks, momentum=0.9)
    ours, theirs = (small.files_below(folder / name) for name in ("stopped", "undisturbed"))
    return {"codes": codes, "checkpoint": there, "same bytes": ours == theirs, "files": sorted(ours)}


def passes(ranks: Ranks, folder: Path) -> Found:
    """One pass of a net of many BatchNorms over a batch, shared and alone; of 7 images, and of 1, fewer than ranks."""
    found: Found = {}
    for count in (64, 7, 1):
        net = build("resnet20s", shape=(1, 16, 16), classes=10, width=Fraction(1, 4))
        initialise_(net, "kaiming-normal", Seeds(0))
        net.to(memory_format=torch.channels_last).train()
        alone, precise = copy.deepcopy(net), copy.deepcopy(net).double()
        inputs = torch.from_numpy(small.split(count, 7).images[:, :1]).float().repeat(1, 1, 4, 4) / 100 - 1
        labels = torch.arange(count) % 10

        def losses(
            net: nn.Module, inputs: torch.Tensor, labels: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            logits = net(inputs)
            loss = nn.functional.cross_entropy(logits, labels)
            return loss, loss, logits

        part = ranks.slice_of(count)
        ours = part.run(lambda: losses(net, part.of(inputs), part.of(labels)), net.parameters())  # noqa: B023  # called before the next turn
        theirs = losses(alone, inputs, labels)
        theirs[0].backward()
        losses(precise, inputs.double(), labels)[0].backward()
        grads = [
            torch.cat([p.grad.reshape(-1).double() for p in each.parameters() if p.grad is not None])
            for each in (net, alone, precise)
        ]
        buffers = zip(net.buffers(), alone.buffers(), strict=True)
        found[str(count)] = {
            "own": part.stop - part.start,
            "loss": float((ours.objective - theirs[0].detach()).abs()),
            "logits": float((ours.logits - theirs[2].detach()).abs().max()),
            "gradient": float((grads[0] - grads[2]).norm() / grads[2].norm()),
            "gradient alone": float((grads[1] - grads[2]).norm() / grads[2].norm()),
            "statistics": max(float((a.double() - b.double()).abs().max()) for a, b in buffers),
        }
    return found


def evaluations(ranks: Ranks, folder: Path) -> Found:
    """Sets of three batches and of one."""
    bench = small.bench()
    images = {
        str(count): Images(small.split(count, count), None, bench.feed.images.scaling, small.CPU)
        for count in (1203, 9)
    }
    return {"shared": examine(bench.model, images, ranks=ranks), "alone": examine(bench.model, images)}


def words(ranks: Ranks, folder: Path) -> Found:
    """What is said, and what rank 0 decides."""
    mask, mine = small.half(seed=ranks.rank), small.half(seed=0)
    led: Mask = ranks.led_mask(mask)
    state = ranks.led_state(small.weights(seed=ranks.rank))
    return {
        "agree": ranks.agree(ranks.rank, 5 - ranks.rank),
        "leading": [ranks.leading(ranks.leads), ranks.leading(not ranks.leads)],
        "told": ranks.told({"text": "é", "number": 3} if ranks.leads else None),
        "led": [ranks.led(data if ranks.leads else b"?").hex() for data in (b"", b"\x00\xff")],
        "mask": all(torch.equal(led.keep[name], keep) for name, keep in mine.keep.items()),
        "state": furthest(state, small.weights(seed=0)),
    }


def differences(ranks: Ranks, folder: Path) -> Found:
    """Ranks that do not hold, or do not do, the same."""
    same = {"a": torch.arange(3.0), "b": torch.arange(4.0)}
    other = {**same, "b": torch.arange(4.0) + ranks.rank}
    spoilt = folder / "spoilt"
    return {
        "same": said(lambda: ranks.check("level 1", same)),
        "other": said(lambda: ranks.check("level 1", other)),
        "another training": said(lambda: fit(folder / "another", ranks, title=f"training {ranks.rank}")),
        "spoilt": said(lambda: fit(spoilt, ranks, hooks=(Spoils(not ranks.leads),))),
        "written": sorted(path.name for path in spoilt.glob("*.safetensors")),
    }


CLAIMS = (courses, goes_on, passes, evaluations, words, differences)


def rank(number: int, port: int, folder: Path) -> None:
    """All claims, as one of the ranks."""
    torch.set_num_threads(1)
    own = {"RANK": number, "WORLD_SIZE": RANKS, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in own.items()} | {"GLOO_SOCKET_IFNAME": "lo"})
    with joined(small.CPU) as ranks:
        found = {claim.__name__: claim(ranks, folder) for claim in CLAIMS}
    (folder / f"found-{number}.json").write_text(json.dumps(found))


def main() -> None:
    """Start the ranks, and print what each found."""
    folder = Path.cwd()
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    start_processes(rank, (port, folder), RANKS, start_method="fork")
    sys.stdout.write(
        json.dumps([json.loads((folder / f"found-{n}.json").read_text()) for n in range(RANKS)]) + "\n"
    )


if __name__ == "__main__":
    main()
